//! What clients may use up beyond their own session: the store's room, memory for messages that are
//! coming in, and each client's rates.

use std::net::IpAddr;
use std::sync::Arc;

use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::Instant;

use crate::config::LimitsConfig;
use crate::mail::limits::{MEMORY_SHARE_RECIPIENTS, TRANSACTION_MEMORY_BYTES};
use crate::smtp::server::{Allowance, Say};
use crate::store::Store;

use super::client_rate::ClientRate;

/// Shared by all sessions.
pub(super) struct Allowances {
    store: Store,
    /// Transactions that may be open at one time, by the memory that each can come to need; one with
    /// many recipients counts as several.
    transactions: Arc<Semaphore>,
    messages: Option<Arc<ClientRate>>,
    recipients: Option<Arc<ClientRate>>,
}

/// The memory that is set aside for one transaction; given back by dropping it.
pub(super) type MemoryShare = OwnedSemaphorePermit;

/// What one client asks for a command. Whoever asks looks afterwards what was set aside.
pub(super) struct ClientAllowance<'a> {
    pub(super) all: &'a Allowances,
    pub(super) client: IpAddr,
    pub(super) share: &'a mut Option<MemoryShare>,
}

impl Allowances {
    pub(super) fn new(config: &LimitsConfig, store: Store) -> Allowances {
        let transactions = config.memory_budget / TRANSACTION_MEMORY_BYTES;
        let transactions = usize::try_from(transactions).unwrap_or(Semaphore::MAX_PERMITS);
        Allowances {
            store,
            transactions: Arc::new(Semaphore::new(transactions.min(Semaphore::MAX_PERMITS))),
            messages: ClientRate::renewed(None, config.client_message_rate),
            recipients: ClientRate::renewed(None, config.client_recipient_rate),
        }
    }

    /// For another configuration: rates that are the same go on, and so does what is set aside. The
    /// memory itself is that of the start.
    pub(super) fn renewed(&self, config: &LimitsConfig) -> Allowances {
        let (messages, recipients) = (self.messages.as_ref(), self.recipients.as_ref());
        Allowances {
            store: self.store.clone(),
            transactions: self.transactions.clone(),
            messages: ClientRate::renewed(messages, config.client_message_rate),
            recipients: ClientRate::renewed(recipients, config.client_recipient_rate),
        }
    }
}

impl Allowance for ClientAllowance<'_> {
    fn message(&mut self) -> Result<(), Say> {
        if self.all.store.refuses_mail().is_some() {
            return Err(Say::NoRoom); // the store told the operator why
        }
        let transactions = Arc::clone(&self.all.transactions);
        let share = transactions.try_acquire_owned().map_err(|_| Say::NoRoom)?;
        if !has_token(self.all.messages.as_deref(), self.client) {
            return Err(Say::MessageRate);
        }
        *self.share = Some(share);
        Ok(())
    }

    fn recipient(&mut self, others: usize) -> Result<(), Say> {
        self.set_aside(1 + others / MEMORY_SHARE_RECIPIENTS)?;
        if has_token(self.all.recipients.as_deref(), self.client) {
            Ok(())
        } else {
            Err(Say::RecipientRate)
        }
    }
}

impl ClientAllowance<'_> {
    /// Sees to it that the transaction has so many shares.
    fn set_aside(&mut self, shares: usize) -> Result<(), Say> {
        let held = self.share.as_ref().map_or(0, MemoryShare::num_permits);
        let missing = u32::try_from(shares.saturating_sub(held)).unwrap_or(u32::MAX);
        if missing == 0 {
            return Ok(());
        }
        let transactions = Arc::clone(&self.all.transactions);
        let more = transactions.try_acquire_many_owned(missing);
        let more = more.map_err(|_| Say::NoRoom)?;
        match self.share {
            Some(share) => share.merge(more),
            None => *self.share = Some(more),
        }
        Ok(())
    }
}

fn has_token(rate: Option<&ClientRate>, client: IpAddr) -> bool {
    rate.is_none_or(|rate| rate.take(client, Instant::now()))
}
