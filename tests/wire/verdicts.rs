//! What becomes of recipients: when they are tried again, when no more, and what outlives a restart.

use std::time::{Duration, Instant};

use crate::support::{Remote, World, hang, mail};

/// A slow machine may come late. Still far below what the tests must tell apart.
const LATE: Duration = Duration::from_millis(900);

#[tokio::test]
async fn retries_come_when_the_backoff_says() {
    // W-20.01
    let world = World::setup()
        .set("SMTP_RETRY_BASE", "200ms")
        .set("SMTP_RETRY_CAP", "400ms")
        .await;
    let later = "451 4.2.0 later";
    let mx = world
        .remote("dest.test")
        .rcpt([later, later, later, later, "250 2.1.5 ok"])
        .await;
    let id = world
        .client()
        .send(mail().to("bob@dest.test"))
        .await
        .accepted();
    world
        .history(&id)
        .is_exactly([
            "deferred 4.2.0",
            "deferred 4.2.0",
            "deferred 4.2.0",
            "deferred 4.2.0",
            "delivered",
        ])
        .await;
    // Without its cap the last delay would be 1.6 s, and without doubling all would be 0.2 s.
    check_delays(&mx, [200, 400, 400, 400]);
    mx.received_exactly(1).await;
}

#[tokio::test]
async fn a_permanent_refusal_is_never_tried_again() {
    // W-20.02
    let world = World::setup()
        .set("SMTP_RETRY_BASE", "200ms")
        .set("SMTP_RETRY_CAP", "200ms")
        .await;
    let mx = world
        .remote("dest.test")
        .rcpt_for("no@dest.test", ["550 5.1.1 no", "250 2.1.5 ok"])
        .rcpt_for(
            "later@dest.test",
            ["451 4.2.0 later", "451 4.2.0 later", "250 2.1.5 ok"],
        )
        .await;
    world.remote("gp.test").await;
    let sent = mail().recipients(["no@dest.test", "later@dest.test"]);
    let id = world.client().send(sent).await.accepted();
    let history = world.history(&id);
    history.shows_for("later@dest.test", ["deferred"]).await;
    world.relay().kill_and_restart().await;
    history
        .shows_for("later@dest.test", ["deferred", "deferred", "delivered"])
        .await;
    history.shows_for("no@dest.test", ["failed 5.1.1"]).await;
    assert_eq!(rcpts(&mx, "no@dest.test"), 1);
    assert_eq!(rcpts(&mx, "later@dest.test"), 3);
    mx.received_exactly(1).await;
}

#[tokio::test]
async fn a_recipient_whose_lifetime_is_over_is_left_alone() {
    // W-20.02: the report is in reports.rs
    let world = World::setup()
        .set("SMTP_MESSAGE_LIFETIME", "600ms")
        .set("SMTP_RETRY_BASE", "200ms")
        .set("SMTP_RETRY_CAP", "200ms")
        .await;
    world.remote("gp.test").await;
    let mx = world.remote("dest.test").rcpt(["451 4.2.0 later"]).await;
    let sent_at = Instant::now();
    let id = world
        .client()
        .send(mail().to("bob@dest.test"))
        .await
        .accepted();
    let expired = world.history(&id).event("expired", "bob@dest.test").await;
    assert_eq!(expired.field("dsn").as_deref(), Some("4.4.7"));
    let lifetime = Duration::from_millis(600);
    assert!(sent_at.elapsed() + ROUNDING >= lifetime, "expired too soon");
    let attempts = rcpts(&mx, "bob@dest.test");

    // Another one is deferred twice and expires too; meanwhile nobody comes back for the first.
    let id = world
        .client()
        .send(mail().to("eve@dest.test"))
        .await
        .accepted();
    world.history(&id).event("expired", "eve@dest.test").await;
    assert_eq!(rcpts(&mx, "bob@dest.test"), attempts);
    mx.receives_nothing();
}

#[tokio::test]
async fn states_and_next_times_outlive_a_kill_and_a_restart() {
    // W-20.03
    let world = World::setup()
        .set("SMTP_RETRY_BASE", "1h")
        .set("SMTP_RETRY_CAP", "1h")
        .await;
    let mx = world
        .remote("dest.test")
        .rcpt_for("later@dest.test", ["451 4.2.0 later"])
        .await;
    world.remote("no.test").rcpt(["550 5.1.1 no"]).await;
    world.remote("gp.test").await;
    let to = ["bob@dest.test", "later@dest.test", "eve@no.test"];
    let id = world.client().send(mail().recipients(to)).await.accepted();
    let history = world.history(&id);
    history.shows_for("bob@dest.test", ["delivered"]).await;
    history
        .shows_for("later@dest.test", ["deferred 4.2.0"])
        .await;
    history.shows_for("eve@no.test", ["failed 5.1.1"]).await;
    for killed in [true, false] {
        if killed {
            world.relay().kill_and_restart().await;
        } else {
            world.relay().restart().await;
        }
        // What is due in this line goes; the rest waits for its hour.
        let next = mail().to("mallory@dest.test");
        let next = world.client().send(next).await.accepted();
        world.history(&next).is_exactly(["delivered"]).await;
    }
    for (mailbox, times) in [
        ("bob@dest.test", 1),
        ("later@dest.test", 1),
        ("mallory@dest.test", 2),
    ] {
        assert_eq!(rcpts(&mx, mailbox), times, "{mailbox}");
    }
    mx.received_exactly(3).await;
}

#[tokio::test]
async fn a_deferred_recipient_comes_again_at_its_time_across_kills() {
    // W-20.03, W-20.01
    let world = World::setup()
        .set("SMTP_RETRY_BASE", "500ms")
        .set("SMTP_RETRY_CAP", "500ms")
        .await;
    let later = "451 4.2.0 later";
    let mx = world
        .remote("dest.test")
        .rcpt([later, later, "250 2.1.5 ok"])
        .await;
    let id = world
        .client()
        .send(mail().to("bob@dest.test"))
        .await
        .accepted();
    world.history(&id).shows(["deferred"]).await;
    world.relay().kill_and_restart().await;
    world.history(&id).shows(["deferred", "deferred"]).await;
    world.relay().restart().await;
    world
        .history(&id)
        .is_exactly(["deferred", "deferred", "delivered"])
        .await;
    check_delays(&mx, [500, 500]);
    mx.received_exactly(1).await;
}

#[tokio::test]
async fn one_domain_in_trouble_changes_nothing_for_the_others() {
    // W-20.04
    let world = World::setup()
        .set("SMTP_RETRY_BASE", "200ms")
        .set("SMTP_RETRY_CAP", "200ms")
        .set("SMTP_REPLY_TIMEOUT", "1s")
        .await;
    let home = world.remote("gp.test").await;
    let good = world.remote("good.test").await;
    let slow = world
        .remote("slow.test")
        .rcpt(["451 4.2.0 later", "250 2.1.5 ok"])
        .await;
    let mute = world.remote("mute.test").greeting([hang()]).await;
    world.remote("no.test").dot(["554 5.6.0 no"]).await;
    world.dns().mx("dead.test", 10, "mx.dead.test");
    world.dns().address_of("mx.dead.test", world.next_address());
    let to = [
        "bob@good.test",
        "bob@slow.test",
        "bob@mute.test",
        "bob@no.test",
        "bob@dead.test",
        "bob@nowhere.test",
    ];
    let sent = mail().recipients(to);
    let id = world.client().send(sent.clone()).await.accepted();
    let history = world.history(&id);
    history.shows_for("bob@good.test", ["delivered"]).await;
    history
        .shows_for("bob@slow.test", ["deferred 4.2.0", "delivered"])
        .await;
    history.shows_for("bob@no.test", ["failed 5.6.0"]).await;
    history
        .shows_for("bob@nowhere.test", ["failed 5.1.2"])
        .await;
    history
        .shows_for("bob@dead.test", ["deferred 4.4.1", "deferred 4.4.1"])
        .await;
    history.shows_for("bob@mute.test", ["deferred 4.4.2"]).await;
    for host in [&good, &slow] {
        host.message().await.arrived_as(sent.octets());
        host.received_exactly(1).await;
    }
    mute.receives_nothing();
    for _ in 0..2 {
        let report = home.message().await.report();
        report.is_about(1);
    }
    home.received_exactly(2).await;
}

/// Times are persisted in milliseconds.
const ROUNDING: Duration = Duration::from_millis(1);

/// Fails unless the host was asked again after each refusal so many milliseconds later, up to a
/// fifth more.
#[track_caller]
fn check_delays<const N: usize>(host: &Remote, delays: [u64; N]) {
    let (asked, refused) = (times_of(host, "MAIL"), times_of(host, "RCPT"));
    assert_eq!((asked.len(), refused.len()), (N + 1, N + 1));
    for ((asked, refused), delay) in asked[1..].iter().zip(refused).zip(delays) {
        let waited = *asked - refused;
        let least = Duration::from_millis(delay);
        let most = least + least / 5 + LATE;
        assert!(
            waited + ROUNDING >= least && waited <= most,
            "{waited:?} instead of {least:?}"
        );
    }
}

/// When the host was sent such commands, over whichever connections.
fn times_of(host: &Remote, verb: &str) -> Vec<Instant> {
    let connections = host.connections();
    let commands = connections.iter().flat_map(|c| &c.commands);
    let of_verb = commands.filter(|command| command.line.starts_with(verb));
    of_verb.map(|command| command.at).collect()
}

fn rcpts(host: &Remote, mailbox: &str) -> usize {
    let line = format!("RCPT TO:<{mailbox}>");
    host.commands()
        .iter()
        .filter(|command| **command == line)
        .count()
}
