//! Reading everything, to find what is damaged before it is needed; and, if that is wanted, putting it
//! aside. Mail goes on meanwhile: what is found is looked at again before it is told.

mod check;
mod repair;

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use crate::mail::QueueId;

use super::engine::Trees;
use super::{ReadError, Store, VerifyError, read};
use check::{Check, Findings};

/// How often a step is tried, and the pause between.
const TRIES: usize = 20;
const TRY_AGAIN: Duration = Duration::from_millis(500);

/// Where [`Store::verify`] goes on.
#[derive(Clone, Debug)]
pub struct VerifyFrom {
    part: Part,
    key: Vec<u8>,
}

/// What is gone through, in this order.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Part {
    /// Every message with its recipients, its body, its history and its places in line.
    Messages,
    /// What belongs to a message that is not there.
    StrayRecipients,
    StrayBodies,
    StrayHistory,
    Destinations,
    /// Places in line in which nobody should stand.
    Places,
}

impl Part {
    fn next(self) -> Option<Part> {
        match self {
            Part::Messages => Some(Part::StrayRecipients),
            Part::StrayRecipients => Some(Part::StrayBodies),
            Part::StrayBodies => Some(Part::StrayHistory),
            Part::StrayHistory => Some(Part::Destinations),
            Part::Destinations => Some(Part::Places),
            Part::Places => None,
        }
    }
}

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
    /// What is wrong with it, in one line, safe to show.
    pub error: String,
    /// Where it was put. Also `None` if there was nothing to put aside, such as for what is missing.
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
    /// damaged is put aside, see `docs/durability.md`. Each step is short enough for others to come in
    /// between; a body is read whole.
    pub async fn verify(
        &self,
        from: Option<VerifyFrom>,
        repair: bool,
    ) -> Result<VerifyPage, VerifyError> {
        let from = from.unwrap_or(VerifyFrom {
            part: Part::Messages,
            key: Vec::new(),
        });
        let (check, was_moving, generation) = {
            let map = self.0.routing.map();
            let destination_of = self.0.routing.destination_of();
            (Check { destination_of }, map.is_moving(), map.generation())
        };
        let VerifyFrom { part, key } = from;
        let Findings {
            found,
            messages,
            mut bytes,
            bodies,
            next,
        } = self.check_step(check, part, key).await?;
        let mut damaged = Vec::new();
        let mut findings = found;
        // Mail that is on its way to other lines stands where it should soon; the next start looks as well.
        if was_moving || self.0.routing.map().generation() != generation {
            findings.retain(|finding| finding.damage.what != DamagedWhat::Place);
        }
        for message in bodies {
            let (read, finding) = self.check_body_file(message).await?;
            bytes += read;
            findings.extend(finding);
        }
        for finding in findings {
            damaged.push(match repair {
                true => self.repair(finding).await?,
                false => finding.damage,
            });
        }
        let next = match next {
            Some(key) => Some(VerifyFrom { part, key }),
            None => part.next().map(|part| VerifyFrom {
                part,
                key: Vec::new(),
            }),
        };
        Ok(VerifyPage {
            damaged,
            messages,
            bytes,
            next,
        })
    }

    /// If the database can't be read, that may be mended meanwhile, see `log_check`.
    async fn check_step(
        &self,
        check: Check,
        part: Part,
        key: Vec<u8>,
    ) -> Result<Findings, ReadError> {
        let check = Arc::new(check);
        let mut tries = 1..TRIES;
        loop {
            let (check, key) = (check.clone(), key.clone());
            let step = move |trees: &Trees| check.step(trees, part, key);
            match read::in_background(&self.0.background, &self.0.engine, step).await {
                Err(ReadError::Failed(_)) if tries.next().is_some() => {
                    tokio::time::sleep(TRY_AGAIN).await;
                }
                done => return done,
            }
        }
    }
}

#[cfg(test)]
mod tests;
