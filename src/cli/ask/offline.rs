//! Requests to the queue itself, when no relay runs: the same API, called in this process.

use std::io;
use std::os::unix::fs::MetadataExt as _;
use std::os::unix::process::CommandExt as _;
use std::path::Path;

use axum::Router;
use axum::body::Body;
use hyper::Request;
use tower::ServiceExt as _;

use crate::cli::ending::{CommandError, Outcome};
use crate::config::Config;
use crate::http::api_router;
use crate::service::{ServiceError, ask_offline};
use crate::store::OpenError;

use super::SILENCE_MAX;
use super::answer::{Answer, silent};

/// Opens the queue, lets the command ask, and closes it again. Nothing is delivered meanwhile.
pub(super) fn with_queue(config: &Config, command: impl AsyncFnOnce(Router) -> Outcome) -> Outcome {
    let queue = &config.queue.path;
    become_owner_of(queue)
        .map_err(|error| CommandError::Failed(format!("{}: {error}", queue.display())))?;
    let outcome = ask_offline(config, async |admin| command(api_router(admin)).await);
    match outcome {
        Ok(outcome) => outcome,
        Err(ServiceError::Store(OpenError::InUse { path })) => Err(CommandError::Failed(format!(
            "{}: another process has this queue open, but nobody listens on {}; if it is another command, \
             wait for its end; if it is the relay, it is starting, or has another SMTP_CONTROL_SOCKET",
            path.display(),
            config.control_socket.display()
        ))),
        Err(error) => Err(CommandError::failed(error)),
    }
}

/// Sends a request, and gives the answer as soon as it begins.
pub(super) async fn send(api: &Router, request: Request<Body>) -> Result<Answer, CommandError> {
    let asking = api.clone().oneshot(request);
    let response = tokio::time::timeout(SILENCE_MAX, asking)
        .await
        .map_err(|_elapsed| silent(SILENCE_MAX))?;
    match response {
        Ok(response) => Ok(Answer::new(response, None)),
        Err(never) => match never {},
    }
}

/// If root runs a command on a queue of another user, whatever it wrote there would lock the relay
/// out of its own queue: so the command becomes that user first. It returns only if that was not
/// needed, or failed.
fn become_owner_of(queue: &Path) -> io::Result<()> {
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
