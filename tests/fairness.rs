//! One destination is never felt by another, however much waits for it, and however many such there
//! are.

use std::time::{Duration, Instant};

use crate::support::{Client, Gate, Phase, Remote, World, hang, mail, reply};

/// From a client's 250 until the remote host has the message. The one span that a test of ours
/// asserts, since it is what was promised: 1 s, and as much again for a machine that runs a hundred
/// tests at once.
const AT_ONCE: Duration = Duration::from_secs(2);

#[tokio::test]
async fn mail_for_a_live_host_goes_at_once_beside_a_dead_one_with_100_000_due_and_a_slow_one() {
    // W-19.07, W-20.04
    let world = World::setup()
        .set("SMTP_MODE", "hold")
        .set("SMTP_REPLY_TIMEOUT", "3s") // so that what hangs also ends, and hangs again
        .set("SMTP_RETRY_BASE", "1h")
        .set("SMTP_RETRY_CAP", "1h")
        .await;
    let dead = world.remote("dead.test").greeting([hang()]).await;
    let slowly = || reply("250 2.1.5 ok").after(Duration::from_millis(300));
    let slow = world.remote("slow.test").rcpt([slowly()]).await;
    let live = world.remote("live.test").await;
    let mut client = world.client().session().await;
    for number in 0..100 {
        let to = (0..1_000).map(|n| format!("r{n}.{number}@dead.test"));
        client.send(mail().recipients(to)).await.accepted();
    }
    for number in 0..100 {
        let to = (0..10).map(|n| format!("r{n}.{number}@slow.test"));
        client.send(mail().recipients(to)).await.accepted();
    }
    client.close();
    world.relay().set("SMTP_MODE", "deliver");
    world.relay().restart().await; // every one of them is due
    dead.was_called(1).await;

    let mut client = world.client().session().await;
    let mut took = Vec::new();
    while took.len() < 20 || dead.connections().len() < 2 {
        took.push(one_live_mail(&mut client, &live, "live.test").await);
    }
    all_at_once(&took);
    slow.transactions_seen(1).await;
    dead.receives_nothing();
}

#[tokio::test]
async fn mail_for_live_hosts_goes_at_once_while_two_thousand_dead_ones_hang() {
    // W-19.07, W-20.04
    let world = World::setup()
        .set("SMTP_QUEUE_WORKERS", "2")
        .set("SMTP_WORKER_CONCURRENCY", "64")
        .set("SMTP_REPLY_TIMEOUT", "5m")
        .set("SMTP_ATTEMPT_TIMEOUT", "5m")
        .set("SMTP_SHUTDOWN_GRACE", "0s")
        .await;
    let dead = world.remote("dead.test").greeting([hang()]).await;
    let live = world.remote("live.test").await;
    for number in 0..2_000 {
        world.dns().mx(&format!("d{number}.test"), 10, dead.name());
    }
    let mut client = world.client().session().await;
    one_live_mail(&mut client, &live, "live.test").await;
    for half in 0..2 {
        let to = (0..1_000).map(|n| format!("r@d{}.test", 1_000 * half + n));
        client.send(mail().recipients(to)).await.accepted();
    }
    dead.was_called(64).await; // half of the slots; the other half is for those who answer

    let (mut known, mut new) = (Vec::new(), Vec::new());
    // until every dead one has been tried and many hang again
    while known.len() < 20 || dead.connections().len() < 2_200 {
        known.push(one_live_mail(&mut client, &live, "live.test").await);
        let domain = format!("new{}.test", new.len());
        world.dns().mx(&domain, 10, live.name());
        new.push(one_live_mail(&mut client, &live, &domain).await);
    }
    all_at_once(&known);
    all_at_once(&new);
    dead.receives_nothing();
    world.log().never_told("deferred"); // to be put off is no attempt
}

#[tokio::test]
async fn mail_for_a_live_host_goes_at_once_although_slow_ones_could_use_every_slot() {
    // W-20.04
    let world = World::setup()
        .set("SMTP_QUEUE_WORKERS", "1")
        .set("SMTP_WORKER_CONCURRENCY", "8")
        .set("SMTP_DATA_REPLY_TIMEOUT", "1m")
        .set("SMTP_ATTEMPT_TIMEOUT", "1m")
        .await;
    let slow = world.remote("slow.test").await;
    let live = world.remote("live.test").await;
    let mut client = world.client().session().await;
    one_live_mail(&mut client, &slow, "slow.test").await;
    let never = Gate::new();
    slow.answers(Phase::Dot, [reply("250 2.0.0 ok").behind(&never)]);
    for _ in 0..10 {
        let to = mail().to("ann@slow.test");
        client.send(to).await.accepted();
    }
    never.reached_by(6).await; // three quarters of the slots

    let mut took = Vec::new();
    for _ in 0..10 {
        took.push(one_live_mail(&mut client, &live, "live.test").await);
    }
    all_at_once(&took);
    slow.received_exactly(1).await;
}

/// How long a mail for the live host takes from its 250 until the host has it.
async fn one_live_mail(client: &mut Client, live: &Remote, domain: &str) -> Duration {
    let to = format!("ann@{domain}");
    client.send(mail().to(&to)).await.accepted();
    let accepted = Instant::now();
    let arrived = live.message().await.transaction.at;
    arrived.saturating_duration_since(accepted)
}

fn all_at_once(took: &[Duration]) {
    let slowest = took.iter().max().expect("some were sent");
    println!("{} live mails, the slowest took {slowest:?}", took.len());
    assert!(*slowest < AT_ONCE, "{took:?}");
}
