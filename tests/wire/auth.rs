//! W-9: AUTH with passwords, where it stands in a session, and what it opens.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use futures_util::future::join_all;

use crate::support::{Client, Setup, World, mail};

/// PLAIN of ann with her password, in base64.
const ANN: &str = "AGFubgBzZWNyZXQ="; // \0ann\0secret

fn with_users() -> Setup {
    World::setup()
        .set("SMTP_AUTH_USERS", "ann:secret,b%2Cb:pass%2Cw:%25rd")
        .set("SMTP_AUTH_INSECURE", "true")
}

fn plain(user: &str, password: &str) -> String {
    STANDARD.encode(format!("\0{user}\0{password}"))
}

async fn keywords(client: &mut Client) -> Vec<String> {
    let hello = client.cmd("EHLO client.test").await.expect(250);
    hello.keywords().into_iter().map(str::to_owned).collect()
}

#[tokio::test]
async fn auth_is_offered_with_users_only_and_until_it_was_used() {
    // W-2.02, W-9.01
    let is_auth = |keyword: &&String| keyword.starts_with("AUTH");
    let world = World::new().await;
    let mut client = world.client().session().await;
    assert!(!keywords(&mut client).await.iter().any(|k| is_auth(&k)));

    let world = with_users().await;
    let mut client = world.client().session().await;
    let offered = keywords(&mut client).await;
    let auth: Vec<&String> = offered.iter().filter(is_auth).collect();
    assert_eq!(auth, ["AUTH PLAIN LOGIN SCRAM-SHA-256"]);
    client
        .cmd(&format!("AUTH PLAIN {ANN}"))
        .await
        .expect("235 2.7.0");
    assert!(!keywords(&mut client).await.iter().any(|k| is_auth(&k)));

    let world = with_users().set("SMTP_AUTH_INSECURE", "false").await;
    let mut client = world.client().session().await;
    assert!(!keywords(&mut client).await.iter().any(|k| is_auth(&k)));
}

#[tokio::test]
async fn auth_is_refused_in_clear_and_without_users() {
    // W-9.02
    let world = with_users()
        .set("SMTP_AUTH_INSECURE", "false")
        .set("SMTP_AUTH_ANYWHERE", "true")
        .set("SMTP_ALLOW_NETWORKS", "127.0.0.9")
        .await;
    let mut client = world.client().session().await;
    let right = format!("AUTH PLAIN {ANN}");
    for line in ["AUTH PLAIN", "AUTH LOGIN", "AUTH", "AUTH FOO =", &right] {
        client.cmd(line).await.expect("538 5.7.11");
    }
    client
        .cmd("MAIL FROM:<a@gp.test>")
        .await
        .expect("530 5.7.0");

    let world = World::new().await;
    let mut client = world.client().session().await;
    for line in ["AUTH PLAIN", "AUTH", &right] {
        client.cmd(line).await.expect("502 5.5.1");
    }
    client.in_sync().await;
}

#[tokio::test]
async fn plain_and_login_take_the_right_password() {
    // W-9.03
    let world = with_users().await;
    let name = STANDARD.encode("ann");
    let password = STANDARD.encode("secret");
    let odd = plain("b,b", "pass,w:%rd");
    let dialogues = [
        vec![(format!("AUTH PLAIN {ANN}"), "235 2.7.0")],
        vec![(format!("auth plain {odd}"), "235 2.7.0")],
        vec![("AUTH PLAIN".into(), "334"), (ANN.into(), "235 2.7.0")],
        vec![
            ("AUTH LOGIN".into(), "334"),
            (name.clone(), "334"),
            (password.clone(), "235 2.7.0"),
        ],
        vec![
            (format!("AUTH LOGIN {name}"), "334"),
            (password, "235 2.7.0"),
        ],
    ];
    for dialogue in dialogues {
        let mut client = world.client().session().await;
        let rows = dialogue.iter().map(|(line, want)| (line.as_str(), *want));
        client.dialogue(rows).await;
        client.in_sync().await;
    }
    world.log().tells_times("auth_succeeded", 5).await;
}

#[tokio::test]
async fn challenges_are_those_that_clients_know() {
    // W-9.03
    let world = with_users().await;
    let mut client = world.client().session().await;
    client
        .send_octets("AUTH PLAIN\r\n*\r\nAUTH LOGIN\r\nYW5u\r\n*\r\nQUIT\r\n")
        .await;
    let all = String::from_utf8(client.read_to_end().await).expect("text");
    let lines: Vec<&str> = all.split("\r\n").collect();
    assert_eq!(lines[0], "334 ");
    assert_eq!(lines[2..4], ["334 VXNlcm5hbWU6", "334 UGFzc3dvcmQ6"]);
    assert!(
        lines[1].starts_with("501 5.7.0 ") && lines[4].starts_with("501 5.7.0 "),
        "{all}"
    );
}

#[tokio::test]
async fn a_star_ends_an_exchange_at_any_prompt() {
    // W-9.05
    let world = with_users().await;
    let dialogues = [
        ("AUTH PLAIN", None),
        ("AUTH LOGIN", Some("YW5u")),
        ("AUTH SCRAM-SHA-256", None),
    ];
    let sessions = dialogues.map(|(begin, more)| {
        let dial = world.client();
        async move {
            let mut client = dial.session().await;
            client.cmd(begin).await.expect(334);
            client.cmd("*").await.expect("501 5.7.0");
            client.cmd(begin).await.expect(334);
            if let Some(line) = more {
                client.cmd(line).await.expect(334);
            }
            client.cmd("*").await.expect("501 5.7.0");
            client.in_sync().await;
            let mail = client.cmd("MAIL FROM:<a@elsewhere.test>").await;
            mail.expect("550 5.7.1"); // not authenticated
        }
    });
    join_all(sessions).await;
}

#[tokio::test]
async fn what_is_not_base64_or_not_plain_is_malformed() {
    // W-9.06
    let world = with_users().await;
    let wrongs = [
        "AGFubgBzZWNyZXQ",
        "AGFubg BzZWNyZXQ=",
        "?",
        "AGFubgBzZWNyZXR=", // bits that count for nothing are set
        "=",
        &STANDARD.encode("ann\0secret"),
        &STANDARD.encode("\0ann\0secret\0"),
    ];
    let sessions = wrongs.map(|wrong| {
        let dial = world.client();
        async move {
            let mut client = dial.session().await;
            client
                .cmd(&format!("AUTH PLAIN {wrong}"))
                .await
                .expect("501 5.5.2");
            client.cmd("AUTH PLAIN").await.expect(334);
            client.cmd(wrong).await.expect("501 5.5.2");
            client.in_sync().await;
        }
    });
    join_all(sessions).await;
    let mut client = world.client().session().await;
    let other = STANDARD.encode("bob\0ann\0secret");
    let same = STANDARD.encode("ann\0ann\0secret");
    client
        .cmd(&format!("AUTH PLAIN {other}"))
        .await
        .expect("535 5.7.8");
    client
        .cmd(&format!("AUTH PLAIN {same}"))
        .await
        .expect("235 2.7.0");
}

#[tokio::test]
async fn a_wrong_password_and_an_unknown_user_are_one() {
    // W-9.07
    let world = with_users().await;
    let mut client = world.client().session().await;
    let wrong = client
        .cmd(&format!("AUTH PLAIN {}", plain("ann", "hunter2")))
        .await;
    let unknown = client
        .cmd(&format!("AUTH PLAIN {}", plain("nobody\n", "hunter2")))
        .await;
    let wrong = wrong.expect("535 5.7.8");
    assert_eq!(wrong.lines, unknown.expect("535 5.7.8").lines);
    let told = world.log().tells_times("auth_failed", 2).await;
    let users: Vec<_> = told.iter().filter_map(|line| line.field("user")).collect();
    assert_eq!(users, ["ann", "nobody\\n"]);
    assert_eq!(told[0].field("mechanism").as_deref(), Some("PLAIN"));
    assert_eq!(told[0].field("client").as_deref(), Some("127.0.0.1"));
    let log = world.log().lines();
    assert!(log.iter().all(|line| !line.text.contains("hunter2")));
}

#[tokio::test]
async fn auth_has_its_place() {
    // W-9.08
    let world = with_users().await;
    let mut client = world.client().connect().await;
    client.read_reply().await.expect(220);
    let right = format!("AUTH PLAIN {ANN}");
    let rows = [
        (&*right, "503 5.5.1"),
        ("HELO client.test", "250"),
        (&right, "503 5.5.1"),
        ("EHLO client.test", "250"),
        ("AUTH", "501 5.5.4"),
        ("AUTH  ", "501 5.5.4"),
        ("AUTH CRAM-MD5", "504 5.5.4"),
        ("AUTH SCRAM-SHA-256-PLUS", "504 5.5.4"),
        ("AUTH PLAINER AGE=", "504 5.5.4"),
        ("MAIL FROM:<ann@gp.test>", "250"),
        (&right, "503 5.5.1"),
        ("RSET", "250"),
        (&right, "235 2.7.0"),
        (&right, "503 5.5.1"),
        ("AUTH FOO", "503 5.5.1"),
    ];
    client.dialogue(rows).await;
    client.in_sync().await;
}

#[tokio::test]
async fn a_response_may_follow_in_the_same_segment_and_commands_behind_it() {
    // W-9.11
    let world = with_users().await;
    let mut client = world.client().session().await;
    let lines = format!("AUTH PLAIN\r\n{ANN}\r\nNOOP\r\nVRFY x\r\n");
    client.send_octets(&lines).await;
    for wanted in ["334", "235 2.7.0", "250 2.0.0", "252 2.0.0"] {
        client.read_reply().await.expect(wanted);
    }
    let mut client = world.client().session().await;
    client.send_each_octet(&lines).await;
    for wanted in ["334", "235 2.7.0", "250 2.0.0", "252 2.0.0"] {
        client.read_reply().await.expect(wanted);
    }
    client.in_sync().await;
}

#[tokio::test]
async fn who_is_authenticated_sends_as_anybody_and_is_so_told() {
    // W-9.12, W-6.02, W-4.06
    let world = with_users().await;
    let mx = world.remote("dest.test").await;
    let mut client = world.client().session().await;
    let from_elsewhere = || mail().from("a@elsewhere.test").to("ann@dest.test");
    client
        .cmd("MAIL FROM:<a@elsewhere.test>")
        .await
        .expect("550 5.7.1");
    client
        .cmd(&format!("AUTH PLAIN {ANN}"))
        .await
        .expect("235 2.7.0");
    client.send(from_elsewhere()).await.accepted();
    assert_eq!(mx.message().await.trace().with, "ESMTPA");
    client.cmd("RSET").await.expect(250);
    client.send(from_elsewhere()).await.accepted();
    client.cmd("EHLO again.test").await.expect(250);
    let utf8 = from_elsewhere().mail_parameter("SMTPUTF8 AUTH=ann+40gp.test");
    client.send(utf8).await.accepted();
    let mut with = vec![
        mx.message().await.trace().with,
        mx.message().await.trace().with,
    ];
    with.sort();
    assert_eq!(with, ["ESMTPA", "UTF8SMTPA"]);
}

#[tokio::test]
async fn the_auth_parameter_is_taken_where_auth_is_offered() {
    // W-4.06
    let rows = [
        ("AUTH=<>", "250", "555 5.5.4"),
        ("AUTH=ann+40gp.test", "250", "555 5.5.4"),
        ("auth=ann@gp.test", "250", "555 5.5.4"),
        ("AUTH=a+4", "501 5.5.4", "555 5.5.4"),
        ("AUTH=a+zz", "501 5.5.4", "555 5.5.4"),
        ("AUTH=<> AUTH=<>", "501 5.5.4", "555 5.5.4"),
        ("AUTH=", "501 5.5.4", "501 5.5.4"),
    ];
    for (world, offered) in [(with_users().await, true), (World::new().await, false)] {
        let mut client = world.client().session().await;
        for (parameter, taken, refused) in rows {
            let line = format!("MAIL FROM:<a@gp.test> {parameter}");
            let wanted = if offered { taken } else { refused };
            client.cmd(&line).await.expect(wanted);
            client.cmd("RSET").await.expect(250);
        }
    }
}

#[tokio::test]
async fn a_client_from_elsewhere_can_only_authenticate() {
    // W-9.13
    let world = with_users()
        .set("SMTP_ALLOW_NETWORKS", "127.0.0.1")
        .set("SMTP_AUTH_ANYWHERE", "true")
        .await;
    let mx = world.remote("dest.test").await;
    let mut client = world.client().from("127.0.0.7").connect().await;
    client.read_reply().await.expect(220);
    let right = format!("AUTH PLAIN {ANN}");
    let rows = [
        ("MAIL FROM:<a@gp.test>", "530 5.7.0"),
        ("EHLO client.test", "250"),
        ("MAIL FROM:<a@gp.test>", "530 5.7.0"),
        ("RCPT TO:<ann@dest.test>", "530 5.7.0"),
        ("DATA", "530 5.7.0"),
        ("VRFY ann", "530 5.7.0"),
        ("NOOP", "250"),
        ("RSET", "250"),
        ("HELO client.test", "250"),
        ("MAIL FROM:<>", "530 5.7.0"),
        ("EHLO client.test", "250"),
        (&right, "235 2.7.0"),
    ];
    client.dialogue(rows).await;
    client.send(mail().to("ann@dest.test")).await.accepted();
    let trace = mx.message().await.trace();
    assert_eq!((&*trace.with, &*trace.client), ("ESMTPA", "[127.0.0.7]"));
    client.quit().await;

    let mut client = world.client().from("127.0.0.7").session().await;
    client.send_octets("BDAT 6 LAST\r\nQUIT\r\nNOOP\r\n").await;
    client.read_reply().await.expect("530 5.7.0");
    client.read_reply().await.expect("250 2.0.0");
    client.quit().await;
    world
        .client()
        .send(mail().to("bob@dest.test"))
        .await
        .accepted(); // of the list, without AUTH
}
