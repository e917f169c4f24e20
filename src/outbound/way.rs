//! The way that mail of a domain would take now, for whoever asks; nobody is dialled.

use std::net::SocketAddr;
use std::sync::Arc;

use arc_swap::ArcSwap;

use crate::config::{Config, DeliveryConfig};
use crate::mail::limits::ATTEMPT_NAMES_MAX;
use crate::mail::{AddressDomain, Destination};
use crate::observe::Events;
use crate::smtp::client::Verdict;

use super::dialer::{Dialer, SourceError};
use super::dns::Dns;
use super::hosts::Finder;
use super::ourselves::Ourselves;
use super::policy::terms_of;
use super::route::{Route, destination, relay_url, route_of};
use super::route_alarm::RouteAlarm;

/// Where mail of one domain would go, and why.
#[derive(Clone, Debug)]
pub struct Way {
    /// In which line its mail waits.
    pub destination: Destination,
    /// The route in words.
    pub route: String,
    /// What decided the route: a variable's entry, or that none holds.
    pub route_rule: String,
    /// The TLS level of its connections, as `SMTP_TLS_POLICY` names it.
    pub tls: String,
    /// What decided that.
    pub tls_rule: String,
    /// The hosts in the order in which they are tried; equals in random order each time.
    pub hosts: Vec<WayHost>,
    /// What would become of mail without any connection, if that is so.
    pub settled: Option<String>,
}

/// One host on the way.
#[derive(Clone, Debug)]
pub struct WayHost {
    /// Of its MX record; lower ones are tried first.
    pub preference: Option<u16>,
    /// Its name.
    pub name: String,
    /// What would be dialled, in this order.
    pub addresses: Vec<SocketAddr>,
    /// Why it would not be dialled.
    pub trouble: Option<String>,
}

/// Finds ways. Cheap to clone; clones change together.
#[derive(Clone)]
pub struct Ways(Arc<ArcSwap<Finding>>);

struct Finding {
    config: DeliveryConfig,
    finder: Finder,
    dialer: Dialer,
}

impl Ways {
    /// By the same rules as deliveries, and with the same name servers.
    ///
    /// # Errors
    /// An address of `SMTP_SOURCE_ADDRESSES` is not ours.
    pub fn new(config: &Config, dns: Dns, events: Events) -> Result<Ways, SourceError> {
        Ok(Ways(Arc::new(ArcSwap::from_pointee(Finding {
            config: config.delivery.clone(),
            dialer: Dialer::new(&config.delivery)?,
            finder: Finder {
                dns,
                ourselves: Ourselves::new(config),
                alarm: RouteAlarm::default(),
                events,
            },
        }))))
    }

    /// From now on these find what `other` would.
    pub fn become_like(&self, other: &Ways) {
        self.0.store(other.0.load_full());
    }

    /// In which line mail for `domain` waits.
    #[must_use]
    pub fn destination(&self, domain: &AddressDomain) -> Destination {
        destination(&self.0.load().config, domain)
    }

    /// The way that mail for `domain` would take now. Asks DNS; dials nobody.
    pub async fn way(&self, domain: &AddressDomain) -> Way {
        let finding = self.0.load_full();
        let Finding {
            config,
            finder,
            dialer,
        } = &*finding;
        let route = route_of(config, domain);
        let terms = terms_of(config, &route);
        let mut way = Way {
            destination: destination(config, domain),
            route: match &route {
                Route::Mx(domain) => format!("MX of {domain}"),
                Route::Literal(address) => format!("the address {address}"),
                Route::Relay(relay) => relay_url(relay),
            },
            route_rule: route_rule(config, domain),
            tls: terms.tls.to_string(),
            tls_rule: format!("{} in SMTP_TLS_POLICY, for {}", terms.rule, terms.next_hop),
            hosts: Vec::new(),
            settled: None,
        };
        let hosts = match finder.hosts(config, &route).await {
            Ok(hosts) => hosts,
            Err(settled) => {
                let verdict = match settled.verdict {
                    Verdict::Delivered => "delivered",
                    Verdict::Deferred => "deferred",
                    Verdict::Failed => "failed",
                };
                way.settled = Some(format!("{verdict}: {}", settled.answer.words()));
                return way;
            }
        };
        let by_dns = matches!(route, Route::Mx(_));
        for host in hosts.hosts.iter().take(ATTEMPT_NAMES_MAX) {
            let found = finder.addresses(config, dialer, &hosts, host).await;
            let (addresses, trouble) = match found {
                Ok(addresses) => (addresses, None),
                Err(trouble) => (Vec::new(), Some(trouble.answer().words())),
            };
            way.hosts.push(WayHost {
                preference: by_dns.then_some(host.preference),
                name: host.name.to_string(),
                addresses: addresses
                    .into_iter()
                    .map(|address| SocketAddr::new(address, hosts.port))
                    .collect(),
                trouble,
            });
        }
        way
    }
}

/// What decided the route of `domain`.
fn route_rule(config: &DeliveryConfig, domain: &AddressDomain) -> String {
    let pattern = match domain {
        AddressDomain::Name(name) => config.routes.item_for(name),
        AddressDomain::Literal(_) => None,
    };
    match (pattern, &config.relay_host) {
        (Some(pattern), _) => format!("the item {pattern} of SMTP_ROUTES"),
        (None, Some(_)) => "SMTP_RELAY_HOST".to_owned(),
        (None, None) => "nothing in SMTP_ROUTES fits, and SMTP_RELAY_HOST is not set".to_owned(),
    }
}
