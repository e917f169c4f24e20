//! Attempts that no host has answered yet, as far as is known: whose slot could be given to somebody
//! else. Pure.

use std::collections::{BTreeSet, HashSet};

use crate::mail::UnixMillis;

use super::patience::{Level, PATIENCE_WITH_PROVEN};
use super::standing::Rank;

/// An attempt under way.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) struct Ticket {
    /// As its destination stood when it began.
    pub(super) rank: Rank,
    /// When that was.
    pub(super) since: UnixMillis,
    /// Which one.
    pub(super) no: u64,
}

/// See the module.
#[derive(Debug, Default)]
pub(super) struct Seeking {
    tickets: BTreeSet<Ticket>,
    /// Told to give up their slots, and not over yet.
    leaving: HashSet<u64>,
}

impl Seeking {
    /// An attempt begins.
    pub(super) fn begin(&mut self, ticket: Ticket) {
        self.tickets.insert(ticket);
    }

    /// It ended, or a host takes its message.
    pub(super) fn end(&mut self, ticket: &Ticket) {
        self.tickets.remove(ticket);
        self.leaving.remove(&ticket.no);
    }

    /// Slots that will be free in a moment.
    pub(super) fn leaving(&self) -> usize {
        self.leaving.len()
    }

    /// It is told to give up its slot.
    pub(super) fn leave(&mut self, ticket: &Ticket) {
        self.tickets.remove(ticket);
        self.leaving.insert(ticket.no);
    }

    /// Who makes room for somebody of this level in the share of the unproven, and from when on:
    /// whoever has been under way for as long as that level is given, of the highest level at which
    /// there is one, and the longest of these; if there is none, who will be the first.
    pub(super) fn for_unproven(
        &self,
        level: Level,
        now: UnixMillis,
    ) -> Option<(Ticket, UnixMillis)> {
        let patience = level.patience()?;
        let mut first: Option<(Ticket, UnixMillis)> = None;
        for level in Level::downwards() {
            let Some(ticket) = self.longest(Rank::Unproven(level)) else {
                continue;
            };
            let from = ticket.since.after(patience);
            if from <= now {
                return Some((ticket, from));
            }
            if first.is_none_or(|(_, earliest)| from < earliest) {
                first = Some((ticket, from));
            }
        }
        first
    }

    /// Who makes room if every slot is taken, and from when on: of the destinations that used to
    /// answer, that one which has not for the longest time.
    pub(super) fn for_any(&self) -> Option<(Ticket, UnixMillis)> {
        let ticket = self.longest(Rank::Proven)?;
        Some((ticket, ticket.since.after(PATIENCE_WITH_PROVEN)))
    }

    fn longest(&self, rank: Rank) -> Option<Ticket> {
        let from = Ticket {
            rank,
            since: UnixMillis(0),
            no: 0,
        };
        let first = self.tickets.range(from..).next().copied();
        first.filter(|ticket| ticket.rank == rank)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NEWCOMER: Rank = Rank::Unproven(Level::NEWCOMER);
    const BACKLOG: Rank = Rank::Unproven(Level::BACKLOG);
    const LAST: Rank = Rank::Unproven(Level::LAST);

    fn seeking(of: &[(Rank, u64)]) -> Seeking {
        let mut seeking = Seeking::default();
        for (&(rank, since), no) in of.iter().zip(0..) {
            let since = UnixMillis(since);
            seeking.begin(Ticket { rank, since, no });
        }
        seeking
    }

    /// Which one makes room, and when.
    #[track_caller]
    fn check(of: &[(Rank, u64)], level: Level, now: u64, want: Option<(u64, u64)>) {
        let found = seeking(of).for_unproven(level, UnixMillis(now));
        assert_eq!(found.map(|(ticket, from)| (ticket.no, from.0)), want);
    }

    #[test]
    fn the_longest_of_the_highest_level_makes_room_once_it_had_its_time() {
        let of = [(NEWCOMER, 0), (LAST, 300), (BACKLOG, 100), (LAST, 200)];
        check(&of, Level::NEWCOMER, 700, Some((3, 700)));
        // the highest levels have not been under way for long enough, a lower one has
        check(&of, Level::NEWCOMER, 650, Some((2, 600)));
        check(&of, Level::NEWCOMER, 400, Some((0, 500)));
    }

    #[test]
    fn for_a_higher_level_it_takes_longer_and_nobody_makes_room_for_the_last() {
        check(&[(NEWCOMER, 0)], Level::BACKLOG, 0, Some((0, 4_000)));
        check(&[(BACKLOG, 0)], Level::BACKLOG, 99_999, Some((0, 4_000)));
        check(&[(LAST, 0)], Level::LAST, 99_999, None);
        check(&[(Rank::Proven, 0)], Level::NEWCOMER, 99_999, None);
    }

    #[test]
    fn who_is_told_to_leave_is_told_once() {
        let mut seeking = seeking(&[(Rank::Proven, 0), (LAST, 0)]);
        let (ticket, from) = seeking.for_any().expect("one");
        assert_eq!((ticket.no, from), (0, UnixMillis(4_000)));
        seeking.leave(&ticket);
        assert_eq!((seeking.for_any(), seeking.leaving()), (None, 1));
        seeking.end(&ticket);
        assert_eq!(seeking.leaving(), 0);
    }
}
