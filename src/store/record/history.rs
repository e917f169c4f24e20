//! Records of the tree `history`.

use serde::{Deserialize, Serialize};

use crate::mail::{Security, UnixMillis};
use crate::store::{HistoryEvent, HistoryRecord, Note};

use super::recipient::{AnswerV1, answer, answer_record};
use super::security::{SecurityV3, security_record};
use super::{RecordError, decode, seal, unseal};

/// What is kept of each word of a note, in bytes.
const NOTE_WORD_BYTES_MAX: usize = 1_024;

#[derive(Serialize, Deserialize)]
struct HistoryV1 {
    at_ms: u64,
    event: EventV1,
}

#[derive(Serialize, Deserialize)]
enum EventV1 {
    Attempt {
        attempt: u32,
        answer: AnswerV1,
        /// Of the remote in the answer.
        security: Option<SecurityV3>,
        connected: bool,
    },
    Operator {
        action: String,
        by: String,
        reason: String,
    },
}

pub(in crate::store) fn seal_history(key: &[u8], record: &HistoryRecord) -> Vec<u8> {
    let event = match &record.event {
        HistoryEvent::Attempt { attempt, answer } => {
            let remote = answer.remote.as_ref();
            let security = remote.and_then(|remote| remote.security.as_deref());
            EventV1::Attempt {
                attempt: *attempt,
                answer: answer_record(answer),
                security: security.map(security_record),
                connected: remote.is_some_and(|remote| remote.connected),
            }
        }
        HistoryEvent::Operator(Note { action, by, reason }) => EventV1::Operator {
            action: cut(action),
            by: cut(by),
            reason: cut(reason),
        },
    };
    let at_ms = record.at.0;
    seal(key, 1, &HistoryV1 { at_ms, event })
}

pub(in crate::store) fn open_history(
    key: &[u8],
    sealed: &[u8],
) -> Result<HistoryRecord, RecordError> {
    let HistoryV1 { at_ms, event } = match unseal(key, sealed)? {
        (1, content) => decode(content)?,
        (version, _) => return Err(RecordError::Version(version)),
    };
    let event = match event {
        EventV1::Attempt {
            attempt,
            answer: record,
            security,
            connected,
        } => {
            let mut answer = answer(record)?;
            if let Some(remote) = &mut answer.remote {
                remote.connected = connected;
                remote.security = security.map(Security::from).map(Box::new);
            }
            HistoryEvent::Attempt { attempt, answer }
        }
        EventV1::Operator { action, by, reason } => HistoryEvent::Operator(Note {
            action: action.into(),
            by: by.into(),
            reason: reason.into(),
        }),
    };
    let at = UnixMillis(at_ms);
    Ok(HistoryRecord { at, event })
}

/// Whoever makes a note bounds it; this is for the database's sake.
fn cut(word: &str) -> String {
    word[..word.floor_char_boundary(NOTE_WORD_BYTES_MAX)].to_owned()
}
