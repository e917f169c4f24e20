//! W-21: keys that change, keys that can't be used, and the commands that make and compare them.

use std::os::unix::fs::PermissionsExt as _;

use rcgen::{KeyPair, PKCS_ED25519};
use serde_json::Value;

use crate::support::{ED25519_PEM, RecordType, Trouble, World, mail};

fn new_key() -> String {
    let key = KeyPair::generate_for(&PKCS_ED25519);
    key.expect("a key").serialize_pem()
}

#[tokio::test]
async fn a_changed_key_is_taken_up_and_a_broken_one_is_not() {
    // W-21.01
    let world = World::setup().without_relay().await;
    world.starts_signing_for("gp.test").await;
    let mx = world.remote("dest.test").await;
    let both = [
        "pass rsa-sha256 gp.test r1",
        "pass ed25519-sha256 gp.test e1",
    ];
    let signed = async || {
        let mail = mail().to("bob@dest.test");
        world.client().send(mail).await.accepted();
        let message = mx.message().await;
        world.verifies(message.octets()).await
    };
    assert_eq!(signed().await, both);

    world.put_key("ed25519.pem", &new_key());
    let line = world.log().tells("dkim_key_reloaded").await;
    assert_eq!(line.field("selector").as_deref(), Some("e1"));
    let told = signed().await;
    assert!(told[1].starts_with("Fail"), "the old record: {told:?}");
    world.publishes_keys().await;
    assert_eq!(signed().await, both);

    world.put_key("ed25519.pem", "nonsense");
    let line = world.log().tells("alarm").await.text;
    for words in ["SMTP_DKIM_KEYS=gp.test:e1:", "stays in use", "ed25519.pem"] {
        assert!(line.contains(words), "{words:?} in {line}");
    }
    assert_eq!(signed().await, both);
}

#[tokio::test]
async fn a_key_that_can_not_be_used_stops_the_start_with_its_variable() {
    let seed = [
        ("SMTP_DKIM_DOMAIN", "gp.test"),
        ("SMTP_DKIM_SELECTOR", "s1"),
    ];
    for (variable, value, wanted) in [
        (
            "SMTP_DKIM_KEY_PATH",
            "/nowhere/key.pem",
            "SMTP_DKIM_KEY_PATH=/nowhere/key.pem: can't be read",
        ),
        (
            "SMTP_DKIM_PRIVATE_KEY",
            "-----BEGIN hunter2",
            "SMTP_DKIM_PRIVATE_KEY: no whole private key",
        ),
        (
            "SMTP_DKIM_PRIVATE_KEY",
            "hunter2",
            "SMTP_DKIM_PRIVATE_KEY=[secret]: expected a private key",
        ),
    ] {
        let mut setup = World::setup().set(variable, value);
        for (variable, value) in seed {
            setup = setup.set(variable, value);
        }
        let failure = setup.expect_start_failure().await;
        assert_eq!(failure.code, Some(1));
        assert!(failure.output.contains(wanted), "{failure:?}");
        assert!(!failure.output.contains("hunter2"), "{failure:?}");
    }
    let world = World::setup().without_relay().await;
    let path = world.put_key("key.pem", ED25519_PEM);
    let path = path.display();
    let twice = format!("gp.test:s1:{path},gp.test:s2:{path}");
    world.relay().set("SMTP_DKIM_KEYS", &twice);
    let failure = world.relay().expect_start_failure().await;
    assert!(
        failure
            .output
            .contains("a second ed25519-sha256 key for gp.test"),
        "{failure:?}"
    );
    let checked = world.relay().run(["config", "check"]).await;
    assert_eq!(checked.status.code(), Some(1));
    let told = String::from_utf8_lossy(&checked.stdout);
    assert!(
        told.contains("problem: SMTP_DKIM_KEYS=gp.test:s2:"),
        "{told}"
    );
}

#[tokio::test]
async fn keys_are_made_published_checked_and_sign() {
    let world = World::setup().without_relay().await;
    let relay = world.relay();
    let mut keys = Vec::new();
    for (selector, further) in [("r1", "--bits=2048"), ("e1", "--ed25519")] {
        let file = format!("{selector}.pem");
        let arguments = [
            "dkim", "generate", "--json", further, "gp.test", selector, &file,
        ];
        let output = relay.run(arguments).await;
        assert_eq!(output.status.code(), Some(0));
        let made: Value = serde_json::from_slice(&output.stdout).expect("JSON");
        let path = relay.directory().join(&file);
        let path = path.canonicalize().expect("it was made");
        let mode = std::fs::metadata(&path).expect("it was made").permissions();
        assert_eq!(mode.mode() & 0o777, 0o600);
        let name = made["name"].as_str().expect("a text");
        assert_eq!(name, format!("{selector}._domainkey.gp.test"));
        world
            .dns()
            .txt(name, made["record"].as_str().expect("a text"));
        keys.push(format!("gp.test:{selector}:{}", path.display()));

        let before = std::fs::read(&path).expect("it was made");
        let again = relay.run(arguments).await;
        assert_eq!(again.status.code(), Some(1));
        assert_eq!(std::fs::read(&path).expect("still there"), before);
    }
    let none = relay.run(["dkim", "check"]).await;
    assert_eq!(none.status.code(), Some(3));
    relay.set("SMTP_DKIM_KEYS", &keys.join(","));
    let good = relay.run(["dkim", "check"]).await;
    assert_eq!(good.status.code(), Some(0));
    relay.start().await;
    let mx = world.remote("dest.test").await;
    world
        .client()
        .send(mail().to("bob@dest.test"))
        .await
        .accepted();
    let message = mx.message().await;
    let verified = world.verifies(message.octets()).await;
    assert_eq!(
        verified,
        [
            "pass rsa-sha256 gp.test r1",
            "pass ed25519-sha256 gp.test e1"
        ]
    );
    for arguments in [
        &["dkim", "generate", "gp.test"][..],
        &["dkim", "generate", "--bits=1024", "gp.test", "s", "x.pem"],
        &[
            "dkim",
            "generate",
            "--ed25519",
            "--bits=2048",
            "gp.test",
            "s",
            "x.pem",
        ],
    ] {
        let wrong = relay.run(arguments.iter().copied()).await;
        assert_eq!(wrong.status.code(), Some(2), "{arguments:?}");
    }
}

#[tokio::test]
async fn what_is_published_wrongly_is_named() {
    let world = World::setup().without_relay().await;
    let path = world.put_key("key.pem", ED25519_PEM);
    let keys = format!("gp.test:s1:{}", path.display());
    world.relay().set("SMTP_DKIM_KEYS", &keys);
    world.publishes_keys().await;
    let good = world.checked_keys().await[0]["record"]
        .as_str()
        .expect("a text")
        .to_owned();
    let (_, key) = good.split_once("p=").expect("p=");
    let name = "s1._domainkey.gp.test";
    for (records, result, note) in [
        (&[&*good][..], "ok", ""),
        (&[&format!("k=ed25519; t=y; p={key}")], "ok", "t=y"),
        (&[], "missing", "no such record"),
        (&["v=DKIM1; k=ed25519; p="], "wrong", "revoked"),
        (&["v=DKIM1; k=ed25519; p=AAAA"], "wrong", "another one"),
        (&[&format!("v=DKIM1; p={key}")], "wrong", "of a key for rsa"),
        (&[&good, "v=spf1 -all"], "wrong", "2 records"),
        (&["v=spf1 -all"], "wrong", "not DKIM1"),
        (&["hello"], "wrong", "no list of tags"),
    ] {
        world.dns().remove(name, RecordType::TXT);
        for record in records {
            world.dns().txt(name, record);
        }
        check(&world, result, note).await;
    }
    world
        .dns()
        .troubles(name, RecordType::TXT, Trouble::ServFail);
    check(&world, "unknown", "SERVFAIL").await;
    world.put_key("key.pem", "nonsense");
    check(&world, "bad_key", "no private key").await;

    let other = world.relay().run(["dkim", "check", "other.test"]).await;
    assert_eq!(other.status.code(), Some(3));
}

#[track_caller]
fn check(world: &World, result: &str, note: &str) -> impl Future<Output = ()> {
    let here = std::panic::Location::caller();
    async move {
        let output = world
            .relay()
            .run(["dkim", "check", "--json", "gp.test"])
            .await;
        let told: Value = serde_json::from_slice(&output.stdout).expect("JSON");
        assert_eq!(told["result"], result, "{here}: {told}");
        assert!(told["notes"].to_string().contains(note), "{here}: {told}");
        let status = i32::from(result != "ok");
        assert_eq!(output.status.code(), Some(status), "{here}: {told}");
        let for_people = world.relay().run(["dkim", "check"]).await;
        let text = String::from_utf8_lossy(&for_people.stdout);
        assert!(
            text.contains(result) && text.contains(note),
            "{here}: {text}"
        );
    }
}
