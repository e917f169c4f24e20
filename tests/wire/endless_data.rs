//! Data without measure.

use crate::support::{World, mail};

const MIB: usize = 1024 * 1024;

/// What a session may cost beyond its buffers, on any machine: far less than what it is sent.
const GROWTH_OCTETS_MAX: u64 = 16 * 1024 * 1024;

#[tokio::test]
async fn a_gibibyte_is_thrown_away_at_constant_memory() {
    // W-5.12
    let world = World::new().await;
    let before = world.relay().peak_resident_octets();
    let piece = vec![b'x'; MIB];
    let mut client = world.client().session().await;
    client.up_to_data(&mail().to("bob@dest.test")).await;
    for _ in 0..1024 {
        client.send_octets(&piece).await;
    }
    client.send_octets("\r\n.\r\n").await;
    client.read_reply().await.expect("552 5.3.4");
    client.in_sync().await;

    // The same with BDAT, where the size is known beforehand; less of it is enough.
    client.cmd("MAIL FROM:<ann@gp.test>").await.expect(250);
    client.cmd("RCPT TO:<bob@dest.test>").await.expect(250);
    let announced = 64 * MIB;
    client
        .send_octets(format!("BDAT {announced} LAST\r\n"))
        .await;
    for _ in 0..64 {
        client.send_octets(&piece).await;
    }
    client.read_reply().await.expect("552 5.3.4");
    client.in_sync().await;
    let grown = world.relay().peak_resident_octets() - before;
    assert!(grown < GROWTH_OCTETS_MAX, "grew by {grown} octets");
    world.nothing_queued().await;
}
