//! What was tried and done for the recipients of a message, oldest first.

use crate::mail::{Answer, QueueId, RecipientNo, UnixMillis};

use super::{Note, ReadError, Store};

/// One thing that happened to a recipient.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HistoryRecord {
    /// When.
    pub at: UnixMillis,
    /// What.
    pub event: HistoryEvent,
}

/// See [`HistoryRecord`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum HistoryEvent {
    /// An attempt ended.
    Attempt {
        /// Which one, counted from 1.
        attempt: u32,
        /// What it gave.
        answer: Answer,
    },
    /// The operator did something.
    Operator(Note),
}

impl Store {
    /// What was tried and done for each recipient of a message, the last attempt included; by
    /// recipient, and for each in order of time. At most [`HISTORY_EVENTS_MAX`] and one for each.
    ///
    /// [`HISTORY_EVENTS_MAX`]: crate::mail::limits::HISTORY_EVENTS_MAX
    pub async fn history(
        &self,
        _id: QueueId,
    ) -> Result<Vec<(RecipientNo, HistoryRecord)>, ReadError> {
        todo!()
    }
}
