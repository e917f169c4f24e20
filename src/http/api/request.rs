//! How requests are read: bounded in size and in time.

use std::time::Duration;

use axum::body::{Body, Bytes, to_bytes};
use axum::extract::{FromRequest, FromRequestParts, Path, Request};
use axum::http::StatusCode;
use axum::http::request::Parts;
use futures_util::{Stream, StreamExt as _, stream};
use hyper::body::Body as _;
use serde::de::DeserializeOwned;

use crate::admin::Admin;
use crate::mail::QueueId;

use super::answer::Refused;

/// Longest body that is read whole, in bytes.
const BODY_BYTES_MAX: usize = 64 * 1024;
/// How long a client may take to send such a body.
const BODY_TIMEOUT: Duration = Duration::from_secs(10);
/// Longest line in front of octets, in bytes: an envelope with many recipients.
const FIRST_LINE_BYTES_MAX: usize = 16 * 1024 * 1024;
/// How long a client may take for the next piece of a body that is read in pieces.
const PIECE_TIMEOUT: Duration = Duration::from_secs(30);

/// A query without unknown fields.
pub(super) struct Query<T>(pub(super) T);

impl<T: DeserializeOwned> FromRequestParts<Admin> for Query<T> {
    type Rejection = Refused;

    async fn from_request_parts(parts: &mut Parts, _: &Admin) -> Result<Query<T>, Refused> {
        let query = axum::extract::Query::try_from_uri(&parts.uri);
        let axum::extract::Query(query) =
            query.map_err(|error| Refused::malformed(error.body_text()))?;
        Ok(Query(query))
    }
}

/// A JSON body.
pub(super) struct Json<T>(pub(super) T);

impl<T: DeserializeOwned> FromRequest<Admin> for Json<T> {
    type Rejection = Refused;

    async fn from_request(request: Request, _: &Admin) -> Result<Json<T>, Refused> {
        let octets = small_body(request.into_body()).await?;
        serde_json::from_slice(&octets)
            .map(Json)
            .map_err(|error| Refused::malformed(format!("the body: {error}")))
    }
}

/// The whole of a small body.
async fn small_body(body: Body) -> Result<Bytes, Refused> {
    let too_large = || {
        Refused::new(
            StatusCode::PAYLOAD_TOO_LARGE,
            format!("a body has at most {BODY_BYTES_MAX} bytes"),
        )
    };
    if body.size_hint().lower() > BODY_BYTES_MAX as u64 {
        return Err(too_large());
    }
    match tokio::time::timeout(BODY_TIMEOUT, to_bytes(body, BODY_BYTES_MAX)).await {
        Ok(Ok(octets)) => Ok(octets),
        Ok(Err(_)) => Err(too_large()), // or the client is gone, and reads nothing anyway
        Err(_elapsed) => Err(Refused::new(
            StatusCode::REQUEST_TIMEOUT,
            "the body did not come in time",
        )),
    }
}

/// The message that a path names.
pub(super) struct Id(pub(super) QueueId);

impl FromRequestParts<Admin> for Id {
    type Rejection = Refused;

    async fn from_request_parts(parts: &mut Parts, admin: &Admin) -> Result<Id, Refused> {
        let Path(text) = Path::<String>::from_request_parts(parts, admin)
            .await
            .map_err(|error| Refused::malformed(error.body_text()))?;
        // What is no id names nothing that is there.
        text.parse()
            .map(Id)
            .map_err(|error| Refused::new(StatusCode::NOT_FOUND, format!("{text:?}: {error}")))
    }
}

/// A body that begins with a line of JSON, and goes on with octets.
pub(super) struct FirstLine<T, S> {
    pub(super) value: T,
    /// Ends with an error if they don't come in time, or not to the end.
    pub(super) rest: S,
}

/// The octets behind the first line.
pub(super) type Rest = std::pin::Pin<Box<dyn Stream<Item = Result<Bytes, String>> + Send>>;

impl<T: DeserializeOwned> FirstLine<T, Rest> {
    pub(super) async fn read(body: Body) -> Result<FirstLine<T, Rest>, Refused> {
        let mut pieces = Box::pin(in_time(body));
        let mut line = Vec::new();
        let end = loop {
            if let Some(end) = memchr::memchr(b'\n', &line) {
                break end;
            }
            if line.len() > FIRST_LINE_BYTES_MAX {
                let error = format!("the first line has at most {FIRST_LINE_BYTES_MAX} bytes");
                return Err(Refused::new(StatusCode::PAYLOAD_TOO_LARGE, error));
            }
            match pieces.next().await {
                Some(Ok(piece)) => line.extend_from_slice(&piece),
                Some(Err(error)) => return Err(Refused::malformed(error)),
                None => return Err(Refused::malformed("the body has no line of JSON")),
            }
        };
        let value = serde_json::from_slice(&line[..end])
            .map_err(|error| Refused::malformed(format!("the first line: {error}")))?;
        let behind = Bytes::from(line).slice(end + 1..);
        let rest = Box::pin(stream::iter([Ok(behind)]).chain(pieces));
        Ok(FirstLine { value, rest })
    }
}

/// A body's pieces, each of which must come in time.
fn in_time(body: Body) -> impl Stream<Item = Result<Bytes, String>> + Send {
    stream::unfold(Some(body.into_data_stream()), |pieces| async {
        let mut pieces = pieces?;
        match tokio::time::timeout(PIECE_TIMEOUT, pieces.next()).await {
            Ok(None) => None,
            Ok(Some(Ok(piece))) => Some((Ok(piece), Some(pieces))),
            Ok(Some(Err(error))) => Some((Err(format!("the body broke off: {error}")), None)),
            Err(_elapsed) => Some((Err("the body did not come in time".to_owned()), None)),
        }
    })
}
