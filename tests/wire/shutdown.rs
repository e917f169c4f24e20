//! W-1.11: how the relay takes its leave.

use rustix::process::Signal;

use crate::support::{Client, Phase, World, hang, mail, stuffed};

#[tokio::test]
async fn a_stop_says_goodbye_and_lets_transactions_end() {
    // W-1.11
    let world = World::new().await;
    let mx = world.remote("dest.test").await;
    let message = mail().to("ann@dest.test").octets();
    let (first_half, second_half) = message.split_at(message.len() / 2);

    let mut silent = world.client().connect().await;
    silent.read_reply().await.expect(220);
    let idle = world.client().session().await;
    let mut in_transaction = world.client().session().await;
    in_transaction
        .cmd("MAIL FROM:<ann@gp.test>")
        .await
        .expect(250);
    let mut in_data = world.client().session().await;
    in_data.cmd("MAIL FROM:<bob@gp.test>").await.expect(250);
    in_data.cmd("RCPT TO:<bob@dest.test>").await.expect(250);
    in_data.cmd("DATA").await.expect(354);
    in_data.send_octets(first_half).await;

    world.relay().signal(Signal::TERM);
    hears_goodbye(silent).await;
    hears_goodbye(idle).await;
    let newcomer = world.client().try_send(mail().to("late@dest.test"));
    assert!(newcomer.await.is_none(), "new clients are not served");

    in_data.send_octets(stuffed(second_half)).await;
    in_data.read_reply().await.expect("250 2.0.0");
    in_transaction
        .cmd("RCPT TO:<ann@dest.test>")
        .await
        .expect(250);
    in_transaction.data(&message).await.expect("250 2.0.0");
    hears_goodbye(in_data).await;
    hears_goodbye(in_transaction).await;
    assert_eq!(world.relay().ends().await.code(), Some(0));

    world.relay().start().await;
    mx.received_exactly(2).await;
}

#[tokio::test]
async fn who_does_not_end_is_cut_off_when_the_grace_is_over() {
    // W-1.11
    let world = World::setup().set("SMTP_SHUTDOWN_GRACE", "100ms").await;
    let mut client = world.client().session().await;
    client.cmd("MAIL FROM:<ann@gp.test>").await.expect(250);
    client.cmd("RCPT TO:<ann@dest.test>").await.expect(250);
    client.cmd("DATA").await.expect(354);
    client.send_octets("Subject: never ending\r\n").await;
    assert_eq!(world.relay().terminate().await.code(), Some(0));
    client.expect_gone().await;
    world.relay().start().await;
    world.nothing_queued().await;
}

async fn hears_goodbye(mut client: Client) {
    client.read_reply().await.expect("421 4.3.2");
    client.expect_closed().await;
}

#[tokio::test]
async fn an_attempt_cut_off_behind_the_final_dot_is_told_as_a_possible_duplicate() {
    // W-16.08
    let world = World::setup().set("SMTP_SHUTDOWN_GRACE", "100ms").await;
    let mx = world.remote("dest.test").dot([hang()]).await;
    let id = world
        .client()
        .send(mail().to("ann@dest.test"))
        .await
        .accepted();
    mx.saw("DATA").await;
    mx.transactions_seen(1).await;
    assert_eq!(world.relay().terminate().await.code(), Some(0));
    world.log().tells_times("possible_duplicate", 1).await;
    mx.answers(Phase::Dot, ["250 2.0.0 ok"]);
    world.relay().start().await;
    world.history(&id).event("delivered", "ann@dest.test").await;
}
