//! Releasing what `SMTP_MODE=hold` held: page by page, each of them one commit, while the relay runs.
//! A crash between two pages leaves some held and some in line, and whoever asks again goes on.

use crate::mail::{HeldBy, QueueId, Recipient, RecipientState, UnixMillis};

use super::engine::Trees;
use super::{ReadError, RecipientChange, key, read, record};

/// Recipients that are looked at for one page.
const EXAMINED_MAX: usize = 10_000;

/// What [`Store::release_held`](super::Store::release_held) did.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ReleasedPage {
    /// Recipients that it put in line.
    pub released: usize,
    /// The message to go on with; `None`: that was all.
    pub next: Option<QueueId>,
}

/// Held recipients as they are and as they are to be.
pub(super) struct HeldPage {
    pub changes: Vec<RecipientChange>,
    pub next: Option<QueueId>,
}

/// Finds `limit` recipients that a mode holds, or more: messages stay whole, so that their recipients
/// are attempted together. From the message `from` on; each is to be due at `due`.
pub(super) fn page(
    trees: &Trees,
    from: Option<QueueId>,
    due: UnixMillis,
    limit: usize,
) -> Result<HeldPage, ReadError> {
    let from = from.map_or(Vec::new(), |id| id.to_bytes().to_vec());
    let (mut changes, mut last) = (Vec::new(), None);
    for (examined, entry) in trees.recipients.range(from..).enumerate() {
        let (key, sealed) = entry.map_err(read::failed)?;
        let Some((id, no)) = key::parse_recipient(&key) else {
            continue; // no key of ours: the next start after a crash takes it out
        };
        let full = changes.len() >= limit || examined >= EXAMINED_MAX;
        if full && last != Some(id) {
            return Ok(HeldPage {
                changes,
                next: Some(id),
            });
        }
        last = Some(id);
        // One that is damaged stays; the same start puts it aside.
        if let Ok(before) = record::open_recipient(&key, no, &sealed)
            && before.state == (RecipientState::Held { by: HeldBy::Mode })
        {
            let after = Recipient {
                state: RecipientState::Queued { due },
                ..before.clone()
            };
            changes.push(RecipientChange {
                id,
                before,
                after,
                note: None,
            });
        }
    }
    Ok(HeldPage {
        changes,
        next: None,
    })
}
