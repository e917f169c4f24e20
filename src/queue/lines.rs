//! Who may go now: fair between destinations, bounded for each and in all. Pure bookkeeping; the
//! dispatcher does what [`Lines::next`] says.
//!
//! Destinations with something due take turns. Those that have nothing under way come first, and the
//! last quarter of all slots is kept for them: a few dead destinations, each with as many attempts
//! hanging as it may have, can't keep a live one waiting.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use crate::mail::{Destination, QueueId, RecipientNo, UnixMillis};
use crate::store::DueItem;

use super::bounds::Bounds;
use super::line::{Ending, Front, Line, Waiting};

/// Recipients of one message in one line, due at the same time: to be attempted together.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Claim {
    /// Their line.
    pub(super) destination: Destination,
    /// When they were due.
    pub(super) due: UnixMillis,
    /// Their message.
    pub(super) id: QueueId,
    /// Which, in ascending order.
    pub(super) nos: Vec<RecipientNo>,
}

/// What the dispatcher has to do.
#[derive(Debug)]
pub(super) enum Step {
    /// Attempt it, then say how it ended with [`Lines::finish`].
    Attempt(Claim),
    /// Read the first `limit` items of the line, then tell with [`Lines::end_read`] or
    /// [`Lines::fail_read`].
    Read {
        /// Whose line.
        destination: Destination,
        /// How many items.
        limit: usize,
    },
}

/// One entry for each destination with work.
#[derive(Debug)]
pub(super) struct Lines {
    bounds: Bounds,
    lines: HashMap<Destination, Entry>,
    /// Due, nothing under way; by turn.
    fresh: BTreeMap<u64, Destination>,
    /// Due, with something under way and room for more; by turn.
    served: BTreeMap<u64, Destination>,
    /// Not due yet.
    sleeping: BTreeSet<(UnixMillis, Destination)>,
    turns: u64,
    running: usize,
    reading: usize,
}

#[derive(Debug, Default)]
struct Entry {
    line: Line,
    place: Place,
    /// Since when it waits for its turn, kept while it is being read.
    turn: Option<u64>,
}

/// In which of the lists a destination stands.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Place {
    #[default]
    Nowhere,
    Fresh(u64),
    Served(u64),
    Sleeping(UnixMillis),
}

impl Lines {
    /// No lines yet.
    pub(super) fn new(bounds: Bounds) -> Lines {
        Lines {
            bounds,
            lines: HashMap::new(),
            fresh: BTreeMap::new(),
            served: BTreeMap::new(),
            sleeping: BTreeSet::new(),
            turns: 0,
            running: 0,
            reading: 0,
        }
    }

    /// One recipient stands in line.
    pub(super) fn add(&mut self, item: DueItem, now: UnixMillis) {
        let waiting = Waiting {
            due: item.due,
            id: item.id,
            no: item.no,
        };
        let bounds = self.bounds;
        self.entry(&item.destination).line.add(waiting, &bounds);
        self.settle(&item.destination, now);
    }

    /// The store has items of this destination, the earliest due at `due`.
    pub(super) fn more(&mut self, destination: &Destination, due: UnixMillis, now: UnixMillis) {
        self.entry(destination).line.more(due);
        self.settle(destination, now);
    }

    /// What to do next; ask until there is nothing.
    pub(super) fn next(&mut self, now: UnixMillis) -> Option<Step> {
        self.wake(now);
        loop {
            let destination = self.whose_turn()?.clone();
            let entry = self.lines.get_mut(&destination)?;
            match entry.line.front(now, &self.bounds) {
                Front::Claim => {
                    let (first, nos) = entry.line.claim(&self.bounds)?;
                    entry.turn = None;
                    self.running += 1;
                    self.settle(&destination, now);
                    return Some(Step::Attempt(Claim {
                        destination,
                        due: first.due,
                        id: first.id,
                        nos,
                    }));
                }
                Front::Read(limit) => {
                    if self.reading >= self.bounds.reads {
                        return None; // a read that ends brings us back
                    }
                    entry.line.begin_read(limit);
                    self.reading += 1;
                    self.settle(&destination, now);
                    return Some(Step::Read { destination, limit });
                }
                // only if the clock went back
                Front::At(_) | Front::Nothing => self.settle(&destination, now),
            }
        }
    }

    /// When to ask [`Lines::next`] again if nothing is told before.
    pub(super) fn wake_at(&self) -> Option<UnixMillis> {
        self.sleeping.first().map(|(at, _)| *at)
    }

    /// An attempt ended. What the store told before must have been added before, or recipients
    /// might be handed out again that are over.
    pub(super) fn finish(&mut self, claim: &Claim, ending: Ending, now: UnixMillis) {
        let Claim { due, id, .. } = *claim;
        let items = claim.nos.iter().map(|&no| Waiting { due, id, no });
        let bounds = self.bounds;
        self.running -= 1;
        let line = &mut self.entry(&claim.destination).line;
        line.finish(items, ending, now, &bounds);
        self.settle(&claim.destination, now);
    }

    /// A read ended.
    pub(super) fn end_read(
        &mut self,
        destination: &Destination,
        items: &[DueItem],
        now: UnixMillis,
    ) {
        let items: Vec<Waiting> = items
            .iter()
            .map(|&DueItem { due, id, no, .. }| Waiting { due, id, no })
            .collect();
        let bounds = self.bounds;
        self.reading -= 1;
        self.entry(destination).line.end_read(&items, &bounds);
        self.settle(destination, now);
    }

    /// A read failed; the line pauses.
    pub(super) fn fail_read(&mut self, destination: &Destination, now: UnixMillis) {
        self.reading -= 1;
        self.entry(destination).line.fail_read(now);
        self.settle(destination, now);
    }

    fn entry(&mut self, destination: &Destination) -> &mut Entry {
        if !self.lines.contains_key(destination) {
            self.lines.insert(destination.clone(), Entry::default());
        }
        self.lines
            .get_mut(destination)
            .expect("it was put in on the line above")
    }

    /// Who goes next, if a slot is free for them. A read takes a slot too: it is for a claim.
    fn whose_turn(&self) -> Option<&Destination> {
        let free = self
            .bounds
            .total
            .saturating_sub(self.running + self.reading);
        if free == 0 {
            return None;
        }
        let kept_for_fresh = self.bounds.total / 4;
        self.fresh.values().next().or_else(|| {
            self.served
                .values()
                .next()
                .filter(|_| free > kept_for_fresh)
        })
    }

    fn wake(&mut self, now: UnixMillis) {
        while let Some((at, destination)) = self.sleeping.first()
            && *at <= now
        {
            let destination = destination.clone();
            self.settle(&destination, now);
        }
    }

    /// Puts a destination where it belongs after a change.
    fn settle(&mut self, destination: &Destination, now: UnixMillis) {
        let Some(entry) = self.lines.get_mut(destination) else {
            return;
        };
        let running = entry.line.running();
        let place = match entry.line.front(now, &self.bounds) {
            Front::Nothing => Place::Nowhere,
            Front::At(at) => Place::Sleeping(at),
            Front::Claim | Front::Read(_) if running >= self.bounds.destination => Place::Nowhere,
            Front::Claim | Front::Read(_) => {
                let turn = *entry.turn.get_or_insert_with(|| {
                    self.turns += 1;
                    self.turns
                });
                match running {
                    0 => Place::Fresh(turn),
                    _ => Place::Served(turn),
                }
            }
        };
        // a turn is kept while the line is read, and lost when there is nothing to wait for
        let waits = matches!(place, Place::Fresh(_) | Place::Served(_));
        if !waits && !entry.line.is_being_read() {
            entry.turn = None;
        }
        let left = std::mem::replace(&mut entry.place, place);
        let over = entry.line.is_empty();
        if left != place {
            self.leave(left, destination);
            self.enter(place, destination);
        }
        if over {
            self.lines.remove(destination);
        }
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
            Place::Sleeping(at) => {
                self.sleeping.remove(&(at, destination.clone()));
            }
        }
    }

    fn enter(&mut self, place: Place, destination: &Destination) {
        let destination = destination.clone();
        match place {
            Place::Nowhere => {}
            Place::Fresh(turn) => {
                self.fresh.insert(turn, destination);
            }
            Place::Served(turn) => {
                self.served.insert(turn, destination);
            }
            Place::Sleeping(at) => {
                self.sleeping.insert((at, destination));
            }
        }
    }
}

#[cfg(test)]
#[path = "lines_test.rs"]
mod tests;
