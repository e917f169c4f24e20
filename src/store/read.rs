//! Reading: on threads that may wait, since everything in sled may. What is damaged is told and put
//! aside as a copy; it is never handed out.

use std::cell::Cell;
use std::fs::File;
use std::io::Read as _;
use std::sync::Arc;

use bytes::Bytes;

use crate::mail::{BodyFacts, Destination, Message, QueueId, Recipient, RecipientNo, UnixMillis};

use super::background::{Background, Panicked};
use super::body_files::BodyFiles;
use super::engine::{Engine, Trees};
use super::record::{self, Place, RecordError, StoredMessage};
use super::{DueItem, Loaded, ReadError, Waiting, key};

/// Piece in which a body file is read, in bytes: one for each delivery that is under way.
const READ_PIECE_BYTES: usize = 32 * 1024;

/// Does `read` with the open database on a thread that may wait.
pub(super) async fn on_reader<T: Send + 'static>(
    engine: &Arc<Engine>,
    read: impl FnOnce(&Trees) -> Result<T, ReadError> + Send + 'static,
) -> Result<T, ReadError> {
    let theirs = engine.clone();
    let reader = tokio::task::spawn_blocking(move || look(&theirs, read));
    reader
        .await
        .unwrap_or_else(|error| ended(engine, error.is_panic()))
}

/// The same on the thread for what mail goes before.
pub(super) async fn in_background<T: Send + 'static>(
    background: &Background,
    engine: &Arc<Engine>,
    read: impl FnOnce(&Trees) -> Result<T, ReadError> + Send + 'static,
) -> Result<T, ReadError> {
    let theirs = engine.clone();
    let done = background.run(move || look(&theirs, read)).await;
    done.unwrap_or_else(|Panicked| ended(engine, true))
}

fn look<T>(
    engine: &Engine,
    read: impl FnOnce(&Trees) -> Result<T, ReadError>,
) -> Result<T, ReadError> {
    CORRUPT.set(false);
    let done = engine.trees().and_then(|trees| read(&trees));
    if CORRUPT.get() {
        engine.suspect();
    }
    done
}

fn ended<T>(engine: &Engine, by_panic: bool) -> Result<T, ReadError> {
    if by_panic {
        engine.suspect(); // on some damage sled panics
    }
    Err(ReadError::Failed("the reader ended".into()))
}

thread_local! {
    /// Whether what this thread reads is damaged such that sled itself can't read it.
    static CORRUPT: Cell<bool> = const { Cell::new(false) };
}

pub(super) fn destinations(trees: &Trees) -> Result<Vec<(Destination, UnixMillis)>, ReadError> {
    let mut found: Vec<(Destination, UnixMillis)> = Vec::new();
    let mut from = Vec::new();
    while let Some(entry) = trees.due.range(from..).next() {
        let (key, _) = entry.map_err(failed)?;
        match key::parse_due(&key) {
            Some(item) => {
                from = key::line_end(&item.destination);
                found.push((item.destination, item.due));
            }
            None => {
                // No key of ours: step over it; the next start takes it out.
                from = key.to_vec();
                from.push(0);
            }
        }
    }
    Ok(found)
}

pub(super) fn line(
    trees: &Trees,
    destination: &Destination,
    limit: usize,
) -> Result<Vec<DueItem>, ReadError> {
    let range = key::line_start(destination)..key::line_end(destination);
    // A key that is none of ours is stepped over; the next start after a crash takes it out.
    let parse = |key: sled::Result<sled::IVec>| key.map(|key| key::parse_due(&key)).map_err(failed);
    let keys = trees.due.range(range).keys();
    keys.filter_map(|key| parse(key).transpose())
        .take(limit)
        .collect()
}

pub(super) fn load(
    trees: &Trees,
    id: QueueId,
    nos: &[RecipientNo],
) -> Result<Option<Loaded>, ReadError> {
    let Some(stored) = message(trees, id)? else {
        return Ok(None);
    };
    let mut recipients = Vec::with_capacity(nos.len());
    for &no in nos {
        recipients.extend(in_line(trees, id, no)?);
    }
    Ok(Some(Loaded {
        message: stored.message,
        recipients,
    }))
}

pub(super) fn entry(trees: &Trees, id: QueueId) -> Result<Option<Loaded>, ReadError> {
    let Some(stored) = message(trees, id)? else {
        return Ok(None);
    };
    Ok(Some(Loaded {
        message: stored.message,
        recipients: recipients(trees, id)?,
    }))
}

pub(super) fn arrived_before(
    trees: &Trees,
    before: UnixMillis,
    after: Option<QueueId>,
    limit: usize,
    examined_max: usize,
) -> Result<Waiting, ReadError> {
    let from = after.map_or(Vec::new(), |id| [&id.to_bytes()[..], &[0]].concat());
    let until = QueueId::first_of(before).to_bytes().to_vec();
    let mut page = Waiting::default();
    if from >= until {
        return Ok(page);
    }
    for (examined, entry) in trees.messages.range(from..until).enumerate() {
        if page.found.len() >= limit || examined >= examined_max {
            page.more = true;
            break;
        }
        let (key, sealed) = entry.map_err(failed)?;
        let Some(id) = key::parse_message(&key) else {
            continue;
        };
        page.examined_to = Some(id);
        let Ok(stored) = record::open_message(id, &sealed) else {
            continue;
        }; // told when it is loaded
        page.found.extend(waiting_of(trees, stored)?);
    }
    Ok(page)
}

pub(super) fn load_waiting(trees: &Trees, id: QueueId) -> Result<Option<Loaded>, ReadError> {
    match message(trees, id)? {
        Some(stored) => waiting_of(trees, stored),
        None => Ok(None),
    }
}

/// With all recipients that are in line; `None` if none is.
fn waiting_of(trees: &Trees, stored: StoredMessage) -> Result<Option<Loaded>, ReadError> {
    let mut recipients = self::recipients(trees, stored.message.id)?;
    recipients.retain(|rcpt| rcpt.state.due().is_some());
    Ok((!recipients.is_empty()).then_some(Loaded {
        message: stored.message,
        recipients,
    }))
}

pub(super) fn message(trees: &Trees, id: QueueId) -> Result<Option<StoredMessage>, ReadError> {
    let sealed = trees.messages.get(id.to_bytes()).map_err(failed)?;
    sealed
        .map(|sealed| {
            record::open_message(id, &sealed).map_err(|error| damaged(id, "message", &error))
        })
        .transpose()
}

/// A recipient that stands in line. A damaged one is left out: the others must not wait for it, and
/// the next start after a crash puts it aside and tells.
fn in_line(trees: &Trees, id: QueueId, no: RecipientNo) -> Result<Option<Recipient>, ReadError> {
    let key = key::recipient(id, no);
    let sealed = trees.recipients.get(key).map_err(failed)?;
    let rcpt = sealed.and_then(|sealed| record::open_recipient(&key, no, &sealed).ok());
    Ok(rcpt.filter(|rcpt| rcpt.state.due().is_some()))
}

/// All recipients of a message that can be read.
pub(super) fn recipients(trees: &Trees, id: QueueId) -> Result<Vec<Recipient>, ReadError> {
    let mut found = Vec::new();
    for entry in trees.recipients.scan_prefix(id.to_bytes()) {
        let (key, sealed) = entry.map_err(failed)?;
        found.extend(
            key::parse_recipient(&key)
                .and_then(|(_, no)| record::open_recipient(&key, no, &sealed).ok()),
        );
    }
    Ok(found)
}

/// Why sled could not read; by a thread that reads.
pub(super) fn failed(error: sled::Error) -> ReadError {
    CORRUPT.set(matches!(error, sled::Error::Corruption { .. }) || CORRUPT.get());
    ReadError::Failed(error.to_string())
}

fn damaged(id: QueueId, what: &str, error: &RecordError) -> ReadError {
    ReadError::Damaged(format!("{id}: {what}: {error}"))
}

/// The octets of a stored message below its added header, piece by piece. The last piece is
/// followed by `None` only if length and CRC were right, so a reader that sends as it reads must not
/// end the message before it has seen the `None`.
pub struct BodyReader {
    id: QueueId,
    want: BodyFacts,
    source: Source,
    left: u64,
    crc: crc32fast::Hasher,
}

enum Source {
    Inline(Option<Bytes>),
    File(Option<File>),
}

impl BodyReader {
    /// Opens the body; a wrong length is told at once, and so is a wrong CRC of an inline body.
    pub(super) fn open(
        trees: &Trees,
        files: &BodyFiles,
        message: &Message,
    ) -> Result<BodyReader, ReadError> {
        let (id, want) = (message.id, message.body);
        let lost = |what: &str| ReadError::Damaged(format!("{id}: body: {what}"));
        let stored = self::message(trees, id)?.ok_or_else(|| lost("its message is gone"))?;
        let (source, len) = match stored.place {
            Place::Inline => {
                let octets = trees
                    .bodies
                    .get(id.to_bytes())
                    .map_err(failed)?
                    .ok_or_else(|| lost("missing"))?;
                if crc32fast::hash(&octets) != want.crc32 {
                    return Err(lost("checksum does not match"));
                }
                let octets = Bytes::copy_from_slice(&octets);
                let len = octets.len() as u64;
                (Source::Inline((!octets.is_empty()).then_some(octets)), len)
            }
            Place::File(name) => {
                let path = files.path(&name);
                let file = File::open(&path).map_err(|error| match error.kind() {
                    std::io::ErrorKind::NotFound => lost("its file is missing"),
                    _ => ReadError::Failed(format!("{}: {error}", path.display())),
                })?;
                let len = file
                    .metadata()
                    .map_err(|error| ReadError::Failed(error.to_string()))?
                    .len();
                (Source::File(Some(file)), len)
            }
            Place::PutAside(Some(name)) => {
                return Err(lost(&format!(
                    "it was damaged, and is now quarantine/{name}"
                )));
            }
            Place::PutAside(None) => return Err(lost("missing")),
        };
        if len != want.len {
            return Err(lost("wrong length"));
        }
        Ok(BodyReader {
            id,
            want,
            source,
            left: len,
            crc: crc32fast::Hasher::new(),
        })
    }

    /// The next piece, not empty; `None` after the last, if the whole was right.
    ///
    /// If the future is dropped, the reader is of no more use.
    pub async fn next(&mut self) -> Result<Option<Bytes>, ReadError> {
        let piece = match &mut self.source {
            Source::Inline(octets) => return Ok(octets.take()),
            Source::File(file) if self.left > 0 => match file.take() {
                Some(open) => {
                    let size = usize::try_from(self.left)
                        .unwrap_or(usize::MAX)
                        .min(READ_PIECE_BYTES);
                    let (open, piece) = read_piece(open, size).await?;
                    *file = Some(open);
                    piece
                }
                None => return Err(self.damaged("an earlier read failed")),
            },
            Source::File(_) => {
                if self.crc.clone().finalize() == self.want.crc32 {
                    return Ok(None);
                }
                return Err(self.damaged("checksum does not match"));
            }
        };
        self.left -= piece.len() as u64;
        self.crc.update(&piece);
        Ok(Some(piece))
    }

    fn damaged(&self, what: &str) -> ReadError {
        ReadError::Damaged(format!("{}: body: {what}", self.id))
    }
}

async fn read_piece(mut file: File, size: usize) -> Result<(File, Bytes), ReadError> {
    let read = move || {
        let mut piece = vec![0; size];
        file.read_exact(&mut piece)
            .map(|()| (file, Bytes::from(piece)))
    };
    match tokio::task::spawn_blocking(read).await {
        Ok(read) => read.map_err(|error| ReadError::Failed(error.to_string())),
        Err(_) => Err(ReadError::Failed("the reader ended".into())),
    }
}
