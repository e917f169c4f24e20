//! Destinations that get no attempts.

use axum::Json;
use axum::extract::{Path, State};
use axum::http::StatusCode;
use axum::response::Response;

use crate::admin::Admin;
use crate::admin::api::{Complaint, Suspend, SuspendedDestination};

use super::answer::{Refused, json_lines};
use super::caller::Caller;
use super::request;

/// All that are suspended.
#[utoipa::path(
    get,
    operation_id = "list_destinations",
    path = "/api/v1/destinations",
    responses(
        (status = 200, description = "A line for each", body = SuspendedDestination, content_type = "application/x-ndjson"),
        (status = "default", description = "Refused", body = Complaint),
    ),
)]
pub(super) async fn list(State(admin): State<Admin>) -> Result<Response, Refused> {
    let suspended = admin.suspended_destinations().await;
    json_lines(futures_util::stream::iter([suspended])).await
}

/// Suspends one.
#[utoipa::path(
    post,
    path = "/api/v1/destinations/{name}/suspend",
    params(("name" = String, Path, description = "As in lists; a slash in it is %2F")),
    request_body = Suspend,
    responses(
        (status = 200, description = "It is suspended", body = SuspendedDestination),
        (status = "default", description = "Refused", body = Complaint),
    ),
)]
pub(super) async fn suspend(
    State(admin): State<Admin>,
    Path(name): Path<String>,
    Caller(by): Caller,
    request::Json(suspend): request::Json<Suspend>,
) -> Result<Json<SuspendedDestination>, Refused> {
    Ok(Json(admin.suspend(&name, &suspend, &by).await?))
}

/// Opens one again.
#[utoipa::path(
    post,
    path = "/api/v1/destinations/{name}/resume",
    params(("name" = String, Path, description = "As in lists; a slash in it is %2F")),
    responses(
        (status = 204, description = "It is open"),
        (status = 404, description = "It was not suspended", body = Complaint),
        (status = "default", description = "Refused", body = Complaint),
    ),
)]
pub(super) async fn resume(
    State(admin): State<Admin>,
    Path(name): Path<String>,
    Caller(by): Caller,
) -> Result<StatusCode, Refused> {
    admin.resume(&name, &by).await?;
    Ok(StatusCode::NO_CONTENT)
}
