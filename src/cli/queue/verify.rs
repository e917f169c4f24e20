//! `gopherpost queue verify`: everything is read, and what is damaged is named.

use std::io::Write;

use clap::Args;
use hyper::Method;

use crate::admin::api::VerifyLine;
use crate::cli::ask::{Asker, Content};
use crate::cli::ending::{CommandError, Outcome};
use crate::cli::screen::{Progress, Screen, octets, of, output};
use crate::observe::Shown;

use super::cut_off;

#[derive(Args)]
#[command(after_help = "\
Examples:
  gopherpost queue verify
  gopherpost queue verify --repair --json

Exit status 1: something is damaged, or was until --repair, or the opening of the queue for this
command, put it aside.")]
pub(in crate::cli) struct Verify {
    /// Put what is damaged into quarantine/ in the queue's directory; the rest goes on, and senders of
    /// damaged texts are told
    #[arg(long)]
    repair: bool,
    /// Print JSON Lines
    #[arg(long)]
    json: bool,
}

pub(super) async fn verify(asked: &Verify, asker: &Asker) -> Outcome {
    let path = match asked.repair {
        true => "/api/v1/verify?repair=true",
        false => "/api/v1/verify",
    };
    let mut answer = asker.send(Method::POST, path, Content::Nothing).await?;
    let screen = Screen::of_output();
    let mut out = output();
    let mut bar = Progress::new();
    loop {
        let (line, meaning) = answer.entry::<VerifyLine>().await?.ok_or_else(cut_off)?;
        if asked.json {
            screen.json_line(&mut out, &line)?;
        }
        match meaning {
            VerifyLine::Progress { messages, of } => bar.show("verify", messages, of, " messages"),
            VerifyLine::Damaged {
                id,
                what,
                error,
                quarantined,
            } => {
                if !asked.json {
                    bar.clear();
                    let damaged =
                        damaged_line(id.as_deref(), &what, &error, quarantined.as_deref());
                    writeln!(out, "{}", Shown(damaged))?;
                }
                out.flush()?;
            }
            VerifyLine::Done {
                messages,
                bytes,
                damaged,
                damaged_at_open,
            } => {
                bar.clear();
                if !asked.json {
                    let read = of(messages, "message");
                    let size = octets(bytes);
                    writeln!(out, "{read} read, {size} of bodies; {damaged} damaged")?;
                    if damaged_at_open > 0 {
                        let when = "damaged when the queue was opened, see the log";
                        writeln!(out, "{damaged_at_open} more {when}")?;
                    }
                }
                out.flush()?;
                // What a relay found when it started was told then, and is over.
                let found_by_us = asker.opened_queue() && damaged_at_open > 0;
                return match damaged > 0 || found_by_us {
                    false => Ok(()),
                    true => Err(CommandError::Told),
                };
            }
            VerifyLine::Failed { error } => {
                bar.clear();
                out.flush()?;
                return Err(CommandError::Failed(error));
            }
        }
    }
}

fn damaged_line(id: Option<&str>, what: &str, error: &str, quarantined: Option<&str>) -> String {
    let of_whom = id.map(|id| format!("{id}: ")).unwrap_or_default();
    let put = quarantined.map(|path| format!("; put aside as {path}"));
    format!(
        "{of_whom}{what} damaged: {error}{}",
        put.unwrap_or_default()
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_damaged_is_named() {
        assert_eq!(
            damaged_line(Some("01ABC"), "body", "its checksum is another", None),
            "01ABC: body damaged: its checksum is another"
        );
        assert_eq!(
            damaged_line(None, "recipient", "its key is none", Some("quarantine/x")),
            "recipient damaged: its key is none; put aside as quarantine/x"
        );
    }
}
