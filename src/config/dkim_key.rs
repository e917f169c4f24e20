//! DKIM keys as they are configured: which domain and selector, and where the key is.

use std::fmt;
use std::path::PathBuf;

use crate::mail::Domain;
use crate::mail::limits::DKIM_KEYS_MAX;

use super::refusal::{Parsed, Refusal};
use super::secret::Secret;
use super::value::{self, list};

/// What begins a key in PEM form.
const PEM_BEGIN: &str = "-----BEGIN ";

/// One key that signs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DkimKeyConfig {
    /// Whom it signs for, with all domains below it.
    pub domain: Domain,
    /// Where below the domain its public half is published.
    pub selector: Selector,
    /// Where the key is.
    pub source: DkimKeySource,
    /// The variable that says so.
    pub variable: &'static str,
}

impl DkimKeyConfig {
    /// The variable whose items are keys.
    pub const LIST: &'static str = "SMTP_DKIM_KEYS";
}

/// Where a key is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum DkimKeySource {
    /// In a file: `SMTP_DKIM_KEY_PATH`, or the path in `SMTP_DKIM_KEYS`.
    Path(PathBuf),
    /// In `SMTP_DKIM_PRIVATE_KEY`, in PEM form.
    Inline(Secret),
}

/// The name of one of a domain's keys: labels of DNS, lower case (RFC 6376 3.1).
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Selector(Domain);

impl Selector {
    /// Reads `s2026` or `s1.mail`.
    pub fn parse(text: &str) -> Option<Selector> {
        Domain::parse(text).ok().map(Selector)
    }

    /// The name.
    #[must_use]
    pub fn as_str(&self) -> &str {
        self.0.as_str()
    }

    /// Where the public half of this key of `domain` is published; `None` if that is too long for a
    /// name of DNS.
    #[must_use]
    pub fn record_name(&self, domain: &Domain) -> Option<Domain> {
        Domain::parse(&format!("{self}._domainkey.{domain}")).ok()
    }
}

impl fmt::Display for Selector {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

pub(super) fn selector(text: &str) -> Parsed<Selector> {
    Selector::parse(text).ok_or(Refusal::Unexpected)
}

/// A key in PEM form, whose line ends may be written as `\n`.
pub(super) fn inline(text: &str) -> Parsed<Secret> {
    let text = text.replace("\\n", "\n");
    match text.trim_start().starts_with(PEM_BEGIN) {
        true => Ok(Secret::new(text)),
        false => Err(Refusal::Unexpected),
    }
}

pub(super) fn entries(text: &str) -> Parsed<Vec<DkimKeyConfig>> {
    let keys = list(text, entry)?;
    if keys.len() > DKIM_KEYS_MAX {
        return Err(Refusal::Because(format!("there are {}", keys.len())));
    }
    Ok(keys)
}

fn entry(text: &str) -> Parsed<DkimKeyConfig> {
    let mut parts = text.splitn(3, ':').map(str::trim);
    let (Some(domain), Some(name), Some(path)) = (parts.next(), parts.next(), parts.next()) else {
        return Err(Refusal::Unexpected);
    };
    let domain = value::domain(domain)?;
    let selector = selector(name)?;
    if selector.record_name(&domain).is_none() {
        return Err(Refusal::Because(
            "the name of its record is too long".into(),
        ));
    }
    Ok(DkimKeyConfig {
        domain,
        selector,
        source: DkimKeySource::Path(value::path(path)?),
        variable: DkimKeyConfig::LIST,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn entries_are_domain_selector_path() {
        let keys = entries("Example.org:S1:/a.pem, b.test : s2.x : /b:c.pem").unwrap();
        let [one, two] = &keys[..] else {
            panic!("{keys:?}");
        };
        assert_eq!(
            (one.domain.as_str(), one.selector.as_str()),
            ("example.org", "s1")
        );
        assert_eq!(one.source, DkimKeySource::Path("/a.pem".into()));
        assert_eq!(two.selector.as_str(), "s2.x");
        assert_eq!(two.source, DkimKeySource::Path("/b:c.pem".into()));
        let name = two.selector.record_name(&two.domain).unwrap();
        assert_eq!(name.as_str(), "s2.x._domainkey.b.test");
        assert_eq!(entries(""), Ok(vec![]));
    }

    #[test]
    fn what_is_none_is_refused() {
        for text in [
            "example.org",
            "example.org:s1",
            "example.org:s1:",
            ":s1:/a",
            "example.org::/a",
            "192.0.2.1:s1:/a",
            "example.org:s 1:/a",
            "example.org:s1:/a,",
            "example.org:-:/a",
        ] {
            assert!(entries(text).is_err(), "{text}");
        }
        let long = format!("{0}.{0}.{0}.test:{0}:/a", "x".repeat(60));
        assert!(entries(&long).is_err());
        let many = |count| vec!["a.test:s:/a"; count].join(",");
        assert!(
            entries(&many(DKIM_KEYS_MAX)).is_ok() && entries(&many(DKIM_KEYS_MAX + 1)).is_err()
        );
    }

    #[test]
    fn an_inline_key_has_line_ends_however_written() {
        let pem = "-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n";
        assert_eq!(inline(pem).unwrap().expose(), pem);
        assert_eq!(inline(&pem.replace('\n', "\\n")).unwrap().expose(), pem);
        assert!(inline("/etc/key.pem").is_err());
    }
}
