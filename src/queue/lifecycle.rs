//! What a recipient becomes after an attempt, and whether somebody must be told. Pure: time and
//! jitter are arguments.

use std::time::Duration;

use crate::mail::{
    Address, Answer, EnhancedCode, Message, Notify, Reason, Recipient, RecipientState, ReversePath,
    UnixMillis, Waiting,
};
use crate::store::SuspensionCause;

use super::Outcome;
use super::backoff::{Jitter, RetryPolicy};

/// What is decided about one recipient. No end without delivery can be written down without
/// deciding about its report.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// A host took responsibility.
    Delivered {
        /// Its words.
        answer: Answer,
        /// Who is told; `None` if nobody need be: that was not asked for, or that host will tell.
        report: Option<Report>,
    },
    /// To be tried again.
    Deferred {
        /// Why.
        answer: Answer,
        /// Not before.
        next: UnixMillis,
        /// Who is told that it takes long; `None`: nobody, or not yet, or it has been told.
        report: Option<Report>,
    },
    /// Waits on as before, and its sender is told that it takes long.
    Waiting {
        /// Who is told.
        report: Report,
    },
    /// Stays as the operator left it while the attempt was under way, which is noted.
    Noted {
        /// What it gave.
        answer: Answer,
    },
    /// Refused for good, or given up by the operator.
    Failed {
        /// Why.
        answer: Answer,
        /// Who is told.
        report: Report,
    },
    /// The lifetime ended.
    Expired {
        /// Status 4.4.7, with what the last attempt gave.
        answer: Answer,
        /// Who is told.
        report: Report,
    },
}

/// Who is told about a recipient.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Report {
    /// The sender of the envelope.
    OwedTo(Address),
    /// Nobody: the reverse-path is null, so this is a report itself or wants none
    /// (RFC 5321 4.5.5, 6.1).
    OwedToNobody,
    /// Nobody: the sender said so (NOTIFY, RFC 3461 4.1).
    Unwanted,
}

/// Decides about one recipient of `message` after an attempt that ended at `now`. The lifetime ends
/// only with an attempt: the last one is due at the moment when it ends.
#[must_use]
pub fn after_attempt(
    message: &Message,
    rcpt: &Recipient,
    seen: &Outcome,
    now: UnixMillis,
    retry: &RetryPolicy,
    jitter: Jitter,
) -> Verdict {
    match seen {
        Outcome::Delivered { answer, told_there } => Verdict::Delivered {
            answer: answer.clone(),
            report: match told_there {
                true => None,
                false => Report::of_success(message, rcpt),
            },
        },
        Outcome::Failed(answer) => Verdict::Failed {
            answer: answer.clone(),
            report: Report::of_failure(message, rcpt),
        },
        Outcome::Deferred(answer) => {
            let end = message.arrival.after(retry.lifetime);
            if now >= end {
                Verdict::Expired {
                    answer: expired(Some(Last::OwnAttempt(answer)), retry.lifetime),
                    report: Report::of_failure(message, rcpt),
                }
            } else {
                let delay = retry.delay(rcpt.attempts.saturating_add(1), jitter);
                let is_late = retry
                    .warn_after
                    .is_some_and(|after| now >= message.arrival.after(after));
                Verdict::Deferred {
                    answer: answer.clone(),
                    next: now.after(delay).min(end),
                    report: match is_late {
                        true => Report::of_delay(message, rcpt),
                        false => None,
                    },
                }
            }
        }
    }
}

/// The verdict about a recipient whose lifetime is over and who could not be attempted any more;
/// `suspended` is why its destination was, if that kept it from being attempted.
#[must_use]
pub fn overdue(
    message: &Message,
    rcpt: &Recipient,
    suspended: Option<&SuspensionCause>,
    lifetime: Duration,
) -> Verdict {
    let last = rcpt.last_answer.as_ref().map(Last::OwnAttempt);
    Verdict::Expired {
        answer: expired(last.or(suspended.map(Last::of_destination)), lifetime),
        report: Report::of_failure(message, rcpt),
    }
}

/// The verdict about a recipient that the operator gives up.
#[must_use]
pub fn given_up(message: &Message, rcpt: &Recipient) -> Verdict {
    Verdict::Failed {
        answer: bounced(rcpt.last_answer.as_ref()),
        report: Report::of_failure(message, rcpt),
    }
}

/// The verdict about a recipient that has been in line for so long that its sender is to be told;
/// `None` if there is nobody to tell, or it has been told.
#[must_use]
pub fn delayed(message: &Message, rcpt: &Recipient) -> Option<Verdict> {
    Report::of_delay(message, rcpt).map(|report| Verdict::Waiting { report })
}

impl Report {
    /// Once, and unless the sender said otherwise.
    fn of_delay(message: &Message, rcpt: &Recipient) -> Option<Report> {
        let wanted = match rcpt.dsn.notify {
            None | Some(Notify::Of { delay: true, .. }) => rcpt.delay_told.is_none(),
            Some(Notify::Never | Notify::Of { delay: false, .. }) => false,
        };
        let report = wanted.then(|| Report::to_sender(message));
        report.filter(|report| *report != Report::OwedToNobody)
    }

    /// Unless the sender said otherwise, it is told.
    fn of_failure(message: &Message, rcpt: &Recipient) -> Report {
        match rcpt.dsn.notify {
            Some(Notify::Never | Notify::Of { failure: false, .. }) => Report::Unwanted,
            None | Some(Notify::Of { failure: true, .. }) => Report::to_sender(message),
        }
    }

    /// Only if the sender asked for it.
    fn of_success(message: &Message, rcpt: &Recipient) -> Option<Report> {
        match rcpt.dsn.notify {
            Some(Notify::Of { success: true, .. }) => Some(Report::to_sender(message)),
            None | Some(Notify::Never | Notify::Of { success: false, .. }) => None,
        }
    }

    fn to_sender(message: &Message) -> Report {
        match &message.envelope.reverse_path {
            ReversePath::Null => Report::OwedToNobody,
            ReversePath::Mailbox(sender) => Report::OwedTo(sender.clone()),
        }
    }
}

impl Verdict {
    /// Why, in the words that are kept and told; `None` if nothing new was learned.
    #[must_use]
    pub fn answer(&self) -> Option<&Answer> {
        match self {
            Verdict::Delivered { answer, .. }
            | Verdict::Deferred { answer, .. }
            | Verdict::Noted { answer }
            | Verdict::Failed { answer, .. }
            | Verdict::Expired { answer, .. } => Some(answer),
            Verdict::Waiting { .. } => None,
        }
    }

    /// Who is told, if this verdict is to be told, and not without need.
    #[must_use]
    pub fn report(&self) -> Option<&Report> {
        match self {
            Verdict::Delivered { report, .. } | Verdict::Deferred { report, .. } => report.as_ref(),
            Verdict::Noted { .. } => None,
            Verdict::Waiting { report }
            | Verdict::Failed { report, .. }
            | Verdict::Expired { report, .. } => Some(report),
        }
    }

    /// Whether it tells of a delay.
    fn tells_of_delay(&self) -> bool {
        match self {
            Verdict::Waiting { .. } => true,
            Verdict::Deferred { report, .. } => report.is_some(),
            Verdict::Delivered { .. }
            | Verdict::Noted { .. }
            | Verdict::Failed { .. }
            | Verdict::Expired { .. } => false,
        }
    }

    /// The recipient as it is to be stored after a verdict that fell at `now`. `attempted` is when the
    /// attempt ended, `None` if the verdict fell without one.
    ///
    /// # Panics
    /// If the state of `rcpt` may not become that of the verdict: that is a bug of ours.
    #[must_use]
    pub fn apply(
        &self,
        rcpt: &Recipient,
        attempted: Option<UnixMillis>,
        now: UnixMillis,
    ) -> Recipient {
        let state = match self {
            Verdict::Delivered { .. } => RecipientState::Delivered,
            Verdict::Deferred { next, .. } => RecipientState::Deferred { due: *next },
            Verdict::Waiting { .. } => rcpt.state,
            Verdict::Noted { .. } => noted(rcpt.state),
            Verdict::Failed { .. } => RecipientState::Failed,
            Verdict::Expired { .. } => RecipientState::Expired,
        };
        assert!(rcpt.state.may_become(&state), "{rcpt:?} to {state:?}");
        Recipient {
            no: rcpt.no,
            address: rcpt.address.clone(),
            dsn: rcpt.dsn.clone(),
            state,
            attempts: rcpt.attempts.saturating_add(u32::from(attempted.is_some())),
            first_attempt: rcpt.first_attempt.or(attempted),
            last_attempt: attempted.or(rcpt.last_attempt),
            last_answer: self.answer().or(rcpt.last_answer.as_ref()).cloned(),
            delay_told: rcpt
                .delay_told
                .or_else(|| self.tells_of_delay().then_some(now)),
        }
    }
}

/// What is purged and was attempted is deferred, should it be brought back.
fn noted(state: RecipientState) -> RecipientState {
    match state {
        RecipientState::Purged {
            at,
            was: Waiting::Queued { due },
        } => RecipientState::Purged {
            at,
            was: Waiting::Deferred { due },
        },
        other => other,
    }
}

/// What is told about a recipient that the operator gives up: nothing more exact than 5.0.0 is true
/// of it (RFC 3463 3.1). The last reply is told in our words, since it does not say what became of
/// the recipient.
fn bounced(last: Option<&Answer>) -> Answer {
    let detail = match last {
        None => "given up by the operator of this relay; no attempt was made".to_owned(),
        Some(last) => format!(
            "given up by the operator of this relay; last attempt: {}",
            last.words()
        ),
    };
    Answer {
        remote: last.and_then(|last| last.remote.clone()),
        status: EnhancedCode::permanent(0, 0),
        reason: Reason::Policy,
        reply: None,
        detail: detail.into(),
    }
}

/// The last that is known to have gone wrong.
#[derive(Clone, Copy)]
enum Last<'a> {
    OwnAttempt(&'a Answer),
    /// With mail of others, for whose sake this one was not attempted.
    OfDestination(&'a Answer),
    /// The operator suspended the destination. In whose words is not for senders.
    Ordered,
}

impl<'a> Last<'a> {
    fn of_destination(cause: &'a SuspensionCause) -> Last<'a> {
        match cause {
            SuspensionCause::Trouble { answer, .. } => Last::OfDestination(answer),
            SuspensionCause::Order { .. } => Last::Ordered,
        }
    }
}

/// What is told about a recipient whose lifetime is over: 4.4.7 (RFC 3463 3.5), with what the last
/// attempt gave, so that the sender learns why it took so long.
fn expired(last: Option<Last<'_>>, lifetime: Duration) -> Answer {
    let mut detail = format!(
        "not delivered within {} (SMTP_MESSAGE_LIFETIME)",
        spelled(lifetime)
    );
    let last = match last {
        None => {
            detail.push_str("; no attempt was made");
            None
        }
        Some(Last::OwnAttempt(last)) => {
            if !last.detail.is_empty() {
                detail.push_str("; last attempt: ");
                detail.push_str(&last.detail);
            }
            Some(last)
        }
        Some(Last::Ordered) => {
            detail.push_str(
                "; no attempt was made, as the operator of this relay suspended deliveries to there",
            );
            None
        }
        Some(Last::OfDestination(last)) => {
            detail.push_str("; no attempt was made, as no host answered other mail");
            if !last.detail.is_empty() {
                detail.push_str(": ");
                detail.push_str(&last.detail);
            }
            Some(last)
        }
    };
    Answer {
        remote: last.and_then(|last| last.remote.clone()),
        status: EnhancedCode::temporary(4, 7),
        reason: last.map_or(Reason::Policy, |last| last.reason),
        reply: last.and_then(|last| last.reply.clone()),
        detail: detail.into(),
    }
}

/// In the largest unit that needs no fraction, as the configuration writes it.
fn spelled(span: Duration) -> String {
    let seconds = span.as_secs();
    let unit = [(86_400, "d"), (3_600, "h"), (60, "m")]
        .into_iter()
        .find(|(size, _)| seconds >= *size && seconds.is_multiple_of(*size));
    match unit {
        Some((size, name)) => format!("{}{name}", seconds / size),
        None => format!("{seconds}s"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::mail::{RecipientNo, Reply, ReplyCode};
    use crate::queue::samples;

    const RETRY: RetryPolicy = RetryPolicy {
        base: Duration::from_secs(60),
        cap: Duration::from_secs(240),
        lifetime: Duration::from_secs(1_000),
        warn_after: Some(Duration::from_secs(400)),
    };
    const ARRIVAL: UnixMillis = UnixMillis(1_000_000);

    fn answer(code: u16) -> Answer {
        let code = ReplyCode::new(code).expect("a reply code");
        let reply = Reply::from_lines(code, [&b"words"[..]]);
        Answer {
            remote: None,
            status: reply.status(),
            reason: Reason::Remote,
            reply: Some(reply),
            detail: "".into(),
        }
    }

    #[test]
    fn what_the_operator_gives_up_fails_with_a_report_and_the_last_reply() {
        let check = |from: &str, last: Option<Answer>, want: &str, owed: Report| {
            let message = samples::message(ARRIVAL, from);
            let rcpt = Recipient {
                last_answer: last,
                ..rcpt(1)
            };
            let verdict = given_up(&message, &rcpt);
            let answer = verdict.answer().expect("it says why");
            assert_eq!(answer.status.to_string(), "5.0.0");
            assert_eq!(&*answer.detail, want);
            assert_eq!(verdict.report(), Some(&owed));
            let after = verdict.apply(&rcpt, None, ARRIVAL);
            assert_eq!(after.state, RecipientState::Failed);
            assert_eq!(after.attempts, 1, "it was no attempt");
        };
        let sender = || Report::OwedTo(samples::address("s@src.test"));
        let by = "given up by the operator of this relay";
        let none = format!("{by}; no attempt was made");
        check("s@src.test", None, &none, sender());
        check("", None, &none, Report::OwedToNobody);
        let last = format!("{by}; last attempt: 451 words");
        check("s@src.test", Some(answer(451)), &last, sender());
    }

    fn rcpt(attempts: u32) -> Recipient {
        let due = UnixMillis(0);
        let state = match attempts {
            0 => RecipientState::Queued { due },
            _ => RecipientState::Deferred { due },
        };
        Recipient {
            attempts,
            ..Recipient::new(RecipientNo(3), samples::address("a@dest.test"), state)
        }
    }

    fn taken(told_there: bool) -> Outcome {
        Outcome::Delivered {
            answer: answer(250),
            told_there,
        }
    }

    fn decide(from: &str, attempts: u32, seen: &Outcome, seconds: u64) -> (Verdict, Recipient) {
        let message = samples::message(ARRIVAL, from);
        let now = ARRIVAL.after(Duration::from_secs(seconds));
        let rcpt = rcpt(attempts);
        let verdict = after_attempt(&message, &rcpt, seen, now, &RETRY, Jitter::NONE);
        let after = verdict.apply(&rcpt, Some(now), now);
        assert_eq!(after.attempts, attempts + 1);
        assert_eq!(after.last_attempt, Some(now));
        assert_eq!(after.last_answer.as_ref(), verdict.answer());
        (verdict, after)
    }

    #[track_caller]
    fn check_next(attempts: u32, at_seconds: u64, want_next_seconds: u64) {
        let (verdict, after) = decide(
            "s@src.test",
            attempts,
            &Outcome::Deferred(answer(451)),
            at_seconds,
        );
        let due = ARRIVAL.after(Duration::from_secs(want_next_seconds));
        assert_eq!(after.state, RecipientState::Deferred { due });
        assert_eq!(verdict.report().is_some(), at_seconds >= 400);
    }

    #[test]
    fn a_deferral_waits_longer_each_time_and_never_beyond_the_lifetime() {
        check_next(0, 0, 60);
        check_next(1, 70, 70 + 120);
        check_next(2, 200, 200 + 240);
        check_next(9, 300, 300 + 240);
        check_next(9, 900, 1_000); // one last attempt when the lifetime ends
        check_next(9, 999, 1_000);
    }

    #[test]
    fn a_deferral_at_the_end_of_the_lifetime_is_4_4_7_with_the_last_reply() {
        let (verdict, after) = decide("s@src.test", 9, &Outcome::Deferred(answer(451)), 1_000);
        assert_eq!(after.state, RecipientState::Expired);
        let told = after.last_answer.expect("the last answer is kept");
        assert_eq!(told.status.to_string(), "4.4.7");
        assert_eq!(
            told.words(),
            "451 words (not delivered within 1000s (SMTP_MESSAGE_LIFETIME))"
        );
        let owed = Report::OwedTo(samples::address("s@src.test"));
        assert_eq!(verdict.report(), Some(&owed));
    }

    #[test]
    fn a_permanent_answer_ends_it_at_once_with_a_report() {
        let (verdict, after) = decide("s@src.test", 0, &Outcome::Failed(answer(550)), 1);
        assert_eq!(after.state, RecipientState::Failed);
        let owed = Report::OwedTo(samples::address("s@src.test"));
        assert_eq!(verdict.report(), Some(&owed));
    }

    #[test]
    fn nobody_is_told_about_mail_with_a_null_reverse_path() {
        let (failed, _) = decide("", 0, &Outcome::Failed(answer(550)), 1);
        assert_eq!(failed.report(), Some(&Report::OwedToNobody));
        let (expired, _) = decide("", 0, &Outcome::Deferred(answer(451)), 1_000);
        assert_eq!(expired.report(), Some(&Report::OwedToNobody));
    }

    #[test]
    fn delivered_is_delivered_even_after_the_lifetime() {
        let (verdict, after) = decide("s@src.test", 1, &taken(false), 5_000);
        assert_eq!(after.state, RecipientState::Delivered);
        assert_eq!(verdict.report(), None);
    }

    #[test]
    fn the_sender_is_told_of_what_it_asked_for() {
        // W-22.07
        let to_sender = Report::OwedTo(samples::address("s@src.test"));
        let check = |notify, from, of_success: Option<&Report>, of_failure: &Report| {
            let message = samples::message(ARRIVAL, from);
            let mut rcpt = rcpt(0);
            rcpt.dsn.notify = notify;
            let report = |seen: &Outcome| {
                let verdict = after_attempt(&message, &rcpt, seen, ARRIVAL, &RETRY, Jitter::NONE);
                verdict.report().cloned()
            };
            assert_eq!(report(&taken(false)).as_ref(), of_success, "{notify:?}");
            assert_eq!(report(&taken(true)), None, "{notify:?}");
            let failed = Outcome::Failed(answer(550));
            assert_eq!(report(&failed).as_ref(), Some(of_failure), "{notify:?}");
            let expired = overdue(&message, &rcpt, None, RETRY.lifetime);
            assert_eq!(expired.report(), Some(of_failure), "{notify:?}");
        };
        let of = |success, failure| {
            Some(Notify::Of {
                success,
                failure,
                delay: !success && !failure,
            })
        };
        let unwanted = &Report::Unwanted;
        check(None, "s@src.test", None, &to_sender);
        check(Some(Notify::Never), "s@src.test", None, unwanted);
        check(of(true, false), "s@src.test", Some(&to_sender), unwanted);
        check(of(false, true), "s@src.test", None, &to_sender);
        check(of(true, true), "s@src.test", Some(&to_sender), &to_sender);
        check(of(false, false), "s@src.test", None, unwanted);
        let nobody = &Report::OwedToNobody;
        check(of(true, true), "", Some(nobody), nobody);
        check(Some(Notify::Never), "", None, unwanted);
    }

    #[test]
    fn a_delay_is_told_once_to_who_wants_to_know() {
        // W-22.09
        #[track_caller]
        fn check(from: &str, notify: Option<Notify>, seconds: u64, want: bool) {
            let message = samples::message(ARRIVAL, from);
            let now = ARRIVAL.after(Duration::from_secs(seconds));
            let mut rcpt = rcpt(1);
            rcpt.dsn.notify = notify;
            let seen = Outcome::Deferred(answer(451));
            let verdict = after_attempt(&message, &rcpt, &seen, now, &RETRY, Jitter::NONE);
            let owed = Report::OwedTo(samples::address("s@src.test"));
            assert_eq!(verdict.report(), want.then_some(&owed));
            let after = verdict.apply(&rcpt, Some(now), now);
            assert_eq!(after.delay_told, want.then_some(now));
            if want {
                let again = after_attempt(&message, &after, &seen, now, &RETRY, Jitter::NONE);
                assert_eq!(again.report(), None);
                assert_eq!(again.apply(&after, Some(now), now).delay_told, Some(now));
                assert_eq!(delayed(&message, &after), None);
            }
            assert_eq!(
                delayed(&message, &rcpt).is_some(),
                want || seconds < 400,
                "whoever asks when the time has come"
            );
        }
        let of = |delay| {
            Some(Notify::Of {
                success: true,
                failure: true,
                delay,
            })
        };
        check("s@src.test", None, 400, true);
        check("s@src.test", None, 399, false);
        check("s@src.test", of(true), 999, true);
        check("s@src.test", of(false), 999, false);
        check("s@src.test", Some(Notify::Never), 999, false);
        check("", of(true), 999, false);
        check("", None, 999, false);
    }

    #[test]
    fn who_waits_without_an_attempt_stays_as_it_was_but_for_the_warning() {
        let message = samples::message(ARRIVAL, "s@src.test");
        for before in [rcpt(0), rcpt(3)] {
            let verdict = delayed(&message, &before).expect("the sender wants to know");
            let after = verdict.apply(&before, None, ARRIVAL);
            assert_eq!(
                after,
                Recipient {
                    delay_told: Some(ARRIVAL),
                    ..before
                }
            );
        }
    }

    #[test]
    fn what_is_overdue_expires_without_counting_an_attempt() {
        let message = samples::message(ARRIVAL, "s@src.test");
        let verdict = overdue(&message, &rcpt(0), None, RETRY.lifetime);
        let after = verdict.apply(&rcpt(0), None, ARRIVAL);
        assert_eq!((after.attempts, after.last_attempt), (0, None));
        assert_eq!(
            verdict.answer().expect("it has one").words(),
            "not delivered within 1000s (SMTP_MESSAGE_LIFETIME); no attempt was made"
        );
        let trouble = SuspensionCause::Trouble {
            times: 1,
            answer: samples::trouble(),
        };
        let verdict = overdue(&message, &rcpt(0), Some(&trouble), RETRY.lifetime);
        let words = "not delivered within 1000s (SMTP_MESSAGE_LIFETIME); no attempt was made, \
                     as no host answered other mail: connection refused";
        let answer = verdict.answer().expect("it has one");
        assert_eq!(answer.words(), words);
        assert_eq!(answer.reason, Reason::Connect);
        let ordered = samples::ordered_until(None).cause;
        let verdict = overdue(&message, &rcpt(0), Some(&ordered), RETRY.lifetime);
        let words = "not delivered within 1000s (SMTP_MESSAGE_LIFETIME); no attempt was made, \
                     as the operator of this relay suspended deliveries to there";
        assert_eq!(verdict.answer().expect("it has one").words(), words);
    }

    #[test]
    #[should_panic(expected = "Delivered")]
    fn a_final_state_is_never_left() {
        let done = Recipient {
            state: RecipientState::Delivered,
            ..rcpt(1)
        };
        let again = Verdict::Delivered {
            answer: answer(250),
            report: None,
        };
        let _ = again.apply(&done, Some(ARRIVAL), ARRIVAL);
    }

    #[test]
    fn lifetimes_are_spelled_as_the_configuration_does() {
        for (seconds, want) in [
            (432_000, "5d"),
            (7_200, "2h"),
            (90, "90s"),
            (120, "2m"),
            (0, "0s"),
        ] {
            assert_eq!(spelled(Duration::from_secs(seconds)), want);
        }
    }
}
