//! How long an attempt that no host answers may keep its slot while others wait for one. Pure.
//!
//! Whether a host will ever speak can't be known before it was tried, and it may take its time. So
//! destinations that have not answered yet share their slots as processes share a processor: who
//! has waited in vain for the shortest time goes first, and each round gives more time than the last.

use std::time::Duration;

/// How often a destination has been tried in vain, about. It counts only while it has not answered.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) struct Level(u8);

/// What an attempt is given before somebody of each level may have its slot.
const PATIENCE: [Duration; 5] = [
    Duration::from_millis(500),
    Duration::from_secs(4),
    Duration::from_secs(8),
    Duration::from_secs(16),
    Duration::from_secs(32),
];

/// What an attempt is given of a destination that has answered before.
pub(super) const PATIENCE_WITH_PROVEN: Duration = Duration::from_secs(4);

impl Level {
    /// Mail has just come for a destination that nothing is known about.
    pub(super) const NEWCOMER: Level = Level(0);
    /// Nothing is known about it, and its mail has waited already.
    pub(super) const BACKLOG: Level = Level(1);
    /// An attempt had all the time that it wanted, and failed. Nobody has to give way to it.
    pub(super) const LAST: Level = Level(5);

    /// All levels, the last first.
    pub(super) fn downwards() -> impl Iterator<Item = Level> {
        (0..=Level::LAST.0).rev().map(Level)
    }

    /// How long somebody may keep a slot for which somebody of this level waits. `None`: as long as
    /// it takes.
    pub(super) fn patience(self) -> Option<Duration> {
        PATIENCE.get(usize::from(self.0)).copied()
    }

    /// After an attempt was put off that had been under way for `span`: higher only if it had its
    /// time.
    #[must_use]
    pub(super) fn after(self, span: Duration) -> Level {
        match self.patience() {
            Some(patience) if span >= patience => Level(self.0 + 1),
            Some(_) | None => self,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_level_is_given_more_than_the_one_before_and_the_last_all() {
        let levels: Vec<Level> = Level::downwards().collect();
        assert_eq!(levels.first(), Some(&Level::LAST));
        assert_eq!(levels.len(), PATIENCE.len() + 1);
        assert!(PATIENCE.is_sorted());
        assert_eq!(Level::LAST.patience(), None);
    }

    #[test]
    fn who_had_its_time_goes_up_and_who_had_not_stays() {
        for (level, millis, want) in [
            (Level::NEWCOMER, 499, Level::NEWCOMER),
            (Level::NEWCOMER, 500, Level::BACKLOG),
            (Level::BACKLOG, 500, Level::BACKLOG),
            (Level(4), 32_000, Level::LAST),
            (Level::LAST, 999_999, Level::LAST),
        ] {
            let got = level.after(Duration::from_millis(millis));
            assert_eq!(got, want, "{level:?} after {millis} ms");
        }
    }
}
