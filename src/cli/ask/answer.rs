//! An answer as it comes: whole, in lines or in pieces, each bounded in size and in waiting.

use std::time::Duration;

use axum::body::{Body, Bytes};
use http_body_util::BodyExt as _;
use hyper::{Response, StatusCode};
use serde::de::DeserializeOwned;
use tokio::task::JoinHandle;

use crate::admin::api::Complaint;
use crate::cli::ending::CommandError;
use crate::observe::is_deceptive;

use super::SILENCE_MAX;

/// Longest answer that is taken as a whole, in bytes.
const WHOLE_BYTES_MAX: usize = 64 * 1024 * 1024;
/// Longest line of an answer, in bytes.
const LINE_BYTES_MAX: usize = 16 * 1024 * 1024;
/// What is read of a refusal, in bytes.
const REFUSAL_BYTES_MAX: usize = 64 * 1024;

/// What came back. Dropping it ends what is done for it.
pub(in crate::cli) struct Answer {
    status: StatusCode,
    body: Body,
    /// Came, but was not taken yet.
    waiting: Vec<u8>,
    /// How far `waiting` was searched for the end of a line.
    searched: usize,
    silence_max: Option<Duration>,
    _connection: Option<Connection>,
}

/// What carries the answer; ends with it.
pub(super) struct Connection(pub(super) JoinHandle<()>);

impl Drop for Connection {
    fn drop(&mut self) {
        self.0.abort();
    }
}

impl Answer {
    pub(super) fn new(response: Response<Body>, connection: Option<Connection>) -> Answer {
        Answer {
            status: response.status(),
            body: response.into_body(),
            waiting: Vec::new(),
            searched: 0,
            silence_max: Some(SILENCE_MAX),
            _connection: connection,
        }
    }

    /// For streams in which nothing may happen for ever.
    pub(in crate::cli) fn however_silent(mut self) -> Answer {
        self.silence_max = None;
        self
    }

    /// Whether it is no refusal.
    pub(in crate::cli) fn is_good_news(&self) -> bool {
        self.status.is_success()
    }

    /// Itself, or what stands in the refusal.
    pub(super) async fn unless_refused(mut self) -> Result<Answer, CommandError> {
        if self.is_good_news() {
            return Ok(self);
        }
        let status = self.status;
        let refusal = self.read(REFUSAL_BYTES_MAX).await?;
        let complaint = serde_json::from_slice(&refusal).map_or_else(
            |_| format!("the answer is {status}; is the relay of another version?"),
            |Complaint { error }| error,
        );
        Err(match status {
            StatusCode::NOT_FOUND => CommandError::NotFound(complaint),
            StatusCode::BAD_REQUEST => CommandError::Usage(complaint),
            _ => CommandError::Failed(complaint),
        })
    }

    /// All of it, read as JSON.
    pub(in crate::cli) async fn json<T: DeserializeOwned>(mut self) -> Result<T, CommandError> {
        let whole = self.read(WHOLE_BYTES_MAX).await?;
        parse(&whole)
    }

    /// All of it, as it is.
    pub(in crate::cli) async fn text(mut self) -> Result<String, CommandError> {
        let whole = self.read(WHOLE_BYTES_MAX).await?;
        Ok(String::from_utf8_lossy(&whole).into_owned())
    }

    async fn read(&mut self, bytes_max: usize) -> Result<Vec<u8>, CommandError> {
        while let Some(piece) = self.next_piece().await? {
            if self.waiting.len() + piece.len() > bytes_max {
                return Err(CommandError::Failed(format!(
                    "the answer has more than {bytes_max} bytes"
                )));
            }
            self.waiting.extend_from_slice(&piece);
        }
        Ok(std::mem::take(&mut self.waiting))
    }

    /// The next line, without its end; `None`: that was the last. Cancel-safe.
    pub(in crate::cli) async fn line(&mut self) -> Result<Option<String>, CommandError> {
        loop {
            if let Some(at) = memchr::memchr(b'\n', &self.waiting[self.searched..]) {
                let behind = self.waiting.split_off(self.searched + at + 1);
                let mut line = std::mem::replace(&mut self.waiting, behind);
                self.searched = 0;
                line.pop();
                return Ok(Some(String::from_utf8_lossy(&line).into_owned()));
            }
            self.searched = self.waiting.len();
            if self.searched > LINE_BYTES_MAX {
                return Err(CommandError::Failed(format!(
                    "a line of the answer has more than {LINE_BYTES_MAX} bytes"
                )));
            }
            match self.next_piece().await? {
                Some(piece) => self.waiting.extend_from_slice(&piece),
                None if self.waiting.is_empty() => return Ok(None),
                None => {
                    self.searched = 0;
                    let line = std::mem::take(&mut self.waiting);
                    return Ok(Some(String::from_utf8_lossy(&line).into_owned()));
                }
            }
        }
    }

    /// The next line that is not empty, as it came and as what it means; `None`: that was the last.
    /// Cancel-safe.
    pub(in crate::cli) async fn entry<T: DeserializeOwned>(
        &mut self,
    ) -> Result<Option<(String, T)>, CommandError> {
        while let Some(line) = self.line().await? {
            if !line.is_empty() {
                let entry = parse(line.as_bytes())?;
                return Ok(Some((line, entry)));
            }
        }
        Ok(None)
    }

    /// The next octets; `None`: that was all. Cancel-safe.
    pub(in crate::cli) async fn next_piece(&mut self) -> Result<Option<Bytes>, CommandError> {
        loop {
            let frame = match self.silence_max {
                None => self.body.frame().await,
                Some(silence_max) => tokio::time::timeout(silence_max, self.body.frame())
                    .await
                    .map_err(|_elapsed| silent(silence_max))?,
            };
            match frame {
                None => return Ok(None),
                Some(Ok(frame)) => {
                    if let Ok(piece) = frame.into_data() {
                        return Ok(Some(piece));
                    }
                }
                Some(Err(error)) => {
                    return Err(CommandError::Lost(format!(
                        "the answer broke off ({error}): has the relay stopped?"
                    )));
                }
            }
        }
    }
}

pub(super) fn silent(waited: Duration) -> CommandError {
    CommandError::Lost(format!(
        "no answer for {} s: the relay hangs, its log may tell why",
        waited.as_secs()
    ))
}

/// What `json` means, or the complaint that stands in its place.
fn parse<T: DeserializeOwned>(json: &[u8]) -> Result<T, CommandError> {
    serde_json::from_slice(json).map_err(|error| match serde_json::from_slice(json) {
        Ok(Complaint { error }) => CommandError::Failed(error),
        Err(_) => CommandError::Failed(format!(
            "the answer can't be read ({error}): is the relay of another version?"
        )),
    })
}

/// A line of JSON for a terminal: what is deceptive, and can only stand in a string, is escaped as JSON
/// does it.
pub(in crate::cli) fn printable(json: &str) -> String {
    let mut printable = String::with_capacity(json.len());
    for character in json.chars() {
        if is_deceptive(character) {
            printable.push_str(&format!("\\u{:04x}", u32::from(character)));
        } else {
            printable.push(character);
        }
    }
    printable
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(pieces: &[&'static str]) -> Answer {
        let pieces: Vec<_> = pieces
            .iter()
            .map(|piece| std::io::Result::Ok(Bytes::from_static(piece.as_bytes())))
            .collect();
        let body = Body::from_stream(futures_util::stream::iter(pieces));
        Answer::new(Response::new(body), None)
    }

    #[tokio::test]
    async fn lines_are_put_together_from_any_pieces() {
        for pieces in [
            &["ab\nc\n\nde"][..],
            &["a", "b\nc", "\n", "\nd", "e"],
            &["ab\n", "c\n\n", "de"],
        ] {
            let mut answer = of(pieces);
            let mut lines = Vec::new();
            while let Some(line) = answer.line().await.unwrap() {
                lines.push(line);
            }
            assert_eq!(lines, ["ab", "c", "", "de"], "{pieces:?}");
        }
    }

    #[tokio::test]
    async fn a_complaint_in_the_place_of_an_entry_is_told() {
        let mut answer = of(&["1\n", "{\"error\":\"the disk is gone\"}\n"]);
        assert_eq!(answer.entry::<u32>().await.unwrap().unwrap().1, 1);
        let error = answer.entry::<u32>().await.unwrap_err();
        assert_eq!(error.to_string(), "the disk is gone");
    }

    #[test]
    fn json_for_a_terminal_means_the_same() {
        let value = serde_json::json!({"to": "a\u{9b}31m\u{202e}\u{7f}b\u{fc}@dest.test"});
        let line = printable(&value.to_string());
        assert!(!line.chars().any(is_deceptive), "{line:?}");
        assert!(line.contains('\u{fc}'));
        let read: serde_json::Value = serde_json::from_str(&line).unwrap();
        assert_eq!(read, value);
    }
}
