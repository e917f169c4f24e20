//! The control socket: the operator's questions to the running relay, HTTP and JSON on a Unix
//! socket. Who may open the socket may ask; mail goes on without it.

use std::fs::Permissions;
use std::io;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

use axum::extract::{DefaultBodyLimit, Query, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use axum::{Json, Router};
use serde::Deserialize;
use tokio::net::{UnixListener, UnixStream};
use tokio_util::sync::CancellationToken;

use crate::admin::api::Complaint;
use crate::admin::{Admin, AdminError};
use crate::observe::{Events, ProcessEvent};

use super::{BODY_BYTES_MAX, DRAIN};

/// Where `explain` is asked. The query has `of`: an address, a domain or a queue id. The answer is
/// an [`Explanation`](crate::admin::Explanation).
pub const EXPLAIN: &str = "/api/v1/explain";

#[derive(Deserialize)]
struct ExplainQuery {
    of: String,
}

/// Owner and group.
const SOCKET_MODE: u32 = 0o660;

/// Serves the control socket at `path` until `shutdown`, and takes the socket away then.
pub async fn serve_control(
    path: PathBuf,
    admin: Admin,
    events: Events,
    shutdown: CancellationToken,
) {
    let listener = match bind(&path).await {
        Ok(listener) => listener,
        Err(error) => {
            let what = format!("the control socket {}: {error}", path.display());
            events.emit(ProcessEvent::Warning {
                what: &what,
                todo: "commands cannot reach this relay; set SMTP_CONTROL_SOCKET to another path",
            });
            return;
        }
    };
    events.emit(ProcessEvent::ControlListening { path: &path });
    let stopped = shutdown.clone().cancelled_owned();
    let served = axum::serve(listener, router(admin)).with_graceful_shutdown(stopped);
    tokio::select! {
        result = served => if let Err(error) = result {
            let what = format!("the control socket {} is closed: {error}", path.display());
            events.emit(ProcessEvent::Warning { what: &what, todo: "restart the relay when that suits" });
        },
        () = async { shutdown.cancelled().await; tokio::time::sleep(DRAIN).await } => {}
    }
    let _ = std::fs::remove_file(&path); // a later start takes away what is left
}

/// Binds; what an earlier process left there is taken away, but not what another one listens on.
async fn bind(path: &Path) -> io::Result<UnixListener> {
    match UnixStream::connect(path).await {
        Ok(_answers) => {
            return Err(io::Error::new(
                io::ErrorKind::AddrInUse,
                "another process listens there",
            ));
        }
        Err(error) if error.kind() == io::ErrorKind::ConnectionRefused => {
            std::fs::remove_file(path)?
        }
        Err(_) => {} // nothing there, or bind says what is wrong
    }
    let listener = UnixListener::bind(path)?;
    std::fs::set_permissions(path, Permissions::from_mode(SOCKET_MODE))?;
    Ok(listener)
}

/// Everything that may be asked.
pub fn router(admin: Admin) -> Router {
    Router::new()
        .route(EXPLAIN, get(explain))
        .layer(DefaultBodyLimit::max(BODY_BYTES_MAX))
        .with_state(admin)
}

async fn explain(State(admin): State<Admin>, Query(query): Query<ExplainQuery>) -> Response {
    match admin.explain(&query.of).await {
        Ok(explanation) => Json(explanation).into_response(),
        Err(error) => complaint(&error),
    }
}

fn complaint(error: &AdminError) -> Response {
    let status = match error {
        AdminError::NotFound(_) => StatusCode::NOT_FOUND,
        AdminError::Malformed(_) => StatusCode::BAD_REQUEST,
        AdminError::Store(_) => StatusCode::INTERNAL_SERVER_ERROR,
    };
    let error = error.to_string();
    (status, Json(Complaint { error })).into_response()
}
