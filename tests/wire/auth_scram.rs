//! W-9.04: SCRAM, with a client that does its own sums.

use futures_util::future::join_all;

use crate::support::{Scram, Setup, World, mail};

fn with_users() -> Setup {
    World::setup()
        .set("SMTP_AUTH_USERS", "ann:secret")
        .set("SMTP_AUTH_INSECURE", "true")
}

#[tokio::test]
async fn scram_authenticates_who_has_the_password() {
    // W-9.04
    let world = with_users().await;
    let mx = world.remote("dest.test").await;
    let mut client = world.client().session().await;
    let right = Scram::new("ann", "secret");
    right.run(&mut client).await.expect("235 2.7.0");
    let sent = mail().from("a@elsewhere.test").to("ann@dest.test");
    client.send(sent).await.accepted();
    assert_eq!(mx.message().await.trace().with, "ESMTPA");
    let line = world.log().tells("auth_succeeded").await;
    assert_eq!(line.field("mechanism").as_deref(), Some("SCRAM-SHA-256"));
    assert_eq!(line.field("user").as_deref(), Some("ann"));
}

#[tokio::test]
async fn scram_with_a_verifier_of_another_program_works() {
    // W-9.04: the password is `pencil`, as in RFC 7677 3
    let verifier = "SCRAM-SHA-256$4096:W22ZaJ0SNY7soEsUEjb6gQ==$\
                    WG5d8oPm3OtcPnkdi4Uo7BkeZkBFzpcXkuLmtbsT4qY=:\
                    wfPLwcE6nTWhTAmQ7tl2KeoiWGPlZqQxSrmfPwDl2dU=";
    let world = with_users()
        .set("SMTP_AUTH_USERS", &format!("user:{verifier}"))
        .await;
    let mut client = world.client().session().await;
    let wrong = Scram::new("user", "Pencil");
    wrong.run(&mut client).await.expect("535 5.7.8");
    let right = Scram::new("user", "pencil");
    right.run(&mut client).await.expect("235 2.7.0");
    let mut client = world.client().session().await;
    let plain = "AUTH PLAIN AHVzZXIAcGVuY2ls"; // \0user\0pencil
    client.cmd(plain).await.expect("235 2.7.0");
}

#[tokio::test]
async fn scram_refuses_what_is_wrong() {
    // W-9.04, W-9.07
    let world = with_users().await;
    let right = Scram::new("ann", "secret");
    let wrongs = [
        Scram::new("ann", "wrong"),
        Scram::new("nobody", "secret"),
        Scram {
            nonce_suffix: "x",
            ..right.clone()
        },
        Scram {
            channel: b"something".to_vec(),
            ..right.clone()
        },
        Scram {
            gs2_header: "n,a=bob,".to_owned(),
            ..right.clone()
        },
    ];
    let sessions = wrongs.into_iter().map(|wrong| {
        let (dial, right) = (world.client(), right.clone());
        async move {
            let mut client = dial.session().await;
            let reply = wrong.run(&mut client).await;
            assert!(reply.is("535 5.7.8"), "{wrong:?}: {reply}");
            client.in_sync().await;
            right.run(&mut client).await.expect("235 2.7.0");
        }
    });
    join_all(sessions).await;
}
