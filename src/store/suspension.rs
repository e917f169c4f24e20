//! Destinations that get no attempts for a while, as the tree `destinations` has them. Older
//! programs don't look at that tree, so it needed no new schema.

use crate::mail::{Answer, Destination, UnixMillis};

use super::engine::Trees;
use super::{ReadError, read, record};

/// That a destination is suspended, and why.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Suspension {
    /// When it was suspended for the first time since it last answered.
    pub since: UnixMillis,
    /// Until then it gets no attempts; then one, and no more before that is answered.
    pub until: UnixMillis,
    /// How many times in a row, this one included.
    pub times: u32,
    /// What went wrong last.
    pub trouble: Answer,
}

/// A destination is suspended, or no more.
pub(super) type Kept = (Destination, Option<Suspension>);

/// All of them. Damaged records are left out: without one, a destination is attempted.
pub(super) fn all(trees: &Trees) -> Result<Vec<(Destination, Suspension)>, ReadError> {
    let mut found = Vec::new();
    for entry in &trees.destinations {
        let (key, sealed) = entry.map_err(read::failed)?;
        if let Ok(name) = std::str::from_utf8(&key)
            && let Ok(suspension) = record::open_suspension(&key, &sealed)
        {
            found.push((Destination::from_stored(name), suspension));
        }
    }
    Ok(found)
}

/// That of one destination.
pub(super) fn one(
    trees: &Trees,
    destination: &Destination,
) -> Result<Option<Suspension>, ReadError> {
    let key = destination.as_str().as_bytes();
    let sealed = trees.destinations.get(key);
    let sealed = sealed.map_err(read::failed)?;
    Ok(sealed.and_then(|sealed| record::open_suspension(key, &sealed).ok()))
}
