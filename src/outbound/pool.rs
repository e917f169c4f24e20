//! Connections to remote hosts, kept for further messages, and counted.
//!
//! Promises: a destination never has more connections than `SMTP_DESTINATION_CONCURRENCY`, whatever
//! they do: dialling, carrying mail, idle or saying goodbye. A kept one is lent only for the
//! destination it was made for and for an equal [`Target`], and only if its host has been silent
//! since. None is kept beyond its time, its age, its number of messages or the pool's size; it says
//! QUIT then, and nobody waits for that.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::Notify;
use tokio::time::{Instant, sleep_until, timeout_at};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::mail::limits::{
    CONNECTION_AGE_MAX, CONNECTION_TRANSACTIONS_MAX, FAREWELL, IDLE_CONNECTIONS_MAX,
};
use crate::mail::{Destination, Remote};
use crate::observe::{Events, RemoteEvent};

use super::connection::Connection;
use super::connection_error::ConnectionError;
use super::shelf::{Bounds, Shelf, Space};
use super::target::Target;

/// All connections of the way out, and under which configuration new ones are opened: they are kept as
/// long as it is in force. Cheap to clone.
#[derive(Clone)]
pub(super) struct Pool(Arc<Shared>, Epoch);

/// Counts configurations.
type Epoch = u64;

struct Shared {
    shelf: Mutex<Shelf<Box<Kept>>>,
    /// Told whenever a connection is idle or gone.
    changed: Notify,
    /// Told when the first connection becomes idle.
    first_idle: Notify,
    /// Whether the reaper runs. It is started when it has work, since the pool is made outside of
    /// any task.
    reaping: AtomicBool,
    /// Whether anything is kept at all.
    keeps: AtomicBool,
    /// The configuration in force.
    epoch: AtomicU64,
    closing: CancellationToken,
    /// Goodbyes and the reaper. A goodbye holds its place, so they are bounded with them.
    tasks: TaskTracker,
    events: Events,
}

/// A connection and where it leads.
struct Kept {
    connection: Connection,
    target: Target,
    life: Life,
}

/// What decides how long a connection is of use. Its end is told when this is dropped.
struct Life {
    remote: Remote,
    opened: Instant,
    /// By which configuration.
    epoch: Epoch,
    /// Transactions that were begun on it.
    transactions: usize,
    events: Events,
}

/// A connection in use. Dropped, it is closed without a word; [`Pool::give_back`] and
/// [`Pool::dismiss`] are kinder.
pub(super) struct Lent {
    kept: Box<Kept>,
    place: Place,
}

/// What a connection needs before another transaction.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Tidiness {
    /// Nothing.
    Ready,
    /// RSET.
    NeedsReset,
}

/// The right to have one connection to a destination; given back by drop.
pub(super) struct Place {
    pool: Pool,
    /// None: it went on to an idle connection.
    destination: Option<Destination>,
}

/// What there is for a message that needs a connection.
pub(super) enum Room {
    /// A new one.
    Place(Place),
    /// One that is here.
    Kept(Lent),
}

impl Pool {
    /// An empty one, for so many connections to one destination, which may be idle for so long.
    pub(super) fn new(destination: usize, idle: Duration, events: Events) -> Pool {
        Pool(
            Arc::new(Shared {
                shelf: Mutex::new(Shelf::new(bounds(destination, idle))),
                changed: Notify::new(),
                first_idle: Notify::new(),
                reaping: AtomicBool::new(false),
                keeps: AtomicBool::new(!idle.is_zero()),
                epoch: AtomicU64::new(0),
                closing: CancellationToken::new(),
                tasks: TaskTracker::new(),
                events,
            }),
            0,
        )
    }

    /// A kept connection to one of these targets, the earlier ones preferred, with a new deadline.
    pub(super) async fn take(
        &self,
        destination: &Destination,
        targets: &[Target],
        deadline: Instant,
    ) -> Option<Lent> {
        for target in targets {
            loop {
                let kept = self
                    .shelf()
                    .take(destination, |kept| kept.target == *target);
                let Some(kept) = kept else {
                    break;
                };
                let mut lent = self.lent(destination.clone(), kept);
                lent.kept.connection.renew(deadline);
                if lent.is_spent() {
                    self.dismiss(lent);
                } else if lent.kept.connection.is_quiet().await {
                    self.0.events.emit(RemoteEvent::ConnectionReused {
                        remote: &lent.kept.life.remote,
                        transactions: lent.kept.life.transactions,
                    });
                    return Some(lent);
                }
                // Otherwise it was closed, or its host says what nobody asked for.
            }
        }
        None
    }

    /// Whether a new connection would have to wait until another one is gone, while a kept one to
    /// such a target is there.
    pub(super) fn would_rather_reuse(
        &self,
        destination: &Destination,
        wanted: impl Fn(&Target) -> bool,
    ) -> bool {
        let shelf = self.shelf();
        shelf.is_full(destination) && shelf.has(destination, |kept| wanted(&kept.target))
    }

    /// Waits for room for a new connection. If a kept one to one of these targets is to be had before
    /// that, it is that one; and an idle one that is of no use here makes room.
    pub(super) async fn room(
        &self,
        destination: &Destination,
        targets: &[Target],
        deadline: Instant,
    ) -> Result<Room, ConnectionError> {
        let waited = timeout_at(deadline, async {
            loop {
                let changed = self.0.changed.notified();
                tokio::pin!(changed);
                changed.as_mut().enable(); // before we look, so that nothing is missed
                let is_full = self.shelf().is_full(destination);
                if is_full && let Some(lent) = self.take(destination, targets, deadline).await {
                    return Room::Kept(lent);
                }
                let space = self.shelf().make_space(destination);
                match space {
                    Space::Given => return Room::Place(self.held(destination.clone())),
                    Space::Full(None) => {}
                    Space::Full(Some(idle)) => self.dismiss(self.lent(destination.clone(), idle)),
                }
                changed.await;
            }
        });
        waited.await.map_err(|_| ConnectionError::Timeout {
            during: "another connection to this destination to end",
            setting: "SMTP_ATTEMPT_TIMEOUT",
        })
    }

    /// A new connection, for which there was room.
    pub(super) fn lend(&self, place: Place, target: Target, connection: Connection) -> Lent {
        let life = Life {
            remote: connection.remote().clone(),
            opened: Instant::now(),
            epoch: self.1,
            transactions: 0,
            events: self.0.events.clone(),
        };
        self.0.events.emit(RemoteEvent::ConnectionOpened {
            remote: &life.remote,
        });
        Lent {
            kept: Box::new(Kept {
                connection,
                target,
                life,
            }),
            place,
        }
    }

    /// Takes back a connection on which everything went well. What it needs is done later.
    pub(super) fn give_back(&self, lent: Lent, tidiness: Tidiness) {
        let renewed = lent.kept.life.epoch != self.0.epoch.load(Ordering::Relaxed);
        let keeps = self.0.keeps.load(Ordering::Relaxed) && !renewed;
        if !keeps || self.0.closing.is_cancelled() || lent.is_spent() {
            return self.dismiss(lent);
        }
        match tidiness {
            Tidiness::Ready => self.keep(lent),
            Tidiness::NeedsReset => {
                let pool = self.clone();
                self.0.tasks.spawn(async move { pool.tidy(lent).await });
            }
        }
    }

    /// Says QUIT on a connection that is needed no more. Nobody waits for the reply.
    pub(super) fn dismiss(&self, lent: Lent) {
        let Lent { kept, place } = lent;
        let Kept {
            connection, life, ..
        } = *kept;
        self.0.tasks.spawn(async move {
            connection.quit().await;
            drop((life, place));
        });
    }

    /// The same connections, for whoever opens them by the next configuration.
    pub(super) fn for_next_configuration(&self) -> Pool {
        let epoch = self.0.epoch.load(Ordering::Relaxed);
        Pool(self.0.clone(), epoch + 1)
    }

    /// The configuration of this one is in force from now on: no connection that was opened by an
    /// earlier one is kept, as what it was opened by may not hold any more.
    pub(super) fn renew(&self, destination: usize, idle: Duration) {
        self.0.epoch.store(self.1, Ordering::Relaxed);
        self.0.keeps.store(!idle.is_zero(), Ordering::Relaxed);
        let idle = {
            let mut shelf = self.shelf();
            shelf.set_bounds(bounds(destination, idle));
            shelf.clear()
        };
        self.dismiss_all(idle);
        self.0.changed.notify_waiters();
    }

    /// Dismisses what is idle, and waits until the last QUIT is said or `grace` is over. From now on
    /// nothing is kept.
    pub(super) async fn close(&self, grace: Duration) {
        self.0.closing.cancel();
        let idle = self.shelf().clear();
        self.dismiss_all(idle);
        self.0.tasks.close();
        let _ = tokio::time::timeout(grace, self.0.tasks.wait()).await;
    }

    /// How many connections are saying QUIT, if none was kept.
    #[cfg(test)]
    pub(super) fn farewells(&self) -> usize {
        self.0.tasks.len()
    }

    async fn tidy(&self, mut lent: Lent) {
        lent.kept.connection.renew(Instant::now() + FAREWELL);
        match lent.kept.connection.reset().await {
            Ok(()) => self.give_back(lent, Tidiness::Ready),
            Err(ConnectionError::Refused(_)) => self.dismiss(lent),
            Err(_) => {} // it is gone, or should be
        }
    }

    fn keep(&self, lent: Lent) {
        let Lent { kept, mut place } = lent;
        let Some(destination) = place.destination.take() else {
            return; // a place has one until here
        };
        let (surplus, is_first) = {
            let mut shelf = self.shelf();
            let is_first = shelf.next_expiry().is_none();
            (shelf.put(destination, kept, Instant::now()), is_first)
        };
        self.0.changed.notify_waiters();
        self.dismiss_all(surplus);
        if is_first {
            self.0.first_idle.notify_one();
        }
        if !self.0.reaping.swap(true, Ordering::Relaxed) {
            let pool = self.clone();
            self.0.tasks.spawn(async move { pool.reap().await });
        }
    }

    /// Dismisses what is idle for too long, until the pool closes.
    async fn reap(&self) {
        while !self.0.closing.is_cancelled() {
            let (over, next) = {
                let mut shelf = self.shelf();
                (shelf.expired(Instant::now()), shelf.next_expiry())
            };
            self.dismiss_all(over);
            let something_to_do = async {
                match next {
                    Some(next) => sleep_until(next).await,
                    None => self.0.first_idle.notified().await,
                }
            };
            tokio::select! {
                () = something_to_do => {}
                () = self.0.closing.cancelled() => {}
            }
        }
    }

    fn dismiss_all(&self, gone: impl IntoIterator<Item = (Destination, Box<Kept>)>) {
        for (destination, kept) in gone {
            self.dismiss(self.lent(destination, kept));
        }
    }

    /// A connection that the shelf gave away, which counts as busy.
    fn lent(&self, destination: Destination, kept: Box<Kept>) -> Lent {
        Lent {
            kept,
            place: self.held(destination),
        }
    }

    fn held(&self, destination: Destination) -> Place {
        Place {
            pool: self.clone(),
            destination: Some(destination),
        }
    }

    /// The shelf is right between any two statements, so a panic elsewhere leaves it right.
    ///
    /// No connection in use may be dropped while it is locked: that would lock it again.
    fn shelf(&self) -> MutexGuard<'_, Shelf<Box<Kept>>> {
        self.0.shelf.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn bounds(destination: usize, idle: Duration) -> Bounds {
    Bounds {
        destination: destination.max(1),
        idle: IDLE_CONNECTIONS_MAX,
        span: idle,
    }
}

impl Lent {
    /// The connection, for one more transaction.
    pub(super) fn begin(&mut self) -> &mut Connection {
        self.kept.life.transactions += 1;
        &mut self.kept.connection
    }

    /// The connection, between two transactions.
    pub(super) fn connection(&mut self) -> &mut Connection {
        &mut self.kept.connection
    }

    /// Where it leads.
    pub(super) fn target(&self) -> &Target {
        &self.kept.target
    }

    /// Whether the transaction that was begun last is not its first: then the host may have given
    /// the connection up meanwhile.
    pub(super) fn has_served(&self) -> bool {
        self.kept.life.transactions > 1
    }

    /// Whether no further transaction should be begun on it.
    pub(super) fn is_spent(&self) -> bool {
        self.kept.is_spent(Instant::now())
    }
}

impl Kept {
    fn is_spent(&self, now: Instant) -> bool {
        let allowed = self.connection.offered().transactions_max;
        let most = allowed.map_or(CONNECTION_TRANSACTIONS_MAX, |allowed| {
            allowed.min(CONNECTION_TRANSACTIONS_MAX)
        });
        self.life.transactions >= most || now - self.life.opened >= CONNECTION_AGE_MAX
    }
}

impl Drop for Life {
    fn drop(&mut self) {
        self.events.emit(RemoteEvent::ConnectionClosed {
            remote: &self.remote,
            transactions: self.transactions,
            age: self.opened.elapsed(),
        });
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        if let Some(destination) = &self.destination {
            self.pool.shelf().release(destination);
            self.pool.0.changed.notify_waiters();
        }
    }
}

#[cfg(test)]
mod loopback_tests;
