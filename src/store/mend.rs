//! Taking damaged things out of the store, by the committer. Each order says what was found; if it is no
//! more so, nothing is changed.

use crate::mail::{QueueId, RecipientState};

use super::engine::Trees;
use super::group::{Group, due_item, should_stand_at};
use super::record::{self, Place};
use super::{DestinationOf, key};

/// What is to be taken out, of which a copy is in quarantine by now.
#[derive(Clone, Debug)]
pub(super) enum Mend {
    /// A single record.
    Record {
        tree: &'static str,
        key: Vec<u8>,
        was: Vec<u8>,
    },
    /// The record of a message, and with it all that belongs to the message.
    Message { key: Vec<u8>, was: Vec<u8> },
    /// The octets of a message, which stays, so that its recipients fail and its sender is told.
    Body {
        id: QueueId,
        /// The name of the copy.
        kept: Option<String>,
    },
    /// How many recipients a message has.
    Count(QueueId),
    /// A place in line: is made or taken away, as it should be.
    Place(Vec<u8>),
}

/// What came of a [`Mend`].
#[derive(Clone, Debug, Default)]
pub(super) struct Mended {
    pub made: bool,
    /// A body file that no record names any more.
    pub file: Option<String>,
}

impl Mend {
    pub(super) fn record(tree: &'static str, key: &[u8], was: &[u8]) -> Mend {
        Mend::Record {
            tree,
            key: key.to_vec(),
            was: was.to_vec(),
        }
    }
}

impl Group {
    /// [`Group::settle_closings`] comes behind it.
    pub(super) fn mend(
        &mut self,
        trees: &Trees,
        mend: Mend,
        destination_of: &DestinationOf,
    ) -> Result<Mended, sled::Error> {
        let mut mended = Mended::default();
        match mend {
            Mend::Record { tree, key, was } => {
                mended.made = self.mend_record(trees, tree, &key, &was)?;
            }
            Mend::Message { key, was } => {
                let is_so = trees.messages.get(&key)?.is_some_and(|now| *now == was[..]);
                match key::parse_message(&key) {
                    _ if !is_so => {}
                    None => {
                        self.messages.remove(key);
                        mended.made = true;
                    }
                    Some(id) if self.changes_message(id) || self.gone.contains(&id) => {}
                    Some(id) => {
                        self.leave_lines(trees, id, destination_of)?;
                        self.leave_tombstone(trees, id)?;
                        mended.file = self.remove(trees, id)?;
                        mended.made = true;
                    }
                }
            }
            Mend::Body { id, kept } => {
                let sealed = trees.messages.get(id.to_bytes())?;
                let stored = sealed.and_then(|sealed| record::open_message(id, &sealed).ok());
                if let Some(mut stored) = stored.filter(|_| !self.gone.contains(&id)) {
                    if let Place::File(name) = stored.place {
                        mended.file = Some(name);
                    }
                    stored.place = Place::PutAside(kept);
                    let key = id.to_bytes();
                    self.messages.insert(&key, record::seal_message(&stored));
                    self.bodies.remove(&key);
                    mended.made = true;
                }
            }
            Mend::Count(id) => {
                self.count_recipients(trees, id, None)?;
                mended.made = true;
            }
            Mend::Place(place) => {
                let id = key::parse_due(&place).map(|item| item.id);
                if id.is_none_or(|id| !self.changes_message(id)) {
                    match should_stand_at(trees, &place, &**destination_of)? {
                        true => {
                            self.news.extend(key::parse_due(&place));
                            self.due.insert(place, &[]);
                        }
                        false => self.due.remove(place),
                    }
                    mended.made = true;
                }
            }
        }
        Ok(mended)
    }

    fn mend_record(
        &mut self,
        trees: &Trees,
        tree: &str,
        key: &[u8],
        was: &[u8],
    ) -> Result<bool, sled::Error> {
        let (from, batch) = match tree {
            "bodies" => (&trees.bodies, &mut self.bodies),
            "history" => (&trees.history, &mut self.history),
            "destinations" => (&trees.destinations, &mut self.destinations),
            _ => (&trees.recipients, &mut self.recipients),
        };
        let is_so = from.get(key)?.is_some_and(|now| *now == *was);
        if !is_so {
            return Ok(false);
        }
        batch.remove(key);
        if tree == "recipients"
            && let Some((id, _)) = key::parse_recipient(key)
        {
            self.count_recipients(trees, id, Some(key))?;
        }
        Ok(true)
    }

    /// Makes a message's record say how many recipients it has; `less`: that one goes. It may be over by
    /// that.
    fn count_recipients(
        &mut self,
        trees: &Trees,
        id: QueueId,
        less: Option<&[u8]>,
    ) -> Result<(), sled::Error> {
        let sealed = trees.messages.get(id.to_bytes())?;
        let stored = sealed.and_then(|sealed| record::open_message(id, &sealed).ok());
        let Some(mut stored) = stored.filter(|_| !self.gone.contains(&id)) else {
            return Ok(());
        };
        let mut count: u32 = 0;
        for key in trees.recipients.scan_prefix(id.to_bytes()).keys() {
            count += u32::from(less != Some(&key?[..]));
        }
        stored.recipients = count;
        self.messages
            .insert(&id.to_bytes(), record::seal_message(&stored));
        let (from, to) = (RecipientState::Delivered, RecipientState::Delivered);
        self.closings.touch(id, &from, &to);
        Ok(())
    }

    fn leave_lines(
        &mut self,
        trees: &Trees,
        id: QueueId,
        destination_of: &DestinationOf,
    ) -> Result<(), sled::Error> {
        for entry in trees.recipients.scan_prefix(id.to_bytes()) {
            let (key, sealed) = entry?;
            let rcpt = key::parse_recipient(&key)
                .and_then(|(_, no)| record::open_recipient(&key, no, &sealed).ok());
            if let Some(item) = rcpt.and_then(|rcpt| due_item(id, &rcpt, &**destination_of)) {
                self.due.remove(key::due(&item));
            }
        }
        Ok(())
    }
}
