//! The whole way, once.

use crate::support::{World, mail};

#[tokio::test]
async fn a_message_arrives_as_it_was_sent_across_a_kill() {
    // W-5.02, W-20.01
    let world = World::new().await;
    let mx = world
        .remote("dest.test")
        .rcpt(["451 4.2.0 later", "250 2.1.5 ok"])
        .await;
    let id = world
        .client()
        .send(mail().to("ann@dest.test"))
        .await
        .accepted();
    world.history(&id).shows(["deferred 4.2.0"]).await;
    world.relay().kill_and_restart().await;
    world
        .history(&id)
        .shows(["deferred 4.2.0", "delivered"])
        .await;
    mx.received_exactly(1).await;
}
