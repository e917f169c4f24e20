//! Hosts that turn hostile on a connection that was kept, and what that costs: never more than the
//! attempt, and nobody else.

use std::time::Duration;

use crate::support::{
    Answer, Phase, World, close, hang, mail, raw, reply, reset, stop_reading, trickle,
};

use super::odd_turn::mailbox_at;

#[tokio::test]
async fn a_host_that_turns_odd_on_a_kept_connection_defers_and_is_called_anew() {
    // W-14.07, W-15.02, W-15.05, W-15.06, W-16.07, W-19.02
    let world = World::setup()
        .set("SMTP_CONNECTION_IDLE", "5m")
        .set("SMTP_REPLY_TIMEOUT", "700ms")
        .set("SMTP_DATA_REPLY_TIMEOUT", "700ms")
        .set("SMTP_RETRY_BASE", "200ms")
        .await;
    let endless = format!("450 {}", "x".repeat(9_999));
    let mut rows = Vec::new();
    for (phase, go) in [
        (Phase::Rcpt, "250 2.1.5 ok"),
        (Phase::Data, "354 go"),
        (Phase::Dot, "250 2.0.0 queued"),
    ] {
        for (name, odd, becomes) in [
            ("hangs", hang(), "deferred 4.4.2"),
            ("closes", close(), "deferred 4.4.2"),
            ("resets", reset(), "deferred 4.4.2"),
            ("closes-within", raw("4").then(close()), "deferred 4.4.2"),
            (
                "trickles",
                trickle(Duration::from_millis(50), &endless),
                "deferred 4.4.2",
            ),
            ("floods", raw("450-x\r\n".repeat(20_000)), "deferred 4.5.0"),
            ("no-reply", raw("what?\r\n"), "deferred 4.5.0"),
            ("421", reply("421 4.3.2 bye"), "deferred 4.3.2"),
        ] {
            rows.push((name, phase, go, odd, becomes));
        }
        if phase != Phase::Dot {
            let twice = raw(format!("{go}\r\n250 2.0.0 queued\r\n"));
            rows.push(("twice", phase, go, twice, "deferred 4.5.0"));
        }
    }
    let mut hosts = Vec::new();
    for (name, phase, go, odd, becomes) in rows {
        let name = format!("{name}.{phase:?}").to_lowercase();
        let plan = world.remote(&format!("{name}.test")).offers(["8BITMIME"]);
        let answers: [Answer; 3] = [reply(go), odd, reply(go)];
        hosts.push((name, plan.answers(phase, answers).await, becomes));
    }
    let mailboxes: Vec<String> = hosts.iter().map(|(name, ..)| mailbox_at(name)).collect();
    let first = world.client().send(mail().recipients(&mailboxes)).await;
    let first = world.history(&first.accepted());
    for mailbox in &mailboxes {
        first.shows_for(mailbox, ["delivered"]).await;
    }
    let second = world.client().send(mail().recipients(&mailboxes)).await;
    let second = world.history(&second.accepted());
    for (name, host, becomes) in &hosts {
        let mailbox = mailbox_at(name);
        second.shows_for(&mailbox, [becomes, "delivered"]).await;
        host.received_exactly(2).await;
        assert_eq!(host.connections().len(), 2, "{name}");
    }
}

#[tokio::test]
async fn what_comes_behind_an_answer_costs_the_connection_and_not_the_message() {
    // W-15.06
    let world = World::setup().set("SMTP_CONNECTION_IDLE", "5m").await;
    let twice = reply("250 2.0.0 queued\r\n250 2.0.0 queued");
    let mx = world
        .remote("dest.test")
        .dot([twice, reply("250 ok")])
        .await;
    for _ in 0..2 {
        let sent = world.client().send(mail().to("ann@dest.test")).await;
        let history = world.history(&sent.accepted());
        history.is_exactly(["delivered"]).await;
    }
    mx.received_exactly(2).await;
    assert_eq!(mx.connections().len(), 2);
}

#[tokio::test]
async fn a_host_that_answers_just_in_time_is_left_when_the_attempt_is_over() {
    // W-14.07: one octet at a time, each phase well within its own timeout
    let world = World::setup()
        .set("SMTP_ATTEMPT_TIMEOUT", "1500ms")
        .set("SMTP_RETRY_BASE", "1h")
        .set("SMTP_RETRY_CAP", "1h")
        .await;
    let slow = |text: &str| trickle(Duration::from_millis(60), text); // more than 600 ms each
    let new = world.remote("new.test").offers(["8BITMIME"]);
    let new = new
        .greeting([slow("220 ready now")])
        .mail([slow("250 2.1.0 ok")]);
    let new = new.rcpt([slow("250 2.1.5 ok")]).await;
    let kept = world.remote("kept.test").offers(["8BITMIME"]).await;
    let sent = world.client().send(mail().to("ann@kept.test")).await;
    world.history(&sent.accepted()).shows(["delivered"]).await;
    kept.answers(Phase::Mail, [slow("250 2.1.0 ok")]);
    kept.answers(Phase::Rcpt, [slow("250 2.1.5 ok")]);
    kept.answers(Phase::Data, [slow("354 go ahead")]);
    let to = ["ann@new.test", "ann@kept.test"];
    let sent = world.client().send(mail().recipients(to)).await;
    let history = world.history(&sent.accepted());
    for mailbox in to {
        let told = history.event("deferred", mailbox).await;
        assert_eq!(told.field("dsn").as_deref(), Some("4.4.2"));
        let words = told.field("reply").unwrap_or_default();
        assert!(words.contains("SMTP_ATTEMPT_TIMEOUT"), "{words}");
    }
    new.receives_nothing();
    kept.received_exactly(1).await;
}

#[tokio::test]
async fn a_window_that_stays_closed_within_the_message_is_a_timeout() {
    // W-14.07
    let world = World::setup()
        .set("SMTP_REPLY_TIMEOUT", "700ms")
        .set("SMTP_RETRY_BASE", "1h")
        .set("SMTP_RETRY_CAP", "1h")
        .await;
    let asleep = reply("354 go").then(stop_reading());
    let mx = world.remote("dest.test").data([asleep]).await;
    let line = [b'x'; 998];
    let body = [&line[..], b"\r\n"].concat().repeat(8 * 1024); // more than sockets hold
    let sent = mail().to("ann@dest.test").body_octets(body);
    let sent = world.client().send(sent).await;
    let told = world.history(&sent.accepted());
    let told = told.event("deferred", "ann@dest.test").await;
    assert_eq!(told.field("dsn").as_deref(), Some("4.4.2"));
    mx.receives_nothing();
}

#[tokio::test]
async fn a_flood_of_reply_takes_no_memory() {
    // W-15.05
    let world = World::setup().set("SMTP_RETRY_BASE", "200ms").await;
    let endless = raw(b"250-and so on\r\n".repeat(2 * 1024 * 1024)); // 30 MiB
    let mx = world
        .remote("dest.test")
        .rcpt([reply("250 ok"), endless, reply("250 ok")])
        .await;
    let sent = world.client().send(mail().to("ann@dest.test")).await;
    world.history(&sent.accepted()).shows(["delivered"]).await;
    let before = world.relay().peak_resident_octets();
    let sent = world.client().send(mail().to("ann@dest.test")).await;
    let history = world.history(&sent.accepted());
    history.shows(["deferred 4.5.0", "delivered"]).await;
    let grown = world.relay().peak_resident_octets() - before;
    assert!(grown < 8 * 1024 * 1024, "grew by {grown} octets");
    mx.received_exactly(2).await;
}
