//! What holds behind everything else: well-formed replies, a process that goes on, memory that does
//! not follow its peers, and nobody's octets where they could be taken for ours.

use crate::support::{Answer, Phase, World, close, mail, raw, reply, reset, segments};

const MIB: usize = 1024 * 1024;

#[tokio::test]
async fn every_reply_carries_an_enhanced_code_of_its_class() {
    // W-always (a): the client checks each reply, this test has them all said
    let world = World::setup()
        .set("SMTP_MAX_MESSAGE_SIZE", "64KiB")
        .set("SMTP_MAX_RECIPIENTS", "100")
        .await;
    world.remote("dest.test").await;
    let mut client = world.client().connect().await;
    client.read_reply().await.expect(220);
    let long = format!("NOOP {}", "x".repeat(3_000));
    let mut codes = Vec::new();
    for line in [
        "MAIL FROM:<ann@gp.test>",
        "RCPT TO:<bob@dest.test>",
        "DATA",
        "HELO",
        "EHLO",
        "HELO c",
        "EHLO c",
        "NOOP",
        "NOOP x",
        "RSET",
        "HELP",
        "HELP MAIL",
        "VRFY",
        "VRFY bob",
        "EXPN bob",
        "ETRN x",
        "TURN",
        "XYZZY",
        "",
        &long,
        "NO\tOP",
        "NOOP \x01",
        "NOOP \n x",
        "AUTH PLAIN",
        "STARTTLS",
        "BDAT 0",
        "MAIL",
        "MAIL FROM:",
        "MAIL FROM:<ann>",
        "MAIL FROM:<ann@other.test>",
        "MAIL FROM:<ü@gp.test>",
        "MAIL FROM:<ann@gp.test> SIZE=99999999",
        "MAIL FROM:<ann@gp.test> SIZE=x",
        "MAIL FROM:<ann@gp.test> X=y",
        "MAIL FROM:<ann@gp.test> BODY=9BIT",
        "RCPT TO:<bob@dest.test>",
        "DATA",
        "MAIL FROM:<ann@gp.test>",
        "MAIL FROM:<ann@gp.test>",
        "DATA",
        "RCPT TO:<>",
        "RCPT TO:<bob>",
        "RCPT TO:<ü@dest.test>",
        "RCPT TO:<bob@dest.test> X=y",
        "DATA",
        "RCPT TO:<Postmaster>",
        "RSET",
    ] {
        codes.push(client.cmd(line).await.code);
    }
    for (text, wanted) in [
        ("Subject: x\r\n\r\nx\r\n".to_owned(), "250 2.0.0"),
        ("a bare \n\r\n".to_owned(), "550 5.5.2"),
        ("a \0\r\n".to_owned(), "554 5.6.0"),
        ("x\r\n".repeat(30_000), "552 5.3.4"),
        ("Received: x\r\n".repeat(100), "554 5.4.6"),
    ] {
        client
            .cmd("MAIL FROM:<ann@gp.test>")
            .await
            .expect("250 2.1.0");
        client
            .cmd("RCPT TO:<bob@dest.test>")
            .await
            .expect("250 2.1.5");
        codes.push(client.data(text).await.expect(wanted).code);
    }
    client
        .cmd("MAIL FROM:<ann@gp.test>")
        .await
        .expect("250 2.1.0");
    for number in 0..=100 {
        codes.push(
            client
                .cmd(&format!("RCPT TO:<u{number}@dest.test>"))
                .await
                .code,
        );
    }
    codes.push(client.cmd("QUIT").await.code);
    client.expect_closed().await;
    codes.sort_unstable();
    codes.dedup();
    assert_eq!(
        codes,
        [
            214, 221, 250, 252, 452, 500, 501, 502, 503, 550, 552, 553, 554, 555
        ]
    );
}

#[tokio::test]
async fn hostile_clients_leave_a_process_that_takes_and_delivers_mail() {
    // W-always (b)
    let world = World::new().await;
    let mx = world.remote("dest.test").await;
    for (what, octets) in sessions_that_stay_in_step() {
        let mut client = world.client().session().await;
        client.send_octets(&octets).await;
        client.send_octets("\r\nQUIT\r\n").await;
        loop {
            let reply = client.read_reply().await; // each is checked for its form
            match reply.code {
                221 => break,
                250 | 252 | 354 | 500..=599 => {}
                _ => panic!("{what}: {reply}"),
            }
        }
        client.expect_closed().await;
    }
    let envelope = "MAIL FROM:<eve@gp.test>\r\nRCPT TO:<bob@dest.test>\r\nDATA\r\n";
    for cut in [
        "",
        "\0",
        "MAIL",
        "MAIL FROM:<eve@gp.test>\r\n",
        envelope,
        &format!("{envelope}x\r\n."),
        &format!("{envelope}x\r\n.\r"),
    ] {
        for broken in [false, true] {
            let mut client = world.client().session().await;
            client.send_octets(cut).await;
            if broken {
                client.reset();
            } else {
                client.close();
            }
        }
    }
    for flood in [
        "x".repeat(MIB),
        "\0".repeat(MIB),
        "\n".repeat(MIB),
        "GET / HTTP/1.1\r\n".to_owned(),
        "\x16\x03\x01\x02\0\x01\0\x01\u{fc}\x03\x03".repeat(9),
    ] {
        let mut client = world.client().session().await;
        client.send_octets(flood).await;
        client.half_close().await;
        client.read_to_end().await;
    }
    world.nothing_queued().await;
    mx.never_called();
}

#[tokio::test]
async fn hostile_hosts_leave_a_process_that_takes_and_delivers_mail() {
    // W-always (b)
    let world = World::setup()
        .set("SMTP_REPLY_TIMEOUT", "1s")
        .set("SMTP_DATA_REPLY_TIMEOUT", "1s")
        .set("SMTP_RETRY_BASE", "1h")
        .set("SMTP_RETRY_CAP", "1h")
        .await;
    let mut client = world.client().session().await;
    let mut sent = Vec::new();
    for (what, answer) in hostile_answers() {
        for phase in PHASES {
            let domain = format!("h{}.test", sent.len());
            world.remote(&domain).answers(phase, [answer.clone()]).await;
            let to = mail().from("").to(&format!("bob@{domain}"));
            let id = client.send(to).await.accepted();
            sent.push((format!("{what} at {phase:?}"), phase, id));
        }
    }
    for (what, phase, id) in sent {
        let event = world.history(&id).has(1).await.remove(0);
        let wanted = match phase {
            Phase::Quit => "delivered", // nothing that comes behind the 250 takes it back
            _ => "deferred",
        };
        assert!(event.is(wanted), "{what}: {}", event.text);
    }
    world.takes_and_delivers_a_mail().await;
}

#[tokio::test]
async fn memory_does_not_follow_what_peers_send() {
    // W-always (c)
    let world = World::setup().set("SMTP_MAX_MESSAGE_SIZE", "1MiB").await;
    let mx = world.remote("dest.test").await;
    let endless = "x".repeat(8 * MIB);
    world.remote("loud.test").greeting([raw(&endless)]).await;
    world
        .remote("wordy.test")
        .mail([raw("250-x\r\n".repeat(MIB))])
        .await;
    let large = mail()
        .to("bob@dest.test")
        .body_octets("0123456789\r\n".repeat(50_000));
    world.client().send(large).await.accepted();
    mx.received_exactly(1).await;
    let before = world.relay().peak_resident_octets();

    let text = "0123456789\r\n".repeat(2 * MIB);
    let reply = world
        .client()
        .session()
        .await
        .send(mail().to("bob@dest.test").raw(text))
        .await;
    reply.refused("552 5.3.4");
    for flood in [
        &endless,
        &"NOOP\r\n".repeat(40_000),
        &"\n".repeat(8 * MIB),
        &format!("NOOP {endless}\r\n"),
    ] {
        let mut client = world.client().session().await;
        client.send_octets(flood).await;
        client.half_close().await;
        client.read_to_end().await;
    }
    let to = ["bob@loud.test", "bob@wordy.test"];
    let id = world
        .client()
        .send(mail().from("").recipients(to))
        .await
        .accepted();
    world.history(&id).has(2).await;

    let grown = world.relay().peak_resident_octets() - before;
    assert!(grown < 16 * 1024 * 1024, "{grown} octets more");
    world.takes_and_delivers_a_mail().await;
}

#[tokio::test]
async fn no_control_of_a_peer_gets_into_what_we_say() {
    // W-always (d)
    let world = World::new().await;
    let offers = ["SMTPUTF8", "8BITMIME"];
    let home = world.remote("gp.test").offers(offers).await;
    let mx = world.remote("dest.test").offers(offers).await;
    let controls: Vec<char> = ('\u{80}'..='\u{9f}')
        .chain(['\u{2028}', '\u{2029}', '\u{202e}'])
        .collect();
    let local_part: String = controls.iter().collect();
    let (ann, bob) = (
        format!("\"ann{local_part}\"@gp.test"),
        format!("\"bob{local_part}\"@dest.test"),
    );
    mx.answers_rcpt_for(
        &bob,
        [raw(
            b"550-5.1.1 a\0\x01\x7f\x1b[2J\r\n550 5.1.1 \xc2\x85\xe2\x80\xae\xff\tb\n",
        )],
    );

    let mut client = world.client().connect().await;
    client.read_reply().await.expect(220);
    let hello = [
        b"EHLO a(b)\";\xc2\x85\xe2\x80\xae\xff\\c\r\n".as_slice(),
        b"NOOP\r\n",
    ]
    .concat();
    client.send_octets(hello).await;
    client.read_reply().await.expect(250);
    client.read_reply().await.expect("250 2.0.0");
    for line in [
        format!("VRFY {local_part}"),
        format!("HELP {local_part}"),
        local_part,
    ] {
        let reply = client.cmd(&line).await;
        assert!(reply.text().is_ascii(), "{reply}");
    }
    let sent = mail()
        .from(&ann)
        .to(&bob)
        .to("eve@dest.test")
        .mail_parameter("SMTPUTF8");
    client.send(sent.clone()).await.accepted();
    let delivered = mx.message().await;
    delivered.arrived_as(sent.octets());
    let added = &delivered.header.0[0].octets;
    assert!(is_clean_ascii(added), "{:?}", delivered.header);
    assert!(
        delivered.trace().from.starts_with("a_b_"),
        "{:?}",
        delivered.trace()
    );

    let message = home.message().await;
    let report = message.report();
    report.is_about(1);
    let whole = String::from_utf8(message.octets().to_vec()).expect("UTF-8");
    for control in whole.chars().filter(|c| !matches!(c, '\r' | '\n' | '\t')) {
        let harmless = !control.is_control() && !controls.contains(&control);
        assert!(harmless, "{control:?} in {whole}");
    }
    let fields = message.header.0.iter().filter(|field| field.name != "To");
    for field in fields
        .chain(&report.per_message.0)
        .chain(&report.recipients[0].0)
    {
        assert!(is_clean_ascii(&field.octets), "{field:?}");
    }
    for line in world.log().lines() {
        let mut octets = line.text.chars();
        assert!(!octets.any(|c| controls.contains(&c)), "{}", line.text);
    }
}

/// Where a remote host can misbehave.
const PHASES: [Phase; 7] = [
    Phase::Greeting,
    Phase::Ehlo,
    Phase::Mail,
    Phase::Rcpt,
    Phase::Data,
    Phase::Dot,
    Phase::Quit,
];

/// What no SMTP server says, wherever it is said.
fn hostile_answers() -> Vec<(&'static str, Answer)> {
    vec![
        ("nothing, and closed", close()),
        ("a reset", reset()),
        ("four digits", reply("2500 ok")),
        ("two digits", reply("25 ok")),
        ("no code", reply("ok")),
        ("an empty line", reply("")),
        ("octets", raw(b"\0\xff\x1b\x16\x03\x01\r\n")),
        ("two codes", reply("250-a\r\n550 b")),
        ("a code above all", reply("650 a")),
        ("a code below all", reply("150 a")),
        ("a line without end", raw("x".repeat(MIB))),
        ("lines without end", raw("250-x\r\n".repeat(100_000))),
        ("half a reply, and closed", segments(["25"]).then(close())),
    ]
}

/// What is refused, or read as something else than its author meant, and then is over.
fn sessions_that_stay_in_step() -> Vec<(&'static str, Vec<u8>)> {
    let envelope = "MAIL FROM:<eve@gp.test>\r\nRCPT TO:<bob@dest.test>\r\nDATA\r\n";
    let refused = |text: &[u8]| [envelope.as_bytes(), text, b"\r\n.\r\n"].concat();
    let smuggled = "MAIL FROM:<evil@gp.test>\r\nRCPT TO:<v@dest.test>\r\nDATA\r\nx\r\n.\r\n";
    let rows = [
        ("a NUL in a command", b"NOOP \0".to_vec()),
        (
            "a bare LF before a command",
            b"NOOP\nMAIL FROM:<eve@gp.test>\r\nRCPT TO:<bob@dest.test>".to_vec(),
        ),
        (
            "a bare CR before a command",
            b"NOOP\rMAIL FROM:<eve@gp.test>".to_vec(),
        ),
        ("a line of 60,000 octets", vec![b'x'; 60_000]),
        ("8-bit octets", (0x80..=0xff).collect()),
        ("brackets", b"MAIL FROM:<<<<<<<<@@@@>>>>".to_vec()),
        ("an open quote", b"MAIL FROM:<\"eve@gp.test>".to_vec()),
        (
            "a broken SMTPUTF8 address",
            b"MAIL FROM:<\xff\xed\xa0\x80@gp.test> SMTPUTF8".to_vec(),
        ),
        (
            "a 20 digit size",
            b"MAIL FROM:<eve@gp.test> SIZE=99999999999999999999".to_vec(),
        ),
        (
            "a long local part",
            format!("MAIL FROM:<{}@gp.test>", "l".repeat(1_900)).into_bytes(),
        ),
        (
            "literals",
            b"MAIL FROM:<>\r\nRCPT TO:<a@[999.1.1.1]>\r\nRCPT TO:<a@[IPv6:zz]>\r\nRCPT TO:<a@[]>"
                .to_vec(),
        ),
        (
            "verbs of extensions",
            b"BDAT 0 LAST\r\nAUTH PLAIN AGEAYg==\r\nSTARTTLS\r\nXCLIENT ADDR=1.2.3.4".to_vec(),
        ),
        ("a NUL in the text", refused(b"x\r\n\0.\r\ny")),
        (
            "a bare LF in the text",
            refused(format!("x\n.\n{smuggled}").as_bytes()),
        ),
        (
            "a bare CR in the text",
            refused(format!("x\r.\r{smuggled}").as_bytes()),
        ),
        (
            "a mixed end in the text",
            refused(format!("x\n.\r\n{smuggled}").as_bytes()),
        ),
        (
            "a hundred hops",
            refused("Received: x\r\n".repeat(100).as_bytes()),
        ),
    ];
    rows.to_vec()
}

fn is_clean_ascii(field: &[u8]) -> bool {
    let text = field.strip_suffix(b"\r\n").unwrap_or(field);
    let unfolded = String::from_utf8_lossy(text)
        .replace("\r\n\t", " ")
        .replace("\r\n ", " ");
    unfolded.bytes().all(|octet| (b' '..=b'~').contains(&octet))
}
