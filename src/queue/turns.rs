//! The lists in which destinations wait, and who of them goes next. Pure.

use std::collections::{BTreeMap, BTreeSet};

use crate::mail::{Destination, UnixMillis};

use super::patience::Level;
use super::standing::Rank;

/// In which list a destination stands; where it waits for its turn, since which.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum Place {
    /// It has nothing to wait for.
    #[default]
    Nowhere,
    /// Proven, due, nothing under way.
    Fresh(u64),
    /// Proven, due, with something under way and room for more.
    Served(u64),
    /// Unproven, due, nothing under way.
    Unproven(Level, u64),
    /// Not due yet, suspended, or over its rate.
    Sleeping(UnixMillis),
}

impl Place {
    /// Whether it waits for its turn.
    pub(super) fn has_turn(self) -> bool {
        match self {
            Place::Fresh(_) | Place::Served(_) | Place::Unproven(..) => true,
            Place::Nowhere | Place::Sleeping(_) => false,
        }
    }
}

/// See the module.
#[derive(Debug, Default)]
pub(super) struct Turns {
    fresh: BTreeMap<u64, Destination>,
    served: BTreeMap<u64, Destination>,
    unproven: BTreeMap<(Level, u64), Destination>,
    sleeping: BTreeSet<(UnixMillis, Destination)>,
    /// Who was first last time, where two kinds take turns.
    unproven_went: bool,
    newest_went: bool,
}

impl Turns {
    /// A destination goes from one place to another.
    pub(super) fn shift(&mut self, destination: &Destination, from: Place, to: Place) {
        if from != to {
            self.leave(from, destination);
            self.enter(to, destination.clone());
        }
    }

    /// Who goes next, of those for whom there is room.
    pub(super) fn next(&self, unproven_may: bool, served_may: bool) -> Option<&Destination> {
        let fresh = self.fresh.values().next();
        let unproven = self.next_unproven().filter(|_| unproven_may);
        let first = match self.unproven_went {
            true => fresh.or(unproven),
            false => unproven.or(fresh),
        };
        first.or_else(|| self.served.values().next().filter(|_| served_may))
    }

    /// A destination of this rank went.
    pub(super) fn went(&mut self, rank: Rank) {
        self.unproven_went = rank != Rank::Proven;
        if self.unproven_went {
            self.newest_went = !self.newest_went;
        }
    }

    /// The level of the unproven one that goes after `before` others.
    pub(super) fn unproven_after(&self, before: usize) -> Option<Level> {
        self.unproven.keys().nth(before).map(|(level, _)| *level)
    }

    /// How many wait for any slot at all, about; but not those that had to make room themselves.
    pub(super) fn for_any_slot(&self) -> usize {
        let unproven = self
            .unproven_after(0)
            .is_some_and(|level| level <= Level::BACKLOG);
        self.fresh.len() + usize::from(unproven)
    }

    /// Who wakes first, and when.
    pub(super) fn first_asleep(&self) -> Option<(UnixMillis, &Destination)> {
        let (at, destination) = self.sleeping.first()?;
        Some((*at, destination))
    }

    /// Whether nobody waits for anything.
    #[cfg(test)]
    pub(super) fn are_empty(&self) -> bool {
        self.fresh.is_empty()
            && self.served.is_empty()
            && self.unproven.is_empty()
            && self.sleeping.is_empty()
    }

    /// The lowest level first. Of newcomers the newest and the oldest take turns: whoever comes
    /// behind a crowd does not wait for all of it, nor does anybody wait for ever.
    fn next_unproven(&self) -> Option<&Destination> {
        let (&(level, turn), first) = self.unproven.first_key_value()?;
        if level != Level::NEWCOMER || self.newest_went {
            return Some(first);
        }
        let mut of_level = self.unproven.range((level, turn)..=(level, u64::MAX));
        of_level.next_back().map(|(_, destination)| destination)
    }

    fn leave(&mut self, place: Place, destination: &Destination) {
        match place {
            Place::Nowhere => {}
            Place::Fresh(turn) => {
                self.fresh.remove(&turn);
            }
            Place::Served(turn) => {
                self.served.remove(&turn);
            }
            Place::Unproven(level, turn) => {
                self.unproven.remove(&(level, turn));
            }
            Place::Sleeping(at) => {
                self.sleeping.remove(&(at, destination.clone()));
            }
        }
    }

    fn enter(&mut self, place: Place, destination: Destination) {
        match place {
            Place::Nowhere => {}
            Place::Fresh(turn) => {
                self.fresh.insert(turn, destination);
            }
            Place::Served(turn) => {
                self.served.insert(turn, destination);
            }
            Place::Unproven(level, turn) => {
                self.unproven.insert((level, turn), destination);
            }
            Place::Sleeping(at) => {
                self.sleeping.insert((at, destination));
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NEWCOMER: Level = Level::NEWCOMER;
    const BACKLOG: Level = Level::BACKLOG;
    const LAST: Level = Level::LAST;

    /// Who goes, until nobody waits.
    #[track_caller]
    fn check(places: &[Place], [unproven_may, served_may]: [bool; 2], want: &[usize]) {
        let name = |n: usize| Destination::from_stored(&format!("{n}.test"));
        let mut turns = Turns::default();
        for (n, &place) in places.iter().enumerate() {
            turns.shift(&name(n), Place::Nowhere, place);
        }
        let mut went = Vec::new();
        while let Some(next) = turns.next(unproven_may, served_may).cloned() {
            let n = (0..places.len()).find(|&n| name(n) == next).unwrap();
            turns.went(match places[n] {
                Place::Unproven(level, _) => Rank::Unproven(level),
                Place::Nowhere | Place::Fresh(_) | Place::Served(_) | Place::Sleeping(_) => {
                    Rank::Proven
                }
            });
            turns.shift(&next, places[n], Place::Nowhere);
            went.push(n);
        }
        assert_eq!(went, want, "{places:?}");
    }

    #[test]
    fn fresh_and_unproven_take_turns_and_both_go_before_served() {
        let places = [
            Place::Served(1),
            Place::Unproven(BACKLOG, 2),
            Place::Unproven(BACKLOG, 3),
            Place::Fresh(4),
            Place::Fresh(5),
            Place::Sleeping(UnixMillis(0)),
        ];
        check(&places, [true, true], &[1, 3, 2, 4, 0]);
        check(&places, [false, true], &[3, 4, 0]);
        check(&places, [true, false], &[1, 3, 2, 4]);
    }

    #[test]
    fn the_lowest_level_goes_first_and_of_newcomers_the_newest_and_the_oldest_in_turns() {
        let places = [
            Place::Unproven(LAST, 1),
            Place::Unproven(NEWCOMER, 2),
            Place::Unproven(BACKLOG, 3),
            Place::Unproven(NEWCOMER, 4),
            Place::Unproven(NEWCOMER, 5),
            Place::Unproven(NEWCOMER, 6),
            Place::Unproven(BACKLOG, 7),
        ];
        check(&places, [true, true], &[5, 1, 4, 3, 2, 6, 0]);
    }
}
