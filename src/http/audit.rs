//! `/audit`: what happens, as it happens: server-sent events for whoever asks for `text/event-stream`,
//! JSON Lines for all others. A reader that is slow is told how much it lost, and nobody waits for it.

use std::convert::Infallible;
use std::fmt::Write as _;
use std::sync::Arc;
use std::time::Duration;

use axum::body::Body;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse as _, Response};
use futures_util::Stream;
use futures_util::stream::unfold;
use tokio_util::sync::CancellationToken;

use crate::observe::{AUDIT_READERS_MAX, AuditReader, Heard};

use super::Shared;

/// Events that are there together are sent together, up to about so many bytes.
const PIECE_BYTES: usize = 32 * 1024;
/// A stream of server-sent events is never silent for longer, so that a proxy between keeps it open.
const SILENCE_MAX: Duration = Duration::from_secs(15);

/// How a stream is framed.
#[derive(Clone, Copy)]
enum Framing {
    Lines,
    ServerSent,
}

/// Live events until the reader goes away or the process ends.
pub(super) async fn audit(State(shared): State<Arc<Shared>>, headers: HeaderMap) -> Response {
    let Some(reader) = shared.pages.events.subscribe() else {
        let why = format!("{AUDIT_READERS_MAX} read along already\n");
        return (StatusCode::SERVICE_UNAVAILABLE, why).into_response();
    };
    let (framing, kind) = match wants_server_sent(&headers) {
        true => (Framing::ServerSent, "text/event-stream"),
        false => (Framing::Lines, "application/x-ndjson"),
    };
    let headers = [
        (header::CONTENT_TYPE, kind),
        (header::CACHE_CONTROL, "no-store"),
    ];
    let events = stream(framing, "", reader, shared.pages.shutdown.clone());
    (headers, Body::from_stream(events)).into_response()
}

/// JSON Lines behind `first`.
pub(super) fn lines(
    first: &str,
    reader: AuditReader,
    shutdown: CancellationToken,
) -> impl Stream<Item = Result<String, Infallible>> + use<> {
    stream(Framing::Lines, first, reader, shutdown)
}

fn stream(
    framing: Framing,
    first: &str,
    reader: AuditReader,
    shutdown: CancellationToken,
) -> impl Stream<Item = Result<String, Infallible>> + use<> {
    let first = Some(first.to_owned()).filter(|first| !first.is_empty());
    unfold((first, reader), move |(first, mut reader)| {
        let shutdown = shutdown.clone();
        async move {
            if let Some(first) = first {
                return Some((Ok(first), (None, reader)));
            }
            let mut piece = String::new();
            tokio::select! {
                biased;
                heard = reader.next() => framing.write(&heard?, &mut piece),
                () = shutdown.cancelled() => return None,
                () = tokio::time::sleep(SILENCE_MAX), if framing.is_server_sent() => {
                    piece.push_str(":\n\n");
                }
            }
            while piece.len() < PIECE_BYTES
                && let Some(heard) = reader.at_once()
            {
                framing.write(&heard, &mut piece);
            }
            Some((Ok(piece), (None, reader)))
        }
    })
}

impl Framing {
    fn is_server_sent(self) -> bool {
        matches!(self, Framing::ServerSent)
    }

    /// An event is JSON without a line end, so that it is one line here and one `data` there.
    fn write(self, heard: &Heard, into: &mut String) {
        let (before, after) = match self {
            Framing::Lines => ("", "\n"),
            Framing::ServerSent => ("data: ", "\n\n"),
        };
        into.push_str(before);
        match heard {
            Heard::Event(event) => into.push_str(event),
            Heard::Lost(count) => {
                // A String takes everything.
                let _ = write!(into, r#"{{"event":"lost","count":{count}}}"#);
            }
        }
        into.push_str(after);
    }
}

fn wants_server_sent(headers: &HeaderMap) -> bool {
    let accepted = headers.get_all(header::ACCEPT).iter();
    let mut texts = accepted.filter_map(|value| value.to_str().ok());
    texts.any(|text| text.contains("text/event-stream"))
}
