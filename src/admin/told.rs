//! What was tried and done for a recipient, as the API tells it. Pure.

use crate::store::{HistoryEvent, HistoryRecord, Note};

use super::api;
use super::entry::rfc3339;

pub(super) fn told(record: &HistoryRecord) -> api::HistoryEvent {
    let at = rfc3339(record.at);
    match &record.event {
        HistoryEvent::Attempt { attempt, answer } => api::HistoryEvent {
            at,
            what: "attempt".to_owned(),
            attempt: Some(*attempt),
            remote: answer.remote.as_ref().map(ToString::to_string),
            status: Some(answer.status.to_string()),
            reply: Some(answer.words()),
            by: None,
        },
        HistoryEvent::Operator(Note { action, by, reason }) => api::HistoryEvent {
            at,
            what: action.to_string(),
            attempt: None,
            remote: None,
            status: None,
            reply: (!reason.is_empty()).then(|| reason.to_string()),
            by: Some(by.to_string()),
        },
    }
}

#[cfg(test)]
mod tests {
    use super::super::samples::{self, NOW};
    use super::*;

    #[test]
    fn attempts_and_acts_are_told_each_in_its_fields() {
        let event = HistoryEvent::Attempt {
            attempt: 2,
            answer: samples::trouble(),
        };
        let attempt = told(&HistoryRecord { at: NOW, event });
        assert_eq!((&*attempt.what, attempt.attempt), ("attempt", Some(2)));
        assert_eq!(attempt.status.as_deref(), Some("4.4.1"));
        assert_eq!(attempt.reply.as_deref(), Some("connection refused"));
        assert_eq!(attempt.by, None);

        let note = |reason: &str| Note {
            action: "hold".into(),
            by: "ann".into(),
            reason: reason.into(),
        };
        let act = |reason| {
            told(&HistoryRecord {
                at: NOW,
                event: HistoryEvent::Operator(note(reason)),
            })
        };
        let held = act("phish");
        assert_eq!(
            (&*held.what, held.by.as_deref(), held.attempt),
            ("hold", Some("ann"), None)
        );
        assert_eq!(held.reply.as_deref(), Some("phish"));
        assert_eq!(act("").reply, None);
    }
}
