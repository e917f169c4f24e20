//! The control socket among clients that break off, say nonsense or nothing.

use std::os::unix::fs::PermissionsExt as _;

use serde_json::json;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

use crate::support::{World, mail, within};

#[tokio::test]
async fn nonsense_gets_its_status_and_everybody_else_an_answer() {
    // W-23.07
    let world = World::new().await;
    let control = world.relay().control();
    control.get("/api/v1/queue").await.expect(200); // it is there soon after the start
    let socket = world.relay().directory().join("spool/control.sock");
    let mode = std::fs::metadata(&socket).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o660);

    // Held open from now on: a half header, half a body, and nothing at all.
    let mut half_header = control.connect().await;
    half_header
        .write_all(b"GET /api/v1/queue HTTP/1.1\r\nHo")
        .await
        .unwrap();
    let mut half_body = control.connect().await;
    let order = b"POST /api/v1/queue/hold HTTP/1.1\r\nHost: x\r\nContent-Length: 900\r\n\r\n{";
    half_body.write_all(order).await.unwrap();
    let mut silent = control.connect().await;

    for malformed in [
        &b"\r\n\r\nnonsense\r\n\r\n"[..],
        b"GET\x00 / HTTP/1.1\r\n\r\n",
        b"GET / HTTP/9.9\r\n\r\n",
        b"GET / HTTP/1.1\r\nbroken field\r\n\r\n",
    ] {
        control.send(malformed).await.expect(400);
    }
    let large_header = format!("GET / HTTP/1.1\r\nX: {}\r\n\r\n", "x".repeat(70_000));
    control.send(large_header.as_bytes()).await.expect(431);
    for path in [
        "/",
        "/api/v1",
        "/api/v1/queue/",
        "/api/v2/queue",
        "/etc/passwd",
        "/../x",
    ] {
        let error = control.get(path).await.complaint(404);
        assert!(error.contains("openapi"), "{error}");
    }
    for (method, path) in [
        ("DELETE", "/api/v1/queue"),
        ("POST", "/api/v1/stats"),
        ("GET", "/api/v1/queue/purge"),
        ("GET", "/api/v1/reload"),
        ("PUT", "/api/v1/queue/hold"),
    ] {
        control
            .request(method, path, Vec::new())
            .await
            .complaint(405);
    }
    let large = || vec![b' '; 10 * 1024 * 1024];
    control
        .request("POST", "/api/v1/queue/hold", large())
        .await
        .complaint(413);
    // The same without its length told before.
    let mut chunked = b"POST /api/v1/queue/hold HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\nConnection: close\r\n\r\nA00000\r\n".to_vec();
    chunked.extend(large());
    control.send(&chunked).await.complaint(413);
    control.get("/api/v1/queue").await.expect(200);
    world.takes_and_delivers_a_mail().await;

    let here = std::panic::Location::caller();
    for half in [&mut half_header, &mut silent] {
        let mut rest = Vec::new();
        let closed = within(here, || "the end".to_owned(), half.read_to_end(&mut rest)).await;
        closed.unwrap();
        assert!(
            rest.is_empty() || rest.starts_with(b"HTTP/1.1 408"),
            "{rest:?}"
        );
    }
    let mut status = [0; 12];
    let answered = within(
        here,
        || "a status".to_owned(),
        half_body.read_exact(&mut status),
    );
    answered.await.unwrap();
    assert_eq!(&status, b"HTTP/1.1 408");
}

#[tokio::test]
async fn silent_clients_take_no_places_for_long() {
    // W-23.07
    let world = World::new().await;
    let control = world.relay().control();
    let mut silent = Vec::new();
    for _ in 0..80 {
        silent.push(control.connect().await);
    }
    control.get("/api/v1/queue").await.expect(200);
    drop(silent);
    world.takes_and_delivers_a_mail().await;
}

#[tokio::test]
async fn who_goes_away_ends_the_order_and_given_again_it_does_the_rest() {
    let world = World::setup()
        .set("SMTP_MODE", "hold")
        .set("SMTP_LOG", "debug")
        .await;
    let control = world.relay().control();
    let mut total = 0;
    for _ in 0..6 {
        let to = |n| format!("r{n}@dest.test");
        let many = (0..500).fold(mail(), |mail, n| mail.to(&to(n)));
        world.client().send(many).await.accepted();
        total += 500;
    }
    let order = json!({"filter": {"all": true}, "reason": "gone away"});
    let body = order.to_string();
    let mut client = control.connect().await;
    let request = format!(
        "POST /api/v1/queue/purge HTTP/1.1\r\nHost: x\r\nContent-Length: {}\r\n\r\n{body}",
        body.len()
    );
    client.write_all(request.as_bytes()).await.unwrap();
    world.log().tells("ordered").await; // the first page is done
    drop(client);
    let told = world.log().tells("order").await;
    let number = |name: &str| told.field(name).and_then(|text| text.parse::<u64>().ok());
    let first = number("changed").expect("a number");
    let warned = world
        .log()
        .wait_for(|line| line.text.contains("ended early"))
        .await;
    assert!(warned.text.contains("gone away"), "{}", warned.text);
    assert!(first > 0 && first < total, "{first} of {total}");

    let rest = control.post("/api/v1/queue/purge", order).await.done();
    assert_eq!(rest["changed"].as_u64().unwrap() + first, total);
}
