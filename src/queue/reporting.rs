//! Delivery reports as messages of our own: made of verdicts, ready for the store.

use std::time::Duration;

use crate::mail::limits::{REPORT_HEADER_BYTES_MAX, REPORT_WHOLE_BYTES_MAX};
use crate::mail::{
    Address, BodyKind, Client, Domain, DsnEnvelope, Envelope, Message, QueueId, Recipient,
    RecipientNo, RecipientState, Ret, ReversePath, UnixMillis,
};
use crate::message::{
    Fate, LineLengths, ReportFacts, ReportFrame, Reported, Returned, delivery_report,
    our_message_id,
};
use crate::observe::ReportKind;
use crate::store::{CommitError, FinishedBody, Intake, NewMessage, ReadError, Store};

use super::decided::Decided;
use super::report_bound::Weight;
use super::{Report, Verdict};

/// The report that the verdicts about one message call for: one for all of them, and none if none is
/// owed.
pub(super) struct OwedReport<'a> {
    to: &'a Address,
    original: &'a Message,
    recipients: Vec<Reported<'a>>,
    /// Its header section, as far as that can be read.
    header_section: Vec<u8>,
    /// Whether it goes back whole.
    whole: bool,
    /// Whether it is a report for SMTPUTF8.
    smtputf8: bool,
}

/// Why a report could not be composed.
enum Obstacle {
    /// The original can't be read.
    Original(ReadError),
    /// There is no room for the report.
    Store(CommitError),
}

impl<'a> OwedReport<'a> {
    /// Reads what it needs of the original. If that is damaged, the report goes out without it: a
    /// sender who is not told is worse than one who is told less.
    pub(super) async fn about(
        original: &'a Message,
        decided: impl Iterator<Item = &'a Decided>,
        store: &Store,
    ) -> Option<OwedReport<'a>> {
        let mut owed_to = None;
        let mut recipients = Vec::new();
        for Decided { after, verdict, .. } in decided {
            let fate = match verdict {
                Verdict::Deferred { .. } | Verdict::Waiting { .. } | Verdict::Noted { .. } => {
                    Fate::Delayed
                }
                Verdict::Delivered { .. } => Fate::Relayed,
                Verdict::Failed { .. } => Fate::Failed,
                Verdict::Expired { .. } => Fate::Expired,
            };
            match verdict.report() {
                None | Some(Report::OwedToNobody | Report::Unwanted) => continue,
                Some(Report::OwedTo(sender)) => owed_to = Some(sender),
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
        let whole = kind_of(&recipients) == ReportKind::Failed
            && returned_whole(original)
            && fits_into_a_report(original, store).await;
        let smtputf8 = original.envelope.smtputf8
            && (to.needs_smtputf8()
                || recipients
                    .iter()
                    .any(|reported| needs_smtputf8(reported.recipient))
                || !header_section.is_ascii());
        Some(OwedReport {
            to,
            original,
            recipients,
            header_section,
            whole,
            smtputf8,
        })
    }

    /// Who is told.
    pub(super) fn to(&self) -> &'a Address {
        self.to
    }

    /// What it tells in the first place.
    pub(super) fn kind(&self) -> ReportKind {
        kind_of(&self.recipients)
    }

    /// How much it matters.
    pub(super) fn weight(&self) -> Weight {
        match self.kind() {
            ReportKind::Failed => Weight::Needed,
            ReportKind::Delayed | ReportKind::Relayed => Weight::Courtesy,
        }
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
        let state = RecipientState::Queued { due: now };
        let recipients = vec![Recipient::new(RecipientNo(0), self.to.clone(), state)];
        let compose = |returned| {
            let frame = delivery_report(&ReportFacts {
                hostname,
                id,
                now,
                to: self.to,
                original: self.original,
                returned,
                smtputf8: self.smtputf8,
                recipients: &self.recipients,
                lifetime,
            });
            let whole = (returned == Returned::Whole).then_some(self.original);
            pour(frame, whole, store.intake(id, &recipients), store)
        };
        let headers = Returned::Headers(&self.header_section);
        let composed = if self.whole {
            match compose(Returned::Whole).await {
                // damaged since it was looked through; told by the store
                Err(Obstacle::Original(ReadError::Damaged(_))) => compose(headers).await,
                composed => composed,
            }
        } else {
            compose(headers).await
        };
        let body = composed.map_err(|obstacle| match obstacle {
            Obstacle::Original(error) => CommitError::Failed(error.to_string()),
            Obstacle::Store(error) => error,
        })?;
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
                smtputf8: self.smtputf8 || self.to.needs_smtputf8(),
                dsn: DsnEnvelope::default(),
            },
            client: Client::Local,
            added_header: [].into(), // its header section is in its body, whole
            body: facts,
            message_id: Some(our_message_id(id, hostname)),
            report_of: Some(self.original.id),
        };
        Ok(NewMessage {
            message,
            recipients,
            body,
        })
    }
}

fn kind_of(recipients: &[Reported<'_>]) -> ReportKind {
    let kinds = recipients.iter().map(|reported| match reported.fate {
        Fate::Failed | Fate::Expired => ReportKind::Failed,
        Fate::Delayed => ReportKind::Delayed,
        Fate::Relayed => ReportKind::Relayed,
    });
    kinds
        .min_by_key(|kind| match kind {
            ReportKind::Failed => 0,
            ReportKind::Delayed => 1,
            ReportKind::Relayed => 2,
        })
        .unwrap_or(ReportKind::Failed)
}

fn needs_smtputf8(recipient: &Recipient) -> bool {
    let original = recipient.dsn.original.as_ref();
    recipient.address.needs_smtputf8() || original.is_some_and(|named| !named.address.is_ascii())
}

/// Whether the sender wants the message back, or did not say and it is small (RFC 3461 4.3). One of
/// BINARYMIME can't go back: it might not travel unencoded, and must not be encoded (RFC 2046 5.2.1).
fn returned_whole(original: &Message) -> bool {
    let wanted = match original.envelope.dsn.ret {
        Some(Ret::Full) => true,
        Some(Ret::Headers) => false,
        None => original.size() <= REPORT_WHOLE_BYTES_MAX,
    };
    wanted && original.envelope.body_kind != BodyKind::BinaryMime
}

/// Whether it can be read to its end, and its lines are fit to travel.
async fn fits_into_a_report(original: &Message, store: &Store) -> bool {
    let measure = async {
        let mut lengths = LineLengths::default();
        let mut body = store.body(original).await?;
        while let Some(piece) = body.next().await? {
            lengths.feed(&piece);
        }
        Ok::<LineLengths, ReadError>(lengths)
    };
    measure.await.is_ok_and(|lengths| !lengths.too_long())
}

/// Puts a report together, with the body of `original` inside, piece by piece.
async fn pour(
    frame: ReportFrame,
    original: Option<&Message>,
    mut intake: Intake,
    store: &Store,
) -> Result<FinishedBody, Obstacle> {
    *intake.buffer() = frame.before;
    if let Some(original) = original {
        let mut body = store.body(original).await.map_err(Obstacle::Original)?;
        while let Some(piece) = body.next().await.map_err(Obstacle::Original)? {
            intake.buffer().extend_from_slice(&piece);
            intake.settle().await.map_err(Obstacle::Store)?;
        }
    }
    intake.buffer().extend_from_slice(&frame.behind);
    intake.finish().await.map_err(Obstacle::Store)
}
