//! How much is in the queue: kept as it changes, never counted while running.

use std::sync::{Mutex, PoisonError};

use crate::mail::StateName;

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

/// A change of [`Counts`] that takes effect with its commit.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Delta {
    messages: i64,
    bytes: i64,
    recipients: [i64; StateName::ALL.len()],
}

impl Counts {
    /// How many recipients are in that state.
    #[must_use]
    pub fn recipients_in(&self, state: StateName) -> u64 {
        self.recipients[state as usize]
    }

    pub(super) fn apply(&mut self, delta: &Delta) {
        self.messages = self.messages.saturating_add_signed(delta.messages);
        self.bytes = self.bytes.saturating_add_signed(delta.bytes);
        for (count, change) in self.recipients.iter_mut().zip(delta.recipients) {
            *count = count.saturating_add_signed(change);
        }
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

    pub(super) fn recipient_added(&mut self, state: StateName) {
        self.recipients[state as usize] += 1;
    }

    pub(super) fn recipient_removed(&mut self, state: StateName) {
        self.recipients[state as usize] -= 1;
    }
}

fn signed(size: u64) -> i64 {
    i64::try_from(size).unwrap_or(i64::MAX)
}

/// [`Counts`] that the committer writes and everybody reads.
#[derive(Default)]
pub(super) struct Counters(Mutex<Counts>);

impl Counters {
    pub(super) fn new(counts: Counts) -> Counters {
        Counters(Mutex::new(counts))
    }

    pub(super) fn apply(&self, delta: &Delta) {
        self.0
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .apply(delta);
    }

    pub(super) fn get(&self) -> Counts {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
