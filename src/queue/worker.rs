//! One attempt: from a claim to a recorded verdict.

use std::collections::HashMap;
use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::time::{Duration, Instant};

use futures_util::FutureExt as _;

use tokio_util::sync::CancellationToken;

use crate::mail::{
    Answer, EnhancedCode, Message, QueueId, Reason, Recipient, RecipientNo, RecipientState,
    UnixMillis,
};
use crate::observe::{Events, MailEvent, ProcessEvent, QueueEvent, SeenByThen};
use crate::store::{Loaded, Note, ReadError, Store};

use super::custody::{Custody, InHand};
use super::decided::Decided;
use super::line::Ending;
use super::lines::Claim;
use super::operator::bounced;
use super::overtaken::seen;
use super::recorder::{How, InTrouble, Recorded, Recorder};
use super::settings::Live;
use super::standing::Learned;
use super::{
    Action, Assignment, Clock, Contact, Deliver, Jitter, Outcome, Outcomes, after_attempt,
};

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
    /// Recipients of the claim that were in other hands.
    pub(super) refused: Vec<RecipientNo>,
}

impl Ended {
    /// Without anything learned.
    pub(super) fn by(ending: Ending) -> Ended {
        Ended {
            ending,
            learned: Learned::Nothing,
            refused: Vec::new(),
        }
    }
}

impl<D: Deliver> Worker<D> {
    /// Attempts a claim and records what came of it. Recipients that somebody has in hand are left
    /// out, and said in the end.
    ///
    /// If the future is dropped, the claim is given back by that; the remote may have the message.
    pub(super) async fn attempt(&self, errand: &Errand) -> Ended {
        let Claim { id, nos, .. } = &errand.claim;
        let Some(in_hand) = self.custody.for_attempt(*id, nos) else {
            return Ended {
                refused: nos.clone(),
                ..Ended::by(Ending::Done)
            };
        };
        let refused = nos.iter().filter(|no| !in_hand.nos().contains(no));
        let refused = refused.copied().collect();
        let mut under_way = UnderWay {
            events: &self.events,
            id: *id,
            recipients: Vec::new(),
            in_hand,
        };
        let ended = self.attempt_those(errand, &mut under_way).await;
        self.bounce_what_was_ordered(*id, &mut under_way.in_hand)
            .await;
        Ended { refused, ..ended }
    }

    /// The recipients in hand.
    async fn attempt_those(&self, errand: &Errand, under_way: &mut UnderWay<'_>) -> Ended {
        let assignment = match self.load(errand, under_way.in_hand.nos()).await {
            Ok(Some(assignment)) => assignment,
            Ok(None) => return Ended::by(Ending::Done),
            Err(ending) => return Ended::by(ending),
        };
        under_way.recipients.clone_from(&assignment.recipients);
        let began = Instant::now();
        let Some(outcomes) = self.deliver_unless_put_off(&assignment, errand).await else {
            under_way.recipients.clear();
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
        let given: Vec<Option<SeenByThen>> = decided.iter().map(|d| seen(&d.verdict)).collect();
        under_way.recipients.clear(); // what they gave is known
        let recorded = self.recorder.record(&message, decided, InTrouble::Insist);
        match recorded.await {
            Ok(recorded) => {
                for (recorded, given) in recorded.iter().zip(given) {
                    self.tell(&message, recorded, took, now);
                    self.tell_if_overtaken(message.id, recorded, given, &under_way.in_hand);
                }
                Ended {
                    learned,
                    ..Ended::by(Ending::Done)
                }
            }
            Err(_closed) => Ended::by(Ending::GivenBack),
        }
    }

    /// What the operator wanted bounced while it was attempted, if it is still there. Then they are
    /// given back.
    async fn bounce_what_was_ordered(&self, id: QueueId, in_hand: &mut InHand) {
        loop {
            let wanted = in_hand.give_back_unless_bounced();
            if wanted.is_empty() {
                return;
            }
            let Ok(Some(loaded)) = self.store.entry(id).await else {
                continue; // removed, or told by the store: it is held until another order
            };
            let decide = |(no, note): (RecipientNo, Arc<Note>)| {
                let rcpt = loaded.recipients.iter().find(|rcpt| rcpt.no == no)?;
                bounced(&loaded.message, rcpt, note, (self.clock)())
            };
            let decided: Vec<Decided> = wanted.into_iter().filter_map(decide).collect();
            // If the store was closed they are held, and the operator can order it again.
            let recorded = self
                .recorder
                .record(&loaded.message, decided, InTrouble::Insist);
            let _ = recorded.await;
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
    async fn load(
        &self,
        errand: &Errand,
        nos: &[RecipientNo],
    ) -> Result<Option<Assignment>, Ending> {
        let claim = &errand.claim;
        let loaded = match self.store.load(claim.id, nos).await {
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

    fn tell(&self, message: &Message, recorded: &Recorded, took: Duration, now: UnixMillis) {
        let Recorded { decided, how } = recorded;
        let Some(answer) = decided.verdict.answer().filter(|_| *how != How::Void) else {
            return;
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

    /// An attempt whose recipient is gone is told as well, as far as a host took it.
    fn tell_if_overtaken(
        &self,
        id: QueueId,
        recorded: &Recorded,
        given: Option<SeenByThen>,
        in_hand: &InHand,
    ) {
        let Recorded { decided, how } = recorded;
        if let (Some(seen), How::Overtaken | How::Void) = (given, how) {
            let action = in_hand.ordered(decided.before.no);
            self.events.emit(MailEvent::Overtaken {
                id,
                recipient: &decided.after,
                action: action.map_or_else(|| order_in(&decided.before), Action::as_str),
                seen,
            });
        }
    }
}

/// Attempts whose outcome is not known yet: if they are broken off, what the operator ordered
/// meanwhile stands, and that is told.
struct UnderWay<'a> {
    events: &'a Events,
    id: QueueId,
    recipients: Vec<Recipient>,
    in_hand: InHand,
}

impl Drop for UnderWay<'_> {
    fn drop(&mut self) {
        for rcpt in &self.recipients {
            if let Some(action) = self.in_hand.ordered(rcpt.no) {
                self.events.emit(MailEvent::Overtaken {
                    id: self.id,
                    recipient: rcpt,
                    action: action.as_str(),
                    seen: SeenByThen::Unknown,
                });
            }
        }
    }
}

/// What was ordered about a recipient, by what it has become.
fn order_in(rcpt: &Recipient) -> &'static str {
    let action = match rcpt.state {
        RecipientState::Held { .. } => Action::Hold,
        RecipientState::Purged { .. } => Action::Purge,
        RecipientState::Failed => Action::Bounce,
        RecipientState::Queued { .. }
        | RecipientState::Deferred { .. }
        | RecipientState::Delivered
        | RecipientState::Expired => Action::Retry,
    };
    action.as_str()
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
