//! When the recipients of an order are due, one after the other. Pure.

use std::time::Duration;

use crate::config::Rate;
use crate::mail::UnixMillis;

/// Spreads the attempts that follow from one order: the n-th recipient, counted from 0, is due n/rate
/// after the start; without a rate all are due at the start, so that those of one message go together.
#[derive(Clone, Debug)]
pub struct Pace {
    start: UnixMillis,
    rate: Option<Rate>,
    given: u32,
}

impl Pace {
    /// For one order, from `start` on, whatever the number of pages that it takes.
    #[must_use]
    pub fn new(rate: Option<Rate>, start: UnixMillis) -> Pace {
        Pace {
            start,
            rate,
            given: 0,
        }
    }

    /// When the next recipient is due.
    #[must_use]
    pub fn peek(&self) -> UnixMillis {
        match self.rate {
            None => self.start,
            Some(Rate { count, per }) => {
                let nanos = per.as_nanos() * u128::from(self.given) / u128::from(count.max(1));
                let span = u64::try_from(nanos).map_or(Duration::MAX, Duration::from_nanos);
                self.start.after(span)
            }
        }
    }

    /// That time was given to a recipient.
    pub fn took(&mut self) {
        self.given = self.given.saturating_add(1);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(rate: Option<(u32, u64)>, want: &[u64]) {
        let rate = rate.map(|(count, millis)| Rate {
            count,
            per: Duration::from_millis(millis),
        });
        let mut pace = Pace::new(rate, UnixMillis(1_000));
        for (n, &want) in want.iter().enumerate() {
            assert_eq!(pace.peek(), UnixMillis(want), "{n}");
            pace.took();
        }
    }

    #[test]
    fn without_a_rate_all_are_due_at_once() {
        check(None, &[1_000, 1_000, 1_000]);
    }

    #[test]
    fn the_nth_is_due_n_over_the_rate_later_and_errors_do_not_add_up() {
        check(Some((10, 1_000)), &[1_000, 1_100, 1_200]);
        check(Some((3, 1_000)), &[1_000, 1_333, 1_666, 2_000, 2_333]);
        check(Some((1, 3_600_000)), &[1_000, 3_601_000]);
    }

    #[test]
    fn millions_and_the_slowest_rate_do_not_overflow() {
        let rate = Rate {
            count: 1,
            per: Duration::from_secs(86_400),
        };
        let mut pace = Pace::new(Some(rate), UnixMillis(0));
        pace.given = u32::MAX;
        let latest = pace.peek();
        pace.took();
        assert_eq!(pace.peek(), latest);
        assert!(latest >= UnixMillis(u64::from(u32::MAX)));
    }
}
