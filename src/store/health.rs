//! Whether mail can be taken: the store commits, and the disk is not nearly full.

use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use super::CommitError;

/// A flush that runs longer than this makes new mail be refused for the time being, and health say so
/// within 10 s.
const FLUSH_SLOW: Duration = Duration::from_secs(8);

pub(super) struct Health {
    path: PathBuf,
    min_free_space: AtomicU64,
    disk_low: AtomicBool,
    state: Mutex<State>,
    /// What the committer has done so far: groups, and attempts to open the database again.
    progress: AtomicU64,
}

#[derive(Default)]
struct State {
    failed: Option<CommitError>,
    flush_since: Option<Instant>,
}

/// A flush is running as long as this lives.
pub(super) struct FlushRunning<'a>(&'a Health);

impl Health {
    pub(super) fn new(path: PathBuf, min_free_space: u64) -> Health {
        let health = Health {
            path,
            min_free_space: AtomicU64::new(min_free_space),
            disk_low: AtomicBool::new(false),
            state: Mutex::default(),
            progress: AtomicU64::new(0),
        };
        health.look_at_disk();
        health
    }

    pub(super) fn set_min_free_space(&self, bytes: u64) {
        self.min_free_space.store(bytes, Ordering::Relaxed);
        self.look_at_disk();
    }

    /// Asks the file system for its free space; called by the watchdog twice a second.
    pub(super) fn look_at_disk(&self) {
        let low = match rustix::fs::statvfs(&self.path) {
            Ok(disk) => {
                let wanted = self.min_free_space.load(Ordering::Relaxed);
                disk.f_bavail.saturating_mul(disk.f_frsize) < wanted
            }
            Err(_) => true,
        };
        self.disk_low.store(low, Ordering::Relaxed);
    }

    /// Why mail can't be taken right now, if so.
    pub(super) fn refuses(&self) -> Option<CommitError> {
        if self.disk_low.load(Ordering::Relaxed) {
            return Some(CommitError::DiskFull);
        }
        let state = self.lock();
        let slow = state
            .flush_since
            .is_some_and(|since| since.elapsed() > FLUSH_SLOW);
        state
            .failed
            .clone()
            .or(slow.then(|| CommitError::Failed("the disk is very slow".into())))
    }

    /// The committer has done something: committed, or looked whether it can again.
    pub(super) fn moves_on(&self) {
        self.progress.fetch_add(1, Ordering::Relaxed);
    }

    pub(super) fn progress(&self) -> u64 {
        self.progress.load(Ordering::Relaxed)
    }

    pub(super) fn failed(&self, error: &CommitError) {
        self.lock().failed = Some(error.clone());
    }

    pub(super) fn recovered(&self) {
        self.lock().failed = None;
    }

    pub(super) fn flush_begins(&self) -> FlushRunning<'_> {
        self.lock().flush_since = Some(Instant::now());
        FlushRunning(self)
    }

    pub(super) fn flush_running_since(&self) -> Option<Instant> {
        self.lock().flush_since
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for FlushRunning<'_> {
    fn drop(&mut self) {
        self.0.lock().flush_since = None;
    }
}
