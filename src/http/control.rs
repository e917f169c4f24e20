//! The control socket: the operator's questions to the running relay, HTTP and JSON on a Unix
//! socket. Who may open the socket may ask; mail goes on without it.

use std::fs::Permissions;
use std::io;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::time::Duration;

use axum::Router;
use tokio::net::{UnixListener, UnixStream};
use tokio_util::sync::CancellationToken;

use crate::observe::{Events, ProcessEvent};

use super::server::{Bounds, serve_http};

/// Owner and group.
const SOCKET_MODE: u32 = 0o660;

/// What clients of the control socket may use up. Somebody who reads a list with a pager may take
/// his time.
const BOUNDS: Bounds = Bounds {
    connections: 64,
    header: Duration::from_secs(5),
    stall: Duration::from_secs(10 * 60),
};

/// The control socket, bound: from now on commands are heard, and answered when it is served.
pub struct ControlSocket {
    listener: UnixListener,
    path: PathBuf,
}

impl ControlSocket {
    /// Binds it at `path`. `None`: that failed, which is told.
    pub async fn bind(path: PathBuf, events: &Events) -> Option<ControlSocket> {
        match bind(&path).await {
            Ok(listener) => {
                events.emit(ProcessEvent::ControlListening { path: &path });
                Some(ControlSocket { listener, path })
            }
            Err(error) => {
                let what = format!("the control socket {}: {error}", path.display());
                events.emit(ProcessEvent::Warning {
                    what: &what,
                    todo: "commands cannot reach this relay; set SMTP_CONTROL_SOCKET to another path",
                });
                None
            }
        }
    }

    /// Serves `router` (see [`api_router`](super::api_router)) until `shutdown`, and takes the socket away
    /// then.
    pub async fn serve(self, router: Router, shutdown: CancellationToken) {
        let ControlSocket { listener, path } = self;
        serve_http(listener, router, BOUNDS, shutdown).await;
        let _ = std::fs::remove_file(&path); // a later start takes away what is left
    }
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
