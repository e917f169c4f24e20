//! What becomes of a verdict whose recipient the operator changed while its attempt was under way.
//! Pure.
//!
//! A host that took the mail has it, whatever was ordered: that can only be told. A refusal is final
//! for whoever waits, held or not; what is purged is nobody's concern any more, so its sender is not
//! told. Otherwise the order stands, and the attempt is only noted.

use crate::mail::{Recipient, RecipientState};
use crate::observe::SeenByThen;

use super::Verdict;
use super::decided::Decided;

/// The decision anew, about the recipient as the operator left it; `None`: there is nothing to write
/// down any more. A decision without an attempt is not made anew: whoever made it comes again.
pub(super) fn overtaken(decided: &Decided, current: Recipient) -> Option<Decided> {
    decided.attempted?;
    let verdict = match (&decided.verdict, &current.state) {
        (_, RecipientState::Delivered | RecipientState::Failed | RecipientState::Expired) => {
            return None;
        }
        (Verdict::Delivered { .. }, _) => decided.verdict.clone(),
        (Verdict::Failed { .. }, RecipientState::Held { .. })
        | (
            Verdict::Failed { .. } | Verdict::Expired { .. } | Verdict::Deferred { .. },
            RecipientState::Queued { .. } | RecipientState::Deferred { .. },
        ) => decided.verdict.clone(),
        (
            Verdict::Failed { answer, .. }
            | Verdict::Expired { answer, .. }
            | Verdict::Deferred { answer, .. },
            RecipientState::Purged { .. },
        )
        | (
            Verdict::Expired { answer, .. } | Verdict::Deferred { answer, .. },
            RecipientState::Held { .. },
        ) => Verdict::Noted {
            answer: answer.clone(),
        },
        (Verdict::Noted { .. } | Verdict::Waiting { .. }, _) => return None, // no attempt gives these
    };
    Some(decided.of(current, verdict))
}

/// What the attempt gave, for the log; `None`: there was none.
pub(super) fn seen(verdict: &Verdict) -> Option<SeenByThen> {
    match verdict {
        Verdict::Delivered { .. } => Some(SeenByThen::Delivered),
        Verdict::Failed { .. } => Some(SeenByThen::Failed),
        Verdict::Deferred { .. } | Verdict::Expired { .. } => Some(SeenByThen::Deferred),
        Verdict::Noted { .. } | Verdict::Waiting { .. } => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::mail::{HeldBy, RecipientNo, StateName, UnixMillis, Waiting};
    use crate::queue::{Report, samples};

    const NOW: UnixMillis = UnixMillis(5_000);
    const NEXT: UnixMillis = UnixMillis(65_000);
    const SOON: UnixMillis = UnixMillis(4_000);
    const QUEUED: RecipientState = RecipientState::Queued { due: SOON };
    const DEFERRED: RecipientState = RecipientState::Deferred { due: SOON };
    const HELD: RecipientState = RecipientState::Held {
        by: HeldBy::Operator,
    };
    const PURGED: RecipientState = RecipientState::Purged {
        at: SOON,
        was: Waiting::Queued { due: SOON },
    };

    fn rcpt(state: RecipientState) -> Recipient {
        Recipient::new(RecipientNo(0), samples::address("a@one.test"), state)
    }

    fn owed() -> Report {
        Report::OwedTo(samples::address("s@src.test"))
    }

    fn delivered() -> Verdict {
        Verdict::Delivered {
            answer: samples::trouble(),
            report: None,
        }
    }

    fn failed() -> Verdict {
        Verdict::Failed {
            answer: samples::trouble(),
            report: owed(),
        }
    }

    fn deferred() -> Verdict {
        Verdict::Deferred {
            answer: samples::trouble(),
            next: NEXT,
            report: Some(owed()),
        }
    }

    fn expired() -> Verdict {
        Verdict::Expired {
            answer: samples::trouble(),
            report: owed(),
        }
    }

    fn decided(verdict: Verdict, attempted: Option<UnixMillis>) -> Decided {
        Decided::new(
            rcpt(RecipientState::Queued { due: NOW }),
            verdict,
            attempted,
            NOW,
        )
    }

    /// The state in the end, and whether a report is owed.
    #[track_caller]
    fn check(verdict: Verdict, current: RecipientState, want: Option<(RecipientState, bool)>) {
        let anew = overtaken(&decided(verdict.clone(), Some(NOW)), rcpt(current));
        if let Some(anew) = &anew {
            assert_eq!(anew.before, rcpt(current));
            let after = &anew.after;
            assert_eq!((after.attempts, after.last_attempt), (1, Some(NOW)));
            assert_eq!(after.last_answer, Some(samples::trouble()));
        }
        let got = anew.map(|anew| (anew.after.state, anew.verdict.report().is_some()));
        assert_eq!(got, want, "{verdict:?} about {current:?}");
    }

    #[test]
    fn what_a_host_took_is_delivered_whatever_was_ordered() {
        for current in [QUEUED, DEFERRED, HELD, PURGED] {
            check(
                delivered(),
                current,
                Some((RecipientState::Delivered, false)),
            );
        }
    }

    #[test]
    fn a_refusal_is_final_for_whoever_waits_and_of_no_concern_to_what_is_purged() {
        for current in [QUEUED, DEFERRED, HELD] {
            check(failed(), current, Some((RecipientState::Failed, true)));
        }
        check(failed(), PURGED, Some((purged_later(), false)));
    }

    #[test]
    fn what_was_put_off_stays_as_the_operator_left_it() {
        let next = RecipientState::Deferred { due: NEXT };
        for current in [QUEUED, DEFERRED] {
            check(deferred(), current, Some((next, true)));
            check(expired(), current, Some((RecipientState::Expired, true)));
        }
        for verdict in [deferred(), expired()] {
            check(verdict.clone(), HELD, Some((HELD, false)));
            check(verdict, PURGED, Some((purged_later(), false)));
        }
    }

    /// Restored, it has been attempted.
    fn purged_later() -> RecipientState {
        RecipientState::Purged {
            at: SOON,
            was: Waiting::Deferred { due: SOON },
        }
    }

    #[test]
    fn what_is_over_is_over_and_what_was_no_attempt_is_not_made_anew() {
        for current in [
            RecipientState::Delivered,
            RecipientState::Failed,
            RecipientState::Expired,
        ] {
            for verdict in [delivered(), failed(), deferred(), expired()] {
                check(verdict, current, None);
            }
        }
        for current in [QUEUED, HELD, PURGED] {
            assert!(overtaken(&decided(expired(), None), rcpt(current)).is_none());
        }
    }

    #[test]
    fn the_log_tells_what_the_attempt_gave() {
        for (verdict, want) in [
            (delivered(), SeenByThen::Delivered),
            (failed(), SeenByThen::Failed),
            (deferred(), SeenByThen::Deferred),
            (expired(), SeenByThen::Deferred),
        ] {
            assert_eq!(seen(&verdict), Some(want));
        }
        assert_eq!(StateName::ALL.len(), 7, "think again about `overtaken`");
    }
}
