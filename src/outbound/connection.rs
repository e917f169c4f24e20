//! A connection that is ready for mail: greeted, with EHLO said and, where it was offered, TLS.
//!
//! It outlives its transactions, so that it can be kept for the next message.

use std::sync::Arc;

use tokio::time::{Instant, timeout};

use crate::mail::limits::FAREWELL;
use crate::mail::{Domain, Remote};
use crate::smtp::client::{Extensions, Meaning, Phase, RemoteReply, meaning};

use super::connection_error::ConnectionError;
use super::login::{LoginAlarm, LoginFault, log_in};
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
    /// Dials and gets as far as MAIL on the target's terms; no mail goes to a host where they don't
    /// hold.
    pub(super) async fn open(
        caller: &Caller,
        target: &Target,
        deadline: Instant,
    ) -> Result<Connection, ConnectionError> {
        match Connection::dial(caller, target, StartTls::AsAgreed, deadline).await {
            // W-18.02a
            Err(error) if error.is_of_tls() && target.terms.falls_back_to_clear() => {
                Connection::dial(caller, target, StartTls::Never, deadline).await
            }
            outcome => outcome,
        }
    }

    async fn dial(
        caller: &Caller,
        target: &Target,
        start_tls: StartTls,
        deadline: Instant,
    ) -> Result<Connection, ConnectionError> {
        let terms = &target.terms;
        let mut wire = Wire::connect(target.address, caller.timeouts, deadline).await?;
        if terms.opening == Opening::Tls {
            wire = wire.start_tls(&caller.tls, target).await?;
        }
        let mut offered = match greet(&mut wire, &caller.hostname).await {
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
                    offered = match say_hello(&mut wire, &caller.hostname).await {
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

/// Greeting and EHLO.
async fn greet(wire: &mut Wire, hostname: &Domain) -> Result<Extensions, ConnectionError> {
    let greeting = wire.reply(Phase::Greeting).await?;
    accepted(Phase::Greeting, &greeting)?;
    wire.expect_silence()?;
    say_hello(wire, hostname).await
}

/// EHLO, or HELO where EHLO is not known (RFC 5321 3.2).
async fn say_hello(wire: &mut Wire, hostname: &Domain) -> Result<Extensions, ConnectionError> {
    let ehlo = format!("EHLO {hostname}\r\n");
    let reply = command(wire, ehlo.as_bytes(), Phase::Ehlo).await?;
    match (meaning(Phase::Ehlo, reply.code())?, reply.code().get()) {
        (Meaning::Go, _) => return Ok(Extensions::from_reply(&reply)),
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
        | ConnectionError::StartTlsMissing { .. }
        | ConnectionError::StartTlsRefused { .. }
        | ConnectionError::Login(
            LoginFault::Refused(_) | LoginFault::NotOffered | LoginFault::InClear { .. },
        ) => {
            let _ = timeout(FAREWELL, wire.close(b"QUIT\r\n")).await;
        }
        ConnectionError::Connect(_)
        | ConnectionError::ConnectTimeout
        | ConnectionError::Lost { .. }
        | ConnectionError::Timeout { .. }
        | ConnectionError::Tls { .. }
        | ConnectionError::TlsTimeout { .. }
        | ConnectionError::Login(LoginFault::Exchange(_))
        | ConnectionError::Protocol(_) => {}
    }
    error
}
