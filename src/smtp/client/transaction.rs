//! One outgoing mail transaction: MAIL, RCPT for each recipient, DATA, the message (RFC 5321 3.3).
//!
//! The driver asks [`Transaction::next_step`] what to do and does it, until there is nothing more to do:
//!
//! 1. `Send`: write these octets.
//! 2. `Read`: wait for a reply and hand it to [`Transaction::reply`].
//! 3. `Body`: write the message, framed as it says, then say [`Transaction::body_sent`].
//!
//! Whatever breaks, [`Transaction::finish`] gives what was settled until then. With PIPELINING
//! (RFC 2920) MAIL, RCPT and DATA leave together; without it, one command is unanswered at a time.
//!
//! A BINARYMIME message goes out as one BDAT, and only once a recipient was taken (RFC 3030).

use std::collections::VecDeque;

use crate::mail::{
    Address, BodyKind, DsnRecipient, EnhancedCode, Envelope, Notify, Reason, Recipient, Remote,
    Reply, Ret,
};
use crate::smtp::{orcpt, xtext};

use super::ehlo::{Extensions, SizeLimit};
use super::reply_reader::{ProtocolFault, RemoteReply};
use super::verdict::{Meaning, Phase, Settled, meaning, too_many_recipients};

/// What must be known about a message before it is sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Facts {
    /// Octets that go out, doubled dots and end mark apart (RFC 1870 3). Exact: with BDAT it is the
    /// count.
    pub size: u64,
    /// Whether one of them is above 0x7F.
    pub has_8bit: bool,
    /// Whether one of these is in the header section. Need be known only of a message for SMTPUTF8.
    pub header_8bit: bool,
    /// Whether one of these is in any header, or may be: of a part, or of a message inside. So SMTPUTF8
    /// that was asked for is not without need. Need be known only of a message for SMTPUTF8.
    pub any_header_8bit: bool,
    /// Why it can't be sent in 7 bits, if it was tried.
    pub obstacle: Option<(EnhancedCode, &'static str)>,
}

/// What the driver has to do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Step {
    /// Write this.
    Send(Vec<u8>),
    /// Wait for the reply to this.
    Read(Phase),
    /// Write the message.
    Body(Framing),
    /// Nothing more.
    Over,
}

/// How the host is told where the message ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Framing {
    /// By an end mark; dots are doubled (RFC 5321 4.5.2).
    Dots,
    /// By its count, which was sent: exactly so many octets, as they are (RFC 3030).
    Counted,
}

/// A transaction under way.
#[derive(Debug)]
pub struct Transaction {
    remote: Remote,
    mail: Vec<u8>,
    framing: Framing,
    size: u64,
    recipients: Vec<Rcpt>,
    pipelining: bool,
    /// Not sent yet, in order.
    unsent: VecDeque<Command>,
    /// Sent, and not answered yet, in order.
    unanswered: VecDeque<Command>,
    stage: Stage,
    /// Whether MAIL was sent, and no message taken since then.
    unfinished: bool,
    /// Whether the host has said yes or no to MAIL.
    heard: bool,
    /// The 421 that ended it.
    closing: Option<Reply>,
}

#[derive(Debug)]
struct Rcpt {
    line: Vec<u8>,
    state: RcptState,
}

#[derive(Debug)]
enum RcptState {
    /// Nothing is known yet.
    Open,
    /// The host would take it.
    Accepted,
    /// The host asks to send it in a further transaction.
    Further,
    /// Answered.
    Settled(Settled),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Command {
    Mail,
    Rcpt(usize),
    /// DATA or, by the framing, BDAT.
    Data,
    /// The end of the message.
    Dot,
    /// An end mark without a message: the host said 354 although it had taken no recipient.
    EmptyDot,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Stage {
    /// MAIL, RCPT, DATA.
    Envelope,
    /// 354 was said, or BDAT; the message is to be sent.
    Body,
    /// The end of the message is out.
    Ending,
    /// Nothing more to do.
    Over,
}

impl Transaction {
    /// Plans a transaction. Recipients that this host can't be given are settled at once: all of
    /// them if the message is larger than it takes or of a kind that it does not take (RFC 3030 3),
    /// those with a non-ASCII address if it has no SMTPUTF8 (RFC 6531 3.2), and all of them if the header
    /// needs that, or the text needs an 8BITMIME that is not there (RFC 6152 3). If none is left, there
    /// is nothing to send. DSN parameters go on to a host that offers DSN.
    #[must_use]
    pub fn new(
        envelope: &Envelope,
        recipients: &[&Recipient],
        facts: Facts,
        offered: &Extensions,
        remote: &Remote,
    ) -> Transaction {
        let sender_needs_utf8 = envelope
            .reverse_path
            .mailbox()
            .is_some_and(Address::needs_smtputf8);
        let framing = match envelope.body_kind {
            BodyKind::BinaryMime => Framing::Counted,
            BodyKind::SevenBit | BodyKind::EightBitMime => Framing::Dots,
        };
        let refused = |address: &Address| {
            if too_large(facts, offered) {
                return Some(TOO_LARGE);
            }
            if framing == Framing::Counted && !(offered.chunking && offered.binary_mime) {
                return Some(NO_BINARY_MIME);
            }
            let needs_utf8 = sender_needs_utf8 || address.needs_smtputf8();
            if needs_utf8 && !offered.smtputf8 {
                return Some(NO_SMTPUTF8);
            }
            let is_text = envelope.body_kind != BodyKind::BinaryMime;
            let header_needs_utf8 = envelope.smtputf8 && facts.header_8bit;
            // SMTPUTF8 on MAIL covers it: who offers that has to take 8 bits (RFC 6531 3.1).
            let takes_8bit = offered.eight_bit_mime || header_needs_utf8 && offered.smtputf8;
            if is_text && facts.has_8bit && !takes_8bit {
                return Some(facts.obstacle.unwrap_or(NO_8BIT_MIME));
            }
            (header_needs_utf8 && !offered.smtputf8).then_some(NO_SMTPUTF8_HEADER)
        };
        let recipients: Vec<Rcpt> = recipients
            .iter()
            .map(|recipient| Rcpt {
                line: rcpt_line(recipient, offered),
                state: match refused(&recipient.address) {
                    None => RcptState::Open,
                    Some((status, detail)) => {
                        RcptState::Settled(Settled::failed(status, Reason::Policy, remote, detail))
                    }
                },
            })
            .collect();
        let utf8 = offered.smtputf8
            && (sender_needs_utf8
                || envelope.smtputf8 && facts.any_header_8bit
                || recipients.iter().any(|rcpt| !rcpt.line.is_ascii()));
        let open = |(at, rcpt): (usize, &Rcpt)| {
            matches!(rcpt.state, RcptState::Open).then_some(Command::Rcpt(at))
        };
        let mut unsent: VecDeque<Command> =
            recipients.iter().enumerate().filter_map(open).collect();
        let stage = if unsent.is_empty() {
            Stage::Over
        } else {
            unsent.push_front(Command::Mail);
            unsent.push_back(Command::Data);
            Stage::Envelope
        };
        Transaction {
            remote: remote.clone(),
            mail: mail_line(envelope, facts, framing, offered, utf8),
            framing,
            size: facts.size,
            recipients,
            pipelining: offered.pipelining,
            unsent,
            unanswered: VecDeque::new(),
            stage,
            unfinished: false,
            heard: false,
            closing: None,
        }
    }

    /// What to do now. Whoever is told to send has sent it: asked again, it says what comes after.
    pub fn next_step(&mut self) -> Step {
        match self.stage {
            Stage::Over => return Step::Over,
            Stage::Body => return Step::Body(self.framing),
            Stage::Envelope | Stage::Ending => {}
        }
        let group = self.sendable();
        if group == 0 {
            return match self.unanswered.front() {
                Some(command) => Step::Read(command.phase()),
                None => {
                    self.stage = Stage::Over;
                    Step::Over
                }
            };
        }
        if self.framing == Framing::Counted && self.unsent.front() == Some(&Command::Data) {
            // What it is answered comes behind the octets.
            self.unsent.clear();
            self.stage = Stage::Body;
            return Step::Send(format!("BDAT {} LAST\r\n", self.size).into_bytes());
        }
        let mut octets = Vec::new();
        for command in self.unsent.drain(..group) {
            octets.extend_from_slice(match command {
                Command::Mail => {
                    self.unfinished = true;
                    &self.mail
                }
                Command::Rcpt(at) => &self.recipients[at].line,
                Command::Data => b"DATA\r\n",
                Command::Dot | Command::EmptyDot => b".\r\n",
            });
            self.unanswered.push_back(command);
        }
        Step::Send(octets)
    }

    /// How many of the unsent commands may leave now.
    fn sendable(&self) -> usize {
        match (self.unanswered.is_empty(), self.pipelining, self.framing) {
            (false, false, _) => 0,
            (true, false, _) => self.unsent.len().min(1),
            (_, true, Framing::Dots) => self.unsent.len(),
            // BDAT takes the message with it, which nobody may want.
            (nothing_unanswered, true, Framing::Counted) => {
                let before_data = self
                    .unsent
                    .iter()
                    .take_while(|&&c| c != Command::Data)
                    .count();
                let data_alone = before_data == 0 && nothing_unanswered;
                before_data + usize::from(data_alone && !self.unsent.is_empty())
            }
        }
    }

    /// Whether the host owes us a reply. If not, nothing may come from it.
    #[must_use]
    pub fn awaits_reply(&self) -> bool {
        !self.unanswered.is_empty()
    }

    /// Takes the reply to the oldest unanswered command.
    ///
    /// A fault ends the transaction and the connection with it.
    ///
    /// # Panics
    /// If nothing is unanswered: that is a bug of the driver.
    pub fn reply(&mut self, reply: &RemoteReply) -> Result<(), ProtocolFault> {
        let command = self.unanswered.front().copied();
        let command = command.expect("the driver reads only when it is told to");
        // After a fault the command still counts as unanswered: see `in_doubt`.
        let meaning = meaning(command.phase(), reply.code())?;
        self.unanswered.pop_front();
        let reply = reply.to_reply();
        if meaning == Meaning::Closing {
            self.closing = Some(reply);
            self.stage = Stage::Over;
            return Ok(());
        }
        self.heard = true;
        match (command, meaning) {
            (Command::Mail, Meaning::Go) => {}
            (Command::Mail, _) => self.settle_open(&reply),
            (Command::Rcpt(at), _) => self.rcpt_replied(at, meaning, reply),
            (Command::Data, Meaning::Go) if self.accepted() > 0 => self.stage = Stage::Body,
            (Command::Data, Meaning::Go) => self.unsent.push_back(Command::EmptyDot),
            (Command::Data, _) => self.settle_open(&reply),
            (Command::Dot, _) => {
                self.unfinished = meaning != Meaning::Go;
                self.settle_open(&reply);
            }
            // Whatever it says: nobody's mail was in it.
            (Command::EmptyDot, _) => {}
        }
        // Without PIPELINING there is no need to send what can't succeed.
        if self.open() == 0 && !self.unsent.contains(&Command::EmptyDot) {
            self.unsent.clear();
        }
        Ok(())
    }

    /// The whole message is out.
    pub fn body_sent(&mut self) {
        debug_assert_eq!(self.stage, Stage::Body);
        self.stage = Stage::Ending;
        self.unanswered.push_back(Command::Dot);
    }

    /// A reply came while the message was being sent, before its end mark: a refusal stands for
    /// all; anything else is a fault, since there is nothing yet that it could have accepted. The
    /// connection is of no more use.
    pub fn replied_early(&mut self, reply: &RemoteReply) -> Result<(), ProtocolFault> {
        let meaning = meaning(Phase::Dot, reply.code())?;
        let reply = reply.to_reply();
        self.stage = Stage::Over;
        match meaning {
            Meaning::Go => return Err(ProtocolFault::Unasked),
            Meaning::Closing => self.closing = Some(reply),
            Meaning::NotNow | Meaning::Never => self.settle_open(&reply),
        }
        Ok(())
    }

    /// Whether the host may have the whole message although it has not said so.
    #[must_use]
    pub fn in_doubt(&self) -> bool {
        self.stage == Stage::Ending && self.unanswered.contains(&Command::Dot)
    }

    /// The recipients, by their place in the list, whose message is [`Transaction::in_doubt`].
    pub fn doubtful(&self) -> impl Iterator<Item = usize> {
        let in_doubt = self.in_doubt();
        let accepted = move |(at, rcpt): (usize, &Rcpt)| {
            (in_doubt && matches!(rcpt.state, RcptState::Accepted)).then_some(at)
        };
        self.recipients.iter().enumerate().filter_map(accepted)
    }

    /// The 421 that ended it, if one did.
    #[must_use]
    pub fn closed_by(&self) -> Option<&Reply> {
        self.closing.as_ref()
    }

    /// Whether RSET is needed before another transaction on this connection. Where the message was
    /// refused it is not, but for BDAT (RFC 3030 2), if the host knows its SMTP; its reply shows
    /// that it does, and that nothing of the failed transaction is still under way.
    #[must_use]
    pub fn needs_reset(&self) -> bool {
        self.unfinished
    }

    /// Whether the host has not said anything about this mail: no reply to MAIL, or 421. Then
    /// another connection to it may be as good as none was.
    #[must_use]
    pub fn is_unheard(&self) -> bool {
        !self.heard
    }

    /// What was settled, in the order of the recipients. `None`: may be tried elsewhere, or in a
    /// further transaction.
    #[must_use]
    pub fn finish(self) -> Vec<Option<Settled>> {
        let settled = |rcpt: Rcpt| match rcpt.state {
            RcptState::Settled(settled) => Some(settled),
            RcptState::Open | RcptState::Accepted | RcptState::Further => None,
        };
        self.recipients.into_iter().map(settled).collect()
    }

    fn rcpt_replied(&mut self, at: usize, meaning: Meaning, reply: Reply) {
        let accepted = self.accepted();
        let state = &mut self.recipients[at].state;
        if !matches!(state, RcptState::Open) {
            return; // MAIL was refused, and its reply stands
        }
        *state = match meaning {
            Meaning::Go => RcptState::Accepted,
            Meaning::NotNow | Meaning::Never | Meaning::Closing => {
                if too_many_recipients(&reply, accepted) {
                    RcptState::Further
                } else {
                    RcptState::Settled(Settled::by_reply(&reply, &self.remote))
                }
            }
        };
    }

    /// Gives this reply to all that have none yet.
    fn settle_open(&mut self, reply: &Reply) {
        let settled = Settled::by_reply(reply, &self.remote);
        for rcpt in &mut self.recipients {
            if matches!(rcpt.state, RcptState::Open | RcptState::Accepted) {
                rcpt.state = RcptState::Settled(settled.clone());
            }
        }
    }

    fn accepted(&self) -> usize {
        let accepted = |rcpt: &&Rcpt| matches!(rcpt.state, RcptState::Accepted);
        self.recipients.iter().filter(accepted).count()
    }

    fn open(&self) -> usize {
        let open = |rcpt: &&Rcpt| matches!(rcpt.state, RcptState::Open | RcptState::Accepted);
        self.recipients.iter().filter(open).count()
    }
}

impl Command {
    fn phase(self) -> Phase {
        match self {
            Command::Mail => Phase::Mail,
            Command::Rcpt(_) => Phase::Rcpt,
            Command::Data => Phase::Data,
            Command::Dot | Command::EmptyDot => Phase::Dot,
        }
    }
}

const TOO_LARGE: (EnhancedCode, &str) = (
    EnhancedCode::permanent(3, 4),
    "the message is larger than the remote host takes",
);
const NO_BINARY_MIME: (EnhancedCode, &str) = (
    EnhancedCode::permanent(6, 3),
    "the remote host does not take binary messages (it does not offer BINARYMIME with CHUNKING)",
);
const NO_SMTPUTF8: (EnhancedCode, &str) = (
    EnhancedCode::permanent(6, 7),
    "the remote host does not take non-ASCII addresses (it does not offer SMTPUTF8)",
);

const NO_SMTPUTF8_HEADER: (EnhancedCode, &str) = (
    EnhancedCode::permanent(6, 7),
    "the remote host does not take non-ASCII header fields (it does not offer SMTPUTF8)",
);
const NO_8BIT_MIME: (EnhancedCode, &str) = (
    EnhancedCode::permanent(6, 3),
    "the remote host does not take 8-bit text (it does not offer 8BITMIME)",
);

fn too_large(facts: Facts, offered: &Extensions) -> bool {
    match offered.size {
        Some(SizeLimit::Octets(limit)) => facts.size > limit,
        Some(SizeLimit::Unknown) | None => false,
    }
}

/// No parameter that was not offered ever stands on it (RFC 5321 2.2.1).
fn mail_line(
    envelope: &Envelope,
    facts: Facts,
    framing: Framing,
    offered: &Extensions,
    utf8: bool,
) -> Vec<u8> {
    let mut line = format!("MAIL FROM:<{}>", envelope.reverse_path);
    if offered.size.is_some() {
        line += &format!(" SIZE={}", facts.size);
    }
    match framing {
        Framing::Counted => line += " BODY=BINARYMIME",
        Framing::Dots if offered.eight_bit_mime && facts.has_8bit => line += " BODY=8BITMIME",
        Framing::Dots => {}
    }
    if utf8 {
        line += " SMTPUTF8";
    }
    if offered.dsn {
        match envelope.dsn.ret {
            None => {}
            Some(Ret::Full) => line += " RET=FULL",
            Some(Ret::Headers) => line += " RET=HDRS",
        }
        if let Some(id) = &envelope.dsn.envelope_id {
            line += &format!(" ENVID={}", xtext::encode(id.as_str().as_bytes()));
        }
    }
    line += "\r\n";
    line.into_bytes()
}

/// With what the client asked for, if the host offers DSN (RFC 3461 5.2.1).
fn rcpt_line(recipient: &Recipient, offered: &Extensions) -> Vec<u8> {
    let Recipient { address, dsn, .. } = recipient;
    let mut line = format!("RCPT TO:<{address}>");
    if offered.dsn {
        let DsnRecipient { notify, original } = dsn;
        if let Some(notify) = notify {
            line += &format!(" NOTIFY={}", notify_value(*notify));
        }
        if let Some(original) = original {
            line += &format!(" ORCPT={}", orcpt::write(original));
        }
    }
    line += "\r\n";
    line.into_bytes()
}

fn notify_value(notify: Notify) -> String {
    let Notify::Of {
        success,
        failure,
        delay,
    } = notify
    else {
        return "NEVER".to_owned();
    };
    let words = [(success, "SUCCESS"), (failure, "FAILURE"), (delay, "DELAY")];
    let asked: Vec<&str> = words
        .iter()
        .filter_map(|(asked, word)| asked.then_some(*word))
        .collect();
    asked.join(",")
}

#[cfg(test)]
mod dialogue_tests;
