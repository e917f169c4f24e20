//! W-24.08: live events.

use serde_json::Value;

use crate::support::{Live, Phase, Transaction, World, mail};

/// The names of the events of one message, until `last`.
async fn life(live: &mut Live, id: &str, last: &str) -> Vec<String> {
    let mut names = Vec::new();
    while names.last().is_none_or(|name| name != last) {
        let event = live.event().await;
        if event["queue_id"] == id {
            names.push(event["event"].as_str().expect("a name").to_owned());
        }
    }
    names
}

#[tokio::test]
async fn a_messages_life_is_told_in_order() {
    // W-24.08
    let world = World::new().await;
    let mx = world.remote("dest.test").await;
    mx.answers_rcpt_for("later@dest.test", ["451 4.7.1 come again", "250 2.1.5 ok"]);
    let mut live = world.relay().http_live("/audit", "").await;
    let id = world
        .client()
        .send(mail().to("later@dest.test"))
        .await
        .accepted();
    let told = life(&mut live, &id.0, "delivered").await;
    assert_eq!(told, ["accepted", "deferred", "delivered"]);
}

#[tokio::test]
async fn the_audit_says_what_the_log_says() {
    // W-24.08
    let world = World::new().await;
    let _mx = world.remote("dest.test").await;
    let mut live = world.relay().http_live("/audit", "").await;
    let id = world
        .client()
        .send(mail().to("ann@dest.test"))
        .await
        .accepted();
    let heard: Value = loop {
        let event = live.event().await;
        if event["event"] == "delivered" {
            break event;
        }
    };
    let logged = world.history(&id).event("delivered", "ann@dest.test").await;
    let mut logged: Value = serde_json::from_str(&logged.text).unwrap();
    let mut heard = heard;
    heard["timestamp"].take(); // each its own, microseconds apart
    logged["timestamp"].take();
    assert_eq!(heard, logged);
}

#[tokio::test]
async fn with_debug_health_goes_on_with_every_step() {
    let world = World::setup().set("SMTP_DEBUG", "true").await;
    let _mx = world.remote("dest.test").await;
    let mut live = world.relay().http_live("/healthz", "").await;
    assert_eq!(live.line().await, "OK");
    let id = world
        .client()
        .send(mail().to("ann@dest.test"))
        .await
        .accepted();
    let told = life(&mut live, &id.0, "delivered").await;
    let of_attempts: Vec<&String> = told.iter().filter(|name| *name != "accepted").collect();
    assert_eq!(
        of_attempts,
        ["attempt_started", "attempt_ended", "delivered"]
    );
    // The session and the dispatcher hear of the commit at the same time.
    assert!(told.contains(&"accepted".to_owned()), "{told:?}");
}

#[tokio::test]
async fn server_sent_events_are_one_frame_each_whatever_they_tell() {
    // W-24.08
    let world = World::new().await;
    let mx = world.remote("dest.test").await;
    mx.answers_rcpt_for(
        "ann@dest.test",
        ["550-5.1.1 data: {\"event\":\"evil\"}\r\n550 5.1.1 \u{2028}\u{85}\u{1b}[2J\"}"],
    );
    let fields = "Accept: text/event-stream\r\n";
    let mut live = world.relay().http_live("/audit", fields).await;
    let mut plain = world.relay().http_live("/audit", "").await;
    let mut client = world.client().session().await;
    client.cmd("MAIL FROM:<bob@gp.test>").await.expect(250);
    client.cmd("RCPT TO:<ann@dest.test>").await.expect(250);
    client.data(&mail().octets()).await.expect(250);
    let mut events = Vec::new();
    while events
        .last()
        .is_none_or(|event: &Value| event["event"] != "failed")
    {
        let line = live.line().await;
        let data = line
            .strip_prefix("data: ")
            .unwrap_or_else(|| panic!("{line:?}"));
        events.push(serde_json::from_str(data).unwrap_or_else(|_| panic!("{line:?}")));
        assert_eq!(live.line().await, "", "the end of the frame");
        assert!(
            data.chars().all(|c| !c.is_control() && c != '\u{2028}'),
            "{data:?}"
        );
        let event: Value = plain.event().await;
        assert_eq!(Some(&event), events.last(), "both have the same");
    }
    assert!(events.iter().all(|event| event["event"] != "evil"));
}

#[tokio::test]
async fn a_reader_that_rests_is_told_how_much_it_missed_and_mail_goes_on() {
    // W-24.08
    let world = World::setup()
        .set("SMTP_MAX_RECIPIENTS", "1000")
        .set("SMTP_LOG", "warn") // the suite's own log need not hold all that
        .await;
    let mx = world.remote("dest.test").await;
    let words = format!("250 2.0.0 {}", "x".repeat(480)); // more than the system holds
    mx.answers(Phase::Dot, [&*words]);
    let mut live = world.relay().http_live_slow("/audit", 4_096).await;
    let (messages, recipients) = (10, 1_000);
    for number in 0..messages {
        let rcpt = |at| format!("r{number}-{at}@dest.test");
        let mail = mail().recipients((0..recipients).map(rcpt));
        world.client().send(mail).await.accepted();
    }
    let all = messages * recipients;
    let arrived = |transactions: &[Transaction]| {
        let arrived: usize = transactions.iter().map(|one| one.to().len()).sum();
        (arrived == all).then_some(())
    };
    mx.until("all recipients", arrived).await;

    let (mut heard, mut lost) = (0, 0);
    while heard + lost < all + messages {
        let event = live.event().await;
        match event["event"].as_str() {
            Some("lost") => {
                let count = event["count"].as_u64().and_then(|n| n.try_into().ok());
                lost += count.unwrap_or(0_usize);
            }
            Some("accepted" | "delivered") => heard += 1,
            _ => {}
        }
    }
    assert!(lost > 0, "{heard} heard");
    assert!(heard > 0, "{lost} lost");
}

#[tokio::test]
async fn streams_end_with_the_relay() {
    let world = World::new().await;
    let live = world.relay().http_live("/audit", "").await;
    assert_eq!(world.relay().terminate().await.code(), Some(0));
    live.ends().await;
}
