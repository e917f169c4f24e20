//! An exported message as files: `YYYY-MM-DD/ID-HASH.eml` and its envelope beside it. A file has its
//! name only when all of it is on the disk, and none is ever overwritten.

use std::fs::{DirBuilder, File, OpenOptions};
use std::io;
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};

use rustix::fs::{CWD, RenameFlags, renameat_with};
use rustix::io::Errno;

use crate::admin::api::ExportedEnvelope;
use crate::mail::QueueId;
use crate::store::message_file_name;

/// Where a message and its envelope are.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Pair {
    pub(super) message: PathBuf,
    pub(super) envelope: PathBuf,
}

impl Pair {
    /// Below `root`, named by id and recipients.
    pub(super) fn below(root: &Path, id: QueueId, envelope: &ExportedEnvelope) -> Pair {
        let recipients = envelope.recipients.iter().map(|rcpt| &*rcpt.to);
        Pair::of_message(root.join(message_file_name(id, recipients)))
    }

    /// That of which this is the message.
    pub(super) fn of_message(message: PathBuf) -> Pair {
        Pair {
            envelope: message.with_extension("json"),
            message,
        }
    }
}

/// A file that is being written under another name; without [`NewFile::finish`] it goes again.
#[derive(Debug)]
pub(super) struct NewFile {
    pub(super) file: File,
    temporary: PathBuf,
    target: PathBuf,
}

impl NewFile {
    /// Of mode 0600, in a directory that is made if need be, of mode 0700.
    pub(super) fn create(target: &Path) -> io::Result<NewFile> {
        let directory = directory_of(target);
        DirBuilder::new()
            .recursive(true)
            .mode(0o700)
            .create(directory)?;
        let name = target.file_name().unwrap_or_default().to_string_lossy();
        let temporary = directory.join(format!(".{name}.{}.tmp", std::process::id()));
        let file = OpenOptions::new()
            .write(true)
            .create(true)
            .truncate(true)
            .mode(0o600)
            .open(&temporary)?;
        Ok(NewFile {
            file,
            temporary,
            target: target.to_owned(),
        })
    }

    /// Brings it to the disk and gives it its name. What has that name already stays, and is an error.
    pub(super) fn finish(self) -> io::Result<()> {
        self.file.sync_all()?;
        match renameat_with(
            CWD,
            &self.temporary,
            CWD,
            &self.target,
            RenameFlags::NOREPLACE,
        ) {
            // file systems that can't do it in one step
            Err(Errno::INVAL | Errno::NOSYS) if !self.target.try_exists()? => {
                std::fs::rename(&self.temporary, &self.target)?;
            }
            Err(Errno::INVAL | Errno::NOSYS) => return Err(io::ErrorKind::AlreadyExists.into()),
            renamed => renamed?,
        }
        sync_directory(directory_of(&self.target))
    }
}

impl Drop for NewFile {
    fn drop(&mut self) {
        let _ = std::fs::remove_file(&self.temporary); // once it has its name, there is none
    }
}

/// Makes names in it durable.
pub(super) fn sync_directory(directory: &Path) -> io::Result<()> {
    File::open(directory)?.sync_all()
}

/// Where `file` is.
pub(super) fn directory_of(file: &Path) -> &Path {
    match file.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent,
        Some(_) | None => Path::new("."),
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write as _;
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;

    #[test]
    fn a_file_is_there_when_it_is_finished_and_never_overwritten() {
        let root = tempfile::tempdir().unwrap();
        let target = root.path().join("day/a.eml");
        let write = |text: &str| {
            let mut new = NewFile::create(&target).unwrap();
            new.file.write_all(text.as_bytes()).unwrap();
            new
        };
        drop(write("given up"));
        assert!(!target.exists());
        write("first").finish().unwrap();
        let again = write("second").finish().unwrap_err();
        assert_eq!(again.kind(), io::ErrorKind::AlreadyExists);
        assert_eq!(std::fs::read(&target).unwrap(), b"first");
        let mode = |path: &Path| std::fs::metadata(path).unwrap().permissions().mode() & 0o777;
        assert_eq!(mode(&target), 0o600);
        assert_eq!(mode(directory_of(&target)), 0o700);
        let names = std::fs::read_dir(directory_of(&target)).unwrap();
        assert_eq!(names.count(), 1);
    }
}
