//! Completions, man pages and help, made from the one definition of the commands.

use crate::support::World;

#[tokio::test]
async fn completions_and_man_pages_know_every_command() {
    let world = World::setup().without_relay().await;
    for (shell, beginning) in [
        ("bash", "_gopherpost() {"),
        ("zsh", "#compdef gopherpost"),
        ("fish", "# Print an optspec"),
    ] {
        let ran = world
            .relay()
            .does(["completions", shell])
            .await
            .ends_with(0);
        assert!(ran.out.starts_with(beginning), "{:?}", &ran.out[..200]);
        for word in ["older-than", "in_flight", "suspend", "dry-run"] {
            assert!(ran.out.contains(word), "{shell}: {word}");
        }
    }
    let directory = world.relay().directory().join("man");
    let ran = world
        .relay()
        .does(["man", directory.to_str().unwrap()])
        .await
        .ends_with(0);
    assert_eq!(ran.complaint, "");
    for page in [
        "gopherpost",
        "gopherpost-queue-purge",
        "gopherpost-dest-suspend",
        "gopherpost-dkim-check",
    ] {
        let text = std::fs::read_to_string(directory.join(format!("{page}.1"))).unwrap();
        assert!(text.contains(".SH NAME"), "{page}");
    }
}

#[tokio::test]
async fn what_can_not_be_meant_is_wrong_usage() {
    let world = World::setup().without_relay().await;
    for arguments in [
        &["queue"][..],
        &["queue", "lsit"],
        &["queue", "show"],
        &["queue", "list", "--older"],
        &["queue", "export"],
        &["queue", "export", "--to-dir", "x", "--mbox", "y"],
        &["dest", "suspend"],
        &["audit", "perhaps"],
        &["completions", "csh"],
    ] {
        let ran = world
            .relay()
            .does(arguments.iter().copied())
            .await
            .ends_with(2);
        assert_eq!(ran.out, "", "{arguments:?}");
    }
    let help = world
        .relay()
        .does(["queue", "purge", "--help"])
        .await
        .ends_with(0);
    help.shows([
        "Usage: gopherpost queue purge",
        "--dry-run",
        "--older-than",
        "Examples",
        "Exit status 3",
    ]);
}
