//! How often a destination may be given a message (`SMTP_DESTINATION_RATE`). Pure.

use std::time::Duration;

use crate::config::Rate;
use crate::mail::UnixMillis;

/// What may be spent on credit by one claim, in tokens, at most: a message to more recipients than
/// one transaction has counts as several.
const DEBT_TOKENS_MAX: u32 = 1_000;

/// `count` at once, then one by one as they come back in `per`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct TokenBucket {
    /// Until a spent token is back, nanoseconds.
    token: u64,
    /// Until an empty bucket is full, nanoseconds.
    bucket: u64,
    /// When it will be full, nanoseconds since 1970.
    full_at: u64,
}

impl TokenBucket {
    /// A full one.
    pub(super) fn new(rate: Rate) -> TokenBucket {
        let token = nanos(rate.per / rate.count).max(1);
        TokenBucket {
            token,
            bucket: token.saturating_mul(rate.count.into()),
            full_at: 0,
        }
    }

    /// Whether it is a bucket of this rate.
    pub(super) fn is_of(&self, rate: Rate) -> bool {
        let full = TokenBucket::new(rate);
        (self.token, self.bucket) == (full.token, full.bucket)
    }

    /// When there is a token, if there is none at `now`.
    pub(super) fn waits_until(&self, now: UnixMillis) -> Option<UnixMillis> {
        let at = self
            .full_at(now)
            .saturating_sub(self.bucket - self.token)
            .div_ceil(NANOS_PER_MILLI);
        (at > now.0).then_some(UnixMillis(at))
    }

    /// Spends tokens. More than there are is a debt, which is waited for before the next.
    pub(super) fn spend(&mut self, tokens: u32, now: UnixMillis) {
        let spent = self
            .token
            .saturating_mul(tokens.min(DEBT_TOKENS_MAX).into());
        self.full_at = self.full_at(now).saturating_add(spent);
    }

    /// Whether nothing would be lost by forgetting it.
    pub(super) fn is_full(&self, now: UnixMillis) -> bool {
        self.full_at <= now_nanos(now)
    }

    /// Not before now; and if the clock was set back, not later than the largest debt takes.
    fn full_at(&self, now: UnixMillis) -> u64 {
        let now = now_nanos(now);
        let debt_max = self.token.saturating_mul(DEBT_TOKENS_MAX.into());
        let latest = now.saturating_add(self.bucket).saturating_add(debt_max);
        self.full_at.clamp(now, latest)
    }
}

const NANOS_PER_MILLI: u64 = 1_000_000;

/// Stops in the year 2554.
fn now_nanos(now: UnixMillis) -> u64 {
    now.0.saturating_mul(NANOS_PER_MILLI)
}

fn nanos(span: Duration) -> u64 {
    u64::try_from(span.as_nanos()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    const START: u64 = 1_795_000_000_000;

    /// How many are let through when asked at each millisecond of a span.
    #[track_caller]
    fn check(count: u32, per: Duration, millis: u64, want: u32) {
        let mut bucket = TokenBucket::new(Rate { count, per });
        let mut through = 0;
        for at in START..START + millis {
            while bucket.waits_until(UnixMillis(at)).is_none() {
                bucket.spend(1, UnixMillis(at));
                through += 1;
            }
        }
        assert_eq!(through, want, "{count} in {per:?}");
    }

    #[test]
    fn so_many_at_once_and_then_one_by_one() {
        // W-19.06
        check(5, Duration::from_secs(1), 1, 5);
        check(5, Duration::from_secs(1), 10_000, 54);
        check(2_000, Duration::from_secs(1), 1_000, 3_998);
        check(1, Duration::from_secs(60), 60_000, 1);
        check(3, Duration::from_secs(10), 9_999, 5);
    }

    #[test]
    fn it_says_when_to_come_again() {
        let mut bucket = TokenBucket::new(Rate {
            count: 2,
            per: Duration::from_secs(1),
        });
        let now = UnixMillis(START);
        bucket.spend(1, now);
        assert_eq!(bucket.waits_until(now), None);
        bucket.spend(1, now);
        assert_eq!(bucket.waits_until(now), Some(UnixMillis(START + 500)));
        // 10 transactions at once are paid for afterwards
        bucket.spend(10, now);
        assert_eq!(bucket.waits_until(now), Some(UnixMillis(START + 5_500)));
        assert!(!bucket.is_full(UnixMillis(START + 5_999)));
        assert!(bucket.is_full(UnixMillis(START + 6_000)));
    }

    #[test]
    fn a_clock_that_is_set_back_does_not_stop_it() {
        let mut bucket = TokenBucket::new(Rate {
            count: 1,
            per: Duration::from_millis(1),
        });
        bucket.spend(1, UnixMillis(START + 86_400_000));
        let again = bucket.waits_until(UnixMillis(START));
        assert!(again <= Some(UnixMillis(START + 1_001)), "{again:?}");
    }
}
