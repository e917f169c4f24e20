//! `SMTP_ROUTES`: which way mail of some domains takes, whatever holds for the rest.

use crate::mail::Domain;

use super::by_domain::ByDomain;
use super::domain_pattern::DomainPattern;
use super::refusal::{Parsed, Refusal};
use super::relay_host::{RelayHost, relay_host};
use super::value;

/// The way that mail of a domain takes by configuration.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Via {
    /// `mx`: to whom DNS names, also when there is a smarthost for the rest.
    Mx,
    /// To this host, its name asked for addresses only.
    Host(RelayHost),
}

/// `SMTP_ROUTES`. The most specific item decides, wherever it stands in the list: the domain itself,
/// then the longest of its parents that has a `*.` item.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Routes(ByDomain<Via>);

impl Routes {
    /// The way of mail for `domain`; `None`: nothing is said about it here.
    #[must_use]
    pub fn of(&self, domain: &Domain) -> Option<&Via> {
        self.0.get(domain).map(|(_, via)| via)
    }

    /// The pattern of the item that decides for `domain`.
    #[must_use]
    pub fn item_for(&self, domain: &Domain) -> Option<String> {
        let decides = self.0.get(domain);
        decides.map(|(pattern, _)| pattern.to_string())
    }

    /// Every item, as pattern and way, in an order that does not depend on how they were written.
    pub fn items(&self) -> impl Iterator<Item = (String, &Via)> {
        let items = self.0.items();
        items.map(|(pattern, via)| (pattern.to_string(), via))
    }
}

/// Reads `example.com=smtp://host:port,*.example.net=mx`; no pattern may stand there twice.
pub(super) fn routes(text: &str) -> Parsed<Routes> {
    if text.contains('@') {
        return Err(Refusal::Unprintable(
            "a user and a password are not supported here",
        ));
    }
    let mut routes = ByDomain::default();
    for (pattern, via) in value::list(text, route)? {
        routes.insert(pattern, via)?;
    }
    Ok(Routes(routes))
}

fn route(text: &str) -> Parsed<(DomainPattern, Via)> {
    let (pattern, via) = text.split_once('=').ok_or(Refusal::Unexpected)?;
    let via = match via.trim() {
        "mx" => Via::Mx,
        host => Via::Host(relay_host(host)?),
    };
    match value::domain_pattern(pattern.trim()) {
        Ok(pattern) => Ok((pattern, via)),
        Err(Refusal::Unexpected) => Err(Refusal::Because("this is no domain".to_owned())),
        Err(refusal) => Err(refusal),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SOME: &str = "Example.com=smtp://one.test:2525, *.example.com=mx, \
                        *.b.example.com=smtp://192.0.2.1, *.internal = smtps://[2001:db8::1]";

    #[track_caller]
    fn check(domain: &str, want: &str) {
        let routes = routes(SOME).unwrap();
        let domain = Domain::parse(domain).unwrap();
        let via = match routes.of(&domain) {
            None => "nothing".to_owned(),
            Some(Via::Mx) => "mx".to_owned(),
            Some(Via::Host(relay)) => format!("{:?}:{}", relay.host, relay.port),
        };
        assert_eq!(via, want);
    }

    #[test]
    fn the_most_specific_item_decides() {
        // W-19.04
        check("example.com", "Name(Domain(one.test)):2525");
        check("a.example.com", "mx");
        check("a.c.example.com", "mx");
        check("b.example.com", "mx");
        check("a.b.example.com", "Address(192.0.2.1):25");
        check("c.a.b.example.com", "Address(192.0.2.1):25");
        check("host.internal", "Address(2001:db8::1):465");
        for domain in [
            "internal",
            "com",
            "evilexample.com",
            "example.com.test",
            "d.test",
        ] {
            check(domain, "nothing");
        }
    }

    #[test]
    fn the_order_of_the_items_changes_nothing() {
        let mut items: Vec<&str> = SOME.split(',').collect();
        items.reverse();
        assert_eq!(routes(&items.join(",")), routes(SOME));
        let patterns: Vec<String> = routes(SOME).unwrap().items().map(|(p, _)| p).collect();
        let want = [
            "example.com",
            "*.b.example.com",
            "*.example.com",
            "*.internal",
        ];
        assert_eq!(patterns, want);
        assert_eq!(routes(""), Ok(Routes::default()));
    }

    #[track_caller]
    fn refused(text: &str, why: &str) {
        assert_eq!(routes(text), Err(Refusal::Because(why.to_owned())));
    }

    #[test]
    fn what_is_no_route_is_named() {
        refused("a.test", "\"a.test\" is none");
        refused("a.test=mx,", "item 2 is empty");
        refused("*=mx", "\"*=mx\": this is no domain");
        refused("=mx", "\"=mx\": this is no domain");
        refused("127.0.0.1=mx", "\"127.0.0.1=mx\": this is an address");
        refused("a.test=mx,A.test=mx", "a.test is there twice");
        refused("*.a.test=mx,*.A.test=mx", "*.a.test is there twice");
        let only = "\"a.test=relay.test\": it does not begin with smtp:// or smtps://";
        refused("a.test=relay.test", only);
        refused(
            "a.test=MX",
            "\"a.test=MX\": it does not begin with smtp:// or smtps://",
        );
    }

    #[test]
    fn a_password_is_never_repeated() {
        for text in [
            "a.test=smtp://ann:pw@relay.test",
            "a.test=smtp://ann:p,w@relay.test",
        ] {
            let refusal = routes(text).unwrap_err();
            assert!(matches!(refusal, Refusal::Unprintable(_)), "{refusal:?}");
        }
    }
}
