//! `queue list`, `show`, `stats`, `history`: what is told of mail.

use crate::support::{Ran, World, mail};

/// Recipients that a list names, in order.
fn recipients(ran: &Ran) -> Vec<String> {
    let lines = ran.json_lines();
    let to = lines.iter().map(|line| line["to"].as_str().unwrap());
    to.map(str::to_owned).collect()
}

/// Three messages that are held.
async fn world_with_mail() -> (World, [String; 3]) {
    let world = World::setup().set("SMTP_MODE", "hold").await;
    let client = |from: &str, to: &[&str]| {
        let dial = world.client();
        let mail = mail().from(from).recipients(to.iter());
        async move { dial.send(mail).await.accepted().0 }
    };
    let ids = [
        client("ann@gp.test", &["bob@a.test"]).await,
        client(
            "news@gp.test",
            &["carol@b.test", "dan@a.test", "eve@sub.a.test"],
        )
        .await,
        client("ann@gp.test", &["carol@b.test"]).await,
    ];
    (world, ids)
}

#[tokio::test]
async fn filters_mean_the_same_with_and_without_a_running_relay() {
    let (world, ids) = world_with_mail().await;
    let (bob, carol, dan, eve) = ("bob@a.test", "carol@b.test", "dan@a.test", "eve@sub.a.test");
    let all = [bob, carol, dan, eve, carol];
    let two = format!("{},{}", ids[0], ids[2]);
    for runs in [true, false] {
        if !runs {
            world.relay().terminate().await;
        }
        for (filter, want) in [
            (&[][..], &all[..]),
            (&["--id", &ids[1]], &[carol, dan, eve]),
            (&["--id", &two], &[bob, carol]),
            (&["--id", &ids[0], "--id", &ids[2]], &[bob, carol]),
            (&["--from", "ann@*"], &[bob, carol]),
            (&["--to", "CAROL@b.test,dan@*"], &[carol, dan, carol]),
            (&["--domain", "a.test"], &[bob, dan]),
            (&["--domain", "*a.test"], &[bob, dan, eve]),
            (&["--domain", "*a.test", "--from", "news@*"], &[dan, eve]),
            (&["--state", "held,queued", "--limit", "2"], &[bob, carol]),
            (&["--younger-than", "1h", "--to", "eve@*"], &[eve]),
            (&["--all", "--limit", "1"], &[bob]),
        ] {
            let arguments = ["queue", "list", "--json"].into_iter();
            let ran = world
                .relay()
                .does(arguments.chain(filter.iter().copied()))
                .await;
            assert_eq!(recipients(&ran), want, "{filter:?}, relay runs: {runs}");
            let opened = "no relay runs: the queue is opened by this command";
            assert_eq!(ran.complaint.contains(opened), !runs, "{ran:?}");
        }
        for filter in [
            &["--state", "delivered"][..],
            &["--older-than", "1h"],
            &["--min-attempts", "1"],
            &["--reply", "greylist"],
            &["--domain", "b.test", "--from", "bob@*"],
        ] {
            for json in [&["--json"][..], &[]] {
                let arguments = [&["queue", "list"], filter, json].concat();
                let ran = world.relay().does(arguments).await.ends_with(3);
                ran.complains("nothing matches");
                assert_eq!(ran.out, "");
            }
        }
        for wrong in [
            &["--older-than", "yesterday"][..],
            &["--state", "lost"],
            &["--limit", "0"],
            &["--id", "x"],
        ] {
            let arguments = ["queue", "list"].into_iter();
            let ran = world.relay().does(arguments.chain(wrong.iter().copied()));
            ran.await.ends_with(2);
        }
    }
}

#[tokio::test]
async fn a_line_of_the_list_has_all_of_its_fields() {
    let world = World::setup()
        .set("SMTP_RETRY_BASE", "10m")
        .set("SMTP_RETRY_CAP", "20m")
        .await;
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
    for runs in [true, false] {
        if !runs {
            world.relay().terminate().await;
        }
        let line = world.relay().does(["queue", "list", "--json"]).await.json();
        let names: Vec<&str> = line
            .as_object()
            .unwrap()
            .keys()
            .map(String::as_str)
            .collect();
        let mut want = vec![
            "id",
            "from",
            "to",
            "destination",
            "state",
            "attempts",
            "arrived",
            "next_attempt",
            "last_attempt",
            "last_reply",
            "remote",
            "size",
            "age_seconds",
        ];
        want.sort_unstable();
        assert_eq!(names, want);
        assert_eq!(line["id"], id.0.as_str());
        assert_eq!(line["state"], "deferred");
        assert_eq!(line["attempts"], 1);
        assert_eq!(line["destination"], "dest.test");
        assert_eq!(line["last_reply"], "451 4.7.1 come again");
        assert!(line["remote"].as_str().unwrap().starts_with(remote.name()));
        for time in ["arrived", "next_attempt", "last_attempt"] {
            let at: jiff::Timestamp = line[time].as_str().unwrap().parse().unwrap();
            assert!(line[time].as_str().unwrap().ends_with('Z'), "{at}");
        }
        let text = world.relay().does(["queue", "list"]).await.ends_with(0);
        text.shows([
            "ID",
            "STATE",
            "LAST REPLY",
            &id.0,
            "deferred",
            "ann@dest.test",
            "451 4.7.1",
        ]);
        text.shows(["1 recipient"]);
        for reply in ["COME again", "451 4.7"] {
            let list = [
                "queue",
                "list",
                "--json",
                "--reply",
                reply,
                "--min-attempts",
                "1",
            ];
            assert_eq!(
                recipients(&world.relay().does(list).await),
                ["ann@dest.test"]
            );
        }
    }
}

#[tokio::test]
async fn the_table_has_what_waits_and_says_what_it_left_out() {
    let (world, _) = world_with_mail().await;
    let purged = ["queue", "purge", "--to", "carol@*", "--yes"];
    world.relay().does(purged).await.ends_with(0);
    let list = world.relay().does(["queue", "list"]).await.ends_with(0);
    assert!(!list.out.contains("carol"), "{}", list.out);
    assert!(
        list.out
            .ends_with("3 recipients; what is over is left out (--all)\n"),
        "{}",
        list.out
    );
    let all = world
        .relay()
        .does(["queue", "list", "--all", "--limit", "4"])
        .await;
    all.shows(["purged", "carol", "4 recipients, and more match"]);
}

#[tokio::test]
async fn a_message_is_shown_with_its_attempts_and_its_header() {
    let world = World::setup()
        .set("SMTP_RETRY_BASE", "10m")
        .set("SMTP_RETRY_CAP", "20m")
        .await;
    world
        .remote("dest.test")
        .rcpt(["451 4.7.1 come again"])
        .await;
    let sent = mail()
        .to("ann@dest.test")
        .subject("For the operator")
        .body("The body.");
    let id = world.client().send(sent).await.accepted();
    world.history(&id).shows(["deferred"]).await;
    for runs in [true, false] {
        if !runs {
            world.relay().terminate().await;
        }
        let shown = world
            .relay()
            .does(["queue", "show", &id.0, "--json"])
            .await
            .json();
        assert_eq!(shown["id"], id.0.as_str());
        let rcpt = &shown["recipients"][0];
        assert_eq!(rcpt["to"], "ann@dest.test");
        assert_eq!(rcpt["history"][0]["what"], "attempt");
        assert_eq!(rcpt["history"][0]["reply"], "451 4.7.1 come again");
        let header = shown["header"].as_str().unwrap();
        assert!(header.contains("Subject: For the operator"), "{header}");

        let text = world
            .relay()
            .does(["queue", "show", &id.0])
            .await
            .ends_with(0);
        text.shows([
            &*id.0,
            "to ann@dest.test",
            "deferred, 1 attempt, next in",
            "why",
        ]);
        text.shows([
            "attempt 1 at mx1.dest.test",
            "451 4.7.1 come again",
            "Subject: For the operator",
        ]);
        assert!(!text.out.contains("The body."));
        let body = world
            .relay()
            .does(["queue", "show", "--body", &id.0])
            .await
            .ends_with(0);
        body.shows(["Subject: For the operator", "The body."]);

        let other = world
            .relay()
            .does(["queue", "show", "01ARZ3NDEKTSV4RRFFQ69G5FAV"])
            .await;
        assert_eq!(other.ends_with(3).out, "");
    }
}

#[tokio::test]
async fn what_became_of_mail_is_told_by_id_message_id_sender_or_recipient() {
    let world = World::setup().set("SMTP_RETRY_BASE", "1s").await;
    let rcpt = ["451 4.7.1 come again", "250 2.1.5 ok"];
    world
        .remote("dest.test")
        .rcpt(rcpt)
        .dot(["250 2.0.0 taken as Q1"])
        .await;
    let sent = mail()
        .to("ann@dest.test")
        .from("app@gp.test")
        .without("Message-ID");
    let sent = sent.header("Message-ID", "<42@app.test>");
    let id = world.client().send(sent).await.accepted();
    world.history(&id).shows(["deferred", "delivered"]).await;
    for runs in [true, false] {
        if !runs {
            world.relay().terminate().await;
        }
        for whose in [
            &["--id", &*id.0][..],
            &["--message-id", "<42@app.test>"],
            &["--message-id", "42@app.test", "--from", "app@*"],
            &["--to", "*@dest.test"],
        ] {
            let arguments = ["queue", "history", "--json"].into_iter();
            let ran = world
                .relay()
                .does(arguments.chain(whose.iter().copied()))
                .await;
            let told = ran.json();
            assert_eq!(told["state"], "delivered", "{whose:?}");
            assert_eq!(told["message_id"], "42@app.test");
            let replies: Vec<&str> = told["history"]
                .as_array()
                .unwrap()
                .iter()
                .map(|event| event["reply"].as_str().unwrap())
                .collect();
            assert_eq!(replies, ["451 4.7.1 come again", "250 2.0.0 taken as Q1"]);
        }
        let text = world
            .relay()
            .does(["queue", "history", "--id", &id.0])
            .await
            .ends_with(0);
        text.shows([
            "to ann@dest.test",
            "delivered",
            "attempt 1",
            "451 4.7.1",
            "attempt 2",
            "taken as Q1",
        ]);
        let nobody = ["queue", "history", "--to", "nobody@dest.test"];
        world.relay().does(nobody).await.ends_with(3);
        world.relay().does(["queue", "history"]).await.ends_with(2);
    }
}

#[tokio::test]
async fn statistics_count_by_destination_and_age() {
    let (world, _) = world_with_mail().await;
    let suspend = ["dest", "suspend", "a.test", "--for", "1h"];
    world.relay().does(suspend).await.ends_with(0);
    for runs in [true, false] {
        if !runs {
            world.relay().terminate().await;
        }
        let stats = world
            .relay()
            .does(["queue", "stats", "--json", "--limit", "2"])
            .await
            .json();
        assert_eq!(stats["messages"], 3);
        assert_eq!(stats["recipients"]["held"], 5);
        assert_eq!(stats["by_age"][0], 5);
        assert_eq!(stats["left_out"], 1);
        let destinations = stats["destinations"].as_array().unwrap();
        assert_eq!(destinations.len(), 2);
        assert_eq!(destinations[0]["recipients"], 2);
        let text = world.relay().does(["queue", "stats"]).await.ends_with(0);
        text.shows([
            "3 messages",
            "held",
            "5",
            "DESTINATION",
            "T",
            "1280+",
            "TOTAL",
            "5",
        ]);
        text.shows(["* a.test", "* a.test is suspended, tried again in"]);
    }
}

#[tokio::test]
async fn an_empty_queue_or_none_at_all_is_no_error() {
    let world = World::setup().without_relay().await;
    for _ in 0..2 {
        for arguments in [
            &["queue", "list"][..],
            &["queue", "list", "--json"],
            &["dest", "list"],
        ] {
            let ran = world
                .relay()
                .does(arguments.iter().copied())
                .await
                .ends_with(0);
            assert_eq!(ran.out, "", "{arguments:?}");
        }
        let stats = world
            .relay()
            .does(["queue", "stats", "--json"])
            .await
            .json();
        assert_eq!(stats["messages"], 0);
        world
            .relay()
            .does(["queue", "purge", "--all", "--yes"])
            .await
            .ends_with(3);
        world.relay().start().await; // once there is none, once it is empty
        world.relay().terminate().await;
    }
}
