//! What the committer has put in line, for the dispatcher to pick up. Bounded: beyond a number of
//! items only the destinations are remembered, whose lines can be read.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};

use tokio::sync::Notify;

use crate::mail::{Destination, UnixMillis};

use super::suspension::Kept;
use super::{DueItem, Suspension};

/// Items that may wait to be picked up.
const ITEMS_MAX: usize = 4_096;

/// What came since the dispatcher last asked.
#[derive(Debug, Default)]
pub struct News {
    /// Items put in line, the latest last.
    pub items: Vec<DueItem>,
    /// Destinations that got more than `items` had room for, each with its earliest new due time.
    pub more: Vec<(Destination, UnixMillis)>,
    /// Destinations that the operator suspended, and those whose suspension somebody lifted: `None`.
    pub suspensions: Vec<(Destination, Option<Suspension>)>,
}

#[derive(Default)]
pub(super) struct NewsBoard {
    waiting: Mutex<Waiting>,
    notify: Notify,
}

#[derive(Default)]
struct Waiting {
    items: Vec<DueItem>,
    more: HashMap<Destination, UnixMillis>,
    ordered: HashMap<Destination, Option<Suspension>>,
}

impl NewsBoard {
    /// Posts what [`tell`](NewsBoard::tell) then makes known.
    pub(super) fn post(&self, items: Vec<DueItem>) {
        if items.is_empty() {
            return;
        }
        let mut waiting = self.lock();
        for item in items {
            if waiting.items.len() < ITEMS_MAX {
                waiting.items.push(item);
            } else {
                let earliest = waiting.more.entry(item.destination).or_insert(item.due);
                *earliest = item.due.min(*earliest);
            }
        }
    }

    /// What is said of a destination last counts; `None`: somebody lifts its suspension. Bounded by the
    /// destinations with work and those that an operator may suspend.
    pub(super) fn post_suspensions(&self, ordered: Vec<Kept>) {
        if ordered.is_empty() {
            return;
        }
        self.lock().ordered.extend(ordered);
    }

    /// Wakes who waits for what was posted, unless it was picked up already.
    pub(super) fn tell(&self) {
        let waiting = self.lock();
        let is_empty =
            waiting.items.is_empty() && waiting.more.is_empty() && waiting.ordered.is_empty();
        drop(waiting);
        if !is_empty {
            self.notify.notify_one();
        }
    }

    /// Ends once something was posted and told after the last time it ended. Cancel-safe.
    pub(super) async fn posted(&self) {
        self.notify.notified().await;
    }

    pub(super) fn take(&self) -> News {
        let Waiting {
            items,
            more,
            ordered,
        } = std::mem::take(&mut *self.lock());
        News {
            items,
            more: more.into_iter().collect(),
            suspensions: ordered.into_iter().collect(),
        }
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Waiting> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::mail::{AddressDomain, QueueId, RecipientNo};
    use crate::store::SuspensionCause;

    #[test]
    fn beyond_the_bound_only_destinations_are_kept() {
        let board = NewsBoard::default();
        let destination = Destination::of_domain(&AddressDomain::parse("a.test").unwrap());
        let item = |due| DueItem {
            destination: destination.clone(),
            due: UnixMillis(due),
            id: QueueId::new(UnixMillis(due), 0),
            no: RecipientNo(0),
        };
        board.post((0..ITEMS_MAX as u64).map(item).collect());
        board.post(vec![item(9), item(7), item(8)]);
        let news = board.take();
        assert_eq!(news.items.len(), ITEMS_MAX);
        assert_eq!(news.more, [(destination.clone(), UnixMillis(7))]);
        assert!(board.take().items.is_empty());
    }

    #[test]
    fn of_suspensions_the_last_word_counts() {
        let board = NewsBoard::default();
        let [one, two] = ["one.test", "two.test"].map(Destination::from_stored);
        let order = Suspension {
            since: UnixMillis(1),
            until: None,
            cause: SuspensionCause::Order {
                by: "ann".into(),
                reason: "".into(),
            },
        };
        board.post_suspensions(vec![
            (one.clone(), Some(order.clone())),
            (two.clone(), Some(order.clone())),
        ]);
        board.post_suspensions(vec![(one.clone(), None)]);
        let mut told = board.take().suspensions;
        told.sort_by(|(a, _), (b, _)| a.cmp(b));
        assert_eq!(told, [(one, None), (two, Some(order))]);
        assert!(board.take().suspensions.is_empty());
    }
}
