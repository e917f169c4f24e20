//! Where mail of a domain goes. Pure.

use std::net::IpAddr;

use ring::digest;

use crate::config::{DeliveryConfig, RelayHost, RelayName, RelayScheme, Routes, Via};
use crate::mail::{AddressDomain, Destination, Domain};

/// The way that mail of one domain takes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Route {
    /// To the mail hosts that DNS names for it (RFC 5321 5.1).
    Mx(Domain),
    /// To this address, as its address literal says.
    Literal(IpAddr),
    /// To the host that the operator configured for the domain, or for all.
    Relay(RelayHost),
}

/// The way of mail for `domain`: what `SMTP_ROUTES` says, else `SMTP_RELAY_HOST`, else DNS.
#[must_use]
pub(super) fn route_of(config: &DeliveryConfig, domain: &AddressDomain) -> Route {
    match configured(&config.routes, config.relay_host.as_ref(), domain) {
        Some(relay) => Route::Relay(relay.clone()),
        None => match domain {
            AddressDomain::Name(name) => Route::Mx(name.clone()),
            AddressDomain::Literal(address) => Route::Literal(*address),
        },
    }
}

/// The host that the configuration names for `domain`. Routes are of names: an address literal has
/// none.
fn configured<'c>(
    routes: &'c Routes,
    relay_host: Option<&'c RelayHost>,
    domain: &AddressDomain,
) -> Option<&'c RelayHost> {
    let via = match domain {
        AddressDomain::Name(name) => routes.of(name),
        AddressDomain::Literal(_) => None,
    };
    match via {
        Some(Via::Host(relay)) => Some(relay),
        Some(Via::Mx) => None,
        None => relay_host,
    }
}

/// Decides in which line the mail of a domain waits; for the store.
pub fn destination_of(
    config: &DeliveryConfig,
) -> impl Fn(&AddressDomain) -> Destination + Send + Sync + use<> {
    let routes = config.routes.clone();
    let relay_host = config.relay_host.clone();
    move |domain| line_of(configured(&routes, relay_host.as_ref(), domain), domain)
}

/// In which line the mail of `domain` waits.
#[must_use]
pub(super) fn destination(config: &DeliveryConfig, domain: &AddressDomain) -> Destination {
    let relay = configured(&config.routes, config.relay_host.as_ref(), domain);
    line_of(relay, domain)
}

fn line_of(relay: Option<&RelayHost>, domain: &AddressDomain) -> Destination {
    match relay {
        Some(relay) => Destination::of_route(&relay_url(relay)),
        None => Destination::of_domain(domain),
    }
}

/// Changes whenever [`destination_of`] would decide otherwise; for the store.
#[must_use]
pub fn routing_fingerprint(config: &DeliveryConfig) -> String {
    let for_the_rest = match &config.relay_host {
        Some(relay) => relay_url(relay),
        None => "mx".to_owned(),
    };
    let items: Vec<String> = config
        .routes
        .items()
        .map(|(pattern, via)| match via {
            Via::Mx => format!("{pattern}=mx"),
            Via::Host(relay) => format!("{pattern}={}", relay_url(relay)),
        })
        .collect();
    if items.is_empty() {
        return for_the_rest;
    }
    // Routes can be many, and a record in the store is small.
    let digest = digest::digest(&digest::SHA256, items.join(",").as_bytes());
    let hex: String = digest.as_ref().iter().map(|b| format!("{b:02x}")).collect();
    format!("{for_the_rest} routes {hex}")
}

/// `smtp://host:port`, or the same with `smtps://`
pub(super) fn relay_url(relay: &RelayHost) -> String {
    let scheme = match relay.scheme {
        RelayScheme::Smtp => "smtp",
        RelayScheme::Smtps => "smtps",
    };
    let port = relay.port;
    match &relay.host {
        RelayName::Name(name) => format!("{scheme}://{name}:{port}"),
        RelayName::Address(IpAddr::V4(address)) => format!("{scheme}://{address}:{port}"),
        RelayName::Address(IpAddr::V6(address)) => format!("{scheme}://[{address}]:{port}"),
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::super::test_config;
    use super::*;
    use crate::config::{Config, Sources};

    fn domain(text: &str) -> AddressDomain {
        AddressDomain::parse(text).unwrap()
    }

    /// A configuration with these routes, and a relay host for the rest.
    fn routed(routes: &str) -> DeliveryConfig {
        let variables = [
            ("SMTP_ROUTES", routes),
            ("SMTP_RELAY_HOST", "smtp://all.test"),
        ];
        let config = Config::load(&Sources::of(variables)).unwrap().config;
        config.delivery
    }

    #[test]
    fn routes_beat_the_relay_host() {
        // W-19.04
        let config = routed("a.test=smtp://one.test:26,*.a.test=mx");
        for (to, want) in [
            ("ann@a.test", "smtp://one.test:26"),
            ("ann@b.a.test", "b.a.test"),
            ("ann@c.test", "smtp://all.test:25"),
            ("ann@[127.0.0.5]", "smtp://all.test:25"),
        ] {
            let to = domain(to.strip_prefix("ann@").unwrap());
            let destination = destination_of(&config)(&to);
            assert_eq!(destination.as_str(), want);
            let by_dns = matches!(route_of(&config, &to), Route::Mx(name) if name.as_str() == want);
            assert_eq!(by_dns, want == "b.a.test");
        }
    }

    #[test]
    fn the_fingerprint_follows_every_change_of_routes() {
        let all = [
            "",
            "a.test=mx",
            "*.a.test=mx",
            "a.test=smtp://one.test",
            "a.test=smtp://one.test:26",
            "a.test=mx,b.test=mx",
        ];
        let prints: HashSet<String> = all
            .iter()
            .map(|r| routing_fingerprint(&routed(r)))
            .collect();
        assert_eq!(prints.len(), all.len());
        assert_eq!(
            routing_fingerprint(&routed("a.test=mx,b.test=mx")),
            routing_fingerprint(&routed("b.test=mx, A.test=mx"))
        );
    }

    #[test]
    fn without_a_relay_host_the_domain_decides() {
        // W-3.10
        let config = test_config();
        assert!(
            matches!(route_of(&config, &domain("D.test")), Route::Mx(name) if name.as_str() == "d.test")
        );
        assert_eq!(
            route_of(&config, &domain("[127.0.0.5]")),
            Route::Literal("127.0.0.5".parse().unwrap())
        );
        assert_eq!(
            destination_of(&config)(&domain("D.test")).as_str(),
            "d.test"
        );
        assert_eq!(
            destination_of(&config)(&domain("[IPv6:::1]")).as_str(),
            "[IPv6:::1]"
        );
    }

    #[test]
    fn with_a_relay_host_all_mail_stands_in_one_line() {
        let mut config = test_config();
        let mx = routing_fingerprint(&config);
        for (host, want) in [
            (
                RelayName::Name(Domain::parse("relay.test").unwrap()),
                "smtp://relay.test:2525",
            ),
            (
                RelayName::Address("127.0.0.9".parse().unwrap()),
                "smtp://127.0.0.9:2525",
            ),
            (
                RelayName::Address("::1".parse().unwrap()),
                "smtp://[::1]:2525",
            ),
        ] {
            let relay = RelayHost {
                scheme: RelayScheme::Smtp,
                host,
                port: 2525,
            };
            config.relay_host = Some(relay.clone());
            for to in ["d.test", "[127.0.0.5]"] {
                assert_eq!(route_of(&config, &domain(to)), Route::Relay(relay.clone()));
                assert_eq!(destination_of(&config)(&domain(to)).as_str(), want);
            }
            assert_eq!(routing_fingerprint(&config), want);
            assert_ne!(routing_fingerprint(&config), mx);
        }
    }
}
