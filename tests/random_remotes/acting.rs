//! What a host does at its turn, octet by octet; and what it finds wrong with the relay.

use std::time::Duration;

use jiff::Timestamp;
use tokio::time::Instant;

use super::record::What;
use super::session::{Over, Session};
use super::turn::{Act, Endless, Says, Turn, Usual, Verb};
use super::{ATTEMPT_TIMEOUT, SLACK};
use crate::support::visible;

/// Octets of a flood that go out at once.
const FLOOD_OCTETS: usize = 4 * 1024;

/// Between two pieces of a flood, so that one host does not take the machine from the others.
const FLOOD_PAUSE: Duration = Duration::from_millis(5);

impl Session<'_> {
    /// No parameter stands on MAIL that this session was not offered (RFC 5321 2.2.1).
    pub(super) fn check_parameters(&self, line: &str) {
        let parameters = line.split_once('>').map_or("", |(_, rest)| rest);
        for parameter in parameters.split_ascii_whitespace() {
            let keyword = match parameter.split('=').next().unwrap_or_default() {
                "SIZE" => "SIZE",
                "BODY" if parameter == "BODY=BINARYMIME" => "BINARYMIME",
                "BODY" => "8BITMIME",
                "SMTPUTF8" => "SMTPUTF8",
                "RET" | "ENVID" => "DSN",
                other => other,
            };
            if !self.offers(keyword) && !self.void {
                self.breach(format!("{parameter} was not offered: {line}"));
            }
        }
    }

    /// A message is one of the case, as it was sent in, below what the relay added. Where 8-bit
    /// text can't go as it is, it is another's question what becomes of it.
    pub(super) fn check_message(&self, octets: &[u8]) {
        if self.void {
            return; // for whom it is, nobody knows any more
        }
        let Some(first) = self.accepted().first().copied() else {
            if !octets.is_empty() {
                self.breach("a message for nobody".to_owned());
            }
            return;
        };
        let sent = &self.place.case.letters[first.letter].octets;
        let may_differ = !sent.is_ascii() && !self.offers("8BITMIME");
        let same = octets.starts_with(b"Received:") && octets.ends_with(sent);
        if !may_differ && !same {
            self.breach(format!("not what was sent in: {}", visible(octets)));
        }
    }

    /// The turn of the host: what it says, and whether the session goes on.
    pub(super) async fn turn(&mut self, verb: Verb, usual: &Usual) -> (Says, Result<(), Over>) {
        self.check_step();
        let turn = self.draw(verb, usual);
        let says = turn.says.clone();
        (says, self.perform(verb, turn).await)
    }

    /// Without PIPELINING one command is unanswered at a time.
    pub(super) fn check_step(&self) {
        let rest = &self.inbox.octets;
        if !self.offers("PIPELINING") && !rest.is_empty() && !self.void {
            self.breach(format!("spoke out of turn: {}", visible(rest)));
        }
    }

    pub(super) fn draw(&mut self, verb: Verb, usual: &Usual) -> Turn {
        match self.troubled() {
            true => Turn::trouble(&mut self.random, verb, usual),
            false => Turn::usual(&mut self.random, usual),
        }
    }

    pub(super) fn troubled(&mut self) -> bool {
        self.random.below(100) < self.trouble_percent
    }

    pub(super) async fn perform(&mut self, verb: Verb, turn: Turn) -> Result<(), Over> {
        for code in turn.says.codes() {
            self.place.record().fact(Timestamp::now(), What::Said(code));
        }
        self.void |= matches!(turn.says, Says::Nonsense(_)) || turn.says.codes().contains(&421);
        self.note(&format!("> {verb:?}: {turn}"));
        for act in turn.acts {
            match act {
                Act::Send(octets) => self.send(&octets).await?,
                Act::Pause(pause) => self.idle(pause).await?,
                Act::Close => return self.close(),
                Act::Reset => {
                    if let Some(wire) = self.wire.take() {
                        wire.reset();
                    }
                    return Err(Over::Cut);
                }
                Act::Endless(endless) => return self.go_on(endless).await,
            }
        }
        Ok(())
    }

    pub(super) fn close(&mut self) -> Result<(), Over> {
        self.wire = None;
        Err(Over::Cut)
    }

    /// Until the relay gives up, which it must in time.
    pub(super) async fn go_on(&mut self, endless: Endless) -> Result<(), Over> {
        let limit = Instant::now() + ATTEMPT_TIMEOUT + SLACK;
        let going_on = async {
            match endless {
                Endless::Silence => while self.fill().await.is_ok() {},
                Endless::Deafness => {
                    tokio::time::sleep(ATTEMPT_TIMEOUT).await; // it reads nothing, so it sees no end
                    while self.fill().await.is_ok() {}
                }
                Endless::Flood => {
                    let some = b"250-more\r\n".repeat(FLOOD_OCTETS / 10);
                    while self.send(&some).await.is_ok() && self.idle(FLOOD_PAUSE).await.is_ok() {}
                }
                Endless::Trickle => {
                    let pause = Duration::from_millis(100);
                    let mut octets = b"250-a".iter().chain(std::iter::repeat(&b'.'));
                    while let Some(octet) = octets.next()
                        && self.send(&[*octet]).await.is_ok()
                        && self.idle(pause).await.is_ok()
                    {}
                }
            }
        };
        let gave_up = tokio::time::timeout_at(limit, going_on).await;
        if gave_up.is_err() {
            self.breach(format!("held by {endless:?} beyond {ATTEMPT_TIMEOUT:?}"));
        }
        Err(Over::Left)
    }

    pub(super) async fn send(&mut self, octets: &[u8]) -> Result<(), Over> {
        let wire = self.wire.as_mut().ok_or(Over::Cut)?;
        match tokio::time::timeout(ATTEMPT_TIMEOUT + SLACK, wire.write(octets)).await {
            Ok(Ok(())) => Ok(()),
            Ok(Err(_)) | Err(_) => Err(Over::Left),
        }
    }

    /// Says nothing for so long, and listens.
    pub(super) async fn idle(&mut self, pause: Duration) -> Result<(), Over> {
        let until = Instant::now() + pause;
        loop {
            match tokio::time::timeout_at(until, self.fill()).await {
                Ok(filled) => filled?,
                Err(_) => return Ok(()),
            }
        }
    }

    pub(super) async fn line(&mut self) -> Result<(String, Timestamp), Over> {
        let end = loop {
            match self.inbox.end_of(b"\r\n") {
                Some(end) => break end,
                None => self.fill().await?,
            }
        };
        let (line, at) = self.inbox.take(end);
        Ok((String::from_utf8_lossy(&line).trim_end().to_owned(), at))
    }

    pub(super) async fn fill(&mut self) -> Result<(), Over> {
        let wire = self.wire.as_mut().ok_or(Over::Cut)?;
        match wire.read(&mut self.inbox.octets).await {
            Ok(1..) => {
                self.inbox.stamp();
                Ok(())
            }
            Ok(0) | Err(_) => Err(Over::Left),
        }
    }

    /// Something that a good relay never does.
    pub(super) fn breach(&self, what: String) {
        self.note(&format!("BREACH: {what}"));
        let fact = What::Breach(what);
        self.place.record().fact(Timestamp::now(), fact);
    }

    pub(super) fn note(&self, what: &str) {
        let line = format!("{} {what}", self.name);
        self.place.record().write(Timestamp::now(), line);
    }
}
