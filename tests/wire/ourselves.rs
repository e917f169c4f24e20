//! Mail that would come back to the relay itself.

use crate::support::{Phase, World, mail};

use super::odd_turn::one_attempt;
use super::routes::is_alarm_about;

/// A relay that listens on the very port to which it delivers.
async fn on_the_delivery_port() -> World {
    let world = one_attempt().without_relay().await;
    let port = world.delivery_port().to_string();
    world.relay().set("SMTP_PORT", &port);
    world
}

#[tokio::test]
async fn our_own_name_ends_the_list_of_mail_hosts() {
    // W-13.09
    let world = one_attempt().await;
    let plan = world.remote("first.test").preference(10);
    let own = plan.named("gp.test").await;
    let behind = world.remote("first.test").preference(20).await;
    let dns = world.dns();
    dns.mx("between.test", 10, "GP.TEST");
    dns.mx("between.test", 10, behind.name());
    let before = world.remote("between.test").preference(5).await;
    dns.mx("down.test", 5, "down-host.test");
    dns.address_of("down-host.test", world.next_address());
    dns.mx("down.test", 10, "gp.test");
    dns.mx("down.test", 20, behind.name());

    let mail = mail()
        .to("ann@first.test")
        .to("ann@between.test")
        .to("ann@down.test")
        .to("ann@gp.test"); // no MX, but an address: the domain itself
    let history = world.history(&world.client().send(mail).await.accepted());
    history.shows_for("ann@first.test", ["failed 5.4.6"]).await;
    history.shows_for("ann@between.test", ["delivered"]).await;
    history.shows_for("ann@down.test", ["deferred 4.4.1"]).await;
    history.shows_for("ann@gp.test", ["failed 5.4.6"]).await;
    before.received_exactly(1).await;
    own.never_called();
    behind.never_called();
}

#[tokio::test]
async fn our_own_listener_ends_the_list_of_mail_hosts() {
    // W-13.09
    let world = on_the_delivery_port().await;
    world.relay().start().await;
    let dns = world.dns();
    let mut others = Vec::new();
    for domain in ["six.test", "four.test"] {
        for preference in [10, 10, 20] {
            others.push(world.remote(domain).preference(preference).await);
        }
        dns.mx(domain, 10, &format!("us.{domain}"));
    }
    dns.address_of("us.four.test", world.next_address());
    dns.a("us.four.test", "127.0.0.1");
    dns.aaaa("us.six.test", "::1");
    dns.a("plain.test", "127.0.0.1");
    dns.mx("between.test", 10, "us.six.test");
    let before = world.remote("between.test").preference(5).await;

    let looping = [
        "ann@six.test",
        "ann@four.test",
        "ann@plain.test",
        "ann@[127.0.0.1]",
        "ann@[IPv6:::1]",
    ];
    let mail = mail().recipients(looping).to("ann@between.test");
    let id = world.client().send(mail).await.accepted();
    let history = world.history(&id);
    for mailbox in looping {
        history.shows_for(mailbox, ["failed 5.4.6"]).await;
    }
    history.shows_for("ann@between.test", ["delivered"]).await;
    before.received_exactly(1).await;
    for other in others {
        other.never_called();
    }
    world.accepted_only([&id]).await;
}

#[tokio::test]
async fn a_host_that_greets_with_our_name_is_us() {
    // W-13.09
    let world = one_attempt().await;
    let greets = world.remote("greets.test");
    let greets = greets.greeting(["220 gp.test ESMTP ready"]).await;
    let replies = world.remote("replies.test");
    let replies = replies
        .ehlo(["250-GP.Test. at your service\r\n250 SIZE"])
        .await;
    let behind = world.remote("greets.test").preference(20).await;
    let similar = world.remote("similar.test");
    let similar = similar
        .greeting(["220 gp.test.example for gp.test"])
        .ehlo(["250 mx.gp.test"])
        .await;
    let mail = mail()
        .to("ann@greets.test")
        .to("ann@replies.test")
        .to("ann@similar.test");
    let history = world.history(&world.client().send(mail).await.accepted());
    history.shows_for("ann@greets.test", ["failed 5.4.6"]).await;
    history
        .shows_for("ann@replies.test", ["failed 5.4.6"])
        .await;
    history.shows_for("ann@similar.test", ["delivered"]).await;
    for host in [greets, replies] {
        host.saw("QUIT").await;
        host.never_saw("MAIL");
    }
    behind.never_called();
    similar.received_exactly(1).await;
}

#[tokio::test]
async fn a_configured_host_may_have_our_name_but_never_our_listener() {
    // W-13.09, W-19.04: a filter beside us has our name; our own listener is a mistake of ours.
    let world = on_the_delivery_port().await;
    let filter = world.remote_without_dns().await;
    filter.answers(Phase::Greeting, ["220 gp.test filter"]);
    let port = world.delivery_port();
    let routes = format!(
        "filtered.test=smtp://{}, looping.test=smtp://127.0.0.1:{port}",
        filter.address()
    );
    world.relay().set("SMTP_ROUTES", &routes);
    world.relay().start().await;
    let mail = mail().to("ann@filtered.test").to("ann@looping.test");
    let id = world.client().send(mail).await.accepted();
    let history = world.history(&id);
    history.shows_for("ann@filtered.test", ["delivered"]).await;
    history
        .shows_for("ann@looping.test", ["deferred 4.4.6"])
        .await;
    filter.received_exactly(1).await;
    let about_us = |line: &_| is_alarm_about(line, "127.0.0.1");
    world.log().wait_for(about_us).await;
    world.accepted_only([&id]).await;
}
