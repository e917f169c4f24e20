//! What a start after a crash puts in order: messages, recipients, bodies and lines are held
//! against each other, since sled can lose a damaged end of its log in silence. Lines are made anew
//! where they differ, orphans go, damage is put aside and told. After a clean stop none of this is
//! needed, unless mail now goes another way. What a mode held is released later, see `held`.

use sled::IVec;

use crate::mail::{AddressDomain, Destination, QueueId, UnixMillis};
use crate::observe::{Events, ProcessEvent, QueueEvent};

use super::body_files::BodyFiles;
use super::clean_stop;
use super::closing::Ended;
use super::counters::{Delta, Tally};
use super::engine::Trees;
use super::fingerprint::Fingerprint;
use super::group::{Group, due_item, should_stand_at};
use super::key;
use super::quarantine::{Quarantine, body_name, record_name};
use super::record::{self, Place, StoredMessage};
use super::reroute::Map;

/// Changes that are applied at once while recovering.
const BATCH: usize = 1_000;
/// Places in line that are gathered and sorted before they are made, about 70 bytes each: where
/// their destinations lie, those of many messages touch each page of the tree once.
const PLACES_BATCH: usize = 100_000;

pub(super) struct Recovery<'a> {
    pub trees: &'a Trees,
    pub files: &'a BodyFiles,
    pub quarantine: &'a Quarantine,
    pub destination_of: &'a dyn Fn(&AddressDomain) -> Destination,
    pub routing_fingerprint: &'a str,
    /// Whether the database was damaged, so that everything is to be looked at.
    pub damaged: bool,
    pub now: UnixMillis,
    pub events: &'a Events,
}

/// How the store is after it was put in order.
#[derive(Debug)]
pub(super) struct Recovered {
    pub tally: Tally,
    /// How much was damaged.
    pub damaged: u64,
}

/// What was found and done.
#[derive(Debug, Default)]
struct Found {
    tally: Tally,
    orphans: u64,
    lines_mended: u64,
    damaged: u64,
    /// The places in line that there should be.
    in_line: Fingerprint,
}

impl Recovery<'_> {
    /// Puts the store in order and says how much is in it. Blocks.
    pub(super) fn run(&self) -> Result<Recovered, sled::Error> {
        let clean = clean_stop::take(self.trees, self.routing_fingerprint)?;
        if let Some(tally) = clean.filter(|_| !self.damaged) {
            return Ok(Recovered { tally, damaged: 0 });
        }
        let mut found = Found::default();
        self.messages(&mut found)?;
        self.orphaned_records(&mut found)?;
        if !found.in_line.is_of_the_same(&self.places(&found.in_line)?) {
            self.missing_places(&mut found)?;
            self.lines(&mut found)?;
        }
        self.orphaned_files(&mut found);
        self.trees.db.flush()?;
        self.events.emit(QueueEvent::Recovered {
            messages: found.tally.counts.messages,
            orphans: found.orphans,
            lines_mended: found.lines_mended,
            damaged: found.damaged,
        });
        Ok(Recovered {
            tally: found.tally,
            damaged: found.damaged,
        })
    }

    /// Every message with its recipients and its body, and recipients that no message names. Both
    /// trees are in the order of ids, so each is gone through once.
    fn messages(&self, found: &mut Found) -> Result<(), sled::Error> {
        let closing = self.closing_ids()?;
        let mut recipients = self.trees.recipients.iter();
        let mut next = recipients.next().transpose()?;
        for entry in &self.trees.messages {
            let (key, sealed) = entry?;
            while let Some((orphan, _)) = next.take_if(|(recipient, _)| **recipient < *key) {
                self.orphaned_recipient(&orphan, found)?;
                next = recipients.next().transpose()?;
            }
            let mut its_own = std::iter::from_fn(|| {
                let recipient = next.take_if(|(recipient, _)| recipient.starts_with(&key))?;
                match recipients.next().transpose() {
                    Ok(following) => next = following,
                    Err(error) => return Some(Err(error)),
                }
                Some(Ok(recipient))
            });
            let stored = key::parse_message(&key)
                .ok_or("no queue id")
                .and_then(|id| record::open_message(id, &sealed).map_err(|_| "record damaged"));
            match stored {
                Ok(stored) => self.message(&stored, its_own, &closing, found)?,
                Err(why) => {
                    found.damaged += 1;
                    let name = record_name("messages", &key);
                    let messages = &self.trees.messages;
                    let stays = !self.put_aside(messages, &name, &key, &sealed, why)?;
                    its_own.try_for_each(|recipient| match stays {
                        true => recipient.map(drop),
                        false => self.put_aside_with_message(&recipient?),
                    })?;
                    if !stays {
                        self.put_body_aside(&key)?;
                    }
                }
            }
        }
        while let Some((orphan, _)) = next {
            self.orphaned_recipient(&orphan, found)?;
            next = recipients.next().transpose()?;
        }
        Ok(())
    }

    /// What belongs to a message whose record is damaged.
    fn put_aside_with_message(&self, (key, sealed): &(IVec, IVec)) -> Result<(), sled::Error> {
        let name = record_name("recipients", key);
        let why = "the record of its message is damaged";
        let recipients = &self.trees.recipients;
        self.put_aside(recipients, &name, key, sealed, why)
            .map(drop)
    }

    /// The octets of a message whose record is damaged.
    fn put_body_aside(&self, key: &[u8]) -> Result<(), sled::Error> {
        let Some(id) = key::parse_message(key) else {
            return Ok(());
        };
        let (name, why) = (body_name(id), "the record of its message is damaged");
        if let Some(octets) = self.trees.bodies.get(key)? {
            self.put_aside(&self.trees.bodies, &name, key, &octets, why)?;
        }
        // The file itself goes with the orphans.
        for file in self.files.of_message(id).unwrap_or_default() {
            let kept = self.quarantine.keep_file(&name, &self.files.path(&file));
            if let Err(error) = kept {
                self.alarm(&format!(
                    "{file}: {why}, and it can't be put aside: {error}"
                ));
            }
        }
        Ok(())
    }

    fn orphaned_recipient(&self, key: &[u8], found: &mut Found) -> Result<(), sled::Error> {
        found.orphans += 1;
        self.trees.recipients.remove(key).map(drop)
    }

    fn message(
        &self,
        stored: &StoredMessage,
        recipients: impl Iterator<Item = Result<(IVec, IVec), sled::Error>>,
        closing: &[QueueId],
        found: &mut Found,
    ) -> Result<(), sled::Error> {
        let id = stored.message.id;
        let (mut count, mut put_aside) = (0, 0);
        let mut ended = Some(Ended::default());
        let mut delta = Delta::default();
        for entry in recipients {
            let (key, sealed) = entry?;
            let rcpt = key::parse_recipient(&key)
                .and_then(|(_, no)| record::open_recipient(&key, no, &sealed).ok());
            let Some(rcpt) = rcpt else {
                self.put_aside(
                    &self.trees.recipients,
                    &record_name("recipients", &key),
                    &key,
                    &sealed,
                    "record damaged",
                )?;
                found.damaged += 1;
                put_aside += 1;
                continue;
            };
            count += 1;
            ended = ended.and_then(|ended| ended.with(Some(&rcpt)));
            delta.recipient_added(rcpt.state.name(), id.made_at());
            if let Some(item) = due_item(id, &rcpt, self.destination_of) {
                found.in_line.add(&key::due(&item));
            }
        }
        if count != stored.recipients {
            // Those that were put aside are told of already.
            let lost = stored.recipients.saturating_sub(count + put_aside);
            if put_aside == 0 || lost > 0 {
                self.alarm(&format!(
                    "{id}: {lost} of {} recipients are missing in the database",
                    stored.recipients
                ));
                found.damaged += 1;
            }
            // Told once is enough.
            let stored = StoredMessage {
                recipients: count,
                ..stored.clone()
            };
            let sealed = record::seal_message(&stored);
            self.trees.messages.insert(id.to_bytes(), sealed)?;
        }
        if ended.is_none()
            && let Some(what) = self.wrong_with_body(stored)?
        {
            self.alarm(&format!(
                "{id}: its body is {what}; its recipients will be reported as failed"
            ));
            found.damaged += 1;
        }
        if let Some(ended) = ended
            && closing.binary_search(&id).is_err()
        {
            let place = ended.place(self.now, id);
            self.trees.closing.insert(&*place, &[])?;
            if ended.has_tombstone() {
                self.trees.tombstones.insert(id.to_bytes(), place)?;
            }
        }
        delta.message_added(stored.message.size());
        found.tally.apply(&delta);
        Ok(())
    }

    /// The places in line that there are. Almost always they are those that there should be, and
    /// then none of them has to be looked up.
    fn places(&self, should_be: &Fingerprint) -> Result<Fingerprint, sled::Error> {
        let mut found = should_be.empty_like();
        for key in self.trees.due.iter().keys() {
            found.add(&key?);
        }
        Ok(found)
    }

    /// Places in line that there should be.
    fn missing_places(&self, found: &mut Found) -> Result<(), sled::Error> {
        let mut missing = Vec::new();
        for entry in &self.trees.recipients {
            let (key, sealed) = entry?;
            let Some((id, no)) = key::parse_recipient(&key) else {
                continue;
            };
            let rcpt = record::open_recipient(&key, no, &sealed).ok();
            let item = rcpt.and_then(|rcpt| due_item(id, &rcpt, self.destination_of));
            let Some(place) = item.map(|item| key::due(&item)) else {
                continue;
            };
            if !self.trees.due.contains_key(&place)? {
                missing.push(place);
                found.lines_mended += 1;
            }
            if missing.len() >= PLACES_BATCH {
                self.make_places(&mut missing)?;
            }
        }
        self.make_places(&mut missing)
    }

    fn make_places(&self, places: &mut Vec<Vec<u8>>) -> Result<(), sled::Error> {
        places.sort_unstable();
        for places in places.chunks(BATCH) {
            let mut batch = sled::Batch::default();
            places.iter().for_each(|key| batch.insert(&**key, &[]));
            self.trees.due.apply_batch(batch)?;
        }
        places.clear();
        Ok(())
    }

    /// The content of files is looked at only when they are sent, or verified.
    fn wrong_with_body(&self, stored: &StoredMessage) -> Result<Option<&'static str>, sled::Error> {
        let want = stored.message.body;
        let len = match &stored.place {
            Place::Inline => {
                let octets = self.trees.bodies.get(stored.message.id.to_bytes())?;
                let whole = |octets: &IVec| crc32fast::hash(octets) == want.crc32;
                if octets.as_ref().is_some_and(|octets| !whole(octets)) {
                    return Ok(Some("damaged"));
                }
                octets.map(|octets| octets.len() as u64)
            }
            Place::File(name) => std::fs::metadata(self.files.path(name))
                .ok()
                .map(|file| file.len()),
            Place::PutAside(_) => return Ok(None), // known
        };
        Ok(match len {
            None => Some("missing"),
            Some(len) => (len != want.len).then_some("damaged"),
        })
    }

    /// Messages that are over, sorted: one look at the tree instead of one for each message.
    fn closing_ids(&self) -> Result<Vec<QueueId>, sled::Error> {
        let mut ids = Vec::new();
        for key in self.trees.closing.iter().keys() {
            ids.extend(closing_id(&key?));
        }
        ids.sort_unstable();
        Ok(ids)
    }

    /// Bodies, closing times and history that no message names.
    fn orphaned_records(&self, found: &mut Found) -> Result<(), sled::Error> {
        let Trees {
            bodies,
            closing,
            history,
            tombstones,
            ..
        } = self.trees;
        let of_message: fn(&[u8]) -> Option<QueueId> = key::parse_message;
        for (tree, id_of) in [
            (bodies, of_message),
            (closing, closing_id),
            (tombstones, of_message),
            (history, |key| key::parse_history(key).map(|(id, ..)| id)),
        ] {
            let mut last = None;
            for key in tree.iter().keys() {
                let key = key?;
                let named = match id_of(&key) {
                    Some(id) if last == Some(id) => true,
                    Some(id) => self.trees.messages.contains_key(id.to_bytes())?,
                    None => false,
                };
                if named {
                    last = id_of(&key);
                } else {
                    tree.remove(&key)?;
                    found.orphans += 1;
                }
            }
        }
        Ok(())
    }

    /// Places in line where nobody should stand: another time, another destination, another state.
    fn lines(&self, found: &mut Found) -> Result<(), sled::Error> {
        let mut wrong: Vec<IVec> = Vec::new();
        for key in self.trees.due.iter().keys() {
            let key = key?;
            if !should_stand_at(self.trees, &key, self.destination_of)? {
                wrong.push(key);
            }
            if wrong.len() >= BATCH {
                found.lines_mended += wrong.len() as u64;
                self.leave_lines(&mut wrong)?;
            }
        }
        found.lines_mended += wrong.len() as u64;
        self.leave_lines(&mut wrong)
    }

    fn leave_lines(&self, keys: &mut Vec<IVec>) -> Result<(), sled::Error> {
        let mut batch = sled::Batch::default();
        keys.drain(..).for_each(|key| batch.remove(key));
        self.trees.due.apply_batch(batch)
    }

    /// Body files that no message names: of sessions that a crash cut off.
    fn orphaned_files(&self, found: &mut Found) {
        let names = self.files.list().unwrap_or_default(); // unreadable now: seen at the next start
        for name in names {
            let id = name
                .split('/')
                .next_back()
                .and_then(|file| file.get(..26))
                .and_then(|id| id.parse().ok());
            let named = id.is_some_and(|id: QueueId| {
                let sealed = self.trees.messages.get(id.to_bytes());
                match sealed {
                    Ok(Some(sealed)) => record::open_message(id, &sealed)
                        .map_or(true, |stored| stored.place == Place::File(name.clone())),
                    Ok(None) => false,
                    Err(_) => true, // can't tell, so it stays
                }
            });
            if !named && self.files.remove(&name).is_ok() {
                found.orphans += 1;
            }
        }
    }

    /// Takes a record out of its tree and keeps it as a file; whether that was possible.
    fn put_aside(
        &self,
        tree: &sled::Tree,
        file: &str,
        key: &[u8],
        value: &[u8],
        why: &str,
    ) -> Result<bool, sled::Error> {
        match self.quarantine.keep(file, value) {
            Ok(path) => {
                self.events.emit(QueueEvent::Quarantined {
                    id: key.first_chunk().map(|id| QueueId::from_bytes(*id)),
                    what: &format!("{}: {why}", path.display()),
                });
                tree.remove(key).map(|_| true)
            }
            Err(error) => {
                self.alarm(&format!(
                    "{file}: {why}, and it could not be put aside, so it stays where it is: {error}"
                ));
                Ok(false)
            }
        }
    }

    fn alarm(&self, what: &str) {
        self.events.emit(ProcessEvent::Alarm {
            what,
            todo: "look at the disk; a backup of the queue directory may still have it",
        });
    }
}

/// The message that has this place among those that are over.
fn closing_id(key: &[u8]) -> Option<QueueId> {
    let place = key::parse_closing(key).or_else(|| key::parse_purged(key));
    place.map(|(_, id)| id)
}

/// Takes a message out together with its places in line; for what was never confirmed.
pub(super) fn remove_with_line(
    trees: &Trees,
    group: &mut Group,
    id: QueueId,
    map: &Map,
) -> Result<(), sled::Error> {
    for entry in trees.recipients.scan_prefix(id.to_bytes()) {
        let (key, sealed) = entry?;
        let rcpt = key::parse_recipient(&key)
            .and_then(|(_, no)| record::open_recipient(&key, no, &sealed).ok());
        for place in rcpt.iter().flat_map(|rcpt| map.places(id, rcpt)) {
            trees.due.remove(key::due(&place))?;
        }
    }
    group.remove(trees, id)?; // its file went with the answer to its client
    // The counters never saw it.
    group.delta = Delta::default();
    Ok(())
}
