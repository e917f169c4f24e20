//! Events as log lines on standard error. They are written by a thread of their own: a slow reader of
//! our log costs lines, never mail. `SMTP_LOG` decides through `tracing`, as it does for the libraries
//! underneath, which log there.

use std::cell::RefCell;
use std::fmt;
use std::io::{self, BufWriter, Write};
use std::time::Duration;

use tracing::Level;
use tracing_appender::non_blocking::{NonBlocking, NonBlockingBuilder, WorkerGuard};
use tracing_subscriber::fmt::MakeWriter as _;
use tracing_subscriber::reload;
use tracing_subscriber::{EnvFilter, filter};

use crate::config::{LogConfig, LogFormat};

use super::format;
use super::line::{Line, Takes};
use super::logfmt::Logfmt;

/// Lines that may wait to be written; more are lost.
const LINES_WAITING_MAX: usize = 16 * 1024;
const WRITE_BUFFER_BYTES: usize = 64 * 1024;
/// After a write the log's thread rests so long, and what comes meanwhile goes out together: waking
/// it for every line cost 8 % of acceptance.
const GATHER: Duration = Duration::from_millis(5);

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
    Filter(#[from] filter::ParseError),
    /// Somebody in this process did it before.
    #[error("the log is already set up in this process")]
    Twice,
    /// The log's filter can't be changed.
    #[error("the log's filter can't be changed: {0}")]
    Reload(#[from] reload::Error),
}

type SetFilter = Box<dyn Fn(EnvFilter) -> Result<(), reload::Error> + Send + Sync>;

/// The log of this process, once it is started.
pub struct Log {
    format: LogFormat,
    writer: NonBlocking,
    set_filter: SetFilter,
}

impl fmt::Debug for Log {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Log").finish_non_exhaustive()
    }
}

/// Whether it is a filter for `SMTP_LOG`.
///
/// # Errors
/// What is wrong with it.
pub fn check_log_filter(filter: &str) -> Result<(), LogSetupError> {
    Ok(EnvFilter::try_new(filter).map(drop)?)
}

/// Starts the log on standard error.
pub fn start_log(config: &LogConfig) -> Result<(Log, LogGuard), LogSetupError> {
    let filter = EnvFilter::try_new(&config.filter)?;
    let (writer, worker) = NonBlockingBuilder::default()
        .lossy(true)
        .buffered_lines_limit(LINES_WAITING_MAX)
        .thread_name("log")
        .finish(Gathering(BufWriter::with_capacity(
            WRITE_BUFFER_BYTES,
            io::stderr(),
        )));
    let lines = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_target(false)
        .with_ansi(false)
        .with_writer(writer.clone());
    let (set_filter, done): (SetFilter, _) = match config.format {
        LogFormat::Text => {
            let lines = lines.with_filter_reloading();
            let handle = lines.reload_handle();
            (Box::new(move |new| handle.reload(new)), lines.try_init())
        }
        LogFormat::Logfmt => {
            let lines = lines.event_format(Logfmt).with_filter_reloading();
            let handle = lines.reload_handle();
            (Box::new(move |new| handle.reload(new)), lines.try_init())
        }
        LogFormat::Json => {
            let lines = lines.json().flatten_event(true).with_filter_reloading();
            let handle = lines.reload_handle();
            (Box::new(move |new| handle.reload(new)), lines.try_init())
        }
    };
    done.map_err(|_| LogSetupError::Twice)?;
    let log = Log {
        format: config.format,
        writer,
        set_filter,
    };
    Ok((log, LogGuard { _worker: worker }))
}

impl Log {
    /// Another `SMTP_LOG` from now on.
    pub(super) fn set_filter(&self, filter: &str) -> Result<(), LogSetupError> {
        Ok((self.set_filter)(EnvFilter::try_new(filter)?)?)
    }
}

impl Takes for Log {
    fn takes(&self, level: Level) -> bool {
        const TARGET: &str = "gopherpost";
        match level {
            Level::ERROR => tracing::enabled!(target: TARGET, Level::ERROR),
            Level::WARN => tracing::enabled!(target: TARGET, Level::WARN),
            Level::INFO => tracing::enabled!(target: TARGET, Level::INFO),
            Level::DEBUG => tracing::enabled!(target: TARGET, Level::DEBUG),
            Level::TRACE => tracing::enabled!(target: TARGET, Level::TRACE),
        }
    }

    fn line(&self, line: &Line<'_>) {
        thread_local! {
            static TEXT: RefCell<String> = const { RefCell::new(String::new()) };
        }
        TEXT.with_borrow_mut(|text| {
            text.clear();
            format::write(self.format, line, text);
            // Copied into the channel, or lost if that is full.
            let _ = self.writer.make_writer().write(text.as_bytes());
        });
    }
}

/// Flushed when no line is waiting; see [`GATHER`].
struct Gathering<W: Write>(BufWriter<W>);

impl<W: Write> Write for Gathering<W> {
    fn write(&mut self, octets: &[u8]) -> io::Result<usize> {
        self.0.write(octets)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.0.flush()?;
        std::thread::sleep(GATHER);
        Ok(())
    }
}
