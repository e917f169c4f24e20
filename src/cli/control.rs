//! How a command gets its answers: from the running relay over its control socket, or, if none runs,
//! from the queue that the command opens itself. Never both.

use std::io;
use std::os::unix::fs::MetadataExt as _;
use std::os::unix::process::CommandExt as _;
use std::path::Path;
use std::time::Duration;

use http_body_util::{BodyExt as _, Empty, Limited};
use hyper::body::Bytes;
use hyper::client::conn::http1;
use hyper::{Request, StatusCode};
use hyper_util::rt::TokioIo;
use serde::de::DeserializeOwned;
use tokio::net::UnixStream;

use crate::admin::api::Complaint;

/// Longest answer that is taken, in bytes.
const ANSWER_BYTES_MAX: usize = 16 * 1024 * 1024;
/// How long an answer may take: `explain` asks DNS.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(120);

/// Why a command did not do what it was asked to.
#[derive(Debug, thiserror::Error)]
pub(super) enum CommandError {
    /// There is no such thing.
    #[error("{0}")]
    NotFound(String),
    /// Anything else, in one line.
    #[error("{0}")]
    Failed(String),
}

impl From<AskError> for CommandError {
    fn from(error: AskError) -> CommandError {
        match error {
            AskError::NotFound(what) => CommandError::NotFound(what),
            AskError::NobodyThere | AskError::Refused(_) | AskError::Trouble { .. } => {
                CommandError::Failed(error.to_string())
            }
        }
    }
}

/// Why the running relay gave no answer.
#[derive(Debug, thiserror::Error)]
pub(super) enum AskError {
    /// No relay listens there.
    #[error("no relay runs")]
    NobodyThere,
    /// It has no such thing.
    #[error("{0}")]
    NotFound(String),
    /// It could not or would not say.
    #[error("{0}")]
    Refused(String),
    /// The socket, or what came out of it.
    #[error("the control socket {path}: {what}")]
    Trouble {
        /// Which.
        path: String,
        /// What is wrong.
        what: String,
    },
}

/// Asks the relay that listens at `socket`, and waits for the answer. `path_and_query` must be valid
/// in a request line.
pub(super) fn ask<T: DeserializeOwned>(socket: &Path, path_and_query: &str) -> Result<T, AskError> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build();
    let runtime = runtime.map_err(|error| AskError::Refused(error.to_string()))?;
    runtime.block_on(ask_relay(socket, path_and_query))
}

async fn ask_relay<T: DeserializeOwned>(
    socket: &Path,
    path_and_query: &str,
) -> Result<T, AskError> {
    let trouble = |what: String| AskError::Trouble {
        path: socket.display().to_string(),
        what,
    };
    let stream = match UnixStream::connect(socket).await {
        Ok(stream) => stream,
        Err(error) => {
            return Err(match error.kind() {
                io::ErrorKind::NotFound | io::ErrorKind::ConnectionRefused => AskError::NobodyThere,
                // too long a path: nobody could have bound it
                io::ErrorKind::InvalidInput => AskError::NobodyThere,
                _ => trouble(format!(
                    "{error}; run this as the relay's user or as a member of its group"
                )),
            });
        }
    };
    let answer = tokio::time::timeout(ANSWER_TIMEOUT, get(stream, path_and_query)).await;
    let (status, body) = answer
        .map_err(|_elapsed| trouble("no answer in time".to_owned()))?
        .map_err(|error| trouble(error.to_string()))?;
    if status == StatusCode::OK {
        return serde_json::from_slice(&body).map_err(|error| trouble(error.to_string()));
    }
    let complaint = serde_json::from_slice(&body).map_or_else(
        |_| format!("the relay answered {status}; is it of another version?"),
        |Complaint { error }| error,
    );
    Err(match status {
        StatusCode::NOT_FOUND => AskError::NotFound(complaint),
        _ => AskError::Refused(complaint),
    })
}

async fn get(
    stream: UnixStream,
    path_and_query: &str,
) -> Result<(StatusCode, Bytes), Box<dyn std::error::Error + Send + Sync>> {
    let (mut sender, connection) = http1::handshake(TokioIo::new(stream)).await?;
    let request = Request::get(path_and_query)
        .header(hyper::header::HOST, "localhost")
        .body(Empty::<Bytes>::new())?;
    let answer = async {
        let answer = sender.send_request(request).await?;
        let status = answer.status();
        let body = Limited::new(answer.into_body(), ANSWER_BYTES_MAX)
            .collect()
            .await?;
        Ok((status, body.to_bytes()))
    };
    let mut answer = std::pin::pin!(answer);
    tokio::select! {
        answer = &mut answer => answer,
        ended = connection => {
            ended?;
            answer.await // all of it was read
        }
    }
}

/// If root runs a command on a queue of another user, whatever it wrote there would lock the relay
/// out of its own queue: so the command becomes that user first. It returns only if that was not
/// needed, or failed.
pub(super) fn become_owner_of(queue: &Path) -> io::Result<()> {
    let owner = match std::fs::metadata(queue) {
        Ok(owner) => owner,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        Err(error) => return Err(error),
    };
    if !rustix::process::geteuid().is_root() || owner.uid() == 0 {
        return Ok(());
    }
    Err(std::process::Command::new(std::env::current_exe()?)
        .args(std::env::args_os().skip(1))
        .uid(owner.uid())
        .gid(owner.gid())
        .exec())
}
