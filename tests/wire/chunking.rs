//! W-10: messages that come in chunks, and messages that are no text.

use std::path::{Path, PathBuf};
use std::time::Duration;

use crate::support::{Client, End, Gate, Mail, Random, World, mail, reply, same_octets};

/// Smallest `SMTP_MAX_MESSAGE_SIZE` that can be set, in octets.
const LIMIT_OCTETS: usize = 64 * 1024;

/// What a relay would run if it took octets of a chunk for commands.
const SMUGGLED: &str = "MAIL FROM:<evil@gp.test>\r\nRCPT TO:<v@dest.test>\r\nDATA\r\nx\r\n.\r\n";

#[tokio::test]
async fn chunks_are_put_together_and_durable_with_the_last() {
    // W-10.01, W-2.02
    let world = World::new().await;
    let gate = Gate::new();
    let mx = world
        .remote("dest.test")
        .greeting([reply("220 mx1.dest.test").behind(&gate)])
        .await;
    let whole = "Subject: x\r\n\r\nfirst\r\nsecond\r\n";
    let chunks: [&[&str]; 5] = [
        &[whole],
        &["Subject: x\r\n\r\nfirst\r\n", "second\r\n"],
        &["", "Subj", "ect: x\r\n\r\nfirst\r", "", "\nsecond\r\n", ""],
        &[whole, ""],
        &["", whole],
    ];
    let mut client = world.client().connect().await;
    let hello = client.hello().await;
    for keyword in ["CHUNKING", "BINARYMIME"] {
        let count = hello.keywords().iter().filter(|k| **k == keyword).count();
        assert_eq!(count, 1, "{hello}");
    }
    for pieces in chunks {
        envelope(&mut client, "").await;
        let (last, before) = pieces.split_last().expect("at least one");
        for piece in before {
            client.send_octets(bdat(piece)).await;
            client.read_reply().await.expect("250 2.0.0");
        }
        client.send_octets(bdat_last(last)).await;
        client.read_reply().await.expect("250 2.0.0").queue_id();
        client.in_sync().await;
    }
    world.relay().kill_and_restart().await;
    assert!(mx.messages().is_empty()); // so none was safe before the kill
    gate.open();
    mx.received_exactly(chunks.len()).await;
    for message in mx.messages() {
        message.arrived_as(whole);
    }
}

#[tokio::test]
async fn nothing_at_all_is_a_message_too() {
    // W-10.01
    let world = World::new().await;
    let mx = world.remote("dest.test").await;
    let mut client = world.client().session().await;
    envelope(&mut client, "").await;
    client.cmd("BDAT 0 LAST").await.expect("250 2.0.0");
    let message = mx.message().await;
    assert_eq!(message.header.names(), ["Received", "Date", "Message-ID"]);
    same_octets(message.below_our_trace_fields(""), "\r\n");
}

#[tokio::test]
async fn dots_and_commands_in_a_chunk_are_text() {
    // W-10.02
    let world = World::new().await;
    let mx = world.remote("dest.test").await;
    let mut client = world.client().session().await;
    for body in [
        "\r\n.\r\n",
        "..x\r\n.\r\n..\r\n.x\r\n",
        SMUGGLED,
        "BDAT 5 LAST\r\nRSET\r\n",
    ] {
        let whole = format!("Subject: x\r\n\r\n{body}");
        let (first, second) = whole.split_at(whole.len() - body.len() / 2);
        envelope(&mut client, "").await;
        client.send_octets(bdat(first)).await;
        client.read_reply().await.expect("250 2.0.0");
        client.send_octets(bdat_last(second)).await;
        client.read_reply().await.expect("250 2.0.0");
        let message = mx.message().await;
        message.arrived_as(&whole);
        assert_eq!(message.from(), "ann@gp.test");
    }
    client.in_sync().await;
}

#[tokio::test]
async fn the_octets_of_a_refused_chunk_are_read_off_and_never_run() {
    // W-10.03
    let world = World::new().await;
    let mut client = world.client().connect().await;
    client.read_reply().await.expect(220);
    let large = SMUGGLED.repeat(2_000);
    for octets in [SMUGGLED, &large] {
        for chunk in [bdat(octets), bdat_last(octets)] {
            for (before, wanted) in [
                (&["RSET"][..], "503 5.5.1"), // as long as there was no EHLO, that is why
                (&["EHLO x"], "503 5.5.1"),
                (&["EHLO x", "MAIL FROM:<ann@gp.test>"], "503 5.5.1"),
                (
                    &["EHLO x", "MAIL FROM:<ann@gp.test>", "RCPT TO:<bad"],
                    "554 5.5.1",
                ),
            ] {
                for line in before {
                    client.cmd(line).await;
                }
                client.send_octets(&chunk).await;
                let said = client.read_reply().await;
                assert!(said.is(wanted), "behind {before:?}: {said}");
                client.in_sync().await;
            }
        }
    }
    world.nothing_queued().await;
}

#[tokio::test]
async fn a_chunk_without_a_count_ends_the_session() {
    // W-10.04
    let world = World::new().await;
    for line in [
        "BDAT",
        "BDAT ",
        "BDAT x",
        "BDAT -1",
        "BDAT +1",
        "BDAT 1 FIRST",
        "BDAT 1 LAST LAST",
        "BDAT LAST",
        "BDAT 1.5",
        "BDAT 0x10",
        "BDAT 18446744073709551616",
        "BDAT 18446744073709551616 LAST",
        "bdat 1\0",
        "BDAT 100\n",
    ] {
        let mut client = world.client().session().await;
        envelope(&mut client, "").await;
        client.send_octets(format!("{line}\r\n{SMUGGLED}")).await;
        let said = client.read_reply().await;
        assert!(said.is("501 5.5.4"), "{line:?} got {said}");
        client.expect_closed().await;
    }
    world.nothing_queued().await;
}

#[tokio::test]
async fn between_chunks_only_chunks_go_on() {
    // W-10.05
    let world = World::new().await;
    let mx = world.remote("dest.test").await;
    let mut client = world.client().session().await;
    envelope(&mut client, "").await;
    client.send_octets(bdat("Subject: x\r\n\r\n")).await;
    client.read_reply().await.expect("250 2.0.0");
    client
        .dialogue([
            ("MAIL FROM:<other@gp.test>", "503 5.5.1"),
            ("RCPT TO:<other@dest.test>", "503 5.5.1"),
            ("DATA", "503 5.5.1"),
            ("NOOP", "250 2.0.0"),
            ("VRFY bob", "252 2.0.0"),
            ("FOO", "500 5.5.1"),
        ])
        .await;
    client.send_octets(bdat_last("x\r\n")).await;
    let id = client.read_reply().await.expect("250 2.0.0").queue_id();
    client.send_octets(bdat_last(SMUGGLED)).await;
    client.read_reply().await.expect("503 5.5.1");
    client.in_sync().await;
    let message = mx.message().await;
    assert_eq!(message.to(), ["bob@dest.test"]);
    message.arrived_as("Subject: x\r\n\r\nx\r\n");
    world.accepted_only([&id]).await;
}

#[tokio::test]
async fn a_message_whose_last_chunk_never_came_is_dropped() {
    // W-10.05
    let world = World::new().await;
    let large = "x\r\n".repeat(200_000); // some of it is in a file already
    for text in ["Subject: x\r\n\r\n", &large] {
        for over in ["RSET", "EHLO x", "HELO x"] {
            let mut client = world.client().session().await;
            begun(&mut client, text).await;
            client.cmd(over).await.expect(250);
            client.send_octets(bdat_last("x\r\n")).await;
            client.read_reply().await.expect("503 5.5.1");
            client.in_sync().await;
            begun(&mut client, text).await;
            client.quit().await;
        }
        let mut client = world.client().session().await;
        begun(&mut client, text).await;
        client.close();
        let mut client = world.client().session().await;
        begun(&mut client, text).await;
        client.reset();
        for cut in [bdat("half").len() - 2, "BDAT".len(), "BDAT 4\r\n".len()] {
            let mut client = world.client().session().await;
            begun(&mut client, text).await;
            client.send_octets(&bdat("half")[..cut]).await;
            client.close();
        }
    }
    world.nothing_queued().await;
}

#[tokio::test]
async fn chunks_are_counted_together_against_the_limit() {
    // W-10.06
    let world = World::setup()
        .set("SMTP_MAX_MESSAGE_SIZE", &LIMIT_OCTETS.to_string())
        .await;
    let mx = world.remote("dest.test").await;
    let mut client = world.client().session().await;
    let exactly = ["Subject: x\r\n\r\n", &"x".repeat(LIMIT_OCTETS - 16), "\r\n"].concat();
    let (first, second) = exactly.split_at(LIMIT_OCTETS / 2);

    begun(&mut client, first).await;
    client.send_octets(bdat_last(second)).await;
    let id = client.read_reply().await.expect("250 2.0.0").queue_id();
    mx.message().await.arrived_as(&exactly);

    let beyond = format!("{second}x");
    for one_more in [bdat(&beyond), bdat_last(&beyond)] {
        begun(&mut client, first).await;
        client.send_octets(one_more).await;
        client.read_reply().await.expect("552 5.3.4");
        for more in [bdat(SMUGGLED), bdat_last(SMUGGLED)] {
            client.send_octets(more).await;
            client.read_reply().await.expect("503 5.5.1");
        }
        client
            .cmd("RCPT TO:<bob@dest.test>")
            .await
            .expect("503 5.5.1");
    }
    // Far beyond, in one chunk.
    envelope(&mut client, "").await;
    client.send_octets(bdat_last(SMUGGLED.repeat(5_000))).await;
    client.read_reply().await.expect("552 5.3.4");
    client.in_sync().await;
    world.accepted_only([&id]).await;
}

#[tokio::test]
async fn text_in_chunks_has_whole_line_ends_and_no_nul() {
    // W-10.07
    let world = World::new().await;
    let mx = world.remote("dest.test").await;
    let mut client = world.client().session().await;
    let large = "x".repeat(100_000);
    for (parameter, chunks, wanted) in [
        ("", &["a\nb\r\n"][..], "550 5.5.2"),
        (" BODY=7BIT", &["a\rb\r\n"], "550 5.5.2"),
        (" BODY=8BITMIME", &["a\r", "b\r\n"], "550 5.5.2"),
        ("", &["a\r", "\r\n"], "550 5.5.2"),
        ("", &["a\r\n", "\nb\r\n"], "550 5.5.2"),
        ("", &["a", "\n"], "550 5.5.2"),
        ("", &["a\r\n", "b\r"], "550 5.5.2"),
        ("", &["a\r\n", "b\r", ""], "550 5.5.2"),
        ("", &[&large, "\n.\n", &large], "550 5.5.2"),
        ("", &["a\0b\r\n"], "554 5.6.0"),
        ("", &["a\r\n", "\0"], "554 5.6.0"),
        ("", &["a\0\n", "b\r\n"], "554 5.6.0"),
    ] {
        envelope(&mut client, parameter).await;
        let said = chunked(&mut client, chunks).await;
        assert!(said.is(wanted), "{chunks:?} got {said}");
        client.in_sync().await;
    }
    let split = ["Subject: x\r", "\n\r", "\nx\r", "", "\n"];
    envelope(&mut client, "").await;
    let id = chunked(&mut client, &split).await.expect("250").queue_id();
    mx.message().await.arrived_as(split.concat());
    world.accepted_only([&id]).await;
}

#[tokio::test]
async fn what_data_would_refuse_is_refused_in_chunks() {
    // W-5.17, W-6.05
    let world = World::new().await;
    let mut client = world.client().session().await;
    for (header, wanted) in [
        ("X: y\r\n".repeat(10_001), "552 5.3.4"),
        (format!("X: {}\r\n", "y".repeat(1024 * 1024)), "552 5.3.4"),
        ("Received: x\r\n".repeat(100), "554 5.4.6"),
    ] {
        let (first, second) = header.split_at(header.len() / 2);
        envelope(&mut client, "").await;
        let said = chunked(&mut client, &[first, second]).await;
        said.expect(wanted);
        client.in_sync().await;
    }
    world.nothing_queued().await;
}

#[tokio::test]
async fn limits_that_were_set_hold_for_chunks_too() {
    // W-5.17, W-10.08
    let world = World::setup()
        .set("SMTP_MAX_LINE_LENGTH", "1000")
        .set("SMTP_MAX_HEADER_SIZE", "16 KiB")
        .set("SMTP_MAX_HEADER_FIELDS", "100")
        .set("SMTP_MODE", "hold")
        .await;
    let mut client = world.client().session().await;
    let long = format!("Subject: x\r\n\r\n{}\r\n", "x".repeat(999));
    for (parameters, message, wanted) in [
        ("", long.clone(), "500 5.5.2"),
        (" BODY=BINARYMIME", long, "250 2.0.0"), // has no lines
        ("", "X: y\r\n".repeat(101), "552 5.3.4"),
        ("", format!("X: {}", " y\r\n".repeat(5_000)), "552 5.3.4"),
    ] {
        let (first, second) = message.split_at(message.len() / 2);
        envelope(&mut client, parameters).await;
        let said = chunked(&mut client, &[first, second]).await;
        said.expect(wanted);
        client.in_sync().await;
    }
}

#[tokio::test]
async fn a_binary_message_is_taken_in_chunks_only_and_arrives_as_it_came() {
    // W-10.08, W-17.05
    let world = World::new().await;
    let mx = world
        .remote("dest.test")
        .offers(["PIPELINING", "SIZE 10000000", "CHUNKING", "BINARYMIME"])
        .await;
    let mut client = world.client().session().await;
    envelope(&mut client, " BODY=BINARYMIME").await;
    client.cmd("DATA").await.expect("503 5.5.1");
    let header = b"Subject: x\r\nContent-Transfer-Encoding: binary\r\n\r\n";
    let small: Vec<u8> = [header, &b"\r\n.\r\n\0\n\r.x\n.\n\r"[..]].concat();
    client.send_octets(bdat_last(&small)).await;
    client.read_reply().await.expect("250 2.0.0");
    let message = mx.message().await;
    message.arrived_as(&small);
    let parameters = message.transaction.mail_parameters().join(" ");
    let size = format!("SIZE={} BODY=BINARYMIME", message.octets().len());
    assert_eq!(parameters, size);
    let counted = format!("BDAT {} LAST", message.octets().len());
    assert_eq!(mx.saw("BDAT").await, counted);

    let mut random = Random::new();
    for octets in [100, 40_000, 700_000] {
        let whole = [&header[..], &random.octets(octets)].concat();
        envelope(&mut client, " body=BinaryMime").await;
        let chunks = random.cut(&whole, octets / 3);
        let said = chunked(&mut client, &chunks).await;
        said.expect("250 2.0.0");
        mx.message().await.arrived_as(&whole);
    }
    mx.never_saw("DATA");
    client.in_sync().await;
}

#[tokio::test]
async fn a_binary_message_fails_where_it_is_not_taken() {
    // W-10.08
    let world = World::new().await;
    let home = world.remote("gp.test").await;
    let mut rows = Vec::new();
    for (domain, offers) in [
        ("neither.test", &["8BITMIME"][..]),
        ("chunking.test", &["CHUNKING", "8BITMIME"]),
        ("binary.test", &["BINARYMIME", "8BITMIME"]),
    ] {
        let mx = world.remote(domain).offers(offers.iter().copied()).await;
        let mut client = world.client().session().await;
        let to = format!("bob@{domain}");
        let lines = mail().to(&to).mail_parameter("BODY=BINARYMIME");
        say_envelope(&mut client, &lines).await;
        client
            .send_octets(bdat_last(b"Subject: \0\nx\r\n\r\n\0\n\xff"))
            .await;
        let id = client.read_reply().await.expect(250).queue_id();
        rows.push((to, id, mx));
    }
    for (to, id, mx) in rows {
        world.history(&id).is_exactly(["failed 5.6.3"]).await;
        mx.ended(0).await;
        mx.never_saw("MAIL");
        let about = |message: &crate::support::Message| {
            let text = String::from_utf8_lossy(message.octets()).into_owned();
            text.contains(&to)
        };
        let message = home.message_that(about).await;
        assert!(!message.octets().contains(&0), "a report is text");
        message.report().says(&to, "failed", "5.6.3");
    }
}

#[tokio::test]
async fn a_refused_chunk_of_ours_settles_everybody_and_is_told_as_the_host_said_it() {
    // W-17.05
    let world = World::setup().set("SMTP_RETRY_BASE", "200ms").await;
    let offers = ["PIPELINING", "CHUNKING", "BINARYMIME"];
    for (domain, no, events) in [
        ("never.test", "554 5.6.1 no", ["failed 5.6.1"; 2]),
        ("later.test", "451 4.6.1 not now", ["deferred 4.6.1"; 2]),
    ] {
        let mx = world
            .remote(domain)
            .offers(offers)
            .dot([no, "250 2.0.0 queued"])
            .await;
        let mut client = world.client().session().await;
        let all = ["a", "b"].map(|local| format!("{local}@{domain}"));
        let lines = mail().recipients(all).mail_parameter("BODY=BINARYMIME");
        say_envelope(&mut client, &lines).await;
        let said = chunked(&mut client, &["Subject: x\r\n\r\n", "\0"]).await;
        let id = said.expect(250).queue_id();
        let history = world.history(&id);
        if no.starts_with('5') {
            history.is_exactly(events).await;
        } else {
            let [a, b] = events;
            history.is_exactly([a, b, "delivered", "delivered"]).await;
        }
        mx.never_saw("DATA");
    }
}

#[tokio::test]
async fn a_damaged_binary_message_never_reaches_its_count() {
    // W-17.05
    let world = World::new().await;
    let gate = Gate::new();
    let mx = world
        .remote("dest.test")
        .offers(["CHUNKING", "BINARYMIME"])
        .greeting([reply("220 mx1.dest.test").behind(&gate)])
        .await;
    let mut client = world.client().session().await;
    envelope(&mut client, " BODY=BINARYMIME").await;
    let octets = Random::new().octets(700_000);
    let said = chunked(&mut client, &[b"Subject: x\r\n\r\n", &octets[..]]).await;
    let id = said.expect(250).queue_id();
    let bodies = Path::new(&world.relay().variable("SMTP_QUEUE_PATH")).join("bodies");
    let file = only_file_below(&bodies);
    let mut stored = std::fs::read(&file).expect("the body is there");
    *stored.last_mut().expect("octets") ^= 1;
    std::fs::write(&file, stored).expect("the file can be written");
    gate.open();
    world.history(&id).is_exactly(["failed 5.3.0"]).await;
    assert!(mx.saw("BDAT").await.ends_with(" LAST"));
    mx.ended(0).await;
    mx.receives_nothing();
    assert_eq!(mx.transactions()[0].end, End::Lost);
}

fn only_file_below(directory: &Path) -> PathBuf {
    let mut path = directory.to_owned();
    while path.is_dir() {
        let mut entries = std::fs::read_dir(&path).expect("a directory");
        let first = entries.next().expect("something in it");
        path = first.expect("a name").path();
        assert!(entries.next().is_none(), "more than one in {directory:?}");
    }
    path
}

#[tokio::test]
async fn nobody_gets_a_binary_message_that_nobody_wants() {
    // W-16.04 with BDAT
    let world = World::new().await;
    let mx = world
        .remote("dest.test")
        .offers(["PIPELINING", "CHUNKING", "BINARYMIME"])
        .rcpt(["550 5.1.1 unknown"])
        .await;
    let mut client = world.client().session().await;
    envelope(&mut client, " BODY=BINARYMIME").await;
    client.send_octets(bdat_last("Subject: x\r\n\r\n\0")).await;
    let id = client.read_reply().await.expect(250).queue_id();
    world.history(&id).is_exactly(["failed 5.1.1"]).await;
    mx.ended(0).await;
    mx.never_saw("BDAT");
}

#[tokio::test]
async fn text_without_a_last_line_end_gets_one_on_its_way() {
    // W-10.09
    let world = World::new().await;
    let mx = world.remote("dest.test").await;
    let mut client = world.client().session().await;
    for text in [
        "Subject: x\r\n\r\nno end",
        "Subject: x",
        "Subject: x\r\n\r\n.",
    ] {
        envelope(&mut client, "").await;
        chunked(&mut client, &[text]).await.expect("250 2.0.0");
        let message = mx.message().await;
        message.arrived_as(format!("{text}\r\n"));
        // SIZE counts what came, the end mark apart (RFC 1870 3).
        let size = format!("SIZE={}", message.octets().len());
        assert_eq!(message.transaction.mail_parameters(), [size]);
    }
}

#[tokio::test]
async fn ten_thousand_chunks_of_one_octet_are_one_message() {
    // W-10.09
    let world = World::new().await;
    let mx = world.remote("dest.test").await;
    let mut client = world.client().session().await;
    let text = format!("Subject: x\r\n\r\n{}", "line\r\n".repeat(1_664)); // 9,998 octets
    envelope(&mut client, "").await;
    let octets: Vec<String> = text.chars().map(String::from).collect();
    for group in octets.chunks(500) {
        let wire: Vec<u8> = group.iter().flat_map(bdat).collect();
        client.send_octets(wire).await;
        for _ in group {
            client.read_reply().await.expect("250 2.0.0");
        }
    }
    for chunk in [bdat("."), bdat_last("x")] {
        client.send_octets(chunk).await;
        client.read_reply().await.expect("250 2.0.0");
    }
    mx.message().await.arrived_as(format!("{text}.x\r\n"));
    client.in_sync().await;
}

#[tokio::test]
async fn a_whole_transaction_and_the_next_fit_into_one_segment() {
    // W-10.09
    let world = World::new().await;
    let mx = world.remote("dest.test").await;
    let mut client = world.client().session().await;
    let lines = "MAIL FROM:<ann@gp.test>\r\nRCPT TO:<bob@dest.test>\r\n";
    let first = [
        lines.as_bytes(),
        &bdat("Subject: 1\r\n"),
        &bdat_last("\r\nx\r\n"),
    ]
    .concat();
    let second = [lines.as_bytes(), &bdat_last("Subject: 2\r\n\r\nx\r\n")].concat();
    client
        .send_octets([&first[..], &second, b"NOOP\r\n"].concat())
        .await;
    for wanted in [
        "250 2.1.0",
        "250 2.1.5",
        "250 2.0.0",
        "250 2.0.0",
        "250 2.1.0",
        "250 2.1.5",
        "250 2.0.0",
        "250 2.0.0",
    ] {
        client.read_reply().await.expect(wanted);
    }
    client.in_sync().await;
    mx.received_exactly(2).await;
    for message in mx.messages() {
        let subject = message.field("Subject").expect("a subject");
        message.arrived_as(format!("Subject: {subject}\r\n\r\nx\r\n"));
    }
}

#[tokio::test]
async fn any_cutting_of_chunks_into_segments_gives_the_same() {
    // W-10.09, W-7.02
    let world = World::new().await;
    let mx = world.remote("dest.test").await;
    let mut random = Random::new();
    let mut client = world.client().session().await;
    for (octets, piece) in [(100, 3), (3_000, 40), (100_000, 5_000), (600_000, 70_000)] {
        let sent = mail().body_octets(random.text(octets)).octets();
        let chunks = random.cut(&sent, octets / 4);
        let mut wire = b"MAIL FROM:<ann@gp.test>\r\nRCPT TO:<bob@dest.test>\r\n".to_vec();
        wire.extend(chunks.iter().flat_map(bdat));
        wire.extend(bdat_last(""));
        client.send_pieces(random.cut(&wire, piece)).await;
        client.read_reply().await.expect("250 2.1.0");
        client.read_reply().await.expect("250 2.1.5");
        for _ in 0..=chunks.len() {
            client.read_reply().await.expect("250 2.0.0");
        }
        mx.message().await.arrived_as(sent);
    }
    client.in_sync().await;
}

#[tokio::test]
async fn replies_do_not_wait_for_octets_that_have_not_come() {
    // W-7.01 with BDAT
    let world = World::new().await;
    let mut client = world.client().session().await;
    client
        .send_octets("MAIL FROM:<ann@gp.test>\r\nRCPT TO:<bob@dest.test>\r\nBDAT 5\r\nx")
        .await;
    client.read_reply().await.expect("250 2.1.0");
    client.read_reply().await.expect("250 2.1.5");
    client.hears_nothing_for(Duration::from_millis(100)).await;
    client.send_octets("x\r\n\r").await;
    client.read_reply().await.expect("250 2.0.0");
}

#[tokio::test]
async fn a_client_that_falls_silent_in_chunks_is_told_so() {
    // W-12.01
    let world = World::setup()
        .set("SMTP_COMMAND_TIMEOUT", "1s")
        .set("SMTP_DATA_TIMEOUT", "1s")
        .await;
    let mut silent = Vec::new();
    for (said, replies) in [
        ("BDAT 5\r\nx", 0),
        ("BDAT 1\r\nx", 1),
        ("BDAT 1\r\nxBDAT", 1),
    ] {
        let mut client = world.client().session().await;
        envelope(&mut client, "").await;
        client.send_octets(said).await;
        silent.push((said, replies, client));
    }
    for (said, replies, mut client) in silent {
        for _ in 0..replies {
            client.read_reply().await.expect("250 2.0.0");
        }
        let last = client.read_reply().await;
        assert!(last.is("421 4.4.2"), "behind {said:?}: {last}");
        client.expect_closed().await;
    }
    world.nothing_queued().await;
}

/// A chunk that is not the last.
fn bdat(octets: impl AsRef<[u8]>) -> Vec<u8> {
    let octets = octets.as_ref();
    [format!("BDAT {}\r\n", octets.len()).as_bytes(), octets].concat()
}

fn bdat_last(octets: impl AsRef<[u8]>) -> Vec<u8> {
    let octets = octets.as_ref();
    [format!("BDAT {} LAST\r\n", octets.len()).as_bytes(), octets].concat()
}

/// MAIL with these parameters, and RCPT for `bob@dest.test`.
async fn envelope(client: &mut Client, parameters: &str) {
    let mail_line = format!("MAIL FROM:<ann@gp.test>{parameters}");
    client.cmd(&mail_line).await.expect("250 2.1.0");
    let rcpt = client.cmd("RCPT TO:<bob@dest.test>").await;
    rcpt.expect("250 2.1.5");
}

async fn say_envelope(client: &mut Client, mail: &Mail) {
    client.cmd(&mail.mail_line()).await.expect("250 2.1.0");
    for line in mail.rcpt_lines() {
        client.cmd(&line).await.expect("250 2.1.5");
    }
}

/// An envelope and a first chunk, which is taken.
async fn begun(client: &mut Client, text: &str) {
    envelope(client, "").await;
    client.send_octets(bdat(text)).await;
    client.read_reply().await.expect("250 2.0.0");
}

/// Sends these as chunks, the last as last; gives the reply that ended it, behind which chunks that
/// were still sent find no message.
async fn chunked<C: AsRef<[u8]>>(client: &mut Client, chunks: &[C]) -> crate::support::Reply {
    let (last, before) = chunks.split_last().expect("at least one");
    let mut wires: Vec<Vec<u8>> = before.iter().map(bdat).collect();
    wires.push(bdat_last(last));
    let mut decisive = None;
    for wire in wires {
        client.send_octets(wire).await;
        let reply = client.read_reply().await;
        match &decisive {
            None if reply.code == 250 && reply.text() == "2.0.0 ok" => {}
            None => decisive = Some(reply),
            Some(_) => drop(reply.expect("503 5.5.1")),
        }
    }
    decisive.expect("the last chunk is decisive")
}
