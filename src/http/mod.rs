//! HTTP: `/healthz` answers `OK` while mail can be taken; the control socket answers the operator's
//! commands. Mail goes on without this room: a port that can't be bound is told and no more.

mod api;
mod control;
mod server;

pub use api::{EXPLAIN, api_router};
pub use control::serve_control;

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::extract::{DefaultBodyLimit, State};
use axum::http::{HeaderName, HeaderValue, StatusCode, header};
use axum::response::IntoResponse;
use axum::routing::get;
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

use crate::observe::{Events, ProcessEvent};

/// Says why the relay is not healthy, or `None`. Must not wait.
pub type HealthCheck = Arc<dyn Fn() -> Option<String> + Send + Sync>;

/// Longest request body read, in bytes: none of our pages takes one.
const BODY_BYTES_MAX: usize = 1_024;
/// How long open connections may finish their answers when the process ends.
const DRAIN: Duration = Duration::from_secs(1);

/// Serves health on `address` until `shutdown`.
pub async fn serve(
    address: SocketAddr,
    check: HealthCheck,
    events: Events,
    shutdown: CancellationToken,
) {
    let listener = match TcpListener::bind(address).await {
        Ok(listener) => listener,
        Err(error) => {
            let error = format!("{error}; set SMTP_HEALTH_ADDR, or SMTP_HEALTH_DISABLE=true");
            events.emit(ProcessEvent::NotListening {
                address,
                what: "health",
                error: &error,
            });
            return;
        }
    };
    let bound = listener.local_addr().unwrap_or(address);
    events.emit(ProcessEvent::Listening {
        address: bound,
        what: "health",
    });
    let stopped = shutdown.clone().cancelled_owned();
    let served = axum::serve(listener, router(check)).with_graceful_shutdown(stopped);
    tokio::select! {
        result = served => if let Err(error) = result {
            let error = error.to_string();
            events.emit(ProcessEvent::NotListening { address: bound, what: "health", error: &error });
        },
        () = async { shutdown.cancelled().await; tokio::time::sleep(DRAIN).await } => {}
    }
}

fn router(check: HealthCheck) -> Router {
    Router::new()
        .route("/healthz", get(healthz))
        .layer(DefaultBodyLimit::max(BODY_BYTES_MAX))
        .with_state(check)
}

async fn healthz(State(check): State<HealthCheck>) -> impl IntoResponse {
    let plain: [(HeaderName, HeaderValue); 2] = [
        (
            header::CONTENT_TYPE,
            HeaderValue::from_static("text/plain; charset=utf-8"),
        ),
        (header::CACHE_CONTROL, HeaderValue::from_static("no-store")),
    ];
    match check() {
        None => (StatusCode::OK, plain, "OK\n".to_owned()),
        Some(why) => (StatusCode::SERVICE_UNAVAILABLE, plain, format!("{why}\n")),
    }
}
