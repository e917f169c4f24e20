//! One destination is never felt by another, however much waits for it.

use std::time::{Duration, Instant};

use crate::support::{Client, Remote, World, hang, mail};

/// From a client's 250 until the remote host has the message. The one span that a test of ours
/// asserts, since it is what was promised.
const AT_ONCE: Duration = Duration::from_secs(2);

const DEAD_MESSAGES: usize = 10;

#[tokio::test]
async fn mail_for_a_live_host_goes_at_once_while_ten_thousand_wait_for_a_dead_one() {
    // W-19.07, W-20.04
    let world = World::setup()
        .set("SMTP_REPLY_TIMEOUT", "3s") // so that what hangs also ends, all of it at one time
        .await;
    let dead = world.remote("dead.test").greeting([hang()]).await;
    let live = world.remote("live.test").await;
    let mut client = world.client().session().await;
    send_dead_mail(&mut client, 1_000).await;
    dead.was_called(DEAD_MESSAGES).await;

    let mut took = Vec::new();
    // until the dead ones have been given up and hang again
    while took.len() < 20 || dead.connections().len() < 2 * DEAD_MESSAGES {
        took.push(one_live_mail(&mut client, &live).await);
    }
    all_at_once(&took);
    dead.receives_nothing();
}

#[tokio::test]
async fn mail_for_a_live_host_goes_at_once_although_a_dead_one_could_use_every_slot() {
    // W-20.04
    let world = World::setup()
        .set("SMTP_QUEUE_WORKERS", "1")
        .set("SMTP_WORKER_CONCURRENCY", "8")
        .set("SMTP_REPLY_TIMEOUT", "1m")
        .set("SMTP_ATTEMPT_TIMEOUT", "1m")
        .await;
    let dead = world.remote("dead.test").greeting([hang()]).await;
    let live = world.remote("live.test").await;
    let mut client = world.client().session().await;
    send_dead_mail(&mut client, 1).await;
    dead.was_called(6).await; // three quarters of the slots

    let mut took = Vec::new();
    for _ in 0..10 {
        took.push(one_live_mail(&mut client, &live).await);
    }
    all_at_once(&took);
    dead.receives_nothing();
}

async fn send_dead_mail(client: &mut Client, recipients_each: usize) {
    for message in 0..DEAD_MESSAGES {
        let to = (0..recipients_each).map(|number| format!("r{number}.{message}@dead.test"));
        client.send(mail().recipients(to)).await.accepted();
    }
}

/// How long a mail for the live host takes from its 250 until the host has it.
async fn one_live_mail(client: &mut Client, live: &Remote) -> Duration {
    client.send(mail().to("ann@live.test")).await.accepted();
    let accepted = Instant::now();
    let arrived = live.message().await.transaction.at;
    arrived.saturating_duration_since(accepted)
}

fn all_at_once(took: &[Duration]) {
    let slowest = took.iter().max().expect("some were sent");
    println!("{} live mails, the slowest took {slowest:?}", took.len());
    assert!(*slowest < AT_ONCE, "{took:?}");
}
