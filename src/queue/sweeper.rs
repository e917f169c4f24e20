//! What has to be done although nobody asks: expiry of what was not attempted to the end, removal of
//! what was kept long enough, and making room in the database.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio_util::sync::CancellationToken;

use crate::mail::limits::SWEEP_MESSAGES_MAX;
use crate::mail::{Destination, QueueId, RecipientNo, UnixMillis};
use crate::observe::{Events, MailEvent, ProcessEvent};
use crate::store::{Keeping, Loaded, RemovedPage, Store, SuspensionCause};

use super::custody::Custody;
use super::decided::Decided;
use super::delays::Delays;
use super::recorder::{How, InTrouble, Recorder};
use super::settings::Live;
use super::{Clock, Stop, overdue};

/// Bodies that are moved to files in one step.
const MOVES_MAX: usize = 64;
/// A message is over for at least so long before its body is moved: not in the rush.
const MOVED_AFTER: Duration = Duration::from_secs(60);
/// While there is more to do, rests are so many times as long as the work was.
const REST_FACTOR: u32 = 4;
/// Shortest rest.
const REST_MIN: Duration = Duration::from_millis(20);

/// See the module.
pub(super) struct Sweeper {
    pub(super) store: Store,
    pub(super) recorder: Arc<Recorder>,
    pub(super) custody: Custody,
    pub(super) events: Events,
    pub(super) clock: Clock,
    pub(super) settings: Live,
    /// How long what was purged can be brought back.
    pub(super) undo_window: Duration,
    /// When recipients expire; `None`: not at all, since nothing is attempted.
    pub(super) expiry: Option<Expiry>,
    /// Warnings; `None`: none are given.
    pub(super) delays: Option<Delays>,
}

/// Expiry of recipients that get no attempt any more: lines that are stuck, records that are
/// damaged.
///
/// The way to expire is by an attempt at the end of the lifetime; so here a grace is given, from the
/// end of the lifetime or from our start, whichever is later: after a long standstill everything
/// gets one more attempt.
#[derive(Clone, Copy, Debug)]
pub(super) struct Expiry {
    lifetime: Duration,
    grace: Duration,
    next: UnixMillis,
    after: Option<QueueId>,
}

impl Expiry {
    /// Grace is a tenth of the lifetime, but from a minute to an hour.
    pub(super) fn new(lifetime: Duration, started: UnixMillis) -> Expiry {
        let grace = (lifetime / 10).clamp(Duration::from_secs(60), Duration::from_secs(3_600));
        Expiry {
            lifetime,
            grace,
            next: started.after(grace),
            after: None,
        }
    }
}

impl Sweeper {
    /// Sweeps until it is told to stop. A step that is under way then may end, as attempts may.
    pub(super) async fn run(mut self, stop: Stop) {
        while !stop.claiming.is_cancelled() {
            let began = Instant::now();
            let sweep = self.sweep(&stop.claiming);
            let Some(left_over) = stop.attempts.run_until_cancelled(sweep).await else {
                return;
            };
            let period = self.settings.borrow().period;
            let rest = match left_over {
                true => (began.elapsed() * REST_FACTOR).max(REST_MIN),
                false => period,
            };
            let rest = tokio::time::sleep(rest.min(period));
            stop.claiming.run_until_cancelled(rest).await;
        }
    }

    /// One sweep; whether it left something for the next.
    pub(super) async fn sweep(&mut self, stopping: &CancellationToken) -> bool {
        let expiry_left = self.expire(stopping).await;
        let delays_left = self.tell_delays(stopping).await;
        self.remove(stopping).await;
        let moves_left = self.make_room().await;
        expiry_left || delays_left || moves_left
    }

    async fn tell_delays(&mut self, stopping: &CancellationToken) -> bool {
        let told = match &mut self.delays {
            None => return false,
            Some(delays) => delays.tell(stopping).await,
        };
        told.unwrap_or_else(|error| {
            self.trouble("recipients that wait for long can't be read", &error);
            false
        })
    }

    /// Expires one page of what is overdue.
    async fn expire(&mut self, stopping: &CancellationToken) -> bool {
        let now = (self.clock)();
        let Some(mut expiry) = self.expiry.filter(|expiry| expiry.next <= now) else {
            return false;
        };
        expiry.lifetime = self.settings.borrow().retry.lifetime;
        let arrived = now.before(expiry.lifetime).before(expiry.grace);
        let page = self
            .store
            .arrived_before(arrived, expiry.after, SWEEP_MESSAGES_MAX)
            .await;
        let page = page.unwrap_or_else(|error| {
            self.trouble("recipients that are overdue can't be read", &error);
            Vec::new()
        });
        let left = page.len() >= SWEEP_MESSAGES_MAX;
        expiry.after = page.last().map(|last| last.message.id).filter(|_| left);
        if !left {
            expiry.next = now.after(expiry.grace / 2);
        }
        self.expiry = Some(expiry);
        for loaded in page {
            if stopping.is_cancelled() {
                break;
            }
            self.expire_message(&loaded, expiry.lifetime).await;
        }
        left
    }

    /// Unless an attempt is under way: that will decide. Read again once it can't begin any more.
    async fn expire_message(&self, seen: &Loaded, lifetime: Duration) {
        let id = seen.message.id;
        let Some(_in_hand) = self.custody.alone(id) else {
            return;
        };
        let nos: Vec<RecipientNo> = seen.recipients.iter().map(|rcpt| rcpt.no).collect();
        let Ok(Some(Loaded {
            message,
            recipients,
        })) = self.store.load(id, &nos).await
        else {
            return; // gone, or told by the store; the next sweep comes again
        };
        if recipients.is_empty() {
            return;
        }
        let now = (self.clock)();
        let mut decided = Vec::with_capacity(recipients.len());
        let mut troubles = HashMap::new();
        for before in recipients {
            let destination = self.store.destination_of(before.address.domain());
            let trouble = match troubles.get(&destination) {
                Some(known) => known,
                None => {
                    let found = self.trouble_with(&destination).await;
                    troubles.entry(destination).or_insert(found)
                }
            };
            let verdict = overdue(&message, &before, trouble.as_ref(), lifetime);
            decided.push(Decided::new(before, verdict, None, now));
        }
        let recorded = self.recorder.record(&message, decided, InTrouble::Insist);
        let Ok(recorded) = recorded.await else {
            return; // the store is closed
        };
        for one in recorded.iter().filter(|one| one.how != How::Void) {
            self.events.emit(MailEvent::Expired {
                id,
                recipient: &one.decided.after,
            });
        }
    }

    /// Why there was no attempt, if that was for a suspension.
    async fn trouble_with(&self, destination: &Destination) -> Option<SuspensionCause> {
        let suspension = self.store.suspension(destination).await;
        // if it can't be read, the report says a little less
        suspension.ok().flatten().map(|found| found.cause)
    }

    /// Removes what was kept long enough. Without rests: it must keep up with what comes in.
    async fn remove(&self, stopping: &CancellationToken) {
        while !stopping.is_cancelled() {
            let keeping = Keeping {
                retention: self.settings.borrow().retention,
                undo_window: self.undo_window,
            };
            let now = (self.clock)();
            let removed = self
                .store
                .remove_over(now, keeping, SWEEP_MESSAGES_MAX)
                .await;
            let RemovedPage { ids, more } = match removed {
                Ok(removed) => removed,
                Err(error) => return self.trouble("messages that are over stay", &error),
            };
            for id in ids {
                self.events.emit(MailEvent::Removed { id });
            }
            if !more {
                return;
            }
        }
    }

    /// Moves bodies of kept messages out of the database.
    async fn make_room(&self) -> bool {
        if self.settings.borrow().retention.is_zero() {
            return false; // they are removed before it would be worth it
        }
        let until = (self.clock)().before(MOVED_AFTER);
        match self.store.move_over_to_files(until, MOVES_MAX).await {
            Ok(looked_at) => looked_at >= MOVES_MAX,
            Err(error) => {
                self.trouble("kept messages stay in the database", &error);
                false
            }
        }
    }

    fn trouble(&self, what: &str, error: &dyn std::fmt::Display) {
        self.events.emit(ProcessEvent::Warning {
            what: &format!("{what}: {error}"),
            todo: "nothing, if it does not come again; else see to the queue's file system",
        });
    }
}
