//! How many sessions there may be, in all and of one client network, and how often one begins.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::time::Instant;

use crate::config::Rate;
use crate::smtp::server::Say;

use super::client_network::ClientNetwork;
use super::client_rate::ClientRate;

/// The places for sessions.
#[derive(Debug)]
pub(super) struct Slots(Mutex<Taken>);

#[derive(Debug)]
struct Taken {
    max: usize,
    per_client_max: usize,
    rate: Option<Arc<ClientRate>>,
    all: usize,
    by_client: HashMap<ClientNetwork, usize>,
}

/// A place for one session; given back by dropping it.
#[derive(Debug)]
pub(super) struct Slot {
    slots: Arc<Slots>,
    client: ClientNetwork,
}

impl Slots {
    pub(super) fn new(max: usize, per_client_max: usize, rate: Option<Rate>) -> Arc<Slots> {
        Arc::new(Slots(Mutex::new(Taken {
            max,
            per_client_max,
            rate: ClientRate::renewed(None, rate),
            all: 0,
            by_client: HashMap::new(),
        })))
    }

    /// Other limits. Whoever has a place keeps it, also beyond them.
    pub(super) fn set_limits(&self, max: usize, per_client_max: usize, rate: Option<Rate>) {
        let mut taken = self.taken();
        taken.max = max;
        taken.per_client_max = per_client_max;
        taken.rate = ClientRate::renewed(taken.rate.as_ref(), rate);
    }

    /// A place for `client`, or what to tell it.
    pub(super) fn take(self: &Arc<Slots>, client: IpAddr) -> Result<Slot, Say> {
        let mut taken = self.taken();
        if let Some(rate) = &taken.rate
            && !rate.take(client, Instant::now())
        {
            return Err(Say::TooManyFromClient);
        }
        if taken.all >= taken.max {
            return Err(Say::TooManyConnections);
        }
        let client = ClientNetwork::of(client);
        let count = taken.by_client.get(&client).copied().unwrap_or_default();
        if count >= taken.per_client_max {
            return Err(Say::TooManyFromClient);
        }
        taken.all += 1;
        taken.by_client.insert(client, count + 1);
        Ok(Slot {
            slots: Arc::clone(self),
            client,
        })
    }

    fn taken(&self) -> MutexGuard<'_, Taken> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Slot {
    fn drop(&mut self) {
        let mut taken = self.slots.taken();
        taken.all -= 1;
        if let Some(count) = taken.by_client.get_mut(&self.client) {
            *count -= 1;
            if *count == 0 {
                taken.by_client.remove(&self.client);
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
        assert_eq!(slots.taken().by_client.len(), 2);
    }

    #[test]
    fn other_limits_take_no_place_away() {
        let slots = Slots::new(3, 3, None);
        let [_first, _second] = [(); 2].map(|()| slots.take(ip("192.0.2.1")).unwrap());
        slots.set_limits(1, 3, None);
        let full = slots.take(ip("192.0.2.2"));
        assert_eq!(full.unwrap_err(), Say::TooManyConnections);
        slots.set_limits(4, 1, None);
        let _other = slots.take(ip("192.0.2.2")).unwrap();
        let too_many = slots.take(ip("192.0.2.2"));
        assert_eq!(too_many.unwrap_err(), Say::TooManyFromClient);
        assert_eq!(slots.taken().all, 3);
    }

    #[test]
    fn nothing_is_remembered_of_clients_that_left() {
        let slots = Slots::new(3, 2, None);
        drop(slots.take(ip("192.0.2.1")).unwrap());
        assert!(slots.taken().by_client.is_empty());
        assert_eq!(slots.taken().all, 0);
    }
}
