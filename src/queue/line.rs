//! What is held in memory about one destination's line. Pure bookkeeping.
//!
//! A line in the store may be long; here is only its front, the *window*, and the place *beyond*
//! which one has to look into the store. The one invariant: whatever waits before `beyond` is in the
//! window or is out. So items that are told while the line is short are handed out without a single
//! read, and forgetting the far end of the window is always safe: `beyond` moves forward to it.

use std::collections::BTreeSet;
use std::time::Duration;

use crate::mail::{QueueId, RecipientNo, UnixMillis};

use super::bounds::Bounds;

/// First pause of a line after trouble; doubled each time up to [`PAUSE_MAX`].
const PAUSE: Duration = Duration::from_secs(1);
/// Longest pause of a line in trouble.
const PAUSE_MAX: Duration = Duration::from_secs(60);

/// One recipient's place in a line, in the order of the line.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Waiting {
    /// Not before.
    pub(super) due: UnixMillis,
    /// Of which message.
    pub(super) id: QueueId,
    /// Which recipient.
    pub(super) no: RecipientNo,
}

/// How a claim ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Ending {
    /// Its verdicts are in the store, or there was nothing to do.
    Done,
    /// Nothing was done; to be tried again after a pause.
    GivenBack,
    /// It was broken off before a host took anything, for the sake of others; to be tried again.
    PutOff,
    /// It can't be worked on before a restart, and must not stand in the way of others.
    SetAside,
}

/// What a line wants.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Front {
    /// To have its first recipients claimed.
    Claim,
    /// To be read from the store, so many items.
    Read(usize),
    /// To be asked again then.
    At(UnixMillis),
    /// Nothing, before it is told something.
    Nothing,
}

/// A line's front and what is out of it.
#[derive(Debug, Default)]
pub(super) struct Line {
    window: BTreeSet<Waiting>,
    beyond: Option<Waiting>,
    /// Claimed or set aside: still in the store, not to be handed out.
    out: BTreeSet<Waiting>,
    set_aside: usize,
    running: usize,
    reading: Option<Reading>,
    troubles: u32,
    paused_until: Option<UnixMillis>,
}

/// What happened while the store was being read, which the result may not show.
#[derive(Debug)]
struct Reading {
    limit: usize,
    finished: BTreeSet<Waiting>,
    missed: Option<Waiting>,
}

impl Waiting {
    fn same_message(&self, other: &Waiting) -> bool {
        (self.due, self.id) == (other.due, other.id)
    }

    /// Before everything that is due at `due`.
    fn first_at(due: UnixMillis) -> Waiting {
        Waiting {
            due,
            id: QueueId::from_bytes([0; 16]),
            no: RecipientNo(0),
        }
    }

    fn next(self) -> Waiting {
        Waiting {
            no: RecipientNo(self.no.0.saturating_add(1)),
            ..self
        }
    }
}

impl Line {
    /// Attempts under way.
    pub(super) fn running(&self) -> usize {
        self.running
    }

    /// Whether a read of this line is under way.
    pub(super) fn is_being_read(&self) -> bool {
        self.reading.is_some()
    }

    /// Whether nothing would be lost by forgetting this line.
    pub(super) fn is_empty(&self) -> bool {
        self.window.is_empty()
            && self.beyond.is_none()
            && self.out.is_empty()
            && self.running == 0
            && self.reading.is_none()
    }

    /// Something waits that may not have been known.
    pub(super) fn add(&mut self, item: Waiting, bounds: &Bounds) {
        if self.out.contains(&item) {
            return;
        }
        if self.beyond.is_some_and(|beyond| item >= beyond) {
            self.miss(item);
            return;
        }
        self.window.insert(item);
        self.trim(bounds);
    }

    /// There may be more in the store from `due` on.
    pub(super) fn more(&mut self, due: UnixMillis) {
        self.look_beyond(Waiting::first_at(due));
    }

    /// What the line wants at `now`.
    pub(super) fn front(&self, now: UnixMillis, bounds: &Bounds) -> Front {
        let first = self.window.first();
        let (Some(next), None) = (first.or(self.beyond.as_ref()), &self.reading) else {
            return Front::Nothing;
        };
        let at = self.paused_until.map_or(next.due, |end| end.max(next.due));
        if at > now {
            return Front::At(at);
        }
        match first {
            Some(first) if self.may_lack(first, bounds) => {
                Front::Read(self.out.len() + bounds.group + 1)
            }
            Some(_) => Front::Claim,
            None => Front::Read(self.out.len() + bounds.window),
        }
    }

    /// Takes the first recipients that share message and time.
    pub(super) fn claim(&mut self, bounds: &Bounds) -> Option<(Waiting, Vec<RecipientNo>)> {
        let first = *self.window.first()?;
        let mut nos = Vec::with_capacity(1);
        while let Some(item) = self.window.first().copied()
            && item.same_message(&first)
            && nos.len() < bounds.group
        {
            self.window.pop_first();
            self.out.insert(item);
            nos.push(item.no);
        }
        self.running += 1;
        Some((first, nos))
    }

    /// What a claim could not have, since it was in other hands, is free.
    pub(super) fn put_back(&mut self, item: Waiting, bounds: &Bounds) {
        if self.out.remove(&item) {
            self.add(item, bounds);
        }
    }

    /// A claim ended. Items of it that are in other hands stay out, see [`Line::put_back`].
    pub(super) fn finish(
        &mut self,
        items: impl ExactSizeIterator<Item = Waiting>,
        ending: Ending,
        now: UnixMillis,
        bounds: &Bounds,
    ) {
        self.running -= 1;
        if ending == Ending::SetAside && self.set_aside + items.len() <= bounds.set_aside {
            self.set_aside += items.len();
            return;
        }
        for item in items {
            self.out.remove(&item);
            match ending {
                Ending::Done | Ending::SetAside => {
                    if let Some(reading) = &mut self.reading {
                        reading.finished.insert(item);
                    }
                }
                Ending::GivenBack | Ending::PutOff => self.add(item, bounds),
            }
        }
        match ending {
            Ending::Done => self.troubles = 0,
            Ending::PutOff => {}
            Ending::GivenBack | Ending::SetAside => self.pause(now),
        }
    }

    /// A read of `limit` items begins.
    pub(super) fn begin_read(&mut self, limit: usize) {
        debug_assert!(self.reading.is_none());
        self.reading = Some(Reading {
            limit,
            finished: BTreeSet::new(),
            missed: None,
        });
    }

    /// The read ended with the first items of the line.
    pub(super) fn end_read(&mut self, items: &[Waiting], bounds: &Bounds) {
        let Some(reading) = self.reading.take() else {
            return;
        };
        self.troubles = 0;
        self.beyond = match items.last() {
            // a full answer: there may be more; what was known to be complete stays so
            Some(last) if items.len() >= reading.limit => self.beyond.max(Some(last.next())),
            _ => None,
        };
        let unknown =
            |item: &&Waiting| !self.out.contains(item) && !reading.finished.contains(item);
        self.window.extend(items.iter().filter(unknown).copied());
        if let Some(missed) = reading.missed {
            self.look_beyond(missed);
        }
        self.trim(bounds);
    }

    /// The read failed.
    pub(super) fn fail_read(&mut self, now: UnixMillis) {
        self.reading = None;
        self.pause(now);
    }

    /// Whether recipients of the first message may be in the store only.
    fn may_lack(&self, first: &Waiting, bounds: &Bounds) -> bool {
        self.beyond.is_some_and(|beyond| beyond.same_message(first))
            && self
                .window
                .iter()
                .nth(bounds.group - 1)
                .is_none_or(|nth| !nth.same_message(first))
    }

    /// Keeps the window small. The first message may be larger: it goes out next, and whole.
    fn trim(&mut self, bounds: &Bounds) {
        while self.window.len() > bounds.window
            && let (Some(first), Some(last)) = (self.window.first(), self.window.last())
            && (self.window.len() > bounds.group || !first.same_message(last))
        {
            let last = *last;
            self.look_beyond(last);
        }
    }

    /// From `place` on, one has to look into the store.
    fn look_beyond(&mut self, place: Waiting) {
        if self.beyond.is_none_or(|beyond| place < beyond) {
            self.beyond = Some(place);
            self.window.split_off(&place);
        }
        self.miss(place);
    }

    /// If the store is being read, the result may not show what is at `place`.
    fn miss(&mut self, place: Waiting) {
        if let Some(reading) = &mut self.reading
            && reading.missed.is_none_or(|missed| place < missed)
        {
            reading.missed = Some(place);
        }
    }

    fn pause(&mut self, now: UnixMillis) {
        let span = PAUSE.saturating_mul(1 << self.troubles.min(10));
        self.troubles = self.troubles.saturating_add(1);
        self.paused_until = Some(now.after(span.min(PAUSE_MAX)));
    }
}
