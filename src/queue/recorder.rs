//! Verdicts and the report they call for, into the store in one commit.

use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use crate::mail::{Domain, Message, QueueId};
use crate::observe::{Events, MailEvent, NoReport, ProcessEvent};
use crate::store::{CommitError, RecipientChange, Store};

use super::decided::Decided;
use super::report_bound::ReportBound;
use super::reporting::OwedReport;
use super::settings::Live;
use super::{Clock, Report, Verdict};

/// First pause after a commit that failed; doubled each time up to [`PAUSE_MAX`].
const PAUSE: Duration = Duration::from_millis(500);
/// Longest pause between two tries to record a verdict.
const PAUSE_MAX: Duration = Duration::from_secs(30);

/// Writes down what was decided.
pub(super) struct Recorder {
    pub(super) store: Store,
    pub(super) events: Events,
    pub(super) clock: Clock,
    pub(super) hostname: Domain,
    pub(super) settings: Live,
    /// How many reports a sender may still get.
    pub(super) bound: Mutex<ReportBound>,
}

/// The store was closed before the verdicts were in it.
#[derive(Debug)]
pub(super) struct Unrecorded;

impl Recorder {
    /// Tries until the verdicts about `message` are durable or the store is closed: what a remote
    /// said is not said twice. Answers, for each in order, whether it is in the store now; one is
    /// not if somebody else had changed the recipient.
    ///
    /// If the future is dropped, the verdicts may or may not be recorded. Deliveries that are not
    /// known to be recorded are told as possible duplicates.
    pub(super) async fn record(
        &self,
        message: &Message,
        decided: &[Decided],
    ) -> Result<Vec<bool>, Unrecorded> {
        let mut in_doubt = InDoubt {
            events: &self.events,
            id: message.id,
            decided,
        };
        let report = OwedReport::about(message, decided, &self.store)
            .await
            .filter(|report| self.within_bound(message.id, report));
        let mut pause = PAUSE;
        loop {
            match self.record_once(message, decided, report.as_ref()).await {
                Ok((made, report_id)) => {
                    in_doubt.decided = &[];
                    self.tell(message, decided, &made, report.as_ref(), report_id);
                    return Ok(made);
                }
                Err(CommitError::Closed) => return Err(Unrecorded),
                Err(error @ (CommitError::DiskFull | CommitError::Failed(_))) => {
                    self.events.emit(ProcessEvent::Warning {
                        what: &format!("{}: a verdict is not recorded yet: {error}", message.id),
                        todo: "free space on the queue's file system, or see what is wrong with it",
                    });
                    tokio::time::sleep(pause).await;
                    pause = pause.saturating_mul(2).min(PAUSE_MAX);
                }
            }
        }
    }

    /// Whether the report may be sent; told if not. The verdicts stand in any case.
    fn within_bound(&self, about: QueueId, report: &OwedReport<'_>) -> bool {
        let mut bound = self.bound.lock().unwrap_or_else(PoisonError::into_inner);
        let taken = bound.take(report.to(), report.weight(), (self.clock)());
        drop(bound);
        if !taken {
            self.events.emit(MailEvent::ReportSuppressed {
                about,
                to: report.to(),
                kind: report.kind(),
                recipients: report.recipients(),
            });
        }
        taken
    }

    /// The report is made anew for each try: a commit consumes it.
    async fn record_once(
        &self,
        message: &Message,
        decided: &[Decided],
        report: Option<&OwedReport<'_>>,
    ) -> Result<(Vec<bool>, QueueId), CommitError> {
        let now = (self.clock)();
        let report_id = QueueId::new(now, rand::random());
        let mut reports = Vec::with_capacity(1);
        if let Some(report) = report {
            let lifetime = self.settings.borrow().retry.lifetime;
            let made = report.message(report_id, &self.hostname, lifetime, now, &self.store);
            reports.push(made.await?);
        }
        let changes = decided.iter().map(|decided| RecipientChange {
            id: message.id,
            before: decided.before.clone(),
            after: decided.after.clone(),
            note: None,
        });
        let made = self.store.record(changes.collect(), reports).await?;
        Ok((made, report_id))
    }

    fn tell(
        &self,
        message: &Message,
        decided: &[Decided],
        made: &[bool],
        report: Option<&OwedReport<'_>>,
        report_id: QueueId,
    ) {
        for (decided, made) in decided.iter().zip(made) {
            if !made {
                possible_duplicate(&self.events, message.id, decided);
            }
        }
        let some_made = made.contains(&true); // else the store took no report either
        if let Some(report) = report.filter(|_| some_made) {
            self.events.emit(MailEvent::ReportQueued {
                id: report_id,
                about: message.id,
                to: report.to(),
                kind: report.kind(),
                recipients: report.recipients(),
            });
            if self.settings.borrow().signs {
                self.events.emit(MailEvent::DkimUnsigned {
                    id: report_id,
                    domain: Some(self.hostname.as_str()),
                    why: "delivery reports of the relay are not signed",
                });
            }
        }
        for (none, why) in [
            (Report::OwedToNobody, NoReport::NullReversePath),
            (Report::Unwanted, NoReport::Unwanted),
        ] {
            let has_none = |decided: &Decided| decided.verdict.report() == Some(&none);
            if some_made && decided.iter().any(has_none) {
                self.events.emit(MailEvent::ReportDropped {
                    about: message.id,
                    why,
                });
            }
        }
    }
}

/// Deliveries whose verdicts are not known to be in the store.
struct InDoubt<'a> {
    events: &'a Events,
    id: QueueId,
    decided: &'a [Decided],
}

impl Drop for InDoubt<'_> {
    fn drop(&mut self) {
        for decided in self.decided {
            possible_duplicate(self.events, self.id, decided);
        }
    }
}

/// Tells of a delivery that may be made again.
fn possible_duplicate(events: &Events, id: QueueId, decided: &Decided) {
    if let Verdict::Delivered { answer, .. } = &decided.verdict {
        let remote = answer.remote.as_ref().map(ToString::to_string);
        events.emit(MailEvent::PossibleDuplicate {
            id,
            to: &decided.before.address,
            remote: remote.as_deref().unwrap_or("unknown"),
        });
    }
}
