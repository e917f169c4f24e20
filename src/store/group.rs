//! Changes that will share one flush: collected as batches over all trees, applied in one
//! transaction. Nothing of a group is visible before it is applied, so what the group itself has
//! already changed is looked up here first.

use std::collections::{HashMap, HashSet};

use sled::transaction::{ConflictableTransactionError, TransactionError};
use sled::{Batch, Transactional as _};

use crate::mail::{
    AddressDomain, Destination, QueueId, Recipient, RecipientNo, RecipientState, UnixMillis,
};

use super::body_files::FileGuard;
use super::closing::Closings;
use super::counters::Delta;
use super::engine::Trees;
use super::history::{HistoryEvent, Remembered};
use super::intake::{FinishedBody, Octets};
use super::record::{self, Place, StoredMessage};
use super::reroute::Map;
use super::suspension::Kept;
use super::{DueItem, NewMessage, RecipientChange, Suspension, key};

/// A message made ready for the committer by whoever brings it, so that encoding is not done on
/// the committer's thread.
pub(super) struct Prepared {
    pub id: QueueId,
    pub size: u64,
    record: Vec<u8>,
    body: FinishedBody,
    recipients: Vec<([u8; 20], Vec<u8>, RecipientState)>,
    due: Vec<DueItem>,
    /// Of the map that `due` was made by.
    generation: u64,
    arrival: UnixMillis,
}

impl Prepared {
    /// # Panics
    /// If there is no recipient, or recipients are not numbered from 0: bugs of the caller.
    pub(super) fn new(new: NewMessage, map: &Map) -> Prepared {
        let NewMessage {
            message,
            recipients,
            body,
        } = new;
        assert!(
            !recipients.is_empty(),
            "{}: a message without recipients",
            message.id
        );
        assert!(
            recipients
                .iter()
                .zip(0..)
                .all(|(rcpt, no)| rcpt.no == RecipientNo(no))
        );
        let (id, size, arrival) = (message.id, message.size(), message.arrival);
        let place = match &body.octets {
            Octets::Inline(_) => Place::Inline,
            Octets::File(guard) => Place::File(guard.name().to_owned()),
        };
        let count = u32::try_from(recipients.len()).expect("numbered by u32, as asserted above");
        let due = recipients
            .iter()
            .filter_map(|rcpt| map.place(id, rcpt))
            .collect();
        let sealed = |rcpt: &Recipient| {
            let key = key::recipient(id, rcpt.no);
            (key, record::seal_recipient(&key, rcpt), rcpt.state)
        };
        Prepared {
            id,
            size,
            recipients: recipients.iter().map(sealed).collect(),
            record: record::seal_message(&StoredMessage {
                message,
                place,
                recipients: count,
            }),
            body,
            due,
            generation: map.generation(),
            arrival,
        }
    }

    /// If mail goes another way since this was made ready, it waits in other lines.
    fn line_up(&mut self, map: &Map) {
        if self.generation == map.generation() {
            return;
        }
        let place = |(key, sealed, _): &([u8; 20], Vec<u8>, RecipientState)| {
            let (id, no) = key::parse_recipient(key)?;
            let rcpt = record::open_recipient(key, no, sealed).ok()?; // sealed by ourselves
            map.place(id, &rcpt)
        };
        self.due = self.recipients.iter().filter_map(place).collect();
        self.generation = map.generation();
    }

    /// Says that the committer has it; returns whether its body is a file.
    pub(super) fn arrive(&mut self) -> bool {
        self.body.arrive()
    }

    /// Bytes that this adds to a group.
    pub(super) fn weight(&self) -> usize {
        let recipients: usize = self
            .recipients
            .iter()
            .map(|(_, record, _)| record.len())
            .sum();
        self.record.len() + self.body.inline_bytes() + recipients
    }
}

/// The place of a recipient in its line, if it stands in one.
pub(super) fn due_item(
    id: QueueId,
    rcpt: &Recipient,
    destination_of: &dyn Fn(&AddressDomain) -> Destination,
) -> Option<DueItem> {
    let destination = destination_of(rcpt.address.domain());
    rcpt.state.due().map(|due| DueItem {
        destination,
        due,
        id,
        no: rcpt.no,
    })
}

/// Whether a place in line is that of a recipient who is there.
pub(super) fn should_stand_at(
    trees: &Trees,
    place: &[u8],
    destination_of: &dyn Fn(&AddressDomain) -> Destination,
) -> Result<bool, sled::Error> {
    let Some(item) = key::parse_due(place) else {
        return Ok(false);
    };
    let rcpt_key = key::recipient(item.id, item.no);
    let Some(sealed) = trees.recipients.get(rcpt_key)? else {
        return Ok(false);
    };
    let rcpt = record::open_recipient(&rcpt_key, item.no, &sealed).ok();
    Ok(rcpt.and_then(|rcpt| due_item(item.id, &rcpt, destination_of)) == Some(item))
}

/// Changes that will share one flush.
#[derive(Default)]
pub(super) struct Group {
    pub(super) messages: Batch,
    pub(super) bodies: Batch,
    pub(super) recipients: Batch,
    pub(super) due: Batch,
    pub(super) closing: Batch,
    pub(super) destinations: Batch,
    pub(super) history: Batch,
    pub(super) tombstones: Batch,
    /// Recipients as this group leaves them.
    pub(super) changed: HashMap<[u8; 20], Recipient>,
    /// Messages that this group takes out.
    pub(super) gone: HashSet<QueueId>,
    pub(super) closings: Closings,
    pub(super) remembered: Remembered,
    pub delta: Delta,
    pub news: Vec<DueItem>,
    /// Destinations that somebody suspends, or whose suspension somebody lifts, in that order.
    pub ordered: Vec<Kept>,
    /// Messages that this group adds.
    pub added: Vec<QueueId>,
    /// Files of messages that this group adds: durable already, but for the directories that they
    /// stand in.
    pub files: Vec<FileGuard>,
    /// Files to which this group moves bodies.
    pub files_moved: Vec<FileGuard>,
}

impl Group {
    /// Adds a message with its recipients.
    pub(super) fn add(&mut self, mut new: Prepared, map: &Map) {
        new.line_up(map);
        let id = new.id.to_bytes();
        self.messages.insert(&id, new.record);
        match new.body.octets {
            Octets::Inline(octets) => self.bodies.insert(&id, octets),
            Octets::File(guard) => self.files.push(guard),
        }
        if new.recipients.iter().all(|(_, _, state)| state.is_final()) {
            self.closing.insert(&key::closing(new.arrival, new.id), &[]);
        }
        for (key, record, state) in new.recipients {
            self.recipients.insert(&key, record);
            self.delta.recipient_added(state.name(), new.id.made_at());
        }
        for item in new.due {
            self.stand_in_line(item);
        }
        self.delta.message_added(new.size);
        self.added.push(new.id);
    }

    /// Whether [`Group::change`] would find the recipient as it is taken to be, or changed in just
    /// this way.
    pub(super) fn can_change(
        &self,
        trees: &Trees,
        change: &RecipientChange,
    ) -> Result<bool, sled::Error> {
        let RecipientChange {
            id, before, after, ..
        } = change;
        let key = key::recipient(*id, before.no);
        let current = self.recipient(trees, &key, before.no)?;
        Ok(current.is_some_and(|current| current == *before || current == *after))
    }

    /// Changes a recipient, if it is as `change.before` says. `Ok(true)` also if it had been
    /// changed in just this way before (an answer that was lost). [`Group::settle_closings`] comes
    /// behind all changes of a verdict.
    ///
    /// # Panics
    /// If the change is none that a life allows: a bug of the caller.
    pub(super) fn change(
        &mut self,
        trees: &Trees,
        change: &RecipientChange,
        map: &Map,
        now: UnixMillis,
    ) -> Result<Changed, sled::Error> {
        let RecipientChange {
            id,
            before,
            after,
            note,
        } = change;
        assert_eq!(
            (before.no, &before.address),
            (after.no, &after.address),
            "{id}: another recipient"
        );
        assert!(
            before.state.may_become(&after.state),
            "{id}: {before:?} can't become {after:?}"
        );
        let key = key::recipient(*id, before.no);
        let current = self.recipient(trees, &key, before.no)?;
        match current {
            Some(current) if current == *after => return Ok(Changed::Before),
            Some(current) if current == *before => {}
            _ => return Ok(Changed::Not),
        }
        if before.state != after.state {
            for place in map.places(*id, before) {
                self.leave_line(&place);
            }
            if let Some(place) = map.place(*id, after) {
                self.stand_in_line(place);
            }
        }
        self.recipients
            .insert(&key, record::seal_recipient(&key, after));
        let arrived = id.made_at();
        self.delta.recipient_removed(before.state.name(), arrived);
        self.delta.recipient_added(after.state.name(), arrived);
        self.changed.insert(key, after.clone());
        self.closings.touch(*id, &before.state, &after.state);
        self.remember_attempt(trees, &key, before, after)?;
        if let Some(note) = note {
            self.remember(trees, &key, now, HistoryEvent::Operator((**note).clone()))?;
        }
        Ok(Changed::Now)
    }

    /// Names a file as the place of a body that was inline. `false`, and the file goes, if the
    /// message is no longer there or no longer inline.
    pub(super) fn move_to_file(
        &mut self,
        trees: &Trees,
        id: QueueId,
        file: FileGuard,
    ) -> Result<bool, sled::Error> {
        let key = id.to_bytes();
        if self.gone.contains(&id) {
            return Ok(false);
        }
        let Some(sealed) = trees.messages.get(key)? else {
            return Ok(false);
        };
        let Ok(mut stored) = record::open_message(id, &sealed) else {
            return Ok(false);
        };
        if stored.place != Place::Inline {
            return Ok(false);
        }
        stored.place = Place::File(file.name().to_owned());
        self.messages.insert(&key, record::seal_message(&stored));
        self.bodies.remove(&key);
        self.files_moved.push(file);
        Ok(true)
    }

    /// Remembers that a destination is suspended, or forgets it.
    pub(super) fn keep_suspension(&mut self, (destination, suspension): &Kept) {
        let key = destination.as_str().as_bytes();
        match suspension {
            Some(suspension) => self
                .destinations
                .insert(key, record::seal_suspension(key, suspension)),
            None => self.destinations.remove(key),
        }
    }

    /// Remembers that the operator suspends a destination.
    pub(super) fn suspend(&mut self, destination: Destination, suspension: Suspension) {
        let kept = (destination, Some(suspension));
        self.keep_suspension(&kept);
        self.ordered.push(kept);
    }

    /// Lifts a suspension; whether there was one. It is told in any case, since who works through
    /// the queue may know of one that is not written down yet.
    pub(super) fn resume(
        &mut self,
        trees: &Trees,
        destination: Destination,
    ) -> Result<bool, sled::Error> {
        let key = destination.as_str().as_bytes();
        let was = trees.destinations.contains_key(key)?;
        self.destinations.remove(key);
        self.ordered.push((destination, None));
        Ok(was)
    }

    /// Applies everything at once; it is durable after the flush that follows.
    pub(super) fn apply(&self, trees: &Trees) -> Result<(), sled::Error> {
        let all = (
            &trees.messages,
            &trees.bodies,
            &trees.recipients,
            &trees.due,
            &trees.closing,
            &trees.destinations,
            &trees.history,
            &trees.tombstones,
        );
        let applied = all.transaction(
            |(messages, bodies, recipients, due, closing, destinations, history, tombstones)| {
                messages.apply_batch(&self.messages)?;
                bodies.apply_batch(&self.bodies)?;
                recipients.apply_batch(&self.recipients)?;
                due.apply_batch(&self.due)?;
                closing.apply_batch(&self.closing)?;
                destinations.apply_batch(&self.destinations)?;
                history.apply_batch(&self.history)?;
                tombstones.apply_batch(&self.tombstones)?;
                Ok::<(), ConflictableTransactionError<std::convert::Infallible>>(())
            },
        );
        match applied {
            Ok(()) => Ok(()),
            Err(TransactionError::Storage(error)) => Err(error),
            Err(TransactionError::Abort(never)) => match never {},
        }
    }

    /// Takes away a place, if it is there.
    pub(super) fn leave_line(&mut self, place: &DueItem) {
        self.due.remove(key::due(place));
    }

    pub(super) fn stand_in_line(&mut self, place: DueItem) {
        self.due.insert(key::due(&place), &[]);
        self.news.push(place);
    }

    /// Whether this group changes a recipient of that message.
    pub(super) fn changes_message(&self, id: QueueId) -> bool {
        let id = id.to_bytes();
        self.changed.keys().any(|key| key.starts_with(&id))
    }

    /// A recipient as this group leaves it.
    pub(super) fn recipient(
        &self,
        trees: &Trees,
        key: &[u8; 20],
        no: RecipientNo,
    ) -> Result<Option<Recipient>, sled::Error> {
        if key::parse_recipient(key).is_some_and(|(id, _)| self.gone.contains(&id)) {
            return Ok(None);
        }
        if let Some(changed) = self.changed.get(key) {
            return Ok(Some(changed.clone()));
        }
        let sealed = trees.recipients.get(key)?;
        Ok(sealed.and_then(|sealed| record::open_recipient(key, no, &sealed).ok()))
    }
}

/// What came of [`Group::change`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Changed {
    /// It is part of this group.
    Now,
    /// It had been made before, in an earlier group.
    Before,
    /// The recipient is not as it was taken to be.
    Not,
}
