//! The one task that hands out the work: it hears what the store has, lets [`Lines`] decide who may
//! go, and starts attempts and reads. All state is its own, so there are no locks.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use tokio::task::{self, JoinError, JoinSet};
use tokio_util::sync::CancellationToken;

use crate::mail::{Destination, UnixMillis};
use crate::observe::{Event, Events};
use crate::store::{DueItem, ReadError, Store};

use super::bounds::Bounds;
use super::line::Ending;
use super::lines::{Claim, Lines, Step};
use super::worker::Worker;
use super::{Clock, Deliver, Stop};

/// Longest sleep while somebody waits to become due: the wall clock may be set meanwhile.
const SLEEP_MAX: Duration = Duration::from_secs(10);
/// Longest pause between two tries to ask the store for its destinations.
const START_PAUSE_MAX: Duration = Duration::from_secs(30);
/// How often it is told what a stop still waits for.
const STILL_WAITING_EVERY: Duration = Duration::from_secs(5);

/// See the module.
pub(super) struct Dispatcher<D> {
    lines: Lines,
    worker: Arc<Worker<D>>,
    store: Store,
    events: Events,
    clock: Clock,
    attempts: JoinSet<Ending>,
    claims: HashMap<task::Id, Arc<Claim>>,
    reads: JoinSet<(Destination, Result<Vec<DueItem>, ReadError>)>,
}

type Ended = Result<(task::Id, Ending), JoinError>;

impl<D: Deliver> Dispatcher<D> {
    /// A dispatcher that knows of nothing yet.
    pub(super) fn new(worker: Worker<D>, bounds: Bounds) -> Dispatcher<D> {
        Dispatcher {
            lines: Lines::new(bounds),
            store: worker.store.clone(),
            events: worker.events.clone(),
            clock: worker.clock.clone(),
            worker: Arc::new(worker),
            attempts: JoinSet::new(),
            claims: HashMap::new(),
            reads: JoinSet::new(),
        }
    }

    /// Works until it is told to stop, and then until the last attempt has ended or is aborted.
    pub(super) async fn run(mut self, stop: Stop) {
        if stop
            .claiming
            .run_until_cancelled(self.begin())
            .await
            .is_some()
        {
            while !stop.claiming.is_cancelled() {
                self.hand_out();
                self.wait(&stop.claiming).await;
            }
        }
        self.drain(&stop.attempts).await;
    }

    /// Learns which destinations have work.
    async fn begin(&mut self) {
        let mut pause = Duration::from_millis(500);
        let destinations = loop {
            match self.store.destinations().await {
                Ok(destinations) => break destinations,
                Err(error) => {
                    self.events.emit(&Event::Alarm {
                        what: &format!("nothing is delivered yet: {error}"),
                        todo: "see what is wrong with the queue's file system",
                    });
                    tokio::time::sleep(pause).await;
                    pause = pause.saturating_mul(2).min(START_PAUSE_MAX);
                }
            }
        };
        let now = (self.clock)();
        for (destination, due) in destinations {
            self.lines.more(&destination, due, now);
        }
    }

    /// Starts everything that may go now.
    fn hand_out(&mut self) {
        self.hear();
        let now = (self.clock)();
        while let Some(step) = self.lines.next(now) {
            match step {
                Step::Attempt(claim) => {
                    let (worker, claim) = (self.worker.clone(), Arc::new(claim));
                    let of_task = claim.clone();
                    let task = self
                        .attempts
                        .spawn(async move { worker.attempt(&of_task).await });
                    self.claims.insert(task.id(), claim);
                }
                Step::Read { destination, limit } => {
                    let store = self.store.clone();
                    self.reads.spawn(async move {
                        let items = store.line(&destination, limit).await;
                        (destination, items)
                    });
                }
            }
        }
    }

    /// Waits until something happened, and takes notice of it.
    async fn wait(&mut self, stopping: &CancellationToken) {
        let sleep = self.lines.wake_at().map(|at| self.until(at));
        let mut ended: Vec<Ended> = Vec::new();
        let mut was_read = None;
        tokio::select! {
            () = stopping.cancelled() => {}
            () = self.store.news_waiting() => {}
            Some(first) = self.attempts.join_next_with_id() => ended.push(first),
            Some(first) = self.reads.join_next() => was_read = Some(first),
            () = tokio::time::sleep(sleep.unwrap_or_default()), if sleep.is_some() => {}
        }
        // whatever it was that woke us, everything that is ready is taken: nothing starves
        ended.extend(std::iter::from_fn(|| self.attempts.try_join_next_with_id()));
        self.hear(); // before claims are forgotten, see `Lines::finish`
        let now = (self.clock)();
        for ended in ended {
            self.attempt_ended(ended, now);
        }
        while let Some(read) = was_read.take().or_else(|| self.reads.try_join_next()) {
            self.read_ended(read, now);
        }
    }

    fn until(&self, at: UnixMillis) -> Duration {
        at.since((self.clock)()).min(SLEEP_MAX)
    }

    fn hear(&mut self) {
        let news = self.store.take_news();
        let now = (self.clock)();
        for item in news.items {
            self.lines.add(item, now);
        }
        for (destination, due) in news.more {
            self.lines.more(&destination, due, now);
        }
    }

    fn attempt_ended(&mut self, ended: Ended, now: UnixMillis) {
        let (id, ending) = match ended {
            Ok(ended) => ended,
            Err(error) => {
                // our own bug: the same claim would do it again, so it waits for a restart
                self.events.emit(&Event::Alarm {
                    what: &format!("an attempt was lost: {error}"),
                    todo: "report this as a bug; its recipients are tried again after a restart",
                });
                (error.id(), Ending::SetAside)
            }
        };
        if let Some(claim) = self.claims.remove(&id) {
            self.lines.finish(&claim, ending, now);
        }
    }

    fn read_ended(
        &mut self,
        read: Result<(Destination, Result<Vec<DueItem>, ReadError>), JoinError>,
        now: UnixMillis,
    ) {
        let (destination, items) = match read {
            Ok(read) => read,
            // nothing in it can panic, and it is aborted only by our own end
            Err(error) => return debug_assert!(error.is_cancelled(), "{error}"),
        };
        match items {
            Ok(items) => self.lines.end_read(&destination, &items, now),
            Err(error) => {
                self.events.emit(&Event::DestinationTrouble {
                    destination: &destination,
                    error: &error.to_string(),
                });
                self.lines.fail_read(&destination, now);
            }
        }
    }

    /// Lets running attempts end until they are told to; then aborts them, which gives their claims
    /// back.
    async fn drain(&mut self, aborting: &CancellationToken) {
        let mut every = tokio::time::interval(STILL_WAITING_EVERY);
        every.tick().await; // the first is now
        while !self.attempts.is_empty() {
            tokio::select! {
                () = aborting.cancelled() => break,
                _ = self.attempts.join_next() => {}
                _ = every.tick() => self.events.emit(&Event::StillWaiting {
                    what: "delivery attempts",
                    count: self.attempts.len(),
                }),
            }
        }
        self.attempts.shutdown().await;
    }
}
