//! Hosts that take 7 bits only, and messages that have 8.

use crate::support::{Mail, Remote, World, mail, same_octets};

const GREEN: &str = "Die Gr\u{fc}nen =\n.\nund noch eine Zeile, die gar nicht so lang ist\n";

fn typed(content_type: &str) -> Mail {
    mail()
        .header("MIME-Version", "1.0")
        .header("Content-Type", content_type)
        .header("Content-Transfer-Encoding", "8bit")
}

/// Fails if a host saw 8 bits, or a parameter that it did not offer.
#[track_caller]
fn saw_7_bits_only(mx: &Remote) {
    for connection in mx.connections() {
        for command in &connection.commands {
            assert!(command.line.is_ascii() && !command.line.contains("BODY="));
        }
    }
    for transaction in mx.transactions() {
        assert!(transaction.wire.is_ascii());
    }
}

#[tokio::test]
async fn a_text_of_8_bits_arrives_as_quoted_printable_where_8bitmime_is_not_offered() {
    // W-17.02
    let world = World::new().await;
    let sent = typed("text/plain; charset=utf-8").body(GREEN);
    for (row, offers) in [
        ("nothing.test", &[][..]),
        ("piped.test", &["PIPELINING", "SIZE"]),
        ("utf8.test", &["SMTPUTF8"]),
    ] {
        let mx = world.remote(row).offers(offers.iter().copied()).await;
        let id = world
            .client()
            .send(sent.clone().to(&format!("bob@{row}")))
            .await
            .accepted();
        world.history(&id).is_exactly(["delivered"]).await;
        let message = mx.message().await;
        saw_7_bits_only(&mx);
        let encoding = message.header.only("Content-Transfer-Encoding");
        assert_eq!(encoding, "quoted-printable");
        assert_eq!(message.header.only("MIME-Version"), "1.0");
        let text = String::from_utf8_lossy(message.body()).into_owned();
        assert_eq!(
            text,
            "Die Gr=C3=BCnen =3D\r\n.\r\nund noch eine Zeile, die gar nicht so lang ist\r\n"
        );
        for parameter in message.transaction.mail_parameters() {
            let size = format!("SIZE={}", message.octets().len());
            assert_eq!(parameter, size, "{row}");
        }
        let told = world
            .history(&id)
            .event("delivered", &format!("bob@{row}"))
            .await;
        let reply = told.field("reply").unwrap_or_default();
        assert!(reply.contains("re-encoded"), "{reply}");
    }
}

#[tokio::test]
async fn parts_and_messages_inside_are_re_encoded_where_they_must_be() {
    // W-17.02: a file of 8 bits that is too large for memory, a message inside, a part that stays
    let world = World::new().await;
    let mx = world
        .remote("dest.test")
        .offers(["SIZE", "PIPELINING"])
        .await;
    let kept = "X-Odd:   kept \t\n\n7 bits, with blanks at the end  \n";
    let large = "\u{20ac}\u{fc}\u{e4}\u{f6}\n".repeat(100_000); // 1.1 MB
    let body = format!(
        "--=b\n{kept}\n--=b\nContent-Type: image/x\nContent-Transfer-Encoding: 8bit\n\n{large}\
         \n--=b\nContent-Type: message/rfc822\n\nSubject: inner\n\n{GREEN}\n--=b--\n"
    );
    let sent = typed("multipart/mixed; boundary=\"=b\"").body(&body);
    let id = world
        .client()
        .send(sent.to("bob@dest.test"))
        .await
        .accepted();
    world.history(&id).is_exactly(["delivered"]).await;
    let message = mx.message().await;
    saw_7_bits_only(&mx);
    assert_eq!(message.header.only("Content-Transfer-Encoding"), "7bit");
    let size = format!("SIZE={}", message.octets().len());
    assert_eq!(message.transaction.mail_parameters(), [size.as_str()]);
    let text = String::from_utf8_lossy(message.body()).replace("\r\n", "\n");
    assert!(
        text.starts_with(&format!("--=b\n{kept}\n--=b\n")),
        "the first part is as it was"
    );
    let inner = "\n--=b\nContent-Type: message/rfc822\n\nSubject: inner\nMIME-Version: 1.0\n\
                 Content-Type: text/plain; charset=unknown-8bit\n\
                 Content-Transfer-Encoding: quoted-printable\n\nDie Gr=C3=BCnen =3D\n.\n";
    assert!(text.contains(inner), "{}", &text[text.len() - 600..]);
    let (_, file) = text
        .split_once("Content-Type: image/x\nContent-Transfer-Encoding: base64\n\n")
        .expect("the file");
    let (file, _) = file.split_once("\n--=b\n").expect("its end");
    let decode =
        |text: &str| base64::Engine::decode(&base64::engine::general_purpose::STANDARD, text);
    let decoded = decode(&file.replace('\n', "")).expect("base64");
    same_octets(decoded, large.replace('\n', "\r\n"));
    assert!(file.lines().all(|line| line.len() <= 76));
}

#[tokio::test]
async fn what_cant_be_re_encoded_fails_and_the_sender_learns_why() {
    // W-17.02, W-17.03
    let world = World::new().await;
    let home = world.remote("gp.test").await;
    let mx = world
        .remote("dest.test")
        .offers(["SIZE", "PIPELINING"])
        .await;
    let signed = "--s\n\n\u{fc}\n--s--\n";
    let untrue = mail()
        .header("Content-Transfer-Encoding", "base64")
        .body("\u{fc}\n");
    for (row, sent, status, why) in [
        (
            "signed",
            typed("multipart/signed; boundary=s").body(signed),
            "5.6.3",
            "signature",
        ),
        (
            "no boundary",
            typed("multipart/mixed").body(signed),
            "5.6.3",
            "malformed",
        ),
        ("an untrue encoding", untrue, "5.6.3", "8-bit octets where"),
        (
            "header",
            mail().header("X-Name", "J\u{fc}rgen"),
            "5.6.7",
            "header is not ASCII",
        ),
        (
            "no header",
            mail().raw("\u{fc} is no header\r\n"),
            "5.6.3",
            "malformed",
        ),
    ] {
        let id = world
            .client()
            .send(sent.to("bob@dest.test"))
            .await
            .accepted();
        let failed = format!("failed {status}");
        world.history(&id).is_exactly([failed.as_str()]).await;
        let report = home.message_that(|message| {
            let about = message.report().per_message.only("X-GopherPost-Queue-ID");
            about == id.0
        });
        let report = report.await.report();
        report.says("bob@dest.test", "failed", status);
        let bob = report.about("bob@dest.test").only("Diagnostic-Code");
        assert!(bob.contains(why), "{row}: {bob}");
    }
    mx.never_saw("MAIL");
}

#[tokio::test]
async fn a_header_of_8_bits_fails_where_smtputf8_was_asked_for_and_is_not_offered() {
    // W-17.03
    let world = World::new().await;
    let home = world
        .remote("gp.test")
        .offers(["SMTPUTF8", "8BITMIME"])
        .await;
    let mx = world.remote("dest.test").offers(["8BITMIME"]).await;
    let both = world
        .remote("both.test")
        .offers(["SMTPUTF8", "8BITMIME"])
        .await;
    let asked = mail()
        .mail_parameter("SMTPUTF8")
        .mail_parameter("BODY=8BITMIME");
    let in_header = asked.clone().subject("Gr\u{fc}\u{df}e").to("bob@dest.test");
    let id = world.client().send(in_header).await.accepted();
    world.history(&id).is_exactly(["failed 5.6.7"]).await;
    home.message()
        .await
        .report()
        .says("bob@dest.test", "failed", "5.6.7");
    mx.never_saw("MAIL");
    // With 8 bits in its text only, it needs no SMTPUTF8.
    for (host, domain) in [(&mx, "dest.test"), (&both, "both.test")] {
        let in_text = asked.clone().body(GREEN).to(&format!("bob@{domain}"));
        let id = world.client().send(in_text).await.accepted();
        world.history(&id).is_exactly(["delivered"]).await;
        let parameters = host.message().await.transaction.mail;
        assert!(parameters.ends_with(" BODY=8BITMIME"), "{parameters}");
    }
}

#[tokio::test]
async fn a_report_that_gives_8_bits_back_reaches_a_sender_behind_a_7_bit_host() {
    // W-17.02, W-22.10
    let world = World::new().await;
    let home = world.remote("gp.test").offers(["PIPELINING"]).await;
    world.remote("dest.test").rcpt(["550 5.1.1 no"]).await;
    let sent = typed("text/plain; charset=utf-8")
        .body(GREEN)
        .to("bob@dest.test");
    world.client().send(sent).await.accepted();
    let message = home.message().await;
    saw_7_bits_only(&home);
    let report = message.report();
    report.says("bob@dest.test", "failed", "5.1.1");
    assert_eq!(report.original.content_type, "message/rfc822");
    let original = String::from_utf8_lossy(&report.original.body);
    assert!(
        original.contains("Content-Transfer-Encoding: quoted-printable\r\n"),
        "{original}"
    );
    assert!(original.contains("Die Gr=C3=BCnen"), "{original}");
}

#[tokio::test]
async fn memory_does_not_grow_with_what_is_re_encoded() {
    // W-17.02
    const MEBIBYTE: u64 = 1024 * 1024;
    let world = World::new().await;
    let mx = world.remote("dest.test").offers(["PIPELINING"]).await;
    let send = async |text: String| {
        let sent = typed("text/plain; charset=utf-8")
            .body(&text)
            .to("bob@dest.test");
        let id = world.client().send(sent).await.accepted();
        world.history(&id).is_exactly(["delivered"]).await;
    };
    send(GREEN.repeat(1_000)).await;
    let before = world.relay().peak_resident_octets();
    send(GREEN.repeat(100_000)).await; // 7 MB
    let grown = world.relay().peak_resident_octets() - before;
    assert!(grown < 4 * MEBIBYTE, "by {grown} octets");
    mx.received_exactly(2).await;
    saw_7_bits_only(&mx);
}
