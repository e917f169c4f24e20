//! Dates as header fields and reports have them (RFC 5322 3.3).

use jiff::Timestamp;
use jiff::tz::TimeZone;

use crate::mail::UnixMillis;

/// `Thu, 1 Jan 1970 00:00:00 +0000`: always in UTC, so that no local time zone is read, and at most
/// 31 octets. A moment after the year 9999 becomes the last one of that year.
pub(super) fn rfc5322_date(at: UnixMillis) -> String {
    let at = i64::try_from(at.0)
        .ok()
        .and_then(|millis| Timestamp::from_millisecond(millis).ok())
        .unwrap_or(Timestamp::MAX);
    // `+0000`: our clock is UTC. Printed as a bare timestamp it would be `-0000`, which says that
    // nothing is known about the place.
    jiff::fmt::rfc2822::to_string(&at.to_zoned_datetime(TimeZone::UTC))
        .expect("years 1970 to 9999 have four digits")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(millis: u64, want: &str) {
        assert_eq!(rfc5322_date(UnixMillis(millis)), want);
    }

    #[test]
    fn dates_have_a_numeric_zone_and_one_space_before_the_day() {
        check(0, "Thu, 1 Jan 1970 00:00:00 +0000");
        check(951_827_696_789, "Tue, 29 Feb 2000 12:34:56 +0000");
        check(1_795_478_399_999, "Mon, 23 Nov 2026 23:59:59 +0000");
        check(u64::MAX, "Thu, 30 Dec 9999 22:00:00 +0000");
    }
}
