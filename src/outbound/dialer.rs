//! One TCP connection to one address, from the right one of ours.

use std::io;
use std::net::{IpAddr, SocketAddr, UdpSocket};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use tokio::net::{TcpSocket, TcpStream};
use tokio::time::{Instant, timeout_at};

use crate::config::DeliveryConfig;

use super::connection_error::ConnectionError;

/// How we call.
pub(super) struct Dialer {
    four: Sources,
    six: Sources,
    /// For one address.
    timeout: Duration,
}

/// Those of `SMTP_SOURCE_ADDRESSES` of one family. With none of either, the system chooses.
struct Sources {
    addresses: Vec<IpAddr>,
    /// Counts calls, so that the addresses take turns.
    calls: AtomicUsize,
}

/// A source address that can't be used.
#[derive(Debug, thiserror::Error)]
#[error(
    "SMTP_SOURCE_ADDRESSES: nobody can call from {address}: {error}; \
     give the address to an interface of this machine, or take it off the list"
)]
pub struct SourceError {
    address: IpAddr,
    error: io::Error,
}

impl Dialer {
    /// As configured.
    ///
    /// # Errors
    /// A source address is not of this machine.
    pub(super) fn new(config: &DeliveryConfig) -> Result<Dialer, SourceError> {
        for address in &config.source_addresses {
            // Bound and let go: whether the address is ours. Nothing is sent.
            UdpSocket::bind((*address, 0)).map_err(|error| SourceError {
                address: *address,
                error,
            })?;
        }
        let (six, four) = config
            .source_addresses
            .iter()
            .partition(|address| address.is_ipv6());
        Ok(Dialer {
            four: Sources::new(four),
            six: Sources::new(six),
            timeout: config.connect_timeout,
        })
    }

    /// Whether there is an address to call `to` from.
    #[must_use]
    pub(super) fn can_reach(&self, to: &IpAddr) -> bool {
        let any = !(self.four.addresses.is_empty() && self.six.addresses.is_empty());
        !any || !self.sources_for(to).addresses.is_empty()
    }

    /// Calls, within `SMTP_CONNECT_TIMEOUT` and before `deadline`.
    pub(super) async fn dial(
        &self,
        to: SocketAddr,
        deadline: Instant,
    ) -> Result<TcpStream, ConnectionError> {
        let until = deadline.min(Instant::now() + self.timeout);
        let socket = match to {
            SocketAddr::V4(_) => TcpSocket::new_v4(),
            SocketAddr::V6(_) => TcpSocket::new_v6(),
        };
        let socket = socket.map_err(ConnectionError::Connect)?;
        if let Some(address) = self.sources_for(&to.ip()).next() {
            let bound = socket.bind(SocketAddr::new(address, 0));
            bound.map_err(|error| ConnectionError::Source { address, error })?;
        }
        let tcp = match timeout_at(until, socket.connect(to)).await {
            Ok(Ok(tcp)) => tcp,
            Ok(Err(error)) => return Err(ConnectionError::Connect(error)),
            Err(_) => return Err(ConnectionError::ConnectTimeout),
        };
        // Commands are small and each waits for its reply; a host where this fails still gets mail.
        let _ = tcp.set_nodelay(true);
        Ok(tcp)
    }

    fn sources_for(&self, to: &IpAddr) -> &Sources {
        match to {
            IpAddr::V4(_) => &self.four,
            IpAddr::V6(_) => &self.six,
        }
    }
}

impl Sources {
    fn new(addresses: Vec<IpAddr>) -> Sources {
        Sources {
            addresses,
            calls: AtomicUsize::new(0),
        }
    }

    /// Whose turn it is.
    fn next(&self) -> Option<IpAddr> {
        let call = self.calls.fetch_add(1, Ordering::Relaxed);
        let turn = call.checked_rem(self.addresses.len())?;
        self.addresses.get(turn).copied()
    }
}

#[cfg(test)]
mod tests {
    use super::super::test_config;
    use super::*;

    fn dialer(sources: &[&str]) -> Result<Dialer, SourceError> {
        let mut config = test_config();
        config.source_addresses = sources.iter().map(|text| text.parse().unwrap()).collect();
        Dialer::new(&config)
    }

    #[test]
    fn the_sources_of_the_right_family_take_turns() {
        // W-14.08
        let dialer = dialer(&["127.0.0.7", "::1", "127.0.0.8"]).unwrap();
        let called = ["192.0.2.1", "2001:db8::1", "192.0.2.2", "192.0.2.3"];
        let from = called.map(|to| {
            let source = dialer.sources_for(&to.parse().unwrap()).next();
            source.unwrap().to_string()
        });
        assert_eq!(from, ["127.0.0.7", "::1", "127.0.0.8", "127.0.0.7"]);
    }

    #[test]
    fn a_family_without_a_source_is_not_used() {
        let four: IpAddr = "192.0.2.1".parse().unwrap();
        let six: IpAddr = "2001:db8::1".parse().unwrap();
        let can_reach = |sources: &[&str]| {
            let dialer = dialer(sources).unwrap();
            (dialer.can_reach(&four), dialer.can_reach(&six))
        };
        assert_eq!(can_reach(&[]), (true, true));
        assert_eq!(can_reach(&["127.0.0.7"]), (true, false));
        assert_eq!(can_reach(&["::1"]), (false, true));
    }

    #[test]
    fn an_address_of_another_machine_is_no_source() {
        let error = dialer(&["127.0.0.7", "203.0.113.250"]).err().unwrap();
        let want = "SMTP_SOURCE_ADDRESSES: nobody can call from 203.0.113.250: ";
        assert!(error.to_string().starts_with(want), "{error}");
    }
}
