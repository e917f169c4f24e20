//! The queue over a real store, with remotes that say what a test tells them to.

use std::collections::{HashMap, HashSet, VecDeque};
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};

use tokio::sync::Semaphore;
use tokio::task::JoinHandle;

use super::*;
use crate::config::Sources;
use crate::mail::{
    AddressDomain, QueueId, Reason, RecipientState, Reply, ReplyCode, ReversePath, StateName,
};
use crate::smtp::server::Named;
use crate::store::{NewMessage, StoreOptions};

/// Nothing here takes long; past this, something hangs.
const DEADLINE: Duration = Duration::from_secs(20);
const BASE: Duration = Duration::from_millis(60);

/// What a remote says to one recipient in one attempt.
#[derive(Clone, Copy, Debug)]
enum Says {
    Yes,
    Later,
    No,
    /// Nothing, ever.
    Hangs,
    /// The attempt panics.
    Panics,
    /// The attempt leaves this recipient out.
    Forgets,
    /// No host could be spoken to.
    Unreached,
}

/// All remotes at once: without a script for an address they say yes.
#[derive(Default)]
struct Remotes {
    scripts: Mutex<HashMap<String, VecDeque<Says>>>,
    /// Attempts at these wait until the test lets them on, one for each permit.
    gates: Mutex<HashMap<String, Arc<Semaphore>>>,
    seen: Mutex<Vec<Seen>>,
    /// Whom a remote is being asked about now.
    asked: Mutex<HashSet<(QueueId, String)>>,
    /// About whom it was asked although it was just being asked.
    asked_twice: Mutex<Vec<(QueueId, String)>>,
    /// What was taken, one for each time.
    taken: Mutex<Vec<(QueueId, String)>>,
    /// How long an answer takes.
    slowness: Duration,
}

/// One attempt, as the remote saw it.
#[derive(Clone, Debug)]
struct Seen {
    message: Message,
    destination: Destination,
    to: Vec<String>,
    at: UnixMillis,
}

impl Remotes {
    fn script(&self, address: &str, says: &[Says]) {
        let says = says.iter().copied().collect();
        self.scripts.lock().unwrap().insert(address.into(), says);
    }

    /// From now on attempts at this address wait at the gate.
    fn gate(&self, address: &str) -> Arc<Semaphore> {
        let gate = Arc::new(Semaphore::new(0));
        let mut gates = self.gates.lock().unwrap();
        gates.insert(address.into(), gate.clone());
        gate
    }

    async fn wait_at_gate(&self, address: &str) {
        let gate = self.gates.lock().unwrap().get(address).cloned();
        if let Some(gate) = gate {
            gate.acquire().await.unwrap().forget();
        }
    }

    /// The last word of a script is said for ever.
    fn next(&self, address: &str) -> Says {
        let mut scripts = self.scripts.lock().unwrap();
        match scripts.get_mut(address) {
            Some(says) if says.len() > 1 => says.pop_front().unwrap(),
            Some(says) => says[0],
            None => Says::Yes,
        }
    }

    fn peek(&self, address: &str) -> Says {
        let scripts = self.scripts.lock().unwrap();
        scripts.get(address).map_or(Says::Yes, |says| says[0])
    }

    fn attempts_at(&self, address: &str) -> Vec<Seen> {
        let mut seen = self.seen.lock().unwrap().clone();
        seen.retain(|seen| seen.to.iter().any(|to| to == address));
        seen
    }
}

/// A recipient that is being asked about, until this is dropped.
struct Asked<'a>(&'a Remotes, &'a (QueueId, String));

impl Drop for Asked<'_> {
    fn drop(&mut self) {
        self.0.asked.lock().unwrap().remove(self.1);
    }
}

impl Deliver for Remotes {
    async fn deliver(&self, assignment: &Assignment) -> Outcomes {
        let to: Vec<String> = assignment
            .recipients
            .iter()
            .map(|rcpt| rcpt.address.to_string())
            .collect();
        self.seen.lock().unwrap().push(Seen {
            message: assignment.message.clone(),
            destination: assignment.destination.clone(),
            to: to.clone(),
            at: wall_clock(),
        });
        let answers =
            |address: &String| !matches!(self.peek(address), Says::Unreached | Says::Hangs);
        if to.iter().any(answers) {
            assignment.contact.taking();
            assignment.contact.answered();
        }
        let mut outcomes = Outcomes::new();
        for (rcpt, address) in assignment.recipients.iter().zip(&to) {
            let one = (assignment.message.id, address.clone());
            let alone = self.asked.lock().unwrap().insert(one.clone());
            if !alone {
                self.asked_twice.lock().unwrap().push(one.clone());
            }
            let _asked = Asked(self, &one);
            tokio::time::sleep(self.slowness).await;
            self.wait_at_gate(address).await;
            outcomes.push((
                rcpt.no,
                match self.next(address) {
                    Says::Yes => {
                        self.taken.lock().unwrap().push(one.clone());
                        Outcome::Delivered {
                            answer: answer(250, "2.0.0 taken"),
                            told_there: false,
                        }
                    }
                    Says::Later => Outcome::Deferred(answer(451, "4.2.0 later")),
                    Says::No => Outcome::Failed(answer(550, "5.1.1 no such user")),
                    Says::Hangs => std::future::pending().await,
                    Says::Panics => panic!("as the test wants"),
                    Says::Forgets => continue,
                    Says::Unreached => Outcome::Deferred(samples::trouble()),
                },
            ));
        }
        outcomes
    }
}

fn answer(code: u16, words: &str) -> Answer {
    let reply = Reply::from_lines(ReplyCode::new(code).unwrap(), [words.as_bytes()]);
    Answer {
        remote: None,
        status: reply.status(),
        reason: Reason::Remote,
        reply: Some(reply),
        detail: "".into(),
    }
}

/// A store, remotes, and a clock that can be put forward.
struct World {
    _dir: tempfile::TempDir,
    config: Config,
    store: Store,
    remotes: Arc<Remotes>,
    ahead: Arc<AtomicU64>,
    ids: AtomicU64,
    stop: Stop,
    running: Option<JoinHandle<()>>,
    operator: Option<Operator>,
}

impl World {
    fn new() -> World {
        let dir = tempfile::tempdir().unwrap();
        let sources = Sources::of([("SMTP_HOSTNAME", "gp.test")]);
        let mut config = Config::load(&sources).unwrap().config;
        config.queue.retry_base = BASE;
        config.queue.retry_cap = BASE * 4;
        let store = Store::open(StoreOptions {
            path: dir.path().join("spool"),
            destination_of: Arc::new(Destination::of_domain),
            routing_fingerprint: "mx".into(),
            min_free_space: 0,
            events: Events::default(),
            now: wall_clock(),
        })
        .unwrap();
        World {
            _dir: dir,
            config,
            store,
            remotes: Arc::default(),
            ahead: Arc::default(),
            ids: AtomicU64::new(1),
            stop: Stop::default(),
            running: None,
            operator: None,
        }
    }

    fn clock(&self) -> Clock {
        let ahead = self.ahead.clone();
        Arc::new(move || UnixMillis(wall_clock().0 + ahead.load(Ordering::Relaxed)))
    }

    fn queue(&self) -> Queue<Remotes> {
        Queue::with_clock(
            &self.config,
            self.store.clone(),
            self.remotes.clone(),
            Events::default(),
            self.clock(),
        )
    }

    fn start(&mut self) {
        let queue = self.queue();
        self.run(queue);
    }

    fn run(&mut self, queue: Queue<Remotes>) {
        self.stop = Stop::default();
        self.operator = Some(queue.operator());
        self.running = Some(tokio::spawn(queue.run(self.stop.clone())));
    }

    async fn stop(&mut self) {
        self.stop.claiming.cancel();
        self.stop.attempts.cancel();
        let running = self.running.take().expect("it was started");
        tokio::time::timeout(DEADLINE, running)
            .await
            .expect("it ends")
            .expect("without a panic");
        let twice = self.remotes.asked_twice.lock().unwrap();
        assert!(twice.is_empty(), "attempted twice at one time: {twice:?}");
    }

    async fn accept(&self, from: &str, to: &[&str]) -> QueueId {
        let now = (self.clock())();
        let id = QueueId::new(now, self.ids.fetch_add(1, Ordering::Relaxed).into());
        let to = to
            .iter()
            .map(|text| Named {
                address: samples::address(text),
                dsn: Default::default(),
            })
            .collect();
        let recipients = admit(self.config.mode, to, now);
        let mut intake = self.store.intake(id, &recipients);
        intake
            .buffer()
            .extend_from_slice(b"Subject: hello\r\n\r\ntext\r\n");
        let body = intake.finish().await.unwrap();
        let message = Message {
            id,
            body: body.facts(),
            added_header: b"Received: by gp.test\r\n"[..].into(),
            ..samples::message(now, from)
        };
        let new = NewMessage {
            message,
            recipients,
            body,
        };
        self.store.accept(new).await.unwrap();
        id
    }

    fn count(&self, state: StateName) -> u64 {
        self.store.counts().recipients_in(state)
    }

    #[track_caller]
    fn eventually(&self, what: &str, is_so: impl Fn(&World) -> bool) -> impl Future<Output = ()> {
        let began = std::time::Instant::now();
        let place = std::panic::Location::caller();
        async move {
            while !is_so(self) {
                let counts = self.store.counts();
                assert!(began.elapsed() < DEADLINE, "{place}: {what}; {counts:?}");
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        }
    }

    async fn text_of(&self, message: &Message) -> String {
        let mut body = self.store.body(message).await.unwrap();
        let mut octets = Vec::new();
        while let Some(piece) = body.next().await.unwrap() {
            octets.extend_from_slice(&piece);
        }
        String::from_utf8(octets).unwrap()
    }
}

#[path = "operator_test.rs"]
mod operator;
#[path = "reroute_test.rs"]
mod reroute;
#[path = "suspended_test.rs"]
mod suspended;

#[tokio::test]
async fn mail_is_delivered_once_and_recipients_of_a_destination_go_together() {
    let mut world = World::new();
    world.start();
    let to = ["a@one.test", "b@one.test", "c@two.test"];
    world.accept("s@src.test", &to).await;
    let all_delivered = |world: &World| world.count(StateName::Delivered) == 3;
    world.eventually("delivered", all_delivered).await;
    let seen = world.remotes.attempts_at("a@one.test");
    assert_eq!(seen.len(), 1);
    assert_eq!(seen[0].to, ["a@one.test", "b@one.test"]);
    assert_eq!(world.remotes.attempts_at("c@two.test").len(), 1);
    world.stop().await;
}

/// W-20.01
#[tokio::test]
async fn a_deferral_comes_again_not_sooner_than_the_first_delay() {
    let mut world = World::new();
    world.remotes.script(
        "a@one.test",
        &[Says::Later, Says::Forgets, Says::Panics, Says::Yes],
    );
    world.start();
    world.accept("s@src.test", &["a@one.test"]).await;
    let delivered = |world: &World| world.count(StateName::Delivered) == 1;
    world.eventually("delivered", delivered).await;
    let at: Vec<UnixMillis> = world
        .remotes
        .attempts_at("a@one.test")
        .iter()
        .map(|seen| seen.at)
        .collect();
    assert_eq!(
        at.len(),
        4,
        "a missing answer and a panic are deferrals too"
    );
    for (pair, factor) in at.windows(2).zip([1, 2, 4]) {
        assert!(pair[1].since(pair[0]) >= BASE * factor, "{at:?}");
    }
    world.stop().await;
}

/// W-20.02, W-22.09
#[tokio::test]
async fn recipients_that_fail_together_are_told_in_one_report() {
    let mut world = World::new();
    for gone in ["a@one.test", "c@one.test"] {
        world.remotes.script(gone, &[Says::No]);
    }
    world.start();
    let to = ["a@one.test", "b@one.test", "c@one.test"];
    let about = world.accept("s@src.test", &to).await;
    let told = |world: &World| world.count(StateName::Delivered) == 2;
    world.eventually("one delivered, one report", told).await;
    assert_eq!(world.count(StateName::Failed), 2);
    let reports = world.remotes.attempts_at("s@src.test");
    assert_eq!(reports.len(), 1);
    let report = &reports[0].message;
    assert_eq!(report.envelope.reverse_path, ReversePath::Null);
    assert_eq!(report.report_of, Some(about));
    let text = world.text_of(report).await;
    for word in [
        "a@one.test",
        "c@one.test",
        "550 5.1.1 no such user",
        "Subject: hello",
    ] {
        assert!(text.contains(word), "{word} is not in:\n{text}");
    }
    assert!(!text.contains("b@one.test"));
    assert_eq!(world.remotes.attempts_at("a@one.test").len(), 1);
    world.stop().await;
}

/// W-22.03
#[tokio::test]
async fn nobody_is_told_about_a_report_that_fails() {
    let mut world = World::new();
    world.remotes.script("a@one.test", &[Says::No]);
    world.start();
    world.accept("", &["a@one.test"]).await;
    let failed = |world: &World| world.count(StateName::Failed) == 1;
    world.eventually("failed", failed).await;
    assert_eq!(world.store.counts().messages, 1);
    world.stop().await;
}

/// W-20.02
#[tokio::test]
async fn a_lifetime_ends_with_a_last_attempt_and_a_report_with_the_last_reply() {
    let mut world = World::new();
    world.config.queue.lifetime = BASE * 5;
    world.remotes.script("a@one.test", &[Says::Later]);
    world.start();
    world.accept("s@src.test", &["a@one.test"]).await;
    let told = |world: &World| !world.remotes.attempts_at("s@src.test").is_empty();
    world.eventually("told", told).await;
    assert_eq!(world.count(StateName::Expired), 1);
    let attempts = world.remotes.attempts_at("a@one.test");
    let last = attempts.last().expect("there was one");
    assert!(last.at.since(last.message.arrival) >= BASE * 5);
    let report = &world.remotes.attempts_at("s@src.test")[0].message;
    let text = world.text_of(report).await;
    assert!(
        text.contains("4.4.7") && text.contains("451 4.2.0 later"),
        "{text}"
    );
    world.stop().await;
}

/// W-19.07
#[tokio::test]
async fn mail_for_a_live_destination_leaves_beside_a_dead_one_with_a_backlog() {
    let mut world = World::new();
    world.remotes.script("a@dead.test", &[Says::Hangs]);
    for _ in 0..300 {
        world.accept("s@src.test", &["a@dead.test"]).await;
    }
    world.start();
    let hangs = |world: &World| !world.remotes.attempts_at("a@dead.test").is_empty();
    world.eventually("the dead one is attempted", hangs).await;
    world.accept("s@src.test", &["a@live.test"]).await;
    let delivered = |world: &World| world.count(StateName::Delivered) == 1;
    world.eventually("delivered", delivered).await;
    assert_eq!(world.remotes.attempts_at("a@dead.test").len(), 1);
    world.stop().await;
}

/// The same after a start that has to read the lines, windows longer than they are.
#[tokio::test]
async fn a_backlog_is_read_piece_by_piece_and_delivered_once() {
    let mut world = World::new();
    let many: Vec<String> = (0..150).map(|n| format!("r{n}@many.test")).collect();
    let many: Vec<&str> = many.iter().map(String::as_str).collect();
    world.accept("s@src.test", &many).await;
    for n in 0..300 {
        let to = format!("a@d{}.test", n % 2);
        world.accept("s@src.test", &[&to]).await;
    }
    drop(world.store.take_news()); // as after a restart
    world.start();
    let all_delivered = |world: &World| world.count(StateName::Delivered) == 450;
    world.eventually("delivered", all_delivered).await;
    let seen = world.remotes.seen.lock().unwrap().len();
    assert_eq!(seen, 301, "each once, the 150 together");
    world.stop().await;
}

#[tokio::test]
async fn a_stop_lets_attempts_end_and_gives_back_those_that_do_not() {
    let mut world = World::new();
    world
        .remotes
        .script("a@dead.test", &[Says::Hangs, Says::Yes]);
    world.start();
    world.accept("s@src.test", &["a@dead.test"]).await;
    let hangs = |world: &World| !world.remotes.attempts_at("a@dead.test").is_empty();
    world.eventually("attempted", hangs).await;
    world.stop.claiming.cancel();
    world.accept("s@src.test", &["a@live.test"]).await;
    assert!(!world.running.as_ref().expect("started").is_finished());
    world.stop().await;
    assert!(world.remotes.attempts_at("a@live.test").is_empty());
    world.start();
    let both = |world: &World| world.count(StateName::Delivered) == 2;
    world.eventually("both delivered after a start", both).await;
    world.stop().await;
}

#[tokio::test]
async fn nothing_is_attempted_outside_of_mode_deliver() {
    for mode in [Mode::Hold, Mode::Sink] {
        let mut world = World::new();
        world.accept("s@src.test", &["a@one.test"]).await; // before the mode was set
        world.config.mode = mode;
        world.start();
        world.accept("s@src.test", &["b@one.test"]).await;
        tokio::time::sleep(Duration::from_millis(100)).await;
        world.stop().await;
        assert!(world.remotes.seen.lock().unwrap().is_empty());
        assert_eq!(world.count(StateName::Queued), 1);
    }
}

#[tokio::test]
async fn messages_are_removed_when_they_were_kept_long_enough() {
    let mut world = World::new();
    world.config.queue.retention = Duration::ZERO;
    world.start();
    world.accept("s@src.test", &["a@one.test"]).await;
    let gone = |world: &World| world.store.counts().messages == 0;
    world.eventually("gone", gone).await;
    assert_eq!(world.remotes.attempts_at("a@one.test").len(), 1);
    world.stop().await;
}

#[tokio::test]
async fn the_sweeper_expires_what_got_no_attempt_unless_one_is_under_way() {
    let mut world = World::new();
    world.config.queue.retention = Duration::from_secs(30 * 86_400); // the store's clock stays behind
    world.config.queue.delay_warning = None;
    let id = world
        .accept("s@src.test", &["a@one.test", "b@two.test"])
        .await;
    let mut sweeper = world.queue().sweeper;
    let custody = sweeper.custody.clone();
    let mut days_later = async |days: u64| {
        let day = 24 * 3_600_000;
        world.ahead.store(days * day, Ordering::Relaxed);
        sweeper.sweep(&CancellationToken::new()).await;
        world.count(StateName::Expired)
    };
    assert_eq!(days_later(4).await, 0, "its lifetime is 5 days");
    let attempt = custody.for_attempt(id, &[RecipientNo(0)]);
    assert_eq!(days_later(6).await, 0, "an attempt is under way");
    drop(attempt);
    assert_eq!(days_later(7).await, 2);
    let sender = Destination::from_stored("src.test");
    let line = world.store.line(&sender, 9).await.unwrap();
    assert_eq!(line.len(), 1, "one report");
}

/// W-22.09
#[tokio::test]
async fn the_sweeper_tells_of_delay_once_whoever_was_attempted_or_not() {
    let world = World::new();
    let id = world
        .accept("s@src.test", &["a@one.test", "b@two.test"])
        .await;
    world.accept("", &["a@one.test"]).await;
    let sender = Destination::from_stored("src.test");
    let reports = async || world.store.line(&sender, 9).await.unwrap().len();
    let minutes_later = async |sweeper: &mut Sweeper, minutes: u64| {
        world.ahead.store(minutes * 60_000, Ordering::Relaxed);
        sweeper.sweep(&CancellationToken::new()).await;
    };
    let mut sweeper = world.queue().sweeper;
    minutes_later(&mut sweeper, 239).await;
    assert_eq!(reports().await, 0, "the delay is 4 hours");
    let attempt = sweeper.custody.for_attempt(id, &[RecipientNo(0)]);
    minutes_later(&mut sweeper, 241).await;
    assert_eq!(reports().await, 0, "an attempt is under way");
    drop(attempt);
    minutes_later(&mut sweeper, 242).await;
    assert_eq!(reports().await, 1, "one for both");
    let waiting = world.store.load_waiting(id).await.unwrap().unwrap();
    for rcpt in &waiting.recipients {
        assert!(rcpt.delay_told.is_some() && rcpt.attempts == 0, "{rcpt:?}");
        assert!(matches!(rcpt.state, RecipientState::Queued { .. }));
    }
    minutes_later(&mut sweeper, 300).await;
    let mut after_restart = world.queue().sweeper;
    minutes_later(&mut after_restart, 302).await;
    assert_eq!(reports().await, 1, "never twice");
    assert_eq!(world.count(StateName::Queued), 4, "with the report");
    let one = Destination::from_stored("one.test");
    assert_eq!(world.store.line(&one, 9).await.unwrap().len(), 2);
}

#[tokio::test]
async fn more_reports_than_a_sender_may_get_are_not_made_and_verdicts_stand() {
    let mut world = World::new();
    world.config.queue.max_reports_per_hour = 2.try_into().unwrap();
    world.remotes.script("a@one.test", &[Says::No]);
    world.start();
    for _ in 0..5 {
        world.accept("s@src.test", &["a@one.test"]).await;
    }
    world.accept("t@src.test", &["a@one.test"]).await;
    let ended = |world: &World| world.count(StateName::Failed) == 6;
    world.eventually("failed", ended).await;
    let told = |world: &World| world.count(StateName::Delivered) == 3;
    world.eventually("told", told).await;
    assert_eq!(world.remotes.attempts_at("s@src.test").len(), 2);
    assert_eq!(world.remotes.attempts_at("t@src.test").len(), 1);
    assert_eq!(world.store.counts().messages, 9);
    world.stop().await;
}

/// More than one page; and a stop in between, after which the rest goes out all the same.
#[tokio::test]
async fn what_was_held_goes_out_after_a_start_in_mode_deliver_however_often_it_is_cut_off() {
    let mut world = World::new();
    world.config.mode = Mode::Hold;
    let many: Vec<String> = (0..60).map(|n| format!("r{n}@d{n}.test")).collect();
    let many: Vec<&str> = many.iter().map(String::as_str).collect();
    for _ in 0..30 {
        world.accept("s@src.test", &many).await;
    }
    world.start();
    world.stop().await;
    assert_eq!(world.count(StateName::Held), 1_800, "in mode hold");
    world.config.mode = Mode::Deliver;
    world.start();
    let begun = |world: &World| world.count(StateName::Held) < 1_800;
    world.eventually("the first page", begun).await;
    world.stop().await;
    world.start();
    let delivered = |world: &World| world.count(StateName::Delivered) == 1_800;
    world.eventually("delivered", delivered).await;
    assert_eq!(world.count(StateName::Held), 0);
    world.stop().await;
}
