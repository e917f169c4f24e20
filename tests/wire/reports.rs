//! Delivery reports: who gets one, what it says, and that nobody's octets break it.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use crate::support::{
    Fields, Gate, Message, Phase, Random, World, hang, mail, raw, reply, same_octets,
};

#[tokio::test]
async fn one_of_three_refused_is_two_delivered_and_one_report() {
    // W-22.01, W-22.02
    let world = World::new().await;
    let home = world.remote("gp.test").await;
    let mx = world
        .remote("dest.test")
        .rcpt_for(
            "eve@dest.test",
            ["550-5.1.1 no such\r\n550 5.1.1 user <eve>"],
        )
        .await;
    let sent = mail().recipients(["bob@dest.test", "eve@dest.test", "mallory@dest.test"]);
    let id = world.client().send(sent.clone()).await.accepted();
    world
        .history(&id)
        .shows_for("eve@dest.test", ["failed 5.1.1"])
        .await;
    world
        .history(&id)
        .shows_for("bob@dest.test", ["delivered"])
        .await;
    world
        .history(&id)
        .shows_for("mallory@dest.test", ["delivered"])
        .await;
    let delivered = mx.message().await;
    assert_eq!(delivered.to(), ["bob@dest.test", "mallory@dest.test"]);
    delivered.arrived_as(sent.octets());

    let message = home.message().await;
    assert_eq!(message.transaction.mail.split(' ').nth(1), Some("FROM:<>"));
    assert_eq!(message.to(), ["ann@gp.test"]);
    let header = &message.header;
    assert!(
        header.only("From").ends_with("<MAILER-DAEMON@gp.test>"),
        "{header:?}"
    );
    assert_eq!(header.only("To"), "<ann@gp.test>");
    assert_eq!(header.only("Auto-Submitted"), "auto-replied");
    assert_eq!(header.only("MIME-Version"), "1.0");
    assert!(!header.only("Subject").is_empty());
    assert!(
        header.only("Message-ID").ends_with("@gp.test>"),
        "{header:?}"
    );
    assert_ne!(header.get("Message-ID"), delivered.field("Message-ID"));
    is_a_date(&header.only("Date"));

    let report = message.report();
    assert_eq!(report.per_message.only("Reporting-MTA"), "dns; gp.test");
    assert_eq!(
        report.per_message.only("Arrival-Date"),
        delivered.trace().date
    );
    report.is_about(1);
    report.says("eve@dest.test", "failed", "5.1.1");
    let eve = report.about("eve@dest.test");
    assert_eq!(eve.only("Final-Recipient"), "rfc822; eve@dest.test");
    assert_eq!(eve.only("Remote-MTA"), "dns; mx1.dest.test");
    let whole_reply = "smtp; 550 5.1.1 no such user <eve>";
    assert_eq!(eve.only("Diagnostic-Code"), whole_reply);
    let text = String::from_utf8_lossy(&report.text.body);
    assert!(
        text.contains("eve@dest.test") && text.contains("no such user"),
        "{text}"
    );
    assert!(!text.contains("bob@dest.test"), "{text}");

    world.takes_and_delivers_a_mail().await;
    home.received_exactly(1).await;
    mx.received_exactly(1).await;
}

#[tokio::test]
async fn a_host_that_was_not_reached_is_not_named() {
    // W-22.02
    let world = World::new().await;
    let home = world.remote("gp.test").await;
    let id = world
        .client()
        .send(mail().to("bob@nowhere.test"))
        .await
        .accepted();
    world.history(&id).is_exactly(["failed 5.1.2"]).await;
    let report = home.message().await.report();
    report.says("bob@nowhere.test", "failed", "5.1.2");
    let bob = report.about("bob@nowhere.test");
    assert_eq!(bob.get("Remote-MTA"), None);
    let diagnostic = bob.get("Diagnostic-Code").unwrap_or_default();
    assert!(!diagnostic.starts_with("smtp"), "{diagnostic}");
}

#[tokio::test]
async fn a_host_that_took_the_connection_and_stayed_silent_is_named() {
    // W-22.02
    let world = World::setup()
        .set("SMTP_MESSAGE_LIFETIME", "1s")
        .set("SMTP_RETRY_BASE", "200ms")
        .set("SMTP_RETRY_CAP", "400ms")
        .set("SMTP_REPLY_TIMEOUT", "200ms")
        .await;
    let home = world.remote("gp.test").await;
    let _silent = world.remote("silent.test").greeting([hang()]).await;
    let down = world.remote("down.test").await;
    down.goes_down();
    for domain in ["silent.test", "down.test"] {
        let to = format!("bob@{domain}");
        world.client().send(mail().to(&to)).await.accepted();
    }
    for _ in 0..2 {
        let report = home.message().await.report();
        let bob = &report.recipients[0];
        let named = match bob.only("Final-Recipient").as_str() {
            "rfc822; bob@silent.test" => Some("dns; mx1.silent.test".to_owned()),
            _ => None,
        };
        assert_eq!(bob.get("Remote-MTA"), named, "{bob:?}");
        assert_eq!(bob.only("Status"), "4.4.7", "{bob:?}");
    }
}

#[tokio::test]
async fn a_null_sender_is_never_told() {
    // W-22.03: failed by a reply, failed by DNS, expired
    let world = World::setup()
        .set("SMTP_MESSAGE_LIFETIME", "1s")
        .set("SMTP_RETRY_BASE", "200ms")
        .set("SMTP_RETRY_CAP", "400ms")
        .await;
    let home = world.remote("gp.test").await;
    let mx = world
        .remote("dest.test")
        .rcpt_for("no@dest.test", ["550 5.1.1 no"])
        .rcpt_for("later@dest.test", ["451 4.2.0 later"])
        .await;
    let null = || mail().from("").header("Return-Path", "<ann@gp.test>");
    let to = ["no@dest.test", "x@nowhere.test", "later@dest.test"];
    let id = world.client().send(null().recipients(to)).await.accepted();
    let history = world.history(&id);
    history.shows_for("no@dest.test", ["failed 5.1.1"]).await;
    history.shows_for("x@nowhere.test", ["failed 5.1.2"]).await;
    history.event("expired", "later@dest.test").await;
    world.takes_and_delivers_a_mail().await;
    world.log().never_told("report_queued");
    home.never_called();
    mx.receives_nothing();
}

#[tokio::test]
async fn a_report_that_fails_is_dropped_and_told_to_the_log() {
    // W-22.03
    let world = World::new().await;
    let home = world
        .remote("gp.test")
        .rcpt(["550 5.1.1 no ann here"])
        .await;
    world
        .remote("dest.test")
        .rcpt(["550 5.1.1 no bob here"])
        .await;
    let id = world
        .client()
        .send(mail().to("bob@dest.test"))
        .await
        .accepted();
    world.history(&id).is_exactly(["failed 5.1.1"]).await;
    let queued = world.log().tells("report_queued").await;
    assert_eq!(queued.field("about"), Some(id.0));
    let report = queued.field("queue_id").expect("a report has an id");
    world
        .log()
        .wait_for(|line| line.is("failed") && line.field("queue_id").as_ref() == Some(&report))
        .await;
    let dropped = world.log().tells("report_dropped").await;
    assert_eq!(dropped.field("queue_id"), Some(report));
    world.takes_and_delivers_a_mail().await;
    assert_eq!(world.log().tells_times("report_queued", 1).await.len(), 1);
    assert_eq!(home.connections().len(), 1);
    home.receives_nothing();
}

/// The remote's 550 and its verdict lie between the gate and the kill, or the report's commit, or
/// the report's own delivery, as chance has it. A report that was on its way at a kill may come
/// twice, which no protocol can avoid; but it is the same report.
#[tokio::test]
async fn a_kill_at_any_moment_leaves_exactly_one_report_for_each_failure() {
    // W-22.04
    const KILLS: usize = 8;
    const LATEST_KILL_MICROS: u64 = 8_000;
    let world = World::setup()
        .set("SMTP_RETRY_BASE", "100ms")
        .set("SMTP_RETRY_CAP", "100ms")
        .await;
    let home = world.remote("gp.test").await;
    let mx = world.remote("dest.test").await;
    let mut random = Random::new();
    for round in 0..=KILLS {
        let gate = Gate::new();
        mx.answers(Phase::Rcpt, [reply("550 5.1.1 no").behind(&gate)]);
        let sent = mail()
            .to("bob@dest.test")
            .subject(&format!("round {round}"));
        world.client().send(sent).await.accepted();
        gate.reached().await;
        gate.open();
        if round < KILLS {
            let moment = Instant::now() + Duration::from_micros(random.next() % LATEST_KILL_MICROS);
            while Instant::now() < moment {
                tokio::task::yield_now().await; // finer than a timer is
            }
            world.relay().kill_and_restart().await;
        }
        home.message_that(|message| is_about_round(message, round))
            .await;
    }
    world.takes_and_delivers_a_mail().await;
    let mut reports: BTreeMap<usize, Vec<String>> = BTreeMap::new();
    for message in home.messages() {
        let round = (0..=KILLS).find(|round| is_about_round(&message, *round));
        let ids = reports.entry(round.expect("a round")).or_default();
        ids.push(message.header.only("Message-ID"));
    }
    for (round, ids) in &mut reports {
        ids.sort();
        ids.dedup();
        assert_eq!(ids.len(), 1, "reports about round {round}: {ids:?}");
    }
    assert_eq!(reports.len(), KILLS + 1);
}

#[tokio::test]
async fn no_reply_breaks_a_report() {
    // W-22.05, W-22.02
    let world = World::new().await;
    let home = world.remote("gp.test").await;
    let mx = world.remote("dest.test").await;
    let endless = format!("550 {}\r\n", "x".repeat(2_000));
    let words = format!("554 5.7.26 {}\r\n", "word ".repeat(400));
    let many = "550-5.1.0 another line\r\n".repeat(80) + "550 5.1.0 end\r\n";
    // What comes, the Status it gives, and Diagnostic-Code, blanks aside.
    let rows: [(&str, &[u8], &str, &str); 12] = [
        ("words", b"550 5.1.1 no\r\n", "5.1.1", "550 5.1.1 no"),
        ("no words", b"550\r\n", "5.0.0", "550"),
        ("boundaries", b"550---=_01ARZ3NDEKTSV4RRFFQ69G5FAV-0\r\n550 --b--\r\n", "5.0.0", "550 --=_01ARZ3NDEKTSV4RRFFQ69G5FAV-0 --b--"),
        ("dots", b"550-.\r\n550-\r\n550-..\r\n550 .\r\n", "5.0.0", "550 . .. ."),
        ("fields", b"550-5.7.1 x\r\n550-Action: delivered\r\n550-Status: 2.0.0\r\n550 To: y\r\n", "5.7.1", "550 5.7.1 x Action: delivered Status: 2.0.0 To: y"),
        ("blocks", b"550-a\r\n550-\r\n550-Final-Recipient: rfc822; x@y\r\n550-Action: delivered\r\n550 \r\n", "5.0.0", "550 a Final-Recipient: rfc822; x@y Action: delivered"),
        ("a header", b"550-Content-Type: text/html\r\n550-\r\n550 <script>\r\n", "5.0.0", "550 Content-Type: text/html <script>"),
        ("8-bit", b"550 5.2.1 \xff\xfe \xc3\xbc \xe2\x80\xae!\r\n", "5.2.1", "550 5.2.1 ?? ?? ???!"),
        ("controls", b"550 5.2.1 a\0b\x1b[31mc\x08\x0b\x0c\x7f\td\r e\r\n", "5.2.1", "550 5.2.1 a?b?[31mc???? d? e"),
        ("2,000 octets", endless.as_bytes(), "5.0.0", &endless),
        ("2,000 octets of words", words.as_bytes(), "5.7.26", &words),
        ("many lines", many.as_bytes(), "5.1.0", &format!("550 5.1.0 {} end", "another line ".repeat(80))),
    ];
    for (row, octets, status, words) in rows {
        mx.answers(Phase::Rcpt, [raw(octets)]);
        world
            .client()
            .send(mail().to("bob@dest.test").subject(row))
            .await
            .accepted();
        let message = home.message().await;
        has_only_short_lines(&message, row);
        let report = message.report();
        report.is_about(1);
        report.says("bob@dest.test", "failed", status);
        let bob = report.about("bob@dest.test");
        assert_eq!(bob.names().len(), 7, "{row}: {bob:?}");
        let told = bob.only("Diagnostic-Code");
        assert_eq!(
            without_blanks(&told),
            format!("smtp;{}", without_blanks(words)),
            "{row}"
        );
        let own = std::str::from_utf8(&report.original.body).expect("ASCII");
        assert!(own.contains(&format!("Subject: {row}\r\n")), "{row}: {own}");
    }
}

#[tokio::test]
async fn no_original_breaks_a_report() {
    // W-22.06
    let world = World::new().await;
    let home = world.remote("gp.test").await;
    let mx = world
        .remote("dest.test")
        .rcpt_for("eve@dest.test", ["550 5.1.1 no"])
        .await;
    let mut client = world.client().session().await;
    let look_alike = "Subject: x\r\n\t--=_01ARZ3NDEKTSV4RRFFQ69G5FAV-0\r\n --boundary--\r\n";
    let rows: [(&str, Vec<u8>); 10] = [
        ("usual", mail().octets()),
        ("8-bit", b"Subject: \xff\xfe\xc3\xbc\r\nX: \xe2\x80\xae\r\n\r\ntext \xff\r\n".into()),
        ("no header section", b"hello\r\nSubject: in the text\r\n".into()),
        ("empty", Vec::new()),
        ("only a header section", b"Subject: x\r\n".into()),
        ("begins with an empty line", b"\r\nSubject: in the text\r\n".into()),
        ("boundaries", format!("{look_alike}\r\n--boundary--\r\n").into()),
        ("MIME", b"MIME-Version: 1.0\r\nContent-Type: multipart/report; boundary=\"a\"\r\n\r\n--a\r\n\r\nx\r\n--a--\r\n".into()),
        ("dots", b"X: y\r\n .\r\n ..\r\nZ: .\r\n\r\n.\r\n".into()),
        ("a large body", [b"Subject: large\r\n\r\n".to_vec(), b"0123456789\r\n".repeat(10_000)].concat()),
    ];
    for (row, octets) in rows {
        let sent = mail().raw(octets).to("bob@dest.test").to("eve@dest.test");
        client.send(sent).await.accepted();
        let accepted = mx.message().await; // as bob has it, so were the octets that we took
        let message = home.message().await;
        has_only_short_lines(&message, row);
        let report = message.report();
        report.says("eve@dest.test", "failed", "5.1.1");
        let original = &report.original;
        let (_, length) = Fields::parse(accepted.octets());
        let encoding = original.header.get("Content-Transfer-Encoding");
        let is_8bit = accepted.octets()[..length]
            .iter()
            .any(|octet| !octet.is_ascii());
        let fitting = if is_8bit { "8bit" } else { "7bit" };
        assert_eq!(encoding.as_deref(), Some(fitting), "{row}");
        assert_eq!(
            message.field("Content-Transfer-Encoding").as_deref(),
            Some(fitting),
            "{row}"
        );
        let wanted = match original.content_type.as_str() {
            "text/rfc822-headers" => &accepted.octets()[..length],
            _ => accepted.octets(),
        };
        same_octets(&original.body, wanted);
    }
    mx.received_exactly(10).await;
}

#[tokio::test]
async fn an_original_with_endless_lines_or_fields_is_told_within_the_limits() {
    // W-22.06, W-22.05
    let world = World::new().await;
    let home = world.remote("gp.test").await;
    world.remote("dest.test").rcpt(["550 5.1.1 no"]).await;
    for (row, header) in [
        (
            "a line of 5,000 octets",
            format!("Subject: {}\r\nX: y\r\n", "x".repeat(5_000)),
        ),
        (
            "8-bit, 5,000 octets",
            format!("Subject: {}\r\n", "ü".repeat(2_500)),
        ),
        (
            "500 KiB of fields",
            format!("X-{}: y\r\n", "z".repeat(500)).repeat(1_000),
        ),
    ] {
        let sent = mail()
            .to("bob@dest.test")
            .raw(format!("{header}\r\ntext\r\n"));
        world.client().send(sent).await.accepted();
        let message = home.message().await;
        has_only_short_lines(&message, row);
        message.report().says("bob@dest.test", "failed", "5.1.1");
        assert!(
            message.octets().len() < 200 * 1024,
            "{row}: {}",
            message.octets().len()
        );
    }
}

#[tokio::test]
async fn a_recipient_who_ran_out_of_time_is_reported_with_the_last_reply() {
    // W-20.02, W-22.02
    let world = World::setup()
        .set("SMTP_MESSAGE_LIFETIME", "1s")
        .set("SMTP_RETRY_BASE", "300ms")
        .set("SMTP_RETRY_CAP", "300ms")
        .await;
    let home = world.remote("gp.test").await;
    let busy = ["451 4.2.0 first", "451 4.2.0 busy again"];
    world.remote("dest.test").rcpt(busy).await;
    world.dns().mx("dead.test", 10, "mx.dead.test");
    let nobody = world.next_address();
    world.dns().address_of("mx.dead.test", nobody);
    let rows = [
        (
            "bob@dest.test",
            Some("dns; mx1.dest.test"),
            "smtp; 451 4.2.0 busy again",
        ),
        ("eve@dead.test", None, "X-GopherPost; not delivered within"),
    ];
    let to = rows.map(|(mailbox, ..)| mailbox);
    let id = world.client().send(mail().recipients(to)).await.accepted();
    for (mailbox, remote, diagnostic) in rows {
        let last = world.history(&id).event("expired", mailbox).await;
        assert_eq!(last.field("dsn").as_deref(), Some("4.4.7"));
        let about = format!("Final-Recipient: rfc822; {mailbox}\r\n");
        let about = home.message_that(|message| contains(message, &about)).await;
        let report = about.report();
        report.says(mailbox, "failed", "4.4.7");
        let block = report.about(mailbox);
        assert_eq!(block.get("Remote-MTA").as_deref(), remote, "{mailbox}");
        let told = block.only("Diagnostic-Code");
        assert!(told.starts_with(diagnostic), "{mailbox}: {told}");
    }
    world.takes_and_delivers_a_mail().await;
    home.received_exactly(2).await;
}

fn contains(message: &Message, text: &str) -> bool {
    memchr::memmem::find(message.octets(), text.as_bytes()).is_some()
}

fn is_about_round(message: &Message, round: usize) -> bool {
    let own = String::from_utf8_lossy(&message.report().original.body).into_owned();
    own.contains(&format!("Subject: round {round}\r\n"))
}

fn without_blanks(text: &str) -> String {
    text.split_ascii_whitespace().collect()
}

#[track_caller]
fn has_only_short_lines(message: &Message, row: &str) {
    for line in message.octets().split(|octet| *octet == b'\n') {
        let length = line.strip_suffix(b"\r").unwrap_or(line).len();
        assert!(length <= 998, "{row}: a line of {length} octets");
    }
}

#[track_caller]
fn is_a_date(text: &str) {
    jiff::fmt::rfc2822::parse(text).unwrap_or_else(|error| panic!("{text:?}: {error}"));
}
