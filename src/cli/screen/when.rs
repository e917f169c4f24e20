//! Times as people say them.

use std::time::Duration;

use jiff::Timestamp;
use jiff::tz::TimeZone;

use crate::mail::UnixMillis;

/// How long ago: `3m ago`, `now`.
pub(in crate::cli) fn ago(at: &str, now: UnixMillis) -> String {
    match read(at) {
        None => at.to_owned(), // of another version, perhaps; as it is, it says most
        Some(at) if now.since(at) < Duration::from_secs(1) => "now".to_owned(),
        Some(at) => format!("{} ago", span(now.since(at).as_secs())),
    }
}

/// How soon, to the nearest: `in 12m`; what is over is `now`.
pub(in crate::cli) fn ahead(at: &str, now: UnixMillis) -> String {
    match read(at) {
        None => at.to_owned(),
        Some(at) if at.since(now) < Duration::from_secs(1) => "now".to_owned(),
        Some(at) => format!("in {}", nearest_span(at.since(now))),
    }
}

/// The time of the day in UTC, if it is not long ago, otherwise with its date.
pub(in crate::cli) fn clock(at: &str, now: UnixMillis) -> String {
    const LONG: Duration = Duration::from_secs(12 * 60 * 60);
    let Some(read) = read(at) else {
        return at.to_owned();
    };
    let Some(date) = i64::try_from(read.0)
        .ok()
        .and_then(|millis| Timestamp::from_millisecond(millis).ok())
        .map(|at| at.to_zoned_datetime(TimeZone::UTC))
    else {
        return at.to_owned();
    };
    match now.since(read).max(read.since(now)) < LONG {
        true => date.strftime("%H:%M:%S").to_string(),
        false => date.strftime("%Y-%m-%d %H:%M").to_string(),
    }
}

const MINUTE: u64 = 60;
const HOUR: u64 = 60 * MINUTE;
const DAY: u64 = 24 * HOUR;

/// As `span`, but two hours less a moment are `2h`.
fn nearest_span(span_ahead: Duration) -> String {
    let seconds = (span_ahead + Duration::from_millis(500)).as_secs();
    let half = match seconds {
        0..MINUTE => 0,
        MINUTE..HOUR => MINUTE / 2,
        HOUR..DAY => HOUR / 2,
        _ => DAY / 2,
    };
    span(seconds + half)
}

/// The largest unit that says enough: `45s`, `12m`, `3h`, `5d`.
pub(in crate::cli) fn span(seconds: u64) -> String {
    match seconds {
        0..MINUTE => format!("{seconds}s"),
        MINUTE..HOUR => format!("{}m", seconds / MINUTE),
        HOUR..DAY => format!("{}h", seconds / HOUR),
        _ => format!("{}d", seconds / DAY),
    }
}

fn read(at: &str) -> Option<UnixMillis> {
    let at: Timestamp = at.parse().ok()?;
    u64::try_from(at.as_millisecond()).ok().map(UnixMillis)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_relative_to_now() {
        let now = read("2026-11-25T12:00:00Z").unwrap();
        for (at, want_ago, want_ahead, want_clock) in [
            ("2026-11-25T11:57:00Z", "3m ago", "now", "11:57:00"),
            ("2026-11-25T12:12:29.4Z", "now", "in 12m", "12:12:29"),
            ("2026-11-25T12:12:30.5Z", "now", "in 13m", "12:12:30"),
            ("2026-11-25T12:59:59.9Z", "now", "in 1h", "12:59:59"),
            ("2026-11-25T13:59:59.9Z", "now", "in 2h", "13:59:59"),
            ("2026-11-25T12:00:00.2Z", "now", "now", "12:00:00"),
            ("2026-11-20T11:00:00Z", "5d ago", "now", "2026-11-20 11:00"),
            ("2026-11-25T07:00:00Z", "5h ago", "now", "07:00:00"),
            ("soon", "soon", "soon", "soon"),
        ] {
            assert_eq!(ago(at, now), want_ago, "{at}");
            assert_eq!(ahead(at, now), want_ahead, "{at}");
            assert_eq!(clock(at, now), want_clock, "{at}");
        }
        assert_eq!(span(59), "59s");
        assert_eq!(span(60), "1m");
    }
}
