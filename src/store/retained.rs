//! Bodies of messages that are over, on their way out of the database: retained mail is plain files,
//! so that the database stays small and opens fast.

use std::io::{self, Write as _};
use std::sync::Arc;

use crate::mail::{QueueId, UnixMillis};

use super::body_files::{self, BodyFiles, FileGuard};
use super::engine::{Engine, Trees};
use super::record::Place;
use super::{CommitError, disk_error, disk_error_of_sled, key, read};

/// Files that were written, for the committer to name as the places of their bodies.
pub(super) struct Written {
    pub moves: Vec<(QueueId, FileGuard)>,
    /// Messages that were over and looked at.
    pub looked_at: usize,
    /// Where to go on, in the order of closing times.
    pub next: Vec<u8>,
}

/// Writes the inline bodies of up to `limit` messages that have been over since before `until` into
/// files, from the key `from` on. Their content is durable. Blocks.
pub(super) fn write_files(
    engine: &Engine,
    files: &Arc<BodyFiles>,
    from: Vec<u8>,
    until: UnixMillis,
    limit: usize,
) -> Result<Written, CommitError> {
    let trees = engine
        .trees()
        .map_err(|error| CommitError::Failed(error.to_string()))?;
    let end = key::closing(until, QueueId::first_of(UnixMillis(0))).to_vec();
    let mut written = Written {
        moves: Vec::new(),
        looked_at: 0,
        next: from.clone(),
    };
    if from >= end {
        return Ok(written);
    }
    for entry in trees.closing.range(from..end).keys().take(limit) {
        let at = entry.map_err(|error| disk_error_of_sled(&error))?;
        written.looked_at += 1;
        written.next = [&at[..], &[0]].concat();
        if let Some((_, id)) = key::parse_closing(&at)
            && let Some(octets) = inline_body(&trees, id)
        {
            let recipients = read::recipients(&trees, id).unwrap_or_default();
            let name = body_files::name(id, &body_files::recipients_hash(recipients.iter()));
            write_file(files, &name, &octets).map_err(|error| disk_error(&error))?;
            let file = FileGuard::new(files.clone(), name);
            written.moves.push((id, file));
        }
    }
    Ok(written)
}

/// `None` also where something can't be read: a body stays where it is then.
fn inline_body(trees: &Trees, id: QueueId) -> Option<sled::IVec> {
    let stored = read::message(trees, id).ok()??;
    (stored.place == Place::Inline).then(|| trees.bodies.get(id.to_bytes()).ok()?)?
}

fn write_file(files: &BodyFiles, name: &str, octets: &[u8]) -> io::Result<()> {
    // A file of this name is what an earlier move left that was cut off.
    files.remove(name)?;
    let mut file = files.create(name)?;
    file.write_all(octets)?;
    file.sync_data()
}
