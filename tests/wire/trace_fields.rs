//! Header fields that the relay adds, those it takes away, and what it lets nobody see.

use jiff::{SignedDuration, Timestamp};

use crate::support::{Client, Mail, Message, Remote, World, mail};

#[tokio::test]
async fn one_received_field_stands_first_and_tells_who_how_and_when() {
    // W-6.01, W-6.02
    let world = World::new().await;
    let mx = world.remote("dest.test").await;
    let long = "h".repeat(2_000);
    for (number, (hello, v6, parameter, from, client, with)) in [
        (
            "HELO old.test",
            false,
            "",
            "old.test",
            "[127.0.0.1]",
            "SMTP",
        ),
        (
            "EHLO new.test",
            false,
            "",
            "new.test",
            "[127.0.0.1]",
            "ESMTP",
        ),
        (
            "EHLO new.test",
            false,
            "SMTPUTF8",
            "new.test",
            "[127.0.0.1]",
            "UTF8SMTP",
        ),
        (
            "EHLO [IPv6:::1]",
            true,
            "",
            "[IPv6:::1]",
            "[IPv6:::1]",
            "ESMTP",
        ),
        ("HELO old.test", true, "", "old.test", "[IPv6:::1]", "SMTP"),
        (
            &format!("EHLO {long}"),
            false,
            "",
            &long[..255],
            "[127.0.0.1]",
            "ESMTP",
        ),
    ]
    .into_iter()
    .enumerate()
    {
        let row = format!("row {number}, {:.20} {parameter}", hello);
        let dial = if v6 {
            world.client().over_v6()
        } else {
            world.client()
        };
        let mut session = dial.connect().await;
        session.read_reply().await.expect(220);
        session.cmd(hello).await.expect(250);
        let before = Timestamp::now();
        let mut sent = mail().to("bob@dest.test").subject(&row);
        if !parameter.is_empty() {
            sent = sent.mail_parameter(parameter);
        }
        let id = session.send(sent.clone()).await.accepted();
        let message = mx.message().await;
        message.arrived_as(sent.octets());
        let trace = message.trace();
        assert_eq!(
            (
                trace.from.as_str(),
                trace.client.as_str(),
                trace.by.as_str(),
                trace.with.as_str()
            ),
            (from, client, "gp.test", with),
            "{row}"
        );
        assert_eq!(trace.id, id.0, "{row}");
        is_a_date_since(before, &trace.date, &row);
        has_no_line_over_998(&message, &row);
    }
}

#[tokio::test]
async fn for_names_a_recipient_who_is_alone() {
    // W-6.03
    let world = World::new().await;
    let mx = world.remote("dest.test").await;
    let other = world.remote("other.test").await;
    let mut client = world.client().session().await;

    client.send(mail().to("bob@dest.test")).await.accepted();
    let alone = mx.message().await;
    assert_eq!(alone.trace().to.as_deref(), Some("bob@dest.test"));

    let twice = mail().to("bob@dest.test").to("bob@DEST.test");
    client.send(twice).await.accepted();
    let twice = mx.message().await;
    assert_eq!(twice.trace().to.as_deref(), Some("bob@dest.test"));

    // Two of one domain, and two that different hosts get.
    let two = mail().to("bob@dest.test").to("eve@dest.test");
    client.send(two).await.accepted();
    assert_eq!(mx.message().await.trace().to, None);
    let apart = mail().to("bob@dest.test").to("eve@other.test");
    client.send(apart).await.accepted();
    assert_eq!(mx.message().await.trace().to, None);
    assert_eq!(other.message().await.trace().to, None);
}

#[tokio::test]
async fn date_and_message_id_are_added_where_there_is_none_and_only_there() {
    // W-6.04
    let world = World::new().await;
    let mx = world.remote("dest.test").await;
    let mut client = world.client().session().await;
    for (header, dates, ids) in [
        ("Subject: x\r\n", 0, 0),
        ("Date: Mon, 2 Nov 2026 10:00:00 +0100\r\n", 1, 0),
        ("Message-ID: <1@gp.test>\r\n", 0, 1),
        ("DATE: yesterday\r\nmessage-id: junk\r\n", 1, 1),
        ("Date:\r\nMessage-ID:\r\n", 1, 1),
        ("Date : obsolete\r\nMessage-Id\t: <1@x>\r\n", 1, 1),
        (
            "Date: 1\r\nDate: 2\r\nMessage-ID: <1@x>\r\nMessage-ID: <2@x>\r\n",
            2,
            2,
        ),
        (
            "X-Date: 1\r\nResent-Date: 2\r\nResent-Message-ID: <3@x>\r\n",
            0,
            0,
        ),
        (
            "Subject: folded\r\n\tDate: 1\r\n Message-ID: <1@x>\r\n",
            0,
            0,
        ),
        ("Bcc: dropped\r\n", 0, 0),
        ("", 0, 0),
    ] {
        let kept = header.strip_prefix("Bcc: dropped\r\n").unwrap_or(header);
        let text = "\r\nDate: in the text\r\nMessage-ID: in the text\r\n";
        let before = Timestamp::now();
        let sent = mail().to("bob@dest.test").raw(format!("{header}{text}"));
        client.send(sent).await.accepted();
        let message = mx.message().await;
        message.arrived_as(format!("{kept}{text}"));
        let date = message.header.all("Date");
        let id = message.header.all("Message-ID");
        assert_eq!(
            (date.len(), id.len()),
            (dates.max(1), ids.max(1)),
            "{header:?}"
        );
        if dates == 0 {
            is_a_date_since(before, &date[0], header);
        }
        if ids == 0 {
            let name = id[0]
                .strip_prefix('<')
                .and_then(|id| id.strip_suffix("@gp.test>"));
            assert!(name.is_some_and(is_dot_atom), "{:?} for {header:?}", id[0]);
        }
    }
}

#[tokio::test]
async fn a_hundred_received_fields_are_a_loop() {
    // W-6.05
    let world = World::new().await;
    let mx = world.remote("dest.test").await;
    let mut client = world.client().session().await;
    let hops = |count| "Received: from a by b; Mon, 2 Nov 2026 10:00:00 +0100\r\n".repeat(count);
    let mixed = "RECEIVED : from a\r\n\tby b\r\nreceived:\r\nReCeIvEd: x\r\n".repeat(33);
    let folded = "X: y\r\n\tReceived: from a by b\r\n";
    let text = "Received: from a by b\r\n".repeat(100);
    for (what, octets, accepted) in [
        ("99", format!("{}\r\nx\r\n", hops(99)), true),
        ("100", format!("{}\r\nx\r\n", hops(100)), false),
        ("200, without a text", hops(200), false),
        ("99 in any case", format!("{mixed}\r\nx\r\n"), true),
        (
            "100 in any case",
            format!("{mixed}received: 100\r\n\r\nx\r\n"),
            false,
        ),
        (
            "99, and more in the text",
            format!("{}\r\n{text}", hops(99)),
            true,
        ),
        (
            "99, and more in values",
            format!("{}{}\r\n", hops(99), folded.repeat(9)),
            true,
        ),
        (
            "99, and others like it",
            format!("{}X-Received: 1\r\nReceived-SPF: 2\r\n\r\n", hops(99)),
            true,
        ),
        ("a text that begins at once", format!("\r\n{text}"), true),
    ] {
        let sent = mail().to("bob@dest.test").raw(octets);
        let submission = client.send(sent.clone()).await;
        let last = submission.last();
        if accepted {
            assert!(last.is("250 2.0.0"), "{what}: {last}");
            mx.message().await.arrived_as(sent.octets());
        } else {
            assert!(last.is("554 5.4.6"), "{what}: {last}");
            client.in_sync().await;
        }
    }
    world.takes_and_delivers_a_mail().await;
    mx.received_exactly(6).await;
}

#[tokio::test]
async fn bcc_and_return_path_do_not_go_on() {
    // W-6.06
    let world = World::new().await;
    let mx = world.remote("dest.test").await;
    let mut client = world.client().session().await;
    let text = "\r\nBcc: of the text\r\nReturn-Path: too\r\n";
    for (header, kept) in [
        (
            "Return-Path: <x@y>\r\nTo: bob@dest.test\r\nBcc: eve@other.test,\r\n\tmallory@other.test,\r\n trent@other.test\r\nSubject: s\r\n",
            "To: bob@dest.test\r\nSubject: s\r\n",
        ),
        (
            "BCC : a\r\nresent-bcc: b\r\n c\r\nReturn-path\t: d\r\nX: 1\r\nbcc:\r\n \r\n x\r\n",
            "X: 1\r\n",
        ),
        ("Resent-Bcc: a\r\nBcc: b\r\n", ""),
        (
            "X-Bcc: a\r\nBcc-X: b\r\nX: y\r\n Bcc: c\r\n",
            "X-Bcc: a\r\nBcc-X: b\r\nX: y\r\n Bcc: c\r\n",
        ),
    ] {
        let sent = format!("{header}{text}");
        for each_octet in [false, true] {
            let message = if each_octet {
                for (line, code) in [
                    ("MAIL FROM:<ann@gp.test>", 250),
                    ("RCPT TO:<bob@dest.test>", 250),
                    ("DATA", 354),
                ] {
                    client.cmd(line).await.expect(code);
                }
                client.send_each_octet(format!("{sent}.\r\n")).await;
                client.read_reply().await.expect(250);
                mx.message().await
            } else {
                deliver(&mut client, &mx, mail().raw(&sent)).await
            };
            message.arrived_as(format!("{kept}{text}"));
            assert_eq!(message.field("Return-Path"), None);
        }
    }
}

#[tokio::test]
async fn a_delivered_message_tells_nothing_about_others() {
    // W-6.07
    let world = World::new().await;
    let hosts = [
        world.remote("one.test").await,
        world.remote("two.test").await,
    ];
    let to = ["bob@one.test", "eve@one.test", "mallory@two.test"];
    let sent = mail().recipients(to).body_octets(vec![b'x'; 40_000]); // large enough for a file
    let sent = sent.without("To");
    world.client().send(sent).await.accepted();
    for host in hosts {
        let message = host.message().await;
        let header: Vec<u8> = message
            .header
            .0
            .iter()
            .flat_map(|f| f.octets.clone())
            .collect();
        let header = String::from_utf8(header).expect("ASCII");
        let spool = world.relay().variable("SMTP_QUEUE_PATH");
        for secret in to.iter().copied().chain([spool.as_str(), "spool", ".eml"]) {
            assert!(!header.contains(secret), "{secret} in {header}");
        }
        let user = user_name();
        let mut words = header.split(|c: char| !c.is_ascii_alphanumeric());
        assert!(!words.any(|word| word == user), "{user} in {header}");
        let names = ["Received", "From", "Subject", "Date", "Message-ID"];
        assert_eq!(message.header.names(), names);
    }
}

async fn deliver(client: &mut Client, mx: &Remote, mail: Mail) -> Message {
    client.send(mail.to("bob@dest.test")).await.accepted();
    mx.message().await
}

/// RFC 5322 3.3 with a numeric zone, and no lie about the time.
#[track_caller]
fn is_a_date_since(before: Timestamp, date: &str, row: &str) {
    let at = jiff::fmt::rfc2822::parse(date);
    let at = at.unwrap_or_else(|error| panic!("{row}: {date:?}: {error}"));
    let zone = date.rsplit(' ').next().unwrap_or_default();
    let numeric = zone.len() == 5 && zone.starts_with(['+', '-']);
    assert!(
        numeric && zone[1..].bytes().all(|octet| octet.is_ascii_digit()),
        "{row}: {date:?}"
    );
    let second = SignedDuration::from_secs(1); // dates have no fractions
    let honest = before - second..=Timestamp::now();
    assert!(
        honest.contains(&at.timestamp()),
        "{row}: {date:?} is not within {honest:?}"
    );
}

#[track_caller]
fn has_no_line_over_998(message: &Message, row: &str) {
    for line in message.octets().split(|octet| *octet == b'\n') {
        let length = line.strip_suffix(b"\r").unwrap_or(line).len();
        assert!(length <= 998, "{row}: a line of {length} octets");
    }
}

fn is_dot_atom(text: &str) -> bool {
    let atom = |part: &str| {
        let mut octets = part.bytes();
        !part.is_empty()
            && octets.all(|o| o.is_ascii_alphanumeric() || b"!#$%&'*+-/=?^_`{|}~".contains(&o))
    };
    text.split('.').all(atom)
}

/// Who the relay runs as, if that is somebody with a name.
fn user_name() -> String {
    let id = rustix::process::getuid().as_raw().to_string();
    let users = std::fs::read_to_string("/etc/passwd").unwrap_or_default();
    let mine = users
        .lines()
        .find(|line| line.split(':').nth(2) == Some(&id));
    let name = mine.and_then(|line| line.split(':').next());
    name.unwrap_or("nobody knows").to_owned()
}
