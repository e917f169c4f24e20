//! A remote host: an SMTP server that behaves well unless its script says otherwise, and remembers
//! every connection, command and message.
//!
//! [`World::remote`](super::World::remote) gives a [`RemotePlan`]; awaiting the plan starts the host.

mod answer;
mod auth;
mod deaf;
mod gate;
mod plan;
mod record;
mod script;
mod session;
mod turn;

use std::net::{IpAddr, SocketAddr};
use std::panic::Location;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::net::TcpListener;
use tokio::task::JoinSet;

pub use self::answer::{
    Answer, close, hang, raw, read_data, reply, reset, segments, stop_reading, trickle,
};
pub use self::gate::Gate;
pub use self::plan::RemotePlan;
pub use self::record::{Command, Connection, End, Ended, Transaction};
pub use self::script::{Handshake, Phase};

use self::script::Script;
use super::deadline::Here;
use super::journal::Journal;
use super::message::Message;
use super::task::Task;
use super::timeline::Timeline;

/// A running remote host. Clones are the same host; it runs as long as its
/// [`World`](super::World).
#[derive(Clone, Debug)]
pub struct Remote(Arc<Host>);

#[derive(Debug)]
struct Host {
    name: String,
    address: SocketAddr,
    script: Mutex<Script>,
    tls: Option<Arc<rustls::ServerConfig>>,
    /// TLS begins before the greeting.
    implicit_tls: bool,
    account: Option<auth::Account>,
    accepts: bool,
    connections: Journal<Connection>,
    transactions: Journal<Transaction>,
    taken: AtomicUsize,
    promises: Mutex<Vec<Promise>>,
    listening: Mutex<Option<Task>>,
    timeline: Timeline,
}

/// What a test said will still be true at its end.
#[derive(Clone, Copy, Debug)]
enum Promise {
    Messages { count: usize, here: Here },
    NoConnection { here: Here },
}

impl Remote {
    /// Its name, as in MX records and certificates.
    pub fn name(&self) -> &str {
        &self.0.name
    }

    /// Its IP address.
    pub fn ip(&self) -> IpAddr {
        self.0.address.ip()
    }

    /// Its address as a domain in mail addresses: `[127.0.0.11]` or `[IPv6:::1]`.
    pub fn literal(&self) -> String {
        match self.ip() {
            IpAddr::V4(v4) => format!("[{v4}]"),
            IpAddr::V6(v6) => format!("[IPv6:{v6}]"),
        }
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.0.address
    }

    /// From now on it answers this phase so, in this order, the last one again and again.
    pub fn answers<A: Into<Answer>>(&self, phase: Phase, list: impl IntoIterator<Item = A>) {
        self.0.script().set(phase, script::answers(list));
    }

    /// From now on it answers RCPT of this mailbox so.
    pub fn answers_rcpt_for<A: Into<Answer>>(
        &self,
        mailbox: &str,
        list: impl IntoIterator<Item = A>,
    ) {
        self.0.script().set_for(mailbox, script::answers(list));
    }

    /// Stops listening: new connections are refused, open ones are reset or closed.
    pub fn goes_down(&self) {
        if self.listening().take().is_some() {
            self.0.timeline.note(&self.0.name, "goes down");
        }
    }

    /// Listens again.
    pub async fn comes_back(&self) {
        self.goes_down();
        self.0.timeline.note(&self.0.name, "listens");
        let listening = if self.0.accepts {
            let listener = TcpListener::bind(self.0.address).await;
            let listener = listener.expect("the world has this port on all addresses");
            Task::spawn(accept(Arc::clone(&self.0), listener))
        } else {
            let full = deaf::listen(self.0.address).await;
            let full = full.expect("the world has this port on all addresses");
            Task::spawn(async move {
                let _kept = full;
                std::future::pending().await
            })
        };
        *self.listening() = Some(listening);
    }

    /// Every connection so far.
    pub fn connections(&self) -> Vec<Connection> {
        self.0.connections.all()
    }

    /// Every command line so far, of all connections in their order.
    pub fn commands(&self) -> Vec<String> {
        let all = self.connections().into_iter().flat_map(|c| c.commands);
        all.map(|command| command.line).collect()
    }

    /// Every transaction that came to DATA, whatever became of it.
    pub fn transactions(&self) -> Vec<Transaction> {
        self.0.transactions.all()
    }

    /// How many they are.
    pub fn transactions_so_far(&self) -> usize {
        self.0.transactions.read(<[_]>::len)
    }

    /// Every message that was accepted.
    pub fn messages(&self) -> Vec<Message> {
        let all = |list: &[Transaction]| accepted(list).cloned().map(Message::new).collect();
        self.0.transactions.read(all)
    }

    /// Waits for the next accepted message that wasn't taken yet.
    #[track_caller]
    pub fn message(&self) -> impl Future<Output = Message> {
        let here = Location::caller();
        let nth = self.0.taken.fetch_add(1, Ordering::Relaxed);
        async move {
            let transaction = self
                .0
                .transactions
                .wait(
                    here,
                    |list| {
                        format!(
                            "message {} at {}; got {}",
                            nth + 1,
                            self.name(),
                            summary(list)
                        )
                    },
                    |list| accepted(list).nth(nth).cloned(),
                )
                .await;
            Message::new(transaction)
        }
    }

    /// Waits for the first accepted message that is wanted, taken before or not.
    #[track_caller]
    pub fn message_that(&self, wanted: impl Fn(&Message) -> bool) -> impl Future<Output = Message> {
        let here = Location::caller();
        async move {
            let find = |list: &[Transaction]| {
                let mut messages = accepted(list).cloned().map(Message::new);
                messages.find(&wanted)
            };
            self.0
                .transactions
                .wait(
                    here,
                    |list| {
                        format!(
                            "a certain message at {}; got {}",
                            self.name(),
                            summary(list)
                        )
                    },
                    find,
                )
                .await
        }
    }

    /// Waits until `count` transactions came to DATA, whatever became of them.
    #[track_caller]
    pub fn transactions_seen(&self, count: usize) -> impl Future<Output = Vec<Transaction>> {
        let here = Location::caller();
        async move {
            self.0
                .transactions
                .wait(
                    here,
                    |list| {
                        format!(
                            "{count} transactions at {}; got {}",
                            self.name(),
                            summary(list)
                        )
                    },
                    |list| (list.len() >= count).then(|| list.to_vec()),
                )
                .await
        }
    }

    /// Waits until `look` finds what it looks for in the transactions that came to DATA, which are
    /// many: they are not copied. `what` finishes the sentence "waited for ...".
    #[track_caller]
    pub fn until<R>(
        &self,
        what: &str,
        look: impl FnMut(&[Transaction]) -> Option<R>,
    ) -> impl Future<Output = R> {
        let here = Location::caller();
        async move {
            let describe = |list: &[Transaction]| {
                format!("{what} at {}; got {} transactions", self.name(), list.len())
            };
            self.0.transactions.wait(here, describe, look).await
        }
    }

    /// Waits until `count` messages were accepted, and fails if there are more, now or when the test
    /// ends.
    #[track_caller]
    pub fn received_exactly(&self, count: usize) -> impl Future<Output = ()> {
        let here = Location::caller();
        async move {
            self.0
                .transactions
                .wait(
                    here,
                    |list| format!("{count} messages at {}; got {}", self.name(), summary(list)),
                    |list| (accepted(list).count() >= count).then_some(()),
                )
                .await;
            let promise = Promise::Messages { count, here };
            self.promise(promise);
        }
    }

    /// Fails if a message was accepted, now or by the end of the test.
    #[track_caller]
    pub fn receives_nothing(&self) {
        let here = Location::caller();
        self.promise(Promise::Messages { count: 0, here });
    }

    /// Waits for the `count`th connection.
    #[track_caller]
    pub fn was_called(&self, count: usize) -> impl Future<Output = ()> {
        let here = Location::caller();
        async move {
            self.0
                .connections
                .wait(
                    here,
                    |list| format!("{count} connections to {}; got {}", self.name(), list.len()),
                    |list| (list.len() >= count).then_some(()),
                )
                .await;
        }
    }

    /// Fails if there was a connection, now or by the end of the test.
    #[track_caller]
    pub fn never_called(&self) {
        let here = Location::caller();
        self.promise(Promise::NoConnection { here });
    }

    /// Waits for a command line that begins so, verbs in any case, and gives the whole line.
    #[track_caller]
    pub fn saw(&self, beginning: &str) -> impl Future<Output = String> {
        let here = Location::caller();
        let beginning = beginning.to_owned();
        async move {
            self.0
                .connections
                .wait(
                    here,
                    |_| {
                        format!(
                            "{beginning:?} at {}; saw {:?}",
                            self.name(),
                            self.commands()
                        )
                    },
                    |list| find_line(list, &beginning),
                )
                .await
        }
    }

    /// Fails if a command line so far begins so, verbs in any case.
    #[track_caller]
    pub fn never_saw(&self, beginning: &str) {
        let found = self.0.connections.read(|list| find_line(list, beginning));
        assert_eq!(found, None, "{} saw what it should not", self.name());
    }

    /// Waits until the connection with this number (from 0) has ended, and tells how.
    #[track_caller]
    pub fn ended(&self, number: usize) -> impl Future<Output = Ended> {
        let here = Location::caller();
        async move {
            self.0
                .connections
                .wait(
                    here,
                    |_| format!("the end of connection {number} to {}", self.name()),
                    |list| list.get(number)?.ended.clone(),
                )
                .await
        }
    }

    fn promise(&self, promise: Promise) {
        self.0
            .promises
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .push(promise);
        if let Err(broken) = self.check_promises() {
            panic!("{broken}");
        }
    }

    /// Whether everything the test said about this host still holds.
    pub(super) fn check_promises(&self) -> Result<(), String> {
        let promises = self.0.promises.lock();
        for promise in promises.unwrap_or_else(PoisonError::into_inner).iter() {
            match promise {
                Promise::Messages { count, here } => {
                    let (got, list) = self
                        .0
                        .transactions
                        .read(|list| (accepted(list).count(), summary(list)));
                    if got > *count {
                        return Err(format!(
                            "{here}: {} should receive exactly {count}, got {list}",
                            self.name()
                        ));
                    }
                }
                Promise::NoConnection { here } => {
                    let count = self.0.connections.read(<[_]>::len);
                    if count > 0 {
                        return Err(format!(
                            "{here}: {} should never be called, was {count} times",
                            self.name()
                        ));
                    }
                }
            }
        }
        Ok(())
    }

    fn listening(&self) -> MutexGuard<'_, Option<Task>> {
        let listening = self.0.listening.lock();
        listening.unwrap_or_else(PoisonError::into_inner)
    }
}

impl Host {
    fn script(&self) -> MutexGuard<'_, Script> {
        self.script.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

async fn accept(host: Arc<Host>, listener: TcpListener) {
    let mut sessions = JoinSet::new();
    loop {
        while sessions.try_join_next().is_some() {}
        if let Ok((stream, peer)) = listener.accept().await {
            sessions.spawn(session::serve(Arc::clone(&host), stream, peer));
        }
    }
}

fn accepted(transactions: &[Transaction]) -> impl Iterator<Item = &Transaction> {
    transactions.iter().filter(|t| t.end == End::Accepted)
}

fn summary(transactions: &[Transaction]) -> String {
    let lines: Vec<String> = transactions
        .iter()
        .map(|t| format!("{:?} <{}> to {:?}", t.end, t.from(), t.to()))
        .collect();
    format!("{} transactions {lines:?}", lines.len())
}

fn find_line(connections: &[Connection], beginning: &str) -> Option<String> {
    let mut lines = connections.iter().flat_map(|c| &c.commands);
    let begins = |line: &str| {
        line.get(..beginning.len())
            .is_some_and(|head| head.eq_ignore_ascii_case(beginning))
    };
    lines
        .find(|command| begins(&command.line))
        .map(|command| command.line.clone())
}
