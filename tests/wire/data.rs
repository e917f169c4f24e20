//! The data of a message: where they end, how they are counted, and that what arrives is what came.

use crate::support::{Client, Mail, Message, Random, Remote, World, mail, same_octets};

/// Smallest `SMTP_MAX_MESSAGE_SIZE` that can be set, in octets.
const LIMIT_OCTETS: usize = 64 * 1024;

#[tokio::test]
async fn the_reply_names_the_id_that_received_shows() {
    // W-5.01
    let world = World::new().await;
    let mx = world.remote("dest.test").await;
    let mut client = world.client().session().await;
    client.up_to_data(&to_dest()).await;
    client.send_octets("Subject: x\r\n\r\nx\r\n.\r\n").await;
    let reply = client.read_reply().await.expect("250 2.0.0");
    assert_eq!(mx.message().await.trace().id, reply.queue_id().0);
}

#[tokio::test]
async fn only_a_dot_that_is_a_whole_line_ends_the_data() {
    // W-5.03
    let world = World::new().await;
    let mx = world.remote("dest.test").await;
    let mut client = world.client().session().await;
    for (sent, arrives) in [
        ("H: x\r\n\r\n..\r\n", "H: x\r\n\r\n.\r\n"),
        ("H: x\r\n\r\n...\r\n", "H: x\r\n\r\n..\r\n"),
        ("H: x\r\n\r\n.x\r\n", "H: x\r\n\r\nx\r\n"),
        ("H: x\r\n\r\n. \r\n", "H: x\r\n\r\n \r\n"),
        ("H: x\r\n\r\n .\r\n", "H: x\r\n\r\n .\r\n"),
        ("H: x\r\n\r\nx.\r\n", "H: x\r\n\r\nx.\r\n"),
        ("H: x\r\n\r\n.\t\r\n", "H: x\r\n\r\n\t\r\n"),
        ("H: x\r\n\r\n..\r\n..\r\n", "H: x\r\n\r\n.\r\n.\r\n"),
        ("H: x\r\n..\r\nx\r\n", "H: x\r\n.\r\nx\r\n"),
        (".H: x\r\n\r\nx\r\n", "H: x\r\n\r\nx\r\n"),
    ] {
        let message = delivered(&mut client, &mx, sent).await;
        let below = message.below_our_trace_fields(arrives);
        assert_eq!(
            String::from_utf8_lossy(below),
            arrives,
            "what came of {sent:?}"
        );
    }
}

#[tokio::test]
async fn an_empty_message_is_taken() {
    // W-5.03, W-5.16
    let world = World::new().await;
    let mx = world.remote("dest.test").await;
    let mut client = world.client().session().await;
    let message = delivered(&mut client, &mx, "").await;
    assert_eq!(message.header.names(), ["Received", "Date", "Message-ID"]);
    same_octets(message.below_our_trace_fields(""), "\r\n");
}

#[tokio::test]
async fn data_without_a_header_section_get_one() {
    // W-5.16
    let world = World::new().await;
    let mx = world.remote("dest.test").await;
    let mut client = world.client().session().await;
    for (sent, body) in [
        ("hello\r\n", "hello\r\n"),
        (
            "hello\r\nSubject: x\r\n\r\nx\r\n",
            "hello\r\nSubject: x\r\n\r\nx\r\n",
        ),
        ("hello there: x\r\n", "hello there: x\r\n"),
        (" hello: x\r\n", " hello: x\r\n"),
        (": x\r\n", ": x\r\n"),
        ("\r\nhello\r\n", "hello\r\n"),
        ("\r\nSubject: x\r\n", "Subject: x\r\n"),
        ("\r\n\r\nhello\r\n", "\r\nhello\r\n"),
        ("\r\n", ""),
    ] {
        let message = delivered(&mut client, &mx, sent).await;
        let names = message.header.names();
        assert_eq!(names, ["Received", "Date", "Message-ID"], "{sent:?}");
        let below = message.below_our_trace_fields(sent);
        let below = String::from_utf8_lossy(below);
        assert_eq!(below, format!("\r\n{body}"), "what came of {sent:?}");
    }
}

#[tokio::test]
async fn what_arrives_is_what_was_sent() {
    // W-5.08, W-5.09, W-5.10
    let world = World::new().await;
    let mx = world.remote("dest.test").await;
    let mut client = world.client().session().await;
    for (what, message) in whole_messages() {
        println!("{what}"); // shown if this one fails
        client.send(to_dest().raw(&message)).await.accepted();
        mx.message().await.arrived_as(&message);
    }
}

/// Messages in which something could be tempted to tidy up.
fn whole_messages() -> Vec<(&'static str, Vec<u8>)> {
    let mut every_octet: Vec<u8> = (1..=255).filter(|o| !b"\r\n".contains(o)).collect();
    every_octet.extend(b"\r\n");
    let long = |octets| [&b"x".repeat(octets)[..], b"\r\n"].concat();
    let with_header = |body: &[u8]| [b"Subject: x\r\n\r\n", body].concat();
    vec![
        ("every octet but NUL, CR, LF", with_header(&every_octet)),
        ("8-bit text", with_header("Gr\u{fc}\u{df}e\r\n".as_bytes())),
        (
            "UTF-8 in header fields",
            "Subject: Gr\u{fc}\u{df}e\r\nFrom: \u{dc} <a@gp.test>\r\n\r\nx\r\n".into(),
        ),
        (
            "Latin-1 in a header field",
            b"Subject: \xfc\r\n\r\nx\r\n".into(),
        ),
        ("a line of 998", with_header(&long(998))),
        ("a line of 1,000", with_header(&long(1_000))),
        ("a line of 100,000", with_header(&long(100_000))),
        ("a line of 1 MiB", with_header(&long(1024 * 1024))),
        (
            "a field of 100,000",
            [b"Subject: ", &long(100_000)[..], b"\r\nx\r\n"].concat(),
        ),
        (
            "blanks at the ends",
            with_header(b"x  \r\n\t\r\n \r\nx\t\r\n"),
        ),
        ("empty last lines", with_header(b"x\r\n\r\n\r\n\r\n")),
        ("empty lines alone", with_header(b"\r\n\r\n")),
        (
            "form feeds and DEL",
            with_header(b"\x0c\r\n\x7f\x0b\x08\x1b[0m\r\n"),
        ),
        ("dots", with_header(b".\r\n..\r\n...\r\n.x\r\nx.\r\n")),
        ("a header section alone", b"Subject: x\r\n".into()),
        (
            "a header section and its empty line",
            b"Subject: x\r\n\r\n".into(),
        ),
        (
            "order, case, folding and repetition of fields",
            b"X-z: 1\r\nsUBJECT:x\r\nX-A :  2 \r\nX-z: 3\r\n\t folded\r\n \r\n\tblank folded\r\n\
              To: b@dest.test,\r\n c@dest.test\r\nX-Empty:\r\nfrom: a@gp.test\r\n\r\nx\r\n"
                .into(),
        ),
        (
            "a section that ends without an empty line",
            b"Subject: x\r\nno field\r\nmore: text\r\n".into(),
        ),
    ]
}

#[tokio::test]
async fn the_size_is_counted_to_the_octet() {
    // W-5.11
    let world = World::setup()
        .set("SMTP_MAX_MESSAGE_SIZE", &LIMIT_OCTETS.to_string())
        .await;
    let mx = world.remote("dest.test").await;
    let mut client = world.client().session().await;
    let mut accepted = Vec::new();
    for line in ["xxxxxx\r\n", ".\r\n", "\r\n"] {
        // Dots that are stuffed don't count, nor do the fields that we add.
        let exactly = filled(line, LIMIT_OCTETS);
        let id = client.send(to_dest().raw(&exactly)).await.accepted();
        mx.message().await.arrived_as(&exactly);
        accepted.push(id);

        let one_more = filled(line, LIMIT_OCTETS + 1);
        let refused = client.send(to_dest().raw(&one_more)).await;
        refused.refused("552 5.3.4");
        client.in_sync().await;
    }
    let [a, b, c] = [&accepted[0], &accepted[1], &accepted[2]];
    world.accepted_only([a, b, c]).await;
}

/// A message of so many octets, of lines like this.
fn filled(line: &str, octets: usize) -> Vec<u8> {
    let mut message = b"Subject: x\r\n\r\n".to_vec();
    while message.len() + line.len() + 2 <= octets {
        message.extend(line.as_bytes());
    }
    message.resize(octets - 2, b'x');
    message.extend(b"\r\n");
    message
}

#[tokio::test]
async fn a_header_section_beyond_its_limits_is_refused_and_a_body_is_not() {
    // W-5.17
    let world = World::new().await;
    let mx = world.remote("dest.test").await;
    let mut client = world.client().session().await;
    let many = b"X: y\r\n".repeat(10_001);
    let long = [b"X: ", &b"y".repeat(1024 * 1024)[..], b"\r\n"].concat();
    let mut accepted = Vec::new();
    for lines in [many, long] {
        let header = [&lines[..], b"\r\nx\r\n"].concat();
        let refused = client.send(to_dest().raw(header)).await;
        refused.refused("552 5.3.4");
        client.in_sync().await;

        let body = [b"Subject: x\r\n\r\n", &lines[..]].concat();
        accepted.push(client.send(to_dest().raw(&body)).await.accepted());
        mx.message().await.arrived_as(body);
    }
    world.accepted_only([&accepted[0], &accepted[1]]).await;
}

#[tokio::test]
async fn the_limits_of_a_header_section_can_be_set() {
    // W-5.17
    let world = World::setup()
        .set("SMTP_MAX_HEADER_SIZE", "16 KiB")
        .set("SMTP_MAX_HEADER_FIELDS", "100")
        .set("SMTP_MODE", "hold")
        .await;
    let mut client = world.client().session().await;
    let many = |count| b"X: y\r\n".repeat(count);
    let long = |octets: usize| [b"X: ", &b"y".repeat(octets - 5)[..], b"\r\n"].concat();
    for (fits, too_much) in [(many(100), many(101)), (long(16_384), long(16_385))] {
        let with_text = |header: Vec<u8>| to_dest().raw([&header[..], b"\r\nx\r\n"].concat());
        client.send(with_text(fits)).await.accepted();
        client.send(with_text(too_much)).await.refused("552 5.3.4");
        client.in_sync().await;
    }
}

#[tokio::test]
async fn a_limit_of_lines_can_be_set() {
    // W-5.09, W-5.17
    let world = World::setup().set("SMTP_MAX_LINE_LENGTH", "1000").await;
    let mx = world.remote("dest.test").await;
    let mut client = world.client().session().await;
    let message = |first: &str, length: usize| {
        let rest = "x".repeat(length - 2 - first.len());
        format!("Subject: x\r\n\r\n{first}{rest}\r\nlast\r\n").into_bytes()
    };
    for first in ["x", "."] {
        let longest = message(first, 1_000); // the dot that is doubled on the way does not count
        client.send(to_dest().raw(&longest)).await.accepted();
        mx.message().await.arrived_as(longest);
        let refused = client.send(to_dest().raw(message(first, 1_001))).await;
        refused.refused("500 5.5.2");
        client.in_sync().await;
    }
}

#[tokio::test]
async fn any_cut_through_the_end_gives_the_same() {
    // W-5.15
    let world = World::new().await;
    let mx = world.remote("dest.test").await;
    let text = "Subject: x\r\n\r\nx\r\n.";
    let message = b"Subject: x\r\n\r\nx\r\n.\r\n";
    let end_and_next = ".\r\n.\r\nMAIL FROM:<next@gp.test>\r\n";
    let mut cuts: Vec<Vec<&str>> = (1..end_and_next.len())
        .map(|at| vec![text, &end_and_next[..at], &end_and_next[at..]])
        .collect();
    let whole = [text, end_and_next].concat();
    cuts.push(vec![&whole]);
    cuts.push(whole.split_inclusive(|_: char| true).collect());

    let mut client = world.client().session().await;
    client.cmd("MAIL FROM:<next@gp.test>").await.expect(250);
    for pieces in &cuts {
        client.cmd("RCPT TO:<b@dest.test>").await.expect(250);
        client.cmd("DATA").await.expect(354);
        client.send_pieces(pieces).await;
        for wanted in ["250 2.0.0", "250 2.1.0"] {
            let reply = client.read_reply().await;
            assert!(reply.is(wanted), "{pieces:?} got {reply}");
        }
        mx.message().await.arrived_as(message);
    }
    client.in_sync().await;
    mx.received_exactly(cuts.len()).await;
}

#[tokio::test]
async fn any_cutting_of_any_message_gives_the_same() {
    // W-5.15, W-7.02
    let world = World::new().await;
    let mx = world.remote("dest.test").await;
    let mut random = Random::new();
    let mut client = world.client().session().await;
    for (octets, piece) in [(100, 3), (3_000, 40), (100_000, 5_000), (600_000, 70_000)] {
        let sent = to_dest().body_octets(random.text(octets));
        let wire = crate::support::stuffed(&sent.octets());
        client.up_to_data(&sent).await;
        client.send_pieces(random.cut(&wire, piece)).await;
        client.read_reply().await.expect("250 2.0.0");
        mx.message().await.arrived_as(sent.octets());
    }
}

/// Sends these lines as data, which are taken, and waits for what comes of them.
async fn delivered(client: &mut Client, mx: &Remote, lines: &str) -> Message {
    client.up_to_data(&to_dest()).await;
    client.send_octets([lines, ".\r\n"].concat()).await;
    client.read_reply().await.expect("250 2.0.0");
    mx.message().await
}

fn to_dest() -> Mail {
    mail().to("b@dest.test")
}
