//! Which hosts take a domain's mail, and in which order they and their addresses are tried.

use crate::support::{Query, RecordType, Remote, Transport, Trouble, World, mail};

use super::odd_turn::one_attempt;

use RecordType::{A, AAAA, MX};

#[tokio::test]
async fn hosts_are_tried_by_preference_and_each_with_all_its_addresses() {
    // W-13.01
    let world = World::new().await;
    let unneeded = world.remote("dest.test").preference(65_535).await;
    let second = world.remote("dest.test").preference(256).await;
    let of_first = |ip| {
        let plan = world.remote("dest.test").named("first.dest.test");
        plan.preference(5).at(ip).greeting(["421 4.3.2 busy"])
    };
    let first = [of_first("127.0.0.201").await, of_first("127.0.0.202").await];
    let sent = world.client().send(mail().to("ann@dest.test")).await;
    world.history(&sent.accepted()).shows(["delivered"]).await;

    second.received_exactly(1).await;
    unneeded.never_called();
    let opened = |remote: &Remote| remote.connections()[0].opened;
    assert!(first.iter().all(|host| opened(host) < opened(&second)));
    let queries = world.dns().queries();
    for host in ["first.dest.test", second.name()] {
        for address in [A, AAAA] {
            assert!(
                asked_at(&queries, "dest.test", MX) < asked_at(&queries, host, address),
                "{queries:?}"
            );
        }
    }
}

#[tokio::test]
async fn hosts_of_equal_preference_are_tried_in_random_order() {
    // W-13.01
    let world = World::new().await;
    let one = world.remote("dest.test").await;
    let other = world.remote("dest.test").await;
    let mut client = world.client().session().await;
    for _ in 0..40 {
        client.send(mail().to("ann@dest.test")).await.accepted();
    }
    world.log().tells_times("delivered", 40).await;
    let counts = [one.messages().len(), other.messages().len()];
    assert_eq!(counts[0] + counts[1], 40);
    assert!(counts.iter().all(|count| *count > 0), "{counts:?}");
}

#[tokio::test]
async fn a_domain_without_mx_is_its_own_host() {
    // W-13.02
    let world = World::new().await;
    let four = world.remote_without_dns().await;
    let six = world.remote_without_dns().at("::1").await;
    for (domain, host) in [("four.test", &four), ("six.test", &six)] {
        world.dns().address_of(domain, host.ip());
    }
    let mail = mail().to("ann@four.test").to("ann@six.test");
    let id = world.client().send(mail).await.accepted();
    world.history(&id).shows(["delivered", "delivered"]).await;
    four.received_exactly(1).await;
    six.received_exactly(1).await;
}

#[tokio::test]
async fn a_domain_with_mx_is_never_its_own_host() {
    // W-13.02
    let world = one_attempt().await;
    let own = world.remote_without_dns().await;
    world.dns().address_of("down.test", own.ip());
    world.dns().address_of("gone.test", own.ip());
    world.remote("down.test").await.goes_down();
    world.dns().mx("gone.test", 10, "nosuch.gone.test");
    let mail = mail().to("ann@down.test").to("ann@gone.test");
    let id = world.client().send(mail).await.accepted();
    let history = world.history(&id);
    history.shows_for("ann@down.test", ["deferred 4.4.1"]).await;
    history.shows_for("ann@gone.test", ["failed 5.4.4"]).await;
    own.never_called();
}

#[tokio::test]
async fn a_null_mx_fails_at_once_without_a_further_question() {
    // W-13.03
    let world = World::new().await;
    let own = world.remote_without_dns().await;
    world.dns().null_mx("null.test");
    world.dns().address_of("null.test", own.ip());
    let id = world.client().send(mail().to("ann@null.test")).await;
    let history = world.history(&id.accepted());
    history.is_exactly(["failed 5.1.10"]).await;
    own.never_called();
    for address in [A, AAAA] {
        world.dns().never_asked_for("null.test", address);
    }
}

#[tokio::test]
async fn a_dot_among_other_mx_records_is_skipped() {
    // W-13.03
    let world = World::new().await;
    let mx = world.remote("mixed.test").await;
    world.dns().null_mx("mixed.test");
    let sent = world.client().send(mail().to("ann@mixed.test")).await;
    world.history(&sent.accepted()).shows(["delivered"]).await;
    mx.received_exactly(1).await;
}

#[tokio::test]
async fn aliases_are_followed_and_the_recipient_keeps_its_domain() {
    // W-13.06
    let world = World::new().await;
    let mx = world.remote("real.test").await;
    let own = world.remote_without_dns().await;
    world.dns().address_of("plain.test", own.ip());
    world.dns().cname("alias.test", "real.test");
    world.dns().cname("twice.test", "alias.test");
    world.dns().cname("bare.test", "plain.test");
    world.dns().cname("other-name.test", mx.name());
    world.dns().mx("host-alias.test", 10, "other-name.test");
    for (domain, host) in [
        ("alias.test", &mx),
        ("twice.test", &mx),
        ("bare.test", &own),
        ("host-alias.test", &mx),
    ] {
        let mailbox = format!("ann@{domain}");
        let id = world.client().send(mail().to(&mailbox)).await.accepted();
        world.history(&id).shows_for(&mailbox, ["delivered"]).await;
        assert_eq!(host.message().await.to(), [mailbox]);
    }
}

#[tokio::test]
async fn what_is_no_host_name_is_never_dialled() {
    // W-13.07
    let world = one_attempt().await;
    let trap = world.remote_without_dns().at("127.0.0.222").await;
    let good = world.remote("mixed.test").preference(20).await;
    let odd_names = ["127.0.0.222", "a\\000b.odd", "a\\032b.odd", "a\\027b.odd"];
    for name in odd_names {
        for domain in ["mixed.test", "odd.test"] {
            world.dns().mx(domain, 10, name);
        }
        world.dns().address_of(name, trap.ip());
    }
    let mail = mail().to("ann@mixed.test").to("ann@odd.test");
    let id = world.client().send(mail).await.accepted();
    let history = world.history(&id);
    history.shows_for("ann@mixed.test", ["delivered"]).await;
    history.shows_for("ann@odd.test", ["failed 5.4.4"]).await;
    good.received_exactly(1).await;
    trap.never_called();
    let lines = world.log().lines();
    let controls = lines
        .iter()
        .find(|line| line.text.contains(char::is_control));
    assert!(controls.is_none(), "{controls:?}");
}

#[tokio::test]
async fn denied_addresses_are_never_dialled() {
    // W-13.08
    let denied = "127.0.0.1,127.0.0.99/32,::1,0.0.0.0/8";
    let world = one_attempt()
        .set("SMTP_DELIVERY_DENY_NETWORKS", denied)
        .await;
    for ip in ["127.0.0.1", "127.0.0.99", "::1"] {
        world.remote_without_dns().at(ip).await.never_called();
    }
    let dns = world.dns();
    dns.mx("localhost-mx.test", 10, "localhost");
    dns.aaaa("loopback-v6.test", "::1");
    dns.aaaa("mapped.test", "::ffff:127.0.0.99");
    dns.aaaa("mapped-localhost.test", "::ffff:127.0.0.1");
    dns.a("unspecified.test", "0.0.0.0");
    dns.a("denied.test", "127.0.0.99");
    let only_denied = [
        "localhost-mx.test",
        "loopback-v6.test",
        "mapped.test",
        "mapped-localhost.test",
        "unspecified.test",
        "denied.test",
        "[127.0.0.99]",
        "[IPv6:::1]",
        "[IPv6:::ffff:127.0.0.99]",
    ];
    let good = world.remote("some.test").named("some.test").await;
    dns.a("some.test", "127.0.0.99");
    dns.aaaa("some.test", "::1");

    let mailboxes = only_denied.map(|domain| format!("ann@{domain}"));
    let mail = mail().recipients(&mailboxes).to("ann@some.test");
    let history = world.history(&world.client().send(mail).await.accepted());
    for mailbox in &mailboxes {
        history.shows_for(mailbox, ["failed 5.4.4"]).await;
    }
    history.shows_for("ann@some.test", ["delivered"]).await;
    good.received_exactly(1).await;
}

#[tokio::test]
async fn truncated_answers_are_asked_for_again_over_tcp() {
    // W-13.10
    let world = World::new().await;
    let dns = world.dns();
    for preference in 1..60 {
        dns.mx(
            "many.test",
            preference,
            &format!("mx{preference}.nosuch.test"),
        );
    }
    let many = world.remote("many.test").preference(0).await;
    let few = world.remote("few.test").await;
    dns.troubles("few.test", MX, Trouble::Truncated);
    dns.troubles(few.name(), A, Trouble::Truncated);
    let mail = mail().to("ann@many.test").to("ann@few.test");
    let id = world.client().send(mail).await.accepted();
    world.history(&id).shows(["delivered", "delivered"]).await;
    many.received_exactly(1).await;
    few.received_exactly(1).await;
    for (name, record_type) in [("many.test", MX), ("few.test", MX), (few.name(), A)] {
        dns.was_asked_over(Transport::Tcp, name, record_type).await;
    }
}

#[tokio::test]
async fn one_attempt_tries_five_hosts_and_ten_addresses_at_most() {
    // W-13.11
    let world = one_attempt().await;
    let mut hosts = Vec::new();
    for preference in 1..=6 {
        let plan = world.remote("hosts.test").preference(preference);
        hosts.push(plan.greeting(["554 5.7.1 not here"]).await);
    }
    let mut addresses = Vec::new();
    for _ in 0..11 {
        let plan = world.remote("addresses.test").named("mx.addresses.test");
        addresses.push(plan.greeting(["554 5.7.1 not here"]).await);
    }
    let mail = mail().to("ann@hosts.test").to("ann@addresses.test");
    let id = world.client().send(mail).await.accepted();
    world.history(&id).shows(["deferred", "deferred"]).await;
    let called = |hosts: &[Remote]| hosts.iter().filter(|h| !h.connections().is_empty()).count();
    assert_eq!((called(&hosts), called(&addresses)), (5, 10));
    hosts[5].never_called();
}

#[tokio::test]
async fn an_address_without_connection_leads_to_the_next() {
    // W-13.12: refused, unreachable and timed out; from IPv6 to IPv4 and back.
    let world = one_attempt().set("SMTP_CONNECT_TIMEOUT", "300ms").await;
    let four = world.remote("to-four.test").named("to-four.test").await;
    let six = world.remote("to-six.test").preference(40).at("::1").await;
    let deaf = world.remote_without_dns().never_accepts().await;
    let dns = world.dns();
    let nobody = world.next_address();
    dns.aaaa("to-four.test", "::ffff:127.255.255.255"); // broadcast: the network is unreachable
    dns.mx("to-six.test", 10, "first.to-six.test");
    dns.address_of("first.to-six.test", nobody);
    dns.address_of("first.to-six.test", deaf.ip());
    dns.a("first.to-six.test", "127.255.255.255");
    dns.mx("nowhere.test", 10, "first.to-six.test");
    let mail = mail()
        .to("ann@to-four.test")
        .to("ann@to-six.test")
        .to("ann@nowhere.test");
    let history = world.history(&world.client().send(mail).await.accepted());
    history.shows_for("ann@to-four.test", ["delivered"]).await;
    history.shows_for("ann@to-six.test", ["delivered"]).await;
    history
        .shows_for("ann@nowhere.test", ["deferred 4.4.1"])
        .await;
    four.received_exactly(1).await;
    six.received_exactly(1).await;
}

#[tokio::test]
async fn each_way_to_have_no_connection_is_deferred() {
    // W-13.12
    let world = one_attempt().set("SMTP_CONNECT_TIMEOUT", "300ms").await;
    let deaf = world.remote_without_dns().never_accepts().await;
    let dns = world.dns();
    dns.address_of("refused.test", world.next_address());
    dns.aaaa("refused-v6.test", "::1");
    dns.a("unreachable.test", "127.255.255.255");
    dns.address_of("timed-out.test", deaf.ip());
    let mailboxes = ["refused", "refused-v6", "unreachable", "timed-out"];
    let mailboxes = mailboxes.map(|name| format!("ann@{name}.test"));
    let mail = mail().recipients(&mailboxes);
    let history = world.history(&world.client().send(mail).await.accepted());
    for mailbox in &mailboxes {
        history.shows_for(mailbox, ["deferred 4.4.1"]).await;
    }
}

/// The place of a question's first occurrence.
#[track_caller]
fn asked_at(queries: &[Query], name: &str, record_type: RecordType) -> usize {
    let this = |query: &Query| query.name == name && query.record_type == record_type;
    let at = queries.iter().position(this);
    at.unwrap_or_else(|| panic!("{name} {record_type} was never asked: {queries:?}"))
}
