//! Random remote hosts: every case is a seed, of which follow a message or two, one to three mail hosts,
//! and what these do at each turn, most of it wrong. However it goes, each recipient comes to one end.
//!
//! `SEEDS` says how many cases, `SEED` picks a single one; a failed case prints its seed and who said
//! what. Hundreds of cases are under way in one relay at the same time.

mod acting;
mod case;
mod host;
mod inbox;
mod judge;
mod record;
mod session;
mod tale;
mod turn;

use std::slice;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use futures_util::future::join_all;
use jiff::{SignedDuration, Timestamp};
use tokio::sync::Semaphore;
use tokio::time::Instant;

use self::case::Case;
use self::host::{Place, serve};
use self::judge::judge;
use self::tale::Tales;
use crate::support::{Certificate, Random, Task, World, mail};

/// Cases of a run if nobody says.
const SEEDS: usize = 200;

/// Cases that are under way at one time.
const UNDER_WAY_MAX: usize = 250;

/// Clients that send in.
const CLIENTS: usize = 4;

/// So short that a case is over in seconds.
const LIFETIME: Duration = Duration::from_secs(6);
const RETRY_BASE: Duration = Duration::from_secs(1);
const RETRY_CAP: Duration = Duration::from_secs(2);
const REPLY_TIMEOUT: Duration = Duration::from_secs(1);
const ATTEMPT_TIMEOUT: Duration = Duration::from_secs(3);

/// For a machine that is busy with other things.
const SLACK: Duration = Duration::from_secs(5);

/// From when a case was sent in until all its recipients must have come to their ends. Long, as a
/// destination that fails all the time may be left alone for a while.
const OVER_WITHIN: Duration = Duration::from_secs(120);

/// Failed cases whose transcripts are printed.
const SHOWN_MAX: usize = 3;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_recipient_comes_to_one_end_whatever_the_remote_hosts_do() {
    // W-14.07, W-16.08, W-20.01, W-20.02
    let seeds = seeds();
    let first = seeds[0];
    println!("{} cases; the first is SEED={first}", seeds.len());
    let world = World::setup()
        .set("SMTP_MESSAGE_LIFETIME", &spelled(LIFETIME))
        .set("SMTP_RETRY_BASE", &spelled(RETRY_BASE))
        .set("SMTP_RETRY_CAP", &spelled(RETRY_CAP))
        .set("SMTP_CONNECT_TIMEOUT", &spelled(REPLY_TIMEOUT))
        .set("SMTP_REPLY_TIMEOUT", &spelled(REPLY_TIMEOUT))
        .set("SMTP_DATA_REPLY_TIMEOUT", &spelled(REPLY_TIMEOUT))
        .set("SMTP_ATTEMPT_TIMEOUT", &spelled(ATTEMPT_TIMEOUT))
        .await;
    let home = world.remote("gp.test").at("::1").await; // all of IPv4 is the hosts'
    let cases = seeds.iter().enumerate();
    let places = cases.map(|(slot, seed)| Place::of(Case::of(*seed, slot)));
    let places: Arc<Vec<Place>> = Arc::new(places.collect());
    for place in &*places {
        name_hosts(&world, &place.case);
    }
    let tls = world.ca().server("*.hosts.test", Certificate::Good);
    let hosts = serve(world.delivery_port(), Arc::clone(&places), tls).await;
    let _hosts = Task::spawn(hosts.expect("the world has this port on all addresses"));

    let mut tales = Tales::of(&places);
    let room = Semaphore::new(UNDER_WAY_MAX);
    let next = Mutex::new(places.iter());
    let clients = (0..CLIENTS).map(|_| send_all(&world, &next, &room));
    tokio::join!(join_all(clients), tales.follow(world.log(), &places, &room));
    tales.read_reports(&places, &home).await;
    let last = mail().to("ann@gp.test").subject("still there?");
    world.client().send(last).await.accepted();
    home.message_that(|message| message.field("Subject").as_deref() == Some("still there?"))
        .await;
    let ended = world.relay().terminate().await;
    tales.read_rest(world.log());
    hosts_end(&places).await;

    println!("{}", tales.summary(&places));
    let failed: Vec<String> = places
        .iter()
        .filter_map(|place| {
            let faults = judge(&place.case, &place.record(), tales.tale(&place.case));
            (!faults.is_empty()).then(|| tales.transcript(place, &faults))
        })
        .collect();
    for shown in failed.iter().take(SHOWN_MAX) {
        println!("{shown}");
    }
    drop(world); // with its own checks, and before a failure of ours would print all its parties
    assert!(
        failed.is_empty(),
        "{} of {} cases failed",
        failed.len(),
        seeds.len()
    );
    assert!(ended.success(), "the relay ended with {ended}");
}

#[expect(
    clippy::disallowed_methods,
    reason = "the suite has no config of its own"
)]
fn seeds() -> Vec<u64> {
    let number = |name: &str| {
        let text = std::env::var(name).ok()?;
        Some(
            text.parse()
                .unwrap_or_else(|_| panic!("{name} is a number")),
        )
    };
    if let Some(seed) = number("SEED") {
        return vec![seed];
    }
    let count = number("SEEDS").unwrap_or(SEEDS as u64).max(1);
    let first = Random::new().next() % 1_000_000_000;
    (first..first + count).collect()
}

fn name_hosts(world: &World, case: &Case) {
    for (domain, preference, host, addresses) in case.records() {
        world.dns().mx(&domain, preference, &host);
        for address in addresses {
            world.dns().address_of(&host, address);
        }
    }
}

/// One client, case after case, as there is room for them.
async fn send_all(world: &World, next: &Mutex<slice::Iter<'_, Place>>, room: &Semaphore) {
    let mut client = world.client().session().await;
    loop {
        let permit = room.acquire().await.expect("nobody closes it");
        permit.forget(); // given back when the case is over
        let place = next.lock().unwrap_or_else(PoisonError::into_inner).next();
        let Some(place) = place else {
            room.add_permits(1); // for another client, which finds the same
            return;
        };
        place.sent_at.get_or_init(Timestamp::now);
        for letter in &place.case.letters {
            client.send(letter.mail.clone()).await.accepted();
        }
    }
}

/// Waits until no host has a connection any more, as far as that is to be expected: with the relay
/// gone, whatever it held is closed, and those who are deaf see it a little later.
async fn hosts_end(places: &[Place]) {
    let limit = Instant::now() + ATTEMPT_TIMEOUT + SLACK;
    let open = || places.iter().any(|place| place.record().open > 0);
    while open() && Instant::now() < limit {
        tokio::time::sleep(Duration::from_millis(50)).await; // a look at counters, not at an event
    }
}

fn spelled(span: Duration) -> String {
    format!("{}ms", span.as_millis())
}

fn signed(span: Duration) -> SignedDuration {
    SignedDuration::try_from(span).unwrap_or(SignedDuration::MAX)
}
