//! kill -9 at random moments, over one and the same spool again and again, while clients send and
//! deliveries go on. `CRASH_ROUNDS` says how many kills, `TEST_SEED` which.

mod account;
mod load;

use std::cell::{Cell, RefCell};
use std::collections::BTreeSet;
use std::time::Duration;

use futures_util::future::join_all;
use tokio::sync::watch;

use self::account::Account;
use self::load::{DOMAINS, Fate, Load, SENDERS};
use crate::support::{Client, Random, Remote, World, reply};

const ROUNDS: usize = 10;
const CLIENTS: usize = 20;

/// More than any round makes lives: the name of the life behind the last kill is its own.
const LIVES_AFTER: usize = 1_000;
/// Longest life of a relay, from its readiness to its kill.
const LIFE_MILLIS_MAX: usize = 600;

/// Longest time that a start is given which is killed before it is ready.
const START_MILLIS_MAX: usize = 60;

/// Connections to one destination at one time, and so what can be in flight to it at a kill.
const IN_FLIGHT_MAX: usize = 20;

/// What the clients know of the relay.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Life {
    /// It was started and is ready, for the n-th time.
    Up(usize),
    /// Nothing more is to be sent.
    Over,
}

/// What was sent so far, and what of it was acknowledged, by number.
#[derive(Debug)]
struct Sent {
    run: u64,
    count: Cell<usize>,
    acknowledged: RefCell<BTreeSet<usize>>,
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_was_acknowledged_outlives_kills_at_random_moments() {
    // W-20.03, W-22.04
    let mut random = Random::new();
    println!("TEST_SEED={}", random.seed());
    let world = World::setup()
        .set("SMTP_HOSTNAME", &hostname(0))
        .set("SMTP_SENDER_DOMAINS", SENDERS)
        .set("SMTP_DESTINATION_CONCURRENCY", &IN_FLIGHT_MAX.to_string())
        .set("SMTP_RETRY_BASE", "200ms")
        .await;
    let quick = world.remote(DOMAINS[0]).await;
    // so slow that a kill often comes between its having the message and our having its answer
    let queued = reply("250 2.0.0 queued").after(Duration::from_millis(20));
    let slow = world.remote(DOMAINS[1]).dot([queued]).await;
    let home = world.remote(SENDERS).await;
    let hosts = [quick, slow, home];

    let sent = Sent {
        run: random.next(),
        count: Cell::default(),
        acknowledged: RefCell::default(),
    };
    let (lives, life) = watch::channel(Life::Up(0));
    let clients = (0..CLIENTS).map(|_| send_until_over(&world, &hosts, &sent, life.clone()));
    let rounds = rounds();
    tokio::join!(join_all(clients), kill(&world, rounds, &mut random, lives));

    let acknowledged = sent.acknowledged.take();
    Account::settled(&hosts, sent.run, &acknowledged).await;
    world.relay().terminate().await;
    let counts = Account::of(&hosts, sent.run).check(world.log());
    println!(
        "{rounds} kills; {} messages sent, {} of them acknowledged; {counts}",
        sent.count.get(),
        acknowledged.len(),
    );
    // what is over is over, and the relay is well
    world
        .relay()
        .set("SMTP_HOSTNAME", &hostname(rounds + LIVES_AFTER));
    world.relay().start().await;
    world.relay().terminate().await;
    let after = Account::of(&hosts, sent.run).check(world.log());
    assert_eq!(after.duplicates, counts.duplicates);
    world.relay().start().await;
    world.takes_and_delivers_a_mail().await;
}

/// Each life of the relay has a name of its own, so that a host knows which one calls.
fn hostname(life: usize) -> String {
    format!("life-{life}.{SENDERS}")
}

#[expect(
    clippy::disallowed_methods,
    reason = "the suite has no config of its own"
)]
fn rounds() -> usize {
    let text = std::env::var("CRASH_ROUNDS");
    text.map_or(ROUNDS, |text| {
        text.parse().expect("CRASH_ROUNDS is a number")
    })
}

async fn kill(world: &World, rounds: usize, random: &mut Random, lives: watch::Sender<Life>) {
    let relay = world.relay();
    let moment =
        |random: &mut Random, millis_max| Duration::from_millis(random.below(millis_max) as u64);
    let mut life = 0;
    for round in 1..=rounds {
        // The moment is what is random here, it is not waited for anything.
        tokio::time::sleep(moment(random, LIFE_MILLIS_MAX)).await;
        relay.kill().await;
        if random.below(4) == 0 {
            life += 1;
            relay.set("SMTP_HOSTNAME", &hostname(life));
            let limit = moment(random, START_MILLIS_MAX);
            let _ = tokio::time::timeout(limit, relay.start()).await; // killed within the start, mostly
            relay.kill().await;
        }
        if round == rounds {
            lives.send_replace(Life::Over);
        }
        life += 1;
        relay.set("SMTP_HOSTNAME", &hostname(life));
        relay.start().await;
        if round < rounds {
            lives.send_replace(Life::Up(life));
        }
    }
}

/// One client: a session for each life of the relay, message after message.
async fn send_until_over(
    world: &World,
    hosts: &[Remote; 3],
    sent: &Sent,
    mut life: watch::Receiver<Life>,
) {
    while *life.borrow_and_update() != Life::Over {
        if let Some(mut session) = world.client().try_session().await {
            while send_one(&mut session, hosts, sent).await {}
        }
        // The relay is dead. Whoever tells of its next life is gone only when all is over.
        if life.changed().await.is_err() {
            return;
        }
    }
}

/// Whether the relay lived to answer.
async fn send_one(session: &mut Client, hosts: &[Remote; 3], sent: &Sent) -> bool {
    let number = sent.count.get();
    sent.count.set(number + 1);
    let load = Load::of(sent.run, number);
    for (rcpt, fate) in &load.rcpts {
        let host = usize::from(rcpt.ends_with(DOMAINS[1]));
        match fate {
            Fate::Taken => {}
            Fate::Greylisted => {
                let answers = ["451 4.7.1 greylisted", "250 2.1.5 ok"];
                hosts[host].answers_rcpt_for(rcpt, answers);
            }
            Fate::Refused => hosts[host].answers_rcpt_for(rcpt, ["550 5.1.1 unknown"]),
        }
    }
    match session.try_send(load.mail()).await {
        Ok(submission) => {
            submission.accepted();
            sent.acknowledged.borrow_mut().insert(number);
            true
        }
        Err(_cut) => false,
    }
}
