//! What a recipient waits for, in a sentence. Pure.

use std::time::Duration;

use crate::mail::{HeldBy, Recipient, RecipientState, UnixMillis};

/// What `rcpt` waits for at `now`, or how it ended.
#[must_use]
pub(super) fn why(rcpt: &Recipient, suspended: bool, now: UnixMillis) -> String {
    let last = rcpt.last_answer.as_ref().map(|answer| answer.words());
    match rcpt.state {
        RecipientState::Queued { due } | RecipientState::Deferred { due } if suspended => format!(
            "waits until its destination is tried again, which is suspended{}",
            after_words(due, now)
        ),
        RecipientState::Queued { due } if due > now => {
            format!("its first attempt is {}", after(due, now))
        }
        RecipientState::Queued { .. } => {
            "its first attempt is under way, or waits for a free connection".to_owned()
        }
        RecipientState::Deferred { due } => {
            let next = match due > now {
                true => format!("is tried again {}", after(due, now)),
                false => "is being tried again, or waits for a free connection".to_owned(),
            };
            match last {
                Some(words) => format!("{next}; last time: {words}"),
                None => next,
            }
        }
        RecipientState::Held { by: HeldBy::Mode } => {
            "held by SMTP_MODE=hold; a start with SMTP_MODE=deliver releases it".to_owned()
        }
        RecipientState::Held {
            by: HeldBy::Operator,
        } => "held by an operator, until one releases it".to_owned(),
        RecipientState::Delivered => with_words("delivered", last),
        RecipientState::Failed => with_words("failed, and is not tried again", last),
        RecipientState::Expired => with_words("given up after SMTP_MESSAGE_LIFETIME", last),
        RecipientState::Purged { .. } => "taken out by an operator".to_owned(),
    }
}

fn with_words(what: &str, words: Option<String>) -> String {
    match words {
        Some(words) => format!("{what}: {words}"),
        None => what.to_owned(),
    }
}

fn after_words(due: UnixMillis, now: UnixMillis) -> String {
    match due > now {
        true => format!(", and not before it is due itself {}", after(due, now)),
        false => String::new(),
    }
}

/// `in 3 min`
fn after(due: UnixMillis, now: UnixMillis) -> String {
    format!("in {}", span(due.since(now)))
}

/// A span as people say it, to two figures or so: `45 s`, `12 min`, `5 h 20 min`, `3 d 4 h`.
#[must_use]
pub(super) fn span(span: Duration) -> String {
    let seconds = span.as_secs();
    let (minutes, hours, days) = (seconds / 60, seconds / 3_600, seconds / 86_400);
    match (days, hours, minutes) {
        (0, 0, 0) => format!("{seconds} s"),
        (0, 0, _) => format!("{minutes} min"),
        (0, _, _) => format!("{hours} h {} min", minutes % 60),
        (_, _, _) => format!("{days} d {} h", hours % 24),
    }
}

#[cfg(test)]
mod tests {
    use crate::mail::{Address, RecipientNo, Spelling, Waiting};

    use super::*;

    const NOW: UnixMillis = UnixMillis(1_000_000);

    fn why_of(state: RecipientState, suspended: bool) -> String {
        let address = Address::parse(b"ann@dest.test", Spelling::Ascii).unwrap();
        why(
            &Recipient::new(RecipientNo(0), address, state),
            suspended,
            NOW,
        )
    }

    #[track_caller]
    fn check(state: RecipientState, want: &str) {
        let got = why_of(state, false);
        assert!(got.contains(want), "{got}");
    }

    #[test]
    fn every_state_says_what_it_waits_for() {
        let later = NOW.after(Duration::from_secs(200));
        check(RecipientState::Queued { due: NOW }, "under way");
        check(RecipientState::Queued { due: later }, "in 3 min");
        check(
            RecipientState::Deferred { due: NOW },
            "tried again, or waits",
        );
        check(RecipientState::Deferred { due: later }, "in 3 min");
        check(
            RecipientState::Held { by: HeldBy::Mode },
            "SMTP_MODE=deliver",
        );
        check(
            RecipientState::Held {
                by: HeldBy::Operator,
            },
            "operator",
        );
        check(RecipientState::Delivered, "delivered");
        check(RecipientState::Failed, "not tried again");
        check(RecipientState::Expired, "SMTP_MESSAGE_LIFETIME");
        check(
            RecipientState::Purged {
                at: NOW,
                was: Waiting::Queued { due: NOW },
            },
            "operator",
        );
        let suspended = why_of(RecipientState::Deferred { due: later }, true);
        assert!(suspended.contains("its destination"), "{suspended}");
    }

    #[test]
    fn spans_are_said_as_people_say_them() {
        for (seconds, want) in [
            (0, "0 s"),
            (59, "59 s"),
            (60, "1 min"),
            (3_599, "59 min"),
            (3_600, "1 h 0 min"),
            (90_000, "1 d 1 h"),
        ] {
            assert_eq!(span(Duration::from_secs(seconds)), want);
        }
    }
}
