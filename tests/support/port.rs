//! Ports that belong to one test.

use std::net::{Ipv6Addr, TcpListener, UdpSocket};

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
            // Dual-stack, so it meets listeners of both families; closed again at once.
            let probe = TcpListener::bind((Ipv6Addr::UNSPECIFIED, number))
                .or_else(|_| TcpListener::bind(("0.0.0.0", number)));
            if probe.is_ok() {
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

fn ephemeral_lowest() -> u16 {
    std::fs::read_to_string("/proc/sys/net/ipv4/ip_local_port_range")
        .ok()
        .and_then(|text| text.split_whitespace().next()?.parse().ok())
        .unwrap_or(EPHEMERAL_USUAL)
}
