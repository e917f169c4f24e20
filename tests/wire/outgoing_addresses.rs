//! Which addresses are called, from which of ours, and what is tried before an answer counts.

use std::collections::BTreeSet;

use crate::support::{Phase, Remote, World, mail};

use super::odd_turn::one_attempt;

#[tokio::test]
async fn an_address_that_hangs_does_not_hold_up_the_next() {
    // W-13.12 (RFC 8305): whoever waits for the hanging ones waits for hours here.
    let world = one_attempt()
        .set("SMTP_CONNECT_TIMEOUT", "5h")
        .set("SMTP_ATTEMPT_TIMEOUT", "9h")
        .await;
    let six = world.remote_without_dns().at("::1").never_accepts().await;
    let four = world.remote_without_dns().never_accepts().await;
    let good = world.remote("hangs.test").named("mx.hangs.test").await;
    for deaf in [&six, &four] {
        world.dns().address_of("mx.hangs.test", deaf.ip());
    }
    let sent = world.client().send(mail().to("ann@hangs.test")).await;
    world.history(&sent.accepted()).shows(["delivered"]).await;
    good.received_exactly(1).await;
    good.was_called(1).await;
}

#[tokio::test]
async fn a_slow_address_gets_its_turn_when_a_quick_one_is_of_no_use() {
    // W-13.12: the race has one winner, and is run again without it.
    let world = one_attempt().set("SMTP_CONNECT_TIMEOUT", "1s").await;
    let deaf = world.remote_without_dns().at("::1").never_accepts().await;
    let busy = world.remote("busy.test").named("mx.busy.test");
    let busy = busy.greeting(["421 4.3.2 busy"]).await;
    world.dns().address_of("mx.busy.test", deaf.ip());
    let last = world.remote("busy.test").preference(20).await;
    let sent = world.client().send(mail().to("ann@busy.test")).await;
    world.history(&sent.accepted()).shows(["delivered"]).await;
    busy.was_called(1).await;
    last.received_exactly(1).await;
}

#[tokio::test]
async fn hosts_see_the_source_addresses_of_their_family() {
    // W-14.08
    let sources = ["127.0.0.177", "127.0.0.178", "::1"];
    let world = World::setup()
        .set("SMTP_SOURCE_ADDRESSES", &sources.join(","))
        .await;
    let mut hosts = Vec::new();
    for domain in ["a.test", "b.test", "c.test", "d.test"] {
        hosts.push(world.remote(domain).await);
    }
    let six = world.remote("six.test").at("::1").await;
    let domains = ["a.test", "b.test", "c.test", "d.test", "six.test"];
    let mailboxes = domains.map(|domain| format!("ann@{domain}"));
    let sent = world.client().send(mail().recipients(&mailboxes)).await;
    let history = world.history(&sent.accepted());
    for mailbox in &mailboxes {
        history.shows_for(mailbox, ["delivered"]).await;
    }
    let caller = |host: &Remote| host.connections()[0].peer.ip().to_string();
    let seen: BTreeSet<String> = hosts.iter().map(caller).collect();
    let both: BTreeSet<String> = sources[..2].iter().map(ToString::to_string).collect();
    assert_eq!(seen, both);
    assert_eq!(caller(&six), "::1");
}

#[tokio::test]
async fn a_family_without_a_source_address_is_not_used() {
    // W-14.08
    let world = one_attempt()
        .set("SMTP_SOURCE_ADDRESSES", "127.0.0.177")
        .await;
    let six = world.remote("only-six.test").at("::1").await;
    let four = world.remote("both.test").named("mx.both.test").await;
    world.dns().address_of("mx.both.test", six.ip());
    let mail = mail().to("ann@both.test").to("ann@only-six.test");
    let history = world.history(&world.client().send(mail).await.accepted());
    history.shows_for("ann@both.test", ["delivered"]).await;
    history
        .shows_for("ann@only-six.test", ["deferred 4.4.1"])
        .await;
    four.received_exactly(1).await;
    six.never_called();
}

#[tokio::test]
async fn a_source_address_of_another_machine_stops_the_start() {
    // W-14.08
    let sources = "127.0.0.1,203.0.113.250";
    let setup = World::setup().set("SMTP_SOURCE_ADDRESSES", sources);
    let failure = setup.expect_start_failure().await;
    let told = failure.output.contains("SMTP_SOURCE_ADDRESSES");
    let named = failure.output.contains("203.0.113.250");
    assert!(failure.code == Some(1) && told && named, "{failure:?}");
}

const COMPLAINT: &str = "550-5.7.1 [2001:db8::1] Our system has detected that this message does not\r\n\
                         550 5.7.1 meet IPv6 sending guidelines regarding PTR records.";
const FOR_NOW: &str = "450 4.7.25 Client host rejected: cannot find your hostname, [2001:db8::1]";

#[tokio::test]
async fn a_complaint_about_ipv6_counts_only_after_ipv4() {
    // W-19.05: at every phase, as a 5yz and as a 4yz.
    let world = one_attempt().await;
    let six = world.remote("both.test").named("mx.both.test");
    let six = six.at("::1").offers(["SIZE"]).await;
    let four = world.remote("both.test").named("mx.both.test");
    let four = four.offers(["LIMITS MAILMAX=1"]).await; // so that each mail begins anew
    let mut sent = 0;
    for (phase, good) in [
        (Phase::Greeting, "220 hello"),
        (Phase::Mail, "250 ok"),
        (Phase::Rcpt, "250 ok"),
        (Phase::Data, "354 go"),
        (Phase::Dot, "250 ok"),
    ] {
        for complaint in [COMPLAINT, FOR_NOW] {
            six.answers(phase, [complaint]);
            let submission = world.client().send(mail().to("ann@both.test")).await;
            let history = world.history(&submission.accepted());
            history.is_exactly(["delivered"]).await;
            sent += 1;
            six.was_called(sent).await;
        }
        six.answers(phase, [good]);
    }
    four.received_exactly(sent).await;
    six.receives_nothing();
}

#[tokio::test]
async fn a_complaint_about_ipv6_counts_where_ipv4_does_no_better() {
    // W-19.05
    let world = one_attempt().await;
    let six = world.remote("only-six.test").at("::1");
    let six = six
        .offers(["SIZE"])
        .rcpt([COMPLAINT])
        .rcpt_for("later@only-six.test", [FOR_NOW])
        .rcpt_for("well@only-six.test", ["250 ok"])
        .await;
    let dns = world.dns();
    dns.mx("refused.test", 10, "mx.refused.test");
    dns.mx("down.test", 10, "mx.down.test");
    for host in ["mx.refused.test", "mx.down.test"] {
        dns.address_of(host, six.ip());
    }
    dns.address_of("mx.down.test", world.next_address());
    let four = world.remote_without_dns();
    let four = four.rcpt(["550 5.1.1 no such user"]).await;
    dns.address_of("mx.refused.test", four.ip());

    let rows = [
        ("ann@only-six.test", "failed 5.7.1"),
        ("later@only-six.test", "deferred 4.7.25"),
        ("well@only-six.test", "delivered"),
        ("ann@refused.test", "failed 5.1.1"),
        ("ann@down.test", "deferred 4.4.1"),
    ];
    let mailboxes = rows.map(|(mailbox, _)| mailbox);
    let sent = world.client().send(mail().recipients(mailboxes)).await;
    let history = world.history(&sent.accepted());
    for (mailbox, becomes) in rows {
        history.shows_for(mailbox, [becomes]).await;
    }
    assert_eq!(six.message().await.to(), ["well@only-six.test"]);
}

#[tokio::test]
async fn a_complaint_about_ipv6_is_not_waited_for_again() {
    // W-19.05: with more recipients than one transaction has, one is enough.
    let world = one_attempt().await;
    let one_each = "LIMITS RCPTMAX=1";
    let six = world.remote("both.test").named("mx.both.test").at("::1");
    let six = six.offers([one_each]).mail([COMPLAINT]).await;
    let four = world.remote("both.test").named("mx.both.test");
    let four = four.offers([one_each]).await;
    world.dns().mx("only-six.test", 10, "mx.only-six.test");
    world.dns().address_of("mx.only-six.test", six.ip());

    let both = ["ann@both.test", "bob@both.test", "eve@both.test"];
    let sent = world.client().send(mail().recipients(both)).await;
    let history = world.history(&sent.accepted());
    history.shows(["delivered", "delivered", "delivered"]).await;
    four.received_exactly(3).await;
    for host in [&six, &four] {
        host.was_called(1).await;
    }

    let only_six = mail().to("ann@only-six.test").to("bob@only-six.test");
    let history = world.history(&world.client().send(only_six).await.accepted());
    let first = history.shows_for("ann@only-six.test", ["failed 5.7.1"]);
    first.await;
    let not_asked = history.shows_for("bob@only-six.test", ["deferred 4.7.1"]);
    not_asked.await;
    six.receives_nothing();
}

#[tokio::test]
async fn other_refusals_over_ipv6_count_at_once() {
    // W-19.05, W-16.03
    let world = one_attempt().await;
    let six = world.remote("both.test").named("mx.both.test").at("::1");
    let six = six.rcpt(["550 5.7.1 not you"]).await;
    let four = world.remote("both.test").named("mx.both.test").await;
    let sent = world.client().send(mail().to("ann@both.test")).await;
    let history = world.history(&sent.accepted());
    history.is_exactly(["failed 5.7.1"]).await;
    six.was_called(1).await;
    four.never_called();
}
