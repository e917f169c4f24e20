//! HTTP: health, numbers for Prometheus and the live events, on the health port and on the control
//! socket; the control socket answers the operator's commands as well. Mail goes on without this room:
//! a port that can't be bound is told and no more.

mod api;
mod audit;
mod control;
mod health;
mod metrics;
mod server;
mod visitors;

pub use api::{EXPLAIN, api_router};
pub use control::ControlSocket;
pub use health::{Phase, Phases};

use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use axum::Router;
use axum::extract::DefaultBodyLimit;
use axum::middleware;
use axum::routing::get;
use ipnet::IpNet;
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

use crate::observe::{Events, ProcessEvent};
use crate::store::{Store, StoreSizes};

use server::{Bounds, serve_http};
use visitors::Visitors;

/// Longest request body read, in bytes: none of these pages takes one.
const BODY_BYTES_MAX: usize = 1_024;

/// What clients of the health port may use up. A reader of the live events may rest for a while.
const BOUNDS: Bounds = Bounds {
    connections: 256,
    header: Duration::from_secs(5),
    stall: Duration::from_secs(5 * 60),
};

/// What the pages tell of.
pub struct Pages {
    /// Whether mail can be taken, and how much there is.
    pub store: Store,
    /// Counted, and heard by those who read along.
    pub events: Events,
    /// How far the process has come.
    pub phases: Phases,
    /// `SMTP_DEBUG`: `/healthz` goes on with the live events.
    pub debug: bool,
    /// `SMTP_HEALTH_ALLOW_NETWORKS`
    pub allow_networks: Vec<IpNet>,
    /// Ends live streams.
    pub shutdown: CancellationToken,
}

/// [`Pages`] as their handlers share them.
struct Shared {
    pages: Pages,
    visitors: Visitors,
    /// As they were last, should the disk not answer.
    sizes: Mutex<StoreSizes>,
}

/// `/healthz`, `/readyz`, `/metrics`, `/debug/vars` and `/audit`, together with those of `others`, such as
/// [`api_router`]. Who is not of `SMTP_HEALTH_ALLOW_NETWORKS` gets nothing that shows an address or an id.
pub fn pages_router(pages: Pages, others: Router) -> Router {
    let visitors = Visitors::new(&pages.allow_networks);
    let guard = visitors.clone();
    let shared = Arc::new(Shared {
        pages,
        visitors,
        sizes: Mutex::default(),
    });
    Router::new()
        .route("/healthz", get(health::healthz))
        .route("/readyz", get(health::readyz))
        .route("/metrics", get(metrics::metrics))
        .route("/debug/vars", get(metrics::vars))
        .route("/audit", get(audit::audit))
        .layer(DefaultBodyLimit::max(BODY_BYTES_MAX))
        .with_state(shared)
        .merge(others)
        .layer(middleware::from_fn_with_state(guard, visitors::guard))
}

/// The health port, bound: from now on it may be called, and answers when it is served.
pub struct HealthPort(TcpListener);

impl HealthPort {
    /// Binds `address`. `None`: that failed, which is told.
    pub async fn bind(address: SocketAddr, events: &Events) -> Option<HealthPort> {
        match TcpListener::bind(address).await {
            Ok(listener) => {
                events.emit(ProcessEvent::Listening {
                    address: listener.local_addr().unwrap_or(address),
                    what: "health",
                });
                Some(HealthPort(listener))
            }
            Err(error) => {
                let error = format!("{error}; set SMTP_HEALTH_ADDR, or SMTP_HEALTH_DISABLE=true");
                events.emit(ProcessEvent::NotListening {
                    address,
                    what: "health",
                    error: &error,
                });
                None
            }
        }
    }

    /// Serves `router` (see [`pages_router`]) until `shutdown`.
    pub async fn serve(self, router: Router, shutdown: CancellationToken) {
        serve_http(self.0, router, BOUNDS, shutdown).await;
    }
}
