//! Messages that are over: since when, and when they go.
//!
//! The tree `closing` has one place for each of them, by time; those all of whose recipients were
//! purged stand apart, behind the others, since they go by another span. A recipient that was purged may
//! come back, and then its message is no more over: for each message with such a recipient the tree
//! `tombstones` says which is its place, so that there is never a second one that would take a message
//! away too early.

use std::collections::HashMap;

use crate::mail::{QueueId, Recipient, RecipientState, UnixMillis};

use super::engine::Trees;
use super::group::Group;
use super::record::{self, Place};
use super::{Keeping, key};

/// Places that are looked at for each message that may be removed, at most: not everything whose time
/// has come goes.
const EXAMINED_FACTOR: usize = 4;

/// Order to remove what was kept long enough.
#[derive(Clone, Copy, Debug)]
pub(super) struct Sweep {
    pub now: UnixMillis,
    pub keeping: Keeping,
    /// Messages that may be removed at once.
    pub limit: usize,
}

/// What a [`Sweep`] took out, and the files that are left for its caller to remove.
#[derive(Default)]
pub(super) struct Removed {
    pub ids: Vec<QueueId>,
    pub files: Vec<String>,
    /// Whether there may be more.
    pub more: bool,
}

/// How all recipients of a message ended, if all did.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Ended {
    recipients: u32,
    purged: u32,
    /// When the last of the purged was.
    last_purge: Option<UnixMillis>,
}

impl Ended {
    /// Takes in another recipient; `None`: it has not ended. A damaged one can't be waited for.
    pub(super) fn with(mut self, rcpt: Option<&Recipient>) -> Option<Ended> {
        self.recipients += 1;
        match rcpt.map(|rcpt| rcpt.state) {
            None => {}
            Some(RecipientState::Purged { at, .. }) => {
                self.purged += 1;
                self.last_purge = self.last_purge.max(Some(at));
            }
            Some(state) if state.is_final() => {}
            Some(_) => return None,
        }
        Some(self)
    }

    fn wholly_purged(&self) -> bool {
        self.recipients > 0 && self.purged == self.recipients
    }

    /// The place of a message that ended so at `at`.
    pub(super) fn place(&self, at: UnixMillis, id: QueueId) -> Vec<u8> {
        match self.wholly_purged() {
            true => key::purged(at, id).to_vec(),
            false => key::closing(at, id).to_vec(),
        }
    }

    /// Whether somebody may come back.
    pub(super) fn has_tombstone(&self) -> bool {
        self.purged > 0
    }

    /// The time to stand under for a message whose time has come by its place, if it is to stay longer.
    fn stays(&self, sweep: &Sweep) -> Option<UnixMillis> {
        let Keeping {
            retention,
            undo_window,
        } = sweep.keeping;
        let span = match self.wholly_purged() {
            true => undo_window,
            false => retention,
        };
        let until = self.last_purge?.after(undo_window);
        (until > sweep.now).then(|| until.before(span))
    }
}

/// Messages whose recipients a group changes, such that they may be over now or no more.
#[derive(Default)]
pub(super) struct Closings {
    touched: Vec<QueueId>,
    /// Places as this group leaves them, of messages with tombstones.
    places: HashMap<QueueId, Option<Vec<u8>>>,
}

impl Closings {
    /// A recipient of this message went from one state to another.
    pub(super) fn touch(&mut self, id: QueueId, from: &RecipientState, to: &RecipientState) {
        if (from.is_final() || to.is_final()) && self.touched.last() != Some(&id) {
            self.touched.push(id);
        }
    }
}

impl Group {
    /// Gives messages their places in `closing`, or takes these away, after changes of their recipients:
    /// once for all of them.
    pub(super) fn settle_closings(
        &mut self,
        trees: &Trees,
        now: UnixMillis,
    ) -> Result<(), sled::Error> {
        for id in std::mem::take(&mut self.closings.touched) {
            let ended = self.ended(trees, id)?;
            self.leave_tombstone(trees, id)?;
            if let Some(ended) = ended {
                self.close(id, &ended, now);
            }
        }
        Ok(())
    }

    /// Removes messages whose time has come.
    pub(super) fn sweep(&mut self, trees: &Trees, sweep: &Sweep) -> Result<Removed, sled::Error> {
        let mut removed = Removed::default();
        let (first, now) = (QueueId::first_of(UnixMillis(0)), sweep.now);
        let kept_until = key::closing(now.before(sweep.keeping.retention), first).to_vec();
        let undone_from = key::purged(UnixMillis(0), first).to_vec();
        let undone_until = key::purged(now.before(sweep.keeping.undo_window), first).to_vec();
        let over = trees.closing.range(..kept_until);
        let purged = trees.closing.range(undone_from..undone_until);
        for (examined, entry) in over.chain(purged).enumerate() {
            if removed.ids.len() >= sweep.limit
                || examined >= sweep.limit.saturating_mul(EXAMINED_FACTOR)
            {
                removed.more = true;
                break;
            }
            let (place, _) = entry?;
            match key::parse_closing(&place).or_else(|| key::parse_purged(&place)) {
                Some((at, id)) => self.sweep_one(trees, sweep, &place, at, id, &mut removed)?,
                None => self.closing.remove(place), // none of ours
            }
        }
        Ok(removed)
    }

    /// What stands at `place` goes, unless its recipients say that it is too early.
    fn sweep_one(
        &mut self,
        trees: &Trees,
        sweep: &Sweep,
        place: &[u8],
        at: UnixMillis,
        id: QueueId,
        removed: &mut Removed,
    ) -> Result<(), sled::Error> {
        if self.changes_message(id) {
            return Ok(()); // the next sweep sees what comes of that
        }
        let Some(ended) = self.ended(trees, id)? else {
            // Nothing leaves such a place behind, but nobody's mail is to hang on that.
            self.leave(id, place);
            return Ok(());
        };
        let right = ended.place(at, id);
        if let Some(later) = ended.stays(sweep) {
            self.leave(id, place);
            self.close(id, &ended, later);
        } else if right != place {
            self.leave(id, place);
            self.close(id, &ended, at);
        } else {
            self.closing.remove(place);
            if ended.has_tombstone() {
                self.tombstones.remove(&id.to_bytes());
            }
            if trees.messages.contains_key(id.to_bytes())? {
                removed.files.extend(self.remove(trees, id)?);
                removed.ids.push(id);
            }
        }
        Ok(())
    }

    /// Takes a message out, with everything that belongs to it but its places in `closing` and in line.
    /// Returns the name of its file, if it has one: no record names it once this group is durable.
    pub(super) fn remove(
        &mut self,
        trees: &Trees,
        id: QueueId,
    ) -> Result<Option<String>, sled::Error> {
        let mut file = None;
        let key = id.to_bytes();
        for entry in trees.recipients.scan_prefix(key) {
            let (key, sealed) = entry?;
            if let Some((_, no)) = key::parse_recipient(&key)
                && let Ok(rcpt) = record::open_recipient(&key, no, &sealed)
            {
                self.delta
                    .recipient_removed(rcpt.state.name(), id.made_at());
            }
            self.recipients.remove(key);
        }
        for event in trees.history.scan_prefix(key).keys() {
            self.history.remove(event?);
        }
        if let Some(sealed) = trees.messages.get(key)?
            && let Ok(stored) = record::open_message(id, &sealed)
        {
            self.delta.message_removed(stored.message.size());
            if let Place::File(name) = stored.place {
                file = Some(name);
            }
        }
        self.messages.remove(&key);
        self.bodies.remove(&key);
        self.gone.insert(id);
        Ok(file)
    }

    /// Takes away the place of a message of which somebody was purged, if it has one.
    pub(super) fn leave_tombstone(
        &mut self,
        trees: &Trees,
        id: QueueId,
    ) -> Result<(), sled::Error> {
        if let Some(place) = self.place_of_tombstone(trees, id)? {
            self.leave(id, &place);
        }
        Ok(())
    }

    fn close(&mut self, id: QueueId, ended: &Ended, at: UnixMillis) {
        let place = ended.place(at, id);
        self.closing.insert(&*place, &[]);
        if ended.has_tombstone() {
            self.tombstones.insert(&id.to_bytes(), &*place);
            self.closings.places.insert(id, Some(place));
        }
    }

    fn leave(&mut self, id: QueueId, place: &[u8]) {
        self.closing.remove(place);
        self.tombstones.remove(&id.to_bytes());
        self.closings.places.insert(id, None);
    }

    /// Where a message with a tombstone stands, this group's changes included.
    fn place_of_tombstone(
        &self,
        trees: &Trees,
        id: QueueId,
    ) -> Result<Option<Vec<u8>>, sled::Error> {
        if let Some(place) = self.closings.places.get(&id) {
            return Ok(place.clone());
        }
        let place = trees.tombstones.get(id.to_bytes())?;
        Ok(place.map(|place| place.to_vec()))
    }

    /// How the recipients of a message ended, this group's changes included; `None`: not all did.
    fn ended(&self, trees: &Trees, id: QueueId) -> Result<Option<Ended>, sled::Error> {
        let mut ended = Ended::default();
        for entry in trees.recipients.scan_prefix(id.to_bytes()) {
            let (key, sealed) = entry?;
            let Some((_, no)) = key::parse_recipient(&key) else {
                continue;
            };
            let with = match self.changed.get(&*key) {
                Some(changed) => ended.with(Some(changed)),
                None => ended.with(record::open_recipient(&key, no, &sealed).ok().as_ref()),
            };
            match with {
                Some(with) => ended = with,
                None => return Ok(None),
            }
        }
        Ok(Some(ended))
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::super::tests::{NOW, recipient};
    use super::*;
    use crate::mail::Waiting;

    #[test]
    fn the_later_of_both_spans_counts_unless_all_is_purged() {
        #[track_caller]
        fn check(states: &[RecipientState], [retention, undo]: [u64; 2], want: Option<u64>) {
            let ended = states.iter().try_fold(Ended::default(), |ended, state| {
                let state = *state;
                ended.with(Some(&Recipient {
                    state,
                    ..recipient(0, "a@b.test")
                }))
            });
            let sweep = Sweep {
                now: UnixMillis(NOW.0 + 10_000),
                keeping: Keeping {
                    retention: Duration::from_secs(retention),
                    undo_window: Duration::from_secs(undo),
                },
                limit: 1,
            };
            let stays = ended.unwrap().stays(&sweep).map(|at| at.0 - NOW.0);
            assert_eq!(stays, want);
        }
        let was = Waiting::Queued { due: NOW };
        let purged = |s: u64| RecipientState::Purged {
            at: UnixMillis(NOW.0 + s * 1_000),
            was,
        };
        let delivered = RecipientState::Delivered;
        check(&[delivered], [9, 99], None);
        // by the purge alone: it stands at the time of the purge
        check(&[purged(3), purged(5)], [0, 5], None);
        check(&[purged(3), purged(5)], [0, 6], Some(5_000));
        check(&[purged(3), purged(5)], [99, 5], None);
        // until the purge can't be undone, counted back by the retention
        check(&[delivered, purged(5)], [2, 5], None);
        check(&[delivered, purged(5)], [2, 6], Some(9_000));
    }
}
