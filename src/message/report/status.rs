//! The part of a report for programs: message/delivery-status (RFC 3464 2).

use super::part::Part;
use super::spelling::{printable, typed, typed_original};
use super::words::span;
use super::{Fate, ReportFacts, Reported};
use crate::mail::{Answer, EnhancedClass, EnhancedCode, Remote, Security};
use crate::message::date::rfc5322_date;
use crate::message::folding::append_folded;

/// Status of a recipient that ran out of time (RFC 3463 3.5: delivery time expired).
const EXPIRED: EnhancedCode = EnhancedCode::temporary(4, 7);
/// Status of a failure about which nothing is known.
const UNKNOWN: EnhancedCode = EnhancedCode::permanent(0, 0);

/// The fields about the message, then a group for each recipient. ASCII, but for the addresses in a
/// report for SMTPUTF8.
pub(super) fn part(facts: &ReportFacts<'_>) -> Part {
    let mut out = String::new();
    if let Some(id) = &facts.original.envelope.dsn.envelope_id {
        out.push_str(&format!("Original-Envelope-Id: {}\r\n", id.as_str()));
    }
    out.push_str(&format!(
        "Reporting-MTA: dns; {}\r\n\
         Arrival-Date: {}\r\n\
         X-GopherPost-Queue-ID: {}\r\n",
        facts.hostname,
        rfc5322_date(facts.original.arrival),
        facts.original.id,
    ));
    for reported in facts.recipients {
        out.push_str("\r\n");
        append_recipient(&mut out, reported, facts);
    }
    let content_type = if facts.smtputf8 {
        "message/global-delivery-status"
    } else {
        "message/delivery-status"
    };
    Part::unchanged(content_type, "Delivery report", out.into_bytes())
}

/// In the order of RFC 3464 2.3. Only Diagnostic-Code is ever folded, since there are readers of
/// reports that take fields line by line.
fn append_recipient(out: &mut String, reported: &Reported<'_>, facts: &ReportFacts<'_>) {
    let recipient = reported.recipient;
    let action = match reported.fate {
        Fate::Failed | Fate::Expired => "failed",
        Fate::Delayed => "delayed",
        Fate::Relayed => "relayed",
    };
    if let Some(original) = &recipient.dsn.original {
        out.push_str(&format!(
            "Original-Recipient: {}\r\n",
            typed_original(original, facts.smtputf8)
        ));
    }
    out.push_str(&format!(
        "Final-Recipient: {}\r\nAction: {action}\r\nStatus: {}\r\n",
        typed(&recipient.address, facts.smtputf8),
        status(reported),
    ));
    let answer = recipient.last_answer.as_ref();
    if let Some(remote) = answer.and_then(reached) {
        let host = printable(&remote.host).replace(' ', "?");
        out.push_str(&format!("Remote-MTA: dns; {host}\r\n"));
        if let Some(Security { rule, channel }) = remote.security.as_deref() {
            let (rule, channel) = (printable(rule), printable(&channel.to_string()));
            // RFC 3464 2.4: a field of our own.
            out.push_str(&format!("X-GopherPost-TLS: {channel}; {rule}\r\n"));
        }
    }
    append_diagnostic(out, reported, facts);
    if let Some(at) = recipient.last_attempt {
        out.push_str(&format!("Last-Attempt-Date: {}\r\n", rfc5322_date(at)));
    }
    if reported.fate == Fate::Delayed {
        let until = rfc5322_date(facts.retry_until());
        out.push_str(&format!("Will-Retry-Until: {until}\r\n"));
    }
}

/// The host that had a part in the answer: RFC 3464 2.3.5 wants none named that was not involved.
fn reached(answer: &Answer) -> Option<&Remote> {
    answer.remote.as_ref().filter(|remote| remote.connected)
}

/// A failure has its answer's status in the permanent class, since nobody will try again.
fn status(reported: &Reported<'_>) -> EnhancedCode {
    let answered = reported.recipient.last_answer.as_ref();
    let answered = answered.map_or(UNKNOWN, |answer| answer.status);
    match reported.fate {
        Fate::Failed => answered.in_class(EnhancedClass::Permanent),
        Fate::Expired => EXPIRED,
        Fate::Delayed => answered.in_class(EnhancedClass::Temporary),
        Fate::Relayed => answered.in_class(EnhancedClass::Success),
    }
}

/// The whole reply as `smtp`; where none was had, our own words under a type of our own.
fn append_diagnostic(out: &mut String, reported: &Reported<'_>, facts: &ReportFacts<'_>) {
    let answer = reported.recipient.last_answer.as_ref();
    let (kind, words) = match answer.map(|answer| (&answer.reply, &answer.detail)) {
        Some((Some(reply), _)) => ("smtp", printable(&reply.to_string())),
        Some((None, detail)) => ("X-GopherPost", printable(detail)),
        None => ("X-GopherPost", String::new()),
    };
    let words = match reported.fate {
        _ if !words.is_empty() => words,
        Fate::Failed | Fate::Delayed | Fate::Relayed => return,
        Fate::Expired => format!("not delivered within {}", span(facts.lifetime)),
    };
    out.push_str(&format!("Diagnostic-Code: {kind};"));
    append_folded(out, &format!(" {words}"), "");
    out.push_str("\r\n");
}
