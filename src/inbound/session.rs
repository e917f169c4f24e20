//! Drives one session: octets from the socket to `smtp::server`, its replies back, deadlines around
//! both. Replies to pipelined commands go out in one write, when no whole line is left to answer.

use std::convert::Infallible;
use std::net::IpAddr;
use std::sync::Arc;

use tokio::net::TcpStream;
use tokio_util::sync::CancellationToken;

use crate::mail::limits::REPLIES_BYTES_MAX;
use crate::observe::{ClientEvent, Events, RejectedWhat};
use crate::smtp::server::{About, LineReader, Next, Say, Session, Split, Step};

use super::access::Standing;
use super::allowances::ClientAllowance;
use super::connection::{Connection, Contexts, End};
use super::farewell;
use super::listener::Entrance;

/// Who a client is, as far as that is known before it speaks.
#[derive(Clone, Copy, Debug)]
pub(super) struct Who {
    pub(super) client: IpAddr,
    pub(super) standing: Standing,
}

/// Serves one client from the greeting to the end.
pub(super) async fn run(
    contexts: Contexts,
    stream: TcpStream,
    who: Who,
    entrance: Entrance,
    shutdown: CancellationToken,
) {
    let client = who.client;
    let mut connection = Connection::new(contexts, stream, client, shutdown);
    let mut presence = Presence::begin(&connection.context.events, client);
    let session = Session::new(Arc::clone(&connection.context.rules));
    let session = match who.standing {
        Standing::Listed => session,
        Standing::Stranger => session.demanding_auth(Say::AuthFirst),
        Standing::Unknown => session.demanding_auth(Say::AuthFirstForNow),
    };
    if session.demands_auth().is_some() {
        connection.demand_auth();
    }
    let end = match connection.serve(session, entrance).await {
        Err(end) => end,
        Ok(never) => match never {},
    };
    connection.memory = None;
    let why = match end {
        End::HangUp(why) => match connection.flush().await {
            Ok(()) => why,
            Err(_gone) => "client did not take our last reply",
        },
        End::Gone(why) => why,
    };
    presence.messages = connection.messages;
    presence.why = why;
    drop(presence);
    if matches!(end, End::HangUp(_)) {
        farewell::close(connection.stream).await;
    }
}

/// Tells of a session's begin and, when dropped, of its end, also where its task is cut off.
struct Presence {
    events: Events,
    client: IpAddr,
    messages: u64,
    why: &'static str,
}

impl Presence {
    fn begin(events: &Events, client: IpAddr) -> Presence {
        events.emit(ClientEvent::SessionStarted { client });
        Presence {
            events: events.clone(),
            client,
            messages: 0,
            why: "cut off",
        }
    }
}

impl Drop for Presence {
    fn drop(&mut self) {
        self.events.emit(ClientEvent::SessionEnded {
            client: self.client,
            messages: self.messages,
            why: self.why,
        });
    }
}

impl Connection {
    async fn serve(&mut self, mut session: Session, entrance: Entrance) -> Result<Infallible, End> {
        match entrance {
            Entrance::Clear(_) => {}
            Entrance::Tls(_) => self.secure(&mut session).await?,
        }
        let line_bytes_max = self.context.command_line_bytes_max;
        let mut lines = LineReader::new(line_bytes_max);
        self.context.rules.write_greeting(&mut self.out);
        loop {
            let answered = self.answer_lines(&mut session, &mut lines).await?;
            self.flush().await?;
            if answered > 0 {
                self.expect_command();
            }
            self.read_commands(session.in_transaction()).await?;
        }
    }

    /// Answers every whole line that is there; returns how many there were.
    async fn answer_lines(
        &mut self,
        session: &mut Session,
        lines: &mut LineReader,
    ) -> Result<u64, End> {
        let mut answered = 0;
        loop {
            if !session.in_transaction() && !self.input.unread().is_empty() {
                self.renew(session)?;
            }
            let (consumed, split) = lines.next(self.input.unread());
            let step = match split {
                Split::Line(line) => {
                    let allowance = ClientAllowance {
                        all: &self.context.allowances,
                        client: self.client,
                        share: &mut self.memory,
                    };
                    Some(session.line(line, allowance))
                }
                Split::Fault(fault) => Some(session.fault(fault)),
                Split::NeedMore => None,
                Split::Flood => return Err(End::HangUp("flood without a line end")),
            };
            self.input.consume(consumed);
            let Some(step) = step else {
                return Ok(answered);
            };
            let messages = self.messages;
            let starts_tls = matches!(step.next, Next::StartTls);
            self.take(session, step).await?;
            if starts_tls {
                self.secure(session).await?;
                *lines = LineReader::new(self.context.command_line_bytes_max);
            }
            if self.messages > messages {
                session.message_accepted();
            }
            if !session.in_transaction() {
                self.memory = None;
            }
            if !session.in_chunks() {
                self.chunked = None; // dropped with its transaction, unless it is whole and gone
            }
            answered += 1;
        }
    }

    async fn take(&mut self, session: &mut Session, step: Step) -> Result<(), End> {
        self.context.rules.write(step.reply, &mut self.out);
        if let Some(say) = step.refusal() {
            self.tell_rejected(rejected_what(step.about), say);
        }
        match step.next {
            Next::Command if self.out.len() < REPLIES_BYTES_MAX => Ok(()),
            Next::Command => self.flush().await,
            Next::StartTls => self.flush().await,
            Next::Close => Err(End::HangUp("closed after our reply")),
            Next::GiveUp(say) => {
                say.write(&mut self.out);
                Err(End::HangUp("closed for what the client did"))
            }
            Next::Data(submission) => {
                self.pace.restart();
                self.flush().await?;
                self.receive(*submission).await
            }
            Next::Chunk(chunk) => self.receive_chunk(session, chunk).await,
            Next::Authenticate(start) => Box::pin(self.authenticate(session, start)).await,
        }
    }

    /// TLS, and nothing from before it counts.
    async fn secure(&mut self, session: &mut Session) -> Result<(), End> {
        session.secured(self.start_tls().await?);
        if self.stream.channel_binding().is_some() {
            session.channel_can_be_bound();
        }
        Ok(())
    }
}

fn rejected_what(about: About) -> RejectedWhat {
    match about {
        About::Command => RejectedWhat::Command,
        About::Mail => RejectedWhat::Mail,
        About::Rcpt => RejectedWhat::Rcpt,
        About::Data => RejectedWhat::Data,
    }
}
