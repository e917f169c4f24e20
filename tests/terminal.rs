//! What is asked for on a terminal: passwords, which are never seen there.

use crate::support::World;

#[tokio::test]
async fn a_password_that_is_typed_is_not_seen_and_what_is_typed_later_is() {
    let world = World::setup().without_relay().await;
    for (again, code) in [("hidden secret", 0), ("hidden secre", 1)] {
        let mut terminal = world.relay().on_a_terminal(["auth", "hash"]);
        assert!(terminal.echoes());
        terminal.shows("Password: ").await;
        assert!(!terminal.echoes());
        terminal.types("hidden secret");
        terminal.shows("Again: ").await;
        terminal.types(again);
        if code == 1 {
            terminal.shows("not the same\r\n").await;
        }
        let output = terminal.ends().await;
        assert_eq!(output.status.code(), Some(code), "{:?}", terminal.screen());
        let screen = terminal.screen();
        assert!(!screen.contains("hidden"), "{screen:?}");
        assert!(terminal.echoes());
        let printed = String::from_utf8(output.stdout).expect("text");
        assert_eq!(printed.starts_with("$argon2id$"), code == 0, "{printed:?}");
    }
}
