//! What counts as one client.

use std::net::{IpAddr, Ipv4Addr};

/// An IPv4 address, or an IPv6 /64, which one host can have for itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) enum ClientNetwork {
    V4(Ipv4Addr),
    V6([u16; 4]),
}

impl ClientNetwork {
    pub(super) fn of(client: IpAddr) -> ClientNetwork {
        match client {
            IpAddr::V4(address) => ClientNetwork::V4(address),
            IpAddr::V6(address) => {
                let [a, b, c, d, ..] = address.segments();
                ClientNetwork::V6([a, b, c, d])
            }
        }
    }
}
