//! Delivery reports as messages of our own: made of verdicts, ready for the store.

use std::time::Duration;

use crate::mail::limits::REPORT_HEADER_BYTES_MAX;
use crate::mail::{
    Address, BodyKind, Client, Domain, DsnEnvelope, Envelope, Message, QueueId, Recipient,
    RecipientNo, RecipientState, ReversePath, UnixMillis,
};
use crate::message::{Fate, ReportFacts, Reported, delivery_report};
use crate::store::{CommitError, NewMessage, Store};

use super::decided::Decided;
use super::{Report, Verdict};

/// The report that the verdicts about one message call for: one for all of them, and none if none is
/// owed.
pub(super) struct OwedReport<'a> {
    to: &'a Address,
    original: &'a Message,
    recipients: Vec<Reported<'a>>,
    header_section: Vec<u8>,
}

impl<'a> OwedReport<'a> {
    /// Reads what it needs of the original. If that is damaged, the report goes out without it: a
    /// sender who is not told is worse than one who is told less.
    pub(super) async fn about(
        original: &'a Message,
        decided: &'a [Decided],
        store: &Store,
    ) -> Option<OwedReport<'a>> {
        let mut owed_to = None;
        let mut recipients = Vec::new();
        for Decided { after, verdict, .. } in decided {
            let (fate, report) = match verdict {
                Verdict::Delivered { .. } | Verdict::Deferred { .. } => continue,
                Verdict::Failed { report, .. } => (Fate::Failed, report),
                Verdict::Expired { report, .. } => (Fate::Expired, report),
            };
            match report {
                Report::OwedToNobody => continue,
                Report::OwedTo(sender) => owed_to = Some(sender),
            }
            recipients.push(Reported {
                recipient: after,
                fate,
            });
        }
        let to = owed_to?;
        let header_section = store
            .header_section(original, REPORT_HEADER_BYTES_MAX)
            .await
            .unwrap_or_default(); // damage was told by the store
        Some(OwedReport {
            to,
            original,
            recipients,
            header_section,
        })
    }

    /// Who is told.
    pub(super) fn to(&self) -> &'a Address {
        self.to
    }

    /// Recipients that it is about.
    pub(super) fn recipients(&self) -> usize {
        self.recipients.len()
    }

    /// The report as a message named `id`, due at once.
    pub(super) async fn message(
        &self,
        id: QueueId,
        hostname: &Domain,
        lifetime: Duration,
        now: UnixMillis,
        store: &Store,
    ) -> Result<NewMessage, CommitError> {
        let octets = delivery_report(&ReportFacts {
            hostname,
            id,
            now,
            to: self.to,
            original: self.original,
            header_section: &self.header_section,
            recipients: &self.recipients,
            lifetime,
        });
        let state = RecipientState::Queued { due: now };
        let recipients = vec![Recipient::new(RecipientNo(0), self.to.clone(), state)];
        let mut intake = store.intake(id, &recipients);
        *intake.buffer() = octets;
        let body = intake.finish().await?;
        let facts = body.facts();
        let message = Message {
            id,
            arrival: now,
            envelope: Envelope {
                reverse_path: ReversePath::Null,
                body_kind: match facts.has_8bit {
                    true => BodyKind::EightBitMime,
                    false => BodyKind::SevenBit,
                },
                smtputf8: self.to.needs_smtputf8(),
                dsn: DsnEnvelope::default(),
            },
            client: Client::Local,
            added_header: [].into(), // its header section is in its body, whole
            body: facts,
            report_of: Some(self.original.id),
        };
        Ok(NewMessage {
            message,
            recipients,
            body,
        })
    }
}
