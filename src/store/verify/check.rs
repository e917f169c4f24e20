//! What is read in one step, and what is wrong with it.

use std::time::Duration;

use crate::mail::{Message, QueueId, RecipientNo};
use crate::store::engine::Trees;
use crate::store::group::{due_item, should_stand_at};
use crate::store::mend::Mend;
use crate::store::read::failed;
use crate::store::record::{self, Place};
use crate::store::{BodyReader, DestinationOf, ReadError, Store, key};

use super::{Damage, DamagedWhat, Part};

/// Messages that are read in one step.
const MESSAGES_MAX: usize = 100;
/// Keys that are looked at in one step, where nothing else is read.
const KEYS_MAX: usize = 10_000;
/// How often something is looked at before it is called damaged, and the pause between: a change that is
/// just being made is seen half by a reader.
const LOOKS: usize = 3;
const LOOK_PAUSE: Duration = Duration::from_millis(20);

/// Something damaged, and how it can be taken out.
#[derive(Clone, Debug)]
pub(super) struct Finding {
    pub damage: Damage,
    pub mend: Mend,
}

/// What one step found.
#[derive(Default)]
pub(super) struct Findings {
    pub found: Vec<Finding>,
    pub messages: u64,
    pub bytes: u64,
    /// Messages whose body is a file that is still to be read.
    pub bodies: Vec<Message>,
    /// Where to go on in this part.
    pub next: Option<Vec<u8>>,
}

pub(super) struct Check {
    pub destination_of: DestinationOf,
}

impl Check {
    pub(super) fn step(
        &self,
        trees: &Trees,
        part: Part,
        from: Vec<u8>,
    ) -> Result<Findings, ReadError> {
        match part {
            Part::Messages => self.messages(trees, from),
            Part::StrayRecipients => self.strays(trees, &trees.recipients, from, |key| {
                let id = key::parse_recipient(key)?.0;
                Some((id, DamagedWhat::Recipient))
            }),
            Part::StrayBodies => self.strays(trees, &trees.bodies, from, |key| {
                Some((key::parse_message(key)?, DamagedWhat::Body))
            }),
            Part::StrayHistory => self.strays(trees, &trees.history, from, |key| {
                Some((key::parse_history(key)?.0, DamagedWhat::History))
            }),
            Part::Destinations => self.destinations(trees, from),
            Part::Places => self.places(trees, from),
        }
    }

    fn messages(&self, trees: &Trees, from: Vec<u8>) -> Result<Findings, ReadError> {
        let mut findings = Findings::default();
        for entry in trees.messages.range(from..).keys() {
            let key = entry.map_err(failed)?;
            if findings.messages >= MESSAGES_MAX as u64 {
                findings.next = Some(key.to_vec());
                break;
            }
            findings.messages += 1;
            let mut seen = Seen::default();
            let found = looked_at(|| {
                seen = Seen::default();
                self.message(trees, &key, &mut seen)
            })?;
            findings.found.extend(found);
            findings.bytes += seen.bytes;
            findings.bodies.extend(seen.file);
        }
        Ok(findings)
    }

    /// A message with everything that belongs to it, but for a body that is a file.
    fn message(
        &self,
        trees: &Trees,
        key: &[u8],
        seen: &mut Seen,
    ) -> Result<Vec<Finding>, ReadError> {
        let Some(sealed) = trees.messages.get(key).map_err(failed)? else {
            return Ok(Vec::new()); // gone meanwhile
        };
        let opened = key::parse_message(key)
            .ok_or_else(|| "its key is no queue id".to_owned())
            .and_then(|id| record::open_message(id, &sealed).map_err(|error| error.to_string()));
        let stored = match opened {
            Ok(stored) => stored,
            Err(error) => {
                let was = sealed.to_vec();
                let mend = Mend::Message {
                    key: key.to_vec(),
                    was,
                };
                let id = key::parse_message(key);
                return Ok(vec![finding(id, DamagedWhat::Message, error, mend)]);
            }
        };
        let id = stored.message.id;
        let mut found = self.recipients(trees, id, stored.recipients)?;
        for entry in trees.history.scan_prefix(id.to_bytes()) {
            let (key, sealed) = entry.map_err(failed)?;
            if let Err(error) = record::open_history(&key, &sealed) {
                let mend = Mend::record("history", &key, &sealed);
                found.push(finding(
                    Some(id),
                    DamagedWhat::History,
                    error.to_string(),
                    mend,
                ));
            }
        }
        match stored.place {
            Place::Inline => {
                let octets = trees.bodies.get(id.to_bytes()).map_err(failed)?;
                let want = stored.message.body;
                let error = match &octets {
                    None => Some("missing"),
                    Some(octets) if octets.len() as u64 != want.len => Some("wrong length"),
                    Some(octets) if crc32fast::hash(octets) != want.crc32 => {
                        Some("checksum does not match")
                    }
                    Some(_) => None,
                };
                seen.bytes = octets.map_or(0, |octets| octets.len() as u64);
                found.extend(error.map(|error| of_body(id, error.into())));
            }
            Place::File(_) => seen.file = Some(stored.message),
            Place::PutAside(_) => {} // known, and told by whoever reads it
        }
        Ok(found)
    }

    fn recipients(
        &self,
        trees: &Trees,
        id: QueueId,
        should_be: u32,
    ) -> Result<Vec<Finding>, ReadError> {
        let mut found = Vec::new();
        let mut count = 0;
        for entry in trees.recipients.scan_prefix(id.to_bytes()) {
            let (key, sealed) = entry.map_err(failed)?;
            count += 1;
            let no = key::parse_recipient(&key).map_or(RecipientNo(0), |(_, no)| no);
            match record::open_recipient(&key, no, &sealed) {
                Err(error) => {
                    let error = format!("recipient {}: {error}", no.0);
                    let mend = Mend::record("recipients", &key, &sealed);
                    found.push(finding(Some(id), DamagedWhat::Recipient, error, mend));
                }
                Ok(rcpt) => {
                    let item = due_item(id, &rcpt, &*self.destination_of);
                    let Some(place) = item.map(|item| key::due(&item)) else {
                        continue;
                    };
                    if !trees.due.contains_key(&place).map_err(failed)? {
                        let error = format!("recipient {} stands in no line", no.0);
                        found.push(finding(
                            Some(id),
                            DamagedWhat::Place,
                            error,
                            Mend::Place(place),
                        ));
                    }
                }
            }
        }
        if count != should_be {
            let error = format!("{count} of {should_be} recipients are there");
            found.push(finding(
                Some(id),
                DamagedWhat::Recipient,
                error,
                Mend::Count(id),
            ));
        }
        Ok(found)
    }

    /// Records of one tree that belong to a message which is not there.
    fn strays(
        &self,
        trees: &Trees,
        tree: &sled::Tree,
        from: Vec<u8>,
        of: impl Fn(&[u8]) -> Option<(QueueId, DamagedWhat)>,
    ) -> Result<Findings, ReadError> {
        let name = match tree {
            tree if tree.name() == trees.bodies.name() => "bodies",
            tree if tree.name() == trees.history.name() => "history",
            _ => "recipients",
        };
        let mut findings = Findings::default();
        let mut last = None;
        for (examined, entry) in tree.range(from..).keys().enumerate() {
            let key = entry.map_err(failed)?;
            if examined >= KEYS_MAX {
                findings.next = Some(key.to_vec());
                break;
            }
            let of_message = of(&key);
            let id = of_message.map(|(id, _)| id);
            if id.is_some() && id == last {
                continue;
            }
            let found = looked_at(|| {
                let named = match id {
                    Some(id) => trees.messages.contains_key(id.to_bytes()).map_err(failed)?,
                    None => false,
                };
                let value = match named {
                    true => None,
                    false => tree.get(&key).map_err(failed)?,
                };
                let what = of_message.map_or(DamagedWhat::Recipient, |(_, what)| what);
                let stray = value.map(|value| {
                    let error = "it belongs to no message".to_owned();
                    finding(id, what, error, Mend::record(name, &key, &value))
                });
                Ok(stray.into_iter().collect())
            })?;
            if found.is_empty() {
                last = id;
            }
            findings.found.extend(found);
        }
        Ok(findings)
    }

    fn destinations(&self, trees: &Trees, from: Vec<u8>) -> Result<Findings, ReadError> {
        let mut findings = Findings::default();
        for (examined, entry) in trees.destinations.range(from..).enumerate() {
            let (key, sealed) = entry.map_err(failed)?;
            if examined >= KEYS_MAX {
                findings.next = Some(key.to_vec());
                break;
            }
            if let Err(error) = record::open_suspension(&key, &sealed) {
                let error = format!("{}: {error}", key.escape_ascii());
                let mend = Mend::record("destinations", &key, &sealed);
                findings
                    .found
                    .push(finding(None, DamagedWhat::Destination, error, mend));
            }
        }
        Ok(findings)
    }

    fn should_stand_at(&self, trees: &Trees, place: &[u8]) -> Result<bool, ReadError> {
        should_stand_at(trees, place, &*self.destination_of).map_err(failed)
    }

    fn places(&self, trees: &Trees, from: Vec<u8>) -> Result<Findings, ReadError> {
        let mut findings = Findings::default();
        for (examined, entry) in trees.due.range(from..).keys().enumerate() {
            let key = entry.map_err(failed)?;
            if examined >= KEYS_MAX {
                findings.next = Some(key.to_vec());
                break;
            }
            let found = looked_at(|| {
                let there = trees.due.contains_key(&key).map_err(failed)?;
                if !there || self.should_stand_at(trees, &key)? {
                    return Ok(Vec::new());
                }
                let id = key::parse_due(&key).map(|item| item.id);
                let error = "nobody should stand here in line".to_owned();
                let mend = Mend::Place(key.to_vec());
                Ok(vec![finding(id, DamagedWhat::Place, error, mend)])
            })?;
            findings.found.extend(found);
        }
        Ok(findings)
    }
}

/// What was read of a message that is not wrong.
#[derive(Default)]
struct Seen {
    bytes: u64,
    file: Option<Message>,
}

impl Store {
    /// Reads a body that is a file: its octets and what is wrong with it.
    pub(super) async fn check_body_file(
        &self,
        message: Message,
    ) -> Result<(u64, Option<Finding>), ReadError> {
        let (mut bytes, mut error) = (0, None);
        for _ in 0..LOOKS {
            (bytes, error) = self.read_body(&message).await?;
            let moved = self.entry(message.id).await;
            match (&error, moved) {
                (None, _) => break,
                (Some(_), Ok(None)) => return Ok((0, None)), // gone meanwhile
                (Some(_), _) => tokio::time::sleep(LOOK_PAUSE).await,
            }
        }
        Ok((bytes, error.map(|error| of_body(message.id, error))))
    }

    async fn read_body(&self, message: &Message) -> Result<(u64, Option<String>), ReadError> {
        let (files, wanted) = (self.0.files.clone(), message.clone());
        let open = move |trees: &Trees| BodyReader::open(trees, &files, &wanted);
        let opened = crate::store::read::on_reader(&self.0.engine, open).await;
        let mut bytes = 0;
        let read = async {
            let mut body = opened?;
            while let Some(piece) = body.next().await? {
                bytes += piece.len() as u64;
            }
            Ok(())
        };
        match read.await {
            Ok(()) => Ok((bytes, None)),
            Err(ReadError::Damaged(error)) => Ok((bytes, Some(error))),
            Err(error) => Err(error),
        }
    }
}

/// What is found each time; nothing, if it was found once only.
fn looked_at(
    mut look: impl FnMut() -> Result<Vec<Finding>, ReadError>,
) -> Result<Vec<Finding>, ReadError> {
    let mut found = look()?;
    for _ in 1..LOOKS {
        if found.is_empty() {
            break;
        }
        std::thread::sleep(LOOK_PAUSE);
        let again = look()?;
        found.retain(|one| again.iter().any(|other| other.damage == one.damage));
    }
    Ok(found)
}

fn of_body(id: QueueId, error: String) -> Finding {
    finding(
        Some(id),
        DamagedWhat::Body,
        error,
        Mend::Body { id, kept: None },
    )
}

fn finding(id: Option<QueueId>, what: DamagedWhat, error: String, mend: Mend) -> Finding {
    let damage = Damage {
        id,
        what,
        error,
        quarantined: None,
    };
    Finding { damage, mend }
}
