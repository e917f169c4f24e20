//! The octets of each chunk (RFC 3030), and what is said behind them.

use crate::observe::RejectedWhat;
use crate::smtp::server::{Chunk, PartOf, Say, Session};

use super::chunked_message::ChunkedMessage;
use super::connection::{Connection, End};
use super::incoming::data_fault;

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
                Ok(Box::new(ChunkedMessage::new(
                    incoming,
                    self.context.data_limits,
                    self.context.scan(),
                    &self.context.store,
                )))
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
}
