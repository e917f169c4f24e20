//! The whole way in, over loopback, with a real store: sessions as a client sees them.

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::task::JoinHandle;
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;

use super::*;
use crate::config::Sources;
use crate::mail::{Destination, Domain, UnixMillis};
use crate::observe::wall_clock;
use crate::store::StoreOptions;

/// No wait of these tests is longer.
const PATIENCE: Duration = Duration::from_secs(20);

struct Relay {
    address: SocketAddr,
    store: Store,
    shutdown: CancellationToken,
    serving: JoinHandle<()>,
    _spool: tempfile::TempDir,
}

struct NoDns;

impl HostLookup for NoDns {
    async fn addresses(&self, _: &Domain) -> Result<HostAddresses, LookupError> {
        Err(LookupError::Temporary)
    }
}

impl Relay {
    /// On a free port, letting loopback in, with `more` variables.
    fn start(more: &[(&str, &str)]) -> Relay {
        let usual = [
            ("SMTP_HOSTNAME", "gp.test"),
            ("SMTP_LISTEN_ADDRESSES", "127.0.0.1"),
            ("SMTP_ALLOW_NETWORKS", "127.0.0.0/8"),
        ];
        let kept = usual
            .into_iter()
            .filter(|(name, _)| more.iter().all(|(n, _)| n != name));
        let sources = Sources::of(kept.chain(more.iter().copied()));
        let mut config = Config::load(&sources).expect("good variables").config;
        config.smtpd.port = 0;
        let spool = tempfile::tempdir().unwrap();
        let store = Store::open(StoreOptions {
            path: spool.path().join("spool"),
            destination_of: Arc::new(Destination::of_domain),
            routing_fingerprint: "mx".into(),
            min_free_space: 0,
            events: Events::default(),
            now: wall_clock(),
        })
        .unwrap();
        let inbound = Inbound::bind(&config, store.clone(), Events::default(), NoDns).unwrap();
        let address = inbound.local_addresses()[0];
        let shutdown = CancellationToken::new();
        Relay {
            address,
            store,
            serving: tokio::spawn(inbound.serve(shutdown.clone())),
            shutdown,
            _spool: spool,
        }
    }

    async fn connect(&self) -> Client {
        Client {
            stream: TcpStream::connect(self.address).await.unwrap(),
            unread: Vec::new(),
        }
    }

    /// A client that has its greeting and the reply to EHLO.
    async fn greeted(&self) -> Client {
        let mut client = self.connect().await;
        assert!(client.reply().await.starts_with("220 gp.test "));
        client.say("EHLO client.test\r\n").await;
        assert!(client.reply().await.starts_with("250-gp.test|"));
        client
    }

    /// What was queued: sender, recipients, and the octets that will go out.
    async fn queued(&self) -> Vec<(String, Vec<String>, String)> {
        let until = UnixMillis(u64::MAX);
        let mut queued = Vec::new();
        for loaded in self.store.arrived_before(until, None, 1000).await.unwrap() {
            let mut octets = loaded.message.added_header.to_vec();
            let mut body = self.store.body(&loaded.message).await.unwrap();
            while let Some(piece) = body.next().await.unwrap() {
                octets.extend_from_slice(&piece);
            }
            queued.push((
                loaded.message.envelope.reverse_path.to_string(),
                loaded
                    .recipients
                    .iter()
                    .map(|r| r.address.to_string())
                    .collect(),
                String::from_utf8_lossy(&octets).into_owned(),
            ));
        }
        queued
    }
}

struct Client {
    stream: TcpStream,
    unread: Vec<u8>,
}

impl Client {
    async fn say(&mut self, octets: impl AsRef<[u8]>) {
        self.stream.write_all(octets.as_ref()).await.unwrap();
    }

    /// One whole reply, its lines joined by `|`; empty at the end of the stream.
    async fn reply(&mut self) -> String {
        let mut lines = Vec::new();
        loop {
            let Some(line) = self.line().await else {
                return lines.join("|");
            };
            let last = line.as_bytes().get(3) != Some(&b'-');
            lines.push(line);
            if last {
                return lines.join("|");
            }
        }
    }

    async fn line(&mut self) -> Option<String> {
        loop {
            if let Some(end) = self.unread.windows(2).position(|w| w == b"\r\n") {
                let line = self.unread.drain(..end + 2).take(end).collect();
                return Some(String::from_utf8(line).unwrap());
            }
            let read = self.stream.read_buf(&mut self.unread);
            match timeout(PATIENCE, read).await.expect("a reply in time") {
                Ok(0) => return None,
                Ok(_) => {}
                Err(error) => panic!("{error} after {:?}", self.unread.escape_ascii()),
            }
        }
    }

    /// The codes of so many replies.
    async fn codes(&mut self, count: usize) -> Vec<String> {
        let mut codes = Vec::new();
        for _ in 0..count {
            let reply = self.reply().await;
            let end = if reply.starts_with("354") { 3 } else { 9 };
            codes.push(reply.get(..end).unwrap_or(&reply).to_owned());
        }
        codes
    }

    async fn expect(&mut self, want: &[&str]) {
        assert_eq!(self.codes(want.len()).await, want);
    }

    async fn expect_end(&mut self) {
        assert_eq!(self.line().await, None);
    }

    /// One NOOP gets exactly one 250.
    async fn expect_in_sync(&mut self) {
        self.say("NOOP\r\n").await;
        self.expect(&["250 2.0.0"]).await;
        assert!(self.unread.is_empty());
    }

    async fn send(&mut self, data: impl AsRef<[u8]>) -> String {
        self.say("MAIL FROM:<ann@gp.test>\r\nRCPT TO:<bob@dest.test>\r\nDATA\r\n")
            .await;
        self.expect(&["250 2.1.0", "250 2.1.5", "354"]).await;
        self.say(data).await;
        self.reply().await
    }
}

const GROUP: &str = "MAIL FROM:<ann@gp.test>\r\nRCPT TO:<bob@dest.test>\r\nDATA\r\n";

#[tokio::test]
async fn a_message_is_queued_under_the_id_of_its_250() {
    // W-1.01, W-5.01, W-5.10, W-6.01, W-6.03, W-6.04, W-6.06
    let relay = Relay::start(&[]);
    let mut client = relay.greeted().await;
    let reply = client
        .send("Subject: x\r\nBcc: c@x.test\r\n\r\n..dot \t\r\n\x0c\r\n\r\n.\r\n")
        .await;
    let id = reply.strip_prefix("250 2.0.0 queued as ").unwrap();
    let queued = relay.queued().await;
    let (from, to, text) = &queued[0];
    assert_eq!(
        (from.as_str(), to.as_slice()),
        ("ann@gp.test", &["bob@dest.test".to_owned()][..])
    );
    let unfolded = text.replace("\r\n\t", " ").replace("\r\n ", " ");
    let first = unfolded.lines().next().unwrap();
    assert!(
        first.starts_with("Received: from client.test ([127.0.0.1]) by gp.test"),
        "{first}"
    );
    assert!(first.contains(&format!("with ESMTP id {id}")), "{first}");
    assert!(first.contains("for <bob@dest.test>;"), "{first}");
    assert!(
        text.ends_with("Subject: x\r\n\r\n.dot \t\r\n\x0c\r\n\r\n"),
        "{text}"
    );
    assert!(
        text.contains("\r\nDate: ") && text.contains(&format!("\r\nMessage-ID: <{id}@gp.test>"))
    );
}

#[tokio::test]
async fn octets_arrive_unchanged_whatever_was_declared() {
    // W-4.02, W-5.08, W-5.16
    let relay = Relay::start(&[]);
    let mut client = relay.greeted().await;
    for (text, below) in [
        (
            "Subject: \u{fc}\r\n\r\n\u{fc}\x7f\r\n",
            "Subject: \u{fc}\r\n\r\n\u{fc}\x7f\r\n",
        ),
        ("hello\r\n", "\r\n\r\nhello\r\n"),
        ("\r\nbody\r\n", "\r\n\r\nbody\r\n"),
    ] {
        client
            .say("MAIL FROM:<> SIZE=1\r\nRCPT TO:<b@dest.test>\r\nDATA\r\n")
            .await;
        client.expect(&["250 2.1.0", "250 2.1.5", "354"]).await;
        client.say(format!("{text}.\r\n")).await;
        client.expect(&["250 2.0.0"]).await;
        let queued = relay.queued().await;
        let found = queued.iter().any(|(_, _, octets)| octets.ends_with(below));
        assert!(found, "{queued:?}");
    }
}

#[tokio::test]
async fn who_is_not_allowed_gets_one_refusal_that_arrives_whole() {
    // W-1.02, W-1.03, W-1.04
    for (networks, want) in [("192.0.2.0/24", "554 5.7.1"), ("", "554 5.7.1")] {
        let relay = Relay::start(&[("SMTP_ALLOW_NETWORKS", networks)]);
        let mut client = relay.connect().await;
        client
            .say(format!("EHLO x\r\n{GROUP}x\r\n.\r\nQUIT\r\n"))
            .await;
        client.expect(&[want]).await;
        client.expect_end().await;
        assert!(relay.queued().await.is_empty());
    }
    // W-1.07
    let relay = Relay::start(&[("SMTP_ALLOW_NETWORKS", ""), ("SMTP_ALLOW_HOSTS", "a.test")]);
    let mut client = relay.connect().await;
    client.expect(&["421 4.4.3"]).await;
    client.expect_end().await;
}

#[tokio::test]
async fn a_mapped_address_is_an_ipv4_address() {
    // W-1.05
    let relay = Relay::start(&[("SMTP_LISTEN_ADDRESSES", "::")]);
    let address = SocketAddr::new(IpAddr::from([127, 0, 0, 1]), relay.address.port());
    let relay = Relay { address, ..relay };
    let mut client = relay.greeted().await;
    assert!(client.send("x\r\n.\r\n").await.starts_with("250 2.0.0"));
    assert!(relay.queued().await[0].2.contains("([127.0.0.1])"));
}

#[tokio::test]
async fn a_pipelined_group_is_answered_in_order_and_at_once() {
    // W-7.01, W-7.03, W-7.04, W-5.15
    let relay = Relay::start(&[]);
    let mut client = relay.greeted().await;
    let all = format!("{GROUP}NOOP\r\n.\r\n{GROUP}2\r\n.\r\nNOOP\r\n");
    client.say(&all).await;
    let one = ["250 2.1.0", "250 2.1.5", "354", "250 2.0.0"];
    client.expect(&one).await;
    client.expect(&one).await;
    client.expect(&["250 2.0.0"]).await;
    client
        .say("MAIL FROM:<a@x.test>\r\nRCPT TO:<b@dest.test>\r\nDATA\r\nNOOP\r\n")
        .await;
    client
        .expect(&["550 5.7.1", "503 5.5.1", "503 5.5.1", "250 2.0.0"])
        .await;
    assert_eq!(relay.queued().await.len(), 2);
}

#[tokio::test]
async fn octet_by_octet_gives_the_same() {
    // W-7.02, W-5.15
    let relay = Relay::start(&[]);
    let mut client = relay.greeted().await;
    for octet in format!("{GROUP}a\r\n..\r\n.\r\nQUIT\r\n").bytes() {
        client.say([octet]).await;
        tokio::task::yield_now().await;
    }
    client
        .expect(&["250 2.1.0", "250 2.1.5", "354", "250 2.0.0", "221 2.0.0"])
        .await;
    client.expect_end().await;
    assert!(relay.queued().await[0].2.ends_with("\r\n\r\na\r\n.\r\n"));
}

#[tokio::test]
async fn damaged_lines_run_nothing_and_are_told_once() {
    // W-2.24, W-2.26, W-2.27
    let relay = Relay::start(&[]);
    let mut client = relay.greeted().await;
    client.say("EHLO x\n").await;
    client.expect(&["500 5.5.2"]).await;
    client.say("\r\nNOOP\nMAIL FROM:<a@gp.test>\r\n").await;
    client.expect(&["500 5.5.2"]).await;
    client.say("NO\0OP\r\n").await;
    client.expect(&["500 5.5.2"]).await;
    client.say([&b"x".repeat(5000)[..], b"\r\n"].concat()).await;
    client.expect(&["500 5.5.2"]).await;
    client.expect_in_sync().await;
}

#[tokio::test]
async fn unfit_data_is_read_to_its_end_and_refused_once() {
    // W-5.04, W-5.06, W-5.07, W-5.11, W-2.21, W-6.05
    let relay = Relay::start(&[("SMTP_MAX_MESSAGE_SIZE", "100000")]);
    let mut client = relay.greeted().await;
    let hops = "received: x\r\n y\r\n".repeat(100);
    for (data, want) in [
        ("a\nb\r\n.\r\n".to_owned(), "550 5.5.2"),
        (format!("{}\n\r\n.\r\n", "x".repeat(200_000)), "550 5.5.2"),
        ("a\0b\r\n.\r\n".to_owned(), "554 5.6.0"),
        (format!("{}\r\n.\r\n", "x".repeat(99_998)), "250 2.0.0"),
        (format!("{}\r\n.\r\n", "x".repeat(99_999)), "552 5.3.4"),
        (format!("{hops}\r\nx\r\n.\r\n"), "554 5.4.6"),
        (format!("{}\r\nx\r\n.\r\n", &hops[17..]), "250 2.0.0"),
        (".\r\n".to_owned(), "250 2.0.0"),
    ] {
        let reply = client.send(&data).await;
        assert!(reply.starts_with(want), "{reply} instead of {want}");
        client.say("RCPT TO:<b@dest.test>\r\n").await;
        client.expect(&["503 5.5.1"]).await;
        client.expect_in_sync().await;
    }
    assert_eq!(relay.queued().await.len(), 3);
}

#[tokio::test]
async fn only_the_end_of_the_data_queues() {
    // W-5.13, W-5.14
    let relay = Relay::start(&[]);
    for data in ["", "x\r\n", "x\r\n.", "x\r\n.\r"] {
        let mut client = relay.greeted().await;
        client.say(format!("{GROUP}{data}")).await;
        client.expect(&["250 2.1.0", "250 2.1.5", "354"]).await;
        client.stream.shutdown().await.unwrap();
        client.expect_end().await;
    }
    assert!(relay.queued().await.is_empty());
    let mut client = relay.greeted().await;
    client.say(format!("{GROUP}x\r\n.\r\n")).await;
    client.stream.shutdown().await.unwrap();
    client
        .expect(&["250 2.1.0", "250 2.1.5", "354", "250 2.0.0"])
        .await;
    client.expect_end().await;
    assert_eq!(relay.queued().await.len(), 1);
}

#[tokio::test]
async fn a_large_message_arrives_unchanged() {
    // W-5.09
    let relay = Relay::start(&[]);
    let mut client = relay.greeted().await;
    let body = format!("{}\r\n{}", "y".repeat(1 << 20), ".line\r\n".repeat(10_000));
    let data = format!("A: b\r\n\r\n{}.\r\n", body.replace("\r\n.", "\r\n.."));
    assert!(client.send(&data).await.starts_with("250 2.0.0"));
    assert!(
        relay.queued().await[0]
            .2
            .ends_with(&format!("A: b\r\n\r\n{body}"))
    );
    client.expect_in_sync().await;
}

#[tokio::test]
async fn silence_is_told_and_ended() {
    // W-12.01, W-12.02
    let relay = Relay::start(&[("SMTP_COMMAND_TIMEOUT", "1s"), ("SMTP_DATA_TIMEOUT", "1s")]);
    let mut client = relay.greeted().await;
    client.expect(&["421 4.4.2"]).await;
    client.expect_end().await;
    let mut client = relay.greeted().await;
    client.say(format!("{GROUP}x\r\n")).await;
    client
        .expect(&["250 2.1.0", "250 2.1.5", "354", "421 4.4.2"])
        .await;
    client.expect_end().await;
    let mut client = relay.greeted().await;
    let (mut reading, mut writing) = client.stream.split();
    let trickle = async {
        for octet in b"NOOP".iter().cycle() {
            tokio::time::sleep(Duration::from_millis(100)).await;
            if writing.write_all(&[*octet]).await.is_err() {
                break;
            }
        }
    };
    let mut seen = [0; 9];
    tokio::select! {
        read = timeout(PATIENCE, reading.read_exact(&mut seen)) => { read.unwrap().unwrap(); }
        () = trickle => {}
    }
    assert_eq!(&seen, b"421 4.4.2");
    assert!(relay.queued().await.is_empty());
}

#[tokio::test]
async fn shutdown_ends_idle_sessions_and_lets_transactions_finish() {
    // W-1.11
    let relay = Relay::start(&[]);
    let mut idle = relay.greeted().await;
    let mut busy = relay.greeted().await;
    busy.say(format!("{GROUP}x\r\n")).await;
    busy.expect(&["250 2.1.0", "250 2.1.5", "354"]).await;
    let mut between = relay.greeted().await;
    between.say("MAIL FROM:<>\r\n").await;
    between.expect(&["250 2.1.0"]).await;
    relay.shutdown.cancel();
    idle.expect(&["421 4.3.2"]).await;
    idle.expect_end().await;
    assert!(TcpStream::connect(relay.address).await.is_err());
    busy.say(".\r\n").await;
    busy.expect(&["250 2.0.0", "421 4.3.2"]).await;
    busy.expect_end().await;
    between.say("RCPT TO:<b@dest.test>\r\nRSET\r\n").await;
    between
        .expect(&["250 2.1.5", "250 2.0.0", "421 4.3.2"])
        .await;
    between.expect_end().await;
    drop((idle, busy, between));
    timeout(PATIENCE, relay.serving).await.unwrap().unwrap();
}

#[tokio::test]
async fn caps_are_told_instead_of_a_greeting() {
    // W-1.12
    let relay = Relay::start(&[
        ("SMTP_MAX_CONNECTIONS", "2"),
        ("SMTP_MAX_CONNECTIONS_PER_CLIENT", "1"),
    ]);
    let first = relay.greeted().await;
    let mut second = relay.connect().await;
    second.expect(&["421 4.7.0"]).await;
    second.expect_end().await;
    drop(first);
    drop(second);
    let greeted = async {
        loop {
            let mut client = relay.connect().await;
            if client.reply().await.starts_with("220 ") {
                break;
            }
        }
    };
    timeout(PATIENCE, greeted).await.unwrap();
}

#[tokio::test]
async fn what_is_no_smtp_is_sent_away() {
    // W-1.09, W-1.10, W-2.17, W-2.25
    let relay = Relay::start(&[]);
    for (octets, want) in [
        (&b"GET / HTTP/1.1\r\nNOOP\r\n"[..], "500 5.5.2"),
        (b"\x16\x03\x01\x02\x00\x01\x00", "500 5.5.2"),
        (b"QUIT\r\nNOOP\r\n", "221 2.0.0"),
        (&b"x".repeat(200_000), "500 5.5.2"),
    ] {
        let mut client = relay.connect().await;
        client.reply().await;
        client.say(octets).await;
        client.expect(&[want]).await;
        client.expect_end().await;
    }
}

#[tokio::test]
async fn replies_wait_for_a_slow_reader_in_order() {
    // W-7.05, W-2.23
    let relay = Relay::start(&[]);
    let client = relay.greeted().await;
    let (mut reading, mut writing) = client.stream.into_split();
    let count = 200_000;
    let ask = tokio::spawn(async move {
        writing
            .write_all("NOOP\r\n".repeat(count).as_bytes())
            .await
            .unwrap();
        writing
    });
    let want = "250 2.0.0 ok\r\n".repeat(count);
    let mut seen = vec![0; want.len()];
    timeout(PATIENCE, reading.read_exact(&mut seen))
        .await
        .unwrap()
        .unwrap();
    assert!(seen == want.as_bytes());
    drop(ask.await.unwrap());
}
