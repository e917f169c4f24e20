//! Remote hosts and a name server on loopback, for this room's tests only.

use std::net::{IpAddr, SocketAddr};
use std::sync::{Arc, Mutex};

use bytes::Bytes;
use hickory_resolver::proto::op::{Message as DnsMessage, ResponseCode};
use hickory_resolver::proto::rr::rdata::{A, AAAA, CNAME, MX};
use hickory_resolver::proto::rr::{Name, RData, Record, RecordType};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, UdpSocket};
use tokio_rustls::TlsAcceptor;

use crate::mail::Message;
use crate::store::ReadError;

use super::bodies::{Bodies, Pieces};
use super::wire::Duplex;

/// What a name server says to one question.
#[derive(Clone)]
pub(super) enum Says {
    Records(Vec<RData>),
    /// More records than fit into a datagram: sent over TCP only.
    Large(Vec<RData>),
    Code(ResponseCode),
    /// No such record, without SOA.
    Nothing,
    /// No answer at all.
    Silence,
}

pub(super) fn a(text: &str) -> RData {
    RData::A(A(text.parse().unwrap()))
}

pub(super) fn aaaa(text: &str) -> RData {
    RData::AAAA(AAAA(text.parse().unwrap()))
}

pub(super) fn mx(preference: u16, exchange: &str) -> RData {
    RData::MX(MX::new(preference, Name::from_ascii(exchange).unwrap()))
}

pub(super) fn cname(target: &str) -> RData {
    RData::CNAME(CNAME(Name::from_ascii(target).unwrap()))
}

/// A name server; `zone` answers. Gives its address and the questions it was asked.
pub(super) async fn name_server(
    zone: impl Fn(&str, RecordType) -> Says + Clone + Send + 'static,
) -> (SocketAddr, Log) {
    let (udp, tcp) = loop {
        let udp = UdpSocket::bind("127.0.0.1:0").await.unwrap();
        if let Ok(tcp) = TcpListener::bind(udp.local_addr().unwrap()).await {
            break (udp, tcp);
        }
    };
    let address = udp.local_addr().unwrap();
    let log = Log::default();
    let (udp_log, udp_zone) = (log.clone(), zone.clone());
    tokio::spawn(async move {
        let mut buffer = [0; 1500];
        loop {
            let (len, from) = udp.recv_from(&mut buffer).await.unwrap();
            if let Some(answer) = dns_answer(&buffer[..len], &udp_zone, &udp_log, true) {
                udp.send_to(&answer, from).await.unwrap();
            }
        }
    });
    let tcp_log = log.clone();
    tokio::spawn(async move {
        loop {
            let (mut peer, _) = tcp.accept().await.unwrap();
            while let Ok(len) = peer.read_u16().await {
                let mut question = vec![0; len.into()];
                peer.read_exact(&mut question).await.unwrap();
                let answer = dns_answer(&question, &zone, &tcp_log, false).unwrap();
                peer.write_u16(answer.len().try_into().unwrap())
                    .await
                    .unwrap();
                peer.write_all(&answer).await.unwrap();
            }
        }
    });
    (address, log)
}

fn dns_answer(
    question: &[u8],
    zone: &impl Fn(&str, RecordType) -> Says,
    log: &Log,
    is_udp: bool,
) -> Option<Vec<u8>> {
    let mut message = DnsMessage::from_vec(question).unwrap().into_response();
    let query = message.queries[0].clone();
    let name = query.name().to_ascii().to_lowercase();
    log.add(format!("{name} {}", query.query_type()));
    let records = match zone(&name, query.query_type()) {
        Says::Silence => return None,
        Says::Large(_) if is_udp => {
            message.metadata.truncation = true;
            vec![]
        }
        Says::Records(records) | Says::Large(records) => records,
        Says::Nothing => vec![],
        Says::Code(code) => {
            message.metadata.response_code = code;
            vec![]
        }
    };
    for data in records {
        message.add_answer(Record::from_rdata(query.name().clone(), 60, data));
    }
    Some(message.to_vec().unwrap())
}

/// Lines that were seen, in order.
#[derive(Clone, Default)]
pub(super) struct Log(Arc<Mutex<Vec<String>>>);

impl Log {
    fn add(&self, line: String) {
        self.0.lock().unwrap().push(line);
    }

    pub(super) fn lines(&self) -> Vec<String> {
        self.0.lock().unwrap().clone()
    }
}

/// How a scripted host answers: one entry for the greeting and each command after it. `⏎` in a text
/// ends a line. When the script is over, everything is `250`, DATA is `354` and QUIT is `221`.
#[derive(Clone, Copy)]
pub(super) enum Act {
    Say(&'static str),
    /// Says this and closes.
    SayAndClose(&'static str),
    /// Closes without a word.
    Close,
    /// Says nothing more.
    Hang,
    /// Says this and goes over to TLS.
    Tls(&'static str),
}

/// A host that plays its script to every connection. Gives the lines it was sent; a message is one
/// line, `<...>`, as it was on the wire.
pub(super) fn host(
    listener: TcpListener,
    script: &'static [Act],
    tls: Option<TlsAcceptor>,
) -> (SocketAddr, Log) {
    let address = listener.local_addr().unwrap();
    let log = Log::default();
    let lines = log.clone();
    tokio::spawn(async move {
        loop {
            let (peer, _) = listener.accept().await.unwrap();
            peer.set_nodelay(true).unwrap(); // what was said goes out before a close
            let (log, tls) = (log.clone(), tls.clone());
            tokio::spawn(async move {
                log.add("(connected)".to_owned());
                let _ = play(Box::new(peer), script, tls, &log).await;
            });
        }
    });
    (address, lines)
}

async fn play(
    mut peer: Box<dyn Duplex>,
    script: &[Act],
    tls: Option<TlsAcceptor>,
    log: &Log,
) -> std::io::Result<()> {
    let mut script = script.iter().copied();
    let mut input = Vec::new();
    let mut command = String::new();
    loop {
        let usual = match command.as_str() {
            "DATA" => Act::Say("354 go"),
            "QUIT" => Act::SayAndClose("221 bye"),
            "" => Act::Say("220 mx.test"),
            _ => Act::Say("250 ok"),
        };
        let (text, act) = match script.next().unwrap_or(usual) {
            Act::Hang => std::future::pending().await,
            Act::Close => return Ok(()),
            act @ (Act::Say(text) | Act::SayAndClose(text) | Act::Tls(text)) => (text, act),
        };
        let wire = text.replace('⏎', "\r\n") + "\r\n";
        peer.write_all(wire.as_bytes()).await?;
        match act {
            Act::SayAndClose(_) => return Ok(()),
            Act::Tls(_) => {
                input.clear();
                let acceptor = tls.clone().expect("a host that speaks TLS");
                peer = Box::new(acceptor.accept(peer).await?);
                log.add("(tls)".to_owned());
            }
            Act::Say(_) | Act::Close | Act::Hang => {}
        }
        let in_message = text.starts_with('3');
        let end: &[u8] = if in_message { b"\r\n.\r\n" } else { b"\r\n" };
        let at = loop {
            // An empty message is its end mark alone.
            if in_message && input.starts_with(b".\r\n") {
                break 3;
            }
            if let Some(at) = memchr::memmem::find(&input, end) {
                break at + end.len();
            }
            if peer.read_buf(&mut input).await? == 0 {
                if !input.is_empty() {
                    log.add(format!("(broken off after {} octets)", input.len()));
                }
                return Ok(());
            }
        };
        let taken: Vec<u8> = input.drain(..at).collect();
        let taken = String::from_utf8_lossy(&taken).into_owned();
        command = if in_message {
            log.add(format!("<{}>", taken.replace("\r\n", "⏎")));
            "(message)".to_owned()
        } else {
            let line = taken.trim_end().to_owned();
            log.add(line.clone());
            line
        };
    }
}

/// Bodies in memory.
pub(super) struct TestBody {
    pub(super) octets: &'static [u8],
    /// What comes behind them.
    pub(super) end: Option<ReadError>,
}

pub(super) struct TestPieces(Vec<Result<Bytes, ReadError>>);

impl Bodies for TestBody {
    type Pieces = TestPieces;

    async fn open(&self, _: &Message) -> Result<TestPieces, ReadError> {
        let mut pieces: Vec<_> = self.end.clone().map(Err).into_iter().collect();
        pieces.extend(
            self.octets
                .chunks(7)
                .rev()
                .map(|piece| Ok(Bytes::from_static(piece))),
        );
        Ok(TestPieces(pieces))
    }
}

impl Pieces for TestPieces {
    async fn next(&mut self) -> Result<Option<Bytes>, ReadError> {
        self.0.pop().transpose()
    }
}

/// A listener at 127.0.0.1, on a free port.
pub(super) async fn listener() -> TcpListener {
    let [listener] = listeners([1]).await;
    listener
}

/// Listeners at 127.0.0.x for each of these, all on one free port.
pub(super) async fn listeners<const N: usize>(lasts: [u8; N]) -> [TcpListener; N] {
    'port: loop {
        let mut bound = Vec::new();
        let mut port = 0;
        for last in lasts {
            let address = SocketAddr::new(IpAddr::from([127, 0, 0, last]), port);
            let Ok(listener) = TcpListener::bind(address).await else {
                continue 'port; // taken by another test
            };
            port = listener.local_addr().unwrap().port();
            bound.push(listener);
        }
        return bound.try_into().unwrap();
    }
}
