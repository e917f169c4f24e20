//! `queue verify`: everything is read, and what is damaged is named.

use std::path::{Path, PathBuf};
use std::process::Command;

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

/// Where `text` stands in `octets`.
fn places(octets: &[u8], text: &str) -> Vec<usize> {
    let text = text.as_bytes();
    let starts = 0..octets.len().saturating_sub(text.len());
    starts
        .filter(|&at| octets[at..].starts_with(text))
        .collect()
}

fn copy(from: &Path, to: &Path) {
    let copied = Command::new("cp").arg("-a").arg(from).arg(to).status();
    assert!(copied.unwrap().success());
}

#[tokio::test]
async fn a_flipped_byte_in_a_record_is_named_and_put_aside_and_all_else_is_served() {
    let world = World::setup().set("SMTP_MODE", "hold").await;
    let victim = mail()
        .from("unmistakable@gp.test")
        .to("unmistakable@dest.test");
    let victim = world.client().send(victim).await.accepted();
    world
        .client()
        .send(mail().to("bob@dest.test"))
        .await
        .accepted();
    world.relay().terminate().await;
    let (spool, whole) = (
        world.relay().directory().join("spool"),
        world.relay().directory().join("whole"),
    );
    copy(&spool, &whole);
    let octets = std::fs::read(whole.join("db/db")).unwrap();
    // In the record of the message and in that of its recipient.
    let places = places(&octets, "unmistakable");
    assert!(places.len() >= 2, "{places:?}");
    for (at, relay_first) in places.iter().flat_map(|at| [(at, false), (at, true)]) {
        std::fs::remove_dir_all(&spool).unwrap();
        copy(&whole, &spool);
        let mut flipped = octets.clone();
        flipped[*at] ^= 1;
        std::fs::write(spool.join("db/db"), flipped).unwrap();
        // Whoever opens the queue names it first, and puts it aside.
        if relay_first {
            let told = world
                .relay()
                .log()
                .read(|lines| lines.iter().filter(|line| line.is("quarantined")).count());
            world.relay().start().await;
            let told = world
                .relay()
                .log()
                .tells_times("quarantined", told + 1)
                .await;
            let last = told.last().unwrap();
            assert_eq!(last.field("queue_id").as_ref(), Some(&victim.0));
        } else {
            let ran = world.relay().does(["queue", "verify"]).await.ends_with(1);
            ran.shows(["0 damaged", "1 more damaged when the queue was opened"]);
            let named = |line: &str| line.contains("quarantine/") && line.contains(&victim.0);
            assert!(ran.complaint.lines().any(named), "{at}: {ran:?}");
            world.relay().start().await;
        }
        let aside = std::fs::read_dir(spool.join("quarantine")).unwrap();
        let mut aside = aside.map(|file| file.unwrap().file_name().into_string().unwrap());
        assert!(aside.any(|name| name.contains(&victim.0)));
        let list = world.relay().does(["queue", "list", "--json"]).await;
        assert_eq!(list.json()["to"], "bob@dest.test", "{at}");
        let verified = world.relay().does(["queue", "verify", "--json"]).await;
        assert_eq!(verified.json_lines().last().unwrap()["done"]["damaged"], 0);
        let dial = world.client();
        dial.send(mail().to("carol@dest.test")).await.accepted();
        world.relay().terminate().await;
    }
}
