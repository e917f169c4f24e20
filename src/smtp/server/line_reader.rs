//! Cuts what a client sent into command lines. A damaged line is told once and thrown away up to
//! the next CRLF, so that nothing in it is ever run (RFC 5321 2.3.8).

use memchr::{memchr, memchr2};

use crate::mail::limits::COMMAND_FLOOD_BYTES_MAX;

/// Where in the client's octets we are; the octets themselves stay with the caller.
#[derive(Clone, Debug)]
pub struct LineReader {
    line_bytes_max: usize,
    state: State,
}

/// What stands at the front of the input.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Split<'a> {
    /// A command line, without its CRLF and without controls other than TAB.
    Line(&'a [u8]),
    /// A damaged line; nothing of it will be given out.
    Fault(LineFault),
    /// No whole line yet; come again with more behind the octets that were not consumed.
    NeedMore,
    /// Too much without a CRLF, all of which was told as a fault before: hang up.
    Flood,
}

/// What is wrong with a line.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LineFault {
    /// Longer than is taken.
    TooLong,
    /// A CR or LF that is not part of a CRLF.
    BareLineEnd,
    /// NUL or another control.
    Control,
    /// Any of these in a BDAT: how many octets follow it that are no commands is unknown.
    Chunk,
    /// A TLS handshake, on a port that has none.
    TlsHello,
}

#[derive(Clone, Copy, Debug)]
enum State {
    /// At the start of a line, of which so many octets are known to hold no line end.
    Line { scanned: usize },
    /// Throwing away up to the next CRLF.
    Skipping { after_cr: bool, skipped: usize },
}

impl Default for State {
    fn default() -> State {
        State::Line { scanned: 0 }
    }
}

/// First octet of a TLS handshake record (RFC 8446 5.1); a control, so no command begins with it.
const TLS_HANDSHAKE: u8 = 22;

impl LineReader {
    /// At the start of a line; lines of at most `line_bytes_max` with their CRLF are taken.
    #[must_use]
    pub fn new(line_bytes_max: usize) -> LineReader {
        LineReader {
            line_bytes_max,
            state: State::default(),
        }
    }

    /// Looks at `input`, the octets from the first unconsumed one on; returns how many are done
    /// with, and what they were. Call again with the rest until it is [`Split::NeedMore`].
    pub fn next<'a>(&mut self, input: &'a [u8]) -> (usize, Split<'a>) {
        match self.state {
            State::Line { scanned } => self.line(input, scanned),
            State::Skipping { after_cr, skipped } => match self.skip(input, after_cr, skipped) {
                Some(consumed) => {
                    let (more, split) = self.line(&input[consumed..], 0);
                    (consumed + more, split)
                }
                None if self.flooded() => (input.len(), Split::Flood),
                None => (input.len(), Split::NeedMore),
            },
        }
    }

    fn line<'a>(&mut self, input: &'a [u8], scanned: usize) -> (usize, Split<'a>) {
        if input.first() == Some(&TLS_HANDSHAKE) {
            return self.fault(input, 0, LineFault::TlsHello);
        }
        let window = &input[..input.len().min(self.line_bytes_max)];
        let unseen = &window[scanned.min(window.len())..];
        let end = memchr2(b'\r', b'\n', unseen).map(|at| scanned + at);
        match end.map(|end| (end, window[end], window.get(end + 1))) {
            Some((end, b'\r', Some(b'\n'))) => {
                self.state = State::default();
                let line = &input[..end];
                let split = if line.iter().any(|&b| is_control(b)) {
                    Split::Fault(or_chunk(input, LineFault::Control))
                } else {
                    Split::Line(line)
                };
                (end + 2, split)
            }
            // A CR as the last octet: what follows decides.
            Some((end, b'\r', None)) if window.len() < self.line_bytes_max => {
                self.state = State::Line { scanned: end };
                (0, Split::NeedMore)
            }
            Some((end, b'\r', None)) => self.fault(input, end, LineFault::TooLong),
            Some((end, ..)) => self.fault(input, end, LineFault::BareLineEnd),
            None if window.len() < self.line_bytes_max => {
                self.state = State::Line {
                    scanned: window.len(),
                };
                (0, Split::NeedMore)
            }
            None => self.fault(input, window.len(), LineFault::TooLong),
        }
    }

    /// Tells of a fault at `at`, having thrown away what is there of the line.
    fn fault<'a>(&mut self, input: &'a [u8], at: usize, fault: LineFault) -> (usize, Split<'a>) {
        let consumed = self.skip(&input[at..], false, at);
        (
            consumed.map_or(input.len(), |more| at + more),
            Split::Fault(or_chunk(input, fault)),
        )
    }

    /// Looks for the CRLF that ends a damaged line; returns how much of `input` is gone with it.
    fn skip(&mut self, input: &[u8], after_cr: bool, skipped: usize) -> Option<usize> {
        // Not beyond the limit, wherever the segments end: a line that is longer has no end.
        let room = COMMAND_FLOOD_BYTES_MAX.saturating_sub(skipped);
        let input = &input[..input.len().min(room)];
        if after_cr && input.first() == Some(&b'\n') {
            self.state = State::default();
            return Some(1);
        }
        let mut from = 0;
        while let Some(at) = memchr(b'\n', &input[from..]) {
            let lf = from + at;
            if lf > 0 && input[lf - 1] == b'\r' {
                self.state = State::default();
                return Some(lf + 1);
            }
            from = lf + 1;
        }
        self.state = State::Skipping {
            after_cr: match input.last() {
                Some(last) => *last == b'\r',
                None => after_cr,
            },
            skipped: skipped.saturating_add(input.len()),
        };
        None
    }

    fn flooded(&self) -> bool {
        match self.state {
            State::Line { .. } => false,
            State::Skipping { skipped, .. } => skipped >= COMMAND_FLOOD_BYTES_MAX,
        }
    }
}

fn or_chunk(line: &[u8], fault: LineFault) -> LineFault {
    match line.get(..4) {
        Some(verb) if verb.eq_ignore_ascii_case(b"BDAT") => LineFault::Chunk,
        _ => fault,
    }
}

fn is_control(octet: u8) -> bool {
    (octet < b' ' && octet != b'\t') || octet == 0x7F
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const LONGEST: usize = 1_500;

    /// Feeds `input` in pieces of `step` octets and writes down what came out.
    fn read(input: &[u8], step: usize) -> Vec<String> {
        let mut reader = LineReader::new(LONGEST);
        let mut seen = Vec::new();
        let mut buffer = Vec::new();
        for piece in input.chunks(step) {
            buffer.extend_from_slice(piece);
            loop {
                let (consumed, split) = reader.next(&buffer);
                let more = match split {
                    Split::Line(line) => {
                        assert_eq!(memchr2(b'\r', b'\n', line), None);
                        seen.push(String::from_utf8_lossy(line).into_owned());
                        true
                    }
                    Split::Fault(fault) => {
                        seen.push(format!("{fault:?}"));
                        true
                    }
                    Split::NeedMore => false,
                    Split::Flood => {
                        seen.push("Flood".into());
                        return seen;
                    }
                };
                buffer.drain(..consumed);
                assert!(buffer.len() <= LONGEST || more);
                if !more {
                    break;
                }
            }
        }
        seen
    }

    #[track_caller]
    fn check(input: &[u8], want: &[&str]) {
        for step in [1, 2, 3, 7, 4096, usize::MAX >> 1] {
            assert_eq!(read(input, step), want, "in pieces of {step}");
        }
    }

    #[test]
    fn a_flood_begins_at_the_same_octet_wherever_segments_end() {
        // W-2.25, W-7.02
        let line = |length| [&b"z".repeat(length - 2)[..], b"\r\nNOOP\r\n"].concat();
        check(&line(COMMAND_FLOOD_BYTES_MAX), &["TooLong", "NOOP"]);
        check(&line(COMMAND_FLOOD_BYTES_MAX + 1), &["TooLong", "Flood"]);
    }

    #[test]
    fn lines_end_at_crlf_only() {
        check(b"NOOP\r\nQUIT\r\n\r\nRSET", &["NOOP", "QUIT", ""]);
        check(b"a\tb\r\n", &["a\tb"]);
        check(b"NOOP\r", &[]);
    }

    #[test]
    fn bare_line_ends_run_nothing() {
        // W-2.27
        check(
            b"NOOP\nMAIL FROM:<a@gp.test>\r\nNOOP\r\n",
            &["BareLineEnd", "NOOP"],
        );
        check(b"NOOP\rMAIL\nRSET\r\nQUIT\r\n", &["BareLineEnd", "QUIT"]);
        check(b"EHLO x\n", &["BareLineEnd"]);
        check(b"EHLO x\r\r\nNOOP\r\n", &["BareLineEnd", "NOOP"]);
        check(b"\n\r\nNOOP\r\n", &["BareLineEnd", "NOOP"]);
        check(b"\n\r\r\nNOOP\r\n", &["BareLineEnd", "NOOP"]);
    }

    #[test]
    fn controls_run_nothing() {
        // W-2.26
        for octet in (0u8..=8).chain(11..=12).chain(14..=31).chain([127]) {
            check(
                &[b"NO", &[octet][..], b"OP\r\nNOOP\r\n"].concat(),
                &["Control", "NOOP"],
            );
        }
    }

    #[test]
    fn lines_are_bounded_at_the_octet() {
        // W-2.24
        let longest = "x".repeat(LONGEST - 2);
        check(
            format!("{longest}\r\nNOOP\r\n").as_bytes(),
            &[&longest, "NOOP"],
        );
        check(
            format!("{longest}y\r\nNOOP\r\n").as_bytes(),
            &["TooLong", "NOOP"],
        );
        check(
            format!("{longest}yz\r\nNOOP\r\n").as_bytes(),
            &["TooLong", "NOOP"],
        );
        check(
            format!("{longest}{longest}\r\nNOOP\r\n").as_bytes(),
            &["TooLong", "NOOP"],
        );
    }

    #[test]
    fn a_flood_without_crlf_ends_it() {
        // W-2.25
        check(
            &vec![b'x'; 2 * COMMAND_FLOOD_BYTES_MAX],
            &["TooLong", "Flood"],
        );
        check(
            &vec![b'\n'; 2 * COMMAND_FLOOD_BYTES_MAX],
            &["BareLineEnd", "Flood"],
        );
    }

    #[test]
    fn a_tls_hello_is_known_by_its_first_octet() {
        // W-1.10
        check(b"\x16\x03\x01\x02\x00", &["TlsHello"]);
    }

    #[test]
    fn a_damaged_chunk_is_told_as_one() {
        // W-10.04
        check(b"bdat 5\0\r\n", &["Chunk"]);
        check(b"BDAT 5\n", &["Chunk"]);
        check(b"NOOP 5\n", &["BareLineEnd"]);
    }

    proptest! {
        #[test]
        fn any_segmentation_gives_the_same_lines( // W-7.02
            input in prop::collection::vec(prop::sample::select(b"ab\r\n\r\n\0 ".to_vec()), 0..60),
            step in 1usize..9,
        ) {
            prop_assert_eq!(read(&input, step), read(&input, usize::MAX >> 1));
        }
    }
}
