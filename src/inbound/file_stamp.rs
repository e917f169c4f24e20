//! How a file looks from outside, to see whether it was changed.

use std::fs;
use std::io;
use std::os::unix::fs::MetadataExt as _;
use std::path::Path;

/// A change of any of these makes it another file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct FileStamp {
    device: u64,
    inode: u64,
    size: u64,
    modified: (i64, i64),
}

impl FileStamp {
    /// Looks at the file. Blocks for a moment.
    pub(super) fn of(path: &Path) -> io::Result<FileStamp> {
        let file = fs::metadata(path)?;
        Ok(FileStamp {
            device: file.dev(),
            inode: file.ino(),
            size: file.size(),
            modified: (file.mtime(), file.mtime_nsec()),
        })
    }
}
