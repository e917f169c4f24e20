//! Just enough HTTP to ask the health server.

use std::collections::BTreeMap;
use std::panic::Location;
use std::time::Duration;

use serde_json::Value;
use tokio::io::{AsyncBufReadExt as _, AsyncReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::net::{TcpSocket, TcpStream};

use super::deadline::{Here, within};
use super::timeline::Timeline;

/// Longest answer that is read, in octets.
const ANSWER_OCTETS_MAX: u64 = 16 * 1024 * 1024;
/// From octet to octet.
const TRICKLE: Duration = Duration::from_millis(100);

/// An answer as it came.
#[derive(Clone, Debug)]
pub struct HttpAnswer {
    /// Status code.
    pub status: u16,
    /// Status line and header.
    pub head: String,
    /// What follows; what is no UTF-8 replaced.
    pub body: String,
}

impl HttpAnswer {
    /// A header field's value.
    pub fn field(&self, name: &str) -> Option<&str> {
        self.head.lines().find_map(|line| {
            let (field, value) = line.split_once(':')?;
            field.eq_ignore_ascii_case(name).then(|| value.trim())
        })
    }

    /// The series of Prometheus' text format with their labels, as `name{label="value"}`, and values.
    #[track_caller]
    pub fn series(&self) -> BTreeMap<String, f64> {
        let lines = self.body.lines().filter(|line| !line.starts_with('#'));
        let series = lines.map(|line| {
            let (series, value) = line.rsplit_once(' ').expect("series and value");
            (series.to_owned(), value.parse().expect("a number"))
        });
        series.collect()
    }

    /// The body as JSON.
    #[track_caller]
    pub fn json(&self) -> Value {
        serde_json::from_str(&self.body).unwrap_or_else(|_| panic!("no JSON: {self:?}"))
    }
}

/// An answer that goes on as long as somebody reads.
#[derive(Debug)]
pub struct Live {
    stream: BufReader<TcpStream>,
    timeline: Timeline,
}

impl Live {
    /// The next line without its end.
    #[track_caller]
    pub fn line(&mut self) -> impl Future<Output = String> {
        let here = Location::caller();
        async move {
            let line = within(here, || "a line of the stream".to_owned(), self.read()).await;
            line.unwrap_or_else(|| panic!("{here}: the stream has ended"))
        }
    }

    /// The next JSON object of JSON Lines.
    #[track_caller]
    pub fn event(&mut self) -> impl Future<Output = Value> {
        let here = Location::caller();
        async move {
            let line = within(here, || "an event".to_owned(), self.read()).await;
            let line = line.unwrap_or_else(|| panic!("{here}: the stream has ended"));
            serde_json::from_str(&line).unwrap_or_else(|_| panic!("{here}: no JSON: {line:?}"))
        }
    }

    /// Reads until the end, which must come.
    #[track_caller]
    pub fn ends(mut self) -> impl Future<Output = ()> {
        let here = Location::caller();
        async move {
            let rest = async { while self.read().await.is_some() {} };
            within(here, || "the end of the stream".to_owned(), rest).await;
        }
    }

    async fn read(&mut self) -> Option<String> {
        let mut line = Vec::new();
        match self.stream.read_until(b'\n', &mut line).await {
            Ok(1..) => {}
            Ok(0) | Err(_) => return None,
        }
        let line = String::from_utf8(line).expect("UTF-8");
        self.timeline.received("http", line.as_bytes());
        Some(line.trim_end_matches(['\r', '\n']).to_owned())
    }
}

/// Sends `request` as it is and reads until the server closes.
pub(super) async fn exchange(
    here: Here,
    timeline: &Timeline,
    address: String,
    request: &[u8],
) -> HttpAnswer {
    let what = || {
        let first = request.split(|&octet| octet == b'\r').next();
        String::from_utf8_lossy(first.unwrap_or_default()).into_owned()
    };
    let exchange = async {
        let mut stream = connect(&address).await;
        let (mut from, mut to) = stream.split();
        let mut answer = Vec::new();
        let mut limited = (&mut from).take(ANSWER_OCTETS_MAX);
        // It may answer before everything is sent, and reset what comes then.
        let (_, read) = tokio::join!(to.write_all(request), limited.read_to_end(&mut answer));
        if let Err(error) = read
            && answer.is_empty()
        {
            return Err(error);
        }
        std::io::Result::Ok(answer)
    };
    let answer = within(here, what, exchange).await;
    let answer = answer.unwrap_or_else(|error| panic!("{here}: {}: {error}", what()));
    timeline.received("http", &answer);
    let parsed = parse(&String::from_utf8_lossy(&answer));
    parsed.unwrap_or_else(|| panic!("{here}: {} got no HTTP answer", what()))
}

/// Sends an endless header, slowly, until the server closes.
pub(super) async fn trickle(here: Here, address: String) -> String {
    let exchange = async {
        let mut stream = connect(&address).await;
        let (mut from, mut to) = stream.split();
        let sending = async {
            let _ = to.write_all(b"GET /healthz HTTP/1.1\r\nX: ").await;
            while to.write_all(b"x").await.is_ok() {
                tokio::time::sleep(TRICKLE).await; // that is what slow means
            }
        };
        let mut said = Vec::new();
        tokio::select! {
            _ = from.read_to_end(&mut said) => {} // a reset ends it as well
            () = sending => {}
        }
        String::from_utf8_lossy(&said).into_owned()
    };
    within(here, || "the server to have enough".to_owned(), exchange).await
}

/// Asks for an endless answer and reads its header. `window`: how many octets the system may hold for
/// us, about.
pub(super) async fn live(
    here: Here,
    timeline: &Timeline,
    address: String,
    request: &str,
    window: Option<u32>,
) -> Live {
    let opened = async {
        let mut stream = match window {
            None => connect(&address).await,
            Some(window) => {
                drop(connect(&address).await); // it listens
                let socket = TcpSocket::new_v4().expect("a socket");
                socket.set_recv_buffer_size(window).expect("a size");
                let address = address.parse().expect("an address");
                socket.connect(address).await.expect("it listens")
            }
        };
        stream.write_all(request.as_bytes()).await.expect("written");
        let mut stream = BufReader::with_capacity(1024, stream);
        let mut head = String::new();
        while !head.ends_with("\r\n\r\n") {
            let read = stream.read_line(&mut head).await.expect("a header");
            assert_ne!(read, 0, "{here}: the stream ended in its header: {head}");
        }
        timeline.received("http", head.as_bytes());
        assert!(head.starts_with("HTTP/1.0 200"), "{here}: {head}");
        stream
    };
    let stream = within(here, || request.to_owned(), opened).await;
    Live {
        stream,
        timeline: timeline.clone(),
    }
}

/// The health server may be there a little later than the listener.
async fn connect(address: &str) -> TcpStream {
    loop {
        if let Ok(stream) = TcpStream::connect(address).await {
            return stream;
        }
        tokio::time::sleep(super::relay::READY_POLL).await; // nothing tells when a port opens
    }
}

fn parse(text: &str) -> Option<HttpAnswer> {
    let (head, body) = text.split_once("\r\n\r\n")?;
    let status = head.split(' ').nth(1)?.parse().ok()?;
    Some(HttpAnswer {
        status,
        head: head.to_owned(),
        body: body.to_owned(),
    })
}
