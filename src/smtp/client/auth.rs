//! The client's half of AUTH (RFC 4954), without a socket: which mechanism, and what is said in turn.

use std::num::NonZeroU32;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use crate::mail::limits::SCRAM_ITERATIONS_ACCEPTED;
use crate::mail::{Reply, ReplyClass};
use crate::smtp::scram::{PasswordKeys, as_saslname, attribute, base64_attribute};

use super::reply_reader::{ProtocolFault, RemoteReply};

/// Longest AUTH command with an initial response, in bytes with CRLF: a command's (RFC 4954 4).
const COMMAND_BYTES_MAX: usize = 512;
/// What we say of channel binding and of acting for somebody else: nothing (RFC 5802 7).
const GS2_HEADER: &str = "n,,";

/// Mechanisms that we know and a host offers.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct OfferedMechanisms {
    /// RFC 7677.
    pub scram_sha_256: bool,
    /// RFC 4616.
    pub plain: bool,
    /// Never a standard.
    pub login: bool,
}

/// A mechanism that we know.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ClientMechanism {
    /// The password stays here, and the host proves that it knows it.
    ScramSha256,
    /// The password goes to the host.
    Plain,
    /// The password goes to the host.
    Login,
}

/// Why we are not authenticated.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum AuthFault {
    /// The host said 4yz or 5yz.
    #[error("{0}")]
    Refused(Reply),
    /// A challenge that the mechanism does not have.
    #[error("the remote host sent a challenge that does not belong to {0}")]
    Challenge(&'static str),
    /// SCRAM with fewer rounds than is safe, or more than we are willing to compute.
    #[error("the remote host wants {0} rounds of hashing for SCRAM-SHA-256")]
    Rounds(Box<str>),
    /// It said yes without proof that it knows the password.
    #[error("the remote host did not prove that it knows the password, as SCRAM-SHA-256 demands")]
    Unproven,
    /// It does not speak SMTP.
    #[error("{0}")]
    Protocol(#[from] ProtocolFault),
}

/// What comes next.
#[derive(PartialEq, Eq)]
pub enum AuthTurn {
    /// This line, CRLF included. It may be, or give away, the password.
    Send(Vec<u8>),
    /// Nothing: we are authenticated.
    Done,
}

/// One exchange. It has no `Debug`: it knows the password.
pub struct AuthExchange {
    mechanism: ClientMechanism,
    state: State,
}

enum State {
    /// The command stands alone in its line; this follows once the host is ready.
    Held {
        response: Vec<u8>,
        then: Box<State>,
    },
    /// LOGIN: the password, once the host asks for it.
    Password(Vec<u8>),
    Scram(ScramState),
    /// All is said; only the verdict is missing.
    Said,
    Over,
}

enum ScramState {
    /// client-first-message is out.
    First {
        bare: String,
        nonce: Box<str>,
        password: Box<str>,
    },
    /// client-final-message is out, with a proof over `message`.
    Last {
        keys: PasswordKeys,
        message: Vec<u8>,
    },
}

impl OfferedMechanisms {
    /// Reads the parameters of AUTH in the reply to EHLO; names may be in any case.
    #[must_use]
    pub fn parse<'a>(names: impl Iterator<Item = &'a str>) -> OfferedMechanisms {
        let mut offered = OfferedMechanisms::default();
        for name in names {
            match name.to_ascii_uppercase().as_str() {
                "SCRAM-SHA-256" => offered.scram_sha_256 = true,
                "PLAIN" => offered.plain = true,
                "LOGIN" => offered.login = true,
                _ => {}
            }
        }
        offered
    }

    /// The best of them: one that keeps the password here, else one with fewer round trips.
    #[must_use]
    pub fn best(self) -> Option<ClientMechanism> {
        [
            (self.scram_sha_256, ClientMechanism::ScramSha256),
            (self.plain, ClientMechanism::Plain),
            (self.login, ClientMechanism::Login),
        ]
        .into_iter()
        .find_map(|(offered, mechanism)| offered.then_some(mechanism))
    }
}

impl ClientMechanism {
    /// As in EHLO and AUTH.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            ClientMechanism::ScramSha256 => "SCRAM-SHA-256",
            ClientMechanism::Plain => "PLAIN",
            ClientMechanism::Login => "LOGIN",
        }
    }
}

impl AuthExchange {
    /// Begins an exchange; gives it with its first line, CRLF included. `nonce` is for SCRAM alone:
    /// random, printable, without a comma. User and password have no control characters.
    #[must_use]
    pub fn begin(
        mechanism: ClientMechanism,
        user: &str,
        password: &str,
        nonce: &str,
    ) -> (AuthExchange, Vec<u8>) {
        let (response, then) = match mechanism {
            ClientMechanism::Plain => (format!("\0{user}\0{password}"), State::Said),
            ClientMechanism::Login => {
                let then = State::Password(password.as_bytes().to_vec());
                (user.to_owned(), then)
            }
            ClientMechanism::ScramSha256 => {
                let bare = format!("n={},r={nonce}", as_saslname(user));
                let first = ScramState::First {
                    bare: bare.clone(),
                    nonce: nonce.into(),
                    password: password.into(),
                };
                (format!("{GS2_HEADER}{bare}"), State::Scram(first))
            }
        };
        let name = mechanism.name();
        let with_response = format!("AUTH {name} {}\r\n", STANDARD.encode(&response));
        // LOGIN has no initial response: there are hosts that take none.
        let (state, line) = match mechanism {
            ClientMechanism::Plain | ClientMechanism::ScramSha256
                if with_response.len() <= COMMAND_BYTES_MAX =>
            {
                (then, with_response)
            }
            ClientMechanism::Plain | ClientMechanism::ScramSha256 | ClientMechanism::Login => {
                let held = State::Held {
                    response: response.into_bytes(),
                    then: Box::new(then),
                };
                (held, format!("AUTH {name}\r\n"))
            }
        };
        (AuthExchange { mechanism, state }, line.into_bytes())
    }

    /// Takes the host's reply to the last line. With SCRAM that may take as long as
    /// [`SCRAM_ITERATIONS_ACCEPTED`] rounds take. After an error the exchange is over, and the host
    /// may still be within it: nothing more can be said to it.
    pub fn take(&mut self, reply: &RemoteReply) -> Result<AuthTurn, AuthFault> {
        let state = std::mem::replace(&mut self.state, State::Over);
        match reply.code().class() {
            ReplyClass::Temporary | ReplyClass::Permanent => {
                Err(AuthFault::Refused(reply.to_reply()))
            }
            ReplyClass::Success => match (self.mechanism, state) {
                // With SCRAM that is so only once the host has proven itself.
                (_, State::Said) => Ok(AuthTurn::Done),
                (ClientMechanism::ScramSha256, _) => Err(AuthFault::Unproven),
                (ClientMechanism::Plain | ClientMechanism::Login, _) => {
                    Err(ProtocolFault::OutOfPlace.into())
                }
            },
            ReplyClass::Intermediate if reply.code().get() == 334 => self.challenged(state, reply),
            ReplyClass::Intermediate => Err(ProtocolFault::OutOfPlace.into()),
        }
    }

    fn challenged(&mut self, state: State, reply: &RemoteReply) -> Result<AuthTurn, AuthFault> {
        match state {
            // What a host asks with is not looked at: there are many wordings, and one order.
            State::Held { response, then } => {
                self.state = *then;
                Ok(send(&response))
            }
            State::Password(password) => {
                self.state = State::Said;
                Ok(send(&password))
            }
            State::Scram(scram) => {
                let challenge = reply.lines().next().unwrap_or_default();
                let challenge = STANDARD.decode(challenge).map_err(|_| self.nonsense())?;
                match scram {
                    ScramState::First {
                        bare,
                        nonce,
                        password,
                    } => self.prove(&challenge, &bare, &nonce, &password),
                    ScramState::Last { keys, message } => {
                        let signature = base64_attribute(Some(&challenge), b'v');
                        let signature = signature.ok_or(AuthFault::Unproven)?;
                        if !keys.are_known_to(&signature, &message) {
                            return Err(AuthFault::Unproven);
                        }
                        self.state = State::Said;
                        Ok(send(b""))
                    }
                }
            }
            State::Said | State::Over => Err(self.nonsense()),
        }
    }

    /// Answers server-first-message (RFC 5802 7): `r=... "," s=... "," i=... ["," extensions]`.
    fn prove(
        &mut self,
        challenge: &[u8],
        bare: &str,
        nonce: &str,
        password: &str,
    ) -> Result<AuthTurn, AuthFault> {
        let mut attributes = challenge.split(|&octet| octet == b',');
        let theirs = attribute(attributes.next(), b'r').ok_or_else(|| self.nonsense())?;
        let salt = base64_attribute(attributes.next(), b's').ok_or_else(|| self.nonsense())?;
        let rounds = attribute(attributes.next(), b'i').ok_or_else(|| self.nonsense())?;
        let longer = theirs.len() > nonce.len() && theirs.starts_with(nonce.as_bytes());
        if !longer || !theirs.iter().all(u8::is_ascii_graphic) {
            return Err(self.nonsense());
        }
        let rounds = accepted_rounds(rounds)?;

        let binding = STANDARD.encode(GS2_HEADER);
        let without_proof = [format!("c={binding},r=").as_bytes(), theirs].concat();
        let message = [bare.as_bytes(), b",", challenge, b",", &without_proof].concat();
        let keys = PasswordKeys::derive(password.as_bytes(), &salt, rounds);
        let proof = STANDARD.encode(keys.proof(&message));
        let last = [&without_proof, format!(",p={proof}").as_bytes()].concat();
        self.state = State::Scram(ScramState::Last { keys, message });
        Ok(send(&last))
    }

    fn nonsense(&self) -> AuthFault {
        AuthFault::Challenge(self.mechanism.name())
    }
}

fn accepted_rounds(text: &[u8]) -> Result<NonZeroU32, AuthFault> {
    let number = std::str::from_utf8(text).ok();
    let number = number.and_then(|text| text.parse::<NonZeroU32>().ok());
    number
        .filter(|rounds| SCRAM_ITERATIONS_ACCEPTED.contains(&rounds.get()))
        .ok_or_else(|| AuthFault::Rounds(text.iter().take(20).map(|&o| printable(o)).collect()))
}

fn printable(octet: u8) -> char {
    if octet.is_ascii_graphic() {
        char::from(octet)
    } else {
        '?'
    }
}

fn send(response: &[u8]) -> AuthTurn {
    let mut line = STANDARD.encode(response).into_bytes();
    line.extend_from_slice(b"\r\n");
    AuthTurn::Send(line)
}

#[cfg(test)]
mod tests;
