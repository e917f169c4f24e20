//! W-2: what each command may look like, when it may be said, and what is answered.

use crate::support::{World, mail};

#[tokio::test]
async fn ehlo_names_us_and_exactly_what_works() {
    // W-2.01
    let world = World::new().await;
    let mut client = world.client().connect().await;
    client.read_reply().await.expect(220);
    let hello = client.cmd("EHLO client.test").await.expect(250);
    assert_eq!(hello.lines[0].split(' ').next(), Some("gp.test"), "{hello}");
    let mut keywords = hello.keywords();
    keywords.sort_unstable();
    let offered = [
        "8BITMIME",
        "BINARYMIME",
        "CHUNKING",
        "DSN",
        "ENHANCEDSTATUSCODES",
        "LIMITS RCPTMAX=1000 MAILMAX=999999",
        "PIPELINING",
        "SIZE 10485760",
        "SMTPUTF8",
    ];
    assert_eq!(keywords, offered);
}

#[tokio::test]
async fn helo_names_us_in_one_line() {
    // W-2.03
    let world = World::new().await;
    let mut client = world.client().connect().await;
    client.read_reply().await.expect(220);
    let hello = client.cmd("HELO client.test").await.expect(250);
    assert_eq!(hello.lines.len(), 1, "{hello}");
    assert_eq!(hello.lines[0].split(' ').next(), Some("gp.test"), "{hello}");
}

#[tokio::test]
async fn any_name_is_good_for_helo_and_ehlo() {
    // W-2.05
    let world = World::new().await;
    let mut client = world.client().session().await;
    for name in [
        "client.test",
        "localhost",
        "[127.0.0.1]",
        "[IPv6:::1]",
        "192.0.2.1",
        "2001:db8::1",
        "my_pc.some_where",
        "client.test.",
        "client.test and further words",
        "no.such.name.invalid",
        "gp.test",
        "-",
    ] {
        client.cmd(&format!("EHLO {name}")).await.expect(250);
        client.cmd(&format!("HELO {name}")).await.expect(250);
    }
    world.dns().never_asked("no.such.name.invalid");
}

#[tokio::test]
async fn whatever_ehlo_says_the_trace_field_parses() {
    // W-2.06
    let world = World::new().await;
    let mx = world.remote("dest.test").await;
    let mut client = world.client().session().await;
    for name in [
        &b"a(b)\";\x85"[..],
        "b\u{fc}cher.test".as_bytes(),
        b"(",
        b"\\",
        b"a\tb",
        b"x;Mon,",
        &[b'h'; 2_000],
    ] {
        let line = [b"EHLO ", name, b"\r\n"].concat();
        client.send_octets(line).await;
        client.read_reply().await.expect(250);
        let sent = client.send(mail().to("ann@dest.test")).await;
        let id = sent.accepted();
        let message = mx.message().await;
        let trace = message.trace();
        let shown = |octet: u8| octet.is_ascii_alphanumeric() || b".-_:[]".contains(&octet);
        assert!(trace.from.bytes().all(shown), "{trace:?}");
        assert_eq!((trace.by.as_str(), &trace.id), ("gp.test", &id.0));
        assert_eq!(trace.client, "[127.0.0.1]");
    }
}

#[tokio::test]
async fn before_hello_only_what_needs_none_is_done() {
    // W-2.09
    let world = World::new().await;
    let mut client = world.client().connect().await;
    client.read_reply().await.expect(220);
    let rows = [
        ("MAIL FROM:<ann@gp.test>", "503 5.5.1"),
        ("RCPT TO:<ann@dest.test>", "503 5.5.1"),
        ("DATA", "503 5.5.1"),
        ("NOOP", "250 2.0.0"),
        ("RSET", "250 2.0.0"),
        ("HELP", "214 2.0.0"),
        ("VRFY ann", "252 2.0.0"),
        ("RCPT TO:<ann@dest.test>", "503 5.5.1"),
        ("QUIT", "221 2.0.0"),
    ];
    client.dialogue(rows).await;
    client.expect_closed().await;
}

#[tokio::test]
async fn commands_are_read_in_any_case_and_with_blanks_where_they_do_no_harm() {
    // W-2.10
    let world = World::new().await;
    let mx = world.remote("dest.test").await;
    let mut client = world.client().connect().await;
    client.read_reply().await.expect(220);
    let rows = [
        ("ehlo client.test", "250"),
        ("mail from:<ann@gp.test> size=10 body=8bitmime", "250"),
        ("rSeT", "250"),
        ("Mail From:<ann@gp.test> Size=10 Body=8BitMime \t ", "250"),
        ("RSET  ", "250"),
        ("EHLO    client.test\t", "250"),
        ("MAIL    FROM:<ann@gp.test>   SIZE=10   SMTPUTF8", "250"),
        ("RSET\t", "250"),
        ("NOOP   \t", "250"),
        ("vrfy   ann", "252"),
        ("help\t", "214"),
        ("mAiL fRoM: <ann@gp.test>", "250"),
        ("rCpT   tO: <ann@dest.test>\t", "250"),
        ("RCPT TO:  <bob@dest.test>", "250"),
        ("data \t", "354"),
    ];
    client.dialogue(rows).await;
    client.send_octets("Subject: x\r\n\r\nx\r\n.\r\n").await;
    client.read_reply().await.expect(250);
    client.dialogue([("quit ", "221")]).await;
    assert_eq!(mx.message().await.from(), "ann@gp.test");
}

#[tokio::test]
async fn malformed_commands_are_named_as_such() {
    // W-2.11, W-2.12
    let world = World::new().await;
    let mut client = world.client().session().await;
    let rows = [
        (" NOOP", "500"),
        ("\tNOOP", "500"),
        ("NO OP", "500"),
        ("MAIL FROM <ann@gp.test>", "501 5.5.4"),
        ("MAIL FROM :<ann@gp.test>", "501 5.5.4"),
        ("MAIL FORM:<ann@gp.test>", "501 5.5.4"),
        ("MAIL TO:<ann@gp.test>", "501 5.5.4"),
        ("MAIL <ann@gp.test>", "501 5.5.4"),
        ("MAIL", "501 5.5.4"),
        ("MAIL FROM:", "501 5.5.4"),
        ("MAIL FROM: ", "501 5.5.4"),
        ("RCPT TO:<ann@dest.test>", "503 5.5.1"), // none of these began a transaction
        ("MAIL FROM:<ann@gp.test>", "250"),
        ("RCPT", "501 5.5.4"),
        ("RCPT TO", "501 5.5.4"),
        ("RCPT TO:", "501 5.5.4"),
        ("RCPT TO:  ", "501 5.5.4"),
        ("RCPT FROM:<ann@dest.test>", "501 5.5.4"),
        ("RCPT TO:<ann@dest.test>", "250"),
    ];
    client.dialogue(rows).await;
    client.in_sync().await;
}

#[tokio::test]
async fn a_plain_address_may_come_without_brackets() {
    // W-2.13
    let world = World::new().await;
    let mx = world.remote("dest.test").await;
    let mut client = world.client().session().await;
    let rows = [
        ("MAIL FROM:ann@gp.test SIZE=100", "250"),
        ("RCPT TO:bob@dest.test", "250"),
        ("RCPT TO:\"b b\"@dest.test", "501 5.1.3"),
    ];
    client.dialogue(rows).await;
    client.data(mail().octets()).await.expect(250);
    let message = mx.message().await;
    assert_eq!(message.from(), "ann@gp.test");
    assert_eq!(message.to(), ["bob@dest.test"]);
}

#[tokio::test]
async fn what_we_do_not_do_is_said_by_the_right_code() {
    // W-2.14, W-2.30
    let world = World::new().await;
    let mx = world.remote("dest.test").await;
    let mut client = world.client().session().await;
    let rows = [
        ("HELLO client.test", "500 5.5.1"),
        ("FOO", "500 5.5.1"),
        ("X", "500 5.5.1"),
        ("NOOPS", "500 5.5.1"),
        ("AVERYLONGVERBTHATNOBODYEVERSPECIFIED x", "500 5.5.1"),
        ("", "500 5.5.2"),
        ("  ", "500 5.5.2"),
        ("EXPN staff", "502 5.5.1"),
        ("ETRN dest.test", "502 5.5.1"),
        ("TURN", "502 5.5.1"),
        ("SEND FROM:<ann@gp.test>", "502 5.5.1"),
        ("SOML FROM:<ann@gp.test>", "502 5.5.1"),
        ("SAML FROM:<ann@gp.test>", "502 5.5.1"),
        ("STARTTLS", "502 5.5.1"),
        ("AUTH PLAIN AGEAYg==", "502 5.5.1"),
        ("BDAT 0 LAST", "503 5.5.1"),
        ("XCLIENT ADDR=192.0.2.1 NAME=friend.test", "500 5.5.1"),
        ("XFORWARD ADDR=192.0.2.1", "500 5.5.1"),
        ("PROXY TCP4 192.0.2.1 192.0.2.2 1 25", "500 5.5.1"),
        ("XEXCH50 1 2", "500 5.5.1"),
        ("LHLO other.test", "500 5.5.1"),
        ("RCPT TO:<ann@dest.test>", "503 5.5.1"),
    ];
    client.dialogue(rows).await;
    client.send(mail().to("ann@dest.test")).await.accepted();
    let trace = mx.message().await.trace();
    assert_eq!(
        (trace.from.as_str(), trace.client.as_str()),
        ("client.test", "[127.0.0.1]")
    );
    assert_eq!(trace.with, "ESMTP");
}

#[tokio::test]
async fn vrfy_tells_nothing_and_help_helps() {
    // W-2.15
    let world = World::new().await;
    let mut client = world.client().session().await;
    let first = client.cmd("VRFY x").await.expect("252 2.0.0");
    for argument in [
        "root",
        "<ann@gp.test>",
        "\"quoted",
        "nobody@nowhere.invalid",
        "<",
        "two words",
        "\u{fc}",
    ] {
        let reply = client.cmd(&format!("VRFY {argument}")).await;
        assert_eq!(reply.lines, first.lines, "VRFY {argument}");
        assert_eq!(reply.code, 252, "VRFY {argument}");
    }
    let rows = [
        ("VRFY", "501 5.5.4"),
        ("VRFY  ", "501 5.5.4"),
        ("HELP", "214 2.0.0"),
        ("HELP MAIL", "214 2.0.0"),
    ];
    client.dialogue(rows).await;
}

#[tokio::test]
async fn needless_arguments_are_fine_for_noop_and_nothing_else() {
    // W-2.16
    let world = World::new().await;
    let mx = world.remote("dest.test").await;
    let mut client = world.client().session().await;
    let rows = [
        ("NOOP", "250 2.0.0"),
        ("NOOP any text", "250 2.0.0"),
        ("MAIL FROM:<ann@gp.test>", "250"),
        ("RCPT TO:<ann@dest.test>", "250"),
        ("RSET x", "501 5.5.4"),
        ("DATA x", "501 5.5.4"),
        ("QUIT x", "501 5.5.4"),
    ];
    client.dialogue(rows).await;
    client.data(mail().octets()).await.expect(250);
    mx.received_exactly(1).await;
}

#[tokio::test]
async fn a_later_helo_is_told_in_the_trace_and_takes_no_parameter_away() {
    // W-2.08
    let world = World::new().await;
    let mx = world.remote("dest.test").await;
    let mut client = world.client().session().await;
    let rows = [
        ("HELO other.test", "250"),
        ("MAIL FROM:<ann@gp.test> SIZE=100 BODY=8BITMIME", "250"),
        ("RCPT TO:<ann@dest.test>", "250"),
    ];
    client.dialogue(rows).await;
    client.data(mail().octets()).await.expect(250);
    let trace = mx.message().await.trace();
    assert_eq!(
        (trace.with.as_str(), trace.from.as_str()),
        ("SMTP", "other.test")
    );
}
