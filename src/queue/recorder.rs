//! Verdicts and the report they call for, into the store in one commit.

use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use crate::mail::{Domain, Message, QueueId};
use crate::observe::{Events, MailEvent, NoReport, ProcessEvent};
use crate::store::{CommitError, ReadError, RecipientChange, Store};

use super::decided::Decided;
use super::overtaken::overtaken;
use super::report_bound::ReportBound;
use super::reporting::OwedReport;
use super::settings::Live;
use super::{Clock, Report, Verdict};

/// First pause after a commit that failed; doubled each time up to [`PAUSE_MAX`].
const PAUSE: Duration = Duration::from_millis(500);
/// Longest pause between two tries to record a verdict.
const PAUSE_MAX: Duration = Duration::from_secs(30);

/// How often a decision is made anew for one recipient that the operator goes on changing.
const OVERTAKEN_MAX: u32 = 16;

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

/// What to do when the store can't take a verdict now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum InTrouble {
    /// Try until it can: what a remote said is not said twice.
    Insist,
    /// Say so: whoever decided can decide again.
    GiveUp,
}

/// What became of a decision.
#[derive(Debug)]
pub(super) struct Recorded {
    /// As it was made, and, if the operator changed the recipient meanwhile, made anew.
    pub(super) decided: Decided,
    /// How it came about.
    pub(super) how: How,
}

/// See [`Recorded`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum How {
    /// It is in the store.
    AsDecided,
    /// It is in the store as it was made anew.
    Overtaken,
    /// It is not in the store: the recipient was changed, and the decision is void.
    Void,
}

impl Recorder {
    /// Makes decisions about `message` durable, with the report that they call for: in one commit, and
    /// that report tells of nothing else. Says what became of each, in order. A recipient that was
    /// changed since it was read is read again, and what an attempt gave is decided anew, as
    /// [`overtaken`] says.
    ///
    /// If the future is dropped, the verdicts may or may not be recorded. Deliveries that are not
    /// known to be recorded are told as possible duplicates.
    pub(super) async fn record(
        &self,
        message: &Message,
        decided: Vec<Decided>,
        in_trouble: InTrouble,
    ) -> Result<Vec<Recorded>, CommitError> {
        let mut in_doubt = InDoubt {
            events: &self.events,
            id: message.id,
            open: decided.iter().map(Some).collect(),
        };
        let mut anew: Vec<Option<Decided>> = decided.iter().cloned().map(Some).collect();
        let mut how = vec![How::AsDecided; decided.len()];
        let mut may_report = None;
        for _ in 0..OVERTAKEN_MAX {
            let open: Vec<usize> = (0..decided.len())
                .filter(|&n| in_doubt.open[n].is_some() && anew[n].is_some())
                .collect();
            let to_record: Vec<&Decided> = open.iter().filter_map(|&n| anew[n].as_ref()).collect();
            if to_record.is_empty() {
                break;
            }
            let report = OwedReport::about(message, to_record.iter().copied(), &self.store).await;
            let report = report.filter(|report| {
                *may_report.get_or_insert_with(|| self.within_bound(message.id, report))
            });
            let (made, report_id) = self
                .record_somehow(message, &to_record, report.as_ref(), in_trouble)
                .await?;
            self.tell(message, &to_record, &made, report.as_ref(), report_id);
            drop(report);
            for (&n, made) in open.iter().zip(&made) {
                if *made {
                    in_doubt.open[n] = None;
                }
            }
            if !made.contains(&false) {
                break;
            }
            let current = match self.store.entry(message.id).await {
                Ok(found) => found.map_or(Vec::new(), |loaded| loaded.recipients),
                Err(ReadError::Damaged(_)) => break, // told by the store
                Err(ReadError::Failed(error)) if in_trouble == InTrouble::GiveUp => {
                    return Err(CommitError::Failed(error));
                }
                Err(ReadError::Failed(_)) => {
                    tokio::time::sleep(PAUSE).await;
                    continue;
                }
            };
            for (n, _) in open.into_iter().zip(made).filter(|(_, made)| !made) {
                let rcpt = current.iter().find(|rcpt| rcpt.no == decided[n].before.no);
                match (rcpt, &anew[n]) {
                    // another one was in the way of the report for both
                    (Some(rcpt), Some(tried)) if *rcpt == tried.before => {}
                    (Some(rcpt), _) => {
                        how[n] = How::Overtaken;
                        anew[n] = overtaken(&decided[n], rcpt.clone());
                        if anew[n].is_none() {
                            in_doubt.open[n] = None;
                        }
                    }
                    // purged and removed: whatever became of it, it is not sent again
                    (None, _) => {
                        anew[n] = None;
                        in_doubt.open[n] = None;
                    }
                }
            }
        }
        let recorded = (0..decided.len()).map(|n| match anew[n].take() {
            Some(decided) if in_doubt.open[n].is_none() => Recorded {
                decided,
                how: how[n],
            },
            _ => Recorded {
                decided: decided[n].clone(),
                how: How::Void,
            },
        });
        let recorded = recorded.collect();
        Ok(recorded)
    }

    /// Answers, for each in order, whether it is in the store now; one is not if somebody else had
    /// changed the recipient.
    async fn record_somehow(
        &self,
        message: &Message,
        decided: &[&Decided],
        report: Option<&OwedReport<'_>>,
        in_trouble: InTrouble,
    ) -> Result<(Vec<bool>, QueueId), CommitError> {
        let mut pause = PAUSE;
        loop {
            match self.record_once(message, decided, report).await {
                Ok(done) => return Ok(done),
                Err(CommitError::Closed) => return Err(CommitError::Closed),
                Err(error) if in_trouble == InTrouble::GiveUp => return Err(error),
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
        decided: &[&Decided],
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
            note: decided.note.clone(),
        });
        let made = self.store.record(changes.collect(), reports).await?;
        Ok((made, report_id))
    }

    fn tell(
        &self,
        message: &Message,
        decided: &[&Decided],
        made: &[bool],
        report: Option<&OwedReport<'_>>,
        report_id: QueueId,
    ) {
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
            let of_these = |(decided, made): (&&Decided, &bool)| {
                *made && decided.verdict.report() == Some(&none)
            };
            if decided.iter().zip(made).any(of_these) {
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
    open: Vec<Option<&'a Decided>>,
}

impl Drop for InDoubt<'_> {
    fn drop(&mut self) {
        for decided in self.open.iter().flatten() {
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
