//! Commands and how they print. `commands` defines them; each has a file of its own; `ask` is where
//! their answers come from, `screen` how these look, `ending` what the exit status says.
//!
//! Promises: nothing that others chose reaches a terminal raw, lists of any length go through in
//! constant memory, and nothing is changed for more than one message without a yes.
//!
//! Never here: the store, and decisions about mail. Both are behind the API that is asked.

mod ask;
mod audit;
mod auth_hash;
mod commands;
mod config_check;
mod dest;
mod dkim;
mod ending;
mod explain;
mod filter;
mod health;
mod manual;
mod queue;
mod reload;
mod screen;
mod serve;
mod surroundings;

use std::process::ExitCode;

use clap::Parser as _;

use crate::config::Sources;

use commands::{Cli, Command};
use ending::exit;

/// Does what the command line says. Exit status: 0 done, 1 failed, 2 wrong usage, 3 nothing
/// matched.
#[must_use]
pub fn main() -> ExitCode {
    let cli = Cli::parse();
    let sources = Sources::for_command;
    exit(match cli.command.unwrap_or(Command::Serve) {
        Command::Serve => serve::run(&Sources::from_process()),
        Command::Config { command } => config_check::run(&command, &sources()),
        Command::Queue { command } => queue::run(&command, &sources()),
        Command::Dest { command } => dest::run(&command, &sources()),
        Command::Explain(asked) => explain::run(&asked, &sources()),
        Command::Audit { command } => audit::run(&command, &sources()),
        Command::Health => health::run(&sources()),
        Command::Reload(asked) => reload::run(&asked, &sources()),
        Command::Auth { command } => auth_hash::run(&command),
        Command::Dkim { command } => dkim::run(&command, &sources()),
        Command::Completions { shell } => manual::completions(shell),
        Command::Man { directory } => manual::man(&directory),
    })
}
