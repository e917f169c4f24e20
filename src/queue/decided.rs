//! What an attempt, or the end of a lifetime, decided about one recipient.

use crate::mail::{Recipient, UnixMillis};

use super::Verdict;

/// What was decided about one recipient.
#[derive(Debug)]
pub(super) struct Decided {
    /// As it was read.
    pub(super) before: Recipient,
    /// As it is to be.
    pub(super) after: Recipient,
    /// Why.
    pub(super) verdict: Verdict,
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
        }
    }
}
