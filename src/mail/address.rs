//! Mailbox addresses of the envelope: `local-part@domain` (RFC 5321 4.1.2, RFC 6531 3.3).

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use super::domain::Domain;
use super::limits::LOCAL_PART_BYTES_MAX;

/// A mailbox. The local-part is kept octet for octet as it was given (quotes and all), the domain
/// both as a [`Domain`] and in the spelling that came in.
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct Address {
    local_part: Box<str>,
    domain: AddressDomain,
    domain_as_given: Box<str>,
}

/// What stands behind the `@`.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum AddressDomain {
    /// A name, to be asked in DNS.
    Name(Domain),
    /// An address literal (RFC 5321 4.1.3), to be dialled as it stands.
    Literal(IpAddr),
}

/// Whether an address may hold octets above 0x7F.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Spelling {
    /// ASCII only.
    Ascii,
    /// UTF-8 as well (RFC 6531).
    Utf8,
}

/// Why a text is no address.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum AddressError {
    /// Octets above 0x7F where [`Spelling::Ascii`] was asked for.
    #[error("non-ASCII address without SMTPUTF8")]
    NotAscii,
    /// Anything else.
    #[error("malformed address")]
    Malformed,
}

impl Address {
    /// Reads exactly one mailbox, without angle brackets and without a source route.
    pub fn parse(octets: &[u8], spelling: Spelling) -> Result<Address, AddressError> {
        if spelling == Spelling::Ascii && !octets.is_ascii() {
            return Err(AddressError::NotAscii);
        }
        let text = std::str::from_utf8(octets).map_err(|_| AddressError::Malformed)?;
        let at = local_part_end(text).ok_or(AddressError::Malformed)?;
        let (local_part, rest) = text.split_at(at);
        let domain_as_given = rest.strip_prefix('@').ok_or(AddressError::Malformed)?;
        if local_part.is_empty() || local_part.len() > LOCAL_PART_BYTES_MAX {
            return Err(AddressError::Malformed);
        }
        let domain = AddressDomain::parse(domain_as_given).ok_or(AddressError::Malformed)?;
        Ok(Address {
            local_part: local_part.into(),
            domain,
            domain_as_given: domain_as_given.into(),
        })
    }

    /// `postmaster` at our own name (RFC 5321 4.1.1.3): the one address that may come without a
    /// domain. `local_part` is kept as it was given.
    #[must_use]
    pub fn postmaster(local_part: &str, host_name: &Domain) -> Option<Address> {
        local_part
            .eq_ignore_ascii_case("postmaster")
            .then(|| Address {
                local_part: local_part.into(),
                domain: AddressDomain::Name(host_name.clone()),
                domain_as_given: host_name.as_str().into(),
            })
    }

    /// An address made by ourselves, of a local-part that is known to be a dot-atom.
    ///
    /// # Panics
    /// If `local_part` is no ASCII dot-atom: that is a bug of the caller.
    #[must_use]
    pub fn own(local_part: &'static str, domain: &Domain) -> Address {
        assert!(dot_atom(local_part) && local_part.is_ascii());
        Address {
            local_part: local_part.into(),
            domain: AddressDomain::Name(domain.clone()),
            domain_as_given: domain.as_str().into(),
        }
    }

    /// As it was given, quotes included.
    #[must_use]
    pub fn local_part(&self) -> &str {
        &self.local_part
    }

    /// Where it goes.
    #[must_use]
    pub fn domain(&self) -> &AddressDomain {
        &self.domain
    }

    /// Whether SMTPUTF8 is needed to name this address on the wire.
    #[must_use]
    pub fn needs_smtputf8(&self) -> bool {
        !self.local_part.is_ascii() || !self.domain_as_given.is_ascii()
    }

    /// Whether both name the same mailbox: local-parts to the octet, domains without case
    /// (RFC 5321 2.4).
    #[must_use]
    pub fn same_mailbox(&self, other: &Address) -> bool {
        self.local_part == other.local_part && self.domain == other.domain
    }
}

impl fmt::Display for Address {
    /// The spelling that came in.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}@{}", self.local_part, self.domain_as_given)
    }
}

impl fmt::Debug for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "<{self}>")
    }
}

impl AddressDomain {
    /// Reads a name or a literal `[127.0.0.1]`, `[IPv6:::1]`.
    #[must_use]
    pub fn parse(text: &str) -> Option<AddressDomain> {
        let Some(inner) = text.strip_prefix('[') else {
            return Domain::parse(text).ok().map(AddressDomain::Name);
        };
        let inner = inner.strip_suffix(']')?;
        let literal = match inner.get(..5) {
            Some(tag) if tag.eq_ignore_ascii_case("IPv6:") => {
                IpAddr::V6(inner[5..].parse::<Ipv6Addr>().ok()?)
            }
            _ => IpAddr::V4(inner.parse::<Ipv4Addr>().ok()?),
        };
        Some(AddressDomain::Literal(literal))
    }
}

impl fmt::Display for AddressDomain {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            AddressDomain::Name(name) => name.fmt(f),
            AddressDomain::Literal(IpAddr::V4(ip)) => write!(f, "[{ip}]"),
            AddressDomain::Literal(IpAddr::V6(ip)) => write!(f, "[IPv6:{ip}]"),
        }
    }
}

/// The sender of the envelope.
#[derive(Clone, PartialEq, Eq, Hash)]
pub enum ReversePath {
    /// `<>`: reports and other mail about which nobody is told (RFC 5321 4.5.5).
    Null,
    /// Who is told when delivery fails.
    Mailbox(Address),
}

impl ReversePath {
    /// The mailbox, if there is one.
    #[must_use]
    pub fn mailbox(&self) -> Option<&Address> {
        match self {
            ReversePath::Null => None,
            ReversePath::Mailbox(address) => Some(address),
        }
    }
}

impl fmt::Display for ReversePath {
    /// As between the angle brackets: empty for the null reverse-path.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            ReversePath::Null => Ok(()),
            ReversePath::Mailbox(address) => address.fmt(f),
        }
    }
}

impl fmt::Debug for ReversePath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "<{self}>")
    }
}

/// Where the local-part at the start of `text` ends; `None` if there is no well-formed one.
fn local_part_end(text: &str) -> Option<usize> {
    if text.starts_with('"') {
        quoted_string_end(text)
    } else {
        let at = text.find('@')?;
        dot_atom(&text[..at]).then_some(at)
    }
}

/// Behind the closing quote (RFC 5321 4.1.2 Quoted-string; RFC 6531 3.3 adds UTF-8).
fn quoted_string_end(text: &str) -> Option<usize> {
    let mut octets = text.bytes().enumerate().skip(1);
    while let Some((at, octet)) = octets.next() {
        match octet {
            b'"' => return Some(at + 1),
            b'\\' => match octets.next()?.1 {
                b' '..=b'~' => {}
                _ => return None,
            },
            0..=31 | 127 => return None,
            _ => {}
        }
    }
    None
}

/// RFC 5321 4.1.2 Dot-string, with RFC 6531's UTF-8 in atoms.
fn dot_atom(text: &str) -> bool {
    let atext =
        |b: u8| b.is_ascii_alphanumeric() || b >= 0x80 || b"!#$%&'*+-/=?^_`{|}~".contains(&b);
    text.split('.')
        .all(|atom| !atom.is_empty() && atom.bytes().all(atext))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn good(text: &str) -> Address {
        let address = Address::parse(text.as_bytes(), Spelling::Utf8).expect(text);
        assert_eq!(address.to_string(), text);
        address
    }

    #[track_caller]
    fn bad(text: &str) {
        assert_eq!(
            Address::parse(text.as_bytes(), Spelling::Utf8),
            Err(AddressError::Malformed),
            "{text}"
        );
    }

    #[test]
    fn dot_atoms_and_quoted_strings_are_kept_as_given() {
        good("Ann@Example.ORG");
        good("a.b+c@dest.test");
        good(r#""a b"@dest.test"#);
        good(r#""a@b"@dest.test"#);
        good(r#""a\"b"@dest.test"#);
        good(r#""a>b"@dest.test"#);
        good(r#"""@dest.test"#);
        good("u%other.test@dest.test");
        good("other.test!u@dest.test");
        good("ü@bücher.test");
    }

    #[test]
    fn literals_are_addresses() {
        assert_eq!(
            *good("u@[127.0.0.5]").domain(),
            AddressDomain::Literal("127.0.0.5".parse().unwrap())
        );
        assert_eq!(
            *good("u@[IPv6:::1]").domain(),
            AddressDomain::Literal("::1".parse().unwrap())
        );
        for text in [
            "u@[127.0.0.256]",
            "u@[IPv6:zz]",
            "u@[foo]",
            "u@[]",
            "u@[127.0.0.1",
        ] {
            bad(text);
        }
    }

    #[test]
    fn malformed_addresses_are_refused() {
        for text in [
            "@dest.test",
            "a@",
            "a@@b.test",
            "a@b@c.test",
            "a b@dest.test",
            ".a@dest.test",
            "a..b@dest.test",
            "a@dest..test",
            "a@.dest.test",
            "a@dest.test.",
            "a@-x.test",
            "\"a@dest.test",
            "a(c)@dest.test",
            "Name <a@dest.test>",
            "a",
            "",
            "\"a\"b@dest.test",
        ] {
            bad(text);
        }
        assert_eq!(
            Address::parse(b"\xff@d.test", Spelling::Utf8),
            Err(AddressError::Malformed)
        );
        assert_eq!(
            Address::parse("ü@d.test".as_bytes(), Spelling::Ascii),
            Err(AddressError::NotAscii)
        );
    }

    #[test]
    fn the_domain_compares_without_case_and_the_local_part_with_it() {
        assert!(good("a@Dest.test").same_mailbox(&good("a@dest.TEST")));
        assert!(!good("A@dest.test").same_mailbox(&good("a@dest.test")));
    }
}
