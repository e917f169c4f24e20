//! The queue on disk. The only room that names sled.
//!
//! Promises: what [`Store::accept`] and [`Store::record`] have answered `Ok` to survives a power
//! cut; a group of changes is wholly there or wholly not; whatever is read was checked by its CRC.
//! The face speaks of messages, recipients and destinations only.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use crate::config::Mode;
use crate::mail::{
    AddressDomain, BodyFacts, Destination, Message, QueueId, Recipient, RecipientNo, UnixMillis,
};
use crate::observe::Events;

/// How a store is opened.
pub struct StoreOptions {
    /// Its directory.
    pub path: PathBuf,
    /// Decides in which line a recipient waits.
    pub destination_of: DestinationOf,
    /// Changes whenever `destination_of` would answer otherwise; then the lines are made anew.
    pub routing_fingerprint: String,
    /// In mode `deliver`, what an earlier mode held is released.
    pub mode: Mode,
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
pub struct Store {}

/// Why a store did not open.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {}

/// Why a change was not made. Nothing of it is in the store, now or later.
#[derive(Clone, Debug, thiserror::Error)]
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
#[derive(Clone, Debug, thiserror::Error)]
pub enum ReadError {
    /// Damaged; it was put aside and told.
    #[error("damaged: {0}")]
    Damaged(String),
    /// The disk or the database failed.
    #[error("the store failed: {0}")]
    Failed(String),
}

/// A message to be put into the store, with its recipients in their first states.
pub struct NewMessage {
    /// Everything but recipients and octets.
    pub message: Message,
    /// At least one, numbered from 0.
    pub recipients: Vec<Recipient>,
    /// The octets, from an [`Intake`].
    pub body: FinishedBody,
}

/// Where the octets of a message go while they come in: small ones stay in memory, larger ones are
/// written to a file. Dropped before [`Store::accept`], nothing stays behind.
pub struct Intake {}

/// Octets that are complete; if they are in a file, that file is on disk.
pub struct FinishedBody {}

/// What one attempt made of one recipient.
#[derive(Clone, Debug)]
pub struct RecipientChange {
    /// Of which message.
    pub id: QueueId,
    /// As it was read. If the store has another state by now, the change is not made.
    pub before: Recipient,
    /// As it is to be.
    pub after: Recipient,
}

/// One recipient in line.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
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

/// What the committer put in line since it was last asked.
#[derive(Debug, Default)]
pub struct News {
    /// Items, the latest last.
    pub items: Vec<DueItem>,
    /// Destinations of which more came than `items` has room for, with the earliest due time.
    pub more: Vec<(Destination, UnixMillis)>,
}

/// What is needed for an attempt.
#[derive(Debug)]
pub struct Loaded {
    /// The message.
    pub message: Message,
    /// Those of the recipients asked for that are still in line.
    pub recipients: Vec<Recipient>,
}

/// The octets of a stored message, read piece by piece; the CRC is checked at the end.
pub struct BodyReader {}

impl Store {
    /// Opens or creates the store, runs migrations, repairs what a crash left. Blocks.
    pub fn open(_options: StoreOptions) -> Result<Store, OpenError> {
        todo!()
    }

    /// Room for the octets of message `id`; `recipients` give the file its name.
    pub fn intake(&self, _id: QueueId, _recipients: &[Recipient]) -> Intake {
        todo!()
    }

    /// `Some` while mail can't be taken: the store failed, or the disk is nearly full. Cheap.
    pub fn refuses_mail(&self) -> Option<CommitError> {
        todo!()
    }

    /// Makes a message durable. After `Ok` power may go. If the future is dropped, the message may
    /// or may not be taken.
    pub async fn accept(&self, _new: NewMessage) -> Result<(), CommitError> {
        todo!()
    }

    /// Makes verdicts durable together with the reports they call for. Returns, for each change in
    /// order, whether it was made.
    pub async fn record(
        &self,
        _changes: Vec<RecipientChange>,
        _reports: Vec<NewMessage>,
    ) -> Result<Vec<bool>, CommitError> {
        todo!()
    }

    /// Waits until there is [`News`]. Cancel-safe.
    pub async fn news_waiting(&self) {
        todo!()
    }

    /// Takes the news. Returns at once.
    pub fn take_news(&self) -> News {
        todo!()
    }

    /// Every destination with work, with its earliest due time: by seeking, not by scanning.
    pub async fn destinations(&self) -> Result<Vec<(Destination, UnixMillis)>, ReadError> {
        todo!()
    }

    /// The first `limit` items in a destination's line, due or not, in order of time.
    pub async fn line(
        &self,
        _destination: &Destination,
        _limit: usize,
    ) -> Result<Vec<DueItem>, ReadError> {
        todo!()
    }

    /// The message and those of the given recipients that are still in line; `None` if it is gone.
    pub async fn load(
        &self,
        _id: QueueId,
        _nos: &[RecipientNo],
    ) -> Result<Option<Loaded>, ReadError> {
        todo!()
    }

    /// Opens the octets below the added header. Fails on a wrong length at once.
    pub async fn body(&self, _message: &Message) -> Result<BodyReader, ReadError> {
        todo!()
    }

    /// The header section of a message below the added one, at most `limit` bytes, whole lines.
    pub async fn header_section(
        &self,
        _message: &Message,
        _limit: usize,
    ) -> Result<Vec<u8>, ReadError> {
        todo!()
    }

    /// Up to `limit` messages that arrived before `before`, from `after` on, with those of their
    /// recipients that are still in line (for expiry). Ordered by id.
    pub async fn arrived_before(
        &self,
        _before: UnixMillis,
        _after: Option<QueueId>,
        _limit: usize,
    ) -> Result<Vec<Loaded>, ReadError> {
        todo!()
    }

    /// Removes up to `limit` messages that have been over since before `until`; returns which.
    pub async fn remove_over(
        &self,
        _until: UnixMillis,
        _limit: usize,
    ) -> Result<Vec<QueueId>, CommitError> {
        todo!()
    }

    /// Moves inline bodies of up to `limit` messages that have been over since before `until` into
    /// files; returns how many were moved. Off the hot path.
    pub async fn move_over_to_files(
        &self,
        _until: UnixMillis,
        _limit: usize,
    ) -> Result<usize, CommitError> {
        todo!()
    }

    /// Writes out everything and marks a clean stop. No change is taken afterwards.
    pub async fn close(&self, _grace: Duration) -> Result<(), CommitError> {
        todo!()
    }
}

impl Intake {
    /// Append octets here, then call [`Intake::settle`].
    pub fn buffer(&mut self) -> &mut Vec<u8> {
        todo!()
    }

    /// Takes notice of what was appended; writes a piece to the file when there is enough of it.
    pub async fn settle(&mut self) -> Result<(), CommitError> {
        todo!()
    }

    /// Completes the octets; a file is durable afterwards.
    pub async fn finish(self) -> Result<FinishedBody, CommitError> {
        todo!()
    }
}

impl FinishedBody {
    /// What is known about the octets.
    pub fn facts(&self) -> BodyFacts {
        todo!()
    }
}

impl BodyReader {
    /// The next piece; `None` after the last, and only if length and CRC were right.
    pub async fn next(&mut self) -> Result<Option<bytes::Bytes>, ReadError> {
        todo!()
    }
}
