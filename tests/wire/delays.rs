//! Reports of delay: who gets one, when, and that nobody gets two; and the bound on reports.

use crate::support::{Line, Setup, World, mail};

fn impatient() -> Setup {
    World::setup()
        .set("SMTP_DELAY_WARNING", "1s")
        .set("SMTP_RETRY_BASE", "200ms")
        .set("SMTP_RETRY_CAP", "400ms")
}

/// So many more than have been told so far.
async fn further_deferrals(world: &World, count: usize) {
    let lines = world.log().lines();
    let so_far = lines.iter().filter(|line| line.is("deferred")).count();
    world.log().tells_times("deferred", so_far + count).await;
}

#[tokio::test]
async fn a_delay_is_told_in_one_report_and_never_twice() {
    // W-22.09: two destinations, one of which can't be connected to; and across a kill
    let world = impatient().set("SMTP_MESSAGE_LIFETIME", "2d").await;
    let home = world.remote("gp.test").await;
    world
        .remote("dest.test")
        .rcpt(["451 4.2.0 come again"])
        .await;
    let down = world.remote("down.test").await;
    down.goes_down();
    let sent = mail()
        .mail_parameter("ENVID=mine")
        .mail_parameter("RET=FULL")
        .recipients(["bob@dest.test", "eve@down.test"]);
    let id = world.client().send(sent).await.accepted();

    let message = home.message().await;
    assert_eq!(
        (message.transaction.from(), message.to()),
        ("", vec!["ann@gp.test"])
    );
    assert_eq!(message.header.only("Subject"), "Your message is delayed");
    let report = message.report();
    report.is_about(2);
    report.says("bob@dest.test", "delayed", "4.2.0");
    report.says("eve@down.test", "delayed", "4.4.1");
    assert_eq!(report.per_message.only("Original-Envelope-Id"), "mine");
    let date = |text: &str| jiff::fmt::rfc2822::parse(text).expect("a date").timestamp();
    let arrival = date(&report.per_message.only("Arrival-Date"));
    let bob = report.about("bob@dest.test");
    let until = date(&bob.only("Will-Retry-Until"));
    assert_eq!((until - arrival).as_secs(), 2 * 86_400);
    assert_eq!(bob.only("Remote-MTA"), "dns; mx1.dest.test");
    let eve = report.about("eve@down.test");
    assert_eq!(eve.get("Remote-MTA"), None, "{eve:?}");
    let header_only = "text/rfc822-headers";
    assert_eq!(report.original.content_type, header_only, "RFC 3461 4.3");
    let text = String::from_utf8_lossy(&report.text.body);
    for words in ["not lost", "need not do anything", "come again"] {
        assert!(text.contains(words), "{words} not in {text}");
    }

    let is_told =
        |line: &Line| line.is("delivered") && line.field("rcpt").as_deref() == Some("ann@gp.test");
    world.log().wait_for(is_told).await;
    world.relay().kill_and_restart().await;
    further_deferrals(&world, 8).await;
    world.takes_and_delivers_a_mail().await;
    home.received_exactly(1).await;
    let told = world.log().tells_times("report_queued", 1).await;
    assert_eq!(told[0].field("kind").as_deref(), Some("delayed"));
    assert_eq!(told[0].field("about"), Some(id.0));
}

#[tokio::test]
async fn who_does_not_want_to_know_of_delay_is_not_told() {
    // W-22.07, W-22.09
    let world = impatient().await;
    let home = world.remote("gp.test").await;
    world.remote("dest.test").rcpt(["451 4.2.0 later"]).await;
    let asked = mail()
        .to("never@dest.test")
        .rcpt_parameter("NOTIFY=NEVER")
        .to("others@dest.test")
        .rcpt_parameter("NOTIFY=SUCCESS,FAILURE")
        .to("delay@dest.test")
        .rcpt_parameter("NOTIFY=DELAY")
        .to("default@dest.test");
    let null = mail().from("").to("bob@dest.test");
    world.client().send(null).await.accepted();
    world.client().send(asked).await.accepted();
    let report = home.message().await.report();
    report.is_about(2);
    report.says("delay@dest.test", "delayed", "4.2.0");
    report.says("default@dest.test", "delayed", "4.2.0");
    further_deferrals(&world, 20).await;
    home.received_exactly(1).await;
}

#[tokio::test]
async fn delay_is_not_told_where_the_operator_wants_none() {
    // W-22.09
    let world = impatient()
        .set("SMTP_DELAY_WARNING", "0s")
        .set("SMTP_MESSAGE_LIFETIME", "2s")
        .await;
    let home = world.remote("gp.test").await;
    world.remote("dest.test").rcpt(["451 4.2.0 later"]).await;
    let sent = mail().to("bob@dest.test");
    world.client().send(sent).await.accepted();
    let report = home.message().await.report();
    report.says("bob@dest.test", "failed", "4.4.7");
    home.received_exactly(1).await;
}

#[tokio::test]
async fn a_sender_gets_so_many_reports_an_hour_and_the_log_tells_of_the_rest() {
    // W-22.09
    let world = World::setup().set("SMTP_MAX_REPORTS_PER_HOUR", "2").await;
    let home = world.remote("gp.test").await;
    world.remote("dest.test").rcpt(["550 5.1.1 no"]).await;
    for _ in 0..4 {
        let sent = mail().to("bob@dest.test");
        let id = world.client().send(sent).await.accepted();
        world.history(&id).is_exactly(["failed 5.1.1"]).await;
    }
    let suppressed = world.log().tells_times("report_suppressed", 2).await;
    for line in suppressed {
        let fields = ["rcpt", "kind"].map(|name| line.field(name).unwrap_or_default());
        assert_eq!(fields, ["ann@gp.test", "failed"]);
    }
    let sent = mail().from("joe@gp.test").to("bob@dest.test");
    world.client().send(sent).await.accepted();
    home.message_that(|message| message.to() == ["joe@gp.test"])
        .await;
    home.received_exactly(3).await;
}
