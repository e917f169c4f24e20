//! Quoted-printable (RFC 2045 6.7), as the octets come.

/// Longest line, in octets without CRLF (RFC 2045 6.7).
pub(super) const QUOTED_LINE_BYTES_MAX: usize = 76;

/// Encodes line by line; each line may come in pieces. Only CRLF is a line end; lone CR and LF are
/// octets like others.
#[derive(Debug, Default)]
pub(super) struct QuotedPrintable {
    /// Octets that stand on the line that is being written.
    column: usize,
}

impl QuotedPrintable {
    /// Appends a piece of a line, its CRLF apart; `ends`: whether the line ends with it.
    pub(super) fn append(&mut self, piece: &[u8], ends: bool, out: &mut Vec<u8>) {
        for (at, &octet) in piece.iter().enumerate() {
            let is_last = ends && at + 1 == piece.len();
            let plain = match octet {
                b' ' | b'\t' => at + 1 < piece.len(),
                b'=' => false,
                _ => octet.is_ascii_graphic(),
            };
            let width = if plain { 1 } else { 3 };
            // Room for the `=` of a soft line end, but behind the last octet.
            if self.column + width + usize::from(!is_last) > QUOTED_LINE_BYTES_MAX {
                out.extend_from_slice(b"=\r\n");
                self.column = 0;
            }
            if plain {
                out.push(octet);
            } else {
                out.extend_from_slice(&[b'=', hex(octet >> 4), hex(octet & 0xf)]);
            }
            self.column += width;
        }
        if ends {
            self.column = 0;
        }
    }
}

/// `digit` is below 16.
fn hex(digit: u8) -> u8 {
    b"0123456789ABCDEF"[usize::from(digit)]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_in_pieces_is_the_same_line_but_for_blanks_at_their_ends() {
        let line = "x=\u{fc} y".repeat(30);
        let mut whole = Vec::new();
        QuotedPrintable::default().append(line.as_bytes(), true, &mut whole);
        let (mut pieces, mut encoder) = (Vec::new(), QuotedPrintable::default());
        for piece in line.as_bytes().chunks(6) {
            encoder.append(piece, false, &mut pieces);
        }
        encoder.append(b"", true, &mut pieces);
        for encoded in [&whole, &pieces] {
            let text = String::from_utf8(encoded.clone()).unwrap();
            assert!(text.split("\r\n").all(|line| line.len() <= 76), "{text}");
            let unbroken = text.replace("=\r\n", "").replace("=20", " ");
            assert_eq!(unbroken, "x=3D=C3=BC y".repeat(30));
        }
    }

    #[test]
    fn blanks_are_never_last_on_a_line() {
        let mut out = Vec::new();
        let mut encoder = QuotedPrintable::default();
        encoder.append(b"a ", false, &mut out);
        encoder.append(b"\t", true, &mut out);
        assert_eq!(out, b"a=20=09");
    }
}
