//! Orders for sets of recipients.

use axum::extract::State;
use axum::response::Response;

use crate::admin::api::Order;
use crate::admin::{Admin, By};

use super::answer::{Refused, json_lines};
use super::caller::Caller;
use super::request::Json;

/// Attempts them now.
pub(super) async fn retry(
    State(admin): State<Admin>,
    Caller(by): Caller,
    Json(order): Json<Order>,
) -> Result<Response, Refused> {
    obey(&admin, "retry", order, by).await
}

/// Attempts them no more until they are released.
pub(super) async fn hold(
    State(admin): State<Admin>,
    Caller(by): Caller,
    Json(order): Json<Order>,
) -> Result<Response, Refused> {
    obey(&admin, "hold", order, by).await
}

/// Puts what is held in line.
pub(super) async fn release(
    State(admin): State<Admin>,
    Caller(by): Caller,
    Json(order): Json<Order>,
) -> Result<Response, Refused> {
    obey(&admin, "release", order, by).await
}

/// Takes them out, to be brought back for a while.
pub(super) async fn purge(
    State(admin): State<Admin>,
    Caller(by): Caller,
    Json(order): Json<Order>,
) -> Result<Response, Refused> {
    obey(&admin, "purge", order, by).await
}

/// Brings back what was purged.
pub(super) async fn restore(
    State(admin): State<Admin>,
    Caller(by): Caller,
    Json(order): Json<Order>,
) -> Result<Response, Refused> {
    obey(&admin, "restore", order, by).await
}

/// Gives them up, and tells their senders.
pub(super) async fn bounce(
    State(admin): State<Admin>,
    Caller(by): Caller,
    Json(order): Json<Order>,
) -> Result<Response, Refused> {
    obey(&admin, "bounce", order, by).await
}

async fn obey(
    admin: &Admin,
    action: &'static str,
    order: Order,
    by: By,
) -> Result<Response, Refused> {
    json_lines(admin.order(action, &order, by)?).await
}
