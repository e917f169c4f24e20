//! What becomes of mail that waits when routes change while the queue runs.

use super::*;

const MESSAGES: u64 = 60;

fn relay() -> Destination {
    Destination::of_route("smtp://relay.test:25")
}

#[tokio::test]
async fn mail_that_waits_goes_out_of_its_new_line_and_once() {
    let mut world = World::new();
    world.config.queue.retry_base = Duration::from_millis(500);
    world.start();
    for n in 0..MESSAGES {
        let to = format!("a{n}@one.test");
        world.remotes.script(&to, &[Says::Later, Says::Yes]);
        world.accept("s@src.test", &[&to]).await;
    }
    let all_deferred = |world: &World| world.count(StateName::Deferred) == MESSAGES;
    world.eventually("all wait", all_deferred).await;
    let before = world.remotes.seen.lock().unwrap().len();
    let to_relay = Arc::new(|_: &AddressDomain| relay());
    world.store.reroute(to_relay, "relay".into()).await.unwrap();
    let all_moved = |world: &World| !world.store.is_rerouting();
    world
        .eventually("all stand in the new line", all_moved)
        .await;
    let all_delivered = |world: &World| world.count(StateName::Delivered) == MESSAGES;
    world.eventually("all delivered", all_delivered).await;
    let seen = world.remotes.seen.lock().unwrap().split_off(before);
    assert!(seen.iter().all(|seen| seen.destination == relay()));
    let attempts: usize = seen.iter().map(|seen| seen.to.len()).sum();
    assert_eq!(attempts as u64, MESSAGES);
    world.stop().await;
}

#[tokio::test]
async fn an_attempt_under_way_keeps_its_recipient_from_the_new_line() {
    let mut world = World::new();
    let gate = world.remotes.gate("a@one.test");
    world.start();
    world.accept("s@src.test", &["a@one.test"]).await;
    let asked = |world: &World| !world.remotes.asked.lock().unwrap().is_empty();
    world.eventually("the attempt is under way", asked).await;
    let to_relay = Arc::new(|_: &AddressDomain| relay());
    world.store.reroute(to_relay, "relay".into()).await.unwrap();
    let all_moved = |world: &World| !world.store.is_rerouting();
    world
        .eventually("it stands in the new line", all_moved)
        .await;
    // Mail behind it in the new line goes on.
    world.accept("s@src.test", &["b@two.test"]).await;
    let one = |world: &World| world.count(StateName::Delivered) == 1;
    world.eventually("the other one is delivered", one).await;
    gate.add_permits(9);
    let both = |world: &World| world.count(StateName::Delivered) == 2;
    world.eventually("both are delivered", both).await;
    assert_eq!(world.remotes.attempts_at("a@one.test").len(), 1);
    world.stop().await;
}
