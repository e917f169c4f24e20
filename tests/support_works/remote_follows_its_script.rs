//! Remote hosts, called by the support's own client in the relay's place.

use std::time::Duration;

use crate::support::{
    End, Ended, Gate, Phase, World, close, hang, mail, raw, read_data, reply, reset, same_octets,
    segments, stop_reading, stuffed, trickle,
};

#[tokio::test]
async fn a_good_host_takes_a_mail_and_remembers_it_all() {
    let world = World::setup().without_relay().await;
    let mx = world.remote("example.net").await;
    let sent = mail()
        .from("a@gp.test")
        .to("\"x>y\"@example.net")
        .to("b@example.net")
        .mail_parameter("BODY=8BITMIME")
        .body(".\n..\n.x\nend");
    let submission = world.client_of(&mx).send(sent.clone()).await;
    submission.refused(250);
    submission.rcpt(1).clone().expect("250 2.1.5");

    let message = mx.message().await;
    assert_eq!(message.from(), "a@gp.test");
    assert_eq!(message.to(), ["\"x>y\"@example.net", "b@example.net"]);
    assert_eq!(message.transaction.mail_parameters(), ["BODY=8BITMIME"]);
    assert_eq!(message.transaction.hello, "EHLO client.test");
    same_octets(message.octets(), sent.octets());
    same_octets(&message.transaction.wire, stuffed(&sent.octets()));
    assert_eq!(message.field("subject").as_deref(), Some("hello"));
    assert_eq!(message.body(), b".\r\n..\r\n.x\r\nend\r\n");
    assert_eq!(
        mx.commands(),
        [
            "EHLO client.test",
            "MAIL FROM:<a@gp.test> BODY=8BITMIME",
            "RCPT TO:<\"x>y\"@example.net>",
            "RCPT TO:<b@example.net>",
            "DATA",
            "QUIT",
        ]
    );
    assert_eq!(mx.ended(0).await, Ended::Quit);
    assert!(!mx.connections()[0].pipelined());
    mx.received_exactly(1).await;
    mx.never_saw("STARTTLS");
}

#[tokio::test]
async fn answers_come_in_order_over_all_connections_and_the_last_one_repeats() {
    let world = World::setup().without_relay().await;
    let mx = world
        .remote("example.net")
        .rcpt(["451 4.2.0 later", "250 2.1.5 ok"])
        .rcpt_for("no@example.net", ["550 5.1.1 unknown"])
        .await;
    let to = |mailbox: &str| world.client_of(&mx).send(mail().to(mailbox));
    to("ann@example.net").await.refused("451 4.2.0");
    to("no@example.net").await.refused("550 5.1.1");
    to("ann@example.net").await.refused("250");
    to("ann@example.net").await.refused("250");
    mx.answers(Phase::Dot, ["554 5.6.0 no"]);
    to("ann@example.net").await.refused("554 5.6.0");
    let ends: Vec<End> = mx.transactions().iter().map(|t| t.end).collect();
    assert_eq!(ends, [End::Accepted, End::Accepted, End::Refused]);
    mx.received_exactly(2).await;
}

#[tokio::test]
async fn odd_replies_go_out_as_written() {
    let world = World::setup().without_relay().await;
    let mx = world
        .remote("example.net")
        .greeting([segments(["22", "0-a\r", "\n220 b\r\n"])])
        .ehlo([trickle(Duration::from_millis(1), "250-x\r\n250 SIZE 0")])
        .mail([raw(b"250-a\n250 \x1b\x00\xffb\n")])
        .rcpt([reply("250 ok").after(Duration::from_millis(5))])
        .await;
    let mut client = world.client_of(&mx).lenient().connect().await;
    assert_eq!(client.read_reply().await.expect(220).lines, ["a", "b"]);
    let hello = client.cmd("EHLO x").await.expect(250);
    assert_eq!(hello.keywords(), ["SIZE 0"]);
    let answer = client.cmd("MAIL FROM:<>").await.expect(250);
    assert_eq!(answer.lines, ["a", "\u{1b}\0\u{fffd}b"]);
    client.cmd("RCPT TO:<a@b>").await.expect(250);
}

#[tokio::test]
async fn a_host_can_hang_close_and_reset() {
    let world = World::setup().without_relay().await;
    let mx = world
        .remote("example.net")
        .greeting([
            hang(),
            close(),
            reset(),
            reply("421 4.3.2 bye").then(close()),
        ])
        .await;
    let mut client = world.client_of(&mx).connect().await;
    client.hears_nothing_for(Duration::from_millis(50)).await;
    client.close();
    assert_eq!(mx.ended(0).await, Ended::ByClient);
    let mut client = world.client_of(&mx).connect().await;
    client.expect_closed().await;
    let mut client = world.client_of(&mx).connect().await;
    client.expect_gone().await;
    let mut client = world.client_of(&mx).connect().await;
    client.read_reply().await.expect("421 4.3.2");
    client.expect_closed().await;
    assert_eq!(mx.ended(3).await, Ended::ByScript);
}

#[tokio::test]
async fn a_connection_lost_within_the_data_is_told_from_one_lost_after_the_dot() {
    let world = World::setup().without_relay().await;
    let mx = world
        .remote("example.net")
        .data([
            reply("354 go").then(read_data(1_000)).then(reset()),
            reply("354 go"),
        ])
        .dot([close(), reply("250 ok").then(reset())])
        .await;
    for _ in 0..3 {
        let mut client = world.client_of(&mx).session().await;
        client.cmd("MAIL FROM:<a@gp.test>").await.expect(250);
        client.cmd("RCPT TO:<b@example.net>").await.expect(250);
        client.cmd("DATA").await.expect(354);
        client.send_octets(stuffed(&[b'x'; 5_000])).await;
        client.read_to_end().await;
    }
    let transactions = mx.transactions_seen(3).await;
    let ends: Vec<End> = transactions.iter().map(|t| t.end).collect();
    assert_eq!(ends, [End::Lost, End::Unanswered, End::Accepted]);
    assert!(transactions[0].wire.len() >= 1_000);
    assert!(transactions[1].wire.ends_with(b"\r\n.\r\n"));
}

#[tokio::test]
async fn a_client_lost_within_the_data_leaves_no_message() {
    let world = World::setup().without_relay().await;
    let mx = world.remote("example.net").await;
    let mut client = world.client_of(&mx).session().await;
    client
        .pipeline(["MAIL FROM:<a@gp.test>", "RCPT TO:<b@example.net>", "DATA"])
        .await;
    client.send_octets("half a message\r\n.\r").await;
    client.close();
    let transactions = mx.transactions_seen(1).await;
    assert_eq!(transactions[0].end, End::Lost);
    assert!(mx.messages().is_empty());
    mx.receives_nothing();
}

#[tokio::test]
async fn a_gate_holds_an_answer_until_the_test_opens_it() {
    let world = World::setup().without_relay().await;
    let gate = Gate::new();
    let mx = world
        .remote("example.net")
        .dot([reply("250 2.0.0 ok").behind(&gate)])
        .await;
    let mut client = world.client_of(&mx).session().await;
    let sending = client.send(mail().to("ann@example.net"));
    tokio::pin!(sending);
    tokio::select! {
        _ = &mut sending => panic!("the gate is closed"),
        () = gate.reached() => {}
    }
    assert_eq!(mx.transactions()[0].end, End::Unanswered);
    gate.open();
    sending.await.refused("250 2.0.0");
    mx.received_exactly(1).await;
}

#[tokio::test]
async fn pipelining_is_noticed_and_in_order() {
    let world = World::setup().without_relay().await;
    let mx = world.remote("example.net").await;
    let mut client = world.client_of(&mx).session().await;
    let lines = ["MAIL FROM:<>", "RCPT TO:<a@example.net>", "DATA"];
    let codes: Vec<u16> = client
        .pipeline(lines)
        .await
        .iter()
        .map(|r| r.code)
        .collect();
    assert_eq!(codes, [250, 250, 354]);
    client.send_octets(".\r\nNOOP\r\n").await;
    client.read_reply().await.expect(250);
    client.read_reply().await.expect(250);
    client.in_sync().await;
    client.quit().await;
    assert!(mx.connections()[0].pipelined());
    assert_eq!(mx.message().await.octets(), b"");
}

#[tokio::test]
async fn hosts_share_a_port_on_addresses_of_their_own() {
    let world = World::setup().without_relay().await;
    let first = world.remote("example.net").await;
    let second = world.remote("example.net").preference(20).at("::1").await;
    let third = world.remote_without_dns().at("127.0.0.5").await;
    for remote in [&first, &second, &third] {
        assert_eq!(remote.address().port(), world.delivery_port());
        world.client_of(remote).session().await.quit().await;
        remote.was_called(1).await;
    }
    assert_eq!(first.name(), "mx1.example.net");
    assert_eq!(second.name(), "mx2.example.net");
    assert_eq!(second.literal(), "[IPv6:::1]");
    assert_eq!(third.literal(), "[127.0.0.5]");
    let nobody = std::net::SocketAddr::new(world.next_address(), world.delivery_port());
    world.client().to(nobody).expect_refused().await;
}

#[tokio::test]
async fn the_source_address_of_a_client_is_its_choice() {
    let world = World::setup().without_relay().await;
    let mx = world.remote("example.net").await;
    let client = world.client_of(&mx).from("127.0.0.77").session().await;
    client.quit().await;
    assert_eq!(mx.connections()[0].peer.ip().to_string(), "127.0.0.77");
}

#[tokio::test]
async fn a_host_goes_down_and_comes_back() {
    let world = World::setup().without_relay().await;
    let mx = world.remote("example.net").await;
    world.client_of(&mx).session().await.quit().await;
    mx.goes_down();
    world.client_of(&mx).expect_refused().await;
    mx.comes_back().await;
    world.client_of(&mx).session().await.quit().await;
    assert_eq!(mx.connections().len(), 2);
}

#[tokio::test]
async fn a_deaf_host_lets_connections_time_out() {
    let world = World::setup().without_relay().await;
    let mx = world.remote("example.net").never_accepts().await;
    let connecting = tokio::net::TcpStream::connect(mx.address());
    let limit = Duration::from_millis(300);
    assert!(tokio::time::timeout(limit, connecting).await.is_err());
    mx.never_called();
}

#[tokio::test]
async fn a_host_that_stops_reading_closes_the_window() {
    let world = World::setup().without_relay().await;
    let mx = world.remote("example.net").greeting([stop_reading()]).await;
    let mut client = world.client_of(&mx).connect().await;
    let endless = vec![b'x'; 64 * 1024 * 1024];
    let sending = client.send_octets(endless);
    assert!(
        tokio::time::timeout(Duration::from_millis(300), sending)
            .await
            .is_err()
    );
}

#[tokio::test]
async fn a_large_message_is_kept_whole() {
    let world = World::setup().without_relay().await;
    let mx = world.remote("example.net").await;
    let mut random = crate::support::Random::new();
    let sent = mail()
        .to("a@example.net")
        .body_octets(random.text(10_000_000));
    world.client_of(&mx).send(sent.clone()).await.refused(250);
    same_octets(mx.message().await.octets(), sent.octets());
}
