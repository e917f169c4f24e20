//! What is said by domain: the most specific item decides, wherever it stands in the list.

use std::collections::BTreeMap;

use crate::mail::Domain;

use super::domain_pattern::DomainPattern;
use super::refusal::{Parsed, Refusal};

/// Values by domain. For a domain counts its own, else that of the longest of its parents that has a
/// `*.` item.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct ByDomain<T>(BTreeMap<DomainPattern, T>);

impl<T> ByDomain<T> {
    /// Adds an item; refused if its pattern has one.
    pub(super) fn insert(&mut self, pattern: DomainPattern, value: T) -> Parsed<()> {
        if self.0.contains_key(&pattern) {
            return Err(Refusal::Because(format!("{pattern} is there twice")));
        }
        self.0.insert(pattern, value);
        Ok(())
    }

    /// The item that decides about `domain`, if one does.
    pub(super) fn get(&self, domain: &Domain) -> Option<(&DomainPattern, &T)> {
        if self.0.is_empty() {
            return None;
        }
        let own = DomainPattern::Exactly(domain.clone());
        self.0.get_key_value(&own).or_else(|| self.above(domain))
    }

    fn above(&self, domain: &Domain) -> Option<(&DomainPattern, &T)> {
        let mut name = domain.as_str();
        while let Some((_, parent)) = name.split_once('.') {
            // What is left of a name behind a dot is a name.
            let pattern = Domain::parse(parent).ok().map(DomainPattern::SubdomainsOf);
            let found = pattern.and_then(|pattern| self.0.get_key_value(&pattern));
            if found.is_some() {
                return found;
            }
            name = parent;
        }
        None
    }

    /// Every item, in an order that does not depend on how they were written.
    pub(super) fn items(&self) -> impl Iterator<Item = (&DomainPattern, &T)> {
        self.0.iter()
    }
}

impl<T> Default for ByDomain<T> {
    fn default() -> ByDomain<T> {
        ByDomain(BTreeMap::new())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn by_domain(patterns: &[&str]) -> Parsed<ByDomain<usize>> {
        let mut items = ByDomain::default();
        for pattern in patterns {
            items.insert(DomainPattern::parse(pattern).unwrap(), pattern.len())?;
        }
        Ok(items)
    }

    #[track_caller]
    fn check(patterns: &[&str], domain: &str, want: Option<&str>) {
        let domain = Domain::parse(domain).unwrap();
        let mut patterns = patterns.to_vec();
        for _ in 0..2 {
            let items = by_domain(&patterns).unwrap();
            let found = items.get(&domain);
            let found = found.map(|(pattern, value)| (pattern.to_string(), *value));
            let want = want.map(|pattern| (pattern.to_owned(), pattern.len()));
            assert_eq!(found, want, "{patterns:?}");
            patterns.reverse();
        }
    }

    #[test]
    fn the_most_specific_item_decides_whatever_the_order() {
        let some = ["*.test", "a.b.test", "*.b.test", "b.test", "*.c.d.test"];
        check(&some, "a.b.test", Some("a.b.test"));
        check(&some, "A.B.Test", Some("a.b.test"));
        check(&some, "x.a.b.test", Some("*.b.test"));
        check(&some, "x.b.test", Some("*.b.test"));
        check(&some, "b.test", Some("b.test"));
        check(&some, "c.d.test", Some("*.test"));
        check(&some, "x.y.c.d.test", Some("*.c.d.test"));
        check(&some, "test", None);
        check(&some, "xtest", None);
        check(&some, "b.test.example", None);
        check(&["b.test"], "a.b.test", None);
        check(&["*.b.test"], "evilb.test", None);
        check(&[], "b.test", None);
    }

    #[test]
    fn no_pattern_may_be_there_twice() {
        for (patterns, twice) in [
            (["b.test", "B.test"], "b.test"),
            (["*.b.test", "*.B.test"], "*.b.test"),
        ] {
            let why = format!("{twice} is there twice");
            assert_eq!(by_domain(&patterns), Err(Refusal::Because(why)));
        }
        assert!(by_domain(&["b.test", "*.b.test"]).is_ok());
    }

    #[test]
    fn items_come_in_one_order() {
        let items = by_domain(&["*.b.test", "b.test", "*.a.test", "a.test"]).unwrap();
        let patterns: Vec<String> = items.items().map(|(p, _)| p.to_string()).collect();
        assert_eq!(patterns, ["a.test", "b.test", "*.a.test", "*.b.test"]);
    }
}
