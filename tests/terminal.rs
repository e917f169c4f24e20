//! What is asked for on a terminal: passwords, which are never seen there.

use std::os::unix::process::ExitStatusExt as _;

use rustix::process::Signal;

use crate::support::World;

#[tokio::test]
async fn a_password_that_is_typed_is_not_seen_and_what_is_typed_later_is() {
    let world = World::setup().without_relay().await;
    for (again, code) in [("hidden secret", 0), ("hidden secre", 1)] {
        let mut terminal = world.relay().on_a_terminal(["auth", "hash"]);
        assert!(terminal.echoed_at_first());
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

#[tokio::test]
async fn who_thinks_better_of_it_has_a_terminal_that_shows_what_is_typed() {
    let world = World::setup().without_relay().await;
    for (key, signal) in [(0x03, Signal::INT), (0x1c, Signal::QUIT)] {
        for prompt in ["Password: ", "Again: "] {
            let mut terminal = world.relay().on_a_terminal(["auth", "hash"]);
            terminal.shows("Password: ").await;
            if prompt == "Again: " {
                terminal.types("hidden secret");
                terminal.shows(prompt).await;
            }
            assert!(!terminal.echoes());
            terminal.presses(b'h');
            terminal.presses(key);
            let output = terminal.ends().await;
            assert_eq!(output.status.signal(), Some(signal.as_raw()), "{prompt}");
            assert!(terminal.echoes(), "{prompt}");
            assert!(output.stdout.is_empty());
        }
    }
}
