//! Going through the queue in the order of ids, page by page: what the operator's lists and orders are
//! made of. Memory does not grow with the queue, and no page takes a reader for long.

use std::sync::Arc;

use crate::mail::{AddressDomain, Destination, Message, QueueId, Recipient, UnixMillis};

use super::engine::Trees;
use super::{Loaded, ReadError, key, read, record};

/// Which recipients are wanted. Called on a reader's thread: it must not wait.
pub type Wanted = Arc<dyn Fn(&Message, &Recipient, &Destination) -> bool + Send + Sync>;

/// One page of a way through the queue.
#[derive(Clone, Copy, Debug)]
pub struct Scan {
    /// The message to begin with; `None`: the first in that direction.
    pub from: Option<QueueId>,
    /// Which way.
    pub direction: Direction,
    /// Only messages that were made before.
    pub until: Option<UnixMillis>,
    /// Recipients after which the page is full; those of one message stay together.
    pub limit: usize,
    /// Recipients that are looked at for the page, but for those of its last message.
    pub examined_max: usize,
}

/// Which way through the queue.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Direction {
    /// As mail came in. The faster one.
    OldestFirst,
    /// The latest message first.
    LatestFirst,
}

/// What was found.
#[derive(Debug, Default)]
pub struct ScanPage {
    /// Messages with those of their recipients that are wanted, in that direction.
    pub found: Vec<Loaded>,
    /// Recipients that were looked at.
    pub examined: usize,
    /// The message to go on with; `None`: that was all.
    pub next: Option<QueueId>,
}

/// Damaged records are left out: `Store::verify` names them.
pub(super) fn page(
    trees: &Trees,
    scan: Scan,
    wanted: &dyn Fn(&Message, &Recipient, &Destination) -> bool,
    destination_of: &dyn Fn(&AddressDomain) -> Destination,
) -> Result<ScanPage, ReadError> {
    match scan.direction {
        Direction::OldestFirst => oldest_first(trees, scan, wanted, destination_of),
        Direction::LatestFirst => latest_first(trees, scan, wanted, destination_of),
    }
}

/// Messages and recipients are in the same order, so it is one way through both.
fn oldest_first(
    trees: &Trees,
    scan: Scan,
    wanted: &dyn Fn(&Message, &Recipient, &Destination) -> bool,
    destination_of: &dyn Fn(&AddressDomain) -> Destination,
) -> Result<ScanPage, ReadError> {
    let from = scan.from.map_or(Vec::new(), |id| id.to_bytes().to_vec());
    let until = scan.until.map(QueueId::first_of);
    let mut page = ScanPage::default();
    let mut full = 0;
    let mut recipients = trees.recipients.range(from.clone()..).peekable();
    for entry in trees.messages.range(from..) {
        let (key, sealed) = entry.map_err(read::failed)?;
        let Some(id) = key::parse_message(&key) else {
            continue; // no key of ours: the next start after a crash puts it aside
        };
        if until.is_some_and(|until| id >= until) {
            break;
        }
        if full >= scan.limit || page.examined >= scan.examined_max {
            page.next = Some(id);
            break;
        }
        // Those of messages that are gone or damaged are passed over.
        while let Some(Ok(_)) =
            recipients.next_if(|at| matches!(at, Ok((rcpt, _)) if **rcpt < *key))
        {}
        let stored = record::open_message(id, &sealed).ok();
        let mut its_own = Vec::new();
        while let Some(entry) = recipients.next_if(|at| match at {
            Ok((rcpt, _)) => rcpt.starts_with(&key),
            Err(_) => true,
        }) {
            let (rcpt_key, sealed) = entry.map_err(read::failed)?;
            page.examined += 1;
            let (Some(stored), Some((_, no))) = (&stored, key::parse_recipient(&rcpt_key)) else {
                continue;
            };
            if let Ok(rcpt) = record::open_recipient(&rcpt_key, no, &sealed)
                && wanted(
                    &stored.message,
                    &rcpt,
                    &destination_of(rcpt.address.domain()),
                )
            {
                its_own.push(rcpt);
            }
        }
        if let (Some(stored), false) = (stored, its_own.is_empty()) {
            full += its_own.len();
            page.found.push(Loaded {
                message: stored.message,
                recipients: its_own,
            });
        }
    }
    Ok(page)
}

/// Recipients are sought for each message, so that they keep their order.
fn latest_first(
    trees: &Trees,
    scan: Scan,
    wanted: &dyn Fn(&Message, &Recipient, &Destination) -> bool,
    destination_of: &dyn Fn(&AddressDomain) -> Destination,
) -> Result<ScanPage, ReadError> {
    let until = scan.until.map(QueueId::first_of);
    let messages = match (scan.from, until) {
        (Some(from), _) => trees.messages.range(..=from.to_bytes()),
        (None, Some(until)) => trees.messages.range(..until.to_bytes()),
        (None, None) => trees.messages.iter(),
    };
    let mut page = ScanPage::default();
    let mut full = 0;
    for entry in messages.rev() {
        let (key, sealed) = entry.map_err(read::failed)?;
        let Some(id) = key::parse_message(&key) else {
            continue; // no key of ours
        };
        if full >= scan.limit || page.examined >= scan.examined_max {
            page.next = Some(id);
            break;
        }
        let Ok(stored) = record::open_message(id, &sealed) else {
            page.examined += 1; // or a page of nothing else would have no end
            continue;
        };
        let mut recipients = read::recipients(trees, id)?;
        page.examined += recipients.len().max(1);
        let message = stored.message;
        recipients.retain(|rcpt| wanted(&message, rcpt, &destination_of(rcpt.address.domain())));
        if !recipients.is_empty() {
            full += recipients.len();
            page.found.push(Loaded {
                message,
                recipients,
            });
        }
    }
    Ok(page)
}
