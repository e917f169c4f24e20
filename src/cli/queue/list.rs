//! `gopherpost queue list`: recipients, as they come.

use std::io::{self, Write};

use clap::Args;

use crate::admin::api::{Filter, QueueEntry};
use crate::cli::ask::{Asker, query_of};
use crate::cli::ending::{CommandError, Outcome, say};
use crate::cli::filter::{Filtering, WAITING, is_empty};
use crate::cli::screen::{Screen, of, output};

use super::entries::Entries;

#[derive(Args)]
#[command(after_help = "\
Without a filter the table has what waits; what is over (delivered, failed, expired, purged) comes with
--all or any filter. --json leaves nothing out.

Examples:
  gopherpost queue list
  gopherpost queue list --domain 'gmail.com,*.example.org' --older-than 4h
  gopherpost queue list --state deferred --reply greylist --limit 50
  gopherpost queue list --all --json | jq -r .to

Exit status 3: nothing matches.")]
pub(in crate::cli) struct List {
    /// Print JSON Lines, one recipient a line
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    filter: Filtering,
}

pub(super) async fn list(asked: &List, asker: &Asker) -> Outcome {
    let mut filter = asked.filter.filter(&[]);
    let anything = is_empty(&filter);
    let only_waiting = anything && !filter.all && !asked.json;
    if only_waiting {
        filter.state = Some(WAITING.to_owned());
    }
    let limit = filter.limit;
    // One more, to see whether there are more.
    filter.limit = limit.map(|limit| limit.saturating_add(1));
    let screen = Screen::of_output();
    let mut out = output();
    let shown = match asked.json {
        true => print_json(&filter, limit, asker, &screen, &mut out).await?,
        false => print(&filter, limit, asker, screen, &mut out).await?,
    };
    if shown.count == 0 && anything {
        say(&match only_waiting {
            true => "nothing waits (--all shows what is over)",
            false => "the queue is empty",
        });
    } else if shown.count == 0 {
        return Err(CommandError::NotFound("nothing matches".to_owned()));
    } else if !asked.json {
        writeln!(out, "{}", last_line(&shown, only_waiting))?;
    }
    out.flush()?;
    Ok(())
}

#[derive(Default)]
struct Shown {
    count: u64,
    more: bool,
}

async fn print(
    filter: &Filter,
    limit: Option<u64>,
    asker: &Asker,
    screen: Screen,
    out: &mut impl Write,
) -> Result<Shown, CommandError> {
    let entries = Entries::new(screen);
    each(filter, limit, asker, |shown, _, entry| {
        if shown.count == 0 {
            entries.titles(out)?;
        }
        entries.row(entry, out)
    })
    .await
}

async fn print_json(
    filter: &Filter,
    limit: Option<u64>,
    asker: &Asker,
    screen: &Screen,
    out: &mut impl Write,
) -> Result<Shown, CommandError> {
    each(filter, limit, asker, |_, line, _| {
        screen.json_line(out, line)
    })
    .await
}

/// Does something with each recipient.
async fn each(
    filter: &Filter,
    limit: Option<u64>,
    asker: &Asker,
    mut with: impl FnMut(&Shown, &str, &QueueEntry) -> io::Result<()>,
) -> Result<Shown, CommandError> {
    let mut answer = asker
        .lines(&format!("/api/v1/queue{}", query_of(filter)?))
        .await?;
    let mut shown = Shown::default();
    while let Some((line, entry)) = answer.entry::<QueueEntry>().await? {
        if limit.is_some_and(|limit| shown.count >= limit) {
            shown.more = true;
            break;
        }
        with(&shown, &line, &entry)?;
        shown.count += 1;
    }
    Ok(shown)
}

/// How many there are, and what was left out.
fn last_line(shown: &Shown, only_waiting: bool) -> String {
    let count = of(shown.count, "recipient");
    let more = match shown.more {
        true => ", and more match: --limit leaves them out",
        false => "",
    };
    let over = match only_waiting {
        true => "; what is over is left out (--all)",
        false => "",
    };
    format!("{count}{more}{over}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_line_tells_what_was_left_out() {
        let shown = |count, more| Shown { count, more };
        for (shown, only_waiting, want) in [
            (shown(1, false), false, "1 recipient"),
            (
                shown(2_000, false),
                true,
                "2,000 recipients; what is over is left out (--all)",
            ),
            (
                shown(5, true),
                false,
                "5 recipients, and more match: --limit leaves them out",
            ),
        ] {
            assert_eq!(last_line(&shown, only_waiting), want);
        }
    }
}
