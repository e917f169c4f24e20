//! W-24: health over HTTP, and a server that nobody can hold up.

use std::net::TcpListener;

use rustix::process::Signal;

use crate::support::{Relay, World, mail, stuffed};

/// Asks until the answer has this status.
async fn until_status(relay: &Relay, path: &str, status: u16) -> String {
    loop {
        let answer = relay.http_get(path).await;
        if answer.status == status {
            return answer.body;
        }
        // Nothing tells when the relay changes its mind; the suite's deadline ends this.
        tokio::time::sleep(std::time::Duration::from_millis(10)).await;
    }
}

#[tokio::test]
async fn a_relay_that_takes_mail_says_ok() {
    // W-24.01
    let world = World::new().await;
    for _ in 0..2 {
        let answer = world.relay().http_get("/healthz").await;
        assert_eq!(answer.status, 200, "{answer:?}");
        assert!(answer.body.starts_with("OK"), "{answer:?}");
        world.takes_and_delivers_a_mail().await;
    }
}

#[tokio::test]
async fn head_is_as_get_without_a_body() {
    // W-24.02
    let world = World::setup().set("SMTP_DEBUG", "true").await;
    for path in ["/healthz", "/readyz", "/metrics", "/debug/vars"] {
        let answer = world.relay().http_request("HEAD", path, "").await;
        assert_eq!(answer.status, 200, "{path}: {answer:?}");
        assert!(answer.field("content-type").is_some(), "{path}");
        assert_eq!(answer.body, "", "{path}");
    }
}

#[tokio::test]
async fn a_disk_without_space_is_neither_healthy_nor_ready() {
    // W-24.01, W-24.02
    let world = World::setup().set("SMTP_MIN_FREE_SPACE", "1024GiB").await;
    let health = world.relay().http_get("/healthz").await;
    assert_eq!(health.status, 503, "{health:?}");
    assert!(!health.body.contains("OK"), "{health:?}");
    let fields = "Accept: application/json\r\n";
    let ready = world.relay().http_request("GET", "/readyz", fields).await;
    assert_eq!(ready.status, 503, "{ready:?}");
    let told = ready.json();
    assert_eq!(told["ready"], false);
    assert_eq!(told["checks"]["store"], "ok");
    assert_eq!(told["checks"]["listener"], "ok");
    assert_ne!(told["checks"]["disk"], "ok");
    let metrics = world.relay().http_get("/metrics").await.series();
    assert_eq!(metrics["gopherpost_accepting_mail"], 0.0);
    assert!(metrics["gopherpost_store_disk_free_bytes"] > 0.0);
}

#[tokio::test]
async fn ready_is_said_from_the_end_of_the_start_to_the_begin_of_the_stop() {
    // W-24.02
    let world = World::new().await;
    until_status(world.relay(), "/readyz", 200).await;
    world.takes_and_delivers_a_mail().await; // the first "ready" is true

    let fields = "Accept: application/json\r\n";
    let ready = world.relay().http_request("GET", "/readyz", fields).await;
    assert_eq!(
        ready.json(),
        serde_json::json!({
            "ready": true,
            "checks": { "listener": "ok", "store": "ok", "disk": "ok" },
        })
    );

    let message = mail().to("ann@dest.test").octets();
    let (first_half, second_half) = message.split_at(message.len() / 2);
    let mut in_data = world.client().session().await;
    in_data.cmd("MAIL FROM:<bob@gp.test>").await.expect(250);
    in_data.cmd("RCPT TO:<bob@dest.test>").await.expect(250);
    in_data.cmd("DATA").await.expect(354);
    in_data.send_octets(first_half).await;
    world.relay().signal(Signal::TERM);
    let told = until_status(world.relay(), "/readyz", 503).await;
    assert!(told.contains("draining"), "{told}");
    let metrics = world.relay().http_get("/metrics").await.series();
    assert_eq!(metrics["gopherpost_accepting_mail"], 0.0);
    assert_eq!(world.relay().http_get("/healthz").await.status, 200);
    in_data.send_octets(stuffed(second_half)).await;
    in_data.read_reply().await.expect("250 2.0.0");
    assert_eq!(world.relay().ends().await.code(), Some(0));
}

#[tokio::test]
async fn from_outside_the_network_list_there_is_health_and_nothing_else() {
    // W-24.04
    let world = World::setup()
        .set("SMTP_HEALTH_ALLOW_NETWORKS", "192.0.2.0/24")
        .set("SMTP_DEBUG", "true")
        .await;
    let _mx = world.remote("dest.test").rcpt(["451 4.7.1 later"]).await;
    let mail = mail().from("bob@gp.test").to("ann@dest.test");
    let id = world.client().send(mail).await.accepted();
    world.history(&id).shows(["deferred"]).await;

    for path in [
        "/",
        "/api",
        "/api/v1/queue",
        &format!("/api/v1/queue/{}", id.0),
        "/api/v1/openapi.json",
        "/audit",
        "/no/such/path",
    ] {
        let answer = world.relay().http_get(path).await;
        assert_eq!(answer.status, 403, "{path}: {answer:?}");
        for secret in ["ann", "bob", "dest.test", &id.0] {
            assert!(!answer.body.contains(secret), "{path}: {answer:?}");
        }
    }
    let health = world.relay().http_get("/healthz").await;
    assert_eq!((health.status, &*health.body), (200, "OK\n"), "no stream");
    let metrics = world.relay().http_get("/metrics").await;
    assert_eq!(metrics.status, 200);
    for secret in ["ann", "bob", "dest.test", &id.0] {
        assert!(!metrics.body.contains(secret), "{secret} in {metrics:?}");
    }
}

#[tokio::test]
async fn nonsense_gets_a_refusal_and_mail_goes_on() {
    // W-24.05
    let world = World::new().await;
    let relay = world.relay();
    assert_eq!(relay.http_get("/no/such/path").await.status, 404);
    for path in ["/healthz", "/readyz", "/metrics", "/audit", "/debug/vars"] {
        let answer = relay
            .http_request("POST", path, "Content-Length: 0\r\n")
            .await;
        assert_eq!(answer.status, 405, "{path}: {answer:?}");
    }
    let long = format!("X-Long: {}\r\n", "x".repeat(70_000));
    let answer = relay.http_request("GET", "/healthz", &long).await;
    assert!([400, 431].contains(&answer.status), "{answer:?}");
    for octets in [
        "\0\x01\x02\r\n\r\n",
        "EHLO relay\r\n\r\n",
        "GET /healthz\r\n\r\n",
    ] {
        let answer = relay.http_octets(octets).await;
        assert_eq!(answer.status, 400, "{octets:?}: {answer:?}");
    }
    // RFC 9112 6.1: Transfer-Encoding wins, and the connection ends behind it; or it is refused.
    let smuggled = "GET /healthz HTTP/1.1\r\nHost: relay\r\nContent-Length: 5\r\n\
                    Transfer-Encoding: chunked\r\nConnection: close\r\n\r\n0\r\n\r\n\
                    GET /metrics HTTP/1.1\r\nHost: relay\r\n\r\n";
    let answer = relay.http_octets(smuggled).await;
    assert!([200, 400].contains(&answer.status), "{answer:?}");
    assert!(!answer.body.contains("HTTP/1.1"), "one answer: {answer:?}");
    world.takes_and_delivers_a_mail().await;
}

#[tokio::test]
async fn a_request_that_trickles_in_is_cut_off() {
    // W-24.05
    let world = World::new().await;
    world.relay().http_get("/healthz").await; // it listens
    let slow = world.relay().http_trickle();
    let (closed, ()) = tokio::join!(slow, world.takes_and_delivers_a_mail());
    assert!(
        closed.is_empty() || closed.starts_with("HTTP/1.1 408"),
        "{closed}"
    );
}

#[tokio::test]
async fn a_health_port_that_is_taken_costs_no_mail() {
    // W-24.10
    let world = World::setup().without_relay().await;
    let taken = world.relay().variable("SMTP_HEALTH_ADDR");
    let listener = TcpListener::bind(&taken).expect("the test's own port");
    world.relay().start().await;
    let told = world.log().tells("not_listening").await;
    assert_eq!(told.field("address").as_deref(), Some(&*taken));
    world.takes_and_delivers_a_mail().await;
    drop(listener);
}
