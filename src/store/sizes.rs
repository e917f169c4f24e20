//! What the store takes of the disk.

use std::path::Path;

use super::Store;

/// What the store takes of the disk, and what is left.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct StoreSizes {
    /// Bytes of the database; bodies that are files of their own are not counted.
    pub database_bytes: u64,
    /// Bytes that the file system has for us.
    pub free_bytes: u64,
    /// Damaged records and bodies that were put aside, and are still there.
    pub quarantined: u64,
}

impl Store {
    /// Asks the file system. Takes microseconds; what can't be read counts as nothing.
    #[must_use]
    pub fn sizes(&self) -> StoreSizes {
        let directory = &self.0.directory;
        let disk = rustix::fs::statvfs(directory.database());
        StoreSizes {
            database_bytes: bytes_below(&directory.database()),
            free_bytes: disk.map_or(0, |disk| disk.f_bavail.saturating_mul(disk.f_frsize)),
            quarantined: self.0.quarantine.count(),
        }
    }
}

/// sled has a few files in its directory and none below, see `Trees::has_blobs`.
fn bytes_below(path: &Path) -> u64 {
    let entries = std::fs::read_dir(path).into_iter().flatten().flatten();
    let files = entries.filter_map(|entry| entry.metadata().ok());
    files
        .filter(|file| file.is_file())
        .map(|file| file.len())
        .sum()
}

#[cfg(test)]
mod tests {
    use super::super::tests::{Place, accept};

    #[tokio::test]
    async fn sizes_are_those_of_the_file_system() {
        let place = Place::new();
        let store = place.open();
        accept(&store, 1, &["a@b.test"], b"x").await;
        let sizes = store.sizes();
        assert!(sizes.database_bytes > 0 && sizes.free_bytes > 0);
        assert_eq!(sizes.quarantined, 0);
    }
}
