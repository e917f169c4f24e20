//! Who is attempted when: rates, suspensions, and mail for a destination that has none.

use std::time::{Duration, Instant};

use crate::support::{Gate, Phase, World, mail, reply};

#[tokio::test]
async fn a_destination_gets_no_more_messages_than_its_rate_and_others_are_not_slowed() {
    // W-19.06
    let world = World::setup()
        .set("SMTP_DESTINATION_RATE", "dest.test=10/s,*.free.test=1/1h")
        .await;
    let dest = world.remote("dest.test").await;
    let other = world.remote("free.test").await;
    let mut client = world.client().session().await;
    let began = Instant::now();
    for _ in 0..25 {
        client.send(mail().to("ann@dest.test")).await.accepted();
    }
    for _ in 0..25 {
        client.send(mail().to("ann@free.test")).await.accepted();
    }
    let last_of_other = other.transactions_seen(25).await[24].at;
    let seen = dest.transactions_seen(25).await;
    dest.received_exactly(25).await;
    for (nth, transaction) in seen.iter().enumerate().skip(10) {
        let earliest = Duration::from_millis(100) * u32::try_from(nth - 9).expect("few");
        let at = transaction.at.saturating_duration_since(began);
        assert!(at >= earliest, "message {nth} came after {at:?}");
    }
    assert!(last_of_other < seen[24].at);
}

#[tokio::test]
async fn a_rate_counts_each_hundred_recipients_of_a_message() {
    // W-19.06
    let world = World::setup().set("SMTP_DESTINATION_RATE", "*=4/s").await;
    let dest = world.remote("dest.test").await;
    let mut client = world.client().session().await;
    let began = Instant::now();
    let to = (0..550).map(|n| format!("r{n}@dest.test"));
    client.send(mail().recipients(to)).await.accepted();
    client.send(mail().to("ann@dest.test")).await.accepted();
    let to_ann = dest.message_that(|message| message.to() == ["ann@dest.test"]);
    let at = to_ann.await.transaction.at;
    // six and one, of which four are free
    assert!(at.saturating_duration_since(began) >= Duration::from_millis(750));
}

#[tokio::test]
async fn a_destination_that_keeps_failing_is_suspended_and_probed_with_one_message() {
    let world = World::setup()
        .set("SMTP_RETRY_BASE", "2s")
        .set("SMTP_RETRY_CAP", "4s")
        .await;
    let dest = world.remote("dest.test").await;
    dest.goes_down();
    let mut client = world.client().session().await;
    for _ in 0..10 {
        client.send(mail().to("ann@dest.test")).await.accepted();
    }
    let suspended = world.log().tells("suspended").await;
    let told = ["destination", "times", "dsn", "reason"].map(|name| suspended.field(name));
    let want = ["dest.test", "1", "4.4.1", "connect"].map(|value| Some(value.to_owned()));
    assert_eq!(told, want);
    let deferred = world.log().tells_times("deferred", 3).await;
    assert_eq!(deferred.len(), 3, "the others were not attempted");

    let gate = Gate::new();
    let behind = || reply("250 2.0.0 taken").behind(&gate);
    dest.answers(Phase::Dot, [behind()]);
    dest.comes_back().await;
    world.relay().kill_and_restart().await; // it is remembered
    gate.reached().await;
    world.takes_and_delivers_a_mail().await;
    let tried = (dest.connections().len(), dest.transactions_so_far());
    assert_eq!(tried, (1, 1), "one message, and no more before it is taken");
    world.log().never_told("opened");
    gate.open();
    let opened = world.log().tells("opened").await;
    assert_eq!(opened.field("destination").as_deref(), Some("dest.test"));
    dest.received_exactly(10).await;
}

#[tokio::test]
async fn refused_recipients_suspend_nobody() {
    let world = World::setup()
        .set("SMTP_RETRY_BASE", "1h")
        .set("SMTP_RETRY_CAP", "1h")
        .await;
    let later = "451 4.7.1 greylisted";
    let dest = world.remote("dest.test").rcpt([later]).await;
    let grey = world.remote("grey.test").mail([later]).await;
    let mut client = world.client().session().await;
    for _ in 0..5 {
        client.send(mail().to("ann@dest.test")).await.accepted();
        client.send(mail().to("ann@grey.test")).await.accepted();
    }
    world.log().tells_times("deferred", 10).await;
    world.log().never_told("suspended");
    dest.receives_nothing();
    grey.receives_nothing();
}

/// With a tick, some retry would come between a message and its arrival: the retries of another
/// destination are the clock.
#[tokio::test]
async fn mail_for_an_idle_destination_leaves_at_once_and_not_at_a_tick() {
    let world = World::setup()
        .set("SMTP_RETRY_BASE", "200ms")
        .set("SMTP_RETRY_CAP", "200ms")
        .await;
    let clock = world.remote("clock.test").rcpt(["451 4.2.0 later"]).await;
    let dest = world.remote("dest.test").await;
    let mut client = world.client().session().await;
    client.send(mail().to("ann@clock.test")).await.accepted();
    clock.saw("RCPT").await;
    let retries = || {
        let commands = clock.commands();
        commands
            .iter()
            .filter(|line| line.starts_with("RCPT"))
            .count()
    };
    let mut ticks = 0;
    for nth in 0..20 {
        let domain = format!("idle{}.test", nth / 2); // new, and once again
        world.dns().mx(&domain, 10, dest.name());
        let before = retries();
        client
            .send(mail().to(&format!("ann@{domain}")))
            .await
            .accepted();
        dest.message().await;
        ticks += retries() - before;
    }
    assert!(
        ticks < 20,
        "{ticks} retries while 20 messages went one by one"
    );
}
