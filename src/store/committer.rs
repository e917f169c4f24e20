//! The one writer. Whatever waits when it looks becomes one group, applied in one transaction and
//! made durable by one flush; while the flush runs, the next group gathers by itself. There is a short
//! wait only for bodies that are just being synced into files of their own, for each of them would
//! otherwise make a group. Only after the flush is anyone told that their change is made.
//!
//! Errors of sled are sticky, so after one everybody in the group is told to come again, mail is
//! refused, and the database is closed and opened anew until that succeeds. What the failed group
//! would have added and the log has all the same is then taken out, since nobody was told of it.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use tokio::sync::mpsc::error::TryRecvError;
use tokio::sync::{mpsc, oneshot};

use crate::mail::limits::{COMMIT_GROUP_BYTES_MAX, COMMIT_GROUP_MAX};
use crate::mail::{Destination, QueueId, RecipientNo};
use crate::observe::{Events, ProcessEvent, QueueEvent, wall_clock};

use super::body_files::{BodyFiles, FileGuard};
use super::closing::{Removed, Sweep};
use super::counters::Counters;
use super::engine::{Engine, Trees};
use super::group::{Changed, Group, Prepared};
use super::health::Health;
use super::mend::{Mend, Mended};
use super::news::NewsBoard;
use super::reroute::Routing;
use super::suspension::Kept;
use super::{
    CommitError, RecipientChange, Suspension, clean_stop, disk_error_of_sled, log_check, open,
};

/// Pause between attempts to open the database again.
const REOPEN_PAUSE: Duration = Duration::from_millis(500);
/// How long a group with body files waits for bodies that are being synced, before it looks again,
/// and how often. Costs a message 2 ms at most, and nothing if it comes alone.
const FILES_WAIT: Duration = Duration::from_micros(100);
const FILES_WAITS_MAX: u32 = 20;
/// Over a flush that takes longer than this the process ends itself: the disk hangs or sled does,
/// and a new start recovers all that was acknowledged.
const FLUSH_STALL: Duration = Duration::from_secs(120);

/// What the committer is asked to do, and whom to tell.
pub(super) enum Work {
    Accept(Box<Prepared>, Done<()>),
    Record(Vec<RecipientChange>, Vec<Prepared>, Done<Vec<bool>>),
    /// Remove messages that were kept long enough.
    RemoveOver(Sweep, Done<Removed>),
    MoveToFiles(Vec<(QueueId, FileGuard)>, Done<usize>),
    /// Put recipients into the lines where they should stand.
    MoveLines(Vec<(QueueId, RecipientNo)>, Done<usize>),
    KeepSuspensions(Vec<Kept>, Done<()>),
    /// The operator suspends a destination.
    Suspend(Destination, Suspension, Done<()>),
    /// Lift a suspension; whether there was one.
    Resume(Destination, Done<bool>),
    /// Take out something damaged.
    Mend(Box<Mend>, Done<Mended>),
    /// See whether the database must be opened anew.
    LookAgain,
    Close(Done<()>),
}

pub(super) type Done<T> = oneshot::Sender<Result<T, CommitError>>;

impl Work {
    fn weight(&self) -> (usize, usize) {
        match self {
            Work::Accept(new, _) => (1, new.weight()),
            Work::Record(changes, reports, _) => (
                changes.len() + reports.len(),
                reports.iter().map(Prepared::weight).sum(),
            ),
            Work::RemoveOver(sweep, _) => (sweep.limit, 0),
            Work::MoveToFiles(moves, _) => (moves.len(), 0),
            Work::MoveLines(moves, _) => (moves.len(), 0),
            Work::KeepSuspensions(kept, _) => (kept.len(), 0),
            Work::Suspend(..) | Work::Resume(..) | Work::Mend(..) | Work::LookAgain => (1, 0),
            Work::Close(_) => (COMMIT_GROUP_MAX, 0), // nothing comes behind it
        }
    }
}

/// What will share one flush.
#[derive(Default)]
struct Gathered {
    work: Vec<Work>,
    changes: usize,
    bytes: usize,
    /// Whether a new message has its body in a file.
    has_files: bool,
}

impl Gathered {
    fn has_room(&self) -> bool {
        self.changes < COMMIT_GROUP_MAX && self.bytes < COMMIT_GROUP_BYTES_MAX
    }

    fn take(&mut self, mut work: Work) {
        let (changes, bytes) = work.weight();
        self.changes += changes;
        self.bytes += bytes;
        match &mut work {
            Work::Accept(new, _) => self.has_files |= new.arrive(),
            Work::Record(_, reports, _) => {
                for report in reports {
                    self.has_files |= report.arrive();
                }
            }
            Work::RemoveOver(..)
            | Work::MoveToFiles(..)
            | Work::MoveLines(..)
            | Work::KeepSuspensions(..)
            | Work::Suspend(..)
            | Work::Resume(..)
            | Work::Mend(..)
            | Work::LookAgain
            | Work::Close(_) => {}
        }
        self.work.push(work);
    }
}

/// Whom to tell when a group is durable.
enum Pending {
    Unit(Done<()>),
    Made(Done<Vec<bool>>, Vec<bool>),
    Removed(Done<Removed>, Removed),
    Moved(Done<usize>, usize),
    Resumed(Done<bool>, bool),
    Mended(Done<Mended>, Mended),
}

impl Pending {
    /// That nobody waits any more is fine: the change is made all the same.
    fn tell(self, error: Option<&CommitError>) {
        fn say<T>(done: Done<T>, value: T, error: Option<&CommitError>) {
            let _ = done.send(error.map_or(Ok(value), |error| Err(error.clone())));
        }
        match self {
            Pending::Unit(done) => say(done, (), error),
            Pending::Made(done, made) => say(done, made, error),
            Pending::Removed(done, removed) => say(done, removed, error),
            Pending::Moved(done, count) => say(done, count, error),
            Pending::Resumed(done, was) => say(done, was, error),
            Pending::Mended(done, mended) => say(done, mended, error),
        }
    }
}

/// State of the committer's thread.
pub(super) struct Committer {
    pub engine: Arc<Engine>,
    pub files: Arc<BodyFiles>,
    pub counters: Arc<Counters>,
    pub news: Arc<NewsBoard>,
    pub health: Arc<Health>,
    pub routing: Arc<Routing>,
    pub events: Events,
}

impl Committer {
    /// Starts the thread. It ends after [`Work::Close`], or when all senders are gone.
    pub(super) fn start(self, work: mpsc::Receiver<Work>) -> std::io::Result<()> {
        let finished = Arc::new(AtomicBool::new(false));
        let (health, events, over) = (self.health.clone(), self.events.clone(), finished.clone());
        std::thread::Builder::new()
            .name("flush-watchdog".into())
            .spawn(move || {
                watch_flushes(&health, &events, &over);
            })?;
        std::thread::Builder::new()
            .name("committer".into())
            .spawn(move || {
                let abort = AbortOnPanic {
                    events: self.events.clone(),
                };
                self.run(work);
                std::mem::forget(abort);
                finished.store(true, Ordering::Relaxed);
            })?;
        Ok(())
    }

    fn run(self, mut work: mpsc::Receiver<Work>) {
        while let Some(first) = work.blocking_recv() {
            let mut gathered = self.gather_work(first, &mut work);
            let close = match gathered.pop() {
                Some(Work::Close(done)) => Some(done),
                Some(last) => {
                    gathered.push(last);
                    None
                }
                None => None,
            };
            self.commit(gathered);
            self.health.moves_on();
            if let Some(done) = close {
                work.close();
                let _ = done.send(self.close());
                break;
            }
        }
    }

    /// What waits now, and what is about to come if that is worth a wait.
    fn gather_work(&self, first: Work, work: &mut mpsc::Receiver<Work>) -> Vec<Work> {
        let mut gathered = Gathered::default();
        gathered.take(first);
        let mut waits = 0..FILES_WAITS_MAX;
        while gathered.has_room() {
            match work.try_recv() {
                Ok(next) => gathered.take(next),
                Err(TryRecvError::Empty)
                    if gathered.has_files
                        && self.files.on_their_way() > 0
                        && waits.next().is_some() =>
                {
                    std::thread::sleep(FILES_WAIT);
                }
                Err(_) => break,
            }
        }
        gathered.work
    }

    /// One group: built, applied, flushed; then everybody is told.
    fn commit(&self, gathered: Vec<Work>) {
        let mut group = Group::default();
        let mut pending = Vec::with_capacity(gathered.len());
        let only_looks = gathered.iter().all(|work| matches!(work, Work::LookAgain));
        let result = self
            .engine
            .trees()
            .map_err(|error| CommitError::Failed(error.to_string()))
            .and_then(|trees| {
                let mut trouble = None;
                for work in gathered {
                    if let Err(error) = self.gather(&trees, work, &mut group, &mut pending) {
                        trouble = Some(error);
                    }
                }
                let began = Instant::now();
                match trouble {
                    None => self.make_durable(&trees, &group).map(|()| began.elapsed()),
                    Some(error) => {
                        if matches!(error, sled::Error::Corruption { .. }) {
                            self.engine.suspect();
                        }
                        Err(disk_error_of_sled(&error))
                    }
                }
            });
        match result {
            Ok(took) => {
                let messages = group.added.len();
                group
                    .files
                    .into_iter()
                    .chain(group.files_moved)
                    .for_each(FileGuard::keep);
                self.counters.apply(&group.delta);
                self.news.post(std::mem::take(&mut group.news));
                self.news
                    .post_suspensions(std::mem::take(&mut group.ordered));
                // First those who wait for the answer, so that they tell of the acceptance before the
                // dispatcher comes to tell of an attempt.
                pending.into_iter().for_each(|one| one.tell(None));
                self.news.tell();
                if !only_looks {
                    self.events.emit(QueueEvent::Committed { messages, took });
                }
                if self.engine.is_suspect() {
                    self.reopen(&[]);
                }
            }
            Err(error) => {
                self.health.failed(&error);
                let told = error.to_string();
                self.events.emit(QueueEvent::CommitFailed { error: &told });
                let unconfirmed = std::mem::take(&mut group.added);
                // The log may have these moves all the same; if not, the files are orphans.
                group.files_moved.drain(..).for_each(FileGuard::keep);
                drop(group);
                pending.into_iter().for_each(|one| one.tell(Some(&error)));
                self.reopen(&unconfirmed);
            }
        }
    }

    fn gather(
        &self,
        trees: &Trees,
        work: Work,
        group: &mut Group,
        pending: &mut Vec<Pending>,
    ) -> Result<(), sled::Error> {
        let map = self.routing.map();
        match work {
            Work::Accept(new, done) => {
                pending.push(Pending::Unit(done));
                group.add(*new, &map);
            }
            Work::Record(changes, reports, done) => {
                let mut made = Vec::with_capacity(changes.len());
                let mut fresh = false;
                let mut wholly = true;
                if !reports.is_empty() {
                    for change in &changes {
                        wholly &= group.can_change(trees, change)?;
                    }
                }
                for change in &changes {
                    if !wholly {
                        made.push(false);
                        continue;
                    }
                    let changed = group.change(trees, change, &map, wall_clock())?;
                    fresh |= changed == Changed::Now;
                    made.push(changed != Changed::Not);
                }
                group.settle_closings(trees, wall_clock())?;
                pending.push(Pending::Made(done, made));
                // Reports came with the verdicts if these had been made before.
                if fresh {
                    reports
                        .into_iter()
                        .for_each(|report| group.add(report, &map));
                }
            }
            Work::RemoveOver(sweep, done) => {
                let removed = group.sweep(trees, &sweep)?;
                pending.push(Pending::Removed(done, removed));
            }
            Work::MoveToFiles(moves, done) => {
                let mut count = 0;
                for (id, file) in moves {
                    count += usize::from(group.move_to_file(trees, id, file)?);
                }
                pending.push(Pending::Moved(done, count));
            }
            Work::MoveLines(moves, done) => {
                let mut count = 0;
                for recipient in moves {
                    count += usize::from(group.move_place(trees, &map, recipient)?);
                }
                pending.push(Pending::Moved(done, count));
            }
            Work::KeepSuspensions(kept, done) => {
                kept.iter().for_each(|one| group.keep_suspension(one));
                pending.push(Pending::Unit(done));
            }
            Work::Suspend(destination, suspension, done) => {
                group.suspend(destination, suspension);
                pending.push(Pending::Unit(done));
            }
            Work::Resume(destination, done) => {
                let was = group.resume(trees, destination)?;
                pending.push(Pending::Resumed(done, was));
            }
            Work::Mend(mend, done) => {
                self.counters.doubt();
                let mended = group.mend(trees, *mend, &self.routing.destination_of())?;
                group.settle_closings(trees, wall_clock())?;
                pending.push(Pending::Mended(done, mended));
            }
            Work::LookAgain => {}
            Work::Close(_) => {
                unreachable!("nothing is gathered behind a close, and run takes it off")
            }
        }
        Ok(())
    }

    fn make_durable(&self, trees: &Trees, group: &Group) -> Result<(), CommitError> {
        self.files
            .sync_directories(
                group
                    .files
                    .iter()
                    .chain(&group.files_moved)
                    .map(FileGuard::name),
            )
            .map_err(|error| super::disk_error(&error))?;
        let flush = self.health.flush_begins();
        let done = group.apply(trees).and_then(|()| trees.db.flush().map(drop));
        drop(flush);
        done.map_err(|error| disk_error_of_sled(&error))
    }

    /// Closes and opens the database until that succeeds, and takes out what nobody was told of.
    fn reopen(&self, unconfirmed: &[QueueId]) {
        loop {
            if !self.engine.close() {
                self.events.emit(ProcessEvent::Alarm {
                    what: "a reader does not let go of the failed store; the process ends itself",
                    todo: "let systemd start it again",
                });
                std::process::abort(); // crashing is our recovery path
            }
            std::thread::sleep(REOPEN_PAUSE);
            self.health.moves_on();
            let Ok(mended) = self.engine.reopen() else {
                continue;
            };
            log_check::tell(&mended, self.engine.path(), &self.events);
            if self.take_out(unconfirmed).is_ok() {
                break;
            }
        }
        self.health.recovered();
        self.events.emit(ProcessEvent::Warning {
            what: "the store is open again",
            todo: "",
        });
    }

    fn take_out(&self, unconfirmed: &[QueueId]) -> Result<(), CommitError> {
        let trees = self
            .engine
            .trees()
            .map_err(|error| CommitError::Failed(error.to_string()))?;
        let mut group = Group::default();
        for &id in unconfirmed {
            let there = trees.messages.contains_key(id.to_bytes());
            if there.map_err(|error| disk_error_of_sled(&error))? {
                super::recovery::remove_with_line(&trees, &mut group, id, &self.routing.map())
                    .map_err(|error| disk_error_of_sled(&error))?;
            }
        }
        // Also without anything to take out: shows that the disk takes writes again.
        trees.probe().map_err(|error| disk_error_of_sled(&error))?;
        self.make_durable(&trees, &group)
    }

    /// Marks a clean stop and closes the database.
    fn close(&self) -> Result<(), CommitError> {
        let trees = self
            .engine
            .trees()
            .map_err(|error| CommitError::Failed(error.to_string()))?;
        let done = match self.counters.tally() {
            Some(tally) => clean_stop::write(
                &trees,
                &tally,
                &self.routing.map().fingerprint(),
                wall_clock(),
            ),
            None => trees.db.flush().map(drop),
        };
        drop(trees);
        let closed = self.engine.close();
        done.map_err(|error| disk_error_of_sled(&error))?;
        if closed && let Err(error) = open::mark_closed(self.engine.path()) {
            self.events.emit(ProcessEvent::Warning {
                what: &format!("the next start will look through the whole database: {error}"),
                todo: "",
            });
        }
        Ok(())
    }
}

/// Ends the process over a flush that does not come back.
fn watch_flushes(health: &Health, events: &Events, over: &AtomicBool) {
    while !over.load(Ordering::Relaxed) {
        std::thread::sleep(Duration::from_millis(500));
        health.look_at_disk();
        if health
            .flush_running_since()
            .is_some_and(|since| Instant::now() > since + FLUSH_STALL)
        {
            events.emit(ProcessEvent::Alarm {
                what: "a flush does not end; the process ends itself, nothing acknowledged is lost",
                todo: "look at the disk below SMTP_QUEUE_PATH",
            });
            std::process::abort();
        }
    }
}

/// A committer that panicked must not leave a process behind that can't answer 250 any more.
struct AbortOnPanic {
    events: Events,
}

impl Drop for AbortOnPanic {
    fn drop(&mut self) {
        self.events.emit(ProcessEvent::Alarm {
            what: "the committer panicked; the process ends itself, nothing acknowledged is lost",
            todo: "let systemd start it again, and report the line above",
        });
        std::process::abort();
    }
}
