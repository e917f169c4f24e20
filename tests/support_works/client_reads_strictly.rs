//! The client: what it sends in which pieces, and what it refuses to read.

use crate::support::{Random, World, raw, reply, stuffed};

#[tokio::test]
async fn any_cutting_into_segments_is_the_same_session() {
    let world = World::setup().without_relay().await;
    let mx = world.remote("example.net").await;
    let mut random = Random::new();
    let dialogue = [
        &b"EHLO x\r\nMAIL FROM:<a@gp.test>\r\nRCPT TO:<b@example.net>\r\nDATA\r\n"[..],
        &stuffed(b".a\r\n..b\r\n\r\n"),
        b"QUIT\r\n",
    ]
    .concat();
    for round in 0..3 {
        let mut client = world.client_of(&mx).connect().await;
        match round {
            0 => client.send_octets(&dialogue).await,
            1 => client.send_each_octet(&dialogue).await,
            _ => client.send_pieces(random.cut(&dialogue, 9)).await,
        }
        for code in [220, 250, 250, 250, 354, 250, 221] {
            client.read_reply().await.expect(code);
        }
        client.expect_closed().await;
        assert_eq!(mx.message().await.octets(), b".a\r\n..b\r\n\r\n");
    }
}

#[tokio::test]
async fn a_half_closed_client_still_reads_its_reply() {
    let world = World::setup().without_relay().await;
    let mx = world.remote("example.net").await;
    let mut client = world.client_of(&mx).session().await;
    client.send_octets("NOOP\r\n").await;
    client.half_close().await;
    client.read_reply().await.expect(250);
    client.expect_closed().await;
}

#[tokio::test]
async fn a_reset_is_seen_as_one() {
    let world = World::setup().without_relay().await;
    let mx = world.remote("example.net").await;
    world.client_of(&mx).session().await.reset();
    let ended = mx.ended(0).await;
    assert!(format!("{ended:?}").contains("reset"), "{ended:?}");
}

#[tokio::test]
#[should_panic(expected = "expected 503 5.5.1 to \"NOOP\", got \"250 2.0.0 ok\"")]
async fn a_wrong_reply_is_told_with_its_command() {
    let world = World::setup().without_relay().await;
    let mx = world.remote("example.net").await;
    let mut client = world.client_of(&mx).session().await;
    client.cmd("NOOP").await.expect("503 5.5.1");
}

#[tokio::test]
#[should_panic(expected = "out of step")]
async fn a_reply_too_many_is_found() {
    let world = World::setup().without_relay().await;
    let mx = world
        .remote("example.net")
        .mail(["250 ok\r\n250 2.0.0 one more"])
        .await;
    let mut client = world.client_of(&mx).session().await;
    client.cmd("MAIL FROM:<>").await.expect(250);
    client.in_sync().await;
}

#[tokio::test]
#[should_panic(expected = "breaks the rules of reply lines")]
async fn a_reply_line_without_cr_is_refused() {
    first_reply(raw("220 hi\n")).await;
}

#[tokio::test]
#[should_panic(expected = "(513 octets) breaks the rules of reply lines")]
async fn a_reply_line_that_is_too_long_is_refused() {
    first_reply(reply(&format!("220 {}", "x".repeat(507)))).await;
}

#[tokio::test]
#[should_panic(expected = "breaks the rules of reply lines")]
async fn a_control_character_in_a_reply_is_refused() {
    first_reply(reply("220 \x1b[2J")).await;
}

#[tokio::test]
#[should_panic(expected = "two codes in one reply")]
async fn two_codes_in_one_reply_are_refused() {
    first_reply(reply("220-a\r\n250 b")).await;
}

#[tokio::test]
#[should_panic(expected = "ended the connection")]
async fn a_connection_closed_within_a_reply_is_told() {
    first_reply(raw("220-a\r\n22").then(crate::support::close())).await;
}

async fn first_reply(greeting: crate::support::Answer) {
    let world = World::setup().without_relay().await;
    let mx = world.remote("example.net").greeting([greeting]).await;
    world.client_of(&mx).connect().await.read_reply().await;
}

#[tokio::test]
async fn the_relays_replies_need_an_enhanced_code_where_smtp_has_one() {
    for (greeting, fine) in [
        ("220 gp.test hi", true),
        ("250 gp.test", true),
        ("354 go", true),
        ("250-2.0.0 ok\r\n250 and more", true),
        ("554 5.7.1 no", true),
        ("250 ok", false),
        ("554 no", false),
        ("554 4.7.1 no", false),
    ] {
        let read = tokio::spawn(async move {
            let world = World::setup().without_relay().await;
            world
                .relay()
                .set("SMTP_PORT", &world.delivery_port().to_string());
            let plan = world.remote_without_dns().at("127.0.0.1");
            let _relay = plan.greeting([greeting]).await;
            world.client().connect().await.read_reply().await
        });
        assert_eq!(read.await.is_ok(), fine, "{greeting}");
    }
}
