//! Commands that don't wait for each other's replies, and octets in any pieces.

use std::time::Duration;

use crate::support::{Random, World, stuffed};

/// Long enough for a reply that should not be there.
const A_WHILE: Duration = Duration::from_millis(200);

#[tokio::test]
async fn a_group_of_commands_gets_its_replies_in_order() {
    // W-7.01
    let world = World::new().await;
    let mx = world.remote("dest.test").await;
    let mut client = world.client().session().await;
    let replies = client
        .pipeline([
            "MAIL FROM:<ann@gp.test>",
            "RCPT TO:<bob@dest.test>",
            "RCPT TO:<bad address@dest.test>",
            "RCPT TO:<eve@dest.test>",
            "DATA",
        ])
        .await;
    for (reply, wanted) in
        replies
            .into_iter()
            .zip(["250 2.1.0", "250 2.1.5", "501 5.1.3", "250 2.1.5", "354"])
    {
        reply.expect(wanted);
    }
    client
        .send_octets("Subject: x\r\n\r\n.\r\nNOOP\r\nQUIT\r\n")
        .await;
    for wanted in ["250 2.0.0", "250 2.0.0", "221 2.0.0"] {
        client.read_reply().await.expect(wanted);
    }
    client.expect_closed().await;
    assert_eq!(mx.message().await.to(), ["bob@dest.test", "eve@dest.test"]);
}

#[tokio::test]
async fn any_cutting_into_segments_is_the_same_session() {
    // W-7.02
    let world = World::new().await;
    let mx = world.remote("dest.test").await;
    let mut random = Random::new();
    let texts = [
        &b"Date: x\r\nMessage-ID: y\r\nBcc: gone,\r\n too\r\n\r\n.\r\n..\r\n.x\r\n\r\ntext\r\n"[..],
        b"\r\n\xff 8-bit, and an empty line at the end\r\n\r\n",
    ];
    let kept = [
        &b"Date: x\r\nMessage-ID: y\r\n\r\n.\r\n..\r\n.x\r\n\r\ntext\r\n"[..],
        texts[1],
    ];
    let mut dialogue = b"EHLO client.test\r\nNOOP\r\n".to_vec();
    for text in texts {
        dialogue.extend(b"MAIL FROM:<ann@gp.test> BODY=8BITMIME\r\nRCPT TO:<bob@dest.test>\r\nXYZZY\r\nDATA\r\n");
        dialogue.extend(stuffed(text));
    }
    dialogue.extend(b"RSET\r\nQUIT\r\n");
    for round in 0..6 {
        let mut client = world.client().connect().await;
        client.read_reply().await.expect(220);
        match round {
            0 => client.send_octets(&dialogue).await,
            1 => client.send_each_octet(&dialogue).await,
            _ => client.send_pieces(random.cut(&dialogue, 1 << round)).await,
        }
        client.read_reply().await.expect(250);
        client.read_reply().await.expect("250 2.0.0");
        for _ in texts {
            for wanted in ["250 2.1.0", "250 2.1.5", "500 5.5.1", "354", "250 2.0.0"] {
                client.read_reply().await.expect(wanted);
            }
        }
        client.read_reply().await.expect("250 2.0.0");
        client.read_reply().await.expect("221 2.0.0");
        client.expect_closed().await;
        let mut messages = [mx.message().await, mx.message().await];
        messages.sort_by_key(|message| message.body() == &texts[1][2..]); // both were on their way
        for (message, text) in messages.iter().zip(kept) {
            message.arrived_as(text);
            assert_eq!(
                (message.from(), message.to()),
                ("ann@gp.test", vec!["bob@dest.test"])
            );
        }
    }
    mx.received_exactly(12).await;
}

#[tokio::test]
async fn a_group_that_begins_with_a_refusal_is_read_as_commands_to_its_end() {
    // W-7.03
    let world = World::new().await;
    let mut client = world.client().session().await;
    for (group, wanted) in [
        (
            &[
                "MAIL FROM:<ann@other.test>",
                "RCPT TO:<bob@dest.test>",
                "RCPT TO:<eve@dest.test>",
                "DATA",
                "Subject: no text, but a command",
                "NOOP",
                ".",
            ][..],
            &[
                "550 5.7.1",
                "503 5.5.1",
                "503 5.5.1",
                "503 5.5.1",
                "500",
                "250 2.0.0",
                "500",
            ][..],
        ),
        (
            &[
                "MAIL FROM:<ann@gp.test>",
                "RCPT TO:<bob@>",
                "RCPT TO:<>",
                "DATA",
                "NOOP",
                "RSET",
            ],
            &[
                "250 2.1.0",
                "501 5.1.3",
                "501 5.1.3",
                "554 5.5.1",
                "250 2.0.0",
                "250 2.0.0",
            ],
        ),
    ] {
        let replies = client.pipeline(group.iter().copied()).await;
        for (reply, wanted) in replies.into_iter().zip(wanted.iter().copied()) {
            reply.expect(wanted);
        }
        client.in_sync().await;
    }
    world.nothing_queued().await;
}

#[tokio::test]
async fn octets_behind_data_are_the_message_and_only_its_end_is_answered() {
    // W-7.04
    let world = World::new().await;
    let mx = world.remote("dest.test").await;
    let mut client = world.client().session().await;
    client.cmd("MAIL FROM:<ann@gp.test>").await.expect(250);
    client.cmd("RCPT TO:<bob@dest.test>").await.expect(250);
    let text = "Date: x\r\nMessage-ID: y\r\n\r\nNOOP\r\nQUIT\r\n";
    client.send_octets(format!("DATA\r\n{text}")).await;
    client.read_reply().await.expect(354);
    client.hears_nothing_for(A_WHILE).await;
    client.send_octets("MAIL FROM:<eve@gp.test>\r\n.\r").await;
    client.hears_nothing_for(A_WHILE).await;
    client.send_octets("\n").await;
    let id = client.read_reply().await.expect("250 2.0.0").queue_id();
    client.in_sync().await;
    mx.message()
        .await
        .arrived_as(format!("{text}MAIL FROM:<eve@gp.test>\r\n"));
    world.accepted_only([&id]).await;
}
