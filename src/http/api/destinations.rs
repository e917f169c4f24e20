//! Destinations that get no attempts.

use axum::Json;
use axum::extract::{Path, State};
use axum::http::StatusCode;
use axum::response::Response;

use crate::admin::Admin;
use crate::admin::api::{Suspend, SuspendedDestination};

use super::answer::{Refused, json_lines};
use super::caller::Caller;
use super::request;

/// All that are suspended.
pub(super) async fn list(State(admin): State<Admin>) -> Result<Response, Refused> {
    let suspended = admin.suspended_destinations().await;
    json_lines(futures_util::stream::iter([suspended])).await
}

/// Suspends one.
pub(super) async fn suspend(
    State(admin): State<Admin>,
    Path(name): Path<String>,
    Caller(by): Caller,
    request::Json(suspend): request::Json<Suspend>,
) -> Result<Json<SuspendedDestination>, Refused> {
    Ok(Json(admin.suspend(&name, &suspend, &by).await?))
}

/// Opens one again.
pub(super) async fn resume(
    State(admin): State<Admin>,
    Path(name): Path<String>,
    Caller(by): Caller,
) -> Result<StatusCode, Refused> {
    admin.resume(&name, &by).await?;
    Ok(StatusCode::NO_CONTENT)
}
