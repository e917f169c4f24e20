//! Delivery reports (RFC 3464 in the frame of RFC 6522): what a sender is told about recipients
//! that were given up, that take long, or were handed on to where no report would come from (RFC 3461 5.2).
//!
//! Whatever other hosts said is printable ASCII on folded lines, so it can't look like a field or a
//! boundary. A report needs no SMTPUTF8 but for its To; it is 8-bit only where what is
//! returned of the original is.

mod advice;
mod original;
mod part;
mod spelling;
mod status;
mod words;

use std::time::Duration;

use super::date::rfc5322_date;
use super::message_id::our_message_id;
use crate::mail::{Address, Domain, Message, QueueId, Recipient, UnixMillis};
use part::Part;

pub use original::LineLengths;

/// What a report is made of.
#[derive(Clone, Copy, Debug)]
pub struct ReportFacts<'a> {
    /// Our name.
    pub hostname: &'a Domain,
    /// The report's own name.
    pub id: QueueId,
    /// The report's date.
    pub now: UnixMillis,
    /// Who is told: the reverse-path of the original. To a null one nothing is ever reported.
    pub to: &'a Address,
    /// What it is about.
    pub original: &'a Message,
    /// How much of it goes back.
    pub returned: Returned<'a>,
    /// Whether it is one for SMTPUTF8 (RFC 6533): addresses stand in it as they are, and the original
    /// may have a header section in UTF-8.
    pub smtputf8: bool,
    /// Whom the report is about. At least one.
    pub recipients: &'a [Reported<'a>],
    /// How long is tried before expiry.
    pub lifetime: Duration,
}

/// A recipient that a report is about, with the last answer and its time inside.
#[derive(Clone, Copy, Debug)]
pub struct Reported<'a> {
    /// As it is after the verdict.
    pub recipient: &'a Recipient,
    /// The verdict.
    pub fate: Fate,
}

/// What goes back of the original, besides its added header.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Returned<'a> {
    /// The header section below the added header, or a beginning of it; what stands behind the
    /// section, or above [`REPORT_HEADER_BYTES_MAX`](crate::mail::limits::REPORT_HEADER_BYTES_MAX),
    /// is left out.
    Headers(&'a [u8]),
    /// All of it, to be put in by the caller. No line of it may be over 998 octets: see
    /// [`LineLengths`].
    Whole,
}

/// The octets of a report around the original, so that nobody need hold all of that.
#[derive(Debug)]
pub struct ReportFrame {
    /// Up to where the original's body belongs.
    pub before: Vec<u8>,
    /// From there on.
    pub behind: Vec<u8>,
}

/// What a report says about a recipient.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fate {
    /// Handed on to a host that does not report by itself.
    Relayed,
    /// Refused for good.
    Failed,
    /// Not taken before the lifetime ended.
    Expired,
    /// Not taken yet; it will be tried again.
    Delayed,
}

impl ReportFacts<'_> {
    fn has_failures(&self) -> bool {
        self.tells(Fate::is_failure)
    }

    fn tells(&self, of: impl Fn(Fate) -> bool) -> bool {
        self.recipients.iter().any(|reported| of(reported.fate))
    }

    /// When those who wait will be given up.
    fn retry_until(&self) -> UnixMillis {
        self.original.arrival.after(self.lifetime)
    }
}

impl Fate {
    fn is_failure(self) -> bool {
        match self {
            Fate::Failed | Fate::Expired => true,
            Fate::Relayed | Fate::Delayed => false,
        }
    }
}

/// The octets of a report, each line with CRLF and none longer than 998 octets. With
/// [`Returned::Whole`], the octets below the original's added header belong between the two halves,
/// unchanged.
///
/// # Panics
/// If there are no recipients: that is a bug of the caller.
#[must_use]
pub fn delivery_report(facts: &ReportFacts<'_>) -> ReportFrame {
    assert!(!facts.recipients.is_empty(), "a report about nobody");
    let parts = [
        words::part(facts),
        status::part(facts),
        original::part(facts),
    ];
    let boundary = boundary(facts.id, &parts);
    let mut out = top_header(facts, &boundary, &parts).into_bytes();
    for part in &parts {
        out.extend_from_slice(format!("\r\n--{boundary}\r\n").as_bytes());
        part.append_to(&mut out);
    }
    ReportFrame {
        before: out,
        behind: format!("\r\n--{boundary}--\r\n").into_bytes(),
    }
}

fn top_header(facts: &ReportFacts<'_>, boundary: &str, parts: &[Part]) -> String {
    let ReportFacts {
        hostname, id, now, ..
    } = facts;
    let date = rfc5322_date(*now);
    let to = spelling::in_header(facts.to);
    let message_id = our_message_id(*id, hostname);
    let subject = if facts.has_failures() {
        "Your message could not be delivered"
    } else if facts.tells(|fate| fate == Fate::Delayed) {
        "Your message is delayed"
    } else {
        "Your message was relayed"
    };
    // A frame must own up to 8-bit parts (RFC 2045 6.4).
    let encoding = if parts.iter().any(Part::is_8bit) {
        "8bit"
    } else {
        "7bit"
    };
    format!(
        "Date: {date}\r\n\
         From: Mail Delivery System <MAILER-DAEMON@{hostname}>\r\n\
         To: <{to}>\r\n\
         Subject: {subject}\r\n\
         Message-ID: <{message_id}>\r\n\
         Auto-Submitted: auto-replied\r\n\
         MIME-Version: 1.0\r\n\
         Content-Type: multipart/report; report-type=delivery-status;\r\n \
         boundary=\"{boundary}\"\r\n\
         Content-Transfer-Encoding: {encoding}\r\n"
    )
}

/// A boundary that occurs in no part: made of the report's id, which no peer could know, and a
/// number that is counted up in case one did. Ends, since a finite text holds finitely many. The body
/// of an original is not looked through: it is older than the 80 random bits of the id.
fn boundary(id: QueueId, parts: &[Part]) -> String {
    let free = |candidate: &String| {
        !parts
            .iter()
            .any(|part| memchr::memmem::find(part.content(), candidate.as_bytes()).is_some())
    };
    // `=_` stands in no quoted-printable text (RFC 2045 6.7).
    (0u64..)
        .map(|number| format!("=_{id}-{number}"))
        .find(free)
        .expect("fewer octets than numbers")
}

#[cfg(test)]
mod strict_reader;
#[cfg(test)]
mod tests;
