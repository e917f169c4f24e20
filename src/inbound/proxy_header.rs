//! The PROXY protocol's header, version 1 and 2, read strictly: what a header states decides who may
//! relay, so what is not exactly one is none. The crate takes it apart; what it lets pass is looked
//! at here.

use std::net::IpAddr;

use proxy_header::{ParseConfig, Protocol, ProxyHeader};

use crate::mail::limits::PROXY_HEADER_BYTES_MAX;

/// What the octets of a connection so far are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ProxyHead {
    /// The beginning of a header, to which at least so many octets are still missing.
    NeedMore(usize),
    /// A whole header, and nothing else.
    Header(ProxySource),
    /// Not a header that we take.
    Fault,
}

/// Who the header says is the client.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ProxySource {
    /// This address, IPv4 if it is a mapped one.
    Stated(IpAddr),
    /// Nobody else (`UNKNOWN`, `LOCAL`): the proxy itself.
    Socket,
}

const V1_START: &[u8] = b"PROXY ";
/// `PROXY UNKNOWN` and CRLF.
const V1_BYTES_MIN: usize = 15;
/// With CRLF.
const V1_BYTES_MAX: usize = 107;
const V2_START: &[u8] = b"\r\n\r\n\0\r\nQUIT\n";
/// Up to the length, which says how much follows.
const V2_FIXED_BYTES: usize = 16;

const V2_LOCAL: u8 = 0x20;
const V2_PROXY: u8 = 0x21;
const V2_UNSPECIFIED: u8 = 0x00;
const V2_TCP4: u8 = 0x11;
const V2_TCP6: u8 = 0x21;

/// Looks at the octets from the start of a connection. Whoever reads just as many more as are
/// missing reads nothing of what follows the header.
#[must_use]
pub fn look_at_proxy_head(octets: &[u8]) -> ProxyHead {
    if begins(octets, V1_START) {
        version_1(octets)
    } else if begins(octets, V2_START) {
        version_2(octets)
    } else {
        ProxyHead::Fault
    }
}

/// Whether one is the beginning of the other.
fn begins(octets: &[u8], start: &[u8]) -> bool {
    let shared = octets.len().min(start.len());
    octets[..shared] == start[..shared]
}

fn version_1(octets: &[u8]) -> ProxyHead {
    if octets.is_empty() {
        return ProxyHead::NeedMore(V1_BYTES_MIN); // version 2 has one octet more at least
    }
    let Some(cr) = memchr::memchr(b'\r', octets) else {
        return missing(octets, V1_BYTES_MIN.max(octets.len() + 2), V1_BYTES_MAX);
    };
    let (line, end) = octets.split_at(cr);
    match end {
        b"\r" => missing(octets, octets.len() + 1, V1_BYTES_MAX),
        b"\r\n" if octets.len() <= V1_BYTES_MAX && is_v1_line(line) => source(octets),
        _ => ProxyHead::Fault,
    }
}

/// The crate would take `PROXYxTCP4`, `UNKNOWNx` and a port with a sign.
fn is_v1_line(line: &[u8]) -> bool {
    let mut words = line.split(|&octet| octet == b' ').skip(1);
    match words.next() {
        Some(b"UNKNOWN") => line.is_ascii(),
        Some(b"TCP4" | b"TCP6") => {
            let is_port = |word: &[u8]| {
                word.len() <= 5
                    && word.first() != Some(&b'+')
                    && (word == b"0" || !word.starts_with(b"0"))
            };
            let words: Vec<&[u8]> = words.collect();
            matches!(words[..], [_, _, from, to] if is_port(from) && is_port(to))
        }
        _ => false,
    }
}

fn version_2(octets: &[u8]) -> ProxyHead {
    let Some(fixed) = octets.first_chunk::<V2_FIXED_BYTES>() else {
        return missing(octets, V2_FIXED_BYTES, PROXY_HEADER_BYTES_MAX);
    };
    let [.., command, family, high, low] = *fixed;
    let local = match (command, family) {
        (V2_LOCAL, _) | (V2_PROXY, V2_UNSPECIFIED) => true,
        (V2_PROXY, V2_TCP4 | V2_TCP6) => false,
        _ => return ProxyHead::Fault, // no such version or command; UDP; a Unix socket
    };
    let whole = V2_FIXED_BYTES + usize::from(u16::from_be_bytes([high, low]));
    match octets.len() {
        length if length > whole || whole > PROXY_HEADER_BYTES_MAX => ProxyHead::Fault,
        length if length < whole => missing(octets, whole, PROXY_HEADER_BYTES_MAX),
        _ if local => ProxyHead::Header(ProxySource::Socket),
        _ => source(octets),
    }
}

fn missing(octets: &[u8], least: usize, most: usize) -> ProxyHead {
    if least > most {
        return ProxyHead::Fault;
    }
    ProxyHead::NeedMore(least - octets.len())
}

/// What the crate makes of a whole header; the list behind the addresses must be one to its end.
fn source(octets: &[u8]) -> ProxyHead {
    let Ok((header, length)) = ProxyHeader::parse(octets, ParseConfig::default()) else {
        return ProxyHead::Fault;
    };
    if length != octets.len() || header.tlvs().any(|tlv| tlv.is_err()) {
        return ProxyHead::Fault;
    }
    match header.proxied_address() {
        None => ProxyHead::Header(ProxySource::Socket),
        Some(address) if address.protocol == Protocol::Stream => {
            ProxyHead::Header(ProxySource::Stated(address.source.ip().to_canonical()))
        }
        Some(_) => ProxyHead::Fault,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// Reads as the driver does: never more than is known to be missing.
    fn read(octets: &[u8]) -> (ProxyHead, usize) {
        let mut read = 0;
        loop {
            match look_at_proxy_head(&octets[..read]) {
                ProxyHead::NeedMore(more) if read + more <= octets.len() => {
                    assert!(more > 0);
                    read += more;
                }
                end => return (end, read),
            }
        }
    }

    #[track_caller]
    fn good(header: &[u8], want: ProxySource) {
        let followed = [header, b"EHLO x\r\n".as_slice()].concat();
        assert_eq!(
            read(&followed),
            (ProxyHead::Header(want), header.len()),
            "{}",
            header.escape_ascii()
        );
        for length in 0..header.len() {
            let cut = read(&header[..length]).0;
            assert!(
                matches!(cut, ProxyHead::NeedMore(_)),
                "{length} octets: {cut:?}"
            );
        }
    }

    #[track_caller]
    fn bad(header: &[u8]) {
        let followed = [
            header,
            b"EHLO x\r\nMAIL FROM:<a@b>\r\n".repeat(10).as_slice(),
        ]
        .concat();
        assert_eq!(
            read(&followed).0,
            ProxyHead::Fault,
            "{}",
            header.escape_ascii()
        );
    }

    fn stated(text: &str) -> ProxySource {
        ProxySource::Stated(text.parse().unwrap())
    }

    fn v2(command: u8, family: u8, length: u16, rest: &[u8]) -> Vec<u8> {
        [V2_START, &[command, family], &length.to_be_bytes(), rest].concat()
    }

    const TCP4: &[u8] = &[192, 0, 2, 1, 127, 0, 0, 1, 4, 0, 0, 25];

    #[test]
    fn version_1_states_a_source_or_none() {
        // W-12.07
        good(
            b"PROXY TCP4 192.0.2.1 127.0.0.1 1024 25\r\n",
            stated("192.0.2.1"),
        );
        good(
            b"PROXY TCP6 2001:db8::1 ::1 65535 0\r\n",
            stated("2001:db8::1"),
        );
        good(
            b"PROXY TCP6 ::ffff:192.0.2.1 ::1 1 25\r\n",
            stated("192.0.2.1"),
        );
        good(b"PROXY UNKNOWN\r\n", ProxySource::Socket);
        good(
            b"PROXY UNKNOWN ffff::1 ffff::2 65535 65535\r\n",
            ProxySource::Socket,
        );
        let longest = format!("PROXY UNKNOWN {}\r\n", "x".repeat(V1_BYTES_MAX - 16));
        good(longest.as_bytes(), ProxySource::Socket);
    }

    #[test]
    fn version_2_states_a_source_or_none() {
        // W-12.07
        good(&v2(0x21, 0x11, 12, TCP4), stated("192.0.2.1"));
        let tlv = [TCP4, &[4, 0, 2, 0, 0]].concat();
        good(&v2(0x21, 0x11, 17, &tlv), stated("192.0.2.1"));
        let tcp6 = [&[0; 15][..], &[1], &[0; 15], &[1], &[4, 0, 0, 25]].concat();
        good(&v2(0x21, 0x21, 36, &tcp6), stated("::1"));
        good(&v2(0x20, 0x00, 0, b""), ProxySource::Socket);
        good(&v2(0x20, 0x11, 12, TCP4), ProxySource::Socket);
        good(&v2(0x21, 0x00, 5, b"12345"), ProxySource::Socket);
    }

    #[test]
    fn what_is_not_exactly_a_header_is_none() {
        // W-12.07
        for header in [
            &b"EHLO client.test\r\n"[..],
            b"PROXYxTCP4 192.0.2.1 127.0.0.1 1 25\r\n",
            b"PROXY TCP4 192.0.2.1 127.0.0.1 1 25\n",
            b"PROXY TCP4 192.0.2.1 127.0.0.1 1 25\rx",
            b"PROXY  TCP4 192.0.2.1 127.0.0.1 1 25\r\n",
            b"PROXY TCP4 192.0.2.1 127.0.0.1 1 25 \r\n",
            b"PROXY TCP4 192.0.2.1 127.0.0.1 1\r\n",
            b"PROXY TCP4 192.0.2.1 127.0.0.1 65536 25\r\n",
            b"PROXY TCP4 192.0.2.1 127.0.0.1 +1 25\r\n",
            b"PROXY TCP4 192.0.2.1 127.0.0.1 01 25\r\n",
            b"PROXY TCP4 192.0.2.1 127.0.0.1 x 25\r\n",
            b"PROXY TCP4 192.0.2.256 127.0.0.1 1 25\r\n",
            b"PROXY TCP4 2001:db8::1 ::1 1 25\r\n",
            b"PROXY TCP6 192.0.2.1 127.0.0.1 1 25\r\n",
            b"PROXY UDP4 192.0.2.1 127.0.0.1 1 25\r\n",
            b"PROXY UNKNOWNx\r\n",
            b"proxy TCP4 192.0.2.1 127.0.0.1 1 25\r\n",
            &v2(0x11, 0x11, 12, TCP4),
            &v2(0x22, 0x11, 12, TCP4),
            &v2(0x21, 0x12, 12, TCP4),
            &v2(0x21, 0x31, 216, &[0; 216]),
            &v2(0x21, 0x41, 12, TCP4),
            &v2(0x21, 0x11, 11, &TCP4[..11]),
            &v2(0x21, 0x21, 12, TCP4),
            &v2(0x21, 0x11, 14, &[TCP4, &[4, 0]].concat()),
            &v2(0x21, 0x11, 15, &[TCP4, &[4, 0, 1]].concat()),
            &v2(0x20, 0x00, 4_081, b""),
            b"\r\n\r\n\0\r\nQUIT\r",
        ] {
            bad(header);
        }
        bad(format!("PROXY UNKNOWN {}\r\n", "x".repeat(V1_BYTES_MAX - 15)).as_bytes());
        bad(format!("PROXY {}", "x".repeat(200)).as_bytes());
    }

    proptest! {
        #[test]
        fn no_octets_do_harm(octets in prop::collection::vec(any::<u8>(), 0..300), version in 0..3) {
            let start = [&b""[..], V1_START, V2_START][version as usize];
            let (_, length) = read(&[start, &octets].concat());
            prop_assert!(length <= PROXY_HEADER_BYTES_MAX);
        }
    }
}
