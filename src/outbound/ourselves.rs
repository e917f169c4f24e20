//! Who we are as a mail host, so that mail is never sent in a circle (RFC 5321 5.1).

use std::net::{IpAddr, SocketAddr, UdpSocket};

use crate::config::Config;
use crate::mail::Domain;

/// Our name, and where we listen.
#[derive(Clone, Debug)]
pub(super) struct Ourselves {
    /// `SMTP_HOSTNAME`
    pub(super) hostname: Domain,
    /// Every address of `SMTP_LISTEN_ADDRESSES` with each of our ports.
    pub(super) listeners: Vec<SocketAddr>,
}

impl Ourselves {
    /// As configured.
    #[must_use]
    pub(super) fn new(config: &Config) -> Ourselves {
        let tls_port = config.tls.as_ref().and_then(|tls| tls.port);
        let ports = [Some(config.smtpd.port), tls_port];
        let addresses = config.smtpd.listen_addresses.iter();
        let at = |address: &IpAddr| {
            let address = address.to_canonical();
            let ports = ports.into_iter().flatten();
            ports.map(move |port| SocketAddr::new(address, port))
        };
        Ourselves {
            hostname: config.hostname.clone(),
            listeners: addresses.flat_map(at).collect(),
        }
    }

    /// Whether one of our listeners has this port, so that [`Self::listen_at`] could be true.
    #[must_use]
    pub(super) fn listen_on(&self, port: u16) -> bool {
        self.listeners.iter().any(|own| own.port() == port)
    }

    /// Whether whoever dials this reaches us.
    #[must_use]
    pub(super) fn listen_at(&self, address: SocketAddr) -> bool {
        self.would_answer(address, is_of_this_machine)
    }

    fn would_answer(&self, address: SocketAddr, is_local: impl Fn(IpAddr) -> bool) -> bool {
        let ip = address.ip().to_canonical();
        let on_port = |own: &&SocketAddr| own.port() == address.port();
        self.listeners
            .iter()
            .filter(on_port)
            .any(|own| match own.ip() {
                any if any.is_unspecified() => any.is_ipv4() == ip.is_ipv4() && is_local(ip),
                // Dialling "no address" leads to loopback.
                own => own == ip || ip.is_unspecified() && own.is_loopback(),
            })
    }
}

/// Whether an address is one of this machine. Asked each time: addresses come and go.
///
/// A UDP socket that is connected sends nothing, but has chosen its own end: for an address of this
/// machine that is the very same one. (Binding would tell, too, but not where `ip_nonlocal_bind` is
/// on.)
fn is_of_this_machine(address: IpAddr) -> bool {
    if address.is_loopback() || address.is_unspecified() {
        return true;
    }
    let any: IpAddr = match address {
        IpAddr::V4(_) => std::net::Ipv4Addr::UNSPECIFIED.into(),
        IpAddr::V6(_) => std::net::Ipv6Addr::UNSPECIFIED.into(),
    };
    let own_end = UdpSocket::bind((any, 0)).and_then(|socket| {
        socket.connect((address, 9))?; // any port: the way depends on the address alone
        socket.local_addr()
    });
    own_end.is_ok_and(|own| own.ip() == address)
}

#[cfg(test)]
mod tests {
    use super::super::test_ourselves;
    use super::*;

    #[track_caller]
    fn check(listening: &[&str], address: &str, want: bool) {
        let ourselves = test_ourselves(listening);
        let is_local = |ip: IpAddr| ip.to_string() == "192.0.2.1" || ip.to_string() == "fd00::1";
        let got = ourselves.would_answer(address.parse().unwrap(), is_local);
        assert_eq!(got, want, "{address} of {listening:?}");
    }

    #[test]
    fn only_address_and_port_together_are_us() {
        // W-13.09
        let one = ["192.0.2.1:25", "[fd00::1]:25"];
        check(&one, "192.0.2.1:25", true);
        check(&one, "[fd00::1]:25", true);
        check(&one, "[::ffff:192.0.2.1]:25", true);
        check(&one, "192.0.2.1:2525", false);
        check(&one, "192.0.2.2:25", false);
        check(&one, "0.0.0.0:25", false);
        check(&["127.0.0.1:25"], "0.0.0.0:25", true);
        check(&[], "192.0.2.1:25", false);
    }

    #[test]
    fn a_listener_on_all_addresses_has_those_of_this_machine() {
        check(&["0.0.0.0:25"], "192.0.2.1:25", true);
        check(&["0.0.0.0:25"], "192.0.2.2:25", false);
        check(&["0.0.0.0:25"], "[fd00::1]:25", false);
        check(&["[::]:25"], "[fd00::1]:25", true);
        check(&["[::]:25"], "[fd00::2]:25", false);
    }

    #[test]
    fn loopback_is_of_this_machine_and_documentation_addresses_are_not() {
        for (address, want) in [("127.0.0.9", true), ("::1", true), ("203.0.113.250", false)] {
            assert_eq!(
                is_of_this_machine(address.parse().unwrap()),
                want,
                "{address}"
            );
        }
    }
}
