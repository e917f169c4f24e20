//! `gopherpost explain`: what it tells while the relay runs and while it does not.

use std::os::unix::fs::PermissionsExt as _;
use std::os::unix::net::UnixListener;

use serde_json::Value;

use crate::support::{Relay, World, mail};

/// What `explain --json` says.
async fn explained(relay: &Relay, subject: &str) -> Value {
    let output = relay.run(["explain", "--json", subject]).await;
    let told = String::from_utf8(output.stdout).unwrap();
    assert_eq!(output.status.code(), Some(0), "{told}");
    serde_json::from_str(&told).unwrap()
}

#[tokio::test]
async fn a_waiting_message_is_explained_with_its_way_and_its_last_reply() {
    let world = World::new().await;
    let remote = world
        .remote("dest.test")
        .rcpt(["451 4.7.1 come again"])
        .await;
    let id = world
        .client()
        .send(mail().to("ann@dest.test"))
        .await
        .accepted();
    world.history(&id).shows(["deferred"]).await;

    for subject in ["ann@dest.test", "<ann@dest.test>", &id.0] {
        let told = explained(world.relay(), subject).await;
        let rcpt = &told["recipients"][0];
        assert_eq!(rcpt["id"], id.0.as_str());
        assert_eq!(rcpt["to"], "ann@dest.test");
        assert_eq!(rcpt["state"], "deferred");
        assert_eq!(rcpt["last_reply"], "451 4.7.1 come again");
        let (why, at) = (
            rcpt["why"].as_str().unwrap(),
            rcpt["remote"].as_str().unwrap(),
        );
        assert!(why.contains("451 4.7.1 come again"), "{why}");
        assert!(at.starts_with(remote.name()), "{at}");
        let way = &told["ways"][0];
        assert_eq!(way["destination"], "dest.test");
        assert_eq!(way["hosts"][0]["host"], remote.name());
        let address = way["hosts"][0]["addresses"][0].as_str().unwrap();
        assert_eq!(address, remote.address().to_string());
    }
    let text = world.relay().run(["explain", "ann@dest.test"]).await;
    let text = String::from_utf8(text.stdout).unwrap();
    for part in [
        "MX of dest.test",
        remote.name(),
        "451 4.7.1 come again",
        "next ",
    ] {
        assert!(text.contains(part), "{part}: {text}");
    }
    assert!(text.lines().count() <= 24, "more than a screen: {text}");
}

#[tokio::test]
async fn a_suspended_destination_is_told_with_its_trouble_and_the_rules_that_decided() {
    let world = World::setup()
        .set("SMTP_TLS_POLICY", "opportunistic,*.dest.test=encrypt")
        .set("SMTP_RETRY_BASE", "10s")
        .set("SMTP_RETRY_CAP", "10m")
        .await;
    let hosts = world.remote("a.dest.test");
    let remote = hosts.greeting(["421 4.3.2 not today"]).await;
    let mut ids = Vec::new();
    for _ in 0..3 {
        let sent = world.client().send(mail().to("ann@a.dest.test")).await;
        ids.push(sent.accepted());
    }
    world.log().tells("suspended").await;

    let told = explained(world.relay(), "ann@a.dest.test").await;
    let way = &told["ways"][0];
    let suspended = way["suspended"].as_str().unwrap();
    assert!(suspended.contains("421 4.3.2 not today"), "{suspended}");
    assert_eq!(way["tls"], "encrypt");
    let rule = way["tls_rule"].as_str().unwrap();
    assert!(rule.contains("*.dest.test=encrypt"), "{rule}");
    assert_eq!(way["hosts"][0]["host"], remote.name());
    assert_eq!(told["recipients"].as_array().unwrap().len(), ids.len());
}

#[tokio::test]
async fn without_a_running_relay_the_command_opens_the_queue_itself() {
    let world = World::new().await;
    world
        .remote("dest.test")
        .rcpt(["451 4.7.1 come again"])
        .await;
    let id = world
        .client()
        .send(mail().to("ann@dest.test"))
        .await
        .accepted();
    world.history(&id).shows(["deferred"]).await;
    world.relay().terminate().await;

    let told = explained(world.relay(), &id.0).await;
    assert_eq!(told["recipients"][0]["last_reply"], "451 4.7.1 come again");
    assert_eq!(told["message"]["id"], id.0.as_str());
    world.relay().start().await;
    world.takes_and_delivers_a_mail().await;
}

#[tokio::test]
async fn what_is_not_there_or_no_subject_is_told_by_the_exit_status() {
    let world = World::new().await;
    for (subject, status) in [("01ARZ3NDEKTSV4RRFFQ69G5FAV", 3), ("not a subject", 2)] {
        let output = world.relay().run(["explain", subject]).await;
        assert_eq!(output.status.code(), Some(status), "{subject}");
        assert!(output.stdout.is_empty());
        let complaint = String::from_utf8(output.stderr).unwrap();
        assert_eq!(complaint.lines().count(), 1, "{complaint}");
    }
}

#[tokio::test]
async fn domains_that_get_no_mail_are_explained_without_a_message() {
    let world = World::new().await;
    world.dns().null_mx("null.test");
    let told = explained(world.relay(), "null.test").await;
    let settled = told["ways"][0]["settled"].as_str().unwrap();
    assert!(
        settled.starts_with("failed") && settled.contains("null MX"),
        "{settled}"
    );
    let told = explained(world.relay(), "gone.test").await;
    let settled = told["ways"][0]["settled"].as_str().unwrap();
    assert!(settled.contains("NXDOMAIN"), "{settled}");
}

#[tokio::test]
async fn the_control_socket_is_for_owner_and_group_and_a_dead_one_is_replaced() {
    let world = World::setup().without_relay().await;
    let directory = world.relay().directory().join("spool");
    std::fs::create_dir_all(&directory).unwrap();
    let socket = directory.join("control.sock");
    drop(UnixListener::bind(&socket).unwrap()); // as a killed relay leaves it
    world.relay().start().await;
    let told = world
        .log()
        .wait_for(|line| line.is("listening") && line.field("what").as_deref() == Some("control"));
    let at = told.await.field("address").unwrap();
    assert_eq!(at, socket.to_str().unwrap());
    explained(world.relay(), "dest.test").await;
    let mode = std::fs::metadata(&socket).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o660);
    world.relay().terminate().await;
    assert!(!socket.exists());
}
