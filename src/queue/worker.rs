//! One attempt: from a claim to a recorded verdict.

use std::collections::HashMap;
use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::time::{Duration, Instant};

use futures_util::FutureExt as _;

use tokio_util::sync::CancellationToken;

use crate::mail::{Answer, EnhancedCode, Message, Reason, Recipient, RecipientNo, UnixMillis};
use crate::observe::{Events, MailEvent, ProcessEvent, QueueEvent};
use crate::store::{Loaded, ReadError, Store};

use super::custody::Custody;
use super::decided::Decided;
use super::line::Ending;
use super::lines::Claim;
use super::recorder::{Recorder, Unrecorded};
use super::settings::Live;
use super::standing::Learned;
use super::{Assignment, Clock, Contact, Deliver, Jitter, Outcome, Outcomes, after_attempt};

/// What an attempt needs. One for all of them.
pub(super) struct Worker<D> {
    pub(super) store: Store,
    pub(super) deliver: Arc<D>,
    pub(super) recorder: Arc<Recorder>,
    pub(super) custody: Custody,
    pub(super) settings: Live,
    pub(super) events: Events,
    pub(super) clock: Clock,
}

/// A claim on its way out.
#[derive(Debug)]
pub(super) struct Errand {
    pub(super) claim: Claim,
    pub(super) contact: Contact,
    /// Others need the slot.
    pub(super) put_off: CancellationToken,
}

/// How it ended, and what that shows about its destination.
#[derive(Debug)]
pub(super) struct Ended {
    pub(super) ending: Ending,
    pub(super) learned: Learned,
}

impl Ended {
    /// Without anything learned.
    pub(super) fn by(ending: Ending) -> Ended {
        Ended {
            ending,
            learned: Learned::Nothing,
        }
    }
}

impl<D: Deliver> Worker<D> {
    /// Attempts a claim and records what came of it.
    ///
    /// If the future is dropped, the claim is given back by that; the remote may have the message.
    pub(super) async fn attempt(&self, errand: &Errand) -> Ended {
        let claim = &errand.claim;
        let Some(_in_hand) = self.custody.share(claim.id) else {
            return Ended::by(Ending::GivenBack); // the sweeper is about to end it
        };
        let assignment = match self.load(errand).await {
            Ok(Some(assignment)) => assignment,
            Ok(None) => return Ended::by(Ending::Done),
            Err(ending) => return Ended::by(ending),
        };
        let began = Instant::now();
        let Some(outcomes) = self.deliver_unless_put_off(&assignment, errand).await else {
            return Ended::by(Ending::PutOff);
        };
        let took = began.elapsed();
        let learned = learned(&errand.contact, &outcomes);
        let Assignment {
            message,
            recipients,
            ..
        } = assignment;
        // one jitter for all, so that they stay together
        let jitter = Jitter(rand::random());
        let now = (self.clock)();
        let mut outcomes: HashMap<RecipientNo, Outcome> = outcomes.into_iter().collect();
        let retry = self.settings.borrow().retry;
        let decide = |before: Recipient| {
            let seen = outcomes.remove(&before.no).unwrap_or_else(no_answer);
            let verdict = after_attempt(&message, &before, &seen, now, &retry, jitter);
            Decided::new(before, verdict, Some(now), now)
        };
        let decided: Vec<Decided> = recipients.into_iter().map(decide).collect();
        match self.recorder.record(&message, &decided).await {
            Ok(made) => {
                self.tell(&message, &decided, &made, took, now);
                Ended {
                    ending: Ending::Done,
                    learned,
                }
            }
            Err(Unrecorded) => Ended::by(Ending::GivenBack),
        }
    }

    /// `None`: put off. Nothing is recorded then: no host was given anything of the message.
    async fn deliver_unless_put_off(
        &self,
        assignment: &Assignment,
        errand: &Errand,
    ) -> Option<Outcomes> {
        let mut delivery = std::pin::pin!(self.deliver(assignment));
        tokio::select! {
            biased;
            outcomes = &mut delivery => Some(outcomes),
            () = errand.put_off.cancelled() => match errand.contact.is_made() {
                true => Some(delivery.await),
                false => None,
            }
        }
    }

    /// What there is to do for a claim. Those that are over, or due at another time by now, are left
    /// out: a claim may be made of what was read a moment too early.
    async fn load(&self, errand: &Errand) -> Result<Option<Assignment>, Ending> {
        let claim = &errand.claim;
        let loaded = match self.store.load(claim.id, &claim.nos).await {
            Ok(loaded) => loaded,
            Err(ReadError::Damaged(_)) => return Err(Ending::SetAside), // told by the store
            Err(ReadError::Failed(error)) => {
                self.events.emit(QueueEvent::DestinationTrouble {
                    destination: &claim.destination,
                    error: &error,
                });
                return Err(Ending::GivenBack);
            }
        };
        let Some(Loaded {
            message,
            mut recipients,
        }) = loaded
        else {
            return Ok(None);
        };
        recipients.retain(|rcpt| rcpt.state.due() == Some(claim.due));
        let any = !recipients.is_empty();
        // After a change of routes they are told of in their new line, once they stand there.
        recipients
            .retain(|rcpt| self.store.destination_of(rcpt.address.domain()) == claim.destination);
        if recipients.is_empty() {
            // Until they have left this line in the store, it pauses: it would be read again and again.
            return match any && self.store.is_rerouting() {
                true => Err(Ending::GivenBack),
                false => Ok(None),
            };
        }
        Ok(Some(Assignment {
            message,
            recipients,
            destination: claim.destination.clone(),
            contact: errand.contact.clone(),
        }))
    }

    /// A panic on the way out is a bug that must not cost the message: it counts as a deferral.
    async fn deliver(&self, assignment: &Assignment) -> Outcomes {
        let attempt = self.deliver.deliver(assignment);
        match AssertUnwindSafe(attempt).catch_unwind().await {
            Ok(outcomes) => outcomes,
            Err(_) => {
                self.events.emit(ProcessEvent::Alarm {
                    what: &format!("{}: a delivery attempt panicked", assignment.message.id),
                    todo: "report this as a bug, with the panic's message from the log",
                });
                Outcomes::new()
            }
        }
    }

    fn tell(
        &self,
        message: &Message,
        decided: &[Decided],
        made: &[bool],
        took: Duration,
        now: UnixMillis,
    ) {
        for (decided, _) in decided.iter().zip(made).filter(|(_, made)| **made) {
            let Some(answer) = decided.verdict.answer() else {
                continue; // no verdict of an attempt is without one
            };
            self.events.emit(MailEvent::Attempted {
                id: message.id,
                before: &decided.before,
                after: &decided.after,
                answer,
                took,
                arrival: message.arrival,
                now,
            });
        }
    }
}

/// What is final is an answer, whoever gave it: the next message will get the same at once. What is
/// our own trouble says nothing about the destination.
fn learned(contact: &Contact, outcomes: &Outcomes) -> Learned {
    if contact.is_answered() {
        return Learned::Answered;
    }
    match outcomes.first() {
        Some((_, Outcome::Delivered { .. } | Outcome::Failed(_))) => Learned::Answered,
        Some((_, Outcome::Deferred(answer))) if answer.reason != Reason::Policy => {
            Learned::Missed(Box::new(answer.clone()))
        }
        Some((_, Outcome::Deferred(_))) | None => Learned::Nothing,
    }
}

fn no_answer() -> Outcome {
    Outcome::Deferred(Answer {
        remote: None,
        status: EnhancedCode::temporary(3, 0),
        reason: Reason::Policy,
        reply: None,
        detail: "the attempt ended without an answer about this recipient".into(),
    })
}
