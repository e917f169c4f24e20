//! `gopherpost dest`: destinations that get no mail for now.

use std::io::Write;

use clap::{Args, Subcommand};

use crate::admin::api::{Suspend, SuspendedDestination};
use crate::config::Sources;
use crate::observe::Shown;

use super::ask::{Asker, Content, Whom, ask, segment};
use super::ending::{CommandError, Outcome, say};
use super::screen::{Cell, Column, Screen, Table, ago, ahead, output};

#[derive(Subcommand)]
pub(super) enum DestCommand {
    /// List suspended destinations
    List(List),
    /// Try no mail for a destination
    Suspend(Suspending),
    /// Try mail for a destination again
    Resume(Resuming),
}

/// Does it.
pub(super) fn run(command: &DestCommand, sources: &Sources) -> Outcome {
    ask(sources, Whom::Anyone, async |asker| match command {
        DestCommand::List(asked) => list(asked, asker).await,
        DestCommand::Suspend(asked) => suspend(asked, asker).await,
        DestCommand::Resume(asked) => resume(asked, asker).await,
    })
}

#[derive(Args)]
pub(super) struct List {
    /// Print JSON Lines, one destination a line
    #[arg(long)]
    json: bool,
}

#[derive(Args)]
#[command(after_help = "\
Mail for it waits, and expires at the end of its lifetime. A destination is named as in `queue stats`.

Examples:
  gopherpost dest suspend example.org --for 2h --reason 'they move their servers'
  gopherpost dest suspend example.org")]
pub(super) struct Suspending {
    /// A destination
    destination: String,
    /// For so long, such as 30m or 2h; without it until `dest resume`
    #[arg(long = "for", value_name = "SPAN")]
    span: Option<String>,
    /// Why, for the log and lists
    #[arg(
        long,
        value_name = "TEXT",
        default_value = "",
        hide_default_value = true
    )]
    reason: String,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

#[derive(Args)]
#[command(after_help = "Exit status 3: it is not suspended.")]
pub(super) struct Resuming {
    /// A destination
    destination: String,
}

async fn list(asked: &List, asker: &Asker) -> Outcome {
    let mut answer = asker.lines("/api/v1/destinations").await?;
    let screen = Screen::of_output();
    let mut out = output();
    let columns = [
        ("DESTINATION", 12, 2),
        ("SINCE", 7, 0),
        ("AGAIN", 7, 0),
        ("BY", 5, 0),
        ("WHY", 10, 3),
    ];
    let columns = columns.map(|(title, least, share)| Column {
        title,
        least,
        share,
        right: false,
    });
    let table = Table::new(&columns, screen);
    let mut count = 0;
    while let Some((line, entry)) = answer.entry::<SuspendedDestination>().await? {
        count += 1;
        if asked.json {
            screen.json_line(&mut out, &line)?;
            continue;
        }
        if count == 1 {
            table.titles(&mut out)?;
        }
        let cells = [
            entry.destination,
            ago(&entry.since, screen.now),
            match &entry.until {
                Some(until) => ahead(until, screen.now),
                None => "resumed".to_owned(), // by hand
            },
            entry.by,
            entry.why,
        ];
        table.row(cells.map(Cell::plain), &mut out)?;
    }
    out.flush()?;
    if count == 0 && !asked.json {
        say(&"no destination is suspended");
    }
    Ok(())
}

async fn suspend(asked: &Suspending, asker: &Asker) -> Outcome {
    let order = Suspend {
        span: asked.span.clone(),
        reason: asked.reason.clone(),
    };
    let path = format!(
        "/api/v1/destinations/{}/suspend",
        segment(&asked.destination)
    );
    let answer = asker.post(&path, &order).await?;
    let json = answer.text().await?;
    let screen = Screen::of_output();
    let mut out = output();
    if asked.json {
        screen.json_line(&mut out, json.trim_end())?;
    } else {
        let done: SuspendedDestination =
            serde_json::from_str(&json).map_err(CommandError::failed)?;
        let again = match &done.until {
            Some(until) => format!("tried again {}", ahead(until, screen.now)),
            None => "until `gopherpost dest resume`".to_owned(),
        };
        writeln!(out, "{} is suspended, {again}", Shown(done.destination))?;
    }
    out.flush()?;
    Ok(())
}

async fn resume(asked: &Resuming, asker: &Asker) -> Outcome {
    let path = format!(
        "/api/v1/destinations/{}/resume",
        segment(&asked.destination)
    );
    asker
        .send(hyper::Method::POST, &path, Content::Nothing)
        .await?;
    let mut out = output();
    writeln!(out, "{} is open again", Shown(&asked.destination))?;
    out.flush()?;
    Ok(())
}
