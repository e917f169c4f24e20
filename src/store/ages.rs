//! How many wait for each destination, and since when. Goes through the keys of the lines and decodes
//! nothing; only who is held stands in no line, and is looked for among the recipients, if there is any.

use std::collections::HashMap;
use std::time::Duration;

use crate::mail::{Destination, QueueId, StateName, UnixMillis};

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
                (ages, from) =
                    read::in_background(&self.0.background, &self.0.engine, read).await?;
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
    lines: Vec<DestinationAges>,
    /// Which of the lines, by the name that stands in their keys.
    by_name: HashMap<Box<str>, usize>,
    /// The same, by the domain of an address as it is written.
    by_domain: HashMap<Box<str>, usize>,
}

impl Ages {
    fn new(now: UnixMillis, bounds: &[Duration], destination_of: DestinationOf) -> Ages {
        Ages {
            borders: bounds.iter().map(|&bound| now.before(bound)).collect(),
            destination_of,
            lines: Vec::new(),
            by_name: HashMap::new(),
            by_domain: HashMap::new(),
        }
    }

    fn in_line(&mut self, trees: &Trees, from: Vec<u8>) -> Result<Option<Vec<u8>>, ReadError> {
        let mut current: Option<(Box<str>, usize)> = None;
        for (examined, key) in trees.due.range(from..).keys().enumerate() {
            let key = key.map_err(read::failed)?;
            if examined >= STEP {
                return Ok(Some(key.to_vec()));
            }
            let Some((destination, id)) = key::parse_due_line(&key) else {
                continue; // no key of ours; the next start after a crash takes it out
            };
            let line = match &current {
                Some((name, line)) if **name == *destination => *line,
                _ => {
                    let line = self.line(destination);
                    current = Some((destination.into(), line));
                    line
                }
            };
            self.count(line, id);
        }
        Ok(None)
    }

    fn held(&mut self, trees: &Trees, from: Vec<u8>) -> Result<Option<Vec<u8>>, ReadError> {
        for (examined, entry) in trees.recipients.range(from..).enumerate() {
            let (key, sealed) = entry.map_err(read::failed)?;
            if examined >= STEP {
                return Ok(Some(key.to_vec()));
            }
            // What is damaged is in no statistics: `verify` names it.
            if let Some((id, _)) = key::parse_recipient(&key)
                && let Ok(Some(address)) = record::held(&key, &sealed)
                && let Some(line) = self.line_of(address)
            {
                self.count(line, id);
                self.lines[line].held += 1;
            }
        }
        Ok(None)
    }

    fn line(&mut self, name: &str) -> usize {
        match self.by_name.get(name) {
            Some(line) => *line,
            None => {
                self.lines.push(DestinationAges {
                    by_age: vec![0; self.borders.len() + 1],
                    ..DestinationAges::default()
                });
                self.by_name.insert(name.into(), self.lines.len() - 1);
                self.lines.len() - 1
            }
        }
    }

    /// In which line an address would wait: parsed once for each domain.
    fn line_of(&mut self, text: &str) -> Option<usize> {
        let (_, domain) = text.rsplit_once('@')?;
        if let Some(line) = self.by_domain.get(domain) {
            return Some(*line);
        }
        let address = record::address(text).ok()?;
        let destination = (self.destination_of)(address.domain());
        let line = self.line(destination.as_str());
        self.by_domain.insert(domain.into(), line);
        Some(line)
    }

    fn count(&mut self, line: usize, id: QueueId) {
        let arrived = id.made_at();
        let column = self.borders.iter().position(|&border| arrived > border);
        let ages = &mut self.lines[line];
        ages.by_age[column.unwrap_or(self.borders.len())] += 1;
        ages.recipients += 1;
        ages.oldest = Some(ages.oldest.map_or(arrived, |oldest| oldest.min(arrived)));
    }

    fn finish(mut self) -> Vec<(Destination, DestinationAges)> {
        let named = self.by_name.into_iter();
        let mut found: Vec<_> = named
            .map(|(name, line)| {
                let ages = std::mem::take(&mut self.lines[line]);
                (Destination::from_stored(&name), ages)
            })
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
