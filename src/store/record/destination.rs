//! Records of the tree `destinations`.

use serde::{Deserialize, Serialize};

use crate::mail::{Security, UnixMillis};
use crate::store::{Suspension, SuspensionCause};

use super::recipient::{AnswerV1, answer, answer_record};
use super::security::{SecurityV3, security_record};
use super::{RecordError, decode, seal, unseal};

#[derive(Serialize, Deserialize)]
struct DestinationV1 {
    suspended_since_ms: u64,
    suspended_until_ms: u64,
    times: u32,
    trouble: AnswerV1,
    /// Of the remote in the trouble.
    security: Option<SecurityV3>,
    connected: bool,
}

/// By the operator; what the relay suspends by itself is still written as version 1.
#[derive(Serialize, Deserialize)]
struct DestinationV2 {
    suspended_since_ms: u64,
    suspended_until_ms: Option<u64>,
    by: String,
    reason: String,
}

pub(in crate::store) fn seal_suspension(key: &[u8], suspension: &Suspension) -> Vec<u8> {
    let (times, trouble) = match &suspension.cause {
        SuspensionCause::Trouble { times, answer } => (*times, answer),
        SuspensionCause::Order { by, reason } => {
            let record = DestinationV2 {
                suspended_since_ms: suspension.since.0,
                suspended_until_ms: suspension.until.map(|until| until.0),
                by: by.to_string(),
                reason: reason.to_string(),
            };
            return seal(key, 2, &record);
        }
    };
    let remote = trouble.remote.as_ref();
    let security = remote.and_then(|remote| remote.security.as_deref());
    let record = DestinationV1 {
        suspended_since_ms: suspension.since.0,
        suspended_until_ms: suspension.until.map_or(u64::MAX, |until| until.0),
        times,
        trouble: answer_record(trouble),
        security: security.map(security_record),
        connected: remote.is_some_and(|remote| remote.connected),
    };
    seal(key, 1, &record)
}

pub(in crate::store) fn open_suspension(
    key: &[u8],
    sealed: &[u8],
) -> Result<Suspension, RecordError> {
    match unseal(key, sealed)? {
        (1, content) => by_trouble(decode(content)?),
        (2, content) => Ok(by_order(decode(content)?)),
        (version, _) => Err(RecordError::Version(version)),
    }
}

fn by_trouble(record: DestinationV1) -> Result<Suspension, RecordError> {
    let mut trouble = answer(record.trouble)?;
    if let Some(remote) = &mut trouble.remote {
        remote.connected = record.connected;
        remote.security = record.security.map(Security::from).map(Box::new);
    }
    Ok(Suspension {
        since: UnixMillis(record.suspended_since_ms),
        until: Some(UnixMillis(record.suspended_until_ms)),
        cause: SuspensionCause::Trouble {
            times: record.times,
            answer: trouble,
        },
    })
}

fn by_order(record: DestinationV2) -> Suspension {
    Suspension {
        since: UnixMillis(record.suspended_since_ms),
        until: record.suspended_until_ms.map(UnixMillis),
        cause: SuspensionCause::Order {
            by: record.by.into(),
            reason: record.reason.into(),
        },
    }
}
