//! `gopherpost reload`: the configuration anew, in the running relay.

use std::io::{self, Write};

use clap::Args;
use hyper::Method;

use crate::admin::api::Reloaded;
use crate::config::Sources;
use crate::observe::Shown;

use super::ask::{Content, Whom, ask};
use super::ending::{CommandError, Outcome};
use super::screen::{Screen, output};

#[derive(Args)]
#[command(after_help = "\
It takes effect wholly, or, if there is a problem with it, not at all. Sessions and deliveries go on.
SIGHUP does the same; the log tells what changed.

Exit status 1: there is a problem, nothing changed.")]
pub(super) struct Reload {
    /// Print JSON
    #[arg(long)]
    json: bool,
}

/// Does it.
pub(super) fn run(asked: &Reload, sources: &Sources) -> Outcome {
    ask(sources, Whom::RelayOnly("reload"), async |asker| {
        let answer = asker
            .send(Method::POST, "/api/v1/reload", Content::Nothing)
            .await
            .map_err(|error| match error {
                CommandError::Usage(error) => CommandError::Failed(error),
                error => error,
            })?;
        let json = answer.text().await?;
        let mut out = output();
        if asked.json {
            Screen::of_output().json_line(&mut out, json.trim_end())?;
        } else {
            let reloaded: Reloaded = serde_json::from_str(&json).map_err(CommandError::failed)?;
            print(&reloaded, &mut out)?;
        }
        out.flush()?;
        Ok(())
    })
}

fn print(reloaded: &Reloaded, out: &mut impl Write) -> io::Result<()> {
    let Reloaded {
        changed,
        needs_restart,
        files,
    } = reloaded;
    if changed.is_empty() && needs_restart.is_empty() && files.is_empty() {
        return writeln!(out, "nothing has changed");
    }
    for (what, names) in [
        ("in force now", changed),
        ("read anew", files),
        ("needs a restart, the old value is in force", needs_restart),
    ] {
        for name in names {
            writeln!(out, "{}: {what}", Shown(name))?;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_changed_is_told() {
        let printed = |reloaded: &Reloaded| {
            let mut out = Vec::new();
            print(reloaded, &mut out).unwrap();
            String::from_utf8(out).unwrap()
        };
        let nothing = Reloaded::default();
        assert_eq!(printed(&nothing), "nothing has changed\n");
        let some = Reloaded {
            changed: vec!["SMTP_LOG".to_owned()],
            needs_restart: vec!["SMTP_PORT".to_owned()],
            files: vec!["/etc/cert.pem".to_owned()],
        };
        assert_eq!(
            printed(&some),
            "SMTP_LOG: in force now\n/etc/cert.pem: read anew\n\
             SMTP_PORT: needs a restart, the old value is in force\n"
        );
    }
}
