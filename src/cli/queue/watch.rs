//! `gopherpost queue watch`: what happens, as it happens, a line for each event.

use std::io::Write;

use clap::Args;
use serde_json::{Map, Value};
use tokio::signal::unix::{SignalKind, signal};

use crate::cli::ask::Asker;
use crate::cli::ending::{CommandError, Outcome};
use crate::cli::screen::{Paint, Screen, output};
use crate::observe::Shown;

/// Names that events have a field by.
const TIME: &str = "timestamp";
const EVENT: &str = "event";
const ID: &str = "queue_id";
const TO: &str = "rcpt";

#[derive(Args)]
#[command(after_help = "\
Ends with Ctrl-C. `gopherpost audit on` adds what is otherwise at debug level.

Examples:
  gopherpost queue watch
  gopherpost queue watch --domain gmail.com,googlemail.com
  gopherpost queue watch --json | jq 'select(.event == \"failed\")'")]
pub(in crate::cli) struct Watch {
    /// Only events of these messages
    #[arg(long, value_name = "ID,...", value_delimiter = ',')]
    id: Vec<String>,
    /// Only events of these recipients; * stands for anything
    #[arg(long, value_name = "ADDRESS,...", value_delimiter = ',')]
    to: Vec<String>,
    /// Only events of recipients in these domains, or of these destinations; * stands for anything
    #[arg(long, value_name = "DOMAIN,...", value_delimiter = ',')]
    domain: Vec<String>,
    /// Print JSON Lines
    #[arg(long)]
    json: bool,
}

pub(super) async fn watch(asked: &Watch, asker: &Asker) -> Outcome {
    let mut interrupted = signal(SignalKind::interrupt()).map_err(CommandError::failed)?;
    let mut events = asker.lines("/audit").await?.however_silent();
    let screen = Screen::of_output();
    let mut out = output();
    loop {
        let event = tokio::select! {
            biased;
            _ = interrupted.recv() => return Ok(()), // how it is meant to end
            event = events.entry::<Map<String, Value>>() => event?,
        };
        let Some((line, event)) = event else {
            return Err(CommandError::Failed("the relay has stopped".to_owned()));
        };
        if !asked.wants(&event) {
            continue;
        }
        match asked.json {
            true => screen.json_line(&mut out, &line)?,
            false => writeln!(out, "{}", event_line(&event, &screen))?,
        }
        out.flush()?; // as it happens
    }
}

impl Watch {
    fn wants(&self, event: &Map<String, Value>) -> bool {
        let text = |name| event.get(name).and_then(Value::as_str);
        let any = |patterns: &[String], texts: &[Option<&str>]| {
            let mut texts = texts.iter().flatten();
            patterns.is_empty()
                || texts.any(|text| patterns.iter().any(|pattern| matches(pattern, text)))
        };
        let to = text(TO);
        let domain = to
            .and_then(|to| to.rsplit_once('@'))
            .map(|(_, domain)| domain);
        any(&self.id, &[text(ID)])
            && any(&self.to, &[to])
            && any(&self.domain, &[domain, text("destination")])
    }
}

/// Whether `text` is as `pattern` says, in which `*` stands for anything. Case does not matter.
fn matches(pattern: &str, text: &str) -> bool {
    let (pattern, text) = (pattern.to_lowercase(), text.to_lowercase());
    let mut parts = pattern.split('*');
    let Some(mut rest) = parts.next().and_then(|first| text.strip_prefix(first)) else {
        return false;
    };
    let mut parts = parts.peekable();
    if parts.peek().is_none() {
        return rest.is_empty();
    }
    while let Some(part) = parts.next() {
        if parts.peek().is_none() {
            return rest.ends_with(part);
        }
        match rest.find(part) {
            Some(at) => rest = &rest[at + part.len()..],
            None => return false,
        }
    }
    true
}

/// Time, name and whom it is about, then everything else by name.
fn event_line(event: &Map<String, Value>, screen: &Screen) -> String {
    let text = |name| event.get(name).and_then(Value::as_str).unwrap_or_default();
    // 2026-11-25T12:00:00.123456Z: the day is today
    let time = text(TIME)
        .split_once('T')
        .map_or(text(TIME), |(_, time)| time);
    let time = time
        .split('.')
        .next()
        .unwrap_or_default()
        .trim_end_matches('Z');
    let name = text(EVENT);
    let name = screen.paint(
        Paint::of_state(name),
        &format!("{:12}", Shown(name).to_string()),
    );
    let mut line = format!("{}  {name}", Shown(time));
    for whom in [text(ID), text(TO)] {
        if !whom.is_empty() {
            line.push_str(&format!("  {}", Shown(whom)));
        }
    }
    for (name, value) in event {
        if [TIME, EVENT, ID, TO, "level", "message", "target"].contains(&&**name) || value.is_null()
        {
            continue;
        }
        let value = match value {
            Value::String(text) if text.contains(' ') => format!("{text:?}"),
            Value::String(text) => text.clone(),
            other => other.to_string(),
        };
        line.push_str(&format!("  {}={}", Shown(name), Shown(value)));
    }
    line
}

#[cfg(test)]
mod tests {
    use expect_test::expect;

    use super::super::entries::tests::NOON;
    use super::*;

    fn event() -> Map<String, Value> {
        let event = serde_json::json!({
            "timestamp": "2026-11-25T12:00:00.123456Z", "level": "INFO", "event": "delivered",
            "queue_id": "01KBKZ4X2Q7V8N3M5T6R9WYEAF", "rcpt": "bob@Dest.test", "attempt": 1,
            "reply": "250 2.0.0 \u{1b}ok", "remote": null, "message": "delivered",
        });
        serde_json::from_value(event).unwrap()
    }

    #[test]
    fn an_event_is_a_line() {
        let screen = Screen {
            width: None,
            colour: false,
            now: NOON,
        };
        expect![[r#"12:00:00  delivered     01KBKZ4X2Q7V8N3M5T6R9WYEAF  bob@Dest.test  attempt=1  reply="250 2.0.0 \u{1b}ok""#]].assert_eq(&event_line(&event(), &screen));
    }

    #[test]
    fn only_events_that_are_wanted_are_shown() {
        let list = |list: &[&str]| list.iter().map(|one| (*one).to_owned()).collect();
        for (id, to, domain, want) in [
            (&[][..], &[][..], &[][..], true),
            (&["01KBKZ4X2Q7V8N3M5T6R9WYEAF"], &[], &["*.test"], true),
            (&["01KBKZ4X2Q7V8N3M5T6R9WYEAG"], &[], &[], false),
            (&[], &["ann@*", "BOB@*"], &["dest.test"], true),
            (&[], &["bob@*"], &["other.test"], false),
        ] {
            let watch = Watch {
                id: list(id),
                to: list(to),
                domain: list(domain),
                json: false,
            };
            assert_eq!(watch.wants(&event()), want, "{id:?} {to:?} {domain:?}");
        }
    }

    #[test]
    fn a_star_stands_for_anything() {
        for (pattern, text, want) in [
            ("a.test", "A.test", true),
            ("a.test", "ba.test", false),
            ("*.test", "a.b.test", true),
            ("a*b*c", "a1b2b3c", true),
            ("a*b*c", "a1c", false),
            ("a*a", "a", false),
            ("*", "", true),
        ] {
            assert_eq!(matches(pattern, text), want, "{pattern} {text}");
        }
    }
}
