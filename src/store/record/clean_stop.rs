//! What a clean stop leaves in `meta`, so that the next start need not scan: one record, and parts of
//! [`Arrivals`](crate::store::arrivals::Arrivals) beside it.

use serde::{Deserialize, Serialize};

use crate::store::arrivals::ArrivalsPart;

use super::{RecordError, decode, seal, unseal};

const KEY: &[u8] = b"clean_stop";
/// Before version 2 it did not tell of arrivals; then a start has to scan as after a crash.
const VERSION: u8 = 2;
const PART_VERSION: u8 = 1;
/// Stretches in one part, at 20 bytes each.
pub(in crate::store) const PART_STRETCHES_MAX: usize = 2_000;

/// What a clean stop leaves.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(in crate::store) struct CleanStop {
    pub at_ms: u64,
    pub routing_fingerprint: String,
    pub messages: u64,
    pub bytes: u64,
    /// In the order of `StateName::ALL`.
    pub recipients: [u64; 7],
    /// How many parts of arrivals there are.
    pub parts: u32,
}

#[derive(Serialize, Deserialize)]
struct PartV1 {
    state: u8,
    doubled: u32,
    counts: Vec<(u64, u64)>,
}

pub(in crate::store) fn seal_clean_stop(stop: &CleanStop) -> Vec<u8> {
    seal(KEY, VERSION, stop)
}

pub(in crate::store) fn open_clean_stop(sealed: &[u8]) -> Result<CleanStop, RecordError> {
    match unseal(KEY, sealed)? {
        (VERSION, content) => decode(content),
        (version, _) => Err(RecordError::Version(version)),
    }
}

pub(in crate::store) fn seal_arrivals(key: &[u8], part: ArrivalsPart) -> Vec<u8> {
    let ArrivalsPart {
        state,
        doubled,
        counts,
    } = part;
    let part = PartV1 {
        state,
        doubled,
        counts,
    };
    seal(key, PART_VERSION, &part)
}

pub(in crate::store) fn open_arrivals(
    key: &[u8],
    sealed: &[u8],
) -> Result<ArrivalsPart, RecordError> {
    let PartV1 {
        state,
        doubled,
        counts,
    } = match unseal(key, sealed)? {
        (PART_VERSION, content) => decode(content)?,
        (version, _) => return Err(RecordError::Version(version)),
    };
    Ok(ArrivalsPart {
        state,
        doubled,
        counts,
    })
}
