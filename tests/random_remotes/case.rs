//! What a seed makes: messages, recipients with their fates, and mail hosts with their moods. The same
//! seed makes the same case today and next year.

use std::collections::BTreeMap;
use std::fmt;
use std::net::{IpAddr, Ipv4Addr};

use crate::support::{Mail, Random, mail};

/// Most mail hosts of a case.
pub(super) const HOSTS_MAX: usize = 3;

/// Cases whose addresses share an octet.
const CASES_A_NET: usize = 200;

/// Octets of bodies; the last go into files of their own in the spool.
const BODY_OCTETS: [usize; 6] = [40, 500, 500, 4_000, 20_000, 70_000];

/// Link-local without a link: the kernel refuses it at once.
const DEAD_V6: [u16; 8] = [0xfe80, 0, 0, 0, 0, 0, 0, 1];

/// Larger than any message here.
const SIZE_ENOUGH: usize = 200_000;

/// A case: what is sent in, and who is to receive it.
#[derive(Debug)]
pub(super) struct Case {
    pub(super) seed: u64,
    /// Its place in this run, which decides about names and addresses and about nothing else.
    pub(super) slot: usize,
    pub(super) letters: Vec<Letter>,
    pub(super) hosts: Vec<HostPlan>,
}

/// A message.
#[derive(Debug)]
pub(super) struct Letter {
    pub(super) mail: Mail,
    pub(super) octets: Vec<u8>,
    pub(super) rcpts: BTreeMap<RcptId, Rcpt>,
}

/// A recipient.
#[derive(Debug)]
pub(super) struct Rcpt {
    pub(super) fate: Fate,
    /// Nobody is to be told about it (NOTIFY=NEVER).
    pub(super) quiet: bool,
}

/// How the hosts of a case treat a recipient when nothing else goes wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Fate {
    Taken,
    /// 4yz so many times.
    Later(usize),
    /// 4yz, always.
    NeverYet,
    /// 5yz.
    Refused,
}

/// A mail host.
#[derive(Debug)]
pub(super) struct HostPlan {
    pub(super) offers: Vec<String>,
    pub(super) tls: Tls,
    /// Of a hundred turns so many go wrong.
    pub(super) trouble_percent: usize,
    /// After so many connections none goes wrong any more.
    pub(super) heals_after: Option<usize>,
    /// Recipients that it takes in one transaction (RFC 9422).
    pub(super) rcpts_max: usize,
    /// Transactions that it takes in one connection.
    pub(super) mails_max: usize,
    /// It has an IPv6 address as well, to which no connection can be made.
    dead_v6: bool,
    preference: u16,
}

/// What a host makes of STARTTLS.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Tls {
    NotOffered,
    Proper,
    /// Offered, and it comes to nothing.
    Broken,
}

/// A recipient, told from the beginning of its local part, however the rest is spelled.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) struct RcptId {
    pub(super) slot: usize,
    pub(super) letter: usize,
    pub(super) number: usize,
}

impl Case {
    pub(super) fn of(seed: u64, slot: usize) -> Case {
        let mut random = Random::from_seed(seed);
        let letters = 1 + usize::from(random.below(4) == 0);
        let trouble = *random.pick(&[0, 10, 25, 25, 50, 80]);
        let heals_after = match random.below(8) {
            0 => None,
            n => Some(n),
        };
        Case {
            seed,
            slot,
            letters: (0..letters)
                .map(|letter| Letter::draw(&mut random, slot, letter))
                .collect(),
            hosts: (0..1 + random.below(HOSTS_MAX))
                .map(|_| HostPlan::draw(&mut random, trouble, heals_after))
                .collect(),
        }
    }

    /// MX and address records: (domain, preference, host), (host, address).
    pub(super) fn records(&self) -> Vec<(String, u16, String, Vec<IpAddr>)> {
        let record = |(number, plan): (usize, &HostPlan)| {
            let mut addresses = vec![IpAddr::V4(address(self.slot, number))];
            if plan.dead_v6 {
                addresses.push(IpAddr::from(DEAD_V6));
            }
            let host = format!("h{number}-{}.hosts.test", self.slot);
            (domain(self.slot), plan.preference, host, addresses)
        };
        self.hosts.iter().enumerate().map(record).collect()
    }

    pub(super) fn rcpts(&self) -> impl Iterator<Item = (RcptId, &Rcpt)> {
        let letters = self.letters.iter();
        letters.flat_map(|letter| letter.rcpts.iter().map(|(id, rcpt)| (*id, rcpt)))
    }

    pub(super) fn rcpt(&self, id: RcptId) -> Option<&Rcpt> {
        self.letters.get(id.letter)?.rcpts.get(&id)
    }

    /// Draws for a connection to a host, by its place in the order of connections to that host.
    pub(super) fn random_for(&self, host: usize, connection: usize) -> Random {
        let number = (host * 1_000_003 + connection + 1) as u64;
        Random::from_seed(self.seed ^ number.wrapping_mul(0x9e37_79b9_7f4a_7c15))
    }

    /// Whether a verdict of the relay's own, with this status, may have failed a recipient: because
    /// a host does not offer what the message needs, or, `unextended`, offered nothing at all.
    pub(super) fn may_fail_by_itself(&self, dsn: &str, unextended: bool) -> bool {
        let lacks = |keyword: &str| {
            let has = |host: &HostPlan| host.offers.iter().any(|offer| offer == keyword);
            unextended || !self.hosts.iter().all(has)
        };
        match dsn {
            "5.3.4" => self.hosts.iter().any(|host| host.size_max() < SIZE_ENOUGH),
            "5.6.7" => lacks("SMTPUTF8"),
            "5.6.3" => lacks("8BITMIME"),
            _ => false,
        }
    }
}

impl Letter {
    fn draw(random: &mut Random, slot: usize, letter: usize) -> Letter {
        let utf8 = random.below(16) == 0;
        let mut mail = mail()
            .from(&format!("a{letter}.s{slot}@gp.test"))
            .subject(&format!("letter {letter} of case {slot}"));
        if utf8 {
            mail = mail.mail_parameter("SMTPUTF8");
        }
        let size = *random.pick(&BODY_OCTETS);
        let mut body = random.text(size);
        if random.below(6) == 0 {
            mail = mail.mail_parameter("BODY=8BITMIME");
            body.extend(b"\xe9t\xe9\r\n");
        }
        if random.below(3) == 0 {
            body.splice(0..0, *b".\r\n..\r\n.a\r\n");
            body.extend(b".\r\n");
        }
        let mut rcpts = BTreeMap::new();
        for number in 0..1 + random.below(5) {
            let fate = match random.below(12) {
                0..7 => Fate::Taken,
                7..9 => Fate::Later(1 + random.below(3)),
                9 => Fate::NeverYet,
                _ => Fate::Refused,
            };
            let accent = if utf8 && random.below(2) == 0 {
                ".é"
            } else {
                ""
            };
            let quiet = random.below(12) == 0;
            mail = mail.to(&format!(
                "r{number}.m{letter}.s{slot}{accent}@{}",
                domain(slot)
            ));
            if quiet {
                mail = mail.rcpt_parameter("NOTIFY=NEVER");
            }
            let id = RcptId {
                slot,
                letter,
                number,
            };
            rcpts.insert(id, Rcpt { fate, quiet });
        }
        let mail = mail.body_octets(body);
        Letter {
            octets: mail.octets(),
            mail,
            rcpts,
        }
    }
}

impl HostPlan {
    fn draw(random: &mut Random, trouble: usize, heals_after: Option<usize>) -> HostPlan {
        let mut offers: Vec<String> = Vec::new();
        let mut rcpts_max = 1_000;
        let mut mails_max = 1_000;
        for (keyword, percent) in [
            ("PIPELINING", 60),
            ("8BITMIME", 70),
            ("SMTPUTF8", 60),
            ("CHUNKING", 40),
            ("DSN", 40),
            ("ENHANCEDSTATUSCODES", 50),
            ("X-UNHEARD=OF 1", 20),
        ] {
            if random.below(100) < percent {
                offers.push(keyword.to_owned());
            }
        }
        if random.below(100) < 60 {
            let size = *random.pick(&["", " 0", " 100000000", " 200000", " abc", " 2000"]);
            offers.push(format!("SIZE{size}"));
        }
        if random.below(100) < 25 {
            rcpts_max = 1 + random.below(3);
            mails_max = *random.pick(&[1, 2, 1_000]);
            offers.push(format!("LIMITS RCPTMAX={rcpts_max} MAILMAX={mails_max}"));
        }
        let tls = match random.below(10) {
            0 => Tls::Proper,
            1 if trouble > 0 => Tls::Broken,
            _ => Tls::NotOffered,
        };
        HostPlan {
            offers,
            tls,
            trouble_percent: trouble,
            heals_after,
            rcpts_max,
            mails_max,
            dead_v6: random.below(8) == 0,
            preference: *random.pick(&[10, 10, 20, 30]),
        }
    }

    fn size_max(&self) -> usize {
        let sizes = self
            .offers
            .iter()
            .filter_map(|offer| offer.strip_prefix("SIZE "));
        let limits = sizes
            .filter_map(|size| size.parse().ok())
            .filter(|&size| size > 0);
        limits.min().unwrap_or(usize::MAX)
    }

    pub(super) fn offers(&self, keyword: &str) -> bool {
        let mut words = self
            .offers
            .iter()
            .filter_map(|offer| offer.split(' ').next());
        words.any(|word| word == keyword)
    }
}

impl RcptId {
    /// From a mailbox, or whatever a report spells it as.
    pub(super) fn of(mailbox: &str) -> Option<RcptId> {
        let mut words = mailbox.trim_matches(['<', '>']).split(['.', '@']);
        let mut number = |letter: char| words.next()?.strip_prefix(letter)?.parse().ok();
        Some(RcptId {
            number: number('r')?,
            letter: number('m')?,
            slot: number('s')?,
        })
    }
}

impl fmt::Display for RcptId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "r{}.m{}.s{}", self.number, self.letter, self.slot)
    }
}

fn domain(slot: usize) -> String {
    format!("s{slot}.test")
}

/// All of 127/8 is loopback, so every host has an address of its own on one listener.
fn address(slot: usize, host: usize) -> Ipv4Addr {
    let octet = |number: usize| u8::try_from(number).expect("fewer cases than addresses");
    Ipv4Addr::new(
        127,
        octet(10 + slot / CASES_A_NET),
        octet(1 + slot % CASES_A_NET),
        octet(1 + host),
    )
}

/// Whose address it is: slot and host.
pub(super) fn whose(address: Ipv4Addr) -> Option<(usize, usize)> {
    let [_, net, case, host] = address.octets().map(usize::from);
    let slot = net.checked_sub(10)? * CASES_A_NET + case.checked_sub(1)?;
    Some((slot, host.checked_sub(1)?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_seed_makes_the_same_case_again() {
        let once = format!("{:?}", Case::of(7, 3));
        assert_eq!(once, format!("{:?}", Case::of(7, 3)));
        assert_ne!(once, format!("{:?}", Case::of(8, 3)));
    }

    #[test]
    fn names_and_addresses_lead_back() {
        for (slot, host) in [(0, 0), (199, 2), (200, 0), (1_999, 1)] {
            assert_eq!(whose(address(slot, host)), Some((slot, host)));
        }
        let id = RcptId {
            slot: 12,
            letter: 1,
            number: 4,
        };
        assert_eq!(RcptId::of("<r4.m1.s12.é@s12.test>"), Some(id));
        assert_eq!(RcptId::of("r4.m1.s12@s12.test"), Some(id));
        assert_eq!(RcptId::of("a1.s12@gp.test"), None);
    }
}
