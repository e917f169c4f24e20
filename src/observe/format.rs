//! The formats of a line: text for people, JSON, and key=value pairs. In each, a line stays one line
//! whatever it tells of.

use std::fmt::{self, Write as _};

use tracing_subscriber::fmt::format::Writer;
use tracing_subscriber::fmt::time::{FormatTime as _, SystemTime};

use crate::config::LogFormat;

use super::line::{Line, Value};
use super::shown::{Shown, is_deceptive};

/// Appends `line` with the time and its line end.
pub(super) fn write(format: LogFormat, line: &Line<'_>, into: &mut String) {
    // A String takes everything.
    let _ = match format {
        LogFormat::Text => text(line, into),
        LogFormat::Json => json(line, into),
        LogFormat::Logfmt => logfmt(line, into),
    };
    into.push('\n');
}

/// `2026-11-25T10:00:00.000000Z  INFO delivered event="delivered" queue_id=...`
fn text(line: &Line<'_>, into: &mut String) -> fmt::Result {
    time(into)?;
    write!(into, " {:>5} {}", line.level, Shown(line.text))?;
    for (name, value) in line.fields {
        match value {
            Value::Absent => {}
            Value::Text(text) => write!(into, " {name}={text:?}")?,
            Value::Number(_) | Value::Flag(_) => write!(into, " {name}={value}")?,
            Value::Shown(_) => pair(name, value, into)?,
        }
    }
    Ok(())
}

/// `{"timestamp":"...","level":"INFO","message":"delivered","event":"delivered",...}`
fn json(line: &Line<'_>, into: &mut String) -> fmt::Result {
    into.push_str("{\"timestamp\":\"");
    time(into)?;
    write!(into, "\",\"level\":\"{}\",\"message\":", line.level)?;
    quoted(&line.text, into)?;
    for (name, value) in line.fields {
        match value {
            Value::Absent => {}
            Value::Number(_) | Value::Flag(_) => write!(into, ",\"{name}\":{value}")?,
            Value::Text(_) | Value::Shown(_) => {
                write!(into, ",\"{name}\":")?;
                quoted(value, into)?;
            }
        }
    }
    into.push('}');
    Ok(())
}

/// `ts=... level=info msg=delivered event=delivered queue_id=...`
fn logfmt(line: &Line<'_>, into: &mut String) -> fmt::Result {
    into.push_str("ts=");
    time(into)?;
    write!(into, " level={}", LowerLevel(line.level))?;
    pair("msg", &line.text, into)?;
    for (name, value) in line.fields {
        match value {
            Value::Absent => {}
            Value::Number(_) | Value::Flag(_) => write!(into, " {name}={value}")?,
            Value::Text(_) | Value::Shown(_) => pair(name, value, into)?,
        }
    }
    Ok(())
}

fn time(into: &mut String) -> fmt::Result {
    SystemTime.format_time(&mut Writer::new(into))
}

struct LowerLevel(tracing::Level);

impl fmt::Display for LowerLevel {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self.0 {
            tracing::Level::ERROR => "error",
            tracing::Level::WARN => "warn",
            tracing::Level::INFO => "info",
            tracing::Level::DEBUG => "debug",
            tracing::Level::TRACE => "trace",
        })
    }
}

/// A pair as logfmt has it, quoted if a reader could misunderstand it.
pub(super) fn pair(name: &str, value: &impl fmt::Display, into: &mut String) -> fmt::Result {
    write!(into, " {name}=")?;
    let start = into.len();
    write!(into, "{value}")?;
    let is_plain = |c: char| !c.is_whitespace() && !is_deceptive(c) && c != '"' && c != '=';
    if into.len() == start || !into[start..].chars().all(is_plain) {
        let value = into.split_off(start);
        write!(into, "{value:?}")?;
    }
    Ok(())
}

/// A JSON string. Beyond what must be escaped, so is what some reader takes for the end of a line.
fn quoted(value: &impl fmt::Display, into: &mut String) -> fmt::Result {
    into.push('"');
    write!(JsonEscaping(into), "{value}")?;
    into.push('"');
    Ok(())
}

struct JsonEscaping<'a>(&'a mut String);

impl fmt::Write for JsonEscaping<'_> {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        let special = |c: char| c == '"' || c == '\\' || is_deceptive(c);
        let mut rest = text;
        while let Some(at) = rest.find(special) {
            self.0.push_str(&rest[..at]);
            let mut after = rest[at..].chars();
            match after.next() {
                Some(c @ ('"' | '\\')) => self.0.extend(['\\', c]),
                // All of them are of the Basic Multilingual Plane.
                Some(c) => write!(self.0, "\\u{:04x}", u32::from(c))?,
                None => {}
            }
            rest = after.as_str();
        }
        self.0.push_str(rest);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const HOSTILE: &str = "x\ny=\"\u{2028}\u{85}\\ \u{202e}{\u{fc}";

    fn line_of<'a>(fields: &'a [(&'static str, Value<'a>)]) -> Line<'a> {
        Line {
            level: tracing::Level::INFO,
            text: "two words",
            fields,
        }
    }

    /// What is behind the time.
    #[track_caller]
    fn check(format: LogFormat, fields: &[(&'static str, Value<'_>)], want: &str) {
        let mut line = String::new();
        write(format, &line_of(fields), &mut line);
        let behind = line.split_once("Z").expect("a time in UTC").1;
        assert_eq!(behind, format!("{want}\n"));
    }

    #[test]
    fn what_is_told_cannot_break_a_line_or_add_a_field() {
        // W-24.08
        let fields = [
            ("event", Value::Text("e")),
            ("a", Value::Shown(&"1")),
            ("b", Value::Shown(&HOSTILE)),
            ("c", Value::Text(HOSTILE)),
            ("d", Value::Text("")),
            ("n", Value::Number(7)),
            ("f", Value::Flag(true)),
            ("gone", Value::Absent),
        ];
        check(
            LogFormat::Logfmt,
            &fields,
            r#" level=info msg="two words" event=e a=1 b="x\ny=\"\u{2028}\u{85}\\ \u{202e}{ü" c="x\ny=\"\u{2028}\u{85}\\ \u{202e}{ü" d="" n=7 f=true"#,
        );
        check(
            LogFormat::Json,
            &fields,
            r#"","level":"INFO","message":"two words","event":"e","a":"1","b":"x\u000ay=\"\u2028\u0085\\ \u202e{ü","c":"x\u000ay=\"\u2028\u0085\\ \u202e{ü","d":"","n":7,"f":true}"#,
        );
        check(
            LogFormat::Text,
            &fields,
            r#"  INFO two words event="e" a=1 b="x\ny=\"\u{2028}\u{85}\\ \u{202e}{ü" c="x\ny=\"\u{2028}\u{85}\\ \u{202e}{ü" d="" n=7 f=true"#,
        );
    }

    #[test]
    fn a_json_line_gives_back_what_was_told() {
        let fields = [("b", Value::Shown(&HOSTILE))];
        let mut line = String::new();
        write(LogFormat::Json, &line_of(&fields), &mut line);
        let read: serde_json::Value = serde_json::from_str(&line).unwrap();
        assert_eq!(read["b"], HOSTILE);
        assert_eq!(line.lines().count(), 1);
    }
}
