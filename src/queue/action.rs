//! What the operator can order, and what that makes of a recipient. Pure.

use crate::mail::{HeldBy, Recipient, RecipientState, UnixMillis};

/// An order for recipients.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Action {
    /// Attempt it sooner than its time has come.
    Retry,
    /// No attempt until it is released.
    Hold,
    /// Hold it no more.
    Release,
    /// Take it out; until its space is reclaimed, it can be restored.
    Purge,
    /// Bring back what was purged, as it was.
    Restore,
    /// Give it up, and report to its sender.
    Bounce,
}

impl Action {
    /// All of them.
    pub const ALL: [Action; 6] = [
        Action::Retry,
        Action::Hold,
        Action::Release,
        Action::Purge,
        Action::Restore,
        Action::Bounce,
    ];

    /// Lower case, as commands, notes and the log name it.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Action::Retry => "retry",
            Action::Hold => "hold",
            Action::Release => "release",
            Action::Purge => "purge",
            Action::Restore => "restore",
            Action::Bounce => "bounce",
        }
    }

    /// Whether attempts follow from it, which can be spread in time.
    #[must_use]
    pub fn leads_to_attempts(self) -> bool {
        match self {
            Action::Retry | Action::Release => true,
            Action::Hold | Action::Purge | Action::Restore | Action::Bounce => false,
        }
    }

    /// What the order makes of a recipient at `now`; `None`: it is not for one in that state.
    ///
    /// `due` is when an attempt is to be made that follows from the order; who is due already is not
    /// put off by a retry at once. Under `SMTP_MODE` `hold` and `sink` no attempt is made, so there a
    /// release only puts into line what a start in mode `deliver` will send.
    #[must_use]
    pub fn on(self, rcpt: &Recipient, due: UnixMillis, now: UnixMillis) -> Option<RecipientState> {
        match self {
            Action::Retry => {
                let own = rcpt.state.due()?;
                let both_passed = own <= now && due <= now;
                let due = if both_passed { own.min(due) } else { due };
                Some(in_line(rcpt, due))
            }
            Action::Hold => match rcpt.state {
                RecipientState::Queued { .. }
                | RecipientState::Deferred { .. }
                | RecipientState::Held { by: HeldBy::Mode } => Some(RecipientState::Held {
                    by: HeldBy::Operator,
                }),
                RecipientState::Held {
                    by: HeldBy::Operator,
                }
                | RecipientState::Delivered
                | RecipientState::Failed
                | RecipientState::Expired
                | RecipientState::Purged { .. } => None,
            },
            Action::Release => match rcpt.state {
                RecipientState::Held { .. } => Some(in_line(rcpt, due)),
                RecipientState::Queued { .. }
                | RecipientState::Deferred { .. }
                | RecipientState::Delivered
                | RecipientState::Failed
                | RecipientState::Expired
                | RecipientState::Purged { .. } => None,
            },
            Action::Purge => {
                let was = rcpt.state.waiting()?;
                Some(RecipientState::Purged { at: now, was })
            }
            Action::Restore => match rcpt.state {
                RecipientState::Purged { was, .. } => Some(was.into()),
                RecipientState::Queued { .. }
                | RecipientState::Deferred { .. }
                | RecipientState::Held { .. }
                | RecipientState::Delivered
                | RecipientState::Failed
                | RecipientState::Expired => None,
            },
            Action::Bounce => rcpt.state.waiting().map(|_| RecipientState::Failed),
        }
    }
}

/// Waits for its first attempt, or for another one.
fn in_line(rcpt: &Recipient, due: UnixMillis) -> RecipientState {
    let attempted = rcpt.attempts > 0 || matches!(rcpt.state, RecipientState::Deferred { .. });
    match attempted {
        true => RecipientState::Deferred { due },
        false => RecipientState::Queued { due },
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::mail::{RecipientNo, Waiting};
    use crate::queue::samples;

    const NOW: UnixMillis = UnixMillis(1_000);
    const LATER: UnixMillis = UnixMillis(1_500);
    const OWN: UnixMillis = UnixMillis(9_000);
    const QUEUED: RecipientState = RecipientState::Queued { due: OWN };
    const DEFERRED: RecipientState = RecipientState::Deferred { due: OWN };
    const BY_MODE: RecipientState = RecipientState::Held { by: HeldBy::Mode };
    const BY_OPERATOR: RecipientState = RecipientState::Held {
        by: HeldBy::Operator,
    };
    const PURGED: RecipientState = RecipientState::Purged {
        at: UnixMillis(1),
        was: Waiting::Deferred { due: OWN },
    };
    const FINAL: [RecipientState; 3] = [
        RecipientState::Delivered,
        RecipientState::Failed,
        RecipientState::Expired,
    ];

    fn rcpt(state: RecipientState, attempts: u32) -> Recipient {
        Recipient {
            attempts,
            ..Recipient::new(RecipientNo(0), samples::address("a@one.test"), state)
        }
    }

    #[track_caller]
    fn check(action: Action, from: RecipientState, attempts: u32, want: Option<RecipientState>) {
        let became = action.on(&rcpt(from, attempts), LATER, NOW);
        assert_eq!(became, want, "{action:?} on {from:?}");
        if let Some(became) = became {
            assert!(from.may_become(&became), "{from:?} to {became:?}");
        }
    }

    fn queued(due: UnixMillis) -> Option<RecipientState> {
        Some(RecipientState::Queued { due })
    }

    fn deferred(due: UnixMillis) -> Option<RecipientState> {
        Some(RecipientState::Deferred { due })
    }

    fn purged(was: Waiting) -> Option<RecipientState> {
        Some(RecipientState::Purged { at: NOW, was })
    }

    #[test]
    fn a_retry_is_for_what_is_in_line() {
        check(Action::Retry, QUEUED, 0, queued(LATER));
        check(Action::Retry, DEFERRED, 3, deferred(LATER));
        for other in [BY_MODE, BY_OPERATOR, PURGED] {
            check(Action::Retry, other, 1, None);
        }
    }

    #[test]
    fn a_retry_at_once_puts_nobody_off_who_is_due_and_one_that_is_spread_does() {
        for (own, due, want) in [(900, 1_000, 900), (900, 1_200, 1_200), (1_100, 950, 950)] {
            let state = RecipientState::Deferred {
                due: UnixMillis(own),
            };
            let became = Action::Retry.on(&rcpt(state, 1), UnixMillis(due), NOW);
            assert_eq!(became, deferred(UnixMillis(want)), "{own} {due}");
        }
    }

    #[test]
    fn who_is_held_by_the_operator_is_not_held_by_the_mode() {
        for from in [QUEUED, DEFERRED, BY_MODE] {
            check(Action::Hold, from, 0, Some(BY_OPERATOR));
        }
        check(Action::Hold, BY_OPERATOR, 0, None);
        check(Action::Hold, PURGED, 0, None);
    }

    #[test]
    fn a_release_puts_in_line_whoever_holds_it() {
        for from in [BY_MODE, BY_OPERATOR] {
            check(Action::Release, from, 0, queued(LATER));
            check(Action::Release, from, 1, deferred(LATER));
        }
        for from in [QUEUED, DEFERRED, PURGED] {
            check(Action::Release, from, 0, None);
        }
    }

    #[test]
    fn a_purge_remembers_what_it_was_and_a_restore_brings_that_back() {
        let held = |by| Waiting::Held { by };
        for (from, was) in [
            (QUEUED, Waiting::Queued { due: OWN }),
            (DEFERRED, Waiting::Deferred { due: OWN }),
            (BY_MODE, held(HeldBy::Mode)),
            (BY_OPERATOR, held(HeldBy::Operator)),
        ] {
            check(Action::Purge, from, 0, purged(was));
            check(Action::Restore, from, 0, None);
            let gone = RecipientState::Purged { at: NOW, was };
            check(Action::Restore, gone, 0, Some(from));
        }
        check(Action::Purge, PURGED, 0, None);
    }

    #[test]
    fn what_waits_can_be_given_up() {
        for from in [QUEUED, DEFERRED, BY_MODE, BY_OPERATOR] {
            check(Action::Bounce, from, 0, Some(RecipientState::Failed));
        }
        check(Action::Bounce, PURGED, 0, None);
    }

    #[test]
    fn nothing_is_for_what_is_over() {
        for action in Action::ALL {
            for from in FINAL {
                check(action, from, 1, None);
            }
        }
    }
}
