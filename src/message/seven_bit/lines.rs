//! Octets cut into lines, whatever pieces they come in.

use memchr::memchr;

/// A line that is longer is passed on in fragments of so many octets, or one fewer.
const FRAGMENT_BYTES: usize = 4_096;

/// A line or a fragment of one, with its line end if that is in it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Line<'a> {
    pub(super) octets: &'a [u8],
    /// Whether the line begins here.
    pub(super) starts: bool,
    /// Whether it ends here.
    pub(super) ends: bool,
}

impl<'a> Line<'a> {
    /// Whether this is not all of a line: more follows, or could have.
    pub(super) fn is_cut(&self) -> bool {
        !self.ends && self.octets.len() >= FRAGMENT_BYTES - 1
    }

    /// Without CRLF, and whether that was there.
    pub(super) fn content(&self) -> (&'a [u8], bool) {
        match self.octets.strip_suffix(b"\r\n") {
            Some(content) => (content, true),
            None => (self.octets, false),
        }
    }
}

/// Cuts.
#[derive(Debug)]
pub(super) struct Lines {
    held: Vec<u8>,
    at_start: bool,
}

impl Lines {
    pub(super) fn new() -> Lines {
        Lines {
            held: Vec::new(),
            at_start: true,
        }
    }

    /// Hands on the lines that `input` ends, and of long ones what there is. Where a line is cut into
    /// fragments depends on the line alone, and never is between CR and LF.
    pub(super) fn feed<E>(
        &mut self,
        mut input: &[u8],
        mut take: impl FnMut(Line<'_>) -> Result<(), E>,
    ) -> Result<(), E> {
        while !input.is_empty() {
            let room = FRAGMENT_BYTES - self.held.len();
            let window = &input[..room.min(input.len())];
            let end = memchr(b'\n', window);
            if end.is_none() && window.len() < room {
                self.held.extend_from_slice(window);
                return Ok(());
            }
            let (piece, rest) = input.split_at(end.map_or(room, |at| at + 1));
            input = rest;
            let ends = end.is_some();
            let last_is_cr = !ends && piece.ends_with(b"\r");
            let piece = &piece[..piece.len() - usize::from(last_is_cr)];
            let starts = std::mem::replace(&mut self.at_start, ends);
            let octets = if self.held.is_empty() {
                piece
            } else {
                self.held.extend_from_slice(piece);
                &self.held
            };
            take(Line {
                octets,
                starts,
                ends,
            })?;
            self.held.clear();
            if last_is_cr {
                self.held.push(b'\r');
            }
        }
        Ok(())
    }

    /// Hands on what is left: a line without an end.
    pub(super) fn finish<E>(self, take: impl FnOnce(Line<'_>) -> Result<(), E>) -> Result<(), E> {
        if self.held.is_empty() {
            return Ok(());
        }
        take(Line {
            octets: &self.held,
            starts: self.at_start,
            ends: false,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn cut(text: &[u8], size: usize) -> Vec<(Vec<u8>, bool, bool)> {
        let (mut lines, mut found) = (Lines::new(), Vec::new());
        let mut take = |line: Line<'_>| {
            found.push((line.octets.to_vec(), line.starts, line.ends));
            Ok::<(), ()>(())
        };
        for piece in text.chunks(size) {
            lines.feed(piece, &mut take).unwrap();
        }
        lines.finish(take).unwrap();
        found
    }

    #[test]
    fn lines_are_the_same_in_any_pieces() {
        let text = b"a\r\n\r\nbc\nd";
        let want: Vec<(Vec<u8>, bool, bool)> = [
            (&b"a\r\n"[..], true),
            (b"\r\n", true),
            (b"bc\n", true),
            (b"d", false),
        ]
        .map(|(line, ends)| (line.to_vec(), true, ends))
        .to_vec();
        for size in [1, 2, 3, 100] {
            assert_eq!(cut(text, size), want, "pieces of {size}");
        }
    }

    #[test]
    fn long_lines_come_in_the_same_fragments_in_any_pieces() {
        let text = |long: usize| [&vec![b'x'; long][..], b"\r\nend"].concat();
        for (long, want) in [
            (4_094, vec![4_096, 3]),
            (4_095, vec![4_095, 2, 3]), // CRLF stays whole
            (4_096, vec![4_096, 2, 3]),
            (10_000, vec![4_096, 4_096, 1_810, 3]),
        ] {
            for size in [1, 7, 4_096, 5_000, 20_000] {
                let cut = cut(&text(long), size);
                let lengths: Vec<usize> = cut.iter().map(|(octets, ..)| octets.len()).collect();
                assert_eq!(lengths, want, "{long} in pieces of {size}");
                let whole: Vec<u8> = cut.iter().flat_map(|(octets, ..)| octets.clone()).collect();
                assert_eq!(whole, text(long));
                let starts: Vec<bool> = cut.iter().map(|(_, starts, _)| *starts).collect();
                let last = starts.len() - 1;
                assert!((0..=last).all(|at| starts[at] == (at == 0 || at == last)));
            }
        }
    }
}
