//! `queue export` and `import`: messages as files.

use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

use crate::support::{World, mail, same_octets};

/// Files below a directory, relative to it, in order.
fn files(root: &Path) -> Vec<PathBuf> {
    fn walk(root: &Path, below: &Path, found: &mut Vec<PathBuf>) {
        for entry in std::fs::read_dir(below).unwrap() {
            let path = entry.unwrap().path();
            match path.is_dir() {
                true => walk(root, &path, found),
                false => found.push(path.strip_prefix(root).unwrap().to_owned()),
            }
        }
    }
    let mut found = Vec::new();
    walk(root, root, &mut found);
    found.sort();
    found
}

fn mode(path: &Path) -> u32 {
    std::fs::metadata(path).unwrap().permissions().mode() & 0o777
}

// W-23.08
#[tokio::test]
async fn an_exported_message_is_what_is_sent_and_its_import_delivers_the_same() {
    for (runs, large) in [(true, false), (false, true)] {
        let world = World::setup().set("SMTP_MODE", "hold").await;
        let body = match large {
            true => "A line.\n.\nFrom me.\n".repeat(4_000),
            false => "A line.\n.\n..\nFrom me.\n".to_owned(),
        };
        let sent = mail()
            .to("ann@dest.test")
            .to("bob@dest.test")
            .from("app@gp.test");
        let sent = sent
            .body(&body)
            .mail_parameter("BODY=8BITMIME")
            .mail_parameter("RET=HDRS");
        let id = world.client().send(sent.clone()).await.accepted();
        if !runs {
            world.relay().terminate().await;
        }
        let to = world.relay().directory().join("exported");
        let export = [
            "queue",
            "export",
            "--id",
            &id.0,
            "--to-dir",
            to.to_str().unwrap(),
        ];
        world
            .relay()
            .does(export)
            .await
            .ends_with(0)
            .shows(["1 message written"]);
        let names = files(&to);
        assert_eq!(names.len(), 2, "{names:?}");
        let message = to.join(&names[0]);
        let name = names[0].to_str().unwrap();
        assert!(
            name.ends_with(".eml") && name.contains(&format!("/{}-", id.0)),
            "{name}"
        );
        assert!(!name.contains("ann") && !name.contains("dest"), "{name}");
        assert_eq!((mode(&message), mode(&to)), (0o600, 0o700));
        assert_eq!(mode(message.parent().unwrap()), 0o700);
        let exported = std::fs::read(&message).unwrap();

        // Again: what is there stays.
        std::fs::write(&message, "mine").unwrap();
        let again = world
            .relay()
            .does(export.into_iter().chain(["--json"]))
            .await
            .json();
        assert_eq!(again["kept"], true);
        assert_eq!(std::fs::read(&message).unwrap(), b"mine");
        std::fs::write(&message, &exported).unwrap();

        let remote = world.remote("dest.test").await;
        world.relay().set("SMTP_MODE", "deliver");
        match runs {
            true => world.relay().restart().await,
            false => world.relay().start().await,
        }
        let delivered = remote.message().await;
        same_octets(delivered.octets(), &exported);

        let other = World::new().await;
        let remote = other.remote("dest.test").await;
        let import = ["queue", "import", "--json", to.to_str().unwrap()];
        let imported = other.relay().does(import).await.json();
        assert_eq!(imported["recipients"], 2);
        assert_ne!(imported["id"], id.0.as_str());
        let arrived = remote.message().await;
        same_octets(arrived.octets(), &exported);
        assert_eq!(arrived.from(), "app@gp.test");
        assert_eq!(arrived.to(), ["ann@dest.test", "bob@dest.test"]);
        remote.received_exactly(1).await;

        // Again: it is taken once.
        other.relay().does(import).await.ends_with(3);
        let left: Vec<String> = files(&to)
            .iter()
            .map(|file| file.display().to_string())
            .collect();
        assert!(
            left.iter().any(|file| file.ends_with(".eml.imported")),
            "{left:?}"
        );
    }
}

#[tokio::test]
async fn a_file_that_is_not_taken_stops_no_other() {
    let world = World::setup().set("SMTP_MODE", "hold").await;
    for to in ["ann@dest.test", "bob@dest.test", "carol@dest.test"] {
        world.client().send(mail().to(to)).await.accepted();
    }
    let to = world.relay().directory().join("exported");
    let directory = to.to_str().unwrap();
    let export = ["queue", "export", "--all", "--to-dir", directory, "--json"];
    let lines = world.relay().does(export).await.json_lines();
    assert_eq!(lines.len(), 3);
    let broken = PathBuf::from(lines[1]["file"].as_str().unwrap());
    let envelope = broken.with_extension("json");
    let good = std::fs::read_to_string(&envelope).unwrap();
    std::fs::write(&envelope, good.replace("bob@dest.test", "nobody")).unwrap();
    world.relay().terminate().await;

    let ran = world
        .relay()
        .does(["queue", "import", directory])
        .await
        .ends_with(1);
    ran.shows(["2 messages taken in"]).complains("1 not taken");
    assert!(broken.exists());
    std::fs::write(&envelope, good).unwrap();
    let ran = world
        .relay()
        .does(["queue", "import", directory])
        .await
        .ends_with(0);
    ran.shows(["1 message taken in"]);
    let list = world
        .relay()
        .does(["queue", "list", "--json"])
        .await
        .json_lines();
    assert_eq!(list.len(), 6);
    world
        .relay()
        .does(["queue", "import", "/nowhere.eml"])
        .await
        .ends_with(1);
}

#[tokio::test]
async fn a_mailbox_has_all_messages_and_is_never_written_over() {
    let world = World::setup().set("SMTP_MODE", "hold").await;
    for (to, body) in [
        ("ann@dest.test", "From me.\n>From him."),
        ("bob@dest.test", "Plain."),
    ] {
        world
            .client()
            .send(mail().to(to).body(body))
            .await
            .accepted();
    }
    let file = world.relay().directory().join("look.mbox");
    let export = ["queue", "export", "--mbox", file.to_str().unwrap()];
    world
        .relay()
        .does(export)
        .await
        .ends_with(0)
        .shows(["2 messages written"]);
    let text = std::fs::read_to_string(&file).unwrap();
    assert_eq!(
        text.lines()
            .filter(|line| line.starts_with("From "))
            .count(),
        2
    );
    assert!(text.contains("\n>From me.\n>>From him.\n"), "{text}");
    assert!(!text.contains('\r'));
    assert_eq!(mode(&file), 0o600);
    let again = world.relay().does(export).await.ends_with(1);
    again.complains("look.mbox");
    assert_eq!(std::fs::read_to_string(&file).unwrap(), text);
}
