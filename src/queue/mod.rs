//! The life of a queued recipient, from its admission to its final state.
//!
//! Promises: decisions (`lifecycle`, `backoff`, `admission`) are pure; a verdict and the report it
//! calls for go to the store in one commit; one destination is never felt by another.

use std::future::Future;

use crate::mail::{Answer, Destination, Message, Recipient, RecipientNo};

/// Recipients of one message and one destination, to be attempted together.
#[derive(Debug)]
pub struct Assignment {
    /// What to send.
    pub message: Message,
    /// Whom to. At least one.
    pub recipients: Vec<Recipient>,
    /// Which line they stood in.
    pub destination: Destination,
}

/// What an attempt gave for each recipient of its [`Assignment`], in any order; one that is missing
/// counts as deferred.
pub type Outcomes = Vec<(RecipientNo, Outcome)>;

/// What became of one recipient in one attempt.
#[derive(Clone, Debug)]
pub enum Outcome {
    /// A host took responsibility.
    Delivered(Answer),
    /// Not now.
    Deferred(Answer),
    /// Never.
    Failed(Answer),
}

/// The way out, as the dispatcher sees it.
pub trait Deliver: Send + Sync + 'static {
    /// Makes one attempt, within a deadline of its own. Dropped midway, the message may have been
    /// taken by the remote.
    fn deliver(&self, assignment: &Assignment) -> impl Future<Output = Outcomes> + Send;
}
