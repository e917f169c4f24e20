//! The order of commands in a session (RFC 5321 4.1.4): what may be said when, and what it does.
//!
//! The session owns meaning, the driver owns socket and clock. Each command line goes in, one
//! [`Step`] comes out. When DATA is granted, the transaction leaves the session as a
//! [`Submission`]: whatever becomes of it, it is over here (RFC 5321 4.1.1.4).

mod authentication;
mod step;
mod transaction;

pub use step::{About, Next, Step};

use std::sync::Arc;

use crate::mail::TlsFacts;
use crate::mail::limits::HELO_BYTES_MAX;

use super::allowance::Allowance;
use super::command::{self, Command};
use super::line_reader::LineFault;
use super::reply::{Offers, Reply, Say};
use super::rules::Rules;
use authentication::{AuthState, is_for_strangers, is_for_users};
use step::about;
use transaction::{Hello, Phase};

/// One session with one client.
#[derive(Debug)]
pub struct Session {
    rules: Arc<Rules>,
    phase: Phase,
    /// `None`: in clear.
    tls: Option<TlsFacts>,
    /// Transactions so far.
    mails: u64,
    /// Commands refused with 5yz since the last accepted message.
    errors: u32,
    auth: AuthState,
}

impl Session {
    /// A session whose greeting goes out now.
    #[must_use]
    pub fn new(rules: Arc<Rules>) -> Session {
        Session {
            rules,
            phase: Phase::Unknown,
            tls: None,
            mails: 0,
            errors: 0,
            auth: AuthState::default(),
        }
    }

    /// TLS has begun, by STARTTLS or before the greeting. All that the client said before is
    /// forgotten (RFC 3207 4.2).
    pub fn secured(&mut self, tls: TlsFacts) {
        self.phase = Phase::Unknown;
        self.tls = Some(tls);
        self.auth.user = None;
    }

    /// From now on other rules hold; of use outside of a transaction. What was offered before is not
    /// taken back: a client is told what has changed when it asks for it.
    pub fn renew(&mut self, rules: Arc<Rules>) {
        self.rules = rules;
    }

    /// As whom the client has authenticated.
    #[must_use]
    pub fn user(&self) -> Option<&str> {
        self.auth.user.as_deref()
    }

    /// Whether MAIL was granted and neither finished nor dropped.
    #[must_use]
    pub fn in_transaction(&self) -> bool {
        match self.phase {
            Phase::Unknown | Phase::Ready { .. } => false,
            Phase::Transaction { .. } | Phase::Chunks { .. } => true,
        }
    }

    /// Whether a message has begun to come in, in chunks, and is neither whole nor dropped.
    #[must_use]
    pub fn in_chunks(&self) -> bool {
        matches!(self.phase, Phase::Chunks { .. })
    }

    /// Takes a command line without its CRLF, as [`super::LineReader`] gives it. What depends on
    /// more than this session is asked of `allowance`, once everything else is well.
    pub fn line(&mut self, line: &[u8], allowance: impl Allowance) -> Step {
        let step = self.run(line, allowance);
        self.counted(step)
    }

    /// A message of this session was accepted: whatever was wrong before is forgiven.
    pub fn message_accepted(&mut self) {
        self.errors = 0;
    }

    fn counted(&mut self, mut step: Step) -> Step {
        let Some(say) = step.verdict().filter(|say| say.is_permanent()) else {
            return step;
        };
        self.errors += 1;
        if self.errors >= self.rules.limits.errors_max && !matches!(step.next, Next::Close) {
            step.reply = Reply::Fixed(say); // of a chunk it would come behind its octets
            step.next = Next::GiveUp(Say::TooManyErrors);
        }
        step
    }

    fn run(&mut self, line: &[u8], allowance: impl Allowance) -> Step {
        let parsed = command::parse(line);
        let for_users = match &parsed {
            Ok(command) => !is_for_strangers(command),
            Err(_) => is_for_users(line),
        };
        if for_users && let Some(say) = self.demands_auth() {
            return Step::say(about(line), say);
        }
        let command = match parsed {
            Ok(command) => command,
            Err(say) => return Step::say(about(line), say),
        };
        match command {
            Command::Helo(name) => self.hello(name, false),
            Command::Ehlo(name) => self.hello(name, true),
            Command::Mail(argument) => {
                let said = self.mail(argument, allowance);
                Step::say(About::Mail, said.map_or_else(|no| no, |()| Say::SenderOk))
            }
            Command::Rcpt(argument) => {
                let said = self.rcpt(argument, allowance);
                Step::say(
                    About::Rcpt,
                    said.map_or_else(|no| no, |()| Say::RecipientOk),
                )
            }
            Command::Data => self.data(),
            Command::Bdat { octets, last } => self.bdat(octets, last),
            Command::StartTls => self.start_tls(),
            Command::Auth(argument) => match self.auth(argument) {
                Ok(start) => Step {
                    reply: Reply::Later,
                    about: About::Command,
                    next: Next::Authenticate(start),
                },
                Err(say) => Step::say(About::Command, say),
            },
            Command::Rset => {
                self.drop_transaction();
                Step::say(About::Command, Say::Ok)
            }
            Command::Noop => Step::say(About::Command, Say::Ok),
            Command::Vrfy => Step::say(About::Command, Say::Verify),
            Command::Help => Step::say(About::Command, Say::Help),
            Command::Quit => {
                self.drop_transaction();
                Step::say(About::Command, Say::Bye)
            }
        }
    }

    /// Takes notice of a line that was damaged; nothing of it is run.
    pub fn fault(&mut self, fault: LineFault) -> Step {
        let say = match fault {
            LineFault::TooLong => Say::LineTooLong,
            LineFault::BareLineEnd => Say::BareLineEndInCommand,
            LineFault::Control => Say::BadLine,
            LineFault::TlsHello => Say::TlsHello,
            LineFault::Chunk => Say::BadChunk,
        };
        self.counted(Step::say(About::Command, say))
    }

    /// HELO and EHLO do what RSET does (RFC 5321 4.1.4).
    fn hello(&mut self, name: &[u8], extended: bool) -> Step {
        self.phase = Phase::Ready {
            hello: Hello {
                name: name[..name.len().min(HELO_BYTES_MAX)].into(),
                extended,
            },
        };
        Step {
            reply: if extended {
                Reply::Extensions(Offers {
                    starttls: self.rules.starttls && self.tls.is_none() && self.auth.user.is_none(),
                    auth: self.mechanisms().filter(|_| self.auth.user.is_none()),
                })
            } else {
                Reply::Hello
            },
            about: About::Command,
            next: Next::Command,
        }
    }

    fn start_tls(&self) -> Step {
        let say = match (&self.phase, &self.tls) {
            (_, Some(_)) => Say::TlsAlready,
            (_, None) if !self.rules.starttls => Say::NotImplemented,
            (_, None) if self.auth.user.is_some() => Say::TlsAfterAuth,
            (Phase::Unknown, None) => Say::HelloFirst,
            (Phase::Chunks { .. }, None) => Say::ChunksBegun,
            (Phase::Ready { .. } | Phase::Transaction { .. }, None) => Say::StartTls,
        };
        let mut step = Step::say(About::Command, say);
        if say == Say::StartTls {
            step.next = Next::StartTls;
        }
        step
    }
}

#[cfg(test)]
mod auth_tests;
#[cfg(test)]
mod second_opinion;
#[cfg(test)]
mod tests;
