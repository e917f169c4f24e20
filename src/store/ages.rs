//! How many wait for each destination, and since when.

use std::time::Duration;

use crate::mail::{Destination, UnixMillis};

use super::{ReadError, Store};

/// Those who wait for one destination.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct DestinationAges {
    /// Recipients that are queued, deferred or held.
    pub recipients: u64,
    /// How many of them are held.
    pub held: u64,
    /// How many arrived how long ago: one number for each bound, in the order of the bounds, for those
    /// that are younger than it and not younger than the one before; and one for the rest.
    pub by_age: Vec<u64>,
    /// When the oldest of them arrived.
    pub oldest: Option<UnixMillis>,
}

impl Store {
    /// Those who wait, by destination, in the order of names. Goes through the lines (and through all
    /// recipients, if any is held), page by page.
    pub async fn ages(
        &self,
        _now: UnixMillis,
        _bounds: &[Duration],
    ) -> Result<Vec<(Destination, DestinationAges)>, ReadError> {
        todo!()
    }
}
