//! `gopherpost audit`: whether the audit stream has events of debug level.

use std::io::Write;

use clap::{Args, Subcommand};
use hyper::Method;

use crate::admin::api::AuditState;
use crate::config::Sources;

use super::ask::{Content, Whom, ask};
use super::ending::{CommandError, Outcome};
use super::screen::{Screen, output};

#[derive(Subcommand)]
pub(super) enum AuditCommand {
    /// Put events of debug level into the audit stream, until the relay stops
    On(Switch),
    /// Take them out again
    Off(Switch),
}

#[derive(Args)]
pub(super) struct Switch {
    /// Print JSON
    #[arg(long)]
    json: bool,
}

/// Does it.
pub(super) fn run(command: &AuditCommand, sources: &Sources) -> Outcome {
    let (verbose, asked) = match command {
        AuditCommand::On(asked) => (true, asked),
        AuditCommand::Off(asked) => (false, asked),
    };
    ask(sources, Whom::RelayOnly("audit"), async |asker| {
        let order = Content::json(&AuditState { verbose })?;
        let answer = asker.send(Method::PUT, "/api/v1/audit", order).await?;
        let json = answer.text().await?;
        let mut out = output();
        if asked.json {
            Screen::of_output().json_line(&mut out, json.trim_end())?;
        } else {
            let state: AuditState = serde_json::from_str(&json).map_err(CommandError::failed)?;
            let state = if state.verbose { "on" } else { "off" };
            writeln!(out, "events of debug level in the audit stream: {state}")?;
        }
        out.flush()?;
        Ok(())
    })
}
