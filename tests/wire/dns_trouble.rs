//! DNS that says no, and DNS that does not say.

use crate::support::{RecordType, Trouble, World, mail};

use super::odd_turn::one_attempt;

use RecordType::{A, AAAA, MX};

#[tokio::test]
async fn what_dns_denies_for_sure_is_final() {
    // W-13.04
    let world = one_attempt().await;
    let dns = world.dns();
    dns.exists("empty.test");
    for (domain, host) in [
        ("one-gone.test", "nosuch.one-gone.test"),
        ("all-gone.test", "nosuch.all-gone.test"),
        ("all-gone.test", "nosuch2.all-gone.test"),
        ("no-address.test", "exists.no-address.test"),
        ("gone-or-empty.test", "exists.gone-or-empty.test"),
        ("gone-or-empty.test", "nosuch.gone-or-empty.test"),
    ] {
        dns.mx(domain, 10, host);
        if host.starts_with("exists.") {
            dns.exists(host);
        }
    }
    check(
        &world,
        &[
            ("nosuch.test", "failed 5.1.2"),
            ("empty.test", "failed 5.4.4"),
            ("one-gone.test", "failed 5.4.4"),
            ("all-gone.test", "failed 5.4.4"),
            ("no-address.test", "failed 5.4.4"),
            ("gone-or-empty.test", "failed 5.4.4"),
        ],
    )
    .await;
}

#[tokio::test]
async fn one_missing_name_of_several_is_never_final() {
    // W-13.04
    let world = one_attempt().await;
    for domain in ["other-works.test", "other-is-down.test"] {
        world.dns().mx(domain, 5, &format!("nosuch.{domain}"));
    }
    let works = world.remote("other-works.test").await;
    world.remote("other-is-down.test").await.goes_down();
    check(
        &world,
        &[
            ("other-works.test", "delivered"),
            ("other-is-down.test", "deferred 4.4.1"),
        ],
    )
    .await;
    works.received_exactly(1).await;
}

#[tokio::test]
async fn what_dns_does_not_say_is_deferred_and_never_taken_for_a_no() {
    // W-13.05
    let world = one_attempt().set("SMTP_DNS_TIMEOUT", "1500ms").await;
    let dns = world.dns();
    let own = world.remote_without_dns().await;
    let good = world.remote("first-host.test").preference(20).await;
    for (name, trouble) in [
        ("servfail.test", Trouble::ServFail),
        ("refused.test", Trouble::Refused),
        ("silence.test", Trouble::Silence),
    ] {
        dns.address_of(name, own.ip()); // dialled by whoever takes this for NODATA
        dns.troubles(name, MX, trouble);

        let domain = format!("host-{name}");
        let host = format!("mx.{domain}");
        dns.mx(&domain, 10, &host);
        dns.exists(&host);
        dns.troubles_all(&host, trouble);
        dns.mx(&domain, 5, &format!("nosuch.{domain}"));

        dns.mx("first-host.test", 5, &host);
    }
    dns.mx("half.test", 10, "mx.half.test");
    dns.exists("mx.half.test");
    dns.troubles("mx.half.test", AAAA, Trouble::ServFail); // and no A
    dns.mx("own-half.test", 10, "mx.own-half.test");
    dns.a("mx.own-half.test", &own.ip().to_string());
    dns.troubles("mx.own-half.test", A, Trouble::ServFail); // and no AAAA
    check(
        &world,
        &[
            ("servfail.test", "deferred 4.4.3"),
            ("refused.test", "deferred 4.4.3"),
            ("silence.test", "deferred 4.4.3"),
            ("host-servfail.test", "deferred 4.4.3"),
            ("host-refused.test", "deferred 4.4.3"),
            ("host-silence.test", "deferred 4.4.3"),
            ("half.test", "deferred 4.4.3"),
            ("own-half.test", "deferred 4.4.3"),
            ("first-host.test", "delivered"),
        ],
    )
    .await;
    own.never_called();
    good.received_exactly(1).await;
}

#[tokio::test]
async fn a_domain_whose_dns_is_silent_does_not_hold_up_others() {
    // W-13.05: the others are served while this look-up is still under way.
    let world = World::setup().set("SMTP_DNS_TIMEOUT", "1h").await;
    let mut client = world.client().session().await;
    for number in 0..30 {
        let domain = format!("silent{number}.test");
        world.dns().troubles_all(&domain, Trouble::Silence);
        let mailbox = format!("ann@{domain}");
        client.send(mail().to(&mailbox)).await.accepted();
        world.dns().was_asked(&domain, MX).await;
    }
    let mx = world.remote("dest.test").await;
    let sent = client.send(mail().to("ann@dest.test")).await;
    world.history(&sent.accepted()).shows(["delivered"]).await;
    mx.received_exactly(1).await;
    world.log().never_told("deferred");
}

#[tokio::test]
async fn mail_waits_while_dns_is_in_trouble_and_then_arrives() {
    // W-13.05
    let world = World::new().await;
    let mx = world.remote("dest.test").await;
    world.dns().troubles_all("dest.test", Trouble::ServFail);
    let sent = world.client().send(mail().to("ann@dest.test")).await;
    let history = world.history(&sent.accepted());
    history.shows(["deferred 4.4.3"]).await;
    world.dns().heals("dest.test");
    history.shows(["deferred 4.4.3", "delivered"]).await;
    mx.received_exactly(1).await;
}

#[tokio::test]
async fn alias_loops_and_long_chains_of_aliases_are_deferred() {
    // W-13.06
    let world = one_attempt().await;
    let dns = world.dns();
    let mx = world.remote("real.test").await;
    dns.cname("loop.test", "loop.test");
    dns.cname("ping.test", "pong.test");
    dns.cname("pong.test", "ping.test");
    dns.mx("host-loop.test", 10, "loop.test");
    dns.cname("chain12.test", "real.test");
    for link in 1..12 {
        dns.cname(
            &format!("chain{link}.test"),
            &format!("chain{}.test", link + 1),
        );
    }
    check(
        &world,
        &[
            ("loop.test", "deferred 4.4.3"),
            ("ping.test", "deferred 4.4.3"),
            ("host-loop.test", "deferred 4.4.3"),
            ("chain1.test", "deferred 4.4.3"),
            ("chain4.test", "delivered"), // 9 links
        ],
    )
    .await;
    mx.received_exactly(1).await;
}

/// Sends one mail to `ann` in all of these domains; fails unless each recipient becomes this.
async fn check(world: &World, rows: &[(&str, &str)]) {
    let mailboxes: Vec<String> = rows.iter().map(|(d, _)| format!("ann@{d}")).collect();
    let sent = world.client().send(mail().recipients(&mailboxes)).await;
    let history = world.history(&sent.accepted());
    for (mailbox, (_, becomes)) in mailboxes.iter().zip(rows) {
        history.shows_for(mailbox, [becomes]).await;
    }
}
