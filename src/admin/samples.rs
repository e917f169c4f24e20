//! Messages and recipients for the tests of this room.

use crate::mail::{
    Address, Answer, BodyFacts, BodyKind, Client, EnhancedCode, Envelope, Message, QueueId, Reason,
    Recipient, RecipientNo, RecipientState, ReversePath, Spelling, UnixMillis,
};

pub(super) const NOW: UnixMillis = UnixMillis(1_700_000_000_000);

fn address(text: &str) -> Address {
    Address::parse(text.as_bytes(), Spelling::Utf8).expect("a well-formed address")
}

pub(super) fn recipient(to: &str, state: RecipientState) -> Recipient {
    Recipient::new(RecipientNo(0), address(to), state)
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
        added_header: (*b"Received: by us\r\n").into(),
        body: BodyFacts {
            len: 5,
            crc32: 0,
            has_8bit: false,
            ends_in_line_end: true,
        },
        message_id: None,
        report_of: None,
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
