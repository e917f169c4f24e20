//! The order of commands in a session (RFC 5321 4.1.4): what may be said when, and what it does.
//!
//! The session owns meaning, the driver owns socket and clock. Each command line goes in, one
//! [`Step`] comes out. When DATA is granted, the transaction leaves the session as a
//! [`Submission`]: whatever becomes of it, it is over here (RFC 5321 4.1.1.4).

use std::sync::Arc;

use crate::mail::limits::{AUTH_FAILURES_IN_SESSION_MAX, HELO_BYTES_MAX};
use crate::mail::{AddressError, BodyKind, Envelope, Protocol, Spelling, TlsFacts};

use super::allowance::Allowance;
use super::auth::{AuthStart, Mechanisms};
use super::chunk::{Chunk, PartOf};
use super::command::{self, Command};
use super::line_reader::LineFault;
use super::parameters::{self, ParameterFault};
use super::path::{self, PathFault};
use super::recipients::{Added, Named, Recipients};
use super::reply::{Offers, Reply, Rules, Say};

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

/// What a session knows about who the client is.
#[derive(Debug, Default)]
struct AuthState {
    user: Option<Box<str>>,
    /// Without a user nothing is done for it.
    demanded: bool,
    /// It is inside TLS that gives both ends a binding.
    channel_bound: bool,
    failures: u8,
}

#[derive(Debug)]
enum Phase {
    /// The client has not said who it is.
    Unknown,
    /// No transaction is open.
    Ready { hello: Hello },
    /// MAIL was granted.
    Transaction {
        hello: Hello,
        envelope: Envelope,
        recipients: Recipients,
        refused: bool,
    },
    /// The message is coming in, in chunks of which the last has not been announced.
    Chunks { hello: Hello },
}

/// What the client said about itself.
#[derive(Clone, Debug)]
struct Hello {
    name: Box<[u8]>,
    extended: bool,
}

/// What to do about a command line.
#[derive(Debug)]
pub struct Step {
    /// To be sent.
    pub reply: Reply,
    /// What it is the reply to.
    pub about: About,
    /// To be done after it.
    pub next: Next,
}

/// Which part of a session a reply is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[expect(missing_docs, reason = "SMTP verbs")]
pub enum About {
    Command,
    Mail,
    Rcpt,
    Data,
}

/// What comes after a reply.
#[derive(Debug)]
pub enum Next {
    /// The next command.
    Command,
    /// Message data, for this transaction.
    Data(Box<Submission>),
    /// The octets of a chunk, and then what is to be said about them.
    Chunk(Chunk),
    /// The TLS handshake, and then [`Session::secured`]; if it fails, hang up without a word.
    StartTls,
    /// An exchange, whose outcome [`Session::authenticated`] or [`Session::auth_failed`] hears.
    Authenticate(AuthStart),
    /// Nothing: hang up.
    Close,
    /// Nothing: say this as well, and hang up.
    GiveUp(Say),
}

/// A transaction that is complete but for the message itself.
#[derive(Debug)]
pub struct Submission {
    /// From MAIL.
    pub envelope: Envelope,
    /// At least one, each once, in the order of RCPT.
    pub recipients: Vec<Named>,
    /// What the client called itself, as it came, but at most [`HELO_BYTES_MAX`] octets.
    pub helo: Box<[u8]>,
    /// For Received.
    pub protocol: Protocol,
    /// Under which TLS it came; `None`: in clear.
    pub tls: Option<TlsFacts>,
    /// As whom the client authenticated.
    pub user: Option<Box<str>>,
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

    /// The same, but nothing is done before the client has authenticated.
    #[must_use]
    pub fn demanding_auth(mut self) -> Session {
        self.auth.demanded = true;
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

    /// TLS has begun, by STARTTLS or before the greeting. All that the client said before is
    /// forgotten (RFC 3207 4.2).
    pub fn secured(&mut self, tls: TlsFacts) {
        self.phase = Phase::Unknown;
        self.tls = Some(tls);
        self.auth.user = None;
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
        let command = match command::parse(line) {
            Ok(command) => command,
            Err(_) if self.must_authenticate() && is_for_users(line) => {
                return Step::say(about(line), Say::AuthFirst);
            }
            Err(say) => return Step::say(about(line), say),
        };
        if self.must_authenticate() && !is_for_strangers(&command) {
            return Step::say(about(line), Say::AuthFirst);
        }
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
                    starttls: self.rules.starttls && self.tls.is_none(),
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

    fn mail(&mut self, argument: &[u8], mut allowance: impl Allowance) -> Result<(), Say> {
        let hello = match &self.phase {
            Phase::Unknown => return Err(Say::HelloFirst),
            Phase::Transaction { .. } | Phase::Chunks { .. } => return Err(Say::NestedMail),
            Phase::Ready { hello } => hello.clone(),
        };
        if self.mails >= self.rules.limits.mails_max {
            return Err(Say::TooManyMessages);
        }
        let split = path::split(argument).map_err(|fault| path_fault(fault, Say::BadSender))?;
        let spelling = if parameters::ask_for_smtputf8(split.parameters) {
            Spelling::Utf8
        } else {
            Spelling::Ascii
        };
        let reverse_path = split
            .reverse_path(spelling)
            .map_err(|error| address_error(error, Say::BadSender))?;
        let parameters = parameters::of_mail(split.parameters, self.mechanisms().is_some())
            .map_err(parameter_fault)?;
        if parameters.size > self.rules.message_bytes_max {
            return Err(Say::TooLarge);
        }
        if self.auth.user.is_none() && !self.rules.senders.allows(&reverse_path) {
            return Err(Say::SenderNotAllowed);
        }
        allowance.message()?;
        self.mails += 1;
        self.phase = Phase::Transaction {
            hello,
            envelope: Envelope {
                reverse_path,
                body_kind: parameters.body_kind,
                smtputf8: parameters.smtputf8,
                dsn: parameters.dsn,
            },
            recipients: Recipients::default(),
            refused: false,
        };
        Ok(())
    }

    /// Reads what stands behind AUTH (RFC 4954 4).
    fn auth(&self, argument: &[u8]) -> Result<AuthStart, Say> {
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
    fn mechanisms(&self) -> Option<Mechanisms> {
        let policy = &self.rules.auth;
        let may = policy.users && (policy.insecure || self.tls.is_some());
        may.then_some(Mechanisms {
            scram: policy.scram,
            scram_plus: policy.scram && self.tls.is_some() && self.auth.channel_bound,
        })
    }

    fn must_authenticate(&self) -> bool {
        self.auth.demanded && self.auth.user.is_none()
    }

    fn rcpt(&mut self, argument: &[u8], mut allowance: impl Allowance) -> Result<(), Say> {
        let (envelope, recipients, refused) = match &mut self.phase {
            Phase::Unknown => return Err(Say::HelloFirst),
            Phase::Ready { .. } => return Err(Say::MailFirst),
            Phase::Chunks { .. } => return Err(Say::ChunksBegun),
            Phase::Transaction {
                envelope,
                recipients,
                refused,
                ..
            } => (envelope, recipients, refused),
        };
        let granted = recipient(argument, envelope, &self.rules).and_then(|named| {
            allowance.recipient()?;
            match recipients.add(named, self.rules.recipients_max) {
                Added::Yes => Ok(()),
                Added::Full => Err(Say::TooManyRecipients),
            }
        });
        *refused |= granted.is_err();
        granted
    }

    fn data(&mut self) -> Step {
        let granted = self.may_send().and_then(|body_kind| match body_kind {
            BodyKind::BinaryMime => Err(Say::ChunksOnly), // RFC 3030 3
            BodyKind::SevenBit | BodyKind::EightBitMime => self.take_submission(),
        });
        match granted {
            Err(say) => Step::say(About::Data, say),
            Ok(submission) => Step {
                next: Next::Data(Box::new(submission)),
                ..Step::say(About::Data, Say::SendData)
            },
        }
    }

    /// The octets come in any case, so the reply waits for them in any case.
    fn bdat(&mut self, octets: u64, last: bool) -> Step {
        let part_of = if self.in_chunks() {
            PartOf::Current
        } else {
            match self.may_send().and_then(|_| self.take_submission()) {
                Ok(submission) => PartOf::New(Box::new(submission)),
                Err(say) => PartOf::Nothing(say),
            }
        };
        if !matches!(part_of, PartOf::Nothing(_)) {
            self.announced(last);
        }
        Step {
            reply: Reply::Later,
            about: About::Data,
            next: Next::Chunk(Chunk {
                octets,
                last,
                part_of,
            }),
        }
    }

    /// A chunk of a message was announced. With the last one the transaction is over here, as it
    /// is with DATA.
    fn announced(&mut self, last: bool) {
        self.phase = match std::mem::replace(&mut self.phase, Phase::Unknown) {
            Phase::Ready { hello } | Phase::Chunks { hello } if last => Phase::Ready { hello },
            Phase::Ready { hello } | Phase::Chunks { hello } => Phase::Chunks { hello },
            other @ (Phase::Unknown | Phase::Transaction { .. }) => other,
        };
    }

    /// Whether message data may come now, and of which kind the client said they are.
    fn may_send(&self) -> Result<BodyKind, Say> {
        if self.must_authenticate() {
            return Err(Say::AuthFirst);
        }
        match &self.phase {
            Phase::Unknown => Err(Say::HelloFirst),
            Phase::Ready { .. } => Err(Say::MailFirst),
            Phase::Chunks { .. } => Err(Say::ChunksBegun),
            Phase::Transaction {
                envelope,
                recipients,
                refused,
                ..
            } => match (recipients.is_empty(), refused) {
                (true, false) => Err(Say::RecipientFirst),
                (true, true) => Err(Say::NoValidRecipients),
                (false, _) => Ok(envelope.body_kind),
            },
        }
    }

    fn take_submission(&mut self) -> Result<Submission, Say> {
        match std::mem::replace(&mut self.phase, Phase::Unknown) {
            Phase::Unknown => Err(Say::HelloFirst),
            Phase::Ready { hello } | Phase::Chunks { hello } => {
                self.phase = Phase::Ready { hello };
                Err(Say::MailFirst)
            }
            Phase::Transaction {
                hello,
                envelope,
                recipients,
                refused: _,
            } => {
                let submission = Submission {
                    protocol: match (hello.extended, envelope.smtputf8) {
                        (_, true) => Protocol::Utf8Smtp,
                        (true, false) => Protocol::Esmtp,
                        (false, false) => Protocol::Smtp,
                    },
                    envelope,
                    recipients: recipients.into_list(),
                    helo: hello.name.clone(),
                    tls: self.tls.clone(),
                    user: self.auth.user.clone(),
                };
                self.phase = Phase::Ready { hello };
                Ok(submission)
            }
        }
    }

    /// Forgets what came since MAIL, as RSET does.
    pub fn drop_transaction(&mut self) {
        drop(self.take_submission());
    }
}

impl Step {
    fn say(about: About, say: Say) -> Step {
        Step {
            reply: Reply::Fixed(say),
            about,
            next: if say.ends_session() {
                Next::Close
            } else {
                Next::Command
            },
        }
    }

    /// What was decided about the command, said at once or behind the octets of a chunk.
    fn verdict(&self) -> Option<Say> {
        match (&self.next, self.reply) {
            (Next::Chunk(chunk), _) => match chunk.part_of {
                PartOf::Nothing(say) => Some(say),
                PartOf::New(_) | PartOf::Current => None,
            },
            (_, Reply::Fixed(say)) => Some(say),
            (_, Reply::Hello | Reply::Extensions(_) | Reply::Later) => None,
        }
    }

    /// The line that says no, if this step does.
    #[must_use]
    pub fn refusal(&self) -> Option<Say> {
        match self.reply {
            Reply::Fixed(say) => say.is_refusal().then_some(say),
            Reply::Hello | Reply::Extensions(_) | Reply::Later => None,
        }
    }
}

/// What a client may say that must authenticate first.
fn is_for_strangers(command: &Command<'_>) -> bool {
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
fn is_for_users(line: &[u8]) -> bool {
    let verb = line
        .split(|&octet| octet == b' ')
        .next()
        .unwrap_or_default();
    [&b"MAIL"[..], b"RCPT", b"DATA", b"VRFY", b"EXPN"]
        .iter()
        .any(|known| verb.eq_ignore_ascii_case(known))
}

/// Which command a line that could not be read was meant to be.
fn about(line: &[u8]) -> About {
    match line.get(..4) {
        Some(verb) if verb.eq_ignore_ascii_case(b"MAIL") => About::Mail,
        Some(verb) if verb.eq_ignore_ascii_case(b"RCPT") => About::Rcpt,
        Some(verb) if verb.eq_ignore_ascii_case(b"DATA") => About::Data,
        Some(verb) if verb.eq_ignore_ascii_case(b"BDAT") => About::Data,
        _ => About::Command,
    }
}

fn recipient(argument: &[u8], envelope: &Envelope, rules: &Rules) -> Result<Named, Say> {
    let split = path::split(argument).map_err(|fault| path_fault(fault, Say::BadRecipient))?;
    let spelling = if envelope.smtputf8 {
        Spelling::Utf8
    } else {
        Spelling::Ascii
    };
    let address = split
        .forward_path(spelling, &rules.hostname)
        .map_err(|error| address_error(error, Say::BadRecipient))?;
    let dsn = parameters::of_rcpt(split.parameters, envelope.smtputf8).map_err(parameter_fault)?;
    Ok(Named { address, dsn })
}

fn path_fault(fault: PathFault, malformed: Say) -> Say {
    match fault {
        PathFault::Unclosed => malformed,
        PathFault::NoSpace => Say::BadParameter,
    }
}

fn address_error(error: AddressError, malformed: Say) -> Say {
    match error {
        AddressError::NotAscii => Say::NeedsSmtputf8,
        AddressError::Malformed => malformed,
    }
}

fn parameter_fault(fault: ParameterFault) -> Say {
    match fault {
        ParameterFault::Syntax => Say::BadParameter,
        ParameterFault::Unknown => Say::UnknownParameter,
    }
}

#[cfg(test)]
mod auth_tests;
#[cfg(test)]
mod second_opinion;
#[cfg(test)]
mod tests;
