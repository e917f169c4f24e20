//! W-19.04: a relay host with `smtps://`, and AUTH towards it.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use crate::support::{Certificate, Handshake, Id, Phase, Remote, RemotePlan, World, mail};

const HOST: &str = "127.0.0.41";
const USER: &str = "ann@gp.test";
const PASSWORD: &str = " pen,cil=\u{fc}:%";

/// How the relay host is.
type Shape = fn(RemotePlan<'_>) -> RemotePlan<'_>;

/// A relay whose every mail goes to `relay.test`, not started yet, and that host.
async fn world_and_host(
    scheme: &str,
    settings: &[(&str, &str)],
    shape: impl FnOnce(RemotePlan<'_>) -> RemotePlan<'_>,
) -> (World, Remote) {
    let mut setup = World::setup();
    for (variable, value) in settings {
        setup = setup.set(variable, value);
    }
    let world = setup.without_relay().await;
    let plan = world.remote_without_dns().at(HOST).named("relay.test");
    let host = shape(plan).await;
    world.dns().a("relay.test", HOST);
    let url = format!("{scheme}://relay.test:{}", world.delivery_port());
    world.relay().set("SMTP_RELAY_HOST", &url);
    (world, host)
}

const LOGIN: [(&str, &str); 2] = [("SMTP_RELAY_USER", USER), ("SMTP_RELAY_PASSWORD", PASSWORD)];
/// Nothing is tried twice.
const PATIENT: [(&str, &str); 2] = [("SMTP_RETRY_BASE", "1h"), ("SMTP_RETRY_CAP", "1h")];

#[tokio::test]
async fn the_best_mechanism_that_is_offered_is_used_inside_tls() {
    // W-19.04
    let rows: [(&str, Shape); 4] = [
        ("AUTH SCRAM-SHA-256 n,,n=", |plan| {
            plan.offers_in_tls(["AUTH PLAIN LOGIN SCRAM-SHA-256 CRAM-MD5"])
        }),
        ("AUTH SCRAM-SHA-256 n,,n=", |plan| {
            plan.offers_in_tls(["AUTH scram-sha-256"])
        }),
        ("AUTH PLAIN \0", |plan| {
            plan.offers_in_tls(["AUTH CRAM-MD5 LOGIN PLAIN", "SIZE"])
        }),
        ("AUTH LOGIN", |plan| plan.offers_in_tls(["AUTH LOGIN"])),
    ];
    for (begins, offers) in rows {
        let (world, host) = world_and_host("smtp", &LOGIN[..1], |plan| {
            let plan = plan.tls(Certificate::Good).account(USER, PASSWORD);
            offers(plan).offers_also("AUTH PLAIN LOGIN")
        })
        .await;
        let file = world.relay().directory().join("password");
        std::fs::write(&file, format!("{PASSWORD}\n")).unwrap();
        let file = file.display().to_string();
        world.relay().set("SMTP_RELAY_PASSWORD_FILE", &file);
        world.relay().start().await;

        let id = send(&world).await;
        world.history(&id).is_exactly(["delivered"]).await;
        let connection = host.connections().swap_remove(0);
        assert_eq!(connection.user.as_deref(), Some(USER), "{begins:?}");
        assert_eq!(connection.lines_in_clear(), ["EHLO gp.test", "STARTTLS"]);
        let auth = decoded(connection.lines_in_tls()[1]);
        assert!(auth.starts_with(begins), "{auth:?}");
        world.dns().never_asked("dest.test");
        log_knows_no_password(&world);
    }
}

#[tokio::test]
async fn with_smtps_tls_begins_at_once() {
    // W-19.04, W-18.01
    let (world, host) = world_and_host("smtps", &LOGIN, |plan| {
        plan.implicit_tls()
            .account(USER, PASSWORD)
            .offers(["AUTH PLAIN"])
    })
    .await;
    world.relay().start().await;
    let id = send(&world).await;
    world.history(&id).is_exactly(["delivered"]).await;
    let connection = host.connections().swap_remove(0);
    assert_eq!(connection.lines_in_clear(), [""; 0]);
    assert_eq!(connection.lines_in_tls()[0], "EHLO gp.test");
    assert_eq!(connection.server_name.as_deref(), Some("relay.test"));
    assert_eq!(connection.user.as_deref(), Some(USER));
    let line = world.history(&id).event("delivered", "bob@dest.test").await;
    let tls = line.field("tls").expect("what was got");
    assert!(tls.ends_with(" verified"), "{tls}");
}

#[tokio::test]
async fn smtps_keeps_to_the_policy_and_never_goes_back_to_clear() {
    // W-19.04, W-18.05
    let rows: [(&str, Shape, &str); 5] = [
        (
            "valid",
            |plan| plan.tls(Certificate::Expired).implicit_tls(),
            "deferred 4.7.5",
        ),
        (
            "encrypt",
            |plan| plan.tls(Certificate::Expired).implicit_tls(),
            "delivered",
        ),
        (
            "valid,relay.test=opportunistic",
            |plan| plan.tls(Certificate::SelfSigned).implicit_tls(),
            "delivered",
        ),
        (
            "opportunistic",
            |plan| plan.implicit_tls().handshake(Handshake::Garbage),
            "deferred 4.7.5",
        ),
        (
            "none",
            |plan| plan.implicit_tls().handshake(Handshake::Close),
            "deferred 4.7.5",
        ),
    ];
    for (policy, shape, outcome) in rows {
        let settings = [("SMTP_TLS_POLICY", policy)];
        let (world, host) = world_and_host("smtps", &settings, shape).await;
        world.relay().start().await;
        let id = send(&world).await;
        world.history(&id).shows([outcome]).await;
        for connection in host.connections() {
            assert_eq!(connection.lines_in_clear(), [""; 0], "{policy}");
        }
        if outcome == "delivered" {
            host.received_exactly(1).await;
        } else {
            host.receives_nothing();
        }
    }
}

#[tokio::test]
async fn the_password_leaves_in_clear_under_none_alone() {
    // W-19.04
    let no_tls: Shape = |plan| plan;
    let broken_tls: Shape = |plan| plan.handshake(Handshake::Garbage);
    for (policy, shape, outcome) in [
        ("valid", no_tls, "deferred 4.7.11"),
        ("opportunistic", no_tls, "deferred 4.7.11"),
        ("opportunistic", broken_tls, "deferred 4.7.11"),
        ("valid,relay.test=none", no_tls, "delivered"),
        ("valid,relay.test=none", broken_tls, "delivered"),
    ] {
        let mut settings = [&LOGIN[..], &PATIENT].concat();
        settings.push(("SMTP_TLS_POLICY", policy));
        let (world, host) = world_and_host("smtp", &settings, |plan| {
            let plan = plan.offers(["AUTH PLAIN LOGIN SCRAM-SHA-256"]);
            shape(plan.account(USER, PASSWORD))
        })
        .await;
        world.relay().start().await;

        let id = send(&world).await;
        world.history(&id).is_exactly([outcome]).await;
        if outcome == "delivered" {
            let connection = host.connections().swap_remove(0);
            assert_eq!(connection.user.as_deref(), Some(USER), "{policy}");
            assert_eq!(connection.lines_in_tls(), [""; 0]);
            host.received_exactly(1).await;
        } else {
            host.never_saw("AUTH");
            host.never_saw("MAIL");
            let line = world.history(&id).has(1).await.swap_remove(0);
            let words = line.field("reply").expect("words");
            let setting = "SMTP_TLS_POLICY=...,relay.test=none";
            assert!(words.contains(setting), "{words}");
            let alarm = world.log().tells("alarm").await;
            assert!(alarm.text.contains(setting), "{}", alarm.text);
        }
    }
}

#[tokio::test]
async fn a_host_that_does_not_authenticate_us_keeps_the_queue_waiting_with_one_loud_line() {
    // W-19.04
    let (world, host) = world_and_host("smtp", &LOGIN, |plan| {
        plan.tls(Certificate::Good)
            .offers_in_tls(["AUTH PLAIN"])
            .auth(["535 5.7.8 wrong user or password"])
    })
    .await;
    world.relay().start().await;
    let first = send(&world).await;
    world.history(&first).shows(["deferred 4.7.8"]).await;
    let second = send(&world).await;
    world.history(&second).shows(["deferred 4.7.8"]).await;
    world
        .history(&first)
        .shows(["deferred 4.7.8", "deferred 4.7.8"])
        .await;
    let line = world.history(&first).has(1).await.swap_remove(0);
    let words = line.field("reply").expect("words");
    assert!(
        words.starts_with("535 5.7.8 wrong user or password"),
        "{words}"
    );
    host.never_saw("MAIL");
    let loud = |world: &World| {
        let lines = world.log().lines();
        lines.iter().filter(|line| line.is("alarm")).count()
    };
    assert_eq!(loud(&world), 1);

    host.answers(Phase::Auth, ["235 2.7.0 ok"]);
    host.received_exactly(2).await;
    for id in [&first, &second] {
        world.history(id).event("delivered", "bob@dest.test").await;
    }
    assert_eq!(loud(&world), 1);
    log_knows_no_password(&world);
}

#[tokio::test]
async fn what_else_keeps_us_from_authenticating_is_told_and_passes() {
    // W-19.04
    let rows: [(&str, Shape, &str, &str); 5] = [
        (
            "unknown mechanisms",
            |plan| plan.offers_in_tls(["AUTH CRAM-MD5 XOAUTH2"]),
            "deferred 4.7.4",
            "offers no AUTH that we know",
        ),
        (
            "no AUTH",
            |plan| plan.offers_in_tls(["SIZE"]),
            "deferred 4.7.4",
            "offers no AUTH that we know",
        ),
        (
            "not now",
            |plan| {
                plan.offers_in_tls(["AUTH PLAIN"])
                    .auth(["454 4.7.0 no directory"])
            },
            "deferred 4.7.0",
            "454 4.7.0 no directory",
        ),
        (
            "no proof",
            |plan| {
                plan.offers_in_tls(["AUTH SCRAM-SHA-256"])
                    .auth(["235 2.7.0 who would not believe it"])
            },
            "deferred 4.7.5",
            "did not prove that it knows the password",
        ),
        (
            "another password",
            |plan| {
                plan.offers_in_tls(["AUTH SCRAM-SHA-256"])
                    .account(USER, "another")
            },
            "deferred 4.7.8",
            "535 5.7.8 no",
        ),
    ];
    for (row, shape, outcome, told) in rows {
        let settings = [&LOGIN[..], &PATIENT].concat();
        let (world, host) =
            world_and_host("smtp", &settings, |plan| shape(plan.tls(Certificate::Good))).await;
        world.relay().start().await;
        let id = send(&world).await;
        world.history(&id).is_exactly([outcome]).await;
        let line = world.history(&id).has(1).await.swap_remove(0);
        let words = line.field("reply").expect("words");
        assert!(words.contains(told), "{row}: {words}");
        host.never_saw("MAIL");
    }
}

#[tokio::test]
async fn a_login_that_is_not_whole_stops_the_start() {
    // W-19.04
    let failure = World::setup()
        .set("SMTP_RELAY_HOST", "smtp://relay.test")
        .set("SMTP_RELAY_PASSWORD", "hunter2")
        .expect_start_failure()
        .await;
    let told = "SMTP_RELAY_PASSWORD=[secret]: expected SMTP_RELAY_USER with it";
    assert!(failure.output.contains(told), "{}", failure.output);
    assert!(!failure.output.contains("hunter2"), "{}", failure.output);
}

async fn send(world: &World) -> Id {
    let sent = world.client().send(mail().to("bob@dest.test"));
    sent.await.accepted()
}

/// A command with its initial response in clear text.
fn decoded(line: &str) -> String {
    match line.rsplit_once(' ') {
        Some((command, response)) if command.contains(' ') => {
            let octets = STANDARD.decode(response).expect("base64");
            format!("{command} {}", String::from_utf8_lossy(&octets))
        }
        _ => line.to_owned(),
    }
}

fn log_knows_no_password(world: &World) {
    let in_base64 = STANDARD.encode(format!("\0{USER}\0{PASSWORD}"));
    for line in world.log().lines() {
        assert!(!line.text.contains("cil="), "{}", line.text);
        assert!(!line.text.contains(&in_base64), "{}", line.text);
    }
}
