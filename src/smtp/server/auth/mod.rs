//! Authentication (RFC 4954) without a socket: each mechanism as a state machine from the client's
//! lines to challenges and an outcome. Nonces come in, and whoever drives it looks up users and
//! checks passwords.

mod response_reader;
mod scram;

pub use crate::smtp::scram::{SCRAM_KEY_BYTES, ScramKeys};
pub use response_reader::{ResponseFault, ResponseReader};
pub use scram::ScramFacts;

use std::fmt;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use scram::Scram;

/// A SASL mechanism that we know.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Mechanism {
    /// RFC 4616.
    Plain,
    /// Never a standard, and spoken by everybody.
    Login,
    /// RFC 7677.
    ScramSha256,
    /// RFC 7677, bound to the TLS connection by tls-exporter (RFC 9266).
    ScramSha256Plus,
}

/// Mechanisms that a client may use.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Mechanisms {
    /// SCRAM-SHA-256, besides PLAIN and LOGIN.
    pub scram: bool,
    /// SCRAM-SHA-256-PLUS.
    pub scram_plus: bool,
}

/// A client's try, as AUTH began it.
#[derive(Clone, PartialEq, Eq)]
pub struct AuthStart {
    /// How.
    pub mechanism: Mechanism,
    /// The initial response as it came, in base64; `None`: there was none.
    pub initial: Option<Box<[u8]>>,
}

/// Where an exchange stands.
pub enum Turn {
    /// Send this in a 334, and go on with the client's next line.
    Challenge(Vec<u8>),
    /// The exchange is over, and whether this password is right decides.
    Password(PasswordClaim),
    /// The exchange is over: the client is this user.
    Granted(Box<[u8]>),
    /// The exchange is over, and nobody is authenticated.
    Failed(AuthFault),
}

/// Who a client says to be, with the password that is to show it.
pub struct PasswordClaim {
    /// The user's name, as it came.
    pub user: Box<[u8]>,
    /// The password, as it came.
    pub password: Box<[u8]>,
}

/// Why an exchange failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AuthFault {
    /// It is not what the mechanism demands.
    Malformed,
    /// The client gave it up by `*`.
    Cancelled,
    /// It shows nothing.
    Refused,
}

/// One exchange.
#[derive(Debug)]
pub struct Exchange {
    state: State,
}

enum State {
    Plain,
    LoginUser,
    LoginPassword(Box<[u8]>),
    Scram(Scram),
    Over,
}

impl Mechanism {
    /// As in EHLO.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Mechanism::Plain => "PLAIN",
            Mechanism::Login => "LOGIN",
            Mechanism::ScramSha256 => "SCRAM-SHA-256",
            Mechanism::ScramSha256Plus => "SCRAM-SHA-256-PLUS",
        }
    }
}

impl Mechanisms {
    /// In the order of EHLO.
    pub fn iter(self) -> impl Iterator<Item = Mechanism> {
        let all = [
            (true, Mechanism::Plain),
            (true, Mechanism::Login),
            (self.scram, Mechanism::ScramSha256),
            (self.scram_plus, Mechanism::ScramSha256Plus),
        ];
        all.into_iter()
            .filter_map(|(usable, mechanism)| usable.then_some(mechanism))
    }

    /// The usable mechanism of this name, in any case of its letters.
    #[must_use]
    pub fn named(self, name: &[u8]) -> Option<Mechanism> {
        self.iter()
            .find(|mechanism| name.eq_ignore_ascii_case(mechanism.name().as_bytes()))
    }
}

impl Exchange {
    /// Begins one; `scram` is used by SCRAM alone.
    #[must_use]
    pub fn new(mechanism: Mechanism, scram: ScramFacts) -> Exchange {
        let state = match mechanism {
            Mechanism::Plain => State::Plain,
            Mechanism::Login => State::LoginUser,
            Mechanism::ScramSha256 => State::Scram(Scram::new(false, scram)),
            Mechanism::ScramSha256Plus => State::Scram(Scram::new(true, scram)),
        };
        Exchange { state }
    }

    /// The first turn. `=` is an empty initial response (RFC 4954 4).
    pub fn begin(
        &mut self,
        initial: Option<&[u8]>,
        keys_of: impl FnOnce(&[u8]) -> ScramKeys,
    ) -> Turn {
        match initial {
            Some(b"=") => self.take(Vec::new(), keys_of),
            Some(text) => self.decode_and_take(text, keys_of),
            None => Turn::Challenge(match self.state {
                State::LoginUser => b"Username:".to_vec(),
                State::Plain | State::LoginPassword(_) | State::Scram(_) | State::Over => {
                    Vec::new()
                }
            }),
        }
    }

    /// The next turn, from a whole line without its CRLF. `keys_of` is asked for a SCRAM user's
    /// keys, and must give some for a user that does not exist, too.
    pub fn respond(&mut self, line: &[u8], keys_of: impl FnOnce(&[u8]) -> ScramKeys) -> Turn {
        if line == b"*" {
            self.state = State::Over;
            return Turn::Failed(AuthFault::Cancelled);
        }
        self.decode_and_take(line, keys_of)
    }

    fn decode_and_take(&mut self, text: &[u8], keys_of: impl FnOnce(&[u8]) -> ScramKeys) -> Turn {
        // This engine takes no blanks, and wants the padding.
        match STANDARD.decode(text) {
            Ok(response) => self.take(response, keys_of),
            Err(_) => {
                self.state = State::Over;
                Turn::Failed(AuthFault::Malformed)
            }
        }
    }

    fn take(&mut self, response: Vec<u8>, keys_of: impl FnOnce(&[u8]) -> ScramKeys) -> Turn {
        match std::mem::replace(&mut self.state, State::Over) {
            State::Plain => plain(&response),
            State::LoginUser => {
                self.state = State::LoginPassword(response.into());
                Turn::Challenge(b"Password:".to_vec())
            }
            State::LoginPassword(user) => Turn::Password(PasswordClaim {
                user,
                password: response.into(),
            }),
            State::Scram(mut scram) => {
                let turn = scram.take(&response, keys_of);
                self.state = State::Scram(scram);
                turn
            }
            State::Over => Turn::Failed(AuthFault::Malformed),
        }
    }
}

/// `[authzid] NUL authcid NUL passwd` (RFC 4616 2). Nobody may act for another.
fn plain(response: &[u8]) -> Turn {
    let parts: Vec<&[u8]> = response.split(|&octet| octet == 0).collect();
    match parts[..] {
        [authzid, user, password] if authzid.is_empty() || authzid == user => {
            Turn::Password(PasswordClaim {
                user: user.into(),
                password: password.into(),
            })
        }
        [_, _, _] => Turn::Failed(AuthFault::Refused),
        _ => Turn::Failed(AuthFault::Malformed),
    }
}

/// Appends a challenge (RFC 4954 4).
pub fn write_challenge(octets: &[u8], out: &mut Vec<u8>) {
    out.extend_from_slice(b"334 ");
    out.extend_from_slice(STANDARD.encode(octets).as_bytes());
    out.extend_from_slice(b"\r\n");
}

// What may hold a password or its proof shows nothing of it.

impl fmt::Debug for AuthStart {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("AuthStart")
            .field("mechanism", &self.mechanism)
            .finish_non_exhaustive()
    }
}

impl fmt::Debug for PasswordClaim {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let user = self.user.escape_ascii();
        write!(f, "PasswordClaim({user}, [secret])")
    }
}

impl fmt::Debug for Turn {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Turn::Challenge(octets) => write!(f, "Challenge({})", octets.escape_ascii()),
            Turn::Password(claim) => claim.fmt(f),
            Turn::Granted(user) => write!(f, "Granted({})", user.escape_ascii()),
            Turn::Failed(fault) => write!(f, "Failed({fault:?})"),
        }
    }
}

impl fmt::Debug for State {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            State::Plain => "Plain",
            State::LoginUser => "LoginUser",
            State::LoginPassword(_) => "LoginPassword",
            State::Scram(_) => "Scram",
            State::Over => "Over",
        })
    }
}

#[cfg(test)]
mod tests;
