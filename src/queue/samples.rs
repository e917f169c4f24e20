//! Messages and addresses for the tests of this room.

use crate::mail::{
    Address, Answer, BodyFacts, BodyKind, Client, EnhancedCode, Envelope, Message, QueueId, Reason,
    ReversePath, Spelling, UnixMillis,
};
use crate::store::{Suspension, SuspensionCause};

pub(super) fn address(text: &str) -> Address {
    Address::parse(text.as_bytes(), Spelling::Utf8).expect("a well-formed address")
}

/// A message from `from`; an empty text is the null reverse-path.
pub(super) fn message(arrival: UnixMillis, from: &str) -> Message {
    Message {
        id: QueueId::new(arrival, 1),
        arrival,
        envelope: Envelope {
            reverse_path: match from {
                "" => ReversePath::Null,
                from => ReversePath::Mailbox(address(from)),
            },
            body_kind: BodyKind::SevenBit,
            smtputf8: false,
            dsn: Default::default(),
        },
        client: Client::Local,
        added_header: [].into(),
        body: BodyFacts {
            len: 0,
            crc32: 0,
            has_8bit: false,
            ends_in_line_end: true,
        },
        message_id: None,
        report_of: None,
    }
}

/// What an operator orders.
pub(super) fn ordered_until(until: Option<UnixMillis>) -> Suspension {
    Suspension {
        since: UnixMillis(1_000),
        until,
        cause: SuspensionCause::Order {
            by: "ann".into(),
            reason: "their disk is full".into(),
        },
    }
}

/// What an attempt at a dead host gives.
pub(super) fn trouble() -> Answer {
    Answer {
        remote: None,
        status: EnhancedCode::temporary(4, 1),
        reason: Reason::Connect,
        reply: None,
        detail: "connection refused".into(),
    }
}
