//! `SMTP_DESTINATION_RATE`: how often a destination is given a message.

use crate::mail::{Destination, Domain};

use super::by_domain::ByDomain;
use super::domain_pattern::DomainPattern;
use super::rate::{Rate, rate};
use super::refusal::{Parsed, Refusal};
use super::value::{domain_pattern, list};

/// The rates of destinations, each for itself.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct DestinationRates {
    by_domain: ByDomain<Rate>,
    /// `*`
    every: Option<Rate>,
}

impl DestinationRates {
    /// The rate of a destination, if it has one. The closest item counts: its own name, then the
    /// longest of its parents, then `*`. A configured route is no domain, so only `*` can mean it.
    #[must_use]
    pub fn of(&self, destination: &Destination) -> Option<Rate> {
        let domain = Domain::parse(destination.as_str()).ok();
        let closest = domain.and_then(|domain| Some(*self.by_domain.get(&domain)?.1));
        closest.or(self.every)
    }
}

/// `gmail.com=50/s,*.example.org=10/1m,*=200/s`; none twice.
pub(super) fn destination_rates(text: &str) -> Parsed<DestinationRates> {
    let mut rates = DestinationRates::default();
    for (pattern, rate) in list(text, item)? {
        match pattern {
            Some(pattern) => rates.by_domain.insert(pattern, rate)?,
            None => {
                if rates.every.replace(rate).is_some() {
                    return Err(Refusal::Because("* is there twice".to_owned()));
                }
            }
        }
    }
    Ok(rates)
}

/// Without a pattern it is of every destination.
fn item(text: &str) -> Parsed<(Option<DomainPattern>, Rate)> {
    let (pattern, how_often) = text.split_once('=').ok_or(Refusal::Unexpected)?;
    let pattern = match pattern.trim() {
        "*" => None,
        domain => Some(domain_pattern(domain)?),
    };
    Ok((pattern, rate(how_often.trim())?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(rates: &str, destination: &str, want: Option<u32>) {
        let rates = destination_rates(rates).unwrap();
        let found = rates.of(&Destination::from_stored(destination));
        assert_eq!(found.map(|rate| rate.count), want, "{destination}");
    }

    #[test]
    fn the_closest_item_counts_whatever_the_order() {
        for rates in [
            "a.example=1/s, *.example=2/s, *.b.example=3/s, *=4/s",
            "*=4/s,*.b.example=3/s,*.example=2/s,A.example=1/1s",
        ] {
            check(rates, "a.example", Some(1));
            check(rates, "c.example", Some(2));
            check(rates, "c.b.example", Some(3));
            check(rates, "b.example", Some(2));
            check(rates, "example", Some(4));
            check(rates, "[192.0.2.1]", Some(4));
            check(rates, "smtp://relay.example:25", Some(4));
        }
        check("a.example=1/m", "b.example", None);
        check("a.example=1/m", "smtp://a.example:25", None);
        check("", "a.example", None);
    }

    #[test]
    fn what_is_no_rate_of_a_domain_is_refused() {
        for text in [
            "5/s",
            "a.example",
            "a.example=",
            "a.example=5",
            "=5/s",
            "a b=5/s",
            "*.=5/s",
            "**=5/s",
            "10.0.0.1=5/s",
            "a.example=0/s",
            "a.example=5/s,",
            "a=1/s,A=2/s",
            "*=1/s,*=2/s",
        ] {
            assert!(destination_rates(text).is_err(), "{text}");
        }
    }
}
