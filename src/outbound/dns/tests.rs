//! Against a name server on loopback.

use std::time::Duration;

use super::super::loopback::{Log, Says, a, aaaa, cname, mx, name_server};
use super::super::test_config;
use super::*;

async fn dns(zone: impl Fn(&str, RecordType) -> Says + Clone + Send + 'static) -> (Dns, Log) {
    let (server, log) = name_server(zone).await;
    let mut config = test_config();
    config.dns_servers = Some(vec![server]);
    config.dns_timeout = Duration::from_secs(2);
    (Dns::new(&config).unwrap(), log)
}

fn name(text: &str) -> Domain {
    Domain::parse(text).unwrap()
}

/// Short, for comparing.
fn shown(found: &Found<IpAddr>) -> String {
    match found {
        Found::Records(addresses) => {
            let mut texts: Vec<String> = addresses.iter().map(IpAddr::to_string).collect();
            texts.sort();
            texts.join(" ")
        }
        Found::NoData => "no data".to_owned(),
        Found::NxDomain => "no such domain".to_owned(),
        Found::Temporary(why) => format!("temporary: {}", why.split(" from ").next().unwrap()),
    }
}

fn zone(name: &str, kind: RecordType) -> Says {
    match (name, kind) {
        ("both.test.", RecordType::A) => Says::Records(vec![a("192.0.2.1")]),
        ("both.test.", RecordType::AAAA) => Says::Records(vec![aaaa("2001:db8::1")]),
        ("four.test.", RecordType::A) => Says::Records(vec![a("192.0.2.1"), a("192.0.2.2")]),
        ("half.test.", RecordType::A) => Says::Records(vec![a("192.0.2.1")]),
        ("half.test.", _) => Says::Code(ResponseCode::ServFail),
        ("unknown.test.", RecordType::A) => Says::Nothing,
        ("unknown.test.", _) => Says::Code(ResponseCode::ServFail),
        ("refused.test.", _) => Says::Code(ResponseCode::Refused),
        ("gone.test.", _) => Says::Code(ResponseCode::NXDomain),
        ("silent.test.", _) => Says::Silence,
        ("alias.test.", _) => Says::Records(vec![cname("alias2.test.")]),
        ("alias2.test.", _) => Says::Records(vec![cname("both.test.")]),
        ("loop.test.", _) => Says::Records(vec![cname("pool.test.")]),
        ("pool.test.", _) => Says::Records(vec![cname("loop.test.")]),
        ("self.test.", _) => Says::Records(vec![cname("self.test.")]),
        ("dangling.test.", _) => Says::Records(vec![cname("gone.test.")]),
        _ => Says::Nothing,
    }
}

#[tokio::test]
async fn addresses_are_found_and_no_answer_says_more_than_was_learned() {
    // W-13.04, W-13.05, W-13.06
    let (dns, _) = dns(zone).await;
    for (host, want) in [
        ("both.test", "192.0.2.1 2001:db8::1"),
        ("four.test", "192.0.2.1 192.0.2.2"),
        ("half.test", "192.0.2.1"),
        ("nothing.test", "no data"),
        ("unknown.test", "temporary: SERVFAIL"),
        ("refused.test", "temporary: REFUSED"),
        ("gone.test", "no such domain"),
        (
            "silent.test",
            "temporary: no answer within 2.0s (SMTP_DNS_TIMEOUT)",
        ),
        ("alias.test", "192.0.2.1 2001:db8::1"),
        ("dangling.test", "no such domain"),
        (
            "loop.test",
            "temporary: the chain of CNAMEs is too long, or a loop",
        ),
        (
            "self.test",
            "temporary: the chain of CNAMEs is too long, or a loop",
        ),
    ] {
        let (found, _) = dns.addresses(&name(host)).await;
        assert_eq!(shown(&found), want, "{host}");
    }
}

#[tokio::test]
async fn a_single_label_is_asked_as_it_stands() {
    // W-3.16
    let (dns, log) = dns(zone).await;
    assert_eq!(dns.mx(&name("single")).await, Found::NoData);
    assert!(
        log.lines().iter().all(|line| line.starts_with("single. ")),
        "{:?}",
        log.lines()
    );
}

#[tokio::test]
async fn a_long_chain_of_cnames_is_followed_to_its_end() {
    // W-13.06
    let (dns, _) = dns(|name: &str, kind| {
        let at: u8 = name
            .trim_start_matches('c')
            .trim_end_matches(".test.")
            .parse()
            .unwrap();
        match (at, kind) {
            (9, RecordType::A) => Says::Records(vec![a("192.0.2.1")]),
            (9, _) => Says::Nothing,
            _ => Says::Records(vec![cname(&format!("c{}.test.", at + 1))]),
        }
    })
    .await;
    let (found, _) = dns.addresses(&name("c0.test")).await;
    assert_eq!(shown(&found), "192.0.2.1");
}

#[tokio::test]
async fn an_answer_cut_short_is_asked_again_over_tcp() {
    // W-13.10
    let (dns, log) = dns(|_: &str, kind| match kind {
        RecordType::MX => {
            let many = (0..60).map(|n| mx(n, &format!("host-with-a-long-name-{n}.example.test.")));
            Says::Large(many.collect())
        }
        _ => Says::Nothing,
    })
    .await;
    match dns.mx(&name("many.test")).await {
        Found::Records(records) => assert_eq!(records.len(), 60),
        other => panic!("{other:?}"),
    }
    assert_eq!(log.lines().len(), 2, "{:?}", log.lines());
}

#[tokio::test]
async fn a_server_that_fails_is_no_reason_not_to_ask_the_next() {
    // W-13.05
    for bad in [
        Says::Code(ResponseCode::ServFail),
        Says::Code(ResponseCode::Refused),
        Says::Silence,
    ] {
        let (first, first_log) = name_server(move |_: &str, _| bad.clone()).await;
        let (second, _) = name_server(zone).await;
        let mut config = test_config();
        config.dns_servers = Some(vec![first, second]);
        config.dns_timeout = Duration::from_secs(1);
        let dns = Dns::new(&config).unwrap();
        let (found, _) = dns.addresses(&name("four.test")).await;
        assert_eq!(shown(&found), "192.0.2.1 192.0.2.2");
        let asked = first_log.lines().len();
        let (found, _) = dns.addresses(&name("gone.test")).await;
        assert_eq!(shown(&found), "no such domain");
        assert_eq!(
            first_log.lines().len(),
            asked,
            "a server that failed is asked last"
        );
    }
}

#[tokio::test]
async fn names_that_are_answered_locally_give_loopback_or_nothing() {
    // W-13.08: what then keeps mail from going there are the denied networks.
    let (dns, log) = dns(zone).await;
    let (found, _) = dns.addresses(&name("localhost")).await;
    assert_eq!(shown(&found), "127.0.0.1 ::1");
    assert_eq!(dns.mx(&name("x.invalid")).await, Found::NxDomain);
    assert_eq!(log.lines(), Vec::<String>::new());
}
