//! The database itself: how sled is configured, which trees there are, and the handle that readers
//! and the committer share while it may have to be reopened.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, OnceLock, PoisonError, RwLock};
use std::time::{Duration, Instant};

use super::ReadError;
use super::log_check::{self, Mended, Scope};

/// Fixed for ever in a database. Values of at most 1/128 of it never become blob files.
pub(super) const SEGMENT_BYTES: usize = 8 * 1024 * 1024;
/// Not a hard bound: about 50 MiB more for each million records.
const CACHE_BYTES: u64 = 32 * 1024 * 1024;
/// How long readers may keep a database that must be reopened.
const READERS_LEAVE: Duration = Duration::from_secs(60);

const _: () = assert!(crate::mail::limits::STORE_VALUE_BYTES_MAX <= SEGMENT_BYTES / 128);

/// The open database. Dropped with its last clone.
pub(super) struct Trees {
    pub db: sled::Db,
    pub meta: sled::Tree,
    pub messages: sled::Tree,
    pub bodies: sled::Tree,
    pub recipients: sled::Tree,
    pub due: sled::Tree,
    pub closing: sled::Tree,
    pub destinations: sled::Tree,
    pub history: sled::Tree,
    pub tombstones: sled::Tree,
}

/// sled gave up, by error or by panic.
#[derive(Debug)]
pub(super) enum SledTrouble {
    /// Somebody else has it open.
    Locked,
    /// In sled's words.
    Failed(String),
}

impl Trees {
    /// Opens or creates the database in `path`. Blocks.
    pub(super) fn open(path: &Path) -> Result<Trees, SledTrouble> {
        remove_half_snapshots(path);
        // On some damage sled panics instead of answering.
        let opened = catch_unwind(AssertUnwindSafe(|| {
            let db = sled::Config::new()
                .path(path)
                .segment_size(SEGMENT_BYTES)
                .cache_capacity(CACHE_BYTES)
                .flush_every_ms(None)
                .use_compression(false)
                .open()?;
            Ok::<Trees, sled::Error>(Trees {
                meta: db.open_tree("meta")?,
                messages: db.open_tree("messages")?,
                bodies: db.open_tree("bodies")?,
                recipients: db.open_tree("recipients")?,
                due: db.open_tree("due")?,
                closing: db.open_tree("closing")?,
                destinations: db.open_tree("destinations")?,
                history: db.open_tree("history")?,
                tombstones: db.open_tree("tombstones")?,
                db,
            })
        }));
        match opened {
            Ok(Ok(trees)) => Ok(trees),
            Ok(Err(error)) if locked(&error) => Err(SledTrouble::Locked),
            Ok(Err(error)) => Err(SledTrouble::Failed(error.to_string())),
            Err(_) => Err(SledTrouble::Failed(
                "sled panicked; see the line above".into(),
            )),
        }
    }

    /// Opens or creates the database after a look at its log, see [`log_check`]; if that was not the whole
    /// log and the database does not open, after a look at all of it. Also what was mended. Blocks.
    pub(super) fn open_checked(
        path: &Path,
        scope: Scope,
    ) -> Result<(Trees, Vec<Mended>), SledTrouble> {
        let check = |scope| {
            let failed = |error: std::io::Error| SledTrouble::Failed(error.to_string());
            log_check::check(path, scope).map_err(failed)
        };
        let mut mended = check(scope)?;
        let trees = match Trees::open(path) {
            Err(SledTrouble::Failed(error)) if scope != Scope::All => {
                let more = check(Scope::All)?;
                if more.is_empty() {
                    return Err(SledTrouble::Failed(error));
                }
                mended.extend(more);
                Trees::open(path)?
            }
            opened => opened?,
        };
        Ok((trees, mended))
    }

    /// Each of them.
    pub(super) fn all(&self) -> [&sled::Tree; 9] {
        [
            &self.meta,
            &self.messages,
            &self.bodies,
            &self.recipients,
            &self.due,
            &self.closing,
            &self.destinations,
            &self.history,
            &self.tombstones,
        ]
    }

    /// Writes and flushes something. Each time something else: sled leaves out a write that would
    /// change nothing, and then there is no flush either.
    pub(super) fn probe(&self) -> sled::Result<()> {
        let last = self.meta.get("probe")?;
        let last = last.and_then(|bytes| Some(u64::from_be_bytes(bytes[..].try_into().ok()?)));
        let next = last.unwrap_or(0).wrapping_add(1);
        self.meta.insert("probe", &next.to_be_bytes())?;
        self.db.flush().map(drop)
    }

    /// Blob files are never synced by sled, so there must be none.
    pub(super) fn has_blobs(path: &Path) -> bool {
        std::fs::read_dir(path.join("blobs")).is_ok_and(|mut entries| entries.next().is_some())
    }
}

/// A full disk while opening leaves `snap.*.generating`, and then no later open succeeds.
fn remove_half_snapshots(path: &Path) {
    for entry in std::fs::read_dir(path).into_iter().flatten().flatten() {
        let name = entry.file_name();
        if name.as_encoded_bytes().starts_with(b"snap.")
            && name.as_encoded_bytes().ends_with(b".generating")
        {
            let _ = std::fs::remove_file(entry.path()); // the open that follows tells if this mattered
        }
    }
}

/// sled has no variant for a lock held by another process; it says `Other`.
fn locked(error: &sled::Error) -> bool {
    matches!(error, sled::Error::Io(io) if io.kind() == std::io::ErrorKind::Other
        && io.to_string().contains("could not acquire lock"))
}

/// The database behind a door: closed for a while when it has to be reopened.
pub(super) struct Engine {
    path: PathBuf,
    trees: RwLock<Option<Arc<Trees>>>,
    /// A page could not be read: the log is to be looked through when it is next opened.
    suspect: AtomicBool,
    /// That did not help once, so it is not tried again.
    hopeless: AtomicBool,
    /// Wakes the one who can open it anew.
    wake: OnceLock<Box<dyn Fn() + Send + Sync>>,
}

impl Engine {
    pub(super) fn new(path: PathBuf, trees: Trees) -> Engine {
        Engine {
            path,
            trees: RwLock::new(Some(Arc::new(trees))),
            suspect: AtomicBool::new(false),
            hopeless: AtomicBool::new(false),
            wake: OnceLock::new(),
        }
    }

    /// The directory of the database.
    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    /// What is called when a page can't be read, once at most.
    pub(super) fn on_suspicion(&self, wake: impl Fn() + Send + Sync + 'static) {
        let _ = self.wake.set(Box::new(wake)); // there is one committer
    }

    /// A page could not be read.
    pub(super) fn suspect(&self) {
        let fresh = !self.suspect.swap(true, Ordering::Relaxed);
        if fresh
            && self.is_suspect()
            && let Some(wake) = self.wake.get()
        {
            wake();
        }
    }

    /// Whether it should be closed and opened anew, since that may help.
    pub(super) fn is_suspect(&self) -> bool {
        self.suspect.load(Ordering::Relaxed) && !self.hopeless.load(Ordering::Relaxed)
    }

    /// The open database, for one short piece of work: keep no clone.
    pub(super) fn trees(&self) -> Result<Arc<Trees>, ReadError> {
        let guard = self.trees.read().unwrap_or_else(PoisonError::into_inner);
        guard
            .clone()
            .ok_or_else(|| ReadError::Failed("being reopened".into()))
    }

    /// Closes the database, once all readers have left. `false` if one stayed too long.
    pub(super) fn close(&self) -> bool {
        let taken = self
            .trees
            .write()
            .unwrap_or_else(PoisonError::into_inner)
            .take();
        let Some(mut trees) = taken else { return true };
        let until = Instant::now() + READERS_LEAVE;
        loop {
            match Arc::try_unwrap(trees) {
                Ok(trees) => {
                    drop(trees);
                    return true;
                }
                Err(shared) if Instant::now() < until => {
                    trees = shared;
                    std::thread::sleep(Duration::from_millis(5));
                }
                Err(_) => return false,
            }
        }
    }

    /// Opens it again after [`Engine::close`]. Also what was mended.
    pub(super) fn reopen(&self) -> Result<Vec<Mended>, SledTrouble> {
        let suspect = self.suspect.swap(false, Ordering::Relaxed);
        let scope = match suspect {
            true => Scope::All,
            false => Scope::Unread,
        };
        let (trees, mended) = Trees::open_checked(&self.path, scope)?;
        if suspect && mended.is_empty() {
            self.hopeless.store(true, Ordering::Relaxed);
        }
        *self.trees.write().unwrap_or_else(PoisonError::into_inner) = Some(Arc::new(trees));
        Ok(mended)
    }
}
