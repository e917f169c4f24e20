//! How much is in the queue, and how old: kept as it changes, never counted while running.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};

use crate::mail::{StateName, UnixMillis};

use super::arrivals::{ArrivalChange, Arrivals};

/// The size of the queue, retained messages included.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// Messages in the store.
    pub messages: u64,
    /// Their octets, added headers included.
    pub bytes: u64,
    /// Recipients by state, in the order of [`StateName::ALL`].
    pub recipients: [u64; StateName::ALL.len()],
}

/// All that is kept as the queue changes.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Tally {
    pub counts: Counts,
    pub arrivals: Arrivals,
}

/// A change of a [`Tally`] that takes effect with its commit.
#[derive(Clone, Debug, Default)]
pub(super) struct Delta {
    messages: i64,
    bytes: i64,
    recipients: [i64; StateName::ALL.len()],
    arrivals: Vec<ArrivalChange>,
}

impl Counts {
    /// How many recipients are in that state.
    #[must_use]
    pub fn recipients_in(&self, state: StateName) -> u64 {
        self.recipients[state as usize]
    }
}

impl Tally {
    pub(super) fn apply(&mut self, delta: &Delta) {
        let counts = &mut self.counts;
        counts.messages = counts.messages.saturating_add_signed(delta.messages);
        counts.bytes = counts.bytes.saturating_add_signed(delta.bytes);
        for (count, change) in counts.recipients.iter_mut().zip(delta.recipients) {
            *count = count.saturating_add_signed(change);
        }
        for &change in &delta.arrivals {
            self.arrivals.apply(change);
        }
    }

    /// Whether its parts can be about the same queue.
    pub(super) fn agrees(&self) -> bool {
        let waiting = [StateName::Queued, StateName::Deferred, StateName::Held];
        self.arrivals.totals() == waiting.map(|state| self.counts.recipients_in(state))
    }
}

impl Delta {
    pub(super) fn message_added(&mut self, size: u64) {
        self.messages += 1;
        self.bytes = self.bytes.saturating_add(signed(size));
    }

    pub(super) fn message_removed(&mut self, size: u64) {
        self.messages -= 1;
        self.bytes = self.bytes.saturating_sub(signed(size));
    }

    /// Of a message that arrived at `arrived`: what its id says.
    pub(super) fn recipient_added(&mut self, state: StateName, arrived: UnixMillis) {
        self.recipient(state, arrived, 1);
    }

    /// See [`Delta::recipient_added`].
    pub(super) fn recipient_removed(&mut self, state: StateName, arrived: UnixMillis) {
        self.recipient(state, arrived, -1);
    }

    fn recipient(&mut self, state: StateName, arrived: UnixMillis, by: i64) {
        self.recipients[state as usize] += by;
        if let Some(change) = ArrivalChange::new(state, arrived, by) {
            let joined = self.arrivals.last_mut().map(|last| last.joins(&change));
            if joined != Some(true) {
                self.arrivals.push(change);
            }
        }
    }
}

fn signed(size: u64) -> i64 {
    i64::try_from(size).unwrap_or(i64::MAX)
}

/// A [`Tally`] that the committer writes and everybody reads.
pub(super) struct Counters {
    tally: Mutex<Tally>,
    /// Damage was taken out, and nobody knows what it had been counted as.
    doubtful: AtomicBool,
}

impl Counters {
    pub(super) fn new(tally: Tally) -> Counters {
        Counters {
            tally: Mutex::new(tally),
            doubtful: AtomicBool::new(false),
        }
    }

    pub(super) fn apply(&self, delta: &Delta) {
        self.lock().apply(delta);
    }

    pub(super) fn get(&self) -> Counts {
        self.lock().counts
    }

    pub(super) fn oldest(&self, state: StateName) -> Option<UnixMillis> {
        self.lock().arrivals.oldest(state)
    }

    /// From now on the numbers may be a little wrong: the next start is to count anew.
    pub(super) fn doubt(&self) {
        self.doubtful.store(true, Ordering::Relaxed);
    }

    /// A copy of everything, for the next start; `None`: it has to count.
    pub(super) fn tally(&self) -> Option<Tally> {
        let known = !self.doubtful.load(Ordering::Relaxed);
        known.then(|| self.lock().clone())
    }

    fn lock(&self) -> MutexGuard<'_, Tally> {
        self.tally.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
