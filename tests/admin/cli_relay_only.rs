//! What only a running relay can do, and what a command does that reaches nobody.

use std::os::unix::net::UnixListener;

use crate::support::World;

#[tokio::test]
async fn reload_audit_and_watch_say_in_one_line_that_they_need_a_relay() {
    let world = World::setup().without_relay().await;
    for arguments in [
        &["reload"][..],
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
