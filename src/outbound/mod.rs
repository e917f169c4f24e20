//! The way out: which hosts take a domain's mail, how they are reached, and what they say.
//!
//! Promises: an attempt gives every recipient an answer, and ends: each wait has a deadline, and
//! hosts, addresses and transactions are counted. A denied network is never dialled, nor are we. No mail
//! goes to a host that does not fulfil the TLS policy, and no password in clear unless that is `none`. A
//! message that broke off midway is never ended with an end mark. A destination never has more
//! connections than it may, kept ones counted.
//!
//! Never here: what becomes of a recipient after an answer, and when it is tried again. That is
//! `queue`'s.

mod any_certificate;
mod attempt;
mod bodies;
mod carry;
mod complaints;
mod connection;
mod connection_error;
mod dialer;
mod dns;
mod form;
mod hosts;
mod ipv6_complaint;
mod login;
mod login_fault;
#[cfg(test)]
mod loopback;
mod mx;
mod ourselves;
mod policy;
mod pool;
mod race;
mod route;
mod route_alarm;
mod shelf;
mod tally;
mod target;
mod tls;
mod way;
mod wire;

pub use dialer::SourceError;
pub use dns::{Dns, DnsSetupError};
pub use mx::Found;
pub use route::{destination_of, routing_fingerprint};
pub use tls::TlsSetupError;
pub use way::{Way, WayHost, Ways};

use std::sync::Arc;
use std::time::{Duration, Instant};

use arc_swap::ArcSwap;

use crate::config::Config;
use crate::observe::{Events, MailEvent};
use crate::queue::{Assignment, Deliver, Outcomes};
use crate::store::Store;

use attempt::Courier;
use connection::Caller;
use dialer::Dialer;
use hosts::Finder;
use login::LoginAlarm;
use ourselves::Ourselves;
use pool::Pool;
use route_alarm::RouteAlarm;
use tls::TlsClient;
use wire::Timeouts;

/// The way out, for the dispatcher. Cheap to clone.
///
/// An attempt goes by what is in force when it begins, to its end.
#[derive(Clone)]
pub struct Outbound(Arc<Shared>);

struct Shared {
    courier: ArcSwap<Courier<Store>>,
    pool: Pool,
    store: Store,
    events: Events,
}

/// A changed way out, that everything it needs was found for. In force after [`Outbound::apply`].
pub struct OutboundChange {
    courier: Courier<Store>,
    destination_concurrency: usize,
}

/// Why there is no way out. Each is one line that says what to change.
#[derive(Debug, thiserror::Error)]
pub enum OutboundSetupError {
    /// Trusted roots.
    #[error(transparent)]
    Tls(#[from] TlsSetupError),
    /// Name servers.
    #[error(transparent)]
    Dns(#[from] DnsSetupError),
    /// Our own addresses.
    #[error(transparent)]
    Source(#[from] SourceError),
}

impl Outbound {
    /// Sets it up; reads the trusted roots, so it blocks for a moment. Dials and asks nothing yet.
    pub fn new(
        config: &Config,
        store: Store,
        events: Events,
    ) -> Result<Outbound, OutboundSetupError> {
        let pool = Pool::new(
            config.queue.destination_concurrency,
            config.delivery.connection_idle,
            events.clone(),
        );
        let dns = Dns::new(&config.delivery)?.telling(events.clone());
        let courier = courier(config, dns, &pool, &store, &events)?;
        Ok(Outbound(Arc::new(Shared {
            courier: ArcSwap::from_pointee(courier),
            pool,
            store,
            events,
        })))
    }

    /// Makes everything for another configuration ready, and changes nothing. Blocks as
    /// [`Outbound::new`] does. What DNS has told is remembered if the same servers are asked.
    ///
    /// # Errors
    /// What would stop a start.
    pub fn prepare(&self, config: &Config) -> Result<OutboundChange, OutboundSetupError> {
        let Shared {
            pool,
            store,
            events,
            ..
        } = &*self.0;
        let dns = self.dns().renewed(&config.delivery)?;
        Ok(OutboundChange {
            courier: courier(config, dns, &pool.for_next_configuration(), store, events)?,
            destination_concurrency: config.queue.destination_concurrency,
        })
    }

    /// From now on attempts begin by the changed configuration, and on new connections; those that
    /// are under way go on as they began.
    pub fn apply(&self, change: OutboundChange) {
        let OutboundChange {
            courier,
            destination_concurrency,
        } = change;
        let (pool, idle) = (courier.pool.clone(), courier.config.connection_idle);
        self.0.courier.store(Arc::new(courier));
        pool.renew(destination_concurrency, idle);
    }

    /// The name servers, for whoever else has names to look up.
    #[must_use]
    pub fn dns(&self) -> Dns {
        self.0.courier.load().finder.dns.clone()
    }

    /// Says QUIT on what is kept, and waits until the last one is said or `grace` is over. Call it
    /// when no attempt runs any more.
    pub async fn close(&self, grace: Duration) {
        self.0.pool.close(grace).await;
    }
}

impl OutboundChange {
    /// See [`Outbound::dns`].
    #[must_use]
    pub fn dns(&self) -> Dns {
        self.courier.finder.dns.clone()
    }
}

fn courier(
    config: &Config,
    dns: Dns,
    pool: &Pool,
    store: &Store,
    events: &Events,
) -> Result<Courier<Store>, OutboundSetupError> {
    let delivery = &config.delivery;
    let caller = Caller {
        hostname: config.hostname.clone(),
        timeouts: Timeouts::of(delivery),
        dialer: Dialer::new(delivery)?,
        tls: TlsClient::new(delivery.tls_ca_file.as_deref())?,
        login_alarm: LoginAlarm::new(events.clone()),
    };
    Ok(Courier {
        config: delivery.clone(),
        caller,
        finder: Finder {
            dns,
            ourselves: Ourselves::new(config),
            alarm: RouteAlarm::default(),
            events: events.clone(),
        },
        pool: pool.clone(),
        bodies: store.clone(),
        events: events.clone(),
    })
}

impl Deliver for Outbound {
    async fn deliver(&self, assignment: &Assignment) -> Outcomes {
        let _under_way = UnderWay::begin(&self.0.events, assignment);
        let courier = self.0.courier.load_full();
        courier.deliver(assignment).await
    }
}

/// Tells that an attempt begins, and that it is over, also where it is dropped.
struct UnderWay<'a> {
    events: &'a Events,
    assignment: &'a Assignment,
    begun: Instant,
}

impl<'a> UnderWay<'a> {
    fn begin(events: &'a Events, assignment: &'a Assignment) -> UnderWay<'a> {
        events.emit(MailEvent::AttemptStarted {
            id: assignment.message.id,
            destination: &assignment.destination,
            recipients: assignment.recipients.len(),
        });
        UnderWay {
            events,
            assignment,
            begun: Instant::now(),
        }
    }
}

impl Drop for UnderWay<'_> {
    fn drop(&mut self) {
        self.events.emit(MailEvent::AttemptEnded {
            id: self.assignment.message.id,
            destination: &self.assignment.destination,
            recipients: self.assignment.recipients.len(),
            took: self.begun.elapsed(),
        });
    }
}

#[cfg(test)]
fn test_config() -> crate::config::DeliveryConfig {
    crate::config::DeliveryConfig {
        relay_host: None,
        relay_login: None,
        routes: Default::default(),
        port: 25,
        deny_networks: Vec::new(),
        source_addresses: Vec::new(),
        dns_servers: Some(vec![std::net::SocketAddr::from(([127, 0, 0, 1], 9))]),
        dns_timeout: Duration::from_millis(400),
        connect_timeout: Duration::from_secs(2),
        reply_timeout: Duration::from_secs(2),
        data_reply_timeout: Duration::from_secs(2),
        attempt_timeout: Duration::from_secs(10),
        connection_idle: Duration::from_secs(60),
        tls_policy: crate::config::TlsPolicy::of_all(crate::config::TlsLevel::Valid),
        tls_ca_file: None,
    }
}

/// A relay `gp.test` that listens there.
#[cfg(test)]
fn test_ourselves(listening: &[&str]) -> Ourselves {
    Ourselves {
        hostname: crate::mail::Domain::parse("gp.test").expect("a domain"),
        listeners: listening
            .iter()
            .map(|at| at.parse().expect("an address"))
            .collect(),
    }
}
