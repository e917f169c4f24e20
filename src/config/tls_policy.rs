//! `SMTP_TLS_POLICY`: how much TLS it takes to send mail somewhere.

use std::collections::BTreeMap;
use std::fmt;

use crate::mail::{AddressDomain, Domain};

use super::refusal::{Parsed, Refusal};
use super::sender_domain::SenderDomain;
use super::value;

/// How much TLS a connection must have.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum TlsLevel {
    /// STARTTLS is never sent.
    None,
    /// TLS where it is offered and works, with any certificate; else in clear.
    Opportunistic,
    /// TLS, with any certificate.
    Encrypt,
    /// TLS whenever it is offered, and then with a certificate that is valid for the host.
    Valid,
    /// TLS, with a certificate that is valid for the host.
    Verify,
}

/// The levels by next hop. The most specific item decides, wherever it stands in the list: the name
/// itself, then the longest of its parents that has a `*.` item, then the level for all.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TlsPolicy {
    default: TlsLevel,
    exactly: BTreeMap<AddressDomain, TlsLevel>,
    below: BTreeMap<Domain, TlsLevel>,
}

/// What a policy says about one next hop.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TlsRule {
    /// How much TLS it takes.
    pub level: TlsLevel,
    /// The item that says so, such as `*.internal=none`.
    pub item: String,
}

impl TlsLevel {
    const ALL: [TlsLevel; 5] = [
        TlsLevel::None,
        TlsLevel::Opportunistic,
        TlsLevel::Encrypt,
        TlsLevel::Valid,
        TlsLevel::Verify,
    ];

    /// As it is written.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            TlsLevel::None => "none",
            TlsLevel::Opportunistic => "opportunistic",
            TlsLevel::Encrypt => "encrypt",
            TlsLevel::Valid => "valid",
            TlsLevel::Verify => "verify",
        }
    }

    fn parse(text: &str) -> Option<TlsLevel> {
        TlsLevel::ALL
            .into_iter()
            .find(|level| level.as_str() == text)
    }
}

impl fmt::Display for TlsLevel {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl TlsPolicy {
    /// One level for all.
    #[must_use]
    pub fn of_all(default: TlsLevel) -> TlsPolicy {
        TlsPolicy {
            default,
            exactly: BTreeMap::new(),
            below: BTreeMap::new(),
        }
    }

    /// What holds for a next hop: the domain whose mail hosts are asked for, the name of a configured
    /// host, or an address.
    #[must_use]
    pub fn rule(&self, next_hop: &AddressDomain) -> TlsRule {
        if let Some(&level) = self.exactly.get(next_hop) {
            return TlsRule {
                level,
                item: format!("{next_hop}={level}"),
            };
        }
        let name = match next_hop {
            AddressDomain::Name(name) => name.as_str(),
            AddressDomain::Literal(_) => "",
        };
        let mut rest = name;
        while let Some((_, parent)) = rest.split_once('.') {
            let level = Domain::parse(parent).ok();
            if let Some(&level) = level.and_then(|parent| self.below.get(&parent)) {
                return TlsRule {
                    level,
                    item: format!("*.{parent}={level}"),
                };
            }
            rest = parent;
        }
        TlsRule {
            level: self.default,
            item: self.default.to_string(),
        }
    }
}

/// Reads `valid,example.com=verify,*.internal=none`. Without a level for all it is `valid`.
pub(super) fn tls_policy(text: &str) -> Parsed<TlsPolicy> {
    let mut default = None;
    let mut policy = TlsPolicy::of_all(TlsLevel::Valid);
    for (next_hop, level) in value::list(text, item)? {
        let shown = next_hop.as_ref().map(NextHop::to_string);
        let before = match next_hop {
            None => default.replace(level),
            Some(NextHop::Exactly(name)) => policy.exactly.insert(name, level),
            Some(NextHop::Below(parent)) => policy.below.insert(parent, level),
        };
        if before.is_some() {
            return Err(Refusal::Because(match shown {
                Some(shown) => format!("{shown} is there twice"),
                None => "there are two levels for all".to_owned(),
            }));
        }
    }
    policy.default = default.unwrap_or(policy.default);
    Ok(policy)
}

enum NextHop {
    Exactly(AddressDomain),
    Below(Domain),
}

impl fmt::Display for NextHop {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            NextHop::Exactly(name) => name.fmt(f),
            NextHop::Below(parent) => write!(f, "*.{parent}"),
        }
    }
}

fn item(text: &str) -> Parsed<(Option<NextHop>, TlsLevel)> {
    let (next_hop, level) = match text.split_once('=') {
        None => (None, text),
        Some((next_hop, level)) => (Some(next_hop.trim()), level.trim()),
    };
    let level = TlsLevel::parse(level).ok_or(Refusal::Unexpected)?;
    let next_hop = match next_hop {
        None => None,
        Some("*") => {
            return Err(Refusal::Because(
                "the level for all stands alone, without *=".to_owned(),
            ));
        }
        Some(literal) if literal.starts_with('[') => {
            let literal = AddressDomain::parse(literal).ok_or(Refusal::Unexpected)?;
            Some(NextHop::Exactly(literal))
        }
        Some(name) => Some(match value::sender_domain(name)? {
            SenderDomain::Exactly(name) => NextHop::Exactly(AddressDomain::Name(name)),
            SenderDomain::SubdomainsOf(parent) => NextHop::Below(parent),
        }),
    };
    Ok((next_hop, level))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(policy: &str, next_hop: &str, want: &str) {
        let next_hop = AddressDomain::parse(next_hop).unwrap();
        let rule = tls_policy(policy).unwrap().rule(&next_hop);
        assert_eq!(rule.item, want);
        let level = want.rsplit('=').next().unwrap();
        assert_eq!(rule.level.as_str(), level);
    }

    #[track_caller]
    fn refused(policy: &str, why: &str) {
        match tls_policy(policy) {
            Err(Refusal::Because(got)) => assert!(got.contains(why), "{got}"),
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn one_level_holds_for_all() {
        for level in ["none", "opportunistic", "encrypt", "valid", "verify"] {
            check(level, "dest.test", level);
            check(level, "[192.0.2.1]", level);
        }
    }

    #[test]
    fn the_most_specific_item_decides_wherever_it_stands() {
        // W-18.05
        let policy = "*.test=encrypt, a.b.test=verify,none,*.b.test=opportunistic";
        check(policy, "a.b.test", "a.b.test=verify");
        check(policy, "A.B.Test", "a.b.test=verify");
        check(policy, "x.a.b.test", "*.b.test=opportunistic");
        check(policy, "c.b.test", "*.b.test=opportunistic");
        check(policy, "b.test", "*.test=encrypt");
        check(policy, "test", "none");
        check(policy, "btest", "none");
        check(policy, "example.com", "none");
        check(policy, "[192.0.2.1]", "none");
        check(
            "bücher.example=none",
            "xn--bcher-kva.example",
            "xn--bcher-kva.example=none",
        );
    }

    #[test]
    fn without_a_level_for_all_it_is_valid() {
        check("dest.test=none", "dest.test", "dest.test=none");
        check("dest.test=none", "other.test", "valid");
        check("dest.test=none", "sub.dest.test", "valid");
    }

    #[test]
    fn an_address_is_named_as_in_mail_addresses() {
        let policy = "[192.0.2.1]=none,[IPv6:2001:db8::1]=encrypt";
        check(policy, "[192.0.2.1]", "[192.0.2.1]=none");
        check(policy, "[IPv6:2001:db8:0::1]", "[IPv6:2001:db8::1]=encrypt");
        check(policy, "[192.0.2.2]", "valid");
    }

    #[test]
    fn what_is_no_policy_is_refused() {
        refused("valid,none", "two levels for all");
        refused("a.test=none,A.test=none", "a.test is there twice");
        refused("*.a.test=none,*.a.test=valid", "*.a.test is there twice");
        refused("*=none", "stands alone");
        refused("may", "\"may\"");
        refused("a.test=may", "\"a.test=may\"");
        refused("a.test=", "\"a.test=\"");
        refused("=none", "\"=none\"");
        refused("valid,,none", "item 2 is empty");
        refused("192.0.2.1=none", "this is an address");
        refused("[192.0.2]=none", "\"[192.0.2]=none\"");
        refused("a.*.test=none", "\"a.*.test=none\"");
        refused("Valid", "\"Valid\"");
    }
}
