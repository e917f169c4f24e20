//! W-9 inside TLS, which is where AUTH belongs.

use std::sync::Arc;

use futures_util::future::join_all;
use rustls::version::TLS12;

use crate::support::{Client, Scram, Setup, World, mail};

const ANN: &str = "AUTH PLAIN AGFubgBzZWNyZXQ="; // \0ann\0secret

fn with_users() -> Setup {
    World::setup()
        .with_tls()
        .set("SMTP_AUTH_USERS", "ann:secret")
}

/// A client inside TLS that has said EHLO there.
async fn inside(world: &World) -> Client {
    let mut client = world.client().session().await;
    let secured = client.starttls(world.ca().client(), "gp.test").await;
    secured.expect("a handshake");
    client.cmd("EHLO client.test").await.expect(250);
    client
}

async fn auth_keyword(client: &mut Client) -> Option<String> {
    let hello = client.cmd("EHLO client.test").await.expect(250);
    let keywords = hello.keywords();
    let mut auth = keywords.iter().filter(|k| k.starts_with("AUTH"));
    let found = auth.next().map(|keyword| (*keyword).to_owned());
    assert_eq!(auth.next(), None, "{hello}");
    found
}

#[tokio::test]
async fn auth_is_offered_inside_tls_and_there_alone() {
    // W-2.02, W-9.01, W-9.02
    let everything = "AUTH PLAIN LOGIN SCRAM-SHA-256 SCRAM-SHA-256-PLUS";
    let world = with_users().await;
    let mut client = world.client().session().await;
    assert_eq!(auth_keyword(&mut client).await, None);
    client.cmd(ANN).await.expect("538 5.7.11");
    client.cmd("AUTH LOGIN").await.expect("538 5.7.11");
    client
        .cmd("MAIL FROM:<a@elsewhere.test>")
        .await
        .expect("550 5.7.1");
    let mut client = inside(&world).await;
    assert_eq!(auth_keyword(&mut client).await.as_deref(), Some(everything));

    let mut client = world.client().port(world.tls_port()).connect().await;
    let secured = client.handshake(world.ca().client(), "gp.test").await;
    secured.expect("a handshake");
    client.read_reply().await.expect(220);
    assert_eq!(auth_keyword(&mut client).await.as_deref(), Some(everything));
    client.cmd(ANN).await.expect("235 2.7.0");

    // TLS 1.2 gives no binding that is safe without more than we can know.
    let trust = Arc::new(world.ca().client_speaking(&[&TLS12]));
    let mut client = world.client().session().await;
    client
        .starttls(trust, "gp.test")
        .await
        .expect("a handshake");
    let without_plus = "AUTH PLAIN LOGIN SCRAM-SHA-256";
    assert_eq!(
        auth_keyword(&mut client).await.as_deref(),
        Some(without_plus)
    );
    let right = Scram::new("ann", "secret");
    right.run(&mut client).await.expect("235 2.7.0");
}

#[tokio::test]
async fn who_is_authenticated_inside_tls_is_so_told() {
    // W-9.12, W-6.02
    let world = with_users().await;
    let mx = world.remote("dest.test").await;
    let mut client = inside(&world).await;
    client.cmd(ANN).await.expect("235 2.7.0");
    client.cmd("RSET").await.expect(250);
    client.cmd("EHLO client.test").await.expect(250);
    let from_elsewhere = || mail().from("a@elsewhere.test").to("ann@dest.test");
    client.send(from_elsewhere()).await.accepted();
    assert_eq!(mx.message().await.trace().with, "ESMTPSA");
    let utf8 = from_elsewhere().mail_parameter("SMTPUTF8");
    client.send(utf8).await.accepted();
    assert_eq!(mx.message().await.trace().with, "UTF8SMTPSA");
    client.quit().await;

    let mut client = inside(&world).await;
    client.send(mail().to("ann@dest.test")).await.accepted();
    assert_eq!(mx.message().await.trace().with, "ESMTPS");
}

#[tokio::test]
async fn scram_plus_binds_itself_to_the_connection() {
    // W-9.04
    let world = with_users().await;
    let mut client = inside(&world).await;
    let right = Scram::plus(&client, "ann", "secret");
    right.run(&mut client).await.expect("235 2.7.0");
    let line = world.log().tells("auth_succeeded").await;
    let mechanism = line.field("mechanism");
    assert_eq!(mechanism.as_deref(), Some("SCRAM-SHA-256-PLUS"));
    let mut client = inside(&world).await;
    let unbound = Scram::new("ann", "secret");
    unbound.run(&mut client).await.expect("235 2.7.0");
}

#[tokio::test]
async fn scram_refuses_a_binding_that_is_not_this_connections() {
    // W-9.04
    let world = with_users().await;
    let other = inside(&world).await;
    let of_another = Scram::plus(&other, "ann", "secret");
    let wrongs = [
        of_another.clone(),
        Scram {
            channel: Vec::new(),
            ..of_another.clone()
        },
        Scram {
            gs2_header: "p=tls-unique,,".to_owned(),
            ..of_another.clone()
        },
        // It believes that -PLUS is not offered: somebody took it out.
        Scram {
            gs2_header: "y,,".to_owned(),
            ..Scram::new("ann", "secret")
        },
        Scram {
            mechanism: "SCRAM-SHA-256-PLUS",
            ..Scram::new("ann", "secret")
        },
    ];
    let world = &world;
    let sessions = wrongs.iter().map(|wrong| async move {
        let mut client = inside(world).await;
        let reply = wrong.run(&mut client).await;
        assert!(reply.is("535 5.7.8"), "{wrong:?}: {reply}");
        client.in_sync().await;
    });
    join_all(sessions).await;
}

#[tokio::test]
async fn a_client_from_elsewhere_secures_itself_and_authenticates() {
    // W-9.13
    let world = with_users()
        .set("SMTP_ALLOW_NETWORKS", "127.0.0.1")
        .set("SMTP_AUTH_ANYWHERE", "true")
        .await;
    let mx = world.remote("dest.test").await;
    let mut client = world.client().from("127.0.0.7").session().await;
    client
        .cmd("MAIL FROM:<a@gp.test>")
        .await
        .expect("530 5.7.0");
    client.cmd(ANN).await.expect("538 5.7.11");
    let secured = client.starttls(world.ca().client(), "gp.test").await;
    secured.expect("a handshake");
    client.cmd("EHLO client.test").await.expect(250);
    client
        .cmd("MAIL FROM:<a@gp.test>")
        .await
        .expect("530 5.7.0");
    client.cmd(ANN).await.expect("235 2.7.0");
    client.send(mail().to("ann@dest.test")).await.accepted();
    assert_eq!(mx.message().await.trace().with, "ESMTPSA");
}

#[tokio::test]
async fn there_is_no_starttls_after_auth() {
    // W-2.02, W-8.01
    let world = with_users().set("SMTP_AUTH_INSECURE", "true").await;
    let mut client = world.client().session().await;
    client.cmd(ANN).await.expect("235 2.7.0");
    client.cmd("STARTTLS").await.expect("503 5.5.1");
    let hello = client.cmd("EHLO client.test").await.expect(250);
    assert!(!hello.keywords().contains(&"STARTTLS"), "{hello}");
    client.cmd("MAIL FROM:<a@elsewhere.test>").await.expect(250); // as before
}
