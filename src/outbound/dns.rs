//! Questions to the name servers, and answers that never say more than was learned.
//!
//! Facts about the resolver underneath (hickory 0.26) that this file is built around:
//! - SERVFAIL or REFUSED from one server is its last word, and a further server is not asked. So
//!   each server has a resolver of its own, and we go from one to the next.
//! - A chain of CNAMEs that is too long for it, or a loop, comes out as "no such record". So where
//!   that was not confirmed by an SOA record, we look for a CNAME ourselves.
//! - Names in `localhost.` and `invalid.` are answered without asking: the denied networks hold for
//!   them like for all others.

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use hickory_resolver::TokioResolver;
use hickory_resolver::config::{NameServerConfig, ResolveHosts, ResolverConfig};
use hickory_resolver::lookup::Lookup;
use hickory_resolver::net::runtime::TokioRuntimeProvider;
use hickory_resolver::net::{DnsError, NetError, NoRecords};
use hickory_resolver::proto::op::ResponseCode;
use hickory_resolver::proto::rr::{Name, RData, Record, RecordType};

use crate::config::DeliveryConfig;
use crate::mail::Domain;
use crate::mail::limits::CNAME_CHAIN_MAX;
use crate::observe::{DnsResult, DnsType, Events, RemoteEvent};

use super::mx::{Exchange, Found, MxRecord};

/// Answers that one name server's cache holds.
const CACHE_ANSWERS_MAX: u64 = 4_096;
/// Questions that may be under way over one TCP connection. More would be refused, and there are at
/// most a few for each delivery.
const TCP_QUESTIONS_MAX: usize = 4_096;
/// Answers are asked for again after this long, whatever their TTL says.
const TTL_MAX: Duration = Duration::from_secs(24 * 3_600);
/// The same for answers that there is nothing.
const NEGATIVE_TTL_MAX: Duration = Duration::from_secs(3_600);
/// Asked when the system names no server, as the C library does.
const LOCAL_SERVER: IpAddr = IpAddr::V4(std::net::Ipv4Addr::LOCALHOST);

/// The name servers. Cheap to clone; clones share caches.
#[derive(Clone)]
pub struct Dns {
    servers: Arc<Servers>,
    /// Told of every question.
    events: Events,
}

struct Servers {
    /// At least one.
    servers: Vec<Server>,
    /// The one that answered last. It is asked first, so that a dead server costs its time once.
    first: AtomicUsize,
    /// For a whole look-up.
    timeout: Duration,
}

struct Server {
    address: SocketAddr,
    resolver: TokioResolver,
    /// For what it does not understand with EDNS (RFC 6891 7).
    without_edns: TokioResolver,
}

impl Server {
    async fn look_up(&self, name: &Name, kind: RecordType) -> Result<Lookup, NetError> {
        match self.resolver.lookup(name.clone(), kind).await {
            Err(error) if is_format_error(&error) => {
                self.without_edns.lookup(name.clone(), kind).await
            }
            result => result,
        }
    }
}

/// The resolver could not be set up.
#[derive(Debug, thiserror::Error)]
#[error("the DNS resolver could not be set up: {0}")]
pub struct DnsSetupError(#[from] NetError);

/// Records of one kind and how long they hold.
struct Answer<T> {
    found: Found<T>,
    ttl: Duration,
    /// Whether `NoData` is known for sure, or the end of a chain of CNAMEs that was not followed
    /// to its end.
    confirmed: bool,
}

impl<T> Answer<T> {
    fn temporary(why: &str) -> Answer<T> {
        Answer {
            found: Found::Temporary(why.into()),
            ttl: Duration::ZERO,
            confirmed: true,
        }
    }
}

impl Dns {
    /// Sets up the servers of `SMTP_DNS_SERVERS`, or those of the system. Asks nothing yet.
    pub fn new(config: &DeliveryConfig) -> Result<Dns, DnsSetupError> {
        Dns::asking(wanted_servers(config), config.dns_timeout)
    }

    /// For another configuration. If the same servers are asked in the same way, this is the same.
    pub fn renewed(&self, config: &DeliveryConfig) -> Result<Dns, DnsSetupError> {
        let wanted = wanted_servers(config);
        let asked = self.servers.servers.iter().map(|server| &server.address);
        if self.servers.timeout == config.dns_timeout && asked.eq(&wanted) {
            return Ok(self.clone());
        }
        let dns = Dns::asking(wanted, config.dns_timeout)?;
        Ok(dns.telling(self.events.clone()))
    }

    fn asking(servers: Vec<SocketAddr>, timeout: Duration) -> Result<Dns, DnsSetupError> {
        let share = timeout / u32::try_from(servers.len()).unwrap_or(u32::MAX);
        let servers = servers
            .into_iter()
            .map(|address| {
                Ok(Server {
                    address,
                    resolver: resolver_of(address, share, true)?,
                    without_edns: resolver_of(address, share, false)?,
                })
            })
            .collect::<Result<Vec<Server>, DnsSetupError>>()?;
        Ok(Dns {
            servers: Arc::new(Servers {
                servers,
                first: AtomicUsize::new(0),
                timeout,
            }),
            events: Events::default(),
        })
    }

    /// The same, and every question is told.
    #[must_use]
    pub fn telling(self, events: Events) -> Dns {
        Dns { events, ..self }
    }

    /// The MX records of a domain, within `SMTP_DNS_TIMEOUT`. CNAMEs at it are followed.
    pub(super) async fn mx(&self, domain: &Domain) -> Found<MxRecord> {
        let mx = |data: &RData| match data {
            RData::MX(mx) => Some(MxRecord {
                preference: mx.preference,
                exchange: Exchange::parse(&mx.exchange.to_ascii()),
            }),
            _ => None,
        };
        self.look_up(domain, DnsType::Mx, &mx).await.found
    }

    /// The texts published at a name, each with its pieces put together, within `SMTP_DNS_TIMEOUT`.
    pub async fn texts(&self, name: &Domain) -> Found<Vec<u8>> {
        let text = |data: &RData| match data {
            RData::TXT(text) => Some(text.txt_data.concat()),
            _ => None,
        };
        self.look_up(name, DnsType::Txt, &text).await.found
    }

    /// The IPv4 and IPv6 addresses of a host, and how long they hold. Both are asked at once, each
    /// within `SMTP_DNS_TIMEOUT`; one of them is enough.
    pub async fn addresses(&self, host: &Domain) -> (Found<IpAddr>, Duration) {
        let address = |data: &RData| data.ip_addr();
        let (six, four) = tokio::join!(
            self.look_up(host, DnsType::Aaaa, &address),
            self.look_up(host, DnsType::A, &address),
        );
        both_families(six, four)
    }

    /// Asks for one kind of records, following CNAMEs, within the timeout.
    async fn look_up<T>(
        &self,
        domain: &Domain,
        kind: DnsType,
        read: &(impl Fn(&RData) -> Option<T> + Sync),
    ) -> Answer<T> {
        let (timeout, begun) = (self.servers.timeout, Instant::now());
        let asked = self.follow(domain, record_type(kind), read);
        let answer = match tokio::time::timeout(timeout, asked).await {
            Ok(answer) => answer,
            Err(_) => Answer::temporary(&no_answer(timeout)),
        };
        self.events.emit(RemoteEvent::LookedUp {
            name: domain,
            kind,
            result: match answer.found {
                Found::Records(_) => DnsResult::Found,
                Found::NoData => DnsResult::NoData,
                Found::NxDomain => DnsResult::NxDomain,
                Found::Temporary(_) => DnsResult::Temporary,
            },
            took: begun.elapsed(),
        });
        answer
    }

    /// Goes on where the resolver may have left a chain of CNAMEs.
    async fn follow<T>(
        &self,
        domain: &Domain,
        kind: RecordType,
        read: &(impl Fn(&RData) -> Option<T> + Sync),
    ) -> Answer<T> {
        let Ok(mut name) = Name::from_ascii(format!("{domain}.")) else {
            return Answer::temporary("not a name that DNS can be asked for");
        };
        let alias = |data: &RData| match data {
            RData::CNAME(target) => Some(target.0.clone()),
            _ => None,
        };
        for _ in 0..CNAME_CHAIN_MAX {
            let answer = self.ask(&name, kind, read).await;
            if answer.confirmed || answer.found_records() {
                return answer;
            }
            match self.ask(&name, RecordType::CNAME, &alias).await.found {
                Found::Records(targets) => name = targets[0].clone(),
                Found::NoData | Found::NxDomain => return answer,
                Found::Temporary(why) => return Answer::temporary(&why),
            }
        }
        Answer::temporary("the chain of CNAMEs is too long, or a loop")
    }

    /// Asks one server after the other until one knows.
    async fn ask<T>(
        &self,
        name: &Name,
        kind: RecordType,
        read: &(impl Fn(&RData) -> Option<T> + Sync),
    ) -> Answer<T> {
        let Servers {
            servers,
            first,
            timeout,
        } = &*self.servers;
        let share = *timeout / u32::try_from(servers.len()).unwrap_or(u32::MAX);
        let start = first.load(Ordering::Relaxed);
        let mut troubles = Vec::new();
        for turn in 0..servers.len() {
            let at = (start + turn) % servers.len();
            let address = servers[at].address;
            let asked = servers[at].look_up(name, kind);
            let answer = match tokio::time::timeout(share, asked).await {
                Ok(Ok(lookup)) => read_lookup(&lookup, name, kind, read),
                Ok(Err(error)) => read_error(error, share),
                Err(_) => Answer::temporary(&no_answer(share)),
            };
            match answer.found {
                Found::Temporary(why) => troubles.push(format!("{why} from {address}")),
                _ => {
                    first.store(at, Ordering::Relaxed);
                    return answer;
                }
            }
        }
        Answer::temporary(&troubles.join(", "))
    }
}

impl<T> Answer<T> {
    fn found_records(&self) -> bool {
        matches!(self.found, Found::Records(_))
    }
}

fn record_type(kind: DnsType) -> RecordType {
    match kind {
        DnsType::Mx => RecordType::MX,
        DnsType::A => RecordType::A,
        DnsType::Aaaa => RecordType::AAAA,
        DnsType::Txt => RecordType::TXT,
    }
}

fn no_answer(within: Duration) -> String {
    format!("no answer within {within:.1?} (SMTP_DNS_TIMEOUT)")
}

fn wanted_servers(config: &DeliveryConfig) -> Vec<SocketAddr> {
    match &config.dns_servers {
        Some(servers) if !servers.is_empty() => servers.clone(),
        Some(_) | None => system_servers(),
    }
}

/// As `resolv.conf` names them.
fn system_servers() -> Vec<SocketAddr> {
    let named = match hickory_resolver::system_conf::read_system_conf() {
        Ok((config, _)) => config.name_servers().iter().map(|s| s.ip).collect(),
        Err(_) => vec![LOCAL_SERVER],
    };
    named
        .into_iter()
        .map(|ip| SocketAddr::new(ip, 53))
        .collect()
}

/// A resolver that asks one server: over UDP, again after a while, and over TCP when the answer was
/// cut (RFC 7766 5). It knows no hosts file and no search list.
fn resolver_of(
    server: SocketAddr,
    timeout: Duration,
    edns: bool,
) -> Result<TokioResolver, NetError> {
    let mut name_server = NameServerConfig::udp_and_tcp(server.ip());
    for connection in &mut name_server.connections {
        connection.port = server.port();
    }
    let config = ResolverConfig::from_name_servers(vec![name_server]);
    let mut builder = TokioResolver::builder_with_config(config, TokioRuntimeProvider::default());
    let options = builder.options_mut();
    options.timeout = timeout;
    options.attempts = 0;
    options.edns0 = edns;
    options.use_hosts_file = ResolveHosts::Never;
    options.cache_size = CACHE_ANSWERS_MAX;
    options.max_active_requests = TCP_QUESTIONS_MAX;
    options.positive_max_ttl = Some(TTL_MAX);
    options.negative_max_ttl = Some(NEGATIVE_TTL_MAX);
    options.preserve_intermediates = true; // `read_lookup` wants to see the CNAMEs
    // Nothing here speaks TLS. Left to itself, hickory sets it up all the same, and fails on a host
    // without trust anchors.
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let tls = rustls::ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(|error| NetError::from(error.to_string()))?
        .with_root_certificates(rustls::RootCertStore::empty())
        .with_no_client_auth();
    builder.with_tls_config(tls).build()
}

/// Takes the records of the name itself, or of what its CNAMEs lead to; never another's. When the
/// end of a chain came out of the resolver's cache, the CNAMEs before it are missing, and the
/// question that it answers is the last of the chain.
fn read_lookup<T>(
    lookup: &Lookup,
    name: &Name,
    kind: RecordType,
    read: impl Fn(&RData) -> Option<T>,
) -> Answer<T> {
    let of_kind = |record: &&Record| record.record_type() == kind;
    let records_from = |start: &Name| -> Vec<T> {
        let owner = end_of_chain(lookup.answers(), start, kind);
        let of_owner = |record: &&Record| record.name == *owner;
        let records = lookup.answers().iter().filter(of_kind).filter(of_owner);
        records.filter_map(|record| read(&record.data)).collect()
    };
    let mut records = records_from(name);
    if records.is_empty() {
        records = records_from(lookup.query().name());
    }
    let any = lookup.answers().iter().any(|record| of_kind(&record));
    let ttl = lookup
        .valid_until()
        .saturating_duration_since(Instant::now());
    match (records.is_empty(), any) {
        (false, _) => Answer {
            found: Found::Records(records),
            ttl,
            confirmed: true,
        },
        (true, true) => Answer::temporary("an answer that does not fit the question"),
        (true, false) => Answer {
            found: Found::NoData,
            ttl,
            confirmed: false,
        },
    }
}

/// Where the CNAMEs among `records` lead from `start`.
fn end_of_chain<'a>(records: &'a [Record], start: &'a Name, kind: RecordType) -> &'a Name {
    let mut owner = start;
    for _ in 0..CNAME_CHAIN_MAX {
        let alias = records.iter().find_map(|record| match &record.data {
            RData::CNAME(target) if record.name == *owner => Some(&target.0),
            _ => None,
        });
        match alias {
            Some(target) if kind != RecordType::CNAME => owner = target,
            Some(_) | None => break,
        }
    }
    owner
}

fn is_format_error(error: &NetError) -> bool {
    let code = match error {
        NetError::Dns(DnsError::ResponseCode(code)) => *code,
        NetError::Dns(DnsError::NoRecordsFound(none)) => none.response_code,
        _ => return false,
    };
    code == ResponseCode::FormErr
}

fn read_error<T>(error: NetError, waited: Duration) -> Answer<T> {
    match error {
        NetError::Dns(DnsError::NoRecordsFound(none)) => read_no_records(&none),
        NetError::Dns(DnsError::ResponseCode(code)) => Answer::temporary(&code_name(code)),
        NetError::Timeout => Answer::temporary(&no_answer(waited)),
        NetError::Truncated => Answer::temporary("an answer cut short, over TCP too"),
        NetError::Io(error) => Answer::temporary(&error.kind().to_string()),
        _ => Answer::temporary("an answer that can't be used"),
    }
}

fn read_no_records<T>(none: &NoRecords) -> Answer<T> {
    let found = match none.response_code {
        ResponseCode::NXDomain => Found::NxDomain,
        // NS without SOA is a referral: this server does not know (RFC 2308 2.2).
        ResponseCode::NoError if none.soa.is_none() && none.ns.is_some() => {
            Found::Temporary("a referral".into())
        }
        ResponseCode::NoError => Found::NoData,
        code => Found::Temporary(code_name(code).into()),
    };
    Answer {
        confirmed: none.soa.is_some() || !matches!(found, Found::NoData),
        found,
        ttl: Duration::from_secs(none.negative_ttl.unwrap_or(0).into()),
    }
}

/// `SERVFAIL`, `REFUSED`, ...
fn code_name(code: ResponseCode) -> String {
    format!("{code:?}").to_ascii_uppercase()
}

/// One family's addresses are enough; only what is known of both says that there is none.
fn both_families(six: Answer<IpAddr>, four: Answer<IpAddr>) -> (Found<IpAddr>, Duration) {
    let ttl = six.ttl.min(four.ttl);
    match (six.found, four.found) {
        (Found::Records(mut six_records), Found::Records(four_records)) => {
            six_records.extend(four_records);
            (Found::Records(six_records), ttl)
        }
        (Found::Records(records), _) => (Found::Records(records), six.ttl),
        (_, Found::Records(records)) => (Found::Records(records), four.ttl),
        (Found::Temporary(why), _) | (_, Found::Temporary(why)) => {
            (Found::Temporary(why), Duration::ZERO)
        }
        (Found::NxDomain, Found::NxDomain) => (Found::NxDomain, ttl),
        (Found::NoData | Found::NxDomain, Found::NoData | Found::NxDomain) => (Found::NoData, ttl),
    }
}

#[cfg(test)]
mod tests;
