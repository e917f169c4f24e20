//! A session with a remote host, from its greeting to QUIT, and when another host is tried.

use std::time::Duration;

use crate::support::{
    Answer, Ended, Handshake, Phase, World, close, hang, mail, reply, reset, segments, trickle,
};

use super::odd_turn::{check, mailbox_at, odd, one_attempt, verbs, verbs_until};

#[tokio::test]
async fn nothing_is_said_before_the_whole_greeting() {
    // W-14.01
    let world = World::new().await;
    let late = Duration::from_secs(1);
    let last = reply("220 ready").after(late);
    let lines = ["220-one\r\n", "220-two\r\n"];
    let hosts = [
        world.remote("late.test").greeting([last.clone()]).await,
        world
            .remote("lines.test")
            .greeting([segments(lines).then(last)])
            .await,
    ];
    let mail = mail().to("ann@late.test").to("ann@lines.test");
    let id = world.client().send(mail).await.accepted();
    world.history(&id).shows(["delivered", "delivered"]).await;
    for host in hosts {
        assert!(!host.connections()[0].spoke_first, "{}", host.name());
    }
}

#[tokio::test]
async fn a_host_that_wants_no_session_leads_to_the_next() {
    // W-14.02
    let world = one_attempt().await;
    let no_ehlo = "502 5.5.1 what?";
    let mut rows = Vec::new();
    for (name, greeting, ehlo, helo) in unwilling() {
        let domain = format!("{name}.test");
        let plan = world.remote(&domain).greeting([greeting]);
        let plan = match (ehlo, helo) {
            (Some(ehlo), _) => plan.ehlo([ehlo]),
            (None, Some(helo)) => plan.ehlo([no_ehlo]).helo([helo]),
            (None, None) => plan,
        };
        let first = plan.await;
        rows.push((name, first, world.remote(&domain).preference(20).await));
    }
    let mailboxes: Vec<String> = rows.iter().map(|(name, ..)| mailbox_at(name)).collect();
    let sent = world.client().send(mail().recipients(&mailboxes)).await;
    let history = world.history(&sent.accepted());
    for mailbox in &mailboxes {
        history.shows_for(mailbox, ["delivered"]).await;
    }
    for (name, first, second) in rows {
        assert_eq!(first.connections().len(), 1, "{name}");
        first.never_saw("MAIL");
        second.received_exactly(1).await;
    }
}

type Unwilling = (&'static str, Answer, Option<Answer>, Option<Answer>);

/// Greeting, EHLO and HELO of hosts that want no session, as far as they come.
fn unwilling() -> Vec<Unwilling> {
    let hi = || reply("220 hi");
    vec![
        ("greeting-421", reply("421 4.3.2 busy"), None, None),
        ("greeting-450", reply("450 4.3.2 later"), None, None),
        ("greeting-close", close(), None, None),
        ("greeting-reset", reset(), None, None),
        ("greeting-521", reply("521 5.3.2 no mail"), None, None),
        ("greeting-554", reply("554 5.7.1 no"), None, None),
        ("ehlo-421", hi(), Some(reply("421 4.3.2 bye")), None),
        ("ehlo-451", hi(), Some(reply("451 4.3.0 later")), None),
        ("ehlo-close", hi(), Some(close()), None),
        ("ehlo-503", hi(), Some(reply("503 5.5.1 no")), None),
        ("ehlo-554", hi(), Some(reply("554 5.7.1 no")), None),
        ("helo-421", hi(), None, Some(reply("421 4.3.2 bye"))),
        ("helo-450", hi(), None, Some(reply("450 4.3.0 later"))),
        ("helo-close", hi(), None, Some(close())),
        ("helo-550", hi(), None, Some(reply("550 5.7.1 no"))),
    ]
}

#[tokio::test]
async fn only_when_every_host_says_never_it_is_final() {
    // W-14.02
    let world = one_attempt().await;
    let never = || reply("554 5.7.1 never");
    for (domain, second) in [
        ("both-never.test", reply("550 5.3.2 no mail here")),
        ("never-and-later.test", reply("421 4.3.2 busy")),
        ("never-and-closed.test", close()),
    ] {
        world.remote(domain).greeting([never()]).await;
        let second = world.remote(domain).preference(20).greeting([second]);
        second.await;
        let flipped = format!("flipped.{domain}");
        let hosts = world.dns();
        hosts.mx(&flipped, 20, &format!("mx1.{domain}"));
        hosts.mx(&flipped, 10, &format!("mx2.{domain}"));
    }
    world.remote("never-and-down.test").await.goes_down();
    let second = world.remote("never-and-down.test").preference(20);
    second.greeting([never()]).await;

    let rows = [
        ("both-never", "failed 5.3.2"),
        ("flipped.both-never", "failed 5.7.1"),
        ("never-and-later", "deferred 4.3.2"),
        ("flipped.never-and-later", "deferred 4.3.2"),
        ("never-and-closed", "deferred 4.4.2"),
        ("flipped.never-and-closed", "deferred 4.4.2"),
        ("never-and-down", "deferred 4.4.1"),
    ];
    let mailboxes = rows.map(|(name, _)| mailbox_at(name));
    let sent = world.client().send(mail().recipients(&mailboxes)).await;
    let history = world.history(&sent.accepted());
    for (name, becomes) in rows {
        history.shows_for(&mailbox_at(name), [becomes]).await;
    }
    let both = history.event("failed", "ann@both-never.test").await;
    let reply = both.field("reply");
    assert_eq!(reply.as_deref(), Some("550 5.3.2 no mail here"));
}

#[tokio::test]
async fn a_host_without_ehlo_gets_helo_and_no_parameters() {
    // W-14.03
    let world = one_attempt().await;
    let codes = [500, 501, 502, 504, 550];
    let turns = codes.map(|code| {
        let answer = format!("{code} 5.5.1 what?");
        odd(format!("ehlo-{code}"), Phase::Ehlo, answer, "delivered")
    });
    for (name, host) in check(&world, turns.into()).await {
        let connection = host.connections().remove(0);
        let first = &connection.lines()[..3];
        let wanted = ["EHLO gp.test", "HELO gp.test", "MAIL FROM:<ann@gp.test>"];
        assert_eq!(first, wanted, "{name}");
        assert_eq!(host.message().await.transaction.hello, "HELO gp.test");
    }
}

#[tokio::test]
async fn what_a_host_offers_is_read_whatever_its_case_and_order() {
    // W-14.04
    let world = one_attempt().await;
    let mut hosts = Vec::new();
    // What it says to EHLO; whether we pipeline, and whether we say the size.
    for (name, lines, pipelined, sized) in [
        ("usual", "mx\r\nPIPELINING\r\nSIZE 99999", true, true),
        ("mixed-case", "mx\r\nsiZe 99999\r\nPipeLining", true, true),
        ("nothing", "mx", false, false),
        (
            "greets-pipelining",
            "PIPELINING greets you\r\nHELP",
            false,
            false,
        ),
        ("greets-size", "SIZE 1 is my name", false, false),
        ("greets-starttls", "STARTTLS\r\nSIZE", false, true),
        ("size-without-limit", "mx\r\nSIZE", false, true),
        ("size-0", "mx\r\nSIZE 0", false, true),
        (
            "size-of-letters",
            "mx\r\nSIZE abc\r\nPIPELINING",
            true,
            true,
        ),
        (
            "size-too-long",
            "mx\r\nSIZE 99999999999999999999999",
            false,
            true,
        ),
        ("size-negative", "mx\r\nSIZE -1\r\nPIPELINING", true, true),
        ("old-auth", "mx\r\nAUTH=LOGIN\r\nPIPELINING", true, false),
        (
            "unknown",
            "mx\r\nXFOO=\x01 bar\r\n\r\n=\r\nPIPELINING",
            true,
            false,
        ),
        (
            "longer-word",
            "mx\r\nPIPELININGS\r\nXSIZE 1\r\nSIZEX 1",
            false,
            false,
        ),
    ] {
        let host = world.remote(&format!("{name}.test"));
        hosts.push((name, host.ehlo([ehlo_reply(lines)]).await, pipelined, sized));
    }
    let mailboxes = hosts.iter().map(|(name, ..)| mailbox_at(name));
    let mail = mail().recipients(mailboxes);
    let history = world.history(&world.client().send(mail).await.accepted());
    for (name, host, pipelined, sized) in hosts {
        history.shows_for(&mailbox_at(name), ["delivered"]).await;
        assert_eq!(host.connections()[0].pipelined(), pipelined, "{name}");
        let transaction = &host.transactions()[0];
        let parameters = transaction.mail_parameters();
        let says_size = parameters.iter().any(|p| p.starts_with("SIZE="));
        assert_eq!(says_size, sized, "{name}: {parameters:?}");
    }
}

/// These lines as a reply to EHLO.
fn ehlo_reply(lines: &str) -> String {
    let hyphened = lines.replace("\r\n", "\r\n250-");
    let mut reply = format!("250-{hyphened}");
    let last = reply.rfind("250-").expect("just put there");
    reply.replace_range(last + 3..last + 4, " ");
    reply
}

#[tokio::test]
async fn quit_is_said_and_its_reply_changes_nothing() {
    // W-14.05
    let world = one_attempt().await;
    let delivered = |name, answer| odd(name, Phase::Quit, answer, "delivered 2.0.0");
    let turns = vec![
        delivered("usual", reply("221 2.0.0 bye")),
        delivered("hang", hang()),
        delivered("close", close()),
        delivered("reset", reset()),
        delivered("refused", reply("500 5.5.1 stay")),
        delivered("garbage", reply("bye")),
    ];
    let hosts = check(&world, turns).await;
    for (_, host) in &hosts {
        host.saw("QUIT").await;
        host.received_exactly(1).await;
    }
    assert_eq!(hosts[0].1.ended(0).await, Ended::Quit);
}

#[tokio::test]
async fn delivered_does_not_wait_for_the_reply_to_quit() {
    // W-14.05
    let world = World::new().await;
    let mx = world.remote("dest.test").quit([hang()]).await;
    let sent = world.client().send(mail().to("ann@dest.test")).await;
    world.history(&sent.accepted()).shows(["delivered"]).await;
    let ended = mx.connections()[0].ended.clone();
    assert_eq!(ended, None, "we should still be listening for it");
}

#[tokio::test]
async fn a_421_to_any_command_defers_and_ends_the_session() {
    // W-14.06
    let world = one_attempt().await;
    let phases = [Phase::Mail, Phase::Rcpt, Phase::Data, Phase::Dot];
    let turns = phases.map(|phase| {
        let name = format!("{phase:?}").to_lowercase();
        odd(name, phase, "421 4.3.2 going down", "deferred 4.3.2")
    });
    let hosts = check(&world, turns.into()).await;
    for ((name, host), phase) in hosts.iter().zip(phases) {
        let ended = host.ended(0).await; // the host itself does not close
        assert_eq!(ended, Ended::ByClient, "{name}");
        assert_eq!(verbs(host), verbs_until(phase), "{name}");
        host.receives_nothing();
    }
}

#[tokio::test]
async fn a_421_within_the_recipients_spares_those_with_a_final_answer() {
    // W-14.06
    let world = one_attempt().await;
    let plan = world.remote("dest.test").offers(["SIZE 99999"]);
    let mx = plan
        .rcpt_for("bob@dest.test", ["550 5.1.1 unknown"])
        .rcpt_for("eve@dest.test", ["421 4.3.2 going down"])
        .await;
    let names = ["ann", "bob", "eve", "joe"];
    let mail = mail().recipients(names.map(|name| format!("{name}@dest.test")));
    let history = world.history(&world.client().send(mail).await.accepted());
    history.shows_for("bob@dest.test", ["failed 5.1.1"]).await;
    for name in ["ann", "eve", "joe"] {
        let mailbox = format!("{name}@dest.test");
        history.shows_for(&mailbox, ["deferred 4.3.2"]).await;
    }
    mx.ended(0).await;
    assert_eq!(verbs(&mx), ["EHLO", "MAIL", "RCPT", "RCPT", "RCPT"]);
    mx.receives_nothing();
}

#[tokio::test]
async fn after_a_421_the_next_host_is_tried_first() {
    // W-14.06
    let world = one_attempt().await;
    world.remote("dest.test").mail(["421 4.3.2 bye"]).await;
    let second = world.remote("dest.test").preference(20).await;
    let sent = world.client().send(mail().to("ann@dest.test")).await;
    let history = world.history(&sent.accepted());
    history.is_exactly(["delivered"]).await;
    second.received_exactly(1).await;
}

#[tokio::test]
async fn a_host_that_hangs_frees_the_worker_at_the_timeout() {
    // W-14.07
    let world = World::setup()
        .set("SMTP_QUEUE_WORKERS", "1")
        .set("SMTP_WORKER_CONCURRENCY", "1")
        .set("SMTP_REPLY_TIMEOUT", "500ms")
        .await;
    let slow = world.remote("slow.test").mail([hang()]).await;
    let good = world.remote("good.test").await;
    let sent = world.client().send(mail().to("ann@slow.test")).await;
    let stuck = world.history(&sent.accepted());
    slow.saw("MAIL").await;
    let sent = world.client().send(mail().to("ann@good.test")).await;
    let other = world.history(&sent.accepted());
    other.event("delivered", "ann@good.test").await;
    stuck.shows(["deferred 4.4.2"]).await;
    assert_eq!(slow.ended(0).await, Ended::ByClient);
    good.received_exactly(1).await;
}

#[tokio::test]
async fn each_phase_has_a_timeout() {
    // W-14.07
    let world = one_attempt()
        .set("SMTP_REPLY_TIMEOUT", "500ms")
        .set("SMTP_DATA_REPLY_TIMEOUT", "500ms")
        .await;
    let slow = Duration::from_millis(50);
    let endless = format!("220 {}", "x".repeat(10_000));
    let hangs = |name, phase| odd(name, phase, hang(), "deferred 4.4.2");
    let turns = vec![
        hangs("greeting", Phase::Greeting),
        hangs("ehlo", Phase::Ehlo),
        hangs("starttls", Phase::StartTls),
        hangs("mail", Phase::Mail),
        hangs("rcpt", Phase::Rcpt),
        hangs("data", Phase::Data),
        hangs("dot", Phase::Dot),
        odd(
            "octet-by-octet",
            Phase::Greeting,
            trickle(slow, &endless),
            "deferred 4.4.2",
        ),
    ];
    for (name, host) in check(&world, turns).await {
        let ended = host.ended(0).await;
        assert!(!matches!(ended, Ended::Quit), "{name}: {ended:?}");
        host.receives_nothing();
    }
}

#[tokio::test]
async fn a_handshake_has_a_timeout() {
    // W-14.07
    let world = one_attempt().set("SMTP_REPLY_TIMEOUT", "500ms").await;
    let plan = world.remote("dest.test").handshake(Handshake::Hang);
    let mx = plan.await;
    let sent = world.client().send(mail().to("ann@dest.test")).await;
    let history = world.history(&sent.accepted());
    history.is_exactly(["deferred 4.4.2"]).await;
    mx.receives_nothing();
}
