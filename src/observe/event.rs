//! The facts that are told, one variant each.

use std::net::{IpAddr, SocketAddr};
use std::path::Path;
use std::time::Duration;

use crate::mail::{
    Address, Answer, Destination, Domain, Message, QueueId, Recipient, Remote, UnixMillis,
};
use crate::message::dkim::DkimAlgorithm;
use crate::smtp::server::Say;
use crate::smtp::server::auth::Mechanism;

/// One fact. Borrowed from whoever decided it.
#[derive(Clone, Copy, Debug)]
pub enum Event<'a> {
    /// The process: its start, its sockets, its end, and what an operator should know.
    Process(ProcessEvent<'a>),
    /// Clients and their sessions.
    Client(ClientEvent<'a>),
    /// Connections to remote hosts.
    Remote(RemoteEvent<'a>),
    /// What became of messages, one fact each.
    Mail(MailEvent<'a>),
    /// The state of the queue.
    Queue(QueueEvent<'a>),
}

/// The process: its start, its sockets, its end, and what an operator should know.
#[derive(Clone, Copy, Debug)]
#[expect(
    missing_docs,
    reason = "fields are named as in the log, where an operator meets them"
)]
pub enum ProcessEvent<'a> {
    /// The relay is up.
    Started {
        version: &'a str,
        hostname: &'a str,
        mode: &'a str,
    },
    /// A listener accepts.
    Listening { address: SocketAddr, what: &'a str },
    /// The control socket accepts.
    ControlListening { path: &'a Path },
    /// A port could not be bound, and we go on without it.
    NotListening {
        address: SocketAddr,
        what: &'a str,
        error: &'a str,
    },
    /// Changed files of our certificate are in use from now on.
    CertificateReloaded { path: &'a Path },
    /// A changed configuration is in force from now on. Variables and files, separated by commas.
    Reloaded {
        by: &'a str,
        changed: &'a str,
        needs_restart: &'a str,
        files: &'a str,
    },
    /// A changed configuration can't be used, and everything is as before.
    ReloadFailed { by: &'a str, problems: &'a str },
    /// A changed file of a DKIM key is in use from now on.
    DkimKeyReloaded {
        domain: &'a str,
        selector: &'a str,
        path: &'a Path,
    },
    /// Something that the operator should know; `todo` says what to do about it.
    Warning { what: &'a str, todo: &'a str },
    /// Something that the operator must act on.
    Alarm { what: &'a str, todo: &'a str },
    /// The process ends.
    Stopping { why: &'a str },
    /// Still waiting for something while stopping.
    StillWaiting { what: &'a str, count: usize },
    /// The process has ended its work.
    Stopped { clean: bool },
}

/// Clients and their sessions.
#[derive(Clone, Copy, Debug)]
#[expect(
    missing_docs,
    reason = "fields are named as in the log, where an operator meets them"
)]
pub enum ClientEvent<'a> {
    /// A client was turned away before any command.
    ClientRefused { client: IpAddr, say: Say },
    /// A proxy did not say as it should who is behind it, and its connection was closed.
    ProxyFault { proxy: IpAddr, fault: &'a str },
    /// A client connected and was let in.
    SessionStarted { client: IpAddr },
    /// A session ended.
    SessionEnded {
        client: IpAddr,
        messages: u64,
        why: &'a str,
    },
    /// A client and we agreed on TLS.
    TlsStarted {
        client: IpAddr,
        version: &'a str,
        cipher: &'a str,
        resumed: bool,
    },
    /// A TLS handshake with a client failed.
    TlsFailed { client: IpAddr, error: &'a str },
    /// A client authenticated; `user` is escaped.
    AuthSucceeded {
        client: IpAddr,
        mechanism: Mechanism,
        user: &'a str,
    },
    /// A client did not authenticate; `user` is whom it claimed to be, escaped, as far as it said.
    AuthFailed {
        client: IpAddr,
        mechanism: Mechanism,
        user: &'a str,
        say: Say,
    },
    /// A command or a message was refused with 4yz or 5yz.
    Rejected {
        client: IpAddr,
        what: RejectedWhat,
        say: Say,
    },
}

/// Connections to remote hosts.
#[derive(Clone, Copy, Debug)]
#[expect(
    missing_docs,
    reason = "fields are named as in the log, where an operator meets them"
)]
pub enum RemoteEvent<'a> {
    /// A connection to a remote host is ready for mail.
    ConnectionOpened { remote: &'a Remote },
    /// A kept one is used for another message.
    ConnectionReused {
        remote: &'a Remote,
        transactions: usize,
    },
    /// One that had been opened is gone.
    ConnectionClosed {
        remote: &'a Remote,
        transactions: usize,
        age: Duration,
    },
    /// DNS was asked something; the answer may have come from a cache.
    LookedUp {
        name: &'a Domain,
        kind: DnsType,
        result: DnsResult,
        took: Duration,
    },
}

/// What became of messages, one fact each.
#[derive(Clone, Copy, Debug)]
#[expect(
    missing_docs,
    reason = "fields are named as in the log, where an operator meets them"
)]
pub enum MailEvent<'a> {
    /// A message is durable and the client has its 250.
    Accepted {
        message: &'a Message,
        recipients: usize,
        commit: Duration,
    },
    /// A message was given a DKIM signature by each of some keys.
    DkimSigned {
        id: QueueId,
        domain: &'a str,
        /// Algorithm and selector of each.
        keys: &'a [(DkimAlgorithm, &'a str)],
    },
    /// There are DKIM keys, but not for this message, and it goes on without a signature.
    DkimUnsigned {
        id: QueueId,
        domain: Option<&'a str>,
        why: &'a str,
    },
    /// A DKIM signature could not be made, and the message was put off.
    DkimFailed {
        id: QueueId,
        domain: Option<&'a str>,
        error: &'a str,
    },
    /// An attempt begins.
    AttemptStarted {
        id: QueueId,
        destination: &'a Destination,
        recipients: usize,
    },
    /// An attempt is over, or was broken off or put off. What came of it is told once it is durable.
    AttemptEnded {
        id: QueueId,
        destination: &'a Destination,
        recipients: usize,
        took: Duration,
    },
    /// An attempt ended for one recipient; the verdict is durable.
    Attempted {
        id: QueueId,
        before: &'a Recipient,
        after: &'a Recipient,
        answer: &'a Answer,
        took: Duration,
        arrival: UnixMillis,
        now: UnixMillis,
    },
    /// A remote may have a message although we never saw its answer; it will be sent again.
    PossibleDuplicate {
        id: QueueId,
        to: &'a Address,
        remote: &'a str,
    },
    /// A recipient ran out of its lifetime without an attempt.
    Expired {
        id: QueueId,
        recipient: &'a Recipient,
    },
    /// A delivery report was queued.
    ReportQueued {
        id: QueueId,
        about: QueueId,
        to: &'a Address,
        kind: ReportKind,
        recipients: usize,
    },
    /// A delivery report was not made.
    ReportDropped { about: QueueId, why: NoReport },
    /// A delivery report was not made, since its sender got too many (`SMTP_MAX_REPORTS_PER_HOUR`).
    ReportSuppressed {
        about: QueueId,
        to: &'a Address,
        kind: ReportKind,
        recipients: usize,
    },
    /// A message that is over was removed.
    Removed { id: QueueId },
    /// The operator changed a recipient, durably. `in_flight`: an attempt is under way, which still
    /// decides if a host takes the mail.
    Ordered {
        id: QueueId,
        recipient: &'a Recipient,
        action: &'a str,
        by: &'a str,
        reason: &'a str,
        in_flight: bool,
    },
    /// An attempt ended whose recipient the operator had changed meanwhile, by `action`; `recipient`
    /// is as both together left it.
    Overtaken {
        id: QueueId,
        recipient: &'a Recipient,
        action: &'a str,
        seen: SeenByThen,
    },
}

/// The state of the queue.
#[derive(Clone, Copy, Debug)]
#[expect(
    missing_docs,
    reason = "fields are named as in the log, where an operator meets them"
)]
pub enum QueueEvent<'a> {
    /// A record or body is damaged; it was put aside.
    Quarantined { id: Option<QueueId>, what: &'a str },
    /// The database was brought to a later schema.
    Migrated { to: u32, what: &'a str },
    /// The store was put in order after a crash or a change of routes.
    Recovered {
        messages: u64,
        orphans: u64,
        lines_mended: u64,
        damaged: u64,
    },
    /// Changes are on disk together, among them so many new messages; it `took` so long to write and
    /// flush them.
    Committed { messages: usize, took: Duration },
    /// Changes could not be written; everybody who wanted one was told to come again.
    CommitFailed { error: &'a str },
    /// What a mode had held went into line; `held` still are, such as by the operator.
    Released { recipients: u64, held: u64 },
    /// After a change of routes, all mail that waited stands in its new line.
    Rerouted { recipients: u64 },
    /// A destination could not be asked for its work.
    DestinationTrouble {
        destination: &'a Destination,
        error: &'a str,
    },
    /// The operator gave an order for a set of recipients, and it is carried out.
    Ordered {
        action: &'a str,
        by: &'a str,
        reason: &'a str,
        filter: &'a str,
        matched: u64,
        changed: u64,
        in_flight: u64,
    },
    /// A destination gets no attempts for a while, since none was answered.
    Suspended {
        destination: &'a Destination,
        span: Duration,
        times: u32,
        trouble: &'a Answer,
    },
    /// The operator suspended a destination; `span` is `None` if only the operator ends it.
    SuspendedByOrder {
        destination: &'a Destination,
        span: Option<Duration>,
        by: &'a str,
        reason: &'a str,
    },
    /// A destination that was suspended is open again, or there is no mail for it any more.
    Opened { destination: &'a Destination },
    /// So many destinations are suspended now; told at the start and whenever that changes.
    SuspendedInAll { destinations: usize },
}

impl<'a> From<ProcessEvent<'a>> for Event<'a> {
    fn from(event: ProcessEvent<'a>) -> Event<'a> {
        Event::Process(event)
    }
}

impl<'a> From<ClientEvent<'a>> for Event<'a> {
    fn from(event: ClientEvent<'a>) -> Event<'a> {
        Event::Client(event)
    }
}

impl<'a> From<RemoteEvent<'a>> for Event<'a> {
    fn from(event: RemoteEvent<'a>) -> Event<'a> {
        Event::Remote(event)
    }
}

impl<'a> From<MailEvent<'a>> for Event<'a> {
    fn from(event: MailEvent<'a>) -> Event<'a> {
        Event::Mail(event)
    }
}

impl<'a> From<QueueEvent<'a>> for Event<'a> {
    fn from(event: QueueEvent<'a>) -> Event<'a> {
        Event::Queue(event)
    }
}

/// What a delivery report tells in the first place.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[expect(missing_docs, reason = "the Action of RFC 3464 2.3.3")]
pub enum ReportKind {
    Failed,
    Delayed,
    Relayed,
}

impl ReportKind {
    /// Lower case, as in the report.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            ReportKind::Failed => "failed",
            ReportKind::Delayed => "delayed",
            ReportKind::Relayed => "relayed",
        }
    }
}

/// Why a delivery report was owed to nobody.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum NoReport {
    /// There is no sender: it is a report itself, or wants none (RFC 5321 4.5.5, 6.1).
    NullReversePath,
    /// The sender said so (NOTIFY, RFC 3461 4.1).
    Unwanted,
}

impl NoReport {
    /// In words.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            NoReport::NullReversePath => "the reverse-path is null",
            NoReport::Unwanted => "the sender wants none (NOTIFY)",
        }
    }
}

/// What DNS was asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[expect(missing_docs, reason = "record types")]
pub enum DnsType {
    Mx,
    A,
    Aaaa,
    Txt,
}

impl DnsType {
    /// All of them.
    pub const ALL: [DnsType; 4] = [DnsType::Mx, DnsType::A, DnsType::Aaaa, DnsType::Txt];

    /// As in a zone file.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            DnsType::Mx => "MX",
            DnsType::A => "A",
            DnsType::Aaaa => "AAAA",
            DnsType::Txt => "TXT",
        }
    }
}

/// What DNS answered.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum DnsResult {
    /// Records.
    Found,
    /// The name has none of that type.
    NoData,
    /// There is no such name.
    NxDomain,
    /// Nothing that can be used: no answer in time, or a server's trouble.
    Temporary,
}

impl DnsResult {
    /// All of them.
    pub const ALL: [DnsResult; 4] = [
        DnsResult::Found,
        DnsResult::NoData,
        DnsResult::NxDomain,
        DnsResult::Temporary,
    ];

    /// Lower case, as in log and metrics.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            DnsResult::Found => "found",
            DnsResult::NoData => "no_data",
            DnsResult::NxDomain => "nxdomain",
            DnsResult::Temporary => "temporary",
        }
    }
}

/// What an attempt gave that the operator overtook.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum SeenByThen {
    /// A host took the mail: the order came too late.
    Delivered,
    /// Refused for good.
    Failed,
    /// Not delivered.
    Deferred,
    /// It was broken off; whether a host took the mail is not known.
    Unknown,
}

impl SeenByThen {
    /// In a word.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            SeenByThen::Delivered => "delivered",
            SeenByThen::Failed => "failed",
            SeenByThen::Deferred => "deferred",
            SeenByThen::Unknown => "unknown",
        }
    }
}

/// What a client was refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[expect(missing_docs, reason = "SMTP verbs and phases")]
pub enum RejectedWhat {
    Command,
    Mail,
    Rcpt,
    Data,
    Message,
}

impl RejectedWhat {
    /// Lower case, as in the log.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            RejectedWhat::Command => "command",
            RejectedWhat::Mail => "mail",
            RejectedWhat::Rcpt => "rcpt",
            RejectedWhat::Data => "data",
            RejectedWhat::Message => "message",
        }
    }
}
