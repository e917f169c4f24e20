//! What an earlier start in mode `hold` held goes into line: in the background, so that a start does
//! not wait for it, and with rests, so that deliveries and new mail don't either. Cut off, it goes on
//! after the next start.

use std::time::{Duration, Instant};

use crate::mail::limits::RELEASE_RECIPIENTS_MAX;
use crate::mail::{QueueId, StateName, UnixMillis};
use crate::observe::{Events, ProcessEvent, QueueEvent};
use crate::store::{CommitError, Store};

use super::Stop;

/// First pause after a page that failed; doubled each time up to [`PAUSE_MAX`].
const PAUSE: Duration = Duration::from_millis(500);
/// Longest pause between two tries.
const PAUSE_MAX: Duration = Duration::from_secs(30);

/// See the module.
pub(super) struct Releaser {
    pub(super) store: Store,
    pub(super) events: Events,
    /// When all of it is due: now, so that the recipients of a message go together.
    pub(super) due: UnixMillis,
}

impl Releaser {
    /// Works until nothing is held by a mode or it is told to stop.
    pub(super) async fn run(self, stop: Stop) {
        let held = || self.store.counts().recipients_in(StateName::Held);
        let (mut next, mut released) = (None, 0);
        let mut pause = PAUSE;
        while held() > 0 && !stop.claiming.is_cancelled() {
            let began = Instant::now();
            let page = self.page(next);
            let rest = match stop.attempts.run_until_cancelled(page).await {
                Some(Ok((count, more))) => {
                    released += count;
                    next = more;
                    if more.is_none() {
                        break;
                    }
                    pause = PAUSE;
                    began.elapsed()
                }
                Some(Err(CommitError::Closed)) | None => break,
                Some(Err(error)) => {
                    self.events.emit(ProcessEvent::Warning {
                        what: &format!("held mail is not released yet: {error}"),
                        todo: "nothing, if it does not come again; else see to the queue's file system",
                    });
                    let before = pause;
                    pause = pause.saturating_mul(2).min(PAUSE_MAX);
                    before
                }
            };
            let rest = tokio::time::sleep(rest);
            stop.claiming.run_until_cancelled(rest).await;
        }
        if released > 0 {
            self.events.emit(QueueEvent::Released {
                recipients: released,
                held: held(),
            });
        }
    }

    async fn page(&self, from: Option<QueueId>) -> Result<(u64, Option<QueueId>), CommitError> {
        let page = self
            .store
            .release_held(from, self.due, RELEASE_RECIPIENTS_MAX)
            .await?;
        Ok((page.released as u64, page.next))
    }
}
