//! From a route to the hosts that are called, and from a host to its addresses.

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

use futures_util::future::join_all;
use ipnet::IpNet;

use crate::config::{DeliveryConfig, RelayName};
use crate::mail::limits::ATTEMPT_NAMES_MAX;
use crate::mail::{Answer, EnhancedCode, Reason};
use crate::observe::Events;
use crate::smtp::client::Settled;

use super::dialer::Dialer;
use super::dns::Dns;
use super::mx::{Found, dialable, loops_back, mail_hosts, unreachable, unresolved};
use super::ourselves::Ourselves;
use super::policy::terms_of;
use super::route::Route;
use super::route_alarm::RouteAlarm;
use super::tally::Trouble;
use super::target::{HostName, Terms};

/// The hosts that a route leads to, in order.
pub(super) struct Hosts {
    pub(super) hosts: Vec<Host>,
    pub(super) port: u16,
    /// Whether the operator named them: then the denied networks don't hold.
    configured: bool,
    /// What must hold on a connection to any of them.
    pub(super) terms: Arc<Terms>,
}

/// One of them.
pub(super) struct Host {
    pub(super) name: HostName,
    /// Of its MX record; all others have 0.
    pub(super) preference: u16,
}

impl Hosts {
    /// How many of them are as good as the first.
    #[must_use]
    pub(super) fn equally_good(&self) -> usize {
        let lowest = self.hosts.first().map(|host| host.preference);
        let equal = |host: &&Host| Some(host.preference) == lowest;
        self.hosts.iter().take_while(equal).count()
    }
}

/// Finds hosts and addresses.
pub(super) struct Finder {
    pub(super) dns: Dns,
    pub(super) ourselves: Ourselves,
    pub(super) alarm: RouteAlarm,
    pub(super) events: Events,
}

impl Finder {
    /// The hosts of a route; the error settles every recipient.
    pub(super) async fn hosts(
        &self,
        config: &DeliveryConfig,
        route: &Route,
    ) -> Result<Hosts, Settled> {
        let one = |name: HostName| Host {
            name,
            preference: 0,
        };
        let (hosts, port, configured) = match route {
            Route::Mx(domain) => {
                let found = self.dns.mx(domain).await;
                let own = &self.ourselves.hostname;
                let hosts = mail_hosts(domain, found, own, rand::random)?
                    .into_iter()
                    .map(|host| Host {
                        name: HostName::Name(host.name),
                        preference: host.preference,
                    })
                    .collect();
                (hosts, config.port, false)
            }
            Route::Literal(address) => {
                let hosts = vec![one(HostName::Address(*address))];
                (hosts, config.port, false)
            }
            Route::Relay(relay) => {
                let name = match &relay.host {
                    RelayName::Name(name) => HostName::Name(name.clone()),
                    RelayName::Address(address) => HostName::Address(*address),
                };
                (vec![one(name)], relay.port, true)
            }
        };
        let terms = terms_of(config, route);
        Ok(Hosts {
            hosts,
            port,
            configured,
            terms,
        })
    }

    /// The addresses of one of the hosts that may be dialled: at least one.
    ///
    /// Where one of our listeners has the port, hosts of equal preference are looked up together: if
    /// one of them is us, none of them may be called (RFC 5321 5.1).
    pub(super) async fn addresses(
        &self,
        config: &DeliveryConfig,
        dialer: &Dialer,
        hosts: &Hosts,
        host: &Host,
    ) -> Result<Vec<IpAddr>, Trouble> {
        if self.ourselves.listen_on(hosts.port) {
            let equal = hosts.hosts.iter().take(ATTEMPT_NAMES_MAX);
            let equal = equal.filter(|other| other.preference == host.preference);
            let checks = equal.map(|other| self.expect_another(config, hosts, &other.name));
            for checked in join_all(checks).await {
                checked?;
            }
        }
        let addresses = self.dialable(config, hosts, &host.name).await?;
        let in_reach: Vec<IpAddr> = addresses
            .into_iter()
            .filter(|address| dialer.can_reach(address))
            .collect();
        if in_reach.is_empty() {
            let host = &host.name;
            let detail = format!(
                "no address in SMTP_SOURCE_ADDRESSES is of a family that the mail host {host} has"
            );
            return Err(Trouble::Passing(Answer {
                remote: None,
                status: EnhancedCode::temporary(4, 1),
                reason: Reason::Policy,
                reply: None,
                detail: detail.into(),
            }));
        }
        Ok(in_reach)
    }

    /// Fails if whoever calls this host reaches us. What can't be looked up is nobody's.
    async fn expect_another(
        &self,
        config: &DeliveryConfig,
        hosts: &Hosts,
        host: &HostName,
    ) -> Result<(), Trouble> {
        let Ok(addresses) = self.dialable(config, hosts, host).await else {
            return Ok(());
        };
        let ours = addresses
            .into_iter()
            .map(|address| SocketAddr::new(address, hosts.port))
            .find(|address| self.ourselves.listen_at(*address));
        let Some(address) = ours else {
            return Ok(());
        };
        if hosts.configured {
            let what = format!("{host} at {address} is this relay: mail can't be sent there");
            self.alarm.tell(host, &what, &self.events);
            return Err(Trouble::Passing(Answer {
                status: EnhancedCode::temporary(4, 6),
                ..loops_back(&format_args!("{host} at {address}"))
            }));
        }
        let answer = loops_back(&format_args!("{host} at {address}"));
        Err(Trouble::Ourselves(answer))
    }

    /// What DNS knows of a host, without what may not be dialled.
    async fn dialable(
        &self,
        config: &DeliveryConfig,
        hosts: &Hosts,
        host: &HostName,
    ) -> Result<Vec<IpAddr>, Trouble> {
        let found = match host {
            HostName::Address(address) => Found::Records(vec![*address]),
            HostName::Name(name) => self.dns.addresses(name).await.0,
        };
        let addresses = match found {
            Found::Records(addresses) => addresses,
            Found::NoData | Found::NxDomain if hosts.configured => {
                return Err(self.configured_host_is_lost(host));
            }
            Found::NoData | Found::NxDomain => {
                let detail = format!("the mail host {host} has no address");
                return Err(Trouble::NoAddress(unreachable(&detail)));
            }
            Found::Temporary(why) => {
                let detail = format!("address of {host}: {why}");
                return Err(Trouble::Passing(unresolved(&detail)));
            }
        };
        let denied: &[IpNet] = if hosts.configured {
            &[]
        } else {
            &config.deny_networks
        };
        let addresses = dialable(&addresses, denied);
        if addresses.is_empty() {
            let detail = format!(
                "the mail host {host} has denied addresses only (SMTP_DELIVERY_DENY_NETWORKS)"
            );
            return Err(Trouble::NoAddress(unreachable(&detail)));
        }
        Ok(addresses)
    }

    /// A mistake in our configuration, or in a zone of our own, is not held against the mail.
    fn configured_host_is_lost(&self, host: &HostName) -> Trouble {
        let what = format!("the configured host {host} has no address in DNS");
        self.alarm.tell(host, &what, &self.events);
        Trouble::Passing(unresolved(&format!(
            "{what} (SMTP_RELAY_HOST, SMTP_ROUTES)"
        )))
    }
}
