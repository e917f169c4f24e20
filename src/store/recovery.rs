//! What a start after a crash puts in order: messages, recipients, bodies and lines are held
//! against each other, since sled can lose a damaged end of its log in silence. Lines are made anew
//! where they differ, orphans go, damage is put aside and told. After a clean stop none of this is
//! needed, unless mail now goes another way.

use std::path::Path;

use sled::IVec;

use crate::config::Mode;
use crate::mail::{AddressDomain, Destination, HeldBy, QueueId, RecipientState, UnixMillis};
use crate::observe::{Events, ProcessEvent, QueueEvent};

use super::body_files::{BodyFiles, private_directory};
use super::counters::{Counts, Delta};
use super::engine::Trees;
use super::fingerprint::Fingerprint;
use super::group::{Group, due_item};
use super::key;
use super::record::{self, CleanStop, Place, StoredMessage};

/// Changes that are applied at once while recovering.
const BATCH: usize = 1_000;
/// Places in line that are gathered and sorted before they are made, about 70 bytes each.
const PLACES_BATCH: usize = 100_000;

pub(super) struct Recovery<'a> {
    pub trees: &'a Trees,
    pub files: &'a BodyFiles,
    pub quarantine: &'a Path,
    pub destination_of: &'a dyn Fn(&AddressDomain) -> Destination,
    pub routing_fingerprint: &'a str,
    pub mode: Mode,
    pub now: UnixMillis,
    pub events: &'a Events,
}

/// What was found and done.
#[derive(Debug, Default)]
struct Found {
    counts: Counts,
    orphans: u64,
    lines_mended: u64,
    released: u64,
    damaged: u64,
    mended: Mended,
    /// The places in line that there should be.
    in_line: Fingerprint,
}

/// Changes that wait to be applied together: one by one they take several times as long.
#[derive(Debug, Default)]
struct Mended {
    recipients: sled::Batch,
    recipients_count: usize,
    due: Vec<Vec<u8>>,
}

impl Mended {
    /// Applies what is much. A recipient that was changed goes before its place in line: cut off
    /// between them, the next start makes the place, since it finds no clean stop.
    fn apply_if_full(&mut self, trees: &Trees) -> Result<(), sled::Error> {
        if self.recipients_count >= BATCH {
            self.apply_recipients(trees)?;
        }
        if self.due.len() >= PLACES_BATCH {
            self.apply(trees)?;
        }
        Ok(())
    }

    /// Applies everything. Places lie where their destinations do, not where the messages are; sorted,
    /// those of many messages touch each page of the tree once.
    fn apply(&mut self, trees: &Trees) -> Result<(), sled::Error> {
        self.apply_recipients(trees)?;
        let mut due = std::mem::take(&mut self.due);
        due.sort_unstable();
        for keys in due.chunks(BATCH) {
            let mut batch = sled::Batch::default();
            keys.iter().for_each(|key| batch.insert(&**key, &[]));
            trees.due.apply_batch(batch)?;
        }
        Ok(())
    }

    fn apply_recipients(&mut self, trees: &Trees) -> Result<(), sled::Error> {
        self.recipients_count = 0;
        trees
            .recipients
            .apply_batch(std::mem::take(&mut self.recipients))
    }
}

impl Recovery<'_> {
    /// Puts the store in order and says how much is in it. Blocks.
    pub(super) fn run(&self) -> Result<Counts, sled::Error> {
        let clean = self.trees.meta.remove("clean_stop")?;
        let clean = clean.and_then(|sealed| record::open_clean_stop(&sealed).ok());
        self.trees.db.flush()?;
        if let Some(CleanStop {
            routing_fingerprint,
            messages,
            bytes,
            recipients,
            ..
        }) = clean
        {
            let counts = Counts {
                messages,
                bytes,
                recipients,
            };
            let to_release = self.mode == Mode::Deliver
                && counts.recipients_in(crate::mail::StateName::Held) > 0;
            if routing_fingerprint == self.routing_fingerprint && !to_release {
                return Ok(counts);
            }
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
            messages: found.counts.messages,
            orphans: found.orphans,
            lines_mended: found.lines_mended,
            released: found.released,
            damaged: found.damaged,
        });
        Ok(found.counts)
    }

    /// Every message with its recipients and its body.
    fn messages(&self, found: &mut Found) -> Result<(), sled::Error> {
        let closing = self.closing_ids()?;
        for entry in &self.trees.messages {
            let (key, sealed) = entry?;
            let stored = key::parse_message(&key)
                .ok_or("no queue id")
                .and_then(|id| record::open_message(id, &sealed).map_err(|_| "record damaged"));
            match stored {
                Ok(stored) => self.message(&stored, &closing, found)?,
                Err(why) => {
                    self.put_aside(&self.trees.messages, "messages", &key, &sealed, why)?;
                    found.damaged += 1;
                }
            }
            found.mended.apply_if_full(self.trees)?;
        }
        found.mended.apply(self.trees)
    }

    fn message(
        &self,
        stored: &StoredMessage,
        closing: &[QueueId],
        found: &mut Found,
    ) -> Result<(), sled::Error> {
        let id = stored.message.id;
        let (mut count, mut open) = (0, 0);
        let mut delta = Delta::default();
        for entry in self.trees.recipients.scan_prefix(id.to_bytes()) {
            let (key, sealed) = entry?;
            let rcpt = key::parse_recipient(&key)
                .and_then(|(_, no)| record::open_recipient(&key, no, &sealed).ok());
            let Some(mut rcpt) = rcpt else {
                self.put_aside(
                    &self.trees.recipients,
                    "recipients",
                    &key,
                    &sealed,
                    "record damaged",
                )?;
                found.damaged += 1;
                continue;
            };
            count += 1;
            let released = self.mode == Mode::Deliver
                && rcpt.state == (RecipientState::Held { by: HeldBy::Mode });
            if released {
                rcpt.state = RecipientState::Queued { due: self.now };
                found
                    .mended
                    .recipients
                    .insert(&*key, record::seal_recipient(&key, &rcpt));
                found.mended.recipients_count += 1;
                found.released += 1;
            }
            open += u32::from(!rcpt.state.is_final());
            delta.recipient_added(rcpt.state.name());
            if let Some(item) = due_item(id, &rcpt, self.destination_of) {
                let place = key::due(&item);
                found.in_line.add(&place);
                if released {
                    found.mended.due.push(place);
                }
            }
        }
        if count != stored.recipients {
            let lost = stored.recipients.saturating_sub(count);
            self.alarm(&format!(
                "{id}: {lost} of {} recipients are missing in the database",
                stored.recipients
            ));
            found.damaged += 1;
        }
        if open > 0 && !self.body_is_there(stored)? {
            self.alarm(&format!(
                "{id}: its body is missing; its recipients will be reported as failed"
            ));
            found.damaged += 1;
        }
        if open == 0 && closing.binary_search(&id).is_err() {
            self.trees.closing.insert(key::closing(self.now, id), &[])?;
        }
        delta.message_added(stored.message.size());
        found.counts.apply(&delta);
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
                found.mended.due.push(place);
                found.lines_mended += 1;
                found.mended.apply_if_full(self.trees)?;
            }
        }
        found.mended.apply(self.trees)
    }

    fn body_is_there(&self, stored: &StoredMessage) -> Result<bool, sled::Error> {
        let len = match &stored.place {
            Place::Inline => {
                let octets = self.trees.bodies.get(stored.message.id.to_bytes())?;
                octets.map(|octets| octets.len() as u64)
            }
            Place::File(name) => std::fs::metadata(self.files.path(name))
                .ok()
                .map(|file| file.len()),
        };
        Ok(len == Some(stored.message.body.len))
    }

    /// Messages that are over, sorted: one look at the tree instead of one for each message.
    fn closing_ids(&self) -> Result<Vec<QueueId>, sled::Error> {
        let mut ids = Vec::new();
        for key in self.trees.closing.iter().keys() {
            ids.extend(key::parse_closing(&key?).map(|(_, id)| id));
        }
        ids.sort_unstable();
        Ok(ids)
    }

    /// Recipients, bodies and closing times that no message names.
    fn orphaned_records(&self, found: &mut Found) -> Result<(), sled::Error> {
        let Trees {
            recipients,
            bodies,
            closing,
            ..
        } = self.trees;
        for (tree, id_of) in [
            (
                recipients,
                (|key| key::parse_recipient(key).map(|(id, _)| id)) as fn(&[u8]) -> Option<QueueId>,
            ),
            (bodies, key::parse_message),
            (closing, |key| key::parse_closing(key).map(|(_, id)| id)),
        ] {
            let mut last = None;
            for key in tree.iter().keys() {
                let key = key?;
                let id = id_of(&key);
                let named = match id {
                    Some(_) if id == last => true,
                    Some(id) => self.trees.messages.contains_key(id.to_bytes())?,
                    None => false,
                };
                if named {
                    last = id;
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
            if !self.rightly_in_line(&key)? {
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

    fn rightly_in_line(&self, key: &[u8]) -> Result<bool, sled::Error> {
        let Some(item) = key::parse_due(key) else {
            return Ok(false);
        };
        let rcpt_key = key::recipient(item.id, item.no);
        let Some(sealed) = self.trees.recipients.get(rcpt_key)? else {
            return Ok(false);
        };
        let rcpt = record::open_recipient(&rcpt_key, item.no, &sealed).ok();
        Ok(rcpt.and_then(|rcpt| due_item(item.id, &rcpt, self.destination_of)) == Some(item))
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

    /// Takes a record out of its tree and keeps it as a file.
    fn put_aside(
        &self,
        tree: &sled::Tree,
        name: &str,
        key: &[u8],
        value: &[u8],
        why: &str,
    ) -> Result<(), sled::Error> {
        let hex: String = key.iter().map(|byte| format!("{byte:02x}")).collect();
        let file = self.quarantine.join(format!("{name}-{hex}"));
        let kept = private_directory(self.quarantine).and_then(|()| std::fs::write(&file, value));
        if kept.is_err() {
            self.alarm(&format!(
                "{name} {hex}: {why}, and it could not be put aside; it stays where it is"
            ));
            return Ok(());
        }
        self.events.emit(QueueEvent::Quarantined {
            id: None,
            what: &format!("{}: {why}", file.display()),
        });
        tree.remove(key).map(drop)
    }

    fn alarm(&self, what: &str) {
        self.events.emit(ProcessEvent::Alarm {
            what,
            todo: "look at the disk; a backup of the queue directory may still have it",
        });
    }
}

/// Takes a message out together with its places in line; for what was never confirmed.
pub(super) fn remove_with_line(
    trees: &Trees,
    group: &mut Group,
    id: QueueId,
    destination_of: &dyn Fn(&AddressDomain) -> Destination,
) -> Result<(), sled::Error> {
    for entry in trees.recipients.scan_prefix(id.to_bytes()) {
        let (key, sealed) = entry?;
        let rcpt = key::parse_recipient(&key)
            .and_then(|(_, no)| record::open_recipient(&key, no, &sealed).ok());
        if let Some(item) = rcpt.and_then(|rcpt| due_item(id, &rcpt, destination_of)) {
            trees.due.remove(key::due(&item))?;
        }
    }
    group.remove(trees, id, None)?; // its file went with the answer to its client
    // The counters never saw it.
    group.delta = Delta::default();
    Ok(())
}
