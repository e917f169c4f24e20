//! A message that comes in chunks (RFC 3030): what there is of it between two BDATs.

use crate::message::Scan;
use crate::smtp::chunk_checker::ChunkChecker;
use crate::smtp::data_decoder::{DataFault, DataLimits};
use crate::smtp::server::Say;
use crate::store::{Intake, Store};

use super::incoming::{Incoming, Received, finish, no_room};

/// As much of a message as has come. Dropped, it leaves nothing behind.
pub(super) struct ChunkedMessage {
    incoming: Incoming,
    checker: ChunkChecker,
    scan: Scan,
    intake: Intake,
}

impl ChunkedMessage {
    pub(super) fn new(
        incoming: Incoming,
        data_limits: DataLimits,
        scan: Scan,
        store: &Store,
    ) -> ChunkedMessage {
        let body_kind = incoming.submission.envelope.body_kind;
        ChunkedMessage {
            checker: ChunkChecker::new(body_kind, data_limits),
            scan,
            intake: store.intake(incoming.id, &incoming.recipients),
            incoming,
        }
    }

    /// Takes the next octets. Once the message is known to be unfit, they are only looked at.
    pub(super) fn take(&mut self, octets: &[u8]) {
        self.checker.check(octets);
        if self.checker.fault().is_none() {
            self.scan.feed(octets, self.intake.buffer());
        }
    }

    pub(super) async fn settle(&mut self) -> Result<(), Say> {
        let settled = self.intake.settle().await;
        settled.map_err(|error| no_room(&error))
    }

    pub(super) fn fault(&self, at_end: bool) -> Option<DataFault> {
        if at_end {
            self.checker.fault_at_end()
        } else {
            self.checker.fault()
        }
    }

    pub(super) async fn finish(self: Box<Self>) -> (Incoming, Result<Received, Say>) {
        (self.incoming, finish(self.scan, self.intake).await)
    }
}
