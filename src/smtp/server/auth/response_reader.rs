//! The client's lines within an exchange, which may be longer than commands (RFC 4954 4).

use crate::mail::limits::{AUTH_LINE_BYTES_MAX, COMMAND_FLOOD_BYTES_MAX};

/// Gathers one line. Only CRLF ends it; a line that is too long is thrown away up to there.
#[derive(Debug, Default)]
pub struct ResponseReader {
    line: Vec<u8>,
    /// Octets seen of it, kept or not.
    seen: usize,
    after_cr: bool,
}

/// Why there is no line.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ResponseFault {
    /// It had more than [`AUTH_LINE_BYTES_MAX`] octets; it is over.
    TooLong,
    /// Too much without CRLF: hang up.
    Flood,
}

impl ResponseReader {
    /// Takes octets; returns how many are done with, and the line without its CRLF when it is
    /// whole. Be done with the reader then.
    pub fn feed(&mut self, input: &[u8]) -> (usize, Option<Result<Vec<u8>, ResponseFault>>) {
        for (at, &octet) in input.iter().enumerate() {
            self.seen += 1;
            if self.seen <= AUTH_LINE_BYTES_MAX {
                self.line.push(octet);
            }
            if self.after_cr && octet == b'\n' {
                return (at + 1, Some(self.end()));
            }
            self.after_cr = octet == b'\r';
        }
        let flood = self.seen > COMMAND_FLOOD_BYTES_MAX;
        (input.len(), flood.then_some(Err(ResponseFault::Flood)))
    }

    fn end(&mut self) -> Result<Vec<u8>, ResponseFault> {
        if self.seen > AUTH_LINE_BYTES_MAX {
            return Err(ResponseFault::TooLong);
        }
        let mut line = std::mem::take(&mut self.line);
        line.truncate(line.len() - 2); // CRLF is there: it ended the line
        Ok(line)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    type Outcome = Result<Vec<u8>, ResponseFault>;

    /// Feeds `input` in pieces; gives how much was used, and what came out.
    fn read(input: &[u8], step: usize) -> (usize, Option<Outcome>) {
        let mut reader = ResponseReader::default();
        let mut used = 0;
        for piece in input.chunks(step) {
            let (consumed, outcome) = reader.feed(piece);
            used += consumed;
            if outcome.is_some() {
                return (used, outcome);
            }
        }
        (used, None)
    }

    #[track_caller]
    fn check(input: &[u8], used: usize, want: Option<Outcome>) {
        for step in [1, 2, 3, 7, 4096, usize::MAX >> 1] {
            assert_eq!(
                read(input, step),
                (used, want.clone()),
                "in pieces of {step}"
            );
        }
    }

    #[test]
    fn a_line_ends_at_crlf_and_leaves_the_rest() {
        check(b"AGE=\r\nQUIT\r\n", 6, Some(Ok(b"AGE=".to_vec())));
        check(b"\r\n", 2, Some(Ok(Vec::new())));
        check(b"a\nb\rc\r\r\n", 8, Some(Ok(b"a\nb\rc\r".to_vec())));
        check(b"abc\r", 4, None);
    }

    #[test]
    fn a_long_line_is_thrown_away_to_its_end() {
        // W-9.09
        let longest = [vec![b'x'; AUTH_LINE_BYTES_MAX - 2], b"\r\n".to_vec()].concat();
        let line = longest[..longest.len() - 2].to_vec();
        check(&longest, longest.len(), Some(Ok(line)));
        let longer = [b"x", &longest[..], b"NOOP\r\n"].concat();
        check(
            &longer,
            longest.len() + 1,
            Some(Err(ResponseFault::TooLong)),
        );
        let (_, outcome) = read(&vec![b'x'; 2 * COMMAND_FLOOD_BYTES_MAX], 4096);
        assert_eq!(outcome, Some(Err(ResponseFault::Flood)));
    }
}
