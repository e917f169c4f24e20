//! How often the clients of a network failed to authenticate lately, and whether that is enough.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::{Mutex, PoisonError};

use tokio::time::Instant;

use crate::mail::limits::{AUTH_FAILURE_CLIENTS_MAX, AUTH_FAILURE_WINDOW, AUTH_FAILURES_MAX};

use super::client_network::ClientNetwork;

/// Failures by network, of a bounded number of networks.
#[derive(Debug, Default)]
pub(super) struct AuthFailures {
    by_client: Mutex<HashMap<ClientNetwork, Window>>,
}

#[derive(Clone, Copy, Debug)]
struct Window {
    began: Instant,
    failures: u32,
}

impl AuthFailures {
    /// Whether `client` has failed too often, and must wait until its window ends.
    pub(super) fn are_over_cap(&self, client: IpAddr) -> bool {
        let now = Instant::now();
        self.with(|by_client| {
            by_client
                .get(&ClientNetwork::of(client))
                .is_some_and(|window| window.is_open(now) && window.failures >= AUTH_FAILURES_MAX)
        })
    }

    pub(super) fn add(&self, client: IpAddr) {
        let now = Instant::now();
        let client = ClientNetwork::of(client);
        self.with(|by_client| {
            if by_client.len() >= AUTH_FAILURE_CLIENTS_MAX && !by_client.contains_key(&client) {
                make_room(by_client, now);
            }
            let fresh = Window {
                began: now,
                failures: 0,
            };
            let window = by_client.entry(client).or_insert(fresh);
            if !window.is_open(now) {
                *window = fresh;
            }
            window.failures = window.failures.saturating_add(1);
        });
    }

    fn with<T>(&self, f: impl FnOnce(&mut HashMap<ClientNetwork, Window>) -> T) -> T {
        f(&mut self
            .by_client
            .lock()
            .unwrap_or_else(PoisonError::into_inner))
    }
}

impl Window {
    fn is_open(&self, now: Instant) -> bool {
        now < self.began + AUTH_FAILURE_WINDOW
    }
}

/// Forgets what is over; if nothing is, whoever failed least, and of those the one longest ago. So
/// an attacker with many addresses pushes out none that has reached the cap.
fn make_room(by_client: &mut HashMap<ClientNetwork, Window>, now: Instant) {
    by_client.retain(|_, window| window.is_open(now));
    if by_client.len() < AUTH_FAILURE_CLIENTS_MAX {
        return;
    }
    let least = by_client
        .iter()
        .min_by_key(|(_, window)| (window.failures, window.began))
        .map(|(client, _)| *client);
    if let Some(client) = least {
        by_client.remove(&client);
    }
}

#[cfg(test)]
mod tests {
    use std::net::Ipv4Addr;
    use std::time::Duration;

    use tokio::time::advance;

    use super::*;

    fn ip(text: &str) -> IpAddr {
        text.parse().unwrap()
    }

    fn fail(failures: &AuthFailures, client: IpAddr, times: u32) {
        for _ in 0..times {
            failures.add(client);
        }
    }

    #[tokio::test(start_paused = true)]
    async fn the_cap_holds_until_the_window_ends_and_for_one_network() {
        // W-9.10
        let failures = AuthFailures::default();
        let (one, same) = (ip("2001:db8::1"), ip("2001:db8::2"));
        fail(&failures, one, AUTH_FAILURES_MAX - 1);
        assert!(!failures.are_over_cap(one));
        advance(AUTH_FAILURE_WINDOW - Duration::from_secs(1)).await;
        fail(&failures, same, 1);
        assert!(failures.are_over_cap(one) && failures.are_over_cap(same));
        assert!(!failures.are_over_cap(ip("2001:db8:0:1::1")));
        advance(Duration::from_secs(1)).await;
        assert!(!failures.are_over_cap(one));
        fail(&failures, one, 1);
        assert!(!failures.are_over_cap(one));
    }

    #[tokio::test(start_paused = true)]
    async fn many_addresses_push_out_none_that_is_over_the_cap() {
        let failures = AuthFailures::default();
        let capped = ip("192.0.2.1");
        fail(&failures, capped, AUTH_FAILURES_MAX);
        let others = u32::try_from(AUTH_FAILURE_CLIENTS_MAX).unwrap() + 100;
        for other in 0..others {
            failures.add(Ipv4Addr::from_bits(0x0A00_0000 + other).into());
        }
        assert!(failures.are_over_cap(capped));
        let count = failures.with(|by_client| by_client.len());
        assert_eq!(count, AUTH_FAILURE_CLIENTS_MAX);
    }
}
