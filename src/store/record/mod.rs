//! What stands in the trees: records with a version byte before them and a CRC behind them, and how
//! they become the vocabulary's types. A change of a record is a new version, and a step in
//! `migrations/` so that older programs leave the queue alone. Versions that were ever written are
//! read for ever.

mod clean_stop;
mod destination;
mod history;
mod message;
mod recipient;
mod security;

pub(super) use clean_stop::{
    CleanStop, PART_STRETCHES_MAX, open_arrivals, open_clean_stop, seal_arrivals, seal_clean_stop,
};
pub(super) use destination::{open_suspension, seal_suspension};
pub(super) use history::{open_history, seal_history};
pub(super) use message::{Place, StoredMessage, open_message, seal_message};
pub(super) use recipient::{held, open_recipient, seal_recipient};

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use crate::mail::limits::STORE_VALUE_BYTES_MAX;
use crate::mail::{Address, Spelling};

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
fn seal(key: &[u8], version: u8, content: &impl Serialize) -> Vec<u8> {
    let mut record = vec![version];
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

/// Takes the seal off: the version, and the bincode of that version.
fn unseal<'a>(key: &[u8], sealed: &'a [u8]) -> Result<(u8, &'a [u8]), RecordError> {
    let (record, crc) = sealed
        .split_last_chunk::<CRC_BYTES>()
        .ok_or(RecordError::Short)?;
    if checksum(key, record) != u32::from_le_bytes(*crc) {
        return Err(RecordError::Checksum);
    }
    let (version, content) = record.split_first().ok_or(RecordError::Short)?;
    Ok((*version, content))
}

/// All of `content`, no less.
fn decode<T: DeserializeOwned>(content: &[u8]) -> Result<T, RecordError> {
    let (value, read) =
        bincode::serde::decode_from_slice(content, layout()).map_err(|_| RecordError::Decode)?;
    if read == content.len() {
        Ok(value)
    } else {
        Err(RecordError::Decode)
    }
}

/// What stands at the front of `content`, borrowed from it.
fn decode_beginning<'a, T: Deserialize<'a>>(content: &'a [u8]) -> Result<T, RecordError> {
    let beginning = bincode::serde::borrow_decode_from_slice(content, layout());
    let (value, _) = beginning.map_err(|_| RecordError::Decode)?;
    Ok(value)
}

fn checksum(key: &[u8], record: &[u8]) -> u32 {
    let mut crc = crc32fast::Hasher::new();
    crc.update(key);
    crc.update(record);
    crc.finalize()
}

/// An address as a record has it.
pub(super) fn address(text: &str) -> Result<Address, RecordError> {
    Address::parse(text.as_bytes(), Spelling::Utf8).map_err(|_| RecordError::Content("an address"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::mail::{
        Answer, BodyFacts, BodyKind, Channel, Client, DsnEnvelope, DsnRecipient, EnhancedCode,
        Envelope, EnvelopeId, Message, Notify, OriginalRecipient, Protocol, QueueId, Reason,
        Recipient, RecipientNo, RecipientState, Remote, Reply, ReplyCode, Ret, ReversePath,
        Security, TlsFacts, UnixMillis,
    };
    use crate::store::{HistoryEvent, HistoryRecord, Note, Suspension, SuspensionCause};

    fn stored() -> StoredMessage {
        StoredMessage {
            message: Message {
                id: QueueId::new(UnixMillis(1), 2),
                arrival: UnixMillis(3),
                envelope: Envelope {
                    reverse_path: ReversePath::Mailbox(address("\"a b\"@Gp.test").unwrap()),
                    body_kind: BodyKind::EightBitMime,
                    smtputf8: true,
                    dsn: DsnEnvelope {
                        ret: Some(Ret::Headers),
                        envelope_id: EnvelopeId::parse("an id"),
                    },
                },
                client: Client::Smtp {
                    address: "::1".parse().unwrap(),
                    helo: "client".into(),
                    protocol: Protocol::Utf8Smtp,
                    tls: Some(TlsFacts {
                        version: "TLSv1.3".into(),
                        cipher: "X".into(),
                    }),
                    user: Some("ann".into()),
                },
                added_header: b"Received: x\r\n"[..].into(),
                body: BodyFacts {
                    len: 9,
                    crc32: 10,
                    has_8bit: true,
                    ends_in_line_end: false,
                },
                message_id: Some("a@gp.test".into()),
                report_of: Some(QueueId::new(UnixMillis(4), 5)),
            },
            place: Place::File("2026-11-24/x.eml".into()),
            recipients: 1,
        }
    }

    fn recipient() -> Recipient {
        Recipient {
            dsn: DsnRecipient {
                notify: Some(Notify::Of {
                    success: true,
                    failure: false,
                    delay: true,
                }),
                original: Some(OriginalRecipient {
                    address_type: "rfc822".into(),
                    address: "old@dest.test".into(),
                }),
            },
            attempts: 2,
            first_attempt: Some(UnixMillis(1)),
            last_attempt: Some(UnixMillis(2)),
            last_answer: Some(Answer {
                remote: Some(Remote {
                    host: "mx.test".into(),
                    address: "[::1]:25".parse().unwrap(),
                    security: Some(Box::new(Security {
                        rule: "dest.test=verify".into(),
                        channel: Channel::Verified(TlsFacts {
                            version: "TLSv1.3".into(),
                            cipher: "X".into(),
                        }),
                    })),
                    connected: true,
                }),
                status: EnhancedCode::temporary(2, 0),
                reason: Reason::Greylist,
                reply: Some(Reply::from_lines(
                    ReplyCode::new(451).unwrap(),
                    [&b"4.2.0 later"[..]],
                )),
                detail: "x".into(),
            }),
            delay_told: Some(UnixMillis(7)),
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
            Ok(rcpt.clone())
        );
        let suspension = Suspension {
            since: UnixMillis(1),
            until: Some(UnixMillis(2)),
            cause: SuspensionCause::Trouble {
                times: 3,
                answer: rcpt.last_answer.clone().unwrap(),
            },
        };
        let ordered = |until| Suspension {
            since: UnixMillis(1),
            until,
            cause: SuspensionCause::Order {
                by: "root (sudo from ann)".into(),
                reason: "their disk is full".into(),
            },
        };
        for suspension in [suspension, ordered(None), ordered(Some(UnixMillis(2)))] {
            assert_eq!(
                open_suspension(b"k", &seal_suspension(b"k", &suspension)),
                Ok(suspension)
            );
        }
        let note = Note {
            action: "hold".into(),
            by: "root".into(),
            reason: "x".into(),
        };
        let answer = rcpt.last_answer.unwrap();
        for event in [
            HistoryEvent::Attempt { attempt: 2, answer },
            HistoryEvent::Operator(note),
        ] {
            let at = UnixMillis(5);
            let record = HistoryRecord { at, event };
            let sealed = seal_history(b"k", &record);
            assert_eq!(open_history(b"k", &sealed), Ok(record));
        }
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
