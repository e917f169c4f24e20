//! From what DNS says to the hosts and addresses that are dialled, in order (RFC 5321 5.1). Pure.

use std::net::IpAddr;

use ipnet::IpNet;

use crate::mail::{Answer, Domain, EnhancedCode, Reason};
use crate::smtp::client::{Settled, Verdict};

/// What a look-up gave.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Found<T> {
    /// At least one record.
    Records(Vec<T>),
    /// The name exists, but has no such record.
    NoData,
    /// The name does not exist.
    NxDomain,
    /// Not known now, and why. Never to be taken for one of the others.
    Temporary(Box<str>),
}

/// One MX record.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct MxRecord {
    /// Lower ones are tried first.
    pub(super) preference: u16,
    /// Whom it names.
    pub(super) exchange: Exchange,
}

/// What an MX record names.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Exchange {
    /// `.`: no host (RFC 7505).
    Root,
    /// A host.
    Host(Domain),
    /// An address written as a name, or no host name at all. Never dialled, and never shown.
    Unusable,
}

impl Exchange {
    /// Reads a name in presentation form, with or without its final dot.
    #[must_use]
    pub(super) fn parse(text: &str) -> Exchange {
        let text = text.strip_suffix('.').unwrap_or(text);
        if text.is_empty() {
            return Exchange::Root;
        }
        let top_label = text.rsplit('.').next().unwrap_or(text);
        if top_label.bytes().all(|b| b.is_ascii_digit()) {
            return Exchange::Unusable; // 127.0.0.2. and its kind
        }
        Domain::parse(text).map_or(Exchange::Unusable, Exchange::Host)
    }
}

/// A host that takes mail.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct MailHost {
    /// Of its MX record.
    pub(super) preference: u16,
    /// Whom it names.
    pub(super) name: Domain,
}

/// The mail hosts of `domain` in the order in which they are tried: by preference, and at random
/// among equals. If we, by the name of `own`, are one of them, only those before us are left (RFC
/// 5321 5.1). `random` gives one number for each record. The error settles every recipient.
pub(super) fn mail_hosts(
    domain: &Domain,
    found: Found<MxRecord>,
    own: &Domain,
    mut random: impl FnMut() -> u64,
) -> Result<Vec<MailHost>, Settled> {
    let records = match found {
        Found::Records(records) => records,
        Found::NoData if domain == own => return Err(failed(loops_back(own))),
        Found::NoData => {
            return Ok(vec![MailHost {
                preference: 0,
                name: domain.clone(),
            }]);
        }
        Found::NxDomain => return Err(no_such_domain(domain)),
        Found::Temporary(why) => {
            return Err(Settled {
                verdict: Verdict::Deferred,
                answer: unresolved(&format!("MX of {domain}: {why}")),
            });
        }
    };
    if records
        .iter()
        .all(|record| record.exchange == Exchange::Root)
    {
        return Err(null_mx(domain));
    }
    let mut hosts: Vec<(u64, MailHost)> = Vec::new();
    for MxRecord {
        preference,
        exchange,
    } in records
    {
        if let Exchange::Host(name) = exchange {
            hosts.push((random(), MailHost { preference, name }));
        }
    }
    if hosts.is_empty() {
        return Err(no_usable_host(domain));
    }
    let named = hosts.iter().map(|(_, host)| host);
    let ours = named.filter(|host| host.name == *own);
    if let Some(our_preference) = ours.map(|host| host.preference).min() {
        hosts.retain(|(_, host)| host.preference < our_preference);
        if hosts.is_empty() {
            return Err(failed(loops_back(own)));
        }
    }
    hosts.sort_by_key(|(random, host)| (host.preference, *random));
    let mut in_order: Vec<MailHost> = Vec::new();
    for (_, host) in hosts {
        if in_order.iter().all(|before| before.name != host.name) {
            in_order.push(host);
        }
    }
    Ok(in_order)
}

/// Those of a host's addresses that may be dialled, IPv6 and IPv4 in turn, so that a family that
/// does not work here costs one try and not all of them.
#[must_use]
pub(super) fn dialable(addresses: &[IpAddr], denied: &[IpNet]) -> Vec<IpAddr> {
    let allowed = |address: &&IpAddr| !is_denied(address, denied);
    let allowed = addresses.iter().filter(allowed).map(IpAddr::to_canonical);
    let (mut six, mut four): (Vec<IpAddr>, Vec<IpAddr>) = allowed.partition(IpAddr::is_ipv6);
    six.reverse();
    four.reverse();
    let mut in_turn = Vec::with_capacity(six.len() + four.len());
    while !(six.is_empty() && four.is_empty()) {
        for address in [six.pop(), four.pop()].into_iter().flatten() {
            if !in_turn.contains(&address) {
                in_turn.push(address);
            }
        }
    }
    in_turn
}

/// Whether mail must not be sent there, also when the address is an IPv4 one in IPv6 clothes.
#[must_use]
pub(super) fn is_denied(address: &IpAddr, denied: &[IpNet]) -> bool {
    let plain = address.to_canonical();
    denied
        .iter()
        .any(|network| network.contains(address) || network.contains(&plain))
}

/// A name could not be resolved now.
#[must_use]
pub(super) fn unresolved(detail: &str) -> Answer {
    dns_answer(EnhancedCode::temporary(4, 3), detail)
}

/// Whoever is `host` for the sender is us: sent there, the mail would come back.
#[must_use]
pub(super) fn loops_back(host: &dyn std::fmt::Display) -> Answer {
    let detail =
        format!("mail loops back to this relay: its next mail host is {host}, and that is us");
    dns_answer(EnhancedCode::permanent(4, 6), &detail)
}

/// A host has no address, or none that may be dialled.
#[must_use]
pub(super) fn unreachable(detail: &str) -> Answer {
    dns_answer(EnhancedCode::permanent(4, 4), detail)
}

fn no_such_domain(domain: &Domain) -> Settled {
    let detail = format!("the domain {domain} does not exist (NXDOMAIN)");
    failed(dns_answer(EnhancedCode::permanent(1, 2), &detail))
}

fn null_mx(domain: &Domain) -> Settled {
    let detail = format!("the domain {domain} accepts no mail (null MX)");
    failed(dns_answer(EnhancedCode::permanent(1, 10), &detail))
}

fn no_usable_host(domain: &Domain) -> Settled {
    let detail = format!("no MX record of {domain} names a host");
    failed(unreachable(&detail))
}

fn failed(answer: Answer) -> Settled {
    Settled {
        verdict: Verdict::Failed,
        answer,
    }
}

fn dns_answer(status: EnhancedCode, detail: &str) -> Answer {
    Answer {
        remote: None,
        status,
        reason: Reason::Dns,
        reply: None,
        detail: detail.into(),
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    fn domain() -> Domain {
        Domain::parse("d.test").unwrap()
    }

    fn records(of: &[(u16, &str)]) -> Found<MxRecord> {
        let record = |&(preference, exchange): &(u16, &str)| MxRecord {
            preference,
            exchange: Exchange::parse(exchange),
        };
        Found::Records(of.iter().map(record).collect())
    }

    /// The hosts, or status and verdict.
    fn hosts(found: Found<MxRecord>, random: impl FnMut() -> u64) -> String {
        let own = Domain::parse("gp.test").unwrap();
        match mail_hosts(&domain(), found, &own, random) {
            Ok(hosts) => {
                let hosts: Vec<&str> = hosts.iter().map(|host| host.name.as_str()).collect();
                hosts.join(" ")
            }
            Err(settled) => format!("{:?} {}", settled.verdict, settled.answer.status),
        }
    }

    #[track_caller]
    fn check(found: Found<MxRecord>, want: &str) {
        let mut number = 0;
        let counting = || {
            number += 1;
            number
        };
        assert_eq!(hosts(found, counting), want);
    }

    #[test]
    fn lowest_preference_comes_first_and_each_host_once() {
        // W-13.01
        check(
            records(&[(20, "b.test."), (10, "a.test."), (65_535, "c.test.")]),
            "a.test b.test c.test",
        );
        check(
            records(&[(10, "A.test."), (20, "a.TEST."), (30, "b.test.")]),
            "a.test b.test",
        );
    }

    #[test]
    fn equal_preferences_are_shuffled_and_unequal_ones_never() {
        // W-13.01
        let mut orders = HashSet::new();
        let mut seed = 1_u64;
        for _ in 0..40 {
            let random = || {
                seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
                seed >> 33
            };
            orders.insert(hosts(
                records(&[
                    (10, "b.test"),
                    (5, "a.test"),
                    (10, "c.test"),
                    (20, "d.test"),
                ]),
                random,
            ));
        }
        let want = ["a.test b.test c.test d.test", "a.test c.test b.test d.test"];
        assert_eq!(orders, HashSet::from(want.map(str::to_owned)));
    }

    #[test]
    fn without_mx_the_domain_is_its_own_host() {
        // W-13.02
        check(Found::NoData, "d.test");
    }

    #[test]
    fn null_mx_is_final_and_a_root_among_others_is_skipped() {
        // W-13.03
        check(records(&[(0, ".")]), "Failed 5.1.10");
        check(records(&[(0, "."), (10, "a.test.")]), "a.test");
    }

    #[test]
    fn where_we_are_a_mail_host_only_those_before_us_are_left() {
        // W-13.09
        check(
            records(&[
                (5, "a.test"),
                (10, "GP.test."),
                (10, "b.test"),
                (20, "c.test"),
            ]),
            "a.test",
        );
        check(
            records(&[(10, "gp.test"), (10, "b.test"), (20, "c.test")]),
            "Failed 5.4.6",
        );
        check(
            records(&[(5, "a.test"), (20, "gp.test"), (10, "gp.test")]),
            "a.test",
        );
        let gp = Domain::parse("gp.test").unwrap();
        let settled = mail_hosts(&gp, Found::NoData, &gp, || 0).unwrap_err();
        assert_eq!(settled.answer.status.to_string(), "5.4.6");
    }

    #[test]
    fn what_dns_says_about_the_domain_decides() {
        // W-13.04, W-13.05
        check(Found::NxDomain, "Failed 5.1.2");
        check(Found::Temporary("SERVFAIL".into()), "Deferred 4.4.3");
    }

    #[test]
    fn exchanges_that_are_no_host_names_are_skipped() {
        // W-13.07
        let long = format!("{}.test.", ["a".repeat(60).as_str(); 5].join("."));
        for text in [
            "127.0.0.2.",
            "::1",
            "1.",
            "a\\000b.test.",
            "a b.test.",
            "a..b.",
            "\\007.test.",
            &long,
        ] {
            assert_eq!(Exchange::parse(text), Exchange::Unusable, "{text}");
        }
        check(records(&[(5, "127.0.0.2."), (10, "a.test.")]), "a.test");
        check(records(&[(5, "127.0.0.2.")]), "Failed 5.4.4");
    }

    #[track_caller]
    fn check_dialable(addresses: &[&str], want: &[&str]) {
        let denied: Vec<IpNet> = ["127.0.0.0/8", "0.0.0.0/8", "::1/128", "::/128", "fe80::/10"]
            .iter()
            .map(|text| text.parse().unwrap())
            .collect();
        let addresses: Vec<IpAddr> = addresses.iter().map(|text| text.parse().unwrap()).collect();
        let got: Vec<String> = dialable(&addresses, &denied)
            .iter()
            .map(IpAddr::to_string)
            .collect();
        assert_eq!(got, want);
    }

    #[test]
    fn denied_addresses_are_left_out_in_every_spelling() {
        // W-13.08
        check_dialable(
            &["127.0.0.1", "0.0.0.0", "::1", "::ffff:127.0.0.1", "fe80::1"],
            &[],
        );
        check_dialable(&["127.9.9.9", "192.0.2.1"], &["192.0.2.1"]);
    }

    #[test]
    fn the_families_take_turns() {
        // W-13.12
        check_dialable(
            &[
                "192.0.2.1",
                "192.0.2.2",
                "192.0.2.1",
                "2001:db8::1",
                "2001:db8::2",
                "2001:db8::3",
            ],
            &[
                "2001:db8::1",
                "192.0.2.1",
                "2001:db8::2",
                "192.0.2.2",
                "2001:db8::3",
            ],
        );
    }
}
