//! Which destinations get no attempts for a while, and for how long. Pure: time and jitter are
//! arguments.
//!
//! What counts is an attempt in which no host said anything about any recipient, and which may be
//! made again: no connection, no greeting, no TLS, no address for want of DNS, a 4yz before MAIL. A
//! 4yz or 5yz to MAIL or RCPT is an answer, and so is everything that is final.

use crate::mail::{Answer, UnixMillis};
use crate::store::{Suspension, SuspensionCause};

use super::backoff::{Jitter, RetryPolicy};

/// So many misses in a row suspend a destination.
const MISSES_MAX: u32 = 3;

/// How suspensions are spaced.
#[derive(Clone, Copy, Debug)]
pub(super) struct SuspensionPolicy(RetryPolicy);

impl SuspensionPolicy {
    /// The first as long as the first wait of a recipient, each following twice as long, up to half
    /// of its longest wait: by default from a minute to about half an hour. So whoever waits for a
    /// destination that comes back hardly waits for longer than if it had been attempted itself.
    pub(super) fn of(retry: &RetryPolicy) -> SuspensionPolicy {
        SuspensionPolicy(RetryPolicy {
            cap: retry.cap / 2,
            ..*retry
        })
    }

    fn until(&self, times: u32, now: UnixMillis, jitter: Jitter) -> UnixMillis {
        now.after(self.0.delay(times, jitter))
    }
}

/// What went wrong with one destination since it last answered.
#[derive(Clone, Debug, Default)]
pub(super) struct Misses {
    in_a_row: u32,
    suspension: Option<Box<Suspension>>,
}

impl Misses {
    /// As the store remembers it.
    pub(super) fn suspended(suspension: Suspension) -> Misses {
        Misses {
            // what the operator orders says nothing about hosts
            in_a_row: match &suspension.cause {
                SuspensionCause::Trouble { .. } => MISSES_MAX,
                SuspensionCause::Order { .. } => 0,
            },
            suspension: Some(Box::new(suspension)),
        }
    }

    /// Whether there were none.
    pub(super) fn are_none(&self) -> bool {
        self.in_a_row == 0
    }

    /// Whether it is suspended, or being probed after a suspension.
    pub(super) fn is_suspended(&self) -> bool {
        self.suspension.is_some()
    }

    /// What the operator ordered, in force or just over.
    pub(super) fn order(&self) -> Option<&Suspension> {
        self.suspension
            .as_deref()
            .filter(|order| order.is_ordered())
    }

    /// When it may be probed, if not at `now`. Without an end, that is at the end of time.
    pub(super) fn waits_until(&self, now: UnixMillis) -> Option<UnixMillis> {
        let suspension = self.suspension.as_ref()?;
        let until = suspension.until.unwrap_or(UnixMillis(u64::MAX));
        suspension.holds_at(now).then_some(until)
    }

    /// An attempt that ended at `now` was a miss. Answers with a suspension if one begins. Attempts
    /// that were under way when one began don't make it longer.
    pub(super) fn missed(
        &mut self,
        trouble: &Answer,
        now: UnixMillis,
        policy: &SuspensionPolicy,
        jitter: Jitter,
    ) -> Option<Suspension> {
        if self.waits_until(now).is_some() {
            return None;
        }
        self.in_a_row = self.in_a_row.saturating_add(1);
        if self.in_a_row < MISSES_MAX {
            return None;
        }
        let before = self.suspension.as_ref().map(|before| match before.cause {
            SuspensionCause::Trouble { times, .. } => (before.since, times),
            SuspensionCause::Order { .. } => (now, 0),
        });
        let (since, times) = before.unwrap_or((now, 0));
        let times = times.saturating_add(1);
        let suspension = Suspension {
            since,
            until: Some(policy.until(times, now, jitter)),
            cause: SuspensionCause::Trouble {
                times,
                answer: trouble.clone(),
            },
        };
        self.suspension = Some(Box::new(suspension.clone()));
        Some(suspension)
    }

    /// It answered. Whether it had been suspended and is not any more: what the operator ordered is
    /// not lifted by attempts that were under way.
    pub(super) fn answered(&mut self) -> bool {
        match self.order() {
            None => self.clear(),
            Some(_) => {
                self.in_a_row = 0;
                false
            }
        }
    }

    /// Somebody says that it will answer. Whether it had been suspended.
    pub(super) fn clear(&mut self) -> bool {
        let was = self.is_suspended();
        *self = Misses::default();
        was
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::super::samples;
    use super::*;

    const POLICY: SuspensionPolicy = SuspensionPolicy(RetryPolicy {
        base: Duration::from_secs(60),
        cap: Duration::from_secs(32 * 60),
        lifetime: Duration::ZERO,
        warn_after: None,
    });

    fn missed_at(misses: &mut Misses, second: u64) -> Option<Suspension> {
        let now = UnixMillis(second * 1_000);
        misses.missed(&samples::trouble(), now, &POLICY, Jitter::NONE)
    }

    /// Misses at these seconds, and how many seconds of suspension each begins (0: none).
    #[track_caller]
    fn check(seconds: &[u64], want: &[u64]) {
        let mut misses = Misses::default();
        let spans = seconds.iter().map(|&second| {
            let begun = missed_at(&mut misses, second);
            let until = begun.map(|begun| begun.until.expect("trouble has an end"));
            until.map_or(0, |until| until.0 / 1_000 - second)
        });
        assert_eq!(spans.collect::<Vec<_>>(), want, "{seconds:?}");
    }

    #[test]
    fn misses_in_a_row_suspend_and_each_probe_that_misses_doubles_the_time() {
        check(&[0, 1], &[0, 0]);
        check(&[0, 1, 2], &[0, 0, 60]);
        // those that were under way already don't count
        check(&[0, 1, 2, 3, 61, 62], &[0, 0, 60, 0, 0, 120]);
        let probes = [2, 62, 182, 422, 902, 1_862, 3_782, 9_999];
        let mut seconds = vec![0, 1];
        seconds.extend(probes);
        let spans = [0, 0, 60, 120, 240, 480, 960, 1_920, 1_920, 1_920];
        check(&seconds, &spans);
    }

    #[test]
    fn an_answer_opens_it_and_the_count_begins_anew() {
        let mut misses = Misses::default();
        for second in 0..2 {
            assert_eq!(missed_at(&mut misses, second), None);
        }
        assert!(!misses.clear() && misses.are_none());
        for second in 2..4 {
            assert_eq!(missed_at(&mut misses, second), None);
        }
        let begun = missed_at(&mut misses, 4).expect("the third in a row");
        assert_eq!((times(&begun), begun.since), (1, UnixMillis(4_000)));
        assert!(misses.is_suspended() && misses.clear());
        assert_eq!(misses.waits_until(UnixMillis(4_001)), None);
    }

    #[test]
    fn a_suspension_that_goes_on_keeps_its_beginning() {
        let mut misses = Misses::default();
        for second in 0..3 {
            missed_at(&mut misses, second);
        }
        let mut misses = Misses::suspended(*misses.suspension.expect("suspended"));
        assert_eq!(
            misses.waits_until(UnixMillis(3_000)),
            Some(UnixMillis(62_000))
        );
        let again = missed_at(&mut misses, 100).expect("the probe missed");
        assert_eq!((times(&again), again.since), (2, UnixMillis(2_000)));
    }

    fn times(suspension: &Suspension) -> u32 {
        match suspension.cause {
            SuspensionCause::Trouble { times, .. } => times,
            SuspensionCause::Order { .. } => 0,
        }
    }

    #[test]
    fn what_the_operator_ordered_is_neither_lifted_nor_lengthened_by_attempts() {
        for (until, waits) in [
            (Some(UnixMillis(9_000)), UnixMillis(9_000)),
            (None, UnixMillis(u64::MAX)),
        ] {
            let mut misses = Misses::suspended(samples::ordered_until(until));
            let now = UnixMillis(8_999);
            assert_eq!(misses.waits_until(now), Some(waits));
            assert!(!misses.answered() && misses.is_suspended());
            for _ in 0..5 {
                assert_eq!(missed_at(&mut misses, 8), None);
            }
            assert_eq!(misses.waits_until(now), Some(waits));
            assert!(misses.are_none());
            assert!(misses.clear() && !misses.is_suspended());
        }
    }

    #[test]
    fn the_longest_is_half_of_the_longest_wait_of_a_recipient() {
        let policy = SuspensionPolicy::of(&RetryPolicy {
            base: Duration::from_secs(60),
            cap: Duration::from_secs(64 * 60),
            lifetime: Duration::from_secs(5),
            warn_after: None,
        });
        let longest = policy.until(99, UnixMillis(0), Jitter::NONE);
        assert_eq!(longest, UnixMillis(32 * 60_000));
    }
}
