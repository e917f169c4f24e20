//! Message data on its way out: dots doubled, one end mark (RFC 5321 4.5.2).

use memchr::memchr2;

/// Encodes the octets of one message as they come, in pieces of any size.
///
/// Promises: what comes out has no CR without LF and no LF without CR, and holds `CRLF.CRLF` once,
/// at its end, and only if [`DotStuffer::finish`] was called. So a message that breaks off midway
/// is never taken for a whole one.
#[derive(Debug)]
pub struct DotStuffer {
    at_line_start: bool,
    /// A CR was the last octet of a piece; what to write for it depends on the next one.
    cr_held_back: bool,
}

impl Default for DotStuffer {
    fn default() -> DotStuffer {
        DotStuffer::new()
    }
}

impl DotStuffer {
    /// Stands before the first octet.
    #[must_use]
    pub fn new() -> DotStuffer {
        DotStuffer {
            at_line_start: true,
            cr_held_back: false,
        }
    }

    /// Appends the encoding of `octets` to `out`: at most three octets for one, and as a rule one.
    ///
    /// A CR or LF that stands alone becomes a line end. Messages are taken with CRLF only, so this
    /// changes nothing that came over SMTP; but nothing else may ever go out (RFC 5321 2.3.8).
    pub fn encode(&mut self, octets: &[u8], out: &mut Vec<u8>) {
        if octets.is_empty() {
            return;
        }
        out.reserve(octets.len() + octets.len() / 64);
        let mut rest = octets;
        if self.cr_held_back {
            rest = rest.strip_prefix(b"\n").unwrap_or(rest);
            self.end_line(out);
        }
        // Octets from `rest` are copied in runs; a run ends only where something is put in.
        let (mut copied, mut at) = (0, 0);
        while at < rest.len() {
            if self.at_line_start && rest[at] == b'.' {
                out.extend_from_slice(&rest[copied..at]);
                out.push(b'.');
                copied = at;
            }
            self.at_line_start = false;
            let Some(found) = memchr2(b'\r', b'\n', &rest[at..]) else {
                break;
            };
            let end = at + found;
            match &rest[end..] {
                [b'\r', b'\n', ..] => {
                    at = end + 2;
                    self.at_line_start = true;
                }
                [b'\r'] => {
                    out.extend_from_slice(&rest[copied..end]);
                    self.cr_held_back = true;
                    return;
                }
                _ => {
                    out.extend_from_slice(&rest[copied..end]);
                    self.end_line(out);
                    at = end + 1;
                    copied = at;
                }
            }
        }
        out.extend_from_slice(&rest[copied..]);
    }

    /// Appends the end mark, behind a line end if the last line has none.
    pub fn finish(mut self, out: &mut Vec<u8>) {
        if self.cr_held_back || !self.at_line_start {
            self.end_line(out);
        }
        out.extend_from_slice(b".\r\n");
    }

    fn end_line(&mut self, out: &mut Vec<u8>) {
        out.extend_from_slice(b"\r\n");
        self.at_line_start = true;
        self.cr_held_back = false;
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn stuffed(pieces: &[&[u8]]) -> Vec<u8> {
        let (mut stuffer, mut out) = (DotStuffer::new(), Vec::new());
        for piece in pieces {
            stuffer.encode(piece, &mut out);
        }
        stuffer.finish(&mut out);
        out
    }

    #[track_caller]
    fn check(octets: &str, want: &str) {
        let out = stuffed(&[octets.as_bytes()]);
        assert_eq!(String::from_utf8(out).unwrap(), want);
    }

    #[test]
    fn dots_at_line_starts_are_doubled_and_the_end_mark_stands_once() {
        // W-16.10
        check("a\r\n", "a\r\n.\r\n");
        check(
            ".first\r\nb\r\n.last\r\n",
            "..first\r\nb\r\n..last\r\n.\r\n",
        );
        check("a\r\n.\r\nb\r\n", "a\r\n..\r\nb\r\n.\r\n");
        check("..\r\n", "...\r\n.\r\n");
        check("a.b\r\n", "a.b\r\n.\r\n");
        check("", ".\r\n");
        check(".", "..\r\n.\r\n");
        check("\r\n", "\r\n.\r\n");
    }

    #[test]
    fn a_last_line_without_end_gets_one() {
        check("a\r\nb", "a\r\nb\r\n.\r\n");
        check("a\r", "a\r\n.\r\n");
    }

    #[test]
    fn lone_cr_and_lf_become_line_ends() {
        check("a\nb\rc\r\n", "a\r\nb\r\nc\r\n.\r\n");
        check("a\n.\r\nb", "a\r\n..\r\nb\r\n.\r\n");
        check("a\r.\nb\r\r\n", "a\r\n..\r\nb\r\n\r\n.\r\n");
    }

    /// What a receiver makes of it: lines up to the end mark, one leading dot taken off.
    fn unstuffed(wire: &[u8]) -> (Vec<u8>, usize) {
        let mut content = Vec::new();
        let mut end_marks = 0;
        for line in wire.split_inclusive(|&b| b == b'\n') {
            if line == b".\r\n" {
                end_marks += 1;
            } else {
                content.extend_from_slice(line.strip_prefix(b".").unwrap_or(line));
            }
        }
        (content, end_marks)
    }

    proptest! {
        #[test]
        fn any_segmentation_gives_the_same_octets(
            octets in "[a.\r\n]{0,60}",
            cuts in proptest::collection::vec(0_usize..61, 0..6),
        ) {
            let octets = octets.as_bytes();
            let mut cuts: Vec<usize> = cuts.into_iter().map(|c| c.min(octets.len())).collect();
            cuts.sort_unstable();
            cuts.push(octets.len());
            let mut pieces = Vec::new();
            let mut from = 0;
            for cut in cuts {
                pieces.push(&octets[from..cut]);
                from = cut;
            }
            prop_assert_eq!(stuffed(&pieces), stuffed(&[octets]));
        }

        #[test]
        fn a_receiver_reads_what_was_sent(lines in proptest::collection::vec("[a.]{0,4}", 0..20)) {
            let octets: String = lines.iter().map(|line| format!("{line}\r\n")).collect();
            let (content, end_marks) = unstuffed(&stuffed(&[octets.as_bytes()]));
            prop_assert_eq!(content, octets.into_bytes());
            prop_assert_eq!(end_marks, 1);
        }

        #[test]
        fn nothing_but_crlf_ends_a_line(octets in "[a.\r\n]{0,60}") {
            let wire = stuffed(&[octets.as_bytes()]);
            for (at, &octet) in wire.iter().enumerate() {
                match octet {
                    b'\r' => prop_assert_eq!(wire.get(at + 1), Some(&b'\n')),
                    b'\n' => prop_assert!(at > 0 && wire[at - 1] == b'\r'),
                    _ => {}
                }
            }
            prop_assert_eq!(unstuffed(&wire).1, 1);
        }
    }
}
