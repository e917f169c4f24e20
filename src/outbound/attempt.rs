//! One attempt: the hosts of a destination in order, until everyone has an answer.
//!
//! 1. The route says which hosts there are; DNS may settle everyone right there.
//! 2. Each address of each host is tried in order. What goes wrong before the message was handed
//!    over whole leads to the next one.
//! 3. A kept connection is used where there is one (see [`at_host`]).
//! 4. With the first connection that takes MAIL, every recipient is settled by what that host says.
//!    Those that it left open (421, a lost connection) go on to the next one.
//! 5. Whoever is left gets what [`Tally`] makes of all the troubles.

use crate::config::DeliveryConfig;
use crate::mail::limits::{ATTEMPT_ADDRESSES_MAX, ATTEMPT_HOSTS_MAX, ATTEMPT_NAMES_MAX};
use crate::mail::{Destination, Message, Recipient};
use crate::observe::Events;
use crate::queue::{Assignment, Contact, Outcome, Outcomes};
use crate::smtp::client::{Settled, Verdict};

use super::bodies::Bodies;
use super::complaints::Complaints;
use super::connection::Caller;
use super::hosts::{Finder, Host, Hosts};
use super::pool::Pool;
use super::route::route_of;
use super::tally::Tally;
use super::target::Target;

mod at_host;

/// What all attempts share.
pub(super) struct Courier<B> {
    pub(super) config: DeliveryConfig,
    pub(super) caller: Caller,
    pub(super) finder: Finder,
    pub(super) pool: Pool,
    pub(super) bodies: B,
    pub(super) events: Events,
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
    /// Of those who stay open since IPv4 may do better.
    complaints: Complaints,
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
            complaints: Complaints::default(),
        };
        let Some(first) = attempt.open.first() else {
            return attempt.outcomes;
        };
        let route = route_of(&self.config, first.address.domain());
        match self.finder.hosts(&self.config, &route).await {
            Ok(hosts) => {
                attempt.try_hosts(&hosts).await;
                attempt.let_complaints_count();
                let rest = std::mem::take(&mut attempt.tally).verdict();
                attempt.settle_all(&rest);
            }
            Err(settled) => attempt.settle_all(&settled),
        }
        attempt.outcomes
    }
}

impl<B: Bodies> Attempt<'_, B> {
    /// Tries hosts until nobody is open or this attempt has done enough.
    async fn try_hosts(&mut self, hosts: &Hosts) {
        let Courier {
            config,
            caller,
            finder,
            ..
        } = self.courier;
        let mut hosts_left = ATTEMPT_HOSTS_MAX;
        for (at, host) in self.in_order(hosts).into_iter().enumerate() {
            if hosts_left == 0 || self.addresses_left == 0 || at == ATTEMPT_NAMES_MAX {
                self.tally.cut_short();
                return;
            }
            match finder.addresses(config, &caller.dialer, hosts, host).await {
                Ok(addresses) => {
                    hosts_left -= 1;
                    self.try_host(hosts, &host.name, &addresses).await;
                }
                Err(trouble) => self.tally.add(trouble),
            }
            if self.is_over() {
                return;
            }
        }
    }

    /// Whether nothing is left to be tried.
    fn is_over(&self) -> bool {
        self.open.is_empty() || self.tally.met_ourselves()
    }

    /// As they are, but where a new connection would need another one to end first, a kept one to
    /// an equally good host is better. Who has a choice leaves it to the order, which is by chance.
    fn in_order<'h>(&self, hosts: &'h Hosts) -> Vec<&'h Host> {
        let mut in_order: Vec<&Host> = hosts.hosts.iter().collect();
        let is_kept = |host: &&Host| {
            let wanted = |target: &Target| {
                target.host == host.name
                    && target.address.port() == hosts.port
                    && target.terms == hosts.terms
            };
            self.courier
                .pool
                .would_rather_reuse(self.destination, wanted)
        };
        let mut equals = in_order.iter().take(hosts.equally_good());
        if let Some(kept) = equals.position(is_kept) {
            in_order[..=kept].rotate_right(1);
        }
        in_order
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

    /// IPv4 gave no answer: what was said over IPv6 counts after all, unless IPv4 may have one later.
    fn let_complaints_count(&mut self) {
        if let Some(trouble) = self.complaints.trouble()
            && !self.tally.may_pass()
        {
            self.settle(self.complaints.about(&self.open), false);
            self.tally.add(trouble);
        }
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
