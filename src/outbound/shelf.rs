//! Which connections there are to each destination, and which of them lie idle. Pure bookkeeping
//! over connections of any kind, held by a [`Pool`](super::pool::Pool).

use std::collections::{BTreeMap, HashMap};
use std::time::Duration;

use tokio::time::Instant;

use crate::mail::Destination;

/// How many connections there may be, and for how long one may lie idle.
#[derive(Clone, Copy, Debug)]
pub(super) struct Bounds {
    /// Connections to one destination, idle or not.
    pub(super) destination: usize,
    /// Idle ones in all.
    pub(super) idle: usize,
    /// How long.
    pub(super) span: Duration,
}

/// The connections, by destination. Every one of them is either idle and held here, or busy
/// (dialled, carrying mail, saying goodbye) and only counted.
#[derive(Debug)]
pub(super) struct Shelf<T> {
    bounds: Bounds,
    lanes: HashMap<Destination, Lane>,
    /// By the order in which they were put down, which is that in which they get too old.
    idle: BTreeMap<u64, Idle<T>>,
    next: u64,
}

/// The connections to one destination. There is one as long as there are such connections.
#[derive(Debug, Default)]
struct Lane {
    busy: usize,
    /// Which ones are idle, the oldest first.
    idle: Vec<u64>,
}

#[derive(Debug)]
struct Idle<T> {
    destination: Destination,
    connection: T,
    until: Instant,
}

/// Whether another connection may be made.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Space<T> {
    /// It may, and counts as busy from now on.
    Given,
    /// Not before one of the others is gone. This one was the longest idle: it counts as busy now,
    /// and should go.
    Full(Option<T>),
}

impl<T> Shelf<T> {
    /// An empty one.
    pub(super) fn new(bounds: Bounds) -> Shelf<T> {
        Shelf {
            bounds,
            lanes: HashMap::new(),
            idle: BTreeMap::new(),
            next: 0,
        }
    }

    /// Changes how many there may be. Those there are count on.
    pub(super) fn set_bounds(&mut self, bounds: Bounds) {
        self.bounds = bounds;
    }

    /// Takes the idle connection that is `wanted` and was used last; it is busy then. So the others
    /// get old and go, if fewer are enough.
    pub(super) fn take(
        &mut self,
        destination: &Destination,
        wanted: impl Fn(&T) -> bool,
    ) -> Option<T> {
        let key = self.find(destination, wanted)?;
        Some(self.pick_up(key)?.1)
    }

    /// Whether there is such a connection.
    pub(super) fn has(&self, destination: &Destination, wanted: impl Fn(&T) -> bool) -> bool {
        self.find(destination, wanted).is_some()
    }

    /// Whether the destination has as many connections as it may.
    pub(super) fn is_full(&self, destination: &Destination) -> bool {
        self.lanes
            .get(destination)
            .is_some_and(|lane| lane.busy + lane.idle.len() >= self.bounds.destination)
    }

    /// Asks for space for one more.
    pub(super) fn make_space(&mut self, destination: &Destination) -> Space<T> {
        if !self.is_full(destination) {
            self.lanes.entry(destination.clone()).or_default().busy += 1;
            return Space::Given;
        }
        let oldest = self
            .lanes
            .get(destination)
            .and_then(|lane| lane.idle.first());
        let oldest = oldest.copied().and_then(|key| self.pick_up(key));
        Space::Full(oldest.map(|(_, connection)| connection))
    }

    /// A busy connection becomes idle. If that is one too many in all, the longest idle of all comes
    /// back: it counts as busy, and should go.
    pub(super) fn put(
        &mut self,
        destination: Destination,
        connection: T,
        now: Instant,
    ) -> Option<(Destination, T)> {
        let key = self.next;
        self.next += 1;
        let lane = self.lanes.entry(destination.clone()).or_default();
        assert!(lane.busy > 0, "{destination}: an idle connection was busy");
        lane.busy -= 1;
        lane.idle.push(key);
        let until = now + self.bounds.span;
        self.idle.insert(
            key,
            Idle {
                destination,
                connection,
                until,
            },
        );
        let too_many = self.idle.len() > self.bounds.idle;
        let oldest = self.idle.keys().next().copied().filter(|_| too_many)?;
        self.pick_up(oldest)
    }

    /// A busy connection is gone.
    pub(super) fn release(&mut self, destination: &Destination) {
        let lane = self.lanes.get_mut(destination);
        let lane = lane.filter(|lane| lane.busy > 0);
        let lane = lane.expect("what is released was counted as busy");
        lane.busy -= 1;
        if lane.busy == 0 && lane.idle.is_empty() {
            self.lanes.remove(destination);
        }
    }

    /// Takes out those that were idle for too long; they are busy then, and should go.
    pub(super) fn expired(&mut self, now: Instant) -> Vec<(Destination, T)> {
        let over = self.idle.iter().take_while(|(_, idle)| idle.until <= now);
        let over: Vec<u64> = over.map(|(key, _)| *key).collect();
        over.into_iter()
            .filter_map(|key| self.pick_up(key))
            .collect()
    }

    /// When the next one will have been idle for too long.
    pub(super) fn next_expiry(&self) -> Option<Instant> {
        self.idle.values().next().map(|idle| idle.until)
    }

    /// Takes out all that are idle; they are busy then, and should go.
    pub(super) fn clear(&mut self) -> Vec<(Destination, T)> {
        let all: Vec<u64> = self.idle.keys().copied().collect();
        all.into_iter()
            .filter_map(|key| self.pick_up(key))
            .collect()
    }

    fn find(&self, destination: &Destination, wanted: impl Fn(&T) -> bool) -> Option<u64> {
        let lane = self.lanes.get(destination)?;
        let is_wanted = |key: &&u64| {
            let idle = self.idle.get(key);
            idle.is_some_and(|idle| wanted(&idle.connection))
        };
        lane.idle.iter().rev().find(is_wanted).copied()
    }

    /// An idle one becomes busy.
    fn pick_up(&mut self, key: u64) -> Option<(Destination, T)> {
        let idle = self.idle.remove(&key)?;
        let lane = self.lanes.entry(idle.destination.clone()).or_default();
        lane.idle.retain(|&other| other != key);
        lane.busy += 1;
        Some((idle.destination, idle.connection))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SPAN: Duration = Duration::from_secs(3);

    fn shelf(destination: usize, idle: usize) -> Shelf<&'static str> {
        Shelf::new(Bounds {
            destination,
            idle,
            span: SPAN,
        })
    }

    fn to(domain: &str) -> Destination {
        Destination::from_stored(domain)
    }

    /// Gives an empty shelf these idle connections, in this order.
    fn put_all(shelf: &mut Shelf<&'static str>, all: &[(&str, &'static str)], now: Instant) {
        for (destination, connection) in all {
            assert_eq!(shelf.make_space(&to(destination)), Space::Given);
            assert_eq!(shelf.put(to(destination), connection, now), None);
        }
    }

    fn any(_: &&str) -> bool {
        true
    }

    #[test]
    fn the_connection_used_last_is_used_first_and_only_for_its_destination() {
        // W-19.03
        let mut shelf = shelf(5, 5);
        let all = [("a.test", "a1"), ("a.test", "a2"), ("b.test", "b1")];
        put_all(&mut shelf, &all, Instant::now());
        assert_eq!(shelf.take(&to("c.test"), any), None);
        assert_eq!(shelf.take(&to("a.test"), |c| *c == "b1"), None);
        assert!(!shelf.has(&to("a.test"), |c| *c == "b1"));
        assert_eq!(shelf.take(&to("a.test"), any), Some("a2"));
        assert_eq!(shelf.take(&to("a.test"), any), Some("a1"));
        assert_eq!(shelf.take(&to("a.test"), any), None);
        assert_eq!(shelf.take(&to("b.test"), any), Some("b1"));
    }

    #[test]
    fn a_destination_never_has_more_than_its_share_idle_ones_counted() {
        // W-19.01
        let mut shelf = shelf(2, 5);
        put_all(&mut shelf, &[("a.test", "idle")], Instant::now());
        assert_eq!(shelf.make_space(&to("a.test")), Space::Given);
        assert!(shelf.is_full(&to("a.test")) && !shelf.is_full(&to("b.test")));
        // the idle one goes, and until it is gone it counts
        assert_eq!(shelf.make_space(&to("a.test")), Space::Full(Some("idle")));
        assert_eq!(shelf.make_space(&to("a.test")), Space::Full(None));
        shelf.release(&to("a.test"));
        assert_eq!(shelf.make_space(&to("a.test")), Space::Given);
        assert_eq!(shelf.make_space(&to("a.test")), Space::Full(None));
        assert_eq!(shelf.make_space(&to("b.test")), Space::Given);
    }

    #[test]
    fn of_too_many_idle_ones_the_oldest_goes() {
        let now = Instant::now();
        let mut shelf = shelf(5, 2);
        put_all(&mut shelf, &[("a.test", "a"), ("b.test", "b")], now);
        assert_eq!(shelf.make_space(&to("c.test")), Space::Given);
        let gone = shelf.put(to("c.test"), "c", now);
        assert_eq!(gone, Some((to("a.test"), "a")));
        assert_eq!(shelf.clear(), [(to("b.test"), "b"), (to("c.test"), "c")]);
    }

    #[test]
    fn idle_ones_expire_in_their_order() {
        // W-19.03
        let start = Instant::now();
        let mut shelf = shelf(5, 5);
        assert_eq!(shelf.next_expiry(), None);
        put_all(&mut shelf, &[("a.test", "a")], start);
        put_all(&mut shelf, &[("b.test", "b")], start + SPAN / 2);
        assert_eq!(shelf.next_expiry(), Some(start + SPAN));
        assert_eq!(shelf.expired(start + SPAN / 2), []);
        assert_eq!(shelf.expired(start + SPAN), [(to("a.test"), "a")]);
        assert_eq!(shelf.next_expiry(), Some(start + SPAN + SPAN / 2));
        assert_eq!(shelf.expired(start + SPAN * 2), [(to("b.test"), "b")]);
        assert_eq!(shelf.next_expiry(), None);
    }

    #[test]
    fn nothing_is_left_of_a_destination_without_connections() {
        let mut shelf = shelf(2, 5);
        put_all(&mut shelf, &[("a.test", "a")], Instant::now());
        assert_eq!(shelf.take(&to("a.test"), any), Some("a"));
        shelf.release(&to("a.test"));
        assert!(shelf.lanes.is_empty() && shelf.idle.is_empty());
    }
}
