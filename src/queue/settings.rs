//! What of the queue's configuration may change while it runs. Whoever decides looks it up each time.

use std::sync::{Arc, PoisonError};
use std::time::Duration;

use tokio::sync::watch;

use crate::config::{Config, DestinationRates, QueueConfig};

use super::pulse::Pulse;
use super::recorder::Recorder;
use super::{DELAY_PRECISION, RetryPolicy, SWEEP_PERIOD_MAX, SWEEP_PERIOD_MIN};

/// As they are now.
#[derive(Clone, Debug)]
pub(super) struct Settings {
    /// When recipients are tried again.
    pub(super) retry: RetryPolicy,
    /// How long messages are kept after their last recipient became final.
    pub(super) retention: Duration,
    /// From start to start of a sweep that found nothing left over.
    pub(super) period: Duration,
    /// Attempts of one destination at one time.
    pub(super) destination_concurrency: usize,
    /// How often destinations are given mail.
    pub(super) rates: DestinationRates,
    /// Whether mail that comes in is signed. Reports are not, and that is told.
    pub(super) signs: bool,
}

/// The settings, wherever they are used.
pub(super) type Live = watch::Receiver<Arc<Settings>>;

/// Changes a queue while it runs. Cheap to clone.
#[derive(Clone)]
pub struct QueueControl {
    pub(super) settings: watch::Sender<Arc<Settings>>,
    pub(super) recorder: Arc<Recorder>,
    /// `None`: outside of mode `deliver` there is no dispatcher.
    pub(super) pulse: Option<Pulse>,
}

impl Settings {
    pub(super) fn of(config: &Config) -> Settings {
        let queue = &config.queue;
        let period = sweep_period(queue);
        Settings {
            retry: RetryPolicy {
                base: queue.retry_base,
                cap: queue.retry_cap,
                lifetime: queue.lifetime,
                // The sweeper comes first: it tells of all recipients at once.
                warn_after: queue.delay_warning.map(|after| after + 2 * period),
            },
            retention: queue.retention,
            period,
            destination_concurrency: queue.destination_concurrency.max(1),
            rates: queue.destination_rates.clone(),
            signs: !config.dkim.is_empty(),
        }
    }
}

impl QueueControl {
    /// Wakes the dispatcher for nothing. Does not wait.
    pub fn stir_dispatcher(&self) {
        if let Some(pulse) = &self.pulse {
            pulse.stir();
        }
    }

    /// Grows with each turn of the dispatcher's loop, `None` where nothing is delivered. If it does not after
    /// [`QueueControl::stir_dispatcher`], the dispatcher hangs.
    #[must_use]
    pub fn dispatcher_progress(&self) -> Option<u64> {
        self.pulse.as_ref().map(Pulse::turns)
    }

    /// From now on decisions are made by another configuration. What was decided before stays: who
    /// waits for the next attempt waits as long as it was told.
    pub fn apply(&self, config: &Config) {
        let bound = &self.recorder.bound;
        bound
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .change(config.queue.max_reports_per_hour);
        self.settings.send_replace(Arc::new(Settings::of(config)));
    }
}

fn sweep_period(queue: &QueueConfig) -> Duration {
    if queue.retention.is_zero() {
        return SWEEP_PERIOD_MIN;
    }
    let spans = queue.delay_warning.into_iter().chain([queue.undo_window]);
    let precise = spans.map(|span| span / DELAY_PRECISION).min();
    let period = precise.unwrap_or(SWEEP_PERIOD_MAX);
    period.clamp(SWEEP_PERIOD_MIN, SWEEP_PERIOD_MAX)
}
