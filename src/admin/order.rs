//! Orders for sets of recipients: `retry`, `hold`, `release`, `purge`, `restore`, `bounce`. Each goes
//! through the queue once, page by page; a page is one step, and between two of them mail goes on. What
//! an order has done stays, also when it ends early, and given again it does the rest.

use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use futures_util::stream::{self, StreamExt as _};
use tokio::sync::{OwnedSemaphorePermit, mpsc};
use tokio::time::{Instant, interval, timeout};
use tokio_util::sync::CancellationToken;

use crate::config::Rate;
use crate::mail::UnixMillis;
use crate::observe::{ProcessEvent, QueueEvent, wall_clock};
use crate::queue::{Action, Applied, Operator, Pace};
use crate::store::{Direction, Loaded, Note, Store};

use super::api::{Filter, Order, OrderLine, OrderProgress, OrderResult};
use super::by::{By, reason, safe};
use super::entry::rfc3339;
use super::list::Parts;
use super::selection::Selection;
use super::walk::Walk;
use super::{Admin, AdminError};

/// Orders at one time.
pub(super) const ORDERS_MAX: usize = 4;
/// Recipients that are shown as a sample.
const SAMPLE_MAX: usize = 10;
/// Lines that may wait for whoever gave the order.
const LINES_WAITING_MAX: usize = 4;
/// From one line about the progress to the next.
const PROGRESS: Duration = Duration::from_millis(900);
/// How long whoever gave the order may take to read its result.
const LAST_WORDS: Duration = Duration::from_secs(60);
/// What is told of a filter, in bytes.
const FILTER_BYTES_MAX: usize = 500;

/// Why an order ended early.
#[derive(Debug, thiserror::Error)]
enum EndedEarly {
    #[error("whoever gave the order has gone away")]
    NobodyListens,
    #[error("the relay is stopping")]
    Stopping,
    #[error(transparent)]
    Failed(#[from] AdminError),
}

impl Admin {
    /// Carries out an order, and tells how far it has come. It ends at the end of a page if the answer
    /// is dropped.
    ///
    /// # Errors
    /// It can't be read, names nobody although it is not for all, or there are too many at one time.
    pub fn order(
        &self,
        action: Action,
        order: &Order,
        by: By,
    ) -> Result<Parts<OrderLine>, AdminError> {
        let Order {
            filter,
            dry_run,
            reason: why,
            rate,
        } = order;
        let now = wall_clock();
        let selection = Selection::parse(filter, now)?;
        if selection.is_empty() && !selection.all {
            return Err(AdminError::Malformed(
                "filter: it names nobody; an order for everything says `all`".to_owned(),
            ));
        }
        let rate = rate
            .as_deref()
            .map(|text| rate_of(action, text))
            .transpose()?;
        let Some((store, operator)) = self.store.clone().zip(self.operator.clone()) else {
            let nothing = OrderResult {
                action: action.as_str().to_owned(),
                dry_run: *dry_run,
                ..OrderResult::default()
            };
            return Ok(stream::iter([Ok(vec![OrderLine::Done(nothing)])]).boxed());
        };
        let permit = self.orders.clone().try_acquire_owned().map_err(|_| {
            AdminError::TooMany(format!("{ORDERS_MAX} orders are under way; come again"))
        })?;
        let (lines, told) = mpsc::channel(LINES_WAITING_MAX);
        let errand = Errand {
            walk: self.errand_walk(&store, &selection, action, now),
            admin: self.clone(),
            store,
            operator,
            action,
            note: Arc::new(Note {
                action: action.as_str().into(),
                by: by.as_str().into(),
                reason: reason(why).into(),
            }),
            filter: in_words(filter),
            dry_run: *dry_run,
            pace: Pace::new(rate, now),
            started: now,
            lines,
            progress: OrderProgress::default(),
            result: OrderResult::default(),
        };
        self.errands
            .spawn(errand.run(permit, self.stopping.clone()));
        let told = stream::unfold(told, |mut told| async {
            let line = told.recv().await?;
            Some((Ok(vec![line]), told))
        });
        Ok(told.boxed())
    }

    /// Over those that are meant and that the order can be for.
    fn errand_walk(
        &self,
        store: &Store,
        selection: &Selection,
        action: Action,
        now: UnixMillis,
    ) -> Walk {
        let meant = self.wanted(selection);
        let wanted = Arc::new(move |message: &_, rcpt: &_, destination: &_| {
            action.on(rcpt, now, now).is_some() && meant(message, rcpt, destination)
        });
        self.walk_for(store, selection, Direction::OldestFirst, wanted)
    }
}

/// An order while it is carried out.
struct Errand {
    admin: Admin,
    store: Store,
    operator: Operator,
    walk: Walk,
    action: Action,
    note: Arc<Note>,
    /// In words.
    filter: String,
    dry_run: bool,
    pace: Pace,
    started: UnixMillis,
    lines: mpsc::Sender<OrderLine>,
    progress: OrderProgress,
    result: OrderResult,
}

impl Errand {
    async fn run(mut self, permit: OwnedSemaphorePermit, stopping: CancellationToken) {
        let counts = self.store.counts();
        self.progress.to_examine = counts.recipients.iter().sum();
        let ended = self.go(&stopping).await;
        self.tell(ended.as_ref().err());
        drop(permit);
        let undo_until = self.started.after(self.admin.undo_window);
        let purged = self.action == Action::Purge && !self.dry_run && self.progress.changed > 0;
        let last = match ended {
            Ok(()) => OrderLine::Done(OrderResult {
                action: self.action.as_str().to_owned(),
                dry_run: self.dry_run,
                matched: self.progress.matched,
                changed: self.progress.changed,
                restorable_until: purged.then(|| rfc3339(undo_until)),
                ..self.result
            }),
            Err(early) => OrderLine::Failed {
                error: early.to_string(),
                progress: self.progress,
            },
        };
        // Whoever has gone away does not want to know.
        let _ = timeout(LAST_WORDS, self.lines.send(last)).await;
    }

    /// Page by page. It ends early only between two.
    async fn go(&mut self, stopping: &CancellationToken) -> Result<(), EndedEarly> {
        let mut told = Instant::now();
        loop {
            if self.lines.is_closed() {
                return Err(EndedEarly::NobodyListens);
            }
            if stopping.is_cancelled() {
                return Err(EndedEarly::Stopping);
            }
            let Some(page) = self.next_page().await? else {
                return Ok(());
            };
            self.take(page).await?;
            if told.elapsed() >= PROGRESS {
                self.tell_progress();
                told = Instant::now();
            }
        }
    }

    /// Tells of the progress while it waits.
    async fn next_page(&mut self) -> Result<Option<Vec<Loaded>>, AdminError> {
        let Errand {
            walk,
            lines,
            progress,
            ..
        } = self;
        let mut page = pin!(walk.page());
        let mut ticks = interval(PROGRESS);
        ticks.tick().await; // the first is at once
        let page = loop {
            tokio::select! {
                biased;
                page = &mut page => break page?,
                _ = ticks.tick() => drop(lines.try_send(OrderLine::Progress(*progress))),
            }
        };
        let Some(page) = page else { return Ok(None) };
        progress.examined += page.examined;
        Ok(Some(page.found))
    }

    async fn take(&mut self, page: Vec<Loaded>) -> Result<(), AdminError> {
        if page.is_empty() {
            return Ok(());
        }
        let recipients: usize = page.iter().map(|loaded| loaded.recipients.len()).sum();
        self.progress.matched += recipients as u64;
        self.result.messages += page.len() as u64;
        let room = SAMPLE_MAX.saturating_sub(self.result.sample.len());
        let sample = self.admin.entries(&self.store, &page).take(room);
        self.result.sample.extend(sample);
        if self.dry_run {
            return Ok(());
        }
        let began = Instant::now();
        let note = self.note.clone();
        let applied = self
            .operator
            .apply(self.action, page, note, &mut self.pace)
            .await?;
        self.walk.also_rest_for(began.elapsed());
        let Applied {
            changed,
            in_flight,
            overtaken,
        } = applied;
        self.progress.changed += changed;
        self.result.in_flight += in_flight;
        self.result.overtaken += overtaken;
        Ok(())
    }

    /// Whoever does not listen misses it.
    fn tell_progress(&self) {
        let _ = self.lines.try_send(OrderLine::Progress(self.progress));
    }

    /// Told once, and only of what may have changed something.
    fn tell(&self, early: Option<&EndedEarly>) {
        if self.dry_run {
            return;
        }
        let (events, action) = (&self.admin.events, self.action.as_str());
        events.emit(QueueEvent::Ordered {
            action,
            by: &self.note.by,
            reason: &self.note.reason,
            filter: &self.filter,
            matched: self.progress.matched,
            changed: self.progress.changed,
            in_flight: self.result.in_flight,
        });
        if let Some(early) = early {
            let examined = self.progress.examined;
            events.emit(ProcessEvent::Warning {
                what: &format!(
                    "{action} ended early, after a look at {examined} recipients: {early}"
                ),
                todo: "give the order again, if it is still wanted; what is done stays done",
            });
        }
    }
}

fn rate_of(action: Action, text: &str) -> Result<Rate, AdminError> {
    if !action.leads_to_attempts() {
        let error = format!(
            "rate: {} leads to no attempts that could be spread",
            action.as_str()
        );
        return Err(AdminError::Malformed(error));
    }
    Rate::parse(text).ok_or_else(|| {
        AdminError::Malformed("rate: this is none, such as 10/s or 600/1h".to_owned())
    })
}

/// `domain=a.test state=deferred`, as it is told.
fn in_words(filter: &Filter) -> String {
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
    let texts = [
        ("id", id),
        ("from", from),
        ("to", to),
        ("domain", domain),
        ("state", state),
        ("older_than", older_than),
        ("younger_than", younger_than),
        ("reply", reply),
    ];
    let mut words: Vec<String> = texts
        .iter()
        .filter_map(|(name, text)| text.as_ref().map(|text| format!("{name}={text}")))
        .collect();
    words.extend(min_attempts.map(|least| format!("min_attempts={least}")));
    words.extend(all.then(|| "all".to_owned()));
    words.extend(limit.map(|limit| format!("limit={limit}")));
    safe(&words.join(" "), FILTER_BYTES_MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_filter_is_told_in_words_on_one_line() {
        let filter = Filter {
            domain: Some("a.test".to_owned()),
            reply: Some("x\ny".to_owned()),
            all: true,
            limit: Some(7),
            ..Filter::default()
        };
        assert_eq!(in_words(&filter), "domain=a.test reply=x?y all limit=7");
    }

    #[test]
    fn a_rate_is_only_for_what_leads_to_attempts() {
        assert!(rate_of(Action::Retry, "10/s").is_ok());
        assert!(rate_of(Action::Release, "600/1h").is_ok());
        for (action, text, want) in [
            (Action::Retry, "10", "10/s"),
            (Action::Purge, "10/s", "purge"),
        ] {
            let error = rate_of(action, text).unwrap_err().to_string();
            assert!(
                error.starts_with("rate: ") && error.contains(want),
                "{error}"
            );
        }
    }
}
