//! Why mail is where it is, as it goes over the control socket and is printed by `--json`. Times are
//! RFC 3339, UTC.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::api::QueueEntry;

/// All about one address or one message.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Explanation {
    /// What was asked for, as it was understood.
    pub asked: String,
    /// The message, if a queue id was asked for.
    pub message: Option<ExplainedMessage>,
    /// The ways that mail would take now, one for each domain concerned.
    pub ways: Vec<ExplainedWay>,
    /// The recipients concerned that are in the queue or still kept, oldest message first.
    pub recipients: Vec<ExplainedRecipient>,
    /// What this explanation leaves out, if anything.
    pub left_out: Option<String>,
}

/// One message.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct ExplainedMessage {
    /// Its queue id.
    pub id: String,
    /// Reverse-path, without angle brackets; empty for reports.
    pub from: String,
    /// When we took it.
    pub arrived: String,
    /// Octets.
    pub size: u64,
    /// Who brought it.
    pub client: String,
}

/// The way of mail for one domain.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct ExplainedWay {
    /// Domain or address literal behind the `@`.
    pub domain: String,
    /// In which line its mail waits.
    pub destination: String,
    /// Where it goes.
    pub route: String,
    /// What decided that.
    pub route_rule: String,
    /// How much TLS its connections need.
    pub tls: String,
    /// What decided that.
    pub tls_rule: String,
    /// The hosts in the order in which they are tried; equals in random order each time.
    pub hosts: Vec<ExplainedHost>,
    /// What would become of mail without any connection, if that is so.
    pub settled: Option<String>,
    /// Since when and until when no connection is tried, if the destination is suspended.
    pub suspended: Option<String>,
}

/// One host.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct ExplainedHost {
    /// Of its MX record.
    pub preference: Option<u16>,
    /// Its name.
    pub host: String,
    /// What would be dialled, with the port, in this order.
    pub addresses: Vec<String>,
    /// Why it would not be.
    pub trouble: Option<String>,
}

/// One recipient.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct ExplainedRecipient {
    /// As in lists.
    #[serde(flatten)]
    pub entry: QueueEntry,
    /// What it waits for, or how it ended, in a sentence.
    pub why: String,
}
