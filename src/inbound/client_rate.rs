//! How often each client may do something: a token bucket each, in a bounded table.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

use crate::config::Rate;
use crate::mail::limits::RATED_CLIENTS_MAX;

use super::client_network::ClientNetwork;

/// One rate, for all clients each.
#[derive(Debug)]
pub(super) struct ClientRate {
    rate: Rate,
    /// Until a spent token is back.
    token: Duration,
    /// Until an empty bucket is full.
    bucket: Duration,
    /// When the bucket of each client will be full. A full one needs no entry.
    full_at: Mutex<HashMap<ClientNetwork, Instant>>,
}

impl ClientRate {
    pub(super) fn new(rate: Rate) -> ClientRate {
        let token = (rate.per / rate.count).max(Duration::from_nanos(1));
        ClientRate {
            rate,
            token,
            bucket: token * rate.count,
            full_at: Mutex::default(),
        }
    }

    /// The same if the rate is the same, so that nobody gets more by a change of something else.
    pub(super) fn renewed(
        before: Option<&Arc<ClientRate>>,
        rate: Option<Rate>,
    ) -> Option<Arc<ClientRate>> {
        let rate = rate?;
        let same = before.filter(|before| before.rate == rate);
        Some(same.map_or_else(|| Arc::new(ClientRate::new(rate)), Arc::clone))
    }

    /// Spends a token of `client`, if it has one.
    pub(super) fn take(&self, client: IpAddr, now: Instant) -> bool {
        let mut table = self.full_at.lock().unwrap_or_else(PoisonError::into_inner);
        let client = ClientNetwork::of(client);
        let known = table.get(&client).copied();
        let full_at = known.map_or(now, |at| at.max(now)) + self.token;
        if full_at > now + self.bucket {
            return false;
        }
        if known.is_none() && table.len() >= RATED_CLIENTS_MAX {
            make_room(&mut table, now);
        }
        table.insert(client, full_at);
        true
    }
}

/// Forgets full buckets; when that is not enough, all of them: for once clients get more than their
/// rate, but no mail is turned away for want of a place in a table.
fn make_room(table: &mut HashMap<ClientNetwork, Instant>, now: Instant) {
    table.retain(|_, full_at| *full_at > now);
    if table.len() > RATED_CLIENTS_MAX / 2 {
        table.clear();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rate(count: u32, seconds: u64) -> ClientRate {
        ClientRate::new(Rate {
            count,
            per: Duration::from_secs(seconds),
        })
    }

    fn ip(text: &str) -> IpAddr {
        text.parse().unwrap()
    }

    #[test]
    fn so_many_at_once_and_then_one_by_one() {
        // W-1.12, W-12.03
        let rate = rate(3, 30);
        let start = Instant::now();
        let at = |seconds| start + Duration::from_secs(seconds);
        let client = ip("192.0.2.1");
        for second in [0, 0, 1] {
            assert!(rate.take(client, at(second)));
        }
        assert!(!rate.take(client, at(9)));
        assert!(rate.take(ip("192.0.2.2"), at(9)));
        assert!(rate.take(client, at(10)));
        assert!(!rate.take(client, at(10)));
        // What is saved up is never more than a bucket.
        let taken = (0..10).filter(|_| rate.take(client, at(10_000))).count();
        assert_eq!(taken, 3);
    }

    #[test]
    fn a_network_of_ipv6_is_one_client() {
        let (rate, now) = (rate(1, 60), Instant::now());
        assert!(rate.take(ip("2001:db8::1"), now));
        assert!(!rate.take(ip("2001:db8::2"), now));
        assert!(rate.take(ip("2001:db8:0:1::1"), now));
    }

    #[test]
    fn the_table_is_bounded() {
        let (rate, now) = (rate(1, 60), Instant::now());
        for n in (0_u32..).take(RATED_CLIENTS_MAX + 10) {
            assert!(rate.take(IpAddr::from(n.to_be_bytes()), now));
        }
        assert!(rate.full_at.lock().unwrap().len() <= 10);
    }
}
