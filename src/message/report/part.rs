//! One part of the multipart frame, and how its octets travel (RFC 2045 6).

use crate::message::folding::LINE_BYTES_MAX;
use crate::message::quoted_printable::QuotedPrintable;

/// A part, encoded as it will travel.
#[derive(Debug)]
pub(super) struct Part {
    content_type: &'static str,
    description: &'static str,
    encoding: Encoding,
    content: Vec<u8>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Encoding {
    SevenBit,
    EightBit,
    QuotedPrintable,
}

impl Part {
    /// A part that travels as it is, as 7-bit or 8-bit; only if a line of it is too long to travel,
    /// or no line at all, as in a message that came as BINARYMIME (RFC 3030 3), it is made quoted-printable, so that decoding gives back every octet.
    pub(super) fn unchanged(
        content_type: &'static str,
        description: &'static str,
        content: Vec<u8>,
    ) -> Part {
        let encoding = if is_binary(&content) || has_long_line(&content) {
            Encoding::QuotedPrintable
        } else if content.is_ascii() {
            Encoding::SevenBit
        } else {
            Encoding::EightBit
        };
        Part::encoded(content_type, description, encoding, content)
    }

    /// The beginning of a part that travels as it is, `content` and what follows; `is_8bit`: whether
    /// what follows is.
    pub(super) fn beginning(
        content_type: &'static str,
        description: &'static str,
        content: Vec<u8>,
        is_8bit: bool,
    ) -> Part {
        let encoding = if is_8bit || !content.is_ascii() {
            Encoding::EightBit
        } else {
            Encoding::SevenBit
        };
        Part::encoded(content_type, description, encoding, content)
    }

    /// A text that travels as ASCII in any case: one with other characters as quoted-printable.
    pub(super) fn text(description: &'static str, text: String) -> Part {
        let (content_type, encoding) = if text.is_ascii() {
            ("text/plain; charset=us-ascii", Encoding::SevenBit)
        } else {
            ("text/plain; charset=utf-8", Encoding::QuotedPrintable)
        };
        Part::encoded(content_type, description, encoding, text.into_bytes())
    }

    fn encoded(
        content_type: &'static str,
        description: &'static str,
        encoding: Encoding,
        content: Vec<u8>,
    ) -> Part {
        let content = match encoding {
            Encoding::SevenBit | Encoding::EightBit => content,
            Encoding::QuotedPrintable => quoted_printable(&content),
        };
        Part {
            content_type,
            description,
            encoding,
            content,
        }
    }

    /// As it travels.
    pub(super) fn content(&self) -> &[u8] {
        &self.content
    }

    pub(super) fn is_8bit(&self) -> bool {
        self.encoding == Encoding::EightBit
    }

    /// Header, empty line and content.
    pub(super) fn append_to(&self, out: &mut Vec<u8>) {
        let encoding = match self.encoding {
            Encoding::SevenBit => "7bit",
            Encoding::EightBit => "8bit",
            Encoding::QuotedPrintable => "quoted-printable",
        };
        let header = format!(
            "Content-Type: {}\r\nContent-Description: {}\r\nContent-Transfer-Encoding: {encoding}\r\n\r\n",
            self.content_type, self.description,
        );
        out.extend_from_slice(header.as_bytes());
        out.extend_from_slice(&self.content);
    }
}

/// Whether it holds what only BINARYMIME may: NUL, or CR and LF outside a CRLF.
fn is_binary(content: &[u8]) -> bool {
    let count = |octet| memchr::memchr_iter(octet, content).count();
    let crlfs = memchr::memmem::find_iter(content, b"\r\n").count();
    count(0) > 0 || count(b'\r') != crlfs || count(b'\n') != crlfs
}

fn has_long_line(content: &[u8]) -> bool {
    content
        .split(|&octet| octet == b'\n')
        .any(|line| line.strip_suffix(b"\r").unwrap_or(line).len() > LINE_BYTES_MAX)
}

/// RFC 2045 6.7. Only CRLF is a line end; lone CR and LF are octets like others.
fn quoted_printable(content: &[u8]) -> Vec<u8> {
    let mut encoder = QuotedPrintable::default();
    let mut out = Vec::with_capacity(content.len() + content.len() / 2);
    let mut rest = content;
    while !rest.is_empty() {
        match memchr::memmem::find(rest, b"\r\n") {
            Some(end) => {
                encoder.append(&rest[..end], true, &mut out);
                out.extend_from_slice(b"\r\n");
                rest = &rest[end + 2..];
            }
            None => {
                encoder.append(rest, true, &mut out);
                rest = &[];
            }
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(content: &[u8], want: &str) {
        assert_eq!(String::from_utf8_lossy(&quoted_printable(content)), want);
    }

    #[test]
    fn quoted_printable_keeps_lines_short_and_octets_whole() {
        check(b"", "");
        check(b"a = b\r\n", "a =3D b\r\n");
        check(b"x \r\n\t\r\n \tx", "x=20\r\n=09\r\n \tx");
        check("ü".as_bytes(), "=C3=BC");
        check(b"\r\n\r\n.\r\n\n\r\r\n", "\r\n\r\n.\r\n=0A=0D\r\n");
        check(&[b'x'; 76], &"x".repeat(76));
        check(&[b'x'; 77], &format!("{}=\r\nxx", "x".repeat(75)));
        check(
            &[&[b'x'; 74][..], b"=y"].concat(),
            &format!("{}=\r\n=3Dy", "x".repeat(74)),
        );
    }

    #[test]
    fn the_encoding_follows_the_octets() {
        let encoding = |content: &[u8]| Part::unchanged("a/b", "c", content.to_vec()).encoding;
        assert_eq!(encoding(b"a: b\r\n"), Encoding::SevenBit);
        assert_eq!(encoding(b"a: \xff\r\n"), Encoding::EightBit);
        let line = [&[b'x'; 998][..], b"\r\n"].concat();
        assert_eq!(encoding(&line.repeat(2)), Encoding::SevenBit);
        assert_eq!(
            encoding(&[b"x", &line[..]].concat()),
            Encoding::QuotedPrintable
        );
        for binary in [&b"a: \0\r\n"[..], b"a: b\nc\r\n", b"a: b\r"] {
            assert_eq!(encoding(binary), Encoding::QuotedPrintable);
        }
    }
}
