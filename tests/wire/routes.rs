//! Mail that the configuration sends somewhere, instead of DNS.

use crate::support::{Line, RecordType, Trouble, World, mail};

use super::odd_turn::one_attempt;

use RecordType::{A, MX};

#[tokio::test]
async fn routes_beat_the_relay_host_for_their_domains() {
    // W-19.04
    let world = World::setup().without_relay().await;
    let port = world.delivery_port();
    let relay = world.remote_without_dns().await;
    let routed = world.remote_without_dns().await;
    let by_dns = world.remote("sub.routed.test").await;
    let dns = world.dns();
    dns.address_of("relay.test", relay.ip());
    dns.address_of("one.test", routed.ip());
    let routes = format!("*.routed.test=mx, routed.test=smtp://one.test:{port}");
    world.relay().set("SMTP_ROUTES", &routes);
    let relay_host = format!("smtp://relay.test:{port}");
    world.relay().set("SMTP_RELAY_HOST", &relay_host);
    world.relay().start().await;

    let rows = [
        ("ann@routed.test", &routed),
        ("ann@sub.routed.test", &by_dns),
        ("ann@other.test", &relay),
        ("ann@[127.0.0.99]", &relay),
    ];
    for (mailbox, host) in rows {
        let sent = world.client().send(mail().to(mailbox)).await;
        world.history(&sent.accepted()).shows(["delivered"]).await;
        assert_eq!(host.message().await.to(), [mailbox]);
    }
    dns.was_asked("one.test", A).await;
    dns.was_asked("sub.routed.test", MX).await;
    dns.never_asked("routed.test");
    dns.never_asked("other.test");
    dns.never_asked_for("one.test", MX);
    dns.never_asked_for("relay.test", MX);
}

#[tokio::test]
async fn a_changed_route_moves_mail_that_waits() {
    // W-19.04: routes are looked at for each attempt, and the lines follow them.
    let world = World::new().await;
    let by_dns = world.remote("moved.test").await;
    by_dns.goes_down();
    let routed = world.remote_without_dns().await;
    let route = format!("moved.test=smtp://{}", routed.address());

    let sent = world.client().send(mail().to("ann@moved.test")).await;
    let history = world.history(&sent.accepted());
    history.shows(["deferred 4.4.1"]).await;
    world.relay().set("SMTP_ROUTES", &route);
    world.relay().restart().await;
    // It stands in another line now, and not in two.
    let moved = |line: &Line| line.field("lines_mended").is_some_and(|count| count == "2");
    world.log().wait_for(moved).await;
    history.event("delivered", "ann@moved.test").await;
    routed.received_exactly(1).await;
    routed.goes_down();

    let sent = world.client().send(mail().to("bob@moved.test")).await;
    let history = world.history(&sent.accepted());
    history.shows(["deferred 4.4.1"]).await;
    world.relay().unset("SMTP_ROUTES");
    by_dns.comes_back().await;
    world.relay().kill_and_restart().await;
    history.event("delivered", "bob@moved.test").await;
    by_dns.received_exactly(1).await;
}

#[tokio::test]
async fn a_configured_host_without_address_is_never_held_against_the_mail() {
    // W-19.04, W-13.04: NXDOMAIN and NODATA of a recipient's domain are final, of our own host not.
    let routes = "gone.test=smtp://nosuch.test, empty.test=smtp://empty-host.test, \
                  silent.test=smtp://silent-host.test";
    let world = one_attempt()
        .set("SMTP_ROUTES", routes)
        .set("SMTP_DNS_TIMEOUT", "1s")
        .await;
    world.dns().exists("empty-host.test");
    let silent = "silent-host.test";
    world.dns().troubles_all(silent, Trouble::Silence);
    for _ in 0..2 {
        let mailboxes = ["ann@gone.test", "ann@empty.test", "ann@silent.test"];
        let sent = world.client().send(mail().recipients(mailboxes)).await;
        let history = world.history(&sent.accepted());
        for mailbox in mailboxes {
            history.shows_for(mailbox, ["deferred 4.4.3"]).await;
        }
    }
    let lines = world.log().lines();
    let alarms = |host: &str| {
        let about = |line: &&_| is_alarm_about(line, host);
        lines.iter().filter(about).count()
    };
    let told = ["nosuch.test", "empty-host.test", silent].map(alarms);
    assert_eq!(told, [1, 1, 0], "{lines:?}");
}

#[tokio::test]
async fn denied_networks_do_not_hold_for_configured_hosts() {
    // W-19.04, W-13.08
    let world = World::setup()
        .set("SMTP_DELIVERY_DENY_NETWORKS", "127.0.0.0/8")
        .without_relay()
        .await;
    let host = world.remote_without_dns().await;
    world.dns().address_of("one.test", host.ip());
    let route = format!("routed.test=smtp://one.test:{}", world.delivery_port());
    world.relay().set("SMTP_ROUTES", &route);
    world.relay().start().await;
    let sent = world.client().send(mail().to("ann@routed.test")).await;
    world.history(&sent.accepted()).shows(["delivered"]).await;
    host.received_exactly(1).await;
}

/// Whether the operator was told loudly about a host.
pub(super) fn is_alarm_about(line: &Line, host: &str) -> bool {
    line.is("alarm") && line.text.contains(host)
}
