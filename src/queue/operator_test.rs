//! The operator's orders over a real store, above all while attempts are under way.

use rand::{RngExt as _, SeedableRng as _};

use super::*;
use crate::config::Rate;
use crate::mail::{HeldBy, Waiting};
use crate::store::{Note, Scan};

const A: RecipientNo = RecipientNo(0);
/// Longer than any test.
const LONG: Duration = Duration::from_secs(600);
const HELD: RecipientState = RecipientState::Held {
    by: HeldBy::Operator,
};

fn applied(changed: u64, in_flight: u64, overtaken: u64) -> Applied {
    Applied {
        changed,
        in_flight,
        overtaken,
    }
}

impl World {
    /// The operator of the running queue, or of none.
    fn operator(&self) -> Operator {
        let none = || Operator::without_queue(&self.config, self.store.clone(), Events::default());
        self.operator.clone().unwrap_or_else(none)
    }

    async fn all(&self) -> Vec<crate::store::Loaded> {
        let scan = Scan {
            direction: crate::store::Direction::OldestFirst,
            from: None,
            until: None,
            limit: 10_000,
            examined_max: 10_000,
        };
        self.store
            .scan(scan, Arc::new(|_, _, _| true))
            .await
            .unwrap()
            .found
    }

    /// An order for all that is there.
    async fn order(&self, action: Action) -> Applied {
        self.order_for(action, self.all().await, None).await
    }

    async fn order_for(
        &self,
        action: Action,
        found: Vec<crate::store::Loaded>,
        rate: Option<Rate>,
    ) -> Applied {
        let note = Arc::new(Note {
            action: action.as_str().into(),
            by: "ann".into(),
            reason: "a test".into(),
        });
        let mut pace = Pace::new(rate, (self.clock())());
        let applied = self.operator().apply(action, found, note, &mut pace).await;
        applied.unwrap()
    }

    async fn rcpt(&self, id: QueueId, no: RecipientNo) -> Recipient {
        let mut loaded = self.store.entry(id).await.unwrap().expect("it is there");
        loaded
            .recipients
            .swap_remove(usize::try_from(no.0).unwrap())
    }

    /// Waits until so many attempts have come to the gate or through it.
    async fn attempted(&self, address: &str, times: usize) {
        let so_often = |world: &World| world.remotes.attempts_at(address).len() == times;
        self.eventually("attempted", so_often).await;
    }

    async fn nothing_in_flight(&self) {
        let over = |world: &World| world.operator().in_flight() == 0;
        self.eventually("no attempt is under way", over).await;
    }
}

/// One message, and its attempt waiting at the gate; it will hear what the script says.
async fn with_an_attempt_under_way(says: &[Says]) -> (World, QueueId, Arc<Semaphore>) {
    let mut world = World::new();
    world.config.queue.retry_base = LONG;
    world.config.queue.retry_cap = LONG;
    world.remotes.script("a@one.test", says);
    let gate = world.remotes.gate("a@one.test");
    world.start();
    let id = world.accept("s@src.test", &["a@one.test"]).await;
    world.attempted("a@one.test", 1).await;
    assert!(world.operator().is_in_flight(id, A));
    (world, id, gate)
}

#[tokio::test]
async fn a_retry_makes_the_next_attempt_at_once() {
    let (mut world, id, gate) = with_an_attempt_under_way(&[Says::Later, Says::Yes]).await;
    gate.add_permits(2);
    let deferred = |world: &World| world.count(StateName::Deferred) == 1;
    world.eventually("deferred", deferred).await;
    world.nothing_in_flight().await;
    assert_eq!(world.order(Action::Retry).await, applied(1, 0, 0));
    let delivered = |world: &World| world.count(StateName::Delivered) == 1;
    world.eventually("delivered", delivered).await;
    assert_eq!(world.rcpt(id, A).await.attempts, 2);
    assert_eq!(world.order(Action::Retry).await, Applied::default());
    world.stop().await;
}

#[tokio::test]
async fn a_retry_lifts_a_suspension_for_want_of_an_answer_and_not_that_of_an_operator() {
    let mut world = World::new();
    world.config.queue.retry_base = LONG;
    world.config.queue.retry_cap = LONG;
    for n in 0..3 {
        world
            .remotes
            .script(&format!("a{n}@one.test"), &[Says::Unreached, Says::Yes]);
    }
    world.start();
    for n in 0..3 {
        let to = format!("a{n}@one.test");
        world.accept("s@src.test", &[&to]).await;
        world.attempted(&to, 1).await;
        world.nothing_in_flight().await;
    }
    let one = Destination::from_stored("one.test");
    while world.store.suspension(&one).await.unwrap().is_none() {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    assert_eq!(world.order(Action::Retry).await, applied(3, 0, 0));
    let delivered = |world: &World| world.count(StateName::Delivered) == 3;
    world.eventually("delivered", delivered).await;

    world
        .operator()
        .suspend(&one, None, "", "ann")
        .await
        .unwrap();
    world.accept("s@src.test", &["b@one.test"]).await;
    world.order(Action::Retry).await;
    assert!(world.store.suspension(&one).await.unwrap().is_some());
    world.stop().await;
    assert!(world.remotes.attempts_at("b@one.test").is_empty());
}

#[tokio::test]
async fn a_rate_spreads_what_is_retried_or_released() {
    let world = World::new();
    for n in 0..4 {
        world
            .accept("s@src.test", &[&format!("a{n}@one.test")])
            .await;
    }
    let rate = Rate {
        count: 10,
        per: Duration::from_secs(1),
    };
    for action in [Action::Retry, Action::Hold, Action::Release] {
        world.order_for(action, world.all().await, Some(rate)).await;
        let mut due: Vec<UnixMillis> = Vec::new();
        for loaded in world.all().await {
            due.extend(loaded.recipients[0].state.due());
        }
        // the first was due before, and is not put off by a retry
        let gaps = due.windows(2).skip(1);
        let gaps = gaps.map(|pair| pair[1].since(pair[0]).as_millis());
        let want: &[u128] = match action {
            Action::Hold => &[],
            _ => &[100, 100],
        };
        assert_eq!(gaps.collect::<Vec<_>>(), want, "{action:?}");
    }
}

/// W-23.05
#[tokio::test]
async fn what_is_held_is_not_attempted_over_a_restart_and_goes_when_it_is_released() {
    let mut world = World::new();
    let id = world.accept("s@src.test", &["a@one.test"]).await;
    assert_eq!(world.order(Action::Hold).await, applied(1, 0, 0));
    for _ in 0..2 {
        world.start();
        world.accept("s@src.test", &["b@one.test"]).await;
        let sent = |world: &World| world.count(StateName::Queued) == 0;
        world.eventually("others are", sent).await;
        world.stop().await;
    }
    assert_eq!(world.rcpt(id, A).await.state, HELD);
    world.start();
    assert_eq!(world.order(Action::Release).await, applied(1, 0, 0));
    let delivered = |world: &World| world.count(StateName::Delivered) == 3;
    world.eventually("delivered", delivered).await;
    world.stop().await;
}

/// What a mode held is the operator's once the operator held it, or it would be released by a start.
#[tokio::test]
async fn a_start_in_mode_deliver_leaves_alone_what_the_operator_holds() {
    let mut world = World::new();
    world.config.mode = Mode::Hold;
    let held = world.accept("s@src.test", &["a@one.test"]).await;
    world.order(Action::Hold).await;
    let purged = world.accept("s@src.test", &["b@one.test"]).await;
    let found = vec![world.store.entry(purged).await.unwrap().unwrap()];
    world.order_for(Action::Purge, found, None).await;
    world.accept("s@src.test", &["c@one.test"]).await;
    world.config.mode = Mode::Deliver;
    world.start();
    let delivered = |world: &World| world.count(StateName::Delivered) == 1;
    world.eventually("the third is released", delivered).await;
    assert_eq!(world.rcpt(held, A).await.state, HELD);
    // nobody would release it any more
    assert_eq!(world.order(Action::Restore).await, applied(1, 0, 0));
    let delivered = |world: &World| world.count(StateName::Delivered) == 2;
    world.eventually("the restored one leaves", delivered).await;
    world.stop().await;
}

/// W-23.06
#[tokio::test]
async fn what_is_purged_and_restored_is_delivered_unchanged() {
    let mut world = World::new();
    let id = world.accept("s@src.test", &["a@one.test"]).await;
    let before = world.rcpt(id, A).await;
    assert_eq!(world.order(Action::Purge).await, applied(1, 0, 0));
    assert_eq!(world.order(Action::Hold).await, Applied::default());
    world.start();
    world.accept("s@src.test", &["b@one.test"]).await;
    let delivered = |world: &World| world.count(StateName::Delivered) == 1;
    world.eventually("the other is delivered", delivered).await;
    assert!(world.remotes.attempts_at("a@one.test").is_empty());
    assert_eq!(world.order(Action::Restore).await, applied(1, 0, 0));
    let delivered = |world: &World| world.count(StateName::Delivered) == 2;
    world.eventually("delivered", delivered).await;
    assert_eq!(world.rcpt(id, A).await.address, before.address);
    let seen = &world.remotes.attempts_at("a@one.test")[0];
    assert_eq!(
        world.text_of(&seen.message).await,
        "Subject: hello\r\n\r\ntext\r\n"
    );
    world.stop().await;
}

/// Orders that put a recipient in line again while its attempt runs.
#[tokio::test]
async fn nobody_is_attempted_twice_at_one_time_whatever_is_ordered_meanwhile() {
    use Action::{Hold, Purge, Release, Restore, Retry};
    for orders in [
        &[Retry][..],
        &[Hold, Release],
        &[Purge, Restore],
        &[Retry, Retry, Hold, Release, Purge, Restore, Retry],
    ] {
        let (mut world, id, gate) = with_an_attempt_under_way(&[Says::Yes]).await;
        for order in orders {
            world.ahead.fetch_add(3, Ordering::Relaxed); // another due time
            assert_eq!(world.order(*order).await.in_flight, 1, "{orders:?}");
        }
        // its line goes on, and has met it by then
        for n in 0..3 {
            world.accept("s@src.test", &["b@one.test"]).await;
            let delivered = |world: &World| world.count(StateName::Delivered) == n + 1;
            world.eventually("others are delivered", delivered).await;
        }
        assert_eq!(
            world.remotes.attempts_at("a@one.test").len(),
            1,
            "{orders:?}"
        );
        gate.add_permits(9);
        let delivered = |world: &World| world.count(StateName::Delivered) == 4;
        world.eventually("delivered", delivered).await;
        world.nothing_in_flight().await;
        world.stop().await;
        assert_eq!(
            world.remotes.attempts_at("a@one.test").len(),
            1,
            "{orders:?}"
        );
        assert_eq!(world.rcpt(id, A).await.attempts, 1);
    }
}

/// Whoever has it may leave it as it was: an attempt that is put off, the sweeper, a bounce that came
/// too late.
#[tokio::test]
async fn what_is_in_other_hands_does_not_stall_its_line_and_goes_when_it_is_free() {
    let mut world = World::new();
    let id = world.accept("s@src.test", &["a@one.test"]).await;
    let queue = world.queue();
    let custody = queue.operator().custody();
    let in_hand = custody.alone(id).expect("free");
    world.run(queue);
    for n in 1..=3 {
        world.accept("s@src.test", &["b@one.test"]).await;
        let delivered = |world: &World| world.count(StateName::Delivered) == n;
        world.eventually("the line goes on", delivered).await;
    }
    assert!(world.remotes.attempts_at("a@one.test").is_empty());
    drop(in_hand);
    let delivered = |world: &World| world.count(StateName::Delivered) == 4;
    world.eventually("all are delivered", delivered).await;
    assert_eq!(world.remotes.attempts_at("a@one.test").len(), 1);
    world.stop().await;
}

/// W-23.06: whatever the attempt gives, in every state that the operator can leave.
#[tokio::test]
async fn an_attempt_and_the_order_that_came_meanwhile_decide_together() {
    use StateName::{Deferred, Delivered, Failed, Held, Purged};
    for (says, action, want, reports) in [
        (Says::Yes, Action::Purge, Delivered, 0),
        (Says::Yes, Action::Hold, Delivered, 0),
        (Says::Yes, Action::Retry, Delivered, 0),
        (Says::Yes, Action::Bounce, Delivered, 0),
        (Says::No, Action::Purge, Purged, 0),
        (Says::No, Action::Hold, Failed, 1),
        (Says::No, Action::Retry, Failed, 1),
        (Says::No, Action::Bounce, Failed, 1),
        (Says::Later, Action::Purge, Purged, 0),
        (Says::Later, Action::Hold, Held, 0),
        (Says::Later, Action::Retry, Deferred, 0),
        (Says::Later, Action::Bounce, Failed, 1),
        (Says::Panics, Action::Purge, Purged, 0),
    ] {
        let what = format!("{says:?} {action:?}");
        let (mut world, id, gate) = with_an_attempt_under_way(&[says]).await;
        world.ahead.fetch_add(3, Ordering::Relaxed);
        assert_eq!(world.order(action).await, applied(1, 1, 0), "{what}");
        gate.add_permits(9);
        world.nothing_in_flight().await;
        let told = |world: &World| world.remotes.attempts_at("s@src.test").len() == reports;
        world.eventually(&what, told).await;
        let rcpt = world.rcpt(id, A).await;
        assert_eq!(rcpt.state.name(), want, "{what}: {rcpt:?}");
        assert_eq!(rcpt.attempts, 1, "{what}");
        assert!(
            rcpt.last_answer.is_some() && rcpt.last_attempt.is_some(),
            "{what}"
        );
        world.stop().await;
        assert_eq!(world.remotes.attempts_at("a@one.test").len(), 1, "{what}");
    }
}

#[tokio::test]
async fn what_is_purged_while_its_attempt_is_broken_off_is_never_attempted_again() {
    let (mut world, id, _gate) = with_an_attempt_under_way(&[Says::Yes]).await;
    world.order(Action::Purge).await;
    world.stop().await;
    world.start();
    world.accept("s@src.test", &["b@one.test"]).await;
    let delivered = |world: &World| world.count(StateName::Delivered) == 1;
    world.eventually("the other is delivered", delivered).await;
    assert_eq!(world.remotes.attempts_at("a@one.test").len(), 1);
    let RecipientState::Purged { was, .. } = world.rcpt(id, A).await.state else {
        panic!("{:?}", world.rcpt(id, A).await);
    };
    assert!(matches!(was, Waiting::Queued { .. }));
    world.stop().await;
}

/// That of a run to be made again, or a new one.
#[expect(
    clippy::disallowed_methods,
    reason = "a seed is for whoever runs the test"
)]
fn seed() -> u64 {
    let given = std::env::var("TEST_SEED").ok();
    given.map_or_else(rand::random, |seed| seed.parse().expect("a number"))
}

/// Random orders into running attempts: each recipient is taken once, and never asked about twice at one
/// time (see `Remotes::deliver`).
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn whatever_is_ordered_everybody_is_delivered_once() {
    let seed = seed();
    let mut rng = rand::rngs::StdRng::seed_from_u64(seed);
    let mut world = World::new();
    world.config.queue.retry_base = Duration::from_millis(20);
    world.config.queue.retry_cap = Duration::from_millis(20);
    world.remotes = Arc::new(Remotes {
        slowness: Duration::from_millis(3),
        ..Remotes::default()
    });
    world.start();
    let mut sent = HashSet::new();
    for n in 0..20 {
        let to: Vec<String> = (0..3).map(|d| format!("a{n}@d{d}.test")).collect();
        for address in &to {
            world
                .remotes
                .script(address, &[Says::Later, Says::Later, Says::Yes]);
        }
        let id = world
            .accept("", &to.iter().map(String::as_str).collect::<Vec<_>>())
            .await;
        sent.extend(to.into_iter().map(|to| (id, to)));
        for _ in 0..6 {
            let mut found = world.all().await;
            found.retain(|_| rng.random_bool(0.5));
            let orders = [
                Action::Retry,
                Action::Hold,
                Action::Release,
                Action::Purge,
                Action::Restore,
            ];
            let action = orders[rng.random_range(0..orders.len())];
            world.order_for(action, found, None).await;
        }
    }
    let began = std::time::Instant::now();
    let all = sent.len() as u64;
    while world.count(StateName::Delivered) < all {
        assert!(
            began.elapsed() < DEADLINE,
            "seed {seed}: {:?}",
            world.store.counts()
        );
        for action in [Action::Restore, Action::Release, Action::Retry] {
            world.order(action).await;
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    world.stop().await;
    let taken = world.remotes.taken.lock().unwrap().clone();
    assert_eq!(taken.len(), sent.len(), "seed {seed}");
    assert_eq!(
        taken.into_iter().collect::<HashSet<_>>(),
        sent,
        "seed {seed}"
    );
}

/// A report tells of what was done and of nothing else.
#[tokio::test]
async fn of_two_that_are_refused_together_the_purged_one_is_not_in_the_report() {
    let mut world = World::new();
    for to in ["a@one.test", "b@one.test"] {
        world.remotes.script(to, &[Says::No]);
    }
    let gate = world.remotes.gate("b@one.test");
    world.start();
    let id = world
        .accept("s@src.test", &["a@one.test", "b@one.test"])
        .await;
    world.attempted("b@one.test", 1).await;
    let mut found = world.store.entry(id).await.unwrap().unwrap();
    found.recipients.truncate(1);
    assert_eq!(
        world.order_for(Action::Purge, vec![found], None).await,
        applied(1, 1, 0)
    );
    gate.add_permits(1);
    let told = |world: &World| world.count(StateName::Delivered) == 1;
    world.eventually("one report", told).await;
    let report = &world.remotes.attempts_at("s@src.test")[0].message;
    let text = world.text_of(report).await;
    assert!(
        text.contains("b@one.test") && !text.contains("a@one.test"),
        "{text}"
    );
    assert_eq!(world.count(StateName::Purged), 1);
    assert_eq!(world.count(StateName::Failed), 1);
    world.stop().await;
}

/// W-23.05, W-22.03
#[tokio::test]
async fn what_is_bounced_is_reported_to_its_sender_once_with_the_last_reply() {
    let (mut world, _, gate) = with_an_attempt_under_way(&[Says::Later]).await;
    gate.add_permits(1);
    world.nothing_in_flight().await;
    world.order(Action::Hold).await;
    world.accept("", &["a@one.test"]).await;
    world.attempted("a@one.test", 2).await;
    gate.add_permits(1);
    world.nothing_in_flight().await;
    let found = world.all().await;
    assert_eq!(world.order(Action::Bounce).await, applied(2, 0, 0));
    let again = world.order_for(Action::Bounce, found, None).await;
    assert_eq!(again, applied(2, 0, 0), "as if its answer had been lost");
    let told = |world: &World| world.count(StateName::Delivered) == 1;
    world.eventually("one report", told).await;
    let report = &world.remotes.attempts_at("s@src.test")[0].message;
    let text = world.text_of(report).await;
    for words in [
        "Action: failed",
        "Status: 5.0.0",
        "given up by the operator of this relay; last attempt: 451 4.2.0 later",
    ] {
        assert!(
            text.replace("\r\n ", " ").contains(words),
            "{words}: {text}"
        );
    }
    assert_eq!(world.count(StateName::Failed), 2);
    assert_eq!(world.remotes.attempts_at("a@one.test").len(), 2);
    world.stop().await;
}

#[tokio::test]
async fn what_somebody_else_changed_is_left_alone_and_said() {
    let world = World::new();
    world
        .accept("s@src.test", &["a@one.test", "b@two.test"])
        .await;
    let stale = world.all().await;
    let mut one = world.all().await;
    one[0].recipients.truncate(1);
    world.order_for(Action::Hold, one, None).await;
    let got = world.order_for(Action::Purge, stale, None).await;
    assert_eq!(got, applied(1, 0, 1));
    let stale = world.all().await;
    world.order(Action::Retry).await;
    world.order(Action::Restore).await;
    let got = world.order_for(Action::Bounce, stale, None).await;
    assert_eq!(got, applied(1, 0, 0), "the one that is held as before");
}

/// W-20.02: what the operator holds does not expire, nor is it told of as late.
#[tokio::test]
async fn what_is_held_or_purged_does_not_expire() {
    let world = World::new();
    let mut sweeper = world.queue().sweeper;
    world.accept("s@src.test", &["a@one.test"]).await;
    world.order(Action::Hold).await;
    world.accept("s@src.test", &["b@one.test"]).await;
    let found = world.all().await.split_off(1);
    world.order_for(Action::Purge, found, None).await;
    world.ahead.store(7 * 24 * 3_600_000, Ordering::Relaxed);
    sweeper.sweep(&CancellationToken::new()).await;
    assert_eq!(world.count(StateName::Held), 1);
    assert_eq!(world.count(StateName::Expired), 0);
}

#[tokio::test]
async fn a_destination_that_the_operator_suspends_is_left_alone_over_a_restart_until_it_is_resumed()
{
    let mut world = World::new();
    world.start();
    let one = Destination::from_stored("one.test");
    let operator = world.operator();
    operator
        .suspend(&one, None, "their disk is full", "ann")
        .await
        .unwrap();
    for _ in 0..2 {
        world.accept("s@src.test", &["a@one.test"]).await;
        world.accept("s@src.test", &["a@two.test"]).await;
        let sent = |world: &World| world.count(StateName::Delivered) >= 1;
        world.eventually("others are delivered", sent).await;
        world.stop().await;
        world.start();
    }
    assert!(world.remotes.attempts_at("a@one.test").is_empty());
    let suspension = world
        .store
        .suspension(&one)
        .await
        .unwrap()
        .expect("it is there");
    assert!(suspension.is_ordered() && suspension.until.is_none());
    assert_eq!(world.operator().resume(&one).await, Ok(true));
    let delivered = |world: &World| world.count(StateName::Delivered) == 4;
    world.eventually("all are delivered", delivered).await;
    assert_eq!(world.operator().resume(&one).await, Ok(false));
    world.stop().await;
}

#[tokio::test]
async fn a_suspension_by_the_operator_ends_at_its_time_and_is_forgotten() {
    let mut world = World::new();
    world.start();
    let one = Destination::from_stored("one.test");
    let until = wall_clock().after(Duration::from_millis(300));
    let operator = world.operator();
    operator
        .suspend(&one, Some(until), "", "ann")
        .await
        .unwrap();
    world.accept("s@src.test", &["a@one.test"]).await;
    let delivered = |world: &World| world.count(StateName::Delivered) == 1;
    world.eventually("delivered", delivered).await;
    assert!(world.remotes.attempts_at("a@one.test")[0].at >= until);
    while world.store.suspension(&one).await.unwrap().is_some() {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    world.stop().await;
}

#[tokio::test]
async fn operators_suspend_so_many_destinations_and_no_more() {
    let world = World::new();
    let suspended = |n: usize| {
        let suspension = samples::ordered_until(None);
        let name = format!("d{n}.test");
        (Destination::from_stored(&name), Some(suspension))
    };
    let most = crate::mail::limits::DESTINATIONS_ORDERED_MAX;
    let kept = (0..most).map(suspended).collect();
    world.store.keep_suspensions(kept).await.unwrap();
    let operator = world.operator();
    let more = Destination::from_stored("more.test");
    let refused = operator.suspend(&more, None, "", "ann").await;
    assert_eq!(refused, Err(SuspendError::TooMany));
    let again = Destination::from_stored("d7.test");
    assert!(operator.suspend(&again, None, "", "ann").await.is_ok());
}
