//! `/metrics` in Prometheus' text format, and the JSON of the relay's predecessor.

use std::sync::{Arc, PoisonError};
use std::time::Duration;

use axum::extract::State;
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse as _, Response};
use tokio::time::timeout;

use crate::mail::StateName;
use crate::observe::Gauges;
use crate::store::StoreSizes;

use super::Shared;

/// How long the file system may take to say how large things are.
const SIZES: Duration = Duration::from_millis(500);

/// Everything counted, for Prometheus; to `Accept: application/json` the same as [`vars`].
pub(super) async fn metrics(State(shared): State<Arc<Shared>>, headers: HeaderMap) -> Response {
    if wants_json(&headers) {
        return vars(State(shared)).await;
    }
    let gauges = shared.gauges().await;
    match shared.pages.events.metrics() {
        Some(metrics) => answer("text/plain; version=0.0.4", metrics.text(&gauges)),
        None => StatusCode::NOT_FOUND.into_response(),
    }
}

/// What the predecessor told of itself, by its names.
pub(super) async fn vars(State(shared): State<Arc<Shared>>) -> Response {
    let gauges = shared.gauges().await;
    match shared.pages.events.metrics() {
        Some(metrics) => answer("application/json", metrics.expvar(&gauges)),
        None => StatusCode::NOT_FOUND.into_response(),
    }
}

/// Whether a client names JSON among what it accepts.
pub(super) fn wants_json(headers: &HeaderMap) -> bool {
    let accepted = headers.get_all(header::ACCEPT).iter();
    let mut ranges = accepted
        .filter_map(|value| value.to_str().ok())
        .flat_map(|value| value.split(','));
    ranges.any(|range| {
        let kind = range.split(';').next().unwrap_or_default();
        kind.trim().eq_ignore_ascii_case("application/json")
    })
}

impl Shared {
    async fn gauges(&self) -> Gauges {
        let counts = self.pages.store.counts();
        let sizes = self.sizes().await;
        Gauges {
            messages: counts.messages,
            bytes: counts.bytes,
            recipients: counts.recipients,
            oldest: StateName::ALL.map(|state| self.pages.store.oldest(state)),
            store_bytes: sizes.database_bytes,
            disk_free_bytes: sizes.free_bytes,
            quarantined: sizes.quarantined,
            accepting: self.is_ready(),
        }
    }

    /// A disk that does not answer must not keep the other numbers back.
    async fn sizes(&self) -> StoreSizes {
        let store = self.pages.store.clone();
        let asked = tokio::task::spawn_blocking(move || store.sizes());
        let sizes = timeout(SIZES, asked).await;
        let mut last = self.sizes.lock().unwrap_or_else(PoisonError::into_inner);
        if let Ok(Ok(sizes)) = sizes {
            *last = sizes;
        }
        *last
    }
}

fn answer(kind: &'static str, body: String) -> Response {
    let headers = [
        (header::CONTENT_TYPE, kind),
        (header::CACHE_CONTROL, "no-store"),
    ];
    (headers, body).into_response()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(accept: &[&'static str], want: bool) {
        let mut headers = HeaderMap::new();
        for accept in accept {
            headers.append(header::ACCEPT, accept.parse().unwrap());
        }
        assert_eq!(wants_json(&headers), want, "{accept:?}");
    }

    #[test]
    fn json_is_given_to_whoever_names_it() {
        check(&[], false);
        check(&["*/*"], false);
        check(&["application/json"], true);
        check(&["text/html, Application/JSON;q=0.9"], true);
        check(&["text/html", "application/json"], true);
        check(&["application/json-seq"], false);
        // as Prometheus asks
        check(
            &[
                "application/openmetrics-text;version=1.0.0;q=0.6,text/plain;version=0.0.4;q=0.5,*/*;q=0.1",
            ],
            false,
        );
    }
}
