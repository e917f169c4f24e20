//! Ports that belong to one test.

use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, UdpSocket};

use socket2::{Domain, Socket, Type};

use super::random::Random;

/// Below it live the services of a machine.
const LOWEST: u16 = 10_000;

/// Where the ports of outgoing connections begin if the kernel doesn't tell.
const EPHEMERAL_USUAL: u16 = 32_768;

/// A port number that is free for TCP on every address, v4 and v6, and stays so: it is outside the
/// range the kernel gives to outgoing connections, and no other test takes it, not in another
/// process either. Given back by drop.
#[derive(Debug)]
pub struct Port {
    number: u16,
    /// Whoever has this UDP address has the number; TCP may be bound and left freely meanwhile.
    _lock: UdpSocket,
}

impl Port {
    /// Takes one.
    pub fn reserve() -> Port {
        let mut random = Random::fresh(); // not TEST_SEED: ports are no part of a case
        let range = usize::from(ephemeral_lowest().max(LOWEST + 1) - LOWEST);
        for _ in 0..10_000 {
            let number = LOWEST + u16::try_from(random.below(range)).expect("range is of ports");
            let Ok(lock) = UdpSocket::bind(("127.255.255.254", number)) else {
                continue; // another test's
            };
            let meets_no_listener = bind_tcp(Ipv6Addr::UNSPECIFIED, number)
                .or_else(|_| bind_tcp(Ipv4Addr::UNSPECIFIED, number));
            if meets_no_listener.is_ok() {
                return Port {
                    number,
                    _lock: lock,
                };
            }
        }
        panic!("no free port between {LOWEST} and the ephemeral range");
    }

    /// The number.
    pub fn number(&self) -> u16 {
        self.number
    }
}

/// Binds and lets go again; on `::` it meets listeners of both families. It doesn't listen: a relay
/// that another test is just starting holds every socket of this process until its exec, and a
/// listener left there would be in the way of the one for which the port is reserved.
fn bind_tcp(address: impl Into<IpAddr>, port: u16) -> io::Result<()> {
    let address = SocketAddr::new(address.into(), port);
    let socket = Socket::new(Domain::for_address(address), Type::STREAM, None)?;
    socket.set_reuse_address(true)?; // as every listener here: only those that listen are met
    if address.is_ipv6() {
        socket.set_only_v6(false)?;
    }
    socket.bind(&address.into())
}

fn ephemeral_lowest() -> u16 {
    std::fs::read_to_string("/proc/sys/net/ipv4/ip_local_port_range")
        .ok()
        .and_then(|text| text.split_whitespace().next()?.parse().ok())
        .unwrap_or(EPHEMERAL_USUAL)
}
