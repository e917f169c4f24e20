//! What only a running relay can do, and what a command does that reaches nobody.

use std::os::unix::net::UnixListener;

use crate::support::{World, mail};

#[tokio::test]
async fn reload_audit_and_watch_say_in_one_line_that_they_need_a_relay() {
    let world = World::setup().without_relay().await;
    for arguments in [
        &["reload"][..],
        &["health"],
        &["audit", "on"],
        &["audit", "off"],
        &["queue", "watch"],
    ] {
        let ran = world
            .relay()
            .does(arguments.iter().copied())
            .await
            .ends_with(1);
        assert_eq!(ran.complaint.lines().count(), 1, "{ran:?}");
        ran.complains("no relay runs");
    }
}

#[tokio::test]
async fn health_is_one_word_also_where_live_events_follow() {
    for debug in ["false", "true"] {
        let world = World::setup().set("SMTP_DEBUG", debug).await;
        let ran = world.relay().does(["health"]).await.ends_with(0);
        assert_eq!(ran.out, "OK\n", "SMTP_DEBUG={debug}");
    }
}

#[tokio::test]
async fn the_audit_stream_is_made_to_tell_more_or_less() {
    let world = World::new().await;
    for (word, verbose) in [("on", true), ("off", false)] {
        let state = world.relay().does(["audit", word, "--json"]).await.json();
        assert_eq!(state["verbose"], verbose);
        let text = world.relay().does(["audit", word]).await.ends_with(0);
        text.shows([word]);
    }
}

#[tokio::test]
async fn a_queue_that_another_process_holds_is_left_alone() {
    let world = World::new().await;
    let elsewhere = world.relay().directory().join("elsewhere.sock");
    let there = world.relay().variable("SMTP_QUEUE_PATH");
    world
        .relay()
        .set("SMTP_CONTROL_SOCKET", elsewhere.to_str().unwrap());
    for arguments in [
        &["queue", "list"][..],
        &["queue", "purge", "--all", "--yes"],
        &["explain", "a@b.test"],
    ] {
        let ran = world
            .relay()
            .does(arguments.iter().copied())
            .await
            .ends_with(1);
        ran.complains(&there).complains("SMTP_CONTROL_SOCKET");
        assert_eq!(ran.out, "");
    }
    drop(UnixListener::bind(&elsewhere).unwrap()); // as a killed relay leaves it
    world.relay().does(["queue", "list"]).await.ends_with(1);
    world.takes_and_delivers_a_mail().await;
}

#[tokio::test]
async fn a_reload_tells_what_is_in_force_and_nothing_changes_if_there_is_a_problem() {
    let world = World::new().await;
    let file = world.relay().directory().join(".env");
    let nothing = world.relay().does(["reload"]).await.ends_with(0);
    nothing.shows(["nothing has changed"]);
    std::fs::write(&file, "SMTP_MAX_RECIPIENTS=500\n").unwrap();
    let told = world.relay().does(["reload", "--json"]).await.json();
    assert_eq!(told["changed"][0], "SMTP_MAX_RECIPIENTS", "{told}");
    std::fs::write(&file, "SMTP_MAX_RECIPIENTS=few\n").unwrap();
    let ran = world.relay().does(["reload"]).await.ends_with(1);
    assert!(ran.complaint.contains("SMTP_MAX_RECIPIENTS=few"), "{ran:?}");
    std::fs::remove_file(&file).unwrap();
    world.takes_and_delivers_a_mail().await;
}

#[tokio::test]
async fn what_happens_is_watched_as_it_happens_until_it_is_interrupted() {
    let world = World::new().await;
    world.remote("dest.test").await;
    world.remote("other.test").await;
    world.relay().does(["audit", "on"]).await.ends_with(0);
    let mut all = world.relay().begins(["queue", "watch", "--json"]);
    let mut one = world
        .relay()
        .begins(["queue", "watch", "--domain", "dest.test,probe.test"]);
    let ready = |line: &str| line.contains("probe.test");
    let mut heard = (false, false);
    while heard != (true, true) {
        world.takes_and_delivers_a_mail().await; // until both are there to hear of it
        tokio::select! {
            line = all.line(), if !heard.0 => heard.0 = ready(&line),
            line = one.line(), if !heard.1 => heard.1 = ready(&line),
        }
    }
    world
        .client()
        .send(mail().to("x@other.test"))
        .await
        .accepted();
    let id = world
        .client()
        .send(mail().to("ann@dest.test"))
        .await
        .accepted();
    let mut last = serde_json::Value::Null;
    while last["event"] != "delivered" || last["rcpt"] != "ann@dest.test" {
        last = serde_json::from_str(&all.line().await).unwrap();
    }
    assert_eq!(last["queue_id"], id.0.as_str());
    let mut line = one.line().await;
    while !line.contains("ann@dest.test") {
        line = one.line().await;
    }
    assert!(
        line.contains("ann@dest.test") && line.contains(&id.0),
        "{line}"
    );
    for watch in [all, one] {
        watch.interrupt();
        assert_eq!(watch.ends().await.status, Some(0));
    }
    world.relay().terminate().await;
}

#[tokio::test]
async fn a_reader_that_has_seen_enough_is_no_error() {
    let world = World::setup().set("SMTP_MODE", "hold").await;
    let many: Vec<String> = (0..900)
        .map(|number| format!("r{number}@dest.test"))
        .collect();
    for _ in 0..3 {
        world
            .client()
            .send(mail().recipients(&many))
            .await
            .accepted();
    }
    for runs in [true, false] {
        if !runs {
            world.relay().terminate().await;
        }
        let mut list = world.relay().begins(["queue", "list"]);
        assert!(list.line().await.starts_with("ID"));
        list.reads_no_more();
        let ran = list.ends().await.ends_with(0);
        assert!(!ran.complaint.contains("roken pipe"), "{ran:?}");
    }
}

#[tokio::test]
async fn a_relay_that_runs_is_in_reach_while_its_settings_are_wrong() {
    let world = World::new().await;
    world.relay().set_in_file("SMTP_RELAY_USER", "ann");
    world.relay().does(["health"]).await.ends_with(0);
    world.relay().does(["queue", "list"]).await.ends_with(0);
    // Without one they are the command's own.
    world.relay().terminate().await;
    let ran = world.relay().does(["queue", "list"]).await.ends_with(1);
    ran.complains("expected SMTP_RELAY_PASSWORD");
}
