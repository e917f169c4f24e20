//! What is counted for Prometheus. Every series is there from the start and none is added later, so
//! nothing that a client or a remote host says can become a label, and counting is one atomic addition.

mod process;
mod series;

use std::fmt;
use std::time::Duration;

use prometheus::{IntCounter, Registry, TextEncoder};

use crate::mail::{Channel, Reason, RecipientState, Remote, StateName, UnixMillis};

use super::clock::wall_clock;
use super::event::{ClientEvent, Event, MailEvent, NoReport, QueueEvent, RemoteEvent};
use series::{Ended, Handles};

/// What is read only when somebody asks.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Gauges {
    /// Messages in the store.
    pub messages: u64,
    /// Their octets.
    pub bytes: u64,
    /// Recipients, in the order of [`StateName::ALL`].
    pub recipients: [u64; StateName::ALL.len()],
    /// When the oldest message arrived that has a recipient in that state.
    pub oldest: OldestAges,
    /// What the store's files take.
    pub store_bytes: u64,
    /// What the store's file system has left.
    pub disk_free_bytes: u64,
    /// Records and bodies that were put aside since they are damaged.
    pub quarantined: u64,
    /// Whether a client would get its mail accepted.
    pub accepting: bool,
}

/// Arrival of the oldest in each state, in the order of [`StateName::ALL`]; `None`: there is none.
pub type OldestAges = [Option<UnixMillis>; StateName::ALL.len()];

/// The counters, and the text for Prometheus.
pub struct Metrics {
    registry: Registry,
    handles: Handles,
    started: UnixMillis,
}

impl fmt::Debug for Metrics {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Metrics").finish_non_exhaustive()
    }
}

impl Default for Metrics {
    fn default() -> Metrics {
        Metrics::new()
    }
}

impl Metrics {
    /// All series, at zero.
    #[must_use]
    pub fn new() -> Metrics {
        let (registry, handles) = series::register();
        Metrics {
            registry,
            handles,
            started: wall_clock(),
        }
    }

    /// Counts what happened.
    pub(super) fn count(&self, event: &Event<'_>) {
        match event {
            Event::Process(_) => {}
            Event::Client(event) => self.client(event),
            Event::Remote(event) => self.remote(event),
            Event::Mail(event) => self.mail(event),
            Event::Queue(event) => self.queue(event),
        }
    }

    fn client(&self, event: &ClientEvent<'_>) {
        let Handles {
            connections,
            sessions,
            rejects,
            tls_handshakes,
            auth,
            ..
        } = &self.handles;
        match *event {
            ClientEvent::ClientRefused { say, .. } => {
                connections.inc();
                rejects.inc(say);
            }
            ClientEvent::ProxyFault { .. } => connections.inc(),
            ClientEvent::SessionStarted { .. } => {
                connections.inc();
                sessions.inc();
            }
            ClientEvent::SessionEnded { .. } => sessions.dec(),
            ClientEvent::TlsStarted { resumed: false, .. } => tls_handshakes.full.inc(),
            ClientEvent::TlsStarted { resumed: true, .. } => tls_handshakes.resumed.inc(),
            ClientEvent::TlsFailed { .. } => tls_handshakes.failed.inc(),
            ClientEvent::AuthSucceeded { mechanism, .. } => auth.succeeded(mechanism).inc(),
            ClientEvent::AuthFailed { mechanism, say, .. } => {
                rejects.inc(say);
                auth.refused(mechanism, say).inc();
            }
            ClientEvent::Rejected { say, .. } => rejects.inc(say),
        }
    }

    fn remote(&self, event: &RemoteEvent<'_>) {
        let handles = &self.handles;
        match *event {
            RemoteEvent::ConnectionOpened { .. } => handles.remote_connections.inc(),
            RemoteEvent::ConnectionReused { .. } => handles.remote_reuses.inc(),
            RemoteEvent::ConnectionClosed { .. } => handles.remote_connections.dec(),
            RemoteEvent::LookedUp { kind, result, .. } => {
                handles.dns_lookups[kind as usize][result as usize].inc();
            }
        }
    }

    fn mail(&self, event: &MailEvent<'_>) {
        let handles = &self.handles;
        match *event {
            MailEvent::Accepted {
                message,
                recipients,
                ..
            } => {
                handles.messages_accepted.inc();
                handles.recipients_accepted.inc_by(number(recipients));
                handles.bytes_accepted.inc_by(message.size());
            }
            MailEvent::DkimSigned { keys, .. } => {
                for (algorithm, _) in keys {
                    handles.dkim_signatures[*algorithm as usize].inc();
                }
            }
            MailEvent::DkimUnsigned { .. }
            | MailEvent::Removed { .. }
            | MailEvent::Ordered { .. }
            | MailEvent::Overtaken { .. } => {}
            MailEvent::DkimFailed { .. } => handles.dkim_errors.inc(),
            MailEvent::AttemptStarted { recipients, .. } => {
                handles.in_flight.add(signed(number(recipients)));
            }
            MailEvent::AttemptEnded {
                recipients, took, ..
            } => {
                handles.in_flight.sub(signed(number(recipients)));
                handles.delivery_duration.observe(took.as_secs_f64());
            }
            MailEvent::Attempted {
                after,
                answer,
                arrival,
                now,
                ..
            } => {
                let ended = match after.state {
                    RecipientState::Delivered => Ended::Delivered,
                    RecipientState::Failed => Ended::Failed,
                    RecipientState::Expired => Ended::Expired,
                    RecipientState::Queued { .. }
                    | RecipientState::Deferred { .. }
                    | RecipientState::Held { .. }
                    | RecipientState::Purged { .. } => Ended::Deferred,
                };
                self.attempts(ended, answer.reason).inc();
                if ended == Ended::Delivered {
                    let took = now.since(arrival).as_secs_f64();
                    handles.time_to_deliver.observe(took);
                    if let Some(level) = self.tls_level(answer.remote.as_ref()) {
                        level.inc();
                    }
                }
            }
            MailEvent::PossibleDuplicate { .. } => handles.possible_duplicates.inc(),
            MailEvent::Expired { recipient, .. } => {
                let last = recipient.last_answer.as_ref();
                let reason = last.map_or(Reason::None, |answer| answer.reason);
                self.attempts(Ended::Expired, reason).inc();
            }
            MailEvent::ReportQueued { kind, .. } => handles.reports[kind as usize].inc(),
            MailEvent::ReportDropped { why, .. } => match why {
                NoReport::NullReversePath => handles.no_reports.null_sender.inc(),
                NoReport::Unwanted => handles.no_reports.unwanted.inc(),
            },
            MailEvent::ReportSuppressed { .. } => handles.no_reports.rate.inc(),
        }
    }

    fn queue(&self, event: &QueueEvent<'_>) {
        match *event {
            QueueEvent::Committed { messages, took } => {
                self.handles.commit_duration.observe(took.as_secs_f64());
                let messages = u32::try_from(messages).unwrap_or(u32::MAX);
                self.handles.commit_batch.observe(messages.into());
            }
            QueueEvent::CommitFailed { .. } => self.handles.commit_errors.inc(),
            QueueEvent::SuspendedInAll { destinations } => {
                let suspended = signed(number(destinations));
                self.handles.destinations_suspended.set(suspended);
            }
            QueueEvent::Quarantined { .. }
            | QueueEvent::Migrated { .. }
            | QueueEvent::Recovered { .. }
            | QueueEvent::Released { .. }
            | QueueEvent::Rerouted { .. }
            | QueueEvent::DestinationTrouble { .. }
            | QueueEvent::Ordered { .. }
            | QueueEvent::Suspended { .. }
            | QueueEvent::SuspendedByOrder { .. }
            | QueueEvent::Opened { .. } => {}
        }
    }

    fn attempts(&self, ended: Ended, reason: Reason) -> &IntCounter {
        &self.handles.attempts[ended as usize][reason as usize]
    }

    fn tls_level(&self, remote: Option<&Remote>) -> Option<&IntCounter> {
        let security = remote?.security.as_ref()?;
        Some(match security.channel {
            Channel::Clear => &self.handles.tls_levels.clear,
            Channel::Unchecked(_) => &self.handles.tls_levels.unchecked,
            Channel::Verified(_) => &self.handles.tls_levels.verified,
        })
    }

    /// Everything in Prometheus' text format 0.0.4.
    #[must_use]
    pub fn text(&self, gauges: &Gauges) -> String {
        let handles = &self.handles;
        let now = wall_clock();
        handles.queue_messages.set(signed(gauges.messages));
        handles.queue_bytes.set(signed(gauges.bytes));
        for (at, state) in handles.queue_recipients.iter().enumerate() {
            state.set(signed(gauges.recipients[at]));
        }
        for (at, state) in handles.queue_oldest_age.iter().enumerate() {
            let age = gauges.oldest[at].map_or(Duration::ZERO, |arrival| now.since(arrival));
            state.set(age.as_secs_f64());
        }
        handles.store_size.set(signed(gauges.store_bytes));
        handles.disk_free.set(signed(gauges.disk_free_bytes));
        handles.quarantined.set(signed(gauges.quarantined));
        handles.accepting.set(gauges.accepting.into());
        let mut text = String::with_capacity(64 * 1024);
        // Into a String, and of families that registered, nothing fails.
        let _ = TextEncoder::new().encode_utf8(&self.registry.gather(), &mut text);
        process::write(self.started, &mut text);
        text
    }

    /// The JSON that the relay's predecessor served, by the names that its users know.
    #[must_use]
    pub fn expvar(&self, gauges: &Gauges) -> String {
        let handles = &self.handles;
        let of = |ended: Ended| -> u64 {
            let reasons = handles.attempts[ended as usize].iter();
            reasons.map(IntCounter::get).sum()
        };
        let waiting = [StateName::Queued, StateName::Deferred, StateName::Held];
        let depth: u64 = waiting
            .iter()
            .map(|&state| gauges.recipients[state as usize])
            .sum();
        let failures = of(Ended::Deferred) + of(Ended::Failed) + of(Ended::Expired);
        serde_json::json!({
            "smtp_messages_queued_total": handles.messages_accepted.get(),
            "smtp_messages_delivered_total": of(Ended::Delivered),
            "smtp_delivery_failures_total": failures,
            "smtp_queue_depth": depth,
            "smtp_sessions_active": handles.sessions.get(),
        })
        .to_string()
    }
}

fn number(count: usize) -> u64 {
    u64::try_from(count).unwrap_or(u64::MAX)
}

fn signed(count: u64) -> i64 {
    i64::try_from(count).unwrap_or(i64::MAX)
}

#[cfg(test)]
mod tests;
