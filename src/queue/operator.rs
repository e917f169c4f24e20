//! Carries out what the operator orders, while attempts go on. What it may change and what not stands in
//! [`Action::on`]; an attempt that is under way is not broken off, and decides with the order together
//! when it ends, as `overtaken` says.
//!
//! Pages of recipients come from the caller; each call is one step of an order, and a crash between
//! two leaves each recipient wholly changed or wholly not.

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex};

use futures_util::{StreamExt as _, stream};
use tokio::sync::watch;

use crate::config::{Config, Mode};
use crate::mail::limits::{BOUNCES_AT_ONE_TIME, DESTINATIONS_ORDERED_MAX};
use crate::mail::{
    Destination, HeldBy, Message, QueueId, Recipient, RecipientNo, RecipientState, UnixMillis,
};
use crate::observe::{Events, MailEvent, QueueEvent, wall_clock};
use crate::store::{
    CommitError, Loaded, Note, ReadError, RecipientChange, Store, Suspension, SuspensionCause,
};

use super::custody::{Custody, Order, Taken};
use super::decided::Decided;
use super::lifecycle::given_up;
use super::recorder::{How, InTrouble, Recorder};
use super::report_bound::ReportBound;
use super::settings::{Live, Settings};
use super::{Action, Clock, Pace};

/// See the module. Cheap to clone.
#[derive(Clone)]
pub struct Operator {
    store: Store,
    recorder: Arc<Recorder>,
    custody: Custody,
    events: Events,
    clock: Clock,
    /// Whether there are attempts.
    delivers: bool,
}

/// What came of a step of an order, in recipients.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Applied {
    /// It is in the store.
    pub changed: u64,
    /// Of these, they are being attempted right now: unless a host takes the mail, the order takes
    /// effect when that has ended. A bounce holds them until then.
    pub in_flight: u64,
    /// They were changed by somebody else, just now, and left alone.
    pub overtaken: u64,
}

/// Why a destination was not suspended.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SuspendError {
    /// The operator's suspensions are bounded in number.
    #[error(
        "{DESTINATIONS_ORDERED_MAX} destinations are suspended by operators already; resume some of them"
    )]
    TooMany,
    /// The store could not be read.
    #[error(transparent)]
    Read(#[from] ReadError),
    /// The store could not be written.
    #[error(transparent)]
    Commit(#[from] CommitError),
}

impl std::ops::AddAssign for Applied {
    fn add_assign(&mut self, more: Applied) {
        self.changed += more.changed;
        self.in_flight += more.in_flight;
        self.overtaken += more.overtaken;
    }
}

impl Operator {
    pub(super) fn new(
        config: &Config,
        store: Store,
        recorder: Arc<Recorder>,
        custody: Custody,
        events: Events,
        clock: Clock,
    ) -> Operator {
        Operator {
            store,
            recorder,
            custody,
            events,
            clock,
            delivers: config.mode == Mode::Deliver,
        }
    }

    /// For a command that has opened the store itself, where no queue runs: nothing is in flight.
    #[must_use]
    pub fn without_queue(config: &Config, store: Store, events: Events) -> Operator {
        let clock: Clock = Arc::new(wall_clock);
        let (_, settings) = watch::channel(Arc::new(Settings::of(config)));
        let recorder = recorder(config, settings, &store, &events, &clock);
        Operator::new(config, store, recorder, Custody::default(), events, clock)
    }

    /// Whether an attempt of this recipient is under way.
    #[must_use]
    pub fn is_in_flight(&self, id: QueueId, no: RecipientNo) -> bool {
        self.custody.is_in_attempt(id, no)
    }

    /// Recipients whose attempts are under way.
    #[must_use]
    pub fn in_flight(&self) -> usize {
        self.custody.in_attempt()
    }

    /// One step of an order, for those of `found` that it can be for: one commit, but for a bounce,
    /// which makes one for each message, with its report.
    ///
    /// A retry also lifts the suspensions of destinations for want of an answer: whoever orders it
    /// knows better. It does not lift what an operator suspended.
    ///
    /// If the future is dropped, it may or may not have been done; the same order again does the rest.
    pub async fn apply(
        &self,
        action: Action,
        found: Vec<Loaded>,
        note: Arc<Note>,
        pace: &mut Pace,
    ) -> Result<Applied, CommitError> {
        let order = Order { action, note };
        if action == Action::Bounce {
            return self.bounce(found, order).await;
        }
        let changes = self.changes(&order, found, pace);
        let (applied, changed) = self.change(changes, &order).await?;
        if action == Action::Retry {
            self.lift_suspensions(changed).await?;
        }
        Ok(applied)
    }

    /// No attempts at a destination until `until`, or until it is resumed. Attempts under way go on.
    /// What is known about it otherwise stays; its mail keeps its times, and expires.
    pub async fn suspend(
        &self,
        destination: &Destination,
        until: Option<UnixMillis>,
        reason: &str,
        by: &str,
    ) -> Result<Suspension, SuspendError> {
        let others = self.store.suspensions().await?;
        let ordered = |(other, suspension): &&(Destination, Suspension)| {
            suspension.is_ordered() && other != destination
        };
        if others.iter().filter(ordered).count() >= DESTINATIONS_ORDERED_MAX {
            return Err(SuspendError::TooMany);
        }
        let now = (self.clock)();
        let suspension = Suspension {
            since: now,
            until,
            cause: SuspensionCause::Order {
                by: by.into(),
                reason: reason.into(),
            },
        };
        self.store.suspend(destination, suspension.clone()).await?;
        self.events.emit(QueueEvent::SuspendedByOrder {
            destination,
            span: until.map(|until| until.since(now)),
            by,
            reason,
        });
        Ok(suspension)
    }

    /// Its mail is attempted at once. Whether it was suspended.
    pub async fn resume(&self, destination: &Destination) -> Result<bool, CommitError> {
        self.store.resume(destination).await
    }

    #[cfg(test)]
    pub(super) fn custody(&self) -> Custody {
        self.custody.clone()
    }

    fn changes(&self, order: &Order, found: Vec<Loaded>, pace: &mut Pace) -> Vec<RecipientChange> {
        let now = (self.clock)();
        let mut changes = Vec::new();
        for Loaded {
            message,
            recipients,
        } in found
        {
            for before in recipients {
                let due = pace.peek();
                let Some(state) = order.action.on(&before, due, now) else {
                    continue;
                };
                pace.took();
                let state = match state {
                    // nobody releases it any more: the mode has been left
                    RecipientState::Held { by: HeldBy::Mode } if self.delivers => {
                        RecipientState::Queued { due: now }
                    }
                    state => state,
                };
                let after = Recipient {
                    state,
                    ..before.clone()
                };
                changes.push(RecipientChange {
                    id: message.id,
                    before,
                    after,
                    note: Some(order.note.clone()),
                });
            }
        }
        changes
    }

    /// One commit. The destinations of what it changed are told as well.
    async fn change(
        &self,
        changes: Vec<RecipientChange>,
        order: &Order,
    ) -> Result<(Applied, BTreeSet<Destination>), CommitError> {
        let mut applied = Applied::default();
        let mut destinations = BTreeSet::new();
        if changes.is_empty() {
            return Ok((applied, destinations));
        }
        let in_attempt =
            |change: &RecipientChange| self.custody.order(change.id, change.after.no, order);
        // An attempt that ends before the commit does has heard of it already; one that begins before
        // it, afterwards. But one that follows from the order itself is none that it meets.
        let stops = match order.action {
            Action::Hold | Action::Purge => true,
            Action::Retry | Action::Release | Action::Restore | Action::Bounce => false,
        };
        let before: Vec<bool> = changes.iter().map(in_attempt).collect();
        let made = self.store.record(changes.clone(), Vec::new()).await?;
        for ((change, before), made) in changes.iter().zip(before).zip(made) {
            if !made {
                applied.overtaken += 1;
                continue;
            }
            let in_flight = before || (stops && in_attempt(change));
            applied.changed += 1;
            applied.in_flight += u64::from(in_flight);
            destinations.insert(self.store.destination_of(change.after.address.domain()));
            self.tell(change.id, &change.after, order, in_flight);
        }
        Ok((applied, destinations))
    }

    async fn lift_suspensions(&self, of: BTreeSet<Destination>) -> Result<(), CommitError> {
        for destination in of {
            let suspension = self.store.suspension(&destination).await;
            let suspension = suspension.map_err(|error| CommitError::Failed(error.to_string()))?;
            if suspension.is_some_and(|suspension| !suspension.is_ordered()) {
                self.store.resume(&destination).await?;
            }
        }
        Ok(())
    }

    async fn bounce(&self, found: Vec<Loaded>, order: Order) -> Result<Applied, CommitError> {
        let one_by_one = found
            .into_iter()
            .map(|loaded| self.bounce_of(loaded, &order));
        let mut done = stream::iter(one_by_one).buffer_unordered(BOUNCES_AT_ONE_TIME);
        let (mut applied, mut trouble) = (Applied::default(), None);
        while let Some(one) = done.next().await {
            match one {
                Ok(one) => applied += one,
                Err(error) => trouble = Some(error),
            }
        }
        trouble.map_or(Ok(applied), Err)
    }

    /// Those that are being attempted are held, and bounced when that has ended.
    async fn bounce_of(&self, loaded: Loaded, order: &Order) -> Result<Applied, CommitError> {
        let Loaded {
            message,
            mut recipients,
        } = loaded;
        let now = (self.clock)();
        recipients.retain(|rcpt| Action::Bounce.on(rcpt, now, now).is_some());
        let nos: Vec<RecipientNo> = recipients.iter().map(|rcpt| rcpt.no).collect();
        let Taken {
            in_hand,
            in_attempt,
        } = self.custody.for_operator(message.id, &nos, order);
        let of = |nos: &[RecipientNo]| -> Vec<&Recipient> {
            let wanted = |rcpt: &&Recipient| nos.contains(&rcpt.no);
            recipients.iter().filter(wanted).collect()
        };
        let mut applied = Applied::default();
        let held = of(&in_attempt);
        if !held.is_empty() {
            applied += self.hold_for_bounce(&message, &held, order).await?;
        }
        let free = in_hand.as_ref().map_or(Vec::new(), |taken| of(taken.nos()));
        applied.overtaken += (recipients.len() - held.len() - free.len()) as u64;
        let decide = |rcpt: &Recipient| bounced(&message, rcpt, order.note.clone(), now);
        let decided: Vec<Decided> = free.into_iter().filter_map(decide).collect();
        let recorded = self
            .recorder
            .record(&message, decided, InTrouble::GiveUp)
            .await?;
        for one in &recorded {
            match one.how {
                How::AsDecided | How::Overtaken => {
                    applied.changed += 1;
                    self.tell(message.id, &one.decided.after, order, false);
                }
                How::Void => applied.overtaken += 1,
            }
        }
        Ok(applied)
    }

    /// So that nothing else happens to them until their attempt has ended, whatever happens to us.
    async fn hold_for_bounce(
        &self,
        message: &Message,
        recipients: &[&Recipient],
        order: &Order,
    ) -> Result<Applied, CommitError> {
        let now = (self.clock)();
        let mut applied = Applied::default();
        let mut changes = Vec::with_capacity(recipients.len());
        for rcpt in recipients {
            match Action::Hold.on(rcpt, now, now) {
                Some(state) => changes.push(RecipientChange {
                    id: message.id,
                    before: (*rcpt).clone(),
                    after: Recipient {
                        state,
                        ..(*rcpt).clone()
                    },
                    note: Some(order.note.clone()),
                }),
                // held by the operator already
                None => {
                    applied.changed += 1;
                    applied.in_flight += 1;
                }
            }
        }
        if changes.is_empty() {
            return Ok(applied);
        }
        let made = self.store.record(changes.clone(), Vec::new()).await?;
        for (change, made) in changes.iter().zip(made) {
            match made {
                true => {
                    applied.changed += 1;
                    applied.in_flight += 1;
                    self.tell(change.id, &change.after, order, true);
                }
                false => applied.overtaken += 1,
            }
        }
        Ok(applied)
    }

    fn tell(&self, id: QueueId, recipient: &Recipient, order: &Order, in_flight: bool) {
        self.events.emit(MailEvent::Ordered {
            id,
            recipient,
            action: order.action.as_str(),
            by: &order.note.by,
            reason: &order.note.reason,
            in_flight,
        });
    }
}

/// What giving up makes of a recipient; `None`: nothing waits any more.
pub(super) fn bounced(
    message: &Message,
    rcpt: &Recipient,
    note: Arc<Note>,
    now: UnixMillis,
) -> Option<Decided> {
    Action::Bounce.on(rcpt, now, now)?;
    let verdict = given_up(message, rcpt);
    Some(Decided::new(rcpt.clone(), verdict, None, now).by(note))
}

/// What writes down verdicts.
pub(super) fn recorder(
    config: &Config,
    settings: Live,
    store: &Store,
    events: &Events,
    clock: &Clock,
) -> Arc<Recorder> {
    Arc::new(Recorder {
        store: store.clone(),
        events: events.clone(),
        clock: clock.clone(),
        hostname: config.hostname.clone(),
        settings,
        bound: Mutex::new(ReportBound::new(config.queue.max_reports_per_hour)),
    })
}
