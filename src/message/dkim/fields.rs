//! The fields of a header section, and their relaxed form (RFC 6376 3.4.2).

use memchr::memchr;

/// One field as it stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Field<'a> {
    /// Without the blanks before the colon.
    pub(super) name: &'a [u8],
    /// Everything behind the colon, with all line ends.
    pub(super) value: &'a [u8],
}

impl Field<'_> {
    pub(super) fn is(&self, name: &str) -> bool {
        self.name.eq_ignore_ascii_case(name.as_bytes())
    }

    /// Appends the relaxed form, with CRLF.
    pub(super) fn append_relaxed(&self, out: &mut Vec<u8>) {
        out.extend(self.name.iter().map(u8::to_ascii_lowercase));
        out.push(b':');
        let start = out.len();
        let mut blanks = false;
        for &octet in self.value {
            match octet {
                b' ' | b'\t' => blanks = true,
                b'\r' | b'\n' => {} // of folds and of the end: see `has_bare_line_end`
                _ => {
                    if std::mem::take(&mut blanks) && out.len() > start {
                        out.push(b' ');
                    }
                    out.push(octet);
                }
            }
        }
        out.extend_from_slice(b"\r\n");
    }
}

/// The fields of a header section from top to bottom. What belongs to none is left out.
pub(super) fn fields(section: &[u8]) -> impl Iterator<Item = Field<'_>> {
    let mut rest = section;
    std::iter::from_fn(move || {
        while !rest.is_empty() {
            let (field, behind) = rest.split_at(field_end(rest));
            rest = behind;
            if let Some(colon) = memchr(b':', field) {
                return Some(Field {
                    name: field[..colon].trim_ascii_end(),
                    value: &field[colon + 1..],
                });
            }
        }
        None
    })
}

/// Where the first field of `section` ends, its folded lines included.
fn field_end(section: &[u8]) -> usize {
    let mut end = 0;
    while let Some(line_end) = memchr(b'\n', &section[end..]) {
        end += line_end + 1;
        if !matches!(section.get(end), Some(b' ' | b'\t')) {
            return end;
        }
    }
    section.len()
}

/// Whether a CR or LF stands alone, which verifiers understand in different ways.
pub(super) fn has_bare_line_end(section: &[u8]) -> bool {
    section.iter().enumerate().any(|(at, octet)| match octet {
        b'\r' => section.get(at + 1) != Some(&b'\n'),
        b'\n' => at == 0 || section[at - 1] != b'\r',
        _ => false,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(section: &str, want: &str) {
        let mut out = Vec::new();
        for field in fields(section.as_bytes()) {
            field.append_relaxed(&mut out);
        }
        assert_eq!(String::from_utf8(out).unwrap(), want);
    }

    #[test]
    fn the_example_of_the_rfc() {
        // RFC 6376 3.4.5
        check("A: X\r\nB : Y\t\r\n\tZ  \r\n", "a:X\r\nb:Y Z\r\n");
    }

    #[test]
    fn odd_fields_have_a_relaxed_form() {
        check("SUBJECT:hello\r\n", "subject:hello\r\n");
        check("a:\r\n", "a:\r\n");
        check("a: \r\n \r\n\t\r\n", "a:\r\n");
        check("a: \r\n b \r\n", "a:b\r\n");
        check("a: x: y\r\n", "a:x: y\r\n");
        check("a \t : x\r\n", "a:x\r\n");
        check("a: b\r\n c\r\n  d", "a:b c d\r\n");
        check("a: b\u{c}c \u{fc}\r\n", "a:b\u{c}c \u{fc}\r\n");
        check("a: 1\r\na: 2\r\n", "a:1\r\na:2\r\n");
        check("", "");
    }

    #[test]
    fn line_ends_that_stand_alone_are_found() {
        #[track_caller]
        fn check(section: &str, want: bool) {
            assert_eq!(has_bare_line_end(section.as_bytes()), want, "{section:?}");
        }
        check("", false);
        check("a: b\r\n c\r\n", false);
        check("a: b\n c\r\n", true);
        check("a: b\rc\r\n", true);
        check("a: b\r\r\n", true);
        check("a: b\r\n\n", true);
        check("\n", true);
        check("a: b\r", true);
    }

    #[test]
    fn mail_auth_sees_it_the_same() {
        use mail_auth::dkim::Canonicalization::Relaxed;
        let section = "A: X\r\nb :  Y\t\r\n\tZ  \r\nSubject:\r\nTo: \u{fc} \t b,\r\n \r\n";
        let all = || fields(section.as_bytes());
        let (mut theirs, mut ours) = (Vec::new(), Vec::new());
        Relaxed.canonicalize_headers(all().map(|field| (field.name, field.value)), &mut theirs);
        all().for_each(|field| field.append_relaxed(&mut ours));
        assert_eq!(ours, theirs);
    }
}
