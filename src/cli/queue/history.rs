//! `gopherpost queue history`: what became of mail.

use std::io::{self, Write};

use clap::Args;

use crate::admin::api::{HistoryEntry, HistoryQuery};
use crate::cli::ask::{Asker, query_of};
use crate::cli::ending::{CommandError, Outcome};
use crate::cli::screen::{Paint, Screen, ago, output};
use crate::observe::Shown;

use super::show::print_events;

#[derive(Args)]
#[command(after_help = "\
What is over is known for SMTP_RETENTION_DAYS. All that is given must match.

Examples:
  gopherpost queue history --to ann@example.org
  gopherpost queue history --message-id '<20261125.1@app.example>'
  gopherpost queue history --from '*@shop.example' --to '*@gmail.com' --limit 10 --json

Exit status 3: nothing is known.")]
pub(in crate::cli) struct HistoryOf {
    /// Of this message: its queue id
    #[arg(long)]
    id: Option<String>,
    /// Of this message: its Message-ID
    #[arg(long, value_name = "MESSAGE-ID")]
    message_id: Option<String>,
    /// Of this sender; * stands for anything, <> for none
    #[arg(long, value_name = "ADDRESS,...")]
    from: Option<String>,
    /// Of this recipient; * stands for anything
    #[arg(long, value_name = "ADDRESS,...")]
    to: Option<String>,
    /// At most so many recipients, the latest messages first
    #[arg(long, value_name = "N", default_value_t = 100)]
    limit: u64,
    /// Print JSON Lines, one recipient a line
    #[arg(long)]
    json: bool,
}

impl HistoryOf {
    /// Refuses to mean everybody.
    pub(super) fn says_whose(&self) -> Outcome {
        let given = [&self.id, &self.message_id, &self.from, &self.to];
        match given.iter().any(|given| given.is_some()) {
            true => Ok(()),
            false => Err(CommandError::Usage(
                "whose history? give --id, --message-id, --from or --to".to_owned(),
            )),
        }
    }
}

pub(super) async fn history(asked: &HistoryOf, asker: &Asker) -> Outcome {
    let query = HistoryQuery {
        id: asked.id.clone(),
        message_id: asked.message_id.clone(),
        from: asked.from.clone(),
        to: asked.to.clone(),
        limit: Some(asked.limit.saturating_add(1)), // to see whether there are more
    };
    let mut answer = asker
        .lines(&format!("/api/v1/history{}", query_of(&query)?))
        .await?;
    let screen = Screen::of_output();
    let mut out = output();
    let mut count = 0;
    while let Some((line, entry)) = answer.entry::<HistoryEntry>().await? {
        if count == asked.limit {
            if !asked.json {
                writeln!(out, "\nmore match: --limit {} leaves them out", asked.limit)?;
            }
            break;
        }
        count += 1;
        if asked.json {
            screen.json_line(&mut out, &line)?;
            continue;
        }
        if count > 1 {
            writeln!(out)?;
        }
        print(&entry, &screen, &mut out)?;
    }
    out.flush()?;
    match count {
        0 => Err(CommandError::NotFound(
            "nothing is known of such mail".to_owned(),
        )),
        _ => Ok(()),
    }
}

fn print(of_one: &HistoryEntry, screen: &Screen, out: &mut impl Write) -> io::Result<()> {
    let HistoryEntry {
        entry,
        message_id,
        history,
    } = of_one;
    writeln!(
        out,
        "{}  from <{}>, {}",
        Shown(&entry.id),
        Shown(&entry.from),
        ago(&entry.arrived, screen.now)
    )?;
    if let Some(message_id) = message_id {
        writeln!(out, "  <{}>", Shown(message_id))?;
    }
    writeln!(
        out,
        "  to {}  {}",
        screen.paint(Paint::Strong, &Shown(&entry.to).to_string()),
        screen.paint(
            Paint::of_state(&entry.state),
            &Shown(&entry.state).to_string()
        ),
    )?;
    print_events(history, usize::MAX, screen, out)
}

#[cfg(test)]
mod tests {
    use expect_test::expect;

    use super::super::entries::tests::{NOON, entry};
    use super::super::show::tests::events;
    use super::*;

    #[test]
    fn what_became_of_a_recipient_is_told_in_order() {
        let of_one = HistoryEntry {
            entry: entry("bob@dest.test", "delivered"),
            message_id: Some("1@gp.test".to_owned()),
            history: events(),
        };
        let screen = Screen {
            width: None,
            colour: false,
            now: NOON,
        };
        let mut out = Vec::new();
        print(&of_one, &screen, &mut out).unwrap();
        expect![[r#"
            01KBKZ4X2Q7V8N3M5T6R9WYEAF  from <ann@gp.test>, 30m ago
              <1@gp.test>
              to bob@dest.test  delivered
              11:30:01  attempt 1 at mx1.dest.test[192.0.2.1]:25: 451 4.7.1 come \u{202e}again
              11:50:00  hold by root (sudo from ann): is it spam?
              11:56:00  attempt 2 at mx1.dest.test[192.0.2.1]:25: 451 4.7.1 come \u{202e}again
        "#]]
        .assert_eq(&String::from_utf8(out).unwrap());
    }
}
