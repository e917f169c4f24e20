//! The one definition of the command line: what is parsed, `--help`, completions, man pages and
//! docs/commands.md are made from it.

use std::path::PathBuf;

use clap::{Parser, Subcommand};
use clap_complete::Shell;

use super::audit::AuditCommand;
use super::auth_hash::AuthCommand;
use super::config_check::ConfigCommand;
use super::dest::DestCommand;
use super::dkim::DkimCommand;
use super::explain::Explain;
use super::queue::QueueCommand;
use super::reload::Reload;

/// A crash-tolerant relay MTA.
///
/// Every setting is an environment variable or a line in .env; see docs/configuration.md. Commands ask
/// the running relay over SMTP_CONTROL_SOCKET; without one, they open the queue themselves.
#[derive(Parser)]
#[command(name = "gopherpost", version)]
#[command(after_help = "\
Exit status: 0 done, 1 failed, 2 wrong usage, 3 nothing matched.")]
pub(super) struct Cli {
    #[command(subcommand)]
    pub(super) command: Option<Command>,
}

#[derive(Subcommand)]
#[expect(clippy::large_enum_variant, reason = "a process has one")]
pub(super) enum Command {
    /// Run the relay (what happens without a command)
    Serve,
    /// Look at the configuration
    Config {
        #[command(subcommand)]
        command: ConfigCommand,
    },
    /// Look at queued mail, and move it by hand
    Queue {
        #[command(subcommand)]
        command: QueueCommand,
    },
    /// Suspend destinations, and open them again
    Dest {
        #[command(subcommand)]
        command: DestCommand,
    },
    /// Say why mail is where it is, and where it would go now
    Explain(Explain),
    /// Make the audit stream tell more, or less
    Audit {
        #[command(subcommand)]
        command: AuditCommand,
    },
    /// Say whether the running relay does its work; exit status 1 if not
    Health,
    /// Make the running relay read its configuration anew
    Reload(Reload),
    /// Help with users who authenticate
    Auth {
        #[command(subcommand)]
        command: AuthCommand,
    },
    /// Keys that sign mail
    Dkim {
        #[command(subcommand)]
        command: DkimCommand,
    },
    /// Print completions for a shell
    #[command(after_help = "\
Examples:
  gopherpost completions bash > /etc/bash_completion.d/gopherpost
  gopherpost completions zsh > /usr/local/share/zsh/site-functions/_gopherpost
  gopherpost completions fish > ~/.config/fish/completions/gopherpost.fish")]
    Completions {
        /// Which
        shell: Shell,
    },
    /// Write man pages, one for each command
    #[command(after_help = "\
Example:
  gopherpost man /usr/local/share/man/man1")]
    Man {
        /// Where to; what is there is written over
        #[arg(value_name = "DIR")]
        directory: PathBuf,
    },
}
