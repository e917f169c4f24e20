//! When those arrived who wait: how many in each stretch of time, so that the oldest is always known
//! without a look at the queue. Kept with the counters, written at a clean stop, counted anew by a start
//! after a crash.

use std::collections::BTreeMap;

use crate::mail::{StateName, UnixMillis};

use super::Store;

/// Length of a stretch, in milliseconds, as long as there are not too many.
const STRETCH_MS: u64 = 10_000;
/// Stretches of one state, at about 40 bytes each. If there are more, all become twice as long.
const STRETCHES_MAX: usize = 65_536;

/// The states in which somebody waits.
const WAITING: [StateName; 3] = [StateName::Queued, StateName::Deferred, StateName::Held];

/// Which of [`WAITING`] this is.
fn waiting_no(state: StateName) -> Option<usize> {
    WAITING.iter().position(|waiting| *waiting == state)
}

/// All who wait, by state and by the time of their arrival.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Arrivals([Stretches; WAITING.len()]);

#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Stretches {
    /// A stretch is [`STRETCH_MS`] times two to this power.
    doubled: u32,
    /// How many arrived in each stretch in which anybody did.
    counts: BTreeMap<u64, u64>,
}

/// A part of [`Arrivals`] that can be written down.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct ArrivalsPart {
    /// Which of the states.
    pub state: u8,
    pub doubled: u32,
    /// Stretches with their numbers.
    pub counts: Vec<(u64, u64)>,
}

/// Somebody begins to wait, or no more does.
#[derive(Clone, Copy, Debug)]
pub(super) struct ArrivalChange {
    state: usize,
    stretch: u64,
    by: i64,
}

impl ArrivalChange {
    /// `None` for states in which nobody waits.
    pub(super) fn new(state: StateName, arrived: UnixMillis, by: i64) -> Option<ArrivalChange> {
        Some(ArrivalChange {
            state: waiting_no(state)?,
            stretch: arrived.0 / STRETCH_MS,
            by,
        })
    }

    /// Takes in another change, if it is about the same ones.
    pub(super) fn joins(&mut self, other: &ArrivalChange) -> bool {
        let same = (self.state, self.stretch) == (other.state, other.stretch);
        if same {
            self.by += other.by;
        }
        same
    }
}

impl Arrivals {
    pub(super) fn apply(&mut self, change: ArrivalChange) {
        self.0[change.state].change(change.stretch, change.by);
    }

    /// When the oldest one arrived who is in this state, to the length of a stretch.
    pub(super) fn oldest(&self, state: StateName) -> Option<UnixMillis> {
        let stretches = &self.0[waiting_no(state)?];
        let (&first, _) = stretches.counts.first_key_value()?;
        Some(UnixMillis((first << stretches.doubled) * STRETCH_MS))
    }

    /// How many are in each of the states, in their order.
    pub(super) fn totals(&self) -> [u64; WAITING.len()] {
        self.0
            .each_ref()
            .map(|stretches| stretches.counts.values().sum())
    }

    /// In parts of so many stretches each.
    pub(super) fn parts(&self, stretches_max: usize) -> Vec<ArrivalsPart> {
        let mut parts = Vec::new();
        for (state, stretches) in (0..).zip(&self.0) {
            let counts: Vec<(u64, u64)> = stretches.counts.iter().map(|(&k, &n)| (k, n)).collect();
            parts.extend(counts.chunks(stretches_max).map(|counts| ArrivalsPart {
                state,
                doubled: stretches.doubled,
                counts: counts.to_vec(),
            }));
        }
        parts
    }

    /// Back from [`Arrivals::parts`]; `None` if they can't be of one whole.
    pub(super) fn from_parts(parts: Vec<ArrivalsPart>) -> Option<Arrivals> {
        let mut whole = Arrivals::default();
        for part in parts {
            let stretches = whole.0.get_mut(usize::from(part.state))?;
            let fits = stretches.counts.is_empty() || stretches.doubled == part.doubled;
            if !fits || part.doubled >= u64::BITS {
                return None;
            }
            stretches.doubled = part.doubled;
            stretches.counts.extend(part.counts);
        }
        Some(whole)
    }
}

impl Stretches {
    fn change(&mut self, stretch: u64, by: i64) {
        let stretch = stretch >> self.doubled;
        let count = self.counts.entry(stretch).or_default();
        *count = count.saturating_add_signed(by);
        if *count == 0 {
            self.counts.remove(&stretch);
        }
        while self.counts.len() > STRETCHES_MAX {
            self.doubled += 1;
            let mut wider = BTreeMap::new();
            for (stretch, count) in std::mem::take(&mut self.counts) {
                *wider.entry(stretch >> 1).or_default() += count;
            }
            self.counts = wider;
        }
    }
}

impl Store {
    /// When the oldest message arrived that has a recipient in this state, to 10 s, or less exactly
    /// if those that wait came over more than a week; `None`: there is none, or the state is none in
    /// which anybody waits. Cheap.
    #[must_use]
    pub fn oldest(&self, state: StateName) -> Option<UnixMillis> {
        self.0.counters.oldest(state)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn apply(arrivals: &mut Arrivals, state: StateName, at: u64, by: i64) {
        if let Some(change) = ArrivalChange::new(state, UnixMillis(at), by) {
            arrivals.apply(change);
        }
    }

    #[test]
    fn the_oldest_is_known_as_they_come_and_go() {
        let mut arrivals = Arrivals::default();
        apply(&mut arrivals, StateName::Queued, 25_000, 1);
        apply(&mut arrivals, StateName::Queued, 47_000, 2);
        apply(&mut arrivals, StateName::Held, 1_000, 1);
        apply(&mut arrivals, StateName::Delivered, 1, 1);
        let oldest =
            |arrivals: &Arrivals| StateName::ALL.map(|state| arrivals.oldest(state).map(|at| at.0));
        let none = None::<u64>;
        let want = [Some(20_000), none, Some(0), none, none, none, none];
        assert_eq!(oldest(&arrivals), want);
        apply(&mut arrivals, StateName::Queued, 29_999, -1);
        apply(&mut arrivals, StateName::Held, 9_999, -1);
        let want = [Some(40_000), none, none, none, none, none, none];
        assert_eq!(oldest(&arrivals), want);
        assert_eq!(arrivals.totals(), [2, 0, 0]);
    }

    #[test]
    fn with_too_many_stretches_they_become_longer_and_all_comes_out_even() {
        let mut arrivals = Arrivals::default();
        let times = || (3..3 + 4 * STRETCHES_MAX as u64).map(|n| n * STRETCH_MS);
        for at in times() {
            apply(&mut arrivals, StateName::Deferred, at, 1);
        }
        assert!(arrivals.0[1].counts.len() <= STRETCHES_MAX);
        assert_eq!(arrivals.oldest(StateName::Deferred), Some(UnixMillis(0)));
        let parts = arrivals.parts(1_000);
        assert!(parts.len() > 10);
        assert_eq!(Arrivals::from_parts(parts), Some(arrivals.clone()));
        for at in times() {
            apply(&mut arrivals, StateName::Deferred, at, -1);
        }
        assert_eq!(arrivals.oldest(StateName::Deferred), None);
    }

    #[test]
    fn parts_that_are_of_no_whole_are_refused() {
        let part = |state, doubled| ArrivalsPart {
            state,
            doubled,
            counts: vec![(1, 1)],
        };
        assert_eq!(Arrivals::from_parts(vec![part(3, 0)]), None);
        assert_eq!(Arrivals::from_parts(vec![part(0, 64)]), None);
        assert_eq!(Arrivals::from_parts(vec![part(0, 0), part(0, 1)]), None);
        assert!(Arrivals::from_parts(vec![part(0, 0), part(1, 1)]).is_some());
    }
}
