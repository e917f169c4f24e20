//! `/healthz`: whether the process does its work. `/readyz`: whether mail should be sent here now.

use std::sync::Arc;
use std::sync::atomic::{AtomicU8, Ordering};

use axum::body::Body;
use axum::extract::State;
use axum::http::{HeaderMap, Method, StatusCode, header};
use axum::response::{IntoResponse as _, Response};
use axum::{Extension, Json};
use serde::Serialize;

use crate::store::CommitError;

use super::server::Peer;
use super::{Shared, audit, metrics};

/// How far the life of the process has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Phase {
    /// Not everything is there yet.
    Starting,
    /// Mail is accepted and delivered.
    Serving,
    /// What runs may end, and nothing new is begun.
    Draining,
}

/// The phase, as everybody sees it. Cheap to clone.
#[derive(Clone, Debug, Default)]
pub struct Phases(Arc<AtomicU8>);

impl Phases {
    /// The next phase begins.
    pub fn begin(&self, phase: Phase) {
        self.0.store(phase as u8, Ordering::Relaxed);
    }

    /// The phase of now.
    #[must_use]
    pub fn now(&self) -> Phase {
        match self.0.load(Ordering::Relaxed) {
            0 => Phase::Starting,
            1 => Phase::Serving,
            _ => Phase::Draining,
        }
    }
}

/// What was looked at for `/readyz`, each `ok` or what is wrong.
#[derive(Serialize)]
struct Readiness {
    ready: bool,
    checks: Checks,
}

#[derive(Serialize)]
struct Checks {
    /// Whether mail is accepted at all in this phase.
    listener: String,
    /// Whether changes become durable.
    store: String,
    /// Whether there is space.
    disk: String,
}

/// Alive: `OK`, or 503 and what is wrong with the store. Under `SMTP_DEBUG` the live events follow, for
/// those who may see them.
pub(super) async fn healthz(
    State(shared): State<Arc<Shared>>,
    peer: Option<Extension<Peer>>,
    method: Method,
) -> Response {
    if let Some(why) = shared.pages.store.refuses_mail() {
        return plain(StatusCode::SERVICE_UNAVAILABLE, format!("{why}\n"));
    }
    let peer = peer.as_ref().map(|Extension(peer)| peer);
    let goes_on = shared.pages.debug && method == Method::GET && shared.visitors.may_see_all(peer);
    match goes_on.then(|| shared.pages.events.subscribe()).flatten() {
        Some(reader) => {
            let lines = audit::lines("OK\n", reader, shared.pages.shutdown.clone());
            plain(StatusCode::OK, Body::from_stream(lines))
        }
        None => plain(StatusCode::OK, "OK\n"),
    }
}

/// Ready: 200 while clients get their mail accepted, else 503; with `Accept: application/json` each
/// check by itself.
pub(super) async fn readyz(State(shared): State<Arc<Shared>>, headers: HeaderMap) -> Response {
    let readiness = shared.readiness();
    let status = match readiness.ready {
        true => StatusCode::OK,
        false => StatusCode::SERVICE_UNAVAILABLE,
    };
    if metrics::wants_json(&headers) {
        return (status, no_store(), Json(readiness)).into_response();
    }
    let Checks {
        listener,
        store,
        disk,
    } = &readiness.checks;
    plain(
        status,
        format!("listener: {listener}\nstore: {store}\ndisk: {disk}\n"),
    )
}

impl Shared {
    fn readiness(&self) -> Readiness {
        let ok = || "ok".to_owned();
        let phase = self.pages.phases.now();
        let refuses = self.pages.store.refuses_mail();
        let ready = phase == Phase::Serving && refuses.is_none();
        let (store, disk) = match &refuses {
            None => (ok(), ok()),
            Some(full @ CommitError::DiskFull) => (ok(), full.to_string()),
            Some(failed @ (CommitError::Failed(_) | CommitError::Closed)) => {
                (failed.to_string(), ok())
            }
        };
        let listener = match phase {
            Phase::Starting => "starting".to_owned(),
            Phase::Serving => ok(),
            Phase::Draining => "draining".to_owned(),
        };
        Readiness {
            ready,
            checks: Checks {
                listener,
                store,
                disk,
            },
        }
    }

    /// Whether a client would get its mail accepted.
    pub(super) fn is_ready(&self) -> bool {
        self.readiness().ready
    }
}

fn no_store() -> [(header::HeaderName, &'static str); 1] {
    [(header::CACHE_CONTROL, "no-store")]
}

fn plain(status: StatusCode, body: impl Into<Body>) -> Response {
    let kind = [(header::CONTENT_TYPE, "text/plain; charset=utf-8")];
    (status, kind, no_store(), body.into()).into_response()
}
