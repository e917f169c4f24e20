//! What commands ask somebody at a terminal.

use crate::support::{World, mail};

async fn world_with_two() -> World {
    let world = World::setup().set("SMTP_MODE", "hold").await;
    for to in ["ann@dest.test", "bob@dest.test"] {
        world.client().send(mail().to(to)).await.accepted();
    }
    world
}

async fn waiting(world: &World) -> usize {
    let list = ["queue", "list", "--json", "--state", "held", "--all"];
    let ran = world.relay().does(list).await;
    ran.out.lines().count()
}

#[tokio::test]
async fn an_order_for_several_messages_is_asked_about_on_a_terminal() {
    let world = world_with_two().await;
    for runs in [true, false] {
        if !runs {
            world.relay().terminate().await;
        }
        for (answer, status) in [("", 1), ("n", 1), ("yep", 1)] {
            let mut terminal = world.relay().on_a_terminal(["queue", "purge", "--all"]);
            terminal.shows("purge? [y/N] ").await;
            let screen = terminal.screen().to_owned();
            assert!(screen.contains("2 recipients of 2 messages"), "{screen}");
            assert!(
                screen.contains("ann@dest.test") && screen.contains("bob@dest.test"),
                "{screen}"
            );
            terminal.types(answer);
            let output = terminal.ends().await;
            assert_eq!(output.status.code(), Some(status), "{answer:?}");
            assert_eq!(waiting(&world).await, 2);
        }
        let mut terminal = world.relay().on_a_terminal(["queue", "purge", "--all"]);
        terminal.shows("purge? [y/N] ").await;
        terminal.types("y");
        assert_eq!(
            terminal.ends().await.status.code(),
            Some(0),
            "{}",
            terminal.screen()
        );
        assert_eq!(waiting(&world).await, 0);
        let restore = ["queue", "restore", "--all", "--yes"];
        let mut terminal = world.relay().on_a_terminal(restore);
        assert_eq!(
            terminal.ends().await.status.code(),
            Some(0),
            "{}",
            terminal.screen()
        );
        assert_eq!(waiting(&world).await, 2);
    }
}
