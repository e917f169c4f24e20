//! Queues that earlier versions wrote: opened, brought to today's schema, and delivered.

use std::path::Path;

use flate2::read::GzDecoder;

use crate::support::{Mail, World, mail};

/// The schema that this version writes.
const TODAY: &str = "5";

#[tokio::test]
async fn mail_in_a_queue_of_schema_1_is_delivered_octet_for_octet() {
    let world = World::setup().without_relay().await;
    let mx = world.remote("dest.test").await;
    let spool = world.relay().directory().join("spool");
    unpack(
        include_bytes!("assets/schema-1/spool.tar.gz"),
        world.relay().directory(),
    );
    assert_eq!(schema(&spool), "1");

    world.relay().start().await;
    assert_eq!(schema(&spool), TODAY);
    let steps = world.log().tells_times("migrated", 4).await;
    let last = steps.last().and_then(|step| step.field("schema"));
    assert_eq!(last.as_deref(), Some(TODAY));
    let recovered = world.log().tells("recovered").await;
    let counts = ["messages", "orphans", "damaged"];
    let told = counts.map(|name| recovered.field(name).unwrap_or_default());
    assert_eq!(told, ["3", "0", "0"]);
    let released = world.log().tells("released").await;
    assert_eq!(released.field("recipients").as_deref(), Some("2"));
    for (to, sent) in [
        ("later@dest.test", mail().subject("deferred")),
        ("small@dest.test", mail().subject("small")),
        ("large@dest.test", large()),
    ] {
        let message = mx.message_that(|message| message.to().contains(&to)).await;
        assert_eq!(message.to(), [to]);
        message.arrived_as(sent.octets());
    }
    let delivered = world.log().tells_times("delivered", 3).await;
    for line in delivered {
        let before = line.field("rcpt").as_deref() == Some("later@dest.test");
        let attempt = if before { "2" } else { "1" };
        assert_eq!(line.field("attempt").as_deref(), Some(attempt), "{line:?}");
    }

    // What is written from now on is read by the next start.
    world.relay().kill_and_restart().await;
    world.takes_and_delivers_a_mail().await;
    mx.received_exactly(3).await;
}

fn large() -> Mail {
    let line = |n| format!("line {n:05} of a large message ------------------------\n");
    let body: String = (0..2_000).map(line).collect();
    mail().subject("large").body(&body)
}

fn unpack(archive: &[u8], into: &Path) {
    let mut archive = tar::Archive::new(GzDecoder::new(archive));
    archive.unpack(into).expect("the archive is whole");
}

fn schema(spool: &Path) -> String {
    let text = std::fs::read_to_string(spool.join("schema"));
    text.expect("a schema file").trim().to_owned()
}
