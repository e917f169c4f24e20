//! Events as lines of text: the one place that says how a fact is called, how loud it is, and what is
//! told of it. Log and audit are made from the same line, so they say the same.

use std::fmt::{self, Display};
use std::time::Duration;

use tracing::Level;

use crate::mail::{Client, Message, RecipientState};
use crate::message::dkim::DkimAlgorithm;

use super::event::{
    ClientEvent, Event, MailEvent, ProcessEvent, QueueEvent, RemoteEvent, SeenByThen,
};
use super::shown::Shown;

/// One fact, to be written in some format.
pub(super) struct Line<'a> {
    pub(super) level: Level,
    /// A constant sentence, but for warnings and alarms.
    pub(super) text: &'a str,
    /// `event`, the name of the fact, is the first.
    pub(super) fields: &'a [(&'static str, Value<'a>)],
}

/// What a field of a [`Line`] says.
#[derive(Clone, Copy)]
pub(super) enum Value<'a> {
    Text(&'a str),
    Shown(&'a dyn Display),
    Number(u64),
    Flag(bool),
    /// There is nothing to say, and the field is left out.
    Absent,
}

/// Who writes lines.
pub(super) trait Takes {
    /// Whether lines of this level are wanted; others need not be made.
    fn takes(&self, level: Level) -> bool;

    /// Writes one. Does not wait.
    fn line(&self, line: &Line<'_>);
}

impl<'a> Value<'a> {
    fn shown<T: Display>(value: Option<&'a T>) -> Value<'a> {
        value.map_or(Value::Absent, |value| Value::Shown(value))
    }
}

impl<'a> From<&'a str> for Value<'a> {
    fn from(text: &'a str) -> Value<'a> {
        Value::Text(text)
    }
}

impl From<u64> for Value<'_> {
    fn from(number: u64) -> Self {
        Value::Number(number)
    }
}

impl From<u32> for Value<'_> {
    fn from(number: u32) -> Self {
        Value::Number(number.into())
    }
}

impl From<usize> for Value<'_> {
    fn from(number: usize) -> Self {
        Value::Number(u64::try_from(number).unwrap_or(u64::MAX))
    }
}

impl From<bool> for Value<'_> {
    fn from(flag: bool) -> Self {
        Value::Flag(flag)
    }
}

impl<'a, T: Into<Value<'a>>> From<Option<T>> for Value<'a> {
    fn from(value: Option<T>) -> Value<'a> {
        value.map_or(Value::Absent, Into::into)
    }
}

impl fmt::Display for Value<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Value::Text(text) => f.write_str(text),
            Value::Shown(value) => value.fmt(f),
            Value::Number(number) => number.fmt(f),
            Value::Flag(flag) => flag.fmt(f),
            Value::Absent => Ok(()),
        }
    }
}

/// Makes a line and hands it over, in the notation of `tracing`: `name`, `name = value`, and `%` before
/// a value that is shown as it displays itself; the text last.
macro_rules! line {
    (@ $to:ident $level:ident [$($done:tt)*] $name:ident = % $value:expr, $($rest:tt)+) => {
        line!(@ $to $level [$($done)* (stringify!($name), Value::Shown(&$value)),] $($rest)+)
    };
    (@ $to:ident $level:ident [$($done:tt)*] $name:ident = $value:expr, $($rest:tt)+) => {
        line!(@ $to $level [$($done)* (stringify!($name), Value::from($value)),] $($rest)+)
    };
    (@ $to:ident $level:ident [$($done:tt)*] % $name:ident, $($rest:tt)+) => {
        line!(@ $to $level [$($done)* (stringify!($name), Value::Shown(&$name)),] $($rest)+)
    };
    (@ $to:ident $level:ident [$($done:tt)*] $name:ident, $($rest:tt)+) => {
        line!(@ $to $level [$($done)* (stringify!($name), Value::from($name)),] $($rest)+)
    };
    (@ $to:ident $level:ident [$($done:tt)*] $text:expr $(,)?) => {
        if $to.takes(Level::$level) {
            $to.line(&Line { level: Level::$level, text: $text, fields: &[$($done)*] });
        }
    };
}

macro_rules! error { ($to:ident, $($line:tt)+) => { line!(@ $to ERROR [] $($line)+) } }
macro_rules! warn { ($to:ident, $($line:tt)+) => { line!(@ $to WARN [] $($line)+) } }
macro_rules! info { ($to:ident, $($line:tt)+) => { line!(@ $to INFO [] $($line)+) } }
macro_rules! trace { ($out:ident, $($line:tt)+) => { line!(@ $out TRACE [] $($line)+) } }
macro_rules! debug { ($to:ident, $($line:tt)+) => { line!(@ $to DEBUG [] $($line)+) } }

/// One line for one event. Message texts are constant; what varies is in fields.
pub(super) fn of(event: Event<'_>, out: &dyn Takes) {
    match event {
        Event::Process(event) => of_process(event, out),
        Event::Client(event) => of_client(event, out),
        Event::Remote(event) => of_remote(event, out),
        Event::Mail(event) => of_mail(event, out),
        Event::Queue(event) => of_queue(event, out),
    }
}

/// The process: its start, its sockets, its end, and what an operator should know.
fn of_process(event: ProcessEvent<'_>, out: &dyn Takes) {
    match event {
        ProcessEvent::Started {
            version,
            hostname,
            mode,
        } => {
            info!(
                out,
                event = "started",
                version,
                hostname,
                mode,
                "GopherPost is up"
            );
        }
        ProcessEvent::Listening { address, what } => {
            info!(out, event = "listening", %address, what, "listening")
        }
        ProcessEvent::ControlListening { path } => {
            info!(out, event = "listening", address = %path.display(), what = "control", "listening")
        }
        ProcessEvent::NotListening {
            address,
            what,
            error,
        } => {
            error!(out, event = "not_listening", %address, what, error, "port can't be had, going on without it");
        }
        ProcessEvent::CertificateReloaded { path } => {
            info!(out, event = "certificate_reloaded", path = %path.display(), "changed TLS certificate in use");
        }
        ProcessEvent::Reloaded {
            by,
            changed,
            needs_restart,
            files,
        } => {
            info!(
                out,
                event = "reloaded",
                by,
                changed,
                needs_restart,
                files,
                "changed configuration in force"
            );
        }
        ProcessEvent::ReloadFailed { by, problems } => {
            error!(
                out,
                event = "reload_failed",
                by,
                problems,
                "the changed configuration can't be used, the one before stays in force"
            );
        }
        ProcessEvent::DkimKeyReloaded {
            domain,
            selector,
            path,
        } => {
            info!(out, event = "dkim_key_reloaded", domain, selector, path = %path.display(), "changed DKIM key in use");
        }
        ProcessEvent::Warning { what, todo } => warn!(out, event = "warning", todo, what),
        ProcessEvent::Alarm { what, todo } => error!(out, event = "alarm", todo, what),
        ProcessEvent::Stopping { why } => info!(out, event = "stopping", why, "stopping"),
        ProcessEvent::StillWaiting { what, count } => {
            info!(out, event = "still_waiting", what, count, "still waiting")
        }
        ProcessEvent::Stopped { clean } => info!(out, event = "stopped", clean, "stopped"),
    }
}

/// Clients and their sessions.
fn of_client(event: ClientEvent<'_>, out: &dyn Takes) {
    match event {
        ClientEvent::ClientRefused { client, say } => {
            info!(out, event = "client_refused", %client, reply = say.line(), "client refused");
        }
        ClientEvent::ProxyFault { proxy, fault } => info!(out,
            event = "client_refused",
            client = %proxy,
            reply = %format_args!("(closed without a word: {fault})"),
            "client refused"
        ),
        ClientEvent::SessionStarted { client } => {
            debug!(out, event = "session_started", %client, "client connected")
        }
        ClientEvent::SessionEnded {
            client,
            messages,
            why,
        } => {
            debug!(out, event = "session_ended", %client, messages, why, "session ended");
        }
        ClientEvent::TlsStarted {
            client,
            version,
            cipher,
            resumed,
        } => debug!(out, event = "tls_started", %client, version, cipher, resumed, "TLS begins"),
        ClientEvent::TlsFailed { client, error } => {
            info!(out, event = "tls_failed", %client, error, "TLS handshake failed");
        }
        ClientEvent::AuthSucceeded {
            client,
            mechanism,
            user,
        } => {
            info!(out, event = "auth_succeeded", %client, mechanism = mechanism.name(), user, "authenticated");
        }
        ClientEvent::AuthFailed {
            client,
            mechanism,
            user,
            say,
        } => {
            info!(out, event = "auth_failed", %client, mechanism = mechanism.name(), user, reply = say.line(), "authentication failed");
        }
        ClientEvent::Rejected { client, what, say } => {
            info!(out, event = "rejected", %client, what = what.as_str(), reply = say.line(), "rejected");
        }
    }
}

/// Connections to remote hosts.
fn of_remote(event: RemoteEvent<'_>, out: &dyn Takes) {
    match event {
        RemoteEvent::ConnectionOpened { remote } => {
            debug!(out, event = "connection_opened", %remote, "connected to a remote host");
        }
        RemoteEvent::ConnectionReused {
            remote,
            transactions,
        } => {
            debug!(out, event = "connection_reused", %remote, transactions, "a kept connection carries another message");
        }
        RemoteEvent::ConnectionClosed {
            remote,
            transactions,
            age,
        } => {
            debug!(out, event = "connection_closed", %remote, transactions, age_ms = micros(age) / 1000,
                "a connection to a remote host has ended"
            )
        }
        RemoteEvent::LookedUp {
            name,
            kind,
            result,
            took,
        } => debug!(out,
            event = "looked_up",
            %name,
            kind = kind.as_str(),
            result = result.as_str(),
            took_ms = micros(took) / 1000,
            "DNS was asked"
        ),
    }
}

/// What became of messages, one fact each.
fn of_mail(event: MailEvent<'_>, out: &dyn Takes) {
    match event {
        MailEvent::Accepted {
            message,
            recipients,
            commit,
        } => accepted(message, recipients, commit, out),
        MailEvent::DkimSigned { id, domain, keys } => {
            debug!(out, event = "dkim_signed", queue_id = %id, domain, keys = %Keys(keys), "signed");
        }
        MailEvent::DkimUnsigned { id, domain, why } => {
            info!(out, event = "dkim_unsigned", queue_id = %id, domain, why, "goes on without a DKIM signature");
        }
        MailEvent::DkimFailed { id, domain, error } => {
            error!(out, event = "dkim_failed", queue_id = %id, domain, error, "DKIM signature can't be made, message put off; `gopherpost dkim check` looks at the keys");
        }
        MailEvent::AttemptStarted {
            id,
            destination,
            recipients,
        } => {
            debug!(out, event = "attempt_started", queue_id = %id, %destination, recipients, "an attempt begins");
        }
        MailEvent::AttemptEnded {
            id,
            destination,
            recipients,
            took,
        } => debug!(out,
            event = "attempt_ended",
            queue_id = %id,
            %destination,
            recipients,
            took_ms = micros(took) / 1000,
            "an attempt is over"
        ),
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
            let remote = Value::shown(answer.remote.as_ref());
            let security = answer.remote.as_ref();
            let security = security.and_then(|remote| remote.security.as_ref());
            let (name, line) = match after.state {
                RecipientState::Delivered => ("delivered", "delivered"),
                RecipientState::Failed => ("failed", "failed for good"),
                RecipientState::Expired => ("expired", "lifetime over"),
                RecipientState::Queued { .. }
                | RecipientState::Deferred { .. }
                | RecipientState::Held { .. }
                | RecipientState::Purged { .. } => ("deferred", "deferred"),
            };
            info!(out, event = name,
                queue_id = %id,
                rcpt = %Shown(&after.address),
                remote,
                dsn = %answer.status,
                reply = %answer.words(),
                reason = answer.reason.as_str(),
                tls = Value::shown(security.map(|security| &security.channel)),
                tls_rule = security.map(|security| &*security.rule),
                attempt = after.attempts,
                age_s = now.since(arrival).as_secs(),
                took_ms = micros(took) / 1000,
                next_in_s = due,
                line
            );
        }
        MailEvent::PossibleDuplicate { id, to, remote } => {
            warn!(out, event = "possible_duplicate", queue_id = %id, rcpt = %Shown(to), remote,
                "the remote may have it, but its answer was lost; it will be sent again"
            )
        }
        MailEvent::Expired { id, recipient } => {
            info!(out, event = "expired", queue_id = %id, rcpt = %Shown(&recipient.address), attempt = recipient.attempts, "lifetime over");
        }
        MailEvent::ReportQueued {
            id,
            about,
            to,
            kind,
            recipients,
        } => {
            info!(out, event = "report_queued", queue_id = %id, about = %about, rcpt = %Shown(to), kind = kind.as_str(), recipients, "report to the sender queued");
        }
        MailEvent::ReportDropped { about, why } => {
            info!(out, event = "report_dropped", queue_id = %about, why = why.as_str(), "no report is sent");
        }
        MailEvent::ReportSuppressed {
            about,
            to,
            kind,
            recipients,
        } => {
            warn!(out, event = "report_suppressed", queue_id = %about, rcpt = %Shown(to), kind = kind.as_str(), recipients,
                "no report is sent: the sender got as many as it may in an hour (SMTP_MAX_REPORTS_PER_HOUR)"
            )
        }
        MailEvent::Removed { id } => {
            debug!(out, event = "removed", queue_id = %id, "message over, removed")
        }
        MailEvent::Ordered {
            id,
            recipient,
            action,
            by,
            reason,
            in_flight,
        } => debug!(
            out, event = "ordered", queue_id = %id, rcpt = %Shown(&recipient.address), action,
            state = recipient.state.name().as_str(), by, reason, in_flight,
            "changed by the operator"
        ),
        MailEvent::Overtaken {
            id,
            recipient,
            action,
            seen,
        } => info!(
            out, event = "overtaken", queue_id = %id, rcpt = %Shown(&recipient.address), action,
            state = recipient.state.name().as_str(), attempt = seen.as_str(), overtaken(seen)
        ),
    }
}

/// The state of the queue.
fn of_queue(event: QueueEvent<'_>, out: &dyn Takes) {
    match event {
        QueueEvent::Committed { messages, took } => {
            trace!(
                out,
                event = "committed",
                messages,
                took_us = micros(took),
                "changes are on disk"
            );
        }
        QueueEvent::CommitFailed { error } => error!(
            out,
            event = "alarm",
            todo = "make space or mend the disk below SMTP_QUEUE_PATH; the store is opened again by itself",
            &format!("a commit failed, no mail is accepted: {error}")
        ),
        QueueEvent::Quarantined { id, what } => error!(
            out,
            event = "quarantined",
            queue_id = Value::shown(id.as_ref()),
            what
        ),
        QueueEvent::Migrated { to, what } => {
            info!(
                out,
                event = "migrated",
                schema = to,
                what,
                "database migrated"
            )
        }
        QueueEvent::Recovered {
            messages,
            orphans,
            lines_mended,
            damaged,
        } => info!(
            out,
            event = "recovered",
            messages,
            orphans,
            lines_mended,
            damaged,
            "queue checked"
        ),
        QueueEvent::Released { recipients, held } => {
            info!(
                out,
                event = "released",
                recipients,
                held,
                "held mail is in line"
            )
        }
        QueueEvent::Rerouted { recipients } => {
            info!(
                out,
                event = "rerouted",
                recipients,
                "mail that waits goes by the new routes"
            )
        }
        QueueEvent::DestinationTrouble { destination, error } => {
            warn!(out, event = "destination_trouble", %destination, error, "work of a destination can't be read now");
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
            out,
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
        } => warn!(out, event = "suspended",
            %destination,
            for_s = span.as_secs(),
            times,
            remote = Value::shown(trouble.remote.as_ref()),
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
            out,
            event = "suspended_by_order",
            %destination,
            for_s = span.map(|span| span.as_secs()),
            by,
            reason,
            "the operator suspended the destination; its mail waits"
        ),
        QueueEvent::SuspendedInAll { destinations } => {
            debug!(
                out,
                event = "suspended_in_all",
                destinations,
                "destinations are suspended"
            );
        }
        QueueEvent::Opened { destination } => {
            info!(out, event = "opened", %destination, "the destination is open again");
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

fn accepted(message: &Message, recipients: usize, commit: Duration, out: &dyn Takes) {
    let (client, helo, tls) = match &message.client {
        Client::Smtp {
            address, helo, tls, ..
        } => (Some(*address), &**helo, tls.as_ref()),
        Client::Local => (None, "local", None),
    };
    info!(out, event = "accepted",
        queue_id = %message.id,
        from = %Shown(&message.envelope.reverse_path),
        message_id = message.message_id.as_deref(),
        recipients,
        size = message.size(),
        client = Value::shown(client.as_ref()),
        helo,
        tls = tls.map(|tls| &*tls.version),
        commit_us = micros(commit),
        "message accepted"
    );
}

/// `rsa-sha256/s1 ed25519-sha256/s2`
struct Keys<'a>(&'a [(DkimAlgorithm, &'a str)]);

impl Display for Keys<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (nth, (algorithm, selector)) in self.0.iter().enumerate() {
            let blank = if nth == 0 { "" } else { " " };
            write!(f, "{blank}{}/{selector}", algorithm.as_str())?;
        }
        Ok(())
    }
}

fn micros(span: Duration) -> u64 {
    u64::try_from(span.as_micros()).unwrap_or(u64::MAX)
}
