//! What stands in the trees: records with a version byte before them and a CRC behind them, and how
//! they become the vocabulary's types. A change of a record is a new version and, where old ones
//! must be rewritten, a step in `migrations/`.

use std::net::{IpAddr, SocketAddr};

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use crate::mail::limits::STORE_VALUE_BYTES_MAX;
use crate::mail::{
    Address, Answer, BodyFacts, BodyKind, Client, EnhancedClass, EnhancedCode, Envelope, HeldBy,
    Message, Protocol, QueueId, Reason, Recipient, RecipientNo, RecipientState, Remote, Reply,
    ReplyCode, ReversePath, Spelling, UnixMillis,
};

/// A record can't be read: damaged, or of a version that this program does not know.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum RecordError {
    #[error("record too short")]
    Short,
    #[error("checksum does not match")]
    Checksum,
    #[error("unknown record version {0}")]
    Version(u8),
    #[error("record does not decode")]
    Decode,
    #[error("record holds {0}, which is not possible")]
    Content(&'static str),
}

const VERSION: u8 = 1;
const CRC_BYTES: usize = 4;

/// Bincode with a bound on what a length in damaged bytes could make us allocate.
fn layout() -> bincode::config::Configuration<
    bincode::config::LittleEndian,
    bincode::config::Varint,
    bincode::config::Limit<STORE_VALUE_BYTES_MAX>,
> {
    bincode::config::standard().with_limit::<STORE_VALUE_BYTES_MAX>()
}

/// Version byte, bincode, CRC-32 over key and both.
///
/// # Panics
/// If the record is larger than a value may be: every part of it is bounded before it comes here.
fn seal(key: &[u8], content: &impl Serialize) -> Vec<u8> {
    let mut record = vec![VERSION];
    bincode::serde::encode_into_std_write(content, &mut record, layout())
        .expect("bounded records encode into memory");
    assert!(
        record.len() + CRC_BYTES <= STORE_VALUE_BYTES_MAX,
        "record of {} bytes",
        record.len()
    );
    record.extend_from_slice(&checksum(key, &record).to_le_bytes());
    record
}

fn open<T: DeserializeOwned>(key: &[u8], sealed: &[u8]) -> Result<T, RecordError> {
    let (record, crc) = sealed
        .split_last_chunk::<CRC_BYTES>()
        .ok_or(RecordError::Short)?;
    if checksum(key, record) != u32::from_le_bytes(*crc) {
        return Err(RecordError::Checksum);
    }
    let (version, content) = record.split_first().ok_or(RecordError::Short)?;
    if *version != VERSION {
        return Err(RecordError::Version(*version));
    }
    let (value, read) =
        bincode::serde::decode_from_slice(content, layout()).map_err(|_| RecordError::Decode)?;
    if read == content.len() {
        Ok(value)
    } else {
        Err(RecordError::Decode)
    }
}

fn checksum(key: &[u8], record: &[u8]) -> u32 {
    let mut crc = crc32fast::Hasher::new();
    crc.update(key);
    crc.update(record);
    crc.finalize()
}

/// Where the octets of a message are.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) enum Place {
    /// In the tree `bodies`.
    Inline,
    /// In this file below `bodies/`.
    File(String),
}

/// A message as the store knows it: the vocabulary's message and what only the store needs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct StoredMessage {
    pub message: Message,
    pub place: Place,
    pub recipients: u32,
}

#[derive(Serialize, Deserialize)]
struct MessageV1 {
    arrival_ms: u64,
    reverse_path: Option<String>,
    eight_bit: bool,
    smtputf8: bool,
    client: ClientV1,
    added_header: Vec<u8>,
    place: Place,
    body_len: u64,
    body_crc32: u32,
    body_has_8bit: bool,
    report_of: Option<[u8; 16]>,
    recipients: u32,
}

#[derive(Serialize, Deserialize)]
enum ClientV1 {
    Smtp {
        address: IpAddr,
        helo: String,
        protocol: ProtocolV1,
    },
    Local,
}

#[derive(Serialize, Deserialize)]
enum ProtocolV1 {
    Smtp,
    Esmtp,
    Utf8Smtp,
}

pub(super) fn seal_message(stored: &StoredMessage) -> Vec<u8> {
    let Message {
        id,
        arrival,
        envelope,
        client,
        added_header,
        body,
        report_of,
    } = &stored.message;
    let record = MessageV1 {
        arrival_ms: arrival.0,
        reverse_path: envelope.reverse_path.mailbox().map(Address::to_string),
        eight_bit: envelope.body_kind == BodyKind::EightBitMime,
        smtputf8: envelope.smtputf8,
        client: match client {
            Client::Smtp {
                address,
                helo,
                protocol,
            } => ClientV1::Smtp {
                address: *address,
                helo: helo.to_string(),
                protocol: match protocol {
                    Protocol::Smtp => ProtocolV1::Smtp,
                    Protocol::Esmtp => ProtocolV1::Esmtp,
                    Protocol::Utf8Smtp => ProtocolV1::Utf8Smtp,
                },
            },
            Client::Local => ClientV1::Local,
        },
        added_header: added_header.to_vec(),
        place: stored.place.clone(),
        body_len: body.len,
        body_crc32: body.crc32,
        body_has_8bit: body.has_8bit,
        report_of: report_of.map(QueueId::to_bytes),
        recipients: stored.recipients,
    };
    seal(&id.to_bytes(), &record)
}

pub(super) fn open_message(id: QueueId, sealed: &[u8]) -> Result<StoredMessage, RecordError> {
    let record: MessageV1 = open(&id.to_bytes(), sealed)?;
    let reverse_path = match record.reverse_path {
        None => ReversePath::Null,
        Some(text) => ReversePath::Mailbox(address(&text)?),
    };
    let message = Message {
        id,
        arrival: UnixMillis(record.arrival_ms),
        envelope: Envelope {
            reverse_path,
            body_kind: if record.eight_bit {
                BodyKind::EightBitMime
            } else {
                BodyKind::SevenBit
            },
            smtputf8: record.smtputf8,
        },
        client: match record.client {
            ClientV1::Smtp {
                address,
                helo,
                protocol,
            } => Client::Smtp {
                address,
                helo: helo.into(),
                protocol: match protocol {
                    ProtocolV1::Smtp => Protocol::Smtp,
                    ProtocolV1::Esmtp => Protocol::Esmtp,
                    ProtocolV1::Utf8Smtp => Protocol::Utf8Smtp,
                },
            },
            ClientV1::Local => Client::Local,
        },
        added_header: record.added_header.into(),
        body: BodyFacts {
            len: record.body_len,
            crc32: record.body_crc32,
            has_8bit: record.body_has_8bit,
        },
        report_of: record.report_of.map(QueueId::from_bytes),
    };
    Ok(StoredMessage {
        message,
        place: record.place,
        recipients: record.recipients,
    })
}

#[derive(Serialize, Deserialize)]
struct RecipientV1 {
    address: String,
    state: StateV1,
    attempts: u32,
    first_attempt_ms: Option<u64>,
    last_attempt_ms: Option<u64>,
    last_answer: Option<AnswerV1>,
}

#[derive(Serialize, Deserialize)]
enum StateV1 {
    Queued { due_ms: u64 },
    Deferred { due_ms: u64 },
    HeldByMode,
    HeldByOperator,
    Delivered,
    Failed,
    Expired,
    Purged,
}

#[derive(Serialize, Deserialize)]
struct AnswerV1 {
    remote: Option<(String, SocketAddr)>,
    status: CodeV1,
    reason: ReasonV1,
    reply: Option<ReplyV1>,
    detail: String,
}

#[derive(Serialize, Deserialize)]
struct CodeV1(u8, u16, u16);

#[derive(Serialize, Deserialize)]
struct ReplyV1 {
    code: u16,
    enhanced: Option<CodeV1>,
    text: String,
}

#[derive(Serialize, Deserialize)]
enum ReasonV1 {
    None,
    Dns,
    Connect,
    Tls,
    Timeout,
    Greylist,
    Policy,
    Remote,
    Protocol,
}

pub(super) fn seal_recipient(key: &[u8], recipient: &Recipient) -> Vec<u8> {
    let record = RecipientV1 {
        address: recipient.address.to_string(),
        state: match recipient.state {
            RecipientState::Queued { due } => StateV1::Queued { due_ms: due.0 },
            RecipientState::Deferred { due } => StateV1::Deferred { due_ms: due.0 },
            RecipientState::Held { by: HeldBy::Mode } => StateV1::HeldByMode,
            RecipientState::Held {
                by: HeldBy::Operator,
            } => StateV1::HeldByOperator,
            RecipientState::Delivered => StateV1::Delivered,
            RecipientState::Failed => StateV1::Failed,
            RecipientState::Expired => StateV1::Expired,
            RecipientState::Purged => StateV1::Purged,
        },
        attempts: recipient.attempts,
        first_attempt_ms: recipient.first_attempt.map(|at| at.0),
        last_attempt_ms: recipient.last_attempt.map(|at| at.0),
        last_answer: recipient.last_answer.as_ref().map(answer_record),
    };
    seal(key, &record)
}

pub(super) fn open_recipient(
    key: &[u8],
    no: RecipientNo,
    sealed: &[u8],
) -> Result<Recipient, RecordError> {
    let record: RecipientV1 = open(key, sealed)?;
    Ok(Recipient {
        no,
        address: address(&record.address)?,
        state: match record.state {
            StateV1::Queued { due_ms } => RecipientState::Queued {
                due: UnixMillis(due_ms),
            },
            StateV1::Deferred { due_ms } => RecipientState::Deferred {
                due: UnixMillis(due_ms),
            },
            StateV1::HeldByMode => RecipientState::Held { by: HeldBy::Mode },
            StateV1::HeldByOperator => RecipientState::Held {
                by: HeldBy::Operator,
            },
            StateV1::Delivered => RecipientState::Delivered,
            StateV1::Failed => RecipientState::Failed,
            StateV1::Expired => RecipientState::Expired,
            StateV1::Purged => RecipientState::Purged,
        },
        attempts: record.attempts,
        first_attempt: record.first_attempt_ms.map(UnixMillis),
        last_attempt: record.last_attempt_ms.map(UnixMillis),
        last_answer: record.last_answer.map(answer).transpose()?,
    })
}

fn answer_record(answer: &Answer) -> AnswerV1 {
    AnswerV1 {
        remote: answer
            .remote
            .as_ref()
            .map(|remote| (remote.host.to_string(), remote.address)),
        status: code_record(answer.status),
        reason: match answer.reason {
            Reason::None => ReasonV1::None,
            Reason::Dns => ReasonV1::Dns,
            Reason::Connect => ReasonV1::Connect,
            Reason::Tls => ReasonV1::Tls,
            Reason::Timeout => ReasonV1::Timeout,
            Reason::Greylist => ReasonV1::Greylist,
            Reason::Policy => ReasonV1::Policy,
            Reason::Remote => ReasonV1::Remote,
            Reason::Protocol => ReasonV1::Protocol,
        },
        reply: answer.reply.as_ref().map(|reply| ReplyV1 {
            code: reply.code().get(),
            enhanced: reply.enhanced().map(code_record),
            text: reply.text().to_owned(),
        }),
        detail: answer.detail.to_string(),
    }
}

fn answer(record: AnswerV1) -> Result<Answer, RecordError> {
    let reply = match record.reply {
        None => None,
        Some(ReplyV1 {
            code: number,
            enhanced,
            text,
        }) => {
            let number = ReplyCode::new(number).ok_or(RecordError::Content("a reply code"))?;
            let enhanced = enhanced.map(code).transpose()?;
            Some(Reply::from_parts(number, enhanced, &text))
        }
    };
    Ok(Answer {
        remote: record.remote.map(|(host, address)| Remote {
            host: host.into(),
            address,
        }),
        status: code(record.status)?,
        reason: match record.reason {
            ReasonV1::None => Reason::None,
            ReasonV1::Dns => Reason::Dns,
            ReasonV1::Connect => Reason::Connect,
            ReasonV1::Tls => Reason::Tls,
            ReasonV1::Timeout => Reason::Timeout,
            ReasonV1::Greylist => Reason::Greylist,
            ReasonV1::Policy => Reason::Policy,
            ReasonV1::Remote => Reason::Remote,
            ReasonV1::Protocol => Reason::Protocol,
        },
        reply,
        detail: record.detail.into(),
    })
}

fn code_record(code: EnhancedCode) -> CodeV1 {
    CodeV1(code.class.digit(), code.subject, code.detail)
}

fn code(CodeV1(class, subject, detail): CodeV1) -> Result<EnhancedCode, RecordError> {
    let class = match class {
        2 => EnhancedClass::Success,
        4 => EnhancedClass::Temporary,
        5 => EnhancedClass::Permanent,
        _ => return Err(RecordError::Content("a status class")),
    };
    Ok(EnhancedCode {
        class,
        subject,
        detail,
    })
}

fn address(text: &str) -> Result<Address, RecordError> {
    Address::parse(text.as_bytes(), Spelling::Utf8).map_err(|_| RecordError::Content("an address"))
}

/// What a clean stop leaves in `meta`, so that the next start need not scan.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct CleanStop {
    pub at_ms: u64,
    pub routing_fingerprint: String,
    pub messages: u64,
    pub bytes: u64,
    /// In the order of `StateName::ALL`.
    pub recipients: [u64; 7],
}

pub(super) fn seal_clean_stop(stop: &CleanStop) -> Vec<u8> {
    seal(b"clean_stop", stop)
}

pub(super) fn open_clean_stop(sealed: &[u8]) -> Result<CleanStop, RecordError> {
    open(b"clean_stop", sealed)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn stored() -> StoredMessage {
        StoredMessage {
            message: Message {
                id: QueueId::new(UnixMillis(1), 2),
                arrival: UnixMillis(3),
                envelope: Envelope {
                    reverse_path: ReversePath::Mailbox(address("\"a b\"@Gp.test").unwrap()),
                    body_kind: BodyKind::EightBitMime,
                    smtputf8: true,
                },
                client: Client::Smtp {
                    address: "::1".parse().unwrap(),
                    helo: "client".into(),
                    protocol: Protocol::Utf8Smtp,
                },
                added_header: b"Received: x\r\n"[..].into(),
                body: BodyFacts {
                    len: 9,
                    crc32: 10,
                    has_8bit: true,
                },
                report_of: Some(QueueId::new(UnixMillis(4), 5)),
            },
            place: Place::File("2026-11-24/x.eml".into()),
            recipients: 1,
        }
    }

    fn recipient() -> Recipient {
        Recipient {
            attempts: 2,
            first_attempt: Some(UnixMillis(1)),
            last_attempt: Some(UnixMillis(2)),
            last_answer: Some(Answer {
                remote: Some(Remote {
                    host: "mx.test".into(),
                    address: "[::1]:25".parse().unwrap(),
                }),
                status: EnhancedCode::temporary(2, 0),
                reason: Reason::Greylist,
                reply: Some(Reply::from_lines(
                    ReplyCode::new(451).unwrap(),
                    [&b"4.2.0 later"[..]],
                )),
                detail: "x".into(),
            }),
            ..Recipient::new(
                RecipientNo(0),
                address("ü@bücher.test").unwrap(),
                RecipientState::Deferred { due: UnixMillis(9) },
            )
        }
    }

    #[test]
    fn records_come_back_as_they_went() {
        let message = stored();
        assert_eq!(
            open_message(message.message.id, &seal_message(&message)),
            Ok(message)
        );
        let rcpt = recipient();
        assert_eq!(
            open_recipient(b"k", RecipientNo(0), &seal_recipient(b"k", &rcpt)),
            Ok(rcpt)
        );
    }

    #[test]
    fn every_flipped_bit_and_every_cut_is_noticed() {
        let sealed = seal_recipient(b"k", &recipient());
        for at in 0..sealed.len() * 8 {
            let mut flipped = sealed.clone();
            flipped[at / 8] ^= 1 << (at % 8);
            assert_eq!(
                open_recipient(b"k", RecipientNo(0), &flipped),
                Err(RecordError::Checksum)
            );
        }
        for len in 0..sealed.len() {
            assert!(open_recipient(b"k", RecipientNo(0), &sealed[..len]).is_err());
        }
    }

    #[test]
    fn a_record_under_another_key_and_of_another_version_is_refused() {
        let sealed = seal_recipient(b"k", &recipient());
        assert_eq!(
            open_recipient(b"j", RecipientNo(0), &sealed),
            Err(RecordError::Checksum)
        );
        let mut newer = sealed[..sealed.len() - CRC_BYTES].to_vec();
        newer[0] = 9;
        newer.extend_from_slice(&checksum(b"k", &newer).to_le_bytes());
        assert_eq!(
            open_recipient(b"k", RecipientNo(0), &newer),
            Err(RecordError::Version(9))
        );
    }
}
