//! Orders for sets of recipients.

use axum::extract::State;
use axum::response::Response;

use crate::admin::api::{Complaint, Order, OrderLine};
use crate::admin::{Admin, By};
use crate::queue::Action;

use super::answer::{Refused, json_lines};
use super::caller::Caller;
use super::request::Json;

/// Attempts them now.
#[utoipa::path(
    post,
    path = "/api/v1/queue/retry",
    request_body = Order,
    responses(
        (status = 200, description = "How far it is; then what it did", body = OrderLine, content_type = "application/x-ndjson"),
        (status = "default", description = "Refused", body = Complaint),
    ),
)]
pub(super) async fn retry(
    State(admin): State<Admin>,
    Caller(by): Caller,
    Json(order): Json<Order>,
) -> Result<Response, Refused> {
    obey(&admin, Action::Retry, order, by).await
}

/// Attempts them no more until they are released.
#[utoipa::path(
    post,
    path = "/api/v1/queue/hold",
    request_body = Order,
    responses(
        (status = 200, description = "How far it is; then what it did", body = OrderLine, content_type = "application/x-ndjson"),
        (status = "default", description = "Refused", body = Complaint),
    ),
)]
pub(super) async fn hold(
    State(admin): State<Admin>,
    Caller(by): Caller,
    Json(order): Json<Order>,
) -> Result<Response, Refused> {
    obey(&admin, Action::Hold, order, by).await
}

/// Puts what is held in line.
#[utoipa::path(
    post,
    path = "/api/v1/queue/release",
    request_body = Order,
    responses(
        (status = 200, description = "How far it is; then what it did", body = OrderLine, content_type = "application/x-ndjson"),
        (status = "default", description = "Refused", body = Complaint),
    ),
)]
pub(super) async fn release(
    State(admin): State<Admin>,
    Caller(by): Caller,
    Json(order): Json<Order>,
) -> Result<Response, Refused> {
    obey(&admin, Action::Release, order, by).await
}

/// Takes them out, to be brought back for a while.
#[utoipa::path(
    post,
    path = "/api/v1/queue/purge",
    request_body = Order,
    responses(
        (status = 200, description = "How far it is; then what it did", body = OrderLine, content_type = "application/x-ndjson"),
        (status = "default", description = "Refused", body = Complaint),
    ),
)]
pub(super) async fn purge(
    State(admin): State<Admin>,
    Caller(by): Caller,
    Json(order): Json<Order>,
) -> Result<Response, Refused> {
    obey(&admin, Action::Purge, order, by).await
}

/// Brings back what was purged.
#[utoipa::path(
    post,
    path = "/api/v1/queue/restore",
    request_body = Order,
    responses(
        (status = 200, description = "How far it is; then what it did", body = OrderLine, content_type = "application/x-ndjson"),
        (status = "default", description = "Refused", body = Complaint),
    ),
)]
pub(super) async fn restore(
    State(admin): State<Admin>,
    Caller(by): Caller,
    Json(order): Json<Order>,
) -> Result<Response, Refused> {
    obey(&admin, Action::Restore, order, by).await
}

/// Gives them up, and tells their senders.
#[utoipa::path(
    post,
    path = "/api/v1/queue/bounce",
    request_body = Order,
    responses(
        (status = 200, description = "How far it is; then what it did", body = OrderLine, content_type = "application/x-ndjson"),
        (status = "default", description = "Refused", body = Complaint),
    ),
)]
pub(super) async fn bounce(
    State(admin): State<Admin>,
    Caller(by): Caller,
    Json(order): Json<Order>,
) -> Result<Response, Refused> {
    obey(&admin, Action::Bounce, order, by).await
}

async fn obey(admin: &Admin, action: Action, order: Order, by: By) -> Result<Response, Refused> {
    json_lines(admin.order(action, &order, by)?).await
}
