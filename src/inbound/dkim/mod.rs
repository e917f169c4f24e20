//! Signing mail as it is accepted (RFC 6376): which key, when not, and what a failure means.
//!
//! What is signed and how the field looks is `message::dkim`'s. The keys' arithmetic, about a
//! millisecond for RSA, is done on threads that may wait, a few messages at a time; the header section
//! is read back from the stored octets for it, so that no session holds it.

mod key;
mod keyring;

pub use key::{SigningKey, load_dkim_key};
pub use keyring::{DkimKeyError, check_dkim_keys};

use std::sync::Arc;

use tokio::sync::Semaphore;

use crate::config::DkimKeyConfig;
use crate::mail::limits::DKIM_SIGNINGS_MAX;
use crate::mail::{Domain, QueueId};
use crate::message::dkim::{Signable, Unsigned};
use crate::message::{Scanned, Trace};
use crate::observe::{Events, MailEvent};
use crate::store::FinishedBody;

use keyring::{Keyring, Signer};

/// A message has a key and can't be signed now; it was told.
#[derive(Debug)]
pub(super) struct NotSigned;

/// Signs messages.
pub(super) struct Dkim {
    keyring: Keyring,
    turns: Semaphore,
    events: Events,
}

impl Dkim {
    /// `None` without keys. Reads their files, so it blocks for a moment.
    pub(super) fn new(
        keys: &[DkimKeyConfig],
        events: &Events,
    ) -> Result<Option<Dkim>, DkimKeyError> {
        if keys.is_empty() {
            return Ok(None);
        }
        Ok(Some(Dkim {
            keyring: Keyring::load(keys)?,
            turns: Semaphore::new(DKIM_SIGNINGS_MAX),
            events: events.clone(),
        }))
    }

    /// Takes up changed keys, for ever.
    pub(super) async fn watch(&self) -> std::convert::Infallible {
        self.keyring.watch(&self.events).await
    }

    /// The DKIM-Signature fields of a message, one for each key of its author's domain or of the
    /// nearest domain above that has any; none, told, if there is no such key or the message is one
    /// that can't be signed.
    pub(super) async fn signatures(
        &self,
        trace: &Trace<'_>,
        scanned: &Scanned,
        body: &FinishedBody,
    ) -> Result<Vec<u8>, NotSigned> {
        let Some(digest) = scanned.body else {
            return Ok(Vec::new()); // hashed always, where this is asked
        };
        let Ok(_turn) = self.turns.acquire().await else {
            return Err(self.failed(trace.id, None, "shutting down")); // it is never closed
        };
        let section = match body.head(scanned.header.section_len).await {
            Ok(section) if section.len() == scanned.header.section_len => section,
            Ok(_) => return Err(self.failed(trace.id, None, "the stored message is cut short")),
            Err(error) => {
                let error = format!("the stored message can't be read: {error}");
                return Err(self.failed(trace.id, None, &error));
            }
        };
        let added = trace.missing_fields();
        let (header, now) = (&scanned.header, trace.now);
        let signable = match Signable::new(added.as_bytes(), &section, header, digest, now) {
            Ok(signable) => signable,
            Err(why) => return Ok(self.unsigned(trace.id, None, &why)),
        };
        drop(section);
        let Some((domain, signers)) = self.keyring.signers_for(signable.author()) else {
            return Ok(self.unsigned(trace.id, Some(signable.author()), &Unsigned::NoKey));
        };
        let sign = {
            let (domain, signers) = (domain.clone(), Arc::clone(&signers));
            move || all_fields(&signable, &domain, &signers)
        };
        let signed = tokio::task::spawn_blocking(sign).await;
        match signed.unwrap_or_else(|_| Err("the signing thread ended".to_owned())) {
            Ok(fields) => {
                self.events.emit(MailEvent::DkimSigned {
                    id: trace.id,
                    domain: domain.as_str(),
                    keys: &signers
                        .iter()
                        .map(|signer| (signer.key.algorithm(), signer.selector.as_str()))
                        .collect::<Vec<_>>(),
                });
                Ok(fields)
            }
            Err(error) => Err(self.failed(trace.id, Some(&domain), &error)),
        }
    }

    fn unsigned(&self, id: QueueId, domain: Option<&Domain>, why: &Unsigned) -> Vec<u8> {
        self.events.emit(MailEvent::DkimUnsigned {
            id,
            domain: domain.map(Domain::as_str),
            why: &why.to_string(),
        });
        Vec::new()
    }

    fn failed(&self, id: QueueId, domain: Option<&Domain>, error: &str) -> NotSigned {
        self.events.emit(MailEvent::DkimFailed {
            id,
            domain: domain.map(Domain::as_str),
            error,
        });
        NotSigned
    }
}

/// All or none: a message with one signature of two would say that the other key is gone.
fn all_fields(
    signable: &Signable,
    domain: &Domain,
    signers: &[Arc<Signer>],
) -> Result<Vec<u8>, String> {
    let mut fields = Vec::new();
    for signer in signers {
        let algorithm = signer.key.algorithm();
        let prepared = signable.prepare(domain, signer.selector.as_str(), algorithm);
        let signature = signer.key.sign(prepared.octets())?;
        fields.extend(prepared.field(signature));
    }
    Ok(fields)
}
