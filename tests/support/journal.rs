//! A list that grows while a test looks at it, and waiting for it to hold something.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::watch;

use super::deadline::{Here, within};

/// More entries than any test needs. What comes later is counted, not kept.
const ENTRIES_MAX: usize = 200_000;

/// What happened so far, in order. Clones share the list.
#[derive(Debug)]
pub struct Journal<T>(Arc<Shared<T>>);

#[derive(Debug)]
struct Shared<T> {
    entries: Mutex<Vec<T>>,
    changes: watch::Sender<u64>,
}

impl<T> Clone for Journal<T> {
    fn clone(&self) -> Journal<T> {
        Journal(Arc::clone(&self.0))
    }
}

impl<T> Default for Journal<T> {
    fn default() -> Journal<T> {
        Journal(Arc::new(Shared {
            entries: Mutex::default(),
            changes: watch::Sender::new(0),
        }))
    }
}

impl<T> Journal<T> {
    /// Adds an entry, wakes who waits, and gives its index.
    pub fn push(&self, entry: T) -> usize {
        let index = {
            let mut entries = self.entries();
            if entries.len() < ENTRIES_MAX {
                entries.push(entry);
            }
            entries.len() - 1
        };
        self.changed();
        index
    }

    /// Changes the entry at `index`, and wakes who waits.
    pub fn update(&self, index: usize, change: impl FnOnce(&mut T)) {
        if let Some(entry) = self.entries().get_mut(index) {
            change(entry);
        }
        self.changed();
    }

    /// Looks at all entries at one moment.
    pub fn read<R>(&self, look: impl FnOnce(&[T]) -> R) -> R {
        look(&self.entries())
    }

    /// Waits until `look` finds what it looks for. `describe` tells at failure what was awaited.
    pub async fn wait<R>(
        &self,
        here: Here,
        describe: impl FnOnce(&[T]) -> String,
        mut look: impl FnMut(&[T]) -> Option<R>,
    ) -> R {
        let mut changes = self.0.changes.subscribe();
        let found = async {
            loop {
                changes.mark_unchanged();
                if let Some(found) = self.read(&mut look) {
                    return found;
                }
                if changes.changed().await.is_err() {
                    std::future::pending::<()>().await; // nobody can add any more: let the deadline speak
                }
            }
        };
        within(here, || self.read(describe), found).await
    }

    fn entries(&self) -> MutexGuard<'_, Vec<T>> {
        // A failed assertion inside `read` must not hide the journal from the failure's printout.
        self.0
            .entries
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }

    fn changed(&self) {
        self.0
            .changes
            .send_modify(|version| *version = version.wrapping_add(1));
    }
}

impl<T: Clone> Journal<T> {
    /// A copy of all entries.
    pub fn all(&self) -> Vec<T> {
        self.read(<[T]>::to_vec)
    }
}
