//! Questions about the queue, and what comes into it or goes out of it by hand.

use axum::Json;
use axum::body::Body;
use axum::extract::{Request, State};
use axum::http::header::{CONTENT_LENGTH, CONTENT_TYPE};
use axum::response::{IntoResponse as _, Response};
use serde::Deserialize;
use utoipa::IntoParams;

use crate::admin::Admin;
use crate::admin::api::{
    Complaint, ExportedEnvelope, Filter, HistoryEntry, HistoryQuery, Imported, QueueEntry,
    ShownMessage, Stats, VerifyLine,
};

use super::answer::{Refused, json_lines};
use super::caller::Caller;
use super::request::{FirstLine, Id, Query};

/// Recipients, the oldest message first.
#[utoipa::path(
    get,
    path = "/api/v1/queue",
    params(Filter),
    responses(
        (status = 200, description = "A line for each", body = QueueEntry, content_type = "application/x-ndjson"),
        (status = "default", description = "Refused", body = Complaint),
    ),
)]
pub(super) async fn list(
    State(admin): State<Admin>,
    Query(filter): Query<Filter>,
) -> Result<Response, Refused> {
    json_lines(admin.list(&filter)?).await
}

/// All about one message.
#[utoipa::path(
    get,
    path = "/api/v1/queue/{id}",
    params(("id" = String, Path, description = "Queue id")),
    responses(
        (status = 200, description = "All about it", body = ShownMessage),
        (status = "default", description = "Refused", body = Complaint),
    ),
)]
pub(super) async fn show(
    State(admin): State<Admin>,
    Id(id): Id,
) -> Result<Json<ShownMessage>, Refused> {
    Ok(Json(admin.show(id).await?))
}

/// A message's octets, as they go out.
#[utoipa::path(
    get,
    path = "/api/v1/queue/{id}/message",
    params(("id" = String, Path, description = "Queue id")),
    responses(
        (status = 200, description = "Its octets", body = String, content_type = "message/rfc822"),
        (status = "default", description = "Refused", body = Complaint),
    ),
)]
pub(super) async fn message(State(admin): State<Admin>, Id(id): Id) -> Result<Response, Refused> {
    let (size, octets) = admin.message(id).await?;
    let about = [
        (CONTENT_TYPE, "message/rfc822".to_owned()),
        (CONTENT_LENGTH, size.to_string()),
    ];
    Ok((about, Body::from_stream(octets)).into_response())
}

/// A message's envelope, to be exported beside its octets.
#[utoipa::path(
    get,
    path = "/api/v1/queue/{id}/envelope",
    params(("id" = String, Path, description = "Queue id")),
    responses(
        (status = 200, description = "Its envelope", body = ExportedEnvelope),
        (status = "default", description = "Refused", body = Complaint),
    ),
)]
pub(super) async fn envelope(
    State(admin): State<Admin>,
    Id(id): Id,
) -> Result<Json<ExportedEnvelope>, Refused> {
    Ok(Json(admin.envelope(id).await?))
}

#[derive(Default, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(default, deny_unknown_fields)]
pub(super) struct StatsQuery {
    /// Destinations at most.
    limit: Option<u64>,
}

/// How much there is, and how old.
#[utoipa::path(
    get,
    path = "/api/v1/stats",
    params(StatsQuery),
    responses(
        (status = 200, description = "Numbers", body = Stats),
        (status = "default", description = "Refused", body = Complaint),
    ),
)]
pub(super) async fn stats(
    State(admin): State<Admin>,
    Query(query): Query<StatsQuery>,
) -> Result<Json<Stats>, Refused> {
    Ok(Json(admin.stats(query.limit).await?))
}

/// What became of recipients, the latest message first.
#[utoipa::path(
    get,
    path = "/api/v1/history",
    params(HistoryQuery),
    responses(
        (status = 200, description = "A line for each", body = HistoryEntry, content_type = "application/x-ndjson"),
        (status = "default", description = "Refused", body = Complaint),
    ),
)]
pub(super) async fn history(
    State(admin): State<Admin>,
    Query(query): Query<HistoryQuery>,
) -> Result<Response, Refused> {
    json_lines(admin.history(&query)?).await
}

/// Takes a message that was exported.
#[utoipa::path(
    post,
    path = "/api/v1/import",
    request_body(content = ExportedEnvelope, content_type = "application/octet-stream", description = "A line of JSON, the envelope; behind it the octets of the message"),
    responses(
        (status = 200, description = "It is in the queue", body = Imported),
        (status = "default", description = "Refused", body = Complaint),
    ),
)]
pub(super) async fn import(
    State(admin): State<Admin>,
    Caller(by): Caller,
    request: Request,
) -> Result<Json<Imported>, Refused> {
    let FirstLine { value, rest } = FirstLine::read(request.into_body()).await?;
    let envelope: ExportedEnvelope = value;
    Ok(Json(admin.import(&envelope, rest, &by).await?))
}

#[derive(Default, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(default, deny_unknown_fields)]
pub(super) struct VerifyQuery {
    /// Put aside what is damaged.
    repair: bool,
}

/// Reads everything, and names what is damaged.
#[utoipa::path(
    post,
    path = "/api/v1/verify",
    params(VerifyQuery),
    responses(
        (status = 200, description = "What is found, as it is found", body = VerifyLine, content_type = "application/x-ndjson"),
        (status = "default", description = "Refused", body = Complaint),
    ),
)]
pub(super) async fn verify(
    State(admin): State<Admin>,
    Query(query): Query<VerifyQuery>,
    Caller(by): Caller,
) -> Result<Response, Refused> {
    json_lines(admin.verify(query.repair, &by)?).await
}
