//! Orders for sets of recipients: counted first, asked about if it is more than one message, then
//! given.

use std::io::{self, Write};

use clap::Args;
use tokio::signal::unix::{Signal, SignalKind, signal};

use crate::admin::api::{Order, OrderLine, OrderProgress, OrderResult};
use crate::cli::ask::{Answer, Asker};
use crate::cli::ending::{CommandError, Outcome};
use crate::cli::filter::{Filtering, names_something, one_message};
use crate::cli::screen::{Progress, Screen, agreed, ahead, clock, grouped, of, output};
use crate::cli::surroundings;

use super::cut_off;
use super::entries::Entries;

/// What can be done to recipients.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Action {
    Retry,
    Hold,
    Release,
    Purge,
    Restore,
    Bounce,
}

impl Action {
    /// Its name, on the command line and in paths.
    fn name(self) -> &'static str {
        match self {
            Action::Retry => "retry",
            Action::Hold => "hold",
            Action::Release => "release",
            Action::Purge => "purge",
            Action::Restore => "restore",
            Action::Bounce => "bounce",
        }
    }

    /// What it has done.
    fn past(self) -> &'static str {
        match self {
            Action::Retry => "to be attempted now",
            Action::Hold => "held",
            Action::Release => "released",
            Action::Purge => "purged",
            Action::Restore => "restored",
            Action::Bounce => "bounced",
        }
    }
}

/// Which recipients, and how careful.
#[derive(Args)]
#[command(after_help = "\
Without --yes, a terminal shows how many recipients are meant, and asks, if they are of more than one
message; where nobody can answer, --yes is needed then.

Examples (the same filters on retry, hold, release, purge, restore and bounce):
  gopherpost queue hold 01KBKZ4X2Q7V8N3M5T6R9WYEAF --reason 'is this spam?'
  gopherpost queue purge --from '<>' --older-than 1d --dry-run
  gopherpost queue purge --from 'news@*' --domain gone.example --yes --reason TICKET-1
  gopherpost queue restore --from 'news@*' --yes

Exit status 3: nothing matches.")]
pub(in crate::cli) struct Ordering {
    /// Queue ids of messages
    #[arg(value_name = "ID")]
    ids: Vec<String>,
    /// Count and show a sample, change nothing
    #[arg(long, short = 'n')]
    dry_run: bool,
    /// Don't ask
    #[arg(long, short)]
    yes: bool,
    /// Why, for the log and the messages' history
    #[arg(
        long,
        value_name = "TEXT",
        default_value = "",
        hide_default_value = true
    )]
    reason: String,
    /// Print JSON Lines
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    filter: Filtering,
}

/// An [`Ordering`] whose attempts can be spread.
#[derive(Args)]
#[command(after_help = "\
Without --yes, a terminal shows how many recipients are meant, and asks, if they are of more than one
message; where nobody can answer, --yes is needed then.

Examples:
  gopherpost queue retry 01KBKZ4X2Q7V8N3M5T6R9WYEAF
  gopherpost queue retry --domain example.org --yes
  gopherpost queue retry --reply 'relay access denied' --rate 10/s --yes
  gopherpost queue release --all --rate 100/m --yes

Exit status 3: nothing matches.")]
pub(in crate::cli) struct PacedOrdering {
    /// Spread the attempts, such as 10/s or 100/m
    #[arg(long, value_name = "RATE")]
    pub(super) rate: Option<String>,
    #[command(flatten)]
    pub(super) ordering: Ordering,
}

impl Ordering {
    /// As the API takes it, if it is meant for anybody.
    pub(super) fn order(&self, rate: Option<String>) -> Result<Order, CommandError> {
        let filter = self.filter.filter(&self.ids);
        names_something(&filter)?;
        Ok(Order {
            filter,
            dry_run: self.dry_run,
            reason: self.reason.clone(),
            rate,
        })
    }
}

pub(super) async fn carry_out(
    action: Action,
    order: Order,
    asked: &Ordering,
    asker: &Asker,
) -> Outcome {
    let sure = asked.yes || order.dry_run || one_message(&order.filter);
    if !sure {
        let count = Order {
            dry_run: true,
            ..order.clone()
        };
        let mut answer = begin(action, &count, asker).await?;
        let found = follow(action, true, &mut answer, |_| Ok(())).await?;
        something(&found)?;
        if found.messages > 1 {
            confirm(action, &found).await?;
        }
    }
    let mut answer = begin(action, &order, asker).await?;
    let screen = Screen::of_output();
    let mut out = output();
    let done = follow(action, order.dry_run, &mut answer, |line| {
        match asked.json {
            true => screen.json_line(&mut out, line),
            false => Ok(()),
        }
    })
    .await;
    out.flush()?; // the lines before a failure, too
    let done = done?;
    something(&done)?;
    match (asked.json, done.dry_run) {
        (true, _) => {}
        (false, true) => {
            writeln!(out, "{}:", would(action, &done))?;
            print_sample(&done, screen, &mut out)?;
        }
        (false, false) => print_done(action, &done, &screen, &mut out)?,
    }
    out.flush()?;
    Ok(())
}

async fn begin(action: Action, order: &Order, asker: &Asker) -> Result<Answer, CommandError> {
    asker
        .post(&format!("/api/v1/queue/{}", action.name()), order)
        .await
}

/// Shows how far it is, until it is done.
async fn follow(
    action: Action,
    dry_run: bool,
    answer: &mut Answer,
    mut line_came: impl FnMut(&str) -> io::Result<()>,
) -> Result<OrderResult, CommandError> {
    let mut interrupted = signal(SignalKind::interrupt()).map_err(CommandError::failed)?;
    let mut bar = Progress::new();
    let mut last = OrderProgress::default();
    loop {
        let line = next_line(answer, &mut interrupted).await;
        let (line, meaning) = line.map_err(|error| {
            bar.clear();
            stopped(&error, dry_run, &last)
        })?;
        line_came(&line)?;
        match meaning {
            OrderLine::Progress(progress) => {
                last = progress;
                let words = format!(", {} match", grouped(progress.matched));
                bar.show(
                    action.name(),
                    progress.examined,
                    progress.to_examine,
                    &words,
                );
            }
            OrderLine::Done(result) => return Ok(result),
            OrderLine::Failed { error, progress } => {
                return Err(stopped(&CommandError::Failed(error), dry_run, &progress));
            }
        }
    }
}

async fn next_line(
    answer: &mut Answer,
    interrupted: &mut Signal,
) -> Result<(String, OrderLine), CommandError> {
    tokio::select! {
        biased;
        _ = interrupted.recv() => Err(CommandError::Failed("interrupted".to_owned())),
        line = answer.entry() => line?.ok_or_else(cut_off),
    }
}

/// What is so when an order has not come to its end. More may have been changed than was told.
fn stopped(why: &CommandError, dry_run: bool, told: &OrderProgress) -> CommandError {
    CommandError::Failed(match (dry_run, told.changed) {
        (true, _) => format!("{why}; nothing was changed"),
        (false, 0) => format!("{why}; what was done stays so, the same command again goes on"),
        (false, changed) => format!(
            "{why}; at least {} changed and stay so, the same command again goes on",
            of(changed, "recipient"),
        ),
    })
}

fn something(found: &OrderResult) -> Result<(), CommandError> {
    match found.matched {
        0 => Err(CommandError::NotFound(
            "nothing matches that this can be done to".to_owned(),
        )),
        _ => Ok(()),
    }
}

/// Asks whoever sits there; where nobody does, that is a no.
async fn confirm(action: Action, found: &OrderResult) -> Result<(), CommandError> {
    let would = would(action, found);
    if !surroundings::somebody_is_there() {
        return Err(CommandError::Usage(format!(
            "{would}: say --yes if that is meant, or --dry-run to see some of them"
        )));
    }
    let mut error = io::stderr().lock();
    writeln!(error, "{would}:")?;
    print_sample(found, Screen::of_error(), &mut error)?;
    drop(error);
    match agreed(&format!("{}?", action.name())).await? {
        true => Ok(()),
        false => Err(CommandError::Failed("nothing was changed".to_owned())),
    }
}

fn would(action: Action, found: &OrderResult) -> String {
    format!(
        "{} would be for {} of {}",
        action.name(),
        of(found.matched, "recipient"),
        of(found.messages, "message"),
    )
}

fn print_sample(found: &OrderResult, screen: Screen, out: &mut impl Write) -> io::Result<()> {
    let entries = Entries::new(screen);
    if !found.sample.is_empty() {
        entries.titles(out)?;
    }
    for entry in &found.sample {
        entries.row(entry, out)?;
    }
    let shown = u64::try_from(found.sample.len()).unwrap_or(u64::MAX);
    match found.matched.saturating_sub(shown) {
        0 => Ok(()),
        more => writeln!(out, "and {} more", grouped(more)),
    }
}

fn print_done(
    action: Action,
    done: &OrderResult,
    screen: &Screen,
    out: &mut impl Write,
) -> io::Result<()> {
    writeln!(
        out,
        "{} of {} {}",
        of(done.changed, "recipient"),
        of(done.messages, "message"),
        action.past()
    )?;
    if done.in_flight > 0 {
        writeln!(
            out,
            "of these {} attempted right now: it takes effect when that has ended, unless a host has taken the mail",
            match done.in_flight {
                1 => "1 is".to_owned(),
                count => format!("{} are", grouped(count)),
            }
        )?;
    }
    if done.overtaken > 0 {
        writeln!(
            out,
            "{} left alone, having changed meanwhile; the same command again takes them",
            of(done.overtaken, "recipient")
        )?;
    }
    if let Some(until) = &done.restorable_until {
        writeln!(
            out,
            "gopherpost queue restore brings them back until {} ({})",
            clock(until, screen.now),
            ahead(until, screen.now)
        )?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use expect_test::{Expect, expect};

    use super::super::entries::tests::{NOON, entry};
    use super::*;

    const SCREEN: Screen = Screen {
        width: Some(80),
        colour: false,
        now: NOON,
    };

    fn result() -> OrderResult {
        OrderResult {
            action: "purge".to_owned(),
            matched: 1_200,
            changed: 1_199,
            in_flight: 2,
            overtaken: 1,
            messages: 40,
            sample: vec![
                entry("bob@dest.test", "deferred"),
                entry("\u{1b}c@d.test", "held"),
            ],
            restorable_until: Some("2026-11-25T13:00:00Z".to_owned()),
            ..OrderResult::default()
        }
    }

    #[track_caller]
    fn check(print: impl FnOnce(&mut Vec<u8>), want: Expect) {
        let mut out = Vec::new();
        print(&mut out);
        want.assert_eq(&String::from_utf8(out).unwrap());
    }

    #[test]
    fn what_would_be_done_is_told_with_a_sample() {
        assert_eq!(
            would(Action::Purge, &result()),
            "purge would be for 1,200 recipients of 40 messages"
        );
        check(
            |out| print_sample(&result(), SCREEN, out).unwrap(),
            expect![[r#"
                ID                          STATE       AGE  NEXT    TO
                01KBKZ4X2Q7V8N3M5T6R9WYEAF  deferred    30m  in 4m   bob@dest.test
                01KBKZ4X2Q7V8N3M5T6R9WYEAF  held        30m  -       \u{1b}c@d.test
                and 1,198 more
            "#]],
        );
    }

    #[test]
    fn what_was_done_is_told_with_what_it_means() {
        check(
            |out| print_done(Action::Purge, &result(), &SCREEN, out).unwrap(),
            expect![[r#"
                1,199 recipients of 40 messages purged
                of these 2 are attempted right now: it takes effect when that has ended, unless a host has taken the mail
                1 recipient left alone, having changed meanwhile; the same command again takes them
                gopherpost queue restore brings them back until 13:00:00 (in 1h)
            "#]],
        );
        let one = OrderResult {
            matched: 1,
            changed: 1,
            messages: 1,
            ..OrderResult::default()
        };
        check(
            |out| print_done(Action::Retry, &one, &SCREEN, out).unwrap(),
            expect![[r#"
                1 recipient of 1 message to be attempted now
            "#]],
        );
    }

    #[test]
    fn what_stopped_early_says_what_stays() {
        let progress = OrderProgress {
            examined: 10,
            to_examine: 20,
            matched: 5,
            changed: 4,
        };
        let why = CommandError::Failed("interrupted".to_owned());
        let told = |dry_run, progress: &OrderProgress| stopped(&why, dry_run, progress).to_string();
        assert_eq!(
            told(false, &progress),
            "interrupted; at least 4 recipients changed and stay so, the same command again goes on"
        );
        assert_eq!(
            told(false, &OrderProgress::default()),
            "interrupted; what was done stays so, the same command again goes on"
        );
        assert_eq!(told(true, &progress), "interrupted; nothing was changed");
    }
}
