//! Mail that waits goes another way: its places are moved from the lines of the former map into those
//! of the new one, page by page, while the relay runs.
//!
//! From the swap on everything is placed by the new map. A place that an earlier map made is there until
//! its page comes, so whoever takes a place away does so under the earlier maps, too, until the last page
//! is done. Cut off by the end of the process, the next start makes the lines anew, since a clean stop
//! does not state the new map before that.

use std::ops::Bound;
use std::sync::Arc;

use arc_swap::{ArcSwap, Guard};
use tokio::sync::Notify;

use crate::mail::{AddressDomain, Destination, QueueId, Recipient, RecipientNo};

use super::committer::Work;
use super::engine::Trees;
use super::group::{Group, due_item};
use super::{CommitError, DestinationOf, DueItem, ReadError, Store, key, read, record};

/// Recipients that are looked at for one page.
const EXAMINED_MAX: usize = 10_000;
/// Maps whose places may still be there.
const FORMER_MAX: usize = 4;

/// In which line mail waits, as it is now.
pub(super) struct Routing {
    map: ArcSwap<Map>,
    changed: Notify,
}

/// In which line mail waits, and waited before.
pub(super) struct Map {
    destination_of: DestinationOf,
    fingerprint: String,
    /// Counts maps.
    generation: u64,
    /// Those that may have left places.
    former: Vec<DestinationOf>,
}

/// The routes were changed so often that too many earlier ones still have mail in their lines.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("mail is still being moved for earlier changes of routes; try again in a while")]
pub struct StillMoving;

/// What [`Store::move_lines`](super::Store::move_lines) did.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct MovedPage {
    /// Recipients that stand in another line now.
    pub moved: usize,
    /// Where to go on; `None`: that was all.
    pub next: Option<MoveFrom>,
}

/// Where to go on with moving.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct MoveFrom {
    /// Of which map; if there is another one by now, everything begins anew.
    pub(super) generation: u64,
    pub(super) id: QueueId,
    pub(super) no: RecipientNo,
}

/// Recipients that should stand in other lines.
pub(super) struct Misplaced {
    pub found: Vec<(QueueId, RecipientNo)>,
    pub generation: u64,
    pub next: Option<MoveFrom>,
}

impl Routing {
    pub(super) fn new(destination_of: DestinationOf, fingerprint: String) -> Routing {
        Routing {
            map: ArcSwap::from_pointee(Map {
                destination_of,
                fingerprint,
                generation: 0,
                former: Vec::new(),
            }),
            changed: Notify::new(),
        }
    }

    /// As it is at this moment. Don't keep it over an await.
    pub(super) fn map(&self) -> Guard<Arc<Map>> {
        self.map.load()
    }

    pub(super) fn destination_of(&self) -> DestinationOf {
        self.map.load().destination_of.clone()
    }

    /// Whether another map can be taken now.
    pub(super) fn may_change(&self, fingerprint: &str) -> Result<(), StillMoving> {
        let map = self.map.load();
        match map.fingerprint == fingerprint || map.former.len() < FORMER_MAX {
            true => Ok(()),
            false => Err(StillMoving),
        }
    }

    /// Takes another map; `false`: it is none.
    pub(super) fn change(&self, destination_of: DestinationOf, fingerprint: String) -> bool {
        if self.map.load().fingerprint == fingerprint {
            return false;
        }
        self.map.rcu(|map| {
            let mut former = map.former.clone();
            former.push(map.destination_of.clone());
            Map {
                destination_of: destination_of.clone(),
                fingerprint: fingerprint.clone(),
                generation: map.generation + 1,
                former,
            }
        });
        self.changed.notify_one();
        true
    }

    /// Nothing stands in a line of an earlier map any more; unless the map was changed meanwhile.
    pub(super) fn moved(&self, generation: u64) {
        self.map.rcu(|map| Map {
            destination_of: map.destination_of.clone(),
            fingerprint: map.fingerprint.clone(),
            generation: map.generation,
            former: match map.generation == generation {
                true => Vec::new(),
                false => map.former.clone(),
            },
        });
    }

    /// Ends once the map was changed after the last time it ended. Cancel-safe.
    pub(super) async fn changed(&self) {
        self.changed.notified().await;
    }
}

impl Map {
    pub(super) fn destination_of(&self) -> &(dyn Fn(&AddressDomain) -> Destination + Send + Sync) {
        &*self.destination_of
    }

    pub(super) fn generation(&self) -> u64 {
        self.generation
    }

    /// Whether places of earlier maps may still be there.
    pub(super) fn is_moving(&self) -> bool {
        !self.former.is_empty()
    }

    /// The place of a recipient in its line, if it stands in one.
    pub(super) fn place(&self, id: QueueId, rcpt: &Recipient) -> Option<DueItem> {
        due_item(id, rcpt, self.destination_of())
    }

    /// Every place where a recipient in line may stand.
    pub(super) fn places(&self, id: QueueId, rcpt: &Recipient) -> impl Iterator<Item = DueItem> {
        let now = self.place(id, rcpt);
        now.into_iter().chain(self.former_places(id, rcpt))
    }

    fn former_places(&self, id: QueueId, rcpt: &Recipient) -> impl Iterator<Item = DueItem> {
        let former = self.former.iter();
        former.filter_map(move |destination_of| due_item(id, rcpt, &**destination_of))
    }

    /// For a clean stop: that of the map, if everything is placed by it.
    pub(super) fn fingerprint(&self) -> String {
        match self.is_moving() {
            true => format!("{}, not all moved", self.fingerprint),
            false => self.fingerprint.clone(),
        }
    }
}

impl Store {
    /// Whether another map can be taken now by [`Store::reroute`].
    pub fn may_reroute(&self, fingerprint: &str) -> Result<(), StillMoving> {
        self.0.routing.may_change(fingerprint)
    }

    /// From now on `destination_of` decides in which line mail waits, as in [`StoreOptions`]; with
    /// [`Store::move_lines`] mail that waits comes there, too. `false`: that is as it was.
    pub async fn reroute(
        &self,
        destination_of: DestinationOf,
        fingerprint: String,
    ) -> Result<bool, CommitError> {
        if !self.0.routing.change(destination_of, fingerprint) {
            return Ok(false);
        }
        // What the committer had in hand was placed by the former map: it is in the store after this.
        match self
            .ask(|done| Work::KeepSuspensions(Vec::new(), done))
            .await
        {
            Ok(()) | Err(CommitError::DiskFull | CommitError::Failed(_)) => Ok(true),
            Err(error @ CommitError::Closed) => Err(error),
        }
    }

    /// Whether mail may stand in lines of an earlier map. Cheap.
    #[must_use]
    pub fn is_rerouting(&self) -> bool {
        self.0.routing.map().is_moving()
    }

    /// Waits until there was a [`Store::reroute`]. Cancel-safe.
    pub async fn rerouted(&self) {
        self.0.routing.changed().await;
    }

    /// Moves up to `limit` recipients to the lines of the present map; the last page ends the
    /// rerouting. It is heard of as [`News`].
    pub async fn move_lines(
        &self,
        from: Option<MoveFrom>,
        limit: usize,
    ) -> Result<MovedPage, CommitError> {
        let routing = self.0.routing.clone();
        let find = move |trees: &Trees| misplaced(trees, &routing.map(), from, limit);
        let misplaced = read::on_reader(&self.0.engine, find).await;
        let Misplaced {
            found,
            generation,
            next,
        } = misplaced.map_err(|error| CommitError::Failed(error.to_string()))?;
        let moved = match found.is_empty() {
            true => 0,
            false => self.ask(|done| Work::MoveLines(found, done)).await?,
        };
        if next.is_none() {
            self.0.routing.moved(generation);
        }
        Ok(MovedPage { moved, next })
    }
}

/// The next recipients in line that stand where an earlier map put them.
pub(super) fn misplaced(
    trees: &Trees,
    map: &Map,
    from: Option<MoveFrom>,
    limit: usize,
) -> Result<Misplaced, ReadError> {
    let failed = |error: sled::Error| ReadError::Failed(error.to_string());
    let generation = map.generation;
    let from = from.filter(|from| from.generation == generation);
    let from = from.map(|from| key::recipient(from.id, from.no));
    let start = from.map_or(Bound::Unbounded, |key| Bound::Included(key.to_vec()));
    let mut found = Vec::new();
    let range = (start, Bound::<Vec<u8>>::Unbounded);
    for (examined, entry) in trees.recipients.range(range).enumerate() {
        let (rcpt_key, sealed) = entry.map_err(failed)?;
        let Some((id, no)) = key::parse_recipient(&rcpt_key) else {
            continue; // no key of ours: the next start after a crash takes it out
        };
        if found.len() >= limit || examined >= EXAMINED_MAX {
            return Ok(Misplaced {
                found,
                generation,
                next: Some(MoveFrom { generation, id, no }),
            });
        }
        // One that is damaged stays; the same start puts it aside.
        if let Ok(rcpt) = record::open_recipient(&rcpt_key, no, &sealed)
            && stands_elsewhere(trees, map, id, &rcpt).map_err(failed)?
        {
            found.push((id, no));
        }
    }
    Ok(Misplaced {
        found,
        generation,
        next: None,
    })
}

fn stands_elsewhere(
    trees: &Trees,
    map: &Map,
    id: QueueId,
    rcpt: &Recipient,
) -> Result<bool, sled::Error> {
    let Some(place) = map.place(id, rcpt) else {
        return Ok(false);
    };
    for former in map.former_places(id, rcpt) {
        if former != place && trees.due.contains_key(key::due(&former))? {
            return Ok(true);
        }
    }
    Ok(false)
}

impl Group {
    /// Moves a recipient to its line, if it stands in one.
    pub(super) fn move_place(
        &mut self,
        trees: &Trees,
        map: &Map,
        (id, no): (QueueId, RecipientNo),
    ) -> Result<bool, sled::Error> {
        let Some(rcpt) = self.recipient(trees, &key::recipient(id, no), no)? else {
            return Ok(false);
        };
        let Some(place) = map.place(id, &rcpt) else {
            return Ok(false); // whoever ended it took away every place
        };
        for former in map.former_places(id, &rcpt) {
            self.leave_line(&former);
        }
        self.stand_in_line(place);
        Ok(true)
    }
}

#[cfg(test)]
mod tests {
    use super::super::committer::Work;
    use super::super::tests::{
        NOW, Place, accept_as, by_route, destination, new_message, news, recipient,
    };
    use super::super::{RecipientChange, Store};
    use super::*;
    use crate::mail::{RecipientState, UnixMillis};

    fn relay() -> Destination {
        Destination::of_route("smtp://relay.test:25")
    }

    /// All mail to one relay host.
    fn to_relay() -> DestinationOf {
        Arc::new(|_| relay())
    }

    fn by_domain() -> DestinationOf {
        Arc::new(Destination::of_domain)
    }

    /// Who stands in a line: the number of the message, of the recipient, and the due time.
    async fn line(store: &Store, destination: &Destination) -> Vec<(QueueId, u32, u64)> {
        let line = store.line(destination, 100).await.unwrap();
        line.iter()
            .map(|item| (item.id, item.no.0, item.due.0 - NOW.0))
            .collect()
    }

    async fn deferred(store: &Store, id: QueueId, later: u64) {
        let loaded = store.load(id, &[RecipientNo(0)]).await.unwrap().unwrap();
        let before = loaded.recipients[0].clone();
        let after = Recipient {
            state: RecipientState::Deferred {
                due: UnixMillis(NOW.0 + later),
            },
            ..before.clone()
        };
        let change = RecipientChange {
            id,
            before,
            after,
            note: None,
        };
        assert_eq!(store.record(vec![change], vec![]).await.unwrap(), [true]);
    }

    async fn accepted(store: &Store, n: u64, to: &str) -> QueueId {
        let recipients = vec![recipient(0, to)];
        accept_as(store, n, recipients, b"x").await.id
    }

    #[tokio::test]
    async fn who_waits_is_moved_page_by_page_and_told() {
        let place = Place::new();
        let store = place.open();
        let (a, b) = (destination("a.test"), destination("b.test"));
        let mut ids = Vec::new();
        for n in 1..=3 {
            ids.push(accepted(&store, n, "x@a.test").await);
        }
        let of_b = accepted(&store, 4, "x@b.test").await;
        let only_a: DestinationOf = Arc::new(|domain| match domain.to_string().as_str() {
            "a.test" => relay(),
            _ => Destination::of_domain(domain),
        });
        assert!(store.reroute(only_a, "a to relay".into()).await.unwrap());
        assert!(store.is_rerouting());
        drop(news(&store, 4).await);
        let mut from = None;
        loop {
            let page = store.verify(from, true).await.unwrap();
            assert_eq!(page.damaged, [], "on its way is not damaged");
            from = page.next;
            if from.is_none() {
                break;
            }
        }
        let first = store.move_lines(None, 2).await.unwrap();
        assert_eq!(first.moved, 2);
        assert_eq!(line(&store, &a).await, [(ids[2], 0, 0)]);
        let told = news(&store, 2).await;
        assert!(told.len() == 2 && told.iter().all(|item| item.destination == relay()));
        // What is changed before its page comes stands in the new line, and only there.
        deferred(&store, ids[2], 9).await;
        assert!(line(&store, &a).await.is_empty());
        let last = store.move_lines(first.next, 2).await.unwrap();
        assert_eq!(
            last,
            MovedPage {
                moved: 0,
                next: None
            }
        );
        assert!(!store.is_rerouting());
        let want = [(ids[0], 0, 0), (ids[1], 0, 0), (ids[2], 0, 9)];
        assert_eq!(line(&store, &relay()).await, want);
        assert_eq!(line(&store, &b).await, [(of_b, 0, 0)]);
    }

    #[tokio::test]
    async fn another_change_meanwhile_begins_anew_and_leaves_nothing_behind() {
        let place = Place::new();
        let store = place.open();
        let ids = [
            accepted(&store, 1, "x@a.test").await,
            accepted(&store, 2, "x@a.test").await,
        ];
        assert!(store.reroute(to_relay(), "relay".into()).await.unwrap());
        let first = store.move_lines(None, 1).await.unwrap();
        assert!(store.reroute(by_domain(), "mx".into()).await.unwrap());
        assert!(!store.reroute(by_domain(), "mx".into()).await.unwrap());
        let all = store.move_lines(first.next, 10).await.unwrap();
        assert_eq!(
            all,
            MovedPage {
                moved: 1,
                next: None
            }
        );
        let a = destination("a.test");
        assert_eq!(line(&store, &a).await, [(ids[0], 0, 0), (ids[1], 0, 0)]);
        assert!(line(&store, &relay()).await.is_empty());
    }

    #[tokio::test]
    async fn what_was_made_ready_before_stands_in_the_new_line() {
        let place = Place::new();
        let store = place.open();
        let new = new_message(&store, 1, vec![recipient(0, "x@a.test")], b"x").await;
        let id = new.message.id;
        let ready = Box::new(store.prepare(new));
        assert!(store.reroute(to_relay(), "relay".into()).await.unwrap());
        store.move_lines(None, 9).await.unwrap();
        let accepted = store.ask(|done| Work::Accept(ready, done)).await;
        accepted.unwrap();
        assert_eq!(line(&store, &relay()).await, [(id, 0, 0)]);
        assert!(line(&store, &destination("a.test")).await.is_empty());
    }

    #[tokio::test]
    async fn a_stop_before_the_end_is_not_taken_for_one_behind_it() {
        let place = Place::new();
        let store = place.open();
        let ids = [
            accepted(&store, 1, "x@a.test").await,
            accepted(&store, 2, "x@a.test").await,
        ];
        place.route.set(99);
        let map = by_route(99);
        assert!(store.reroute(map, "99".into()).await.unwrap());
        store.move_lines(None, 1).await.unwrap();
        store.close().await.unwrap();
        let store = place.crash(store);
        assert_eq!(line(&store, &relay()).await, ids.map(|id| (id, 0, 0)));
        assert!(line(&store, &destination("a.test")).await.is_empty());
    }

    #[tokio::test]
    async fn changes_without_an_end_are_refused() {
        let place = Place::new();
        let store = place.open();
        for n in 1..=FORMER_MAX {
            store.may_reroute(&n.to_string()).unwrap();
            store.reroute(to_relay(), n.to_string()).await.unwrap();
        }
        assert_eq!(store.may_reroute("one more"), Err(StillMoving));
        assert_eq!(store.may_reroute(&FORMER_MAX.to_string()), Ok(()));
        store.move_lines(None, 1).await.unwrap();
        assert_eq!(store.may_reroute("one more"), Ok(()));
    }
}
