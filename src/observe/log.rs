//! Events as log lines, through `tracing`. Lines are written by a thread of their own: a slow
//! reader of our log costs lines, never mail.

use std::io::{self, BufWriter, Write};
use std::time::Duration;

use tracing::{debug, error, info, trace, warn};
use tracing_appender::non_blocking::{NonBlockingBuilder, WorkerGuard};
use tracing_subscriber::EnvFilter;

use crate::config::{LogConfig, LogFormat};
use crate::mail::{Client, EnhancedClass, Message, RecipientState};

use super::event::{
    ClientEvent, Event, MailEvent, ProcessEvent, QueueEvent, RemoteEvent, SeenByThen,
};
use super::logfmt::Logfmt;
use super::shown::Shown;

/// Lines that may wait to be written; more are lost.
const LINES_WAITING_MAX: usize = 16 * 1024;
const WRITE_BUFFER_BYTES: usize = 64 * 1024;
/// After a write the log's thread rests so long, and what comes meanwhile goes out together: waking
/// it for every line cost 8 % of acceptance.
const GATHER: Duration = Duration::from_millis(5);

/// Writes out what is waiting when it is dropped; keep it until the end.
#[derive(Debug)]
pub struct LogGuard {
    _worker: WorkerGuard,
}

/// The log could not be set up.
#[derive(Debug, thiserror::Error)]
pub enum LogSetupError {
    /// `SMTP_LOG` is no filter.
    #[error(
        "SMTP_LOG: {0}; expected a level (error, warn, info, debug, trace) or a filter such as info,hickory_resolver=debug"
    )]
    Filter(#[from] tracing_subscriber::filter::ParseError),
    /// Somebody in this process did it before.
    #[error("the log is already set up in this process")]
    Twice,
}

/// Starts the log on standard error.
pub fn start_log(config: &LogConfig) -> Result<LogGuard, LogSetupError> {
    let filter = EnvFilter::try_new(&config.filter)?;
    let (writer, worker) = NonBlockingBuilder::default()
        .lossy(true)
        .buffered_lines_limit(LINES_WAITING_MAX)
        .thread_name("log")
        .finish(Gathering(BufWriter::with_capacity(
            WRITE_BUFFER_BYTES,
            io::stderr(),
        )));
    let lines = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_target(false)
        .with_ansi(false)
        .with_writer(writer);
    let done = match config.format {
        LogFormat::Text => lines.try_init(),
        LogFormat::Logfmt => lines.event_format(Logfmt).try_init(),
        LogFormat::Json => lines.json().flatten_event(true).try_init(),
    };
    done.map_err(|_| LogSetupError::Twice)?;
    Ok(LogGuard { _worker: worker })
}

/// Flushed when no line is waiting; see [`GATHER`].
struct Gathering<W: Write>(BufWriter<W>);

impl<W: Write> Write for Gathering<W> {
    fn write(&mut self, octets: &[u8]) -> io::Result<usize> {
        self.0.write(octets)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.0.flush()?;
        std::thread::sleep(GATHER);
        Ok(())
    }
}

/// One line for one event. Message texts are constant; what varies is in fields.
pub(super) fn write(event: Event<'_>) {
    match event {
        Event::Process(event) => of_process(event),
        Event::Client(event) => of_client(event),
        Event::Remote(event) => of_remote(event),
        Event::Mail(event) => of_mail(event),
        Event::Queue(event) => of_queue(event),
    }
}

/// The process: its start, its sockets, its end, and what an operator should know.
fn of_process(event: ProcessEvent<'_>) {
    match event {
        ProcessEvent::Started {
            version,
            hostname,
            mode,
        } => {
            info!(
                event = "started",
                version, hostname, mode, "GopherPost is up"
            );
        }
        ProcessEvent::Listening { address, what } => {
            info!(event = "listening", %address, what, "listening")
        }
        ProcessEvent::ControlListening { path } => {
            info!(event = "listening", address = %path.display(), what = "control", "listening")
        }
        ProcessEvent::NotListening {
            address,
            what,
            error,
        } => {
            error!(event = "not_listening", %address, what, error, "port can't be had, going on without it");
        }
        ProcessEvent::CertificateReloaded { path } => {
            info!(event = "certificate_reloaded", path = %path.display(), "changed TLS certificate in use");
        }
        ProcessEvent::DkimKeyReloaded {
            domain,
            selector,
            path,
        } => {
            info!(event = "dkim_key_reloaded", domain, selector, path = %path.display(), "changed DKIM key in use");
        }
        ProcessEvent::Warning { what, todo } => warn!(event = "warning", todo, "{what}"),
        ProcessEvent::Alarm { what, todo } => error!(event = "alarm", todo, "{what}"),
        ProcessEvent::Stopping { why } => info!(event = "stopping", why, "stopping"),
        ProcessEvent::StillWaiting { what, count } => {
            info!(event = "still_waiting", what, count, "still waiting")
        }
        ProcessEvent::Stopped { clean } => info!(event = "stopped", clean, "stopped"),
    }
}

/// Clients and their sessions.
fn of_client(event: ClientEvent<'_>) {
    match event {
        ClientEvent::ClientRefused { client, reply } => {
            info!(event = "client_refused", %client, reply, "client refused");
        }
        ClientEvent::SessionStarted { client } => {
            debug!(event = "session_started", %client, "client connected")
        }
        ClientEvent::SessionEnded {
            client,
            messages,
            why,
        } => {
            debug!(event = "session_ended", %client, messages, why, "session ended");
        }
        ClientEvent::TlsStarted {
            client,
            version,
            cipher,
            resumed,
        } => debug!(event = "tls_started", %client, version, cipher, resumed, "TLS begins"),
        ClientEvent::TlsFailed { client, error } => {
            info!(event = "tls_failed", %client, error, "TLS handshake failed");
        }
        ClientEvent::AuthSucceeded {
            client,
            mechanism,
            user,
        } => {
            info!(event = "auth_succeeded", %client, mechanism, user, "authenticated");
        }
        ClientEvent::AuthFailed {
            client,
            mechanism,
            user,
            reply,
        } => {
            info!(event = "auth_failed", %client, mechanism, user, reply, "authentication failed");
        }
        ClientEvent::Rejected {
            client,
            what,
            reply,
        } => {
            info!(event = "rejected", %client, what = what.as_str(), reply, "rejected");
        }
    }
}

/// Connections to remote hosts.
fn of_remote(event: RemoteEvent<'_>) {
    match event {
        RemoteEvent::ConnectionOpened { remote } => {
            debug!(event = "connection_opened", %remote, "connected to a remote host");
        }
        RemoteEvent::ConnectionReused {
            remote,
            transactions,
        } => {
            debug!(event = "connection_reused", %remote, transactions, "a kept connection carries another message");
        }
        RemoteEvent::ConnectionClosed {
            remote,
            transactions,
            age,
        } => debug!(
            event = "connection_closed", %remote, transactions, age_ms = micros(age) / 1000,
            "a connection to a remote host has ended"
        ),
    }
}

/// What became of messages, one fact each.
fn of_mail(event: MailEvent<'_>) {
    match event {
        MailEvent::Accepted {
            message,
            recipients,
            commit,
        } => accepted(message, recipients, commit),
        MailEvent::DkimSigned { id, domain, keys } => {
            debug!(event = "dkim_signed", queue_id = %id, domain, keys, "signed");
        }
        MailEvent::DkimUnsigned { id, domain, why } => {
            info!(event = "dkim_unsigned", queue_id = %id, domain, why, "goes on without a DKIM signature");
        }
        MailEvent::DkimFailed { id, domain, error } => {
            error!(event = "dkim_failed", queue_id = %id, domain, error, "DKIM signature can't be made, message put off; `gopherpost dkim check` looks at the keys");
        }
        MailEvent::Attempted {
            id,
            after,
            answer,
            took,
            arrival,
            now,
            ..
        } => {
            let due = after.state.due().map(|due| due.since(now).as_secs());
            let remote = answer.remote.as_ref().map(tracing::field::display);
            let security = answer.remote.as_ref();
            let security = security.and_then(|remote| remote.security.as_ref());
            let (name, line) = match after.state {
                RecipientState::Delivered => ("delivered", "delivered"),
                RecipientState::Failed => ("failed", "failed for good"),
                RecipientState::Expired => ("expired", "lifetime over"),
                // what the operator took out or holds meanwhile is as its host said, see `overtaken`
                RecipientState::Held { .. } | RecipientState::Purged { .. }
                    if answer.status.class == EnhancedClass::Permanent =>
                {
                    ("failed", "failed for good")
                }
                RecipientState::Queued { .. }
                | RecipientState::Deferred { .. }
                | RecipientState::Held { .. }
                | RecipientState::Purged { .. } => ("deferred", "deferred"),
            };
            info!(
                event = name,
                queue_id = %id,
                rcpt = %Shown(&after.address),
                remote,
                dsn = %answer.status,
                reply = %answer.words(),
                reason = answer.reason.as_str(),
                tls = security.map(|security| tracing::field::display(&security.channel)),
                tls_rule = security.map(|security| &*security.rule),
                attempt = after.attempts,
                age_s = now.since(arrival).as_secs(),
                took_ms = micros(took) / 1000,
                next_in_s = due,
                "{line}"
            );
        }
        MailEvent::PossibleDuplicate { id, to, remote } => warn!(
            event = "possible_duplicate", queue_id = %id, rcpt = %Shown(to), remote,
            "the remote may have it, but its answer was lost; it will be sent again"
        ),
        MailEvent::Expired { id, recipient } => {
            info!(event = "expired", queue_id = %id, rcpt = %Shown(&recipient.address), attempt = recipient.attempts, "lifetime over");
        }
        MailEvent::ReportQueued {
            id,
            about,
            to,
            kind,
            recipients,
        } => {
            info!(event = "report_queued", queue_id = %id, about = %about, rcpt = %Shown(to), kind = kind.as_str(), recipients, "report to the sender queued");
        }
        MailEvent::ReportDropped { about, why } => {
            info!(event = "report_dropped", queue_id = %about, why = why.as_str(), "no report is sent");
        }
        MailEvent::ReportSuppressed {
            about,
            to,
            kind,
            recipients,
        } => warn!(
            event = "report_suppressed", queue_id = %about, rcpt = %Shown(to), kind = kind.as_str(), recipients,
            "no report is sent: the sender got as many as it may in an hour (SMTP_MAX_REPORTS_PER_HOUR)"
        ),
        MailEvent::Removed { id } => {
            debug!(event = "removed", queue_id = %id, "message over, removed")
        }
        MailEvent::Ordered {
            id,
            recipient,
            action,
            by,
            reason,
            in_flight,
        } => debug!(
            event = "ordered", queue_id = %id, rcpt = %Shown(&recipient.address), action,
            state = recipient.state.name().as_str(), by, reason, in_flight,
            "changed by the operator"
        ),
        MailEvent::Overtaken {
            id,
            recipient,
            action,
            seen,
        } => info!(
            event = "overtaken", queue_id = %id, rcpt = %Shown(&recipient.address), action,
            state = recipient.state.name().as_str(), attempt = seen.as_str(),
            "{}", overtaken(seen)
        ),
    }
}

/// The state of the queue.
fn of_queue(event: QueueEvent<'_>) {
    match event {
        QueueEvent::Quarantined { id, what } => error!(
            event = "quarantined",
            queue_id = id.map(tracing::field::display),
            "{what}"
        ),
        QueueEvent::Migrated { to, what } => {
            info!(event = "migrated", schema = to, what, "database migrated")
        }
        QueueEvent::Recovered {
            messages,
            orphans,
            lines_mended,
            damaged,
        } => info!(
            event = "recovered",
            messages, orphans, lines_mended, damaged, "queue checked"
        ),
        QueueEvent::Committed { messages, took } => {
            trace!(
                event = "committed",
                messages,
                took_us = micros(took),
                "changes are on disk"
            );
        }
        QueueEvent::CommitFailed { error } => error!(
            event = "alarm",
            todo = "make space or mend the disk below SMTP_QUEUE_PATH; the store is opened again by itself",
            "a commit failed, no mail is accepted: {error}"
        ),
        QueueEvent::Released { recipients, held } => {
            info!(event = "released", recipients, held, "held mail is in line")
        }
        QueueEvent::DestinationTrouble { destination, error } => {
            warn!(event = "destination_trouble", %destination, error, "work of a destination can't be read now");
        }
        QueueEvent::Ordered {
            action,
            by,
            reason,
            filter,
            matched,
            changed,
            in_flight,
        } => info!(
            event = "order",
            action,
            by,
            reason,
            filter,
            matched,
            changed,
            in_flight,
            "the operator's order is carried out"
        ),
        QueueEvent::Suspended {
            destination,
            span,
            times,
            trouble,
        } => warn!(
            event = "suspended",
            %destination,
            for_s = span.as_secs(),
            times,
            remote = trouble.remote.as_ref().map(tracing::field::display),
            dsn = %trouble.status,
            reply = %trouble.words(),
            reason = trouble.reason.as_str(),
            "no host of the destination answers; its mail waits, then one message is tried"
        ),
        QueueEvent::SuspendedByOrder {
            destination,
            span,
            by,
            reason,
        } => info!(
            event = "suspended_by_order",
            %destination,
            for_s = span.map(|span| span.as_secs()),
            by,
            reason,
            "the operator suspended the destination; its mail waits"
        ),
        QueueEvent::SuspendedInAll { destinations } => {
            debug!(
                event = "suspended_in_all",
                destinations, "destinations are suspended"
            );
        }
        QueueEvent::Opened { destination } => {
            info!(event = "opened", %destination, "the destination is open again");
        }
    }
}

fn overtaken(seen: SeenByThen) -> &'static str {
    match seen {
        SeenByThen::Delivered => "a host took it before the operator's order was given or heard of",
        SeenByThen::Failed => "a host refused it for good while the operator changed it",
        SeenByThen::Deferred => {
            "it was not delivered by the attempt that was under way; the operator's order stands"
        }
        SeenByThen::Unknown => {
            "the attempt that was under way was broken off, a host may have it; the operator's order stands"
        }
    }
}

fn accepted(message: &Message, recipients: usize, commit: Duration) {
    let (client, helo, tls) = match &message.client {
        Client::Smtp {
            address, helo, tls, ..
        } => (Some(*address), &**helo, tls.as_ref()),
        Client::Local => (None, "local", None),
    };
    info!(
        event = "accepted",
        queue_id = %message.id,
        from = %Shown(&message.envelope.reverse_path),
        message_id = message.message_id.as_deref(),
        recipients,
        size = message.size(),
        client = client.map(tracing::field::display),
        helo,
        tls = tls.map(|tls| &*tls.version),
        commit_us = micros(commit),
        "message accepted"
    );
}

fn micros(span: Duration) -> u64 {
    u64::try_from(span.as_micros()).unwrap_or(u64::MAX)
}
