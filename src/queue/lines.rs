//! Who may go now: fair between destinations, bounded for each and in all. Pure bookkeeping; the
//! dispatcher does what [`Lines::next`] says.
//!
//! - Destinations with something due take turns, each for one attempt. Those that have nothing under
//!   way come first, and the last quarter of all slots is kept for them: a few slow destinations,
//!   each with as many attempts as it may have, can't keep another one waiting.
//! - Destinations that have not shown that they answer get one attempt at a time, and half of the
//!   slots, all together. In that half, attempts that no host answers make room for others as
//!   [`super::patience`] says, so that a new destination gets its turn however many dead ones hang.
//! - Destinations that have answered take turns with those, and have the other half. If every slot
//!   is taken, those make room whose hosts fell silent.

use std::collections::HashMap;

use crate::config::DestinationRates;
use crate::mail::{Destination, QueueId, RecipientNo, UnixMillis};
use crate::store::{DueItem, Suspension};

use super::backoff::Jitter;
use super::bounds::Bounds;
use super::line::{Ending, Front, Line, Waiting};
use super::patience::Level;
use super::remembered::Remembered;
use super::seeking::{Seeking, Ticket};
use super::settings::Settings;
use super::standing::{Change, Learned, Rank, Standing};
use super::suspension::SuspensionPolicy;
use super::turns::{Place, Turns};

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
    /// For the attempt.
    pub(super) ticket: Ticket,
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
    /// Put the attempt off, if no host takes its message: end it with [`Ending::PutOff`]. Otherwise
    /// say so with [`Lines::is_taking`].
    PutOff(Ticket),
}

/// What the lines go by.
#[derive(Clone, Debug)]
pub(super) struct Rules {
    /// How much at one time.
    pub(super) bounds: Bounds,
    /// How often.
    pub(super) rates: DestinationRates,
    /// Who gets nothing for a while.
    pub(super) suspension: SuspensionPolicy,
}

/// One entry for each destination with work, and what is remembered of others.
#[derive(Debug)]
pub(super) struct Lines {
    rules: Rules,
    lines: HashMap<Destination, Entry>,
    remembered: Remembered,
    /// Destinations whose suspension is over without an answer: the operator's at its end, others when
    /// they are remembered no more.
    opened: Vec<Destination>,
    turns: Turns,
    seeking: Seeking,
    next_turn: u64,
    next_attempt: u64,
    running: usize,
    running_unproven: usize,
    reading: usize,
}

#[derive(Debug)]
struct Entry {
    line: Line,
    standing: Standing,
    place: Place,
    /// Since when it waits for its turn, kept while it is being read.
    turn: Option<u64>,
}

/// What can be done now.
enum Turn<'a> {
    Of(&'a Destination),
    MakeRoom(Ticket),
}

impl Lines {
    /// No lines yet.
    pub(super) fn new(rules: Rules) -> Lines {
        Lines {
            remembered: Remembered::new(rules.bounds.remembered),
            rules,
            lines: HashMap::new(),
            opened: Vec::new(),
            turns: Turns::default(),
            seeking: Seeking::default(),
            next_turn: 0,
            next_attempt: 0,
            running: 0,
            running_unproven: 0,
            reading: 0,
        }
    }

    /// Goes on by other settings. Attempts that are under way count on, also beyond them.
    pub(super) fn change(&mut self, settings: &Settings, now: UnixMillis) {
        self.rules.bounds.destination = settings.destination_concurrency;
        self.rules.rates = settings.rates.clone();
        self.rules.suspension = SuspensionPolicy::of(&settings.retry);
        let rates = &self.rules.rates;
        self.remembered
            .change(|destination, standing| standing.set_rate(rates.of(destination)));
        for (destination, entry) in &mut self.lines {
            entry.standing.set_rate(rates.of(destination));
        }
        let all: Vec<Destination> = self.lines.keys().cloned().collect();
        for destination in all {
            self.settle(&destination, now);
        }
    }

    /// One recipient stands in line.
    pub(super) fn add(&mut self, item: DueItem, now: UnixMillis) {
        let waiting = Waiting {
            due: item.due,
            id: item.id,
            no: item.no,
        };
        let level = match item.due <= now {
            true => Level::NEWCOMER,
            false => Level::BACKLOG,
        };
        let bounds = self.rules.bounds;
        self.entry(&item.destination, level)
            .line
            .add(waiting, &bounds);
        self.settle(&item.destination, now);
    }

    /// The store has items of this destination, the earliest due at `due`.
    pub(super) fn more(&mut self, destination: &Destination, due: UnixMillis, now: UnixMillis) {
        self.entry(destination, Level::BACKLOG).line.more(due);
        self.settle(destination, now);
    }

    /// The store knows that this destination is suspended, or the operator says so.
    pub(super) fn suspend(
        &mut self,
        destination: &Destination,
        suspension: Suspension,
        now: UnixMillis,
    ) {
        self.entry(destination, Level::LAST)
            .standing
            .suspend(suspension);
        self.settle(destination, now);
    }

    /// Somebody says that this destination will answer now.
    pub(super) fn resume(&mut self, destination: &Destination, now: UnixMillis) -> Option<Change> {
        let standing = &mut self.entry(destination, Level::NEWCOMER).standing;
        let change = standing.resume().then_some(Change::Opened);
        self.settle(destination, now);
        change
    }

    /// Takes the destinations whose suspension is over without an answer.
    pub(super) fn take_opened(&mut self) -> Vec<Destination> {
        std::mem::take(&mut self.opened)
    }

    /// One recipient of a claim was in other hands, and is not any more. Not to be said of one that
    /// was attempted or given back.
    pub(super) fn put_back(&mut self, item: DueItem, now: UnixMillis) {
        let waiting = Waiting {
            due: item.due,
            id: item.id,
            no: item.no,
        };
        let bounds = self.rules.bounds;
        self.entry(&item.destination, Level::BACKLOG)
            .line
            .put_back(waiting, &bounds);
        self.settle(&item.destination, now);
    }

    /// What to do next; ask until there is nothing.
    pub(super) fn next(&mut self, now: UnixMillis) -> Option<Step> {
        self.wake(now);
        loop {
            let destination = match self.whose_turn(now)? {
                Turn::Of(destination) => destination.clone(),
                Turn::MakeRoom(ticket) => {
                    self.seeking.leave(&ticket);
                    return Some(Step::PutOff(ticket));
                }
            };
            let bounds = self.rules.bounds;
            let entry = self.lines.get_mut(&destination)?;
            match entry.line.front(now, &bounds) {
                Front::Claim => return self.claim(destination, now).map(Step::Attempt),
                Front::Read(limit) => {
                    if self.reading >= bounds.reads {
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

    fn claim(&mut self, destination: Destination, now: UnixMillis) -> Option<Claim> {
        let bounds = self.rules.bounds;
        let entry = self.lines.get_mut(&destination)?;
        let (first, nos) = entry.line.claim(&bounds)?;
        entry.turn = None;
        let transactions = nos.len().div_ceil(bounds.transaction);
        let transactions = u32::try_from(transactions).unwrap_or(u32::MAX);
        entry.standing.begins(transactions, now);
        let rank = entry.standing.rank();
        let ticket = Ticket {
            rank,
            since: now,
            no: self.next_attempt,
        };
        self.next_attempt += 1;
        self.running += 1;
        if let Rank::Unproven(_) = rank {
            self.running_unproven += 1;
        }
        self.turns.went(rank);
        self.seeking.begin(ticket);
        self.settle(&destination, now);
        Some(Claim {
            destination,
            due: first.due,
            id: first.id,
            nos,
            ticket,
        })
    }

    /// When to ask [`Lines::next`] again if nothing is told before.
    pub(super) fn wake_at(&self, now: UnixMillis) -> Option<UnixMillis> {
        let due = self.turns.first_asleep().map(|(at, _)| at);
        let room = self.room(now).map(|(_, from)| from);
        due.into_iter().chain(room).min()
    }

    /// A host takes the message of this attempt, whose destination need not wait for its end.
    pub(super) fn is_taking(&mut self, claim: &Claim, now: UnixMillis) {
        self.seeking.end(&claim.ticket);
        if let Some(entry) = self.lines.get_mut(&claim.destination) {
            entry.standing.is_taking();
            self.settle(&claim.destination, now);
        }
    }

    /// An attempt ended, of those recipients of the claim that were not in other hands: of others
    /// nothing is said here, see [`Lines::put_back`]. What the store told before must have been added before, or recipients
    /// might be handed out again that are over.
    pub(super) fn finish(
        &mut self,
        claim: &Claim,
        ending: Ending,
        learned: &Learned,
        now: UnixMillis,
        jitter: Jitter,
    ) -> Option<Change> {
        let Claim { due, id, .. } = *claim;
        let items = claim.nos.iter().map(|&no| Waiting { due, id, no });
        let Rules {
            bounds, suspension, ..
        } = self.rules;
        self.seeking.end(&claim.ticket);
        self.running -= 1;
        if let Rank::Unproven(_) = claim.ticket.rank {
            self.running_unproven -= 1;
        }
        let entry = self.entry(&claim.destination, Level::BACKLOG);
        entry.line.finish(items, ending, now, &bounds);
        if ending == Ending::PutOff {
            entry.standing.was_put_off(now.since(claim.ticket.since));
        }
        let limit = bounds.destination;
        let change = entry
            .standing
            .learn(learned, limit, now, &suspension, jitter);
        self.settle(&claim.destination, now);
        change
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
        let bounds = self.rules.bounds;
        self.reading -= 1;
        let entry = self.entry(destination, Level::BACKLOG);
        entry.line.end_read(&items, &bounds);
        self.settle(destination, now);
    }

    /// A read failed; the line pauses.
    pub(super) fn fail_read(&mut self, destination: &Destination, now: UnixMillis) {
        self.reading -= 1;
        let entry = self.entry(destination, Level::BACKLOG);
        entry.line.fail_read(now);
        self.settle(destination, now);
    }

    /// A stranger comes in at `level`.
    fn entry(&mut self, destination: &Destination, level: Level) -> &mut Entry {
        if !self.lines.contains_key(destination) {
            let remembered = self.remembered.take(destination);
            let standing = remembered
                .unwrap_or_else(|| Standing::unknown(level, self.rules.rates.of(destination)));
            let entry = Entry {
                line: Line::default(),
                standing,
                place: Place::default(),
                turn: None,
            };
            self.lines.insert(destination.clone(), entry);
        }
        self.lines
            .get_mut(destination)
            .expect("it was put in on the lines above")
    }

    /// Who goes next, or who has to make room for them. A read takes a slot too: it is for a claim.
    fn whose_turn(&self, now: UnixMillis) -> Option<Turn<'_>> {
        if let Some((ticket, from)) = self.room(now)
            && from <= now
        {
            return Some(Turn::MakeRoom(ticket));
        }
        let free = self.free();
        if free == 0 {
            return None;
        }
        let bounds = &self.rules.bounds;
        let unproven_may = self.running_unproven < bounds.unproven();
        let served_may = free > bounds.kept_for_fresh();
        self.turns.next(unproven_may, served_may).map(Turn::Of)
    }

    fn free(&self) -> usize {
        let taken = self.running + self.reading;
        self.rules.bounds.total.saturating_sub(taken)
    }

    /// Who has to make room for somebody who waits, and from when on.
    fn room(&self, now: UnixMillis) -> Option<(Ticket, UnixMillis)> {
        let leaving = self.seeking.leaving();
        if self.running_unproven >= self.rules.bounds.unproven() {
            // those before it are given the slots that will be free
            let level = self.turns.unproven_after(leaving)?;
            self.seeking.for_unproven(level, now)
        } else if self.free() == 0 && self.turns.for_any_slot() > leaving {
            self.seeking.for_any()
        } else {
            None
        }
    }

    fn wake(&mut self, now: UnixMillis) {
        while let Some((at, destination)) = self.turns.first_asleep()
            && at <= now
        {
            let destination = destination.clone();
            self.settle(&destination, now);
        }
    }

    /// Puts a destination where it belongs after a change.
    fn settle(&mut self, destination: &Destination, now: UnixMillis) {
        let bounds = self.rules.bounds;
        let Some(entry) = self.lines.get_mut(destination) else {
            return;
        };
        if let Some(Some(until)) = entry.standing.ordered_until()
            && until <= now
        {
            entry.standing.resume();
            self.opened.push(destination.clone());
        }
        let running = entry.line.running();
        let ordered_until = entry.standing.ordered_until();
        let place = match entry.line.front(now, &bounds) {
            // until then nothing else matters
            _ if ordered_until.is_some() => {
                let until = ordered_until.flatten();
                until.map_or(Place::Nowhere, Place::Sleeping)
            }
            Front::Nothing => Place::Nowhere,
            Front::At(at) => Place::Sleeping(at),
            Front::Claim | Front::Read(_)
                if running >= entry.standing.allowed(bounds.destination) =>
            {
                Place::Nowhere
            }
            Front::Claim | Front::Read(_) => {
                if let Some(at) = entry.standing.waits_until(now) {
                    Place::Sleeping(at)
                } else {
                    let turn = *entry.turn.get_or_insert_with(|| {
                        self.next_turn += 1;
                        self.next_turn
                    });
                    match (entry.standing.rank(), running) {
                        (Rank::Unproven(level), _) => Place::Unproven(level, turn),
                        (Rank::Proven, 0) => Place::Fresh(turn),
                        (Rank::Proven, _) => Place::Served(turn),
                    }
                }
            }
        };
        // a turn is kept while the line is read, and lost when there is nothing to wait for
        if !place.has_turn() && !entry.line.is_being_read() {
            entry.turn = None;
        }
        let left = std::mem::replace(&mut entry.place, place);
        // what the operator suspended is not forgotten for others
        let over = entry.line.is_empty() && ordered_until.is_none();
        self.turns.shift(destination, left, place);
        if over
            && let Some(entry) = self.lines.remove(destination)
            && entry.standing.is_telling(now)
            && let Some((forgotten, standing)) = self.remembered.put(destination, entry.standing)
            && standing.is_suspended()
        {
            self.opened.push(forgotten);
        }
    }
}

#[cfg(test)]
#[path = "lines_model_test.rs"]
mod model;
#[cfg(test)]
#[path = "lines_test.rs"]
mod tests;
