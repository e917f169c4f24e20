//! Sets of addresses, and when such a set is everybody.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use ipnet::{IpNet, Ipv4Net, Ipv6Net};

use super::refusal::{Parsed, Refusal};
use super::value::list;

/// `10.0.0.0/8`, or an address as the network of itself alone. Bits behind the prefix are cleared,
/// and an IPv4-mapped network becomes the IPv4 one: addresses are compared in that form.
pub(super) fn network(text: &str) -> Parsed<IpNet> {
    let net = match text.parse::<IpAddr>() {
        Ok(address) => IpNet::from(address),
        Err(_) => text.parse().map_err(|_| Refusal::Unexpected)?,
    };
    Ok(unmapped(net.trunc()))
}

/// Networks, or the one word `none`.
pub(super) fn networks_or_none(text: &str) -> Parsed<Vec<IpNet>> {
    if text == "none" {
        return Ok(Vec::new());
    }
    list(text, network)
}

/// Whether these networks together let in the whole of IPv4 or of IPv6. What no client can have as
/// its address does not count: `0.0.0.0/1,128.0.0.0/2,192.0.0.0/3` lacks only multicast and
/// reserved addresses, and `2000::/3` is all global unicast of IPv6 (RFC 4291 2.4).
pub(super) fn cover_everything(networks: &[IpNet]) -> bool {
    let v4_unicast = [
        Ipv4Net::new_assert(Ipv4Addr::UNSPECIFIED, 1),
        Ipv4Net::new_assert(Ipv4Addr::new(128, 0, 0, 0), 2),
        Ipv4Net::new_assert(Ipv4Addr::new(192, 0, 0, 0), 3),
    ]
    .map(IpNet::V4);
    let v6_unicast = [Ipv6Net::new_assert(
        Ipv6Addr::new(0x2000, 0, 0, 0, 0, 0, 0, 0),
        3,
    )]
    .map(IpNet::V6);

    let joined = IpNet::aggregate(&networks.to_vec());
    let contains = |part: &IpNet| joined.iter().any(|net| net.contains(part));
    v4_unicast.iter().all(contains) || v6_unicast.iter().all(contains)
}

fn unmapped(net: IpNet) -> IpNet {
    const MAPPED_PREFIX_BITS: u8 = 96; // ::ffff:0:0/96, RFC 4291 2.5.5.2
    let IpNet::V6(v6) = net else { return net };
    let Some(v4_bits) = v6.prefix_len().checked_sub(MAPPED_PREFIX_BITS) else {
        return net;
    };
    match v6.addr().to_ipv4_mapped() {
        Some(v4) => IpNet::V4(Ipv4Net::new_assert(v4, v4_bits)),
        None => net,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(text: &str, want: &str) {
        assert_eq!(network(text), Ok(want.parse().unwrap()));
    }

    #[track_caller]
    fn check_everything(text: &str, want: bool) {
        assert_eq!(cover_everything(&list(text, network).unwrap()), want);
    }

    #[test]
    fn a_plain_address_is_a_network_of_one() {
        check("192.0.2.1", "192.0.2.1/32");
        check("2001:db8::1", "2001:db8::1/128");
        check("10.0.0.0/8", "10.0.0.0/8");
        check("fe80::/10", "fe80::/10");
    }

    #[test]
    fn networks_have_one_form() {
        check("10.1.2.3/8", "10.0.0.0/8");
        check("::ffff:10.0.0.0/104", "10.0.0.0/8");
        check("::ffff:0:0/96", "0.0.0.0/0");
        check("::ffff:192.0.2.1", "192.0.2.1/32");
        check("::/0", "::/0");
    }

    #[test]
    fn what_is_no_network_is_refused() {
        for text in [
            "",
            "10.0.0.0/33",
            "10.0.0/8",
            "10.0.0.0/",
            "host.test",
            "::/129",
            "*",
        ] {
            assert_eq!(network(text), Err(Refusal::Unexpected), "{text}");
        }
    }

    #[test]
    fn none_is_an_empty_set() {
        assert_eq!(networks_or_none("none"), Ok(vec![]));
        assert!(networks_or_none("none,10.0.0.0/8").is_err());
        assert_eq!(networks_or_none("10.0.0.0/8").unwrap().len(), 1);
    }

    #[test]
    fn everything_is_seen_in_any_disguise() {
        check_everything("0.0.0.0/0", true);
        check_everything("::/0", true);
        check_everything("10.0.0.0/8,::/0", true);
        check_everything("1.2.3.4/0", true);
        check_everything("::ffff:0:0/96", true);
        check_everything("0.0.0.0/1,128.0.0.0/1", true);
        check_everything("::/1,8000::/1", true);
        check_everything("128.0.0.0/2,0.0.0.0/2,192.0.0.0/2,64.0.0.0/2", true);
        check_everything("0.0.0.0/1,128.0.0.0/2,192.0.0.0/3", true);
        check_everything("2000::/3", true);
        check_everything("2000::/4,3000::/4", true);
    }

    #[test]
    fn large_networks_are_not_everything() {
        check_everything("", false);
        check_everything("10.0.0.0/8,172.16.0.0/12,192.168.0.0/16,fc00::/7", false);
        check_everything("0.0.0.0/1", false);
        check_everything("0.0.0.0/1,128.0.0.0/2", false);
        check_everything("2000::/4", false);
        check_everything("::/3", false);
    }
}
