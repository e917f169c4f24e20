//! A message that comes in chunks (RFC 3030): what there is of it between two BDATs, and the octets
//! of each.

use crate::message::HeaderFilter;
use crate::observe::RejectedWhat;
use crate::smtp::chunk_checker::ChunkChecker;
use crate::smtp::data_decoder::DataFault;
use crate::smtp::server::{Chunk, PartOf, Say, Session};
use crate::store::Intake;

use super::receive::{Incoming, Received, data_fault, finish, no_room};
use super::session::{Connection, End};

/// As much of a message as has come. Dropped, it leaves nothing behind.
pub(super) struct ChunkedMessage {
    incoming: Incoming,
    checker: ChunkChecker,
    filter: HeaderFilter,
    intake: Intake,
}

impl Connection {
    /// Reads the octets of a chunk, and answers. They are counted off whatever is wrong, so that
    /// none of them is ever taken for a command.
    pub(super) async fn receive_chunk(
        &mut self,
        session: &mut Session,
        chunk: Chunk,
    ) -> Result<(), End> {
        let mut what = RejectedWhat::Message;
        let mut message = match chunk.part_of {
            PartOf::New(submission) => {
                let incoming = self.begin(*submission);
                Ok(Box::new(self.chunked_message(incoming)))
            }
            PartOf::Current => self.chunked.take().ok_or(Say::MailFirst),
            PartOf::Nothing(say) => {
                what = RejectedWhat::Data;
                Err(say)
            }
        };
        let mut left = chunk.octets;
        while left > 0 {
            if self.input.unread().is_empty() {
                self.flush().await?;
                self.read_data().await?;
            }
            let unread = self.input.unread();
            let count = usize::try_from(left).map_or(unread.len(), |left| left.min(unread.len()));
            if let Ok(open) = &mut message {
                open.take(&unread[..count]);
            }
            self.input.consume(count);
            left -= count as u64;
            if let Ok(open) = &mut message
                && let Err(say) = open.settle().await
            {
                message = Err(say);
            }
        }
        let fit = message.and_then(|open| match open.fault(chunk.last) {
            None => Ok(open),
            Some(fault) => Err(data_fault(fault)),
        });
        match fit {
            Ok(open) if chunk.last => {
                let (incoming, received) = open.finish().await;
                self.conclude(incoming, received).await
            }
            Ok(open) => {
                self.chunked = Some(open);
                self.reply(|out| Say::Ok.write(out));
                Ok(())
            }
            Err(say) => {
                if what == RejectedWhat::Message {
                    session.drop_transaction();
                }
                self.reject(what, say);
                Ok(())
            }
        }
    }

    fn chunked_message(&self, incoming: Incoming) -> ChunkedMessage {
        let body_kind = incoming.submission.envelope.body_kind;
        ChunkedMessage {
            checker: ChunkChecker::new(body_kind, self.context.rules.message_bytes_max),
            filter: HeaderFilter::new(),
            intake: self.context.store.intake(incoming.id, &incoming.recipients),
            incoming,
        }
    }
}

impl ChunkedMessage {
    /// Takes the next octets. Once the message is known to be unfit, they are only looked at.
    fn take(&mut self, octets: &[u8]) {
        self.checker.check(octets);
        if self.checker.fault().is_none() {
            self.filter.feed(octets, self.intake.buffer());
        }
    }

    async fn settle(&mut self) -> Result<(), Say> {
        let settled = self.intake.settle().await;
        settled.map_err(|error| no_room(&error))
    }

    fn fault(&self, at_end: bool) -> Option<DataFault> {
        if at_end {
            self.checker.fault_at_end()
        } else {
            self.checker.fault()
        }
    }

    async fn finish(self: Box<Self>) -> (Incoming, Result<Received, Say>) {
        (self.incoming, finish(self.filter, self.intake).await)
    }
}
