//! `queue verify`: everything is read, and what is damaged is named.

use std::path::{Path, PathBuf};

use crate::support::{World, mail};

fn body_files(below: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(below).into_iter().flatten() {
        let path = entry.unwrap().path();
        match path.is_dir() {
            true => found.extend(body_files(&path)),
            false => found.push(path),
        }
    }
    found
}

#[tokio::test]
async fn a_flipped_byte_in_a_body_is_named_and_put_aside() {
    let world = World::setup().set("SMTP_MODE", "hold").await;
    let large = mail()
        .to("ann@dest.test")
        .body(&"A line of a large message.\n".repeat(4_000));
    let id = world.client().send(large).await.accepted();
    let small = world
        .client()
        .send(mail().to("bob@dest.test"))
        .await
        .accepted();
    let done = world
        .relay()
        .does(["queue", "verify", "--json"])
        .await
        .json_lines();
    assert_eq!(done.last().unwrap()["done"]["messages"], 2);

    let files = body_files(&world.relay().directory().join("spool/bodies"));
    let mut octets = std::fs::read(&files[0]).unwrap();
    octets[20_000] ^= 1;
    std::fs::write(&files[0], octets).unwrap();
    for runs in [true, false] {
        if !runs {
            world.relay().terminate().await;
        }
        let ran = world.relay().does(["queue", "verify"]).await.ends_with(1);
        ran.shows([&*id.0, "body damaged", "1 damaged"]);
        let ran = world
            .relay()
            .does(["queue", "verify", "--json"])
            .await
            .ends_with(1);
        let damaged: serde_json::Value = ran
            .out
            .lines()
            .map(|line| serde_json::from_str::<serde_json::Value>(line).unwrap())
            .find(|line| line["damaged"].is_object())
            .unwrap();
        assert_eq!(damaged["damaged"]["id"], id.0.as_str());
        assert_eq!(damaged["damaged"]["what"], "body");
    }
    let repaired = world
        .relay()
        .does(["queue", "verify", "--repair"])
        .await
        .ends_with(1);
    repaired.shows([&*id.0, "put aside as"]);
    world.relay().does(["queue", "verify"]).await.ends_with(0);
    // Its sender is told, and all else is delivered.
    let home = world.remote("gp.test").await;
    let remote = world.remote("dest.test").await;
    world.relay().set("SMTP_MODE", "deliver");
    world.relay().start().await;
    let report = home.message().await.report();
    report.says("ann@dest.test", "failed", "5.3.0");
    assert_eq!(remote.message().await.to(), ["bob@dest.test"]);
    world.history(&small).shows(["delivered"]).await;
    remote.received_exactly(1).await;
}
