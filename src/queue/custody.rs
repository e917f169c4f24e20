//! Who has recipients in hand. An attempt has its recipients for itself, whatever the operator does
//! with them meanwhile, so that none is ever attempted twice at one time; a message may still go to
//! many destinations at once. The sweeper has whole messages for itself, so that nobody is told that
//! a recipient expired while a remote is taking it.
//!
//! Who is refused a recipient waits for no lock: it says to whom that is to be told when the
//! recipient is free again ([`Custody::tell_when_free`]), and goes on.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::Notify;

use crate::mail::{QueueId, RecipientNo};
use crate::store::{DueItem, Note};

use super::Action;

/// The recipients in hand; bounded by the attempts at one time. Cheap to clone.
#[derive(Clone, Debug, Default)]
pub(super) struct Custody(Arc<Shared>);

#[derive(Debug, Default)]
struct Shared {
    held: Mutex<Held>,
    freed: Notify,
}

#[derive(Debug, Default)]
struct Held {
    messages: HashMap<QueueId, Hold>,
    /// Recipients in attempts, of all messages.
    in_attempt: usize,
    /// What was refused and is free again.
    freed: Vec<DueItem>,
}

#[derive(Debug)]
enum Hold {
    Recipients(BTreeMap<RecipientNo, Hand>),
    Alone(BTreeSet<DueItem>),
}

#[derive(Debug)]
struct Hand {
    whose: Whose,
    /// What the operator ordered last since it was taken.
    order: Option<Order>,
    /// Who is told when it is free.
    refused: BTreeSet<DueItem>,
}

/// Who has recipients in hand.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Whose {
    Attempt,
    Operator,
}

/// What the operator wants of a recipient.
#[derive(Clone, Debug)]
pub(super) struct Order {
    pub(super) action: Action,
    pub(super) note: Arc<Note>,
}

/// What the operator got of the recipients that it wants for itself.
#[derive(Debug)]
pub(super) struct Taken {
    /// These; `None`: nobody.
    pub(super) in_hand: Option<InHand>,
    /// In an attempt, which will carry out the order when it ends.
    pub(super) in_attempt: Vec<RecipientNo>,
}

/// Recipients of one message in hand, or all of it, until this is dropped.
#[derive(Debug)]
pub(super) struct InHand {
    custody: Custody,
    id: QueueId,
    what: What,
}

#[derive(Debug)]
enum What {
    Recipients(Vec<RecipientNo>),
    TheMessage,
    /// They are given back.
    Nothing,
}

impl Custody {
    /// Those of the recipients that nobody has, for an attempt; `None`: not one.
    pub(super) fn for_attempt(&self, id: QueueId, nos: &[RecipientNo]) -> Option<InHand> {
        let mut held = self.lock();
        let free = held.take_free(id, nos, Whose::Attempt);
        held.in_attempt += free.len();
        (!free.is_empty()).then(|| self.in_hand(id, What::Recipients(free)))
    }

    /// Those of the recipients that nobody has, for the operator, who leaves its order with those
    /// that are being attempted. Others are in the hands of the sweeper or of another operator.
    pub(super) fn for_operator(&self, id: QueueId, nos: &[RecipientNo], order: &Order) -> Taken {
        let mut held = self.lock();
        let in_attempt = |no: &RecipientNo| held.order(id, *no, order);
        let in_attempt: Vec<RecipientNo> = nos.iter().copied().filter(in_attempt).collect();
        let free = held.take_free(id, nos, Whose::Operator);
        Taken {
            in_hand: (!free.is_empty()).then(|| self.in_hand(id, What::Recipients(free))),
            in_attempt,
        }
    }

    /// A whole message, for the sweeper; `None` while anybody has something of it.
    pub(super) fn alone(&self, id: QueueId) -> Option<InHand> {
        let mut held = self.lock();
        if held.messages.contains_key(&id) {
            return None;
        }
        held.messages.insert(id, Hold::Alone(BTreeSet::new()));
        Some(self.in_hand(id, What::TheMessage))
    }

    /// The operator changes a recipient. Whether it is being attempted, so that the attempt will hear
    /// of it.
    pub(super) fn order(&self, id: QueueId, no: RecipientNo, order: &Order) -> bool {
        self.lock().order(id, no, order)
    }

    /// Whether a recipient is being attempted.
    pub(super) fn is_in_attempt(&self, id: QueueId, no: RecipientNo) -> bool {
        let mut held = self.lock();
        held.attempted(id, no).is_some()
    }

    /// Recipients that are being attempted.
    pub(super) fn in_attempt(&self) -> usize {
        self.lock().in_attempt
    }

    /// Whether somebody has the recipient of this item; when it is free, [`Custody::take_freed`] has
    /// the item.
    pub(super) fn tell_when_free(&self, item: DueItem) -> bool {
        let mut held = self.lock();
        match held.messages.get_mut(&item.id) {
            None => false,
            Some(Hold::Alone(refused)) => {
                refused.insert(item);
                true
            }
            Some(Hold::Recipients(hands)) => match hands.get_mut(&item.no) {
                None => false,
                Some(hand) => {
                    hand.refused.insert(item);
                    true
                }
            },
        }
    }

    /// Ends when there is something for [`Custody::take_freed`]. Cancel-safe.
    pub(super) async fn freed(&self) {
        self.0.freed.notified().await;
    }

    /// What was refused and is free again.
    pub(super) fn take_freed(&self) -> Vec<DueItem> {
        std::mem::take(&mut self.lock().freed)
    }

    fn in_hand(&self, id: QueueId, what: What) -> InHand {
        InHand {
            custody: self.clone(),
            id,
            what,
        }
    }

    /// The map is right between any two statements, so a panic elsewhere leaves it right.
    fn lock(&self) -> MutexGuard<'_, Held> {
        self.0.held.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Held {
    fn take_free(&mut self, id: QueueId, nos: &[RecipientNo], whose: Whose) -> Vec<RecipientNo> {
        let hold = self.messages.entry(id);
        let Hold::Recipients(hands) = hold.or_insert_with(|| Hold::Recipients(BTreeMap::new()))
        else {
            return Vec::new();
        };
        let mut free = Vec::with_capacity(nos.len());
        for &no in nos {
            hands.entry(no).or_insert_with(|| {
                free.push(no);
                Hand {
                    whose,
                    order: None,
                    refused: BTreeSet::new(),
                }
            });
        }
        if hands.is_empty() {
            self.messages.remove(&id);
        }
        free
    }

    fn attempted(&mut self, id: QueueId, no: RecipientNo) -> Option<&mut Hand> {
        match self.messages.get_mut(&id)? {
            Hold::Alone(_) => None,
            Hold::Recipients(hands) => {
                let hand = hands.get_mut(&no)?;
                (hand.whose == Whose::Attempt).then_some(hand)
            }
        }
    }

    fn order(&mut self, id: QueueId, no: RecipientNo, order: &Order) -> bool {
        match self.attempted(id, no) {
            None => false,
            Some(hand) => {
                hand.order = Some(order.clone());
                true
            }
        }
    }

    /// Says whether somebody waits for what is free now.
    fn give_back(&mut self, id: QueueId, what: &What) -> bool {
        let mut freed = BTreeSet::new();
        match (what, self.messages.get_mut(&id)) {
            (What::Nothing, _) | (_, None) => {}
            (What::TheMessage, Some(hold)) => {
                if let Hold::Alone(refused) = hold {
                    freed.append(refused);
                }
                self.messages.remove(&id);
            }
            (What::Recipients(_), Some(Hold::Alone(_))) => {}
            (What::Recipients(nos), Some(Hold::Recipients(hands))) => {
                for no in nos {
                    if let Some(mut hand) = hands.remove(no) {
                        self.in_attempt -= usize::from(hand.whose == Whose::Attempt);
                        freed.append(&mut hand.refused);
                    }
                }
                if hands.is_empty() {
                    self.messages.remove(&id);
                }
            }
        }
        self.freed.extend(freed);
        !self.freed.is_empty()
    }
}

impl InHand {
    /// Which recipients, in the order in which they were asked for; none if it is a whole message.
    pub(super) fn nos(&self) -> &[RecipientNo] {
        match &self.what {
            What::Recipients(nos) => nos,
            What::TheMessage | What::Nothing => &[],
        }
    }

    /// What the operator ordered about one of them meanwhile.
    pub(super) fn ordered(&self, no: RecipientNo) -> Option<Action> {
        let mut held = self.custody.lock();
        let order = held.attempted(self.id, no)?.order.as_ref()?;
        Some(order.action)
    }

    /// Gives them back, unless the operator wants some of them bounced: these are told, each once.
    pub(super) fn give_back_unless_bounced(&mut self) -> Vec<(RecipientNo, Arc<Note>)> {
        let mut held = self.custody.lock();
        let mut wanted = Vec::new();
        for &no in self.nos() {
            if let Some(hand) = held.attempted(self.id, no)
                && let Some(order) = hand.order.take_if(|order| order.action == Action::Bounce)
            {
                wanted.push((no, order.note));
            }
        }
        if wanted.is_empty() {
            // under the same lock: no order slips in between
            let awaited = held.give_back(self.id, &self.what);
            drop(held);
            self.what = What::Nothing;
            if awaited {
                self.custody.0.freed.notify_one();
            }
        }
        wanted
    }

    fn give_back(&mut self) {
        let what = std::mem::replace(&mut self.what, What::Nothing);
        let awaited = self.custody.lock().give_back(self.id, &what);
        if awaited {
            self.custody.0.freed.notify_one();
        }
    }
}

impl Drop for InHand {
    fn drop(&mut self) {
        self.give_back();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::mail::{Destination, UnixMillis};

    const A: RecipientNo = RecipientNo(0);
    const B: RecipientNo = RecipientNo(1);

    fn id() -> QueueId {
        QueueId::new(UnixMillis(1), 1)
    }

    fn item(no: RecipientNo, due: u64) -> DueItem {
        DueItem {
            destination: Destination::from_stored("one.test"),
            due: UnixMillis(due),
            id: id(),
            no,
        }
    }

    fn order(action: Action) -> Order {
        let note = Arc::new(Note {
            action: action.as_str().into(),
            by: "ann".into(),
            reason: "".into(),
        });
        Order { action, note }
    }

    #[track_caller]
    fn is_over(custody: &Custody) {
        let held = custody.lock();
        assert!(held.messages.is_empty() && held.in_attempt == 0, "{held:?}");
    }

    #[test]
    fn a_recipient_is_in_one_attempt_and_its_message_in_many() {
        let custody = Custody::default();
        let first = custody.for_attempt(id(), &[A]).expect("free");
        let second = custody.for_attempt(id(), &[A, B]).expect("one is free");
        assert_eq!((first.nos(), second.nos()), (&[A][..], &[B][..]));
        assert!(custody.for_attempt(id(), &[A, B]).is_none());
        assert_eq!(custody.in_attempt(), 2);
        assert!(custody.is_in_attempt(id(), A));
        drop(first);
        assert!(!custody.is_in_attempt(id(), A) && custody.is_in_attempt(id(), B));
        assert!(custody.for_attempt(id(), &[A]).is_some());
        drop(second);
        is_over(&custody);
    }

    #[test]
    fn the_sweeper_has_a_message_alone() {
        let custody = Custody::default();
        let attempt = custody.for_attempt(id(), &[B]);
        assert!(custody.alone(id()).is_none());
        drop(attempt);
        let sweeper = custody.alone(id()).expect("free again");
        assert!(custody.for_attempt(id(), &[A]).is_none() && custody.alone(id()).is_none());
        let Taken {
            in_hand,
            in_attempt,
        } = custody.for_operator(id(), &[A], &order(Action::Bounce));
        assert!(in_hand.is_none() && in_attempt.is_empty());
        drop(sweeper);
        is_over(&custody);
    }

    #[test]
    fn who_is_refused_is_told_when_it_is_free_and_by_nobody_else() {
        let custody = Custody::default();
        assert!(!custody.tell_when_free(item(A, 7)), "nobody has it");
        let attempt = custody.for_attempt(id(), &[A]).expect("free");
        let other = custody.for_attempt(id(), &[B]).expect("free");
        for due in [7, 8, 7] {
            assert!(custody.tell_when_free(item(A, due)));
        }
        drop(other);
        assert!(custody.take_freed().is_empty());
        drop(attempt);
        assert_eq!(custody.take_freed(), [item(A, 7), item(A, 8)]);
        let sweeper = custody.alone(id()).expect("free");
        assert!(custody.tell_when_free(item(B, 9)));
        drop(sweeper);
        assert_eq!(custody.take_freed(), [item(B, 9)]);
        is_over(&custody);
    }

    #[test]
    fn an_attempt_hears_of_the_last_order_and_carries_out_a_bounce_before_it_lets_go() {
        let custody = Custody::default();
        assert!(!custody.order(id(), A, &order(Action::Hold)), "no attempt");
        let mut attempt = custody.for_attempt(id(), &[A]).expect("free");
        for action in [Action::Hold, Action::Purge] {
            assert!(custody.order(id(), A, &order(action)));
            assert_eq!(attempt.ordered(A), Some(action));
        }
        let taken = custody.for_operator(id(), &[A, B], &order(Action::Bounce));
        assert_eq!(taken.in_attempt, [A]);
        assert_eq!(taken.in_hand.as_ref().map(InHand::nos), Some(&[B][..]));
        drop(taken);
        let wanted = attempt.give_back_unless_bounced();
        assert_eq!(wanted.len(), 1);
        assert!(custody.is_in_attempt(id(), A), "it is not done yet");
        assert!(attempt.give_back_unless_bounced().is_empty());
        is_over(&custody);
        let sweeper = custody.alone(id()).expect("free");
        drop(attempt);
        assert!(
            custody.alone(id()).is_none(),
            "what is given back is not given back again"
        );
        drop(sweeper);
        is_over(&custody);
    }
}
