//! Messages in one file, as mail readers open it (mboxrd): before each stands a line `From `, lines
//! that look like one are quoted, and line ends are those of Unix.

use std::io::{self, Write};

use jiff::Timestamp;
use jiff::tz::TimeZone;

/// What begins a message, and must not begin a line of one.
const FROM: &[u8] = b"From ";

/// Writes messages one after the other.
pub(super) struct Mailbox<W> {
    out: W,
    line: Line,
    /// A CR whose LF may follow.
    cr: bool,
}

/// Where in a line the next octet stands.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Line {
    /// Nothing of it but `>`.
    Start,
    /// So many octets of [`FROM`] came, and wait to be written.
    From(usize),
    /// Behind that.
    Rest,
}

impl<W: Write> Mailbox<W> {
    pub(super) fn new(out: W) -> Mailbox<W> {
        Mailbox {
            out,
            line: Line::Start,
            cr: false,
        }
    }

    /// Begins a message. `from` has no angle brackets; `arrived` is RFC 3339.
    pub(super) fn begin(&mut self, from: &str, arrived: &str) -> io::Result<()> {
        let from = match from {
            "" => "MAILER-DAEMON",
            from => from,
        };
        let from = from.replace(|c: char| c.is_whitespace() || c.is_control(), "-");
        let at: Timestamp = arrived.parse().unwrap_or(Timestamp::UNIX_EPOCH);
        let at = at.to_zoned_datetime(TimeZone::UTC);
        self.line = Line::Start;
        writeln!(
            self.out,
            "From {from} {}",
            at.strftime("%a %b %e %H:%M:%S %Y")
        )
    }

    /// Writes octets of the message.
    pub(super) fn octets(&mut self, octets: &[u8]) -> io::Result<()> {
        for octet in octets {
            if std::mem::take(&mut self.cr) && *octet != b'\n' {
                self.octet(b'\r')?;
            }
            match octet {
                b'\r' => self.cr = true,
                octet => self.octet(*octet)?,
            }
        }
        Ok(())
    }

    /// Ends the message: its last line, and an empty one.
    pub(super) fn end(&mut self) -> io::Result<()> {
        if std::mem::take(&mut self.cr) {
            self.octet(b'\r')?;
        }
        if self.line != Line::Start {
            self.octet(b'\n')?;
        }
        self.out.write_all(b"\n")
    }

    pub(super) fn into_inner(self) -> W {
        self.out
    }

    fn octet(&mut self, octet: u8) -> io::Result<()> {
        let came = match self.line {
            Line::Start if octet == b'>' => return self.out.write_all(b">"),
            Line::Start => 0,
            Line::From(came) => came,
            Line::Rest => {
                if octet == b'\n' {
                    self.line = Line::Start;
                }
                return self.out.write_all(&[octet]);
            }
        };
        if octet == FROM[came] {
            self.line = Line::From(came + 1);
            if came + 1 == FROM.len() {
                self.line = Line::Rest;
                self.out.write_all(b">")?;
                self.out.write_all(FROM)?;
            }
            return Ok(());
        }
        self.out.write_all(&FROM[..came])?;
        self.line = match octet {
            b'\n' => Line::Start,
            _ => Line::Rest,
        };
        self.out.write_all(&[octet])
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(message: &str, want: &str) {
        for piece in 1..=message.len().max(1) {
            let mut mailbox = Mailbox::new(Vec::new());
            mailbox
                .begin("ann@gp.test", "2026-11-05T12:00:00Z")
                .unwrap();
            for octets in message.as_bytes().chunks(piece) {
                mailbox.octets(octets).unwrap();
            }
            mailbox.end().unwrap();
            let written = String::from_utf8(mailbox.into_inner()).unwrap();
            let want = format!("From ann@gp.test Thu Nov  5 12:00:00 2026\n{want}");
            assert_eq!(written, want, "in pieces of {piece}");
        }
    }

    #[test]
    fn lines_that_look_like_a_new_message_are_quoted_whatever_the_pieces() {
        check("A: b\r\n\r\ntext\r\n", "A: b\n\ntext\n\n");
        check("A: b\r\n\r\nFrom x\r\n", "A: b\n\n>From x\n\n");
        check("\r\n>>From x\r\n>Fro", "\n>>>From x\n>Fro\n\n");
        check("Fro\r\nFrom: x\r\nFrFrom ", "Fro\nFrom: x\nFrFrom \n\n");
        check("a\rb\r\r\nc\r", "a\rb\r\nc\r\n\n");
        check("F", "F\n\n");
        check("", "\n");
    }

    #[test]
    fn a_report_has_a_sender_all_the_same() {
        let mut mailbox = Mailbox::new(Vec::new());
        mailbox.begin("", "?").unwrap();
        mailbox.begin("a b\n@x", "?").unwrap();
        let written = String::from_utf8(mailbox.into_inner()).unwrap();
        let date = "Thu Jan  1 00:00:00 1970";
        assert_eq!(
            written,
            format!("From MAILER-DAEMON {date}\nFrom a-b-@x {date}\n")
        );
    }
}
