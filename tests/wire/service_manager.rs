//! What a service manager hears: readiness, reloads, stops, the queue in a line, and that work goes on.

use crate::support::{ServiceManager, World, mail};

#[tokio::test]
async fn the_service_manager_hears_of_readiness_the_queue_reloads_and_the_end() {
    let manager = ServiceManager::new();
    let world = World::setup()
        .set("SMTP_MODE", "hold")
        .set("NOTIFY_SOCKET", &manager.path())
        .await;
    manager.hears("READY=1").await;
    let idle = "STATUS=accepting mail; recipients: 0 queued, 0 deferred, 0 held";
    manager.hears(idle).await;
    world
        .client()
        .send(mail().to("ann@dest.test"))
        .await
        .accepted();
    manager.hears("0 queued, 0 deferred, 1 held").await;

    world.relay().does(["reload"]).await.ends_with(0);
    world.log().tells("reloaded").await;
    let reloading = manager.hears("RELOADING=1").await;
    let clock = reloading
        .lines()
        .find_map(|line| line.strip_prefix("MONOTONIC_USEC="));
    assert!(
        clock.is_some_and(|at| at.parse::<u64>().is_ok()),
        "{reloading}"
    );
    manager.hears("READY=1").await;
    // A refused one ends as well.
    world.relay().set_in_file("SMTP_MESSAGE_LIFETIME", "never");
    world.relay().refuses_to_reload().await;
    manager.hears("RELOADING=1").await;
    manager.hears("READY=1").await;

    world.relay().terminate().await;
    let stopping = manager.hears("STOPPING=1").await;
    assert!(stopping.contains("STATUS=stopping (SIGTERM)"), "{stopping}");
    // SMTP_SHUTDOWN_GRACE, and 30 s for what comes after it.
    let patience = "EXTEND_TIMEOUT_USEC=35000000";
    assert!(stopping.contains(patience), "{stopping}");
}

#[tokio::test]
async fn the_watchdog_is_fed_by_work_also_where_there_is_no_mail_or_no_delivery() {
    for mode in ["deliver", "hold"] {
        let manager = ServiceManager::new();
        let world = World::setup()
            .set("SMTP_MODE", mode)
            .set("NOTIFY_SOCKET", &manager.path())
            .set("WATCHDOG_USEC", "200000")
            .await;
        for _ in 0..10 {
            manager.hears("WATCHDOG=1").await;
        }
        world.relay().log().never_told("warning");
    }
}
