//! What an attempt, the end of a lifetime, or the operator decided about one recipient.

use std::sync::Arc;

use crate::mail::{Recipient, UnixMillis};
use crate::store::Note;

use super::Verdict;

/// What was decided about one recipient.
#[derive(Clone, Debug)]
pub(super) struct Decided {
    /// As it was read.
    pub(super) before: Recipient,
    /// As it is to be.
    pub(super) after: Recipient,
    /// Why.
    pub(super) verdict: Verdict,
    /// When the attempt ended; `None`: it was decided without one.
    pub(super) attempted: Option<UnixMillis>,
    /// When it was decided.
    pub(super) at: UnixMillis,
    /// Who did, if the operator.
    pub(super) note: Option<Arc<Note>>,
}

impl Decided {
    /// The verdict and what it makes of the recipient; `attempted` and `now` as in [`Verdict::apply`].
    pub(super) fn new(
        before: Recipient,
        verdict: Verdict,
        attempted: Option<UnixMillis>,
        now: UnixMillis,
    ) -> Decided {
        let after = verdict.apply(&before, attempted, now);
        Decided {
            before,
            after,
            verdict,
            attempted,
            at: now,
            note: None,
        }
    }

    /// By the operator.
    pub(super) fn by(self, note: Arc<Note>) -> Decided {
        Decided {
            note: Some(note),
            ..self
        }
    }

    /// The same about the recipient as it is by now; it must be allowed to become that.
    pub(super) fn of(&self, before: Recipient, verdict: Verdict) -> Decided {
        Decided {
            note: self.note.clone(),
            ..Decided::new(before, verdict, self.attempted, self.at)
        }
    }
}
