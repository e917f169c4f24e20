//! W-8.07: the port where TLS begins at once (RFC 8314).

use std::time::Duration;

use crate::support::{World, mail};

#[tokio::test]
async fn the_greeting_comes_inside_tls() {
    // W-8.07, W-2.02, W-6.02
    let world = World::setup().with_tls().await;
    let mx = world.remote("dest.test").await;
    for ip in ["127.0.0.1", "::1"] {
        let dial = world.client().at(ip).port(world.tls_port());
        let mut client = dial.connect().await;
        let secured = client.handshake(world.ca().client(), "gp.test").await;
        secured.expect("a handshake");
        client.read_reply().await.expect(220);
        client.cmd("STARTTLS").await.expect("503 5.5.1");
        let hello = client.cmd("EHLO client.test").await.expect(250);
        assert!(!hello.keywords().contains(&"STARTTLS"), "{hello}");
        client.cmd("STARTTLS").await.expect("503 5.5.1");
        let sent = mail().to("bob@dest.test");
        client.send(sent.clone()).await.accepted();
        let message = mx.message().await;
        message.arrived_as(sent.octets());
        assert_eq!(message.trace().with, "ESMTPS");
        client.in_sync().await;
        client.quit().await;
    }
}

#[tokio::test]
async fn a_client_in_clear_sees_no_smtp_there() {
    // W-8.07
    let world = World::setup()
        .with_tls()
        .set("SMTP_COMMAND_TIMEOUT", "2s")
        .await;
    for octets in ["", "EHLO client.test\r\nMAIL FROM:<ann@gp.test>\r\n"] {
        let dial = world.client().port(world.tls_port()).lenient();
        let mut client = dial.connect().await;
        client.hears_nothing_for(Duration::from_millis(200)).await;
        client.send_octets(octets).await;
        let answer = client.read_to_end().await;
        let alert = matches!(answer[..], [21, 3, _, 0, 2, _, _]);
        assert!(answer.is_empty() || alert, "{octets:?}: {answer:?}");
    }
    world.nothing_queued().await;
}

#[tokio::test]
async fn who_is_not_allowed_is_left_without_a_word() {
    // W-8.07
    let world = World::setup()
        .with_tls()
        .set("SMTP_ALLOW_NETWORKS", "127.0.0.1")
        .await;
    let stranger = world.client().from("127.0.0.9").port(world.tls_port());
    let mut client = stranger.connect().await;
    client.expect_closed().await;
    world.log().tells("client_refused").await;
    world.takes_and_delivers_a_mail().await;
}

#[tokio::test]
async fn behind_a_proxy_the_header_comes_in_clear_and_then_the_handshake() {
    // W-8.07, W-12.07
    const PROXY: &str = "127.0.0.9";
    let world = World::setup()
        .with_tls()
        .set("SMTP_PROXY_NETWORKS", PROXY)
        .set("SMTP_ALLOW_NETWORKS", "127.0.0.1,::1,192.0.2.0/28")
        .set("SMTP_COMMAND_TIMEOUT", "2s")
        .await;
    let mx = world.remote("dest.test").await;
    let dial = || world.client().from(PROXY).port(world.tls_port());

    let mut client = dial().connect().await;
    client
        .send_octets("PROXY TCP4 192.0.2.1 127.0.0.1 40000 465\r\n")
        .await;
    let secured = client.handshake(world.ca().client(), "gp.test").await;
    secured.expect("a handshake");
    client.read_reply().await.expect(220);
    client.cmd("EHLO client.test").await.expect(250);
    client.send(mail().to("bob@dest.test")).await.accepted();
    let trace = mx.message().await.trace();
    assert_eq!((&*trace.with, &*trace.client), ("ESMTPS", "[192.0.2.1]"));
    client.quit().await;

    // Who is behind it decides, and is told nothing in clear.
    let mut stranger = dial().connect().await;
    stranger
        .send_octets("PROXY TCP4 192.0.2.77 127.0.0.1 40000 465\r\n")
        .await;
    stranger.expect_closed().await;

    // A handshake is no header, and a header inside TLS comes too late.
    let mut bare = dial().lenient().connect().await;
    let secured = bare.handshake(world.ca().client(), "gp.test").await;
    secured.expect_err("no handshake");
    world.takes_and_delivers_a_mail().await;
}

#[tokio::test]
async fn sessions_there_are_told_of_a_shutdown_inside_tls() {
    // W-8.07, W-1.11
    let world = World::setup().with_tls().await;
    let dial = world.client().port(world.tls_port());
    let mut idle = dial.clone().connect().await;
    let secured = idle.handshake(world.ca().client(), "gp.test").await;
    secured.expect("a handshake");
    idle.read_reply().await.expect(220);
    let mut handshaking = dial.connect().await;
    let (ended, ()) = tokio::join!(world.relay().terminate(), async {
        idle.read_reply().await.expect("421 4.3.2");
        idle.expect_closed().await;
        handshaking.expect_gone().await;
    });
    assert!(ended.success(), "{ended}");
}
