//! What concerns the running relay as a whole.

use axum::Json;
use axum::extract::State;
use serde::Deserialize;

use crate::admin::api::{AuditState, Reloaded};
use crate::admin::{Admin, Explanation};

use super::answer::Refused;
use super::caller::Caller;
use super::request::{self, Query};

/// Whether the audit stream has everything.
pub(super) async fn audit(State(admin): State<Admin>) -> Result<Json<AuditState>, Refused> {
    Ok(Json(admin.audit()?))
}

/// Switches that.
pub(super) async fn set_audit(
    State(admin): State<Admin>,
    Caller(by): Caller,
    request::Json(state): request::Json<AuditState>,
) -> Result<Json<AuditState>, Refused> {
    Ok(Json(admin.set_audit(state, &by)?))
}

/// Reads the configuration anew.
pub(super) async fn reload(
    State(admin): State<Admin>,
    Caller(by): Caller,
) -> Result<Json<Reloaded>, Refused> {
    Ok(Json(admin.reload(&by).await?))
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct ExplainQuery {
    /// An address, a domain or a queue id.
    of: String,
}

/// Why mail is where it is, and where it would go.
pub(super) async fn explain(
    State(admin): State<Admin>,
    Query(query): Query<ExplainQuery>,
) -> Result<Json<Explanation>, Refused> {
    Ok(Json(admin.explain(&query.of).await?))
}

/// This API, described.
pub(super) async fn description() -> Refused {
    Refused::new(axum::http::StatusCode::NOT_IMPLEMENTED, "not built yet")
}
