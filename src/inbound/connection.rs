//! One client's connection: reading and writing with a deadline on everything, and the change to TLS.

use std::net::IpAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwap;
use rustls::HandshakeKind;
use tokio::net::TcpStream;
use tokio::time::{Instant, timeout};
use tokio_util::sync::{CancellationToken, WaitForCancellationFutureOwned};

use crate::config::Mode;
use crate::mail::TlsFacts;
use crate::message::{HeaderLimits, Scan};
use crate::observe::{ClientEvent, Events, RejectedWhat};
use crate::smtp::data_decoder::DataLimits;
use crate::smtp::server::{Rules, Say, Session};
use crate::store::Store;

use super::access::{Decision, Standing};
use super::allowances::{Allowances, MemoryShare};
use super::auth_failures::AuthFailures;
use super::chunked_message::ChunkedMessage;
use super::credentials::Credentials;
use super::data_pace::DataPace;
use super::deadline::Deadline;
use super::dkim::Dkim;
use super::read_buffer::ReadBuffer;
use super::stream::Stream;
use super::tls::{self, ServerTls};

/// What sessions share, as it is now.
pub(super) type Contexts = Arc<ArcSwap<SessionContext>>;

/// What all sessions share, by one configuration.
pub(super) struct SessionContext {
    pub(super) rules: Arc<Rules>,
    pub(super) tls: Option<ServerTls>,
    /// `None`: there are no keys.
    pub(super) dkim: Option<Dkim>,
    pub(super) store: Store,
    pub(super) events: Events,
    pub(super) mode: Mode,
    pub(super) credentials: Arc<Credentials>,
    /// What the list says of a client now, if that is known without asking DNS.
    pub(super) admits: Admits,
    pub(super) auth_failures: Arc<AuthFailures>,
    pub(super) command_line_bytes_max: usize,
    pub(super) data_limits: DataLimits,
    pub(super) header_limits: HeaderLimits,
    pub(super) command_timeout: Duration,
    pub(super) data_timeout: Duration,
    pub(super) write_timeout: Duration,
    /// Bytes a second; 0: none.
    pub(super) min_data_rate: u64,
    pub(super) allowances: Allowances,
}

impl SessionContext {
    /// For the octets of one message.
    pub(super) fn scan(&self) -> Scan {
        Scan::new(self.header_limits, self.dkim.is_some())
    }
}

/// See [`SessionContext::admits`].
pub(super) type Admits = Box<dyn Fn(IpAddr) -> Option<Decision> + Send + Sync>;

/// One client's connection.
pub(super) struct Connection {
    pub(super) context: Arc<SessionContext>,
    /// Where a newer one appears.
    contexts: Contexts,
    pub(super) client: IpAddr,
    pub(super) input: ReadBuffer,
    pub(super) messages: u64,
    /// The message of which chunks have come, and not the last; only while the session is in chunks.
    pub(super) chunked: Option<Box<ChunkedMessage>>,
    pub(super) stream: Stream,
    /// Replies to be written.
    pub(super) out: Vec<u8>,
    deadline: Deadline,
    /// When a stranger must have authenticated, whatever else it says.
    auth_due: Option<Instant>,
    pub(super) pace: DataPace,
    /// While a transaction is open.
    pub(super) memory: Option<MemoryShare>,
    shutdown: Pin<Box<WaitForCancellationFutureOwned>>,
}

/// Why a session is over.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum End {
    /// We hang up; the reply that says so is still to be written.
    HangUp(&'static str),
    /// The client is gone, or can't be written to.
    Gone(&'static str),
}

impl Connection {
    pub(super) fn new(
        contexts: Contexts,
        stream: TcpStream,
        client: IpAddr,
        shutdown: CancellationToken,
    ) -> Connection {
        let context = contexts.load_full();
        Connection {
            contexts,
            client,
            input: ReadBuffer::new(),
            messages: 0,
            chunked: None,
            stream: Stream::Clear(stream),
            out: Vec::new(),
            deadline: Deadline::new(Instant::now() + context.command_timeout),
            auth_due: None,
            pace: DataPace::new(context.data_timeout, context.min_data_rate),
            memory: None,
            shutdown: Box::pin(shutdown.cancelled_owned()),
            context,
        }
    }

    /// Between two transactions, what was changed meanwhile counts. Whoever would not be let in any
    /// more is sent away.
    pub(super) fn renew(&mut self, session: &mut Session) -> Result<(), End> {
        if Arc::ptr_eq(&self.contexts.load(), &self.context) {
            return Ok(());
        }
        self.context = self.contexts.load_full();
        self.pace = DataPace::new(self.context.data_timeout, self.context.min_data_rate);
        session.renew(Arc::clone(&self.context.rules));
        let may_stay = match (session.user(), (self.context.admits)(self.client)) {
            (_, Some(Decision::Refuse(_))) => false,
            (Some(user), _) => self.context.credentials.name(user.as_bytes()).is_some(),
            (None, Some(Decision::Admit(Standing::Listed)) | None) => true,
            (None, Some(Decision::Admit(Standing::Stranger | Standing::Unknown))) => {
                session.demands_auth().is_some()
            }
        };
        if may_stay {
            return Ok(());
        }
        Say::AccessWithdrawn.write(&mut self.out);
        Err(End::HangUp(
            "not allowed any more, by a changed configuration",
        ))
    }

    /// The client can do nothing before it has authenticated: it has one command timeout for that, so
    /// that no stranger holds a place by saying what means nothing.
    pub(super) fn demand_auth(&mut self) {
        self.auth_due = Some(Instant::now() + self.context.command_timeout);
    }

    /// The client is no stranger any more.
    pub(super) fn authenticated(&mut self) {
        self.auth_due = None;
    }

    /// Throws away what was read (RFC 3207 5: it came in clear), and shakes hands. A client with
    /// which that fails is told nothing more in clear, whatever it says.
    pub(super) async fn start_tls(&mut self) -> Result<TlsFacts, End> {
        self.input.clear();
        let context = Arc::clone(&self.context);
        let (Some(server), Some(stream)) = (&context.tls, self.stream.take_clear()) else {
            return Err(End::Gone("TLS where there can't be any")); // the session never asks for it
        };
        self.wait_until(Instant::now() + context.command_timeout);
        let shaken = tokio::select! {
            biased;
            () = self.shutdown.as_mut() => return Err(End::Gone("shutting down")),
            shaken = server.handshake(stream) => shaken,
            () = self.deadline.passed() => {
                self.tell_tls_failed("timeout");
                return Err(End::Gone("TLS handshake timeout"));
            }
        };
        match shaken {
            Ok(stream) => {
                let (_, connection) = stream.get_ref();
                let facts = tls::facts(connection);
                let kind = connection.handshake_kind();
                context.events.emit(ClientEvent::TlsStarted {
                    client: self.client,
                    version: &facts.version,
                    cipher: &facts.cipher,
                    resumed: kind == Some(HandshakeKind::Resumed),
                });
                self.stream = Stream::Tls(Box::new(stream));
                self.expect_command();
                Ok(facts)
            }
            Err((error, stream)) => {
                self.tell_tls_failed(&tls::fault(&error));
                self.stream = Stream::Clear(stream); // for a close that lets our alert arrive
                Err(End::HangUp("TLS handshake failed"))
            }
        }
    }

    fn tell_tls_failed(&self, error: &str) {
        self.context.events.emit(ClientEvent::TlsFailed {
            client: self.client,
            error,
        });
    }

    /// From now on a whole line must come in time, however it trickles in.
    pub(super) fn expect_command(&mut self) {
        self.wait_until(Instant::now() + self.context.command_timeout);
    }

    fn wait_until(&mut self, at: Instant) {
        let at = self.auth_due.map_or(at, |due| due.min(at));
        self.deadline.move_to(at);
    }

    /// A client that never stops sending never lets a deadline pass.
    fn check_auth_due(&mut self) -> Result<(), End> {
        if self.auth_due.is_some_and(|due| due <= Instant::now()) {
            return Err(self.too_slow("not authenticated in time"));
        }
        Ok(())
    }

    fn too_slow(&mut self, why: &'static str) -> End {
        match self.auth_due {
            Some(due) if due <= Instant::now() => {
                Say::AuthTooLate.write(&mut self.out);
                End::HangUp("not authenticated in time")
            }
            Some(_) | None => {
                Say::TooSlow.write(&mut self.out);
                End::HangUp(why)
            }
        }
    }

    pub(super) async fn read_commands(&mut self, in_transaction: bool) -> Result<(), End> {
        self.pace.restart();
        self.check_auth_due()?;
        tokio::select! {
            biased;
            () = self.shutdown.as_mut(), if !in_transaction => {
                Say::ShuttingDown.write(&mut self.out);
                Err(End::HangUp("shutting down"))
            }
            read = self.input.read_command(&mut self.stream) => match read {
                Ok(0) => Err(End::Gone("client closed the connection")),
                Ok(_) => Ok(()),
                Err(_) => Err(End::Gone("connection lost")),
            },
            () = self.deadline.passed() => Err(self.too_slow("command timeout")),
        }
    }

    /// Reads more message data, waiting at most the data timeout, and less from a client that was
    /// slow before.
    pub(super) async fn read_data(&mut self) -> Result<(), End> {
        self.check_auth_due()?;
        let begun = Instant::now();
        self.wait_until(begun + self.pace.left());
        tokio::select! {
            biased;
            read = self.input.read_data(&mut self.stream) => match read {
                Ok(0) => Err(End::Gone("client closed the connection within the data")),
                Ok(count) => {
                    self.pace.received(count, begun.elapsed());
                    Ok(())
                }
                Err(_) => Err(End::Gone("connection lost within the data")),
            },
            () = self.deadline.passed() => Err(self.too_slow("data timeout")),
        }
    }

    /// Appends a reply to what is to be written.
    pub(super) fn reply(&mut self, write: impl FnOnce(&mut Vec<u8>)) {
        write(&mut self.out);
    }

    /// Writes the replies that were gathered.
    pub(super) async fn flush(&mut self) -> Result<(), End> {
        if self.out.is_empty() {
            return Ok(());
        }
        // Nearly always the system takes it all at once, and no timer is needed.
        let Ok(written) = self.stream.try_write(&self.out) else {
            return Err(End::Gone("connection lost"));
        };
        let rest = &self.out[written..];
        if !rest.is_empty() {
            let writing = self.stream.write_and_flush(rest);
            match timeout(self.context.write_timeout, writing).await {
                Ok(Ok(())) => {}
                Ok(Err(_)) => return Err(End::Gone("connection lost")),
                Err(_elapsed) => return Err(End::Gone("client does not read our replies")),
            }
        }
        self.out.clear();
        Ok(())
    }

    pub(super) fn tell_rejected(&self, what: RejectedWhat, say: Say) {
        self.context.events.emit(ClientEvent::Rejected {
            client: self.client,
            what,
            say,
        });
    }
}
