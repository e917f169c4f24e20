//! How what peers chose is written in a report. Addresses are well-formed, but may hold blanks and
//! quotes, any UTF-8, and domains far longer than their A-labels; words may hold anything.

use crate::mail::limits::REPLY_TEXT_BYTES_MAX;
use crate::mail::{Address, OriginalRecipient, unicode_address};

/// Longest address that is shown in the spelling it came in, in octets.
const AS_GIVEN_BYTES_MAX: usize = 512;
/// Longest address with a type, in octets: it must stand on one line.
const TYPED_BYTES_MAX: usize = 900;
/// What is shown of the words about one recipient, in characters: a whole reply, and our own words.
const WORDS_CHARS_MAX: usize = 2 * REPLY_TEXT_BYTES_MAX;

/// For people: the spelling that came in, in UTF-8.
pub(super) fn for_people(address: &Address) -> String {
    let as_given = address.to_string();
    if as_given.len() <= AS_GIVEN_BYTES_MAX {
        visible(&as_given)
    } else {
        visible(&with_a_labels(address))
    }
}

/// For To: ASCII if an ASCII spelling exists. One without can be delivered with SMTPUTF8 only, which
/// also lets it stand in a header field (RFC 6532 3.2).
pub(super) fn in_header(address: &Address) -> String {
    visible(&ascii_if_possible(address))
}

/// For Final-Recipient and its like: an address type and the address, in ASCII: `rfc822` (RFC 3464
/// 2.1.2), or `utf-8` in the form for ASCII places (RFC 6533 3, utf-8-addr-xtext). With `smtputf8`
/// that is not needed (utf-8-address).
pub(super) fn typed(address: &Address, smtputf8: bool) -> String {
    let text = ascii_if_possible(address);
    if text.is_ascii() {
        return format!("rfc822; {text}");
    }
    if smtputf8 {
        return format!("utf-8; {}", visible(&text));
    }
    let mut out = format!("utf-8; {}", unicode_address::escape(&text));
    if out.len() > TYPED_BYTES_MAX {
        // Over 128 non-ASCII characters in a local-part that RFC 5321 4.5.3.1.1 bounds at 64 octets:
        // a line of the right form says less than it should, rather than be cut in the middle.
        out = format!("rfc822; {}", text.replace(|c: char| !c.is_ascii(), "?"));
    }
    out
}

/// For Original-Recipient, in the same forms. What came in as ORCPT is printable and bounded.
pub(super) fn typed_original(original: &OriginalRecipient, smtputf8: bool) -> String {
    let OriginalRecipient {
        address_type,
        address,
    } = original;
    let address = match address_type.eq_ignore_ascii_case("utf-8") {
        true if smtputf8 => visible(address),
        true => unicode_address::escape(address),
        false => printable(address),
    };
    format!("{address_type}; {address}")
}

/// Printable ASCII on one line; everything else becomes `?`.
pub(super) fn printable(words: &str) -> String {
    let safe = |c| match c {
        ' '..='~' => c,
        '\t' => ' ',
        _ => '?',
    };
    let words: String = words.chars().take(WORDS_CHARS_MAX).map(safe).collect();
    words.trim().to_owned()
}

/// The spelling that came in, if it is ASCII; otherwise at least the domain is.
fn ascii_if_possible(address: &Address) -> String {
    let as_given = address.to_string();
    if as_given.is_ascii() {
        as_given
    } else {
        with_a_labels(address)
    }
}

fn with_a_labels(address: &Address) -> String {
    format!("{}@{}", address.local_part(), address.domain())
}

/// Without characters that end a line somewhere, or turn around what follows.
fn visible(text: &str) -> String {
    let hides = |c: char| {
        c.is_control()
            || matches!(c, '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}' | '\u{feff}')
    };
    text.replace(hides, "?")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::mail::Spelling;

    fn address(text: &str) -> Address {
        Address::parse(text.as_bytes(), Spelling::Utf8).expect(text)
    }

    #[track_caller]
    fn check(text: &str, people: &str, header: &str, type_and_address: &str) {
        let address = address(text);
        assert_eq!(for_people(&address), people);
        assert_eq!(in_header(&address), header);
        assert_eq!(typed(&address, false), type_and_address);
    }

    #[test]
    fn each_place_has_its_spelling() {
        check("A@B.test", "A@B.test", "A@B.test", "rfc822; A@B.test");
        check(
            r#""a \"b"@b.test"#,
            r#""a \"b"@b.test"#,
            r#""a \"b"@b.test"#,
            r#"rfc822; "a \"b"@b.test"#,
        );
        check(
            "ann@bücher.test",
            "ann@bücher.test",
            "ann@xn--bcher-kva.test",
            "rfc822; ann@xn--bcher-kva.test",
        );
        check(
            "ü+x@bücher.test",
            "ü+x@bücher.test",
            "ü+x@xn--bcher-kva.test",
            r"utf-8; \x{FC}\x{2B}x@xn--bcher-kva.test",
        );
        check(
            "\"\u{85}a b\u{2028}\u{1F4E7}\"@b.test",
            "\"?a b?\u{1F4E7}\"@b.test",
            "\"?a b?\u{1F4E7}\"@b.test",
            r#"utf-8; "\x{85}a\x{20}b\x{2028}\x{1F4E7}"@b.test"#,
        );
    }

    #[test]
    fn over_long_addresses_stay_on_their_lines() {
        let label = "d".repeat(60);
        let domain = format!("{label}.{label}.{label}.{label}");
        for local_part in ["l".repeat(256), "ü".repeat(128), "\u{85}".repeat(128)] {
            let address = address(&format!("{local_part}@{domain}"));
            for smtputf8 in [true, false] {
                let typed = typed(&address, smtputf8);
                assert!(typed.len() <= TYPED_BYTES_MAX && (smtputf8 || typed.is_ascii()));
            }
            assert!(in_header(&address).len() <= TYPED_BYTES_MAX);
            assert!(for_people(&address).len() <= TYPED_BYTES_MAX);
        }
        // Characters that IDNA maps to nothing make a short domain long.
        let padded = address(&format!("a@b{}.test", "\u{ad}".repeat(800)));
        assert_eq!(for_people(&padded), "a@b.test");
        assert_eq!(typed(&padded, false), "rfc822; a@b.test");
    }
}
