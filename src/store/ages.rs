//! How many wait for each destination, and since when. Goes through the keys of the lines and decodes
//! nothing; only who is held stands in no line, and is looked for among the recipients, if there is any.

use std::collections::HashMap;
use std::time::Duration;

use crate::mail::{AddressDomain, Destination, QueueId, StateName, UnixMillis};

use super::engine::Trees;
use super::{DestinationOf, ReadError, Store, key, read, record};

/// Keys that are looked at in one step; between two of them the database can be closed.
const STEP: usize = 20_000;

/// Those who wait for one destination.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct DestinationAges {
    /// Recipients that are queued, deferred or held.
    pub recipients: u64,
    /// How many of them are held.
    pub held: u64,
    /// How many arrived how long ago: one number for each bound, in the order of the bounds, for those
    /// that are younger than it and not younger than the one before; and one for the rest.
    pub by_age: Vec<u64>,
    /// When the oldest of them arrived.
    pub oldest: Option<UnixMillis>,
}

impl Store {
    /// Those who wait, by destination, in the order of names; `bounds` in rising order. Goes through the
    /// lines (and through all recipients, if any is held), step by step, so that what changes meanwhile
    /// may be missed or counted twice.
    pub async fn ages(
        &self,
        now: UnixMillis,
        bounds: &[Duration],
    ) -> Result<Vec<(Destination, DestinationAges)>, ReadError> {
        let mut ages = Ages::new(now, bounds, self.0.routing.destination_of());
        let held = self.counts().recipients_in(StateName::Held) > 0;
        let steps: [(Step, bool); 2] = [(Ages::in_line, true), (Ages::held, held)];
        for (step, _) in steps.into_iter().filter(|(_, wanted)| *wanted) {
            let mut from = Some(Vec::new());
            while let Some(key) = from {
                let read = move |trees: &Trees| {
                    let next = step(&mut ages, trees, key)?;
                    Ok((ages, next))
                };
                (ages, from) = read::on_reader(&self.0.engine, read).await?;
            }
        }
        Ok(ages.finish())
    }
}

/// Goes on from a key; returns where the next step does.
type Step = fn(&mut Ages, &Trees, Vec<u8>) -> Result<Option<Vec<u8>>, ReadError>;

/// What was counted so far.
struct Ages {
    /// The youngest arrival of each column but the first.
    borders: Vec<UnixMillis>,
    destination_of: DestinationOf,
    /// By the names that stand in lines.
    found: HashMap<Box<str>, DestinationAges>,
    /// The line of each domain that was met.
    lines: HashMap<AddressDomain, Box<str>>,
}

impl Ages {
    fn new(now: UnixMillis, bounds: &[Duration], destination_of: DestinationOf) -> Ages {
        Ages {
            borders: bounds.iter().map(|&bound| now.before(bound)).collect(),
            destination_of,
            found: HashMap::new(),
            lines: HashMap::new(),
        }
    }

    fn in_line(&mut self, trees: &Trees, from: Vec<u8>) -> Result<Option<Vec<u8>>, ReadError> {
        let mut line = DestinationAges::default();
        let mut name: Box<str> = "".into();
        let mut next = None;
        for (examined, key) in trees.due.range(from..).keys().enumerate() {
            let key = key.map_err(read::failed)?;
            if examined >= STEP {
                next = Some(key.to_vec());
                break;
            }
            let Some((destination, id)) = key::parse_due_line(&key) else {
                continue; // no key of ours; the next start after a crash takes it out
            };
            if destination != &*name {
                self.add(&name, std::mem::take(&mut line));
                name = destination.into();
            }
            self.count(&mut line, id);
        }
        self.add(&name, line);
        Ok(next)
    }

    fn held(&mut self, trees: &Trees, from: Vec<u8>) -> Result<Option<Vec<u8>>, ReadError> {
        for (examined, entry) in trees.recipients.range(from..).enumerate() {
            let (key, sealed) = entry.map_err(read::failed)?;
            if examined >= STEP {
                return Ok(Some(key.to_vec()));
            }
            let Some((id, _)) = key::parse_recipient(&key) else {
                continue;
            };
            if let Ok(Some(domain)) = record::held_at(&key, &sealed) {
                let mut one = DestinationAges::default();
                self.count(&mut one, id);
                one.held = 1;
                let name = match self.lines.get(&domain) {
                    Some(name) => name.clone(),
                    None => {
                        let name: Box<str> = (self.destination_of)(&domain).as_str().into();
                        self.lines.insert(domain, name.clone());
                        name
                    }
                };
                self.add(&name, one);
            }
        }
        Ok(None)
    }

    fn count(&self, ages: &mut DestinationAges, id: QueueId) {
        let arrived = id.made_at();
        let column = self.borders.iter().position(|&border| arrived > border);
        ages.by_age.resize(self.borders.len() + 1, 0);
        ages.by_age[column.unwrap_or(self.borders.len())] += 1;
        ages.recipients += 1;
        ages.oldest = Some(ages.oldest.map_or(arrived, |oldest| oldest.min(arrived)));
    }

    fn add(&mut self, name: &str, more: DestinationAges) {
        if more.recipients == 0 {
            return;
        }
        let Some(whole) = self.found.get_mut(name) else {
            self.found.insert(name.into(), more);
            return;
        };
        whole.recipients += more.recipients;
        whole.held += more.held;
        for (column, count) in whole.by_age.iter_mut().zip(more.by_age) {
            *column += count;
        }
        whole.oldest = match (whole.oldest, more.oldest) {
            (Some(one), Some(other)) => Some(one.min(other)),
            (one, other) => one.or(other),
        };
    }

    fn finish(self) -> Vec<(Destination, DestinationAges)> {
        let found = self.found.into_iter();
        let mut found: Vec<_> = found
            .map(|(name, ages)| (Destination::from_stored(&name), ages))
            .collect();
        found.sort_by(|(one, _), (other, _)| one.cmp(other));
        found
    }
}

#[cfg(test)]
mod tests {
    use super::super::tests::{NOW, Place, accept_as, destination, recipient};
    use super::*;
    use crate::mail::{HeldBy, Recipient, RecipientState};

    #[tokio::test]
    async fn those_who_wait_are_counted_by_destination_and_age() {
        let place = Place::new();
        let store = place.open();
        let held = |no, to| Recipient {
            state: RecipientState::Held {
                by: HeldBy::Operator,
            },
            ..recipient(no, to)
        };
        let delivered = |no, to| Recipient {
            state: RecipientState::Delivered,
            ..recipient(no, to)
        };
        accept_as(&store, 1, vec![recipient(0, "a@one.test")], b"x").await;
        let mixed = vec![
            recipient(0, "a@one.test"),
            held(1, "b@one.test"),
            held(2, "b@two.test"),
            delivered(3, "a@three.test"),
        ];
        accept_as(&store, 60_000, mixed, b"x").await;
        accept_as(&store, 100_000, vec![recipient(0, "a@one.test")], b"x").await;

        let bounds = [Duration::from_secs(10), Duration::from_secs(60)];
        let now = UnixMillis(NOW.0 + 100_000);
        let ages = store.ages(now, &bounds).await.unwrap();
        let one = DestinationAges {
            recipients: 4,
            held: 1,
            by_age: vec![1, 2, 1],
            oldest: Some(UnixMillis(NOW.0 + 1)),
        };
        let two = DestinationAges {
            recipients: 1,
            held: 1,
            by_age: vec![0, 1, 0],
            oldest: Some(UnixMillis(NOW.0 + 60_000)),
        };
        let want = [
            (destination("one.test"), one),
            (destination("two.test"), two),
        ];
        assert_eq!(ages, want);
    }
}
