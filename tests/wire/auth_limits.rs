//! W-9: lines too long, failures too many, and users whose password is not kept.

use std::panic::Location;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use futures_util::future::join_all;

use crate::support::{Setup, World, within};

const ANN: &str = "AGFubgBzZWNyZXQ="; // \0ann\0secret
const WRONG: &str = "AGFubgB3cm9uZw=="; // \0ann\0wrong

fn with_users(users: &str) -> Setup {
    World::setup()
        .set("SMTP_AUTH_USERS", users)
        .set("SMTP_AUTH_INSECURE", "true")
}

#[tokio::test]
async fn a_response_has_12288_octets_at_most() {
    // W-9.09
    let world = with_users("ann:secret").await;
    let mut client = world.client().session().await;
    let longest = "A".repeat(12_288 - 4) + "==";
    client.cmd("AUTH PLAIN").await.expect(334);
    client.cmd(&longest).await.expect("501 5.5.2"); // read, and no PLAIN
    client.cmd("AUTH LOGIN").await.expect(334);
    client.cmd(&format!("{longest}=")).await.expect("500 5.5.6");
    client.in_sync().await;
    client
        .cmd(&format!("AUTH PLAIN {ANN}"))
        .await
        .expect("235 2.7.0");
}

#[tokio::test]
async fn the_third_failure_ends_the_session() {
    // W-9.10
    let world = with_users("ann:secret").await;
    for failures in [
        [
            (WRONG, "535 5.7.8"),
            (WRONG, "535 5.7.8"),
            (WRONG, "421 4.7.0"),
        ],
        [("?", "501 5.5.2"), (WRONG, "535 5.7.8"), ("*", "421 4.7.0")],
    ] {
        let mut client = world.client().session().await;
        for (response, wanted) in failures {
            client.cmd("AUTH PLAIN").await.expect(334);
            client.cmd(response).await.expect(wanted);
        }
        client.expect_closed().await;
    }
}

/// As 127.0.0.7.
async fn fail_up_to_the_cap(world: &World) {
    let sessions = (0..10).map(|_| async {
        let mut client = world.client().from("127.0.0.7").session().await;
        for _ in 0..2 {
            client
                .cmd(&format!("AUTH PLAIN {WRONG}"))
                .await
                .expect("535 5.7.8");
        }
        client.quit().await;
    });
    join_all(sessions).await;
}

#[tokio::test]
async fn an_address_that_failed_too_often_waits_and_others_do_not() {
    // W-9.10
    let world = with_users("ann:secret").await;
    fail_up_to_the_cap(&world).await;
    let mut client = world.client().from("127.0.0.7").session().await;
    for _ in 0..4 {
        client
            .cmd(&format!("AUTH PLAIN {ANN}"))
            .await
            .expect("454 4.7.0");
    }
    client.in_sync().await;
    let mut client = world.client().from("127.0.0.8").session().await;
    client
        .cmd(&format!("AUTH PLAIN {ANN}"))
        .await
        .expect("235 2.7.0");
}

#[tokio::test]
async fn an_exchange_begun_before_the_cap_does_not_go_on_behind_it() {
    // W-9.10
    let world = with_users("ann:secret").await;
    let dial = || world.client().from("127.0.0.7");
    let mut begun = dial().session().await;
    begun.cmd("AUTH PLAIN").await.expect(334);
    let mut scram = dial().session().await;
    let first = STANDARD.encode("n,,n=ann,r=clientnonce");
    let challenge = scram.cmd(&format!("AUTH SCRAM-SHA-256 {first}")).await;
    challenge.expect(334);
    fail_up_to_the_cap(&world).await;
    begun.cmd(ANN).await.expect("454 4.7.0");
    begun.in_sync().await;
    // Nothing is told about a proof, be it right.
    let last = STANDARD.encode(format!(
        "c=biws,r=clientnonce,p={}",
        STANDARD.encode([0; 32])
    ));
    scram.cmd(&last).await.expect("454 4.7.0");
    scram.in_sync().await;
}

#[tokio::test]
async fn a_stranger_has_one_command_timeout_to_authenticate_in_all() {
    // W-9.13, W-12.01
    let world = with_users("ann:secret")
        .set("SMTP_ALLOW_NETWORKS", "127.0.0.1")
        .set("SMTP_AUTH_ANYWHERE", "true")
        .set("SMTP_COMMAND_TIMEOUT", "1500ms")
        .await;
    let dial = || world.client().from("127.0.0.7");
    let mut ann = dial().session().await;
    let right = format!("AUTH PLAIN {ANN}");
    ann.cmd(&right).await.expect("235 2.7.0");
    let mut listed = world.client().session().await;
    let mut silent = Vec::new();
    for (said, replies) in [("", 0), ("AUTH PLAIN\r\n", 1), ("BDAT 5\r\nx", 0)] {
        let mut client = dial().session().await;
        client.send_octets(said).await;
        silent.push((said, replies, client));
    }
    let mut talker = dial().session().await;
    let talk = async {
        loop {
            let reply = talker.cmd("NOOP").await;
            if !reply.is(250) {
                return reply;
            }
            ann.cmd("NOOP").await.expect(250);
            listed.cmd("NOOP").await.expect(250);
        }
    };
    let what = || "a stranger's NOOPs to come to an end".to_owned();
    let last = within(Location::caller(), what, talk).await;
    last.expect("421 4.7.0");
    talker.expect_closed().await;
    for (said, replies, mut client) in silent {
        for _ in 0..replies {
            client.read_reply().await.expect(334);
        }
        let last = client.read_reply().await;
        assert!(last.is("421 4.7.0"), "behind {said:?}: {last}");
        client.expect_closed().await;
    }
    ann.cmd("MAIL FROM:<ann@gp.test>").await.expect(250);
    listed.cmd("MAIL FROM:<bob@gp.test>").await.expect(250);
}

#[tokio::test]
async fn what_auth_hash_prints_stands_for_the_password() {
    // W-9.01, W-9.03, W-9.07
    let world = World::setup()
        .set("SMTP_AUTH_INSECURE", "true")
        .without_relay()
        .await;
    let relay = world.relay();
    let made = async |arguments: &[&'static str]| {
        let output = relay
            .run_with_input(arguments.iter().copied(), "secret\n")
            .await;
        assert!(output.status.success(), "{output:?}");
        String::from_utf8(output.stdout)
            .expect("text")
            .trim_end()
            .to_owned()
    };
    let argon2 = made(&["auth", "hash"]).await;
    let scram = made(&["auth", "hash", "--scram"]).await;
    assert!(
        argon2.starts_with("$argon2id$v=19$m=19456,t=2,p=1$"),
        "{argon2}"
    );
    assert!(scram.starts_with("SCRAM-SHA-256$"), "{scram}");
    relay.set(
        "SMTP_AUTH_USERS",
        &format!("ann:{argon2},bob:{scram},eve:other"),
    );

    let check = relay.run(["config", "check"]).await;
    let printed = String::from_utf8(check.stdout).expect("text");
    let line = printed
        .lines()
        .find(|line| line.starts_with("SMTP_AUTH_USERS "));
    let line = line.expect("every variable is printed");
    assert!(line.ends_with("= [secret]  (environment)"), "{line}");

    relay.start().await;
    let mut client = world.client().connect().await;
    let hello = client.hello().await;
    assert!(hello.keywords().contains(&"AUTH PLAIN LOGIN"), "{hello}");
    let bob = STANDARD.encode("\0bob\0secret");
    for (response, wanted) in [(WRONG, "535 5.7.8"), (ANN, "235 2.7.0")] {
        client
            .cmd(&format!("AUTH PLAIN {response}"))
            .await
            .expect(wanted);
    }
    let mut client = world.client().session().await;
    client
        .cmd(&format!("AUTH PLAIN {bob}"))
        .await
        .expect("235 2.7.0");
}
