//! Where mail of a domain goes. Pure.

use std::net::IpAddr;

use crate::config::{DeliveryConfig, RelayHost, RelayName, RelayScheme};
use crate::mail::{AddressDomain, Destination, Domain};

/// The way that mail of one domain takes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Route {
    /// To the mail hosts that DNS names for it (RFC 5321 5.1).
    Mx(Domain),
    /// To this address, as its address literal says.
    Literal(IpAddr),
    /// To the relay host that the operator configured, whatever the domain is.
    Relay(RelayHost),
}

/// The way of mail for `domain`.
#[must_use]
pub(super) fn route_of(config: &DeliveryConfig, domain: &AddressDomain) -> Route {
    match (&config.relay_host, domain) {
        (Some(relay), _) => Route::Relay(relay.clone()),
        (None, AddressDomain::Name(name)) => Route::Mx(name.clone()),
        (None, AddressDomain::Literal(address)) => Route::Literal(*address),
    }
}

/// Decides in which line the mail of a domain waits; for the store.
pub fn destination_of(
    config: &DeliveryConfig,
) -> impl Fn(&AddressDomain) -> Destination + Send + Sync + use<> {
    let relay = config.relay_host.as_ref().map(relay_url);
    move |domain| match &relay {
        Some(url) => Destination::of_route(url),
        None => Destination::of_domain(domain),
    }
}

/// Changes whenever [`destination_of`] would decide otherwise; for the store.
#[must_use]
pub fn routing_fingerprint(config: &DeliveryConfig) -> String {
    match &config.relay_host {
        Some(relay) => relay_url(relay),
        None => "mx".to_owned(),
    }
}

/// `smtp://host:port`, or the same with `smtps://`
fn relay_url(relay: &RelayHost) -> String {
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
    use super::super::test_config;
    use super::*;

    fn domain(text: &str) -> AddressDomain {
        AddressDomain::parse(text).unwrap()
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
