//! When a deferred recipient is tried again. Pure.

use std::time::Duration;

/// How retries are spaced, and when they end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RetryPolicy {
    /// Before the second attempt.
    pub base: Duration,
    /// What doubling reaches; below `base` it counts as `base`.
    pub cap: Duration,
    /// From arrival until a recipient expires.
    pub lifetime: Duration,
    /// From arrival until a deferral is told to the sender; `None`: it never is.
    pub warn_after: Option<Duration>,
}

/// By what share of the full jitter a delay is lengthened: of [`u32::MAX`]. Made by the caller from
/// randomness, so that what failed together does not come back together.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Jitter(pub u32);

/// A delay is lengthened by at most a fifth of itself.
const JITTER_DIVISOR: u128 = 5;

impl Jitter {
    /// No jitter at all.
    pub const NONE: Jitter = Jitter(0);
    /// All of it.
    pub const FULL: Jitter = Jitter(u32::MAX);
}

impl RetryPolicy {
    /// How long to wait after `attempts` attempts, at least one: `base` doubled for each but the
    /// first, at most `cap`, then lengthened by the jitter. Never shorter than `base`.
    #[must_use]
    pub fn delay(&self, attempts: u32, jitter: Jitter) -> Duration {
        let doublings = attempts.saturating_sub(1);
        let factor = 2_u32.checked_pow(doublings).unwrap_or(u32::MAX);
        let plain = self
            .base
            .saturating_mul(factor)
            .min(self.cap.max(self.base));
        let more_nanos =
            plain.as_nanos() / JITTER_DIVISOR * u128::from(jitter.0) / u128::from(u32::MAX);
        plain.saturating_add(from_nanos(more_nanos))
    }
}

/// Stops at 584 years, where `u64` does.
fn from_nanos(nanos: u128) -> Duration {
    u64::try_from(nanos).map_or(Duration::from_nanos(u64::MAX), Duration::from_nanos)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const POLICY: RetryPolicy = RetryPolicy {
        base: Duration::from_secs(60),
        cap: Duration::from_secs(64 * 60),
        lifetime: Duration::from_secs(5 * 24 * 3600),
        warn_after: None,
    };

    #[track_caller]
    fn check(attempts: u32, jitter: Jitter, want_seconds: u64) {
        assert_eq!(
            POLICY.delay(attempts, jitter),
            Duration::from_secs(want_seconds)
        );
    }

    #[test]
    fn delays_double_up_to_the_cap_and_jitter_only_lengthens() {
        check(1, Jitter::NONE, 60);
        check(2, Jitter::NONE, 120);
        check(3, Jitter::NONE, 240);
        check(7, Jitter::NONE, 3840);
        check(8, Jitter::NONE, 3840);
        check(u32::MAX, Jitter::NONE, 3840);
        check(1, Jitter::FULL, 72);
        check(8, Jitter::FULL, 4608);
        check(0, Jitter::NONE, 60);
    }

    #[test]
    fn a_cap_below_the_base_counts_as_the_base() {
        let policy = RetryPolicy {
            cap: Duration::from_secs(1),
            ..POLICY
        };
        assert_eq!(policy.delay(5, Jitter::NONE), Duration::from_secs(60));
    }

    proptest! {
        #[test]
        fn every_schedule_is_monotone_and_bounded(
            base in any::<Duration>(),
            cap in any::<Duration>(),
            attempts in 1..100_u32,
            less in any::<u32>(),
            more in any::<u32>(),
        ) {
            let policy = RetryPolicy { base, cap, ..POLICY };
            let top = base.max(cap);
            let delay = |attempts, jitter| policy.delay(attempts, Jitter(jitter));
            prop_assert!(delay(attempts, 0) <= delay(attempts + 1, 0));
            prop_assert!(delay(attempts, less.min(more)) <= delay(attempts, less.max(more)));
            prop_assert!(delay(attempts, less) >= base);
            prop_assert!(delay(attempts, more) <= top.saturating_add(top / 5));
        }
    }
}
