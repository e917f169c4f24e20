//! How a command ends: its exit status, and the line that says why.

use std::io::{self, Write as _};
use std::process::ExitCode;

use crate::config::{Config, Sources};
use crate::observe::Shown;

/// Exit status of what failed.
const FAILED: u8 = 1;
/// Exit status of a command that can't be meant so.
const WRONG_USAGE: u8 = 2;
/// Exit status of a command that found nothing of what it was asked for.
const NOTHING_MATCHED: u8 = 3;

/// Why a command did not do what it was asked to.
#[derive(Debug, thiserror::Error)]
pub(super) enum CommandError {
    /// It can't be meant so.
    #[error("{0}")]
    Usage(String),
    /// There is nothing of that kind.
    #[error("{0}")]
    NotFound(String),
    /// The answer did not come: whether it was done is not known.
    #[error("{0}")]
    Lost(String),
    /// Anything else, in one line.
    #[error("{0}")]
    Failed(String),
    /// What is wrong has been printed.
    #[error("what is wrong stands above")]
    Told,
    /// Standard output.
    #[error("standard output: {0}")]
    Output(#[from] io::Error),
}

impl CommandError {
    pub(super) fn failed(error: impl std::fmt::Display) -> CommandError {
        CommandError::Failed(error.to_string())
    }
}

/// What a command gives back.
pub(super) type Outcome = Result<(), CommandError>;

/// Tells what went wrong, and gives the exit status: 0 done, 1 failed, 2 wrong usage, 3 nothing
/// matched.
pub(super) fn exit(outcome: Outcome) -> ExitCode {
    let Err(error) = outcome else {
        return ExitCode::SUCCESS;
    };
    let status = match &error {
        // The reader has seen enough, as `head` has.
        CommandError::Output(error) if error.kind() == io::ErrorKind::BrokenPipe => {
            return ExitCode::SUCCESS;
        }
        CommandError::Told => return ExitCode::from(FAILED),
        CommandError::Usage(_) => WRONG_USAGE,
        CommandError::NotFound(_) => NOTHING_MATCHED,
        CommandError::Lost(_) | CommandError::Failed(_) | CommandError::Output(_) => FAILED,
    };
    say(&error);
    ExitCode::from(status)
}

/// Says something beside what was asked for: on standard error, line by line.
pub(super) fn say(what: &impl std::fmt::Display) {
    let mut error = io::stderr().lock();
    for line in what.to_string().lines() {
        // With nowhere to write to, only the exit status is left to tell.
        let _ = writeln!(error, "gopherpost: {}", Shown(line));
    }
}

/// The configuration, or every problem with it.
pub(super) fn configuration(sources: &Sources) -> Result<Config, CommandError> {
    match Config::load(sources) {
        Ok(loaded) => Ok(loaded.config),
        Err(problems) => Err(CommandError::failed(problems)),
    }
}
