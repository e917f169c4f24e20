//! So many of something in a span of time.

use std::time::Duration;

use super::amount::{duration, number};
use super::refusal::{Parsed, Refusal};

/// A bound on how often something may happen: `count` at once, and as many again in each `per`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rate {
    /// At least 1.
    pub count: u32,
    /// Above zero.
    pub per: Duration,
}

impl Rate {
    /// Reads `100/1m`, or `50/s` for one of a unit; `None`: it is none.
    #[must_use]
    pub fn parse(text: &str) -> Option<Rate> {
        rate(text).ok()
    }
}

const COUNT_MAX: u32 = 1_000_000_000;
const SHORTEST: Duration = Duration::from_millis(1);
const LONGEST: Duration = Duration::from_secs(86_400);

/// `100/1m`, or `50/s` for one of a unit; up to a day.
pub(super) fn rate(text: &str) -> Parsed<Rate> {
    let (count, per) = text.split_once('/').ok_or(Refusal::Unexpected)?;
    Ok(Rate {
        count: number(count, 1..=COUNT_MAX)?,
        per: match per.starts_with(|first: char| first.is_ascii_digit()) {
            true => duration(per, SHORTEST..=LONGEST)?,
            false => duration(&format!("1{per}"), SHORTEST..=LONGEST)?,
        },
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_rate_is_a_number_and_a_span() {
        let want = |count, seconds| {
            Ok(Rate {
                count,
                per: Duration::from_secs(seconds),
            })
        };
        assert_eq!(rate("100/1m"), want(100, 60));
        assert_eq!(rate("1/1d"), want(1, 86_400));
        assert_eq!(rate("50/s"), want(50, 1));
        for text in [
            "", "100", "100/", "/1m", "5/ s", "5/-1s", "5/x", "0/1m", "5/0s", "5/60", "5/1m/1m",
            "5 /1m", "1/2d", "-1/1m",
        ] {
            assert_eq!(rate(text), Err(Refusal::Unexpected), "{text}");
        }
    }
}
