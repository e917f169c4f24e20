//! Just enough HTTP to ask the health server.

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

use super::deadline::{Here, within};
use super::timeline::Timeline;

/// Longest answer that is read, in octets.
const ANSWER_OCTETS_MAX: u64 = 16 * 1024 * 1024;

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

pub(super) async fn get(
    here: Here,
    timeline: &Timeline,
    address: String,
    path: &str,
) -> HttpAnswer {
    let request = format!("GET {path} HTTP/1.1\r\nHost: relay\r\nConnection: close\r\n\r\n");
    let exchange = async {
        let mut stream = TcpStream::connect(&address).await?;
        stream.write_all(request.as_bytes()).await?;
        let mut answer = Vec::new();
        let mut limited = stream.take(ANSWER_OCTETS_MAX);
        limited.read_to_end(&mut answer).await?;
        std::io::Result::Ok(answer)
    };
    let answer = within(here, || format!("GET {path}"), exchange).await;
    let answer = answer.unwrap_or_else(|error| panic!("{here}: GET {path}: {error}"));
    timeline.received("http", &answer);
    let parsed = parse(&String::from_utf8_lossy(&answer));
    parsed.unwrap_or_else(|| panic!("{here}: GET {path} got no HTTP answer"))
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
