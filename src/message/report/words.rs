//! The part of a report for people.

use std::time::Duration;

use super::advice::advice;
use super::part::Part;
use super::spelling::{for_people, printable};
use super::{Fate, ReportFacts, Reported};
use crate::mail::Answer;
use crate::message::date::rfc5322_date;
use crate::message::folding::append_folded;

/// With the blank that stands before every word: what hosts said is set off by four, so no line of
/// it looks like one of ours.
const INDENT: &str = "   ";

/// What happened, whether it goes on, what to do; then each recipient with the words of its host.
/// What failed comes first, then what waits, then what was relayed.
pub(super) fn part(facts: &ReportFacts<'_>) -> Part {
    let mut out = format!("This is the mail relay at {}.\r\n", facts.hostname);
    let of = |belongs: fn(Fate) -> bool| -> Vec<&Reported<'_>> {
        let belongs = |reported: &&Reported<'_>| belongs(reported.fate);
        facts.recipients.iter().filter(belongs).collect()
    };
    let failed = of(Fate::is_failure);
    if !failed.is_empty() {
        out.push_str(&about_failed(failed.len(), facts));
        append_each(&mut out, &failed, facts);
    }
    let delayed = of(|fate| fate == Fate::Delayed);
    if !delayed.is_empty() {
        out.push_str(&about_delayed(delayed.len(), facts));
        append_each(&mut out, &delayed, facts);
    }
    let relayed = of(|fate| fate == Fate::Relayed);
    if !relayed.is_empty() {
        out.push_str(&about_relayed(relayed.len(), facts));
        append_each(&mut out, &relayed, facts);
    }
    Part::text("Notification", out)
}

fn about_failed(count: usize, facts: &ReportFacts<'_>) -> String {
    let arrival = rfc5322_date(facts.original.arrival);
    let id = facts.original.id;
    let (recipients, addresses) = match count {
        1 => ("this recipient", "the address"),
        _ => ("these recipients", "each address"),
    };
    format!(
        "\r\n\
         Your message of {arrival} could not be delivered\r\n\
         to {recipients}. This is final: nobody will try again.\r\n\
         \r\n\
         What you can do: read below why, check {addresses} for mistakes, and\r\n\
         send the message again once the cause is gone. A postmaster whom you ask\r\n\
         for help will want to know its queue id: {id}.\r\n"
    )
}

fn about_delayed(count: usize, facts: &ReportFacts<'_>) -> String {
    let arrival = rfc5322_date(facts.original.arrival);
    let until = rfc5322_date(facts.retry_until());
    let id = facts.original.id;
    let recipients = match count {
        1 => "this recipient",
        _ => "these recipients",
    };
    format!(
        "\r\n\
         Your message of {arrival} could not yet be delivered\r\n\
         to {recipients}. It is not lost: we go on trying until\r\n\
         {until}, and give up only then.\r\n\
         \r\n\
         You need not do anything, nor send the message again. If it is urgent,\r\n\
         reach the recipient in another way. You are told of the delay only this\r\n\
         once. The message's queue id here is: {id}.\r\n"
    )
}

fn about_relayed(count: usize, facts: &ReportFacts<'_>) -> String {
    let arrival = rfc5322_date(facts.original.arrival);
    let id = facts.original.id;
    let (recipients, hosts) = match count {
        1 => ("this recipient", "That host does"),
        _ => ("these recipients", "Those hosts do"),
    };
    format!(
        "\r\n\
         Your message of {arrival} was handed on\r\n\
         to the mail host of {recipients}. {hosts} not report on\r\n\
         deliveries, so this may be the last that you hear of it.\r\n\
         \r\n\
         You need not do anything: you are told because you asked to be. The\r\n\
         message's queue id here was: {id}.\r\n"
    )
}

fn append_each(out: &mut String, recipients: &[&Reported<'_>], facts: &ReportFacts<'_>) {
    for reported in recipients {
        let address = for_people(&reported.recipient.address);
        let answer = reported.recipient.last_answer.as_ref();
        let words = answer.map_or_else(String::new, |answer| printable(&answer.words()));
        let mut what = what_happened(reported, answer, facts.lifetime);
        what.push(if words.is_empty() { '.' } else { ':' });
        out.push_str(&format!("\r\n<{address}>\r\n"));
        if let Some(answer) = answer.filter(|_| reported.fate.is_failure()) {
            append_indented(out, advice(answer.status).unwrap_or_default());
        }
        append_indented(out, &what);
        append_indented(out, &words);
    }
}

/// The sentence that leads to the words of `answer`, without its end.
fn what_happened(reported: &Reported<'_>, answer: Option<&Answer>, lifetime: Duration) -> String {
    let remote = answer
        .and_then(|answer| answer.remote.as_ref())
        .map(|remote| printable(&remote.to_string()));
    let has_reply = answer.is_some_and(|answer| answer.reply.is_some());
    match reported.fate {
        Fate::Failed => match remote {
            Some(remote) if has_reply => format!("Refused by {remote}"),
            None if has_reply => "Refused".to_owned(),
            _ => "Given up".to_owned(),
        },
        Fate::Delayed => match remote {
            _ if answer.is_none() => "No attempt was made yet".to_owned(),
            Some(remote) if has_reply => format!("Put off by {remote}"),
            None if has_reply => "Put off".to_owned(),
            Some(remote) => format!("The last attempt, at {remote}, failed"),
            None => "The last attempt failed".to_owned(),
        },
        Fate::Relayed => match remote {
            Some(remote) => format!("Taken by {remote}"),
            None => "Taken".to_owned(),
        },
        Fate::Expired => {
            let last = match remote {
                _ if answer.is_none() => "no attempt was made".to_owned(),
                Some(remote) if has_reply => format!("the last answer, from {remote}"),
                None if has_reply => "the last answer".to_owned(),
                Some(remote) => format!("the last attempt, at {remote}, failed"),
                None => "the last attempt failed".to_owned(),
            };
            format!("Not taken within {}; {last}", span(lifetime))
        }
    }
}

fn append_indented(out: &mut String, text: &str) {
    if !text.is_empty() {
        out.push_str(INDENT);
        append_folded(out, &format!(" {text}"), INDENT);
        out.push_str("\r\n");
    }
}

/// `5 days`: in the largest unit that leaves no rest, down to seconds.
pub(super) fn span(span: Duration) -> String {
    let seconds = span.as_secs();
    let (number, unit) = [(86_400, "day"), (3_600, "hour"), (60, "minute")]
        .into_iter()
        .find(|&(length, _)| seconds >= length && seconds.is_multiple_of(length))
        .map_or((seconds, "second"), |(length, unit)| {
            (seconds / length, unit)
        });
    let plural = if number == 1 { "" } else { "s" };
    format!("{number} {unit}{plural}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn spans_are_told_in_the_largest_whole_unit() {
        #[track_caller]
        fn check(seconds: u64, want: &str) {
            assert_eq!(span(Duration::from_secs(seconds)), want);
        }
        check(5 * 86_400, "5 days");
        check(86_400, "1 day");
        check(36 * 3_600, "36 hours");
        check(90, "90 seconds");
        check(60, "1 minute");
        check(0, "0 seconds");
    }
}
