//! Which recipients a filter means. Pure.

use std::collections::BTreeSet;
use std::time::Duration;

use crate::config::span;
use crate::mail::{Destination, Message, QueueId, Recipient, ReversePath, StateName, UnixMillis};

use super::AdminError;
use super::api::Filter;
use super::pattern::Pattern;

/// Longest value of a field, in bytes; ids may have [`IDS_MAX`].
const FIELD_BYTES_MAX: usize = 4_096;
/// Patterns in one field.
const PATTERNS_MAX: usize = 100;
/// Messages that can be named.
const IDS_MAX: usize = 1_000;

/// A filter that was read.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Selection {
    /// `None`: any.
    ids: Option<BTreeSet<QueueId>>,
    from: Option<Vec<Sender>>,
    to: Option<Vec<Pattern>>,
    domain: Option<Vec<Pattern>>,
    state: Option<BTreeSet<&'static str>>,
    arrived_before: Option<UnixMillis>,
    arrived_after: Option<UnixMillis>,
    /// In lower case.
    reply: Option<String>,
    min_attempts: Option<u32>,
    /// See [`Filter::all`].
    pub(super) all: bool,
    /// See [`Filter::limit`].
    pub(super) limit: Option<u64>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Sender {
    /// `<>`
    Nobody,
    Like(Pattern),
}

/// What lists show for a recipient that is being attempted right now, which is in memory only.
pub(super) const IN_FLIGHT: &str = "in_flight";

/// The state of a recipient as lists show it: one that is in line and being attempted is in flight;
/// what the operator made of it meanwhile is shown rather.
pub(super) fn shown_state(rcpt: &Recipient, in_flight: impl FnOnce() -> bool) -> &'static str {
    match rcpt.state.due() {
        Some(_) if in_flight() => IN_FLIGHT,
        Some(_) | None => rcpt.state.name().as_str(),
    }
}

impl Selection {
    /// Reads a filter; spans count back from `now`.
    ///
    /// # Errors
    /// One line that names the field.
    pub(super) fn parse(filter: &Filter, now: UnixMillis) -> Result<Selection, AdminError> {
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
            all,
            limit,
        } = filter;
        let ago = |field, text: &String| span_of(field, text).map(|span| now.before(span));
        Ok(Selection {
            ids: id.as_ref().map(|text| ids(text)).transpose()?,
            from: patterns("from", from.as_deref(), |text| match text {
                "<>" => Sender::Nobody,
                _ => Sender::Like(Pattern::new(bare(text))),
            })?,
            to: patterns("to", to.as_deref(), |text| Pattern::new(bare(text)))?,
            domain: patterns("domain", domain.as_deref(), Pattern::of_domain)?,
            state: state.as_ref().map(|text| states(text)).transpose()?,
            arrived_before: older_than
                .as_ref()
                .map(|text| ago("older_than", text))
                .transpose()?,
            arrived_after: younger_than
                .as_ref()
                .map(|text| ago("younger_than", text))
                .transpose()?,
            reply: reply
                .as_ref()
                .map(|text| bounded("reply", text).map(str::to_lowercase))
                .transpose()?,
            min_attempts: *min_attempts,
            all: *all,
            limit: *limit,
        })
    }

    /// Whether it names nothing at all, and so means everything.
    pub(super) fn is_empty(&self) -> bool {
        let nothing = Selection {
            all: self.all,
            limit: self.limit,
            ..Selection::default()
        };
        *self == nothing
    }

    /// The messages that are named, in order; only these need be read.
    pub(super) fn ids(&self) -> Option<&BTreeSet<QueueId>> {
        self.ids.as_ref()
    }

    /// The first message that it can mean: ids are made of the time of arrival.
    pub(super) fn begins_at(&self) -> Option<QueueId> {
        self.arrived_after.map(QueueId::first_of)
    }

    /// Messages that were made from then on can't be meant.
    pub(super) fn ends_before(&self) -> Option<UnixMillis> {
        self.arrived_before
    }

    /// Whether it means this recipient. `in_flight` is only asked if that matters.
    pub(super) fn matches(
        &self,
        message: &Message,
        rcpt: &Recipient,
        destination: &Destination,
        in_flight: impl FnOnce() -> bool,
    ) -> bool {
        // What costs least comes first.
        self.ids
            .as_ref()
            .is_none_or(|ids| ids.contains(&message.id))
            && self.min_attempts.is_none_or(|least| rcpt.attempts >= least)
            && self
                .arrived_before
                .is_none_or(|before| message.arrival < before)
            && self
                .arrived_after
                .is_none_or(|after| message.arrival > after)
            && self
                .state
                .as_ref()
                .is_none_or(|states| states.contains(shown_state(rcpt, in_flight)))
            && self
                .domain
                .as_ref()
                .is_none_or(|domains| is_at(domains, rcpt, destination))
            && self
                .to
                .as_ref()
                .is_none_or(|to| any(to, &rcpt.address.to_string()))
            && self
                .from
                .as_ref()
                .is_none_or(|from| is_from(from, &message.envelope.reverse_path))
            && self.reply.as_ref().is_none_or(|part| {
                let words = rcpt.last_answer.as_ref().map(|answer| answer.words());
                words.is_some_and(|words| words.to_lowercase().contains(part))
            })
    }
}

fn any(patterns: &[Pattern], text: &str) -> bool {
    let lower = text.to_lowercase();
    patterns.iter().any(|pattern| pattern.matches(&lower))
}

fn is_at(domains: &[Pattern], rcpt: &Recipient, destination: &Destination) -> bool {
    any(domains, destination.as_str()) || any(domains, &rcpt.address.domain().to_string())
}

fn is_from(senders: &[Sender], reverse_path: &ReversePath) -> bool {
    match reverse_path {
        ReversePath::Null => senders.contains(&Sender::Nobody),
        ReversePath::Mailbox(address) => {
            let lower = address.to_string().to_lowercase();
            senders.iter().any(|sender| match sender {
                Sender::Nobody => false,
                Sender::Like(pattern) => pattern.matches(&lower),
            })
        }
    }
}

/// A span as in the configuration.
pub(super) fn span_of(field: &str, text: &str) -> Result<Duration, AdminError> {
    span(text).ok_or_else(|| {
        bad(
            field,
            &format!("{text:?} is no span of time, such as 4h or 2d12h"),
        )
    })
}

fn bad(field: &str, what: &str) -> AdminError {
    AdminError::Malformed(format!("{field}: {what}"))
}

fn bounded<'a>(field: &str, text: &'a str) -> Result<&'a str, AdminError> {
    match text.len() {
        0 => Err(bad(field, "there is nothing")),
        len if len > FIELD_BYTES_MAX => {
            Err(bad(field, &format!("has at most {FIELD_BYTES_MAX} bytes")))
        }
        _ => Ok(text),
    }
}

fn bare(text: &str) -> &str {
    let inner = text
        .strip_prefix('<')
        .and_then(|text| text.strip_suffix('>'));
    inner.unwrap_or(text)
}

/// Parts between commas, but for commas in quotes; blanks around them don't count, and none is empty.
fn parts<'a>(field: &str, text: &'a str) -> Result<Vec<&'a str>, AdminError> {
    let (mut quoted, mut escaped) = (false, false);
    let parts = text.split(|character| {
        let (was_escaped, in_quotes) = (escaped, quoted);
        escaped = quoted && character == '\\' && !was_escaped;
        quoted ^= character == '"' && !was_escaped;
        character == ',' && !in_quotes
    });
    let parts: Vec<&str> = parts.map(str::trim).collect();
    match parts.iter().any(|part| part.is_empty()) {
        true => Err(bad(field, "there is nothing, or a comma too many")),
        false => Ok(parts),
    }
}

fn patterns<T>(
    field: &str,
    text: Option<&str>,
    pattern: impl Fn(&str) -> T,
) -> Result<Option<Vec<T>>, AdminError> {
    let Some(text) = text else { return Ok(None) };
    let parts = parts(field, bounded(field, text)?)?;
    if parts.len() > PATTERNS_MAX {
        return Err(bad(field, &format!("has at most {PATTERNS_MAX} parts")));
    }
    Ok(Some(parts.into_iter().map(pattern).collect()))
}

fn ids(text: &str) -> Result<BTreeSet<QueueId>, AdminError> {
    let parts = parts("id", text)?;
    if parts.len() > IDS_MAX {
        return Err(bad("id", &format!("has at most {IDS_MAX} parts")));
    }
    let id = |part: &str| {
        let id = part.parse();
        id.map_err(|error| bad("id", &format!("{:?}: {error}", cut(part))))
    };
    parts.into_iter().map(id).collect()
}

fn states(text: &str) -> Result<BTreeSet<&'static str>, AdminError> {
    let names = || {
        let stored = StateName::ALL.map(StateName::as_str);
        [IN_FLIGHT].into_iter().chain(stored)
    };
    let state = |part: &str| {
        let known = names().find(|name| *name == part);
        known.ok_or_else(|| {
            let all: Vec<&str> = names().collect();
            bad(
                "state",
                &format!("{:?} is none of {}", cut(part), all.join(", ")),
            )
        })
    };
    parts("state", bounded("state", text)?)?
        .into_iter()
        .map(state)
        .collect()
}

/// Enough of it to be known again.
fn cut(text: &str) -> &str {
    let end = text.char_indices().nth(40).map_or(text.len(), |(at, _)| at);
    &text[..end]
}

#[cfg(test)]
#[path = "selection_test.rs"]
mod tests;
