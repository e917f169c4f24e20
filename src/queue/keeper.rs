//! Tells the store which destinations are suspended: one write at a time, of the latest of each, so
//! that nothing is waited for and an earlier state never overwrites a later one.

use std::collections::HashMap;

use tokio::task::JoinSet;

use crate::mail::Destination;
use crate::observe::{Events, ProcessEvent};
use crate::store::{CommitError, Store, Suspension};

/// See the module. Bounded by the destinations with work.
pub(super) struct Keeper {
    store: Store,
    events: Events,
    unwritten: HashMap<Destination, Option<Suspension>>,
    writing: JoinSet<Result<(), CommitError>>,
}

impl Keeper {
    pub(super) fn new(store: Store, events: Events) -> Keeper {
        Keeper {
            store,
            events,
            unwritten: HashMap::new(),
            writing: JoinSet::new(),
        }
    }

    /// A destination is suspended; `None`: no more.
    pub(super) fn keep(&mut self, destination: &Destination, suspension: Option<Suspension>) {
        self.unwritten.insert(destination.clone(), suspension);
        self.write();
    }

    /// Ends when a write did, which makes room for the next; never, if there is none. Cancel-safe.
    pub(super) async fn written(&mut self) {
        match self.writing.join_next().await {
            Some(Ok(Err(error @ (CommitError::DiskFull | CommitError::Failed(_))))) => {
                self.events.emit(ProcessEvent::Warning {
                    what: &format!("a suspension is not remembered: {error}"),
                    todo: "nothing: it holds until a restart",
                });
            }
            // a store that is closed has said so, and a write that was aborted is our own end
            Some(Ok(Ok(()) | Err(CommitError::Closed)) | Err(_)) => {}
            None => std::future::pending().await,
        }
        self.write();
    }

    /// Waits until all is written.
    pub(super) async fn finish(&mut self) {
        while !self.writing.is_empty() {
            self.written().await;
        }
    }

    fn write(&mut self) {
        if self.writing.is_empty() && !self.unwritten.is_empty() {
            let kept = self.unwritten.drain().collect();
            let store = self.store.clone();
            self.writing
                .spawn(async move { store.keep_suspensions(kept).await });
        }
    }
}
