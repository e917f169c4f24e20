//! Kept connections to scripted hosts on loopback.

use std::net::SocketAddr;

use futures_util::FutureExt as _;

use super::super::connection::Caller;
use super::super::dialer::Dialer;
use super::super::login::LoginAlarm;
use super::super::loopback::{Act, Log, host, listener};
use super::super::policy::terms_of;
use super::super::route::Route;
use super::super::target::{HostName, Terms};
use super::super::test_config;
use super::super::tls::TlsClient;
use super::super::wire::Timeouts;
use super::*;
use crate::config::TlsLevel;
use crate::mail::Domain;

const IDLE: Duration = Duration::from_secs(60);

struct Scene {
    pool: Pool,
    caller: Caller,
    target: Target,
    log: Log,
}

/// A host that behaves well, and a pool of at most so many connections.
async fn scene(most: usize, idle: Duration, script: &'static [Act]) -> Scene {
    let (address, log) = host(listener().await, script, None);
    let config = test_config();
    Scene {
        pool: Pool::new(most, idle, Events::default()),
        caller: Caller {
            hostname: Domain::parse("gp.test").unwrap(),
            timeouts: Timeouts::of(&config),
            dialer: Dialer::new(&config).unwrap(),
            tls: TlsClient::new(None).unwrap(),
            login_alarm: LoginAlarm::new(Events::default()),
        },
        target: target("mx.test", address),
        log,
    }
}

fn target(name: &str, address: SocketAddr) -> Target {
    let route = Route::Mx(Domain::parse("d.test").unwrap());
    Target {
        host: HostName::Name(Domain::parse(name).unwrap()),
        address,
        terms: terms_of(&test_config(), &route),
    }
}

fn destination(name: &str) -> Destination {
    Destination::from_stored(name)
}

fn soon() -> Instant {
    Instant::now() + Duration::from_secs(5)
}

impl Scene {
    async fn room(&self, targets: &[Target]) -> Room {
        let to = destination("d.test");
        self.pool.room(&to, targets, soon()).await.unwrap()
    }

    /// A new connection to the host.
    async fn connect(&self) -> Lent {
        let Room::Place(place) = self.room(&[]).await else {
            panic!("a kept one")
        };
        let tcp = self.caller.dialer.dial(self.target.address, soon()).await;
        let opened = Connection::open(&self.caller, &self.target, tcp.unwrap(), soon()).await;
        self.pool.lend(place, self.target.clone(), opened.unwrap())
    }

    async fn takes(&self, name: &str, targets: &[Target]) -> bool {
        let taken = self.pool.take(&destination(name), targets, soon()).await;
        taken
            .map(|lent| self.pool.give_back(lent, Tidiness::Ready))
            .is_some()
    }
}

#[tokio::test]
async fn a_connection_is_only_used_for_an_equal_target_of_its_destination() {
    // W-19.03
    let scene = scene(2, IDLE, &[]).await;
    let lent = scene.connect().await;
    scene.pool.give_back(lent, Tidiness::Ready);
    let own = scene.target.clone();
    let mut elsewhere = own.address;
    elsewhere.set_port(1);
    let another_name = target("other.test", own.address);
    let another_address = target("mx.test", elsewhere);
    let mut terms = Terms::clone(&own.terms);
    terms.tls = TlsLevel::Opportunistic;
    let other_terms = Target {
        terms: Arc::new(terms),
        ..own.clone()
    };
    for (name, targets, want) in [
        ("d.test", vec![own.clone()], true),
        ("d.test", vec![another_name.clone(), own.clone()], true),
        ("d.test", vec![another_name, another_address], false),
        ("d.test", vec![other_terms], false),
        ("d.test", vec![], false),
        ("other.test", vec![own], false),
    ] {
        assert_eq!(
            scene.takes(name, &targets).await,
            want,
            "{name} {targets:?}"
        );
    }
}

#[tokio::test]
async fn a_connection_that_its_host_has_left_is_not_used() {
    // W-19.02
    const SCRIPT: &[Act] = &[Act::Say("220 hi"), Act::SayAndClose("250 mx")];
    let scene = scene(2, IDLE, SCRIPT).await;
    let lent = scene.connect().await;
    scene.pool.give_back(lent, Tidiness::Ready);
    // the end is on its way
    let targets = [scene.target.clone()];
    let left = async {
        while scene.takes("d.test", &targets).await {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(5), left)
        .await
        .unwrap();
}

#[tokio::test]
async fn who_waits_for_room_gets_the_connection_that_is_given_back() {
    // W-19.01
    let scene = scene(1, IDLE, &[]).await;
    let lent = scene.connect().await;
    let targets = [scene.target.clone()];
    let mut waiting = Box::pin(scene.room(&targets));
    assert!(waiting.as_mut().now_or_never().is_none());
    scene.pool.give_back(lent, Tidiness::NeedsReset);
    assert!(matches!(waiting.await, Room::Kept(_)));
    assert_eq!(scene.log.lines().last().unwrap(), "RSET");
}

#[tokio::test]
async fn who_waits_for_room_gets_that_of_a_connection_that_is_gone() {
    // W-19.01
    let scene = scene(1, IDLE, &[]).await;
    let lent = scene.connect().await;
    let mut waiting = Box::pin(scene.room(&[]));
    assert!(waiting.as_mut().now_or_never().is_none());
    drop(lent);
    assert!(matches!(waiting.await, Room::Place(_)));
    // That was dropped as well; and an idle one that is of no use goes with QUIT.
    let lent = scene.connect().await;
    scene.pool.give_back(lent, Tidiness::Ready);
    assert!(matches!(scene.room(&[]).await, Room::Place(_)));
    assert_eq!(scene.log.lines().last().unwrap(), "QUIT");
}

#[tokio::test]
async fn no_connection_is_used_for_ever() {
    // W-16.12, W-19.01
    let scene = scene(1, IDLE, &[]).await;
    let mut lent = scene.connect().await;
    for _ in 0..CONNECTION_TRANSACTIONS_MAX {
        assert!(!lent.is_spent());
        lent.begin();
    }
    assert!(lent.is_spent() && lent.has_served());
    scene.pool.give_back(lent, Tidiness::Ready);
    let targets = [scene.target.clone()];
    assert!(!scene.takes("d.test", &targets).await);
    let kept = scene.connect().await.kept;
    assert!(!kept.is_spent(Instant::now()));
    assert!(kept.is_spent(Instant::now() + CONNECTION_AGE_MAX));
}

#[tokio::test]
async fn a_closed_pool_keeps_nothing() {
    // W-19.03
    let scene = scene(2, IDLE, &[]).await;
    let (first, second) = (scene.connect().await, scene.connect().await);
    scene.pool.give_back(first, Tidiness::Ready);
    scene.pool.close(Duration::from_secs(5)).await;
    scene.pool.give_back(second, Tidiness::NeedsReset);
    scene.pool.close(Duration::from_secs(5)).await;
    let lines = scene.log.lines();
    assert_eq!(lines.iter().filter(|line| *line == "QUIT").count(), 2);
    assert!(!lines.contains(&"RSET".to_owned()));
}

#[tokio::test]
async fn idle_connections_are_left_when_their_time_is_over() {
    // W-19.03: also when that happens again and again
    let scene = scene(2, Duration::from_millis(20), &[]).await;
    let quits = || {
        let lines = scene.log.lines();
        lines.iter().filter(|line| *line == "QUIT").count()
    };
    for count in 1..=3 {
        let lent = scene.connect().await;
        scene.pool.give_back(lent, Tidiness::Ready);
        let left = async {
            while quits() < count {
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        };
        tokio::time::timeout(Duration::from_secs(5), left)
            .await
            .unwrap();
    }
}
