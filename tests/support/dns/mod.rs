//! A DNS server inside the test, on UDP and TCP, that answers what the test says and remembers
//! what it was asked.
//!
//! It behaves like the recursive resolver of a site: CNAMEs are followed, a name above a known name
//! exists, unknown names are NXDOMAIN with an SOA, and answers too long for UDP are truncated. All
//! TTLs are 0, so that a change during a test is seen at once.

mod sockets;
mod zone;

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::panic::Location;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

pub use hickory_proto::rr::{RData, RecordType};

use self::zone::Zone;
use super::journal::Journal;
use super::port::Port;
use super::task::Task;
use super::timeline::Timeline;

/// The server. Dropped: gone.
#[derive(Debug)]
pub struct Dns {
    address: SocketAddr,
    shared: Arc<Shared>,
    _port: Port,
    _server: Task,
}

#[derive(Debug)]
struct Shared {
    zone: Mutex<Zone>,
    queries: Journal<Query>,
    timeline: Timeline,
}

/// One question as it came.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Query {
    /// Lower case, without the final dot.
    pub name: String,
    /// What was asked for.
    pub record_type: RecordType,
    /// How it came.
    pub transport: Transport,
}

/// How a question came.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Transport {
    Udp,
    Tcp,
}

/// What goes wrong with a question.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Trouble {
    /// The server could not find out.
    ServFail,
    /// The server doesn't want to.
    Refused,
    /// The name doesn't exist, whatever is configured.
    NxDomain,
    /// The name has nothing of this type, whatever is configured.
    NoData,
    /// No answer, ever.
    Silence,
    /// Over UDP an empty answer with TC; over TCP the full one.
    Truncated,
    /// The right answer, so much later.
    Slow(Duration),
    /// An answer that comes from somewhere else, with this address for every name.
    Forged {
        wrong: Wrong,
        address: Ipv4Addr,
        /// Whether the right answer comes behind it, or never.
        then_right: bool,
    },
    /// FORMERR to a question with EDNS (RFC 6891 7), the right answer to one without.
    NoEdns,
    /// The right answer, with all names in mixed case.
    MixedCase,
}

/// What is wrong with a forged answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Wrong {
    /// Its id.
    Id,
    /// What it says was asked.
    Question,
}

impl Dns {
    /// Starts it on a free port of 127.0.0.1.
    pub async fn start(timeline: Timeline) -> Dns {
        let port = Port::reserve();
        let address = SocketAddr::from(([127, 0, 0, 1], port.number()));
        let shared = Arc::new(Shared {
            zone: Mutex::default(),
            queries: Journal::default(),
            timeline,
        });
        let server = sockets::start(address, Arc::clone(&shared))
            .await
            .expect("a reserved port can be bound");
        Dns {
            address,
            shared,
            _port: port,
            _server: server,
        }
    }

    /// Where it answers.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Mail for `domain` goes to `host`.
    pub fn mx(&self, domain: &str, preference: u16, host: &str) {
        self.zone(|zone| zone.add(domain, zone::mx(preference, host)));
    }

    /// `domain` takes no mail (RFC 7505).
    pub fn null_mx(&self, domain: &str) {
        self.mx(domain, 0, ".");
    }

    /// `host` has this address: an A or an AAAA record.
    pub fn address_of(&self, host: &str, address: impl Into<IpAddr>) {
        let address = address.into();
        self.zone(|zone| zone.add(host, zone::address(address)));
    }

    /// `host` has this IPv4 address.
    pub fn a(&self, host: &str, address: &str) {
        self.address_of(host, parse_address(address));
    }

    /// `host` has this IPv6 address.
    pub fn aaaa(&self, host: &str, address: &str) {
        self.address_of(host, parse_address(address));
    }

    /// `name` is another name of `target`.
    pub fn cname(&self, name: &str, target: &str) {
        self.zone(|zone| zone.add(name, zone::cname(target)));
    }

    /// `name` has this text.
    pub fn txt(&self, name: &str, text: &str) {
        self.zone(|zone| zone.add(name, zone::txt(text)));
    }

    /// Any other record.
    pub fn record(&self, name: &str, data: RData) {
        self.zone(|zone| zone.add(name, data));
    }

    /// `name` exists, and has nothing (yet): NODATA for every type.
    pub fn exists(&self, name: &str) {
        self.zone(|zone| zone.exists(name));
    }

    /// Takes all records of this type away from `name`; the name stays.
    pub fn remove(&self, name: &str, record_type: RecordType) {
        self.zone(|zone| zone.remove(name, record_type));
    }

    /// Forgets `name` with all its records.
    pub fn forget(&self, name: &str) {
        self.zone(|zone| zone.forget(name));
    }

    /// From now on this question goes wrong.
    pub fn troubles(&self, name: &str, record_type: RecordType, trouble: Trouble) {
        self.zone(|zone| zone.set_trouble(name, Some(record_type), trouble));
    }

    /// From now on every question for `name` goes wrong, unless a type has a trouble of its own.
    pub fn troubles_all(&self, name: &str, trouble: Trouble) {
        self.zone(|zone| zone.set_trouble(name, None, trouble));
    }

    /// All troubles of `name` are over.
    pub fn heals(&self, name: &str) {
        self.zone(|zone| zone.heal(name));
    }

    /// Every question so far.
    pub fn queries(&self) -> Vec<Query> {
        self.shared.queries.all()
    }

    /// Waits until this was asked.
    #[track_caller]
    pub fn was_asked(&self, name: &str, record_type: RecordType) -> impl Future<Output = ()> {
        self.wait_for(
            format!("the question {name} {record_type}"),
            name.to_owned(),
            move |query| query.record_type == record_type,
        )
    }

    /// Waits until this was asked over this transport.
    #[track_caller]
    pub fn was_asked_over(
        &self,
        transport: Transport,
        name: &str,
        record_type: RecordType,
    ) -> impl Future<Output = ()> {
        self.wait_for(
            format!("the question {name} {record_type} over {transport:?}"),
            name.to_owned(),
            move |query| query.record_type == record_type && query.transport == transport,
        )
    }

    /// Fails if `name` was asked about so far, in any type.
    #[track_caller]
    pub fn never_asked(&self, name: &str) {
        self.never(name, |_| true);
    }

    /// Fails if this type of `name` was asked for so far.
    #[track_caller]
    pub fn never_asked_for(&self, name: &str, record_type: RecordType) {
        self.never(name, |query| query.record_type == record_type);
    }

    #[track_caller]
    fn never(&self, name: &str, matches: impl Fn(&Query) -> bool) {
        let name = name.trim_end_matches('.').to_ascii_lowercase();
        let found = self.shared.queries.read(|queries| {
            queries
                .iter()
                .find(|query| query.name == name && matches(query))
                .cloned()
        });
        assert_eq!(found, None, "DNS was asked what nobody should ask");
    }

    #[track_caller]
    fn wait_for(
        &self,
        what: String,
        name: String,
        matches: impl Fn(&Query) -> bool,
    ) -> impl Future<Output = ()> {
        let here = Location::caller();
        let name = name.trim_end_matches('.').to_ascii_lowercase();
        async move {
            self.shared
                .queries
                .wait(
                    here,
                    |queries| format!("{what}; asked so far: {queries:?}"),
                    |queries| {
                        let found = queries.iter().any(|q| q.name == name && matches(q));
                        found.then_some(())
                    },
                )
                .await;
        }
    }

    fn zone(&self, change: impl FnOnce(&mut Zone)) {
        change(
            &mut self
                .shared
                .zone
                .lock()
                .unwrap_or_else(PoisonError::into_inner),
        );
    }
}

#[track_caller]
fn parse_address(text: &str) -> IpAddr {
    text.parse()
        .unwrap_or_else(|_| panic!("{text:?} is no IP address"))
}
