//! `gopherpost queue stats`: what waits for which destination, and for how long.

use std::io::{self, Write};

use clap::Args;

use crate::admin::api::{DestinationStats, Stats};
use crate::cli::ask::Asker;
use crate::cli::ending::Outcome;
use crate::cli::screen::{
    Cell, Column, Paint, Screen, Table, ahead, grouped, octets, of, output, short, span,
};
use crate::observe::Shown;

/// Stands before the name of a destination that is suspended.
const SUSPENDED: &str = "* ";

#[derive(Args)]
#[command(after_help = "\
The columns count recipients by age: `10` has those that arrived from 5 to 10 minutes ago, T is the
total. Destinations marked with * are suspended.

Examples:
  gopherpost queue stats
  gopherpost queue stats --json | jq '.oldest_age_seconds.deferred'")]
pub(in crate::cli) struct StatsOf {
    /// At most so many destinations, those with the most recipients first
    #[arg(long, value_name = "N", default_value_t = 20)]
    limit: u64,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

pub(super) async fn stats(asked: &StatsOf, asker: &Asker) -> Outcome {
    let path = format!("/api/v1/stats?limit={}", asked.limit);
    let screen = Screen::of_output();
    let mut out = output();
    if asked.json {
        let answer = asker.lines(&path).await?;
        screen.json_line(&mut out, answer.text().await?.trim_end())?;
    } else {
        print(&asker.get(&path).await?, screen, &mut out)?;
    }
    out.flush()?;
    Ok(())
}

fn print(stats: &Stats, screen: Screen, out: &mut impl Write) -> io::Result<()> {
    writeln!(
        out,
        "{}, {}",
        of(stats.messages, "message"),
        octets(stats.bytes)
    )?;
    let states = [
        "queued",
        "in_flight",
        "deferred",
        "held",
        "delivered",
        "failed",
        "expired",
        "purged",
    ];
    for state in states {
        let Some(count) = stats.recipients.get(state).filter(|count| **count > 0) else {
            continue;
        };
        let oldest = stats.oldest_age_seconds.get(state);
        let oldest = oldest.map(|seconds| format!(", the oldest for {}", span(*seconds)));
        let padded = format!("{state:9}");
        writeln!(
            out,
            "  {} {}{}",
            screen.paint(Paint::of_state(state), &padded),
            grouped(*count),
            oldest.unwrap_or_default()
        )?;
    }
    if stats.destinations.is_empty() {
        return writeln!(out, "nothing waits");
    }
    writeln!(out)?;
    print_destinations(stats, screen, out)
}

fn print_destinations(stats: &Stats, screen: Screen, out: &mut impl Write) -> io::Result<()> {
    let bounds = &stats.age_bounds_minutes;
    let mut columns = vec![
        Column {
            title: "",
            least: 12,
            share: 1,
            right: false,
        },
        number_column(5),
    ];
    columns.extend(bounds.iter().map(|_| number_column(4)));
    columns.push(number_column(5));
    let table = Table::with_gap(1, &columns, screen);

    let mut titles = vec!["DESTINATION".to_owned(), "T".to_owned()];
    titles.extend(bounds.iter().map(u64::to_string));
    titles.push(
        bounds
            .last()
            .map_or(String::new(), |last| format!("{last}+")),
    );
    let strong = |title| Cell::painted(Paint::Strong, title);
    table.row(titles.into_iter().map(strong), out)?;

    let number = |number: u64| match screen.width {
        Some(_) => short(number),
        None => number.to_string(),
    };
    let mut row = |name: Cell, total: u64, by_age: &[u64]| {
        let ages = (0..=bounds.len()).map(|at| by_age.get(at).copied().unwrap_or(0));
        let numbers = [total]
            .into_iter()
            .chain(ages)
            .map(|count| Cell::plain(number(count)));
        table.row([name].into_iter().chain(numbers), out)
    };
    row(strong("TOTAL".to_owned()), waiting(stats), &stats.by_age)?;
    for of_one in &stats.destinations {
        let name = match of_one.suspended_until {
            Some(_) => Cell::painted(Paint::Waits, format!("{SUSPENDED}{}", of_one.destination)),
            None => Cell::plain(&*of_one.destination),
        };
        row(name, of_one.recipients, &of_one.by_age)?;
    }
    if stats.left_out > 0 {
        writeln!(
            out,
            "and {} (--limit)",
            of(stats.left_out, "more destination")
        )?;
    }
    for of_one in &stats.destinations {
        if let DestinationStats {
            destination,
            suspended_until: Some(until),
            ..
        } = of_one
        {
            writeln!(
                out,
                "* {} is suspended, tried again {}",
                Shown(destination),
                Shown(again(until, &screen))
            )?;
        }
    }
    Ok(())
}

/// A time, or `resumed`: by hand.
fn again(until: &str, screen: &Screen) -> String {
    match until {
        "resumed" => "when it is resumed".to_owned(),
        until => ahead(until, screen.now),
    }
}

fn number_column(least: usize) -> Column {
    Column {
        title: "",
        least,
        share: 0,
        right: true,
    }
}

/// All that wait, those of destinations that are left out as well.
fn waiting(stats: &Stats) -> u64 {
    let states = ["queued", "in_flight", "deferred", "held"];
    let counts = states
        .iter()
        .filter_map(|state| stats.recipients.get(*state));
    counts.sum()
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use expect_test::{Expect, expect};

    use super::super::entries::tests::NOON;
    use super::*;

    fn stats() -> Stats {
        let of_one =
            |destination: &str, by_age: &[u64], suspended_until: Option<&str>| DestinationStats {
                destination: destination.to_owned(),
                recipients: by_age.iter().sum(),
                held: 0,
                by_age: by_age.to_vec(),
                oldest_age_seconds: 100,
                suspended_until: suspended_until.map(str::to_owned),
            };
        let counts = |counts: &[(&str, u64)]| -> BTreeMap<String, u64> {
            counts
                .iter()
                .map(|(state, count)| ((*state).to_owned(), *count))
                .collect()
        };
        Stats {
            at: "2026-11-25T12:00:00Z".to_owned(),
            messages: 1_100,
            bytes: 5_000_000,
            recipients: counts(&[
                ("queued", 12_000),
                ("deferred", 345),
                ("held", 0),
                ("delivered", 9),
            ]),
            oldest_age_seconds: counts(&[("queued", 200), ("deferred", 90_000)]),
            age_bounds_minutes: vec![5, 10, 20, 40, 80, 160, 320, 640, 1_280],
            by_age: vec![12_000, 0, 0, 340, 0, 0, 0, 0, 0, 5],
            destinations: vec![
                of_one("gmail.com", &[12_000], None),
                of_one(
                    "a-long-name.of-a-department.example.org",
                    &[0, 0, 0, 339, 0, 0, 0, 0, 0, 5],
                    Some("2026-11-25T12:12:00Z"),
                ),
            ],
            left_out: 1,
        }
    }

    #[track_caller]
    fn check(width: Option<usize>, want: Expect) {
        let screen = Screen {
            width,
            colour: false,
            now: NOON,
        };
        let mut out = Vec::new();
        print(&stats(), screen, &mut out).unwrap();
        let printed = String::from_utf8(out).unwrap();
        for line in printed.lines() {
            assert!(
                line.chars().count() <= width.unwrap_or(usize::MAX),
                "{line}"
            );
        }
        want.assert_eq(&printed);
    }

    #[test]
    fn ages_stand_beside_destinations() {
        check(
            Some(80),
            expect![[r#"
            1,100 messages, 4.7M
              queued    12,000, the oldest for 3m
              deferred  345, the oldest for 1d
              delivered 9

            DESTINATION                 T    5   10   20   40   80  160  320  640 1280 1280+
            TOTAL                     12k  12k    0    0  340    0    0    0    0    0     5
            gmail.com                 12k  12k    0    0    0    0    0    0    0    0     0
            * a-long-name.of-a-dep…   344    0    0    0  339    0    0    0    0    0     5
            and 1 more destination (--limit)
            * a-long-name.of-a-department.example.org is suspended, tried again in 12m
        "#]],
        );
        check(
            None,
            expect![[r#"
            1,100 messages, 4.7M
              queued    12,000, the oldest for 3m
              deferred  345, the oldest for 1d
              delivered 9

            DESTINATION      T    5   10   20   40   80  160  320  640 1280 1280+
            TOTAL        12345 12000    0    0  340    0    0    0    0    0     5
            gmail.com    12000 12000    0    0    0    0    0    0    0    0     0
            * a-long-name.of-a-department.example.org   344    0    0    0  339    0    0    0    0    0     5
            and 1 more destination (--limit)
            * a-long-name.of-a-department.example.org is suspended, tried again in 12m
        "#]],
        );
    }
}
