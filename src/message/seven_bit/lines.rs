//! Octets cut into lines, whatever pieces they come in.

use memchr::memchr;

/// More of a line is not held back: it is passed on in fragments.
const HELD_BYTES_MAX: usize = 4_096;

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

    /// Hands on the lines that `input` ends, and of long ones what there is. No fragment ends
    /// between CR and LF.
    pub(super) fn feed<E>(
        &mut self,
        mut input: &[u8],
        mut take: impl FnMut(Line<'_>) -> Result<(), E>,
    ) -> Result<(), E> {
        while !input.is_empty() {
            let end = memchr(b'\n', input);
            let (piece, rest) = input.split_at(end.map_or(input.len(), |at| at + 1));
            input = rest;
            let ends = end.is_some();
            if !ends && self.held.len() + piece.len() <= HELD_BYTES_MAX {
                self.held.extend_from_slice(piece);
                continue;
            }
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
    fn long_lines_come_in_fragments_that_leave_crlf_whole() {
        let text = [&vec![b'x'; 10_000][..], b"\r\nend"].concat();
        for size in [1, 5_000, 10_001, 20_000] {
            let cut = cut(&text, size);
            let whole: Vec<u8> = cut.iter().flat_map(|(octets, ..)| octets.clone()).collect();
            assert_eq!(whole, text);
            assert!(
                cut[0].1
                    && cut
                        .iter()
                        .skip(1)
                        .all(|(_, starts, _)| !starts || cut.last().unwrap().0 == b"end")
            );
            assert!(
                cut.iter()
                    .all(|(octets, ..)| !octets.ends_with(b"\r") && octets.first() != Some(&b'\n'))
            );
            let ends: Vec<&[u8]> = cut
                .iter()
                .filter(|(_, _, ends)| *ends)
                .map(|(octets, ..)| &octets[octets.len() - 2..])
                .collect();
            assert_eq!(ends, [b"\r\n"]);
        }
    }
}
