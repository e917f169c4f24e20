//! AUTH towards the relay host: only where the terms allow it, and with one loud line when it fails.

use std::sync::atomic::{AtomicBool, Ordering};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD_NO_PAD;

use crate::config::RelayLogin;
use crate::observe::{Events, ProcessEvent};
use crate::smtp::client::{AuthExchange, AuthFault, AuthTurn, Extensions, Meaning, Phase, meaning};

use super::connection_error::ConnectionError;
use super::login_fault::LoginFault;
use super::target::Terms;
use super::wire::Wire;

/// Octets of randomness in a nonce.
const NONCE_BYTES: usize = 18;

/// Tells of logins that fail for good: once, until one succeeds, however many messages wait.
#[derive(Debug)]
pub(super) struct LoginAlarm {
    events: Events,
    told: AtomicBool,
}

impl LoginAlarm {
    pub(super) fn new(events: Events) -> LoginAlarm {
        LoginAlarm {
            events,
            told: AtomicBool::new(false),
        }
    }

    fn note(&self, outcome: &Result<(), ConnectionError>) {
        match outcome {
            Ok(()) => self.told.store(false, Ordering::Relaxed),
            Err(ConnectionError::Login(fault)) if fault.is_lasting() => {
                if self.told.swap(true, Ordering::Relaxed) {
                    return;
                }
                let what = match fault.reply() {
                    Some(reply) => format!("{fault}; it said {reply}"),
                    None => fault.to_string(),
                };
                self.events.emit(ProcessEvent::Alarm {
                    what: &what,
                    todo: "mail waits in the queue until the relay host authenticates us",
                });
            }
            Err(_) => {}
        }
    }
}

/// Authenticates if the terms demand it.
pub(super) async fn log_in(
    wire: &mut Wire,
    offered: &Extensions,
    terms: &Terms,
    alarm: &LoginAlarm,
) -> Result<(), ConnectionError> {
    let Some(login) = &terms.login else {
        return Ok(());
    };
    let outcome = if wire.tls().is_none() && !terms.allows_login_in_clear() {
        Err(ConnectionError::Login(LoginFault::InClear {
            next_hop: terms.next_hop.clone(),
            rule: terms.rule.clone(),
        }))
    } else {
        exchange(wire, offered, login).await
    };
    alarm.note(&outcome);
    outcome
}

async fn exchange(
    wire: &mut Wire,
    offered: &Extensions,
    login: &RelayLogin,
) -> Result<(), ConnectionError> {
    let mechanism = offered.auth.best();
    let mechanism = mechanism.ok_or(ConnectionError::Login(LoginFault::NotOffered))?;
    let nonce = STANDARD_NO_PAD.encode(rand::random::<[u8; NONCE_BYTES]>());
    let (mut exchange, mut line) =
        AuthExchange::begin(mechanism, &login.user, login.password.expose(), &nonce);
    loop {
        wire.send(&line, Phase::Auth.name()).await?;
        let reply = wire.reply(Phase::Auth).await?;
        wire.expect_silence()?;
        if meaning(Phase::Auth, reply.code())? == Meaning::Closing {
            return Err(ConnectionError::Refused(reply.to_reply()));
        }
        // SCRAM takes up to a second of one CPU, which is too long among other connections.
        let taken = tokio::task::spawn_blocking(move || {
            let turn = exchange.take(&reply);
            (exchange, turn)
        });
        let turn;
        (exchange, turn) = taken
            .await
            .map_err(|error| ConnectionError::lost(Phase::Auth.name(), error.into()))?;
        line = match turn {
            Ok(AuthTurn::Send(line)) => line,
            Ok(AuthTurn::Done) => return Ok(()),
            Err(AuthFault::Refused(reply)) => {
                return Err(ConnectionError::Login(LoginFault::Refused(reply)));
            }
            Err(AuthFault::Protocol(fault)) => return Err(fault.into()),
            Err(fault @ (AuthFault::Challenge(_) | AuthFault::Rounds(_) | AuthFault::Unproven)) => {
                return Err(ConnectionError::Login(LoginFault::Exchange(fault)));
            }
        };
    }
}
