//! W-2: how a transaction begins, goes on and ends, and what leaves it as it was.

use std::collections::BTreeSet;

use crate::support::{World, mail, stuffed};

/// A line without its CRLF, and the reply to it.
type Row<'a> = (&'a str, &'a str);

const MAIL: Row<'_> = ("MAIL FROM:<ann@gp.test>", "250 2.1.0");
const RCPT: Row<'_> = ("RCPT TO:<ann@dest.test>", "250 2.1.5");
const RCPT_TOO_EARLY: Row<'_> = ("RCPT TO:<ann@dest.test>", "503 5.5.1");

#[tokio::test]
async fn a_hello_without_name_changes_nothing() {
    // W-2.04
    let world = World::new().await;
    let mx = world.remote("dest.test").await;
    let mut client = world.client().session().await;
    let nameless = [
        ("EHLO", "501 5.5.4"),
        ("HELO", "501 5.5.4"),
        ("EHLO   ", "501 5.5.4"),
    ];
    client.dialogue([MAIL, RCPT]).await;
    client.dialogue(nameless).await;
    client.dialogue([("RCPT TO:<bob@dest.test>", "250")]).await;
    client.data(mail().octets()).await.expect(250);
    let message = mx.message().await;
    assert_eq!(message.to(), ["ann@dest.test", "bob@dest.test"]);
    let trace = message.trace();
    assert_eq!(
        (trace.from.as_str(), trace.with.as_str()),
        ("client.test", "ESMTP")
    );

    let mut client = world.client().connect().await;
    client.read_reply().await.expect(220);
    client.dialogue(nameless).await;
    client
        .dialogue([("MAIL FROM:<ann@gp.test>", "503 5.5.1")])
        .await;
}

#[tokio::test]
async fn a_new_hello_drops_the_transaction() {
    // W-2.07
    let world = World::new().await;
    let mx = world.remote("dest.test").await;
    let mut client = world.client().session().await;
    for hello in ["EHLO again.test", "HELO again.test"] {
        client
            .dialogue([MAIL, ("RCPT TO:<lost@dest.test>", "250")])
            .await;
        client
            .dialogue([(hello, "250"), RCPT_TOO_EARLY, ("DATA", "503 5.5.1")])
            .await;
        client.dialogue([MAIL, RCPT]).await;
        client.data(mail().octets()).await.expect(250);
        assert_eq!(mx.message().await.to(), ["ann@dest.test"]);
    }
}

#[tokio::test]
async fn quit_drops_an_open_transaction_and_runs_nothing_behind_it() {
    // W-2.17
    let world = World::new().await;
    let mut client = world.client().session().await;
    client.dialogue([MAIL, RCPT, ("QUIT", "221 2.0.0")]).await;
    client.expect_closed().await;

    let mut client = world.client().session().await;
    client
        .send_octets("QUIT\r\nMAIL FROM:<ann@gp.test>\r\nRCPT TO:<ann@dest.test>\r\nDATA\r\n")
        .await;
    client.read_reply().await.expect("221 2.0.0");
    client.expect_closed().await;
    world.nothing_queued().await;
}

#[tokio::test]
async fn a_second_mail_is_refused_and_the_first_can_be_finished() {
    // W-2.18
    let world = World::new().await;
    let mx = world.remote("dest.test").await;
    let mut client = world.client().session().await;
    let second = ("MAIL FROM:<other@gp.test>", "503 5.5.1");
    client.dialogue([MAIL, second, RCPT, second]).await;
    client.data(mail().octets()).await.expect(250);
    let message = mx.message().await;
    assert_eq!(message.from(), "ann@gp.test");
    assert_eq!(message.to(), ["ann@dest.test"]);
}

#[tokio::test]
async fn the_order_of_a_transaction_is_kept() {
    // W-2.19
    let world = World::new().await;
    let mut client = world.client().session().await;
    let bad_rcpt = ("RCPT TO:<@@>", "501 5.1.3");
    let rows = [
        RCPT_TOO_EARLY,
        ("DATA", "503 5.5.1"),
        MAIL,
        ("DATA", "503 5.5.1"),
        bad_rcpt,
        bad_rcpt,
        ("DATA", "554 5.5.1"),
        RCPT,
        ("DATA", "354"),
    ];
    client.dialogue(rows).await;
    client.send_octets(".\r\n").await;
    client.read_reply().await.expect(250);
}

#[tokio::test]
async fn rset_drops_sender_and_recipients_and_nothing_else() {
    // W-2.20
    let world = World::new().await;
    let mx = world.remote("dest.test").await;
    let rset = ("RSET", "250 2.0.0");
    let mut client = world.client().connect().await;
    client.read_reply().await.expect(220);
    client
        .dialogue([rset, ("EHLO client.test", "250"), rset, rset])
        .await;
    client.dialogue([MAIL, rset, RCPT_TOO_EARLY]).await;
    let lost = ("RCPT TO:<lost@dest.test>", "250");
    client
        .dialogue([MAIL, lost, rset, RCPT_TOO_EARLY, MAIL, RCPT])
        .await;
    client.data(mail().octets()).await.expect(250);
    client.dialogue([rset]).await;
    let message = mx.message().await;
    assert_eq!(message.to(), ["ann@dest.test"]);
    assert_eq!(message.trace().with, "ESMTP");
}

#[tokio::test]
async fn after_the_reply_to_a_message_the_transaction_is_over() {
    // W-2.21
    let world = World::setup().set("SMTP_MAX_MESSAGE_SIZE", "64KiB").await;
    let mut client = world.client().session().await;
    let too_large = "x\r\n".repeat(30_000);
    for (message, wanted) in [
        ("Subject: x\r\n\r\nx\r\n", "250 2.0.0"),
        (&too_large, "552 5.3.4"),
        ("Subject: x\r\n\r\nbare \n line end\r\n", "550 5.5.2"),
    ] {
        client.dialogue([MAIL, RCPT]).await;
        client.data(message).await.expect(wanted);
        client
            .dialogue([RCPT_TOO_EARLY, ("DATA", "503 5.5.1"), MAIL])
            .await;
        client.dialogue([("RSET", "250")]).await;
    }
    for refused in [
        ("MAIL FROM:<ann@elsewhere.test>", "550 5.7.1"),
        ("MAIL FROM:<ann@gp.test> SIZE=99999999", "552 5.3.4"),
        ("MAIL FROM:<@>", "501 5.1.7"),
    ] {
        client
            .dialogue([refused, RCPT_TOO_EARLY, MAIL, ("RSET", "250")])
            .await;
    }
}

#[tokio::test]
async fn a_message_put_off_ends_its_transaction_too() {
    // W-2.21
    let world = World::setup().set("SMTP_MIN_FREE_SPACE", "1024GiB").await;
    let mut client = world.client().session().await;
    let put_off = ("MAIL FROM:<ann@gp.test>", "452 4.3.1");
    client
        .dialogue([put_off, RCPT_TOO_EARLY, ("DATA", "503 5.5.1"), put_off])
        .await;
}

#[tokio::test]
async fn a_refused_recipient_does_not_disturb_the_others() {
    // W-2.22
    let world = World::new().await;
    let mx = world.remote("dest.test").await;
    let mut client = world.client().session().await;
    let rows = [
        MAIL,
        ("RCPT TO:<ann@dest.test>", "250"),
        ("RCPT TO:<no one@dest.test>", "501 5.1.3"),
        ("RCPT TO:<bob@dest.test>", "250"),
        ("RCPT TO:<b\u{fc}b@dest.test>", "553 5.6.7"),
        ("RCPT TO:<carl@dest.test>", "250"),
        ("RCPT TO:<dora@dest.test> NONSENSE=1", "555 5.5.4"),
    ];
    client.dialogue(rows).await;
    client.data(mail().octets()).await.expect(250);
    let message = mx.message().await;
    assert_eq!(
        message.to(),
        ["ann@dest.test", "bob@dest.test", "carl@dest.test"]
    );
    mx.received_exactly(1).await;
}

#[tokio::test]
async fn a_thousand_transactions_over_one_connection_arrive_each_once() {
    // W-2.23
    const COUNT: usize = 1_000;
    let world = World::new().await;
    let mx = world.remote("dest.test").await;
    let mut client = world.client().session().await;
    let data = stuffed(b"Subject: x\r\nDate: x\r\nMessage-ID: <x@gp.test>\r\n\r\nx\r\n");
    let mut last_data: &[u8] = b"";
    for number in 0..COUNT {
        // The message and the next envelope in one segment.
        let envelope =
            format!("MAIL FROM:<ann@gp.test>\r\nRCPT TO:<u{number}@dest.test>\r\nDATA\r\n");
        client
            .send_octets([last_data, envelope.as_bytes()].concat())
            .await;
        if number > 0 {
            client.read_reply().await.expect("250 2.0.0");
        }
        for wanted in ["250 2.1.0", "250 2.1.5", "354"] {
            client.read_reply().await.expect(wanted);
        }
        last_data = &data;
    }
    client.send_octets(last_data).await;
    client.read_reply().await.expect("250 2.0.0");
    client.quit().await;

    mx.received_exactly(COUNT).await;
    let messages = mx.messages();
    let recipients: BTreeSet<&str> = messages.iter().flat_map(|message| message.to()).collect();
    let wanted: Vec<String> = (0..COUNT)
        .map(|number| format!("u{number}@dest.test"))
        .collect();
    assert_eq!(recipients, wanted.iter().map(String::as_str).collect());
}
