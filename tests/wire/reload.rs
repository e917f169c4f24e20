//! W-23.09: a changed configuration while mail is being taken and delivered. Each of these relays has a
//! `.env` in its directory that the test rewrites.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use crate::support::{Client, Gate, Line, World, mail, reply};

/// A world whose relay is started with these variables in its `.env`.
async fn world_with(variables: &[(&str, &str)]) -> World {
    let world = World::setup().without_relay().await;
    for (variable, value) in variables {
        world.relay().set_in_file(variable, value);
    }
    world.relay().start().await;
    world
}

/// What a reload says in one of its fields.
fn told(line: &Line, field: &str) -> String {
    line.field(field).unwrap_or_default()
}

async fn turned_away(world: &World, client: &str) {
    let mut client = world.client().from(client).connect().await;
    client.read_reply().await.expect("554 5.7.1");
    client.expect_closed().await;
}

async fn greeting(world: &World) -> String {
    let mut client = world.client().connect().await;
    client.read_reply().await.expect(220).text()
}

#[tokio::test]
async fn a_reload_drops_nobody_and_a_new_client_sees_the_new_list() {
    // W-23.09
    let world = world_with(&[("SMTP_ALLOW_NETWORKS", "127.0.0.1")]).await;
    let gate = Gate::new();
    let late = [reply("250 2.0.0 taken").behind(&gate)];
    let mx = world.remote("dest.test").dot(late).await;
    let in_flight = world.client().send(mail().to("a@dest.test")).await;
    gate.reached().await;
    let mut idle = world.client().session().await;
    let mut busy = world.client().session().await;
    let second = mail().to("b@dest.test").body("Under way.\n");
    busy.up_to_data(&second).await;
    busy.send_octets("Subject: half\r\n").await;
    turned_away(&world, "127.0.0.9").await;

    let list = "127.0.0.1,127.0.0.9";
    world.relay().set_in_file("SMTP_ALLOW_NETWORKS", list);
    let line = world.relay().reloads().await;
    assert_eq!(told(&line, "changed"), "SMTP_ALLOW_NETWORKS");
    assert_eq!(told(&line, "by"), "SIGHUP");
    assert_eq!(told(&line, "needs_restart"), "");

    let mut new = world.client().from("127.0.0.9").session().await;
    new.cmd("MAIL FROM:<a@gp.test>").await.expect(250);
    busy.send_octets("\r\nand the other half\r\n.\r\n").await;
    let half = busy.read_reply().await.expect("250 2.0.0").queue_id();
    let after = idle.send(mail().to("c@dest.test")).await.accepted();
    gate.open();
    for id in [&in_flight.accepted(), &half, &after] {
        world.history(id).is_exactly(["delivered"]).await;
    }
    mx.received_exactly(3).await;
}

#[tokio::test]
async fn who_is_taken_off_the_list_may_end_his_transaction() {
    // W-23.09
    let world = world_with(&[("SMTP_ALLOW_NETWORKS", "127.0.0.1,127.0.0.9")]).await;
    let mx = world.remote("dest.test").await;
    let mut client = world.client().from("127.0.0.9").session().await;
    client.up_to_data(&mail().to("ann@dest.test")).await;
    let relay = world.relay();
    relay.set_in_file("SMTP_ALLOW_NETWORKS", "127.0.0.1");
    relay.reloads().await;
    client.send_octets("Subject: x\r\n\r\nx\r\n.\r\n").await;
    client.read_reply().await.expect("250 2.0.0");
    client
        .cmd("MAIL FROM:<a@gp.test>")
        .await
        .expect("421 4.7.0");
    client.expect_closed().await;
    turned_away(&world, "127.0.0.9").await;
    mx.received_exactly(1).await;
}

#[tokio::test]
async fn a_bad_configuration_changes_nothing_and_every_problem_is_told() {
    // W-23.09
    let world = world_with(&[
        ("SMTP_BANNER", "first"),
        ("SMTP_ALLOW_NETWORKS", "127.0.0.0/8,::1"),
        ("SMTP_TLS_DISABLE", "true"),
    ])
    .await;
    let relay = world.relay();
    relay.set_in_file("SMTP_BANNER", "second");
    relay.set_in_file("SMTP_ALLOW_NETWORKS", "127.0.0.300");
    relay.set_in_file("SMTP_MAX_ERRORS", "0");
    let line = relay.refuses_to_reload().await;
    let problems = told(&line, "problems");
    for named in ["SMTP_ALLOW_NETWORKS=127.0.0.300", "SMTP_MAX_ERRORS=0"] {
        assert!(problems.contains(named), "{problems}");
    }
    assert_eq!(greeting(&world).await, "gp.test first");

    // Files are looked at as at a start, all of them.
    relay.unset_in_file("SMTP_MAX_ERRORS");
    relay.set_in_file("SMTP_ALLOW_NETWORKS", "127.0.0.0/8,::1");
    relay.set_in_file("SMTP_DKIM_KEYS", "gp.test:s1:/nowhere/key.pem");
    relay.set_in_file("SMTP_TLS_DISABLE", "false");
    relay.set_in_file("SMTP_TLS_CERT", "/nowhere/cert.pem");
    relay.set_in_file("SMTP_TLS_KEY", "/nowhere/key.pem");
    relay.set_in_file("SMTP_SOURCE_ADDRESSES", "192.0.2.7");
    let problems = told(&relay.refuses_to_reload().await, "problems");
    for named in [
        "SMTP_DKIM_KEYS=gp.test:s1:/nowhere/key.pem",
        "SMTP_TLS_CERT=/nowhere/cert.pem",
        "SMTP_SOURCE_ADDRESSES",
    ] {
        assert!(problems.contains(named), "{problems}");
    }
    assert_eq!(greeting(&world).await, "gp.test first");

    for variable in [
        "SMTP_DKIM_KEYS",
        "SMTP_TLS_CERT",
        "SMTP_TLS_KEY",
        "SMTP_SOURCE_ADDRESSES",
    ] {
        relay.unset_in_file(variable);
    }
    relay.reloads().await;
    assert_eq!(greeting(&world).await, "gp.test second");
    world.takes_and_delivers_a_mail().await;
}

#[tokio::test]
async fn what_systemd_read_in_the_file_follows_the_file() {
    // EnvironmentFile= and SMTP_ENV_FILE name the same file: the environment has it as it was at the start.
    let world = World::setup().without_relay().await;
    let relay = world.relay();
    relay.set_in_file("SMTP_BANNER", "first");
    relay.set_in_file("SMTP_MAX_RECIPIENTS", "222");
    relay.set("SMTP_BANNER", "first");
    relay.set("SMTP_MAX_RECIPIENTS", "111");
    relay.start().await;
    relay.set_in_file("SMTP_BANNER", "second");
    relay.set_in_file("SMTP_MAX_RECIPIENTS", "333");
    // What the environment alone set wins, as ever.
    assert_eq!(told(&relay.reloads().await, "changed"), "SMTP_BANNER");
    assert_eq!(greeting(&world).await, "gp.test second");
    relay.unset_in_file("SMTP_BANNER");
    relay.reloads().await;
    assert_eq!(greeting(&world).await, "gp.test GopherPost ready");
    relay.set_in_file("SMTP_BANNER", "third");
    relay.reloads().await;
    assert_eq!(greeting(&world).await, "gp.test third");
}

#[tokio::test]
async fn the_command_tells_what_has_changed_or_what_is_wrong() {
    // W-23.09
    let world = world_with(&[("SMTP_BANNER", "first")]).await;
    let relay = world.relay();
    relay.set_in_file("SMTP_BANNER", "second");
    relay.set_in_file("SMTP_MODE", "hold");
    let output = relay.run(["reload", "--json"]).await;
    assert!(output.status.success(), "{output:?}");
    let told: serde_json::Value = serde_json::from_slice(&output.stdout).expect("JSON");
    let want = serde_json::json!({
        "changed": ["SMTP_BANNER"], "needs_restart": ["SMTP_MODE"], "files": []
    });
    assert_eq!(told, want);
    assert_eq!(greeting(&world).await, "gp.test second");
    relay.set_in_file("SMTP_DKIM_KEYS", "gp.test:s1:/nowhere/key.pem");
    let output = relay.run(["reload"]).await;
    assert_eq!(output.status.code(), Some(1), "{output:?}");
    let told = String::from_utf8(output.stderr).expect("text");
    assert!(
        told.contains("SMTP_DKIM_KEYS=gp.test:s1:/nowhere"),
        "{told}"
    );
}

#[tokio::test]
async fn another_file_may_be_named_instead() {
    let world = World::setup().without_relay().await;
    let relay = world.relay();
    let file = relay.directory().join("gopherpost.env");
    std::fs::write(&file, "SMTP_BANNER=first\n").expect("a file");
    relay.set("SMTP_ENV_FILE", &file.display().to_string());
    relay.start().await;
    assert_eq!(greeting(&world).await, "gp.test first");
    std::fs::write(&file, "SMTP_BANNER=second\n").expect("a file");
    relay.reloads().await;
    assert_eq!(greeting(&world).await, "gp.test second");
}

#[tokio::test]
async fn what_needs_a_restart_is_told_and_stays_as_it_was() {
    let world = world_with(&[("SMTP_BANNER", "first")]).await;
    let relay = world.relay();
    relay.set_in_file("SMTP_QUEUE_WORKERS", "7");
    relay.set_in_file("SMTP_BANNER", "second");
    let line = relay.reloads().await;
    assert_eq!(told(&line, "changed"), "SMTP_BANNER");
    assert_eq!(told(&line, "needs_restart"), "SMTP_QUEUE_WORKERS");
    let line = relay.reloads().await;
    assert_eq!(told(&line, "changed"), "");
    assert_eq!(told(&line, "needs_restart"), "SMTP_QUEUE_WORKERS");
    relay.restart().await;
    let line = relay.reloads().await;
    assert_eq!(told(&line, "needs_restart"), "");
}

#[tokio::test]
async fn users_are_those_of_their_file() {
    let world = World::setup()
        .set("SMTP_AUTH_INSECURE", "true")
        .without_relay()
        .await;
    let users = world.relay().directory().join("users");
    std::fs::write(&users, "ann:hunter2\nbob:hunter4\n").expect("a file");
    let path = users.display().to_string();
    world.relay().set_in_file("SMTP_AUTH_USERS_FILE", &path);
    world.relay().start().await;
    let auth = async |client: &mut Client, user: &str, password: &str| {
        let plain = STANDARD.encode(format!("\0{user}\0{password}"));
        client.cmd(&format!("AUTH PLAIN {plain}")).await
    };
    let mut stays = world.client().session().await;
    auth(&mut stays, "ann", "hunter2").await.expect(235);
    let mut goes = world.client().session().await;
    auth(&mut goes, "bob", "hunter4").await.expect(235);

    std::fs::write(&users, "ann:hunter3\n").expect("a file");
    let line = world.relay().reloads().await;
    assert_eq!(told(&line, "changed"), "SMTP_AUTH_USERS");
    let secrets = |lines: &[Line]| lines.iter().any(|line| line.text.contains("hunter"));
    assert!(!world.log().read(secrets));

    let mut client = world.client().session().await;
    auth(&mut client, "ann", "hunter2")
        .await
        .expect("535 5.7.8");
    auth(&mut client, "ann", "hunter3").await.expect(235);
    stays.cmd("MAIL FROM:<a@gp.test>").await.expect(250);
    goes.cmd("MAIL FROM:<a@gp.test>").await.expect("421 4.7.0");
    goes.expect_closed().await;
}

#[tokio::test]
async fn a_certificate_is_in_use_at_once_and_a_bad_one_is_not() {
    let world = World::setup().with_tls().await;
    let shown = async || {
        let mut client = world.client().session().await;
        client
            .starttls(world.ca().client(), "gp.test")
            .await
            .unwrap();
        client.certificates()[0].clone()
    };
    let first = shown().await;
    let second = world.replace_certificate("gp.test");
    let files = told(&world.relay().reloads().await, "files");
    assert!(
        files.contains("/cert.pem, ") && files.ends_with("/key.pem"),
        "{files}"
    );
    assert_ne!(first, second);
    assert_eq!(shown().await, second);

    let file = world.relay().directory().join("key.pem");
    std::fs::write(&file, "nonsense").expect("a file");
    let problems = told(&world.relay().refuses_to_reload().await, "problems");
    assert!(problems.starts_with("SMTP_TLS_KEY="), "{problems}");
    assert_eq!(shown().await, second);
}

#[tokio::test]
async fn a_key_signs_from_the_next_transaction_on() {
    let world = world_with(&[]).await;
    let mx = world.remote("dest.test").await;
    let mut open = world.client().session().await;
    open.send(mail().to("bob@dest.test")).await.accepted();
    let message = mx.message().await;
    assert_eq!(world.verifies(message.octets()).await, [""; 0]);

    let key = world.put_key("ed25519.pem", crate::support::ED25519_PEM);
    let keys = format!("gp.test:e1:{}", key.display());
    world.relay().set_in_file("SMTP_DKIM_KEYS", &keys);
    world.publishes_keys().await;
    let line = world.relay().reloads().await;
    assert_eq!(told(&line, "changed"), "SMTP_DKIM_KEYS");
    open.send(mail().to("bob@dest.test")).await.accepted();
    let message = mx.message().await;
    let want = ["pass ed25519-sha256 gp.test e1"];
    assert_eq!(world.verifies(message.octets()).await, want);
}

#[tokio::test]
async fn mail_that_waits_goes_by_the_new_routes() {
    let world = world_with(&[("SMTP_RETRY_BASE", "2s")]).await;
    let down = world.remote("moved.test").await;
    down.goes_down();
    let routed = world.remote_without_dns().await;
    let sent = world.client().send(mail().to("ann@moved.test")).await;
    let history = world.history(&sent.accepted());
    history.shows(["deferred 4.4.1"]).await;

    let route = format!("moved.test=smtp://{}", routed.address());
    world.relay().set_in_file("SMTP_ROUTES", &route);
    let line = world.relay().reloads().await;
    assert_eq!(told(&line, "changed"), "SMTP_ROUTES");
    let line = world.log().tells("rerouted").await;
    assert_eq!(told(&line, "recipients"), "1");
    history.is_exactly(["deferred", "delivered"]).await;
    routed.received_exactly(1).await;

    // And back again, for what comes now.
    down.comes_back().await;
    world.relay().unset_in_file("SMTP_ROUTES");
    world.relay().reloads().await;
    let sent = world.client().send(mail().to("bob@moved.test")).await;
    world.history(&sent.accepted()).shows(["delivered"]).await;
    down.received_exactly(1).await;
}

#[tokio::test]
async fn an_attempt_under_way_is_not_made_again_for_a_new_route() {
    let world = world_with(&[]).await;
    let gate = Gate::new();
    let late = [reply("250 2.0.0 taken").behind(&gate)];
    let old = world.remote("moved.test").dot(late).await;
    let new = world.remote_without_dns().await;
    let sent = world.client().send(mail().to("ann@moved.test")).await;
    gate.reached().await;
    let route = format!("moved.test=smtp://{}", new.address());
    world.relay().set_in_file("SMTP_ROUTES", &route);
    world.relay().reloads().await;
    let line = world.log().tells("rerouted").await;
    assert_eq!(told(&line, "recipients"), "1");
    // The new line has it, and more mail of the same line goes while it is in other hands.
    let more = world.client().send(mail().to("bob@moved.test")).await;
    world.history(&more.accepted()).shows(["delivered"]).await;
    gate.open();
    world
        .history(&sent.accepted())
        .is_exactly(["delivered"])
        .await;
    old.received_exactly(1).await;
    new.received_exactly(1).await;
}

#[tokio::test]
async fn a_crash_amid_a_change_of_routes_leaves_mail_in_its_line() {
    let world = world_with(&[("SMTP_RETRY_BASE", "2s")]).await;
    let down = world.remote("moved.test").await;
    down.goes_down();
    let routed = world.remote_without_dns().await;
    let sent = world.client().send(mail().to("ann@moved.test")).await;
    let history = world.history(&sent.accepted());
    history.shows(["deferred 4.4.1"]).await;
    let route = format!("moved.test=smtp://{}", routed.address());
    world.relay().set_in_file("SMTP_ROUTES", &route);
    world.relay().reloads().await;
    world.relay().kill_and_restart().await;
    history.is_exactly(["deferred", "delivered"]).await;
    routed.received_exactly(1).await;
}

#[tokio::test]
async fn limits_and_the_log_are_those_of_the_changed_configuration() {
    let world = world_with(&[("SMTP_LOG", "info")]).await;
    let relay = world.relay();
    let mut open = world.client().session().await;
    relay.set_in_file("SMTP_MAX_MESSAGE_SIZE", "64KiB");
    relay.set_in_file("SMTP_MAX_CONNECTIONS", "2");
    relay.set_in_file("SMTP_LOG", "debug");
    let line = relay.reloads().await;
    let want = "SMTP_MAX_MESSAGE_SIZE, SMTP_MAX_CONNECTIONS, SMTP_LOG";
    assert_eq!(told(&line, "changed"), want);
    let mut second = world.client().session().await;
    let hello = second.cmd("EHLO client.test").await.expect(250);
    assert!(hello.keywords().contains(&"SIZE 65536"), "{hello}");
    let mut third = world.client().connect().await;
    third.read_reply().await.expect("421 4.3.2");
    for client in [&mut open, &mut second] {
        client
            .cmd("MAIL FROM:<a@gp.test> SIZE=70000")
            .await
            .expect("552 5.3.4");
    }
    world.log().tells("session_started").await;
    relay.set_in_file("SMTP_LOG", "info,nonsense=loud");
    let problems = told(&relay.refuses_to_reload().await, "problems");
    assert!(problems.starts_with("SMTP_LOG"), "{problems}");
}

#[tokio::test]
async fn the_lifetime_of_mail_that_waits_may_be_shortened() {
    let world = world_with(&[]).await;
    let mx = world.remote("dest.test").rcpt(["451 4.2.0 later"; 9]).await;
    let sent = world.client().send(mail().to("ann@dest.test")).await;
    let id = sent.accepted();
    world.history(&id).shows(["deferred 4.2.0"]).await;
    world.relay().set_in_file("SMTP_MESSAGE_LIFETIME", "1s");
    world.relay().reloads().await;
    world.history(&id).event("expired", "ann@dest.test").await;
    drop(mx);
}
