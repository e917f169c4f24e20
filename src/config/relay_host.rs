//! `SMTP_RELAY_HOST`: the smarthost, written as `smtp://host:port` or `smtps://host:port`, and who we are there.

use std::net::{IpAddr, Ipv6Addr};

use crate::mail::Domain;

use super::refusal::{Parsed, Refusal};
use super::secret::Secret;
use super::value;

const SMTP_PORT: u16 = 25;
/// RFC 8314 7.3.
const SMTPS_PORT: u16 = 465;
/// Longest name of a user, and longest password, in bytes.
const LOGIN_BYTES_MAX: usize = 1_024;

/// A smarthost.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RelayHost {
    /// Where TLS begins.
    pub scheme: RelayScheme,
    /// A name (A/AAAA only, no MX) or an address.
    pub host: RelayName,
    /// Its port.
    pub port: u16,
}

/// Where TLS with a smarthost begins.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum RelayScheme {
    /// `smtp://`: with STARTTLS, where that is.
    Smtp,
    /// `smtps://`: at once (RFC 8314 3).
    Smtps,
}

/// As whom we authenticate.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct RelayLogin {
    /// The user's name.
    pub user: Box<str>,
    /// The password.
    pub password: Secret,
}

/// How a smarthost is named.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum RelayName {
    /// To be asked in DNS.
    Name(Domain),
    /// To be dialled as it stands.
    Address(IpAddr),
}

/// Reads `smtp://host` or `smtp://host:port`, or the same with `smtps://`; an IPv6 address has brackets.
pub(super) fn relay_host(text: &str) -> Parsed<RelayHost> {
    if text.contains('@') {
        return Err(Refusal::Unprintable(
            "a user and a password stand in SMTP_RELAY_USER and SMTP_RELAY_PASSWORD",
        ));
    }
    let (scheme, authority) = text
        .split_once("://")
        .ok_or_else(|| because("it does not begin with smtp:// or smtps://"))?;
    let (scheme, default_port) = if scheme.eq_ignore_ascii_case("smtp") {
        (RelayScheme::Smtp, SMTP_PORT)
    } else if scheme.eq_ignore_ascii_case("smtps") {
        (RelayScheme::Smtps, SMTPS_PORT)
    } else {
        return Err(because("it does not begin with smtp:// or smtps://"));
    };
    if authority.contains(['/', '?', '#']) {
        return Err(because("nothing may follow the port"));
    }
    let (host, port) = split_port(authority)?;
    let port = match port {
        Some(port) => value::port(port).map_err(|_| because("the port is none"))?,
        None => default_port,
    };
    Ok(RelayHost { scheme, host, port })
}

/// The name of a user.
pub(super) fn relay_user(text: &str) -> Parsed<Box<str>> {
    Ok(login_text(text)?.into())
}

/// A password.
pub(super) fn relay_password(text: &str) -> Parsed<Secret> {
    Ok(Secret::new(login_text(text)?.to_owned()))
}

/// What can stand in every mechanism: no mechanism carries a NUL, and nobody means a line end.
fn login_text(text: &str) -> Parsed<&str> {
    if text.len() > LOGIN_BYTES_MAX || text.contains(char::is_control) {
        return Err(Refusal::Unexpected);
    }
    Ok(text)
}

fn split_port(authority: &str) -> Parsed<(RelayName, Option<&str>)> {
    if let Some(bracketed) = authority.strip_prefix('[') {
        let (address, behind) = bracketed
            .split_once(']')
            .ok_or_else(|| because("a bracket is not closed"))?;
        let address = address
            .parse::<Ipv6Addr>()
            .map_err(|_| because("what is in brackets is no IPv6 address"))?;
        let port = match behind {
            "" => None,
            _ => Some(behind.strip_prefix(':').ok_or(Refusal::Unexpected)?),
        };
        return Ok((RelayName::Address(IpAddr::V6(address)), port));
    }
    if authority.parse::<Ipv6Addr>().is_ok() {
        return Err(because("an IPv6 address needs brackets"));
    }
    let (host, port) = match authority.split_once(':') {
        Some((host, port)) => (host, Some(port)),
        None => (authority, None),
    };
    let name = match host.parse::<IpAddr>() {
        Ok(address) => RelayName::Address(address),
        Err(_) => RelayName::Name(
            value::domain(host).map_err(|_| because("the host is no name and no address"))?,
        ),
    };
    Ok((name, port))
}

fn because(why: &str) -> Refusal {
    Refusal::Because(why.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(text: &str, host: RelayName, port: u16) {
        let scheme = RelayScheme::Smtp;
        assert_eq!(relay_host(text), Ok(RelayHost { scheme, host, port }));
    }

    #[track_caller]
    fn check_smtps(text: &str, host: RelayName, port: u16) {
        let scheme = RelayScheme::Smtps;
        assert_eq!(relay_host(text), Ok(RelayHost { scheme, host, port }));
    }

    #[track_caller]
    fn refused(text: &str, why: &str) {
        assert_eq!(relay_host(text), Err(because(why)));
    }

    fn name(text: &str) -> RelayName {
        RelayName::Name(Domain::parse(text).unwrap())
    }

    fn address(text: &str) -> RelayName {
        RelayName::Address(text.parse().unwrap())
    }

    #[test]
    fn names_and_addresses_with_and_without_port() {
        check("smtp://mx.example.net", name("mx.example.net"), 25);
        check("smtp://mx.example.net:587", name("mx.example.net"), 587);
        check("SMTP://MX.Example.NET:587", name("mx.example.net"), 587);
        check("smtp://localhost:1025", name("localhost"), 1025);
        check("smtp://192.0.2.1", address("192.0.2.1"), 25);
        check("smtp://192.0.2.1:2525", address("192.0.2.1"), 2525);
        check("smtp://[2001:db8::1]", address("2001:db8::1"), 25);
        check("smtp://[2001:db8::1]:2525", address("2001:db8::1"), 2525);
        check_smtps("smtps://mx.example.net", name("mx.example.net"), 465);
        check_smtps("SMTPS://[2001:db8::1]:2465", address("2001:db8::1"), 2465);
    }

    #[test]
    fn a_login_has_no_control_characters_and_an_end() {
        let longest = "x".repeat(LOGIN_BYTES_MAX);
        for (text, taken) in [
            ("ann", true),
            ("ann@example.org", true),
            (" a:b,c=d \u{fc}", true),
            (&longest, true),
            (&format!("{longest}x"), false),
            ("a\0b", false),
            ("a\nb", false),
            ("a\u{85}b", false),
        ] {
            assert_eq!(relay_user(text).is_ok(), taken, "{text:?}");
            assert_eq!(relay_password(text).is_ok(), taken, "{text:?}");
        }
    }

    #[test]
    fn what_is_not_supported_is_named() {
        refused(
            "mx.example.net",
            "it does not begin with smtp:// or smtps://",
        );
        refused(
            "mx.example.net:25",
            "it does not begin with smtp:// or smtps://",
        );
        refused(
            "http://mx.example.net",
            "it does not begin with smtp:// or smtps://",
        );
        refused("smtp://mx.example.net/", "nothing may follow the port");
        refused("smtp://mx.example.net:25/x", "nothing may follow the port");
        refused("smtp://mx.example.net?tls", "nothing may follow the port");
        refused("smtp://2001:db8::1", "an IPv6 address needs brackets");
        refused("smtp://[2001:db8::1", "a bracket is not closed");
        let no_v6 = "what is in brackets is no IPv6 address";
        refused("smtp://[192.0.2.1]", no_v6);
        refused("smtp://mx.example.net:0", "the port is none");
        refused("smtp://mx.example.net:", "the port is none");
        refused("smtp://mx.example.net:99999", "the port is none");
        refused("smtp://", "the host is no name and no address");
        refused("smtp://:25", "the host is no name and no address");
        refused("smtp://a b", "the host is no name and no address");
        assert_eq!(relay_host("smtp://[::1]25"), Err(Refusal::Unexpected));
    }

    #[test]
    fn a_password_in_the_address_is_never_repeated() {
        for text in [
            "smtp://ann:pw@mx.example.net",
            "smtps://ann:pw@mx",
            "ann:pw@mx",
        ] {
            assert!(
                matches!(relay_host(text), Err(Refusal::Unprintable(_))),
                "{text}"
            );
        }
    }
}
