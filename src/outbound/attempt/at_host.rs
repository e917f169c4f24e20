//! An attempt at one host: its addresses in order, over a kept connection or new ones, in as many
//! transactions as the recipients take.
//!
//! A kept connection may have died, or its host may be tired of it. What fails on it before the host
//! has said yes or no to MAIL therefore says nothing about the mail or the host: the message goes
//! over a new connection at once, as though the kept one had not been there.

use std::collections::VecDeque;
use std::net::{IpAddr, SocketAddr};

use tokio::time::Instant;

use crate::mail::limits::TRANSACTION_RECIPIENTS_MAX;
use crate::mail::{Answer, EnhancedCode, Message, Reason, Recipient, Remote};
use crate::message::Plan;
use crate::observe::{Events, MailEvent};
use crate::queue::Contact;
use crate::smtp::client::verdict::answer_of;
use crate::smtp::client::{Settled, Transaction, Verdict};
use crate::store::ReadError;

use super::super::bodies::Bodies;
use super::super::carry::{CarryError, carry};
use super::super::connection::Connection;
use super::super::connection_error::ConnectionError;
use super::super::form::{RE_ENCODED, form_for};
use super::super::pool::{Lent, Room, Tidiness};
use super::super::race::race;
use super::super::tally::{Tally, Trouble};
use super::super::target::{HostName, Target};
use super::super::wire::Wire;
use super::{Attempt, Courier, Hosts};

/// What became of a connection that was used.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Used {
    /// There is nothing more to do at its address.
    ToTheEnd,
    /// Those who are still open should go over a new one to the same host.
    WornOut,
}

/// A transaction after which the connection is of no use.
struct Failure {
    /// What it means for those who are open; nothing, if they have been told already.
    trouble: Option<Trouble>,
    /// Whether the host has not even said yes or no to MAIL.
    unheard: bool,
}

impl<B: Bodies> Attempt<'_, B> {
    /// Tries the addresses of a host, all within `SMTP_ATTEMPT_TIMEOUT`.
    pub(super) async fn try_host(&mut self, hosts: &Hosts, host: &HostName, addresses: &[IpAddr]) {
        let deadline = Instant::now() + self.courier.config.attempt_timeout;
        let target = |address: &IpAddr| Target {
            host: host.clone(),
            address: SocketAddr::new(*address, hosts.port),
            terms: hosts.terms.clone(),
        };
        let mut left: VecDeque<Target> = addresses
            .iter()
            .filter(|address| address.is_ipv4() || self.complaints.is_empty())
            .map(target)
            .collect();
        let pool = &self.courier.pool;
        let mut kept = pool
            .take(self.destination, left.make_contiguous(), deadline)
            .await;
        while !self.is_over() && !left.is_empty() {
            if self.addresses_left == 0 {
                self.tally.cut_short();
                return;
            }
            let lent = match kept.take() {
                Some(kept) => kept,
                None => match self.connect(&mut left, deadline).await {
                    Some(lent) => lent,
                    None => continue,
                },
            };
            let target = lent.target().clone();
            left.retain(|other| *other != target);
            let before = self.complaints.is_empty();
            // Boxed: a connection with TLS and buffers is large, and there are thousands of attempts.
            match Box::pin(self.use_connection(lent)).await {
                Used::ToTheEnd => self.addresses_left -= 1,
                Used::WornOut => left.push_front(target),
            }
            if before && !self.complaints.is_empty() {
                // What counts from here on is whether IPv4 does better.
                self.tally = Tally::default();
                left.retain(|target| target.address.is_ipv4());
            }
        }
    }

    /// Connects to whichever of these answers first, or gets a kept connection to one of them. An
    /// address where that fails counts as tried.
    async fn connect(&mut self, left: &mut VecDeque<Target>, deadline: Instant) -> Option<Lent> {
        let Courier { pool, caller, .. } = self.courier;
        let room = pool
            .room(self.destination, left.make_contiguous(), deadline)
            .await;
        let place = match room {
            Ok(Room::Kept(lent)) => return Some(lent),
            Ok(Room::Place(place)) => place,
            Err(error) => {
                let target = left.pop_front()?;
                self.failed(&target, &error);
                return None;
            }
        };
        let beyond = left.split_off(left.len().min(self.addresses_left));
        let dial = |target: &Target| caller.dialer.dial(target.address, deadline);
        let raced = Box::pin(race(left, dial)).await;
        left.extend(beyond);
        for (target, error) in &raced.failed {
            self.failed(target, error);
        }
        let (target, tcp) = raced.winner?;
        match Box::pin(Connection::open(caller, &target, tcp, deadline)).await {
            Ok(connection) => Some(pool.lend(place, target, connection)),
            Err(error) => {
                self.failed(&target, &error);
                None
            }
        }
    }

    fn failed(&mut self, target: &Target, error: &ConnectionError) {
        self.addresses_left -= 1;
        self.tally.add(error.trouble(&target.remote()));
    }

    /// Sends the message to everyone who is open, in as many transactions as that takes. Each of
    /// them settles someone or is the last.
    async fn use_connection(&mut self, mut lent: Lent) -> Used {
        loop {
            let tidiness = match self.transact(lent.begin()).await {
                Ok(tidiness) => tidiness,
                Err(Failure { unheard: true, .. }) if lent.has_served() => return Used::WornOut,
                Err(Failure { trouble, .. }) => {
                    if let Some(trouble) = trouble {
                        self.tally.add(trouble);
                    }
                    return Used::ToTheEnd;
                }
            };
            if self.open.is_empty() {
                self.courier.pool.give_back(lent, tidiness);
                return Used::ToTheEnd;
            }
            if self.complaints.rule_out(&lent.target().remote()) {
                self.courier.pool.dismiss(lent);
                return Used::ToTheEnd;
            }
            if lent.is_spent() {
                self.courier.pool.dismiss(lent);
                return Used::WornOut;
            }
            if tidiness == Tidiness::NeedsReset
                && let Err(error) = lent.connection().reset().await
            {
                self.tally.add(error.trouble(lent.connection().remote()));
                return Used::ToTheEnd;
            }
        }
    }

    /// One transaction. `Ok`: the connection can be used for another one.
    async fn transact(&mut self, connection: &mut Connection) -> Result<Tidiness, Failure> {
        let remote = connection.remote().clone();
        let offered = connection.offered().clone();
        let most = offered.recipients_max.unwrap_or(usize::MAX);
        let group = self.open.len().min(TRANSACTION_RECIPIENTS_MAX).min(most);
        let bodies = &self.courier.bodies;
        let form = match form_for(self.message, &offered, bodies).await {
            Ok(form) => form,
            Err(error) => {
                self.settle_all(&unreadable(&error.into()));
                return Err(Failure {
                    trouble: None,
                    unheard: false,
                });
            }
        };
        let mut watched = Watched {
            events: &self.courier.events,
            message: self.message,
            contact: self.contact,
            recipients: &self.open,
            remote: &remote,
            transaction: Some(Transaction::new(
                &self.message.envelope,
                &self.open[..group],
                form.facts,
                &offered,
                &remote,
            )),
        };
        let carried = watched
            .carry(connection.wire(), form.plan.as_ref(), bodies)
            .await;
        let Some(transaction) = watched.transaction.take() else {
            // It is taken only here.
            return Err(Failure {
                trouble: None,
                unheard: false,
            });
        };
        drop(watched);

        let doubtful: Vec<usize> = transaction.doubtful().collect();
        let closed_by = transaction.closed_by().cloned();
        let unheard = transaction.is_unheard();
        let tidiness = match transaction.needs_reset() {
            true => Tidiness::NeedsReset,
            false => Tidiness::Ready,
        };
        let mut settled = transaction.finish();
        if let Err(CarryError::Connection(error)) = &carried {
            for at in doubtful {
                settled[at] = Some(self.in_doubt(self.open[at], error, &remote));
            }
        }
        if form.plan.is_some() {
            tell_re_encoded(&mut settled);
        }
        self.complaints.put_aside(&self.open, &mut settled, &remote);
        if settled.iter().any(Option::is_some) {
            self.contact.answered();
        }
        self.settle(settled, offered.dsn);

        let trouble = match (carried, closed_by) {
            (Ok(()), None) => return Ok(tidiness),
            (Ok(()), Some(reply)) => Some(Trouble::Passing(answer_of(&reply, &remote))),
            (Err(CarryError::Connection(error)), _) => Some(error.trouble(&remote)),
            (Err(error @ CarryError::Body(_)), _) => {
                // No other host would make it better.
                self.settle_all(&unreadable(&error));
                None
            }
        };
        Err(Failure { trouble, unheard })
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
}

/// A transaction under way. Dropped in the middle, as at the end of the grace at shutdown, it tells
/// of those for whom the host may have the message.
struct Watched<'a> {
    events: &'a Events,
    message: &'a Message,
    contact: &'a Contact,
    /// At least those of the transaction, which come first.
    recipients: &'a [&'a Recipient],
    remote: &'a Remote,
    transaction: Option<Transaction>,
}

impl Watched<'_> {
    async fn carry<B: Bodies>(
        &mut self,
        wire: &mut Wire,
        plan: Option<&Plan>,
        bodies: &B,
    ) -> Result<(), CarryError> {
        match &mut self.transaction {
            Some(transaction) => {
                carry(wire, transaction, self.message, plan, bodies, self.contact).await
            }
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
    events.emit(MailEvent::PossibleDuplicate {
        id: message.id,
        to: &to.address,
        remote: &remote.to_string(),
    });
}

fn tell_re_encoded(settled: &mut [Option<Settled>]) {
    for settled in settled.iter_mut().flatten() {
        if settled.verdict == Verdict::Delivered {
            settled.answer.detail = RE_ENCODED.into();
        }
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
            reason: Reason::Store,
            reply: None,
            detail: error.to_string().into(),
        },
    }
}
