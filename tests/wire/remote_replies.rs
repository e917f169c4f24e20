//! Replies of remote hosts: what is read as one, what it means, and what is kept of its words.

use std::time::Duration;

use crate::support::{
    Answer, Ended, Phase, Random, Remote, RemotePlan, World, mail, raw, segments, trickle,
};

use super::odd_turn::{OddTurn, check, mailbox_at, odd, one_attempt, verbs, verbs_until};

/// Every phase of an ordinary delivery, and the first digit of what is due in it.
const PHASES: [(Phase, &str); 6] = [
    (Phase::Greeting, "220"),
    (Phase::Ehlo, "250"),
    (Phase::Mail, "250"),
    (Phase::Rcpt, "250"),
    (Phase::Data, "354"),
    (Phase::Dot, "250"),
];

#[tokio::test]
async fn replies_are_read_in_any_form_that_is_one() {
    // W-15.01
    let world = World::new().await;
    let mut random = Random::new();
    let mut hosts = Vec::new();
    for (name, form) in [
        ("many-lines", "C-one\r\nC-two\r\nC three\r\n"),
        ("no-text", "C\r\n"),
        ("no-text-but-space", "C \r\n"),
        ("empty-lines", "C-\r\nC-\r\nC\r\n"),
        ("bare-lf", "C-one\nC two\n"),
    ] {
        let whole = |code: &str| raw(form.replace('C', code));
        hosts.push(answering(&world, name, whole).await);
    }
    let form = "C-one\r\nC-\r\nC two\r\n";
    let each_octet = |code: &str| trickle(Duration::ZERO, &form.replace('C', code));
    hosts.push(answering(&world, "octets", each_octet).await);
    let cut = |code: &str| segments(random.cut(form.replace('C', code).as_bytes(), 5));
    hosts.push(answering(&world, "cut", cut).await);

    let mailboxes = hosts.iter().map(|(name, _)| mailbox_at(name));
    let mail = mail().recipients(mailboxes);
    let sent = world.client().send(mail).await;
    let history = world.history(&sent.accepted());
    for (name, host) in &hosts {
        let mailbox = mailbox_at(name);
        history.shows_for(&mailbox, ["delivered 2.0.0"]).await;
        host.received_exactly(1).await;
        let message = host.message().await;
        message.arrived_as(sent.mail.octets());
    }
}

/// A host of `<name>.test` that answers all phases in one form.
async fn answering(
    world: &World,
    name: &'static str,
    mut form: impl FnMut(&str) -> Answer,
) -> (&'static str, Remote) {
    let mut plan: RemotePlan<'_> = world.remote(&format!("{name}.test"));
    for (phase, code) in PHASES {
        plan = plan.answers(phase, [form(code)]);
    }
    (name, plan.await)
}

#[tokio::test]
async fn what_is_no_reply_ends_the_session_and_is_deferred() {
    // W-15.02
    let world = one_attempt().await;
    let mut turns = Vec::new();
    for (fault, octets) in [
        ("codes-differ", "250-a\r\n550 b\r\n"),
        ("codes-differ-too", "550-a\r\n550-b\r\n354 c\r\n"),
        ("four-digits", "2500 x\r\n"),
        ("two-digits", "25 x\r\n"),
        ("no-digits", "ok\r\n"),
        ("empty-line", "\r\n"),
        ("code-100", "100 x\r\n"),
        ("code-199", "199-x\r\n199 x\r\n"),
        ("code-600", "600 x\r\n"),
        ("code-999", "999 x\r\n"),
        ("underscore", "250_x\r\n"),
    ] {
        for (phase, _) in PHASES {
            let name = format!("{fault}.{phase:?}").to_lowercase();
            turns.push((odd(name, phase, raw(octets), "deferred 4.5.0"), phase));
        }
    }
    drops_and_defers(&world, turns).await;
}

#[tokio::test]
async fn a_reply_out_of_place_ends_the_session_and_is_deferred() {
    // W-15.03, W-15.06
    let world = one_attempt().await;
    let fault = |name: &str, phase: Phase, octets: &str| {
        let name = format!("{name}.{phase:?}").to_lowercase();
        (odd(name, phase, raw(octets), "deferred 4.5.0"), phase)
    };
    let turns = vec![
        fault("go", Phase::Greeting, "354 go\r\n"),
        fault("go", Phase::Ehlo, "354 go\r\n"),
        fault("go", Phase::Mail, "354 go\r\n"),
        fault("go", Phase::Rcpt, "300 go\r\n"),
        fault("go", Phase::Dot, "354 go\r\n"),
        fault("ok", Phase::Data, "250 2.0.0 ok\r\n"),
        fault("queued", Phase::Data, "200 queued\r\n"),
        fault("twice", Phase::Greeting, "220 hi\r\n220 hi\r\n"),
        fault("twice", Phase::Ehlo, "250 hi\r\n250 hi\r\n"),
        fault("twice", Phase::Mail, "250 ok\r\n250 ok\r\n"),
        fault("twice", Phase::Rcpt, "250 ok\r\n250 ok\r\n"),
        fault("early", Phase::Data, "354 go\r\n250 queued\r\n"),
        fault("half", Phase::Data, "354 go\r\n2"),
    ];
    drops_and_defers(&world, turns).await;
}

/// Fails unless each host's odd turn is the last thing that is heard of it.
async fn drops_and_defers(world: &World, turns: Vec<(OddTurn, Phase)>) {
    let (turns, phases): (Vec<_>, Vec<_>) = turns.into_iter().unzip();
    let hosts = check(world, turns).await;
    for ((name, host), phase) in hosts.iter().zip(phases) {
        let ended = host.ended(0).await;
        assert!(!matches!(ended, Ended::Quit), "{name}: {ended:?}");
        assert_eq!(verbs(host), verbs_until(phase), "{name}");
        if phase == Phase::Data {
            let transactions = host.transactions();
            let body = transactions.iter().find(|t| !t.wire.is_empty());
            assert!(body.is_none(), "{name}: {body:?}");
        }
    }
    // One attempt each, and no second answer.
    world.log().never_told("delivered");
    world.log().never_told("failed");
}

#[tokio::test]
async fn the_first_digit_says_what_a_reply_means() {
    // W-15.03
    let world = one_attempt().await;
    let mut turns = Vec::new();
    for code in [200, 250, 251, 252, 299] {
        for phase in [Phase::Greeting, Phase::Mail, Phase::Rcpt, Phase::Dot] {
            let name = format!("{phase:?}-{code}").to_lowercase();
            turns.push(odd(name, phase, format!("{code} ok"), "delivered"));
        }
    }
    for code in [300, 354, 399] {
        let (name, answer) = (format!("data-{code}"), format!("{code} go"));
        turns.push(odd(name, Phase::Data, answer, "delivered"));
    }
    for (_, host) in check(&world, turns).await {
        host.received_exactly(1).await;
    }
}

#[tokio::test]
async fn odd_octets_in_the_text_do_not_touch_the_code() {
    // W-15.04
    let world = one_attempt().await;
    let home = world.remote("gp.test").await;
    let text: &[u8] = b"no\0 such \x1b[2J \xff\xc3\xa9 us\rer \x7f\x9b";
    let said = |codes: &str| raw([codes.as_bytes(), b" ", text, b"\r\n"].concat());
    let turns = vec![
        odd("greeting", Phase::Greeting, said("220"), "delivered"),
        odd("ehlo", Phase::Ehlo, said("250"), "delivered"),
        odd("mail", Phase::Mail, said("250 2.1.0"), "delivered"),
        odd("data", Phase::Data, said("354"), "delivered"),
        odd("dot", Phase::Dot, said("250 2.6.0"), "delivered 2.6.0"),
        odd("later", Phase::Rcpt, said("450 4.2.1"), "deferred 4.2.1"),
        odd("never", Phase::Rcpt, said("550 5.1.1"), "failed 5.1.1"),
    ];
    check(&world, turns).await;

    let bounce = home.message().await;
    let diagnostic = bounce
        .report()
        .about("ann@never.test")
        .only("Diagnostic-Code");
    assert!(diagnostic.starts_with("smtp; 550 5.1.1 no"), "{diagnostic}");
    assert!(diagnostic.contains("such"), "{diagnostic}");
    let printable = |octet: &u8| matches!(octet, b' '..=b'~' | b'\t' | b'\r' | b'\n');
    assert!(bounce.octets().iter().all(printable), "{diagnostic:?}");
    for line in world.log().lines() {
        let shown = |text: &str| text.chars().all(|c| matches!(c, ' '..='~'));
        let reply = line.field("reply").unwrap_or_default();
        assert!(shown(&line.text) && shown(&reply), "{line:?}");
    }
}

#[tokio::test]
async fn long_replies_are_read_and_endless_ones_are_not() {
    // W-15.05
    let world = one_attempt().await;
    let home = world.remote("gp.test").await;
    let long = "x".repeat(10_000);
    let fault = |name, octets: String| odd(name, Phase::Rcpt, raw(octets), "deferred 4.5.0");
    let turns = vec![
        odd("long-ok", Phase::Rcpt, format!("250 {long}"), "delivered"),
        odd(
            "long-no",
            Phase::Rcpt,
            format!("550 5.1.1 {long}"),
            "failed 5.1.1",
        ),
        fault("too-long", "x".repeat(70_000)),
        fault("too-many", "250-x\r\n".repeat(1_001)),
        fault("too-much", format!("250-{long}\r\n").repeat(7)),
    ];
    check(&world, turns).await;
    let bounce = home.message().await;
    let diagnostic = bounce
        .report()
        .about("ann@long-no.test")
        .only("Diagnostic-Code");
    assert!(
        diagnostic.starts_with("smtp; 550 5.1.1 xxx"),
        "{diagnostic}"
    );
    assert!(diagnostic.len() < 5_000, "{diagnostic}");
}

#[tokio::test]
async fn the_basic_code_decides_and_the_words_are_kept() {
    // W-15.07
    let world = one_attempt().await;
    let home = world.remote("gp.test").await;
    let answers = [
        ("plain", "550 No such user <here>; go away", "failed 5.0.0"),
        ("plain-later", "450 Not now", "deferred 4.0.0"),
        (
            "fits",
            "550-5.1.1 No such\r\n550 5.1.1 user",
            "failed 5.1.1",
        ),
        ("no-with-4", "550 4.2.2 full", "failed 5.2.2"),
        ("later-with-5", "450 5.1.1 no", "deferred 4.1.1"),
        ("no-with-2", "550 2.1.5 no", "failed 5.1.5"),
        ("no-code-at-all", "550 5.1 no", "failed 5.0.0"),
    ];
    let turns = answers.map(|(name, answer, becomes)| odd(name, Phase::Rcpt, answer, becomes));
    check(&world, turns.into()).await;
    let words = [
        ("plain", "5.0.0", "550 No such user <here>; go away"),
        ("fits", "5.1.1", "550 5.1.1 No such user"),
        ("no-with-4", "5.2.2", "550 4.2.2 full"),
        ("no-with-2", "5.1.5", "550 2.1.5 no"),
        ("no-code-at-all", "5.0.0", "550 5.1 no"),
    ];
    let mut told = 0;
    while told < words.len() {
        for block in home.message().await.report().recipients {
            let recipient = block.only("Final-Recipient");
            let his = |(name, ..): &&(&str, &str, &str)| recipient.ends_with(&mailbox_at(name));
            let row = words.iter().find(his);
            let (name, status, said) = row.unwrap_or_else(|| panic!("{recipient} did not fail"));
            assert_eq!(block.only("Status"), *status, "{name}");
            let diagnostic = block.only("Diagnostic-Code");
            assert_eq!(diagnostic, format!("smtp; {said}"), "{name}");
            told += 1;
        }
    }
}
