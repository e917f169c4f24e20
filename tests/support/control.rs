//! Talking to the control socket, as `curl --unix-socket` would.

use std::panic::Location;
use std::path::PathBuf;
use std::time::Duration;

use serde_json::Value;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::UnixStream;

use super::deadline::{Here, within};
use super::timeline::Timeline;

/// Longest answer that is read, in octets.
const ANSWER_OCTETS_MAX: u64 = 64 * 1024 * 1024;

/// Pause between two looks whether the socket is there already.
const CONNECT_POLL: Duration = Duration::from_millis(10);

/// A client of the control socket; each request has a connection of its own.
#[derive(Clone, Debug)]
pub struct Control {
    path: PathBuf,
    header: String,
    timeline: Timeline,
}

/// An answer, with its transfer coding taken off.
#[derive(Clone, Debug)]
pub struct ControlAnswer {
    pub status: u16,
    /// Status line and header.
    pub head: String,
    pub octets: Vec<u8>,
    /// Whether the body came to its proper end.
    pub whole: bool,
}

impl Control {
    pub(super) fn new(path: PathBuf, timeline: Timeline) -> Control {
        Control {
            path,
            header: String::new(),
            timeline,
        }
    }

    /// With a header field, such as who is spoken for.
    pub fn with(mut self, field: &str, value: &str) -> Control {
        self.header.push_str(&format!("{field}: {value}\r\n"));
        self
    }

    #[track_caller]
    pub fn get(&self, path: &str) -> impl Future<Output = ControlAnswer> {
        self.request("GET", path, Vec::new())
    }

    #[track_caller]
    pub fn post(&self, path: &str, json: Value) -> impl Future<Output = ControlAnswer> {
        self.request("POST", path, json.to_string().into_bytes())
    }

    #[track_caller]
    pub fn put(&self, path: &str, json: Value) -> impl Future<Output = ControlAnswer> {
        self.request("PUT", path, json.to_string().into_bytes())
    }

    #[track_caller]
    pub fn request(
        &self,
        method: &str,
        path: &str,
        body: Vec<u8>,
    ) -> impl Future<Output = ControlAnswer> {
        let here = Location::caller();
        let Control { header, .. } = self;
        let length = body.len();
        let mut octets = format!(
            "{method} {path} HTTP/1.1\r\nHost: relay\r\nConnection: close\r\n{header}Content-Length: {length}\r\n\r\n"
        )
        .into_bytes();
        octets.extend(body);
        let this = self.clone();
        async move { this.exchange(here, &octets).await }
    }

    /// Sends exactly these octets and reads until the relay closes.
    #[track_caller]
    pub fn send(&self, octets: &[u8]) -> impl Future<Output = ControlAnswer> {
        let here = Location::caller();
        let (this, octets) = (self.clone(), octets.to_vec());
        async move { this.exchange(here, &octets).await }
    }

    /// A connection, and nothing said.
    pub async fn connect(&self) -> UnixStream {
        within(
            Location::caller(),
            || "the control socket".to_owned(),
            self.connected(),
        )
        .await
    }

    /// It is there soon after the relay takes mail.
    async fn connected(&self) -> UnixStream {
        loop {
            match UnixStream::connect(&self.path).await {
                Ok(stream) => return stream,
                Err(_) => tokio::time::sleep(CONNECT_POLL).await, // nothing tells of a file
            }
        }
    }

    async fn exchange(&self, here: Here, request: &[u8]) -> ControlAnswer {
        let line = request.split(|octet| *octet == b'\n').next();
        let line = String::from_utf8_lossy(line.unwrap_or_default())
            .trim()
            .to_owned();
        self.timeline.note("control", &line);
        let mut answer = Vec::new();
        let talk = async {
            let (mut from, mut to) = self.connected().await.into_split();
            let write = to.write_all(request);
            let read = async {
                let mut limited = (&mut from).take(ANSWER_OCTETS_MAX);
                limited.read_to_end(&mut answer).await
            };
            // It may answer, and close, before it has read all.
            let (_, read) = tokio::join!(write, read);
            std::io::Result::Ok(read)
        };
        let done = within(here, || line.clone(), talk).await;
        if let Err(error) = done {
            panic!("{here}: {line}: {error}");
        }
        self.timeline.received("control", &answer);
        parse(&answer).unwrap_or_else(|| panic!("{here}: {line} got no HTTP answer"))
    }
}

impl ControlAnswer {
    /// Fails unless it has this status.
    #[track_caller]
    pub fn expect(self, status: u16) -> ControlAnswer {
        assert_eq!(self.status, status, "{}\n{}", self.head, self.text());
        self
    }

    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.octets).into_owned()
    }

    #[track_caller]
    pub fn json(&self) -> Value {
        serde_json::from_slice(&self.octets)
            .unwrap_or_else(|error| panic!("{error}: {}", self.text()))
    }

    /// JSON Lines that came whole.
    #[track_caller]
    pub fn lines(&self) -> Vec<Value> {
        assert!(self.whole, "it broke off: {}", self.text());
        let text = self.text();
        assert!(
            text.is_empty() || text.ends_with('\n'),
            "no whole line: {text}"
        );
        let lines = text.lines();
        lines
            .map(|line| serde_json::from_str(line).expect("a line of JSON"))
            .collect()
    }

    /// The last line of an answer to an order, as it was carried out.
    #[track_caller]
    pub fn done(self) -> Value {
        let lines = self.expect(200).lines();
        let last = lines.last().expect("an order has an answer");
        last["done"]
            .as_object()
            .unwrap_or_else(|| panic!("not done: {last}"));
        last["done"].clone()
    }

    /// What is wrong, which is one line of JSON.
    #[track_caller]
    pub fn complaint(self, status: u16) -> String {
        let answer = self.expect(status);
        let error = answer.json()["error"]
            .as_str()
            .expect("a complaint")
            .to_owned();
        assert_eq!(error.lines().count(), 1, "{error}");
        error
    }
}

fn parse(octets: &[u8]) -> Option<ControlAnswer> {
    let end = octets.windows(4).position(|four| four == b"\r\n\r\n")?;
    let head = String::from_utf8_lossy(&octets[..end]).into_owned();
    let status = head.split(' ').nth(1)?.parse().ok()?;
    let body = &octets[end + 4..];
    let lower = head.to_ascii_lowercase();
    let length = lower
        .lines()
        .find_map(|line| line.strip_prefix("content-length: "));
    let (octets, whole) = match length {
        Some(length) => (body.to_vec(), length.trim().parse() == Ok(body.len())),
        None if lower.contains("transfer-encoding: chunked") => dechunked(body),
        None => (body.to_vec(), true),
    };
    Some(ControlAnswer {
        status,
        head,
        octets,
        whole,
    })
}

/// What came, and whether its last chunk did.
fn dechunked(mut coded: &[u8]) -> (Vec<u8>, bool) {
    let mut octets = Vec::new();
    loop {
        let Some(end) = coded.windows(2).position(|two| two == b"\r\n") else {
            return (octets, false);
        };
        let size = std::str::from_utf8(&coded[..end]).ok();
        let Some(size) = size.and_then(|size| usize::from_str_radix(size, 16).ok()) else {
            return (octets, false);
        };
        let chunk = &coded[end + 2..];
        if size == 0 {
            return (octets, true);
        }
        if chunk.len() < size + 2 {
            octets.extend_from_slice(&chunk[..size.min(chunk.len())]);
            return (octets, false);
        }
        octets.extend_from_slice(&chunk[..size]);
        coded = &chunk[size + 2..];
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn chunks_are_put_together_and_a_missing_end_is_noticed() {
        assert_eq!(
            dechunked(b"3\r\nabc\r\na\r\n0123456789\r\n0\r\n\r\n"),
            (b"abc0123456789".to_vec(), true)
        );
        assert_eq!(dechunked(b"3\r\nabc\r\n"), (b"abc".to_vec(), false));
        assert_eq!(dechunked(b"9\r\nabc"), (b"abc".to_vec(), false));
    }
}
