//! The queue's directory, as anybody else on the machine would see it.

use std::os::unix::fs::{FileTypeExt, PermissionsExt};
use std::path::{Path, PathBuf};

use crate::support::{Mail, World, mail};

#[tokio::test]
async fn nobody_else_reads_the_queue_and_no_name_in_it_tells_an_address() {
    let world = World::setup()
        .set("SMTP_RETRY_BASE", "1h")
        .set("SMTP_RETRY_CAP", "1h")
        .await;
    world.remote("dest.test").rcpt(["451 4.2.0 later"]).await;
    for sent in [mail(), large()] {
        let id = world
            .client()
            .send(sent.to("bob@dest.test"))
            .await
            .accepted();
        world.history(&id).shows(["deferred"]).await;
    }
    world.relay().kill_and_restart().await; // what a start leaves behind counts too
    let spool = spool(&world);
    let mut bodies = 0;
    for path in everything_in(&spool) {
        let metadata = std::fs::symlink_metadata(&path).expect("still there");
        let mode = metadata.permissions().mode() & 0o7777;
        let wanted = match metadata.file_type() {
            kind if kind.is_dir() => 0o700,
            // The control socket: its group may ask, where its directory lets it in.
            kind if kind.is_socket() => 0o660,
            _ => 0o600,
        };
        assert_eq!(
            format!("{mode:o}"),
            format!("{wanted:o}"),
            "{}",
            path.display()
        );
        let name = path
            .strip_prefix(&spool)
            .expect("below it")
            .display()
            .to_string();
        for secret in ["bob", "dest.test", "ann", "gp.test", "@"] {
            assert!(!name.contains(secret), "{secret} in {name}");
        }
        bodies += usize::from(name.ends_with(".eml"));
    }
    assert_eq!(bodies, 1, "the large body is a file, the small one is not");
}

#[tokio::test]
async fn with_no_retention_nothing_is_left_of_what_is_over() {
    let world = World::setup()
        .set("SMTP_RETENTION_DAYS", "0")
        .set("SMTP_LOG", "info,gopherpost=debug")
        .await;
    world
        .remote("dest.test")
        .rcpt_for("eve@dest.test", ["550 5.1.1 no"])
        .await;
    world.remote("gp.test").await;
    let delivered = world
        .client()
        .send(large().to("bob@dest.test"))
        .await
        .accepted();
    let failed = world
        .client()
        .send(large().to("eve@dest.test"))
        .await
        .accepted();
    for id in [delivered, failed] {
        world
            .log()
            .wait_for(|line| line.is("removed") && line.field("queue_id").as_ref() == Some(&id.0))
            .await;
    }
    assert_eq!(body_files(&world), Vec::<PathBuf>::new());
}

#[tokio::test]
async fn within_the_retention_a_delivered_message_is_kept() {
    let world = World::new().await;
    world.remote("dest.test").await;
    let id = world
        .client()
        .send(large().to("bob@dest.test"))
        .await
        .accepted();
    world.history(&id).is_exactly(["delivered"]).await;
    world.relay().restart().await;
    assert_eq!(body_files(&world).len(), 1);
}

/// Too large for the database.
fn large() -> Mail {
    mail().body_octets("0123456789\r\n".repeat(10_000))
}

fn spool(world: &World) -> PathBuf {
    PathBuf::from(world.relay().variable("SMTP_QUEUE_PATH"))
}

fn body_files(world: &World) -> Vec<PathBuf> {
    let mut files = everything_in(&spool(world));
    files.retain(|path| path.extension().is_some_and(|extension| extension == "eml"));
    files
}

/// The directory itself, and all that is below it.
fn everything_in(directory: &Path) -> Vec<PathBuf> {
    let mut found = vec![directory.to_owned()];
    for entry in std::fs::read_dir(directory).expect("a directory") {
        let path = entry.expect("readable").path();
        if path.is_dir() {
            found.extend(everything_in(&path));
        } else {
            found.push(path);
        }
    }
    found
}
