//! `gopherpost queue show`: one message, on a screen or two.

use std::io::{self, Write};

use clap::Args;

use crate::admin::api::{HistoryEvent, ShownMessage, ShownRecipient};
use crate::cli::ask::{Asker, segment};
use crate::cli::ending::Outcome;
use crate::cli::screen::{Paint, Screen, ago, ahead, clock, grouped, octets, output};
use crate::observe::Shown;

use super::entries::Entries;

/// Recipients that are told with everything; of more, each has a row.
const DETAILED_MAX: usize = 4;
/// Attempts that are shown of a recipient: the latest.
const EVENTS_MAX: usize = 6;
/// Lines of the header that are shown without the body.
const HEADER_LINES_MAX: usize = 30;

#[derive(Args)]
#[command(after_help = "\
Examples:
  gopherpost queue show 01KBKZ4X2Q7V8N3M5T6R9WYEAF
  gopherpost queue show --body 01KBKZ4X2Q7V8N3M5T6R9WYEAF | less
  gopherpost queue show --json 01KBKZ4X2Q7V8N3M5T6R9WYEAF | jq .recipients[].why

Exit status 3: there is no such message.")]
pub(in crate::cli) struct Show {
    /// Queue id
    id: String,
    /// Show the whole header and the body, too
    #[arg(long)]
    body: bool,
    /// Print JSON
    #[arg(long, conflicts_with = "body")]
    json: bool,
}

pub(super) async fn show(asked: &Show, asker: &Asker) -> Outcome {
    let path = format!("/api/v1/queue/{}", segment(&asked.id));
    let screen = Screen::of_output();
    let mut out = output();
    if asked.json {
        let answer = asker.lines(&path).await?;
        screen.json_line(&mut out, answer.text().await?.trim_end())?;
        out.flush()?;
        return Ok(());
    }
    let message: ShownMessage = asker.get(&path).await?;
    print(&message, &screen, &mut out)?;
    if asked.body {
        print_octets(&format!("{path}/message"), asker, &mut out).await?;
    } else {
        print_header(&message.header, &mut out)?;
    }
    out.flush()?;
    Ok(())
}

/// Prints what is text, line by line, whatever the octets are.
async fn print_octets(path: &str, asker: &Asker, out: &mut impl Write) -> Outcome {
    let mut answer = asker.lines(path).await?;
    writeln!(out)?;
    while let Some(line) = answer.line().await? {
        print_line(&line, out)?;
    }
    Ok(())
}

fn print_header(header: &str, out: &mut impl Write) -> io::Result<()> {
    writeln!(out)?;
    let mut lines = header.lines();
    for line in lines.by_ref().take(HEADER_LINES_MAX) {
        print_line(line, out)?;
    }
    match lines.count() {
        0 => Ok(()),
        more => writeln!(out, "  ... and {more} more lines (--body shows all)"),
    }
}

fn print_line(line: &str, out: &mut impl Write) -> io::Result<()> {
    let line = line.trim_end_matches('\r').replace('\t', "    ");
    writeln!(out, "  {}", Shown(line))
}

fn print(message: &ShownMessage, screen: &Screen, out: &mut impl Write) -> io::Result<()> {
    let ShownMessage {
        id,
        from,
        arrived,
        size,
        message_id,
        client,
        envelope_id,
        body_kind,
        smtputf8,
        report_of,
        header: _,
        recipients,
    } = message;
    writeln!(
        out,
        "{}  from <{}>, {}, {}",
        screen.paint(Paint::Strong, &Shown(id).to_string()),
        Shown(from),
        octets(*size),
        ago(arrived, screen.now)
    )?;
    let mut field = |name: &str, value: &str| writeln!(out, "  {name:9}  {}", Shown(value));
    field("arrived", arrived)?;
    field("client", client)?;
    if let Some(message_id) = message_id {
        field("message", &format!("<{message_id}>"))?;
    }
    if let Some(report_of) = report_of {
        field("report of", report_of)?;
    }
    let utf8 = if *smtputf8 { ", SMTPUTF8" } else { "" };
    let envelope = envelope_id.as_ref().map(|id| format!(", ENVID {id}"));
    field(
        "form",
        &format!("{body_kind}{utf8}{}", envelope.unwrap_or_default()),
    )?;

    if recipients.len() <= DETAILED_MAX {
        for rcpt in recipients {
            print_recipient(rcpt, screen, out)?;
        }
        return Ok(());
    }
    let count = u64::try_from(recipients.len()).unwrap_or(u64::MAX);
    writeln!(
        out,
        "\n{} recipients; queue history --id {id} has all of their attempts",
        grouped(count)
    )?;
    let entries = Entries::new(*screen);
    entries.titles(out)?;
    for rcpt in recipients {
        entries.row(&rcpt.entry, out)?;
    }
    Ok(())
}

fn print_recipient(rcpt: &ShownRecipient, screen: &Screen, out: &mut impl Write) -> io::Result<()> {
    let ShownRecipient {
        entry,
        why,
        history,
    } = rcpt;
    let tries = match entry.attempts {
        1 => "1 attempt".to_owned(),
        attempts => format!("{attempts} attempts"),
    };
    let next = entry.next_attempt.as_ref();
    let next = next.map(|next| format!(", next {}", ahead(next, screen.now)));
    writeln!(
        out,
        "\nto {}  {}, {tries}{}",
        screen.paint(Paint::Strong, &Shown(&entry.to).to_string()),
        screen.paint(
            Paint::of_state(&entry.state),
            &Shown(&entry.state).to_string()
        ),
        next.unwrap_or_default()
    )?;
    writeln!(out, "  why        {}", Shown(why))?;
    print_events(history, EVENTS_MAX, screen, out)
}

/// The latest of them, the oldest of these first.
pub(super) fn print_events(
    events: &[HistoryEvent],
    events_max: usize,
    screen: &Screen,
    out: &mut impl Write,
) -> io::Result<()> {
    let left_out = events.len().saturating_sub(events_max);
    if left_out > 0 {
        writeln!(out, "  ... {left_out} earlier (queue history has them)")?;
    }
    for event in &events[left_out..] {
        writeln!(out, "  {}", Shown(event_line(event, screen)))?;
    }
    Ok(())
}

fn event_line(event: &HistoryEvent, screen: &Screen) -> String {
    let HistoryEvent {
        at,
        what,
        attempt,
        remote,
        status,
        reply,
        by,
    } = event;
    let mut line = format!("{}  {what}", clock(at, screen.now));
    if let Some(attempt) = attempt {
        line.push_str(&format!(" {attempt}"));
    }
    if let Some(by) = by {
        line.push_str(&format!(" by {by}"));
    }
    if let Some(remote) = remote {
        line.push_str(&format!(" at {remote}"));
    }
    match (reply.as_deref(), status) {
        // a reply mostly has its status in it
        (Some(reply), Some(status)) if !reply.is_empty() && !reply.contains(status.as_str()) => {
            line.push_str(&format!(": {status} {reply}"));
        }
        (Some(reply), _) if !reply.is_empty() => line.push_str(&format!(": {reply}")),
        (_, Some(status)) => line.push_str(&format!(": {status}")),
        (_, None) => {}
    }
    line
}

#[cfg(test)]
pub(super) mod tests {
    use expect_test::{Expect, expect};

    use super::super::entries::tests::{NOON, entry};
    use super::*;

    pub(in crate::cli::queue) fn events() -> Vec<HistoryEvent> {
        let attempt = |number: u32, at: &str| HistoryEvent {
            at: at.to_owned(),
            what: "attempt".to_owned(),
            attempt: Some(number),
            remote: Some("mx1.dest.test[192.0.2.1]:25".to_owned()),
            status: Some("4.7.1".to_owned()),
            reply: Some("451 4.7.1 come \u{202e}again".to_owned()),
            by: None,
        };
        let hold = HistoryEvent {
            at: "2026-11-25T11:50:00Z".to_owned(),
            what: "hold".to_owned(),
            attempt: None,
            remote: None,
            status: None,
            reply: Some("is it spam?".to_owned()),
            by: Some("root (sudo from ann)".to_owned()),
        };
        let mut events = vec![attempt(1, "2026-11-25T11:30:01Z"), hold];
        events.push(attempt(2, "2026-11-25T11:56:00Z"));
        events
    }

    fn message(recipients: usize) -> ShownMessage {
        ShownMessage {
            id: "01KBKZ4X2Q7V8N3M5T6R9WYEAF".to_owned(),
            from: "ann@gp.test".to_owned(),
            arrived: "2026-11-25T11:30:00Z".to_owned(),
            size: 2_500,
            message_id: Some("1@gp.test".to_owned()),
            client: "127.0.0.1, HELO app.test".to_owned(),
            envelope_id: Some("QQ314159".to_owned()),
            body_kind: "8bitmime".to_owned(),
            smtputf8: true,
            report_of: None,
            header: "Subject: a\tb\r\n c\u{1b}[31m\r\nTo: bob@dest.test\r\n".to_owned(),
            recipients: (0..recipients)
                .map(|_| ShownRecipient {
                    entry: entry("bob@dest.test", "deferred"),
                    why: "the host asked to come again".to_owned(),
                    history: events(),
                })
                .collect(),
        }
    }

    #[track_caller]
    fn check(message: &ShownMessage, want: Expect) {
        let screen = Screen {
            width: Some(80),
            colour: false,
            now: NOON,
        };
        let mut out = Vec::new();
        print(message, &screen, &mut out).unwrap();
        print_header(&message.header, &mut out).unwrap();
        want.assert_eq(&String::from_utf8(out).unwrap());
    }

    #[test]
    fn a_message_is_shown_with_all_that_is_known() {
        check(
            &message(1),
            expect![[r#"
            01KBKZ4X2Q7V8N3M5T6R9WYEAF  from <ann@gp.test>, 2.4K, 30m ago
              arrived    2026-11-25T11:30:00Z
              client     127.0.0.1, HELO app.test
              message    <1@gp.test>
              form       8bitmime, SMTPUTF8, ENVID QQ314159

            to bob@dest.test  deferred, 2 attempts, next in 4m
              why        the host asked to come again
              11:30:01  attempt 1 at mx1.dest.test[192.0.2.1]:25: 451 4.7.1 come \u{202e}again
              11:50:00  hold by root (sudo from ann): is it spam?
              11:56:00  attempt 2 at mx1.dest.test[192.0.2.1]:25: 451 4.7.1 come \u{202e}again

              Subject: a    b
               c\u{1b}[31m
              To: bob@dest.test
        "#]],
        );
    }

    #[test]
    fn of_many_recipients_each_has_a_row() {
        check(
            &message(5),
            expect![[r#"
            01KBKZ4X2Q7V8N3M5T6R9WYEAF  from <ann@gp.test>, 2.4K, 30m ago
              arrived    2026-11-25T11:30:00Z
              client     127.0.0.1, HELO app.test
              message    <1@gp.test>
              form       8bitmime, SMTPUTF8, ENVID QQ314159

            5 recipients; queue history --id 01KBKZ4X2Q7V8N3M5T6R9WYEAF has all of their attempts
            ID                          STATE       AGE  NEXT    TO
            01KBKZ4X2Q7V8N3M5T6R9WYEAF  deferred    30m  in 4m   bob@dest.test
            01KBKZ4X2Q7V8N3M5T6R9WYEAF  deferred    30m  in 4m   bob@dest.test
            01KBKZ4X2Q7V8N3M5T6R9WYEAF  deferred    30m  in 4m   bob@dest.test
            01KBKZ4X2Q7V8N3M5T6R9WYEAF  deferred    30m  in 4m   bob@dest.test
            01KBKZ4X2Q7V8N3M5T6R9WYEAF  deferred    30m  in 4m   bob@dest.test

              Subject: a    b
               c\u{1b}[31m
              To: bob@dest.test
        "#]],
        );
    }

    #[test]
    fn long_headers_are_cut() {
        let mut out = Vec::new();
        print_header(&"X: y\r\n".repeat(40), &mut out).unwrap();
        let printed = String::from_utf8(out).unwrap();
        assert_eq!(printed.lines().count(), HEADER_LINES_MAX + 2);
        assert!(printed.ends_with("  ... and 10 more lines (--body shows all)\n"));
    }
}
