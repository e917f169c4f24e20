//! `explain`: why mail is where it is, and where it would go now. Changes nothing.

use std::collections::BTreeSet;

use crate::mail::{
    Address, AddressDomain, Destination, Message, QueueId, Recipient, RecipientNo, Spelling,
};
use crate::observe::wall_clock;
use crate::outbound::{Way, WayHost};
use crate::store::{DueItem, Loaded, Store, Suspension, SuspensionCause};

use super::entry::{client_of, entry, from_of, rfc3339};
use super::explanation::{
    ExplainedHost, ExplainedMessage, ExplainedRecipient, ExplainedWay, Explanation,
};
use super::why::why;
use super::{Admin, AdminError};

/// Items of a line that are looked through for an address.
const LINE_ITEMS_MAX: usize = 2_000;
/// Recipients that are told of.
const RECIPIENTS_MAX: usize = 100;
/// Domains of one message whose ways are looked up.
const WAYS_MAX: usize = 10;

/// What may be asked for.
enum Subject {
    Message(QueueId),
    Address(Box<Address>),
    /// A bare domain: its way only.
    Domain(AddressDomain),
}

impl Subject {
    fn parse(text: &str) -> Result<Subject, AdminError> {
        let text = text.trim().trim_start_matches('<').trim_end_matches('>');
        if let Ok(address) = Address::parse(text.as_bytes(), Spelling::Utf8) {
            return Ok(Subject::Address(Box::new(address)));
        }
        if let Ok(id) = text.parse() {
            return Ok(Subject::Message(id));
        }
        match AddressDomain::parse(text) {
            Some(domain) => Ok(Subject::Domain(domain)),
            None => Err(AdminError::Malformed(
                "expected an address, a domain or a queue id".to_owned(),
            )),
        }
    }
}

impl Admin {
    /// All about an address, a domain or a message. Asks DNS, so it takes its time; dials nobody.
    ///
    /// # Errors
    /// `subject` can't be read, there is no such message, or the store failed.
    pub async fn explain(&self, subject: &str) -> Result<Explanation, AdminError> {
        match Subject::parse(subject)? {
            Subject::Message(id) => self.explain_message(id).await,
            Subject::Address(address) => self.explain_address(&address).await,
            Subject::Domain(domain) => Ok(Explanation {
                asked: domain.to_string(),
                message: None,
                ways: vec![self.way(&domain).await?],
                recipients: Vec::new(),
                left_out: None,
            }),
        }
    }

    async fn explain_message(&self, id: QueueId) -> Result<Explanation, AdminError> {
        let gone =
            || AdminError::NotFound(format!("{id}: there is no such message, or not any more"));
        let store = self.store.as_ref().ok_or_else(gone)?;
        let Loaded {
            message,
            recipients,
        } = store.entry(id).await?.ok_or_else(gone)?;
        let domains: BTreeSet<&AddressDomain> = recipients
            .iter()
            .map(|rcpt| rcpt.address.domain())
            .collect();
        let mut ways = Vec::new();
        for domain in domains.iter().take(WAYS_MAX) {
            ways.push(self.way(domain).await?);
        }
        let left_out = left_out([
            (domains.len().saturating_sub(WAYS_MAX), "domains"),
            (
                recipients.len().saturating_sub(RECIPIENTS_MAX),
                "recipients",
            ),
        ]);
        let told: Vec<&Recipient> = recipients.iter().take(RECIPIENTS_MAX).collect();
        Ok(Explanation {
            asked: id.to_string(),
            recipients: self.recipients(&message, &told, &ways),
            message: Some(explained_message(&message)),
            ways,
            left_out,
        })
    }

    async fn explain_address(&self, address: &Address) -> Result<Explanation, AdminError> {
        let way = self.way(address.domain()).await?;
        let ways = vec![way];
        let mut recipients = Vec::new();
        let mut left_out = None;
        if let Some(store) = &self.store {
            let destination = self.ways.destination(address.domain());
            let line = store.line(&destination, LINE_ITEMS_MAX + 1).await?;
            if line.len() > LINE_ITEMS_MAX {
                left_out = Some(format!(
                    "only the first {LINE_ITEMS_MAX} recipients in line for {destination} were looked through"
                ));
            }
            for loaded in messages_in_line(store, &line).await? {
                let same: Vec<&Recipient> = loaded
                    .recipients
                    .iter()
                    .filter(|rcpt| rcpt.address == *address)
                    .collect();
                recipients.extend(self.recipients(&loaded.message, &same, &ways));
                if recipients.len() >= RECIPIENTS_MAX {
                    recipients.truncate(RECIPIENTS_MAX);
                    left_out = Some(format!("only {RECIPIENTS_MAX} messages are told of"));
                    break;
                }
            }
        }
        Ok(Explanation {
            asked: address.to_string(),
            message: None,
            ways,
            recipients,
            left_out,
        })
    }

    fn recipients(
        &self,
        message: &Message,
        recipients: &[&Recipient],
        ways: &[ExplainedWay],
    ) -> Vec<ExplainedRecipient> {
        let now = wall_clock();
        let explained = |rcpt: &&Recipient| {
            let destination = self.ways.destination(rcpt.address.domain());
            let suspended = ways
                .iter()
                .any(|way| way.destination == destination.as_str() && way.suspended.is_some());
            let in_flight = self.is_in_flight(message.id, rcpt.no);
            ExplainedRecipient {
                entry: entry(message, rcpt, &destination, in_flight, now),
                why: why(rcpt, suspended, now),
            }
        };
        recipients.iter().map(explained).collect()
    }

    async fn suspended(&self, destination: &Destination) -> Result<Option<String>, AdminError> {
        let Some(store) = &self.store else {
            return Ok(None);
        };
        let suspension = store.suspension(destination).await?;
        Ok(suspension.as_ref().map(suspension_in_words))
    }

    async fn way(&self, domain: &AddressDomain) -> Result<ExplainedWay, AdminError> {
        let Way {
            destination,
            route,
            route_rule,
            tls,
            tls_rule,
            hosts,
            settled,
        } = self.ways.way(domain).await;
        let host = |host: WayHost| ExplainedHost {
            preference: host.preference,
            host: host.name,
            addresses: host.addresses.iter().map(ToString::to_string).collect(),
            trouble: host.trouble,
        };
        Ok(ExplainedWay {
            domain: domain.to_string(),
            suspended: self.suspended(&destination).await?,
            destination: destination.to_string(),
            route,
            route_rule,
            tls,
            tls_rule,
            hosts: hosts.into_iter().map(host).collect(),
            settled,
        })
    }
}

/// `since ..., tried again ...: why`
fn suspension_in_words(suspension: &Suspension) -> String {
    let Suspension {
        since,
        until,
        cause,
    } = suspension;
    let since = rfc3339(*since);
    match cause {
        SuspensionCause::Trouble { times, answer } => {
            let times = match times {
                1 => "once".to_owned(),
                times => format!("{times} times in a row"),
            };
            let until = until.map_or_else(|| "no time".to_owned(), rfc3339);
            format!(
                "since {since}, {times}; one message is tried at {until}; last trouble: {}",
                answer.words()
            )
        }
        SuspensionCause::Order { by, reason } => {
            let until = match until {
                Some(until) => format!("until {}", rfc3339(*until)),
                None => "until it is resumed".to_owned(),
            };
            let reason = match reason.is_empty() {
                true => String::new(),
                false => format!(": {reason}"),
            };
            format!("since {since} by {by}, {until}{reason}")
        }
    }
}

/// The messages of a line's items, each with those of its recipients that stand in it.
async fn messages_in_line(store: &Store, line: &[DueItem]) -> Result<Vec<Loaded>, AdminError> {
    let mut items: Vec<(QueueId, RecipientNo)> =
        line.iter().map(|item| (item.id, item.no)).collect();
    items.sort_unstable();
    let mut found = Vec::new();
    for of_message in items.chunk_by(|(a, _), (b, _)| a == b) {
        let nos: Vec<RecipientNo> = of_message.iter().map(|(_, no)| *no).collect();
        found.extend(store.load(of_message[0].0, &nos).await?);
    }
    Ok(found)
}

fn left_out(counts: [(usize, &str); 2]) -> Option<String> {
    let parts: Vec<String> = counts
        .iter()
        .filter(|(count, _)| *count > 0)
        .map(|(count, what)| format!("{count} more {what}"))
        .collect();
    (!parts.is_empty()).then(|| parts.join(", "))
}

fn explained_message(message: &Message) -> ExplainedMessage {
    ExplainedMessage {
        id: message.id.to_string(),
        from: from_of(message),
        arrived: rfc3339(message.arrival),
        size: message.size(),
        client: client_of(message),
    }
}
