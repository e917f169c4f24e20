//! What is known of destinations that have no mail now. Bounded: the one that has been without mail
//! for the longest time is forgotten first, and is then met like a stranger. Pure.

use std::collections::{BTreeMap, HashMap};

use crate::mail::Destination;

use super::standing::Standing;

/// See the module.
#[derive(Debug)]
pub(super) struct Remembered {
    most: usize,
    standings: HashMap<Destination, (u64, Standing)>,
    by_age: BTreeMap<u64, Destination>,
    next: u64,
}

impl Remembered {
    /// Nobody yet, and never more than `most`.
    pub(super) fn new(most: usize) -> Remembered {
        Remembered {
            most,
            standings: HashMap::new(),
            by_age: BTreeMap::new(),
            next: 0,
        }
    }

    /// Remembers a destination, and says which one is forgotten for it.
    pub(super) fn put(
        &mut self,
        destination: &Destination,
        standing: Standing,
    ) -> Option<(Destination, Standing)> {
        self.take(destination);
        let mut forgotten = None;
        if self.standings.len() >= self.most
            && let Some((_, oldest)) = self.by_age.pop_first()
        {
            let standing = self.standings.remove(&oldest);
            forgotten = standing.map(|(_, standing)| (oldest, standing));
        }
        self.by_age.insert(self.next, destination.clone());
        self.standings
            .insert(destination.clone(), (self.next, standing));
        self.next += 1;
        forgotten
    }

    /// Changes what is known of each.
    pub(super) fn change(&mut self, change: impl Fn(&Destination, &mut Standing)) {
        for (destination, (_, standing)) in &mut self.standings {
            change(destination, standing);
        }
    }

    /// What is known of it; it is not remembered here any more.
    pub(super) fn take(&mut self, destination: &Destination) -> Option<Standing> {
        let (age, standing) = self.standings.remove(destination)?;
        self.by_age.remove(&age);
        Some(standing)
    }
}

#[cfg(test)]
mod tests {
    use super::super::patience::Level;
    use super::*;

    #[test]
    fn the_oldest_is_forgotten_first() {
        let mut remembered = Remembered::new(2);
        let of = |name: &str| Destination::from_stored(name);
        let standing = || Standing::unknown(Level::BACKLOG, None);
        for (name, want) in [("a", None), ("b", None), ("a", None), ("c", Some("b.test"))] {
            let forgotten = remembered.put(&of(&format!("{name}.test")), standing());
            let forgotten = forgotten.map(|(destination, _)| destination);
            assert_eq!(forgotten, want.map(of), "{name}");
        }
        assert!(remembered.take(&of("b.test")).is_none());
        for name in ["a.test", "c.test"] {
            assert!(remembered.take(&of(name)).is_some(), "{name}");
            assert!(remembered.take(&of(name)).is_none(), "{name}");
        }
        assert!(remembered.by_age.is_empty());
    }
}
