//! A session of a host: SMTP as its plan has it, with whatever its draws put in between.

use std::convert::Infallible;
use std::sync::Arc;

use jiff::Timestamp;

use super::case::{Fate, HostPlan, RcptId, Tls};
use super::host::Place;
use super::inbox::Inbox;
use super::record::What;
use super::turn::{Says, Turn, Usual, Verb};
use super::{ATTEMPT_TIMEOUT, REPLY_TIMEOUT, SLACK, signed};
use crate::support::{Random, Wire, unstuffed};

/// A session, as one host sees it.
pub(super) struct Session<'a> {
    pub(super) place: &'a Place,
    pub(super) plan: &'a HostPlan,
    pub(super) host: usize,
    pub(super) name: String,
    /// None only within a handshake, and after the end.
    pub(super) wire: Option<Wire>,
    pub(super) tls: Arc<rustls::ServerConfig>,
    pub(super) inbox: Inbox,
    pub(super) random: Random,
    pub(super) trouble_percent: usize,
    pub(super) healed: bool,
    /// Something was said that was no reply, or that ended the session: nothing counts any more.
    pub(super) void: bool,
    pub(super) hello: Hello,
    pub(super) transaction: Option<Transaction>,
    pub(super) transactions: usize,
}

#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Hello {
    No,
    Plain,
    Extended,
}

#[derive(Default)]
pub(super) struct Transaction {
    /// MAIL was refused with this, so that it counts.
    refused: Option<u16>,
    /// MAIL was not taken.
    dead: bool,
    accepted: Vec<RcptId>,
    chunks: Vec<u8>,
}

/// Why a session is over.
#[derive(Clone, Copy, Debug)]
pub(super) enum Over {
    /// QUIT.
    Quit,
    /// The relay left without a word, or was no longer there.
    Left,
    /// As the host wanted.
    Cut,
}

impl<'a> Session<'a> {
    /// With a host of this case, by its number.
    pub(super) fn of(
        place: &'a Place,
        host: usize,
        wire: Wire,
        tls: Arc<rustls::ServerConfig>,
    ) -> Session<'a> {
        let connection = place.record().connected(host);
        let plan = &place.case.hosts[host];
        let healed = plan.heals_after.is_some_and(|after| connection >= after);
        Session {
            place,
            plan,
            host,
            name: format!("h{host}#{connection}"),
            wire: Some(wire),
            tls,
            inbox: Inbox::default(),
            random: place.case.random_for(host, connection),
            trouble_percent: if healed { 0 } else { plan.trouble_percent },
            healed,
            void: false,
            hello: Hello::No,
            transaction: None,
            transactions: 0,
        }
    }

    pub(super) async fn run(&mut self) -> Result<Infallible, Over> {
        let greeting = Usual::of(220, "host.test ESMTP");
        self.turn(Verb::Greeting, &greeting).await.1?;
        loop {
            let (line, at) = self.line().await?;
            self.note(&format!("< {line}"));
            let verb = line.split([' ', ':']).next().unwrap_or_default();
            match verb.to_ascii_uppercase().as_str() {
                "EHLO" | "HELO" => self.hello(verb).await?,
                "STARTTLS" => self.starttls().await?,
                "MAIL" => self.mail(&line, at).await?,
                "RCPT" => self.rcpt(&line, at).await?,
                "DATA" => self.data(at).await?,
                "BDAT" => self.bdat(&line).await?,
                "RSET" => {
                    self.transaction = None;
                    self.turn(Verb::Rset, &Usual::of(250, "2.0.0 ok")).await.1?;
                }
                "NOOP" => {
                    self.turn(Verb::Other, &Usual::of(250, "2.0.0 ok"))
                        .await
                        .1?
                }
                "QUIT" => {
                    self.turn(Verb::Quit, &Usual::of(221, "2.0.0 bye"))
                        .await
                        .1?;
                    return Err(Over::Quit);
                }
                _ => {
                    if !self.void {
                        self.breach(format!("said {line:?}"));
                    }
                    self.turn(Verb::Other, &Usual::of(500, "5.5.1 what?"))
                        .await
                        .1?;
                }
            }
        }
    }

    async fn hello(&mut self, verb: &str) -> Result<(), Over> {
        let mut lines = vec!["host.test greets you".to_owned()];
        let extended = verb.eq_ignore_ascii_case("EHLO");
        if extended {
            lines.extend(self.plan.offers.iter().cloned());
            let in_tls = self.wire.as_ref().is_some_and(Wire::is_tls);
            if self.plan.tls != Tls::NotOffered && !in_tls {
                lines.push("STARTTLS".to_owned());
            }
        }
        let usual = Usual { code: 250, lines };
        let (says, performed) = self.turn(Verb::Hello, &usual).await;
        if says.code().is_some_and(|code| code / 100 == 2) {
            self.transaction = None;
            self.hello = if extended {
                Hello::Extended
            } else {
                self.place.record().fact(Timestamp::now(), What::Unextended);
                Hello::Plain
            };
        }
        performed
    }

    async fn starttls(&mut self) -> Result<(), Over> {
        let broken = self.plan.tls == Tls::Broken && !self.healed;
        let usual = match broken && self.random.below(2) == 0 {
            true => Usual::of(454, "4.7.0 no TLS now"),
            false => Usual::of(220, "2.0.0 go"),
        };
        let (says, performed) = self.turn(Verb::StartTls, &usual).await;
        performed?;
        if says != Says::Plainly(220) {
            return Ok(());
        }
        if broken {
            self.fill().await?;
            self.send(b"this is not TLS\r\n").await?;
            return self.close();
        }
        let wire = self.wire.take().ok_or(Over::Cut)?;
        self.inbox = Inbox::default();
        let handshake = wire.accept_tls(Arc::clone(&self.tls));
        match tokio::time::timeout(ATTEMPT_TIMEOUT + SLACK, handshake).await {
            Ok(Ok(wire)) => self.wire = Some(wire),
            Ok(Err(_)) | Err(_) => return Err(Over::Left),
        }
        self.note("TLS begins");
        self.hello = Hello::No;
        self.transaction = None;
        Ok(())
    }

    async fn mail(&mut self, line: &str, at: Timestamp) -> Result<(), Over> {
        self.check_parameters(line);
        self.transactions += 1;
        let full = self.transactions > self.plan.mails_max;
        let usual = match full {
            true => Usual::of(421, "4.7.0 no more mail in this session"),
            false => Usual::of(250, "2.1.0 ok"),
        };
        let (says, performed) = self.turn(Verb::Mail, &usual).await;
        performed?;
        if full {
            return self.close();
        }
        self.transaction = Some(Transaction {
            refused: self.counted(&says, at).filter(|code| code / 100 == 5),
            dead: says.code().is_none_or(|code| code / 100 != 2) && !self.void,
            ..Transaction::default()
        });
        Ok(())
    }

    async fn rcpt(&mut self, line: &str, at: Timestamp) -> Result<(), Over> {
        let mailbox = line.split(['<', '>']).nth(1).unwrap_or_default();
        let found = RcptId::of(mailbox);
        let found = found.and_then(|id| Some((id, self.place.case.rcpt(id)?)));
        let Some((id, rcpt)) = found else {
            self.breach(format!("named somebody else: {line}"));
            return self
                .turn(Verb::Other, &Usual::of(550, "5.1.1 who?"))
                .await
                .1;
        };
        let before = self.place.record().named(at, id);
        let accepted = self.transaction.as_ref().map_or(0, |t| t.accepted.len());
        let usual = match (&self.transaction, rcpt.fate) {
            (None | Some(Transaction { dead: true, .. }), _) => Usual::of(503, "5.5.1 MAIL first"),
            _ if accepted >= self.plan.rcpts_max => Usual::of(452, "4.5.3 too many recipients"),
            (_, Fate::Refused) => Usual::of(550, "5.1.1 unknown"),
            (_, Fate::NeverYet) => Usual::of(450, "4.2.0 not yet"),
            (_, Fate::Later(times)) if before < times => Usual::of(451, "4.7.1 greylisted"),
            (_, Fate::Taken | Fate::Later(_)) => Usual::of(250, "2.1.5 ok"),
        };
        let (says, performed) = self.turn(Verb::Rcpt, &usual).await;
        let counted = match performed {
            Ok(()) | Err(Over::Cut) => self.counted(&says, at),
            Err(Over::Left | Over::Quit) => None,
        };
        let Some(transaction) = &mut self.transaction else {
            return performed;
        };
        // "Too many recipients" is not about this one (RFC 5321 4.5.3.1.10).
        let own = counted.filter(|code| code / 100 == 5 && *code != 552 && !transaction.dead);
        if let Some(code) = transaction.refused.filter(|_| counted.is_some()).or(own) {
            self.place.record().fact(at, What::Refused(id, code));
        }
        if self.void || says.code().is_some_and(|code| code / 100 == 2) {
            transaction.accepted.push(id);
        }
        performed
    }

    async fn data(&mut self, at: Timestamp) -> Result<(), Over> {
        let nobody = self.accepted().is_empty();
        let usual = match nobody {
            true if self.random.below(3) > 0 => Usual::of(554, "5.5.1 no valid recipients"),
            _ => Usual::of(354, "go"),
        };
        let (says, performed) = self.turn(Verb::Data, &usual).await;
        self.refused_if_it_counts(&says, performed, at);
        performed?;
        if says.code().is_none_or(|code| code / 100 != 3) {
            return Ok(());
        }
        if self.troubled() {
            return self.amid_the_message().await;
        }
        let empty = loop {
            if self.inbox.octets.starts_with(b".\r\n") {
                break true;
            }
            if self.inbox.end_of(b"\r\n.\r\n").is_some() {
                break false;
            }
            self.fill().await?;
        };
        let length = match empty {
            true => 3,
            false => self.inbox.end_of(b"\r\n.\r\n").unwrap_or_default(),
        };
        let (wire, at) = self.inbox.take(length);
        let octets = unstuffed(wire.strip_suffix(b".\r\n").unwrap_or(&wire));
        self.whole(&octets, at).await
    }

    /// Something other than waiting for its end happens to a message.
    async fn amid_the_message(&mut self) -> Result<(), Over> {
        let some = 1 + self.random.below(3_000);
        while self.inbox.octets.len() < some && self.inbox.end_of(b"\r\n.\r\n").is_none() {
            self.fill().await?;
        }
        self.note(&format!(
            "< {} octets of a message",
            self.inbox.octets.len()
        ));
        let early = Usual::of(*self.random.pick(&[250, 451, 554]), "too soon");
        let turn = match self.random.below(5) {
            0 => Turn::usual(&mut self.random, &early),
            _ => Turn::trouble(&mut self.random, Verb::Body, &early),
        };
        // What is said before its time is no answer. But who says 250 after a few octets may say it
        // to a relay that has sent them all.
        self.void = true;
        if turn.says.codes().iter().any(|code| code / 100 == 2) {
            self.takes(Timestamp::now(), false);
        }
        self.perform(Verb::Body, turn).await?;
        self.close()
    }

    async fn bdat(&mut self, line: &str) -> Result<(), Over> {
        if !self.offers("CHUNKING") && !self.void {
            self.breach(format!("said {line:?} unasked"));
        }
        let mut words = line.split_ascii_whitespace().skip(1);
        let count: Option<usize> = words.next().and_then(|word| word.parse().ok());
        let Some(count) = count else {
            self.breach(format!("said {line:?}"));
            return self.close();
        };
        let last = words
            .next()
            .is_some_and(|word| word.eq_ignore_ascii_case("LAST"));
        while self.inbox.octets.len() < count {
            self.fill().await?;
        }
        let (chunk, at) = self.inbox.take(count);
        if self.accepted().is_empty() {
            let usual = Usual::of(503, "5.5.1 nobody to send it to");
            return self.turn(Verb::Other, &usual).await.1;
        }
        if let Some(transaction) = &mut self.transaction {
            transaction.chunks.extend(chunk);
        }
        if last {
            let chunks = self
                .transaction
                .as_mut()
                .map(|t| std::mem::take(&mut t.chunks));
            return self.whole(&chunks.unwrap_or_default(), at).await;
        }
        let (says, performed) = self.turn(Verb::Chunk, &Usual::of(250, "2.0.0 more")).await;
        self.refused_if_it_counts(&says, performed, at);
        performed
    }

    /// A message has come whole.
    async fn whole(&mut self, octets: &[u8], at: Timestamp) -> Result<(), Over> {
        self.note(&format!("< a message of {} octets", octets.len()));
        self.check_message(octets);
        let usual = match self.accepted().is_empty() {
            true => Usual::of(554, "5.5.1 nobody to send it to"),
            false => Usual::of(250, "2.0.0 queued"),
        };
        let turn = self.draw(Verb::Dot, &usual);
        let (says, takes) = (turn.says.clone(), turn.takes);
        let performed = self.perform(Verb::Dot, turn).await;
        if takes {
            let heard = !matches!(performed, Err(Over::Left));
            let told = heard && self.counted(&says, at).is_some_and(|code| code / 100 == 2);
            self.takes(at, told);
        } else {
            self.refused_if_it_counts(&says, performed, at);
        }
        self.transaction = None;
        performed
    }

    /// The host has the message now, and said so that it counts, or not.
    fn takes(&self, at: Timestamp, told: bool) {
        for rcpt in self.accepted() {
            self.place.record().fact(at, What::Taken { rcpt, told });
        }
        let how = if told {
            "and said so"
        } else {
            "which the relay may not know"
        };
        let whose: Vec<String> = self.accepted().iter().map(ToString::to_string).collect();
        self.note(&format!("has it, {how}, for {}", whose.join(", ")));
    }

    /// Everybody who was accepted and is now refused.
    fn refused_if_it_counts(&self, says: &Says, performed: Result<(), Over>, at: Timestamp) {
        let heard = !matches!(performed, Err(Over::Left));
        let counted = self
            .counted(says, at)
            .filter(|code| heard && code / 100 == 5);
        for rcpt in self.accepted() {
            if let Some(code) = counted {
                self.place.record().fact(at, What::Refused(rcpt, code));
            }
        }
    }

    /// The code of a reply that must count, to what came at that time: it is a plain one, nothing
    /// before it was nonsense, and it comes well before anybody's patience ends.
    fn counted(&self, says: &Says, at: Timestamp) -> Option<u16> {
        let now = Timestamp::now();
        let prompt = now.duration_since(at) < signed(REPLY_TIMEOUT / 2);
        let began = self.place.record().attempt_began(self.host);
        let in_time = now.duration_since(began) < signed(ATTEMPT_TIMEOUT * 3 / 4);
        let sure = prompt && in_time && !self.void;
        says.plainly().filter(|_| sure)
    }

    /// Whether this was offered in this session.
    pub(super) fn offers(&self, keyword: &str) -> bool {
        self.hello == Hello::Extended && self.plan.offers(keyword)
    }

    pub(super) fn accepted(&self) -> Vec<RcptId> {
        let transaction = self.transaction.as_ref();
        transaction.map(|t| t.accepted.clone()).unwrap_or_default()
    }
}
