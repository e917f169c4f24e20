//! `SMTP_SENDER_DOMAINS`: which domains may stand in MAIL FROM besides the host name.

use crate::mail::{Domain, DomainError};

/// One item of `SMTP_SENDER_DOMAINS`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SenderDomain {
    /// `example.org`: this domain, none of its subdomains.
    Exactly(Domain),
    /// `*.example.org`: any subdomain at any depth, not the domain itself.
    SubdomainsOf(Domain),
}

impl SenderDomain {
    /// Reads `example.org` or `*.example.org`.
    pub fn parse(text: &str) -> Result<SenderDomain, DomainError> {
        match text.strip_prefix("*.") {
            Some(parent) => Domain::parse(parent).map(SenderDomain::SubdomainsOf),
            None => Domain::parse(text).map(SenderDomain::Exactly),
        }
    }

    /// Whether mail from `domain` is let in by this item.
    #[must_use]
    pub fn matches(&self, domain: &Domain) -> bool {
        match self {
            SenderDomain::Exactly(own) => own == domain,
            // The dot belongs to the match: `evilexample.org` is no subdomain of `example.org`.
            SenderDomain::SubdomainsOf(parent) => domain
                .as_str()
                .strip_suffix(parent.as_str())
                .is_some_and(|labels| labels.len() > 1 && labels.ends_with('.')),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(item: &str, domain: &str, want: bool) {
        let item = SenderDomain::parse(item).unwrap();
        assert_eq!(item.matches(&Domain::parse(domain).unwrap()), want);
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
            assert!(SenderDomain::parse(text).is_err(), "{text}");
        }
    }
}
