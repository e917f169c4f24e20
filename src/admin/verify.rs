//! Reading everything that is stored, to name what is damaged, and to put it aside.

use std::time::Duration;

use futures_util::stream::{self, StreamExt as _};
use tokio::sync::OwnedSemaphorePermit;
use tokio::time::{Instant, sleep};

use crate::observe::{Events, QueueEvent};
use crate::store::{Damage, Store, VerifyFrom};

use super::api::VerifyLine;
use super::list::Parts;
use super::{Admin, AdminError, By};

/// From one line about the progress to the next.
const PROGRESS: Duration = Duration::from_millis(500);
/// Longest rest between two pages.
const REST_MAX: Duration = Duration::from_millis(500);

impl Admin {
    /// Reads everything, and with `repair` puts aside what is damaged.
    ///
    /// # Errors
    /// One is under way.
    pub fn verify(&self, repair: bool, by: &By) -> Result<Parts<VerifyLine>, AdminError> {
        let Some(store) = self.store.clone() else {
            let nothing = VerifyLine::Done {
                messages: 0,
                bytes: 0,
                damaged: 0,
                damaged_at_open: 0,
            };
            return Ok(stream::iter([Ok(vec![nothing])]).boxed());
        };
        let permit = self.verifying.clone().try_acquire_owned();
        let permit = permit
            .map_err(|_| AdminError::TooMany("the queue is being verified already".to_owned()))?;
        let inspection = Inspection {
            of: store.counts().messages,
            store,
            repair,
            by: by.clone(),
            events: self.events.clone(),
            next: Next::From(None),
            messages: 0,
            bytes: 0,
            damaged: 0,
            put_aside: 0,
            told: Instant::now(),
            rest: Duration::ZERO,
            _permit: permit,
        };
        let lines = stream::unfold(inspection, |mut inspection| async {
            let lines = inspection.step().await?;
            Some((Ok(lines), inspection))
        });
        Ok(lines.boxed())
    }
}

/// While it is under way; dropped, it ends.
struct Inspection {
    store: Store,
    repair: bool,
    by: By,
    events: Events,
    /// Messages when it began.
    of: u64,
    next: Next,
    messages: u64,
    bytes: u64,
    damaged: u64,
    put_aside: u64,
    told: Instant,
    rest: Duration,
    _permit: OwnedSemaphorePermit,
}

enum Next {
    From(Option<VerifyFrom>),
    Over,
}

impl Inspection {
    async fn step(&mut self) -> Option<Vec<VerifyLine>> {
        let Next::From(from) = std::mem::replace(&mut self.next, Next::Over) else {
            return None;
        };
        sleep(self.rest).await;
        let began = Instant::now();
        let page = match self.store.verify(from, self.repair).await {
            Ok(page) => page,
            Err(error) => {
                self.tell();
                return Some(vec![VerifyLine::Failed {
                    error: error.to_string(),
                }]);
            }
        };
        self.rest = began.elapsed().min(REST_MAX);
        self.messages += page.messages;
        self.bytes += page.bytes;
        self.damaged += page.damaged.len() as u64;
        self.put_aside += page
            .damaged
            .iter()
            .filter(|one| one.quarantined.is_some())
            .count() as u64;
        let mut lines: Vec<VerifyLine> = page.damaged.into_iter().map(damaged).collect();
        match page.next {
            Some(next) => {
                self.next = Next::From(Some(next));
                if self.told.elapsed() >= PROGRESS {
                    self.told = Instant::now();
                    lines.push(VerifyLine::Progress {
                        messages: self.messages,
                        of: self.of.max(self.messages),
                    });
                }
            }
            None => {
                self.tell();
                lines.push(VerifyLine::Done {
                    messages: self.messages,
                    bytes: self.bytes,
                    damaged: self.damaged,
                    damaged_at_open: self.store.damaged_at_open(),
                });
            }
        }
        Some(lines)
    }

    /// What was changed is told; what was only read is not.
    fn tell(&self) {
        if !self.repair {
            return;
        }
        self.events.emit(QueueEvent::Ordered {
            action: "repair",
            by: self.by.as_str(),
            reason: "",
            filter: "",
            matched: self.damaged,
            changed: self.put_aside,
            in_flight: 0,
        });
    }
}

fn damaged(damage: Damage) -> VerifyLine {
    VerifyLine::Damaged {
        id: damage.id.map(|id| id.to_string()),
        what: damage.what.as_str().to_owned(),
        error: damage.error,
        quarantined: damage.quarantined.map(|path| path.display().to_string()),
    }
}
