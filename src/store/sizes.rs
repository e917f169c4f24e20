//! What the store takes of the disk.

use super::Store;

/// What the store takes of the disk, and what is left.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct StoreSizes {
    /// Bytes of the database; bodies that are files of their own are not counted.
    pub database_bytes: u64,
    /// Bytes that the file system has for us.
    pub free_bytes: u64,
    /// Damaged records and bodies that were put aside.
    pub quarantined: u64,
}

impl Store {
    /// Asks the file system. Takes microseconds; not for the middle of something urgent.
    #[must_use]
    pub fn sizes(&self) -> StoreSizes {
        todo!()
    }
}
