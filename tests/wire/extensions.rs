//! W-17: which extensions of a remote host are used, and what becomes of mail that needs one that
//! it doesn't have.

use crate::support::{Id, Mail, Remote, World, mail};

const EVERYTHING: &[&str] = &[
    "SIZE 1000000",
    "PIPELINING",
    "8BITMIME",
    "SMTPUTF8",
    "DSN",
    "CHUNKING",
    "BINARYMIME",
    "REQUIRETLS",
    "ENHANCEDSTATUSCODES",
];

#[tokio::test]
async fn mail_has_8bitmime_where_it_is_offered_and_needed_and_never_an_unoffered_parameter() {
    // W-16.11, W-17.01
    let world = World::new().await;
    let ascii = mail();
    let in_body = mail().body("Grüße\n");
    let in_header = mail().subject("Grüße");
    let said = |mail: &Mail| mail.clone().mail_parameter("BODY=8BITMIME");
    let needed = &["BODY=8BITMIME"][..];
    let mut rows = Vec::new();
    for (row, mail, offers, want) in [
        ("body", &in_body, &["8BITMIME"][..], needed),
        ("body-said", &said(&in_body), &["8BITMIME"], needed),
        ("header", &in_header, &["8BITMIME"], needed),
        ("ascii", &ascii, &["8BITMIME"], &[]),
        ("ascii-said", &said(&ascii), &["8BITMIME"], &[]),
        ("ascii-all", &ascii, EVERYTHING, &["SIZE"]),
        ("body-all", &in_body, EVERYTHING, &["SIZE", "BODY=8BITMIME"]),
        ("ascii-nothing", &said(&ascii), &[], &[]),
        ("body-nothing", &said(&in_body), &[], &[]),
        ("body-size", &said(&in_body), &["SIZE 1000000"], &["SIZE"]),
    ] {
        let domain = format!("{row}.test");
        let mx = world.remote(&domain).offers(offers.iter().copied()).await;
        rows.push((row, send(&world, mail, &["a"], &domain).await, mx, want));
    }
    let mx = world.remote("helo.test").ehlo(["502 5.5.1 what?"]).await;
    let id = send(&world, &said(&in_body), &["a"], "helo.test").await;
    rows.push(("helo", id, mx, &[]));

    for (row, id, mx, want) in rows {
        world.history(&id).has(1).await; // an attempt was made; what came of it is in seven_bit.rs
        for told in mail_parameters(&mx) {
            assert_eq!(told, want, "{row}");
        }
    }
}

#[tokio::test]
async fn an_address_beyond_ascii_fails_where_smtputf8_is_not_offered() {
    // W-17.03
    let world = World::new().await;
    let home = world.remote("gp.test").offers(["SMTPUTF8"]).await;
    let asked = mail().mail_parameter("SMTPUTF8");
    let sender = asked.clone().from("änn@gp.test");
    let none = world.remote("none.test").offers(["8BITMIME"]).await;
    let some = world.remote("some.test").offers(["8BITMIME"]).await;
    let of_sender = world.remote("sender.test").offers(["8BITMIME"]).await;
    let to_none = send(&world, &asked, &["jürgen"], "none.test").await;
    let to_some = send(&world, &asked, &["jürgen", "bob"], "some.test").await;
    let from_utf8 = send(&world, &sender, &["ann", "bob"], "sender.test").await;

    world.history(&to_none).is_exactly(["failed 5.6.7"]).await;
    let history = world.history(&to_some);
    history.shows_for("bob@some.test", ["delivered"]).await;
    history
        .shows_for("jürgen@some.test", ["failed 5.6.7"])
        .await;
    world
        .history(&from_utf8)
        .is_exactly(["failed 5.6.7"; 2])
        .await;
    for mx in [&none, &of_sender] {
        mx.ended(0).await;
        mx.never_saw("MAIL");
    }
    let message = some.message().await;
    assert_eq!(message.to(), ["bob@some.test"]);
    assert_eq!(message.transaction.refused, [""; 0]);
    assert_eq!(message.transaction.mail_parameters(), [""; 0]);
    for _ in 0..3 {
        let report = home.message().await.report();
        assert!(
            report
                .recipients
                .iter()
                .all(|r| r.only("Status") == "5.6.7")
        );
    }
}

#[tokio::test]
async fn smtputf8_is_said_where_it_is_offered_and_address_or_header_need_it() {
    // W-17.03
    let world = World::new().await;
    let asked = mail().mail_parameter("SMTPUTF8");
    let sender = asked.clone().from("änn@gp.test");
    let header = asked.clone().subject("Grüße");
    for (row, mail, rcpt, needed) in [
        ("recipient", &asked, "jürgen", true),
        ("sender", &sender, "bob", true),
        ("header", &header, "bob", true),
        ("ascii", &asked, "bob", false),
        ("plain", &mail(), "bob", false),
    ] {
        let domain = format!("{row}.test");
        let mx = world.remote(&domain).offers(["SMTPUTF8"]).await;
        let id = send(&world, mail, &[rcpt], &domain).await;
        world.history(&id).is_exactly(["delivered"]).await;
        let message = mx.message().await;
        assert_eq!(message.to(), [format!("{rcpt}@{domain}")], "{row}");
        let want = if needed { &["SMTPUTF8"][..] } else { &[] };
        assert_eq!(mail_parameters(&mx), [want], "{row}");
    }
}

#[tokio::test]
async fn a_message_all_ascii_needs_no_smtputf8_whoever_asked_for_it() {
    // W-17.03
    let world = World::new().await;
    let mx = world.remote("dest.test").offers(["8BITMIME"]).await;
    let asked = mail().mail_parameter("SMTPUTF8");
    let id = send(&world, &asked, &["bob"], "dest.test").await;
    world.history(&id).is_exactly(["delivered"]).await;
    assert_eq!(mx.message().await.transaction.mail_parameters(), [""; 0]);
}

async fn send(world: &World, mail: &Mail, local_parts: &[&str], domain: &str) -> Id {
    let to = local_parts.iter().map(|local| format!("{local}@{domain}"));
    let sent = world.client().send(mail.clone().recipients(to)).await;
    sent.accepted()
}

/// The parameters of each MAIL that `mx` saw, the number of SIZE apart.
fn mail_parameters(mx: &Remote) -> Vec<Vec<String>> {
    let commands = mx.commands();
    let mails = commands.iter().filter(|line| line.starts_with("MAIL"));
    let parameters = |line: &String| {
        let words = line.split(' ').skip(2); // behind MAIL and FROM:<...>
        let without_number = |word| match word {
            size if str::starts_with(size, "SIZE=") => "SIZE".to_owned(),
            other => other.to_owned(),
        };
        words.map(without_number).collect()
    };
    mails.map(parameters).collect()
}
