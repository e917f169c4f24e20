//! Destinations that keep failing: their mail waits without being attempted one by one, over
//! restarts, until one message is taken, somebody lifts the suspension, or its lifetime ends.

use super::*;
use crate::store::{Suspension, SuspensionCause};

/// Longer than any test.
const LONG: Duration = Duration::from_secs(600);

fn dead() -> Destination {
    Destination::from_stored("dead.test")
}

fn times(suspension: &Suspension) -> u32 {
    match &suspension.cause {
        SuspensionCause::Trouble { times, answer } => {
            assert_eq!(*answer, samples::trouble());
            *times
        }
        SuspensionCause::Order { .. } => panic!("nobody ordered that"),
    }
}

/// A world in which `dead.test` has just been suspended by three of five messages.
async fn with_a_suspended_destination() -> World {
    let mut world = World::new();
    world.config.queue.retry_base = LONG;
    world.config.queue.retry_cap = LONG;
    for n in 0..5 {
        let to = format!("a{n}@dead.test");
        world.remotes.script(&to, &[Says::Unreached]);
        world.accept("s@src.test", &[&to]).await;
    }
    world.start();
    let suspended = |world: &World| world.count(StateName::Deferred) == 3;
    world.eventually("three attempts", suspended).await;
    world.remembers(|suspension| suspension.is_some()).await;
    world
}

impl World {
    async fn remembers(&self, what: impl Fn(&Option<Suspension>) -> bool) -> Option<Suspension> {
        let began = std::time::Instant::now();
        loop {
            let suspension = self.store.suspension(&dead()).await.unwrap();
            if what(&suspension) {
                return suspension;
            }
            assert!(began.elapsed() < DEADLINE, "{suspension:?}");
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    }

    fn attempts(&self) -> usize {
        let seen = self.remotes.seen.lock().unwrap();
        let dead = |seen: &&Seen| seen.to[0].ends_with("@dead.test");
        seen.iter().filter(dead).count()
    }

    fn answers_from_now_on(&self) {
        for n in 0..5 {
            self.remotes
                .script(&format!("a{n}@dead.test"), &[Says::Yes]);
        }
    }

    fn goes_forward(&self, span: Duration) {
        let millis = u64::try_from(span.as_millis()).unwrap();
        self.ahead.fetch_add(millis, Ordering::Relaxed);
    }
}

#[tokio::test]
async fn mail_behind_a_suspension_is_not_attempted_and_others_are() {
    let mut world = with_a_suspended_destination().await;
    world.accept("s@src.test", &["a4@dead.test"]).await;
    world.accept("s@src.test", &["b@live.test"]).await;
    let delivered = |world: &World| world.count(StateName::Delivered) == 1;
    world
        .eventually("the live one has its mail", delivered)
        .await;
    assert_eq!((world.attempts(), world.count(StateName::Queued)), (3, 3));
    let all = world.store.suspensions().await.unwrap();
    let [(destination, suspension)] = &all[..] else {
        panic!("{all:?}");
    };
    assert_eq!((destination, times(suspension)), (&dead(), 1));
    let until = suspension.until.expect("it has an end");
    assert!(until.since(suspension.since) >= LONG);
    world.stop().await;
}

#[tokio::test]
async fn a_suspension_survives_a_restart_and_ends_with_one_message_that_is_taken() {
    let mut world = with_a_suspended_destination().await;
    world.stop().await;
    world.start();
    world.accept("s@src.test", &["b@live.test"]).await;
    let delivered = |world: &World| world.count(StateName::Delivered) == 1;
    world
        .eventually("the live one has its mail", delivered)
        .await;
    assert_eq!(world.attempts(), 3);

    // the probe fails, and the next suspension is the second
    world.stop().await;
    world.goes_forward(LONG * 2);
    world.start();
    let second = |suspension: &Option<Suspension>| matches!(suspension, Some(s) if times(s) == 2);
    world.remembers(second).await;
    assert_eq!(world.attempts(), 4);

    world.stop().await;
    world.answers_from_now_on();
    world.goes_forward(LONG * 2);
    world.start();
    let delivered = |world: &World| world.count(StateName::Delivered) == 6;
    world.eventually("all are delivered", delivered).await;
    assert_eq!(world.remembers(Option::is_none).await, None);
    world.stop().await;
}

#[tokio::test]
async fn a_suspension_can_be_lifted_and_its_mail_leaves_at_once() {
    let mut world = with_a_suspended_destination().await;
    world.answers_from_now_on();
    assert_eq!(world.store.resume(&dead()).await, Ok(true));
    // of the five, two were never attempted; three wait for their own time
    let delivered = |world: &World| world.count(StateName::Delivered) == 2;
    world
        .eventually("those that are due leave", delivered)
        .await;
    assert_eq!(world.count(StateName::Deferred), 3);
    assert_eq!(world.remembers(Option::is_none).await, None);
    assert_eq!(world.store.resume(&dead()).await, Ok(false));
    world.stop().await;
}

#[tokio::test]
async fn mail_that_waits_behind_a_suspension_expires_with_the_trouble_of_its_destination() {
    // W-20.02
    let mut world = with_a_suspended_destination().await;
    world.stop().await;
    let mut sweeper = world.queue().sweeper;
    world.goes_forward(Duration::from_secs(6 * 86_400));
    sweeper.sweep(&CancellationToken::new()).await;
    assert_eq!(world.count(StateName::Expired), 5);
    world.start();
    let told = |world: &World| world.remotes.attempts_at("s@src.test").len() == 5;
    world.eventually("five reports", told).await;
    let mut not_attempted = 0;
    for report in world.remotes.attempts_at("s@src.test") {
        let text = world.text_of(&report.message).await;
        assert!(
            text.contains("4.4.7") && text.contains("connection refused"),
            "{text}"
        );
        not_attempted += usize::from(text.contains("no attempt was made"));
    }
    assert_eq!(not_attempted, 2);
    world.stop().await;
}
