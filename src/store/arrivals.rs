//! When those arrived who wait: how many in each stretch of time, so that the oldest is always known.

use crate::mail::{StateName, UnixMillis};

use super::Store;

impl Store {
    /// When the oldest message arrived that has a recipient in this state, to 10 s, or less exactly
    /// if those that wait came over more than a week; `None`: there is none, or the state is none in
    /// which anybody waits. Cheap.
    #[must_use]
    pub fn oldest(&self, _state: StateName) -> Option<UnixMillis> {
        todo!()
    }
}
