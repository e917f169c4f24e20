//! Which turn comes when: a sequence of answers for each phase of a session.

use std::collections::{HashMap, VecDeque};

use super::answer::Answer;

/// What a host answers to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Phase {
    /// The connection itself.
    Greeting,
    Ehlo,
    Helo,
    StartTls,
    /// The command; challenges and responses follow as the mechanism has them.
    Auth,
    Mail,
    Rcpt,
    Data,
    /// The end of the message.
    Dot,
    Rset,
    Noop,
    Vrfy,
    Quit,
    /// Any other verb.
    Other,
}

/// How the handshake goes after STARTTLS was answered with 220.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Handshake {
    /// As it should.
    Proper,
    /// Octets that are no TLS.
    Garbage,
    /// Closed when the ClientHello comes.
    Close,
    /// No answer to the ClientHello.
    Hang,
    /// A ServerHello of a host that speaks TLS 1.0 and no other.
    Tls10,
}

/// Everything that was said about how a host behaves. What was not said is done as a well-behaved
/// host does it.
#[derive(Debug)]
pub(super) struct Script {
    pub(super) offers: Vec<String>,
    pub(super) offers_in_tls: Option<Vec<String>>,
    pub(super) handshake: Handshake,
    turns: HashMap<Phase, VecDeque<Answer>>,
    turns_for: HashMap<String, VecDeque<Answer>>,
}

impl Script {
    pub(super) fn well_behaved() -> Script {
        let offers = [
            "PIPELINING",
            "SIZE 52428800",
            "8BITMIME",
            "ENHANCEDSTATUSCODES",
        ];
        Script {
            offers: offers.map(str::to_owned).to_vec(),
            offers_in_tls: None,
            handshake: Handshake::Proper,
            turns: HashMap::new(),
            turns_for: HashMap::new(),
        }
    }

    pub(super) fn set(&mut self, phase: Phase, answers: VecDeque<Answer>) {
        self.turns.insert(phase, answers);
    }

    pub(super) fn set_for(&mut self, recipient: &str, answers: VecDeque<Answer>) {
        self.turns_for.insert(recipient.to_owned(), answers);
    }

    pub(super) fn has(&self, phase: Phase) -> bool {
        self.turns.contains_key(&phase)
    }

    /// The next scripted answer of this phase; `None`: as a well-behaved host.
    pub(super) fn next(&mut self, phase: Phase) -> Option<Answer> {
        advance(self.turns.get_mut(&phase)?)
    }

    /// The next scripted answer to this recipient.
    pub(super) fn next_for(&mut self, recipient: &str) -> Option<Answer> {
        match self.turns_for.get_mut(recipient) {
            Some(answers) => advance(answers),
            None => self.next(Phase::Rcpt),
        }
    }
}

/// Answers in a list of anything that is one.
pub(super) fn answers<A: Into<Answer>>(list: impl IntoIterator<Item = A>) -> VecDeque<Answer> {
    list.into_iter().map(Into::into).collect()
}

/// In order; the last one again and again.
fn advance(answers: &mut VecDeque<Answer>) -> Option<Answer> {
    if answers.len() > 1 {
        answers.pop_front()
    } else {
        answers.front().cloned()
    }
}
