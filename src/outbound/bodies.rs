//! Where the octets of outgoing messages come from.

use std::future::Future;

use bytes::Bytes;

use crate::mail::Message;
use crate::store::{BodyReader, ReadError, Store};

/// Where the octets of messages are read from: the store, and something simpler in tests.
pub(super) trait Bodies: Send + Sync + 'static {
    /// One message, piece by piece.
    type Pieces: Pieces;
    /// Opens the octets below the added header.
    fn open(
        &self,
        message: &Message,
    ) -> impl Future<Output = Result<Self::Pieces, ReadError>> + Send;
}

/// The octets of one message.
pub(super) trait Pieces: Send {
    /// The next piece; `None` after the last, and only if all were right.
    fn next(&mut self) -> impl Future<Output = Result<Option<Bytes>, ReadError>> + Send;
}

impl Bodies for Store {
    type Pieces = BodyReader;

    async fn open(&self, message: &Message) -> Result<BodyReader, ReadError> {
        self.body(message).await
    }
}

impl Pieces for BodyReader {
    async fn next(&mut self) -> Result<Option<Bytes>, ReadError> {
        BodyReader::next(self).await
    }
}
