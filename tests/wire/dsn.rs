//! DSN (RFC 3461): what a client may ask for, what it is told, and what goes on to the next host.

use crate::support::{Client, Mail, Message, Phase, Remote, Setup, World, mail, same_octets};

#[tokio::test]
async fn dsn_is_offered_once() {
    // W-2.02
    let world = World::new().await;
    let mut client = world.client().connect().await;
    client.read_reply().await.expect(220);
    let reply = client.cmd("EHLO client.test").await.expect(250);
    let keywords = reply.keywords();
    let offered = keywords.iter().filter(|keyword| **keyword == "DSN");
    assert_eq!(offered.count(), 1, "{keywords:?}");
}

#[tokio::test]
async fn ret_and_envid_are_taken_if_well_formed() {
    // W-4.07
    let world = World::new().await;
    let mut client = world.client().session().await;
    let longest = format!("ENVID={}", "x".repeat(100));
    let encoded = format!("ENVID={}", "+3D".repeat(100));
    let too_long = format!("ENVID={}", "x".repeat(101));
    check(
        &mut client,
        &[
            ("RET=FULL", "250 2.1.0"),
            ("ret=hdrs", "250 2.1.0"),
            ("Ret=Full Envid=QQ314159", "250 2.1.0"),
            ("ENVID=a+20b+2B+3D", "250 2.1.0"),
            (&longest, "250 2.1.0"),
            (&encoded, "250 2.1.0"),
            ("ENVID=x RET=HDRS SIZE=100 BODY=8BITMIME", "250 2.1.0"),
            ("RET", "501 5.5.4"),
            ("RET=", "501 5.5.4"),
            ("RET=HEADERS", "501 5.5.4"),
            ("RET=FULL,HDRS", "501 5.5.4"),
            ("RET=FULL RET=FULL", "501 5.5.4"),
            ("ENVID", "501 5.5.4"),
            ("ENVID=", "501 5.5.4"),
            (&too_long, "501 5.5.4"),
            ("ENVID=+", "501 5.5.4"),
            ("ENVID=a+3", "501 5.5.4"),
            ("ENVID=+3d", "501 5.5.4"),
            ("ENVID=+GG", "501 5.5.4"),
            ("ENVID=a=b", "501 5.5.4"),
            ("ENVID=a+0D+0Ab", "501 5.5.4"),
            ("ENVID=a ENVID=b", "501 5.5.4"),
            ("NOTIFY=NEVER", "555 5.5.4"),
            ("ORCPT=rfc822;a@b", "555 5.5.4"),
        ],
        "MAIL FROM:<a@gp.test>",
    )
    .await;
}

#[tokio::test]
async fn notify_and_orcpt_are_taken_if_well_formed() {
    // W-4.08, W-4.09
    let world = World::new().await;
    let mut client = world.client().session().await;
    let longest = format!("ORCPT=rfc822;{}", "x".repeat(493));
    let too_long = format!("ORCPT=rfc822;{}", "x".repeat(494));
    client.cmd("MAIL FROM:<a@gp.test>").await.expect(250);
    check(
        &mut client,
        &[
            ("NOTIFY=NEVER", "250 2.1.5"),
            ("notify=never", "250 2.1.5"),
            ("NOTIFY=SUCCESS", "250 2.1.5"),
            ("Notify=Failure,Delay", "250 2.1.5"),
            ("NOTIFY=DELAY,SUCCESS,FAILURE", "250 2.1.5"),
            ("NOTIFY=NEVER,SUCCESS", "501 5.5.4"),
            ("NOTIFY=SUCCESS,NEVER", "501 5.5.4"),
            ("NOTIFY", "501 5.5.4"),
            ("NOTIFY=", "501 5.5.4"),
            ("NOTIFY=SUCCESS,", "501 5.5.4"),
            ("NOTIFY=,SUCCESS", "501 5.5.4"),
            ("NOTIFY=ALWAYS", "501 5.5.4"),
            ("NOTIFY=NEVER NOTIFY=NEVER", "501 5.5.4"),
            ("ORCPT=rfc822;bob@dest.test", "250 2.1.5"),
            ("orcpt=RFC822;b+2Bx+3D1@dest.test NOTIFY=DELAY", "250 2.1.5"),
            (r"ORCPT=utf-8;j\x{FC}rgen@dest.test", "250 2.1.5"),
            ("ORCPT=x400;/c/us/", "250 2.1.5"),
            (&longest, "250 2.1.5"),
            (&too_long, "501 5.5.4"),
            ("ORCPT", "501 5.5.4"),
            ("ORCPT=", "501 5.5.4"),
            ("ORCPT=bob@dest.test", "501 5.5.4"),
            ("ORCPT=;bob@dest.test", "501 5.5.4"),
            ("ORCPT=rfc822;", "501 5.5.4"),
            ("ORCPT=rfc822;a+3d", "501 5.5.4"),
            ("ORCPT=rfc822;a=b", "501 5.5.4"),
            ("ORCPT=rfc822;a+0D+0AAction:+20delivered", "501 5.5.4"),
            (r"ORCPT=utf-8;\x{fc}", "501 5.5.4"),
            ("ORCPT=utf-8;jürgen@dest.test", "501 5.5.4"),
            ("RET=FULL", "555 5.5.4"),
            ("ENVID=x", "555 5.5.4"),
        ],
        "RCPT TO:<b@dest.test>",
    )
    .await;
    client.cmd("RSET").await.expect(250);
    let mail = client.cmd("MAIL FROM:<a@gp.test> SMTPUTF8").await;
    mail.expect(250);
    let utf8 = client
        .cmd("RCPT TO:<b@dest.test> ORCPT=utf-8;jürgen@dest.test")
        .await;
    utf8.expect("250 2.1.5");
}

#[tokio::test]
async fn what_was_asked_for_goes_on_where_dsn_is_offered_and_only_there() {
    // W-17.04, W-3.14 (the first RCPT's parameters hold)
    let world = World::new().await;
    let with = world.remote("with.test").offers(["DSN"]).await;
    let without = world.remote("without.test").offers(["8BITMIME"]).await;
    for domain in ["with.test", "without.test"] {
        let asked = mail()
            .mail_parameter("RET=HDRS")
            .mail_parameter("ENVID=a+20b+3D")
            .to(&format!("never@{domain}"))
            .rcpt_parameter("NOTIFY=NEVER")
            .to(&format!("some@{domain}"))
            .rcpt_parameter("notify=delay,failure")
            .rcpt_parameter("ORCPT=rfc822;old+2B1@dest.test")
            .to(&format!("utf8@{domain}"))
            .rcpt_parameter(r"ORCPT=utf-8;j\x{FC}rgen@dest.test")
            .to(&format!("plain@{domain}"))
            .to(&format!("never@{domain}"))
            .rcpt_parameter("NOTIFY=SUCCESS");
        let id = world.client().send(asked.clone()).await.accepted();
        world.history(&id).is_exactly(["delivered"; 4]).await;
    }
    let transaction = with.message().await.transaction;
    assert_eq!(
        transaction.mail_parameters(),
        ["RET=HDRS", "ENVID=a+20b+3D"]
    );
    let wanted = [
        "RCPT TO:<never@with.test> NOTIFY=NEVER",
        "RCPT TO:<some@with.test> NOTIFY=FAILURE,DELAY ORCPT=rfc822;old+2B1@dest.test",
        r"RCPT TO:<utf8@with.test> ORCPT=utf-8;j\x{FC}rgen@dest.test",
        "RCPT TO:<plain@with.test>",
    ];
    assert_eq!(transaction.rcpts, wanted);
    let transaction = without.message().await.transaction;
    assert_eq!(transaction.mail_parameters(), [""; 0]);
    assert!(transaction.rcpts.iter().all(|rcpt| rcpt.ends_with('>')));
}

#[tokio::test]
async fn what_was_asked_for_outlives_a_kill() {
    // W-17.04
    let world = World::setup().set("SMTP_MODE", "hold").await;
    let mx = world.remote("dest.test").offers(["DSN"]).await;
    let asked = mail()
        .mail_parameter("ENVID=mine")
        .to("bob@dest.test")
        .rcpt_parameter("NOTIFY=SUCCESS,DELAY")
        .rcpt_parameter("ORCPT=rfc822;old@dest.test");
    world.client().send(asked).await.accepted();
    world.relay().set("SMTP_MODE", "deliver");
    world.relay().kill_and_restart().await;
    let transaction = mx.message().await.transaction;
    assert_eq!(transaction.mail_parameters(), ["ENVID=mine"]);
    let wanted = "RCPT TO:<bob@dest.test> NOTIFY=SUCCESS,DELAY ORCPT=rfc822;old@dest.test";
    assert_eq!(transaction.rcpts, [wanted]);
}

#[tokio::test]
async fn who_wants_no_failure_report_gets_none() {
    // W-22.07: refused and expired; and the log says why
    let world = impatient().await;
    let home = world.remote("gp.test").await;
    world
        .remote("dest.test")
        .rcpt_for("later@dest.test", ["451 4.2.0 later"])
        .rcpt(["550 5.1.1 no"])
        .await;
    let asked = mail()
        .to("never@dest.test")
        .rcpt_parameter("NOTIFY=NEVER")
        .to("success@dest.test")
        .rcpt_parameter("NOTIFY=SUCCESS,DELAY")
        .to("later@dest.test")
        .rcpt_parameter("NOTIFY=DELAY")
        .to("told@dest.test")
        .rcpt_parameter("NOTIFY=FAILURE")
        .to("default@dest.test");
    let id = world.client().send(asked).await.accepted();
    let history = world.history(&id);
    history.event("expired", "later@dest.test").await;
    let report = home.message().await.report();
    report.is_about(2);
    report.says("told@dest.test", "failed", "5.1.1");
    report.says("default@dest.test", "failed", "5.1.1");
    world.takes_and_delivers_a_mail().await;
    let dropped = world.log().tells_times("report_dropped", 2).await;
    for line in dropped {
        assert!(line.text.contains("NOTIFY"), "{line:?}");
    }
    home.received_exactly(1).await;
}

#[tokio::test]
async fn success_is_told_once_where_the_next_host_will_not_tell_it() {
    // W-22.07, W-22.08
    let world = World::new().await;
    let home = world.remote("gp.test").await;
    let with = world.remote("with.test").offers(["DSN"]).await;
    let without = world.remote("without.test").offers(["8BITMIME"]).await;
    let asked = |domain: &str| {
        mail()
            .mail_parameter("ENVID=id+20one")
            .mail_parameter("RET=FULL")
            .to(&format!("bob@{domain}"))
            .rcpt_parameter("NOTIFY=SUCCESS")
            .rcpt_parameter("ORCPT=rfc822;old+2Bbob@dest.test")
            .to(&format!("eve@{domain}"))
    };
    let id = world.client().send(asked("with.test")).await.accepted();
    world.history(&id).is_exactly(["delivered"; 2]).await;
    let id = world.client().send(asked("without.test")).await.accepted();
    world.history(&id).is_exactly(["delivered"; 2]).await;

    let message = home.message().await;
    assert_eq!(message.transaction.from(), "");
    assert_eq!(message.header.only("Subject"), "Your message was relayed");
    let report = message.report();
    report.is_about(1);
    report.says("bob@without.test", "relayed", "2.0.0");
    assert_eq!(report.per_message.only("Original-Envelope-Id"), "id one");
    let bob = report.about("bob@without.test");
    let original = bob.only("Original-Recipient");
    assert_eq!(original, "rfc822; old+bob@dest.test");
    assert_eq!(report.original.content_type, "text/rfc822-headers");
    let text = String::from_utf8_lossy(&report.text.body);
    assert!(text.contains("was handed on"), "{text}");

    // Without a sender nobody is told.
    let nobody = asked("without.test").from("");
    let id = world.client().send(nobody).await.accepted();
    world.history(&id).is_exactly(["delivered"; 2]).await;
    world.takes_and_delivers_a_mail().await;
    home.received_exactly(1).await;
    with.received_exactly(1).await;
    without.received_exactly(2).await;
}

#[tokio::test]
async fn ret_decides_how_much_comes_back() {
    // W-22.08, W-22.10 (an original of 8 bits is unchanged)
    let world = World::new().await;
    let home = world.remote("gp.test").await;
    let mx = world.remote("dest.test").await;
    let small = mail().body("Grüße\n.\n--=_looks like a boundary\n");
    let large = mail().body(&"0123456789abcdef\n".repeat(5_000));
    let huge = mail().body(&"0123456789abcdef\n".repeat(100_000)); // 1.8 MB
    let long_line = mail().body_octets([b"x".repeat(999), b"\r\n".to_vec()].concat());
    let endless = mail().body_octets(b"no line end".repeat(3));
    for (row, sent, ret, whole) in [
        ("small", &small, None, true),
        ("small full", &small, Some("RET=FULL"), true),
        ("small hdrs", &small, Some("RET=HDRS"), false),
        ("large", &large, None, false),
        ("large full", &large, Some("RET=FULL"), true),
        ("large hdrs", &large, Some("RET=HDRS"), false),
        ("huge full", &huge, Some("RET=FULL"), true),
        ("long line full", &long_line, Some("RET=FULL"), false),
        ("no last line end", &endless, None, true),
    ] {
        let report = refused(&world, &home, &mx, sent, ret, row).await.report();
        let original = &report.original;
        let encoding = original.header.only("Content-Transfer-Encoding");
        if whole {
            assert_eq!(original.content_type, "message/rfc822", "{row}");
            let sent = sent.clone().subject(row).octets();
            let ends_lines = [&sent[..], b"\r\n"].concat();
            let sent = if row == "no last line end" {
                &ends_lines
            } else {
                &sent
            };
            let trace = original.body.len() - sent.len();
            same_octets(&original.body[trace..], sent);
            assert!(original.body.starts_with(b"Received: "), "{row}");
            let bits = if sent.is_ascii() { "7bit" } else { "8bit" };
            assert_eq!(encoding, bits, "{row}");
        } else {
            assert_eq!(original.content_type, "text/rfc822-headers", "{row}");
            let body = String::from_utf8_lossy(&original.body);
            assert!(body.ends_with(&format!("Subject: {row}\r\n")), "{body}");
        }
    }
}

#[tokio::test]
async fn of_a_binary_message_only_the_header_comes_back() {
    // W-22.08
    let world = World::new().await;
    let home = world.remote("gp.test").await;
    world.remote("dest.test").offers(["8BITMIME"]).await;
    let mut client = world.client().session().await;
    for octets in [
        &b"Subject: odd\r\n\r\n\0\n.\n\r\r\n.\r\n"[..],
        b"Subject: odd\r\nX: \0\n.\r\nY: \r.\n\r\n\r\ntext\r\n",
    ] {
        let asked = "MAIL FROM:<ann@gp.test> BODY=BINARYMIME RET=FULL";
        client.cmd(asked).await.expect(250);
        client.cmd("RCPT TO:<bob@dest.test>").await.expect(250);
        let chunk = format!("BDAT {} LAST\r\n", octets.len());
        client
            .send_octets([chunk.as_bytes(), octets].concat())
            .await;
        client.read_reply().await.expect("250 2.0.0");
        let message = home.message().await;
        let text = String::from_utf8_lossy(message.octets()).replace("\r\n", "");
        assert!(!text.contains(['\r', '\n', '\0']), "{text:?}");
        let report = message.report();
        report.says("bob@dest.test", "failed", "5.6.3");
        assert_eq!(report.original.content_type, "text/rfc822-headers");
        let header = String::from_utf8_lossy(&report.original.body);
        assert!(header.contains("Subject: odd\r\n"), "{header}");
    }
}

#[tokio::test]
async fn a_report_about_a_message_for_smtputf8_is_one_itself_where_that_is_needed() {
    // W-22.10
    let world = World::new().await;
    let home = world
        .remote("gp.test")
        .offers(["SMTPUTF8", "8BITMIME"])
        .await;
    let mx = world.remote("dest.test").offers(["SMTPUTF8"]).await;
    mx.answers(Phase::Rcpt, ["550 5.1.1 no"]);
    let asked = mail().mail_parameter("SMTPUTF8");
    let german = asked.clone().subject("Grüße");
    for (sent, to, ret, original) in [
        (&german, "bob", "RET=FULL", "message/global"),
        (&german, "bob", "RET=HDRS", "message/global-headers"),
        (&asked, "böb", "RET=FULL", "message/global"),
        (&asked, "bob", "RET=FULL", "message/rfc822"),
        (
            &asked.clone().body("Grüße"),
            "bob",
            "RET=FULL",
            "message/rfc822",
        ),
    ] {
        let mailbox = format!("{to}@dest.test");
        let sent = sent.clone().mail_parameter(ret).to(&mailbox);
        world.client().send(sent).await.accepted();
        let message = home.message().await;
        let report = message.report();
        report.says(&mailbox, "failed", "5.1.1");
        assert_eq!(report.original.content_type, original, "{mailbox} {ret}");
        let is_global = original.starts_with("message/global");
        let parameters = message.transaction.mail_parameters();
        assert_eq!(
            parameters.contains(&"SMTPUTF8"),
            is_global,
            "{mailbox} {ret}"
        );
        let address_type = report.about(&mailbox).only("Final-Recipient");
        let wanted = if mailbox.is_ascii() {
            "rfc822; "
        } else {
            "utf-8; "
        };
        assert!(address_type.starts_with(wanted), "{address_type}");
    }
}

#[tokio::test]
async fn memory_does_not_grow_with_what_is_returned() {
    // W-22.08
    const MEBIBYTE: u64 = 1024 * 1024;
    let world = World::new().await;
    let home = world.remote("gp.test").await;
    let mx = world.remote("dest.test").await;
    let large = mail().body(&"0123456789abcdef0123456789abcdef\n".repeat(250_000)); // 8.5 MB
    refused(&world, &home, &mx, &large, Some("RET=HDRS"), "header").await;
    let before = world.relay().peak_resident_octets();
    let message = refused(&world, &home, &mx, &large, Some("RET=FULL"), "whole").await;
    assert!(message.octets().len() as u64 > 8 * MEBIBYTE);
    let grown = world.relay().peak_resident_octets() - before;
    assert!(grown < 4 * MEBIBYTE, "by {grown} octets");
}

/// The report about `sent`, refused, with the Subject `row`.
async fn refused(
    world: &World,
    home: &Remote,
    mx: &Remote,
    sent: &Mail,
    ret: Option<&str>,
    row: &str,
) -> Message {
    mx.answers(Phase::Rcpt, ["550 5.1.1 no"]);
    let mut sent = sent.clone().subject(row).to("bob@dest.test");
    if let Some(parameter) = ret {
        sent = sent.mail_parameter(parameter);
    }
    world.client().send(sent).await.accepted();
    let subject = format!("Subject: {row}\r\n");
    home.message_that(|message| {
        memchr::memmem::find(message.octets(), subject.as_bytes()).is_some()
    })
    .await
}

fn impatient() -> Setup {
    World::setup()
        .set("SMTP_MESSAGE_LIFETIME", "1s")
        .set("SMTP_RETRY_BASE", "200ms")
        .set("SMTP_RETRY_CAP", "400ms")
}

/// Says `command` with each row's parameters, and wants the row's reply; a MAIL that was taken is
/// taken back.
async fn check(client: &mut Client, rows: &[(&str, &str)], command: &str) {
    for (parameters, wanted) in rows {
        let said = client.cmd(&format!("{command} {parameters}")).await;
        assert!(said.is(*wanted), "{parameters:?} got {said}");
        if command.starts_with("MAIL") {
            client.cmd("RSET").await.expect(250);
        }
    }
    client.in_sync().await;
}
