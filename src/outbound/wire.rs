//! One socket to a remote host, in clear or with TLS, its read buffer and its deadlines.

use std::io;
use std::pin::Pin;
use std::task::Poll;
use std::time::Duration;

use bytes::{Buf as _, BytesMut};
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _, ReadBuf};
use tokio::net::TcpStream;
use tokio::time::{Instant, timeout_at};
use tokio_rustls::client::TlsStream;

use crate::config::DeliveryConfig;
use crate::mail::TlsFacts;
use crate::smtp::client::{Phase, ProtocolFault, RemoteReply, ReplyReader};

use super::connection_error::ConnectionError;
use super::target::Target;
use super::tls::{TlsClient, facts_of, fault_of, server_name};

/// Octets that one read may bring.
const READ_BYTES: usize = 4 * 1024;

/// How long each kind of waiting may take (RFC 5321 4.5.3.2).
#[derive(Clone, Copy, Debug)]
pub(super) struct Timeouts {
    reply: Duration,
    data_reply: Duration,
}

impl Timeouts {
    /// As configured.
    #[must_use]
    pub(super) fn of(config: &DeliveryConfig) -> Timeouts {
        Timeouts {
            reply: config.reply_timeout,
            data_reply: config.data_reply_timeout,
        }
    }
}

/// A connected socket. After an error it is of no more use.
pub(super) struct Wire {
    stream: Stream,
    input: BytesMut,
    reader: ReplyReader,
    timeouts: Timeouts,
    /// Of the whole attempt at this host; ends every wait.
    deadline: Instant,
}

enum Stream {
    Clear(TcpStream),
    Tls(Box<TlsStream<TcpStream>>),
}

/// Both ways of a stream.
pub(super) trait Duplex: AsyncRead + AsyncWrite + Send + Unpin {}
impl<T: AsyncRead + AsyncWrite + Send + Unpin> Duplex for T {}

impl Stream {
    fn duplex(&mut self) -> &mut dyn Duplex {
        match self {
            Stream::Clear(tcp) => tcp,
            Stream::Tls(tls) => tls.as_mut(),
        }
    }
}

impl Wire {
    /// Over a connection that is there.
    pub(super) fn new(tcp: TcpStream, timeouts: Timeouts, deadline: Instant) -> Wire {
        Wire {
            stream: Stream::Clear(tcp),
            input: BytesMut::new(),
            reader: ReplyReader::new(),
            timeouts,
            deadline,
        }
    }

    /// Writes everything. `during` says what we wait for if the host does not take it.
    pub(super) async fn send(
        &mut self,
        octets: &[u8],
        during: &'static str,
    ) -> Result<(), ConnectionError> {
        let (until, setting) = self.until(self.timeouts.reply, "SMTP_REPLY_TIMEOUT");
        let stream = self.stream.duplex();
        let write = async {
            stream.write_all(octets).await?;
            stream.flush().await
        };
        match timeout_at(until, write).await {
            Ok(Ok(())) => Ok(()),
            Ok(Err(error)) => Err(ConnectionError::lost(during, error)),
            Err(_) => Err(ConnectionError::Timeout { during, setting }),
        }
    }

    /// Waits for a whole reply. Cancel-safe: what was read stays.
    pub(super) async fn reply(&mut self, phase: Phase) -> Result<RemoteReply, ConnectionError> {
        let (until, setting) = match phase {
            Phase::Dot => self.until(self.timeouts.data_reply, "SMTP_DATA_REPLY_TIMEOUT"),
            Phase::Greeting
            | Phase::Ehlo
            | Phase::Helo
            | Phase::StartTls
            | Phase::Auth
            | Phase::Mail
            | Phase::Rcpt
            | Phase::Data
            | Phase::Rset
            | Phase::Quit => self.until(self.timeouts.reply, "SMTP_REPLY_TIMEOUT"),
        };
        let during = phase.name();
        loop {
            if let Some(reply) = self.take_reply()? {
                return Ok(reply);
            }
            self.input.reserve(READ_BYTES);
            let read = self.stream.duplex().read_buf(&mut self.input);
            match timeout_at(until, read).await {
                Ok(Ok(0)) => return Err(ConnectionError::closed(phase)),
                Ok(Ok(_)) => {}
                Ok(Err(error)) => return Err(ConnectionError::lost(during, error)),
                Err(_) => return Err(ConnectionError::Timeout { during, setting }),
            }
        }
    }

    /// A reply that is already here; does not wait for one.
    pub(super) async fn reply_at_hand(&mut self) -> Result<Option<RemoteReply>, ConnectionError> {
        loop {
            if let Some(reply) = self.take_reply()? {
                return Ok(Some(reply));
            }
            match self.read_at_hand().await {
                Poll::Pending => return Ok(None),
                Poll::Ready(Err(error)) => {
                    return Err(ConnectionError::lost(Phase::Dot.name(), error));
                }
                Poll::Ready(Ok(0)) => return Err(ConnectionError::closed(Phase::Dot)),
                Poll::Ready(Ok(_)) => {}
            }
        }
    }

    /// Whether nothing is here that was not asked for, be it the end of the connection.
    pub(super) async fn is_quiet(&mut self) -> bool {
        self.input.is_empty() && self.read_at_hand().await.is_pending()
    }

    /// From now on this is the attempt that it serves.
    pub(super) fn renew(&mut self, deadline: Instant) {
        self.deadline = deadline;
    }

    /// Reads what is already here; pending if that is nothing.
    async fn read_at_hand(&mut self) -> Poll<io::Result<usize>> {
        let mut piece = [0; 512];
        let mut room = ReadBuf::new(&mut piece);
        let stream = self.stream.duplex();
        let read =
            std::future::poll_fn(|cx| Poll::Ready(Pin::new(&mut *stream).poll_read(cx, &mut room)));
        let read = read.await.map_ok(|()| room.filled().len());
        self.input.extend_from_slice(room.filled());
        read
    }

    /// Fails if octets are here although no command is unanswered.
    pub(super) fn expect_silence(&self) -> Result<(), ProtocolFault> {
        if self.input.is_empty() {
            Ok(())
        } else {
            Err(ProtocolFault::Unasked)
        }
    }

    /// Goes over to TLS as the terms demand it. What came in clear behind the reply to STARTTLS is
    /// thrown away: it may be anybody's (RFC 3207 4.2).
    pub(super) async fn start_tls(
        self,
        client: &TlsClient,
        target: &Target,
    ) -> Result<Wire, ConnectionError> {
        let terms = &target.terms;
        let failed = |fault| ConnectionError::Tls {
            fault,
            terms: terms.clone(),
        };
        let (until, setting) = self.until(self.timeouts.reply, "SMTP_REPLY_TIMEOUT");
        let Stream::Clear(tcp) = self.stream else {
            return Err(ProtocolFault::OutOfPlace.into()); // it offered STARTTLS inside TLS
        };
        let name = server_name(&target.host).map_err(failed)?;
        let handshake = client.connector(terms).connect(name, tcp);
        let tls = match timeout_at(until, handshake).await {
            Ok(Ok(tls)) => tls,
            Ok(Err(error)) => return Err(failed(fault_of(&error))),
            Err(_) => return Err(ConnectionError::TlsTimeout { setting }),
        };
        Ok(Wire {
            stream: Stream::Tls(Box::new(tls)),
            input: BytesMut::new(),
            reader: ReplyReader::new(),
            timeouts: self.timeouts,
            deadline: self.deadline,
        })
    }

    /// What the TLS handshake agreed upon; `None` in clear.
    #[must_use]
    pub(super) fn tls(&self) -> Option<TlsFacts> {
        match &self.stream {
            Stream::Clear(_) => None,
            Stream::Tls(stream) => Some(facts_of(stream.get_ref().1)),
        }
    }

    /// Says what there is to say and closes.
    pub(super) async fn close(mut self, last_words: &[u8]) -> io::Result<()> {
        let stream = self.stream.duplex();
        stream.write_all(last_words).await?;
        stream.shutdown().await
    }

    /// When a wait of this kind ends, and which setting ends it.
    fn until(&self, span: Duration, setting: &'static str) -> (Instant, &'static str) {
        let until = Instant::now() + span;
        if until <= self.deadline {
            (until, setting)
        } else {
            (self.deadline, "SMTP_ATTEMPT_TIMEOUT")
        }
    }

    fn take_reply(&mut self) -> Result<Option<RemoteReply>, ProtocolFault> {
        let mut rest = &self.input[..];
        let reply = self.reader.take(&mut rest);
        let taken = self.input.len() - rest.len();
        self.input.advance(taken);
        reply
    }
}
