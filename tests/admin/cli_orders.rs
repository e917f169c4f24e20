//! `queue retry|hold|release|purge|restore|bounce`: orders, careful and otherwise.

use serde_json::Value;

use crate::support::{Gate, Id, Ran, World, mail, reply};

/// The last line of an order with `--json`.
fn done(ran: &Ran) -> Value {
    let lines = ran.json_lines();
    lines.last().expect("a result")["done"].clone()
}

async fn states(world: &World) -> Vec<String> {
    let list = world.relay().does(["queue", "list", "--json"]).await;
    let lines = list.json_lines();
    let states = lines.iter().map(|line| line["state"].as_str().unwrap());
    states.map(str::to_owned).collect()
}

async fn held_mail(world: &World, count: usize) -> Vec<Id> {
    let mut ids = Vec::new();
    for number in 0..count {
        let sent = mail().to(&format!("r{number}@dest.test"));
        ids.push(world.client().send(sent).await.accepted());
    }
    ids
}

#[tokio::test]
async fn orders_for_more_than_one_message_want_a_yes_and_tell_what_they_would_do() {
    let world = World::setup().set("SMTP_MODE", "hold").await;
    held_mail(&world, 3).await;
    for runs in [true, false] {
        if !runs {
            world.relay().terminate().await;
        }
        for order in ["retry", "hold", "release", "purge", "restore", "bounce"] {
            let empty = world.relay().does(["queue", order]).await.ends_with(2);
            empty.complains("--all");
            let only_a_number = ["queue", order, "--limit", "5", "--yes"];
            world.relay().does(only_a_number).await.ends_with(2);
            let other = ["queue", order, "--to", "nobody@dest.test", "--yes"];
            world.relay().does(other).await.ends_with(3);
        }
        for order in ["release", "purge", "bounce"] {
            let ran = world
                .relay()
                .does(["queue", order, "--all"])
                .await
                .ends_with(2);
            ran.complains("3 recipients of 3 messages")
                .complains("--yes");
            let dry = world
                .relay()
                .does(["queue", order, "--all", "--dry-run"])
                .await
                .ends_with(0);
            dry.shows([
                "would be for 3 recipients of 3 messages",
                "r0@dest.test",
                "r2@dest.test",
            ]);
            let json = ["queue", order, "--to", "r1@*", "--dry-run", "--json"];
            let result = done(&world.relay().does(json).await);
            assert_eq!(result["dry_run"], true);
            assert_eq!(
                (&result["matched"], &result["changed"]),
                (&1.into(), &0.into())
            );
            assert_eq!(result["sample"][0]["to"], "r1@dest.test");
        }
        assert_eq!(states(&world).await, ["held"; 3]);
    }
}

#[tokio::test]
async fn purge_and_restore_change_what_they_are_told_with_who_and_why() {
    let world = World::setup().set("SMTP_MODE", "hold").await;
    let ids = held_mail(&world, 3).await;
    for runs in [true, false] {
        if !runs {
            world.relay().terminate().await;
        }
        let purge = ["queue", "purge", "--to", "r*@dest.test", "--limit", "2"];
        let rest = ["--yes", "--json", "--reason", "a trial"];
        let result = done(&world.relay().does(purge.into_iter().chain(rest)).await);
        assert_eq!(result["action"], "purge");
        assert_eq!(
            (&result["matched"], &result["changed"]),
            (&2.into(), &2.into())
        );
        assert!(result["restorable_until"].is_string());
        assert_eq!(states(&world).await, ["purged", "purged", "held"]);

        let history = ["queue", "history", "--json", "--id", &ids[0].0];
        let told = world.relay().does(history).await.json();
        let last = told["history"].as_array().unwrap().last().unwrap().clone();
        assert_eq!(
            (&last["what"], &last["reply"]),
            (&"purge".into(), &"a trial".into())
        );
        assert!(
            last["by"].as_str().is_some_and(|by| !by.is_empty()),
            "{told}"
        );

        let one = world
            .relay()
            .does(["queue", "restore", &ids[0].0])
            .await
            .ends_with(0);
        one.shows(["1 recipient of 1 message restored"]);
        let rest = ["queue", "restore", "--state", "purged", "--yes"];
        world.relay().does(rest).await.ends_with(0);
        assert_eq!(states(&world).await, ["held"; 3]);
        world.relay().does(rest).await.ends_with(3);
    }
}

#[tokio::test]
async fn several_ids_are_several_messages_and_no_others() {
    let world = World::setup().set("SMTP_MODE", "hold").await;
    let ids = held_mail(&world, 3).await;
    let both = ["queue", "purge", &ids[0].0, &ids[2].0];
    world
        .relay()
        .does(both)
        .await
        .ends_with(2)
        .complains("--yes");
    world
        .relay()
        .does(both.into_iter().chain(["-y"]))
        .await
        .ends_with(0);
    assert_eq!(states(&world).await, ["purged", "held", "purged"]);
    world
        .relay()
        .does(["queue", "purge", "nonsense"])
        .await
        .ends_with(2);
}

// W-23.05
#[tokio::test]
async fn retry_hold_release_and_bounce_are_felt_by_the_remote_host() {
    let world = World::setup()
        .set("SMTP_RETRY_BASE", "10m")
        .set("SMTP_RETRY_CAP", "20m")
        .await;
    let home = world.remote("gp.test").await;
    let remote = world
        .remote("dest.test")
        .rcpt(["451 4.7.1 come again"])
        .await;
    let sent = mail().from("app@gp.test").to("ann@dest.test");
    let id = world.client().send(sent.clone()).await.accepted();
    world.history(&id).shows(["deferred"]).await;

    world
        .relay()
        .does(["queue", "retry", &id.0])
        .await
        .ends_with(0);
    world.history(&id).shows(["deferred", "deferred"]).await; // and not in 10 minutes

    world
        .relay()
        .does(["queue", "hold", &id.0])
        .await
        .ends_with(0);
    world.relay().restart().await;
    assert_eq!(states(&world).await, ["held"]);
    let bounced = world.client().send(sent).await.accepted();
    world.history(&bounced).shows(["deferred"]).await; // there was time for the other as well
    world
        .history(&id)
        .is_exactly(["deferred", "deferred"])
        .await;

    let bounce = ["queue", "bounce", &bounced.0, "--reason", "not wanted"];
    world.relay().does(bounce).await.ends_with(0);
    let report = home.message().await.report();
    report.says("ann@dest.test", "failed", "5.0.0");

    remote.answers(crate::support::Phase::Rcpt, ["250 2.1.5 ok"]);
    world
        .relay()
        .does(["queue", "release", &id.0])
        .await
        .ends_with(0);
    remote.message().await;
    remote.received_exactly(1).await;
}

// W-23.06
#[tokio::test]
async fn purged_during_its_attempt_is_never_attempted_again_and_that_is_told() {
    let world = World::new().await;
    let gate = Gate::new();
    let remote = world
        .remote("dest.test")
        .rcpt([reply("451 4.7.1 come again").behind(&gate)])
        .await;
    let id = world
        .client()
        .send(mail().to("ann@dest.test"))
        .await
        .accepted();
    gate.reached().await;
    let purged = world
        .relay()
        .does(["queue", "purge", &id.0])
        .await
        .ends_with(0);
    purged.shows([
        "1 recipient of 1 message purged",
        "attempted right now",
        "restore",
    ]);
    gate.open();
    remote.was_called(1).await;
    world.takes_and_delivers_a_mail().await;
    assert!(states(&world).await.contains(&"purged".to_owned()));
}

// W-23.06
#[tokio::test]
async fn what_was_purged_and_restored_arrives_unchanged() {
    let world = World::setup()
        .set("SMTP_RETRY_BASE", "10m")
        .set("SMTP_RETRY_CAP", "20m")
        .await;
    let rcpt = ["451 4.7.1 come again", "250 2.1.5 ok"];
    let remote = world.remote("dest.test").rcpt(rcpt).await;
    let sent = mail().to("ann@dest.test").body("As it was.");
    let id = world.client().send(sent.clone()).await.accepted();
    world.history(&id).shows(["deferred"]).await;
    for order in ["purge", "restore", "retry"] {
        world
            .relay()
            .does(["queue", order, &id.0])
            .await
            .ends_with(0);
    }
    remote.message().await.arrived_as(sent.octets());
    remote.received_exactly(1).await;
}
