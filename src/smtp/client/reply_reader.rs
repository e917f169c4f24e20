//! Octets of a remote host, read as replies (RFC 5321 4.2.1).

use memchr::memchr;

use crate::mail::limits::{REMOTE_REPLY_BYTES_MAX, REMOTE_REPLY_LINES_MAX};
use crate::mail::{Reply, ReplyCode};

/// What a remote did that is no SMTP. Nothing it says afterwards can be trusted to belong to what
/// we asked, so the connection is given up.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ProtocolFault {
    /// A line without a code from 200 to 599 and a space or hyphen behind it.
    #[error("the remote host sent a line that is no SMTP reply")]
    NotAReply,
    /// The lines of one reply have different codes.
    #[error("the remote host sent a reply whose lines have different codes")]
    CodesDiffer,
    /// More than [`REMOTE_REPLY_BYTES_MAX`] or [`REMOTE_REPLY_LINES_MAX`].
    #[error("the remote host sent a reply without end")]
    TooLong,
    /// Octets came while no command was unanswered.
    #[error("the remote host sent a reply that nothing had asked for")]
    Unasked,
    /// A reply of a class that has no meaning at this place.
    #[error("the remote host sent a reply that has no meaning at this place")]
    OutOfPlace,
}

/// A whole reply with its lines as they came.
#[derive(Clone, PartialEq, Eq)]
pub struct RemoteReply {
    code: ReplyCode,
    /// The texts of all lines, one behind the other.
    text: Vec<u8>,
    /// Where each of them ends.
    ends: Vec<usize>,
}

impl RemoteReply {
    /// Basic code.
    #[must_use]
    pub fn code(&self) -> ReplyCode {
        self.code
    }

    /// What stands behind code and separator, line by line, as raw as it came.
    pub fn lines(&self) -> impl Iterator<Item = &[u8]> {
        let mut from = 0;
        self.ends.iter().map(move |&end| {
            let line = &self.text[from..end];
            from = end;
            line
        })
    }

    /// The same, safe to show and to keep.
    #[must_use]
    pub fn to_reply(&self) -> Reply {
        Reply::from_lines(self.code, self.lines())
    }
}

impl std::fmt::Debug for RemoteReply {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "RemoteReply({})", self.to_reply())
    }
}

/// Puts replies together from octets in pieces of any size. After a fault it is of no more use.
#[derive(Debug, Default)]
pub struct ReplyReader {
    /// The line that has no end yet.
    line: Vec<u8>,
    /// The lines before it, if they were not the last of their reply.
    begun: Option<RemoteReply>,
}

impl ReplyReader {
    /// Stands before the first octet.
    #[must_use]
    pub fn new() -> ReplyReader {
        ReplyReader::default()
    }

    /// Takes octets off the front of `input` until a reply is whole; `None` when more are needed.
    /// What is left in `input` belongs to the next reply, or to none.
    ///
    /// Lines may end in a bare LF, as some hosts do it; a CR elsewhere is text.
    pub fn take(&mut self, input: &mut &[u8]) -> Result<Option<RemoteReply>, ProtocolFault> {
        while !input.is_empty() {
            let (piece, whole) = match memchr(b'\n', input) {
                Some(at) => (&input[..=at], true),
                None => (*input, false),
            };
            *input = &input[piece.len()..];
            let held = self.line.len() + self.begun.as_ref().map_or(0, |reply| reply.text.len());
            if held + piece.len() > REMOTE_REPLY_BYTES_MAX {
                return Err(ProtocolFault::TooLong);
            }
            self.line.extend_from_slice(piece);
            if !whole {
                continue;
            }
            if let Some(reply) = self.end_line()? {
                return Ok(Some(reply));
            }
        }
        Ok(None)
    }

    /// Reads the line that has just become whole.
    fn end_line(&mut self) -> Result<Option<RemoteReply>, ProtocolFault> {
        let line = std::mem::take(&mut self.line);
        let line = line.strip_suffix(b"\n").unwrap_or(&line);
        let line = line.strip_suffix(b"\r").unwrap_or(line);
        let (code, is_last, text) = split_line(line).ok_or(ProtocolFault::NotAReply)?;
        let mut reply = self.begun.take().unwrap_or(RemoteReply {
            code,
            text: Vec::new(),
            ends: Vec::new(),
        });
        if reply.code != code {
            return Err(ProtocolFault::CodesDiffer);
        }
        if reply.ends.len() == REMOTE_REPLY_LINES_MAX {
            return Err(ProtocolFault::TooLong);
        }
        reply.text.extend_from_slice(text);
        reply.ends.push(reply.text.len());
        if is_last {
            return Ok(Some(reply));
        }
        self.begun = Some(reply);
        Ok(None)
    }
}

/// Code, whether the reply ends here, and the text.
fn split_line(line: &[u8]) -> Option<(ReplyCode, bool, &[u8])> {
    let (digits, rest) = line.split_at_checked(3)?;
    let number = digits.iter().try_fold(0_u16, |number, digit| {
        digit
            .is_ascii_digit()
            .then(|| number * 10 + u16::from(digit - b'0'))
    })?;
    let code = ReplyCode::new(number)?;
    match rest.split_first() {
        None => Some((code, true, rest)),
        Some((b' ', text)) => Some((code, true, text)),
        Some((b'-', text)) => Some((code, false, text)),
        Some(_) => None,
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// All replies in `octets`, each as code and lines.
    fn read(octets: &[u8]) -> Result<Vec<String>, ProtocolFault> {
        read_pieces(&[octets])
    }

    fn read_pieces(pieces: &[&[u8]]) -> Result<Vec<String>, ProtocolFault> {
        let (mut reader, mut replies) = (ReplyReader::new(), Vec::new());
        for piece in pieces {
            let mut input = *piece;
            while let Some(reply) = reader.take(&mut input)? {
                let lines: Vec<_> = reply.lines().map(String::from_utf8_lossy).collect();
                replies.push(format!("{} {}", reply.code(), lines.join("|")));
            }
            assert!(input.is_empty());
        }
        Ok(replies)
    }

    #[track_caller]
    fn check(octets: &[u8], want: &[&str]) {
        assert_eq!(
            read(octets),
            Ok(want.iter().map(|&s| s.to_owned()).collect())
        );
    }

    #[track_caller]
    fn check_fault(octets: &[u8], want: ProtocolFault) {
        assert_eq!(
            read(octets),
            Err(want),
            "{:?}",
            String::from_utf8_lossy(octets)
        );
    }

    #[test]
    fn replies_of_every_lawful_form_are_read() {
        // W-15.01
        check(b"250 ok\r\n", &["250 ok"]);
        check(b"250\r\n", &["250 "]);
        check(b"250 \r\n", &["250 "]);
        check(b"250-\r\n250 b\r\n", &["250 |b"]);
        check(b"250-a\r\n250-b\r\n250 c\r\n", &["250 a|b|c"]);
        check(b"250-a\n250 b\n", &["250 a|b"]);
        check(b"250 a\r\n354 b\r\n", &["250 a", "354 b"]);
        check(b"250-a\r\n250\r\n", &["250 a|"]);
        check(b"250 no end", &[]);
    }

    #[test]
    fn what_is_no_reply_is_a_fault() {
        // W-15.02
        check_fault(b"250-a\r\n550 b\r\n", ProtocolFault::CodesDiffer);
        for line in [
            "2500 x\r\n",
            "25 x\r\n",
            "ok\r\n",
            "\r\n",
            "\n",
            "199 x\r\n",
            "600 x\r\n",
            "000 x\r\n",
            "25O x\r\n",
            " 250 x\r\n",
            "250\tx\r\n",
            "250-a\r\n\r\n",
            "2\r\n",
        ] {
            check_fault(line.as_bytes(), ProtocolFault::NotAReply);
        }
    }

    #[test]
    fn strange_octets_in_the_text_leave_the_code_alone() {
        // W-15.04
        let mut input: &[u8] = b"550 5.1.1 a\0b\x1bc\xffd\re\r\n";
        let reply = ReplyReader::new().take(&mut input).unwrap().unwrap();
        assert_eq!(reply.to_reply().to_string(), "550 5.1.1 a?b?c?d?e");
    }

    #[test]
    fn long_lines_are_read_and_endless_replies_are_not() {
        // W-15.05
        let long = [b"550 ".as_slice(), &[b'x'; 10_000], b"\r\n"].concat();
        assert_eq!(read(&long).unwrap().len(), 1);
        check_fault(
            &vec![b'2'; REMOTE_REPLY_BYTES_MAX + 1],
            ProtocolFault::TooLong,
        );
        let many = "250-\r\n".repeat(REMOTE_REPLY_LINES_MAX + 1);
        check_fault(many.as_bytes(), ProtocolFault::TooLong);
        let wide = format!("250-{}\r\n", "x".repeat(1_000)).repeat(100);
        check_fault(wide.as_bytes(), ProtocolFault::TooLong);
        let most = "250-a\r\n".repeat(REMOTE_REPLY_LINES_MAX - 1) + "250 a\r\n";
        assert_eq!(read(most.as_bytes()).unwrap().len(), 1);
    }

    proptest! {
        #[test]
        fn any_segmentation_gives_the_same_replies(cuts in proptest::collection::vec(0_usize..60, 0..8)) {
            let octets = b"220-a b\r\n220-\r\n220 c\n250\r\n354 go\rx\r\n250-d\r\n250 e\r\n";
            let mut cuts: Vec<usize> = cuts.into_iter().map(|c| c.min(octets.len())).collect();
            cuts.sort_unstable();
            cuts.push(octets.len());
            let mut pieces: Vec<&[u8]> = Vec::new();
            let mut from = 0;
            for cut in cuts {
                pieces.push(&octets[from..cut]);
                from = cut;
            }
            prop_assert_eq!(read_pieces(&pieces), read(octets));
        }
    }
}
