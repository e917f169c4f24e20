//! How answers look: complaints, and lists as JSON Lines that are made while they are read.

use axum::Json;
use axum::body::{Body, Bytes};
use axum::http::{HeaderValue, StatusCode, header::CONTENT_TYPE};
use axum::response::{IntoResponse, Response};
use futures_util::{Stream, StreamExt as _, stream};
use serde::Serialize;

use crate::admin::AdminError;
use crate::admin::api::Complaint;

/// Answers tell of a moment, and of addresses.
pub(super) const NO_STORE: HeaderValue = HeaderValue::from_static("no-store");
/// JSON Lines.
const JSON_LINES: HeaderValue = HeaderValue::from_static("application/x-ndjson");

/// An answer that is not 2xx.
pub(super) struct Refused {
    status: StatusCode,
    error: String,
}

impl Refused {
    pub(super) fn new(status: StatusCode, error: impl Into<String>) -> Refused {
        let error = error.into();
        Refused { status, error }
    }

    /// What was asked for can't be read.
    pub(super) fn malformed(error: impl Into<String>) -> Refused {
        Refused::new(StatusCode::BAD_REQUEST, error)
    }
}

impl From<AdminError> for Refused {
    fn from(error: AdminError) -> Refused {
        let status = match error {
            AdminError::NotFound(_) => StatusCode::NOT_FOUND,
            AdminError::Malformed(_) => StatusCode::BAD_REQUEST,
            AdminError::NotHere(_) => StatusCode::CONFLICT,
            AdminError::Invalid(_) => StatusCode::UNPROCESSABLE_ENTITY,
            AdminError::TooMany(_) => StatusCode::SERVICE_UNAVAILABLE,
            AdminError::Store(_) | AdminError::Commit(_) => StatusCode::INTERNAL_SERVER_ERROR,
        };
        Refused::new(status, error.to_string())
    }
}

impl IntoResponse for Refused {
    fn into_response(self) -> Response {
        let Refused { status, error } = self;
        (status, Json(Complaint { error })).into_response()
    }
}

/// One line for each item, as they come: what is sent together was ready together. An error before the
/// first of them is a complaint; after that the answer breaks off without its proper end, so that nobody
/// takes it for whole.
pub(super) async fn json_lines<T: Serialize + Send + 'static>(
    items: impl Stream<Item = Result<Vec<T>, AdminError>> + Send + 'static,
) -> Result<Response, Refused> {
    let mut items = Box::pin(items);
    let first = items.next().await.transpose()?;
    let items = stream::iter(first.map(Ok)).chain(items);
    let lines = items.map(|items| Ok::<Bytes, AdminError>(lines_of(&items?)));
    Ok(([(CONTENT_TYPE, JSON_LINES)], Body::from_stream(lines)).into_response())
}

fn lines_of<T: Serialize>(items: &[T]) -> Bytes {
    let mut lines = Vec::new();
    for item in items {
        // The API's types have no map with other keys than strings, and a Vec takes everything.
        serde_json::to_writer(&mut lines, item).expect("a type of the API is JSON");
        lines.push(b'\n');
    }
    lines.into()
}
