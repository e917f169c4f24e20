//! What was tried and done for the recipients of a message, oldest first. An attempt's answer stands in
//! the recipient's own record until the next attempt, and is only then written here: mail that arrives
//! at once costs nothing more.

use std::collections::HashMap;

use crate::mail::limits::HISTORY_EVENTS_MAX;
use crate::mail::{Answer, QueueId, Recipient, RecipientNo, UnixMillis};

use super::engine::Trees;
use super::group::Group;
use super::{Note, ReadError, Store, key, read, record};

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
    /// Damaged events are left out: [`Store::verify`] names them.
    pub async fn history(
        &self,
        id: QueueId,
    ) -> Result<Vec<(RecipientNo, HistoryRecord)>, ReadError> {
        read::on_reader(&self.0.engine, move |trees| of_message(trees, id)).await
    }
}

/// See [`Store::history`].
fn of_message(trees: &Trees, id: QueueId) -> Result<Vec<(RecipientNo, HistoryRecord)>, ReadError> {
    let mut whole = Vec::new();
    for rcpt in read::recipients(trees, id)? {
        let mut its_own = Vec::new();
        for entry in trees.history.scan_prefix(key::recipient(id, rcpt.no)) {
            let (key, sealed) = entry.map_err(read::failed)?;
            its_own.extend(record::open_history(&key, &sealed));
        }
        if let (Some(at), Some(answer)) = (rcpt.last_attempt, rcpt.last_answer) {
            let attempt = rcpt.attempts;
            let event = HistoryEvent::Attempt { attempt, answer };
            its_own.push(HistoryRecord { at, event });
        }
        // An answer is written only when the next one comes, behind what operators did meanwhile.
        its_own.sort_by_key(|event| event.at);
        whole.extend(its_own.into_iter().map(|event| (rcpt.no, event)));
    }
    Ok(whole)
}

/// Keys of attempts and of operators' acts end with these.
const OF_ATTEMPT: u8 = 0;
const OF_OPERATOR: u8 = 1;

/// The keys of a recipient's history as a group leaves them, for the recipients for which it writes any.
#[derive(Default)]
pub(super) struct Remembered(HashMap<[u8; 20], Vec<[u8; key::HISTORY_BYTES]>>);

impl Group {
    /// Keeps the answer in `before`, if `after` has another one.
    pub(super) fn remember_attempt(
        &mut self,
        trees: &Trees,
        rcpt: &[u8; 20],
        before: &Recipient,
        after: &Recipient,
    ) -> Result<(), sled::Error> {
        let (Some(at), Some(answer)) = (before.last_attempt, &before.last_answer) else {
            return Ok(());
        };
        if before.attempts == after.attempts && before.last_answer == after.last_answer {
            return Ok(());
        }
        let event = HistoryEvent::Attempt {
            attempt: before.attempts,
            answer: answer.clone(),
        };
        self.remember(trees, rcpt, at, event)
    }

    /// Adds an event behind all others of the recipient; one of these goes, if there are too many.
    pub(super) fn remember(
        &mut self,
        trees: &Trees,
        rcpt: &[u8; 20],
        at: UnixMillis,
        event: HistoryEvent,
    ) -> Result<(), sled::Error> {
        let kind = match event {
            HistoryEvent::Attempt { .. } => OF_ATTEMPT,
            HistoryEvent::Operator(_) => OF_OPERATOR,
        };
        if !self.remembered.0.contains_key(rcpt) {
            let mut keys = Vec::new();
            for key in trees.history.scan_prefix(rcpt).keys() {
                // One that is none of ours goes with the message.
                keys.extend(<[u8; key::HISTORY_BYTES]>::try_from(&key?[..]));
            }
            self.remembered.0.insert(*rcpt, keys);
        }
        let keys = self.remembered.0.entry(*rcpt).or_default();
        while let Some(forgotten) = to_forget(keys) {
            self.history.remove(&keys.remove(forgotten));
        }
        let last = keys.last().and_then(|key| key::parse_history(key));
        let key = key::history(rcpt, last.map_or(0, |(.., no)| no.saturating_add(1)), kind);
        keys.push(key);
        let sealed = record::seal_history(&key, &HistoryRecord { at, event });
        self.history.insert(&key, sealed);
        Ok(())
    }
}

/// Which event is given up for another one: the oldest attempt but the first; if there is none, the
/// oldest act of an operator. `None`: there is room.
fn to_forget(keys: &[[u8; key::HISTORY_BYTES]]) -> Option<usize> {
    if keys.len() < HISTORY_EVENTS_MAX {
        return None;
    }
    let of = |kind: u8| {
        let ends_so = move |(_, key): &(usize, &[u8; key::HISTORY_BYTES])| key.ends_with(&[kind]);
        keys.iter().enumerate().filter(ends_so).map(|(at, _)| at)
    };
    of(OF_ATTEMPT).nth(1).or_else(|| of(OF_OPERATOR).next())
}
