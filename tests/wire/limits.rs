//! W-12 and its kin: what one client may use up, and what it is told when that is all.

use std::panic::Location;
use std::time::Duration;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::net::tcp::OwnedReadHalf;

use crate::support::{Client, Line, World, mail, within};

#[tokio::test]
async fn a_connection_has_so_many_transactions_as_ehlo_says() {
    // W-4.13, W-12.03
    let world = World::setup()
        .set("SMTP_MAX_MESSAGES_PER_CONNECTION", "3")
        .set("SMTP_MAX_RECIPIENTS", "100")
        .set("SMTP_MODE", "hold")
        .await;
    let mut client = world.client().connect().await;
    client.read_reply().await.expect(220);
    let hello = client.cmd("EHLO client.test").await;
    let limits: Vec<&String> = hello
        .lines
        .iter()
        .filter(|line| line.starts_with("LIMITS"))
        .collect();
    assert_eq!(limits, ["LIMITS RCPTMAX=100 MAILMAX=3"]);
    client.cmd("MAIL FROM:<>").await.expect(250);
    for number in 0..100 {
        let command = format!("RCPT TO:<r{number}@dest.test>");
        client.cmd(&command).await.expect(250);
    }
    client
        .cmd("RCPT TO:<one@more.test>")
        .await
        .expect("452 4.5.3");
    client.cmd("RSET").await.expect(250);
    client.send(mail().to("a@dest.test")).await.accepted();
    client.cmd("MAIL FROM:<nobody>").await.expect("501 5.1.7"); // was none
    client.send(mail().to("a@dest.test")).await.accepted();
    client.cmd("NOOP").await.expect(250);
    client
        .cmd("MAIL FROM:<ann@gp.test>")
        .await
        .expect("421 4.7.0");
    client.expect_closed().await;
}

#[tokio::test]
async fn messages_over_the_rate_of_a_client_are_put_off_whatever_connection_they_use() {
    // W-12.03
    let world = World::setup()
        .set("SMTP_CLIENT_MESSAGE_RATE", "2/1h")
        .set("SMTP_MODE", "hold")
        .await;
    for _ in 0..2 {
        let sent = world
            .client()
            .from("127.0.0.7")
            .send(mail().to("a@dest.test"));
        sent.await.accepted();
    }
    let mut client = world.client().from("127.0.0.7").session().await;
    client
        .cmd("MAIL FROM:<ann@gp.test>")
        .await
        .expect("450 4.7.1");
    client
        .cmd("RCPT TO:<a@dest.test>")
        .await
        .expect("503 5.5.1");
    client.in_sync().await;
    let other = world
        .client()
        .from("127.0.0.8")
        .send(mail().to("a@dest.test"));
    other.await.accepted();
}

#[tokio::test]
async fn a_rate_gives_back_with_time() {
    // W-12.03
    let world = World::setup()
        .set("SMTP_CLIENT_MESSAGE_RATE", "1/300ms")
        .set("SMTP_MODE", "hold")
        .await;
    let mut client = world.client().session().await;
    let mut accepted = 0;
    let sending = async {
        while accepted < 3 {
            let reply = client.cmd("MAIL FROM:<ann@gp.test>").await;
            if reply.is(250) {
                accepted += 1;
                client.cmd("RSET").await.expect(250);
            } else {
                reply.expect("450 4.7.1");
                tokio::time::sleep(Duration::from_millis(20)).await; // nothing tells when a rate gives back
            }
        }
    };
    let what = || "a rate to give back".to_owned();
    within(Location::caller(), what, sending).await;
}

#[tokio::test]
async fn recipients_over_the_rate_are_put_off_and_those_before_get_their_mail() {
    // W-12.03
    let world = World::setup()
        .set("SMTP_CLIENT_RECIPIENT_RATE", "2/1h")
        .await;
    let mx = world.remote("dest.test").await;
    let mut client = world.client().from("127.0.0.7").session().await;
    client
        .dialogue([
            ("MAIL FROM:<ann@gp.test>", "250 2.1.0"),
            ("RCPT TO:<a@dest.test>", "250 2.1.5"),
            ("RCPT TO:<b@dest.test>", "250 2.1.5"),
            ("RCPT TO:<c@dest.test>", "450 4.7.1"),
            ("DATA", "354"),
        ])
        .await;
    client.send_octets("Subject: x\r\n\r\nx\r\n.\r\n").await;
    client.read_reply().await.expect("250 2.0.0");
    let rcpts = mx.message().await.transaction.rcpts;
    assert_eq!(rcpts.len(), 2, "{rcpts:?}");
    client
        .dialogue([
            ("MAIL FROM:<ann@gp.test>", "250 2.1.0"),
            ("RCPT TO:<c@dest.test>", "450 4.7.1"),
            ("DATA", "554 5.5.1"),
        ])
        .await;
    client.in_sync().await;
}

#[tokio::test]
async fn connections_over_the_rate_of_a_client_are_put_off_and_others_are_not() {
    // W-1.12
    let world = World::setup()
        .set("SMTP_CLIENT_CONNECTION_RATE", "3/1h")
        .await;
    for _ in 0..3 {
        world
            .client()
            .from("127.0.0.7")
            .session()
            .await
            .quit()
            .await;
    }
    for _ in 0..2 {
        let mut client = world.client().from("127.0.0.7").connect().await;
        client.read_reply().await.expect("421 4.7.0");
        client.expect_closed().await;
    }
    world
        .client()
        .from("127.0.0.8")
        .session()
        .await
        .quit()
        .await;
}

#[tokio::test]
async fn errors_end_a_session_unless_a_message_is_accepted_between() {
    // W-12.04
    let world = World::setup()
        .set("SMTP_MAX_ERRORS", "4")
        .set("SMTP_MODE", "hold")
        .await;
    let mut client = world.client().session().await;
    for _ in 0..2 {
        client.cmd("FOO").await.expect("500 5.5.1");
        client
            .cmd("RCPT TO:<a@dest.test>")
            .await
            .expect("503 5.5.1");
        client.cmd("NOOP\nNOOP").await.expect("500 5.5.2");
        client.send(mail().to("a@dest.test")).await.accepted();
    }
    client.cmd("FOO").await.expect("500 5.5.1");
    client.cmd("DATA").await.expect("503 5.5.1");
    client.cmd("RSET").await.expect(250); // forgives nothing
    client
        .cmd("MAIL FROM:<a@other.test>")
        .await
        .expect("550 5.7.1");
    client.cmd("EHLO").await.expect("501 5.5.4");
    client.read_reply().await.expect("421 4.7.0");
    client.expect_closed().await;

    // What was pipelined behind the last error is not run.
    let mut client = world.client().session().await;
    client.send_octets("FOO\r\n".repeat(50)).await;
    for wanted in [
        "500 5.5.1",
        "500 5.5.1",
        "500 5.5.1",
        "500 5.5.1",
        "421 4.7.0",
    ] {
        client.read_reply().await.expect(wanted);
    }
    client.expect_closed().await;
}

#[tokio::test]
async fn an_octet_now_and_then_does_not_keep_a_session_open() {
    // W-12.02
    let world = World::setup()
        .set("SMTP_COMMAND_TIMEOUT", "700ms")
        .set("SMTP_DATA_TIMEOUT", "700ms")
        .await;
    for said in [
        "EHLO client.test\r\n",
        "EHLO client.test\r\nMAIL FROM:<>\r\nRCPT TO:<a@dest.test>\r\nDATA\r\n",
        // What can't be taken any more has no more time than the rest.
        "EHLO client.test\r\nMAIL FROM:<>\r\nRCPT TO:<a@dest.test>\r\nDATA\r\na bare \n\r\n",
    ] {
        let stream = TcpStream::connect(world.relay().address()).await;
        let (reading, mut writing) = stream.expect("the relay listens").into_split();
        writing.write_all(said.as_bytes()).await.expect("it reads");
        let heard = tokio::spawn(everything(reading));
        let trickling = async {
            while !heard.is_finished() && writing.write_all(b"x").await.is_ok() {
                tokio::time::sleep(Duration::from_millis(30)).await; // slowness is the point
            }
        };
        within(
            Location::caller(),
            || "a trickle to be ended".to_owned(),
            trickling,
        )
        .await;
        let heard = heard.await.expect("no panic");
        let last = heard.lines().last().unwrap_or_default();
        assert!(last.starts_with("421 4.4.2"), "behind {said:?}: {heard}");
    }
    world.nothing_queued().await;
}

#[tokio::test]
async fn slow_data_above_the_least_rate_are_taken() {
    // W-12.02
    let world = World::setup()
        .set("SMTP_DATA_TIMEOUT", "500ms")
        .set("SMTP_MIN_DATA_RATE", "10")
        .set("SMTP_MODE", "hold")
        .await;
    let mut client = world.client().session().await;
    client.up_to_data(&mail().to("a@dest.test")).await;
    for _ in 0..12 {
        client.send_octets("a line of twenty it is\r\n").await;
        tokio::time::sleep(Duration::from_millis(100)).await; // its slowness is the point
    }
    client.send_octets(".\r\n").await;
    client.read_reply().await.expect("250 2.0.0");
}

#[tokio::test]
async fn over_the_memory_budget_mail_is_put_off_at_mail_and_nothing_else_is() {
    // W-12.05: the budget has room for three transactions
    let world = World::setup()
        .set("SMTP_MEMORY_BUDGET", "1MiB")
        .set("SMTP_MODE", "hold")
        .await;
    let mut open = Vec::new();
    for _ in 0..3 {
        let mut client = world.client().session().await;
        client.cmd("MAIL FROM:<ann@gp.test>").await.expect(250);
        open.push(client);
    }
    let mut client = world.client().session().await;
    client
        .dialogue([
            ("MAIL FROM:<ann@gp.test>", "452 4.3.1"),
            ("RCPT TO:<a@dest.test>", "503 5.5.1"),
            ("NOOP", "250 2.0.0"),
            ("VRFY x", "252 2.0.0"),
        ])
        .await;
    // Each way out of a transaction gives its share back.
    let mut last = open.pop().expect("three");
    last.cmd("RSET").await.expect(250);
    client.send(mail().to("a@dest.test")).await.accepted();
    let refused = client.send(mail().to("a@dest.test").body("a\0b")).await;
    refused.refused("554 5.6.0");
    let mut last = open.pop().expect("two");
    last.cmd("EHLO again.test").await.expect(250);
    client.cmd("MAIL FROM:<ann@gp.test>").await.expect(250);
    let mut other = world.client().session().await;
    other.cmd("MAIL FROM:<ann@gp.test>").await.expect(250);
    let mut further = world.client().session().await;
    further
        .cmd("MAIL FROM:<ann@gp.test>")
        .await
        .expect("452 4.3.1");
    other.quit().await;
    further.cmd("MAIL FROM:<ann@gp.test>").await.expect(250);
}

#[tokio::test]
async fn many_recipients_take_of_the_memory_budget_too() {
    // W-12.05: the budget has room for three transactions, or for 300 recipients of one
    let world = World::setup()
        .set("SMTP_MEMORY_BUDGET", "1MiB")
        .set("SMTP_MODE", "hold")
        .await;
    let mut client = world.client().session().await;
    client.cmd("MAIL FROM:<ann@gp.test>").await.expect(250);
    let names = async |client: &mut Client, numbers: std::ops::Range<u32>| {
        for number in numbers {
            let command = format!("RCPT TO:<r{number}@dest.test>");
            client.cmd(&command).await.expect("250 2.1.5");
        }
    };
    names(&mut client, 0..100).await;
    let mut other = world.client().session().await;
    other.cmd("MAIL FROM:<ann@gp.test>").await.expect(250);
    names(&mut client, 100..200).await;
    let further = "RCPT TO:<further@dest.test>";
    client.cmd(further).await.expect("452 4.3.1");
    other.cmd("RSET").await.expect(250);
    names(&mut client, 200..300).await;
    client.cmd(further).await.expect("452 4.3.1");
    let from = "MAIL FROM:<ann@gp.test>";
    other.cmd(from).await.expect("452 4.3.1");
    // Those before have their mail, and all the shares come back.
    client.cmd("DATA").await.expect(354);
    client.send_octets("Subject: x\r\n\r\nx\r\n.\r\n").await;
    client.read_reply().await.expect("250 2.0.0");
    for _ in 0..3 {
        let mut client = world.client().session().await;
        client.cmd(from).await.expect(250);
        client.quit().await;
    }
    let mut open = Vec::new();
    for wanted in ["250", "250", "250", "452 4.3.1"] {
        let mut client = world.client().session().await;
        client.cmd(from).await.expect(wanted);
        open.push(client);
    }
}

#[tokio::test]
async fn a_client_that_never_reads_is_left_and_holds_up_nobody() {
    // W-7.05, W-12.06
    let world = World::setup()
        .set("SMTP_COMMAND_TIMEOUT", "1s")
        .set("SMTP_LOG", "debug")
        .set("SMTP_MODE", "hold")
        .await;
    let address = world.relay().address();
    let mut deaf = TcpStream::connect(address)
        .await
        .expect("the relay listens");
    world
        .client()
        .send(mail().to("a@dest.test"))
        .await
        .accepted();
    let before = world.relay().resident_octets();
    // Far more than the system keeps for a reader that does not read.
    let saying = tokio::spawn(async move {
        let _ = deaf
            .write_all("NOOP\r\n".repeat(1_000_000).as_bytes())
            .await; // it is left
        deaf
    });
    let others = world.client().send(mail().to("a@dest.test"));
    others.await.accepted();
    let left = |line: &Line| line.text.contains("client does not read our replies");
    world.log().wait_for(left).await;
    let grown = world.relay().resident_octets().saturating_sub(before);
    assert!(grown < 16 << 20, "grown by {grown} bytes");
    drop(saying.await.expect("no panic"));
    world
        .client()
        .send(mail().to("a@dest.test"))
        .await
        .accepted();
}

#[tokio::test]
async fn replies_wait_in_order_for_a_client_that_reads_late() {
    // W-7.05
    const COUNT: usize = 1_000_000;
    let world = World::new().await;
    let stream = TcpStream::connect(world.relay().address()).await;
    let (mut reading, mut writing) = stream.expect("the relay listens").into_split();
    let saying = tokio::spawn(async move {
        let noops = "NOOP\r\n".repeat(COUNT);
        writing.write_all(noops.as_bytes()).await.expect("it reads");
        writing
    });
    // Others are served while it does not read.
    world.takes_and_delivers_a_mail().await;
    let checking = async {
        let (mut octets, mut lines) = (vec![0; 1 << 16], 0);
        let mut line = Vec::new();
        while lines <= COUNT {
            let count = reading.read(&mut octets).await.expect("no reset");
            assert!(count > 0, "the end after {lines} lines");
            for octet in &octets[..count] {
                line.push(*octet);
                if line.ends_with(b"\r\n") {
                    let right = if lines == 0 { "220 " } else { "250 2.0.0 " };
                    assert!(
                        line.starts_with(right.as_bytes()),
                        "{}",
                        line.escape_ascii()
                    );
                    line.clear();
                    lines += 1;
                }
            }
        }
    };
    within(Location::caller(), || "all replies".to_owned(), checking).await;
    drop(saying.await.expect("no panic"));
}

#[tokio::test]
async fn replies_to_a_pipelined_group_come_in_one_write() {
    // W-7.01
    let world = World::new().await;
    let stream = TcpStream::connect(world.relay().address()).await;
    let mut stream = stream.expect("the relay listens");
    let mut group = "EHLO client.test\r\n";
    let mut octets = vec![0; 4096];
    for wanted in [&["220"][..], &["250"], &["250", "250", "250", "354"]] {
        let count = stream.read(&mut octets).await.expect("an answer");
        let heard = String::from_utf8_lossy(&octets[..count]).into_owned();
        let last = |line: &&str| line.as_bytes().get(3) == Some(&b' ');
        let codes: Vec<&str> = heard.lines().filter(last).map(|line| &line[..3]).collect();
        assert_eq!(codes, wanted, "in one piece: {heard}");
        stream.write_all(group.as_bytes()).await.expect("it reads");
        group =
            "MAIL FROM:<ann@gp.test>\r\nRCPT TO:<a@dest.test>\r\nRCPT TO:<b@dest.test>\r\nDATA\r\n";
    }
}

#[tokio::test]
async fn who_connects_and_goes_leaves_nothing_behind() {
    // W-1.13
    let world = World::setup().set("SMTP_MAX_CONNECTIONS", "100").await;
    world.client().session().await.quit().await;
    // What the relay opens for itself is open, the control socket last.
    world
        .log()
        .wait_for(|line| line.field("what").as_deref() == Some("health"))
        .await;
    let control = world.relay().directory().join("spool/control.sock");
    let opened = async {
        while !control.exists() {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    within(Location::caller(), || format!("{control:?}"), opened).await;
    let before = world.relay().open_descriptors();
    for number in 0..1_000 {
        let client = world.client().lenient().connect().await;
        if number % 2 == 0 {
            client.reset();
        } else {
            client.close();
        }
    }
    // Who came last is answered last, with 220 or 421: nobody is left in the queue before accept.
    let last = TcpStream::connect(world.relay().address()).await;
    let (reading, writing) = last.expect("the relay listens").into_split();
    drop(writing);
    within(
        Location::caller(),
        || "the last connection to be accepted and closed".to_owned(),
        everything(reading),
    )
    .await;
    let gone = async {
        while world.relay().open_descriptors() > before {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    let what = || "all descriptors to be given back".to_owned();
    within(Location::caller(), what, gone).await;
    world.takes_and_delivers_a_mail().await;
}

/// Whatever is said until the end.
async fn everything(mut reading: OwnedReadHalf) -> String {
    let mut heard = Vec::new();
    let _ = reading.read_to_end(&mut heard).await; // what came before a reset counts
    String::from_utf8_lossy(&heard).into_owned()
}
