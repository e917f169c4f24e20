//! What the service manager is told (sd_notify(3)): when we are ready, reload, stop, what the queue
//! looks like, and that we are alive. Alive means that the committer and the dispatcher get on with
//! their work, not that a timer runs: if one of them hangs, nothing is told, and the manager starts
//! the process again.

use std::time::Duration;

use sd_notify::NotifyState;
use tokio::time::{MissedTickBehavior, interval};

use crate::mail::{StateName, UnixMillis};
use crate::observe::{Events, ProcessEvent, Shown, wall_clock};
use crate::queue::QueueControl;
use crate::store::{CommitError, Counts, Store};

/// From one look at the queue to the next.
const STATUS_EVERY: Duration = Duration::from_secs(5);
/// So often in a watchdog's time there is a look at who gets on.
const LOOKS: u32 = 4;
/// For what comes after the grace: aborts, last QUITs, the last flush of the store.
const AFTER_GRACE: Duration = Duration::from_secs(30);
/// Longest reason for an end, in octets.
const REASON_BYTES_MAX: usize = 500;

/// Tells the service manager, if one wants to know: `NOTIFY_SOCKET` is set.
fn tell(states: &[NotifyState<'_>]) {
    // A manager that does not listen is no reason to stop the mail.
    let _ = sd_notify::notify(states);
}

/// Everything that could stop the start is passed, and clients are answered.
pub(super) fn ready() {
    tell(&[NotifyState::Ready]);
}

/// A reload begins; [`ready`] ends it, whatever became of it.
pub(super) fn reloading() {
    match NotifyState::monotonic_usec_now() {
        Ok(now) => tell(&[NotifyState::Reloading, now]),
        Err(_) => tell(&[NotifyState::Reloading]),
    }
}

/// Nothing new is begun. What runs has `grace` to end, however short the manager's patience
/// (`TimeoutStopSec=`) is.
pub(super) fn stopping(why: &str, grace: Duration) {
    let status = format!("stopping ({why}): what runs may end");
    let time = grace.saturating_add(AFTER_GRACE).as_micros();
    tell(&[
        NotifyState::Stopping,
        NotifyState::Status(&status),
        NotifyState::ExtendTimeoutUsec(u32::try_from(time).unwrap_or(u32::MAX)),
    ]);
}

/// Why the relay ends, in one line.
pub(super) fn failed(why: &str) {
    let why = Shown(why).to_string(); // in one line
    let why = &why[..why.floor_char_boundary(REASON_BYTES_MAX)];
    tell(&[NotifyState::Status(why)]);
}

/// Whose progress is looked at.
pub(super) struct Watched {
    pub(super) store: Store,
    pub(super) queue: QueueControl,
    pub(super) events: Events,
}

impl Watched {
    /// Keeps the manager informed. Ends only when it is dropped.
    pub(super) async fn run(self) {
        tokio::join!(self.tells_status(), self.pets_watchdog());
    }

    async fn tells_status(&self) {
        let mut every = interval(STATUS_EVERY);
        every.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut told = String::new();
        loop {
            every.tick().await;
            let (store, now) = (&self.store, wall_clock());
            let oldest = store.oldest(StateName::Deferred);
            let status = status(&store.counts(), oldest, now, store.refuses_mail().as_ref());
            if status != told {
                tell(&[NotifyState::Status(&status)]);
                told = status;
            }
        }
    }

    /// Does nothing where the manager has no watchdog over us.
    async fn pets_watchdog(&self) {
        let Some(patience) = sd_notify::watchdog_enabled() else {
            return;
        };
        let mut every = interval((patience / LOOKS).max(Duration::from_millis(1)));
        every.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut progress = Progress::default();
        let mut complained = false;
        loop {
            every.tick().await;
            let hanging = progress.hanging(
                self.store.committer_progress(),
                self.queue.dispatcher_progress(),
            );
            match hanging {
                None => {
                    tell(&[NotifyState::Watchdog]);
                    complained = false;
                }
                Some(who) if !complained => {
                    self.events.emit(ProcessEvent::Warning {
                        what: &format!("the {who} does not get on with its work"),
                        todo: "if that goes on, the service manager starts the relay again",
                    });
                    complained = true;
                }
                Some(_) => {}
            }
            self.store.stir_committer();
            self.queue.stir_dispatcher();
        }
    }
}

/// What was seen at the last look.
#[derive(Debug, Default)]
struct Progress {
    /// `None`: there was no look yet.
    committer: Option<u64>,
    dispatcher: Option<u64>,
}

impl Progress {
    /// Takes in the numbers of now; who has done nothing since the last look, though it was woken then.
    fn hanging(&mut self, committer: u64, dispatcher: Option<u64>) -> Option<&'static str> {
        let committer_hangs = self.committer.replace(committer) == Some(committer);
        let last = std::mem::replace(&mut self.dispatcher, dispatcher);
        let dispatcher_hangs = dispatcher.is_some() && last == dispatcher;
        match (committer_hangs, dispatcher_hangs) {
            (true, _) => Some("committer"),
            (false, true) => Some("dispatcher"),
            (false, false) => None,
        }
    }
}

/// The queue in one line, as `systemctl status` shows it.
fn status(
    counts: &Counts,
    oldest_deferred: Option<UnixMillis>,
    now: UnixMillis,
    refuses: Option<&CommitError>,
) -> String {
    let mail = match refuses {
        None => "accepting mail".to_owned(),
        Some(why) => format!("REFUSING MAIL: {}", Shown(why)),
    };
    let [queued, deferred, held] = [StateName::Queued, StateName::Deferred, StateName::Held]
        .map(|state| counts.recipients_in(state));
    let age = match oldest_deferred {
        Some(since) => format!(" (the oldest for {} min)", now.since(since).as_secs() / 60),
        None => String::new(),
    };
    format!("{mail}; recipients: {queued} queued, {deferred} deferred{age}, {held} held")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_has_done_nothing_between_two_looks_hangs() {
        let mut progress = Progress::default();
        let mut check = |committer, dispatcher, want| {
            assert_eq!(progress.hanging(committer, dispatcher), want);
        };
        check(0, Some(0), None); // nobody was woken yet
        check(1, Some(1), None);
        check(1, Some(2), Some("committer"));
        check(2, Some(2), Some("dispatcher"));
        check(2, Some(2), Some("committer"));
        check(3, Some(9), None);
        check(4, None, None); // mode hold
        check(5, None, None);
    }

    #[test]
    fn a_status_tells_what_waits_and_whether_mail_is_taken() {
        let mut counts = Counts::default();
        let (now, empty) = (UnixMillis(600_000), "0 queued, 0 deferred, 0 held");
        let taking = |rest: &str| format!("accepting mail; recipients: {rest}");
        assert_eq!(status(&counts, None, now, None), taking(empty));
        counts.recipients[StateName::Queued as usize] = 3;
        counts.recipients[StateName::Deferred as usize] = 2;
        assert_eq!(
            status(&counts, Some(UnixMillis(300_000)), now, None),
            taking("3 queued, 2 deferred (the oldest for 5 min), 0 held")
        );
        let full = status(&Counts::default(), None, now, Some(&CommitError::DiskFull));
        assert!(full.starts_with("REFUSING MAIL: "), "{full}");
    }
}
