//! Who the client is: when AUTH may be said (RFC 4954 3, 4), and what needs it.

use crate::mail::limits::AUTH_FAILURES_IN_SESSION_MAX;
use crate::smtp::server::auth::{AuthStart, Mechanisms};
use crate::smtp::server::command::Command;
use crate::smtp::server::reply::Say;

use super::Session;
use super::transaction::Phase;

/// What a session knows about who the client is.
#[derive(Debug, Default)]
pub(super) struct AuthState {
    pub(super) user: Option<Box<str>>,
    /// Without a user nothing is done for it, but this is said.
    demanded: Option<Say>,
    /// It is inside TLS that gives both ends a binding.
    channel_bound: bool,
    failures: u8,
}

impl Session {
    /// The same, but before the client has authenticated nothing is done, and `say` is said.
    #[must_use]
    pub fn demanding_auth(mut self, say: Say) -> Session {
        self.auth.demanded = Some(say);
        self
    }

    /// The TLS connection can be bound to an exchange (RFC 9266), so SCRAM-SHA-256-PLUS is offered.
    pub fn channel_can_be_bound(&mut self) {
        self.auth.channel_bound = true;
    }

    /// The client has shown that it is this user.
    pub fn authenticated(&mut self, user: Box<str>) {
        self.auth.user = Some(user);
    }

    /// The client has failed to authenticate once more; gives what to say instead of `say`, which
    /// tells why.
    pub fn auth_failed(&mut self, say: Say) -> Say {
        self.auth.failures = self.auth.failures.saturating_add(1);
        if self.auth.failures < AUTH_FAILURES_IN_SESSION_MAX {
            say
        } else {
            Say::AuthFailedTooOften
        }
    }

    /// Reads what stands behind AUTH (RFC 4954 4).
    pub(super) fn auth(&self, argument: &[u8]) -> Result<AuthStart, Say> {
        if !self.rules.auth.users {
            return Err(Say::NotImplemented);
        }
        let mechanisms = self.mechanisms().ok_or(Say::AuthNeedsTls)?;
        match &self.phase {
            Phase::Ready { hello } if hello.extended => {}
            Phase::Unknown | Phase::Ready { .. } => return Err(Say::HelloFirst),
            Phase::Transaction { .. } | Phase::Chunks { .. } => {
                return Err(Say::AuthInTransaction);
            }
        }
        if self.auth.user.is_some() {
            return Err(Say::AuthTwice);
        }
        if argument.is_empty() {
            return Err(Say::BadArgument);
        }
        let end = memchr::memchr(b' ', argument).unwrap_or(argument.len());
        let (name, initial) = argument.split_at(end);
        let initial = initial.trim_ascii_start();
        Ok(AuthStart {
            mechanism: mechanisms.named(name).ok_or(Say::UnknownMechanism)?,
            initial: (!initial.is_empty()).then(|| initial.into()),
        })
    }

    /// How the client could authenticate here; `None`: it can't, or must secure itself before.
    pub(super) fn mechanisms(&self) -> Option<Mechanisms> {
        let policy = &self.rules.auth;
        let may = policy.users && (policy.insecure || self.tls.is_some());
        may.then_some(Mechanisms {
            scram: policy.scram,
            scram_plus: policy.scram && self.tls.is_some() && self.auth.channel_bound,
        })
    }

    /// What a client is told that must authenticate first; `None`: it need not.
    #[must_use]
    pub fn demands_auth(&self) -> Option<Say> {
        self.auth.demanded.filter(|_| self.auth.user.is_none())
    }
}

/// What a client may say that must authenticate first.
pub(super) fn is_for_strangers(command: &Command<'_>) -> bool {
    match command {
        // BDAT is answered when its octets are thrown away.
        Command::Helo(_)
        | Command::Ehlo(_)
        | Command::Auth(_)
        | Command::Bdat { .. }
        | Command::StartTls
        | Command::Rset
        | Command::Noop
        | Command::Quit => true,
        Command::Mail(_) | Command::Rcpt(_) | Command::Data | Command::Vrfy | Command::Help => {
            false
        }
    }
}

/// Whether a line that could not be read is still one of those that need a user.
pub(super) fn is_for_users(line: &[u8]) -> bool {
    let verb = line
        .split(|&octet| octet == b' ')
        .next()
        .unwrap_or_default();
    [&b"MAIL"[..], b"RCPT", b"DATA", b"VRFY", b"EXPN"]
        .iter()
        .any(|known| verb.eq_ignore_ascii_case(known))
}
