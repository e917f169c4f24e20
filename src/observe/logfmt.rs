//! Key=value pairs for what libraries log through `tracing`; our own events are written by
//! [`format`](super::format).

use std::fmt;

use tracing::field::{Field, Visit};
use tracing_subscriber::fmt::FmtContext;
use tracing_subscriber::fmt::format::{FormatEvent, FormatFields, Writer};
use tracing_subscriber::fmt::time::{FormatTime as _, SystemTime};
use tracing_subscriber::registry::LookupSpan;

use super::format::pair;

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
        line.push_str(" level=");
        line.push_str(&event.metadata().level().as_str().to_ascii_lowercase());
        event.record(&mut Pairs(&mut line));
        writeln!(writer, "{line}")
    }
}

struct Pairs<'a>(&'a mut String);

impl Pairs<'_> {
    fn pair(&mut self, field: &Field, value: &impl fmt::Display) {
        let name = match field.name() {
            "message" => "msg",
            name => name,
        };
        let _ = pair(name, value, self.0); // a String takes everything
    }
}

impl Visit for Pairs<'_> {
    fn record_str(&mut self, field: &Field, value: &str) {
        self.pair(field, &value);
    }

    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        self.pair(field, &format_args!("{value:?}"));
    }
}
