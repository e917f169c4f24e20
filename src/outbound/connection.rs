//! A connection that is ready for mail: greeted, with EHLO said and, where it was offered, TLS.
//!
//! It outlives its transactions, so that it can be kept for the next message.

use std::sync::Arc;

use tokio::net::TcpStream;
use tokio::time::{Instant, timeout};

use crate::mail::limits::FAREWELL;
use crate::mail::{Domain, Remote};
use crate::smtp::client::{Extensions, Meaning, Phase, RemoteReply, meaning};

use super::connection_error::ConnectionError;
use super::dialer::Dialer;
use super::login::{LoginAlarm, log_in};
use super::login_fault::LoginFault;
use super::policy::AfterHello;
use super::target::{Opening, Target, Terms};
use super::tls::TlsClient;
use super::wire::{Timeouts, Wire};

/// How we present ourselves, the same to every host.
pub(super) struct Caller {
    /// What we say in EHLO.
    pub(super) hostname: Domain,
    /// How long we wait.
    pub(super) timeouts: Timeouts,
    /// From where we call.
    pub(super) dialer: Dialer,
    /// How we make TLS, and whom we trust.
    pub(super) tls: TlsClient,
    /// Told when we are not authenticated.
    pub(super) login_alarm: LoginAlarm,
}

/// Whether STARTTLS is used at all.
#[derive(Clone, Copy, PartialEq, Eq)]
enum StartTls {
    AsAgreed,
    Never,
}

/// A host that waits for MAIL.
pub(super) struct Connection {
    wire: Wire,
    remote: Remote,
    offered: Extensions,
}

impl Connection {
    /// Gets as far as MAIL on the target's terms; no mail goes to a host where they don't hold.
    pub(super) async fn open(
        caller: &Caller,
        target: &Target,
        tcp: TcpStream,
        deadline: Instant,
    ) -> Result<Connection, ConnectionError> {
        match Connection::speak(caller, target, tcp, StartTls::AsAgreed, deadline).await {
            // W-18.02a
            Err(error) if error.is_of_tls() && target.terms.falls_back_to_clear() => {
                let tcp = caller.dialer.dial(target.address, deadline).await?;
                Connection::speak(caller, target, tcp, StartTls::Never, deadline).await
            }
            outcome => outcome,
        }
    }

    async fn speak(
        caller: &Caller,
        target: &Target,
        tcp: TcpStream,
        start_tls: StartTls,
        deadline: Instant,
    ) -> Result<Connection, ConnectionError> {
        let terms = &target.terms;
        let mut wire = Wire::new(tcp, caller.timeouts, deadline);
        if terms.opening == Opening::Tls {
            wire = wire.start_tls(&caller.tls, target).await?;
        }
        let hello = Hello {
            hostname: &caller.hostname,
            may_be_us: terms.may_be_us,
        };
        let mut offered = match greet(&mut wire, &hello).await {
            Ok(offered) => offered,
            Err(error) => return Err(part(wire, error).await),
        };
        if terms.opening == Opening::StartTls && start_tls == StartTls::AsAgreed {
            let goes = match terms.after_hello(offered.starttls) {
                AfterHello::InClear => Ok(false),
                AfterHello::StartTls => ask_for_tls(&mut wire, terms).await,
                AfterHello::NoTlsThere => {
                    let terms = terms.clone();
                    Err(ConnectionError::StartTlsMissing { terms })
                }
            };
            match goes {
                Ok(false) => {}
                Ok(true) => {
                    wire = wire.start_tls(&caller.tls, target).await?;
                    // What it offered in clear does not count (RFC 3207 4.2).
                    offered = match say_hello(&mut wire, &hello).await {
                        Ok(offered) => offered,
                        Err(error) => return Err(part(wire, error).await),
                    };
                }
                Err(error) => return Err(part(wire, error).await),
            }
        }
        if let Err(error) = log_in(&mut wire, &offered, terms, &caller.login_alarm).await {
            return Err(part(wire, error).await);
        }
        let mut remote = target.remote();
        remote.security = Some(Box::new(terms.security(wire.tls())));
        Ok(Connection {
            wire,
            remote,
            offered,
        })
    }

    /// Whom we speak to.
    #[must_use]
    pub(super) fn remote(&self) -> &Remote {
        &self.remote
    }

    /// What it offers.
    #[must_use]
    pub(super) fn offered(&self) -> &Extensions {
        &self.offered
    }

    /// The socket, for a transaction.
    pub(super) fn wire(&mut self) -> &mut Wire {
        &mut self.wire
    }

    /// Whether its host has been silent since its last reply, and still listens.
    pub(super) async fn is_quiet(&mut self) -> bool {
        self.wire.is_quiet().await
    }

    /// Gives it to another attempt, which ends then.
    pub(super) fn renew(&mut self, deadline: Instant) {
        self.wire.renew(deadline);
    }

    /// Makes the host forget a transaction that was not finished.
    pub(super) async fn reset(&mut self) -> Result<(), ConnectionError> {
        let reply = command(&mut self.wire, b"RSET\r\n", Phase::Rset).await?;
        match meaning(Phase::Rset, reply.code())? {
            Meaning::Go => Ok(()),
            Meaning::NotNow | Meaning::Never | Meaning::Closing => {
                Err(ConnectionError::Refused(reply.to_reply()))
            }
        }
    }

    /// Says QUIT and waits a little for the reply, which changes nothing (RFC 5321 4.1.1.10).
    pub(super) async fn quit(mut self) {
        let _ = timeout(FAREWELL, command(&mut self.wire, b"QUIT\r\n", Phase::Quit)).await;
        let _ = timeout(FAREWELL, self.wire.close(b"")).await;
    }
}

/// What is said first.
struct Hello<'a> {
    hostname: &'a Domain,
    /// Whether the host may have our name, too.
    may_be_us: bool,
}

impl Hello<'_> {
    /// Whom a greeting or a reply to EHLO names first must be somebody else (RFC 5321 4.2).
    fn expect_another(&self, reply: &RemoteReply) -> Result<(), ConnectionError> {
        let line = reply.lines().next().unwrap_or_default();
        let named = line
            .split(u8::is_ascii_whitespace)
            .next()
            .unwrap_or_default();
        let named = named.strip_suffix(b".").unwrap_or(named);
        let is_ours = named.eq_ignore_ascii_case(self.hostname.as_str().as_bytes());
        if is_ours && !self.may_be_us {
            return Err(ConnectionError::Ourselves(self.hostname.clone()));
        }
        Ok(())
    }
}

/// Greeting and EHLO.
async fn greet(wire: &mut Wire, hello: &Hello<'_>) -> Result<Extensions, ConnectionError> {
    let greeting = wire.reply(Phase::Greeting).await?;
    accepted(Phase::Greeting, &greeting)?;
    hello.expect_another(&greeting)?;
    wire.expect_silence()?;
    say_hello(wire, hello).await
}

/// EHLO, or HELO where EHLO is not known (RFC 5321 3.2).
async fn say_hello(wire: &mut Wire, hello: &Hello<'_>) -> Result<Extensions, ConnectionError> {
    let hostname = hello.hostname;
    let ehlo = format!("EHLO {hostname}\r\n");
    let reply = command(wire, ehlo.as_bytes(), Phase::Ehlo).await?;
    match (meaning(Phase::Ehlo, reply.code())?, reply.code().get()) {
        (Meaning::Go, _) => {
            hello.expect_another(&reply)?;
            return Ok(Extensions::from_reply(&reply));
        }
        (Meaning::Never, 500 | 501 | 502 | 504 | 550) => {}
        (Meaning::Never | Meaning::NotNow | Meaning::Closing, _) => {
            return Err(ConnectionError::Refused(reply.to_reply()));
        }
    }
    let helo = format!("HELO {hostname}\r\n");
    let reply = command(wire, helo.as_bytes(), Phase::Helo).await?;
    accepted(Phase::Helo, &reply)?;
    Ok(Extensions::none())
}

/// STARTTLS; `false`: refused, and the terms allow to go on in clear. Octets behind the reply that
/// says yes are not looked at here: they are dropped with the clear stream.
async fn ask_for_tls(wire: &mut Wire, terms: &Arc<Terms>) -> Result<bool, ConnectionError> {
    wire.send(b"STARTTLS\r\n", Phase::StartTls.name()).await?;
    let reply = wire.reply(Phase::StartTls).await?;
    match meaning(Phase::StartTls, reply.code())? {
        Meaning::Go => Ok(true),
        Meaning::NotNow | Meaning::Never if terms.falls_back_to_clear() => {
            wire.expect_silence()?;
            Ok(false)
        }
        Meaning::NotNow | Meaning::Never | Meaning::Closing => {
            Err(ConnectionError::StartTlsRefused {
                reply: reply.to_reply(),
                terms: terms.clone(),
            })
        }
    }
}

/// One command and its reply, and nothing else from the host.
async fn command(
    wire: &mut Wire,
    line: &[u8],
    phase: Phase,
) -> Result<RemoteReply, ConnectionError> {
    wire.send(line, phase.name()).await?;
    let reply = wire.reply(phase).await?;
    wire.expect_silence()?;
    Ok(reply)
}

fn accepted(phase: Phase, reply: &RemoteReply) -> Result<(), ConnectionError> {
    match meaning(phase, reply.code())? {
        Meaning::Go => Ok(()),
        Meaning::NotNow | Meaning::Never | Meaning::Closing => {
            Err(ConnectionError::Refused(reply.to_reply()))
        }
    }
}

/// Leaves a host that wants no mail: with QUIT where that is still SMTP, but without waiting.
async fn part(wire: Wire, error: ConnectionError) -> ConnectionError {
    match &error {
        ConnectionError::Refused(_)
        | ConnectionError::Ourselves(_)
        | ConnectionError::StartTlsMissing { .. }
        | ConnectionError::StartTlsRefused { .. }
        | ConnectionError::Login(
            LoginFault::Refused(_) | LoginFault::NotOffered | LoginFault::InClear { .. },
        ) => {
            let _ = timeout(FAREWELL, wire.close(b"QUIT\r\n")).await;
        }
        ConnectionError::Connect(_)
        | ConnectionError::ConnectTimeout
        | ConnectionError::Source { .. }
        | ConnectionError::Lost { .. }
        | ConnectionError::Timeout { .. }
        | ConnectionError::Tls { .. }
        | ConnectionError::TlsTimeout { .. }
        | ConnectionError::Login(LoginFault::Exchange(_))
        | ConnectionError::Protocol(_) => {}
    }
    error
}
