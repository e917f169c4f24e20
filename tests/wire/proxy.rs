//! W-12.07: clients behind a load balancer that speaks the PROXY protocol.

use crate::support::{World, mail};

/// Who is a proxy in these tests; the relay is asked whether it is ready from elsewhere.
const PROXY: &str = "127.0.0.9";
const ALLOWED: &str = "192.0.2.1";

const SIGNATURE: &[u8] = b"\r\n\r\n\0\r\nQUIT\n";

async fn world() -> World {
    let setup = World::setup()
        .set("SMTP_PROXY_NETWORKS", PROXY)
        .set(
            "SMTP_ALLOW_NETWORKS",
            "127.0.0.1,::1,192.0.2.0/28,2001:db8::/32",
        )
        .set("SMTP_MAX_CONNECTIONS_PER_CLIENT", "2")
        .set("SMTP_COMMAND_TIMEOUT", "2s");
    setup.await
}

fn version_1(source: &str) -> Vec<u8> {
    let family = if source.contains(':') { "TCP6" } else { "TCP4" };
    let own = if source.contains(':') {
        "::1"
    } else {
        "127.0.0.1"
    };
    format!("PROXY {family} {source} {own} 40000 25\r\n").into_bytes()
}

fn version_2(command: u8, family: u8, addresses: &[u8]) -> Vec<u8> {
    let length = u16::try_from(addresses.len()).expect("short");
    [
        SIGNATURE,
        &[command, family],
        &length.to_be_bytes(),
        addresses,
    ]
    .concat()
}

/// 192.0.2.1 to 127.0.0.1.
const ADDRESSES: [u8; 12] = [192, 0, 2, 1, 127, 0, 0, 1, 0x9c, 0x40, 0, 25];

#[tokio::test]
async fn the_stated_source_is_the_client_in_received() {
    // W-12.07
    let world = world().await;
    let mx = world.remote("dest.test").await;
    let with_list = [&ADDRESSES[..], &[4, 0, 3, 0, 0, 0]].concat();
    for (header, client) in [
        (version_1(ALLOWED), "[192.0.2.1]"),
        (version_1("2001:db8::7"), "[IPv6:2001:db8::7]"),
        (version_2(0x21, 0x11, &ADDRESSES), "[192.0.2.1]"),
        (version_2(0x21, 0x11, &with_list), "[192.0.2.1]"),
    ] {
        let mut session = world.client().from(PROXY).connect().await;
        // In one segment with what the client says.
        session
            .send_octets([&header[..], b"EHLO client.test\r\n"].concat())
            .await;
        session.read_reply().await.expect(220);
        session.read_reply().await.expect(250);
        session.send(mail().to("ann@dest.test")).await.accepted();
        session.quit().await;
        assert_eq!(mx.message().await.trace().client, client);
    }
}

#[tokio::test]
async fn the_stated_source_decides_the_allow_list() {
    // W-12.07
    let world = world().await;
    for header in [
        version_1("192.0.2.77"),
        version_1("2001:db9::1"),
        version_2(0x21, 0x11, &[198, 51, 100, 1, 127, 0, 0, 1, 1, 1, 0, 25]),
        // The proxy itself, which is not allowed either.
        b"PROXY UNKNOWN\r\n".to_vec(),
        version_2(0x20, 0x00, b""),
        version_2(0x21, 0x00, b""),
    ] {
        let mut client = world.client().from(PROXY).connect().await;
        client.send_octets(&header).await;
        client.read_reply().await.expect("554 5.7.1");
        client.expect_closed().await;
    }
    let local = World::setup().set("SMTP_PROXY_NETWORKS", PROXY).await;
    for header in [b"PROXY UNKNOWN\r\n".to_vec(), version_2(0x20, 0x00, b"")] {
        let mut client = local.client().from(PROXY).connect().await;
        client.send_octets(&header).await;
        client.read_reply().await.expect(220);
    }
}

#[tokio::test]
async fn the_stated_source_decides_the_limits() {
    // W-12.07
    let world = world().await;
    let mut held = Vec::new();
    for (source, wanted) in [
        (ALLOWED, "220"),
        (ALLOWED, "220"),
        (ALLOWED, "421 4.7.0"),
        ("192.0.2.2", "220"),
    ] {
        let mut client = world.client().from(PROXY).connect().await;
        client.send_octets(version_1(source)).await;
        client.read_reply().await.expect(wanted);
        held.push(client);
    }
}

#[tokio::test]
async fn a_header_may_come_octet_by_octet() {
    // W-12.07
    let world = world().await;
    for header in [version_1(ALLOWED), version_2(0x21, 0x11, &ADDRESSES)] {
        let mut client = world.client().from(PROXY).connect().await;
        client
            .send_each_octet([&header[..], b"NOOP\r\n"].concat())
            .await;
        client.read_reply().await.expect(220);
        client.read_reply().await.expect("250 2.0.0");
        client.quit().await;
    }
}

#[tokio::test]
async fn what_is_not_a_header_is_closed_without_an_octet() {
    // W-12.07
    let world = world().await;
    let long = format!("PROXY UNKNOWN {}\r\n", "x".repeat(92)); // 108 octets
    let mut wrong_length = version_2(0x21, 0x11, &ADDRESSES);
    wrong_length[15] = 11;
    let mut endless = version_2(0x21, 0x11, &ADDRESSES);
    endless[14] = 0xff;
    let headers: &[&[u8]] = &[
        b"",
        b"EHLO client.test\r\n",
        b"PROXY TCP4 192.0.2.1",
        b"PROXY TCP4 192.0.2.1 127.0.0.1 40000 25\n",
        b"PROXY TCP4 192.0.2.1 127.0.0.1 40000 65536\r\n",
        b"PROXY TCP4 192.0.2.1 127.0.0.1 40000\r\n",
        b"PROXY TCP4 2001:db8::1 ::1 40000 25\r\n",
        b"PROXY TCP9 192.0.2.1 127.0.0.1 40000 25\r\n",
        b"PROXY UDP4 192.0.2.1 127.0.0.1 40000 25\r\n",
        b"PROXYTCP4 192.0.2.1 127.0.0.1 40000 25\r\n",
        long.as_bytes(),
        &version_2(0x11, 0x11, &ADDRESSES), // version 1 in the form of version 2
        &version_2(0x31, 0x11, &ADDRESSES),
        &version_2(0x2f, 0x11, &ADDRESSES),
        &version_2(0x21, 0x12, &ADDRESSES), // UDP
        &version_2(0x21, 0x31, &[0; 216]),  // Unix
        &version_2(0x21, 0x51, &ADDRESSES),
        &version_2(0x21, 0x21, &ADDRESSES), // IPv6 with so little
        &version_2(0x21, 0x11, &[&ADDRESSES[..], &[4, 0, 9]].concat()),
        &wrong_length,
        &endless,
    ];
    let mut clients = Vec::new();
    for header in headers {
        let mut client = world.client().from(PROXY).connect().await;
        client.send_octets(header).await;
        clients.push((header, client));
    }
    for (header, mut client) in clients {
        let heard = client.read_to_end().await;
        assert!(
            heard.is_empty(),
            "to {}: {}",
            header.escape_ascii(),
            heard.escape_ascii()
        );
    }
    world.nothing_queued().await;
}

#[tokio::test]
async fn nobody_else_may_state_a_source() {
    // W-2.30, W-12.07
    let world = world().await;
    let mut client = world.client().connect().await;
    client.send_octets(version_1("192.0.2.77")).await;
    client.read_reply().await.expect(220);
    client.read_reply().await.expect("500 5.5.1");
    client.in_sync().await;
}
