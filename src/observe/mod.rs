//! What happened, told once: typed events, from which log lines (and later audit, metrics and
//! history) are made.
//!
//! Promises: telling never waits and never fails the one who tells. Secrets and message text never
//! enter an event; remote text comes as [`crate::mail::Reply`], which is safe to show.

mod clock;
mod event;
mod log;
mod logfmt;
mod shown;

pub use clock::wall_clock;
pub use event::{
    ClientEvent, Event, MailEvent, NoReport, ProcessEvent, QueueEvent, RejectedWhat, RemoteEvent,
    ReportKind, SeenByThen,
};
pub use log::{LogGuard, LogSetupError, start_log};
pub use shown::{Shown, is_deceptive};

use std::sync::Arc;

/// The one place where events are handed in. Cheap to clone.
#[derive(Clone, Debug, Default)]
pub struct Events(Arc<Listeners>);

#[derive(Debug, Default)]
struct Listeners {}

impl Events {
    /// Tells what happened. Returns at once.
    pub fn emit<'a>(&self, event: impl Into<Event<'a>>) {
        let Listeners {} = &*self.0;
        log::write(event.into());
    }
}
