//! The part of a report that gives the original back: its header section (RFC 6522 4).

use super::ReportFacts;
use super::part::Part;
use crate::mail::limits::REPORT_HEADER_BYTES_MAX;
use crate::message::header_filter::header_section;

/// Octet for octet, as 7-bit or 8-bit; with a line over 998 octets as quoted-printable, which
/// RFC 6522 4 has for header sections that are not fit to travel.
pub(super) fn part(facts: &ReportFacts<'_>) -> Part {
    let received = &facts.header_section[..facts.header_section.len().min(REPORT_HEADER_BYTES_MAX)];
    let whole = [&facts.original.added_header, received].concat();
    Part::unchanged(
        "text/rfc822-headers",
        "Header of the undelivered message",
        header_section(&whole).to_vec(),
    )
}
