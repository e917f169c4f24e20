//! Numbers, spans of time and sizes.

use std::ops::RangeInclusive;
use std::time::Duration;

use super::refusal::{Parsed, Refusal};

/// A whole number of digits alone, within `bounds`.
pub(super) fn number<N>(text: &str, bounds: RangeInclusive<N>) -> Parsed<N>
where
    N: PartialOrd + TryFrom<u64>,
{
    digits(text)
        .and_then(|n| N::try_from(n).ok())
        .filter(|n| bounds.contains(n))
        .ok_or(Refusal::Unexpected)
}

/// A span such as `30s` or `1h30m`, within `bounds`. Units: `ms s m h d`, each at most once, the
/// larger first; a number alone is refused, since nobody agrees on its unit.
pub(super) fn duration(text: &str, bounds: RangeInclusive<Duration>) -> Parsed<Duration> {
    span(text)
        .filter(|span| bounds.contains(span))
        .ok_or(Refusal::Unexpected)
}

/// A number of bytes, or of `KiB`, `MiB` or `GiB`, within `bounds` (bytes).
pub(super) fn size(text: &str, bounds: RangeInclusive<u64>) -> Parsed<u64> {
    let unit_at = text
        .find(|c: char| !c.is_ascii_digit())
        .unwrap_or(text.len());
    let (amount, unit) = text.split_at(unit_at);
    let factor = match unit.trim_start() {
        "" => 1,
        "KiB" => 1 << 10,
        "MiB" => 1 << 20,
        "GiB" => 1 << 30,
        _ => return Err(Refusal::Unexpected),
    };
    digits(amount)
        .and_then(|n| n.checked_mul(factor))
        .filter(|bytes| bounds.contains(bytes))
        .ok_or(Refusal::Unexpected)
}

/// `str::parse` would take a sign; we don't.
fn digits(text: &str) -> Option<u64> {
    if !text.bytes().all(|b| b.is_ascii_digit()) {
        return None;
    }
    text.parse().ok()
}

/// A span such as `30s` or `1h30m`, as everywhere in the configuration; `None`: it is none.
#[must_use]
pub fn span(text: &str) -> Option<Duration> {
    const UNITS_MS: [(&str, u64); 5] = [
        ("d", 86_400_000),
        ("h", 3_600_000),
        ("m", 60_000),
        ("s", 1_000),
        ("ms", 1),
    ];
    let mut rest = text;
    let mut total_ms = 0_u64;
    let mut units_left = &UNITS_MS[..];
    while !rest.is_empty() {
        let unit_at = rest.find(|c: char| !c.is_ascii_digit())?;
        let (amount, behind) = rest.split_at(unit_at);
        let unit_end = behind
            .find(|c: char| !c.is_ascii_alphabetic())
            .unwrap_or(behind.len());
        let (unit, next) = behind.split_at(unit_end);
        let position = units_left.iter().position(|(name, _)| *name == unit)?;
        let part = digits(amount)?.checked_mul(units_left[position].1)?;
        total_ms = total_ms.checked_add(part)?;
        units_left = &units_left[position + 1..];
        rest = next;
    }
    (!text.is_empty()).then(|| Duration::from_millis(total_ms))
}

#[cfg(test)]
mod tests {
    use std::fmt::Debug;

    use super::*;

    #[track_caller]
    fn check<T: Debug + PartialEq>(got: Parsed<T>, want: T) {
        assert_eq!(got, Ok(want));
    }

    #[track_caller]
    fn refused<T: Debug>(got: Parsed<T>) {
        assert!(got.is_err(), "{got:?}");
    }

    #[test]
    fn numbers_are_digits_within_bounds() {
        check(number("1", 1..=9_u16), 1);
        check(number("009", 1..=9_u16), 9);
        for text in ["", "0", "10", "+5", "-5", "5.0", " 5", "5 ", "0x5", "٥"] {
            refused(number(text, 1..=9_u16));
        }
        refused(number("99999999999999999999999", 1..=9_u64));
    }

    #[test]
    fn durations_have_units() {
        let any = |text| duration(text, Duration::ZERO..=Duration::MAX);
        check(any("30s"), Duration::from_secs(30));
        check(any("5m"), Duration::from_secs(300));
        check(any("4h"), Duration::from_secs(4 * 3_600));
        check(any("5d"), Duration::from_secs(5 * 86_400));
        check(any("250ms"), Duration::from_millis(250));
        check(any("1h30m"), Duration::from_secs(5_400));
        check(any("1d2h3m4s5ms"), Duration::from_millis(93_784_005));
        check(any("90m"), Duration::from_secs(5_400));
        check(any("0s"), Duration::ZERO);
        for text in [
            "",
            "30",
            "s",
            "1.5h",
            "-1s",
            "+1s",
            "1 h",
            "1h ",
            "1h 30m",
            "30m1h",
            "1m1m",
            "1S",
            "1w",
            "1min",
            "1h30",
            "99999999999999999999d",
            "18446744073709551615d",
            "1µs",
        ] {
            refused(any(text));
        }
    }

    #[test]
    fn durations_are_bounded_on_both_ends() {
        let bounds = Duration::from_secs(1)..=Duration::from_secs(60);
        check(duration("1s", bounds.clone()), Duration::from_secs(1));
        check(duration("1m", bounds.clone()), Duration::from_secs(60));
        refused(duration("999ms", bounds.clone()));
        refused(duration("61s", bounds));
    }

    #[test]
    fn sizes_are_bytes_or_powers_of_1024() {
        let any = |text| size(text, 0..=u64::MAX);
        check(any("10485760"), 10_485_760);
        check(any("10MiB"), 10_485_760);
        check(any("10 MiB"), 10_485_760);
        check(any("64 KiB"), 65_536);
        check(any("1GiB"), 1 << 30);
        check(any("0"), 0);
        for text in [
            "",
            "MiB",
            "10MB",
            "10M",
            "10mib",
            "10k",
            "1.5MiB",
            "-1",
            "+1",
            "10 MiB 5",
            "10MiB5KiB",
            "18446744073709551616",
            "18446744073709551615GiB",
        ] {
            refused(any(text));
        }
        refused(size("65535", 65_536..=70_000));
        refused(size("70001", 65_536..=70_000));
    }
}
