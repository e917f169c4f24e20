//! `SMTP_TLS_POLICY`: how much TLS it takes to send mail somewhere.

use std::collections::BTreeMap;
use std::fmt;
use std::net::IpAddr;

use crate::mail::AddressDomain;

use super::by_domain::ByDomain;
use super::domain_pattern::DomainPattern;
use super::refusal::{Parsed, Refusal};
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
    by_domain: ByDomain<TlsLevel>,
    by_address: BTreeMap<IpAddr, TlsLevel>,
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
            by_domain: ByDomain::default(),
            by_address: BTreeMap::new(),
        }
    }

    /// What holds for a next hop: the domain whose mail hosts are asked for, the name of a configured
    /// host, or an address.
    #[must_use]
    pub fn rule(&self, next_hop: &AddressDomain) -> TlsRule {
        let found = match next_hop {
            AddressDomain::Name(name) => {
                let found = self.by_domain.get(name);
                found.map(|(pattern, level)| (pattern.to_string(), level))
            }
            AddressDomain::Literal(address) => {
                let level = self.by_address.get(address);
                level.map(|level| (next_hop.to_string(), level))
            }
        };
        match found {
            Some((pattern, &level)) => TlsRule {
                level,
                item: format!("{pattern}={level}"),
            },
            None => TlsRule {
                level: self.default,
                item: self.default.to_string(),
            },
        }
    }
}

/// Reads `valid,example.com=verify,*.internal=none`. Without a level for all it is `valid`.
pub(super) fn tls_policy(text: &str) -> Parsed<TlsPolicy> {
    let mut default = None;
    let mut policy = TlsPolicy::of_all(TlsLevel::Valid);
    for (next_hops, level) in value::list(text, item)? {
        match next_hops {
            NextHops::All => {
                if default.replace(level).is_some() {
                    let why = "there are two levels for all".to_owned();
                    return Err(Refusal::Because(why));
                }
            }
            NextHops::Named(pattern) => policy.by_domain.insert(pattern, level)?,
            NextHops::At(address) => {
                if policy.by_address.insert(address, level).is_some() {
                    let shown = AddressDomain::Literal(address);
                    return Err(Refusal::Because(format!("{shown} is there twice")));
                }
            }
        }
    }
    policy.default = default.unwrap_or(policy.default);
    Ok(policy)
}

/// Of which an item speaks.
enum NextHops {
    All,
    Named(DomainPattern),
    At(IpAddr),
}

fn item(text: &str) -> Parsed<(NextHops, TlsLevel)> {
    let (next_hops, level) = match text.split_once('=') {
        None => (None, text),
        Some((next_hops, level)) => (Some(next_hops.trim()), level.trim()),
    };
    let level = TlsLevel::parse(level).ok_or(Refusal::Unexpected)?;
    let next_hops = match next_hops {
        None => NextHops::All,
        Some("*") => {
            return Err(Refusal::Because(
                "the level for all stands alone, without *=".to_owned(),
            ));
        }
        Some(literal) if literal.starts_with('[') => match AddressDomain::parse(literal) {
            Some(AddressDomain::Literal(address)) => NextHops::At(address),
            Some(AddressDomain::Name(_)) | None => return Err(Refusal::Unexpected),
        },
        Some(name) => NextHops::Named(value::domain_pattern(name)?),
    };
    Ok((next_hops, level))
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
        refused("[::1]=none,[IPv6:::1]=none", "\"[::1]=none\"");
        refused(
            "[192.0.2.1]=none,[192.0.2.1]=valid",
            "[192.0.2.1] is there twice",
        );
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
