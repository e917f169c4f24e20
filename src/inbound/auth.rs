//! One authentication exchange on a connection: challenges out, lines in, the outcome told to
//! session, client and log.

use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD_NO_PAD;
use tokio::time::{Instant, sleep_until};

use crate::mail::limits::AUTH_FAILURE_DELAY;
use crate::observe::ClientEvent;
use crate::smtp::server::auth::{
    AuthFault, AuthStart, Exchange, Mechanism, ResponseFault, ResponseReader, ScramFacts, Turn,
    write_challenge,
};
use crate::smtp::server::{Say, Session};

use super::connection::{Connection, End};
use super::credentials::Checked;

/// Of a user's name, in the log, in bytes.
const LOGGED_NAME_BYTES_MAX: usize = 255;

/// What a client said in an exchange, as far as others need it.
struct Said {
    /// What it calls itself, once it has told.
    user: Option<Box<[u8]>>,
    /// When its last line was there.
    heard: Instant,
}

/// What an exchange came to.
enum Outcome {
    Granted(Box<str>),
    /// The client did not show what it claimed; counts against it.
    Failed(Say),
    /// Nothing was looked at.
    NotNow,
}

impl Connection {
    /// Goes through the exchange that `start` begins, and says what came of it.
    pub(super) async fn authenticate(
        &mut self,
        session: &mut Session,
        start: AuthStart,
    ) -> Result<(), End> {
        let mechanism = start.mechanism;
        let mut said = Said {
            user: None,
            heard: Instant::now(),
        };
        let outcome = if self.context.auth_failures.are_over_cap(self.client) {
            Outcome::NotNow
        } else {
            self.exchange(start, &mut said).await?
        };
        let shown = said.user.as_deref().map(shown_name);
        let say = match outcome {
            Outcome::Granted(user) => {
                self.context.events.emit(ClientEvent::AuthSucceeded {
                    client: self.client,
                    mechanism,
                    user: &shown_name(user.as_bytes()),
                });
                session.authenticated(user);
                self.authenticated();
                Say::AuthOk
            }
            Outcome::Failed(say) => {
                self.context.auth_failures.add(self.client);
                let say = session.auth_failed(say);
                self.tell_failed(mechanism, shown.as_deref(), say);
                sleep_until(said.heard + AUTH_FAILURE_DELAY).await;
                say
            }
            Outcome::NotNow => {
                self.tell_failed(mechanism, shown.as_deref(), Say::AuthOverCap);
                Say::AuthOverCap
            }
        };
        self.reply(|out| say.write(out));
        if say.ends_session() {
            return Err(End::HangUp("authentication failed too often"));
        }
        Ok(())
    }

    async fn exchange(&mut self, start: AuthStart, said: &mut Said) -> Result<Outcome, End> {
        let credentials = Arc::clone(&self.context.credentials);
        let facts = ScramFacts {
            nonce: STANDARD_NO_PAD.encode(rand::random::<[u8; 18]>()).into(),
            channel_binding: self.stream.channel_binding(),
        };
        let mut keys_of = |name: &[u8]| {
            said.user = Some(name.into());
            credentials.keys(name)
        };
        let mut exchange = Exchange::new(start.mechanism, facts);
        let mut turn = exchange.begin(start.initial.as_deref(), &mut keys_of);
        loop {
            turn = match turn {
                Turn::Challenge(octets) => {
                    self.reply(|out| write_challenge(&octets, out));
                    self.flush().await?;
                    let line = self.read_response().await?;
                    said.heard = Instant::now();
                    if self.context.auth_failures.are_over_cap(self.client) {
                        return Ok(Outcome::NotNow); // others have failed meanwhile
                    }
                    match line {
                        Some(line) => exchange.respond(&line, &mut keys_of),
                        None => return Ok(Outcome::Failed(Say::AuthLineTooLong)),
                    }
                }
                Turn::Password(claim) => {
                    said.user = Some(claim.user.clone());
                    let (failures, client) = (&self.context.auth_failures, self.client);
                    let go_on = || !failures.are_over_cap(client);
                    return Ok(match credentials.check(claim, go_on).await {
                        Checked::Right(user) => Outcome::Granted(user),
                        Checked::Wrong => Outcome::Failed(Say::AuthRefused),
                        Checked::Busy => Outcome::NotNow,
                    });
                }
                Turn::Granted(name) => {
                    return Ok(match credentials.name(&name) {
                        Some(user) => Outcome::Granted(user),
                        None => Outcome::Failed(Say::AuthRefused),
                    });
                }
                Turn::Failed(fault) => return Ok(Outcome::Failed(reply_to(fault))),
            };
        }
    }

    /// The client's next line, within the command timeout; `None`: it was too long.
    async fn read_response(&mut self) -> Result<Option<Vec<u8>>, End> {
        let mut reader = ResponseReader::default();
        self.expect_command();
        loop {
            let (consumed, line) = reader.feed(self.input.unread());
            self.input.consume(consumed);
            match line {
                Some(Ok(line)) => return Ok(Some(line)),
                Some(Err(ResponseFault::TooLong)) => return Ok(None),
                Some(Err(ResponseFault::Flood)) => {
                    return Err(End::HangUp("flood without a line end"));
                }
                None => self.read_commands(false).await?,
            }
        }
    }

    fn tell_failed(&self, mechanism: Mechanism, user: Option<&str>, say: Say) {
        self.context.events.emit(ClientEvent::AuthFailed {
            client: self.client,
            mechanism,
            user: user.unwrap_or_default(),
            say,
        });
    }
}

fn reply_to(fault: AuthFault) -> Say {
    match fault {
        AuthFault::Malformed => Say::AuthMalformed,
        AuthFault::Cancelled => Say::AuthCancelled,
        AuthFault::Refused => Say::AuthRefused,
    }
}

/// A client's octets, such as may stand in a line of the log.
fn shown_name(name: &[u8]) -> String {
    let name = &name[..name.len().min(LOGGED_NAME_BYTES_MAX)];
    name.escape_ascii().to_string()
}
