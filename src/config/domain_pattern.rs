//! How lists of domains are written: a domain, or all that is below one.

use std::fmt;

use crate::mail::{Domain, DomainError};

/// Which domains an item of a list means. In order, those that mean one domain come first.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum DomainPattern {
    /// `example.org`: this domain, none of its subdomains.
    Exactly(Domain),
    /// `*.example.org`: any subdomain at any depth, not the domain itself.
    SubdomainsOf(Domain),
}

impl DomainPattern {
    /// Reads `example.org` or `*.example.org`.
    pub fn parse(text: &str) -> Result<DomainPattern, DomainError> {
        match text.strip_prefix("*.") {
            Some(parent) => Domain::parse(parent).map(DomainPattern::SubdomainsOf),
            None => Domain::parse(text).map(DomainPattern::Exactly),
        }
    }

    /// Whether `domain` is meant.
    #[must_use]
    pub fn matches(&self, domain: &Domain) -> bool {
        match self {
            DomainPattern::Exactly(own) => own == domain,
            // The dot belongs to the match: `evilexample.org` is no subdomain of `example.org`.
            DomainPattern::SubdomainsOf(parent) => domain
                .as_str()
                .strip_suffix(parent.as_str())
                .is_some_and(|labels| labels.len() > 1 && labels.ends_with('.')),
        }
    }
}

impl fmt::Display for DomainPattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            DomainPattern::Exactly(domain) => domain.fmt(f),
            DomainPattern::SubdomainsOf(parent) => write!(f, "*.{parent}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(item: &str, domain: &str, want: bool) {
        let item = DomainPattern::parse(item).unwrap();
        assert_eq!(item.matches(&Domain::parse(domain).unwrap()), want);
    }

    #[test]
    fn it_is_shown_as_it_is_written() {
        for text in ["example.org", "*.example.org"] {
            assert_eq!(DomainPattern::parse(text).unwrap().to_string(), text);
        }
    }

    #[test]
    fn a_plain_domain_matches_itself_only() {
        check("example.org", "example.org", true);
        check("Example.ORG", "eXample.org", true);
        check("example.org", "sub.example.org", false);
        check("example.org", "evilexample.org", false);
        check("example.org", "example.org.evil.test", false);
        check("bücher.example", "xn--bcher-kva.example", true);
    }

    #[test]
    fn a_star_matches_subdomains_only() {
        check("*.example.org", "sub.example.org", true);
        check("*.example.org", "a.b.example.org", true);
        check("*.example.org", "SUB.example.org", true);
        check("*.example.org", "example.org", false);
        check("*.example.org", "evilexample.org", false);
        check("*.example.org", "sub.example.org.evil.test", false);
    }

    #[test]
    fn a_star_elsewhere_is_refused() {
        for text in ["*", "*.", "*.*.example.org", "a.*.org", "*example.org", ""] {
            assert!(DomainPattern::parse(text).is_err(), "{text}");
        }
    }
}
