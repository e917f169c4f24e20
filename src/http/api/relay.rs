//! What concerns the running relay as a whole.

use axum::Json;
use axum::extract::State;
use serde::Deserialize;
use utoipa::IntoParams;

use crate::admin::api::{AuditState, Complaint, Reloaded};
use crate::admin::{Admin, Explanation};

use super::answer::Refused;
use super::caller::Caller;
use super::request::{self, Query};

/// Whether the audit stream has everything.
#[utoipa::path(
    get,
    path = "/api/v1/audit",
    responses(
        (status = 200, description = "As it is", body = AuditState),
        (status = "default", description = "Refused", body = Complaint),
    ),
)]
pub(super) async fn audit(State(admin): State<Admin>) -> Result<Json<AuditState>, Refused> {
    Ok(Json(admin.audit()?))
}

/// Switches that.
#[utoipa::path(
    put,
    path = "/api/v1/audit",
    request_body = AuditState,
    responses(
        (status = 200, description = "As it is now", body = AuditState),
        (status = "default", description = "Refused", body = Complaint),
    ),
)]
pub(super) async fn set_audit(
    State(admin): State<Admin>,
    Caller(by): Caller,
    request::Json(state): request::Json<AuditState>,
) -> Result<Json<AuditState>, Refused> {
    Ok(Json(admin.set_audit(state, &by)?))
}

/// Reads the configuration anew.
#[utoipa::path(
    post,
    path = "/api/v1/reload",
    responses(
        (status = 200, description = "It is in force", body = Reloaded),
        (status = 422, description = "All that is wrong; nothing has changed", body = Complaint),
        (status = "default", description = "Refused", body = Complaint),
    ),
)]
pub(super) async fn reload(
    State(admin): State<Admin>,
    Caller(by): Caller,
) -> Result<Json<Reloaded>, Refused> {
    Ok(Json(admin.reload(&by).await?))
}

#[derive(Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields)]
pub(super) struct ExplainQuery {
    /// An address, a domain or a queue id.
    of: String,
}

/// Why mail is where it is, and where it would go.
#[utoipa::path(
    get,
    path = "/api/v1/explain",
    params(ExplainQuery),
    responses(
        (status = 200, description = "Why", body = Explanation),
        (status = "default", description = "Refused", body = Complaint),
    ),
)]
pub(super) async fn explain(
    State(admin): State<Admin>,
    Query(query): Query<ExplainQuery>,
) -> Result<Json<Explanation>, Refused> {
    Ok(Json(admin.explain(&query.of).await?))
}

/// This API, described as OpenAPI 3.1.
#[utoipa::path(
    get,
    path = "/api/v1/openapi.json",
    responses((status = 200, description = "This description", body = Object)),
)]
pub(super) async fn description() -> Json<utoipa::openapi::OpenApi> {
    Json(super::openapi())
}
