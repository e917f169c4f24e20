//! `key=value` lines: `ts=… level=info event=delivered queue_id=… msg="delivered"`.

use std::fmt::{self, Write as _};

use tracing::field::{Field, Visit};
use tracing_subscriber::fmt::FmtContext;
use tracing_subscriber::fmt::format::{FormatEvent, FormatFields, Writer};
use tracing_subscriber::fmt::time::{FormatTime as _, SystemTime};
use tracing_subscriber::registry::LookupSpan;

/// The format `SMTP_LOG_FORMAT=logfmt`.
pub(super) struct Logfmt;

impl<S, N> FormatEvent<S, N> for Logfmt
where
    S: tracing::Subscriber + for<'a> LookupSpan<'a>,
    N: for<'a> FormatFields<'a> + 'static,
{
    fn format_event(
        &self,
        _context: &FmtContext<'_, S, N>,
        mut writer: Writer<'_>,
        event: &tracing::Event<'_>,
    ) -> fmt::Result {
        let mut line = String::from("ts=");
        SystemTime.format_time(&mut Writer::new(&mut line))?;
        let level = event.metadata().level().as_str().to_ascii_lowercase();
        write!(line, " level={level}")?;
        event.record(&mut Pairs(&mut line));
        writeln!(writer, "{line}")
    }
}

struct Pairs<'a>(&'a mut String);

impl Pairs<'_> {
    fn pair(&mut self, name: &str, value: &str) {
        let name = if name == "message" { "msg" } else { name };
        let plain = !value.is_empty()
            && value
                .chars()
                .all(|c| !c.is_whitespace() && !c.is_control() && c != '"' && c != '=');
        // A String takes everything, so the results say nothing.
        let _ = if plain {
            write!(self.0, " {name}={value}")
        } else {
            write!(self.0, " {name}={value:?}")
        };
    }
}

impl Visit for Pairs<'_> {
    fn record_str(&mut self, field: &Field, value: &str) {
        self.pair(field.name(), value);
    }

    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        self.pair(field.name(), &format!("{value:?}"));
    }
}

#[cfg(test)]
mod tests {
    use super::Pairs;

    #[test]
    fn values_that_could_break_a_line_are_quoted() {
        let mut line = String::new();
        let mut pairs = Pairs(&mut line);
        pairs.pair("a", "1");
        pairs.pair("message", "two words");
        pairs.pair("b", "x\ny=\"");
        pairs.pair("c", "");
        assert_eq!(line, r#" a=1 msg="two words" b="x\ny=\"" c="""#);
    }
}
