//! The filters, the same on every command that takes a set.

use clap::Args;
use clap::builder::PossibleValuesParser;

use crate::admin::api::Filter;

use super::ending::CommandError;

/// As `--state` takes them.
const STATES: [&str; 8] = [
    "queued",
    "in_flight",
    "deferred",
    "held",
    "delivered",
    "failed",
    "expired",
    "purged",
];
/// States of what is not over.
pub(super) const WAITING: &str = "queued,in_flight,deferred,held";

/// Which recipients: all that is given must match; of a list, one part.
#[derive(Args, Clone, Debug, Default)]
#[command(next_help_heading = "Which recipients")]
pub(super) struct Filtering {
    /// Those of these messages
    #[arg(long, value_name = "ID,...")]
    id: Vec<String>,
    /// Sender; * stands for anything, <> for none
    #[arg(long, value_name = "ADDRESS,...")]
    from: Vec<String>,
    /// Recipient; * stands for anything
    #[arg(long, value_name = "ADDRESS,...")]
    to: Vec<String>,
    /// Domain of the recipient, or destination; * stands for anything
    #[arg(long, value_name = "DOMAIN,...")]
    domain: Vec<String>,
    /// State
    #[arg(long, value_name = "STATE,...", value_delimiter = ',', value_parser = PossibleValuesParser::new(STATES))]
    state: Vec<String>,
    /// Arrived longer ago, such as 4h or 1d12h
    #[arg(long, value_name = "SPAN")]
    older_than: Option<String>,
    /// Arrived less long ago
    #[arg(long, value_name = "SPAN")]
    younger_than: Option<String>,
    /// Part of the last reply, or of our own words for it
    #[arg(long, value_name = "TEXT")]
    reply: Option<String>,
    /// At least so many attempts
    #[arg(long, value_name = "N")]
    min_attempts: Option<u32>,
    /// Everything there is
    #[arg(long)]
    all: bool,
    /// At most so many, the oldest messages first
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..))]
    limit: Option<u64>,
}

impl Filtering {
    /// As the API takes it; `ids` are further ones.
    pub(super) fn filter(&self, ids: &[String]) -> Filter {
        let list = |parts: &[String]| (!parts.is_empty()).then(|| parts.join(","));
        Filter {
            id: list(&[&self.id, ids].concat()),
            from: list(&self.from),
            to: list(&self.to),
            domain: list(&self.domain),
            state: list(&self.state),
            older_than: self.older_than.clone(),
            younger_than: self.younger_than.clone(),
            reply: self.reply.clone(),
            min_attempts: self.min_attempts,
            all: self.all,
            limit: self.limit,
        }
    }
}

/// Whether it names anything but a number of recipients.
pub(super) fn is_empty(filter: &Filter) -> bool {
    let Filter {
        id,
        from,
        to,
        domain,
        state,
        older_than,
        younger_than,
        reply,
        min_attempts,
        all: _,
        limit: _,
    } = filter;
    let texts = [id, from, to, domain, state, older_than, younger_than, reply];
    texts.iter().all(|text| text.is_none()) && min_attempts.is_none()
}

/// Refuses to mean everything by saying nothing.
pub(super) fn names_something(filter: &Filter) -> Result<(), CommandError> {
    if filter.all || !is_empty(filter) {
        return Ok(());
    }
    Err(CommandError::Usage(
        "nothing says which recipients are meant: give an ID or a filter, or --all for everything"
            .to_owned(),
    ))
}

/// The one id that it is about, if it is one: then it can't be about more than one message.
pub(super) fn one_message(filter: &Filter) -> bool {
    filter.id.as_ref().is_some_and(|id| !id.contains(','))
}
