//! The one task that hands out the work: it hears what the store has, lets [`Lines`] decide who may
//! go, and starts attempts and reads. All state is its own, so there are no locks.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::mpsc;
use tokio::task::{self, JoinError, JoinSet};
use tokio_util::sync::CancellationToken;

use crate::mail::{Destination, RecipientNo, UnixMillis};
use crate::observe::{Events, ProcessEvent, QueueEvent};
use crate::store::{DueItem, ReadError, Store, Suspension, SuspensionCause};

use super::keeper::Keeper;
use super::line::Ending;
use super::lines::{Claim, Lines, Rules, Step};
use super::pulse::Pulse;
use super::seeking::Ticket;
use super::settings::Live;
use super::standing::{Change, Rank};
use super::worker::{Ended, Errand, Worker};
use super::{Clock, Contact, Deliver, Jitter, Stop};

/// Longest sleep while somebody waits to become due: the wall clock may be set meanwhile.
const SLEEP_MAX: Duration = Duration::from_secs(10);
/// Longest pause between two tries to ask the store for its destinations.
const START_PAUSE_MAX: Duration = Duration::from_secs(30);
/// How often it is told what a stop still waits for.
const STILL_WAITING_EVERY: Duration = Duration::from_secs(5);
/// Attempts that may have told at one time, unheard, that a host takes their message. One that finds
/// no room is heard of when it ends.
const TAKING_MAX: usize = 256;

/// See the module.
pub(super) struct Dispatcher<D> {
    lines: Lines,
    worker: Arc<Worker<D>>,
    store: Store,
    events: Events,
    clock: Clock,
    keeper: Keeper,
    settings: Live,
    /// Destinations that are suspended, and how many that were when it was told.
    suspended: HashSet<Destination>,
    told_suspended: Option<usize>,
    attempts: JoinSet<Ended>,
    numbers: HashMap<task::Id, u64>,
    errands: HashMap<u64, Arc<Errand>>,
    tell_taking: mpsc::Sender<u64>,
    taking: mpsc::Receiver<u64>,
    reads: JoinSet<(Destination, Result<Vec<DueItem>, ReadError>)>,
    pulse: Pulse,
}

/// Destinations, each with its earliest due time.
type Work = Vec<(Destination, UnixMillis)>;

type Joined = Result<(task::Id, Ended), JoinError>;

impl<D: Deliver> Dispatcher<D> {
    /// A dispatcher that knows of nothing yet.
    pub(super) fn new(worker: Worker<D>, rules: Rules, pulse: Pulse) -> Dispatcher<D> {
        let (tell_taking, taking) = mpsc::channel(TAKING_MAX);
        Dispatcher {
            lines: Lines::new(rules),
            keeper: Keeper::new(worker.store.clone(), worker.events.clone()),
            settings: worker.settings.clone(),
            suspended: HashSet::new(),
            told_suspended: None,
            store: worker.store.clone(),
            events: worker.events.clone(),
            clock: worker.clock.clone(),
            worker: Arc::new(worker),
            attempts: JoinSet::new(),
            numbers: HashMap::new(),
            errands: HashMap::new(),
            tell_taking,
            taking,
            reads: JoinSet::new(),
            pulse,
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
                self.pulse.turned();
            }
        }
        self.drain(&stop.attempts).await;
        self.keeper.finish().await;
    }

    /// Learns which destinations have work, and which are suspended.
    async fn begin(&mut self) {
        let mut pause = Duration::from_millis(500);
        let (destinations, suspensions) = loop {
            match self.read_destinations().await {
                Ok(found) => break found,
                Err(error) => {
                    self.events.emit(ProcessEvent::Alarm {
                        what: &format!("nothing is delivered yet: {error}"),
                        todo: "see what is wrong with the queue's file system",
                    });
                    tokio::time::sleep(pause).await;
                    self.pulse.turned();
                    pause = pause.saturating_mul(2).min(START_PAUSE_MAX);
                }
            }
        };
        let now = (self.clock)();
        for (destination, due) in &destinations {
            self.lines.more(destination, *due, now);
        }
        let with_work: HashSet<Destination> = destinations.into_iter().map(|(to, _)| to).collect();
        for (destination, suspension) in suspensions {
            // one that is over and that nobody waits for would never be heard of again
            match with_work.contains(&destination) || suspension.holds_at(now) {
                true => {
                    self.lines.suspend(&destination, suspension, now);
                    self.suspended.insert(destination);
                }
                false => self.keeper.keep(&destination, None),
            }
        }
        self.forget();
        self.count_suspended();
    }

    async fn read_destinations(&self) -> Result<(Work, Vec<(Destination, Suspension)>), ReadError> {
        let destinations = self.store.destinations().await?;
        Ok((destinations, self.store.suspensions().await?))
    }

    /// Starts everything that may go now.
    fn hand_out(&mut self) {
        self.hear();
        let now = (self.clock)();
        while let Some(step) = self.lines.next(now) {
            match step {
                Step::Attempt(claim) => self.begin_attempt(claim),
                Step::PutOff(ticket) => self.put_off(&ticket, now),
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

    /// What the store remembers is no more than what we do.
    fn forget(&mut self) {
        for destination in self.lines.take_opened() {
            self.keeper.keep(&destination, None);
            self.tell(&destination, Some(Change::Opened));
        }
    }

    fn begin_attempt(&mut self, claim: Claim) {
        let no = claim.ticket.no;
        let contact = match claim.ticket.rank {
            Rank::Proven => Contact::default(), // nothing waits for that
            Rank::Unproven(_) => Contact::telling(self.tell_taking.clone(), no),
        };
        let errand = Arc::new(Errand {
            claim,
            contact,
            put_off: CancellationToken::new(),
        });
        let (worker, of_task) = (self.worker.clone(), errand.clone());
        let task = self
            .attempts
            .spawn(async move { worker.attempt(&of_task).await });
        self.numbers.insert(task.id(), no);
        self.errands.insert(no, errand);
    }

    fn put_off(&mut self, ticket: &Ticket, now: UnixMillis) {
        if let Some(errand) = self.errands.get(&ticket.no) {
            match errand.contact.is_made() {
                true => self.lines.is_taking(&errand.claim, now),
                false => errand.put_off.cancel(),
            }
        }
    }

    /// Waits until something happened, and takes notice of it.
    async fn wait(&mut self, stopping: &CancellationToken) {
        let sleep = self.lines.wake_at((self.clock)()).map(|at| self.until(at));
        let mut ended: Vec<Joined> = Vec::new();
        let (mut was_read, mut taking) = (None, None);
        tokio::select! {
            () = stopping.cancelled() => {}
            () = self.store.news_waiting() => {}
            () = self.worker.custody.freed() => {}
            Some(first) = self.attempts.join_next_with_id() => ended.push(first),
            Some(first) = self.reads.join_next() => was_read = Some(first),
            Some(first) = self.taking.recv() => taking = Some(first),
            () = self.keeper.written() => {}
            () = self.pulse.stirred() => {}
            Ok(()) = self.settings.changed() => self.change(),
            () = tokio::time::sleep(sleep.unwrap_or_default()), if sleep.is_some() => {}
        }
        // whatever it was that woke us, everything that is ready is taken: nothing starves
        ended.extend(std::iter::from_fn(|| self.attempts.try_join_next_with_id()));
        self.hear(); // before claims are forgotten, see `Lines::finish`
        let now = (self.clock)();
        while let Some(no) = taking.take().or_else(|| self.taking.try_recv().ok()) {
            if let Some(errand) = self.errands.get(&no) {
                self.lines.is_taking(&errand.claim, now);
            }
        }
        for ended in ended {
            self.attempt_ended(ended, now);
        }
        while let Some(read) = was_read.take().or_else(|| self.reads.try_join_next()) {
            self.read_ended(read, now);
        }
        self.forget();
    }

    /// Goes on by other settings.
    fn change(&mut self) {
        let settings = self.settings.borrow_and_update().clone();
        self.lines.change(&settings, (self.clock)());
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
        for (destination, suspension) in news.suspensions {
            // whatever is still to be written of it must not come behind
            self.keeper.keep(&destination, suspension.clone());
            match suspension {
                Some(suspension) => {
                    self.lines.suspend(&destination, suspension, now);
                    self.suspended.insert(destination); // told by the operator's hand
                    self.count_suspended();
                }
                None => {
                    let change = self.lines.resume(&destination, now);
                    self.tell(&destination, change);
                }
            }
        }
        for item in self.worker.custody.take_freed() {
            self.lines.put_back(item, now);
        }
        self.forget();
    }

    fn attempt_ended(&mut self, joined: Joined, now: UnixMillis) {
        let (id, ended) = match joined {
            Ok(ended) => ended,
            Err(error) => {
                // our own bug: the same claim would do it again, so it waits for a restart
                self.events.emit(ProcessEvent::Alarm {
                    what: &format!("an attempt was lost: {error}"),
                    todo: "report this as a bug; its recipients are tried again after a restart",
                });
                (error.id(), Ended::by(Ending::SetAside))
            }
        };
        let no = self.numbers.remove(&id);
        if let Some(errand) = no.and_then(|no| self.errands.remove(&no)) {
            let jitter = Jitter(rand::random());
            let Ended {
                ending,
                learned,
                refused,
            } = ended;
            let mut claim = errand.claim.clone();
            claim.nos.retain(|no| !refused.contains(no));
            let change = self.lines.finish(&claim, ending, &learned, now, jitter);
            self.come_again(&claim, refused, now);
            let destination = &errand.claim.destination;
            match &change {
                Some(Change::Suspended(suspension)) => {
                    self.keeper.keep(destination, Some((**suspension).clone()));
                }
                Some(Change::Opened) => self.keeper.keep(destination, None),
                None => {}
            }
            self.tell(destination, change);
        }
    }

    /// Who has them in hand will give them back, or has by now.
    fn come_again(&mut self, claim: &Claim, refused: Vec<RecipientNo>, now: UnixMillis) {
        for no in refused {
            let item = DueItem {
                destination: claim.destination.clone(),
                due: claim.due,
                id: claim.id,
                no,
            };
            if !self.worker.custody.tell_when_free(item.clone()) {
                self.lines.put_back(item, now);
            }
        }
    }

    fn tell(&mut self, destination: &Destination, change: Option<Change>) {
        match change {
            Some(Change::Suspended(suspension)) => {
                if let (SuspensionCause::Trouble { times, answer }, Some(until)) =
                    (&suspension.cause, suspension.until)
                {
                    self.events.emit(QueueEvent::Suspended {
                        destination,
                        span: until.since((self.clock)()),
                        times: *times,
                        trouble: answer,
                    });
                }
                self.suspended.insert(destination.clone());
            }
            Some(Change::Opened) => {
                self.events.emit(QueueEvent::Opened { destination });
                self.suspended.remove(destination);
            }
            None => return,
        }
        self.count_suspended();
    }

    fn count_suspended(&mut self) {
        let destinations = self.suspended.len();
        if self.told_suspended != Some(destinations) {
            self.told_suspended = Some(destinations);
            self.events
                .emit(QueueEvent::SuspendedInAll { destinations });
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
                self.events.emit(QueueEvent::DestinationTrouble {
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
                _ = every.tick() => self.events.emit(ProcessEvent::StillWaiting {
                    what: "delivery attempts",
                    count: self.attempts.len(),
                }),
            }
        }
        self.attempts.shutdown().await;
    }
}
