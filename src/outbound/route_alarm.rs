//! Configured hosts that can't be used as they are configured: told loudly, but not for each mail.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

use crate::observe::{Events, ProcessEvent};

use super::target::HostName;

/// How long one host is not told about again.
const SILENCE: Duration = Duration::from_secs(600);

/// Tells once in a while about each host. Bounded: only hosts of the configuration get here.
#[derive(Default)]
pub(super) struct RouteAlarm(Mutex<HashMap<HostName, Instant>>);

impl RouteAlarm {
    /// Tells `what` is wrong with a configured host, unless that was told lately.
    pub(super) fn tell(&self, host: &HostName, what: &str, events: &Events) {
        let now = Instant::now();
        let mut told = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if told.get(host).is_some_and(|at| now < *at + SILENCE) {
            return;
        }
        told.insert(host.clone(), now);
        drop(told);
        events.emit(ProcessEvent::Alarm {
            what,
            todo: "correct SMTP_RELAY_HOST or SMTP_ROUTES, or DNS; the mail waits until then",
        });
    }
}
