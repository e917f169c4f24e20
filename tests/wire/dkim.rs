//! W-21: what is signed, for whom, and when not.

use crate::support::{Client, Fields, Line, Mail, Message, RSA_PEM, World, mail, stuffed};

/// Both keys sign, RSA first.
const BOTH: [&str; 2] = [
    "pass rsa-sha256 gp.test r1",
    "pass ed25519-sha256 gp.test e1",
];

async fn signing_world() -> World {
    let setup = World::setup().set("SMTP_LOG", "info,gopherpost=debug");
    let world = setup.without_relay().await;
    world.starts_signing_for("gp.test").await;
    world
}

/// The tags of a signature, by their names.
fn tag(signature: &str, name: &str) -> Option<String> {
    let mut tags = signature.split(';').filter_map(|tag| tag.split_once('='));
    let value = tags.find(|(tag, _)| tag.trim() == name)?.1;
    Some(value.split_whitespace().collect())
}

fn signatures(message: &Message) -> Vec<String> {
    message.header.all("DKIM-Signature")
}

async fn in_chunks(client: &mut Client, mail: &Mail, message: &[u8]) {
    client.cmd(&mail.mail_line()).await.expect(250);
    for line in mail.rcpt_lines() {
        client.cmd(&line).await.expect(250);
    }
    let (first, second) = message.split_at(message.len() / 2);
    for (chunk, last) in [(first, ""), (second, " LAST")] {
        let mut octets = format!("BDAT {}{last}\r\n", chunk.len()).into_bytes();
        octets.extend_from_slice(chunk);
        client.send_octets(octets).await;
        client.read_reply().await.expect("250 2.0.0");
    }
}

#[tokio::test]
async fn both_signatures_verify_as_the_remote_host_has_the_message() {
    // W-21.01
    let world = signing_world().await;
    let mx = world.remote("dest.test").await;
    let long = "x".repeat(998);
    let large = "A line with  blanks \t in it. \r\n..\r\n\r\n".repeat(30_000);
    let bodies: [(&str, &str); 12] = [
        ("empty", ""),
        ("one line end", "\r\n"),
        ("line ends only", "\r\n\r\n\r\n"),
        ("trailing empty lines", "Hello.\r\n\r\n\r\n"),
        ("leading empty lines", "\r\n\r\nHello.\r\n"),
        ("dots", ".\r\n..\r\n...x\r\n.x\r\n"),
        ("trailing blanks", "a \t \r\nb\t\r\nc  d\r\n"),
        ("8-bit", "Gr\u{fc}\u{df}e \u{1f426}\r\n\u{a0}\r\n"),
        ("a long line", &long),
        ("32 KiB and a bit", &large[..33_000]),
        ("256 KiB and a bit", &large[..270_000]),
        ("1 MiB", &large),
    ];
    let mut client = world.client().session().await;
    for (name, body) in bodies {
        let mail = mail()
            .to("bob@dest.test")
            .mail_parameter("BODY=8BITMIME")
            .subject("a   subject\r\n\tfolded \r\n  twice")
            .header("Cc", " \"C., D.\"  <c@gp.test>,\r\n (note)\r\n d@gp.test ")
            .header("X-Other", "not signed");
        // BDAT can leave the last line without an end; the remote host gets one.
        for ends in [true, false] {
            let body = match ends {
                true if !body.is_empty() && !body.ends_with("\r\n") => format!("{body}\r\n"),
                true => body.to_owned(),
                false => format!("{}no end", body),
            };
            let mail = mail.clone().body_octets(&body);
            if ends {
                client.send(mail.clone()).await.accepted();
            } else {
                in_chunks(&mut client, &mail, &mail.octets()).await;
            }
            let message = mx.message().await;
            let verified = world.verifies(message.octets()).await;
            assert_eq!(verified, BOTH, "{name}, with a last line end: {ends}");
        }
    }
    let line = world.log().tells("dkim_signed").await;
    let keys = line.field("keys").expect("a text");
    assert_eq!(keys, "rsa-sha256/r1 ed25519-sha256/e1");
    world.log().never_told("dkim_unsigned");
}

#[tokio::test]
async fn a_message_without_an_empty_line_or_with_a_large_header_is_signed_too() {
    // W-21.01
    let world = signing_world().await;
    let mx = world.remote("dest.test").await;
    let recipients = (0..4_000).map(|n| format!("Somebody <somebody.{n}@example.net>"));
    let recipients = recipients.collect::<Vec<_>>().join(",\r\n ");
    for message in [
        "From: ann@gp.test\r\nSubject: x\r\n".to_owned(),
        format!("To: {recipients}\r\nFrom: ann@gp.test\r\nSubject: x\r\n\r\nHello.\r\n"),
        "Bcc: eve@gp.test\r\nFrom: ann@gp.test\r\nReturn-Path: <x>\r\n\r\n".to_owned(),
    ] {
        let mail = mail().to("bob@dest.test").raw(&message);
        world.client().send(mail).await.accepted();
        let received = mx.message().await;
        assert_eq!(world.verifies(received.octets()).await, BOTH);
    }
}

#[tokio::test]
async fn a_field_added_or_changed_on_the_way_breaks_the_signature() {
    // W-21.02
    let world = signing_world().await;
    let mx = world.remote("dest.test").await;
    let mail = mail()
        .to("bob@dest.test")
        .without("Date")
        .without("Message-ID")
        .header("MIME-Version", "1.0")
        .header("Content-Type", "text/plain");
    let id = world.client().send(mail).await.accepted();
    let message = mx.message().await;
    assert_eq!(world.verifies(message.octets()).await, BOTH);
    for signature in signatures(&message) {
        assert_eq!(tag(&signature, "d").as_deref(), Some("gp.test"));
        assert_eq!(tag(&signature, "l"), None);
        assert_eq!(tag(&signature, "c").as_deref(), Some("relaxed/relaxed"));
        let h = tag(&signature, "h").expect("h=").to_ascii_lowercase();
        let times = |name: &str| h.split(':').filter(|other| *other == name).count();
        for (name, wanted) in [
            ("from", 2),
            ("subject", 2),
            ("date", 2), // added by the relay, and signed
            ("message-id", 2),
            ("to", 2),
            ("cc", 1),
            ("reply-to", 1),
            ("mime-version", 2),
            ("content-type", 2),
            ("content-transfer-encoding", 1),
            ("received", 0),
        ] {
            assert_eq!(times(name), wanted, "{name} in {h}");
        }
    }
    // Above everything that is signed: a verifier takes fields from below.
    assert_eq!(
        message.header.names()[..3],
        ["Received", "DKIM-Signature", "DKIM-Signature"]
    );
    let added = message.header.only("Message-ID");
    assert_eq!(added, format!("<{}@gp.test>", id.0));

    let octets = message.octets();
    let text = String::from_utf8(octets.to_vec()).expect("ASCII");
    for changed in [
        "From: eve@evil.test",
        "Subject: another",
        "Date: Mon, 2 Nov 2026 10:00:00 +0100",
        "To: eve@evil.test",
        "Cc: eve@evil.test",
        "Reply-To: eve@evil.test",
        "Message-ID: <x@evil.test>",
        "Content-Type: text/html",
        "Content-Transfer-Encoding: base64",
    ] {
        let message = format!("{changed}\r\n{text}");
        let told = world.verifies(message.as_bytes()).await;
        let broken = told.iter().all(|line| line.starts_with("Fail"));
        assert!(broken && told.len() == 2, "with {changed:?}: {told:?}");
    }
    for changed in [
        text.replace("Subject: hello", "Subject: hell"),
        text.replace("\r\n\r\nHello.", "\r\n\r\nHell."),
        text.replace(&added, "<x@evil.test>"),
    ] {
        assert_ne!(changed, text);
        let told = world.verifies(changed.as_bytes()).await;
        assert!(
            !told.iter().any(|line| line.starts_with("pass")),
            "{told:?}"
        );
    }
    let note = format!("Received: by a relay\r\nX-Note: seen\r\n{text}");
    assert_eq!(world.verifies(note.as_bytes()).await, BOTH);
}

#[tokio::test]
async fn the_domain_is_that_of_the_address_in_from_or_its_nearest_parent_with_a_key() {
    // W-21.02, W-21.03
    let world = World::setup()
        .set("SMTP_REQUIRE_LOCAL_DOMAIN", "false")
        .without_relay()
        .await;
    let path = world.put_key("key.pem", RSA_PEM);
    let path = path.display();
    let keys = format!("example.org:s1:{path},deep.example.org:s2:{path}");
    world.relay().set("SMTP_DKIM_KEYS", &keys);
    for (variable, value) in [
        ("SMTP_DKIM_DOMAIN", "seed.test"),
        ("SMTP_DKIM_SELECTOR", "s3"),
        ("SMTP_DKIM_PRIVATE_KEY", &*RSA_PEM.replace('\n', "\\n")),
    ] {
        world.relay().set(variable, value);
    }
    world.publishes_keys().await;
    world.relay().start().await;
    let mx = world.remote("dest.test").await;
    for (from, wanted) in [
        ("Ann <ann@example.org>", Some("example.org s1")),
        ("ann@EXAMPLE.org (Ann)", Some("example.org s1")),
        ("ann@news.example.org", Some("example.org s1")),
        ("ann@deep.example.org", Some("deep.example.org s2")),
        ("ann@x.deep.example.org", Some("deep.example.org s2")),
        ("ann@seed.test", Some("seed.test s3")),
        ("a@example.org, Bob <b@example.org>", Some("example.org s1")),
        ("\"ann@example.org\" <eve@evil.test>", None),
        ("ann@notexample.org", None),
        ("ann@example.org.evil.test", None),
        ("ann@org", None),
        ("a@example.org, eve@evil.test", None),
        ("a@example.org, b@news.example.org", None),
        ("a@[127.0.0.1]", None),
        ("nobody", None),
    ] {
        // The envelope doesn't matter.
        let mail = mail().from("ann@example.org").to("bob@dest.test");
        let mail = mail.without("From").header("From", from);
        let id = world.client().send(mail).await.accepted();
        let message = mx.message().await;
        let verified = world.verifies(message.octets()).await;
        let wanted = wanted.map(|wanted| format!("pass rsa-sha256 {wanted}"));
        assert_eq!(verified, Vec::from_iter(wanted.clone()), "{from}");
        if wanted.is_none() {
            let of_it = |line: &crate::support::Line| {
                line.is("dkim_unsigned") && line.field("queue_id").as_deref() == Some(&id.0)
            };
            let line = world.log().wait_for(of_it).await;
            assert!(line.field("why").is_some(), "{}", line.text);
        }
    }
}

#[tokio::test]
async fn what_can_not_be_signed_is_accepted_all_the_same() {
    // W-21.03
    let world = signing_world().await;
    let mx = world.remote("dest.test").await;
    for (message, why) in [
        ("Subject: x\r\n\r\nx\r\n", "no From field"),
        (
            "From: a@gp.test\r\nFrom: a@gp.test\r\n\r\nx\r\n",
            "more than one From",
        ),
        (
            "From: a@gp.test, b@other.test\r\n\r\nx\r\n",
            "different domains",
        ),
        ("From: a@other.test\r\n\r\nx\r\n", "no key for the domain"),
        ("From: a@gp.test\r\nhello there\r\n\r\nx\r\n", "malformed"),
        ("just text\r\n", "no From field"),
    ] {
        let mail = mail().to("bob@dest.test").raw(message);
        world.client().send(mail).await.accepted();
        let received = mx.message().await;
        assert!(
            received.octets().ends_with(message.as_bytes()),
            "{message:?}"
        );
        assert!(signatures(&received).is_empty());
        let told = |line: &crate::support::Line| {
            line.is("dkim_unsigned") && line.field("why").is_some_and(|w| w.contains(why))
        };
        world.log().wait_for(told).await;
    }
}

#[tokio::test]
async fn signatures_of_others_stay() {
    // W-21.03
    let world = signing_world().await;
    let mx = world.remote("dest.test").await;
    let old = "v=1; a=rsa-sha256; d=old.test; s=o; h=From; bh=AAAA; b=AAAA";
    let mail = mail().to("bob@dest.test").header("DKIM-Signature", old);
    world.client().send(mail.clone()).await.accepted();
    let message = mx.message().await;
    let all = signatures(&message);
    assert_eq!((all.len(), all[2].as_str()), (3, old));
    let (sent, _) = Fields::parse(&mail.octets());
    assert_eq!(message.header.names()[3..], sent.names());
    let verified = world.verifies(message.octets()).await;
    assert_eq!(verified[..2], BOTH);
}

#[tokio::test]
async fn without_keys_nothing_is_signed_and_nothing_told() {
    // W-21.03
    let world = World::new().await;
    let mx = world.remote("dest.test").await;
    let mail = mail().to("bob@dest.test");
    world.client().send(mail.clone()).await.accepted();
    let message = mx.message().await;
    assert!(signatures(&message).is_empty());
    message.arrived_as(mail.octets());
    world.log().never_told("dkim_unsigned");
}

#[tokio::test]
async fn when_signing_fails_the_message_is_put_off_and_not_queued() {
    // W-21.04
    let world = signing_world().await;
    let mut client = world.client().session().await;
    let mail = mail().to("bob@dest.test");
    client.up_to_data(&mail).await;
    let large = mail.clone().body_octets("x\r\n".repeat(200_000)).octets();
    let octets = stuffed(&large);
    let (first, second) = octets.split_at(octets.len() - 5);
    client.send_octets(first).await;
    // The header section is read from there.
    let bodies = world.relay().directory().join("spool/bodies");
    let file = the_only_file_below(&bodies).await;
    std::fs::remove_file(&file).expect("it is there");
    client.send_octets(second).await;
    client.read_reply().await.expect("451 4.3.5");
    client.in_sync().await;
    let line = world.log().tells("dkim_failed").await;
    assert!(line.text.contains("can't be read"), "{}", line.text);
    world.nothing_queued().await;
}

/// Waits until there is a file in a directory of that directory.
async fn the_only_file_below(directory: &std::path::Path) -> std::path::PathBuf {
    let limit = tokio::time::Instant::now() + crate::support::deadline();
    loop {
        let days = std::fs::read_dir(directory).into_iter().flatten().flatten();
        let files = days.flat_map(|day| std::fs::read_dir(day.path()).into_iter().flatten());
        if let Some(file) = files.flatten().next() {
            return file.path();
        }
        assert!(tokio::time::Instant::now() < limit, "no body file came");
        tokio::time::sleep(std::time::Duration::from_millis(10)).await; // nothing tells of it
    }
}

#[tokio::test]
async fn a_report_of_ours_is_not_signed_and_that_is_told() {
    // W-21.03
    let world = signing_world().await;
    world.remote("dest.test").rcpt(["550 5.1.1 no"]).await;
    let sender = world.remote("gp.test").await;
    let sent = world.client().send(mail().to("bob@dest.test")).await;
    sent.accepted();
    let report = sender.message().await;
    assert!(signatures(&report).is_empty());
    let reports = |line: &Line| {
        line.is("dkim_unsigned") && line.field("why").is_some_and(|why| why.contains("reports"))
    };
    let told = world.log().wait_for(reports).await;
    assert_eq!(told.field("domain").as_deref(), Some("gp.test"));
}
