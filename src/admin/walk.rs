//! Going through the queue for the operator: page by page with rests between them, so that mail goes on
//! and memory stays as it is.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::Semaphore;
use tokio::time::{Instant, sleep};

use crate::mail::{QueueId, UnixMillis};
use crate::observe::wall_clock;
use crate::store::{Direction, Loaded, ReadError, Scan, Store, Wanted};

use super::selection::Selection;

/// Recipients after which a page is full, but for those of its last message.
const PAGE_RECIPIENTS: usize = 500;
/// Recipients that are looked at for a page.
const PAGE_EXAMINED: usize = 10_000;
/// Messages that are read for a page if ids are given.
const PAGE_IDS: usize = 50;
/// Longest rest between two pages.
const REST_MAX: Duration = Duration::from_millis(500);

/// A way through the queue.
pub(super) struct Walk {
    store: Store,
    /// Of those who go such ways.
    turns: Arc<Semaphore>,
    wanted: Wanted,
    next: Next,
    direction: Direction,
    /// Only messages that were made before; set at the start at the latest, so that a way ends however
    /// much comes in.
    until: Option<UnixMillis>,
    /// Recipients that may still be found.
    left: u64,
    /// As long as the last page took; the next one waits for that.
    rest: Duration,
}

enum Next {
    /// Only these messages.
    Messages(VecDeque<QueueId>),
    /// From this one on; `None`: from the end of the queue where the way begins.
    From(Option<QueueId>),
    Over,
}

/// A part of the way.
#[derive(Debug, Default)]
pub(super) struct WalkPage {
    /// Messages with those of their recipients that are wanted.
    pub(super) found: Vec<Loaded>,
    /// Recipients that were looked at.
    pub(super) examined: u64,
}

impl Walk {
    /// Over what `selection` can mean, for those that `wanted` says yes to.
    pub(super) fn new(
        store: Store,
        turns: Arc<Semaphore>,
        selection: &Selection,
        direction: Direction,
        wanted: Wanted,
    ) -> Walk {
        let next = match (selection.ids(), direction) {
            (None, Direction::OldestFirst) => Next::From(selection.begins_at()),
            (None, Direction::LatestFirst) => Next::From(None),
            (Some(ids), Direction::OldestFirst) => Next::Messages(ids.iter().copied().collect()),
            (Some(ids), Direction::LatestFirst) => {
                Next::Messages(ids.iter().rev().copied().collect())
            }
        };
        Walk {
            store,
            turns,
            wanted,
            next,
            direction,
            until: selection.ends_before(),
            left: selection.limit.unwrap_or(u64::MAX),
            rest: Duration::ZERO,
        }
    }

    /// The next part; there may be nothing in it although more follows. `None`: that was all.
    ///
    /// If the future is dropped, a part may be missing.
    pub(super) async fn page(&mut self) -> Result<Option<WalkPage>, ReadError> {
        if self.left == 0 {
            return Ok(None);
        }
        sleep(self.rest).await;
        let turns = self.turns.clone();
        let _turn = turns.acquire().await; // never closed
        let began = Instant::now();
        let mut page = match std::mem::replace(&mut self.next, Next::Over) {
            Next::Over => return Ok(None),
            Next::Messages(mut ids) => {
                let now = ids.drain(..ids.len().min(PAGE_IDS)).collect::<Vec<_>>();
                if !ids.is_empty() {
                    self.next = Next::Messages(ids);
                }
                self.read(now).await?
            }
            Next::From(from) => self.scan(from).await?,
        };
        self.cut(&mut page);
        self.rest = began.elapsed().min(REST_MAX);
        Ok(Some(page))
    }

    /// The next page waits for that as well.
    pub(super) fn also_rest_for(&mut self, span: Duration) {
        self.rest = (self.rest + span).min(REST_MAX);
    }

    async fn scan(&mut self, from: Option<QueueId>) -> Result<WalkPage, ReadError> {
        let left = usize::try_from(self.left).unwrap_or(usize::MAX);
        let until = match self.until {
            Some(until) => until,
            None => *self.until.insert(self.end().await?),
        };
        let scan = Scan {
            from,
            until: Some(until),
            direction: self.direction,
            limit: left.min(PAGE_RECIPIENTS),
            examined_max: PAGE_EXAMINED,
        };
        let page = self.store.scan(scan, self.wanted.clone()).await?;
        if let Some(next) = page.next {
            self.next = Next::From(Some(next));
        }
        Ok(WalkPage {
            found: page.found,
            examined: page.examined as u64,
        })
    }

    /// Behind the latest message that is there now; ids are in the order of time, clocks need not be.
    async fn end(&self) -> Result<UnixMillis, ReadError> {
        let last = Scan {
            from: None,
            until: None,
            direction: Direction::LatestFirst,
            limit: 1,
            examined_max: 1,
        };
        let last = self.store.scan(last, Arc::new(|_, _, _| true)).await?;
        let made = last.found.last().map(|loaded| loaded.message.id.made_at());
        let now = wall_clock();
        Ok(made
            .map_or(now, |made| made.max(now))
            .after(Duration::from_millis(1)))
    }

    async fn read(&self, ids: Vec<QueueId>) -> Result<WalkPage, ReadError> {
        let mut page = WalkPage::default();
        for id in ids {
            let mut loaded = match self.store.entry(id).await {
                Ok(Some(loaded)) => loaded,
                // What is damaged is in no list; the store has told, and `verify` names it.
                Ok(None) | Err(ReadError::Damaged(_)) => continue,
                Err(error) => return Err(error),
            };
            let Loaded {
                message,
                recipients,
            } = &mut loaded;
            page.examined += recipients.len() as u64;
            recipients.retain(|rcpt| {
                let destination = self.store.destination_of(rcpt.address.domain());
                (self.wanted)(message, rcpt, &destination)
            });
            if !recipients.is_empty() {
                page.found.push(loaded);
            }
        }
        Ok(page)
    }

    /// No more than are wanted.
    fn cut(&mut self, page: &mut WalkPage) {
        page.found.retain_mut(|loaded| {
            let room = usize::try_from(self.left).unwrap_or(usize::MAX);
            loaded.recipients.truncate(room);
            self.left -= loaded.recipients.len() as u64;
            !loaded.recipients.is_empty()
        });
    }
}
