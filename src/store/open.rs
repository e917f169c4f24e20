//! Opening: one process at a time, no newer schema, a flush that is real, migrations, and what a
//! crash left put in order; each failure is one clear line.

use std::fs::{File, OpenOptions};
use std::io::{self, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};

use rustix::fs::{FlockOperation, RenameFlags};

use crate::observe::{Events, ProcessEvent, QueueEvent};

use super::body_files::private_directory;
use super::engine::{SledTrouble, Trees};
use super::log_check::{self, Mended, Scope};
use super::migrations;

/// Above this size a start looks whether the database is mostly empty.
const COMPACT_BYTES_MIN: u64 = 256 * 1024 * 1024;
/// Then it is copied if it is this many times its content.
const COMPACT_RATIO: u64 = 4;
/// With more content than this it is not, however empty it is: the start would have to wait for it,
/// and the space is used again.
const COMPACT_CONTENT_BYTES_MAX: u64 = 32 * 1024 * 1024;

/// Why a store did not open. Nothing was changed, but where it says so.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// Directories can't be made or written.
    #[error("{}: {error}; SMTP_QUEUE_PATH must name a directory that this user can write", .path.display())]
    Directory {
        /// What could not be used.
        path: PathBuf,
        /// What the system said.
        error: io::Error,
    },
    /// Another process.
    #[error("{}: another gopherpost holds this queue; stop it, or set SMTP_QUEUE_PATH", .path.display())]
    InUse {
        /// The queue's directory.
        path: PathBuf,
    },
    /// Written by a later version.
    #[error("{}: this queue has schema {found}, this program knows {known}; start the newer gopherpost, nothing was changed", .path.display())]
    NewerSchema {
        /// The queue's directory.
        path: PathBuf,
        /// What the database says.
        found: u32,
        /// [`migrations::SCHEMA`]
        known: u32,
    },
    /// The database does not open.
    #[error("{}: the database does not open: {error}; keep a copy of the directory before you try anything", .path.display())]
    Database {
        /// The queue's directory.
        path: PathBuf,
        /// In sled's words.
        error: String,
    },
    /// A flush did not reach the disk's own flush.
    #[error("{}: the database's flush does not reach fdatasync, so no 250 would be safe; this build is broken, use another", .path.display())]
    FlushNotReal {
        /// The queue's directory.
        path: PathBuf,
    },
}

/// The directory of a queue, locked for this process as long as this lives.
#[derive(Debug)]
pub(super) struct QueueDirectory {
    path: PathBuf,
    _lock: File,
}

impl QueueDirectory {
    /// Creates the directory if need be, takes the lock, and refuses a newer schema before anything
    /// in it is touched.
    pub(super) fn open(path: &Path) -> Result<QueueDirectory, OpenError> {
        let fail = |error| OpenError::Directory {
            path: path.to_owned(),
            error,
        };
        private_directory(path).map_err(fail)?;
        let lock_path = path.join("lock");
        let lock = OpenOptions::new()
            .create(true)
            .truncate(false)
            .write(true)
            .mode(0o600)
            .open(&lock_path)
            .map_err(|error| OpenError::Directory {
                path: lock_path,
                error,
            })?;
        match rustix::fs::flock(&lock, FlockOperation::NonBlockingLockExclusive) {
            Ok(()) => {}
            Err(rustix::io::Errno::WOULDBLOCK) => {
                return Err(OpenError::InUse {
                    path: path.to_owned(),
                });
            }
            Err(error) => return Err(fail(error.into())),
        }
        let directory = QueueDirectory {
            path: path.to_owned(),
            _lock: lock,
        };
        if let Some(found) = directory.schema_file()
            && found > migrations::SCHEMA
        {
            return Err(directory.newer(found));
        }
        Ok(directory)
    }

    pub(super) fn database(&self) -> PathBuf {
        self.path.join("db")
    }

    pub(super) fn bodies(&self) -> PathBuf {
        self.path.join("bodies")
    }

    pub(super) fn quarantine(&self) -> PathBuf {
        self.path.join("quarantine")
    }

    /// Opens the database, shows that its flush is real, and brings it to today's schema. Also whether
    /// damage was found in it.
    pub(super) fn open_database(&self, events: &Events) -> Result<(Trees, bool), OpenError> {
        let path = self.database();
        let fail = |error| OpenError::Directory {
            path: path.clone(),
            error,
        };
        // What a copy left that was cut off; the database itself is whole.
        remove_directory(&self.copy()).map_err(fail)?;
        private_directory(&path).map_err(fail)?;
        let scope = match take_closed_mark(&path).map_err(fail)? {
            true => Scope::Closed,
            false => Scope::All,
        };
        let opened = self.open_trees(scope).inspect_err(|error| {
            // What is left untouched stays as it was left.
            if matches!(error, OpenError::NewerSchema { .. }) && scope == Scope::Closed {
                let _ = mark_closed(&path); // without it the next start only takes longer
            }
        });
        let (mut trees, mended) = opened?;
        log_check::tell(&mended, &path, events);
        self.migrate(&trees, events)?;
        if let Some(copied) = self.compact(&trees, events) {
            drop(trees);
            trees = copied
                .and_then(|()| self.swap_in_copy())
                .map_err(fail)
                .and_then(|()| self.open_trees(Scope::Unread))?
                .0;
        }
        self.make_names_durable().map_err(fail)?;
        if Trees::has_blobs(&path) {
            events.emit(ProcessEvent::Alarm {
                what: "the database has blob files, which are not safe against a power cut",
                todo: "report this: no value should be that large",
            });
        }
        Ok((trees, !mended.is_empty()))
    }

    /// Opens the database, writes nothing if its schema is newer, and shows that its flush is real.
    fn open_trees(&self, scope: Scope) -> Result<(Trees, Vec<Mended>), OpenError> {
        let before = super::durable_flush::flush_count();
        let opened = Trees::open_checked(&self.database(), scope);
        let (trees, mended) = opened.map_err(|trouble| match trouble {
            SledTrouble::Locked => OpenError::InUse {
                path: self.path.clone(),
            },
            SledTrouble::Failed(error) => self.database_error(error),
        })?;
        let found = self.schema(&trees)?;
        if found > migrations::SCHEMA {
            return Err(self.newer(found));
        }
        trees.probe().map_err(|error| self.database_error(error))?;
        if super::durable_flush::flush_count() == before {
            return Err(OpenError::FlushNotReal {
                path: self.path.clone(),
            });
        }
        Ok((trees, mended))
    }

    fn schema(&self, trees: &Trees) -> Result<u32, OpenError> {
        let stored = trees
            .meta
            .get("schema")
            .map_err(|error| self.database_error(error))?;
        match stored {
            None => Ok(0),
            Some(bytes) => match <[u8; 4]>::try_from(&bytes[..]) {
                Ok(bytes) => Ok(u32::from_be_bytes(bytes)),
                Err(_) => Err(self.database_error("its schema version is damaged")),
            },
        }
    }

    /// The schema file goes first: whatever ends this midway, it never says less than the database.
    fn migrate(&self, trees: &Trees, events: &Events) -> Result<(), OpenError> {
        let found = self.schema(trees)?;
        for step in migrations::ALL.iter().filter(|step| step.to > found) {
            events.emit(QueueEvent::Migrated {
                to: step.to,
                what: step.what,
            });
            self.tell_schema(step.to)?;
            (step.run)(&trees.db)
                .and_then(|()| trees.meta.insert("schema", &step.to.to_be_bytes()))
                .and_then(|_| trees.db.flush())
                .map_err(|error| self.database_error(error))?;
        }
        self.tell_schema(migrations::SCHEMA)
    }

    fn tell_schema(&self, schema: u32) -> Result<(), OpenError> {
        if self.schema_file() == Some(schema) {
            return Ok(());
        }
        self.write_schema_file(schema)
            .map_err(|error| OpenError::Directory {
                path: self.path.join("schema"),
                error,
            })
    }

    /// The version as a plain file beside the database: merely opening sled writes to it, and a
    /// newer database is to be left untouched.
    fn schema_file(&self) -> Option<u32> {
        std::fs::read_to_string(self.path.join("schema"))
            .ok()?
            .trim()
            .parse()
            .ok()
    }

    fn write_schema_file(&self, schema: u32) -> io::Result<()> {
        let new = self.path.join("schema.new");
        let mut file = OpenOptions::new()
            .create(true)
            .truncate(true)
            .write(true)
            .mode(0o600)
            .open(&new)?;
        writeln!(file, "{schema}")?;
        file.sync_all()?;
        std::fs::rename(new, self.path.join("schema"))?;
        File::open(&self.path)?.sync_all()
    }

    /// sled syncs no directory: without this a new database could be gone after a power cut.
    fn make_names_durable(&self) -> io::Result<()> {
        let database = self.database();
        for entry in std::fs::read_dir(&database)? {
            let entry = entry?;
            if entry.file_type()?.is_file() {
                File::open(entry.path())?.sync_all()?;
            }
        }
        File::open(database)?.sync_all()?;
        File::open(&self.path)?.sync_all()?;
        if let Some(parent) = std::path::absolute(&self.path)?.parent() {
            // Its own name may be new as well; a parent that we may not read is not ours to sync.
            let _ = File::open(parent).and_then(|parent| parent.sync_all());
        }
        Ok(())
    }

    fn copy(&self) -> PathBuf {
        self.path.join("db.copy")
    }

    /// Copies the database when it is mostly empty: its file never shrinks. `None`: no need. A copy
    /// that fails is no reason not to start.
    fn compact(&self, trees: &Trees, events: &Events) -> Option<io::Result<()>> {
        let size = trees.db.size_on_disk().unwrap_or(0);
        let content_max = (size / COMPACT_RATIO).min(COMPACT_CONTENT_BYTES_MAX);
        if size < COMPACT_BYTES_MIN || !has_at_most(trees, content_max) {
            return None;
        }
        match self.copy_database(trees) {
            Ok(()) => Some(Ok(())),
            Err(error) => {
                events.emit(ProcessEvent::Warning {
                    what: &format!("the database could not be copied to give back space: {error}"),
                    todo: "make space; the next start tries again",
                });
                let _ = remove_directory(&self.copy());
                None
            }
        }
    }

    fn copy_database(&self, trees: &Trees) -> io::Result<()> {
        let failed = |error: sled::Error| io::Error::other(error.to_string());
        let copy = Trees::open(&self.copy()).map_err(|trouble| match trouble {
            SledTrouble::Locked => io::Error::other("locked"),
            SledTrouble::Failed(error) => io::Error::other(error),
        })?;
        let copies = trees.all().into_iter().zip(copy.all());
        for (from, to) in copies {
            for entry in from {
                let (key, value) = entry.map_err(failed)?;
                to.insert(key, value).map_err(failed)?;
            }
            copy.db.flush().map_err(failed)?;
        }
        drop(copy);
        for entry in std::fs::read_dir(self.copy())? {
            let path = entry?.path();
            if path.is_file() {
                File::open(path)?.sync_all()?;
            }
        }
        File::open(self.copy())?.sync_all()
    }

    /// Both names change hands in one step, so there is always a whole database under the right one.
    fn swap_in_copy(&self) -> io::Result<()> {
        let (copy, database) = (self.copy(), self.database());
        rustix::fs::renameat_with(
            rustix::fs::CWD,
            &copy,
            rustix::fs::CWD,
            &database,
            RenameFlags::EXCHANGE,
        )?;
        File::open(&self.path)?.sync_all()?;
        remove_directory(&copy)
    }

    fn newer(&self, found: u32) -> OpenError {
        OpenError::NewerSchema {
            path: self.path.clone(),
            found,
            known: migrations::SCHEMA,
        }
    }

    fn database_error(&self, error: impl std::fmt::Display) -> OpenError {
        OpenError::Database {
            path: self.path.clone(),
            error: error.to_string(),
        }
    }
}

/// Says beside the database that it was closed in order: all that stands in its log is whole, and a
/// start need not look through what sled itself does not read. Durable. Blocks.
pub(super) fn mark_closed(database: &Path) -> io::Result<()> {
    File::create(closed_mark(database))?.sync_all()?;
    sync_parent(database)
}

/// Whether that was said; from now on it is no more.
fn take_closed_mark(database: &Path) -> io::Result<bool> {
    match std::fs::remove_file(closed_mark(database)) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(false),
        Err(error) => Err(error),
        Ok(()) => sync_parent(database).map(|()| true),
    }
}

fn closed_mark(database: &Path) -> PathBuf {
    database.with_file_name("closed")
}

fn sync_parent(database: &Path) -> io::Result<()> {
    let parent = database.parent().unwrap_or(database);
    File::open(parent)?.sync_all()
}

/// Whether the content is at most so many bytes, found out without a look at more of it.
fn has_at_most(trees: &Trees, max: u64) -> bool {
    let mut entries = trees
        .all()
        .into_iter()
        .flat_map(|tree| tree.iter().flatten());
    let left = entries.try_fold(max, |left, (key, value)| {
        left.checked_sub((key.len() + value.len()) as u64)
    });
    left.is_some()
}

fn remove_directory(path: &Path) -> io::Result<()> {
    match std::fs::remove_dir_all(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}
