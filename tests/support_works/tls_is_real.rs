//! STARTTLS: good and bad certificates as a client that checks them sees them.

use crate::support::{Certificate, Handshake, World, mail, raw, reply};

#[tokio::test]
async fn inside_tls_everything_is_remembered_as_such() {
    let world = World::setup().without_relay().await;
    let mx = world
        .remote("example.net")
        .tls(Certificate::Good)
        .offers_in_tls(["SIZE 1000"])
        .await;
    let mut client = world.client_of(&mx).connect().await;
    let hello = client.hello().await;
    assert!(hello.keywords().contains(&"STARTTLS"));
    client
        .starttls(world.ca().client(), mx.name())
        .await
        .expect("a handshake");
    let hello = client.cmd("EHLO inside.test").await.expect(250);
    assert_eq!(hello.keywords(), ["SIZE 1000"]);
    client.send(mail().to("a@example.net")).await.refused(250);
    client.quit().await;

    let message = mx.message().await;
    assert!(message.transaction.in_tls);
    assert_eq!(message.transaction.hello, "EHLO inside.test");
    let connection = &mx.connections()[0];
    assert_eq!(connection.handshake, Some(Ok(())));
    assert_eq!(
        connection.lines_in_clear(),
        ["EHLO client.test", "STARTTLS"]
    );
    assert_eq!(connection.lines_in_tls().len(), 5);
}

#[tokio::test]
async fn a_bad_certificate_is_bad_for_the_reason_it_names() {
    for (certificate, why) in [
        (Certificate::SelfSigned, "UnknownIssuer"),
        (Certificate::UnknownIssuer, "UnknownIssuer"),
        (Certificate::Expired, "expired"),
        (Certificate::WrongName, "not valid for name"),
    ] {
        let world = World::setup().without_relay().await;
        let mx = world.remote("example.net").tls(certificate).await;
        let mut client = world.client_of(&mx).session().await;
        let error = client.starttls(world.ca().client(), mx.name()).await;
        let error = error.expect_err("a refusal");
        assert!(error.contains(why), "{certificate:?}: {error}");
        let handshake = mx.connections()[0].handshake.clone();
        drop(client);
        mx.ended(0).await;
        assert!(!matches!(handshake, Some(Ok(()))), "{certificate:?}");
    }
}

#[tokio::test]
async fn a_literal_has_a_certificate_for_its_address() {
    let world = World::setup().without_relay().await;
    let mx = world.remote_without_dns().tls(Certificate::Good).await;
    let mut client = world.client_of(&mx).session().await;
    let address = mx.ip().to_string();
    let handshake = client.starttls(world.ca().client(), &address);
    handshake.await.expect("a handshake");
}

#[tokio::test]
async fn handshakes_fail_as_scripted() {
    for handshake in [Handshake::Garbage, Handshake::Close] {
        let world = World::setup().without_relay().await;
        let mx = world.remote("example.net").handshake(handshake).await;
        let mut client = world.client_of(&mx).session().await;
        let result = client.starttls(world.ca().client(), mx.name()).await;
        result.expect_err("a failed handshake");
        mx.ended(0).await;
        assert!(matches!(mx.connections()[0].handshake, Some(Err(_))));
    }
}

#[tokio::test]
async fn starttls_can_be_refused_and_offered_all_the_same() {
    let world = World::setup().without_relay().await;
    let mx = world
        .remote("example.net")
        .starttls([reply("454 4.7.0 not now"), raw("502 5.5.1 never\r\n")])
        .await;
    let mut client = world.client_of(&mx).connect().await;
    assert!(client.hello().await.keywords().contains(&"STARTTLS"));
    client.cmd("STARTTLS").await.expect("454 4.7.0");
    client.cmd("STARTTLS").await.expect("502 5.5.1");
    client.in_sync().await;
}
