//! Addresses of the envelope: which are taken, and what remote hosts and DNS get to see of them.

use std::collections::BTreeSet;

use crate::support::{Client, RecordType, Reply, World, mail};

#[tokio::test]
async fn only_the_sender_may_be_null() {
    // W-3.01
    let world = World::new().await;
    let mx = world.remote("dest.test").await;
    let mut client = world.client().session().await;
    client.cmd("MAIL FROM:<>").await.expect("250 2.1.0");
    client.cmd("RCPT TO:<>").await.expect("501 5.1.3");
    client.cmd("RCPT TO:<b@dest.test>").await.expect(250);
    client.data("Subject: x\r\n\r\nx\r\n").await.expect(250);
    assert_eq!(mx.message().await.from(), "");
}

#[tokio::test]
async fn postmaster_without_domain_is_ours() {
    // W-3.02
    let world = World::new().await;
    let ours = world.remote("gp.test").await;
    let mut client = world.client().session().await;
    for spelling in ["Postmaster", "POSTMASTER", "postmaster"] {
        let submission = client.send(mail().to(spelling)).await;
        submission.accepted();
        submission.rcpt(0).clone().expect("250 2.1.5");
        let message = ours.message().await;
        let to: Vec<String> = message.to().iter().map(|to| to.to_lowercase()).collect();
        assert_eq!(to, ["postmaster@gp.test"], "{spelling}");
    }
    client
        .cmd("MAIL FROM:<postmaster>")
        .await
        .expect("501 5.1.7");
}

#[tokio::test]
async fn malformed_addresses_are_refused_by_mail_and_rcpt_alike() {
    // W-3.03, W-3.07, W-3.08, W-3.10, W-3.11
    let world = World::new().await;
    let mut client = world.client().session().await;
    let paths = malformed_paths();
    for path in &paths {
        let line = format!("MAIL FROM:{path}");
        client.cmd(&line).await.expect("501 5.1.7");
    }
    client.cmd("MAIL FROM:<a@gp.test>").await.expect(250);
    for path in &paths {
        let line = format!("RCPT TO:{path}");
        client.cmd(&line).await.expect("501 5.1.3");
    }
    client.cmd("DATA").await.expect("554 5.5.1");
    client.in_sync().await;
    world.nothing_queued().await;
}

fn malformed_paths() -> Vec<String> {
    let mut paths: Vec<String> = [
        "<ann>",
        "ann",
        "< >",
        "<@dest.test>",
        "<a@>",
        "<@>",
        "<a@@b.test>",
        "<a@b@c.test>",
        "<a b@dest.test>",
        "<.a@dest.test>",
        "<a.@dest.test>",
        "<a..b@dest.test>",
        "<a@dest..test>",
        "<a@.dest.test>",
        "<a@dest.test.>",
        "<a@-x.test>",
        "<a@x-.test>",
        "<a@de st.test>",
        "<a@dest.test",
        "a@dest.test>",
        "<\"a@dest.test>",
        "<\"a\"b@dest.test>",
        "<a\"b\"@dest.test>",
        "<a(c)@dest.test>",
        "<a@dest.test(c)>",
        "Name <a@dest.test>",
        "<a@dest.test,b@dest.test>",
        "<@x.test u@d.test>",
        "<@x.test,u@d.test>",
        "<@x.test:>",
        "<@:u@d.test>",
        "<x.test:u@d.test>",
        "<u@[127.0.0.256]>",
        "<u@[127.0.1]>",
        "<u@[127.0.0.1]x>",
        "<u@[IPv6:zz]>",
        "<u@[IPv6:]>",
        "<u@[::1]>",
        "<u@[foo]>",
        "<u@[]>",
        "<u@[127.0.0.1>",
        "<u@127.0.0.1]>",
    ]
    .map(str::to_owned)
    .to_vec();
    paths.extend([
        format!("<{}@dest.test>", "l".repeat(257)),
        format!("<a@{}>", domain_of(256)),
        format!("<a@{}.test>", "d".repeat(64)),
    ]);
    paths
}

/// A domain name of so many octets (198 to 260), with labels of 63.
fn domain_of(octets: usize) -> String {
    let label = "d".repeat(63);
    format!("{label}.{label}.{label}.{}.test", "d".repeat(octets - 197))
}

#[tokio::test]
async fn a_sender_must_be_of_a_listed_domain_exactly() {
    // W-3.04
    let world = World::setup()
        .set("SMTP_SENDER_DOMAINS", "listed.test")
        .await;
    let mut client = world.client().session().await;
    for (from, wanted) in [
        ("a@gp.test", "250 2.1.0"),
        ("a@GP.Test", "250 2.1.0"),
        ("", "250 2.1.0"),
        ("a@listed.test", "250 2.1.0"),
        ("a@other.test", "550 5.7.1"),
        ("a@sub.gp.test", "550 5.7.1"),
        ("a@evilgp.test", "550 5.7.1"),
        ("a@gp.test.evil.test", "550 5.7.1"),
        ("\"a@gp.test\"@other.test", "550 5.7.1"),
        ("@gp.test:a@other.test", "550 5.7.1"),
        ("a@sub.listed.test", "550 5.7.1"),
        ("a@test", "550 5.7.1"),
        ("a@[127.0.0.1]", "550 5.7.1"),
    ] {
        let line = format!("MAIL FROM:<{from}>");
        client.cmd(&line).await.expect(wanted);
        client.cmd("RSET").await.expect(250);
    }
}

#[tokio::test]
async fn any_sender_passes_where_no_domain_is_required() {
    // W-3.04
    let world = World::setup()
        .set("SMTP_REQUIRE_LOCAL_DOMAIN", "false")
        .await;
    let mut client = world.client().session().await;
    for from in ["a@gp.test", "", "a@other.test", "a@[127.0.0.1]"] {
        let line = format!("MAIL FROM:<{from}>");
        client.cmd(&line).await.expect("250 2.1.0");
        client.cmd("RSET").await.expect(250);
    }
}

#[tokio::test]
async fn the_local_part_arrives_as_given_and_the_domain_alone_decides() {
    // W-3.05, W-3.06, W-3.08, W-3.09
    let world = World::new().await;
    let mx = world.remote("dest.test").await;
    let given_and_sent_on = [
        ("Ann.UPPER+Tag@dest.test", "Ann.UPPER+Tag@dest.test"),
        (
            "!#$%&'*+-/=?^_`{|}~@dest.test",
            "!#$%&'*+-/=?^_`{|}~@dest.test",
        ),
        (r#""a b"@dest.test"#, r#""a b"@dest.test"#),
        (r#""a@b"@dest.test"#, r#""a@b"@dest.test"#),
        (r#""a\"b"@dest.test"#, r#""a\"b"@dest.test"#),
        (r#""a>b"@dest.test"#, r#""a>b"@dest.test"#),
        (r#""a\\"@dest.test"#, r#""a\\"@dest.test"#),
        (r#"""@dest.test"#, r#"""@dest.test"#),
        (r#""u@other.test"@dest.test"#, r#""u@other.test"@dest.test"#),
        ("@x.test,@y.test:u@dest.test", "u@dest.test"),
        ("@x.test:v@dest.test", "v@dest.test"),
        ("u%other.test@dest.test", "u%other.test@dest.test"),
        ("other.test!u@dest.test", "other.test!u@dest.test"),
    ];
    let sent = mail()
        .from("Ann.UPPER@gp.test")
        .recipients(given_and_sent_on.map(|(given, _)| given));
    world.client().send(sent).await.accepted();

    let message = mx.message().await;
    assert_eq!(message.from(), "Ann.UPPER@gp.test");
    assert_eq!(message.to(), given_and_sent_on.map(|(_, sent_on)| sent_on));
    assert_eq!(
        names_asked(&world),
        ["dest.test", "mx1.dest.test"].map(str::to_owned).into()
    );
    mx.received_exactly(1).await;
}

#[tokio::test]
async fn domains_that_differ_in_case_are_one() {
    // W-3.05, W-3.14
    let world = World::new().await;
    let mx = world.remote("dest.test").await;
    let sent = mail()
        .from("ann@GP.Test")
        .to("a@dest.test")
        .to("a@DEST.Test")
        .to("A@dest.test")
        .to("b@Dest.TEST")
        .to("a@dest.test");
    let submission = world.client().send(sent).await;
    submission.accepted();
    for number in 0..5 {
        submission.rcpt(number).clone().expect("250 2.1.5");
    }
    let message = mx.message().await;
    let to: Vec<String> = message.to().into_iter().map(lower_domain).collect();
    assert_eq!(to, ["a@dest.test", "A@dest.test", "b@dest.test"]);
    mx.received_exactly(1).await;
}

fn lower_domain(address: &str) -> String {
    let (local_part, domain) = address.rsplit_once('@').expect("an address");
    format!("{local_part}@{}", domain.to_lowercase())
}

#[tokio::test]
async fn an_address_literal_is_dialled_and_dns_not_asked() {
    // W-3.10
    let world = World::new().await;
    let four = world.remote_without_dns().at("127.0.0.5").await;
    let six = world.remote_without_dns().at("::1").await;
    let sent = mail().to("u@[127.0.0.5]").to("u@[IPv6:::1]");
    let submission = world.client().send(sent).await;
    submission.accepted();
    for number in 0..2 {
        submission.rcpt(number).clone().expect("250 2.1.5");
    }
    assert_eq!(four.message().await.to(), ["u@[127.0.0.5]"]);
    assert_eq!(six.message().await.to(), ["u@[IPv6:::1]"]);
    assert_eq!(names_asked(&world), BTreeSet::new());
}

#[tokio::test]
async fn the_longest_address_is_taken_and_delivered() {
    // W-3.11
    let world = World::new().await;
    let domain = domain_of(253);
    let mx = world.remote(&domain).named("mx.test").await;
    let to = format!("{}@{domain}", "l".repeat(64));
    world.client().send(mail().to(&to)).await.accepted();
    assert_eq!(mx.message().await.to(), [to.as_str()]);
}

#[tokio::test]
async fn an_address_that_is_not_ascii_needs_smtputf8() {
    // W-3.12
    let world = World::new().await;
    let mut client = world.client().session().await;
    let addresses = [
        "<\u{fc}@gp.test>",
        "<a@b\u{fc}cher.test>",
        "<\"\u{fc}\"@gp.test>",
    ];
    for address in addresses {
        let line = format!("MAIL FROM:{address}");
        client.cmd(&line).await.expect("553 5.6.7");
    }
    client.cmd("MAIL FROM:<a@gp.test>").await.expect(250);
    for address in addresses {
        let line = format!("RCPT TO:{address}");
        client.cmd(&line).await.expect("553 5.6.7");
    }
    client.cmd("RSET").await.expect(250);

    let from = "MAIL FROM:<\u{fc}@gp.test> SMTPUTF8";
    client.cmd(from).await.expect("250 2.1.0");
    for address in addresses {
        let line = format!("RCPT TO:{address}");
        client.cmd(&line).await.expect("250 2.1.5");
    }
    client.in_sync().await;
}

#[tokio::test]
async fn an_address_that_is_not_utf8_is_malformed() {
    // W-3.12
    let world = World::new().await;
    let mut client = world.client().session().await;
    let octets: [&[u8]; 6] = [
        b"<\xff@gp.test>",
        b"<a@\xff.test>",
        b"<a\xc3@gp.test>",
        b"<\xc0\xaf@gp.test>",
        b"<\xed\xa0\x80@gp.test>",
        b"<\"\xff\"@gp.test>",
    ];
    for path in octets {
        let reply = say(&mut client, &[b"MAIL FROM:", path, b" SMTPUTF8"]).await;
        reply.expect("501 5.1.7");
    }
    let from = "MAIL FROM:<a@gp.test> SMTPUTF8";
    client.cmd(from).await.expect(250);
    for path in octets {
        let reply = say(&mut client, &[b"RCPT TO:", path]).await;
        reply.expect("501 5.1.3");
    }
    client.in_sync().await;
}

/// Sends a line of any octets and reads its reply.
async fn say(client: &mut Client, parts: &[&[u8]]) -> Reply {
    client
        .send_octets([&parts.concat()[..], b"\r\n"].concat())
        .await;
    client.read_reply().await
}

#[tokio::test]
async fn dns_is_asked_for_the_a_label_of_a_u_label() {
    // W-3.13
    let world = World::new().await;
    let mx = world
        .remote("xn--bcher-kva.test")
        .offers_also("SMTPUTF8")
        .await;
    let sent = mail()
        .mail_parameter("SMTPUTF8")
        .to("\u{fc}@B\u{dc}CHER.test");
    world.client().send(sent).await.accepted();

    assert_eq!(mx.message().await.to(), ["\u{fc}@B\u{dc}CHER.test"]);
    world
        .dns()
        .was_asked("xn--bcher-kva.test", RecordType::MX)
        .await;
    assert_eq!(
        names_asked(&world),
        ["xn--bcher-kva.test", "mx1.xn--bcher-kva.test"]
            .map(str::to_owned)
            .into()
    );
}

#[tokio::test]
async fn recipients_beyond_the_maximum_are_put_off_and_the_rest_is_delivered() {
    // W-3.15
    let world = World::setup().set("SMTP_MAX_RECIPIENTS", "100").await;
    let mx = world.remote("dest.test").await;
    let mailboxes: Vec<String> = (0..103).map(|n| format!("u{n}@dest.test")).collect();
    let submission = world
        .client()
        .send(mail().recipients(&mailboxes).to("u0@dest.test"))
        .await;
    let id = submission.accepted_for_some();
    for number in 0..100 {
        submission.rcpt(number).clone().expect("250 2.1.5");
    }
    for number in 100..103 {
        submission.rcpt(number).clone().expect("452 4.5.3");
    }
    submission.rcpt(103).clone().expect("250 2.1.5"); // is among them already

    world.log().tells_times("delivered", 100).await;
    let messages = mx.messages();
    let mut got: Vec<&str> = messages.iter().flat_map(|message| message.to()).collect();
    got.sort_unstable();
    let mut wanted: Vec<&str> = mailboxes[..100].iter().map(String::as_str).collect();
    wanted.sort_unstable();
    assert_eq!(got, wanted);
    world.accepted_only([&id]).await;
}

#[tokio::test]
async fn a_single_label_is_asked_as_it_stands() {
    // W-3.16
    let world = World::new().await;
    let mx = world.remote("singlelabel").await;
    world
        .client()
        .send(mail().to("u@singlelabel"))
        .await
        .accepted();
    assert_eq!(mx.message().await.to(), ["u@singlelabel"]);
    assert_eq!(
        names_asked(&world),
        ["singlelabel", "mx1.singlelabel"].map(str::to_owned).into()
    );
}

fn names_asked(world: &World) -> BTreeSet<String> {
    let queries = world.dns().queries();
    queries.into_iter().map(|query| query.name).collect()
}
