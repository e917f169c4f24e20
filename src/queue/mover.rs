//! Mail that waits goes into other lines after a change of routes: in the background and with rests, as
//! held mail is released (see [`super::releaser`]). Cut off, the next start makes the lines anew.

use std::time::{Duration, Instant};

use crate::mail::limits::RELEASE_RECIPIENTS_MAX;
use crate::observe::{Events, ProcessEvent, QueueEvent};
use crate::store::{CommitError, Store};

use super::Stop;

/// First pause after a page that failed; doubled each time up to [`PAUSE_MAX`].
const PAUSE: Duration = Duration::from_millis(500);
/// Longest pause between two tries.
const PAUSE_MAX: Duration = Duration::from_secs(30);

/// See the module.
pub(super) struct Mover {
    pub(super) store: Store,
    pub(super) events: Events,
}

impl Mover {
    /// Works until it is told to stop.
    pub(super) async fn run(self, stop: Stop) {
        let changed = || stop.claiming.run_until_cancelled(self.store.rerouted());
        while changed().await.is_some() {
            self.move_all(&stop).await;
        }
    }

    /// Moves whoever stands in a line of an earlier map.
    async fn move_all(&self, stop: &Stop) {
        let (mut from, mut moved) = (None, 0_u64);
        let mut pause = PAUSE;
        while self.store.is_rerouting() && !stop.claiming.is_cancelled() {
            let began = Instant::now();
            let page = self.store.move_lines(from, RELEASE_RECIPIENTS_MAX);
            let rest = match stop.attempts.run_until_cancelled(page).await {
                Some(Ok(page)) => {
                    moved += page.moved as u64;
                    from = page.next;
                    pause = PAUSE;
                    began.elapsed()
                }
                Some(Err(CommitError::Closed)) | None => return,
                Some(Err(error)) => {
                    self.events.emit(ProcessEvent::Warning {
                        what: &format!("mail does not wait in its new lines yet: {error}"),
                        todo: "nothing, if it does not come again; else see to the queue's file system",
                    });
                    let before = pause;
                    pause = pause.saturating_mul(2).min(PAUSE_MAX);
                    before
                }
            };
            if self.store.is_rerouting() {
                let rest = tokio::time::sleep(rest);
                stop.claiming.run_until_cancelled(rest).await;
            }
        }
        if !self.store.is_rerouting() {
            self.events.emit(QueueEvent::Rerouted { recipients: moved });
        }
    }
}
