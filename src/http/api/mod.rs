//! The admin API, `/api/v1/...`: the same on the control socket and in a command that has opened the
//! queue itself. Answers are JSON, lists are JSON Lines that are streamed; whoever goes away ends what
//! was done for him.
//!
//! Changes are made over the control socket only: whoever may open it may make them. In the network
//! this API is for reading.

mod answer;
mod caller;
mod description;
mod destinations;
mod orders;
mod queue;
mod relay;
mod request;

use axum::Router;
use axum::extract::Request;
use axum::http::{Method, StatusCode, header::CACHE_CONTROL};
use axum::middleware::{self, Next};
use axum::response::{IntoResponse as _, Response};
use axum::routing::{get, post};

use crate::admin::Admin;

use super::server::Peer;
use answer::{NO_STORE, Refused};
use description::openapi;

/// Where `explain` is asked. The query has `of`: an address, a domain or a queue id. The answer is
/// an [`Explanation`](crate::admin::Explanation).
pub const EXPLAIN: &str = "/api/v1/explain";

/// Everything that the operator may ask for and order. A command without a running relay calls it in
/// its own process; whoever does that is the caller himself.
pub fn api_router(admin: Admin) -> Router {
    Router::new()
        .route("/api/v1/queue", get(queue::list))
        .route("/api/v1/queue/retry", post(orders::retry))
        .route("/api/v1/queue/hold", post(orders::hold))
        .route("/api/v1/queue/release", post(orders::release))
        .route("/api/v1/queue/purge", post(orders::purge))
        .route("/api/v1/queue/restore", post(orders::restore))
        .route("/api/v1/queue/bounce", post(orders::bounce))
        .route("/api/v1/queue/{id}", get(queue::show))
        .route("/api/v1/queue/{id}/message", get(queue::message))
        .route("/api/v1/queue/{id}/envelope", get(queue::envelope))
        .route("/api/v1/stats", get(queue::stats))
        .route("/api/v1/history", get(queue::history))
        .route("/api/v1/import", post(queue::import))
        .route("/api/v1/verify", post(queue::verify))
        .route("/api/v1/destinations", get(destinations::list))
        .route(
            "/api/v1/destinations/{name}/suspend",
            post(destinations::suspend),
        )
        .route(
            "/api/v1/destinations/{name}/resume",
            post(destinations::resume),
        )
        .route("/api/v1/audit", get(relay::audit).put(relay::set_audit))
        .route("/api/v1/reload", post(relay::reload))
        .route(EXPLAIN, get(relay::explain))
        .route("/api/v1/openapi.json", get(relay::description))
        .with_state(admin)
        .method_not_allowed_fallback(wrong_method)
        .fallback(no_such_path)
        .layer(middleware::from_fn(for_all))
}

/// What holds for every request: changes only over the control socket, and no answer is kept.
async fn for_all(request: Request, next: Next) -> Response {
    let changes = !matches!(*request.method(), Method::GET | Method::HEAD);
    let answer = match request.extensions().get::<Peer>() {
        Some(Peer::Network(_)) if changes => Refused::new(
            StatusCode::FORBIDDEN,
            "changes are made over the control socket (SMTP_CONTROL_SOCKET) only",
        )
        .into_response(),
        Some(_) | None => next.run(request).await,
    };
    ([(CACHE_CONTROL, NO_STORE)], answer).into_response()
}

async fn no_such_path() -> Refused {
    Refused::new(
        StatusCode::NOT_FOUND,
        "there is no such path; GET /api/v1/openapi.json lists them",
    )
}

async fn wrong_method() -> Refused {
    Refused::new(
        StatusCode::METHOD_NOT_ALLOWED,
        "this path takes another method; GET /api/v1/openapi.json lists them",
    )
}
