//! What the operator asks and gets told: answered alike by the running relay, over its control
//! socket, and by a command that has opened the store itself.
//!
//! Never here: sockets, the command line, and how an answer is printed.

pub mod api;
mod by;
mod destinations;
mod entry;
mod explain;
mod explanation;
mod import;
mod list;
mod order;
mod pattern;
mod relay;
#[cfg(test)]
mod samples;
mod selection;
mod show;
mod stats;
mod told;
mod verify;
mod walk;
mod why;

pub use by::By;
pub use explanation::{
    ExplainedHost, ExplainedMessage, ExplainedRecipient, ExplainedWay, Explanation,
};
pub use list::Parts;

use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::time::Duration;

use futures_util::future::BoxFuture;
use tokio::sync::Semaphore;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::config::Config;
use crate::observe::Events;
use crate::outbound::Ways;
use crate::queue::Operator;
use crate::store::{CommitError, ReadError, Store};

use api::Reloaded;
use import::ImportRules;
use order::ORDERS_MAX;

/// Pages that are read at one time.
const TURNS: usize = 4;

/// Reads the configuration anew and puts it in force, or says in one text everything that is wrong
/// with it; then nothing has changed.
pub type Reload = Arc<dyn Fn(By) -> BoxFuture<'static, Result<Reloaded, String>> + Send + Sync>;

/// Answers the operator. Cheap to clone.
#[derive(Clone)]
pub struct Admin {
    /// Where the mail is; `None`: there is no queue yet.
    store: Option<Store>,
    ways: Ways,
    events: Events,
    /// Carries out orders; there is one if there is a store.
    operator: Option<Operator>,
    import: ImportRules,
    undo_window: Duration,
    /// Room for orders.
    orders: Arc<Semaphore>,
    /// Room for pages that are read for lists and orders at one time: others want readers as well.
    turns: Arc<Semaphore>,
    /// Room for one that reads everything.
    verifying: Arc<Semaphore>,
    /// Orders under way.
    errands: TaskTracker,
    /// Ends them.
    stopping: CancellationToken,
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
        let operator = |store| Operator::without_queue(config, store, events.clone());
        Admin {
            operator: store.clone().map(operator),
            store,
            ways,
            events,
            import: ImportRules::of(config),
            undo_window: config.queue.undo_window,
            orders: Arc::new(Semaphore::new(ORDERS_MAX)),
            turns: Arc::new(Semaphore::new(TURNS)),
            verifying: Arc::new(Semaphore::new(1)),
            errands: TaskTracker::new(),
            stopping: CancellationToken::new(),
            reload: None,
            verbose: None,
        }
    }

    /// Beside a queue that runs: orders go by way of it.
    #[must_use]
    pub fn with_operator(self, operator: Operator) -> Admin {
        let operator = Some(operator);
        Admin { operator, ..self }
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

    /// Ends the orders that are under way, each between two of its pages, and waits for that.
    pub async fn finish(&self) {
        self.stopping.cancel();
        self.errands.close();
        self.errands.wait().await;
    }
}
