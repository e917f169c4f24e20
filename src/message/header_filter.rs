//! The header section of a message, looked at and cleaned while the octets come in.
//!
//! What counts as header section: fields (RFC 5322 2.2, with the blanks before the colon that
//! RFC 5322 4.5 still allows) and their folded lines, up to the first empty line or the first line
//! that is neither.

use memchr::memchr;

use super::message_id::MessageIdField;

/// Longest name, with the blanks behind it, that is waited for before a line is taken for text:
/// no line of RFC 5322 2.1.1 is longer, so neither is a name.
const FIELD_NAME_BYTES_MAX: usize = 998;

/// Reads the octets of a message, unstuffed, in pieces of any size, and passes on what is kept:
/// all but Bcc, Resent-Bcc and Return-Path fields of the header section.
///
/// It holds back at most the beginning of one line, until that line tells what it is; below the
/// header section it only copies.
#[derive(Debug)]
pub struct HeaderFilter {
    limits: HeaderLimits,
    place: Place,
    /// The beginning of a line that does not tell yet what it is. Empty unless in `LineStart`.
    held: Vec<u8>,
    /// The field that a folded line would belong to.
    field: Option<FieldFate>,
    fields: usize,
    section_bytes: usize,
    facts: HeaderFacts,
    message_id: MessageIdField,
}

/// How much a header section may be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct HeaderLimits {
    /// Most octets, line ends included.
    pub section_bytes_max: usize,
    /// Most fields.
    pub fields_max: usize,
}

/// What a [`HeaderFilter`] found out. The default is what is known about no octets at all.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct HeaderFacts {
    /// Whether what was kept begins with a field or with the empty line that ends the section. If
    /// not, our own fields need an empty line behind them.
    pub has_header_section: bool,
    /// Whether there is a Date field, be it malformed.
    pub has_date: bool,
    /// Whether there is a Message-ID field, be it malformed.
    pub has_message_id: bool,
    /// Length in bytes of the section as it was kept, without what ends it.
    pub section_len: usize,
    /// What ends the section.
    pub section_end: SectionEnd,
    /// How many Received fields there are: hops behind us (RFC 5321 6.3).
    pub received: usize,
    /// Whether the section is more than its [`HeaderLimits`] allow.
    pub over_limits: bool,
}

/// What ends a header section.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum SectionEnd {
    /// The end of the message.
    #[default]
    Message,
    /// The empty line that belongs there.
    EmptyLine,
    /// A line that is neither empty nor of a field: where such a section ends, others may see
    /// differently.
    Text,
}

#[derive(Clone, Copy, Debug, Default)]
enum Place {
    /// Where a line of the section, if it is one, does not tell yet what it is.
    #[default]
    LineStart,
    /// Behind that, in a line of the section.
    Line,
    /// Below the section.
    Text,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum FieldFate {
    Kept,
    Dropped,
}

impl HeaderFilter {
    /// At the first octet of a message.
    #[must_use]
    pub fn new(limits: HeaderLimits) -> HeaderFilter {
        HeaderFilter {
            limits,
            place: Place::default(),
            held: Vec::new(),
            field: None,
            fields: 0,
            section_bytes: 0,
            facts: HeaderFacts::default(),
            message_id: MessageIdField::default(),
        }
    }

    /// Takes the next octets and appends to `out` what is kept of them, and of those held back.
    pub fn feed(&mut self, mut input: &[u8], out: &mut Vec<u8>) {
        while !input.is_empty() {
            let used = match self.place {
                Place::LineStart => self.line_start(input, out),
                Place::Line => self.line(input, out),
                Place::Text => {
                    out.extend_from_slice(input);
                    return;
                }
            };
            input = &input[used..];
        }
    }

    /// What the first Message-ID field names, as far as it was read.
    #[must_use]
    pub fn message_id(&self) -> Option<Box<str>> {
        self.message_id.value()
    }

    /// Where the body begins in what is kept, in octets, once an empty line has told.
    pub(super) fn body_start(&self) -> Option<u64> {
        let known = self.facts.section_end == SectionEnd::EmptyLine;
        known.then(|| self.facts.section_len as u64 + 2)
    }

    /// Ends the message: appends what is still held back, and tells what was found.
    pub fn finish(mut self, out: &mut Vec<u8>) -> HeaderFacts {
        if !self.held.is_empty() {
            self.facts.section_end = SectionEnd::Text;
        }
        out.extend_from_slice(&self.held);
        HeaderFacts {
            over_limits: self.section_bytes > self.limits.section_bytes_max
                || self.fields > self.limits.fields_max,
            ..self.facts
        }
    }

    /// Returns how much of `input` was used up; it may be nothing if `place` has changed.
    fn line_start(&mut self, input: &[u8], out: &mut Vec<u8>) -> usize {
        let Some((kind, told)) = tell(&self.held, input) else {
            self.held.extend_from_slice(input);
            return input.len();
        };
        match kind {
            LineKind::Folded if self.field.is_some() => {
                self.place = Place::Line;
                return 0;
            }
            LineKind::Field => {
                let held = std::mem::take(&mut self.held);
                if held.is_empty() {
                    self.begin_field(&input[..told], out);
                } else {
                    self.begin_field(&[&held, &input[..told]].concat(), out);
                }
                return told;
            }
            LineKind::Empty => {
                self.facts.has_header_section = true;
                self.facts.section_end = SectionEnd::EmptyLine;
            }
            LineKind::Folded | LineKind::Text => self.facts.section_end = SectionEnd::Text,
        }
        self.place = Place::Text;
        out.append(&mut self.held);
        0
    }

    /// `start` is the name and the colon behind it.
    fn begin_field(&mut self, start: &[u8], out: &mut Vec<u8>) {
        let name = start.strip_suffix(b":").unwrap_or(start).trim_ascii_end();
        let is = |other: &str| name.eq_ignore_ascii_case(other.as_bytes());
        let dropped = is("Bcc") || is("Resent-Bcc") || is("Return-Path");
        self.facts.received += usize::from(is("Received"));
        self.facts.has_date |= is("Date");
        let is_message_id = is("Message-ID");
        self.facts.has_message_id |= is_message_id;
        self.facts.has_header_section |= !dropped;
        self.fields += 1;
        self.field = Some(if dropped {
            FieldFate::Dropped
        } else {
            FieldFate::Kept
        });
        self.place = Place::Line;
        self.pass(start, out);
        self.message_id.begin(is_message_id);
    }

    fn line(&mut self, input: &[u8], out: &mut Vec<u8>) -> usize {
        let used = match memchr(b'\n', input) {
            Some(end) => {
                self.place = Place::LineStart;
                end + 1
            }
            None => input.len(),
        };
        self.message_id.feed(&input[..used]);
        self.pass(&input[..used], out);
        used
    }

    /// Keeps or drops octets of the section, as their field has it.
    fn pass(&mut self, octets: &[u8], out: &mut Vec<u8>) {
        self.section_bytes += octets.len();
        if self.field == Some(FieldFate::Kept) {
            self.facts.section_len += octets.len();
            out.extend_from_slice(octets);
        }
    }
}

/// The header section at the front of `octets`, without the empty line below it. If `octets` were
/// cut off somewhere, the section ends with its last whole line.
#[must_use]
pub fn header_section(octets: &[u8]) -> &[u8] {
    let mut end = 0;
    loop {
        let rest = &octets[end..];
        let in_section = match tell(&[], rest) {
            Some((LineKind::Field, _)) => true,
            Some((LineKind::Folded, _)) => end > 0,
            Some((LineKind::Empty | LineKind::Text, _)) | None => false,
        };
        match memchr(b'\n', rest) {
            Some(line_end) if in_section => end += line_end + 1,
            _ => return &octets[..end],
        }
    }
}

/// What the beginning of a line says about it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum LineKind {
    /// A field name and its colon.
    Field,
    /// It begins with a blank: it belongs to the field above, if there is one.
    Folded,
    /// CRLF.
    Empty,
    /// None of these.
    Text,
}

/// Reads on in a line of which `held` was read before and did not tell. Returns its kind and how
/// many octets of `input` it took to know (for a field: up to its colon, inclusive).
fn tell(held: &[u8], input: &[u8]) -> Option<(LineKind, usize)> {
    let mut before = held.last().copied();
    for (at, &octet) in input.iter().enumerate() {
        let kind = match (before, octet) {
            (None, b' ' | b'\t') => Some(LineKind::Folded),
            (None, b'\r') => None,
            (Some(b'\r'), b'\n') => Some(LineKind::Empty),
            (None | Some(b'\r'), b':') => Some(LineKind::Text),
            (Some(_), b':') => Some(LineKind::Field),
            (Some(b'\r'), _) => Some(LineKind::Text),
            (Some(_), b' ' | b'\t') => None,
            (Some(b' ' | b'\t'), _) => Some(LineKind::Text),
            (_, b'!'..=b'~') => None,
            _ => Some(LineKind::Text),
        };
        if let Some(kind) = kind {
            return Some((kind, at + 1));
        }
        if held.len() + at + 1 > FIELD_NAME_BYTES_MAX {
            return Some((LineKind::Text, at + 1));
        }
        before = Some(octet);
    }
    None
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const LIMITS: HeaderLimits = HeaderLimits {
        section_bytes_max: 100_000,
        fields_max: 300,
    };

    fn filter(octets: &[u8], piece: usize) -> (Vec<u8>, HeaderFacts) {
        let mut out = Vec::new();
        let mut filter = HeaderFilter::new(LIMITS);
        for piece in octets.chunks(piece) {
            filter.feed(piece, &mut out);
            assert!(filter.held.len() <= FIELD_NAME_BYTES_MAX);
        }
        let facts = filter.finish(&mut out);
        (out, facts)
    }

    #[track_caller]
    fn check(octets: &str, kept: &str) -> HeaderFacts {
        let (out, facts) = filter(octets.as_bytes(), usize::MAX);
        assert_eq!(String::from_utf8_lossy(&out), kept);
        assert_eq!(filter(octets.as_bytes(), 1), (out, facts));
        facts
    }

    #[track_caller]
    fn check_unchanged(octets: &str) -> HeaderFacts {
        check(octets, octets)
    }

    #[test]
    fn bcc_and_return_path_are_dropped_with_all_their_lines() {
        check(
            "Return-Path: <a@b>\r\nTo: x\r\nBcc: y,\r\n\tz,\r\n \r\n w\r\nX: 1\r\nRESENT-bcc \t: q\r\n\r\nBcc: text\r\n",
            "To: x\r\nX: 1\r\n\r\nBcc: text\r\n",
        );
        check("bcc:\r\nSubject: s\r\n\r\n", "Subject: s\r\n\r\n");
        check_unchanged("Bcc-X: y\r\nX-Bcc: z\r\nTo: a\r\n Bcc: b\r\n\r\n");
    }

    #[test]
    fn everything_else_is_passed_on_octet_for_octet() {
        check_unchanged("a:b \t\r\n\x0c\x7f\r\n\r\n\r\n");
        check_unchanged("sUBJECT:  ü\r\n  folded\r\n\t\r\n\r\ntext  \r\n\t\r\n\r\n");
        check_unchanged("");
        check_unchanged("\r\n");
        check_unchanged("\r");
        check_unchanged("Subj");
    }

    #[test]
    fn received_fields_are_counted_in_the_section_only() {
        let facts = check_unchanged(
            "Received: 1\r\nRECEIVED:\r\n 2\r\nreceived : 3\r\nX-Received: no\r\nX: Received: no\r\n Received: no\r\n\r\nReceived: no\r\n",
        );
        assert_eq!(facts.received, 3);
    }

    #[test]
    fn date_and_message_id_are_found_however_malformed() {
        let facts = check_unchanged("dAte:\r\nmessage-id : junk\r\n\r\n");
        assert!(facts.has_date && facts.has_message_id);
        let facts = check_unchanged("X-Date: 1\r\nDated: 2\r\n\r\nDate: 3\r\nMessage-ID: 4\r\n");
        assert!(!facts.has_date && !facts.has_message_id);
    }

    #[test]
    fn the_first_message_id_is_read_in_pieces_of_any_size() {
        let octets =
            b"Subject: <no@x>\r\nMESSAGE-id :\r\n <a@gp.test>\r\nmessage-id: <b@x>\r\n\r\n";
        for piece in 1..octets.len() {
            let (mut out, mut filter) = (Vec::new(), HeaderFilter::new(LIMITS));
            octets
                .chunks(piece)
                .for_each(|piece| filter.feed(piece, &mut out));
            assert_eq!(filter.message_id().as_deref(), Some("a@gp.test"));
        }
    }

    #[test]
    fn text_without_a_header_section_is_known_as_such() {
        #[track_caller]
        fn check(octets: &str, want: bool) {
            let facts = check_unchanged(octets);
            assert_eq!(facts.has_header_section, want, "{octets:?}");
            assert!(!facts.has_date);
        }
        check("", false);
        check("hello\r\n", false);
        check("hello\r\nDate: x\r\n", false);
        check("hello world: x\r\n", false);
        check(" Date: x\r\n", false);
        check(": x\r\n", false);
        check("\u{fc}: x\r\n", false);
        check("\r\nDate: x\r\n", true);
        check("a: b\r\n", true);
        check("a: b\r\nhello\r\nDate: x\r\n", true);
        check("From x@y Thu Jan 1 00:00\r\nDate: x\r\n", false);
        check("\rDate: x\r\n", false);
    }

    #[test]
    fn a_section_of_dropped_fields_only_is_none_unless_its_empty_line_is_there() {
        assert!(!check("Bcc: a\r\nhello\r\n", "hello\r\n").has_header_section);
        assert!(!check("Bcc: a\r\n", "").has_header_section);
        assert!(check("Bcc: a\r\n\r\nhello\r\n", "\r\nhello\r\n").has_header_section);
    }

    #[test]
    fn limits_are_found_at_the_octet_and_at_the_field() {
        #[track_caller]
        fn check(octets: &str, want: bool) {
            let (out, facts) = filter(octets.as_bytes(), 4096);
            assert_eq!(out, octets.as_bytes());
            assert_eq!(facts.over_limits, want);
        }
        let line = format!("a: {}\r\n", "x".repeat(LIMITS.section_bytes_max - 5));
        check(&line, false);
        check(&format!("{line}\r\n{line}"), false);
        check(&format!("b{line}"), true);
        check(&"a:\r\n".repeat(LIMITS.fields_max), false);
        check(&"a:\r\n".repeat(LIMITS.fields_max + 1), true);
        check(
            &format!("a:\r\n\r\n{}", "a:\r\n".repeat(LIMITS.fields_max + 1)),
            false,
        );
    }

    #[test]
    fn a_name_longer_than_a_line_is_text() {
        let name = "n".repeat(FIELD_NAME_BYTES_MAX);
        assert!(check_unchanged(&format!("{name}:\r\n")).has_header_section);
        assert!(!check_unchanged(&format!("{name}n:\r\n")).has_header_section);
        check_unchanged(&"n".repeat(100_000));
    }

    #[test]
    fn the_section_is_cut_out_at_whole_lines() {
        #[track_caller]
        fn check(octets: &str, want: &str) {
            assert_eq!(header_section(octets.as_bytes()), want.as_bytes());
        }
        check(
            "a: 1\r\n 2\r\nb: 3\r\n\r\nc: 4\r\n",
            "a: 1\r\n 2\r\nb: 3\r\n",
        );
        check("a: 1\r\n 2\r\nb: 3", "a: 1\r\n 2\r\n");
        check("a: 1\r\nhello\r\n", "a: 1\r\n");
        check(" a: 1\r\n", "");
        check("\r\na: 1\r\n", "");
        check("hello", "");
        check("", "");
    }

    #[test]
    fn the_sections_length_and_end_are_known() {
        #[track_caller]
        fn check(octets: &str, len: usize, end: SectionEnd) {
            let (_, facts) = filter(octets.as_bytes(), 1);
            assert_eq!(
                (facts.section_len, facts.section_end),
                (len, end),
                "{octets:?}"
            );
        }
        check("", 0, SectionEnd::Message);
        check("a: 1\r\n 2\r\n", 10, SectionEnd::Message);
        check("a: 1", 4, SectionEnd::Message);
        check("a: 1\r\nb", 6, SectionEnd::Text);
        check("a: 1\r\n\r", 6, SectionEnd::Text);
        check(
            "a: 1\r\nBcc: x\r\n y\r\n\r\nc: 2\r\n",
            6,
            SectionEnd::EmptyLine,
        );
        check("\r\n", 0, SectionEnd::EmptyLine);
        check("a: 1\r\nhello\r\n\r\n", 6, SectionEnd::Text);
        check(" a: 1\r\n", 0, SectionEnd::Text);
    }

    /// Octets that meet the edges of the filter more often than chance would have it.
    fn message() -> impl Strategy<Value = Vec<u8>> {
        let token = prop::sample::select(vec![
            "\r\n",
            "\r\n",
            "\r",
            "\n",
            ":",
            " ",
            "\t",
            "Bcc",
            "Bcc: x",
            "Received: y",
            "Date",
            "Message-ID",
            "hello",
            ".",
            "\u{fc}",
            "\0",
        ]);
        prop::collection::vec(token, 0..24).prop_map(|tokens| tokens.concat().into_bytes())
    }

    proptest! {
        #[test]
        fn any_segmentation_gives_the_same(
            octets in message(),
            cuts in prop::collection::vec(0usize..64, 0..8),
        ) {
            let whole = filter(&octets, usize::MAX);
            let (mut out, mut filter, mut rest) = (Vec::new(), HeaderFilter::new(LIMITS), &octets[..]);
            for cut in cuts {
                let (piece, behind) = rest.split_at(cut.min(rest.len()));
                filter.feed(piece, &mut out);
                rest = behind;
            }
            filter.feed(rest, &mut out);
            let facts = filter.finish(&mut out);
            prop_assert_eq!((out, facts), whole);
        }

        #[test]
        fn what_was_kept_once_is_kept_again(octets in message()) {
            let (once, _) = filter(&octets, usize::MAX);
            let section = header_section(&once).to_vec();
            prop_assert_eq!(filter(&section, 3).0, section);
        }
    }
}
