//! The part of a report that gives the original back: whole, or its header section (RFC 6522 4).

use super::part::Part;
use super::{ReportFacts, Returned};
use crate::mail::limits::REPORT_HEADER_BYTES_MAX;
use crate::message::folding::LINE_BYTES_MAX;
use crate::message::header_filter::header_section;

/// Octet for octet, as 7-bit or 8-bit; a header section with a line over 998 octets as
/// quoted-printable, which RFC 6522 4 has for header sections that are not fit to travel. Of a whole
/// message it is the beginning.
pub(super) fn part(facts: &ReportFacts<'_>) -> Part {
    let added = &facts.original.added_header;
    match facts.returned {
        Returned::Headers(section) => {
            let received = &section[..section.len().min(REPORT_HEADER_BYTES_MAX)];
            let whole = [added, received].concat();
            let description = if facts.has_failures() {
                "Header of the undelivered message"
            } else {
                "Header of the message"
            };
            let section = header_section(&whole).to_vec();
            let content_type = if facts.smtputf8 {
                "message/global-headers"
            } else {
                "text/rfc822-headers"
            };
            Part::unchanged(content_type, description, section)
        }
        Returned::Whole => {
            let description = "The undelivered message";
            let is_8bit = facts.original.body.has_8bit;
            let content_type = if facts.smtputf8 {
                "message/global"
            } else {
                "message/rfc822"
            };
            Part::beginning(content_type, description, added.to_vec(), is_8bit)
        }
    }
}

/// Measures the lines of a text that comes in pieces. A message with a line over 998 octets is not
/// returned whole: message/rfc822 may not be encoded (RFC 2046 5.2.1).
#[derive(Debug, Default)]
pub struct LineLengths {
    /// Octets of the line that is not ended yet.
    open: usize,
    too_long: bool,
}

impl LineLengths {
    /// Measures a further piece.
    pub fn feed(&mut self, piece: &[u8]) {
        let mut rest = piece;
        while let Some(end) = memchr::memchr(b'\n', rest) {
            self.grow(end);
            self.open = 0;
            rest = &rest[end + 1..];
        }
        self.grow(rest.len());
    }

    /// Whether a line was longer than mail may have, its CRLF apart (RFC 5322 2.1.1).
    #[must_use]
    pub fn too_long(&self) -> bool {
        self.too_long
    }

    fn grow(&mut self, octets: usize) {
        self.open = self.open.saturating_add(octets);
        self.too_long |= self.open > LINE_BYTES_MAX + 1; // the CR
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_are_measured_across_pieces() {
        #[track_caller]
        fn check(octets: usize, want: bool) {
            let line = [&vec![b'x'; octets][..], b"\r\n"].concat();
            let text = [b"a\r\n", &line[..], b"b\r\n"].concat();
            for size in [1, 7, 2_000] {
                let mut lengths = LineLengths::default();
                text.chunks(size).for_each(|piece| lengths.feed(piece));
                assert_eq!(lengths.too_long(), want, "{octets} in pieces of {size}");
            }
        }
        check(0, false);
        check(998, false);
        check(999, true);
        check(1_500, true);
    }
}
