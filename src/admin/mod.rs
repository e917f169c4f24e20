//! What the operator asks and gets told: answered alike by the running relay, over its control
//! socket, and by a command that has opened the store itself.
//!
//! Never here: sockets, the command line, and how an answer is printed.

pub mod api;
mod explain;
mod explanation;
mod why;

pub use explanation::{
    ExplainedHost, ExplainedMessage, ExplainedRecipient, ExplainedWay, Explanation,
};

use crate::outbound::Ways;
use crate::store::{ReadError, Store};

/// Answers the operator. Cheap to clone.
#[derive(Clone)]
pub struct Admin {
    /// Where the mail is; `None`: there is no queue yet.
    store: Option<Store>,
    ways: Ways,
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
    /// The store.
    #[error(transparent)]
    Store(#[from] ReadError),
}

impl Admin {
    /// Over a store, or none where there is no queue yet.
    #[must_use]
    pub fn new(store: Option<Store>, ways: Ways) -> Admin {
        Admin { store, ways }
    }
}
