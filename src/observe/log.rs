//! Events as log lines, through `tracing`. Lines are written by a thread of their own: a slow
//! reader of our log costs lines, never mail.

use std::io::Write as _;

use tracing::{error, info, warn};
use tracing_appender::non_blocking::{NonBlockingBuilder, WorkerGuard};
use tracing_subscriber::EnvFilter;

use crate::config::{LogConfig, LogFormat};

use super::event::Event;

/// Lines that may wait to be written; more are lost, and counted by the writer.
const LINES_WAITING_MAX: usize = 16 * 1024;

/// Writes out what is waiting when it is dropped; keep it until the end.
#[derive(Debug)]
pub struct LogGuard {
    _worker: WorkerGuard,
}

/// The log could not be set up.
#[derive(Debug, thiserror::Error)]
pub enum LogSetupError {
    /// `SMTP_LOG` is no filter.
    #[error(
        "SMTP_LOG: {0}; expected a level (error, warn, info, debug, trace) or a filter such as info,hickory_resolver=debug"
    )]
    Filter(#[from] tracing_subscriber::filter::ParseError),
    /// Somebody in this process did it before.
    #[error("the log is already set up in this process")]
    Twice,
}

/// Starts the log on standard error.
pub fn start_log(config: &LogConfig) -> Result<LogGuard, LogSetupError> {
    let filter = EnvFilter::try_new(&config.filter)?;
    let stderr = std::io::BufWriter::with_capacity(64 * 1024, std::io::stderr());
    let (writer, worker) = NonBlockingBuilder::default()
        .lossy(true)
        .buffered_lines_limit(LINES_WAITING_MAX)
        .thread_name("log")
        .finish(stderr);
    let lines = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_target(false)
        .with_writer(writer);
    let done = match config.format {
        LogFormat::Text | LogFormat::Logfmt => {
            let _ = std::io::stderr().flush();
            lines.with_ansi(false).try_init()
        }
        LogFormat::Json => lines.json().flatten_event(true).try_init(),
    };
    done.map_err(|_| LogSetupError::Twice)?;
    Ok(LogGuard { _worker: worker })
}

/// One line for one event. Message texts are constant; what varies is in fields.
pub(super) fn write(event: &Event<'_>) {
    match event {
        Event::Warning { what, todo } => warn!(what, todo, "warning"),
        Event::Alarm { what, todo } => error!(what, todo, "alarm"),
        other => info!(event = ?other, "event"),
    }
}
