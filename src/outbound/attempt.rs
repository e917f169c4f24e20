//! One attempt: the hosts of a destination in order, until everyone has an answer.
//!
//! 1. The route says which hosts there are; DNS may settle everyone right there.
//! 2. Each address of each host is tried in order. What goes wrong before the message was handed
//!    over whole leads to the next one.
//! 3. With the first connection that takes MAIL, every recipient is settled by what that host says.
//!    Those that it left open (421, a lost connection) go on to the next one.
//! 4. Whoever is left gets what [`Tally`] makes of all the troubles.

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

use tokio::time::Instant;
use tokio_util::task::TaskTracker;

use crate::config::{DeliveryConfig, RelayName};
use crate::mail::limits::{
    ATTEMPT_ADDRESSES_MAX, ATTEMPT_HOSTS_MAX, ATTEMPT_NAMES_MAX, TRANSACTION_RECIPIENTS_MAX,
};
use crate::mail::{Answer, BodyKind, EnhancedCode, Message, Reason, Recipient, Remote};
use crate::observe::{Event, Events};
use crate::queue::{Assignment, Outcome, Outcomes};
use crate::smtp::client::verdict::answer_of;
use crate::smtp::client::{Facts, Settled, Transaction, Verdict};
use crate::store::ReadError;

use super::carry::{Bodies, CarryError, carry};
use super::connection::{Caller, Connection};
use super::connection_error::ConnectionError;
use super::dns::Dns;
use super::mx::{Found, dialable, mail_hosts, unreachable, unresolved};
use super::policy::terms_of;
use super::route::{Route, route_of};
use super::tally::{Tally, Trouble};
use super::target::{HostName, Target, Terms};
use super::wire::Wire;

/// What all attempts share.
pub(super) struct Courier<B> {
    pub(super) config: DeliveryConfig,
    pub(super) caller: Caller,
    pub(super) dns: Dns,
    pub(super) bodies: B,
    pub(super) events: Events,
    /// Connections that are saying QUIT.
    pub(super) farewells: TaskTracker,
}

/// The hosts that a route leads to, in order.
struct Hosts {
    names: Vec<HostName>,
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
            Route::Mx(domain) => Hosts {
                names: mail_hosts(domain, self.dns.mx(domain).await, rand::random)?
                    .into_iter()
                    .map(HostName::Name)
                    .collect(),
                port: self.config.port,
                configured: false,
                terms,
            },
            Route::Literal(address) => Hosts {
                names: vec![HostName::Address(*address)],
                port: self.config.port,
                configured: false,
                terms,
            },
            Route::Relay(relay) => Hosts {
                names: vec![match &relay.host {
                    RelayName::Name(name) => HostName::Name(name.clone()),
                    RelayName::Address(address) => HostName::Address(*address),
                }],
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
        for (at, host) in hosts.names.iter().enumerate() {
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

    /// Tries the addresses of a host, all within `SMTP_ATTEMPT_TIMEOUT`.
    async fn try_host(&mut self, hosts: &Hosts, host: &HostName, addresses: &[IpAddr]) {
        let deadline = Instant::now() + self.courier.config.attempt_timeout;
        for address in addresses {
            if self.addresses_left == 0 {
                self.tally.cut_short();
                return;
            }
            self.addresses_left -= 1;
            let target = Target {
                host: host.clone(),
                address: SocketAddr::new(*address, hosts.port),
                terms: hosts.terms.clone(),
            };
            // Boxed: a connection with TLS and buffers is large, and there are thousands of attempts.
            let opened = Connection::open(&self.courier.caller, &target, deadline);
            match Box::pin(opened).await {
                Ok(connection) => Box::pin(self.use_connection(connection)).await,
                Err(error) => self.tally.add(error.trouble(&target.remote())),
            }
            if self.open.is_empty() {
                return;
            }
        }
    }

    /// Sends the message to everyone who is open, in as many transactions as that takes. Each of
    /// them settles someone or is the last.
    async fn use_connection(&mut self, mut connection: Connection) {
        loop {
            match self.transact(&mut connection).await {
                Ok(()) => {}
                Err(None) => return,
                Err(Some(trouble)) => {
                    self.tally.add(trouble);
                    return;
                }
            }
            if self.open.is_empty() {
                // Nobody waits for the reply to QUIT.
                self.courier.farewells.spawn(connection.quit());
                return;
            }
        }
    }

    /// One transaction. `Ok`: the connection can be used for another one.
    async fn transact(&mut self, connection: &mut Connection) -> Result<(), Option<Trouble>> {
        let remote = connection.remote().clone();
        let offered = connection.offered().clone();
        let most = offered.recipients_max.unwrap_or(usize::MAX);
        let group = self.open.len().min(TRANSACTION_RECIPIENTS_MAX).min(most);
        let mut watched = Watched {
            events: &self.courier.events,
            message: self.message,
            recipients: &self.open,
            remote: &remote,
            transaction: Some(Transaction::new(
                &self.message.envelope,
                &self.open[..group],
                facts_of(self.message),
                &offered,
                &remote,
            )),
        };
        let bodies = &self.courier.bodies;
        let carried = watched.carry(connection.wire(), bodies).await;
        let Some(transaction) = watched.transaction.take() else {
            return Err(None); // it is taken only here
        };
        drop(watched);

        let doubtful: Vec<usize> = transaction.doubtful().collect();
        let closed_by = transaction.closed_by().cloned();
        let needs_reset = transaction.needs_reset();
        let mut settled = transaction.finish();
        if let Err(CarryError::Connection(error)) = &carried {
            for at in doubtful {
                settled[at] = Some(self.in_doubt(self.open[at], error, &remote));
            }
        }
        self.settle(settled, offered.dsn);

        match carried {
            Ok(()) => {}
            Err(CarryError::Connection(error)) => return Err(Some(error.trouble(&remote))),
            Err(error @ CarryError::Body(_)) => {
                // No other host would make it better.
                self.settle_all(&unreadable(&error));
                return Err(None);
            }
        }
        if let Some(reply) = closed_by {
            return Err(Some(Trouble::Passing(answer_of(&reply, &remote))));
        }
        if needs_reset && !self.open.is_empty() {
            let reset = connection.reset().await;
            reset.map_err(|error| Some(error.trouble(&remote)))?;
        }
        Ok(())
    }

    /// The host may have the message, and we will never know. It is sent again, since the other way
    /// it might be lost.
    fn in_doubt(&self, to: &Recipient, error: &ConnectionError, remote: &Remote) -> Settled {
        tell_possible_duplicate(&self.courier.events, self.message, to, remote);
        let mut answer = error.answer(remote);
        answer.detail =
            format!("{error}; the host may have taken the message, which is sent again").into();
        Settled {
            verdict: Verdict::Deferred,
            answer,
        }
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

/// A transaction under way. Dropped in the middle, as at the end of the grace at shutdown, it tells
/// of those for whom the host may have the message.
struct Watched<'a> {
    events: &'a Events,
    message: &'a Message,
    /// At least those of the transaction, which come first.
    recipients: &'a [&'a Recipient],
    remote: &'a Remote,
    transaction: Option<Transaction>,
}

impl Watched<'_> {
    async fn carry<B: Bodies>(&mut self, wire: &mut Wire, bodies: &B) -> Result<(), CarryError> {
        match &mut self.transaction {
            Some(transaction) => carry(wire, transaction, self.message, bodies).await,
            None => Ok(()),
        }
    }
}

impl Drop for Watched<'_> {
    fn drop(&mut self) {
        for at in self.transaction.iter().flat_map(Transaction::doubtful) {
            tell_possible_duplicate(self.events, self.message, self.recipients[at], self.remote);
        }
    }
}

fn tell_possible_duplicate(events: &Events, message: &Message, to: &Recipient, remote: &Remote) {
    events.emit(&Event::PossibleDuplicate {
        id: message.id,
        to: &to.address,
        remote: &remote.to_string(),
    });
}

fn facts_of(message: &Message) -> Facts {
    Facts {
        size: match message.envelope.body_kind {
            BodyKind::BinaryMime => message.size(),
            BodyKind::SevenBit | BodyKind::EightBitMime => message.size_in_lines(),
        },
        has_8bit: message.body.has_8bit || !message.added_header.is_ascii(),
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

/// Damage stays: the sender is told at once rather than after the lifetime. Other trouble of the
/// store may pass.
fn unreadable(error: &CarryError) -> Settled {
    let (verdict, status) = match error {
        CarryError::Body(ReadError::Damaged(_)) => (Verdict::Failed, EnhancedCode::permanent(3, 0)),
        CarryError::Body(ReadError::Failed(_)) | CarryError::Connection(_) => {
            (Verdict::Deferred, EnhancedCode::temporary(3, 0))
        }
    };
    Settled {
        verdict,
        answer: Answer {
            remote: None,
            status,
            reason: Reason::Policy,
            reply: None,
            detail: error.to_string().into(),
        },
    }
}

#[cfg(test)]
mod loopback_tests;
