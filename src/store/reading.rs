//! What can be asked of the store about what is in it.

use crate::mail::{Destination, Message, QueueId, RecipientNo, UnixMillis};
use crate::message::header_section;
use crate::observe::QueueEvent;

use super::background::Panicked;
use super::engine::Trees;
use super::{
    BodyReader, DueItem, Loaded, ReadError, Scan, ScanPage, Store, Waiting, Wanted, read, scan,
};

impl Store {
    /// Every destination with work, with its earliest due time: by seeking, not by scanning.
    pub async fn destinations(&self) -> Result<Vec<(Destination, UnixMillis)>, ReadError> {
        read::on_reader(&self.0.engine, read::destinations).await
    }

    /// The first `limit` items in a destination's line, due or not, in order of time.
    pub async fn line(
        &self,
        destination: &Destination,
        limit: usize,
    ) -> Result<Vec<DueItem>, ReadError> {
        let destination = destination.clone();
        read::on_reader(&self.0.engine, move |trees| {
            read::line(trees, &destination, limit)
        })
        .await
    }

    /// The message and those of the given recipients that are still in line; `None` if it is gone.
    pub async fn load(
        &self,
        id: QueueId,
        nos: &[RecipientNo],
    ) -> Result<Option<Loaded>, ReadError> {
        let nos = nos.to_vec();
        self.told(
            read::on_reader(&self.0.engine, move |trees| read::load(trees, id, &nos)).await,
            id,
        )
    }

    /// A message with all its recipients, whatever became of them; `None` if it is gone.
    pub async fn entry(&self, id: QueueId) -> Result<Option<Loaded>, ReadError> {
        let read = move |trees: &Trees| read::entry(trees, id);
        self.told(read::on_reader(&self.0.engine, read).await, id)
    }

    /// One page of the recipients for which `wanted` says yes, whatever became of them.
    pub async fn scan(&self, scan: Scan, wanted: Wanted) -> Result<ScanPage, ReadError> {
        let destination_of = self.0.routing.destination_of();
        read::in_background(&self.0.background, &self.0.engine, move |trees| {
            scan::page(trees, scan, &*wanted, &*destination_of)
        })
        .await
    }

    /// Does something with what was found, such as lines of a list, on the same thread of low priority.
    ///
    /// # Errors
    /// It panicked.
    pub async fn in_background<T: Send + 'static>(
        &self,
        work: impl FnOnce() -> T + Send + 'static,
    ) -> Result<T, ReadError> {
        let done = self.0.background.run(work).await;
        done.map_err(|Panicked| ReadError::Failed("work on what was read panicked".into()))
    }

    /// Opens the octets below the added header.
    pub async fn body(&self, message: &Message) -> Result<BodyReader, ReadError> {
        let (files, message, id) = (self.0.files.clone(), message.clone(), message.id);
        let open = move |trees: &Trees| BodyReader::open(trees, &files, &message);
        self.told(read::on_reader(&self.0.engine, open).await, id)
    }

    /// The header section of a message below the added one, as [`header_section`] finds it in the
    /// first `limit` bytes.
    pub async fn header_section(
        &self,
        message: &Message,
        limit: usize,
    ) -> Result<Vec<u8>, ReadError> {
        let mut body = self.body(message).await?;
        let mut front = Vec::new();
        while front.len() < limit {
            match body.next().await? {
                Some(piece) => front.extend_from_slice(&piece),
                None => break,
            }
        }
        front.truncate(limit);
        Ok(header_section(&front).to_vec())
    }

    /// Up to `limit` messages that arrived before `before` and have recipients in line, with these,
    /// ordered by id; only those behind `after`.
    pub async fn arrived_before(
        &self,
        before: UnixMillis,
        after: Option<QueueId>,
        limit: usize,
    ) -> Result<Vec<Loaded>, ReadError> {
        let page = self.look_through(after, before, limit, usize::MAX).await?;
        Ok(page.found)
    }

    /// The same, after a look at no more than `examined_max` messages, whatever was found.
    pub async fn look_through(
        &self,
        after: Option<QueueId>,
        before: UnixMillis,
        limit: usize,
        examined_max: usize,
    ) -> Result<Waiting, ReadError> {
        read::on_reader(&self.0.engine, move |trees| {
            read::arrived_before(trees, before, after, limit, examined_max)
        })
        .await
    }

    /// A message with all its recipients that are in line; `None` if none is, or it is gone.
    pub async fn load_waiting(&self, id: QueueId) -> Result<Option<Loaded>, ReadError> {
        let load = move |trees: &Trees| read::load_waiting(trees, id);
        self.told(read::on_reader(&self.0.engine, load).await, id)
    }

    /// Tells of damage where it is met.
    pub(super) fn told<T>(&self, read: Result<T, ReadError>, id: QueueId) -> Result<T, ReadError> {
        if let Err(ReadError::Damaged(what)) = &read {
            self.0
                .events
                .emit(QueueEvent::Quarantined { id: Some(id), what });
        }
        read
    }
}
