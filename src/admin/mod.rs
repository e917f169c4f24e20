//! What the operator asks and gets told: answered alike by the running relay, over its control
//! socket, and by a command that has opened the store itself.
//!
//! Never here: sockets, the command line, and how an answer is printed.

pub mod api;
mod by;
mod entry;
mod explain;
mod explanation;
mod list;
mod pattern;
#[cfg(test)]
mod samples;
mod seam;
mod selection;
mod show;
mod told;
mod walk;
mod why;

pub use by::By;
pub use explanation::{
    ExplainedHost, ExplainedMessage, ExplainedRecipient, ExplainedWay, Explanation,
};
pub use list::Parts;

use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use futures_util::future::BoxFuture;

use crate::config::{Config, Mode};
use crate::mail::{QueueId, RecipientNo};
use crate::observe::Events;
use crate::outbound::Ways;
use crate::store::{CommitError, ReadError, Store};

use api::Reloaded;

/// Reads the configuration anew and puts it in force, or says in one text everything that is wrong
/// with it; then nothing has changed.
pub type Reload = Arc<dyn Fn(By) -> BoxFuture<'static, Result<Reloaded, String>> + Send + Sync>;

/// Whether a recipient is being attempted right now.
type InFlight = Arc<dyn Fn(QueueId, RecipientNo) -> bool + Send + Sync>;

/// Answers the operator. Cheap to clone.
#[derive(Clone)]
pub struct Admin {
    /// Where the mail is; `None`: there is no queue yet.
    store: Option<Store>,
    ways: Ways,
    events: Events,
    /// What becomes of mail that is imported.
    mode: Mode,
    in_flight: InFlight,
    reload: Option<Reload>,
    verbose: Option<Arc<AtomicBool>>,
}

/// Why there is no answer. One line that says what to do.
#[derive(Debug, thiserror::Error)]
pub enum AdminError {
    /// Neither an address nor a queue id, or of something that is not there.
    #[error("{0}")]
    NotFound(String),
    /// The question can't be read.
    #[error("{0}")]
    Malformed(String),
    /// Only a running relay can do that.
    #[error("{0}")]
    NotHere(&'static str),
    /// Everything that is wrong with what was to be put in force.
    #[error("{0}")]
    Invalid(String),
    /// Too much is under way.
    #[error("{0}")]
    TooMany(String),
    /// The store.
    #[error(transparent)]
    Store(#[from] ReadError),
    /// The store could not make a change durable.
    #[error(transparent)]
    Commit(#[from] CommitError),
}

impl Admin {
    /// Over a store, or none where there is no queue yet.
    #[must_use]
    pub fn new(config: &Config, store: Option<Store>, ways: Ways, events: Events) -> Admin {
        Admin {
            store,
            ways,
            events,
            mode: config.mode,
            in_flight: Arc::new(|_, _| false),
            reload: None,
            verbose: None,
        }
    }

    /// With what reads the configuration anew; without it there is none to be told.
    #[must_use]
    pub fn with_reload(self, reload: Reload) -> Admin {
        let reload = Some(reload);
        Admin { reload, ..self }
    }

    /// With what says whether the audit stream has everything; without it there is no stream.
    #[must_use]
    pub fn with_audit(self, verbose: Arc<AtomicBool>) -> Admin {
        let verbose = Some(verbose);
        Admin { verbose, ..self }
    }
}
