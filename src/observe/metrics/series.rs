//! The series by name, label and meaning; each help text says the unit and what a rise means.

use prometheus::core::Collector;
use prometheus::{
    Gauge, GaugeVec, Histogram, HistogramOpts, IntCounter, IntCounterVec, IntGauge, IntGaugeVec,
    Opts, Registry,
};

use crate::mail::{Reason, StateName};
use crate::message::dkim::DkimAlgorithm;
use crate::observe::event::{DnsResult, DnsType, ReportKind};
use crate::smtp::server::Say;
use crate::smtp::server::auth::Mechanism;

/// Commits and connections: from half a millisecond to a minute.
const COMMIT_SECONDS: [f64; 15] = [
    0.0005, 0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0, 2.0, 5.0, 10.0, 60.0,
];
const COMMIT_MESSAGES: [f64; 10] = [0.0, 1.0, 2.0, 5.0, 10.0, 20.0, 50.0, 100.0, 200.0, 500.0];
const ATTEMPT_SECONDS: [f64; 15] = [
    0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0, 2.0, 5.0, 10.0, 30.0, 60.0, 300.0, 1_800.0,
];
/// To a whole lifetime of five days.
const DELIVER_SECONDS: [f64; 16] = [
    0.01, 0.05, 0.1, 0.5, 1.0, 5.0, 10.0, 30.0, 60.0, 300.0, 900.0, 3_600.0, 14_400.0, 43_200.0,
    86_400.0, 432_000.0,
];

/// How an attempt ended for a recipient.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Ended {
    Delivered,
    Deferred,
    Failed,
    Expired,
}

const ENDED: [&str; 4] = ["delivered", "deferred", "failed", "expired"];
const MECHANISMS: [Mechanism; 4] = [
    Mechanism::Plain,
    Mechanism::Login,
    Mechanism::ScramSha256,
    Mechanism::ScramSha256Plus,
];
const REPORTS: [ReportKind; 3] = [ReportKind::Failed, ReportKind::Delayed, ReportKind::Relayed];

/// Every series, found without a look at its labels.
pub(super) struct Handles {
    pub(super) connections: IntCounter,
    pub(super) sessions: IntGauge,
    pub(super) messages_accepted: IntCounter,
    pub(super) recipients_accepted: IntCounter,
    pub(super) bytes_accepted: IntCounter,
    pub(super) rejects: Rejects,
    pub(super) tls_handshakes: TlsHandshakes,
    pub(super) auth: Auth,
    pub(super) queue_messages: IntGauge,
    /// In the order of [`StateName::ALL`].
    pub(super) queue_recipients: [IntGauge; StateName::ALL.len()],
    pub(super) in_flight: IntGauge,
    pub(super) queue_bytes: IntGauge,
    /// In the order of [`StateName::ALL`].
    pub(super) queue_oldest_age: [Gauge; StateName::ALL.len()],
    pub(super) commit_duration: Histogram,
    pub(super) commit_batch: Histogram,
    pub(super) commit_errors: IntCounter,
    /// By [`Ended`], then by [`Reason`].
    pub(super) attempts: [[IntCounter; Reason::ALL.len()]; ENDED.len()],
    pub(super) delivery_duration: Histogram,
    pub(super) time_to_deliver: Histogram,
    pub(super) remote_connections: IntGauge,
    pub(super) remote_reuses: IntCounter,
    pub(super) tls_levels: TlsLevels,
    pub(super) destinations_suspended: IntGauge,
    /// By [`ReportKind`].
    pub(super) reports: [IntCounter; REPORTS.len()],
    pub(super) no_reports: NoReports,
    pub(super) possible_duplicates: IntCounter,
    /// By [`DkimAlgorithm`].
    pub(super) dkim_signatures: [IntCounter; 2],
    pub(super) dkim_errors: IntCounter,
    /// By [`DnsType`], then by [`DnsResult`].
    pub(super) dns_lookups: [[IntCounter; DnsResult::ALL.len()]; DnsType::ALL.len()],
    pub(super) store_size: IntGauge,
    pub(super) disk_free: IntGauge,
    pub(super) quarantined: IntGauge,
    pub(super) accepting: IntGauge,
}

/// Refusals by [`Say`]; none for what is no refusal.
pub(super) struct Rejects(Vec<Option<IntCounter>>);

impl Rejects {
    pub(super) fn inc(&self, say: Say) {
        if let Some(Some(counter)) = self.0.get(say as usize) {
            counter.inc();
        }
    }
}

pub(super) struct TlsHandshakes {
    pub(super) full: IntCounter,
    pub(super) resumed: IntCounter,
    pub(super) failed: IntCounter,
}

/// By mechanism.
pub(super) struct Auth {
    succeeded: [IntCounter; MECHANISMS.len()],
    failed: [IntCounter; MECHANISMS.len()],
    busy: [IntCounter; MECHANISMS.len()],
}

impl Auth {
    pub(super) fn succeeded(&self, mechanism: Mechanism) -> &IntCounter {
        &self.succeeded[mechanism as usize]
    }

    pub(super) fn refused(&self, mechanism: Mechanism, say: Say) -> &IntCounter {
        match say {
            Say::AuthOverCap => &self.busy[mechanism as usize],
            _ => &self.failed[mechanism as usize],
        }
    }
}

pub(super) struct TlsLevels {
    pub(super) clear: IntCounter,
    pub(super) unchecked: IntCounter,
    pub(super) verified: IntCounter,
}

pub(super) struct NoReports {
    pub(super) null_sender: IntCounter,
    pub(super) unwanted: IntCounter,
    pub(super) rate: IntCounter,
}

/// Makes and registers everything.
pub(super) fn register() -> (Registry, Handles) {
    let registry = Registry::new_custom(Some("gopherpost".to_owned()), None)
        .expect("the prefix is a name of Prometheus");
    let handles = Handles::new(&Series(&registry));
    (registry, handles)
}

impl Handles {
    fn new(s: &Series<'_>) -> Handles {
        s.gauges(
            "build_info",
            "Always 1; the label says which version runs. A change is an upgrade.",
            "version",
            [env!("CARGO_PKG_VERSION")],
        )[0]
        .set(1);
        let [full, resumed, failed] = s.counters(
            "smtpd_tls_handshakes_total",
            "TLS handshakes with clients. A rise of failed means clients that do not trust the certificate or speak no TLS 1.2.",
            "result",
            ["ok", "resumed", "failed"],
        );
        let [queued, in_flight, deferred, held, delivered, failed_state, expired, purged] = s
            .gauges(
                "queue_recipients",
                "Recipients in the store by state; those in_flight count in their state before as well. Growth of deferred means remote hosts that do not take mail.",
                "state",
                [
                    "queued", "in_flight", "deferred", "held", "delivered", "failed", "expired",
                    "purged",
                ],
            );
        let [clear, unchecked, verified] = s.counters(
            "delivery_tls_total",
            "Recipients delivered, by how the connection was secured. A rise of clear means mail that anyone on the way can read.",
            "level",
            ["clear", "unchecked", "verified"],
        );
        let [null_sender, unwanted, rate] = s.counters(
            "dsn_suppressed_total",
            "Delivery reports that were not made. A rise of rate_limit means a sender who is not told of failures (SMTP_MAX_REPORTS_PER_HOUR).",
            "reason",
            ["null_sender", "unwanted", "rate_limit"],
        );
        Handles {
            connections: s.counter(
                "smtpd_connections_total",
                "Connections from clients, those refused included. A steep rise means a busy or misbehaving client.",
            ),
            sessions: s.gauge(
                "smtpd_connections_active",
                "Clients connected now. Near SMTP_MAX_CONNECTIONS further ones are turned away.",
            ),
            messages_accepted: s.counter(
                "smtpd_messages_accepted_total",
                "Messages that clients have a 250 for. A rise is traffic; none for long means that clients do not reach us.",
            ),
            recipients_accepted: s.counter(
                "smtpd_recipients_accepted_total",
                "Recipients of the accepted messages. A rise is traffic.",
            ),
            bytes_accepted: s.counter(
                "smtpd_bytes_accepted_total",
                "Octets of the accepted messages, our own header fields included. A rise is traffic.",
            ),
            rejects: s.rejects(
                "smtpd_rejects_total",
                "Refusals to clients by reply code and reason. A rise means clients that are not allowed, not configured, or too fast.",
            ),
            tls_handshakes: TlsHandshakes {
                full,
                resumed,
                failed,
            },
            auth: s.auth(
                "smtpd_auth_total",
                "Authentications of clients. A rise of failed means a wrong password or guessing; of busy, that guessing is slowed down.",
            ),
            queue_messages: s.gauge(
                "queue_messages",
                "Messages in the store, those kept by SMTP_RETENTION_DAYS included. Growth means traffic, or mail that does not leave.",
            ),
            queue_recipients: [
                queued,
                deferred,
                held,
                delivered,
                failed_state,
                expired,
                purged,
            ],
            in_flight,
            queue_bytes: s.gauge(
                "queue_bytes",
                "Octets of the messages in the store. Growth ends at a full disk.",
            ),
            queue_oldest_age: s.ages(
                "queue_oldest_age_seconds",
                "Seconds since the arrival of the oldest message with a recipient in that state, 0 without any. A rise of queued or deferred means mail that is stuck.",
            ),
            commit_duration: s.histogram(
                "queue_commit_duration_seconds",
                "Seconds that making a group of changes durable takes. A rise means a slow disk, and clients that wait for their 250.",
                &COMMIT_SECONDS,
            ),
            commit_batch: s.histogram(
                "queue_commit_batch_messages",
                "New messages in a group that was made durable together. A rise means more load, or a slower disk.",
                &COMMIT_MESSAGES,
            ),
            commit_errors: s.counter(
                "queue_commit_errors_total",
                "Groups of changes that could not be made durable; their clients were told to come again. Any rise means a disk that is full or broken.",
            ),
            attempts: s.attempts(
                "delivery_attempts_total",
                "Attempts by recipient, result and reason of trouble; recipients that expired without an attempt are expired. A rise of deferred or failed means remote hosts, names or policies that keep mail back.",
            ),
            delivery_duration: s.histogram(
                "delivery_duration_seconds",
                "Seconds that an attempt takes, from its begin to its end, whatever came of it. A rise means slow remote hosts.",
                &ATTEMPT_SECONDS,
            ),
            time_to_deliver: s.histogram(
                "delivery_time_to_deliver_seconds",
                "Seconds from a message's arrival to its delivery, by recipient. A rise means that users wait longer.",
                &DELIVER_SECONDS,
            ),
            remote_connections: s.gauge(
                "delivery_connections_active",
                "Connections to remote hosts that are open, idle ones included. A rise means more deliveries at one time, or slower ones.",
            ),
            remote_reuses: s.counter(
                "delivery_connection_reuses_total",
                "Messages sent over a connection that had carried another one. A rise is good: it spares handshakes.",
            ),
            tls_levels: TlsLevels {
                clear,
                unchecked,
                verified,
            },
            destinations_suspended: s.gauge(
                "destinations_suspended",
                "Destinations without attempts for now, since no host of theirs answers or by order. A rise means unreachable hosts, or a network of our own that fails.",
            ),
            reports: s.counters(
                "dsn_generated_total",
                "Delivery reports to senders by kind. A steep rise of failed means a sender of bad lists, or a flood of forged senders.",
                "kind",
                REPORTS.map(ReportKind::as_str),
            ),
            no_reports: NoReports {
                null_sender,
                unwanted,
                rate,
            },
            possible_duplicates: s.counter(
                "possible_duplicates_total",
                "Recipients who may get a message twice, as the answer of a remote host was lost. A rise means connections that break behind the final dot, or crashes.",
            ),
            dkim_signatures: s.counters(
                "dkim_signatures_total",
                "DKIM signatures made. A rise is traffic; none, where there are keys, means that no key fits the senders.",
                "algorithm",
                [DkimAlgorithm::Rsa, DkimAlgorithm::Ed25519].map(DkimAlgorithm::as_str),
            ),
            dkim_errors: s.counter(
                "dkim_errors_total",
                "Messages put off since they could not be signed. Any rise means keys that are broken.",
            ),
            dns_lookups: s.lookups(
                "dns_lookups_total",
                "Questions to DNS by record type and result, those answered from the cache included. A rise of temporary means name servers that fail.",
            ),
            store_size: s.gauge(
                "store_size_bytes",
                "Octets that the database takes on the disk. Growth without growth of the queue is space not yet reclaimed.",
            ),
            disk_free: s.gauge(
                "store_disk_free_bytes",
                "Octets free where the queue lives. Below SMTP_MIN_FREE_SPACE mail is refused; a rise is good.",
            ),
            quarantined: s.gauge(
                "store_quarantined_records",
                "Records and bodies put aside since they are damaged. Any rise means a disk or memory that lies.",
            ),
            accepting: s.gauge(
                "accepting_mail",
                "1 while clients get their mail accepted; 0 while stopping, or while the store fails or the disk is low.",
            ),
        }
    }
}

/// Makes series in a registry. Names and labels are constants of this file, so that registering them
/// can't fail; a test registers them all.
struct Series<'a>(&'a Registry);

impl Series<'_> {
    fn add<C: Collector + Clone + 'static>(&self, made: prometheus::Result<C>) -> C {
        let collector = made.expect("a constant name, help and labels");
        let registered = self.0.register(Box::new(collector.clone()));
        registered.expect("registered once");
        collector
    }

    fn counter(&self, name: &str, help: &str) -> IntCounter {
        self.add(IntCounter::new(name, help))
    }

    fn gauge(&self, name: &str, help: &str) -> IntGauge {
        self.add(IntGauge::new(name, help))
    }

    fn histogram(&self, name: &str, help: &str, buckets: &[f64]) -> Histogram {
        let options = HistogramOpts::new(name, help).buckets(buckets.to_vec());
        self.add(Histogram::with_opts(options))
    }

    fn counters<const N: usize>(
        &self,
        name: &str,
        help: &str,
        label: &str,
        values: [&str; N],
    ) -> [IntCounter; N] {
        let all = self.add(IntCounterVec::new(Opts::new(name, help), &[label]));
        values.map(|value| all.with_label_values(&[value]))
    }

    fn gauges<const N: usize>(
        &self,
        name: &str,
        help: &str,
        label: &str,
        values: [&str; N],
    ) -> [IntGauge; N] {
        let all = self.add(IntGaugeVec::new(Opts::new(name, help), &[label]));
        values.map(|value| all.with_label_values(&[value]))
    }

    fn ages(&self, name: &str, help: &str) -> [Gauge; StateName::ALL.len()] {
        let all = self.add(GaugeVec::new(Opts::new(name, help), &["state"]));
        StateName::ALL.map(|state| all.with_label_values(&[state.as_str()]))
    }

    fn rejects(&self, name: &str, help: &str) -> Rejects {
        let all = self.add(IntCounterVec::new(
            Opts::new(name, help),
            &["code", "reason"],
        ));
        let counter = |say: Say| {
            let reason = is_counted(say).then(|| reason_of(say))?;
            let code = &say.line()[..3];
            Some(all.with_label_values(&[code, &reason]))
        };
        let mut by_say = Vec::new();
        for say in Say::ALL {
            by_say.resize(by_say.len().max(say as usize + 1), None);
            by_say[say as usize] = counter(say);
        }
        Rejects(by_say)
    }

    fn auth(&self, name: &str, help: &str) -> Auth {
        let all = self.add(IntCounterVec::new(
            Opts::new(name, help),
            &["mechanism", "result"],
        ));
        let with = |result: &str| {
            MECHANISMS.map(|mechanism| all.with_label_values(&[mechanism.name(), result]))
        };
        Auth {
            succeeded: with("ok"),
            failed: with("failed"),
            busy: with("busy"),
        }
    }

    fn attempts(&self, name: &str, help: &str) -> [[IntCounter; Reason::ALL.len()]; ENDED.len()] {
        let all = self.add(IntCounterVec::new(
            Opts::new(name, help),
            &["result", "reason"],
        ));
        ENDED.map(|result| {
            Reason::ALL.map(|reason| all.with_label_values(&[result, reason.as_str()]))
        })
    }

    fn lookups(
        &self,
        name: &str,
        help: &str,
    ) -> [[IntCounter; DnsResult::ALL.len()]; DnsType::ALL.len()] {
        let all = self.add(IntCounterVec::new(
            Opts::new(name, help),
            &["type", "result"],
        ));
        DnsType::ALL.map(|kind| {
            DnsResult::ALL.map(|result| all.with_label_values(&[kind.as_str(), result.as_str()]))
        })
    }
}

/// The end of a session without a command behind it is told with the session, not as a refusal.
fn is_counted(say: Say) -> bool {
    say.is_refusal() && !matches!(say, Say::TooSlow | Say::AuthTooLate | Say::ShuttingDown)
}

/// The refusal's name in the manner of labels: `too_many_recipients`.
fn reason_of(say: Say) -> String {
    let mut reason = String::new();
    for (at, letter) in format!("{say:?}").char_indices() {
        if letter.is_ascii_uppercase() && at > 0 {
            reason.push('_');
        }
        reason.push(letter.to_ascii_lowercase());
    }
    reason
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_reason_is_the_name_of_the_refusal() {
        assert_eq!(reason_of(Say::TooManyRecipients), "too_many_recipients");
        assert_eq!(reason_of(Say::Http), "http");
        assert_eq!(reason_of(Say::NeedsSmtputf8), "needs_smtputf8");
    }

    #[test]
    fn indices_and_labels_are_in_one_order() {
        for (at, say) in Say::ALL.into_iter().enumerate() {
            assert_eq!(say as usize, at);
        }
        for (at, mechanism) in MECHANISMS.into_iter().enumerate() {
            assert_eq!(mechanism as usize, at);
        }
        for (at, kind) in REPORTS.into_iter().enumerate() {
            assert_eq!(kind as usize, at);
        }
        for (at, reason) in Reason::ALL.into_iter().enumerate() {
            assert_eq!(reason as usize, at);
        }
        for (at, state) in StateName::ALL.into_iter().enumerate() {
            assert_eq!(state as usize, at);
        }
        for (at, kind) in DnsType::ALL.into_iter().enumerate() {
            assert_eq!(kind as usize, at);
        }
        for (at, result) in DnsResult::ALL.into_iter().enumerate() {
            assert_eq!(result as usize, at);
        }
        assert_eq!(DkimAlgorithm::Rsa as usize, 0);
        assert_eq!(Ended::Expired as usize, 3);
    }
}
