//! W-16: the outgoing transaction, as remote hosts see it.

use std::time::Duration;

use crate::support::{
    End, Gate, Mail, Phase, Random, World, close, mail, read_data, reply, reset, same_octets,
};

/// Octets that no socket buffers hold while their reader sleeps: the kernel keeps 4 MiB at most for
/// a writer and 128 KiB for a reader that doesn't read.
const MORE_THAN_SOCKETS_HOLD: usize = 8 * 1024 * 1024;

#[tokio::test]
async fn recipients_of_one_domain_share_one_transaction() {
    // W-16.01
    let world = World::new().await;
    let mx = world.remote("dest.test").await;
    let all = ["a@dest.test", "b@dest.test", "c@dest.test"];
    let sent = world.client().send(mail().recipients(all)).await;
    let id = sent.accepted();
    world.history(&id).is_exactly(["delivered"; 3]).await;
    mx.received_exactly(1).await;
    let message = mx.message().await;
    assert_eq!(message.to(), all);
    message.arrived_as(sent.mail.octets());
    let of_verb = |verb: &str| {
        let commands = mx.commands();
        commands.iter().filter(|c| c.starts_with(verb)).count()
    };
    assert_eq!(["MAIL", "RCPT", "DATA"].map(of_verb), [1, 3, 1]);
}

#[tokio::test]
async fn each_recipient_has_its_own_answer_and_only_the_deferred_one_is_tried_again() {
    // W-16.02
    let world = World::setup().set("SMTP_RETRY_BASE", "200ms").await;
    let home = world.remote("gp.test").await;
    let mx = world
        .remote("dest.test")
        .rcpt_for("a@dest.test", ["250 2.1.5 a is fine"])
        .rcpt_for(
            "b@dest.test",
            ["451 4.2.1 b is away", "250 2.1.5 b is back"],
        )
        .rcpt_for("c@dest.test", ["550 5.1.1 c is unknown"])
        .dot(["250 2.0.0 queued as one", "250 2.0.0 queued as two"])
        .await;
    let all = ["a@dest.test", "b@dest.test", "c@dest.test"];
    let id = world.client().send(mail().recipients(all)).await.accepted();

    let history = world.history(&id);
    for (rcpt, event, words) in [
        ("a@dest.test", "delivered", "250 2.0.0 queued as one"),
        ("b@dest.test", "deferred", "451 4.2.1 b is away"),
        ("c@dest.test", "failed", "550 5.1.1 c is unknown"),
        ("b@dest.test", "delivered", "250 2.0.0 queued as two"),
    ] {
        let line = history.event(event, rcpt).await;
        assert_eq!(line.field("reply").as_deref(), Some(words), "{}", line.text);
    }
    mx.received_exactly(2).await;
    let transactions = mx.transactions();
    assert_eq!(transactions[0].to(), ["a@dest.test"]);
    assert_eq!(transactions[0].refused.len(), 2);
    assert_eq!(transactions[1].to(), ["b@dest.test"]);
    assert_eq!(transactions[1].refused, [""; 0]);
    let report = home.message().await.report();
    report.is_about(1);
    report.says("c@dest.test", "failed", "5.1.1");
}

#[tokio::test]
async fn a_refusal_settles_all_who_are_open_and_no_other_host_is_tried() {
    // W-16.03
    let world = World::setup().set("SMTP_RETRY_BASE", "200ms").await;
    let mut rows = Vec::new();
    for (verb, phase, go) in [
        ("mail", Phase::Mail, "250 2.1.0 ok"),
        ("rcpt", Phase::Rcpt, "250 2.1.5 ok"),
        ("data", Phase::Data, "354 go"),
        ("dot", Phase::Dot, "250 2.0.0 queued"),
    ] {
        for (class, no) in [("never", "554 5.6.1 no"), ("later", "451 4.6.1 not now")] {
            for (way, offers) in [("piped", "PIPELINING"), ("plain", "8BITMIME")] {
                let domain = format!("{verb}.{class}.{way}.test");
                // both recipients are refused; the next attempt, if there is one, goes well
                let mut answers = vec![no; if phase == Phase::Rcpt { 2 } else { 1 }];
                answers.push(go);
                let first = world
                    .remote(&domain)
                    .offers([offers])
                    .answers(phase, answers)
                    .await;
                let second = world.remote(&domain).preference(20).await;
                let to = [format!("a@{domain}"), format!("b@{domain}")];
                let id = world.client().send(mail().recipients(to)).await.accepted();
                rows.push((id, class, first, second));
            }
        }
    }
    for (id, class, first, second) in rows {
        let history = world.history(&id);
        if class == "never" {
            history.is_exactly(["failed 5.6.1"; 2]).await;
            first.receives_nothing();
        } else {
            let deferred = "deferred 4.6.1";
            history
                .is_exactly([deferred, deferred, "delivered", "delivered"])
                .await;
            first.received_exactly(1).await;
        }
        second.never_called();
    }
}

#[tokio::test]
async fn without_pipelining_each_command_waits_for_the_reply_before_it() {
    // W-16.04
    let world = World::new().await;
    let late = |text: &str| reply(text).after(Duration::from_millis(25)); // time to go too far
    let mx = world
        .remote("dest.test")
        .offers(["SIZE 1000000"])
        .greeting([late("220 mx1.dest.test")])
        .mail([late("250 2.1.0 ok")])
        .rcpt([late("250 2.1.5 ok"), late("550 5.1.1 no"), late("250 ok")])
        .data([late("354 go")])
        .dot([late("250 2.0.0 queued")])
        .await;
    let all = ["a@dest.test", "b@dest.test", "c@dest.test"];
    world.client().send(mail().recipients(all)).await.accepted();
    mx.received_exactly(1).await;
    mx.ended(0).await;
    for command in &mx.connections()[0].commands {
        assert!(!command.more_was_waiting, "more came behind {command:?}");
    }
}

#[tokio::test]
async fn a_transaction_without_recipients_is_left_before_data() {
    // W-16.04
    let world = World::new().await;
    let mx = world
        .remote("dest.test")
        .offers(["8BITMIME"])
        .rcpt(["550 5.1.1 unknown"])
        .await;
    let all = ["a@dest.test", "b@dest.test"];
    let id = world.client().send(mail().recipients(all)).await.accepted();
    world.history(&id).is_exactly(["failed 5.1.1"; 2]).await;
    mx.ended(0).await;
    mx.never_saw("DATA");
    let connection = mx.connections().swap_remove(0);
    let lines = connection.lines();
    assert_eq!(
        lines[2..4],
        ["RCPT TO:<a@dest.test>", "RCPT TO:<b@dest.test>"]
    );
    assert!(matches!(lines[4], "RSET" | "QUIT"), "{lines:?}");
}

#[tokio::test]
async fn with_pipelining_the_envelope_leaves_before_the_first_reply() {
    // W-16.05
    let world = World::new().await;
    let behind_mail = "RCPT TO:<a@dest.test>\r\nRCPT TO:<b@dest.test>\r\nDATA\r\n";
    let mx = world
        .remote("dest.test")
        .mail([read_data(behind_mail.len()).then("250 2.1.0 ok")])
        .await;
    let all = ["a@dest.test", "b@dest.test"];
    world.client().send(mail().recipients(all)).await.accepted();
    mx.received_exactly(1).await;
    assert!(mx.connections()[0].pipelined());
}

#[tokio::test]
async fn a_host_that_wants_data_for_nobody_gets_an_empty_message_and_nobody_is_delivered() {
    // W-16.05
    let world = World::new().await;
    let mx = world
        .remote("dest.test")
        .rcpt(["550 5.1.1 unknown"])
        .data(["354 go all the same"])
        .dot(["250 2.0.0 queued"])
        .await;
    let sent = world.client().send(mail().to("a@dest.test")).await;
    let id = sent.accepted();
    world.history(&id).is_exactly(["failed 5.1.1"]).await;
    let empty = mx.transactions_seen(1).await.swap_remove(0);
    same_octets(&empty.wire, ".\r\n");
    mx.ended(0).await;
    assert_eq!(mx.transactions().len(), 1);
}

#[tokio::test]
async fn a_refusal_counts_although_the_host_leaves_with_it() {
    // W-16.06
    let world = World::new().await;
    let mut ids = Vec::new();
    for (phase, name) in [(Phase::Mail, "mail"), (Phase::Rcpt, "rcpt")] {
        for (end, how) in [(close(), "closes"), (reset(), "resets")] {
            let domain = format!("{how}.{name}.test");
            let refusal = reply("550 5.7.1 go away").then(end);
            let _mx = world.remote(&domain).answers(phase, [refusal]).await;
            let to = format!("a@{domain}");
            ids.push(world.client().send(mail().to(&to)).await.accepted());
        }
    }
    for id in ids {
        world.history(&id).is_exactly(["failed 5.7.1"]).await;
    }
}

#[tokio::test]
async fn a_host_lost_within_the_message_leaves_it_to_the_next_one() {
    // W-16.07
    let world = World::new().await;
    let large = large_mail();
    let mut rows = Vec::new();
    for (name, end) in [("closes.test", close()), ("resets.test", reset())] {
        let data = reply("354 go").then(read_data(1_000)).then(end);
        let first = world.remote(name).data([data]).await;
        let second = world.remote(name).preference(20).await;
        let to = format!("a@{name}");
        let id = world.client().send(large.clone().to(&to)).await.accepted();
        rows.push((id, first, second));
    }
    for (id, first, second) in rows {
        world.history(&id).is_exactly(["delivered"]).await;
        assert_eq!(first.transactions()[0].end, End::Lost);
        second.received_exactly(1).await;
        second.message().await.arrived_as(large.octets());
    }
    world.log().never_told("possible_duplicate");
}

#[tokio::test]
async fn a_host_lost_within_the_message_and_no_other_defers_it() {
    // W-16.07
    let world = World::setup().set("SMTP_RETRY_BASE", "200ms").await;
    let lost = reply("354 go").then(read_data(1_000)).then(close());
    let mx = world
        .remote("dest.test")
        .data([lost, reply("354 go")])
        .await;
    let large = large_mail().to("a@dest.test");
    let id = world.client().send(large.clone()).await.accepted();
    world
        .history(&id)
        .is_exactly(["deferred 4.4.2", "delivered"])
        .await;
    mx.received_exactly(1).await;
    mx.message().await.arrived_as(large.octets());
}

#[tokio::test]
async fn what_we_leave_half_sent_never_ends_like_a_message() {
    // W-16.07
    let world = World::setup()
        .set("SMTP_REPLY_TIMEOUT", "700ms")
        .set("SMTP_RETRY_BASE", "200ms")
        .await;
    let gate = Gate::new();
    // nothing is read until the relay has given up; then all that it sent
    let asleep = reply("354 go").then(read_data(1).behind(&gate));
    let mx = world
        .remote("dest.test")
        .data([asleep, reply("354 go")])
        .await;
    let large = large_mail().to("a@dest.test");
    let id = world.client().send(large.clone()).await.accepted();
    gate.reached().await;
    world.history(&id).shows(["deferred 4.4.2"]).await;
    gate.open();
    mx.received_exactly(1).await;
    mx.message().await.arrived_as(large.octets());
    let lost = mx
        .until("the message that was left", |list| {
            list.iter().find(|t| t.end == End::Lost).cloned()
        })
        .await;
    assert!(lost.wire.len() > 100_000, "{} octets", lost.wire.len());
    assert!(!lost.wire.ends_with(b"\r\n.\r\n"));
}

#[tokio::test]
async fn a_message_whose_answer_was_lost_is_sent_again_as_the_same() {
    // W-16.08
    let world = World::setup().set("SMTP_RETRY_BASE", "200ms").await;
    let mx = world
        .remote("dest.test")
        .dot([close(), reset(), reply("250 2.0.0 queued")])
        .await;
    let sent = world
        .client()
        .send(mail().without("Message-ID").to("a@dest.test"))
        .await;
    let id = sent.accepted();
    let deferred = "deferred 4.4.2";
    world
        .history(&id)
        .is_exactly([deferred, deferred, "delivered"])
        .await;
    let told = world.log().tells_times("possible_duplicate", 2).await;
    assert_eq!(told.len(), 2);
    for line in told {
        assert_eq!(line.field("queue_id"), Some(id.to_string()));
        assert_eq!(line.field("rcpt").as_deref(), Some("a@dest.test"));
    }
    mx.received_exactly(1).await;
    let transactions = mx.transactions();
    let ends: Vec<End> = transactions.iter().map(|t| t.end).collect();
    assert_eq!(ends, [End::Unanswered, End::Unanswered, End::Accepted]);
    for again in &transactions[1..] {
        same_octets(&again.wire, &transactions[0].wire);
    }
    assert!(mx.message().await.field("Message-ID").is_some());
}

#[tokio::test]
async fn too_many_recipients_go_in_a_further_transaction_at_once_and_a_full_mailbox_waits() {
    // W-16.09
    let world = World::setup().set("SMTP_RETRY_BASE", "200ms").await;
    let mut rows = Vec::new();
    for (row, no, waits) in [
        ("many", "452 4.5.3 too many", false),
        ("old", "552 too many", false),
        ("full", "452 4.2.2 full", true),
        ("bare", "452 no room", true),
    ] {
        for (way, offers) in [("piped", "PIPELINING"), ("plain", "8BITMIME")] {
            let domain = format!("{row}.{way}.test");
            let to = [format!("a@{domain}"), format!("b@{domain}")];
            let mx = world
                .remote(&domain)
                .offers([offers])
                .rcpt_for(&to[1], [no, "250 2.1.5 ok"])
                .await;
            let id = world.client().send(mail().recipients(&to)).await.accepted();
            rows.push((id, to, mx, waits));
        }
    }
    for (id, to, mx, waits) in rows {
        mx.received_exactly(2).await;
        let seen = mx.transactions();
        assert_eq!([seen[0].to(), seen[1].to()], [[&to[0]], [&to[1]]]);
        let history = world.history(&id);
        if waits {
            history.shows_for(&to[1], ["deferred", "delivered"]).await;
        } else {
            history.shows_for(&to[1], ["delivered"]).await;
        }
    }
}

#[tokio::test]
async fn dots_at_the_beginning_of_lines_are_doubled_and_only_the_end_looks_like_it() {
    // W-16.10
    let world = World::new().await;
    let mx = world.remote("dest.test").await;
    let mut random = Random::new();
    for body in [
        b"".to_vec(),
        b".\r\n".to_vec(),
        b"..\r\n.\r\n.first\r\nin. the. middle.\r\n.\r\n\r\n.last\r\n".to_vec(),
        b"\r\n.\r\n\r\n.".to_vec(),
        b"no line end".to_vec(),
        dotted_lines(&mut random, 300 * 1024),
    ] {
        let sent = world
            .client()
            .send(mail().to("a@dest.test").body_octets(body))
            .await;
        sent.accepted();
        let message = mx.message().await;
        let mut want = sent.mail.octets();
        if !want.ends_with(b"\r\n") {
            want.extend(b"\r\n"); // which SMTP can't do without
        }
        message.arrived_as(want);
        let wire = &message.transaction.wire;
        let ends = memchr::memmem::find_iter(wire, b"\r\n.\r\n");
        assert_eq!(ends.collect::<Vec<_>>(), [wire.len() - 5]);
        let breaks = wire.iter().filter(|o| matches!(**o, b'\r' | b'\n'));
        let pairs = memchr::memmem::find_iter(wire, b"\r\n");
        assert_eq!(breaks.count(), 2 * pairs.count(), "a bare CR or LF");
    }
}

#[tokio::test]
async fn the_size_is_told_to_whom_asks_for_it_and_is_no_less_than_what_comes() {
    // W-16.11
    let world = World::new().await;
    for (row, offers, told) in [
        ("limit", "SIZE 1000000", true),
        ("no-limit", "SIZE 0", true),
        ("bare", "SIZE", true),
        ("not-a-number", "SIZE abc", true),
        ("not-offered", "PIPELINING", false),
    ] {
        let domain = format!("{row}.test");
        let mx = world.remote(&domain).offers([offers]).await;
        let body = ".\n".repeat(1_000);
        let sent = mail().to(&format!("a@{domain}")).body(&body);
        world.client().send(sent).await.accepted();
        let message = mx.message().await;
        let parameters = message.transaction.mail_parameters();
        let size = parameters.iter().find_map(|p| p.strip_prefix("SIZE="));
        assert_eq!(size.is_some(), told, "{row}: {parameters:?}");
        if let Some(size) = size {
            let size: usize = size.parse().expect("a number of octets");
            assert!(size >= message.octets().len(), "{row}: {size}");
        }
    }
}

#[tokio::test]
async fn a_message_over_the_limit_of_a_host_fails_before_data() {
    // W-16.11
    let world = World::new().await;
    let mx = world.remote("dest.test").offers(["SIZE 2000"]).await;
    let sent = mail().to("a@dest.test").body(&"A line.\n".repeat(300));
    let id = world.client().send(sent).await.accepted();
    world.history(&id).is_exactly(["failed 5.3.4"]).await;
    mx.ended(0).await;
    mx.never_saw("DATA");
}

#[tokio::test]
async fn no_transaction_has_more_recipients_than_its_host_takes() {
    // W-16.12
    let world = World::new().await;
    let mut rows = Vec::new();
    for (row, limits, recipients, transactions) in [
        ("none", "PIPELINING", 101, 2),
        ("two", "LIMITS RCPTMAX=2", 5, 3),
        ("more", "LIMITS MAILMAX=100 RCPTMAX=1000", 101, 2),
        ("zero", "LIMITS RCPTMAX=0", 5, 1),
        ("empty", "LIMITS RCPTMAX=", 5, 1),
        (
            "huge",
            "LIMITS RCPTMAX=1000000000000000000000000000000",
            5,
            1,
        ),
    ] {
        let domain = format!("{row}.test");
        let mx = world.remote(&domain).offers([limits]).await;
        let to: Vec<String> = (0..recipients)
            .map(|number| format!("r{number}@{domain}"))
            .collect();
        let sent = world.client().send(mail().recipients(&to)).await;
        rows.push((sent.accepted(), to, mx, transactions));
    }
    for (id, to, mx, count) in rows {
        let events = world.history(&id).has(to.len()).await;
        assert!(events.iter().all(|line| line.is("delivered")), "{to:?}");
        mx.received_exactly(count).await;
        let transactions = mx.transactions();
        let came: Vec<&str> = transactions.iter().flat_map(|t| t.to()).collect();
        assert_eq!(came, to);
    }
}

/// Lines of random length, most of which begin with a dot, so that one stands at every border of
/// pieces that there is on the way.
fn dotted_lines(random: &mut Random, octets: usize) -> Vec<u8> {
    let mut lines = Vec::new();
    while lines.len() < octets {
        lines.extend(&b"...x"[random.below(4)..]);
        lines.extend(vec![b'a'; random.below(5)]);
        lines.extend(b"\r\n");
    }
    lines
}

fn large_mail() -> Mail {
    let line = [b'x'; 998];
    let mut body = Vec::with_capacity(MORE_THAN_SOCKETS_HOLD + 1_000);
    while body.len() < MORE_THAN_SOCKETS_HOLD {
        body.extend(line);
        body.extend(b"\r\n");
    }
    mail().body_octets(body)
}
