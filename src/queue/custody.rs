//! Who has a message in hand. Attempts share it (a message may go to many destinations at once); the
//! sweeper has it alone. So nobody is told that a recipient expired while a remote is taking it.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::mail::QueueId;

/// The messages in hand; bounded by the attempts at one time. Cheap to clone.
#[derive(Clone, Debug, Default)]
pub(super) struct Custody(Arc<Mutex<HashMap<QueueId, Hold>>>);

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Hold {
    Shared(usize),
    Alone,
}

/// A message in hand, until this is dropped.
#[derive(Debug)]
pub(super) struct InHand {
    custody: Custody,
    id: QueueId,
}

impl Custody {
    /// For an attempt; `None` while the sweeper has the message.
    pub(super) fn share(&self, id: QueueId) -> Option<InHand> {
        let mut held = self.lock();
        match held.entry(id).or_insert(Hold::Shared(0)) {
            Hold::Alone => return None,
            Hold::Shared(count) => *count += 1,
        }
        Some(self.in_hand(id))
    }

    /// For the sweeper; `None` while anybody has the message.
    pub(super) fn alone(&self, id: QueueId) -> Option<InHand> {
        let mut held = self.lock();
        if held.contains_key(&id) {
            return None;
        }
        held.insert(id, Hold::Alone);
        Some(self.in_hand(id))
    }

    fn in_hand(&self, id: QueueId) -> InHand {
        InHand {
            custody: self.clone(),
            id,
        }
    }

    /// The map is right between any two statements, so a panic elsewhere leaves it right.
    fn lock(&self) -> MutexGuard<'_, HashMap<QueueId, Hold>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for InHand {
    fn drop(&mut self) {
        let mut held = self.custody.lock();
        match held.get_mut(&self.id) {
            Some(Hold::Shared(count)) if *count > 1 => *count -= 1,
            _ => {
                held.remove(&self.id);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::mail::UnixMillis;

    #[test]
    fn attempts_share_a_message_and_the_sweeper_has_it_alone() {
        let (custody, id) = (Custody::default(), QueueId::new(UnixMillis(1), 1));
        let first = custody.share(id).expect("free");
        let second = custody.share(id).expect("shared");
        assert!(custody.alone(id).is_none());
        drop(first);
        assert!(custody.alone(id).is_none());
        drop(second);
        let sweeper = custody.alone(id).expect("free again");
        assert!(custody.share(id).is_none() && custody.alone(id).is_none());
        drop(sweeper);
        assert!(custody.share(id).is_some());
        assert!(custody.lock().is_empty());
    }
}
