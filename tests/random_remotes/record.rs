//! What the hosts of a case saw and said, and its transcript.

use std::collections::HashMap;

use jiff::Timestamp;

use super::case::{Case, RcptId};
use super::{ATTEMPT_TIMEOUT, signed};

/// Lines of a transcript; a case that has more is told by its beginning.
const TRANSCRIPT_LINES_MAX: usize = 2_000;

/// A case under way.
#[derive(Debug)]
pub(super) struct Record {
    pub(super) facts: Vec<Fact>,
    /// Connections so far, by host.
    connections: Vec<usize>,
    /// By host: the first connection of what may be one attempt.
    attempts: Vec<Timestamp>,
    /// Connections that are open.
    pub(super) open: usize,
    /// How often each recipient was named.
    named: HashMap<RcptId, usize>,
    transcript: Vec<(Timestamp, String)>,
}

/// What is remembered for the judgement.
#[derive(Clone, Debug)]
pub(super) struct Fact {
    pub(super) at: Timestamp,
    pub(super) what: What,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum What {
    /// RCPT named it.
    Named(RcptId),
    /// It was refused with this 5yz, so that it counts.
    Refused(RcptId, u16),
    /// The host has the message for it. `told`: and its 2yz counts.
    Taken { rcpt: RcptId, told: bool },
    /// A session began with HELO, so nothing was offered in it.
    Unextended,
    /// A host said this, whether it counts or not.
    Said(u16),
    /// The relay broke a rule.
    Breach(String),
}

impl Record {
    pub(super) fn of(case: &Case) -> Record {
        Record {
            facts: Vec::new(),
            connections: vec![0; case.hosts.len()],
            attempts: vec![Timestamp::MIN; case.hosts.len()],
            open: 0,
            named: HashMap::new(),
            transcript: Vec::new(),
        }
    }

    /// A connection to a host; how many it had before.
    pub(super) fn connected(&mut self, host: usize) -> usize {
        let before = self.connections[host];
        self.connections[host] += 1;
        self.open += 1;
        let now = Timestamp::now();
        if now.duration_since(self.attempts[host]) >= signed(ATTEMPT_TIMEOUT) {
            self.attempts[host] = now;
        }
        before
    }

    /// An attempt at a host, which has a deadline, began here or later.
    pub(super) fn attempt_began(&self, host: usize) -> Timestamp {
        self.attempts[host]
    }

    pub(super) fn connections(&self) -> usize {
        self.connections.iter().sum()
    }

    pub(super) fn fact(&mut self, at: Timestamp, what: What) {
        self.facts.push(Fact { at, what });
    }

    /// How often the recipient was named before.
    pub(super) fn named(&mut self, at: Timestamp, rcpt: RcptId) -> usize {
        self.fact(at, What::Named(rcpt));
        let count = self.named.entry(rcpt).or_default();
        *count += 1;
        *count - 1
    }

    pub(super) fn write(&mut self, at: Timestamp, line: String) {
        if self.transcript.len() < TRANSCRIPT_LINES_MAX {
            self.transcript.push((at, line));
        }
    }

    pub(super) fn transcript(&self) -> &[(Timestamp, String)] {
        &self.transcript
    }

    pub(super) fn has(&self, what: &What) -> bool {
        self.facts.iter().any(|fact| fact.what == *what)
    }
}
