//! Requests to the running relay, over its control socket.

use std::io;
use std::path::Path;

use axum::body::Body;
use hyper::Request;
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use tokio::net::UnixStream;

use crate::cli::ending::CommandError;

use super::SILENCE_MAX;
use super::answer::{Answer, Connection, silent};

/// Whether anybody listens on `socket`.
pub(super) fn runs(socket: &Path) -> Result<bool, CommandError> {
    match std::os::unix::net::UnixStream::connect(socket) {
        Ok(_stream) => Ok(true),
        Err(error) => match error.kind() {
            // with too long a path nobody could have bound it
            io::ErrorKind::NotFound
            | io::ErrorKind::ConnectionRefused
            | io::ErrorKind::InvalidInput => Ok(false),
            _ => Err(unreachable(socket, &error)),
        },
    }
}

/// Sends a request, on a connection of its own, and gives the answer as soon as it begins.
pub(super) async fn send(socket: &Path, request: Request<Body>) -> Result<Answer, CommandError> {
    let asking = async {
        let stream = UnixStream::connect(socket)
            .await
            .map_err(|error| unreachable(socket, &error))?;
        let trouble = |error: hyper::Error| {
            CommandError::Lost(format!(
                "the control socket {}: {error}; has the relay stopped?",
                socket.display()
            ))
        };
        let (mut sender, connection) = http1::handshake(TokioIo::new(stream))
            .await
            .map_err(trouble)?;
        // An error of the connection is told by the body as well.
        let connection = Connection(tokio::spawn(async { drop(connection.await) }));
        let response = sender.send_request(request).await.map_err(trouble)?;
        Ok(Answer::new(response.map(Body::new), Some(connection)))
    };
    tokio::time::timeout(SILENCE_MAX, asking)
        .await
        .map_err(|_elapsed| silent(SILENCE_MAX))?
}

fn unreachable(socket: &Path, error: &io::Error) -> CommandError {
    let todo = match error.kind() {
        io::ErrorKind::PermissionDenied => {
            "run this as the relay's user or as a member of its group"
        }
        _ => "has the relay stopped?",
    };
    CommandError::Failed(format!(
        "the control socket {}: {error}; {todo}",
        socket.display()
    ))
}
