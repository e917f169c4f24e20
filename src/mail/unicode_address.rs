//! Addresses of the type `utf-8` in places that take ASCII only (RFC 6533 3, utf-8-addr-xtext):
//! `\x{FC}` for a character that may not stand for itself.

use std::fmt::Write;

/// Writes `text` in visible ASCII without `+` and `=`.
#[must_use]
pub fn escape(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for character in text.chars() {
        if stands_for_itself(character) {
            out.push(character);
        } else {
            write!(out, "\\x{{{:02X}}}", u32::from(character)).expect("a String takes everything");
        }
    }
    out
}

/// Reads it back. Characters beyond ASCII may also stand as they are (utf-8-addr-unitext). `None` if
/// it is malformed.
#[must_use]
pub fn unescape(escaped: &str) -> Option<String> {
    let mut out = String::with_capacity(escaped.len());
    let mut rest = escaped;
    while let Some(first) = rest.chars().next() {
        if first == '\\' {
            let (digits, behind) = rest.strip_prefix("\\x{")?.split_once('}')?;
            out.push(character(digits)?);
            rest = behind;
        } else if stands_for_itself(first) || !first.is_ascii() {
            out.push(first);
            rest = &rest[first.len_utf8()..];
        } else {
            return None;
        }
    }
    Some(out)
}

/// Two to six upper case digits, none a needless zero, of a character that may not stand for itself.
fn character(digits: &str) -> Option<char> {
    let well_formed = matches!(digits.len(), 2..=6)
        && (digits.len() == 2 || !digits.starts_with('0'))
        && digits
            .bytes()
            .all(|b| matches!(b, b'0'..=b'9' | b'A'..=b'F'));
    let number = well_formed.then(|| u32::from_str_radix(digits, 16).ok());
    char::from_u32(number??).filter(|&c| !stands_for_itself(c))
}

fn stands_for_itself(character: char) -> bool {
    character.is_ascii_graphic() && !matches!(character, '+' | '=' | '\\')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_ways() {
        for (text, escaped) in [
            ("bob@dest.test", "bob@dest.test"),
            ("ü+x= \\", r"\x{FC}\x{2B}x\x{3D}\x{20}\x{5C}"),
            ("\u{1F4E7}\u{10FFFF}\n", r"\x{1F4E7}\x{10FFFF}\x{0A}"),
        ] {
            assert_eq!(escape(text), escaped);
            assert_eq!(unescape(escaped).as_deref(), Some(text));
        }
        assert_eq!(unescape(r"ü\x{FC}").as_deref(), Some("üü"));
    }

    #[test]
    fn malformed_ones_are_refused() {
        for text in [
            "+",
            "=",
            " ",
            "\\",
            r"\x",
            r"\x{",
            r"\x{}",
            r"\x{F}",
            r"\x{fc}",
            r"\x{00FC}",
            r"\x{41}",
            r"\x{D800}",
            r"\x{110000}",
            r"\x{1000000}",
            r"\u{FC}",
            r"\x{+C}",
        ] {
            assert_eq!(unescape(text), None, "{text}");
        }
    }
}
