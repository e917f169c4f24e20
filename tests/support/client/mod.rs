//! A client that can say anything, and reads replies strictly.

mod lines;

use std::panic::Location;
use std::sync::Arc;
use std::time::Duration;

use rustls::pki_types::CertificateDer;
use rustls::{ClientConfig, CommonState};

pub use self::lines::{Cut, Rules};

use super::deadline::{Here, within};
use super::mail::Mail;
use super::reply::Reply;
use super::stuffing::stuffed;
use super::submission::Submission;
use super::timeline::{Timeline, visible};
use super::tls::server_name;
use super::wire::Wire;

/// How soon a server that closes has closed.
const CLOSES_WITHIN: Duration = Duration::from_secs(5);

/// One connection to the relay (or to a remote host). Made by [`Dial`](super::Dial).
///
/// Every reply is checked as it is read, see [`Rules`]; [`Dial::lenient`](super::Dial::lenient) turns
/// that off.
#[derive(Debug)]
pub struct Client {
    wire: Option<Wire>,
    inbox: Vec<u8>,
    party: String,
    rules: Rules,
    timeline: Timeline,
    said: String,
}

impl Client {
    pub(super) fn new(wire: Wire, party: String, rules: Rules, timeline: Timeline) -> Client {
        Client {
            wire: Some(wire),
            inbox: Vec::new(),
            party,
            rules,
            timeline,
            said: "the connection".to_owned(),
        }
    }

    /// Sends a command line and reads its reply.
    #[track_caller]
    pub fn cmd(&mut self, line: &str) -> impl Future<Output = Reply> {
        let here = Location::caller();
        let line = line.to_owned();
        async move { self.exchange(here, line).await }
    }

    /// Says each line and fails, naming it, unless it gets its reply.
    #[track_caller]
    pub fn dialogue<'w>(
        &mut self,
        rows: impl IntoIterator<Item = (&'w str, &'w str)>,
    ) -> impl Future<Output = ()> {
        let here = Location::caller();
        async move {
            for (line, wanted) in rows {
                let reply = self.exchange(here, line.to_owned()).await;
                assert!(
                    reply.is(wanted),
                    "{here}: {line:?} should get \"{wanted}\", and got {reply}"
                );
            }
        }
    }

    /// Sends several command lines in one segment and reads their replies.
    #[track_caller]
    pub fn pipeline<'l>(
        &mut self,
        lines: impl IntoIterator<Item = &'l str>,
    ) -> impl Future<Output = Vec<Reply>> {
        let here = Location::caller();
        let lines: Vec<String> = lines.into_iter().map(str::to_owned).collect();
        async move {
            self.say(here, (lines.join("\r\n") + "\r\n").as_bytes())
                .await;
            let mut replies = Vec::new();
            for line in lines {
                self.said = line;
                replies.push(self.read(here).await);
            }
            replies
        }
    }

    /// Reads one whole reply.
    #[track_caller]
    pub fn read_reply(&mut self) -> impl Future<Output = Reply> {
        let here = Location::caller();
        async move { self.read(here).await }
    }

    /// Sends exactly these octets, in one segment.
    #[track_caller]
    pub fn send_octets(&mut self, octets: impl AsRef<[u8]>) -> impl Future<Output = ()> {
        let here = Location::caller();
        async move {
            let octets = octets.as_ref();
            self.say(here, octets).await;
            self.said = visible(octets);
        }
    }

    /// Sends these pieces, each in a segment of its own.
    #[track_caller]
    pub fn send_pieces<P: AsRef<[u8]>>(
        &mut self,
        pieces: impl IntoIterator<Item = P>,
    ) -> impl Future<Output = ()> {
        let here = Location::caller();
        async move {
            for piece in pieces {
                self.say(here, piece.as_ref()).await;
                tokio::task::yield_now().await; // lets a relay on the same core read between
            }
        }
    }

    /// Sends each octet in a segment of its own.
    #[track_caller]
    pub fn send_each_octet(&mut self, octets: impl AsRef<[u8]>) -> impl Future<Output = ()> {
        let here = Location::caller();
        async move {
            let octets = octets.as_ref();
            self.timeline.sent(&self.party, octets);
            for octet in octets {
                self.write(here, &[*octet]).await;
                tokio::task::yield_now().await;
            }
            self.said = visible(octets);
        }
    }

    /// Reads the greeting and says EHLO; gives the reply to EHLO.
    #[track_caller]
    pub fn hello(&mut self) -> impl Future<Output = Reply> {
        let here = Location::caller();
        async move {
            self.read(here).await.expect(220);
            let hello = self.exchange(here, "EHLO client.test".to_owned()).await;
            hello.expect(250)
        }
    }

    pub(super) async fn try_hello(&mut self, here: Here) -> Result<Reply, Cut> {
        self.try_read(here).await?;
        self.try_exchange(here, "EHLO client.test".to_owned()).await
    }

    /// DATA, this message with its dots stuffed, and the dot; gives the reply to the dot, or to DATA
    /// if that was no 354.
    #[track_caller]
    pub fn data(&mut self, message: impl AsRef<[u8]>) -> impl Future<Output = Reply> {
        let here = Location::caller();
        async move {
            let go = self.exchange(here, "DATA".to_owned()).await;
            if go.code != 354 {
                return go;
            }
            self.say(here, &stuffed(message.as_ref())).await;
            "the end of the message".clone_into(&mut self.said);
            self.read(here).await
        }
    }

    /// The transaction up to the 354; what is sent next are the data. `mail`'s content is not used.
    #[track_caller]
    pub fn up_to_data(&mut self, mail: &Mail) -> impl Future<Output = ()> {
        let here = Location::caller();
        let mut lines = vec![mail.mail_line()];
        lines.extend(mail.rcpt_lines());
        async move {
            for line in lines {
                self.exchange(here, line).await.expect(250);
            }
            self.exchange(here, "DATA".to_owned()).await.expect(354);
        }
    }

    /// One transaction, command by command, as far as it comes.
    #[track_caller]
    pub fn send(&mut self, mail: Mail) -> impl Future<Output = Submission> {
        let here = Location::caller();
        async move {
            match self.transaction(here, mail).await {
                Ok(submission) => submission,
                Err(cut) => panic!("{here}: {cut}"),
            }
        }
    }

    /// As [`Client::send`], for a server that may die meanwhile: `Err` if its last reply never came.
    #[track_caller]
    pub fn try_send(&mut self, mail: Mail) -> impl Future<Output = Result<Submission, Cut>> {
        let here = Location::caller();
        self.transaction(here, mail)
    }

    async fn transaction(&mut self, here: Here, mail: Mail) -> Result<Submission, Cut> {
        let mut replies = vec![self.try_exchange(here, mail.mail_line()).await?];
        if replies[0].code != 250 {
            return Ok(Submission::new(mail, replies));
        }
        for line in mail.rcpt_lines() {
            replies.push(self.try_exchange(here, line).await?);
        }
        if replies[1..].iter().all(|reply| reply.code / 100 != 2) {
            // What counts is what was said to the recipients; the session is left clean.
            self.try_exchange(here, "RSET".to_owned()).await?;
            return Ok(Submission::new(mail, replies));
        }
        let go = self.try_exchange(here, "DATA".to_owned()).await?;
        if go.code == 354 {
            self.say(here, &stuffed(&mail.octets())).await;
            "the end of the message".clone_into(&mut self.said);
            replies.push(self.try_read(here).await?);
        } else {
            replies.push(go);
        }
        Ok(Submission::new(mail, replies))
    }

    /// Fails unless a NOOP now gets exactly one `250 2.0.0`, so that commands and replies are in
    /// step. A VRFY behind it (252) shows that no reply is left over.
    #[track_caller]
    pub fn in_sync(&mut self) -> impl Future<Output = ()> {
        let here = Location::caller();
        async move {
            for (line, wanted) in [("NOOP", "250 2.0.0"), ("VRFY x", "252 2.0.0")] {
                let reply = self.exchange(here, line.to_owned()).await;
                let right = reply.is(wanted);
                assert!(
                    right && self.inbox.is_empty(),
                    "{here}: out of step: {line} got {reply}, and then {:?}",
                    visible(&self.inbox)
                );
            }
        }
    }

    /// STARTTLS and the handshake; `name` is who the certificate must be for.
    #[track_caller]
    pub fn starttls(
        &mut self,
        trust: Arc<ClientConfig>,
        name: &str,
    ) -> impl Future<Output = Result<(), String>> {
        let here = Location::caller();
        let name = name.to_owned();
        async move {
            self.exchange(here, "STARTTLS".to_owned()).await.expect(220);
            self.handshake_from(here, trust, &name).await
        }
    }

    /// The handshake alone, where TLS begins at once; `name` is who the certificate must be for.
    #[track_caller]
    pub fn handshake(
        &mut self,
        trust: Arc<ClientConfig>,
        name: &str,
    ) -> impl Future<Output = Result<(), String>> {
        let here = Location::caller();
        let name = name.to_owned();
        async move { self.handshake_from(here, trust, &name).await }
    }

    async fn handshake_from(
        &mut self,
        here: Here,
        trust: Arc<ClientConfig>,
        name: &str,
    ) -> Result<(), String> {
        let wire = self.wire.take().expect("an open connection");
        let handshake = wire.connect_tls(trust, server_name(name));
        match within(here, || "the TLS handshake".to_owned(), handshake).await {
            Ok(wire) => {
                self.wire = Some(wire);
                self.timeline.note(&self.party, "TLS begins");
                Ok(())
            }
            Err(error) => {
                let why = error.to_string();
                self.timeline.note(&self.party, &format!("no TLS: {why}"));
                Err(why)
            }
        }
    }

    /// What the handshake agreed upon.
    pub fn tls(&self) -> &CommonState {
        let wire = self.wire.as_ref().expect("an open connection");
        wire.tls().expect("a connection in TLS")
    }

    /// What binds an exchange to the connection (tls-exporter, RFC 9266).
    pub fn channel_binding(&self) -> Vec<u8> {
        let wire = self.wire.as_ref().expect("an open connection");
        wire.channel_binding()
            .expect("a connection in TLS")
            .to_vec()
    }

    /// The certificate that the server showed, and its chain, in DER.
    pub fn certificates(&self) -> Vec<CertificateDer<'static>> {
        let shown = self.tls().peer_certificates();
        shown.expect("a server's certificate").to_vec()
    }

    /// QUIT, its 221, and the end.
    #[track_caller]
    pub fn quit(mut self) -> impl Future<Output = ()> {
        let here = Location::caller();
        async move {
            self.exchange(here, "QUIT".to_owned()).await.expect(221);
            self.ends(here, true).await;
        }
    }

    /// Fails unless the server ends the connection within 5 s, properly and without another octet.
    #[track_caller]
    pub fn expect_closed(&mut self) -> impl Future<Output = ()> {
        let here = Location::caller();
        async move { self.ends(here, true).await }
    }

    /// Fails unless the server ends or resets the connection within 5 s, without another octet.
    #[track_caller]
    pub fn expect_gone(&mut self) -> impl Future<Output = ()> {
        let here = Location::caller();
        async move { self.ends(here, false).await }
    }

    async fn ends(&mut self, here: Here, properly: bool) {
        let Some(wire) = &mut self.wire else { return };
        let inbox = &mut self.inbox;
        let end = async {
            loop {
                match wire.read(inbox).await {
                    Ok(0) => return Ok(()),
                    Ok(_) => {}
                    Err(error) => return Err(error),
                }
            }
        };
        let end = tokio::time::timeout(CLOSES_WITHIN, end).await;
        let rest = visible(&self.inbox);
        self.timeline
            .note(&self.party, &format!("the end: {end:?}"));
        match end {
            Ok(Ok(())) => {}
            Ok(Err(_)) if !properly => {}
            Ok(Err(error)) => panic!("{here}: should be closed, but: {error}; unread {rest:?}"),
            Err(_) => panic!("{here}: still open after {CLOSES_WITHIN:?}; unread {rest:?}"),
        }
        assert!(
            self.inbox.is_empty(),
            "{here}: {rest:?} before the connection closed"
        );
    }

    /// Fails if anything comes within `span`. Only for claims that something is *not* said.
    #[track_caller]
    pub fn hears_nothing_for(&mut self, span: Duration) -> impl Future<Output = ()> {
        let here = Location::caller();
        async move {
            let wire = self.wire.as_mut().expect("an open connection");
            let heard = tokio::time::timeout(span, wire.read(&mut self.inbox)).await;
            let octets = visible(&self.inbox);
            assert!(
                heard.is_err() && self.inbox.is_empty(),
                "{here}: heard {heard:?} {octets:?} where nothing should be said"
            );
        }
    }

    /// Everything until the server ends the connection, however it does.
    #[track_caller]
    pub fn read_to_end(&mut self) -> impl Future<Output = Vec<u8>> {
        let here = Location::caller();
        async move {
            let wire = self.wire.as_mut().expect("an open connection");
            let inbox = &mut self.inbox;
            let all = async { while matches!(wire.read(inbox).await, Ok(1..)) {} };
            within(here, || "the end of the connection".to_owned(), all).await;
            self.timeline.received(&self.party, &self.inbox);
            std::mem::take(&mut self.inbox)
        }
    }

    /// Says that it sends nothing more, and goes on reading.
    #[track_caller]
    pub fn half_close(&mut self) -> impl Future<Output = ()> {
        let here = Location::caller();
        async move {
            self.timeline.note(&self.party, "closes its half");
            let wire = self.wire.as_mut().expect("an open connection");
            let closing = wire.finish_sending();
            let _ = within(here, || "closing a half".to_owned(), closing).await; // the server may be gone
        }
    }

    /// Ends the connection with RST.
    pub fn reset(mut self) {
        self.timeline.note(&self.party, "resets");
        if let Some(wire) = self.wire.take() {
            wire.reset();
        }
    }

    /// Ends the connection with FIN, whatever was going on; in TLS without a close_notify.
    pub fn close(self) {
        self.timeline.note(&self.party, "closes");
    }
}
