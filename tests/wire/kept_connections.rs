//! W-19.01 to W-19.03: connections to remote hosts, kept for further messages.

use std::time::{Duration, Instant};

use crate::support::{
    Answer, Certificate, Connection, Ended, Phase, Remote, Setup, World, close, hang, mail, raw,
    reply, reset,
};

use super::odd_turn::mailbox_at;

/// A world where a connection is not given up for lack of mail while a test runs.
fn long_kept() -> Setup {
    World::setup()
        .set("SMTP_CONNECTION_IDLE", "5m")
        .set("SMTP_LOG", "debug")
}

/// One mail to each of these, delivered at the first attempt.
async fn one_mail_each(world: &World, mailboxes: &[String]) {
    let sent = world.client().send(mail().recipients(mailboxes)).await;
    let history = world.history(&sent.accepted());
    for mailbox in mailboxes {
        history.shows_for(mailbox, ["delivered"]).await;
    }
}

async fn one_mail(world: &World, mailbox: &str) {
    one_mail_each(world, &[mailbox.to_owned()]).await;
}

#[tokio::test]
async fn many_messages_to_one_destination_share_few_connections() {
    // W-19.01: the limit is for all its hosts together
    const EACH: usize = 100;
    const CLIENTS: usize = 4;
    const LIMIT: usize = 3;
    let world = long_kept()
        .set("SMTP_DESTINATION_CONCURRENCY", &LIMIT.to_string())
        .set("SMTP_LOG", "info")
        .await;
    let hosts = [
        world.remote("dest.test").await,
        world.remote("dest.test").await,
    ];
    let send = async |_| {
        let mut client = world.client().session().await;
        for _ in 0..EACH {
            client.send(mail().to("ann@dest.test")).await.accepted();
        }
    };
    tokio::join!(send(0), send(1), send(2), send(3));
    world.log().tells_times("delivered", CLIENTS * EACH).await;
    let all: usize = hosts.iter().map(|host| host.connections().len()).sum();
    let messages: usize = hosts.iter().map(|host| host.messages().len()).sum();
    assert_eq!(messages, CLIENTS * EACH);
    assert!(all * 20 <= messages, "{all} connections");
    let most = at_once(&hosts);
    assert!(most <= LIMIT, "{most} connections at one time");
}

/// How many connections these hosts had at one time together, at most.
fn at_once(hosts: &[Remote]) -> usize {
    let all: Vec<_> = hosts.iter().flat_map(Remote::connections).collect();
    let open_at = |at: Instant| {
        let is_open = |c: &&Connection| c.opened <= at && c.ended_at.is_none_or(|end| end > at);
        all.iter().filter(is_open).count()
    };
    // there are never more than when one has just come
    all.iter().map(|c| open_at(c.opened)).max().unwrap_or(0)
}

#[tokio::test]
async fn a_new_connection_waits_until_an_idle_one_to_another_host_is_gone() {
    // W-19.01: also while it says QUIT
    let world = long_kept().set("SMTP_DESTINATION_CONCURRENCY", "1").await;
    let first = world.remote("dest.test").await;
    let second = world.remote("dest.test").preference(20);
    let late = reply("221 2.0.0 bye").after(Duration::from_millis(300));
    let second = second.quit([late]).await;
    first.goes_down();
    one_mail(&world, "ann@dest.test").await;
    second.received_exactly(1).await;
    first.comes_back().await;
    one_mail(&world, "ann@dest.test").await;
    first.received_exactly(1).await;
    assert_eq!(at_once(&[first, second.clone()]), 1);
    assert_eq!(second.ended(0).await, Ended::Quit);
}

#[tokio::test]
async fn a_message_on_a_connection_that_is_no_more_goes_over_a_new_one_at_once() {
    // W-19.02
    let world = long_kept().set("SMTP_REPLY_TIMEOUT", "1s").await;
    let queued = "250 2.0.0 queued";
    let mut rows: Vec<(String, Phase, Answer)> = Vec::new();
    for (name, answer) in [
        ("closed", reply(queued).then(close())),
        ("reset", reply(queued).then(reset())),
        ("tired", reply(queued).then("421 4.4.2 idle for too long")),
        (
            "tired-and-closed",
            reply(queued)
                .then("421 4.4.2 idle for too long")
                .then(close()),
        ),
        ("talkative", reply(queued).then("250 2.0.0 really")),
    ] {
        rows.push((format!("{name}.idle"), Phase::Dot, answer));
    }
    for (name, answer) in [
        ("421", reply("421 4.7.0 too many messages")),
        ("421-and-close", reply("421 4.7.0 no more").then(close())),
        ("close", close()),
        ("reset", reset()),
        ("half-close", raw("25").then(close())),
        ("garbage", raw("what?\r\n")),
        ("three", reply("354 go")),
        ("hang", hang()),
    ] {
        rows.push((format!("{name}.mail"), Phase::Mail, answer));
    }
    let mut hosts = Vec::new();
    for (name, phase, answer) in rows {
        for (way, offers) in [("piped", "PIPELINING"), ("plain", "8BITMIME")] {
            let name = format!("{name}.{way}");
            let plan = world.remote(&format!("{name}.test")).offers([offers]);
            let answers = match phase {
                Phase::Mail => vec![reply("250 2.1.0 ok"), answer.clone(), reply("250 ok")],
                _ => vec![answer.clone(), reply(queued)],
            };
            hosts.push((name, plan.answers(phase, answers).await));
        }
    }
    let mailboxes: Vec<String> = hosts.iter().map(|(name, _)| mailbox_at(name)).collect();
    one_mail_each(&world, &mailboxes).await;
    one_mail_each(&world, &mailboxes).await;
    for (name, host) in &hosts {
        host.received_exactly(2).await;
        let connections: Vec<usize> = host.transactions().iter().map(|t| t.connection).collect();
        assert_eq!(connections, [0, 1], "{name}");
    }
    world.log().never_told("deferred");
}

#[tokio::test]
async fn a_dead_connection_takes_none_of_the_addresses_of_an_attempt() {
    // W-19.02
    let world = long_kept().await;
    let mut hosts = Vec::new();
    for _ in 0..10 {
        let plan = world.remote("dest.test").named("mx.dest.test");
        hosts.push(plan.await);
    }
    one_mail(&world, "ann@dest.test").await;
    let used = hosts.iter().find(|host| !host.connections().is_empty());
    let used = used.expect("a host that took the mail");
    used.answers(Phase::Mail, ["421 4.3.2 too many messages"]);
    for host in &hosts {
        host.answers(Phase::Greeting, ["421 4.3.2 too many connections"]);
    }
    let sent = world.client().send(mail().to("ann@dest.test")).await;
    world
        .history(&sent.accepted())
        .shows(["deferred 4.3.2"])
        .await;
    for host in &hosts {
        assert!(!host.connections().is_empty(), "{}", host.ip());
    }
    assert!(used.connections().len() >= 2, "it was called again as well");
}

#[tokio::test]
async fn an_idle_connection_is_left_with_quit() {
    // W-19.03
    let span = Duration::from_millis(300);
    let world = World::setup().set("SMTP_CONNECTION_IDLE", "300ms").await;
    let mx = world.remote("dest.test").await;
    one_mail(&world, "ann@dest.test").await;
    assert_eq!(mx.ended(0).await, Ended::Quit);
    let connection = mx.connections().remove(0);
    let said = connection.commands.last().expect("QUIT");
    assert!(said.at - mx.transactions()[0].at >= span, "too soon");
    one_mail(&world, "ann@dest.test").await;
    mx.received_exactly(2).await;
    assert_eq!(mx.connections().len(), 2);
}

#[tokio::test]
async fn a_stop_says_quit_on_idle_connections() {
    // W-19.03
    let world = long_kept().await;
    let mx = world.remote("dest.test").await;
    one_mail(&world, "ann@dest.test").await;
    assert_eq!(mx.connections()[0].ended, None);
    assert_eq!(world.relay().terminate().await.code(), Some(0));
    assert_eq!(mx.ended(0).await, Ended::Quit);
}

#[tokio::test]
async fn without_idle_time_each_message_has_its_own_connection() {
    // W-19.03
    let world = World::setup().set("SMTP_CONNECTION_IDLE", "0s").await;
    let mx = world.remote("dest.test").await;
    for number in 0..3 {
        one_mail(&world, "ann@dest.test").await;
        assert_eq!(mx.ended(number).await, Ended::Quit);
    }
    assert_eq!(mx.connections().len(), 3);
}

#[tokio::test]
async fn a_kept_connection_is_for_one_destination_and_one_host_only() {
    // W-19.03: the same address each time
    let world = long_kept().await;
    let mx = world.remote("dest.test").named("mx.test").await;
    let dns = world.dns();
    dns.mx("other.test", 10, "mx.test");
    dns.mx("alias.test", 10, "also.mx.test");
    dns.address_of("also.mx.test", mx.ip());
    for domain in ["dest.test", "other.test", "alias.test"] {
        for _ in 0..2 {
            one_mail(&world, &format!("ann@{domain}")).await;
        }
    }
    // Of one domain, by one host and then by another at the same address.
    dns.mx("moved.test", 10, "mx.test");
    dns.mx("moved.test", 20, "also.mx.test");
    one_mail(&world, "ann@moved.test").await;
    let connections =
        |mx: &Remote| -> Vec<usize> { mx.transactions().iter().map(|t| t.connection).collect() };
    assert_eq!(connections(&mx), [0, 0, 1, 1, 2, 2, 3]);
}

#[tokio::test]
async fn tls_is_kept_with_its_connection() {
    // W-19.03
    let world = long_kept().await;
    let mx = world.remote("dest.test").tls(Certificate::Good).await;
    for _ in 0..3 {
        one_mail(&world, "ann@dest.test").await;
    }
    mx.received_exactly(3).await;
    assert_eq!(mx.connections().len(), 1);
    assert!(mx.transactions().iter().all(|t| t.in_tls));
    let lines = mx.connections()[0].lines_in_clear().join(", ");
    assert_eq!(lines, "EHLO gp.test, STARTTLS");
}

#[tokio::test]
async fn each_policy_has_its_own_connections_to_a_host() {
    // W-19.03
    let world = long_kept()
        .set("SMTP_TLS_POLICY", "valid,clear.test=none,*.test=encrypt")
        .await;
    let mx = world.remote("dest.test").named("mx.test");
    let mx = mx.tls(Certificate::SelfSigned).await;
    world.dns().mx("clear.test", 10, "mx.test");
    for domain in ["dest.test", "clear.test", "dest.test", "clear.test"] {
        one_mail(&world, &format!("ann@{domain}")).await;
    }
    let seen: Vec<_> = mx
        .transactions()
        .iter()
        .map(|t| (t.connection, t.in_tls))
        .collect();
    assert_eq!(seen, [(0, true), (1, false), (0, true), (1, false)]);
}

#[tokio::test]
async fn a_kept_connection_serves_each_attempt_with_its_own_deadline() {
    // W-19.02
    let world = long_kept().set("SMTP_ATTEMPT_TIMEOUT", "1s").await;
    let mx = world.remote("dest.test").await;
    let began = Instant::now();
    while began.elapsed() < Duration::from_millis(1_500) {
        one_mail(&world, "ann@dest.test").await;
    }
    let messages = mx.transactions().len(); // a quick machine has more than one connection takes
    let needed = messages.div_ceil(100);
    assert_eq!(mx.connections().len(), needed, "{messages} messages");
}

#[tokio::test]
async fn after_a_failed_transaction_a_connection_is_kept_if_the_host_answers_rset() {
    // W-19.02
    let world = long_kept()
        .set("SMTP_DESTINATION_CONCURRENCY", "1") // so that who comes next waits for it
        .await;
    let mut rows = Vec::new();
    for (verb, phase) in [
        ("mail", Phase::Mail),
        ("rcpt", Phase::Rcpt),
        ("data", Phase::Data),
        ("dot", Phase::Dot),
    ] {
        for (how, rset, connections) in [
            ("good", "250 2.0.0 ok", 1),
            ("bad", "500 5.5.1 what?", 2),
            ("bye", "421 4.3.2 bye", 2),
        ] {
            let domain = format!("{how}.{verb}.test");
            let refusal = reply("550 5.7.1 not this one");
            let go = match phase {
                Phase::Data => "354 go",
                _ => "250 ok",
            };
            let plan = world.remote(&domain).answers(phase, [refusal, reply(go)]);
            rows.push((domain, plan.rset([rset]).await, connections));
        }
    }
    for (domain, mx, connections) in rows {
        let mailbox = format!("ann@{domain}");
        let sent = world.client().send(mail().to(&mailbox)).await;
        world
            .history(&sent.accepted())
            .shows(["failed 5.7.1"])
            .await;
        one_mail(&world, &mailbox).await;
        assert_eq!(mx.connections().len(), connections, "{domain}");
        let lines = mx.connections().remove(0);
        let lines = lines.lines();
        let before = lines.iter().take_while(|line| **line != "RSET").count();
        let mails = lines[..before].iter().filter(|l| l.starts_with("MAIL"));
        assert!(before < lines.len() && mails.count() == 1, "{lines:?}");
    }
}

#[tokio::test]
async fn a_taken_message_needs_no_rset() {
    // W-19.01
    let world = long_kept().await;
    let mx = world.remote("dest.test").await;
    one_mail(&world, "ann@dest.test").await;
    one_mail(&world, "ann@dest.test").await;
    assert_eq!(mx.connections().len(), 1);
    mx.never_saw("RSET");
    let reused = world.log().tells("connection_reused").await;
    assert_eq!(reused.field("transactions").as_deref(), Some("1"));
}

#[tokio::test]
async fn no_connection_has_more_transactions_than_its_host_takes() {
    // W-16.12
    let world = long_kept().await;
    let mut rows = Vec::new();
    for (row, limits, connections) in [
        ("one", "LIMITS MAILMAX=1", 4),
        ("two", "LIMITS RCPTMAX=100 MAILMAX=2", 2),
        ("zero", "LIMITS MAILMAX=0", 1),
        ("empty", "LIMITS MAILMAX=", 1),
        ("huge", "LIMITS MAILMAX=1000000000000000000000000000000", 1),
    ] {
        let mx = world.remote(&format!("{row}.test")).offers([limits]).await;
        rows.push((row, mx, connections));
    }
    let mailboxes: Vec<String> = rows.iter().map(|(row, ..)| mailbox_at(row)).collect();
    for _ in 0..4 {
        one_mail_each(&world, &mailboxes).await;
    }
    for (row, mx, connections) in rows {
        mx.received_exactly(4).await;
        assert_eq!(mx.connections().len(), connections, "{row}");
    }
}

#[tokio::test]
async fn one_message_in_many_transactions_takes_as_many_connections_as_it_needs() {
    // W-16.12
    let world = long_kept().await;
    let mx = world.remote("dest.test");
    let mx = mx.offers(["LIMITS MAILMAX=2 RCPTMAX=1"]).await;
    let mailboxes = ["a", "b", "c", "d", "e"].map(|name| format!("{name}@dest.test"));
    one_mail_each(&world, &mailboxes).await;
    mx.received_exactly(5).await;
    let connections: Vec<usize> = mx.transactions().iter().map(|t| t.connection).collect();
    assert_eq!(connections, [0, 0, 1, 1, 2]);
}
