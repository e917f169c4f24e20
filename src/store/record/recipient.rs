//! Records of the tree `recipients`.

use std::net::SocketAddr;

use serde::{Deserialize, Serialize};

use crate::mail::{
    Answer, DsnRecipient, EnhancedClass, EnhancedCode, HeldBy, Notify, OriginalRecipient, Reason,
    Recipient, RecipientNo, RecipientState, Remote, Reply, ReplyCode, Security, UnixMillis,
    Waiting,
};

use super::security::{SecurityV3, security_record};
use super::{RecordError, address, decode, decode_beginning, seal, unseal};

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
pub(super) struct AnswerV1 {
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
    /// Since version 4.
    Store,
}

/// What version 2 adds: NOTIFY and ORCPT.
#[derive(Serialize, Deserialize)]
struct RecipientV2 {
    v1: RecipientV1,
    notify: Option<NotifyV2>,
    original: Option<(String, String)>,
}

#[derive(Serialize, Deserialize)]
enum NotifyV2 {
    Never,
    Of {
        success: bool,
        failure: bool,
        delay: bool,
    },
}

/// What version 3 adds: how the connection to the remote of the last answer was secured.
#[derive(Serialize, Deserialize)]
struct RecipientV3 {
    v2: RecipientV2,
    security: Option<SecurityV3>,
}

impl From<RecipientV1> for RecipientV2 {
    /// What version 1 could not say was not said.
    fn from(v1: RecipientV1) -> RecipientV2 {
        RecipientV2 {
            v1,
            notify: None,
            original: None,
        }
    }
}

impl From<RecipientV2> for RecipientV3 {
    /// What version 2 could not say was not said.
    fn from(v2: RecipientV2) -> RecipientV3 {
        RecipientV3 { v2, security: None }
    }
}

/// What version 4 adds: when the sender was told of the delay, and whether the host of the last answer
/// took the connection.
#[derive(Serialize, Deserialize)]
struct RecipientV4 {
    v3: RecipientV3,
    delay_told_ms: Option<u64>,
    connected: bool,
}

/// What version 5 adds: when it was purged, and what it waited for then.
#[derive(Serialize, Deserialize)]
struct RecipientV5 {
    v4: RecipientV4,
    purged: Option<(u64, WaitingV5)>,
}

#[derive(Serialize, Deserialize)]
enum WaitingV5 {
    Queued { due_ms: u64 },
    Deferred { due_ms: u64 },
    HeldByMode,
    HeldByOperator,
}

impl From<RecipientV4> for RecipientV5 {
    /// Before version 5 nothing could be purged.
    fn from(v4: RecipientV4) -> RecipientV5 {
        RecipientV5 { v4, purged: None }
    }
}

impl From<RecipientV3> for RecipientV4 {
    /// A host that is not known to have answered may not have been there.
    fn from(v3: RecipientV3) -> RecipientV4 {
        let connected = v3.v2.v1.last_answer.as_ref().is_some_and(|answer| {
            let kept_silent = matches!(
                answer.reason,
                ReasonV1::Dns | ReasonV1::Connect | ReasonV1::Timeout
            );
            answer.reply.is_some() || !kept_silent
        });
        RecipientV4 {
            v3,
            delay_told_ms: None,
            connected,
        }
    }
}

pub(in crate::store) fn seal_recipient(key: &[u8], recipient: &Recipient) -> Vec<u8> {
    let v1 = RecipientV1 {
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
            RecipientState::Purged { .. } => StateV1::Purged,
        },
        attempts: recipient.attempts,
        first_attempt_ms: recipient.first_attempt.map(|at| at.0),
        last_attempt_ms: recipient.last_attempt.map(|at| at.0),
        last_answer: recipient.last_answer.as_ref().map(answer_record),
    };
    let v2 = RecipientV2 {
        v1,
        notify: recipient.dsn.notify.map(|notify| match notify {
            Notify::Never => NotifyV2::Never,
            Notify::Of {
                success,
                failure,
                delay,
            } => NotifyV2::Of {
                success,
                failure,
                delay,
            },
        }),
        original: recipient.dsn.original.as_ref().map(|original| {
            (
                original.address_type.to_string(),
                original.address.to_string(),
            )
        }),
    };
    let remote = recipient.last_answer.as_ref();
    let remote = remote.and_then(|answer| answer.remote.as_ref());
    let security = remote.and_then(|remote| remote.security.as_deref());
    let v3 = RecipientV3 {
        v2,
        security: security.map(security_record),
    };
    let v4 = RecipientV4 {
        v3,
        delay_told_ms: recipient.delay_told.map(|at| at.0),
        connected: remote.is_some_and(|remote| remote.connected),
    };
    let purged = match recipient.state {
        RecipientState::Purged { at, was } => Some((at.0, waiting_record(was))),
        _ => None,
    };
    seal(key, 5, &RecipientV5 { v4, purged })
}

pub(in crate::store) fn open_recipient(
    key: &[u8],
    no: RecipientNo,
    sealed: &[u8],
) -> Result<Recipient, RecordError> {
    let RecipientV5 { v4, purged } = match unseal(key, sealed)? {
        (1, content) => {
            let v2 = RecipientV2::from(decode::<RecipientV1>(content)?);
            RecipientV4::from(RecipientV3::from(v2)).into()
        }
        (2, content) => {
            let v3 = RecipientV3::from(decode::<RecipientV2>(content)?);
            RecipientV4::from(v3).into()
        }
        (3, content) => RecipientV4::from(decode::<RecipientV3>(content)?).into(),
        (4, content) => decode::<RecipientV4>(content)?.into(),
        (5, content) => decode(content)?,
        (version, _) => return Err(RecordError::Version(version)),
    };
    let RecipientV4 {
        v3: RecipientV3 { v2, security },
        delay_told_ms,
        connected,
    } = v4;
    let RecipientV2 {
        v1: record,
        notify,
        original,
    } = v2;
    let mut last_answer = record.last_answer.map(answer).transpose()?;
    if let Some(remote) = last_answer.as_mut().and_then(|last| last.remote.as_mut()) {
        remote.connected = connected;
        remote.security = security.map(Security::from).map(Box::new);
    }
    Ok(Recipient {
        no,
        address: address(&record.address)?,
        dsn: DsnRecipient {
            notify: notify.map(|notify| match notify {
                NotifyV2::Never => Notify::Never,
                NotifyV2::Of {
                    success,
                    failure,
                    delay,
                } => Notify::Of {
                    success,
                    failure,
                    delay,
                },
            }),
            original: original.map(|(address_type, address)| OriginalRecipient {
                address_type: address_type.into(),
                address: address.into(),
            }),
        },
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
            StateV1::Purged => {
                let (at, was) = purged.ok_or(RecordError::Content("a purge without its time"))?;
                RecipientState::Purged {
                    at: UnixMillis(at),
                    was: waiting(was),
                }
            }
        },
        attempts: record.attempts,
        first_attempt: record.first_attempt_ms.map(UnixMillis),
        last_attempt: record.last_attempt_ms.map(UnixMillis),
        last_answer,
        delay_told: delay_told_ms.map(UnixMillis),
    })
}

/// What every version of a recipient's record begins with.
#[derive(Deserialize)]
struct Beginning<'a> {
    address: &'a str,
    state: StateV1,
}

/// The address of a recipient that is held, as it is written, `None` if it is not; the rest of the
/// record is not decoded.
pub(in crate::store) fn held<'a>(
    key: &[u8],
    sealed: &'a [u8],
) -> Result<Option<&'a str>, RecordError> {
    let (_, content) = unseal(key, sealed)?;
    let beginning: Beginning<'_> = decode_beginning(content)?;
    match beginning.state {
        StateV1::HeldByMode | StateV1::HeldByOperator => Ok(Some(beginning.address)),
        StateV1::Queued { .. }
        | StateV1::Deferred { .. }
        | StateV1::Delivered
        | StateV1::Failed
        | StateV1::Expired
        | StateV1::Purged => Ok(None),
    }
}

fn waiting_record(was: Waiting) -> WaitingV5 {
    match was {
        Waiting::Queued { due } => WaitingV5::Queued { due_ms: due.0 },
        Waiting::Deferred { due } => WaitingV5::Deferred { due_ms: due.0 },
        Waiting::Held { by: HeldBy::Mode } => WaitingV5::HeldByMode,
        Waiting::Held {
            by: HeldBy::Operator,
        } => WaitingV5::HeldByOperator,
    }
}

fn waiting(was: WaitingV5) -> Waiting {
    match was {
        WaitingV5::Queued { due_ms } => Waiting::Queued {
            due: UnixMillis(due_ms),
        },
        WaitingV5::Deferred { due_ms } => Waiting::Deferred {
            due: UnixMillis(due_ms),
        },
        WaitingV5::HeldByMode => Waiting::Held { by: HeldBy::Mode },
        WaitingV5::HeldByOperator => Waiting::Held {
            by: HeldBy::Operator,
        },
    }
}

pub(super) fn answer_record(answer: &Answer) -> AnswerV1 {
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
            Reason::Store => ReasonV1::Store,
        },
        reply: answer.reply.as_ref().map(|reply| ReplyV1 {
            code: reply.code().get(),
            enhanced: reply.enhanced().map(code_record),
            text: reply.text().to_owned(),
        }),
        detail: answer.detail.to_string(),
    }
}

pub(super) fn answer(record: AnswerV1) -> Result<Answer, RecordError> {
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
            connected: false, // stands beside the answer
            security: None,   // so does this
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
            ReasonV1::Store => Reason::Store,
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::mail::{Address, Spelling};

    #[test]
    fn a_record_of_version_2_tells_of_no_security() {
        let v1 = RecipientV1 {
            address: "bob@dest.test".to_owned(),
            state: StateV1::Delivered,
            attempts: 1,
            first_attempt_ms: Some(1),
            last_attempt_ms: Some(1),
            last_answer: Some(AnswerV1 {
                remote: Some(("mx.test".to_owned(), "[::1]:25".parse().unwrap())),
                status: CodeV1(2, 0, 0),
                reason: ReasonV1::None,
                reply: None,
                detail: String::new(),
            }),
        };
        let v2 = RecipientV2 {
            notify: Some(NotifyV2::Never),
            ..v1.into()
        };
        let read = open_recipient(b"k", RecipientNo(0), &seal(b"k", 2, &v2)).unwrap();
        assert_eq!(read.dsn.notify, Some(Notify::Never));
        let remote = read.last_answer.unwrap().remote.unwrap();
        assert_eq!((&*remote.host, remote.security), ("mx.test", None));
    }

    #[test]
    fn a_record_of_version_3_says_nothing_of_delay_and_little_of_the_host() {
        #[track_caller]
        fn check(reason: ReasonV1, reply: Option<ReplyV1>, connected: bool) {
            let v2 = RecipientV2 {
                v1: RecipientV1 {
                    address: "ann@gp.test".into(),
                    state: StateV1::Deferred { due_ms: 5 },
                    attempts: 1,
                    first_attempt_ms: Some(3),
                    last_attempt_ms: Some(4),
                    last_answer: Some(AnswerV1 {
                        remote: Some(("mx.test".into(), "192.0.2.1:25".parse().unwrap())),
                        status: CodeV1(4, 4, 1),
                        reason,
                        reply,
                        detail: "x".into(),
                    }),
                },
                notify: Some(NotifyV2::Never),
                original: None,
            };
            let record = RecipientV3 { v2, security: None };
            let opened = open_recipient(b"k", RecipientNo(1), &seal(b"k", 3, &record)).unwrap();
            let ann = Address::parse(b"ann@gp.test", Spelling::Ascii).unwrap();
            assert_eq!((opened.address, opened.delay_told), (ann, None));
            assert_eq!(opened.dsn.notify, Some(Notify::Never));
            let remote = opened.last_answer.and_then(|answer| answer.remote);
            assert_eq!(remote.map(|remote| remote.connected), Some(connected));
        }
        check(ReasonV1::Connect, None, false);
        check(ReasonV1::Timeout, None, false);
        check(ReasonV1::Tls, None, true);
        let reply = || {
            Some(ReplyV1 {
                code: 421,
                enhanced: None,
                text: "busy".into(),
            })
        };
        check(ReasonV1::Connect, reply(), true);
    }
}
