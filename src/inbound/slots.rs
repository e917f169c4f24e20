//! How many sessions there may be, in all and of one client network, and how often one begins.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, PoisonError};

use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::Instant;

use crate::config::Rate;
use crate::smtp::server::Say;

use super::client_network::ClientNetwork;
use super::client_rate::ClientRate;

/// The places for sessions.
#[derive(Debug)]
pub(super) struct Slots {
    all: Arc<Semaphore>,
    per_client_max: usize,
    rate: Option<ClientRate>,
    by_client: Mutex<HashMap<ClientNetwork, usize>>,
}

/// A place for one session; given back by dropping it.
#[derive(Debug)]
pub(super) struct Slot {
    slots: Arc<Slots>,
    client: ClientNetwork,
    _one_of_all: OwnedSemaphorePermit,
}

impl Slots {
    pub(super) fn new(max: usize, per_client_max: usize, rate: Option<Rate>) -> Arc<Slots> {
        Arc::new(Slots {
            all: Arc::new(Semaphore::new(max.min(Semaphore::MAX_PERMITS))),
            per_client_max,
            rate: rate.map(ClientRate::new),
            by_client: Mutex::default(),
        })
    }

    /// A place for `client`, or what to tell it.
    pub(super) fn take(self: &Arc<Slots>, client: IpAddr) -> Result<Slot, Say> {
        if let Some(rate) = &self.rate
            && !rate.take(client, Instant::now())
        {
            return Err(Say::TooManyFromClient);
        }
        let Ok(one_of_all) = Arc::clone(&self.all).try_acquire_owned() else {
            return Err(Say::TooManyConnections);
        };
        let client = ClientNetwork::of(client);
        let mut by_client = self
            .by_client
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        let count = by_client.entry(client).or_default();
        if *count >= self.per_client_max {
            if *count == 0 {
                by_client.remove(&client);
            }
            return Err(Say::TooManyFromClient);
        }
        *count += 1;
        Ok(Slot {
            slots: Arc::clone(self),
            client,
            _one_of_all: one_of_all,
        })
    }
}

impl Drop for Slot {
    fn drop(&mut self) {
        let mut by_client = self
            .slots
            .by_client
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        if let Some(count) = by_client.get_mut(&self.client) {
            *count -= 1;
            if *count == 0 {
                by_client.remove(&self.client);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ip(text: &str) -> IpAddr {
        text.parse().unwrap()
    }

    #[test]
    fn places_are_bounded_in_all_and_by_client() {
        // W-1.12
        let slots = Slots::new(3, 2, None);
        let first = slots.take(ip("2001:db8::1")).unwrap();
        let _second = slots.take(ip("2001:db8::2")).unwrap();
        let third = slots.take(ip("2001:db8::3"));
        assert_eq!(third.unwrap_err(), Say::TooManyFromClient);
        let _other = slots.take(ip("2001:db8:0:1::1")).unwrap();
        let full = slots.take(ip("192.0.2.1"));
        assert_eq!(full.unwrap_err(), Say::TooManyConnections);
        drop(first);
        let _again = slots.take(ip("2001:db8::4")).unwrap();
        assert_eq!(slots.by_client.lock().unwrap().len(), 2);
    }

    #[test]
    fn nothing_is_remembered_of_clients_that_left() {
        let slots = Slots::new(3, 2, None);
        drop(slots.take(ip("192.0.2.1")).unwrap());
        assert!(slots.by_client.lock().unwrap().is_empty());
        assert_eq!(slots.all.available_permits(), 3);
    }
}
