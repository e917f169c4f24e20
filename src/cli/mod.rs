//! Commands and how they print.

mod auth_hash;
mod config_check;
mod control;
mod dkim;
mod explain;

use std::io::Write as _;
use std::process::ExitCode;

use clap::{Parser, Subcommand};

use crate::config::{Config, Sources};
use crate::service;

use auth_hash::Kind;
use control::CommandError;
use dkim::check::Check;
use dkim::generate::Generate;

/// Exit status of a command that found nothing of what it was asked for.
const NOTHING_MATCHED: u8 = 3;

/// A crash-tolerant relay MTA.
///
/// Every setting is an environment variable or a line in .env; see docs/configuration.md.
#[derive(Parser)]
#[command(name = "gopherpost", version)]
struct Cli {
    #[command(subcommand)]
    command: Option<Command>,
}

#[derive(Subcommand)]
enum Command {
    /// Run the relay (what happens without a command).
    Serve,
    /// Look at the configuration.
    Config {
        #[command(subcommand)]
        command: ConfigCommand,
    },
    /// Say why mail is where it is, and where it would go now.
    ///
    /// Exit status 3: there is no such message.
    Explain {
        /// An address, a domain or a queue id.
        subject: String,
        /// Print JSON.
        #[arg(long)]
        json: bool,
    },
    /// Help with users who authenticate.
    Auth {
        #[command(subcommand)]
        command: AuthCommand,
    },
    /// Keys that sign mail.
    Dkim {
        #[command(subcommand)]
        command: DkimCommand,
    },
}

#[derive(Subcommand)]
enum DkimCommand {
    /// Make a key, and print the DNS record that publishes it. Nothing is ever overwritten.
    Generate(Generate),
    /// Compare the keys of the configuration with what is published; exit status 1 if something is
    /// wrong, 3 if there is no such key.
    Check(Check),
}

#[derive(Subcommand)]
enum AuthCommand {
    /// Read a password from standard input, and print what SMTP_AUTH_USERS takes instead of it.
    ///
    /// Write it behind the user's name and a colon; in .env, the whole value in single quotes.
    Hash {
        /// Print a SCRAM verifier, which leaves SCRAM-SHA-256 possible, instead of an argon2 hash.
        #[arg(long)]
        scram: bool,
    },
}

#[derive(Subcommand)]
enum ConfigCommand {
    /// Print what is in force and from where, and every problem; exit status 1 if there is one.
    Check,
}

/// Does what the command line says. Exit status: 0 done, 1 failed, 2 wrong usage, 3 nothing
/// matched.
#[must_use]
pub fn main() -> ExitCode {
    let cli = Cli::parse();
    let sources = Sources::from_process();
    match cli.command.unwrap_or(Command::Serve) {
        Command::Serve => serve(&sources),
        Command::Config {
            command: ConfigCommand::Check,
        } => check(&sources),
        Command::Explain { subject, json } => explain(&sources, &subject, json),
        Command::Auth {
            command: AuthCommand::Hash { scram },
        } => hash(scram),
        Command::Dkim {
            command: DkimCommand::Generate(asked),
        } => generate(&asked),
        Command::Dkim {
            command: DkimCommand::Check(asked),
        } => check_published(&asked, &sources),
    }
}

fn serve(sources: &Sources) -> ExitCode {
    let loaded = match Config::load(sources) {
        Ok(loaded) => loaded,
        Err(problems) => {
            complain(&format!(
                "{problems}\ngopherpost config check shows everything that is in force"
            ));
            return ExitCode::FAILURE;
        }
    };
    match service::run(&loaded) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            complain(&format!("{error:#}"));
            ExitCode::FAILURE
        }
    }
}

fn explain(sources: &Sources, subject: &str, json: bool) -> ExitCode {
    let config = match Config::load(sources) {
        Ok(loaded) => loaded.config,
        Err(problems) => {
            complain(&problems.to_string());
            return ExitCode::FAILURE;
        }
    };
    let explanation = match explain::explain(&config, subject) {
        Ok(explanation) => explanation,
        Err(CommandError::NotFound(what)) => {
            complain(&what);
            return ExitCode::from(NOTHING_MATCHED);
        }
        Err(CommandError::Failed(what)) => {
            complain(&what);
            return ExitCode::FAILURE;
        }
    };
    let mut out = std::io::stdout().lock();
    let printed = match json {
        true => explain::print_json(&explanation, &mut out),
        false => explain::print(&explanation, &mut out),
    };
    match printed {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            complain(&format!("standard output: {error}"));
            ExitCode::FAILURE
        }
    }
}

fn check(sources: &Sources) -> ExitCode {
    match config_check::config_check(sources, &mut std::io::stdout().lock()) {
        Ok(status) => ExitCode::from(status),
        Err(error) => {
            complain(&format!("standard output: {error}"));
            ExitCode::FAILURE
        }
    }
}

fn hash(scram: bool) -> ExitCode {
    let kind = if scram { Kind::Scram } else { Kind::Argon2 };
    match auth_hash::auth_hash(kind, &mut std::io::stdout().lock()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            complain(&error.to_string());
            ExitCode::FAILURE
        }
    }
}

fn generate(asked: &Generate) -> ExitCode {
    match dkim::generate::generate(asked, &mut std::io::stdout().lock()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            complain(&error.to_string());
            ExitCode::FAILURE
        }
    }
}

fn check_published(asked: &Check, sources: &Sources) -> ExitCode {
    let config = match Config::load(sources) {
        Ok(loaded) => loaded.config,
        Err(problems) => {
            complain(&problems.to_string());
            return ExitCode::FAILURE;
        }
    };
    match dkim::check::check(asked, &config, &mut std::io::stdout().lock()) {
        Ok(3) => {
            complain("no such key: see SMTP_DKIM_KEYS, SMTP_DKIM_KEY_PATH");
            ExitCode::from(3)
        }
        Ok(status) => ExitCode::from(status),
        Err(error) => {
            complain(&error.to_string());
            ExitCode::FAILURE
        }
    }
}

fn complain(what: &str) {
    // With nowhere to write to, only the exit status is left to tell.
    let _ = writeln!(std::io::stderr().lock(), "gopherpost: {what}");
}
