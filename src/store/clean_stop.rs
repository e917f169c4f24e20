//! The tally over a clean stop: written by the committer as the last thing, read and taken away by the
//! next start, so that whatever follows is no clean stop until the next one.

use crate::mail::UnixMillis;

use super::arrivals::Arrivals;
use super::counters::{Counts, Tally};
use super::engine::Trees;
use super::record::{self, CleanStop, PART_STRETCHES_MAX};

const STOP: &[u8] = b"clean_stop";
const PARTS: &[u8] = b"arrivals-";

/// Writes it, and flushes.
pub(super) fn write(
    trees: &Trees,
    tally: &Tally,
    routing_fingerprint: &str,
    now: UnixMillis,
) -> sled::Result<()> {
    let mut parts: u32 = 0;
    for part in tally.arrivals.parts(PART_STRETCHES_MAX) {
        let key = part_key(parts);
        trees.meta.insert(&key, record::seal_arrivals(&key, part))?;
        parts += 1;
    }
    let stop = CleanStop {
        at_ms: now.0,
        routing_fingerprint: routing_fingerprint.to_owned(),
        messages: tally.counts.messages,
        bytes: tally.counts.bytes,
        recipients: tally.counts.recipients,
        parts,
    };
    trees.meta.insert(STOP, record::seal_clean_stop(&stop))?;
    trees.db.flush().map(drop)
}

/// Takes it away, durably. `None` if there was none that can be relied upon, or mail goes another way
/// than then.
pub(super) fn take(trees: &Trees, routing_fingerprint: &str) -> sled::Result<Option<Tally>> {
    let stop = trees.meta.remove(STOP)?;
    let mut parts = Vec::new();
    for entry in trees.meta.scan_prefix(PARTS) {
        let (key, sealed) = entry?;
        parts.push(record::open_arrivals(&key, &sealed).ok());
        trees.meta.remove(key)?;
    }
    trees.db.flush()?;
    let found = stop.and_then(|sealed| record::open_clean_stop(&sealed).ok());
    Ok(found.and_then(|stop| {
        let parts: Vec<_> = parts.into_iter().collect::<Option<_>>()?;
        let whole = u32::try_from(parts.len()).ok() == Some(stop.parts);
        let tally = Tally {
            counts: Counts {
                messages: stop.messages,
                bytes: stop.bytes,
                recipients: stop.recipients,
            },
            arrivals: Arrivals::from_parts(parts)?,
        };
        let same_way = stop.routing_fingerprint == routing_fingerprint;
        (whole && same_way && tally.agrees()).then_some(tally)
    }))
}

fn part_key(no: u32) -> Vec<u8> {
    [PARTS, &no.to_be_bytes()].concat()
}
