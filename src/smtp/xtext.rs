//! `xtext` (RFC 3461 4): any octets inside a parameter, as visible ASCII.

/// Upper case, as `hexchar` has them.
const HEX_DIGITS: &[u8; 16] = b"0123456789ABCDEF";

/// Encodes `octets`: `+` and two digits for what may not stand for itself.
#[must_use]
pub fn encode(octets: &[u8]) -> String {
    let mut out = String::with_capacity(octets.len());
    for &octet in octets {
        if stands_for_itself(octet) {
            out.push(char::from(octet));
        } else {
            out.push('+');
            for digit in [octet >> 4, octet & 0xF] {
                out.push(char::from(HEX_DIGITS[usize::from(digit)]));
            }
        }
    }
    out
}

/// Decodes; `None` if that is no xtext. Any octet may be encoded, needful or not.
#[must_use]
pub fn decode(xtext: &[u8]) -> Option<Vec<u8>> {
    let mut out = Vec::with_capacity(xtext.len());
    let mut rest = xtext;
    while let [first, behind @ ..] = rest {
        rest = match (first, behind) {
            (b'+', [high, low, behind @ ..]) => {
                out.push(digit(*high)? << 4 | digit(*low)?);
                behind
            }
            _ if stands_for_itself(*first) => {
                out.push(*first);
                behind
            }
            _ => return None,
        };
    }
    Some(out)
}

/// `xchar`
fn stands_for_itself(octet: u8) -> bool {
    octet.is_ascii_graphic() && octet != b'+' && octet != b'='
}

fn digit(octet: u8) -> Option<u8> {
    match octet {
        b'0'..=b'9' => Some(octet - b'0'),
        b'A'..=b'F' => Some(octet - b'A' + 10),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn both_ways() {
        for (octets, xtext) in [
            (&b""[..], ""),
            (b"bob@dest.test", "bob@dest.test"),
            (b"a+b=c d", "a+2Bb+3Dc+20d"),
            (b"\0\x7f\xff~!", "+00+7F+FF~!"),
        ] {
            assert_eq!(encode(octets), xtext);
            assert_eq!(decode(xtext.as_bytes()).as_deref(), Some(octets));
        }
        assert_eq!(decode(b"+41+2E").as_deref(), Some(&b"A."[..]));
    }

    #[test]
    fn what_is_no_xtext() {
        // W-4.07
        for text in [
            &b"+"[..],
            b"+3",
            b"a+",
            b"+3d",
            b"+GG",
            b"+ 3",
            b"++3D",
            b"a=b",
            b"a b",
            b"a\t",
            b"\x7f",
            b"\xc3\xbc",
        ] {
            assert_eq!(decode(text), None, "{}", text.escape_ascii());
        }
    }

    proptest! {
        #[test]
        fn any_octets_come_back(octets in prop::collection::vec(any::<u8>(), 0..200)) {
            let xtext = encode(&octets);
            prop_assert!(xtext.bytes().all(|octet| octet.is_ascii_graphic() && octet != b'='));
            prop_assert_eq!(decode(xtext.as_bytes()), Some(octets));
        }

        #[test]
        fn anything_may_come(octets in prop::collection::vec(any::<u8>(), 0..200)) {
            if let Some(decoded) = decode(&octets) {
                prop_assert!(decoded.len() <= octets.len());
            }
        }
    }
}
