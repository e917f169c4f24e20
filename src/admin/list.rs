//! What is in the queue, and what became of it.

use std::collections::HashMap;
use std::sync::Arc;

use futures_util::Stream;
use futures_util::stream::{self, BoxStream, StreamExt as _};

use crate::mail::{Destination, Message, QueueId, Recipient, RecipientNo};
use crate::observe::wall_clock;
use crate::store::{Direction, HistoryRecord, Loaded, Store, Wanted};

use super::api::{Filter, HistoryEntry, HistoryQuery, QueueEntry};
use super::entry::entry;
use super::selection::Selection;
use super::told::told;
use super::walk::Walk;
use super::{Admin, AdminError};

/// Answers in parts, each of which is sent when it is there; the next is made when there is room for it.
pub type Parts<T> = BoxStream<'static, Result<Vec<T>, AdminError>>;

impl Admin {
    /// The recipients that a filter means, the oldest message first.
    ///
    /// # Errors
    /// The filter can't be read.
    pub fn list(&self, filter: &Filter) -> Result<Parts<QueueEntry>, AdminError> {
        let selection = Selection::parse(filter, wall_clock())?;
        let Some(store) = self.store.clone() else {
            return Ok(stream::empty().boxed());
        };
        let wanted = self.wanted(&selection);
        let walk = self.walk_for(&store, &selection, Direction::OldestFirst, wanted);
        let admin = self.clone();
        let entries = pages(walk).then(move |page| {
            let (admin, store) = (admin.clone(), store.clone());
            async move {
                let (page, of_page) = (page?, store.clone());
                let entries = move || admin.entries(&of_page, &page).collect();
                Ok(store.in_background(entries).await?)
            }
        });
        Ok(entries.boxed())
    }

    /// What became of recipients, the latest message first.
    ///
    /// # Errors
    /// The query can't be read, or names nothing.
    pub fn history(&self, query: &HistoryQuery) -> Result<Parts<HistoryEntry>, AdminError> {
        let HistoryQuery {
            id,
            message_id,
            from,
            to,
            limit,
        } = query;
        let filter = Filter {
            id: id.clone(),
            from: from.clone(),
            to: to.clone(),
            limit: *limit,
            ..Filter::default()
        };
        let selection = Selection::parse(&filter, wall_clock())?;
        let message_id = message_id.as_deref().map(bare_message_id);
        if selection.is_empty() && message_id.is_none() {
            return Err(AdminError::Malformed(
                "history wants one of id, message_id, from and to".to_owned(),
            ));
        }
        let Some(store) = self.store.clone() else {
            return Ok(stream::empty().boxed());
        };
        let has_id = move |message: &Message| {
            message_id.is_none() || message.message_id.as_deref() == message_id.as_deref()
        };
        let wanted = self.wanted(&selection);
        let wanted: Wanted =
            Arc::new(move |message, rcpt, to| has_id(message) && wanted(message, rcpt, to));
        let walk = self.walk_for(&store, &selection, Direction::LatestFirst, wanted);
        let admin = self.clone();
        let found = pages(walk).then(move |page| {
            let (admin, store) = (admin.clone(), store.clone());
            async move { admin.histories(&store, page?).await }
        });
        Ok(found.boxed())
    }

    pub(super) fn walk_for(
        &self,
        store: &Store,
        selection: &Selection,
        direction: Direction,
        wanted: Wanted,
    ) -> Walk {
        Walk::new(
            store.clone(),
            self.turns.clone(),
            selection,
            direction,
            wanted,
        )
    }

    /// What the selection means, as the store asks for it.
    pub(super) fn wanted(&self, selection: &Selection) -> Wanted {
        let (selection, admin) = (selection.clone(), self.clone());
        Arc::new(move |message, rcpt, destination| {
            selection.matches(message, rcpt, destination, || {
                admin.is_in_flight(message.id, rcpt.no)
            })
        })
    }

    pub(super) fn entries(
        &self,
        store: &Store,
        page: &[Loaded],
    ) -> impl Iterator<Item = QueueEntry> {
        let recipients = page.iter().flat_map(|loaded| {
            let message = &loaded.message;
            loaded.recipients.iter().map(move |rcpt| (message, rcpt))
        });
        recipients.map(|(message, rcpt)| self.entry(store, message, rcpt))
    }

    pub(super) fn entry(&self, store: &Store, message: &Message, rcpt: &Recipient) -> QueueEntry {
        let destination: Destination = store.destination_of(rcpt.address.domain());
        let in_flight = self.is_in_flight(message.id, rcpt.no);
        entry(message, rcpt, &destination, in_flight, wall_clock())
    }

    /// Whether it is being attempted right now.
    pub(super) fn is_in_flight(&self, id: QueueId, no: RecipientNo) -> bool {
        let operator = self.operator.as_ref();
        operator.is_some_and(|operator| operator.is_in_flight(id, no))
    }

    async fn histories(
        &self,
        store: &Store,
        page: Vec<Loaded>,
    ) -> Result<Vec<HistoryEntry>, AdminError> {
        let mut entries = Vec::new();
        for Loaded {
            message,
            recipients,
        } in page
        {
            let mut events = histories_of(store, &message).await?;
            entries.extend(recipients.iter().map(|rcpt| {
                HistoryEntry {
                    entry: self.entry(store, &message, rcpt),
                    message_id: message.message_id.as_deref().map(str::to_owned),
                    history: events
                        .remove(&rcpt.no)
                        .unwrap_or_default()
                        .iter()
                        .map(told)
                        .collect(),
                }
            }));
        }
        Ok(entries)
    }
}

/// What was tried and done for each recipient of a message.
pub(super) async fn histories_of(
    store: &Store,
    message: &Message,
) -> Result<HashMap<RecipientNo, Vec<HistoryRecord>>, AdminError> {
    let mut by_recipient: HashMap<RecipientNo, Vec<HistoryRecord>> = HashMap::new();
    for (no, record) in store.history(message.id).await? {
        by_recipient.entry(no).or_default().push(record);
    }
    Ok(by_recipient)
}

/// The parts of a way, read one by one as they are asked for.
fn pages(walk: Walk) -> impl Stream<Item = Result<Vec<Loaded>, AdminError>> + Send {
    stream::unfold(Some(walk), |walk| async {
        let mut walk = walk?;
        match walk.page().await {
            Ok(Some(page)) => Some((Ok(page.found), Some(walk))),
            Ok(None) => None,
            Err(error) => Some((Err(error.into()), None)),
        }
    })
}

fn bare_message_id(text: &str) -> String {
    let text = text.trim();
    let inner = text
        .strip_prefix('<')
        .and_then(|text| text.strip_suffix('>'));
    inner.unwrap_or(text).to_owned()
}
