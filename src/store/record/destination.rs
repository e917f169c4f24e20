//! Records of the tree `destinations`.

use serde::{Deserialize, Serialize};

use crate::mail::UnixMillis;
use crate::store::Suspension;

use super::recipient::{AnswerV1, answer, answer_record};
use super::{RecordError, decode, seal, unseal};

#[derive(Serialize, Deserialize)]
struct DestinationV1 {
    suspended_since_ms: u64,
    suspended_until_ms: u64,
    times: u32,
    trouble: AnswerV1,
}

pub(in crate::store) fn seal_suspension(key: &[u8], suspension: &Suspension) -> Vec<u8> {
    let record = DestinationV1 {
        suspended_since_ms: suspension.since.0,
        suspended_until_ms: suspension.until.0,
        times: suspension.times,
        trouble: answer_record(&suspension.trouble),
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
    Ok(Suspension {
        since: UnixMillis(record.suspended_since_ms),
        until: UnixMillis(record.suspended_until_ms),
        times: record.times,
        trouble: answer(record.trouble)?,
    })
}
