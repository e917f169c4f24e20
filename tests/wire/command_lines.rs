//! W-2: the octets of a command line: its length, its end, what may stand in it.

use std::time::Duration;

use crate::support::World;

/// Longest command line that is taken, with CRLF.
const LONGEST: usize = 2_048;

#[tokio::test]
async fn a_line_may_have_2048_octets_and_a_longer_one_is_thrown_away() {
    // W-2.24
    let world = World::new().await;
    let mut client = world.client().session().await;
    for (length, wanted) in [
        (512, "250 2.0.0"),
        (513, "250 2.0.0"),
        (LONGEST, "250 2.0.0"),
        (LONGEST + 1, "500 5.5.2"),
        (LONGEST + 2, "500 5.5.2"),
        (2 * LONGEST, "500 5.5.2"),
        (20_000, "500 5.5.2"),
        (60_000, "500 5.5.2"),
    ] {
        let line = format!("NOOP {}\r\n", "x".repeat(length - "NOOP \r\n".len()));
        client.send_octets(&line).await;
        let reply = client.read_reply().await;
        assert!(reply.is(wanted), "{length} octets got {reply}");
        client.in_sync().await;
    }
    // A command at the end of what is thrown away is no command.
    let line = format!("{}\nMAIL FROM:<ann@gp.test>\r\n", "x".repeat(3_000));
    client.send_octets(line).await;
    client.read_reply().await.expect("500 5.5.2");
    client
        .cmd("RCPT TO:<ann@dest.test>")
        .await
        .expect("503 5.5.1");
}

#[tokio::test]
async fn the_length_of_a_line_can_be_set() {
    // W-2.24
    for length in [1_200, 8_000] {
        let setup = World::setup().set("SMTP_MAX_COMMAND_LENGTH", &length.to_string());
        let world = setup.await;
        let mut client = world.client().session().await;
        for (octets, wanted) in [(length, "250 2.0.0"), (length + 1, "500 5.5.2")] {
            let line = format!("NOOP {}\r\n", "x".repeat(octets - "NOOP \r\n".len()));
            client.send_octets(&line).await;
            client.read_reply().await.expect(wanted);
            client.in_sync().await;
        }
    }
}

#[tokio::test]
async fn a_line_without_end_ends_the_session() {
    // W-2.25
    let world = World::new().await;
    for octet in ["x", "\n"] {
        let mut client = world.client().session().await;
        client.send_octets(octet.repeat(256 * 1024)).await;
        client.read_reply().await.expect("500 5.5.2");
        client.expect_closed().await;
    }
    world.takes_and_delivers_a_mail().await;
}

#[tokio::test]
async fn no_control_may_stand_in_a_command() {
    // W-2.26
    let world = World::setup().set("SMTP_MAX_ERRORS", "1000").await;
    let mut client = world.client().session().await;
    let controls = (0..=0x1F).chain([0x7F]);
    for octet in controls.filter(|octet| !b"\t\r\n".contains(octet)) {
        for line in [
            &[b"NO", &[octet][..], b"OP\r\n"].concat(),
            &[b"NOOP x", &[octet][..], b"\r\n"].concat(),
            &[b"MAIL FROM:<ann", &[octet][..], b"@gp.test>\r\n"].concat(),
            &[&[octet][..], b"\r\n"].concat(),
        ] {
            if line.starts_with(&[0x16]) {
                continue; // the beginning of a TLS handshake, W-1.10
            }
            client.send_octets(line).await;
            client.read_reply().await.expect("500 5.5.2");
        }
    }
    client.in_sync().await;
    client.cmd("NOOP a\ttab").await.expect("250 2.0.0");
    client
        .cmd("RCPT TO:<ann@dest.test>")
        .await
        .expect("503 5.5.1");
}

#[tokio::test]
async fn a_bare_line_end_is_answered_at_once_and_nothing_of_its_line_is_run() {
    // W-2.27
    let world = World::new().await;
    let mut client = world.client().session().await;
    client.send_octets("EHLO x\n").await;
    let answer = tokio::time::timeout(Duration::from_secs(2), client.read_reply()).await;
    answer.expect("the statement's 2 s").expect("500 5.5.2");
    client.send_octets("NOOP\r\n").await; // still of the line that is thrown away
    client.in_sync().await;

    for damaged in [
        "NOOP\nMAIL FROM:<ann@gp.test>\r\n",
        "NOOP\rMAIL FROM:<ann@gp.test>\r\n",
        "\nMAIL FROM:<ann@gp.test>\r\n",
        "\rMAIL FROM:<ann@gp.test>\r\n",
        "NOOP\r\rMAIL FROM:<ann@gp.test>\r\n",
        "NOOP\n\nMAIL FROM:<ann@gp.test>\n\r\n",
        "MAIL FROM:<ann@gp.test>\n\r\n",
        "MAIL FROM:<ann@gp.test>\r\r\n",
    ] {
        for each_octet in [false, true] {
            let octets = format!("{damaged}NOOP\r\n");
            if each_octet {
                client.send_each_octet(octets).await;
            } else {
                client.send_octets(octets).await;
            }
            client.read_reply().await.expect("500 5.5.2");
            client.read_reply().await.expect("250 2.0.0");
            let next = client.cmd("RCPT TO:<ann@dest.test>").await;
            assert!(
                next.is("503 5.5.1"),
                "{damaged:?} began a transaction: {next}"
            );
        }
    }
    client.in_sync().await;
}

#[tokio::test]
async fn octets_above_ascii_make_no_verb_and_no_parameter() {
    // W-2.28
    let world = World::new().await;
    let mut client = world.client().session().await;
    for line in [
        &b"NO\xD6P\r\n"[..],
        b"\xC3\xA9\r\n",
        b"\x80\x81 x\r\n",
        b"MAIL\xA0FROM:<ann@gp.test>\r\n",
        b"MAIL FR\xD6M:<ann@gp.test>\r\n",
        b"MAIL FROM:<ann@gp.test> S\xCFZE=1\r\n",
        b"MAIL FROM:<ann@gp.test> \xFF\r\n",
    ] {
        client.send_octets(line).await;
        let reply = client.read_reply().await;
        let right = reply.is("500 5.5.2") || reply.is("501 5.5.4");
        assert!(right, "{:?} got {reply}", reply.to);
    }
    client.in_sync().await;
    client
        .cmd("RCPT TO:<ann@dest.test>")
        .await
        .expect("503 5.5.1");
}

#[tokio::test]
async fn no_reply_line_is_longer_than_512_octets() {
    // W-2.29
    let world = World::new().await;
    let mut client = world.client().session().await;
    let long = "x".repeat(LONGEST - 60);
    let lines = [
        format!("VRFY {long}"),
        format!("HELP {long}"),
        format!("NOOP {long}"),
        long.clone(),
        format!("EXPN {long}"),
        format!("DATA {long}"),
        format!("EHLO {long}"),
        format!("HELO {long}"),
        format!("MAIL FROM:<{long}@gp.test>"),
        format!("MAIL FROM:<ann@{long}>"),
        format!("MAIL FROM:<ann@gp.test> {long}"),
        format!("MAIL FROM:<ann@gp.test> SIZE={long}"),
        "MAIL FROM:<ann@gp.test>".to_owned(),
        format!("RCPT TO:<{long}@dest.test>"),
        format!("RCPT TO:<ann@{long}>"),
        format!("RCPT TO:<ann@dest.test> {long}"),
    ];
    for line in &lines {
        // The client holds every reply to the limit; once more, so that it is to be seen here.
        let reply = client.cmd(line).await;
        let lengths = reply.lines.iter().map(|text| "250 \r\n".len() + text.len());
        assert!(lengths.max() <= Some(512), "{reply}");
    }
}
