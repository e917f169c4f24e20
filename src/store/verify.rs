//! Reading everything, to find what is damaged before it is needed.

use std::path::PathBuf;

use crate::mail::QueueId;

use super::{Store, VerifyError};

/// Where [`Store::verify`] goes on.
#[derive(Clone, Debug)]
pub struct VerifyFrom(());

/// What one step of [`Store::verify`] found.
#[derive(Debug, Default)]
pub struct VerifyPage {
    /// What is damaged.
    pub damaged: Vec<Damage>,
    /// Messages that were read for this page.
    pub messages: u64,
    /// Octets of bodies that were read for this page.
    pub bytes: u64,
    /// `None`: that was all.
    pub next: Option<VerifyFrom>,
}

/// Something is damaged.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Damage {
    /// The message, if that can be told.
    pub id: Option<QueueId>,
    /// What kind of thing it is.
    pub what: DamagedWhat,
    /// What is wrong with it, in one line, made safe to show.
    pub error: String,
    /// Where it was put.
    pub quarantined: Option<PathBuf>,
}

/// See [`Damage`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum DamagedWhat {
    /// The record of a message.
    Message,
    /// The record of a recipient, or one that is missing.
    Recipient,
    /// The octets of a message.
    Body,
    /// What was tried and done for a recipient.
    History,
    /// That a destination is suspended.
    Destination,
    /// A place in line that is wrong or missing.
    Place,
}

impl DamagedWhat {
    /// Lower case, as in JSON.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            DamagedWhat::Message => "message",
            DamagedWhat::Recipient => "recipient",
            DamagedWhat::Body => "body",
            DamagedWhat::History => "history",
            DamagedWhat::Destination => "destination",
            DamagedWhat::Place => "place",
        }
    }
}

impl Store {
    /// Reads the next part of everything that is stored, beginning with `None`. With `repair`, what is
    /// damaged is put aside, see `docs/durability.md`.
    pub async fn verify(
        &self,
        _from: Option<VerifyFrom>,
        _repair: bool,
    ) -> Result<VerifyPage, VerifyError> {
        todo!()
    }
}
