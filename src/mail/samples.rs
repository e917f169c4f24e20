//! Messages, addresses and answers for tests, of this room and those above.

use super::{
    Address, Answer, BodyFacts, BodyKind, Client, EnhancedCode, Envelope, Message, QueueId, Reason,
    Recipient, RecipientNo, RecipientState, ReversePath, Spelling, UnixMillis,
};

pub(crate) fn address(text: &str) -> Address {
    Address::parse(text.as_bytes(), Spelling::Utf8).expect("a well-formed address")
}

/// The first recipient of its message.
pub(crate) fn recipient(to: &str, state: RecipientState) -> Recipient {
    Recipient::new(RecipientNo(0), address(to), state)
}

/// A message of 22 octets from `from`; an empty text is the null reverse-path.
pub(crate) fn message(arrival: UnixMillis, from: &str) -> Message {
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
pub(crate) fn trouble() -> Answer {
    Answer {
        remote: None,
        status: EnhancedCode::temporary(4, 1),
        reason: Reason::Connect,
        reply: None,
        detail: "connection refused".into(),
    }
}
