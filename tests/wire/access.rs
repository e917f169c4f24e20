//! W-1: who may connect, what is said first, and how the relay takes its leave.

use std::panic::Location;
use std::time::Duration;

use crate::support::{Client, Dial, RecordType, Trouble, World, mail, stuffed, within};

use RecordType::{A, AAAA, PTR};

/// Between two looks whether something is so by now.
const PAUSE: Duration = Duration::from_millis(20);

#[tokio::test]
async fn an_allowed_client_is_greeted_once_with_our_name() {
    // W-1.01
    let world = World::new().await;
    let mut client = world.client().connect().await;
    let greeting = client.read_reply().await.expect("220");
    assert!(greeting.lines.len() == 1 && greeting.text().starts_with("gp.test "));
    client.in_sync().await;

    let mut client = world.client().over_v6().connect().await;
    client.send_octets("QUIT\r\n").await;
    let all = String::from_utf8(client.read_to_end().await).expect("text");
    let lines: Vec<&str> = all.split_inclusive("\r\n").collect();
    assert!(
        lines.len() == 2 && lines[0].starts_with("220 gp.test ") && lines[1].starts_with("221 "),
        "{all:?}"
    );
}

#[tokio::test]
async fn a_client_that_is_not_allowed_hears_554_and_nothing_else() {
    // W-1.02
    let world = World::setup()
        .set("SMTP_ALLOW_NETWORKS", "127.0.0.0/30")
        .await;
    turned_away(world.client().from("127.0.0.4")).await;
    turned_away(world.client().over_v6()).await;
    let_in(world.client().from("127.0.0.3")).await;
}

#[tokio::test]
async fn the_554_arrives_whole_whatever_a_refused_client_sends() {
    // W-1.03
    let world = World::setup().set("SMTP_ALLOW_NETWORKS", "127.0.0.1").await;
    let large = mail()
        .to("ann@dest.test")
        .body(&"All in one go.\n".repeat(20_000));
    let envelope =
        "EHLO client.test\r\nMAIL FROM:<ann@gp.test>\r\nRCPT TO:<ann@dest.test>\r\nDATA\r\n";
    let whole = [envelope.as_bytes(), &stuffed(&large.octets()), b"QUIT\r\n"].concat();
    let mut client = world.client().from("127.0.0.9").connect().await;
    client.send_octets(&whole).await;
    refused_for_good(&mut client).await;
    world.nothing_queued().await;
}

#[tokio::test]
async fn with_nobody_allowed_loopback_is_refused_too() {
    // W-1.04
    let world = World::setup().unset("SMTP_ALLOW_NETWORKS").await;
    for address in ["127.0.0.1", "::1"] {
        turned_away(world.client().at(address)).await;
    }
}

#[tokio::test]
async fn an_ipv4_client_of_a_dual_stack_listener_is_one_of_ipv4() {
    // W-1.05
    let world = World::setup()
        .set("SMTP_LISTEN_ADDRESSES", "::")
        .set("SMTP_ALLOW_NETWORKS", "127.0.0.0/8")
        .await;
    let mx = world.remote("dest.test").await;
    let sent = world
        .client()
        .from("127.0.0.7")
        .send(mail().to("ann@dest.test"));
    sent.await.accepted();
    assert_eq!(mx.message().await.trace().client, "[127.0.0.7]");
    turned_away(world.client().over_v6()).await;
}

#[tokio::test]
async fn an_allowed_host_is_who_has_an_address_of_that_name() {
    // W-1.06
    let world = world_with_host("app.test").await;
    world.dns().a("app.test", "127.0.0.7");
    world.dns().aaaa("app.test", "::1");
    world.relay().start().await;
    world.dns().was_asked("app.test", A).await;
    world.dns().was_asked("app.test", AAAA).await;
    let_in(world.client().from("127.0.0.7")).await;
    let_in(world.client().over_v6()).await;

    let mut client = world.client().from("127.0.0.8").connect().await;
    client.send_octets("EHLO app.test\r\n").await;
    refused_for_good(&mut client).await;
    let queries = world.dns().queries();
    assert!(queries.iter().all(|query| query.record_type != PTR));
}

#[tokio::test]
async fn an_allowed_host_is_looked_up_again_when_its_ttl_has_ended() {
    // W-1.06
    let world = world_with_host("app.test").await;
    world.dns().a("app.test", "127.0.0.7");
    world.relay().start().await;
    let_in(world.client().from("127.0.0.7")).await;
    let asked_before = times_asked(&world, "app.test");

    world.dns().remove("app.test", A);
    world.dns().a("app.test", "127.0.0.8");
    again_until("the new address to be let in", async || {
        let mut client = world.client().from("127.0.0.8").connect().await;
        let first = client.read_reply().await;
        first.is(220) || first.expect("554 5.7.1").is(220) // the old answer may still hold
    })
    .await;
    let_in(world.client().from("127.0.0.8")).await;
    assert!(times_asked(&world, "app.test") > asked_before);
    turned_away(world.client().from("127.0.0.7")).await;
}

#[tokio::test]
async fn a_host_that_can_not_be_looked_up_is_put_off_and_holds_up_nobody() {
    // W-1.07
    for trouble in [Trouble::ServFail, Trouble::Silence] {
        let world = world_with_host("app.test").await;
        let relay = world.relay();
        relay.set("SMTP_ALLOW_NETWORKS", "127.0.0.1");
        relay.set("SMTP_DNS_TIMEOUT", "700ms");
        world.dns().troubles_all("app.test", trouble);
        relay.start().await;
        let mut unknown = world.client().from("127.0.0.7").connect().await;
        world.dns().was_asked("app.test", A).await;
        let_in(world.client()).await;
        unknown.read_reply().await.expect("421 4.4.3");
        unknown.expect_closed().await;
    }
}

#[tokio::test]
async fn a_host_that_may_be_allowed_is_not_refused_for_good_as_a_stranger() {
    // W-1.07, W-9.13
    let world = world_with_host("app.test").await;
    let relay = world.relay();
    relay.set("SMTP_ALLOW_NETWORKS", "127.0.0.1");
    relay.set("SMTP_AUTH_ANYWHERE", "true");
    relay.set("SMTP_AUTH_USERS", "ann:secret");
    relay.set("SMTP_AUTH_INSECURE", "true");
    world.dns().troubles_all("app.test", Trouble::ServFail);
    relay.start().await;
    let mut client = world.client().from("127.0.0.7").session().await;
    client
        .cmd("MAIL FROM:<a@gp.test>")
        .await
        .expect("451 4.4.3");
    client.send_octets("BDAT 6 LAST\r\nQUIT\r\n").await;
    client.read_reply().await.expect("451 4.4.3");
    client
        .cmd("AUTH PLAIN AGFubgBzZWNyZXQ=")
        .await
        .expect("235 2.7.0");
    client.cmd("MAIL FROM:<a@gp.test>").await.expect(250);
}

#[tokio::test]
async fn a_host_whose_name_does_not_exist_is_refused() {
    // W-1.07
    let world = world_with_host("gone.test").await;
    world.relay().start().await;
    turned_away(world.client().from("127.0.0.7")).await;
    world.dns().was_asked("gone.test", A).await;
}

#[tokio::test]
async fn the_last_good_answer_holds_while_dns_is_in_trouble() {
    // W-1.07
    let world = world_with_host("app.test").await;
    world.dns().a("app.test", "127.0.0.7");
    world.relay().start().await;
    let_in(world.client().from("127.0.0.7")).await;
    let asked_before = times_asked(&world, "app.test");
    world.dns().troubles_all("app.test", Trouble::ServFail);
    again_until("the name to be looked up again", async || {
        let_in(world.client().from("127.0.0.7")).await;
        times_asked(&world, "app.test") > asked_before
    })
    .await;
    let_in(world.client().from("127.0.0.7")).await;
    turned_away(world.client().from("127.0.0.8")).await;
}

#[tokio::test]
async fn what_is_sent_before_the_greeting_is_read_behind_it() {
    // W-1.08
    let world = World::new().await;
    let mut client = world.client().connect().await;
    client
        .send_octets("RCPT TO:<ann@dest.test>\r\nEHLO client.test\r\nNOOP\r\nVRFY x\r\n")
        .await;
    for wanted in ["220", "503 5.5.1", "250", "250 2.0.0", "252 2.0.0"] {
        client.read_reply().await.expect(wanted);
    }
    client.in_sync().await;
}

#[tokio::test]
async fn who_speaks_another_protocol_is_told_so_once_and_not_listened_to() {
    // W-1.09, W-1.10
    let world = World::new().await;
    let rest = "Host: gp.test\r\n\r\nEHLO x\r\nMAIL FROM:<ann@gp.test>\r\n";
    let tls_hello = [
        &b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03"[..],
        &[7; 500],
    ]
    .concat();
    for first in [
        format!("GET / HTTP/1.1\r\n{rest}").as_bytes(),
        format!("POST /mail HTTP/1.0\r\n{rest}").as_bytes(),
        format!("CONNECT gp.test:25 HTTP/1.1\r\n{rest}").as_bytes(),
        &tls_hello,
    ] {
        let mut client = world.client().connect().await;
        client.read_reply().await.expect(220);
        client.send_octets(first).await;
        client.read_reply().await.expect("500 5.5.2");
        client.expect_closed().await;
    }
}

#[tokio::test]
async fn over_the_cap_a_client_is_put_off_before_the_greeting() {
    // W-1.12
    let world = World::setup().set("SMTP_MAX_CONNECTIONS", "3").await;
    let mut held = Vec::new();
    // The connections that waited for the start may take a moment to go.
    while held.len() < 3 {
        let mut client = world.client().connect().await;
        let first = client.read_reply().await;
        if first.is(220) {
            held.push(client);
        } else {
            first.expect("421 4.3.2");
        }
    }
    let mut client = world.client().from("127.0.0.7").connect().await;
    client.read_reply().await.expect("421 4.3.2");
    client.expect_closed().await;
}

#[tokio::test]
async fn over_its_own_cap_a_client_is_put_off_and_others_are_not() {
    // W-1.12
    let world = World::setup()
        .set("SMTP_MAX_CONNECTIONS_PER_CLIENT", "2")
        .await;
    let _held = [
        world.client().from("127.0.0.7").session().await,
        world.client().from("127.0.0.7").session().await,
    ];
    let mut client = world.client().from("127.0.0.7").connect().await;
    client.read_reply().await.expect("421 4.7.0");
    client.expect_closed().await;
    let_in(world.client().from("127.0.0.8")).await;
}

async fn let_in(client: Dial) {
    client.session().await.quit().await;
}

async fn turned_away(client: Dial) {
    refused_for_good(&mut client.connect().await).await;
}

/// Fails unless the client hears one `554 5.7.1`, and the connection is closed properly behind it.
async fn refused_for_good(client: &mut Client) {
    let reply = client.read_reply().await.expect("554 5.7.1");
    assert_eq!(reply.lines.len(), 1, "{reply}");
    client.expect_closed().await;
}

/// Tries until it is so; nothing tells when a TTL ends.
async fn again_until(what: &str, mut tried: impl AsyncFnMut() -> bool) {
    let trying = async {
        while !tried().await {
            tokio::time::sleep(PAUSE).await;
        }
    };
    within(Location::caller(), || what.to_owned(), trying).await;
}

/// A relay, not started yet, that lets in this host and nobody else.
async fn world_with_host(name: &str) -> World {
    World::setup()
        .unset("SMTP_ALLOW_NETWORKS")
        .set("SMTP_ALLOW_HOSTS", name)
        .without_relay()
        .await
}

fn times_asked(world: &World, name: &str) -> usize {
    let queries = world.dns().queries().into_iter();
    queries
        .filter(|query| query.name == name && query.record_type == A)
        .count()
}
