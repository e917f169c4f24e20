//! Where damaged records and bodies are put aside: one file each, of mode 0600, durable before anything is
//! taken out of the store for it.

use std::fs::{File, OpenOptions};
use std::io::{self, Write as _};
use std::os::unix::fs::{OpenOptionsExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};

use crate::mail::QueueId;

use super::body_files::private_directory;
use super::key;

/// Files of one name; of more damage in the same place only the first so many copies are kept.
const COPIES_MAX: u32 = 100;
/// Files that are counted; there are never so many.
const COUNTED_MAX: usize = 100_000;

#[derive(Clone, Debug)]
pub(super) struct Quarantine {
    path: PathBuf,
}

impl Quarantine {
    pub(super) fn new(path: PathBuf) -> Quarantine {
        Quarantine { path }
    }

    /// Files that are there now.
    pub(super) fn count(&self) -> u64 {
        let entries = std::fs::read_dir(&self.path).into_iter().flatten();
        entries.take(COUNTED_MAX).count() as u64
    }

    /// Keeps octets in a file of this name, or, if that is taken, one like it. Durable. Blocks.
    pub(super) fn keep(&self, name: &str, octets: &[u8]) -> io::Result<PathBuf> {
        self.keep_as(name, |path| {
            let mut file = OpenOptions::new()
                .write(true)
                .create_new(true)
                .mode(0o600)
                .open(path)?;
            file.write_all(octets)?;
            file.sync_all()
        })
    }

    /// Keeps a file, which stays where it is as well. Durable. Blocks.
    pub(super) fn keep_file(&self, name: &str, from: &Path) -> io::Result<PathBuf> {
        self.keep_as(name, |path| {
            std::fs::hard_link(from, path)?;
            let file = File::open(path)?;
            file.set_permissions(std::fs::Permissions::from_mode(0o600))?;
            file.sync_all()
        })
    }

    fn keep_as(&self, name: &str, make: impl Fn(&Path) -> io::Result<()>) -> io::Result<PathBuf> {
        private_directory(&self.path)?;
        let names = (1..=COPIES_MAX).map(|copy| match copy {
            1 => name.to_owned(),
            copy => format!("{name}.{copy}"),
        });
        let mut taken = Err(io::ErrorKind::AlreadyExists.into());
        for path in names.map(|name| self.path.join(name)) {
            match make(&path) {
                Err(error) if error.kind() == io::ErrorKind::AlreadyExists => taken = Err(error),
                Err(error) => {
                    let _ = std::fs::remove_file(&path); // what is half there helps nobody
                    return Err(error);
                }
                Ok(()) => {
                    File::open(&self.path)?.sync_all()?;
                    return Ok(path);
                }
            }
        }
        taken
    }
}

/// The name for a record of this tree: with the queue id as people write it, and the rest of the key in
/// hexadecimal digits.
pub(super) fn record_name(tree: &str, key: &[u8]) -> String {
    let (id, rest) = match key.split_at_checked(16) {
        Some((id, rest)) if tree != "destinations" => (key::parse_message(id), rest),
        _ => (None, key),
    };
    let id = id.map(|id| format!("-{id}")).unwrap_or_default();
    let rest: String = rest.iter().map(|byte| format!("{byte:02x}")).collect();
    let mark = if rest.is_empty() { "" } else { "-" };
    format!("{tree}{id}{mark}{rest}")
}

/// The name for the octets of a message.
pub(super) fn body_name(id: QueueId) -> String {
    format!("body-{id}.eml")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::mail::{RecipientNo, UnixMillis};

    #[test]
    fn every_copy_is_kept_under_a_name_of_its_own() {
        let dir = tempfile::tempdir().unwrap();
        let quarantine = Quarantine::new(dir.path().join("quarantine"));
        let first = quarantine.keep("x", b"1").unwrap();
        let file = dir.path().join("file");
        std::fs::write(&file, b"2").unwrap();
        let second = quarantine.keep_file("x", &file).unwrap();
        assert_eq!(std::fs::read(first).unwrap(), b"1");
        assert_eq!(std::fs::read(&second).unwrap(), b"2");
        let mode = std::fs::metadata(second).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
        assert_eq!(quarantine.count(), 2);
        assert!(quarantine.keep_file("y", &dir.path().join("none")).is_err());
        assert_eq!(quarantine.count(), 2);
    }

    #[test]
    fn names_have_the_queue_id() {
        let id = QueueId::new(UnixMillis(1), 2);
        let rcpt = key::recipient(id, RecipientNo(3));
        assert_eq!(
            record_name("recipients", &rcpt),
            format!("recipients-{id}-00000003")
        );
        let message = record_name("messages", &id.to_bytes());
        assert_eq!(message, format!("messages-{id}"));
        assert_eq!(record_name("destinations", b"ab"), "destinations-6162");
    }
}
