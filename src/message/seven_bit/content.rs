//! What the header of an entity says about its body (RFC 2045), and how that is said anew.

use super::Obstacle;

/// What an entity is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Content {
    pub(super) kind: Kind,
    pub(super) encoding: Encoding,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    /// Parts between delimiters.
    Multipart {
        boundary: Vec<u8>,
        /// Whether parts without a type of their own are messages (RFC 2046 5.1.5).
        is_digest: bool,
        /// Whether its octets are signed or encrypted as they are (RFC 1847).
        is_sealed: bool,
    },
    /// A message with a header of its own; may not be encoded (RFC 2046 5.2.1).
    Message,
    /// A message, or what is said of one, with UTF-8 in its header fields; may be encoded (RFC 6532 3.7,
    /// RFC 6533 6).
    Global,
    /// Octets that may be encoded.
    Leaf,
    /// Octets that may not be encoded (RFC 2046 5.2).
    Fixed,
}

/// Content-Transfer-Encoding (RFC 2045 6.1).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Encoding {
    /// `7bit`, or none said.
    SevenBit,
    /// `8bit` or `binary`: as it is.
    Wide,
    /// `quoted-printable`, `base64`, or one that we don't know: it should be ASCII.
    Encoded,
}

/// What is said anew.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Said {
    SevenBit,
    QuotedPrintable,
    Base64,
}

impl Content {
    /// Reads a header, empty line and all. `in_digest`: of a part of a multipart/digest.
    pub(super) fn of(header: &[u8], in_digest: bool) -> Result<Content, Obstacle> {
        if !header.is_ascii() {
            return Err(Obstacle::HeaderIs8Bit);
        }
        if !Fields(header).all(is_well_formed) {
            return Err(Obstacle::Malformed);
        }
        let content_type = only(header, "Content-Type")?;
        let kind = match &content_type {
            None if in_digest => Kind::Message,
            None => Kind::Leaf,
            Some(value) => kind_of(value)?,
        };
        let encoding = match only(header, "Content-Transfer-Encoding")? {
            None => Encoding::SevenBit,
            Some(value) => {
                let mut words = Words(&value);
                match words.token().to_ascii_lowercase().as_slice() {
                    b"7bit" => Encoding::SevenBit,
                    b"8bit" | b"binary" => Encoding::Wide,
                    _ => Encoding::Encoded,
                }
            }
        };
        let is_composite = matches!(kind, Kind::Multipart { .. } | Kind::Message);
        if is_composite && encoding == Encoding::Encoded {
            return Err(Obstacle::Malformed); // RFC 2045 6.4 forbids it
        }
        Ok(Content { kind, encoding })
    }
}

/// Appends `header`, with its encoding said anew. A text without a type gets one that owns up to what
/// we know (RFC 1428), and a message `MIME-Version` if it has none.
pub(super) fn say(header: &[u8], said: Said, is_message: bool, out: &mut Vec<u8>) {
    let encoding: &[u8] = match said {
        Said::SevenBit => b"Content-Transfer-Encoding: 7bit\r\n",
        Said::QuotedPrintable => b"Content-Transfer-Encoding: quoted-printable\r\n",
        Said::Base64 => b"Content-Transfer-Encoding: base64\r\n",
    };
    let (mut has_encoding, mut has_type, mut has_version) = (false, false, false);
    let mut fields = Fields(header);
    for field in &mut fields {
        if is_named(field, "Content-Transfer-Encoding") {
            has_encoding = true;
            out.extend_from_slice(encoding);
            continue;
        }
        has_type |= is_named(field, "Content-Type");
        has_version |= is_named(field, "MIME-Version");
        out.extend_from_slice(field);
    }
    if is_message && !has_version {
        out.extend_from_slice(b"MIME-Version: 1.0\r\n");
    }
    if said != Said::SevenBit && !has_type {
        out.extend_from_slice(b"Content-Type: text/plain; charset=unknown-8bit\r\n");
    }
    if !has_encoding {
        out.extend_from_slice(encoding);
    }
    out.extend_from_slice(fields.0); // the empty line
}

/// The fields of a header, folded lines and all; what is left is the empty line.
struct Fields<'a>(&'a [u8]);

impl<'a> Iterator for Fields<'a> {
    type Item = &'a [u8];

    fn next(&mut self) -> Option<&'a [u8]> {
        let header = self.0;
        if header.is_empty() || header == b"\r\n" || header == b"\n" {
            return None;
        }
        let mut end = 0;
        loop {
            end += memchr::memchr(b'\n', &header[end..]).map_or(header.len() - end, |at| at + 1);
            if !matches!(header.get(end), Some(b' ' | b'\t')) {
                break;
            }
        }
        let (field, rest) = header.split_at(end);
        self.0 = rest;
        Some(field)
    }
}

/// Has a name (RFC 5322 2.2), perhaps with blanks behind it (RFC 5322 4.5).
fn is_well_formed(field: &[u8]) -> bool {
    let name = memchr::memchr(b':', field).map(|at| field[..at].trim_ascii_end());
    name.is_some_and(|name| !name.is_empty() && name.iter().all(u8::is_ascii_graphic))
}

fn is_named(field: &[u8], name: &str) -> bool {
    let colon = memchr::memchr(b':', field);
    colon.is_some_and(|at| {
        field[..at]
            .trim_ascii_end()
            .eq_ignore_ascii_case(name.as_bytes())
    })
}

/// The value of the only field of that name, unfolded. Two of them may be read in two ways.
fn only(header: &[u8], name: &str) -> Result<Option<Vec<u8>>, Obstacle> {
    let mut found = Fields(header).filter(|field| is_named(field, name));
    let Some(field) = found.next() else {
        return Ok(None);
    };
    if found.next().is_some() {
        return Err(Obstacle::Malformed);
    }
    let value = memchr::memchr(b':', field).map_or(&[][..], |at| &field[at + 1..]);
    let unfolded = value.iter().filter(|octet| !matches!(octet, b'\r' | b'\n'));
    Ok(Some(unfolded.copied().collect()))
}

fn kind_of(value: &[u8]) -> Result<Kind, Obstacle> {
    let mut words = Words(value);
    let main = words.token().to_ascii_lowercase();
    let has_slash = words.takes(b'/');
    let sub = words.token().to_ascii_lowercase();
    match main.as_slice() {
        b"multipart" if !has_slash || sub.is_empty() => Err(Obstacle::Malformed),
        b"multipart" => Ok(Kind::Multipart {
            boundary: boundary(words)?,
            is_digest: sub == b"digest",
            is_sealed: sub == b"signed" || sub == b"encrypted",
        }),
        b"message" => Ok(match sub.as_slice() {
            b"rfc822" => Kind::Message,
            b"global" | b"global-headers" | b"global-delivery-status" => Kind::Global,
            _ => Kind::Fixed,
        }),
        _ => Ok(Kind::Leaf), // malformed ones count as text (RFC 2045 5.2)
    }
}

/// Of the parameters that follow a type.
fn boundary(mut words: Words<'_>) -> Result<Vec<u8>, Obstacle> {
    while words.takes(b';') {
        let name = words.token().to_ascii_lowercase();
        if !words.takes(b'=') {
            continue;
        }
        let value = words.value();
        if name == b"boundary" {
            // Blanks at its end would be lost on the way (RFC 2046 5.1.1).
            let fits = (1..=70).contains(&value.len()) && !value.ends_with(b" ");
            return if fits {
                Ok(value)
            } else {
                Err(Obstacle::Malformed)
            };
        }
    }
    Err(Obstacle::Malformed)
}

/// Reads a structured field's value (RFC 2045 5.1), comments passed over.
struct Words<'a>(&'a [u8]);

impl Words<'_> {
    fn skip(&mut self) {
        let mut depth = 0_usize;
        loop {
            self.0 = match self.0 {
                [b'(', rest @ ..] => {
                    depth += 1;
                    rest
                }
                [b')', rest @ ..] if depth > 0 => {
                    depth -= 1;
                    rest
                }
                [b'\\', _, rest @ ..] if depth > 0 => rest,
                [b' ' | b'\t', rest @ ..] => rest,
                [_, rest @ ..] if depth > 0 => rest,
                _ => return,
            };
        }
    }

    fn takes(&mut self, octet: u8) -> bool {
        self.skip();
        match self.0 {
            [first, rest @ ..] if *first == octet => {
                self.0 = rest;
                true
            }
            _ => false,
        }
    }

    fn token(&mut self) -> Vec<u8> {
        self.skip();
        let is_special =
            |octet: &u8| !octet.is_ascii_graphic() || b"()<>@,;:\\\"/[]?=".contains(octet);
        let end = self.0.iter().position(is_special).unwrap_or(self.0.len());
        let (token, rest) = self.0.split_at(end);
        self.0 = rest;
        token.to_vec()
    }

    /// A token or a quoted string.
    fn value(&mut self) -> Vec<u8> {
        if !self.takes(b'"') {
            return self.token();
        }
        let mut value = Vec::new();
        loop {
            self.0 = match self.0 {
                [b'"', rest @ ..] => {
                    self.0 = rest;
                    return value;
                }
                [b'\\', quoted, rest @ ..] => {
                    value.push(*quoted);
                    rest
                }
                [octet, rest @ ..] => {
                    value.push(*octet);
                    rest
                }
                [] => return value,
            };
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn multipart(boundary: &str) -> Result<Kind, Obstacle> {
        Ok(Kind::Multipart {
            boundary: boundary.into(),
            is_digest: false,
            is_sealed: false,
        })
    }

    #[test]
    fn types_are_read_as_written() {
        #[track_caller]
        fn check(value: &str, want: Result<Kind, Obstacle>) {
            let header = format!("A: b\r\ncontent-type :{value}\r\n\r\n");
            let kind = Content::of(header.as_bytes(), false).map(|content| content.kind);
            assert_eq!(kind, want, "{value}");
        }
        check(" text/plain; charset=utf-8", Ok(Kind::Leaf));
        check("", Ok(Kind::Leaf));
        check("nonsense", Ok(Kind::Leaf));
        check("MULTIPART/Mixed;boundary=a", multipart("a"));
        check(
            " multipart/mixed (a;\\)b) ; x=\"; boundary=z\";\r\n\tBoundary = \"a b\\\"c\"",
            multipart("a b\"c"),
        );
        check(
            "multipart/mixed; boundary=\"a:b\"; charset=x",
            multipart("a:b"),
        );
        check("message/rfc822", Ok(Kind::Message));
        check("message/global", Ok(Kind::Global));
        check("message/partial; id=x", Ok(Kind::Fixed));
        check("multipart/mixed", Err(Obstacle::Malformed));
        check("multipart; boundary=a", Err(Obstacle::Malformed));
        check(
            "multipart/mixed; boundary*=utf-8''a",
            Err(Obstacle::Malformed),
        );
        check("multipart/mixed; boundary=\"\"", Err(Obstacle::Malformed));
        check(
            "text/plain\r\nContent-Type: text/html",
            Err(Obstacle::Malformed),
        );
    }

    #[test]
    fn encodings_are_read_and_said_anew() {
        #[track_caller]
        fn check(header: &str, said: Said, want: &str) {
            let mut out = Vec::new();
            say(header.as_bytes(), said, true, &mut out);
            assert_eq!(String::from_utf8(out).unwrap(), want);
        }
        let wide = "MIME-Version: 1.0\r\nContent-Transfer-Encoding:\r\n 8BIT (x)\r\nContent-Type: text/x\r\n\r\n";
        let content = Content::of(wide.as_bytes(), false).unwrap();
        assert_eq!(content.encoding, Encoding::Wide);
        check(
            wide,
            Said::QuotedPrintable,
            "MIME-Version: 1.0\r\nContent-Transfer-Encoding: quoted-printable\r\nContent-Type: text/x\r\n\r\n",
        );
        check(
            "A: b\r\n c\r\n\r\n",
            Said::Base64,
            "A: b\r\n c\r\nMIME-Version: 1.0\r\nContent-Type: text/plain; charset=unknown-8bit\r\nContent-Transfer-Encoding: base64\r\n\r\n",
        );
        check(
            "Content-type: text/x\r\n\r\n",
            Said::SevenBit,
            "Content-type: text/x\r\nMIME-Version: 1.0\r\nContent-Transfer-Encoding: 7bit\r\n\r\n",
        );
    }

    #[test]
    fn composites_are_never_encoded() {
        let header = "Content-Type: message/rfc822\r\nContent-Transfer-Encoding: base64\r\n\r\n";
        assert_eq!(
            Content::of(header.as_bytes(), false),
            Err(Obstacle::Malformed)
        );
    }
}
