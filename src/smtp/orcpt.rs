//! The value of ORCPT (RFC 3461 4.2), read and written: an address type and an address, which is
//! xtext, or for `utf-8` the form of RFC 6533 3.

use crate::mail::limits::ORCPT_BYTES_MAX;
use crate::mail::{OriginalRecipient, unicode_address};

use super::xtext;

/// Reads `type;address`. What it holds decoded is printable, and of `utf-8` any character that is no
/// ASCII control; so it can't end a line. `None` if it is malformed, or longer than
/// [`ORCPT_BYTES_MAX`] as it came or as it would go on.
#[must_use]
pub fn parse(value: &[u8]) -> Option<OriginalRecipient> {
    let at = memchr::memchr(b';', value)?;
    let (address_type, address) = (&value[..at], &value[at + 1..]);
    let address_type = std::str::from_utf8(address_type)
        .ok()
        .filter(|atom| !atom.is_empty() && atom.bytes().all(in_atom))?;
    let address = if is_unicode(address_type) {
        unicode_address::unescape(std::str::from_utf8(address).ok()?)?
    } else {
        let octets = xtext::decode(address)?;
        String::from_utf8(octets)
            .ok()
            .filter(|text| text.is_ascii())?
    };
    if address.is_empty() || address.bytes().any(|b| b.is_ascii_control()) {
        return None;
    }
    let original = OriginalRecipient {
        address_type: address_type.into(),
        address: address.into(),
    };
    let longest = value.len().max(write(&original).len());
    (longest <= ORCPT_BYTES_MAX).then_some(original)
}

/// Writes it in ASCII, which every host can take.
#[must_use]
pub fn write(original: &OriginalRecipient) -> String {
    let OriginalRecipient {
        address_type,
        address,
    } = original;
    let address = if is_unicode(address_type) {
        unicode_address::escape(address)
    } else {
        xtext::encode(address.as_bytes())
    };
    format!("{address_type};{address}")
}

fn is_unicode(address_type: &str) -> bool {
    address_type.eq_ignore_ascii_case("utf-8")
}

/// `atext` (RFC 5322 3.2.3), less `=`, which stands in no parameter.
fn in_atom(octet: u8) -> bool {
    octet.is_ascii_alphanumeric() || b"!#$%&'*+-/?^_`{|}~".contains(&octet)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(value: &str, address_type: &str, address: &str, written: &str) {
        let original = parse(value.as_bytes()).expect(value);
        assert_eq!(&*original.address_type, address_type);
        assert_eq!(&*original.address, address);
        assert_eq!(write(&original), written);
    }

    #[test]
    fn types_and_addresses() {
        // W-4.09
        for same in [
            "rfc822;bob@dest.test",
            "RFC822;b+2Bx+3D1@dest.test",
            "x400;/c/us/;x",
            r"utf-8;\x{FC}\x{2B}x@dest.test",
        ] {
            let original = parse(same.as_bytes()).expect(same);
            assert_eq!(write(&original), same);
        }
        check("rfc822;a+20b", "rfc822", "a b", "rfc822;a+20b");
        check("rfc822;+41", "rfc822", "A", "rfc822;A");
        check(
            "UTF-8;\u{fc}x@dest.test",
            "UTF-8",
            "\u{fc}x@dest.test",
            r"UTF-8;\x{FC}x@dest.test",
        );
    }

    #[test]
    fn what_is_no_orcpt() {
        // W-4.09
        let long = format!("rfc822;{}", "x".repeat(500));
        let long_when_written = format!("utf-8;{}", "\u{fc}".repeat(240));
        for value in [
            "",
            "bob@dest.test",
            ";bob@dest.test",
            "rfc822;",
            "rfc 822;b",
            "rfc822;a+",
            "rfc822;a+3d",
            "rfc822;a=b",
            "rfc822;+0D+0AAction:",
            "rfc822;+C3+BC",
            "rfc822;\u{fc}",
            r"utf-8;a\b",
            r"utf-8;\x{0D}",
            "utf-8;a+2B",
            &long,
            &long_when_written,
        ] {
            assert_eq!(parse(value.as_bytes()), None, "{value}");
        }
        assert_eq!(parse(b"utf-8;\xff"), None);
        assert!(parse(&long.as_bytes()[..ORCPT_BYTES_MAX]).is_some());
    }
}
