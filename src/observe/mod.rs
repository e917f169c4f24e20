//! What happened, told once: typed events, from which log lines, the live audit stream and the numbers
//! for Prometheus are made.
//!
//! Promises: telling never waits and never fails the one who tells. Secrets and message text never
//! enter an event; remote text comes as [`crate::mail::Reply`], which is safe to show.

mod audit;
mod clock;
mod event;
mod format;
mod line;
mod log;
mod logfmt;
mod metrics;
mod shown;

pub use audit::{AUDIT_READERS_MAX, AuditReader, Heard};
pub use clock::wall_clock;
pub use event::{
    ClientEvent, DnsResult, DnsType, Event, MailEvent, NoReport, ProcessEvent, QueueEvent,
    RejectedWhat, RemoteEvent, ReportKind, SeenByThen,
};
pub use log::{Log, LogGuard, LogSetupError, check_log_filter, start_log};
pub use metrics::{Gauges, Metrics, OldestAges};
pub use shown::{Shown, is_deceptive};

use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use audit::Audit;

/// The one place where events are handed in. Cheap to clone. By default nobody listens.
#[derive(Clone, Debug, Default)]
pub struct Events(Option<Arc<Listeners>>);

#[derive(Debug)]
struct Listeners {
    log: Log,
    audit: Audit,
    metrics: Metrics,
}

impl Events {
    /// Events that are written to `log`, counted, and heard by whoever subscribes.
    #[must_use]
    pub fn new(log: Log) -> Events {
        Events(Some(Arc::new(Listeners {
            log,
            audit: Audit::default(),
            metrics: Metrics::new(),
        })))
    }

    /// Tells what happened. Returns at once.
    pub fn emit<'a>(&self, event: impl Into<Event<'a>>) {
        if let Some(listeners) = &self.0 {
            let event = event.into();
            listeners.metrics.count(&event);
            line::of(event, &**listeners);
        }
    }

    /// Another `SMTP_LOG` from now on; nothing is changed if it is no filter.
    pub fn set_log_filter(&self, filter: &str) -> Result<(), LogSetupError> {
        match &self.0 {
            Some(listeners) => listeners.log.set_filter(filter),
            None => Ok(()),
        }
    }

    /// Reads along from now on. `None`: there are [`AUDIT_READERS_MAX`] readers already, or nothing is
    /// to be heard.
    #[must_use]
    pub fn subscribe(&self) -> Option<AuditReader> {
        self.0.as_ref()?.audit.subscribe()
    }

    /// Whether those who read along hear single decisions (debug) as well.
    #[must_use]
    pub fn verbose(&self) -> bool {
        let listeners = self.0.as_ref();
        listeners.is_some_and(|listeners| listeners.audit.is_verbose())
    }

    /// The switch itself, to be handed on.
    #[must_use]
    pub fn verbose_switch(&self) -> Arc<AtomicBool> {
        let listeners = self.0.as_ref();
        listeners.map_or_else(Arc::default, |listeners| listeners.audit.verbose_switch())
    }

    /// Switches that, for all readers.
    pub fn set_verbose(&self, verbose: bool) {
        if let Some(listeners) = &self.0 {
            listeners.audit.set_verbose(verbose);
        }
    }

    /// What was counted; `None` if nothing is.
    #[must_use]
    pub fn metrics(&self) -> Option<&Metrics> {
        self.0.as_ref().map(|listeners| &listeners.metrics)
    }
}

impl line::Takes for Listeners {
    fn takes(&self, level: tracing::Level) -> bool {
        self.log.takes(level) || self.audit.takes(level)
    }

    fn line(&self, line: &line::Line<'_>) {
        if self.log.takes(line.level) {
            self.log.line(line);
        }
        if self.audit.takes(line.level) {
            self.audit.line(line);
        }
    }
}
