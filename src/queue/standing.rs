//! What is known of one destination, besides its mail. Pure: time and jitter are arguments.

use std::time::Duration;

use crate::config::Rate;
use crate::mail::{Answer, UnixMillis};
use crate::store::Suspension;

use super::backoff::Jitter;
use super::concurrency::Concurrency;
use super::patience::Level;
use super::suspension::{Misses, SuspensionPolicy};
use super::token_bucket::TokenBucket;

/// Whether a destination has shown that it answers.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) enum Rank {
    /// Its last attempt was answered.
    Proven,
    /// Not yet, or not lately: one attempt at a time, in the share of those who have not.
    Unproven(Level),
}

/// What an attempt has shown about its destination.
#[derive(Clone, Debug)]
pub(super) enum Learned {
    /// Nothing: it was not made, or what went wrong was not the destination's.
    Nothing,
    /// There is an answer about somebody, or one that is final.
    Answered,
    /// No host said anything about anybody; what went wrong.
    Missed(Box<Answer>),
}

/// What changed with that, for the log and the store.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Change {
    /// No attempts for a while.
    Suspended(Box<Suspension>),
    /// It had been suspended, and answers again.
    Opened,
}

/// What is known of one destination.
#[derive(Clone, Debug)]
pub(super) struct Standing {
    rank: Rank,
    concurrency: Concurrency,
    misses: Misses,
    bucket: Option<TokenBucket>,
}

impl Standing {
    /// Nothing is known; its mail is new or has waited already, as `level` says.
    pub(super) fn unknown(level: Level, rate: Option<Rate>) -> Standing {
        Standing {
            rank: Rank::Unproven(level),
            concurrency: Concurrency::new(),
            misses: Misses::default(),
            bucket: rate.map(TokenBucket::new),
        }
    }

    /// It is suspended; so says the store, or the operator.
    pub(super) fn suspend(&mut self, suspension: Suspension) {
        // what the operator orders says nothing about hosts, but they are asked one by one afterwards
        self.rank = Rank::Unproven(match suspension.is_ordered() {
            true => Level::BACKLOG,
            false => Level::LAST,
        });
        self.misses = Misses::suspended(suspension);
    }

    /// Until when the operator suspended it, in force or just over; `Some(None)`: for good.
    pub(super) fn ordered_until(&self) -> Option<Option<UnixMillis>> {
        self.misses.order().map(|order| order.until)
    }

    /// How often it may be attempted from now on. If that is as before, so is what was spent.
    pub(super) fn set_rate(&mut self, rate: Option<Rate>) {
        let same = match (&self.bucket, rate) {
            (Some(bucket), Some(rate)) => bucket.is_of(rate),
            (None, None) => true,
            (Some(_), None) | (None, Some(_)) => false,
        };
        if !same {
            self.bucket = rate.map(TokenBucket::new);
        }
    }

    /// In which share it is attempted.
    pub(super) fn rank(&self) -> Rank {
        self.rank
    }

    /// Attempts at one time.
    pub(super) fn allowed(&self, limit: usize) -> usize {
        match self.rank {
            Rank::Proven => self.concurrency.allowed(limit),
            Rank::Unproven(_) => 1,
        }
    }

    /// When it may be attempted, if not at `now`: for its suspension or its rate.
    pub(super) fn waits_until(&self, now: UnixMillis) -> Option<UnixMillis> {
        let for_rate = self.bucket.and_then(|bucket| bucket.waits_until(now));
        self.misses.waits_until(now).max(for_rate)
    }

    /// An attempt with so many transactions begins.
    pub(super) fn begins(&mut self, transactions: u32, now: UnixMillis) {
        if let Some(bucket) = &mut self.bucket {
            bucket.spend(transactions, now);
        }
    }

    /// A host takes a message: the destination need not wait for the end of it. But for a probe,
    /// which must be taken first.
    pub(super) fn is_taking(&mut self) {
        if !self.misses.is_suspended() {
            self.rank = Rank::Proven;
        }
    }

    /// An attempt ended.
    pub(super) fn learn(
        &mut self,
        learned: &Learned,
        limit: usize,
        now: UnixMillis,
        policy: &SuspensionPolicy,
        jitter: Jitter,
    ) -> Option<Change> {
        match learned {
            Learned::Nothing => None,
            Learned::Answered => {
                self.rank = Rank::Proven;
                self.concurrency.answered(limit);
                self.misses.answered().then_some(Change::Opened)
            }
            Learned::Missed(trouble) => {
                // one miss among answers does not send it behind those that never answered
                self.rank = Rank::Unproven(match self.rank {
                    Rank::Proven => Level::BACKLOG,
                    Rank::Unproven(_) => Level::LAST,
                });
                self.concurrency.missed(limit);
                let begun = self.misses.missed(trouble, now, policy, jitter);
                begun.map(|suspension| Change::Suspended(Box::new(suspension)))
            }
        }
    }

    /// An attempt was put off after `span` without a sign of any host.
    pub(super) fn was_put_off(&mut self, span: Duration) {
        self.rank = Rank::Unproven(match self.rank {
            Rank::Proven => Level::BACKLOG.after(span),
            Rank::Unproven(level) => level.after(span),
        });
    }

    /// Somebody says that it will answer now. Whether it had been suspended.
    pub(super) fn resume(&mut self) -> bool {
        self.rank = Rank::Unproven(Level::NEWCOMER);
        self.misses.clear()
    }

    /// Whether it is suspended, or being probed.
    pub(super) fn is_suspended(&self) -> bool {
        self.misses.is_suspended()
    }

    /// Whether it is worth being remembered without mail.
    pub(super) fn is_telling(&self, now: UnixMillis) -> bool {
        self.rank == Rank::Proven
            || !self.misses.are_none()
            || self.bucket.is_some_and(|bucket| !bucket.is_full(now))
    }
}

#[cfg(test)]
mod tests {
    use super::super::backoff::RetryPolicy;
    use super::super::samples;
    use super::*;

    const LIMIT: usize = 20;

    fn learn(standing: &mut Standing, learned: &Learned, second: u64) -> Option<Change> {
        let policy = SuspensionPolicy::of(&RetryPolicy {
            base: Duration::from_secs(60),
            cap: Duration::from_secs(3_600),
            lifetime: Duration::from_secs(86_400),
            warn_after: None,
        });
        let now = UnixMillis(second * 1_000);
        standing.learn(learned, LIMIT, now, &policy, Jitter::NONE)
    }

    fn missed() -> Learned {
        Learned::Missed(Box::new(samples::trouble()))
    }

    #[test]
    fn a_destination_gets_one_attempt_until_it_answers_and_more_from_then_on() {
        let mut standing = Standing::unknown(Level::NEWCOMER, None);
        assert_eq!(standing.allowed(LIMIT), 1);
        assert!(!standing.is_telling(UnixMillis(0)));
        standing.is_taking();
        assert_eq!(standing.allowed(LIMIT), 5);
        assert_eq!(learn(&mut standing, &Learned::Answered, 0), None);
        assert_eq!(standing.allowed(LIMIT), 6);
        assert!(standing.is_telling(UnixMillis(0)));
        learn(&mut standing, &missed(), 0);
        assert_eq!(standing.rank(), Rank::Unproven(Level::BACKLOG));
        assert_eq!(standing.allowed(LIMIT), 1);
        learn(&mut standing, &Learned::Answered, 0);
        assert_eq!(standing.allowed(LIMIT), 3);
    }

    #[test]
    fn a_probe_must_be_taken_before_the_destination_is_open_again() {
        let mut standing = Standing::unknown(Level::NEWCOMER, None);
        for _ in 0..2 {
            assert_eq!(learn(&mut standing, &missed(), 0), None);
        }
        let suspended = learn(&mut standing, &missed(), 0);
        assert!(matches!(suspended, Some(Change::Suspended(_))));
        let until = UnixMillis(60_000);
        assert_eq!(standing.waits_until(UnixMillis(59_999)), Some(until));
        assert_eq!(standing.waits_until(until), None);
        standing.is_taking();
        assert_eq!(standing.allowed(LIMIT), 1);
        let opened = learn(&mut standing, &Learned::Answered, 61);
        assert_eq!(opened, Some(Change::Opened));
        assert_eq!(standing.rank(), Rank::Proven);
    }

    #[test]
    fn the_later_of_rate_and_suspension_counts() {
        let rate = Rate {
            count: 1,
            per: Duration::from_secs(90),
        };
        let mut standing = Standing::unknown(Level::BACKLOG, Some(rate));
        standing.begins(1, UnixMillis(0));
        for _ in 0..3 {
            learn(&mut standing, &missed(), 0);
        }
        assert_eq!(
            standing.waits_until(UnixMillis(0)),
            Some(UnixMillis(90_000))
        );
        assert!(standing.resume());
        assert_eq!(
            standing.waits_until(UnixMillis(0)),
            Some(UnixMillis(90_000))
        );
    }
}
