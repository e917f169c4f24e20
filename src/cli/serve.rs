//! `gopherpost serve`: the relay itself.

use crate::config::{Config, Sources};
use crate::service;

use super::ending::{CommandError, Outcome};

/// Runs it until it is told to end.
pub(super) fn run(sources: &Sources) -> Outcome {
    let loaded = Config::load(sources).map_err(|problems| {
        CommandError::Failed(format!(
            "{problems}\ngopherpost config check shows everything that is in force"
        ))
    })?;
    service::run(&loaded).map_err(|error| CommandError::Failed(format!("{error:#}")))
}
