//! The queue on disk. The only room that names sled.
//!
//! Promises: what [`Store::accept`] and [`Store::record`] have answered `Ok` to survives a power
//! cut; a change is wholly there or wholly not; whatever is read was checked by its CRC. The face
//! speaks of messages, recipients and destinations only, so that a second engine can stand behind it.
//!
//! What it never does: decide about delivery, read configuration, or scan the queue while running.

mod ages;
mod arrivals;
mod background;
mod body_files;
mod clean_stop;
mod closing;
mod committer;
mod counters;
mod durable_flush;
mod engine;
mod fingerprint;
mod group;
mod health;
mod held;
mod history;
mod intake;
mod key;
mod log_check;
mod mend;
#[path = "../../migrations/mod.rs"]
mod migrations;
mod news;
mod note;
mod open;
mod quarantine;
mod read;
mod reading;
mod record;
mod recovery;
mod reroute;
mod retained;
mod scan;
mod single_error;
mod sizes;
mod sled_frame;
mod suspension;
mod verify;

use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::sync::{mpsc, oneshot};

use crate::mail::limits::COMMIT_QUEUE_MAX;
use crate::mail::{
    AddressDomain, Destination, Message, QueueId, Recipient, RecipientNo, UnixMillis,
};
use crate::observe::Events;

pub use ages::DestinationAges;
pub use body_files::message_file_name;
pub use counters::Counts;
pub use held::ReleasedPage;
pub use history::{HistoryEvent, HistoryRecord};
pub use intake::{FinishedBody, Intake};
pub use news::News;
pub use note::Note;
pub use open::OpenError;
pub use read::BodyReader;
pub use reroute::{MoveFrom, MovedPage, StillMoving};
pub use scan::{Direction, Scan, ScanPage, Wanted};
pub use sizes::StoreSizes;
pub use suspension::{Suspension, SuspensionCause};
pub use verify::{Damage, DamagedWhat, VerifyFrom, VerifyPage};

use background::Background;
use body_files::BodyFiles;
use closing::Sweep;
use committer::{Committer, Done, Work};
use counters::Counters;
use engine::{Engine, Trees};
use group::Prepared;
use health::Health;
use news::NewsBoard;
use open::QueueDirectory;
use quarantine::Quarantine;
use recovery::{Recovered, Recovery};
use reroute::Routing;
use retained::Written;

/// How a store is opened.
pub struct StoreOptions {
    /// Its directory.
    pub path: PathBuf,
    /// Decides in which line a recipient waits.
    pub destination_of: DestinationOf,
    /// Changes whenever `destination_of` would answer otherwise; then the lines are made anew.
    pub routing_fingerprint: String,
    /// Bytes that must stay free on the file system.
    pub min_free_space: u64,
    /// Where trouble is told.
    pub events: Events,
    /// The wall clock.
    pub now: UnixMillis,
}

/// See [`StoreOptions::destination_of`].
pub type DestinationOf = Arc<dyn Fn(&AddressDomain) -> Destination + Send + Sync>;

/// The queue on disk. Cheap to clone.
#[derive(Clone)]
pub struct Store(Arc<Inner>);

struct Inner {
    work: mpsc::Sender<Work>,
    engine: Arc<Engine>,
    background: Background,
    files: Arc<BodyFiles>,
    counters: Arc<Counters>,
    news: Arc<NewsBoard>,
    health: Arc<Health>,
    routing: Arc<Routing>,
    events: Events,
    /// How far [`Store::move_over_to_files`] has come in the order of closing times.
    moved: Mutex<Vec<u8>>,
    quarantine: Quarantine,
    damaged_at_open: u64,
    /// Locked as long as this lives.
    directory: QueueDirectory,
}

/// Why a change was not made. Nothing of it is in the store, now or later.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CommitError {
    /// The disk is full, or nearly; come again.
    #[error("not enough disk space")]
    DiskFull,
    /// The store failed; come again.
    #[error("the store failed: {0}")]
    Failed(String),
    /// The process is stopping.
    #[error("the store is closed")]
    Closed,
}

/// Why something could not be read.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ReadError {
    /// Damaged on disk: never to be sent, and not mended by trying again.
    #[error("damaged: {0}")]
    Damaged(String),
    /// The disk or the database failed; it may work later.
    #[error("the store failed: {0}")]
    Failed(String),
}

/// Why [`Store::verify`] could not go on.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum VerifyError {
    /// Something could not be read, be it damaged or not.
    #[error(transparent)]
    Read(#[from] ReadError),
    /// What was found could not be put aside, or not be taken out.
    #[error("what is damaged could not be put aside: {0}")]
    Repair(String),
}

/// How long messages stay that are over.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Keeping {
    /// Since their last recipient became final.
    pub retention: Duration,
    /// And since the last purge of one of them; those that were purged wholly stay only for this time.
    pub undo_window: Duration,
}

/// What [`Store::remove_over`] removed.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RemovedPage {
    /// Which messages.
    pub ids: Vec<QueueId>,
    /// Whether there may be more to remove.
    pub more: bool,
}

/// A message to be put into the store, with its recipients in their first states.
pub struct NewMessage {
    /// Everything but recipients and octets.
    pub message: Message,
    /// At least one, numbered from 0.
    pub recipients: Vec<Recipient>,
    /// The octets, from an [`Intake`]; `message.body` must be its facts.
    pub body: FinishedBody,
}

/// What one attempt made of one recipient.
#[derive(Clone, Debug)]
pub struct RecipientChange {
    /// Of which message.
    pub id: QueueId,
    /// As it was read. If the store has it otherwise by now, the change is not made.
    pub before: Recipient,
    /// As it is to be.
    pub after: Recipient,
    /// What the operator did, if that is why.
    pub note: Option<Arc<Note>>,
}

/// One recipient in line.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct DueItem {
    /// Its line.
    pub destination: Destination,
    /// Not before.
    pub due: UnixMillis,
    /// Of which message.
    pub id: QueueId,
    /// Which recipient.
    pub no: RecipientNo,
}

/// A message as it stands in the store.
#[derive(Debug)]
pub struct Loaded {
    /// The message.
    pub message: Message,
    /// Those of the recipients that were asked for.
    pub recipients: Vec<Recipient>,
}

/// What [`Store::look_through`] found.
#[derive(Debug, Default)]
pub struct Waiting {
    /// Messages with recipients in line, with these, ordered by id.
    pub found: Vec<Loaded>,
    /// The last message that was looked at, found or not; `None`: there was none.
    pub examined_to: Option<QueueId>,
    /// Whether there may be more behind it.
    pub more: bool,
}

impl Store {
    /// Opens or creates the store, runs migrations, and repairs what a crash left. Blocks, for the
    /// longer the more is queued if the last stop was no clean one.
    pub fn open(options: StoreOptions) -> Result<Store, OpenError> {
        let StoreOptions {
            path,
            destination_of,
            routing_fingerprint,
            min_free_space,
            events,
            now,
        } = options;
        let directory = QueueDirectory::open(&path)?;
        let fail = |error| OpenError::Directory {
            path: directory.bodies(),
            error,
        };
        let files = Arc::new(BodyFiles::open(directory.bodies()).map_err(fail)?);
        let (trees, damaged) = directory.open_database(&events)?;
        let quarantine = Quarantine::new(directory.quarantine());
        let recovery = Recovery {
            trees: &trees,
            files: &files,
            quarantine: &quarantine,
            destination_of: &*destination_of,
            routing_fingerprint: &routing_fingerprint,
            damaged,
            now,
            events: &events,
        };
        let database_error = |error: sled::Error| OpenError::Database {
            path: path.clone(),
            error: error.to_string(),
        };
        let Recovered {
            tally,
            damaged: damaged_at_open,
        } = recovery.run().map_err(database_error)?;
        let engine = Arc::new(Engine::new(directory.database(), trees));
        let (counters, news) = (
            Arc::new(Counters::new(tally)),
            Arc::new(NewsBoard::default()),
        );
        let health = Arc::new(Health::new(path.clone(), min_free_space));
        let routing = Arc::new(Routing::new(destination_of, routing_fingerprint));
        let (work, to_do) = mpsc::channel(COMMIT_QUEUE_MAX);
        let work_again = work.downgrade();
        engine.on_suspicion(move || {
            // if there is no room, the committer has other work and looks behind that
            if let Some(work) = work_again.upgrade() {
                let _ = work.try_send(Work::LookAgain);
            }
        });
        let committer = Committer {
            engine: engine.clone(),
            files: files.clone(),
            counters: counters.clone(),
            news: news.clone(),
            health: health.clone(),
            routing: routing.clone(),
            events: events.clone(),
        };
        committer
            .start(to_do)
            .map_err(|error| OpenError::Directory {
                path: path.clone(),
                error,
            })?;
        let background =
            Background::start(&events).map_err(|error| OpenError::Directory { path, error })?;
        let moved = Mutex::default();
        Ok(Store(Arc::new(Inner {
            work,
            engine,
            background,
            files,
            counters,
            news,
            health,
            routing,
            events,
            moved,
            quarantine,
            damaged_at_open,
            directory,
        })))
    }

    /// Room for the octets of message `id`; its recipients give a file its name.
    #[must_use]
    pub fn intake(&self, id: QueueId, recipients: &[Recipient]) -> Intake {
        let name = body_files::name(id, &body_files::recipients_hash(recipients.iter()));
        let read_soon = recipients.iter().any(|rcpt| rcpt.state.due().is_some());
        Intake::new(self.0.files.clone(), name, read_soon)
    }

    /// Why mail can't be taken right now: the store failed, or the disk is nearly full. Cheap.
    #[must_use]
    pub fn refuses_mail(&self) -> Option<CommitError> {
        self.0.health.refuses()
    }

    /// How much was found to be damaged as this store was opened, and put aside or mended.
    #[must_use]
    pub fn damaged_at_open(&self) -> u64 {
        self.0.damaged_at_open
    }

    /// Gives the committer something to do, if it has nothing: a look at the database. Does not wait.
    pub fn stir_committer(&self) {
        // if there is no room it has enough to do
        let _ = self.0.work.try_send(Work::LookAgain);
    }

    /// Grows whenever the committer has come to the end of a group, or of an attempt to open a failed
    /// database again. If it does not after [`Store::stir_committer`], the committer hangs.
    #[must_use]
    pub fn committer_progress(&self) -> u64 {
        self.0.health.progress()
    }

    /// How much is in the queue. Cheap.
    #[must_use]
    pub fn counts(&self) -> Counts {
        self.0.counters.get()
    }

    /// Makes a message durable: after `Ok`, power may go. If the future is dropped, the message may
    /// or may not be taken.
    ///
    /// # Panics
    /// If the message has no recipients, or facts of another body: bugs of the caller.
    pub async fn accept(&self, new: NewMessage) -> Result<(), CommitError> {
        if let Some(refusal) = self.refuses_mail() {
            return Err(refusal);
        }
        let prepared = Box::new(self.prepare(new));
        self.ask(|done| Work::Accept(prepared, done)).await
    }

    /// Makes verdicts durable together with the reports they call for. Says for each change, in
    /// order, whether it is made; one that had been made before counts. If none had to be made, the
    /// reports are not added either. With reports, either all changes are made or none is (then it
    /// says `false` to all): a report must not tell of what did not happen.
    pub async fn record(
        &self,
        changes: Vec<RecipientChange>,
        reports: Vec<NewMessage>,
    ) -> Result<Vec<bool>, CommitError> {
        let reports = reports
            .into_iter()
            .map(|report| self.prepare(report))
            .collect();
        self.ask(|done| Work::Record(changes, reports, done)).await
    }

    /// Puts recipients in line that a mode held, due at `due`: `limit` of them, and those of the last
    /// message wholly. From the message `from` on, in the order of ids.
    pub async fn release_held(
        &self,
        from: Option<QueueId>,
        due: UnixMillis,
        limit: usize,
    ) -> Result<ReleasedPage, CommitError> {
        let find = move |trees: &Trees| held::page(trees, from, due, limit);
        let found = read::on_reader(&self.0.engine, find).await;
        let found = found.map_err(|error| CommitError::Failed(error.to_string()))?;
        let mut released = 0;
        if !found.changes.is_empty() {
            let made = self.record(found.changes, Vec::new()).await?;
            released = made.into_iter().filter(|made| *made).count();
        }
        Ok(ReleasedPage {
            released,
            next: found.next,
        })
    }

    /// Waits until there is [`News`]. Cancel-safe.
    pub async fn news_waiting(&self) {
        self.0.news.posted().await;
    }

    /// Takes the news. Returns at once.
    #[must_use]
    pub fn take_news(&self) -> News {
        self.0.news.take()
    }

    /// In which line mail for this domain waits.
    #[must_use]
    pub fn destination_of(&self, domain: &AddressDomain) -> Destination {
        (self.0.routing.map().destination_of())(domain)
    }

    /// Changes how many bytes must stay free on the file system.
    pub fn set_min_free_space(&self, bytes: u64) {
        self.0.health.set_min_free_space(bytes);
    }

    /// Removes up to `limit` messages that were kept long enough at `now`, with everything that belongs
    /// to them.
    pub async fn remove_over(
        &self,
        now: UnixMillis,
        keeping: Keeping,
        limit: usize,
    ) -> Result<RemovedPage, CommitError> {
        let sweep = Sweep {
            now,
            keeping,
            limit,
        };
        let removed = self.ask(|done| Work::RemoveOver(sweep, done)).await?;
        let files = self.0.files.clone();
        let sweep = move || {
            // What can't be removed now is an orphan, which a start after a crash removes.
            removed
                .files
                .iter()
                .for_each(|name| drop(files.remove(name)));
            if !removed.more {
                files.remove_empty_days(QueueId::first_of(now.before(keeping.retention)));
            }
            RemovedPage {
                ids: removed.ids,
                more: removed.more,
            }
        };
        tokio::task::spawn_blocking(sweep)
            .await
            .map_err(|_| CommitError::Closed)
    }

    /// Moves the inline bodies of up to `limit` messages that have been over since before `until`
    /// into files, so that retained mail does not make the database large; says how many were looked
    /// at. For quiet times.
    pub async fn move_over_to_files(
        &self,
        until: UnixMillis,
        limit: usize,
    ) -> Result<usize, CommitError> {
        let (engine, files) = (self.0.engine.clone(), self.0.files.clone());
        let from = self
            .0
            .moved
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone();
        let write = move || retained::write_files(&engine, &files, from, until, limit);
        let written = tokio::task::spawn_blocking(write).await;
        let Written {
            moves,
            looked_at,
            next,
        } = written.map_err(|_| CommitError::Closed)??;
        if !moves.is_empty() {
            self.ask(|done| Work::MoveToFiles(moves, done)).await?;
        }
        *self.0.moved.lock().unwrap_or_else(PoisonError::into_inner) = next;
        Ok(looked_at)
    }

    /// Writes out everything and marks a clean stop. No change is taken afterwards.
    pub async fn close(&self) -> Result<(), CommitError> {
        self.ask(Work::Close).await
    }

    fn prepare(&self, new: NewMessage) -> Prepared {
        assert_eq!(
            new.message.body,
            new.body.facts(),
            "{}: facts of another body",
            new.message.id
        );
        Prepared::new(new, &self.0.routing.map())
    }

    async fn ask<T>(&self, work: impl FnOnce(Done<T>) -> Work) -> Result<T, CommitError> {
        let (done, answer) = oneshot::channel();
        self.0
            .work
            .send(work(done))
            .await
            .map_err(|_| CommitError::Closed)?;
        answer.await.unwrap_or(Err(CommitError::Closed))
    }
}

fn disk_error(error: &std::io::Error) -> CommitError {
    match error.kind() {
        std::io::ErrorKind::StorageFull
        | std::io::ErrorKind::QuotaExceeded
        | std::io::ErrorKind::FileTooLarge => CommitError::DiskFull,
        _ => CommitError::Failed(error.to_string()),
    }
}

fn disk_error_of_sled(error: &sled::Error) -> CommitError {
    match error {
        sled::Error::Io(io) => disk_error(io),
        other => CommitError::Failed(other.to_string()),
    }
}

#[cfg(test)]
mod flip_test;
#[cfg(test)]
mod history_test;
#[cfg(test)]
mod model_test;
#[cfg(test)]
mod tests;
