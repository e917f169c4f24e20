//! Text to value: the kinds of value that any variable may have.

use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;

use tracing_subscriber::EnvFilter;

use crate::mail::Domain;

use super::amount::number;
use super::domain_pattern::DomainPattern;
use super::refusal::{Parsed, Refusal};

pub(super) fn boolean(text: &str) -> Parsed<bool> {
    match text {
        "true" => Ok(true),
        "false" => Ok(false),
        _ => Err(Refusal::Unexpected),
    }
}

pub(super) fn port(text: &str) -> Parsed<u16> {
    number(text, 1..=u16::MAX)
}

/// Items separated by commas, blanks around them ignored; no text gives no item.
pub(super) fn list<T>(text: &str, item: impl Fn(&str) -> Parsed<T>) -> Parsed<Vec<T>> {
    if text.is_empty() {
        return Ok(Vec::new());
    }
    let parse_item = |(n, text): (usize, &str)| match item(text) {
        Ok(value) => Ok(value),
        Err(Refusal::Unexpected) if text.is_empty() => {
            Err(Refusal::Because(format!("item {} is empty", n + 1)))
        }
        Err(Refusal::Unexpected) => Err(Refusal::Because(format!("{text:?} is none"))),
        Err(Refusal::Because(why)) => Err(Refusal::Because(format!("{text:?}: {why}"))),
        Err(unprintable @ Refusal::Unprintable(_)) => Err(unprintable),
    };
    text.split(',')
        .map(str::trim)
        .enumerate()
        .map(parse_item)
        .collect()
}

/// No text: nothing.
pub(super) fn optional<T>(text: &str, value: impl Fn(&str) -> Parsed<T>) -> Parsed<Option<T>> {
    if text.is_empty() {
        return Ok(None);
    }
    value(text).map(Some)
}

pub(super) fn domain(text: &str) -> Parsed<Domain> {
    if text.parse::<IpAddr>().is_ok() {
        return Err(Refusal::Because("this is an address".to_owned()));
    }
    Domain::parse(text).map_err(|_| Refusal::Unexpected)
}

pub(super) fn domain_pattern(text: &str) -> Parsed<DomainPattern> {
    if text.parse::<IpAddr>().is_ok() {
        return Err(Refusal::Because("this is an address".to_owned()));
    }
    DomainPattern::parse(text).map_err(|_| Refusal::Unexpected)
}

/// Addresses to listen on: at least one, none twice.
pub(super) fn listen_addresses(text: &str) -> Parsed<Vec<IpAddr>> {
    none_twice(list(text, |item| {
        item.parse().map_err(|_| Refusal::Unexpected)
    })?)
}

/// Addresses to call from: such as a machine can have, none twice.
pub(super) fn source_addresses(text: &str) -> Parsed<Vec<IpAddr>> {
    let address = |item: &str| match item.parse::<IpAddr>() {
        Ok(address) if address.is_unspecified() || address.is_multicast() => Err(Refusal::Because(
            "this is no address of a machine".to_owned(),
        )),
        Ok(address) => Ok(address.to_canonical()),
        Err(_) => Err(Refusal::Unexpected),
    };
    none_twice(list(text, address)?)
}

fn none_twice(addresses: Vec<IpAddr>) -> Parsed<Vec<IpAddr>> {
    for (n, address) in addresses.iter().enumerate() {
        if addresses[..n].contains(address) {
            return Err(Refusal::Because(format!("{address} is there twice")));
        }
    }
    Ok(addresses)
}

/// `ip` or `ip:port`; without one the port is `default_port`. IPv6 with a port has brackets.
pub(super) fn socket_address(text: &str, default_port: u16) -> Parsed<SocketAddr> {
    if let Ok(ip) = text.parse::<IpAddr>() {
        return Ok(SocketAddr::new(ip, default_port));
    }
    match text.parse::<SocketAddr>() {
        Ok(address) if address.port() != 0 => Ok(address),
        Ok(_) | Err(_) => Err(Refusal::Unexpected),
    }
}

/// `ip:port`, or `:port` for all addresses of both families.
pub(super) fn health_address(text: &str) -> Parsed<SocketAddr> {
    if let Some(port_text) = text.strip_prefix(':') {
        let all = IpAddr::V6(std::net::Ipv6Addr::UNSPECIFIED);
        return port(port_text).map(|port| SocketAddr::new(all, port));
    }
    match text.parse::<SocketAddr>() {
        Ok(address) if address.port() != 0 => Ok(address),
        Ok(_) | Err(_) => Err(Refusal::Unexpected),
    }
}

pub(super) fn path(text: &str) -> Parsed<PathBuf> {
    if text.is_empty() {
        return Err(Refusal::Unexpected);
    }
    Ok(PathBuf::from(text))
}

/// Longest greeting text, in bytes: with the longest host name it still fits a reply line.
const BANNER_BYTES_MAX: usize = 200;

/// Printable ASCII on one line.
pub(super) fn banner(text: &str) -> Parsed<String> {
    let printable = |b: u8| matches!(b, b' '..=b'~');
    if text.is_empty() || text.len() > BANNER_BYTES_MAX || !text.bytes().all(printable) {
        return Err(Refusal::Unexpected);
    }
    Ok(text.to_owned())
}

/// A filter for `tracing`. A lone word must be a level: the library would take `inof` for the name
/// of a module, and the log would be silent without a word.
pub(super) fn log_filter(text: &str) -> Parsed<String> {
    const LEVELS: [&str; 6] = ["error", "warn", "info", "debug", "trace", "off"];
    // The library does not take blanks around a directive.
    let directives: Vec<&str> = text.split(',').map(str::trim).collect();
    for directive in &directives {
        let lone_word = !directive.contains(['=', '[']);
        if lone_word && !LEVELS.iter().any(|l| l.eq_ignore_ascii_case(directive)) {
            return Err(Refusal::Because(format!("{directive:?} is no level")));
        }
    }
    let filter = directives.join(",");
    match EnvFilter::try_new(&filter) {
        Ok(_) => Ok(filter),
        Err(error) => Err(Refusal::Because(error.to_string())),
    }
}

/// The one value of `SMTP_ALLOW_OPEN_RELAY`.
pub(super) fn open_relay(text: &str) -> Parsed<bool> {
    match text {
        "" => Ok(false),
        "yes-i-am-sure" => Ok(true),
        _ => Err(Refusal::Unexpected),
    }
}

#[cfg(test)]
mod tests {
    use std::fmt::Debug;

    use super::*;

    #[track_caller]
    fn check<T: Debug + PartialEq>(got: Parsed<T>, want: T) {
        assert_eq!(got, Ok(want));
    }

    #[track_caller]
    fn refused<T: Debug>(got: Parsed<T>) {
        assert!(got.is_err(), "{got:?}");
    }

    #[track_caller]
    fn because<T: Debug + PartialEq>(got: Parsed<T>, why: &str) {
        assert_eq!(got, Err(Refusal::Because(why.to_owned())));
    }

    #[test]
    fn booleans_are_true_or_false() {
        check(boolean("true"), true);
        check(boolean("false"), false);
        for text in ["", "True", "TRUE", "yes", "1", "0", "on"] {
            refused(boolean(text));
        }
    }

    #[test]
    fn ports_begin_at_one() {
        check(port("1"), 1);
        check(port("65535"), 65_535);
        refused(port("65536"));
        refused(port("0"));
    }

    #[test]
    fn lists_name_the_item_that_is_wrong() {
        let ports = |text| list(text, port);
        check(ports(""), vec![]);
        check(ports("1"), vec![1]);
        check(ports(" 1 ,2,\t3 "), vec![1, 2, 3]);
        because(ports("1,,2"), "item 2 is empty");
        because(ports("1,2,"), "item 3 is empty");
        because(ports(","), "item 1 is empty");
        because(ports("1,x"), "\"x\" is none");
        because(list("1.2.3.4", domain), "\"1.2.3.4\": this is an address");
    }

    #[test]
    fn listen_addresses_are_not_doubled() {
        let both = vec!["0.0.0.0".parse().unwrap(), "::".parse().unwrap()];
        check(listen_addresses("0.0.0.0, ::"), both);
        because(listen_addresses("::1,::,0:0::1"), "::1 is there twice");
        refused(listen_addresses("localhost"));
        refused(listen_addresses("127.0.0.1:25"));
        refused(listen_addresses("[::1]"));
    }

    #[test]
    fn source_addresses_are_such_as_a_machine_has() {
        let both = vec!["192.0.2.1".parse().unwrap(), "::1".parse().unwrap()];
        check(source_addresses("::ffff:192.0.2.1, ::1"), both);
        check(source_addresses(""), vec![]);
        because(source_addresses("::1,0:0::1"), "::1 is there twice");
        because(
            source_addresses("0.0.0.0"),
            "\"0.0.0.0\": this is no address of a machine",
        );
        refused(source_addresses("ff02::1"));
        refused(source_addresses("localhost"));
        refused(source_addresses("192.0.2.0/24"));
    }

    #[test]
    fn a_socket_address_may_go_without_port() {
        let to = |text: &str| text.parse().unwrap();
        check(socket_address("192.0.2.1", 53), to("192.0.2.1:53"));
        check(socket_address("192.0.2.1:5353", 53), to("192.0.2.1:5353"));
        check(socket_address("2001:db8::1", 53), to("[2001:db8::1]:53"));
        check(
            socket_address("[2001:db8::1]:5353", 53),
            to("[2001:db8::1]:5353"),
        );
        for text in [
            "",
            "dns.test",
            "192.0.2.1:0",
            "192.0.2.1:",
            "192.0.2.1:99999",
            "[::1]",
        ] {
            refused(socket_address(text, 53));
        }
    }

    #[test]
    fn a_health_address_without_host_means_all_addresses() {
        let to = |text: &str| text.parse().unwrap();
        check(health_address(":8080"), to("[::]:8080"));
        check(health_address("127.0.0.1:8080"), to("127.0.0.1:8080"));
        check(health_address("[::1]:8080"), to("[::1]:8080"));
        for text in [
            "",
            ":",
            ":0",
            "8080",
            "127.0.0.1",
            "localhost:8080",
            "127.0.0.1:0",
        ] {
            refused(health_address(text));
        }
    }

    #[test]
    fn names_are_domains_and_not_addresses() {
        check(
            domain("MX.Example.org"),
            Domain::parse("mx.example.org").unwrap(),
        );
        because(domain("192.0.2.1"), "this is an address");
        because(domain("2001:db8::1"), "this is an address");
        refused(domain("a b"));
        refused(domain("*.example.org"));
        refused(domain("example.org."));
        because(domain_pattern("192.0.2.1"), "this is an address");
        refused(domain_pattern("*"));
    }

    #[test]
    fn a_banner_fits_one_reply_line() {
        check(banner("GopherPost ready"), "GopherPost ready".to_owned());
        check(banner(&"a".repeat(200)), "a".repeat(200));
        refused(banner(&"a".repeat(201)));
        refused(banner(""));
        refused(banner("ready\r\n220 evil"));
        refused(banner("bereit für Post"));
    }

    #[test]
    fn closed_words_are_exact() {
        check(open_relay(""), false);
        check(open_relay("yes-i-am-sure"), true);
        for text in ["true", "yes", "YES-I-AM-SURE", "false", "no"] {
            refused(open_relay(text));
        }
    }

    #[test]
    fn a_log_filter_is_levels_and_directives() {
        for text in ["info", "DEBUG", "off", "info,hickory_resolver=debug"] {
            check(log_filter(text), text.to_owned());
        }
        check(
            log_filter("warn , gopherpost=trace"),
            "warn,gopherpost=trace".to_owned(),
        );
        because(log_filter("inof"), "\"inof\" is no level");
        because(log_filter("info,"), "\"\" is no level");
        refused(log_filter("gopherpost=loud"));
        refused(log_filter(""));
    }

    #[test]
    fn no_text_is_no_value_where_a_variable_may_stay_unset() {
        check(optional("", port), None);
        check(optional("25", port), Some(25));
        refused(optional("x", port));
        refused(path(""));
    }
}
