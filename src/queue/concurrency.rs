//! How many attempts of one destination may be under way at one time: few at first, more as they
//! are answered, fewer when they are not. Pure.

/// What a destination may have once it has answered for the first time.
const START: usize = 5;

/// Grows by one with each answer, until a miss; from half of what it was then, only by one with
/// each round of answers. So a destination that takes few connections is met a little above its own
/// limit now and then, and not again and again at twice that.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Concurrency {
    allowed: usize,
    /// Below this each answer counts in full.
    fast_below: usize,
    /// Answers since the last growth.
    answers: usize,
}

impl Concurrency {
    /// Of a destination that nothing is known about.
    pub(super) fn new() -> Concurrency {
        Concurrency {
            allowed: START,
            fast_below: usize::MAX,
            answers: 0,
        }
    }

    /// Attempts at one time, of at most `limit`; at least one.
    pub(super) fn allowed(&self, limit: usize) -> usize {
        self.allowed.min(limit).max(1)
    }

    /// An attempt was answered.
    pub(super) fn answered(&mut self, limit: usize) {
        if self.allowed >= limit {
            self.answers = 0;
            return;
        }
        self.answers += 1;
        if self.allowed < self.fast_below || self.answers >= self.allowed {
            self.allowed += 1;
            self.answers = 0;
        }
    }

    /// No host could be spoken to about mail.
    pub(super) fn missed(&mut self, limit: usize) {
        self.allowed = (self.allowed(limit) / 2).max(1);
        self.fast_below = self.allowed;
        self.answers = 0;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// `a`: answered, `m`: missed; what is allowed after each.
    #[track_caller]
    fn check(limit: usize, happens: &str, want: &[usize]) {
        let mut concurrency = Concurrency::new();
        let seen: Vec<usize> = happens
            .chars()
            .map(|what| {
                match what {
                    'a' => concurrency.answered(limit),
                    _ => concurrency.missed(limit),
                }
                concurrency.allowed(limit)
            })
            .collect();
        assert_eq!(seen, want, "{happens}");
    }

    #[test]
    fn it_starts_low_and_never_exceeds_the_limit() {
        assert_eq!(Concurrency::new().allowed(20), 5);
        assert_eq!(Concurrency::new().allowed(3), 3);
        check(8, "aaaaa", &[6, 7, 8, 8, 8]);
        check(1, "aam", &[1, 1, 1]);
    }

    #[test]
    fn a_miss_halves_it_down_to_one() {
        check(20, "mmmm", &[2, 1, 1, 1]);
        check(4, "m", &[2]);
        check(8, "aaaaam", &[6, 7, 8, 8, 8, 4]);
    }

    #[test]
    fn after_a_miss_it_grows_by_one_with_each_round() {
        check(20, "maaaaaaaaa", &[2, 2, 3, 3, 3, 4, 4, 4, 4, 5]);
        check(20, "mmaaa", &[2, 1, 2, 2, 3]);
    }
}
