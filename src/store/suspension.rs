//! Destinations that get no attempts for a while, as the tree `destinations` has them. Older
//! programs don't look at that tree, so it needed no new schema.

use crate::mail::{Answer, Destination, UnixMillis};

use super::committer::Work;
use super::engine::Trees;
use super::{CommitError, ReadError, Store, read, record};

/// That a destination is suspended, and why.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Suspension {
    /// When it was suspended for the first time since it last answered.
    pub since: UnixMillis,
    /// Until then it gets no attempts; then one, and no more before that is answered. `None`: until
    /// somebody resumes it.
    pub until: Option<UnixMillis>,
    /// Why.
    pub cause: SuspensionCause,
}

/// Why a destination is suspended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SuspensionCause {
    /// No host answered.
    Trouble {
        /// How many times in a row it was suspended, this one included.
        times: u32,
        /// What went wrong last.
        answer: Answer,
    },
    /// The operator said so.
    Order {
        /// Who, cut to a bound and escaped.
        by: Box<str>,
        /// In their words, cut to a bound and escaped; empty: none given.
        reason: Box<str>,
    },
}

impl Suspension {
    /// Whether there is no attempt at `now`.
    #[must_use]
    pub fn holds_at(&self, now: UnixMillis) -> bool {
        self.until.is_none_or(|until| until > now)
    }

    /// Whether the operator said so.
    #[must_use]
    pub fn is_ordered(&self) -> bool {
        matches!(self.cause, SuspensionCause::Order { .. })
    }
}

impl Store {
    /// Every destination that is suspended, in the order of names.
    pub async fn suspensions(&self) -> Result<Vec<(Destination, Suspension)>, ReadError> {
        read::on_reader(&self.0.engine, all).await
    }

    /// Whether this destination is suspended, and why.
    pub async fn suspension(
        &self,
        destination: &Destination,
    ) -> Result<Option<Suspension>, ReadError> {
        let destination = destination.clone();
        let one = move |trees: &Trees| one(trees, &destination);
        read::on_reader(&self.0.engine, one).await
    }

    /// Remembers that destinations are suspended, over restarts; `None`: that one no more is.
    pub async fn keep_suspensions(
        &self,
        kept: Vec<(Destination, Option<Suspension>)>,
    ) -> Result<(), CommitError> {
        self.ask(|done| Work::KeepSuspensions(kept, done)).await
    }

    /// Suspends a destination: whoever works through the queue hears of it by [`News`]. Durable.
    pub async fn suspend(
        &self,
        destination: &Destination,
        suspension: Suspension,
    ) -> Result<(), CommitError> {
        let destination = destination.clone();
        self.ask(|done| Work::Suspend(destination, suspension, done))
            .await
    }

    /// Lifts the suspension of a destination: whoever works through the queue hears of it by
    /// [`News`], and its mail is attempted at once. Whether it was suspended.
    pub async fn resume(&self, destination: &Destination) -> Result<bool, CommitError> {
        let destination = destination.clone();
        self.ask(|done| Work::Resume(destination, done)).await
    }
}

/// A destination is suspended, or no more.
pub(super) type Kept = (Destination, Option<Suspension>);

/// All of them. Damaged records are left out: without one, a destination is attempted.
pub(super) fn all(trees: &Trees) -> Result<Vec<(Destination, Suspension)>, ReadError> {
    let mut found = Vec::new();
    for entry in &trees.destinations {
        let (key, sealed) = entry.map_err(read::failed)?;
        if let Ok(name) = std::str::from_utf8(&key)
            && let Ok(suspension) = record::open_suspension(&key, &sealed)
        {
            found.push((Destination::from_stored(name), suspension));
        }
    }
    Ok(found)
}

/// That of one destination.
pub(super) fn one(
    trees: &Trees,
    destination: &Destination,
) -> Result<Option<Suspension>, ReadError> {
    let key = destination.as_str().as_bytes();
    let sealed = trees.destinations.get(key);
    let sealed = sealed.map_err(read::failed)?;
    Ok(sealed.and_then(|sealed| record::open_suspension(key, &sealed).ok()))
}
