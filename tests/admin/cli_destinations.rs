//! `dest`: destinations that get no mail for now.

use crate::support::{World, mail};

#[tokio::test]
async fn a_suspended_destination_gets_no_mail_until_it_is_resumed() {
    let world = World::new().await;
    let remote = world.remote("dest.test").await;
    let suspend = [
        "dest",
        "suspend",
        "dest.test",
        "--for",
        "2h",
        "--reason",
        "they move",
    ];
    let ran = world
        .relay()
        .does(suspend.into_iter().chain(["--json"]))
        .await;
    let suspended = ran.json();
    assert_eq!(suspended["destination"], "dest.test");
    assert_eq!(suspended["why"], "they move");
    world
        .client()
        .send(mail().to("ann@dest.test"))
        .await
        .accepted();
    for runs in [true, false] {
        if !runs {
            world.relay().terminate().await;
        }
        let listed = world.relay().does(["dest", "list", "--json"]).await.json();
        assert_eq!(listed["destination"], "dest.test");
        assert_eq!(listed["why"], "they move");
        let text = world.relay().does(["dest", "list"]).await.ends_with(0);
        text.shows(["DESTINATION", "dest.test", "in 2h", "they move"]);
        world
            .relay()
            .does(["dest", "resume", "other.test"])
            .await
            .ends_with(3);
    }
    world.relay().start().await;
    world.takes_and_delivers_a_mail().await;
    assert_eq!(remote.connections().len(), 0);
    world
        .relay()
        .does(["dest", "resume", "dest.test"])
        .await
        .ends_with(0);
    remote.message().await;
    let none = world.relay().does(["dest", "list"]).await.ends_with(0);
    none.complains("no destination is suspended");
}

#[tokio::test]
async fn without_a_relay_destinations_are_suspended_and_resumed_in_the_queue_itself() {
    let world = World::new().await;
    world.relay().terminate().await;
    let ran = world
        .relay()
        .does(["dest", "suspend", "dest.test"])
        .await
        .ends_with(0);
    ran.shows(["dest.test is suspended, until `gopherpost dest resume`"]);
    world
        .relay()
        .does(["dest", "suspend", "x.test", "--for", "soon"])
        .await
        .ends_with(2);
    let listed = world.relay().does(["dest", "list", "--json"]).await.json();
    assert_eq!(
        (&listed["destination"], &listed["times"]),
        (&"dest.test".into(), &0.into())
    );
    world
        .relay()
        .does(["dest", "resume", "dest.test"])
        .await
        .ends_with(0);
    world
        .relay()
        .does(["dest", "resume", "dest.test"])
        .await
        .ends_with(3);
}
