//! Records of the tree `destinations`.

use serde::{Deserialize, Serialize};

use crate::mail::{Security, UnixMillis};
use crate::store::Suspension;

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

pub(in crate::store) fn seal_suspension(key: &[u8], suspension: &Suspension) -> Vec<u8> {
    let remote = suspension.trouble.remote.as_ref();
    let security = remote.and_then(|remote| remote.security.as_deref());
    let record = DestinationV1 {
        suspended_since_ms: suspension.since.0,
        suspended_until_ms: suspension.until.0,
        times: suspension.times,
        trouble: answer_record(&suspension.trouble),
        security: security.map(security_record),
        connected: remote.is_some_and(|remote| remote.connected),
    };
    seal(key, 1, &record)
}

pub(in crate::store) fn open_suspension(
    key: &[u8],
    sealed: &[u8],
) -> Result<Suspension, RecordError> {
    let record: DestinationV1 = match unseal(key, sealed)? {
        (1, content) => decode(content)?,
        (version, _) => return Err(RecordError::Version(version)),
    };
    let mut trouble = answer(record.trouble)?;
    if let Some(remote) = &mut trouble.remote {
        remote.connected = record.connected;
        remote.security = record.security.map(Security::from).map(Box::new);
    }
    Ok(Suspension {
        since: UnixMillis(record.suspended_since_ms),
        until: UnixMillis(record.suspended_until_ms),
        times: record.times,
        trouble,
    })
}
