//! The life of a queued recipient, from its admission to its final state.
//!
//! Promises: decisions (`lifecycle`, `backoff`, `admission`) are pure; a verdict and the report it
//! calls for go to the store in one commit; one destination is never felt by another.

mod action;
mod admission;
mod backoff;
mod bounds;
mod concurrency;
mod contact;
mod custody;
mod decided;
mod delays;
mod dispatcher;
mod keeper;
mod lifecycle;
mod line;
mod lines;
mod mover;
mod operator;
mod overtaken;
mod pace;
mod patience;
mod pulse;
mod recorder;
mod releaser;
mod remembered;
mod report_bound;
mod reporting;
#[cfg(test)]
mod samples;
mod seeking;
mod settings;
mod standing;
mod suspension;
mod sweeper;
mod token_bucket;
mod turns;
mod worker;

pub use action::Action;
pub use admission::admit;
pub use backoff::{Jitter, RetryPolicy};
pub use contact::Contact;
pub use lifecycle::{Report, Verdict, after_attempt, delayed, given_up, overdue};
pub use operator::{Applied, Operator, SuspendError};
pub use pace::Pace;
pub use settings::QueueControl;

use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use crate::config::{Config, Mode};
use crate::mail::limits::{
    CLAIM_RECIPIENTS_MAX, DESTINATIONS_REMEMBERED_MAX, LINE_READS_MAX, LINE_SET_ASIDE_MAX,
    LINE_WINDOW_ITEMS_MAX, TRANSACTION_RECIPIENTS_MAX,
};
use crate::mail::{Answer, Destination, Message, Recipient, RecipientNo, UnixMillis};
use crate::observe::{Events, wall_clock};
use crate::store::Store;

use bounds::Bounds;
use custody::Custody;
use delays::Delays;
use dispatcher::Dispatcher;
use lines::Rules;
use mover::Mover;
use pulse::Pulse;
use releaser::Releaser;
use settings::Settings;
use suspension::SuspensionPolicy;
use sweeper::{Expiry, Sweeper};
use worker::Worker;

/// Longest and shortest time from sweep to sweep; the latter where nothing is kept.
const SWEEP_PERIOD_MAX: Duration = Duration::from_secs(60);
/// See [`SWEEP_PERIOD_MAX`].
const SWEEP_PERIOD_MIN: Duration = Duration::from_secs(1);
/// A warning of a delay is given so soon, in parts of the delay; and space is reclaimed so soon, in
/// parts of the undo window.
const DELAY_PRECISION: u32 = 8;

/// Recipients of one message and one destination, to be attempted together.
#[derive(Debug)]
pub struct Assignment {
    /// What to send.
    pub message: Message,
    /// Whom to. At least one.
    pub recipients: Vec<Recipient>,
    /// Which line they stood in.
    pub destination: Destination,
    /// To be told how far the attempt has come.
    pub contact: Contact,
}

/// What an attempt gave for each recipient of its [`Assignment`], in any order; one that is missing
/// counts as deferred.
pub type Outcomes = Vec<(RecipientNo, Outcome)>;

/// What became of one recipient in one attempt.
#[derive(Clone, Debug)]
pub enum Outcome {
    /// A host took responsibility.
    Delivered {
        /// Its words.
        answer: Answer,
        /// It offers DSN, so it was told what the sender wants to know, and will tell.
        told_there: bool,
    },
    /// Not now.
    Deferred(Answer),
    /// Never.
    Failed(Answer),
}

/// The way out, as the dispatcher sees it.
pub trait Deliver: Send + Sync + 'static {
    /// Makes one attempt, within a deadline of its own, and tells its [`Contact`] how far it has come.
    /// Dropped midway, the message may have been taken by the remote; dropped before
    /// [`Contact::taking`], it has not.
    fn deliver(&self, assignment: &Assignment) -> impl Future<Output = Outcomes> + Send;
}

/// What time it is, for what is written down. Tests bring their own.
pub type Clock = Arc<dyn Fn() -> UnixMillis + Send + Sync>;

/// How a queue is stopped, in two steps.
#[derive(Clone, Debug, Default)]
pub struct Stop {
    /// No attempt is begun any more; those that run may end.
    pub claiming: CancellationToken,
    /// Attempts that still run are aborted; their claims are given back. Of use after the first.
    pub attempts: CancellationToken,
}

/// Everything that happens to mail between its acceptance and its end.
pub struct Queue<D> {
    dispatcher: Option<Dispatcher<D>>,
    releaser: Option<Releaser>,
    mover: Mover,
    sweeper: Sweeper,
    control: QueueControl,
    operator: Operator,
}

impl<D: Deliver> Queue<D> {
    /// A queue over `store` that sends by `deliver`. It does nothing before [`Queue::run`].
    ///
    /// Outside of mode `deliver` no attempt is made at all, not even for what was queued before, and
    /// nothing expires: nobody is told that we gave up when we did not try. What is kept long enough
    /// is removed in every mode.
    #[must_use]
    pub fn new(config: &Config, store: Store, deliver: Arc<D>, events: Events) -> Queue<D> {
        Queue::with_clock(config, store, deliver, events, Arc::new(wall_clock))
    }

    /// The same, by another clock.
    #[must_use]
    pub fn with_clock(
        config: &Config,
        store: Store,
        deliver: Arc<D>,
        events: Events,
        clock: Clock,
    ) -> Queue<D> {
        let queue = &config.queue;
        let delivers = match config.mode {
            Mode::Deliver => true,
            Mode::Hold | Mode::Sink => false,
        };
        let (change, settings) = watch::channel(Arc::new(Settings::of(config)));
        let (period, retry) = {
            let settings = settings.borrow();
            (settings.period, settings.retry)
        };
        let custody = Custody::default();
        let recorder = operator::recorder(config, settings.clone(), &store, &events, &clock);
        let operator = Operator::new(
            config,
            store.clone(),
            recorder.clone(),
            custody.clone(),
            events.clone(),
            clock.clone(),
        );
        let sweeper = Sweeper {
            store: store.clone(),
            recorder: recorder.clone(),
            custody: custody.clone(),
            events: events.clone(),
            clock: clock.clone(),
            settings: settings.clone(),
            undo_window: queue.undo_window,
            expiry: delivers.then(|| Expiry::new(retry.lifetime, clock())),
            delays: queue
                .delay_warning
                .filter(|_| delivers)
                .map(|after| Delays {
                    store: store.clone(),
                    recorder: recorder.clone(),
                    custody: custody.clone(),
                    clock: clock.clone(),
                    after,
                    not_before: clock().after(period),
                    seen: None,
                    in_hand: Vec::new(),
                }),
        };
        let releaser = delivers.then(|| Releaser {
            store: store.clone(),
            events: events.clone(),
            due: clock(),
        });
        let mover = Mover {
            store: store.clone(),
            events: events.clone(),
        };
        let pulse = Pulse::default();
        let control = QueueControl {
            settings: change,
            recorder: recorder.clone(),
            pulse: delivers.then(|| pulse.clone()),
        };
        let worker = Worker {
            store,
            deliver,
            recorder,
            custody,
            settings,
            events,
            clock,
        };
        let bounds = Bounds {
            total: queue
                .workers
                .saturating_mul(queue.worker_concurrency)
                .max(1),
            destination: queue.destination_concurrency.max(1),
            window: LINE_WINDOW_ITEMS_MAX,
            group: CLAIM_RECIPIENTS_MAX,
            transaction: TRANSACTION_RECIPIENTS_MAX,
            reads: LINE_READS_MAX,
            set_aside: LINE_SET_ASIDE_MAX,
            remembered: DESTINATIONS_REMEMBERED_MAX,
        };
        let rules = Rules {
            bounds,
            rates: queue.destination_rates.clone(),
            suspension: SuspensionPolicy::of(&retry),
        };
        Queue {
            dispatcher: delivers.then(|| Dispatcher::new(worker, rules, pulse)),
            releaser,
            mover,
            sweeper,
            control,
            operator,
        }
    }

    /// To change it while it runs.
    #[must_use]
    pub fn control(&self) -> QueueControl {
        self.control.clone()
    }

    /// For the operator's orders, while it runs and before.
    #[must_use]
    pub fn operator(&self) -> Operator {
        self.operator.clone()
    }

    /// Works until it is stopped, and until what runs then has ended.
    ///
    /// # Panics
    /// If the dispatcher or the sweeper did: the process should end, crashing is our recovery.
    pub async fn run(self, stop: Stop) {
        let mut tasks = JoinSet::new();
        tasks.spawn(self.sweeper.run(stop.clone()));
        tasks.spawn(self.mover.run(stop.clone()));
        if let Some(releaser) = self.releaser {
            tasks.spawn(releaser.run(stop.clone()));
        }
        if let Some(dispatcher) = self.dispatcher {
            tasks.spawn(dispatcher.run(stop));
        }
        while let Some(ended) = tasks.join_next().await {
            if let Err(error) = ended
                && let Ok(panic) = error.try_into_panic()
            {
                std::panic::resume_unwind(panic);
            }
        }
    }
}

#[cfg(test)]
#[path = "queue_test.rs"]
mod tests;
