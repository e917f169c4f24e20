//! What goes over the control socket and is printed by `--json`: requests and answers of the admin
//! API. Field names are fixed by what operators' scripts read. Times are RFC 3339, UTC; spans are
//! written as in the configuration, such as `4h`.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

/// Which recipients. Each field that is set must match; a list, separated by commas, matches if one of
/// its parts does. In queries and in JSON alike.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema, IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(default, deny_unknown_fields)]
pub struct Filter {
    /// Queue ids.
    pub id: Option<String>,
    /// Of the reverse-path; `*` for any characters, `<>` for none.
    pub from: Option<String>,
    /// Of the recipient's address; `*` for any characters.
    pub to: Option<String>,
    /// Of the recipient's domain or the destination; `*` for any characters.
    pub domain: Option<String>,
    /// `queued`, `in_flight`, `deferred`, `held`, `delivered`, `failed`, `expired`, `purged`.
    pub state: Option<String>,
    /// Arrived longer ago than this span.
    pub older_than: Option<String>,
    /// Arrived less long ago than this span.
    pub younger_than: Option<String>,
    /// Somewhere in the last reply, or in our own words for it; case does not matter.
    pub reply: Option<String>,
    /// At least so many attempts.
    pub min_attempts: Option<u32>,
    /// Everything there is; needed by orders that name nothing else.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub all: bool,
    /// At most so many recipients, oldest message first.
    pub limit: Option<u64>,
}

/// One recipient: a line of `queue list --json`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[expect(missing_docs, reason = "the names say it")]
pub struct QueueEntry {
    pub id: String,
    /// Reverse-path without angle brackets; empty for reports.
    pub from: String,
    pub to: String,
    pub destination: String,
    pub state: String,
    pub attempts: u32,
    pub arrived: String,
    pub next_attempt: Option<String>,
    pub last_attempt: Option<String>,
    pub last_reply: Option<String>,
    pub remote: Option<String>,
    /// Octets of the message.
    pub size: u64,
    pub age_seconds: u64,
}

/// A message with all that is known of it: `queue show --json`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[expect(missing_docs, reason = "the names say it")]
pub struct ShownMessage {
    pub id: String,
    pub from: String,
    pub arrived: String,
    pub size: u64,
    pub message_id: Option<String>,
    /// Address, HELO name, TLS and user of the client, in words.
    pub client: String,
    /// ENVID of the client, if it gave one.
    pub envelope_id: Option<String>,
    /// `7bit`, `8bitmime` or `binarymime`.
    pub body_kind: String,
    /// Whether it needs SMTPUTF8.
    pub smtputf8: bool,
    /// The message that this one reports on.
    pub report_of: Option<String>,
    /// The header section as it goes out; what is no UTF-8 replaced. Cut at 64 KiB.
    pub header: String,
    pub recipients: Vec<ShownRecipient>,
}

/// One recipient of a [`ShownMessage`].
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct ShownRecipient {
    /// As in lists.
    #[serde(flatten)]
    pub entry: QueueEntry,
    /// What it waits for, or how it ended, in a sentence.
    pub why: String,
    /// What was done and tried, oldest first.
    pub history: Vec<HistoryEvent>,
}

/// One attempt, or one act of an operator.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[expect(missing_docs, reason = "the names say it")]
pub struct HistoryEvent {
    pub at: String,
    /// `attempt`, or the operator's action.
    pub what: String,
    /// Number of the attempt.
    pub attempt: Option<u32>,
    /// `mx.example.org[192.0.2.1]:25`
    pub remote: Option<String>,
    /// RFC 3463.
    pub status: Option<String>,
    /// The remote's reply or our own words; for an operator's act, its reason.
    pub reply: Option<String>,
    /// Who did it, if an operator.
    pub by: Option<String>,
}

/// What became of one recipient: a line of `queue history --json`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct HistoryEntry {
    /// As in lists.
    #[serde(flatten)]
    pub entry: QueueEntry,
    /// Without angle brackets.
    pub message_id: Option<String>,
    /// Oldest first.
    pub history: Vec<HistoryEvent>,
}

/// Whose history. At least one must be given, and all that are must match.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema, IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(default, deny_unknown_fields)]
pub struct HistoryQuery {
    /// Queue id.
    pub id: Option<String>,
    /// With or without angle brackets.
    pub message_id: Option<String>,
    /// As in [`Filter`].
    pub from: Option<String>,
    /// As in [`Filter`].
    pub to: Option<String>,
    /// At most so many recipients, the latest message first.
    pub limit: Option<u64>,
}

/// An order for a set of recipients: `retry`, `hold`, `release`, `purge`, `restore`, `bounce`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Order {
    /// Whom it is for.
    pub filter: Filter,
    /// Count and show a sample, change nothing.
    pub dry_run: bool,
    /// Why, for log and history.
    pub reason: String,
    /// `retry` and `release`: attempts spread in time, such as `10/s`.
    pub rate: Option<String>,
}

/// A line of the answer to an [`Order`].
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum OrderLine {
    /// It is under way. Comes at least each second.
    Progress(OrderProgress),
    /// It is done. The last line.
    Done(OrderResult),
    /// It ended early; what was done stays, and the same order again goes on. The last line.
    Failed {
        /// One line that says what is wrong.
        error: String,
        /// How far it came.
        progress: OrderProgress,
    },
}

/// How far an order has come, in recipients.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[expect(missing_docs, reason = "the names say it")]
pub struct OrderProgress {
    pub examined: u64,
    /// Recipients in the queue when it began: what `examined` will be about.
    pub to_examine: u64,
    pub matched: u64,
    pub changed: u64,
}

/// What an order did.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct OrderResult {
    /// Its name.
    pub action: String,
    /// Whether only a count was asked for.
    pub dry_run: bool,
    /// Recipients that the filter matches and that the order can be for.
    pub matched: u64,
    /// Recipients that it changed.
    pub changed: u64,
    /// Of these, how many are being attempted right now: the order takes effect when that has ended,
    /// unless a host has taken the mail.
    pub in_flight: u64,
    /// Recipients that changed under its hands and were left alone; the same order again takes them.
    pub overtaken: u64,
    /// Messages that the matching recipients belong to.
    pub messages: u64,
    /// The first few of them.
    pub sample: Vec<QueueEntry>,
    /// `purge`: until when `restore` can bring them back.
    pub restorable_until: Option<String>,
}

/// How much is in the queue and how old it is: `queue stats --json`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Stats {
    /// When this was so.
    pub at: String,
    /// Messages in the store, those kept after their end included.
    pub messages: u64,
    /// Their octets.
    pub bytes: u64,
    /// Recipients by state.
    pub recipients: BTreeMap<String, u64>,
    /// Age in seconds of the oldest message with a recipient in that state; `queued`, `deferred`, `held`.
    pub oldest_age_seconds: BTreeMap<String, u64>,
    /// Upper bounds in minutes of the columns of [`DestinationStats::by_age`]; the last column has no bound.
    pub age_bounds_minutes: Vec<u64>,
    /// All that wait, also for destinations that are left out, see [`Stats::age_bounds_minutes`].
    pub by_age: Vec<u64>,
    /// Those with the most recipients waiting come first.
    pub destinations: Vec<DestinationStats>,
    /// Destinations that are left out for `limit`.
    pub left_out: u64,
}

/// One destination's part in [`Stats`].
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct DestinationStats {
    /// Its name.
    pub destination: String,
    /// Recipients that wait: queued, deferred or held.
    pub recipients: u64,
    /// How many of them are held.
    pub held: u64,
    /// How many arrived how long ago, see [`Stats::age_bounds_minutes`].
    pub by_age: Vec<u64>,
    /// Age of the oldest.
    pub oldest_age_seconds: u64,
    /// Until when no mail is tried, if it is suspended; `resumed`: until somebody resumes it.
    pub suspended_until: Option<String>,
}

/// One destination that is suspended: a line of `dest list --json`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct SuspendedDestination {
    /// Its name.
    pub destination: String,
    /// Since when.
    pub since: String,
    /// Until when nothing is tried; none: until it is resumed.
    pub until: Option<String>,
    /// How many times in a row; 0 if an operator did it.
    pub times: u32,
    /// The trouble, or the operator's reason.
    pub why: String,
    /// Who suspended it: `relay` or an operator.
    pub by: String,
}

/// What `dest suspend` asks for.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Suspend {
    /// For how long; none: until it is resumed.
    pub span: Option<String>,
    /// Why, for log and lists.
    pub reason: String,
}

/// What `verify` found: a line of its answer.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum VerifyLine {
    /// It is under way.
    Progress {
        /// Messages that were read.
        messages: u64,
        /// Messages in the store when it began.
        of: u64,
    },
    /// Something is damaged.
    Damaged {
        /// The message, if that can be told.
        id: Option<String>,
        /// `message`, `recipient`, `body`, `history`, `destination`.
        what: String,
        /// What is wrong with it.
        error: String,
        /// Where it was put, if it was to be repaired.
        quarantined: Option<String>,
    },
    /// All is read. The last line.
    Done {
        /// Messages that were read.
        messages: u64,
        /// Octets of bodies that were read.
        bytes: u64,
        /// How much is damaged.
        damaged: u64,
        /// How much was damaged, and put aside or mended, when the queue was opened: by the relay as it
        /// started, or by a command.
        damaged_at_open: u64,
    },
    /// It could not go on. The last line.
    Failed {
        /// One line that says what is wrong.
        error: String,
    },
}

/// Everything of a message but its octets, for `export` and `import`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[expect(missing_docs, reason = "the names say it")]
pub struct ExportedEnvelope {
    /// Of the queue that it was exported from; an import gives a new one.
    pub id: String,
    pub arrived: String,
    /// Without angle brackets; empty for none.
    pub from: String,
    pub body_kind: String,
    pub smtputf8: bool,
    pub envelope_id: Option<String>,
    /// `FULL` or `HDRS`.
    pub ret: Option<String>,
    pub recipients: Vec<ExportedRecipient>,
}

/// One recipient of an [`ExportedEnvelope`].
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[expect(missing_docs, reason = "the names say it")]
pub struct ExportedRecipient {
    pub to: String,
    /// As in lists, but what only SMTP_MODE holds is `queued` or `deferred`; what is over is not imported.
    pub state: String,
    /// As in NOTIFY, such as `SUCCESS,FAILURE`.
    pub notify: Option<String>,
    /// As in ORCPT, `type;address`, the address in xtext.
    pub orcpt: Option<String>,
}

/// What `import` answers for each message.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Imported {
    /// Its new queue id.
    pub id: String,
    /// Recipients that are to be attempted.
    pub recipients: u64,
}

/// What `reload` did.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Reloaded {
    /// Variables with another value than before that are in force now.
    pub changed: Vec<String>,
    /// Variables with another value that need a restart; the old value is in force.
    pub needs_restart: Vec<String>,
    /// Files with other content that are in force now.
    pub files: Vec<String>,
}

/// Whether events of debug level are part of the audit stream.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct AuditState {
    /// On or off.
    pub verbose: bool,
}

/// The body of every answer that is not 2xx.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Complaint {
    /// One line that says what is wrong and what to do.
    pub error: String,
}
