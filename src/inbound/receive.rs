//! Message data, from the 354 to the verdict. The only place where a message gets its 250, whether
//! it came with DATA or in chunks.

use std::time::Instant;

use crate::mail::{Client, Message, QueueId};
use crate::message::{Scanned, Trace, helo_for_trace};
use crate::observe::{MailEvent, RejectedWhat, wall_clock};
use crate::queue::admit;
use crate::smtp::data_decoder::DataDecoder;
use crate::smtp::server::{Say, Submission, write_accepted};
use crate::store::{FinishedBody, NewMessage};

use super::connection::{Connection, End};
use super::dkim::NotSigned;
use super::incoming::{Incoming, Received, data_fault, finish, no_room};

/// What became of a message that came in whole.
enum Verdict {
    /// Durable: we are responsible for it from now on.
    Accepted(Box<Accepted>),
    Rejected(Say),
}

struct Accepted {
    message: Message,
    recipients: usize,
    commit: std::time::Duration,
}

impl Connection {
    /// Reads the data of a message, stores it, and answers.
    pub(super) async fn receive(&mut self, submission: Submission) -> Result<(), End> {
        let incoming = self.begin(submission);
        let received = self.read_message(&incoming).await?;
        self.conclude(incoming, received).await
    }

    /// Gives a message its name and its recipients their first states.
    pub(super) fn begin(&self, mut submission: Submission) -> Incoming {
        let now = wall_clock();
        let named = std::mem::take(&mut submission.recipients);
        Incoming {
            id: QueueId::new(now, rand::random()),
            now,
            submission,
            recipients: admit(self.context.mode, named, now),
        }
    }

    /// Stores a message of which everything is here, and answers.
    pub(super) async fn conclude(
        &mut self,
        incoming: Incoming,
        received: Result<Received, Say>,
    ) -> Result<(), End> {
        let verdict = match received {
            Ok((body, scanned)) => self.store(incoming, body, &scanned).await,
            Err(say) => Verdict::Rejected(say),
        };
        match verdict {
            Verdict::Accepted(accepted) => self.tell_accepted(&accepted).await,
            Verdict::Rejected(say) => {
                self.reject(RejectedWhat::Message, say);
                Ok(())
            }
        }
    }

    /// Says no, and tells of it.
    pub(super) fn reject(&mut self, what: RejectedWhat, say: Say) {
        self.reply(|out| say.write(out));
        self.tell_rejected(what, say);
    }

    /// Reads up to the end of the data. What can't be taken is read to its end too, so that the
    /// session stays in step, but nothing of it is kept.
    async fn read_message(&mut self, incoming: &Incoming) -> Result<Result<Received, Say>, End> {
        let mut decoder = DataDecoder::new(self.context.data_limits);
        let mut scan = self.context.scan();
        let mut intake = Ok(self.context.store.intake(incoming.id, &incoming.recipients));
        loop {
            let unread = self.input.unread();
            if let Ok(intake) = &mut intake {
                intake.buffer().reserve(unread.len()); // once for all the lines in it
            }
            let decoded = decoder.decode(unread, |piece| {
                if let Ok(intake) = &mut intake {
                    scan.feed(piece, intake.buffer());
                }
            });
            self.input.consume(decoded.consumed);
            if decoded.ended {
                break;
            }
            if decoder.is_unfit() {
                intake = Err(Say::NoRoom); // never said: the decoder has a better reason
            }
            if let Ok(open) = &mut intake
                && let Err(error) = open.settle().await
            {
                intake = Err(no_room(&error));
            }
            self.read_data().await?;
        }
        if let Some(fault) = decoder.fault() {
            return Ok(Err(data_fault(fault)));
        }
        match intake {
            Ok(intake) => Ok(finish(scan, intake).await),
            Err(say) => Ok(Err(say)),
        }
    }

    /// Signs a message and makes it durable. The store watches over its own time: giving up on it here could
    /// make us refuse what it takes a moment later.
    async fn store(&self, incoming: Incoming, body: FinishedBody, scanned: &Scanned) -> Verdict {
        let client = Client::Smtp {
            address: self.client,
            helo: helo_for_trace(&incoming.submission.helo).into(),
            protocol: incoming.submission.protocol,
            tls: incoming.submission.tls,
            user: incoming.submission.user,
        };
        let trace = Trace {
            hostname: &self.context.rules.hostname,
            client: &client,
            id: incoming.id,
            now: incoming.now,
            recipients: &incoming.recipients,
            facts: &scanned.header,
        };
        let signatures = match &self.context.dkim {
            Some(dkim) => match dkim.signatures(&trace, scanned, &body).await {
                Ok(fields) => fields,
                Err(NotSigned) => return Verdict::Rejected(Say::NotSigned),
            },
            None => Vec::new(),
        };
        let message = Message {
            id: incoming.id,
            arrival: incoming.now,
            envelope: incoming.submission.envelope,
            added_header: trace.added_header(&signatures),
            message_id: trace.message_id(scanned.message_id.as_deref()),
            client,
            body: body.facts(),
            report_of: None,
        };
        let recipients = incoming.recipients.len();
        let new = NewMessage {
            message: message.clone(),
            recipients: incoming.recipients,
            body,
        };
        let started = Instant::now();
        match self.context.store.accept(new).await {
            Ok(()) => Verdict::Accepted(Box::new(Accepted {
                message,
                recipients,
                commit: started.elapsed(),
            })),
            Err(error) => Verdict::Rejected(no_room(&error)),
        }
    }

    /// The 250 goes out before the event is told, unless replies to further commands will join it.
    /// If the client can't be reached any more, the message is ours all the same.
    async fn tell_accepted(&mut self, accepted: &Accepted) -> Result<(), End> {
        self.messages += 1;
        self.reply(|out| write_accepted(accepted.message.id, out));
        let flushed = if self.input.unread().is_empty() {
            self.flush().await
        } else {
            Ok(())
        };
        self.context.events.emit(MailEvent::Accepted {
            message: &accepted.message,
            recipients: accepted.recipients,
            commit: accepted.commit,
        });
        flushed
    }
}
