//! One connection to a remote host: reads commands, follows the script, writes down what it sees.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Instant;

use tokio::net::TcpStream;

use super::Host;
use super::answer::Answer;
use super::record::{Connection, End, Ended, Transaction, path_of};
use super::script::{Handshake, Phase};
use crate::support::stuffing::unstuffed;
use crate::support::wire::Wire;

pub(super) async fn serve(host: Arc<Host>, stream: TcpStream, peer: SocketAddr) {
    let opened = Instant::now();
    let number = host.connections.push(Connection {
        number: 0,
        peer,
        opened,
        spoke_first: false,
        commands: Vec::new(),
        handshake: None,
        server_name: None,
        user: None,
        ended: None,
        ended_at: None,
    });
    host.connections.update(number, |c| c.number = number);
    let party = format!("{} #{number}", host.name);
    host.timeline
        .note(&party, &format!("connection from {peer}"));
    let ended = match Wire::new(stream) {
        Err(error) => Ended::Broken(error.to_string()),
        Ok(wire) => {
            let mut session = Session {
                host: &host,
                party: &party,
                number,
                wire: Some(wire),
                inbox: Vec::new(),
                hello: String::new(),
                envelope: None,
                chunks: Vec::new(),
                said: None,
            };
            match session.run().await {
                Ok(never) => match never {},
                Err(ended) => ended,
            }
        }
    };
    host.timeline.note(&party, &format!("ended: {ended:?}"));
    let ended_at = Some(Instant::now());
    host.connections.update(number, |c| {
        (c.ended, c.ended_at) = (Some(ended), ended_at);
    });
}

pub(super) struct Session<'a> {
    pub(super) host: &'a Host,
    pub(super) party: &'a str,
    pub(super) number: usize,
    pub(super) wire: Option<Wire>, // none only while a handshake has it, or after the end
    pub(super) inbox: Vec<u8>,
    hello: String,
    envelope: Option<Envelope>,
    /// What came with BDAT, and is not a whole message yet.
    chunks: Vec<u8>,
    /// The first digit of the last reply that was sent, kept for turns that end the connection.
    pub(super) said: Said,
}

struct Envelope {
    mail: String,
    rcpts: Vec<String>,
    refused: Vec<String>,
}

enum Never {}

/// The first digit of the reply that was sent, if one was.
pub(super) type Said = Option<u8>;

impl Session<'_> {
    async fn run(&mut self) -> Result<Never, Ended> {
        if self.host.implicit_tls {
            self.begin_tls().await?;
        }
        let greeting = format!("220 {} ESMTP", self.host.name);
        self.turn(Phase::Greeting, &greeting).await?;
        loop {
            let line = self.command().await?;
            let verb = line.split([' ', ':']).next().unwrap_or_default();
            match verb.to_ascii_uppercase().as_str() {
                "EHLO" => self.ehlo(&line).await?,
                "HELO" => self.helo(&line).await?,
                "STARTTLS" => self.starttls().await?,
                "AUTH" => self.auth(&line).await?,
                "MAIL" => self.mail(line).await?,
                "RCPT" => self.rcpt(line).await?,
                "DATA" => self.data().await?,
                "BDAT" => self.bdat(&line).await?,
                "RSET" => {
                    self.envelope = None;
                    self.chunks.clear();
                    self.turn(Phase::Rset, "250 2.0.0 ok").await?;
                }
                "NOOP" => drop(self.turn(Phase::Noop, "250 2.0.0 ok").await?),
                "VRFY" => drop(self.turn(Phase::Vrfy, "252 2.0.0 perhaps").await?),
                "QUIT" => {
                    self.turn(Phase::Quit, "221 2.0.0 bye").await?;
                    self.finish().await;
                    return Err(Ended::Quit);
                }
                _ => drop(self.turn(Phase::Other, "500 5.5.1 what?").await?),
            }
        }
    }

    async fn ehlo(&mut self, line: &str) -> Result<(), Ended> {
        let mut lines = vec![self.host.name.clone()];
        {
            let script = self.host.script();
            let in_tls = self.wire.as_ref().is_some_and(Wire::is_tls);
            match &script.offers_in_tls {
                Some(offers) if in_tls => lines.extend(offers.iter().cloned()),
                _ => lines.extend(script.offers.iter().cloned()),
            }
            let tls = self.host.tls.is_some() || script.has(Phase::StartTls);
            if tls && !in_tls {
                lines.push("STARTTLS".to_owned());
            }
        }
        let last = lines.len() - 1;
        let reply: Vec<String> = lines
            .iter()
            .enumerate()
            .map(|(i, text)| format!("250{}{text}", if i == last { ' ' } else { '-' }))
            .collect();
        if self.turn(Phase::Ehlo, &reply.join("\r\n")).await? == Some(b'2') {
            line.clone_into(&mut self.hello);
            self.envelope = None;
        }
        Ok(())
    }

    async fn helo(&mut self, line: &str) -> Result<(), Ended> {
        let reply = format!("250 {}", self.host.name);
        if self.turn(Phase::Helo, &reply).await? == Some(b'2') {
            line.clone_into(&mut self.hello);
            self.envelope = None;
        }
        Ok(())
    }

    async fn starttls(&mut self) -> Result<(), Ended> {
        let usual = match self.host.tls {
            Some(_) => "220 2.0.0 go",
            None => "502 5.5.1 not here",
        };
        if self.turn(Phase::StartTls, usual).await? != Some(b'2') {
            return Ok(());
        }
        self.begin_tls().await
    }

    async fn begin_tls(&mut self) -> Result<(), Ended> {
        let handshake = self.host.script().handshake;
        match (handshake, &self.host.tls) {
            (Handshake::Proper, Some(config)) => {
                self.inbox.clear(); // what came in clear counts for nothing inside
                self.handshake(Arc::clone(config)).await
            }
            (Handshake::Proper | Handshake::Garbage, _) => {
                self.fill().await?;
                self.write(b"this is not TLS\r\n").await?;
                self.handshake_failed("garbage, as scripted");
                self.perform(super::close()).await.map(drop)
            }
            (Handshake::Tls10, _) => {
                self.fill().await?;
                self.write(&tls10_server_hello()).await?;
                self.handshake_failed("TLS 1.0, as scripted");
                self.perform(super::close()).await.map(drop)
            }
            (Handshake::Close, _) => {
                self.fill().await?;
                self.handshake_failed("closed, as scripted");
                self.perform(super::close()).await.map(drop)
            }
            (Handshake::Hang, _) => {
                self.handshake_failed("silence, as scripted");
                self.perform(super::hang()).await.map(drop)
            }
        }
    }

    async fn handshake(&mut self, config: Arc<rustls::ServerConfig>) -> Result<(), Ended> {
        let wire = self.wire.take().expect("only a handshake takes the wire");
        match wire.accept_tls(config).await {
            Ok(wire) => {
                let server_name = wire.server_name().map(str::to_owned);
                self.wire = Some(wire);
                self.hello.clear();
                self.envelope = None;
                self.host.timeline.note(self.party, "TLS begins");
                self.host.connections.update(self.number, |c| {
                    c.handshake = Some(Ok(()));
                    c.server_name = server_name;
                });
                Ok(())
            }
            Err(error) => {
                self.handshake_failed(&error.to_string());
                Err(Ended::Broken(format!("TLS handshake: {error}")))
            }
        }
    }

    fn handshake_failed(&self, why: &str) {
        self.host
            .connections
            .update(self.number, |c| c.handshake = Some(Err(why.to_owned())));
    }

    async fn mail(&mut self, line: String) -> Result<(), Ended> {
        let is_let_in = self.host.account.is_none() || self.authenticated();
        let usual = match is_let_in {
            true => "250 2.1.0 ok",
            false => "530 5.7.0 authenticate first",
        };
        if self.turn(Phase::Mail, usual).await? == Some(b'2') {
            self.envelope = Some(Envelope {
                mail: line,
                rcpts: Vec::new(),
                refused: Vec::new(),
            });
        }
        Ok(())
    }

    fn authenticated(&self) -> bool {
        let connections = &self.host.connections;
        connections.read(|list| list[self.number].user.is_some())
    }

    async fn rcpt(&mut self, line: String) -> Result<(), Ended> {
        let usual = match self.envelope {
            Some(_) => "250 2.1.5 ok",
            None => "503 5.5.1 MAIL first",
        };
        let scripted = self.host.script().next_for(path_of(&line));
        let said = self
            .perform(scripted.unwrap_or_else(|| Answer::from(usual)))
            .await?;
        if let Some(envelope) = &mut self.envelope {
            match said {
                Some(b'2') => envelope.rcpts.push(line),
                _ => envelope.refused.push(line),
            }
        }
        Ok(())
    }

    async fn data(&mut self) -> Result<(), Ended> {
        let usual = match &self.envelope {
            None => "503 5.5.1 MAIL first",
            Some(envelope) if envelope.rcpts.is_empty() => "554 5.5.1 no valid recipients",
            Some(_) => "354 go",
        };
        match self.turn(Phase::Data, usual).await {
            Ok(Some(b'3')) => {}
            Ok(_) => return Ok(()),
            Err(ended) => {
                if self.said == Some(b'3') {
                    self.lost(); // closed by the script: what of the body had come is of interest
                }
                return Err(ended);
            }
        }
        let mut searched = 0;
        let end = loop {
            if let Some(end) = end_of_data(&self.inbox, searched) {
                break end;
            }
            searched = self.inbox.len();
            if let Err(ended) = self.fill().await {
                self.lost();
                return Err(ended);
            }
        };
        let wire: Vec<u8> = self.inbox.drain(..end).collect();
        self.host.timeline.received(self.party, &wire);
        let data = unstuffed(wire.strip_suffix(b".\r\n").unwrap_or(&wire));
        self.whole(data, wire).await
    }

    /// A chunk; one that is not the last is always taken.
    async fn bdat(&mut self, line: &str) -> Result<(), Ended> {
        let mut words = line.split_ascii_whitespace().skip(1);
        let count = words.next().and_then(|word| word.parse().ok());
        let Some(count) = count else {
            self.turn(Phase::Other, "501 5.5.4 what?").await?;
            return self.perform(super::close()).await.map(drop);
        };
        while self.inbox.len() < count {
            if let Err(ended) = self.fill().await {
                self.lost();
                return Err(ended);
            }
        }
        let chunk: Vec<u8> = self.inbox.drain(..count).collect();
        self.host.timeline.received(self.party, &chunk);
        let nobody = self.envelope.as_ref().is_none_or(|e| e.rcpts.is_empty());
        if nobody {
            return self
                .turn(Phase::Other, "503 5.5.1 RCPT first")
                .await
                .map(drop);
        }
        self.chunks.extend(chunk);
        if words.next() != Some("LAST") {
            return self.perform(Answer::from("250 2.0.0 ok")).await.map(drop);
        }
        let data = std::mem::take(&mut self.chunks);
        self.whole(data.clone(), data).await
    }

    /// Writes down a message that came whole, and answers.
    async fn whole(&mut self, data: Vec<u8>, wire: Vec<u8>) -> Result<(), Ended> {
        let index = self.write_down(data, wire, End::Unanswered);
        let turn = self.turn(Phase::Dot, "250 2.0.0 queued").await;
        let end = match self.said {
            Some(b'2') => End::Accepted,
            Some(_) => End::Refused,
            None => End::Unanswered,
        };
        self.host.transactions.update(index, |t| t.end = end);
        turn.map(drop)
    }

    /// The connection ended within the data.
    fn lost(&mut self) {
        let wire = std::mem::take(&mut self.inbox);
        if self.envelope.is_some() {
            self.host.timeline.received(self.party, &wire);
            self.write_down(unstuffed(&wire), wire, End::Lost);
        }
    }

    fn write_down(&mut self, data: Vec<u8>, wire: Vec<u8>, end: End) -> usize {
        let envelope = self.envelope.take().unwrap_or(Envelope {
            mail: String::new(),
            rcpts: Vec::new(),
            refused: Vec::new(),
        });
        self.host.transactions.push(Transaction {
            connection: self.number,
            in_tls: self.wire.as_ref().is_some_and(Wire::is_tls),
            hello: self.hello.clone(),
            mail: envelope.mail,
            rcpts: envelope.rcpts,
            refused: envelope.refused,
            data,
            wire,
            end,
            at: Instant::now(),
        })
    }

    /// The scripted answer, or else this reply.
    pub(super) async fn turn(&mut self, phase: Phase, usual: &str) -> Result<Said, Ended> {
        let scripted = self.host.script().next(phase);
        self.perform(scripted.unwrap_or_else(|| Answer::from(usual)))
            .await
    }
}

/// With TLS_RSA_WITH_AES_128_CBC_SHA (RFC 2246 7.4.1.3).
fn tls10_server_hello() -> Vec<u8> {
    let mut record = vec![22, 3, 1, 0, 42, 2, 0, 0, 38, 3, 1];
    record.extend([7; 32]); // random
    record.extend([0, 0, 0x2f, 0]); // no session, the cipher, no compression
    record
}

/// Where the data end, behind their dot (RFC 5321 4.1.1.4); the first `searched` octets had no end.
fn end_of_data(octets: &[u8], searched: usize) -> Option<usize> {
    const END: &[u8] = b"\r\n.\r\n";
    if octets.starts_with(&END[2..]) {
        return Some(3);
    }
    let from = searched.saturating_sub(END.len() - 1);
    let at = memchr::memmem::find(&octets[from..], END)?;
    Some(from + at + END.len())
}
