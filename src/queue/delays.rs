//! Who is told that mail takes long, and when: all recipients of a message that are in line when its
//! time comes, in one report, whether they were attempted or not.
//!
//! Each message is looked at once, when it has become so old; one that an attempt has in hand just
//! then, again at the next sweep. What is missed all the same (held at that time, or too many in
//! hand) is told with its next deferral ([`RetryPolicy::warn_after`](super::RetryPolicy)). A start
//! looks at everything anew; that a delay was told is written in the recipient's record.

use std::sync::Arc;
use std::time::Duration;

use tokio_util::sync::CancellationToken;

use crate::mail::limits::{SWEEP_EXAMINED_MAX, SWEEP_MESSAGES_MAX};
use crate::mail::{QueueId, Recipient, UnixMillis};
use crate::store::{Loaded, ReadError, Store};

use super::custody::Custody;
use super::decided::Decided;
use super::recorder::{InTrouble, Recorder};
use super::{Clock, delayed};

/// See the module.
pub(super) struct Delays {
    pub(super) store: Store,
    pub(super) recorder: Arc<Recorder>,
    pub(super) custody: Custody,
    pub(super) clock: Clock,
    /// From arrival until the sender is told.
    pub(super) after: Duration,
    /// Nobody is told before: what is still in line at a start gets an attempt first.
    pub(super) not_before: UnixMillis,
    /// The last message that was looked at.
    pub(super) seen: Option<QueueId>,
    /// Messages that were in hand when their time came.
    pub(super) in_hand: Vec<QueueId>,
}

impl Delays {
    /// Tells the senders of one page of messages. Whether there is more.
    pub(super) async fn tell(&mut self, stopping: &CancellationToken) -> Result<bool, ReadError> {
        let now = (self.clock)();
        if now < self.not_before {
            return Ok(false);
        }
        let until = now.before(self.after);
        let page =
            self.store
                .look_through(self.seen, until, SWEEP_MESSAGES_MAX, SWEEP_EXAMINED_MAX);
        let page = page.await?;
        let again = std::mem::take(&mut self.in_hand);
        let late = page.found.iter().filter(|loaded| any_to_tell(loaded));
        let late: Vec<QueueId> = late.map(|loaded| loaded.message.id).collect();
        for id in again.into_iter().chain(late) {
            if stopping.is_cancelled() {
                return Ok(false);
            }
            self.tell_of(id).await;
        }
        self.seen = page.examined_to.or(self.seen);
        Ok(page.more)
    }

    /// Tells one sender, unless an attempt is under way. The message is read again once none can
    /// begin any more.
    async fn tell_of(&mut self, id: QueueId) {
        let Some(_in_hand) = self.custody.alone(id) else {
            if self.in_hand.len() < SWEEP_MESSAGES_MAX {
                self.in_hand.push(id);
            }
            return;
        };
        let Ok(Some(Loaded {
            message,
            recipients,
        })) = self.store.load_waiting(id).await
        else {
            return; // over, or told by the store
        };
        let now = (self.clock)();
        let decide = |before: Recipient| {
            let verdict = delayed(&message, &before)?;
            Some(Decided::new(before, verdict, None, now))
        };
        let decided: Vec<Decided> = recipients.into_iter().filter_map(decide).collect();
        if !decided.is_empty() {
            // If the store was closed, the next start comes to it again.
            let recorded = self.recorder.record(&message, decided, InTrouble::Insist);
            let _ = recorded.await;
        }
    }
}

fn any_to_tell(loaded: &Loaded) -> bool {
    let is_late = |rcpt: &Recipient| delayed(&loaded.message, rcpt).is_some();
    loaded.recipients.iter().any(is_late)
}
