//! Every command that works with and without a running relay, with `--json`: the same answers both ways.

use serde_json::Value;

use crate::support::{World, mail};

/// Three messages that are held, to bob and carol of two domains each, and a relay that runs or not.
async fn world(runs: bool) -> (World, [String; 3]) {
    let world = World::setup().set("SMTP_MODE", "hold").await;
    let sent = |from: &str, host: &str| {
        let dial = world.client();
        let mail = mail().from(from).to(&format!("bob@{host}"));
        let mail = mail.to(&format!("carol@{host}"));
        async move { dial.send(mail).await.accepted().0 }
    };
    let ids = [
        sent("app@gp.test", "a.test").await,
        sent("app@gp.test", "b.test").await,
        sent("news@gp.test", "a.test").await,
    ];
    if !runs {
        world.relay().terminate().await;
    }
    (world, ids)
}

/// What a command prints with `--json`, line by line.
async fn told(world: &World, runs: bool, line: &str) -> Vec<Value> {
    let words = line.split(' ').chain(["--json"]);
    let ran = world.relay().does(words).await;
    let opened = "no relay runs: the queue is opened by this command";
    assert_eq!(ran.complaint.contains(opened), !runs, "{line}: {ran:?}");
    ran.json_lines()
}

async fn told_once(world: &World, runs: bool, line: &str) -> Value {
    let lines = told(world, runs, line).await;
    assert_eq!(lines.len(), 1, "{line}: {lines:?}");
    lines.into_iter().next().unwrap_or_default()
}

#[tokio::test]
async fn what_is_asked_is_answered_in_json() {
    for runs in [true, false] {
        let (world, ids) = world(runs).await;
        let filter =
            "--domain a.test --from app@* --to bob@*,carol@* --state held --younger-than 1h";
        let listed = told(&world, runs, &format!("queue list {filter}")).await;
        let found: Vec<_> = listed
            .iter()
            .map(|line| (&line["id"], &line["to"]))
            .collect();
        let id = Value::from(&*ids[0]);
        assert_eq!(
            found,
            [(&id, &"bob@a.test".into()), (&id, &"carol@a.test".into())]
        );

        let shown = told_once(&world, runs, &format!("queue show {}", ids[1])).await;
        assert_eq!(shown["from"], "app@gp.test");
        assert_eq!(shown["recipients"][1]["to"], "carol@b.test");
        assert_eq!(shown["recipients"][1]["state"], "held");

        let stats = told_once(&world, runs, "queue stats").await;
        assert_eq!(
            stats["destinations"].as_array().map(Vec::len),
            Some(2),
            "{stats}"
        );
        assert_eq!(stats["destinations"][0]["destination"], "a.test");

        let history = format!("queue history --id {} --to carol@b.test", ids[1]);
        let history = told_once(&world, runs, &history).await;
        assert_eq!(history["id"], ids[1].as_str());

        let explained = told_once(&world, runs, &format!("explain {}", ids[2])).await;
        assert_eq!(
            explained["recipients"][0]["to"], "bob@a.test",
            "{explained}"
        );

        let verified = told(&world, runs, "queue verify").await;
        assert_eq!(verified.last().unwrap()["done"]["messages"], 3);

        let to = world.relay().directory().join("exported");
        let to = to.to_str().unwrap();
        let export = format!("queue export {filter} --to-dir {to}");
        let exported = told_once(&world, runs, &export).await;
        assert_eq!(exported["id"], ids[0].as_str());
        let imported = told_once(&world, runs, &format!("queue import {to}")).await;
        assert_eq!(imported["recipients"], 2);
        let copy = format!("queue list --id {}", imported["id"].as_str().unwrap());
        assert_eq!(told(&world, runs, &copy).await.len(), 2);
    }
}

#[tokio::test]
async fn what_is_ordered_is_done_to_what_all_filters_choose_and_told_in_json() {
    for runs in [true, false] {
        let (world, ids) = world(runs).await;
        // (order, the state that is chosen, the state it leads to)
        for (order, before, after) in [
            ("release", "held", "queued"),
            ("hold", "queued", "held"),
            ("release", "held", "queued"),
            ("purge", "queued", "purged"),
            ("restore", "purged", "queued"),
            ("bounce", "queued", "failed"),
        ] {
            let filter = format!("--domain a.test --from news@* --to carol@* --state {before}");
            let lines = told(
                &world,
                runs,
                &format!("queue {order} {filter} --reason trial"),
            )
            .await;
            let done = &lines.last().unwrap()["done"];
            let want = (&order.into(), &1.into(), &1.into());
            let got = (&done["action"], &done["matched"], &done["changed"]);
            assert_eq!(got, want, "runs: {runs}, {lines:?}");
            let listed = told(&world, runs, &format!("queue list --state {after}")).await;
            let chosen: Vec<_> = listed
                .iter()
                .filter(|line| line["id"] == ids[2].as_str())
                .map(|line| &line["to"])
                .collect();
            let held_as_well = after == "held";
            let want: &[&str] = match held_as_well {
                true => &["bob@a.test", "carol@a.test"],
                false => &["carol@a.test"],
            };
            assert_eq!(chosen, want, "runs: {runs}, {order}");
            assert!(held_as_well || listed.len() == 1, "{order}: {listed:?}");
        }
        let history = format!("queue history --id {} --to carol@*", ids[2]);
        let history = told_once(&world, runs, &history).await;
        let steps = history["history"].as_array().unwrap().iter();
        let orders: Vec<_> = steps
            .filter(|step| step["reply"] == "trial")
            .map(|step| step["what"].as_str().unwrap())
            .collect();
        assert_eq!(
            orders,
            ["release", "hold", "release", "purge", "restore", "bounce"],
            "{history}"
        );
    }
}

#[tokio::test]
async fn a_retry_is_of_what_all_filters_choose_and_told_in_json() {
    let world = World::setup()
        .set("SMTP_RETRY_BASE", "10m")
        .set("SMTP_RETRY_CAP", "20m")
        .await;
    let _remote = world.remote("a.test").rcpt(["451 4.7.1 come again"]).await;
    let mut ids = Vec::new();
    for to in ["ann@a.test", "bob@a.test"] {
        let id = world.client().send(mail().to(to)).await.accepted();
        world.history(&id).shows(["deferred"]).await;
        ids.push(id);
    }
    let filter = "--domain a.test --to bob@* --state deferred --reply again --min-attempts 1";
    for runs in [true, false] {
        if !runs {
            world.relay().terminate().await;
        }
        let lines = told(&world, runs, &format!("queue retry {filter} --rate 10/s")).await;
        let done = &lines.last().unwrap()["done"];
        assert_eq!(
            (&done["action"], &done["changed"]),
            (&"retry".into(), &1.into()),
            "runs: {runs}, {lines:?}"
        );
        if !runs {
            world.relay().start().await;
        }
        match runs {
            true => world.history(&ids[1]).shows(["deferred"; 2]).await,
            false => world.history(&ids[1]).shows(["deferred"; 3]).await,
        };
    }
    world.history(&ids[0]).is_exactly(["deferred"]).await;
    world.history(&ids[1]).is_exactly(["deferred"; 3]).await;
}

#[tokio::test]
async fn destinations_are_suspended_and_resumed_in_json() {
    for runs in [true, false] {
        let (world, _) = world(runs).await;
        let suspend = "dest suspend a.test --for 2h --reason trial";
        let suspended = told_once(&world, runs, suspend).await;
        assert_eq!(suspended["destination"], "a.test");
        assert_eq!(told_once(&world, runs, "dest list").await, suspended);
        world
            .relay()
            .does(["dest", "resume", "a.test"])
            .await
            .ends_with(0);
        assert!(told(&world, runs, "dest list").await.is_empty());
    }
}
