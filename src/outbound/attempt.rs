//! One attempt: the hosts of a destination in order, until everyone has an answer.
//!
//! 1. The route says which hosts there are; DNS may settle everyone right there.
//! 2. Each address of each host is tried in order. What goes wrong before the message was handed
//!    over whole leads to the next one.
//! 3. A kept connection is used where there is one (see [`at_host`]).
//! 4. With the first connection that takes MAIL, every recipient is settled by what that host says.
//!    Those that it left open (421, a lost connection) go on to the next one.
//! 5. Whoever is left gets what [`Tally`] makes of all the troubles.

use std::net::IpAddr;
use std::sync::Arc;

use crate::config::{DeliveryConfig, RelayName};
use crate::mail::limits::{ATTEMPT_ADDRESSES_MAX, ATTEMPT_HOSTS_MAX, ATTEMPT_NAMES_MAX};
use crate::mail::{Destination, Message, Recipient};
use crate::observe::Events;
use crate::queue::{Assignment, Contact, Outcome, Outcomes};
use crate::smtp::client::{Settled, Verdict};

use super::carry::Bodies;
use super::connection::Caller;
use super::dns::Dns;
use super::mx::{Found, dialable, equally_good, mail_hosts, unreachable, unresolved};
use super::policy::terms_of;
use super::pool::Pool;
use super::route::{Route, route_of};
use super::tally::{Tally, Trouble};
use super::target::{HostName, Target, Terms};

mod at_host;

/// What all attempts share.
pub(super) struct Courier<B> {
    pub(super) config: DeliveryConfig,
    pub(super) caller: Caller,
    pub(super) dns: Dns,
    pub(super) pool: Pool,
    pub(super) bodies: B,
    pub(super) events: Events,
}

/// The hosts that a route leads to, in order.
struct Hosts {
    names: Vec<HostName>,
    /// How many of them are as good as the first.
    equals: usize,
    port: u16,
    /// Whether the operator named them: then the denied networks don't hold.
    configured: bool,
    /// What must hold on a connection to any of them.
    terms: Arc<Terms>,
}

/// An attempt under way.
struct Attempt<'a, B> {
    courier: &'a Courier<B>,
    message: &'a Message,
    destination: &'a Destination,
    /// Told how far we have come.
    contact: &'a Contact,
    /// Those without an answer.
    open: Vec<&'a Recipient>,
    outcomes: Outcomes,
    tally: Tally,
    addresses_left: usize,
}

impl<B: Bodies> Courier<B> {
    /// Makes one attempt. Everyone has an outcome afterwards.
    pub(super) async fn deliver(&self, assignment: &Assignment) -> Outcomes {
        let mut attempt = Attempt {
            courier: self,
            message: &assignment.message,
            destination: &assignment.destination,
            contact: &assignment.contact,
            open: assignment.recipients.iter().collect(),
            outcomes: Vec::with_capacity(assignment.recipients.len()),
            tally: Tally::default(),
            addresses_left: ATTEMPT_ADDRESSES_MAX,
        };
        let Some(first) = attempt.open.first() else {
            return attempt.outcomes;
        };
        match self
            .hosts(&route_of(&self.config, first.address.domain()))
            .await
        {
            Ok(hosts) => {
                attempt.try_hosts(&hosts).await;
                let rest = std::mem::take(&mut attempt.tally).verdict();
                attempt.settle_all(&rest);
            }
            Err(settled) => attempt.settle_all(&settled),
        }
        attempt.outcomes
    }

    async fn hosts(&self, route: &Route) -> Result<Hosts, Settled> {
        let terms = terms_of(&self.config, route);
        Ok(match route {
            Route::Mx(domain) => {
                let found = self.dns.mx(domain).await;
                let equals = equally_good(&found);
                let names = mail_hosts(domain, found, rand::random)?;
                Hosts {
                    names: names.into_iter().map(HostName::Name).collect(),
                    equals,
                    port: self.config.port,
                    configured: false,
                    terms,
                }
            }
            Route::Literal(address) => Hosts {
                names: vec![HostName::Address(*address)],
                equals: 1,
                port: self.config.port,
                configured: false,
                terms,
            },
            Route::Relay(relay) => Hosts {
                names: vec![match &relay.host {
                    RelayName::Name(name) => HostName::Name(name.clone()),
                    RelayName::Address(address) => HostName::Address(*address),
                }],
                equals: 1,
                port: relay.port,
                configured: true,
                terms,
            },
        })
    }

    /// The addresses of one of the hosts that may be dialled: at least one.
    async fn addresses(&self, hosts: &Hosts, host: &HostName) -> Result<Vec<IpAddr>, Trouble> {
        let found = match host {
            HostName::Address(address) => Found::Records(vec![*address]),
            HostName::Name(name) => self.dns.addresses(name).await.0,
        };
        let addresses = match found {
            Found::Records(addresses) => addresses,
            Found::NoData | Found::NxDomain => {
                let detail = format!("the mail host {host} has no address");
                return Err(Trouble::NoAddress(unreachable(&detail)));
            }
            Found::Temporary(why) => {
                let detail = format!("address of {host}: {why}");
                return Err(Trouble::Passing(unresolved(&detail)));
            }
        };
        let denied: &[_] = if hosts.configured {
            &[]
        } else {
            &self.config.deny_networks
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
}

impl<B: Bodies> Attempt<'_, B> {
    /// Tries hosts until nobody is open or this attempt has done enough.
    async fn try_hosts(&mut self, hosts: &Hosts) {
        let mut hosts_left = ATTEMPT_HOSTS_MAX;
        for (at, host) in self.in_order(hosts).into_iter().enumerate() {
            if hosts_left == 0 || self.addresses_left == 0 || at == ATTEMPT_NAMES_MAX {
                self.tally.cut_short();
                return;
            }
            match self.courier.addresses(hosts, host).await {
                Ok(addresses) => {
                    hosts_left -= 1;
                    self.try_host(hosts, host, &addresses).await;
                }
                Err(trouble) => self.tally.add(trouble),
            }
            if self.open.is_empty() {
                return;
            }
        }
    }

    /// As they are, but where a new connection would need another one to end first, a kept one to
    /// an equally good host is better. Who has a choice leaves it to the order, which is by chance.
    fn in_order<'h>(&self, hosts: &'h Hosts) -> Vec<&'h HostName> {
        let mut names: Vec<&HostName> = hosts.names.iter().collect();
        let is_kept = |name: &&HostName| {
            let wanted = |target: &Target| {
                target.host == **name
                    && target.address.port() == hosts.port
                    && target.terms == hosts.terms
            };
            self.courier
                .pool
                .would_rather_reuse(self.destination, wanted)
        };
        if let Some(kept) = names.iter().take(hosts.equals).position(is_kept) {
            names[..=kept].rotate_right(1);
        }
        names
    }

    /// Takes over what was settled for the first of the open ones, in their order; `dsn`: whether by
    /// a host that offers DSN.
    fn settle(&mut self, settled: Vec<Option<Settled>>, dsn: bool) {
        let mut settled = settled.into_iter();
        let outcomes = &mut self.outcomes;
        self.open
            .retain(|recipient| match settled.next().flatten() {
                None => true,
                Some(settled) => {
                    outcomes.push((recipient.no, outcome_of(settled, dsn)));
                    false
                }
            });
    }

    /// Gives everyone who is open the same answer.
    fn settle_all(&mut self, settled: &Settled) {
        let all = vec![Some(settled.clone()); self.open.len()];
        self.settle(all, false);
    }
}

fn outcome_of(settled: Settled, dsn: bool) -> Outcome {
    match settled.verdict {
        Verdict::Delivered => Outcome::Delivered {
            answer: settled.answer,
            told_there: dsn,
        },
        Verdict::Deferred => Outcome::Deferred(settled.answer),
        Verdict::Failed => Outcome::Failed(settled.answer),
    }
}

#[cfg(test)]
mod loopback_tests;
