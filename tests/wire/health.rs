//! Health over HTTP.

use crate::support::{Line, World};

#[tokio::test]
async fn a_relay_that_takes_mail_says_ok() {
    // W-24.01
    let world = World::new().await;
    let health = |line: &Line| line.field("what").as_deref() == Some("health");
    let opens = |line: &Line| line.is("listening") && health(line);
    world.log().wait_for(opens).await; // mail may be taken earlier
    for _ in 0..2 {
        let answer = world.relay().http_get("/healthz").await;
        assert_eq!(answer.status, 200, "{answer:?}");
        assert!(answer.body.starts_with("OK"), "{answer:?}");
        world.takes_and_delivers_a_mail().await;
    }
}
