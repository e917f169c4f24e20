//! Bodies that are files: `bodies/YYYY-MM-DD/ID-HASH.eml`, mode 0600. HASH is made from the
//! recipients, so that no address stands in a name. A file is durable before the record that names
//! it; one that no record names is an orphan.

use std::collections::HashMap;
use std::fs::{DirBuilder, File, OpenOptions};
use std::io;
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use crate::mail::{QueueId, Recipient};

/// The directory of all body files.
#[derive(Debug)]
pub(super) struct BodyFiles {
    root: PathBuf,
    /// Days whose directory is known to be there, with an open handle to sync it by.
    days: Mutex<HashMap<String, Arc<File>>>,
    /// See [`OnItsWay`].
    on_their_way: AtomicUsize,
}

/// Days whose handles are kept open.
const DAYS_OPEN_MAX: usize = 4;

/// The name of a body file below the root: `YYYY-MM-DD/ID-HASH.eml`.
pub(super) fn name(id: QueueId, hash: &str) -> String {
    format!("{}/{id}-{hash}.eml", day_of(id))
}

/// How a message's file is named outside the queue as well: `YYYY-MM-DD/ID-HASH.eml`, the day that of
/// the id, HASH made from the addresses of the recipients.
#[must_use]
pub fn message_file_name<'a>(id: QueueId, recipients: impl Iterator<Item = &'a str>) -> String {
    name(id, &addresses_hash(recipients))
}

/// See [`addresses_hash`].
pub(super) fn recipients_hash<'a>(recipients: impl Iterator<Item = &'a Recipient>) -> String {
    addresses_hash(recipients.map(|recipient| recipient.address.to_string()))
}

/// First 16 hexadecimal digits of SHA-256 over the addresses, one a line.
fn addresses_hash(addresses: impl Iterator<Item = impl AsRef<str>>) -> String {
    let mut hash = ring::digest::Context::new(&ring::digest::SHA256);
    for address in addresses {
        hash.update(address.as_ref().as_bytes());
        hash.update(b"\n");
    }
    hash.finish().as_ref()[..8]
        .iter()
        .map(|byte| format!("{byte:02x}"))
        .collect()
}

fn day_of(id: QueueId) -> String {
    let seconds = i64::try_from(id.made_at().0 / 1000).unwrap_or(i64::MAX);
    // Times beyond jiff's range (year 9999) can only come from a clock that is wildly off.
    let at = jiff::Timestamp::from_second(seconds).unwrap_or(jiff::Timestamp::MAX);
    at.to_zoned_datetime(jiff::tz::TimeZone::UTC)
        .date()
        .to_string()
}

impl BodyFiles {
    /// Opens or creates the directory.
    pub(super) fn open(root: PathBuf) -> io::Result<BodyFiles> {
        private_directory(&root)?;
        Ok(BodyFiles {
            root,
            days: Mutex::default(),
            on_their_way: AtomicUsize::new(0),
        })
    }

    /// Where a name of [`name`] is.
    pub(super) fn path(&self, name: &str) -> PathBuf {
        self.root.join(name)
    }

    /// How many bodies are [`OnItsWay`] now.
    pub(super) fn on_their_way(&self) -> usize {
        self.on_their_way.load(Ordering::Relaxed)
    }

    /// Creates the file, and the day's directory if need be. Blocks.
    pub(super) fn create(&self, name: &str) -> io::Result<File> {
        self.day(name)?;
        OpenOptions::new()
            .write(true)
            .create_new(true)
            .mode(0o600)
            .open(self.path(name))
    }

    /// Makes the names of files durable that were created before: syncs the directories in which
    /// they stand. Blocks.
    pub(super) fn sync_directories<'a>(
        &self,
        names: impl Iterator<Item = &'a str>,
    ) -> io::Result<()> {
        let mut days: Vec<&str> = names.filter_map(|name| name.split('/').next()).collect();
        days.sort_unstable();
        days.dedup();
        for day in days {
            self.day(day)?.sync_all()?;
        }
        Ok(())
    }

    /// Every body file there is, as names. Blocks.
    pub(super) fn list(&self) -> io::Result<Vec<String>> {
        let mut names = Vec::new();
        for day in std::fs::read_dir(&self.root)? {
            let day = day?;
            if !day.file_type()?.is_dir() {
                continue;
            }
            for file in std::fs::read_dir(day.path())? {
                let (day, file) = (day.file_name(), file?.file_name());
                if let (Some(day), Some(file)) = (day.to_str(), file.to_str()) {
                    names.push(format!("{day}/{file}"));
                }
            }
        }
        Ok(names)
    }

    /// The files of one message, as names: one at most, unless a move of it was cut off. Blocks.
    pub(super) fn of_message(&self, id: QueueId) -> io::Result<Vec<String>> {
        let (day, start) = (day_of(id), id.to_string());
        let entries = match std::fs::read_dir(self.root.join(&day)) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
            entries => entries?,
        };
        let mut names = Vec::new();
        for entry in entries {
            let file = entry?.file_name();
            let file = file.to_str().filter(|file| file.starts_with(&start));
            names.extend(file.map(|file| format!("{day}/{file}")));
        }
        Ok(names)
    }

    /// Removes a file; that it is gone already is fine. Blocks.
    pub(super) fn remove(&self, name: &str) -> io::Result<()> {
        match std::fs::remove_file(self.path(name)) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
            _ => Ok(()),
        }
    }

    /// Removes the directories of days before `today` that have become empty. Blocks.
    pub(super) fn remove_empty_days(&self, today: QueueId) {
        let today = day_of(today);
        for day in std::fs::read_dir(&self.root)
            .into_iter()
            .flatten()
            .flatten()
        {
            let name = day.file_name();
            if name.to_str().is_some_and(|name| name < &*today)
                && std::fs::remove_dir(day.path()).is_ok()
            {
                self.lock().remove(&*name.to_string_lossy());
            }
        }
    }

    /// A handle to the directory of a day, which is created, durably, if it was not there.
    fn day(&self, name: &str) -> io::Result<Arc<File>> {
        let day = name.split('/').next().unwrap_or(name);
        let mut days = self.lock();
        if let Some(handle) = days.get(day) {
            return Ok(handle.clone());
        }
        let path = self.root.join(day);
        private_directory(&path)?;
        File::open(&self.root)?.sync_all()?;
        let handle = Arc::new(File::open(path)?);
        if days.len() >= DAYS_OPEN_MAX {
            days.clear();
        }
        days.insert(day.to_owned(), handle.clone());
        Ok(handle)
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, HashMap<String, Arc<File>>> {
        self.days.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Creates a directory of mode 0700 unless it is there.
pub(super) fn private_directory(path: &Path) -> io::Result<()> {
    DirBuilder::new().recursive(true).mode(0o700).create(path)
}

/// A body file that is being synced and that the committer has not seen yet. The committer counts
/// them, to know whether a larger group is about to come together.
#[derive(Debug)]
pub(super) struct OnItsWay(Arc<BodyFiles>);

impl OnItsWay {
    pub(super) fn new(files: Arc<BodyFiles>) -> OnItsWay {
        files.on_their_way.fetch_add(1, Ordering::Relaxed);
        OnItsWay(files)
    }
}

impl Drop for OnItsWay {
    fn drop(&mut self) {
        self.0.on_their_way.fetch_sub(1, Ordering::Relaxed);
    }
}

/// Removes the file it names when it is dropped, unless it was kept.
#[derive(Debug)]
pub(super) struct FileGuard {
    files: Arc<BodyFiles>,
    name: String,
    keep: bool,
}

impl FileGuard {
    pub(super) fn new(files: Arc<BodyFiles>, name: String) -> FileGuard {
        FileGuard {
            files,
            name,
            keep: false,
        }
    }

    pub(super) fn name(&self) -> &str {
        &self.name
    }

    pub(super) fn path(&self) -> PathBuf {
        self.files.path(&self.name)
    }

    /// The file has a record now.
    pub(super) fn keep(mut self) {
        self.keep = true;
    }
}

impl Drop for FileGuard {
    fn drop(&mut self) {
        if self.keep {
            return;
        }
        let (files, name) = (self.files.clone(), std::mem::take(&mut self.name));
        // What can't be removed now is an orphan, which the next start removes.
        let remove = move || drop(files.remove(&name));
        match tokio::runtime::Handle::try_current() {
            Ok(runtime) => drop(runtime.spawn_blocking(remove)),
            Err(_) => remove(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::mail::{Address, RecipientNo, RecipientState, Spelling, UnixMillis};

    #[test]
    fn a_name_has_the_day_and_no_address() {
        let address = Address::parse(b"ann@dest.test", Spelling::Ascii).unwrap();
        let rcpt = Recipient::new(RecipientNo(0), address, RecipientState::Delivered);
        let hash = recipients_hash([rcpt].iter());
        assert_eq!(hash.len(), 16);
        let id = QueueId::new(UnixMillis(1_795_996_800_000), 1);
        let want = format!("2026-11-30/{id}-{hash}.eml");
        assert_eq!(name(id, &hash), want);
        assert_eq!(message_file_name(id, ["ann@dest.test"].into_iter()), want);
    }
}
