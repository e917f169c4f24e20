//! Random operations, restarts clean and not among them, held against a map in memory.

use std::collections::BTreeMap;

use proptest::prelude::*;

use super::tests::{AT_ONCE, NOW, Place, accept_as, by_route, read_body, recipient};
use super::*;
use crate::mail::{HeldBy, RecipientState, StateName};

const DOMAINS: [&str; 3] = ["one.test", "two.test", "one.test.longer"];

#[derive(Clone, Debug)]
enum Op {
    Accept {
        to: Vec<usize>,
        bytes: usize,
        held: bool,
    },
    /// Of at least so many recipients.
    Release(usize),
    Verdict {
        message: usize,
        no: usize,
        to: To,
    },
    /// Recipients from this one on, so many.
    Purge {
        message: usize,
        no: usize,
        count: usize,
    },
    Restore {
        message: usize,
        no: usize,
        count: usize,
    },
    /// What the undo window no more holds goes, if it is over.
    RemoveOver {
        undo: bool,
    },
    MoveOver,
    Reroute(u8),
    /// A page of so many recipients.
    MoveLines(usize),
    Crash,
    Stop,
}

#[derive(Clone, Copy, Debug)]
enum To {
    Delivered,
    Failed,
    Deferred(u64),
}

fn ops() -> impl Strategy<Value = Vec<Op>> {
    let to = prop_oneof![
        Just(To::Delivered),
        Just(To::Failed),
        (1..5_000_u64).prop_map(To::Deferred),
    ];
    let bytes = prop_oneof![0..2_000_usize, 32_000..33_000_usize, 250_000..300_000_usize];
    let op = prop_oneof![
        4 => (prop::collection::vec(0..DOMAINS.len(), 1..4), bytes, prop::bool::weighted(0.3))
            .prop_map(|(to, bytes, held)| Op::Accept { to, bytes, held }),
        2 => (1..6_usize).prop_map(Op::Release),
        8 => (any::<usize>(), any::<usize>(), to)
            .prop_map(|(message, no, to)| Op::Verdict { message, no, to }),
        4 => (any::<usize>(), 0..3_usize, 1..4_usize)
            .prop_map(|(message, no, count)| Op::Purge { message, no, count }),
        3 => (any::<usize>(), 0..3_usize, 1..4_usize)
            .prop_map(|(message, no, count)| Op::Restore { message, no, count }),
        2 => any::<bool>().prop_map(|undo| Op::RemoveOver { undo }),
        1 => Just(Op::MoveOver),
        1 => prop_oneof![Just(0), Just(8), Just(20)].prop_map(Op::Reroute),
        2 => (1..4_usize).prop_map(Op::MoveLines),
        1 => Just(Op::Crash),
        1 => Just(Op::Stop),
    ];
    prop::collection::vec(op, 1..40)
}

/// What the store should hold.
#[derive(Default)]
struct Model(BTreeMap<QueueId, Kept>);

struct Kept {
    message: Message,
    octets: Vec<u8>,
    recipients: Vec<(&'static str, RecipientState)>,
}

impl Kept {
    fn is_over(&self) -> bool {
        self.recipients.iter().all(|(_, state)| state.is_final())
    }

    fn purged(&self) -> usize {
        let states = self.recipients.iter().map(|(_, state)| state.name());
        states.filter(|name| *name == StateName::Purged).count()
    }
}

/// One of them, if there is any.
fn nth(kept: &mut BTreeMap<QueueId, Kept>, n: usize) -> Option<&mut Kept> {
    let which = n.checked_rem(kept.len())?;
    kept.values_mut().nth(which)
}

impl Model {
    /// `route`: which way mail goes, see [`by_route`].
    async fn check(&self, store: &Store, route: u8) {
        let destination = |domain: &str| by_route(route)(&AddressDomain::parse(domain).unwrap());
        for kept in self.0.values() {
            assert!(read_body(store, &kept.message).await.unwrap() == kept.octets);
        }
        let mut lines: BTreeMap<Destination, Vec<DueItem>> = BTreeMap::new();
        for (&id, kept) in &self.0 {
            for (&(domain, state), no) in kept.recipients.iter().zip(0..) {
                let Some(due) = state.due() else { continue };
                let (destination, no) = (destination(domain), RecipientNo(no));
                let line = lines.entry(destination.clone()).or_default();
                line.push(DueItem {
                    destination,
                    due,
                    id,
                    no,
                });
            }
        }
        if store.is_rerouting() {
            return self.check_moving(store, lines).await;
        }
        let mut heads = Vec::new();
        for (destination, line) in &mut lines {
            line.sort();
            heads.push((destination.clone(), line[0].due));
            assert_eq!(store.line(destination, usize::MAX).await.unwrap(), *line);
        }
        assert_eq!(store.destinations().await.unwrap(), heads);

        self.check_counts(store);
    }

    /// While places are being moved, everybody stands somewhere, and once.
    async fn check_moving(&self, store: &Store, lines: BTreeMap<Destination, Vec<DueItem>>) {
        let place = |item: DueItem| (item.due, item.id, item.no);
        let mut want: Vec<_> = lines.into_values().flatten().map(place).collect();
        let mut found = Vec::new();
        for (destination, _) in store.destinations().await.unwrap() {
            let line = store.line(&destination, usize::MAX).await.unwrap();
            found.extend(line.into_iter().map(place));
        }
        want.sort();
        found.sort();
        assert_eq!(found, want);
        self.check_counts(store);
    }

    fn check_counts(&self, store: &Store) {
        let counts = store.counts();
        assert_eq!(counts.messages, self.0.len() as u64);
        let bytes: u64 = self.0.values().map(|kept| kept.message.size()).sum();
        assert_eq!(counts.bytes, bytes);
        for name in StateName::ALL {
            let states = self.0.values().flat_map(|kept| &kept.recipients);
            let want = states.filter(|(_, state)| state.name() == name).count();
            assert_eq!(counts.recipients_in(name), want as u64, "{name:?}");
            let waiting = [StateName::Queued, StateName::Deferred, StateName::Held];
            let in_state = |kept: &&Kept| kept.recipients.iter().any(|(_, s)| s.name() == name);
            let oldest = self.0.values().find(in_state).map(|kept| kept.message.id);
            let oldest = oldest.filter(|_| waiting.contains(&name));
            let stretch = oldest.map(|id| UnixMillis(id.made_at().0 / 10_000 * 10_000));
            assert_eq!(store.oldest(name), stretch, "{name:?}");
        }
        self.check_closings(store);
    }

    /// Each message that is over has one place among these, and nothing else has one.
    fn check_closings(&self, store: &Store) {
        let trees = store.0.engine.trees().unwrap();
        let (mut over, mut purged, mut tombstones) = (Vec::new(), Vec::new(), Vec::new());
        for (&id, kept) in self.0.iter().filter(|(_, kept)| kept.is_over()) {
            let count = kept.purged();
            match count == kept.recipients.len() {
                true => purged.push(id),
                false => over.push(id),
            }
            tombstones.extend((count > 0).then_some(id));
        }
        let mut places: BTreeMap<QueueId, Vec<u8>> = BTreeMap::new();
        let (mut in_over, mut in_purged) = (Vec::new(), Vec::new());
        for key in trees.closing.iter().keys().flatten() {
            in_over.extend(key::parse_closing(&key).map(|(_, id)| id));
            in_purged.extend(key::parse_purged(&key).map(|(_, id)| id));
            let place = key::parse_closing(&key).or_else(|| key::parse_purged(&key));
            places.insert(place.unwrap().1, key.to_vec());
        }
        in_over.sort();
        in_purged.sort();
        assert_eq!((in_over, in_purged), (over, purged));
        let mut found = Vec::new();
        for (id, place) in trees.tombstones.iter().flatten() {
            let id = key::parse_message(&id).unwrap();
            assert_eq!(*place, places[&id]);
            found.push(id);
        }
        assert_eq!(found, tombstones);
    }

    /// Purges or restores some recipients of a message in one step.
    async fn order(
        &mut self,
        store: &Store,
        message: usize,
        nos: std::ops::Range<usize>,
        back: bool,
    ) {
        let Some(kept) = nth(&mut self.0, message) else {
            return;
        };
        let id = kept.message.id;
        let loaded = store.entry(id).await.unwrap().unwrap();
        let mut changes = Vec::new();
        for (before, (_, state)) in loaded.recipients.into_iter().zip(&mut kept.recipients) {
            assert_eq!(before.state, *state);
            let next = match (*state, state.waiting()) {
                (RecipientState::Purged { was, .. }, _) if back => was.into(),
                (_, Some(was)) if !back => RecipientState::Purged { at: NOW, was },
                _ => continue,
            };
            if !nos.contains(&usize::try_from(before.no.0).unwrap()) {
                continue;
            }
            *state = next;
            let after = Recipient {
                state: next,
                ..before.clone()
            };
            let note = None;
            changes.push(RecipientChange {
                id,
                before,
                after,
                note,
            });
        }
        let made = store.record(changes, vec![]).await.unwrap();
        assert!(made.into_iter().all(|made| made));
    }

    /// Changes a recipient in the store and here, if there is one that can change.
    async fn verdict(&mut self, store: &Store, message: usize, no: usize, to: To) {
        let Some(kept) = nth(&mut self.0, message) else {
            return;
        };
        let at = no % kept.recipients.len();
        let no = RecipientNo(u32::try_from(at).unwrap());
        let loaded = store.load(kept.message.id, &[no]).await.unwrap().unwrap();
        let state = &mut kept.recipients[at].1;
        assert_eq!(loaded.recipients.len(), usize::from(state.due().is_some()));
        let Some(before) = loaded.recipients.first() else {
            return;
        };
        assert_eq!(before.state, *state);
        *state = match to {
            To::Delivered => RecipientState::Delivered,
            To::Failed => RecipientState::Failed,
            To::Deferred(later) => RecipientState::Deferred {
                due: UnixMillis(NOW.0 + later),
            },
        };
        let after = Recipient {
            state: *state,
            attempts: before.attempts + 1,
            ..before.clone()
        };
        let change = RecipientChange {
            id: kept.message.id,
            before: before.clone(),
            after,
            note: None,
        };
        assert_eq!(store.record(vec![change], vec![]).await.unwrap(), [true]);
    }
}

impl Model {
    /// Releases messages from the first one on until there were so many recipients.
    async fn release(&mut self, store: &Store, limit: usize) {
        let held = RecipientState::Held { by: HeldBy::Mode };
        let mut want = 0;
        for kept in self.0.values_mut() {
            if want >= limit {
                break;
            }
            for (_, state) in &mut kept.recipients {
                if *state == held {
                    *state = RecipientState::Queued { due: NOW };
                    want += 1;
                }
            }
        }
        let page = store.release_held(None, NOW, limit).await.unwrap();
        assert_eq!(page.released, want);
    }
}

async fn run(ops: Vec<Op>) {
    let place = Place::new();
    let (mut store, mut model) = (place.open(), Model::default());
    for (op, n) in ops.into_iter().zip(1_u64..) {
        let later = crate::observe::wall_clock().after(std::time::Duration::from_secs(1));
        match op {
            Op::Accept { to, bytes, held } => {
                let octets: Vec<u8> = (0..bytes)
                    .map(|at| u8::try_from((at * 7) % 251).unwrap())
                    .collect();
                let domains: Vec<&str> = to.into_iter().map(|at| DOMAINS[at]).collect();
                let state = match held {
                    true => RecipientState::Held { by: HeldBy::Mode },
                    false => RecipientState::Queued { due: NOW },
                };
                let recipients = domains.iter().zip(0..).map(|(domain, no)| Recipient {
                    state,
                    ..recipient(no, &format!("a@{domain}"))
                });
                let message = accept_as(&store, n, recipients.collect(), &octets).await;
                let recipients = domains.into_iter().map(|domain| (domain, state)).collect();
                model.0.insert(
                    message.id,
                    Kept {
                        message,
                        octets,
                        recipients,
                    },
                );
            }
            Op::Verdict { message, no, to } => model.verdict(&store, message, no, to).await,
            Op::Release(limit) => model.release(&store, limit).await,
            Op::Purge { message, no, count } => {
                model.order(&store, message, no..no + count, false).await;
            }
            Op::Restore { message, no, count } => {
                model.order(&store, message, no..no + count, true).await;
            }
            Op::RemoveOver { undo } => {
                let years = |n: u64| Duration::from_secs(n * 365 * 86_400);
                let (now, undo_window) = match undo {
                    true => (later, years(9)),
                    false => (later.after(years(10)), Duration::ZERO),
                };
                let keeping = Keeping {
                    undo_window,
                    ..AT_ONCE
                };
                let page = store.remove_over(now, keeping, 1_000).await.unwrap();
                assert!(!page.more);
                let mut removed = page.ids;
                removed.sort();
                let goes = |kept: &Kept| kept.is_over() && !(undo && kept.purged() > 0);
                let over = model.0.iter().filter(|(_, kept)| goes(kept));
                assert_eq!(removed, over.map(|(id, _)| *id).collect::<Vec<_>>());
                model.0.retain(|_, kept| !goes(kept));
            }
            Op::MoveOver => {
                store.move_over_to_files(later, usize::MAX).await.unwrap();
            }
            Op::Reroute(route) => {
                let fingerprint = route.to_string();
                if store.may_reroute(&fingerprint).is_ok() {
                    store.reroute(by_route(route), fingerprint).await.unwrap();
                    place.route.set(route);
                }
            }
            Op::MoveLines(limit) => {
                store.move_lines(None, limit).await.unwrap();
            }
            Op::Crash => store = place.crash(store),
            Op::Stop => {
                store.close().await.unwrap();
                store = place.crash(store);
            }
        }
        model.check(&store, place.route.get()).await;
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 24, max_shrink_iters: 200, ..ProptestConfig::default() })]

    #[test]
    fn the_store_holds_what_a_map_would(ops in ops()) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(run(ops));
    }
}
