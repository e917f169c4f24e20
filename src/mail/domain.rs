//! Domain names.

use std::fmt;

use super::limits::{DOMAIN_BYTES_MAX, LABEL_BYTES_MAX};

/// Longest text that is read as a name, in bytes: in UTF-8 and with much in it that IDNA drops. What
/// stands in a message may be a megabyte, and its conversion takes more than linear time.
const TEXT_BYTES_MAX: usize = 4_096;

/// A domain name in lower-case A-labels, without a final dot; so equal names compare equal.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Domain(Box<str>);

/// Why a text is no domain name.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum DomainError {
    /// No text at all.
    #[error("empty domain name")]
    Empty,
    /// More than [`DOMAIN_BYTES_MAX`] bytes, or a label of more than [`LABEL_BYTES_MAX`]; or a text
    /// that is far too long for either.
    #[error("domain name or label too long")]
    TooLong,
    /// An empty label, a hyphen at an end, or an octet that no host name has.
    #[error("malformed domain name")]
    Malformed,
}

impl Domain {
    /// Reads a name in A- or U-labels. Underscores are taken, as the field uses them.
    pub fn parse(text: &str) -> Result<Domain, DomainError> {
        if text.is_empty() {
            return Err(DomainError::Empty);
        }
        if text.len() > TEXT_BYTES_MAX {
            return Err(DomainError::TooLong);
        }
        let ascii = if text.is_ascii() {
            text.to_ascii_lowercase()
        } else {
            idna::domain_to_ascii(text).map_err(|_| DomainError::Malformed)?
        };
        if ascii.len() > DOMAIN_BYTES_MAX {
            return Err(DomainError::TooLong);
        }
        for label in ascii.split('.') {
            check_label(label)?;
        }
        Ok(Domain(ascii.into()))
    }

    /// The name: lower case, A-labels, no final dot.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for Domain {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for Domain {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Domain({})", self.0)
    }
}

fn check_label(label: &str) -> Result<(), DomainError> {
    if label.len() > LABEL_BYTES_MAX {
        return Err(DomainError::TooLong);
    }
    let inner = |b: u8| b.is_ascii_alphanumeric() || b == b'-' || b == b'_';
    if label.is_empty()
        || label.starts_with('-')
        || label.ends_with('-')
        || !label.bytes().all(inner)
    {
        return Err(DomainError::Malformed);
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(text: &str, want: Result<&str, DomainError>) {
        assert_eq!(
            Domain::parse(text).as_ref().map(Domain::as_str),
            want.as_ref().map(|s| &**s)
        );
    }

    #[test]
    fn names_are_folded_to_lower_case_a_labels() {
        check("Example.ORG", Ok("example.org"));
        check("xn--bcher-kva.example", Ok("xn--bcher-kva.example"));
        check("BÜCHER.example", Ok("xn--bcher-kva.example"));
        check("single", Ok("single"));
        check("_dmarc.example", Ok("_dmarc.example"));
    }

    #[test]
    fn malformed_names_are_refused() {
        check("", Err(DomainError::Empty));
        check("a..b", Err(DomainError::Malformed));
        check(".a", Err(DomainError::Malformed));
        check("a.", Err(DomainError::Malformed));
        check("-a.b", Err(DomainError::Malformed));
        check("a-.b", Err(DomainError::Malformed));
        check("a b", Err(DomainError::Malformed));
        check("a\0b", Err(DomainError::Malformed));
    }

    #[test]
    fn lengths_are_bounded_at_the_octet() {
        let label = "a".repeat(63);
        check(&label, Ok(&label));
        check(&"a".repeat(64), Err(DomainError::TooLong));
        let longest = format!("{label}.{label}.{label}.{}", "b".repeat(61));
        assert_eq!(longest.len(), 253);
        check(&longest, Ok(&longest));
        check(&format!("{longest}b"), Err(DomainError::TooLong));
        check(&"\u{fc}.".repeat(100_000), Err(DomainError::TooLong));
    }
}
