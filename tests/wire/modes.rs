//! The modes in which nothing is delivered.

use crate::support::{World, mail};

#[tokio::test]
async fn what_is_held_goes_out_after_a_start_in_mode_deliver() {
    let world = World::setup().set("SMTP_MODE", "hold").await;
    let mx = world.remote("dest.test").await;
    let small = mail().to("bob@dest.test").subject("small");
    let large = mail()
        .to("bob@dest.test")
        .subject("large")
        .body_octets("0123456789\r\n".repeat(10_000));
    world.client().send(small.clone()).await.accepted();
    world.relay().kill_and_restart().await;
    world.client().send(large.clone()).await.accepted();
    world.relay().restart().await;
    // A release would have come with the start; that a session was served is behind it.
    world.client().session().await.in_sync().await;
    assert!(mx.connections().is_empty());
    world.dns().never_asked("dest.test");

    world.relay().set("SMTP_MODE", "deliver");
    world.relay().restart().await;
    for sent in [small, large] {
        let octets = sent.octets();
        let message = mx
            .message_that(|message| message.octets().ends_with(&octets))
            .await;
        message.arrived_as(sent.octets());
    }
    mx.received_exactly(2).await;
}

#[tokio::test]
async fn a_sink_takes_everything_and_calls_nobody() {
    let world = World::setup().set("SMTP_MODE", "sink").await;
    let mx = world.remote("dest.test").await;
    let home = world.remote("gp.test").await;
    for to in ["bob@dest.test", "bob@nowhere.test"] {
        world.client().send(mail().to(to)).await.accepted();
    }
    world.relay().kill_and_restart().await;
    world
        .client()
        .send(mail().to("eve@dest.test"))
        .await
        .accepted();

    // They are done with: no later start delivers them, while new mail goes out.
    world.relay().set("SMTP_MODE", "deliver");
    world.relay().restart().await;
    world.takes_and_delivers_a_mail().await;
    world.dns().never_asked("dest.test");
    world.dns().never_asked("nowhere.test");
    mx.never_called();
    home.never_called();
}
