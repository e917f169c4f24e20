//! Who may connect: networks, and hosts whose names are looked up forward. What a client calls
//! itself, or what its address is called by others, never counts.

use std::future::Future;
use std::net::IpAddr;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use futures_util::stream::{FuturesUnordered, StreamExt};
use ipnet::IpNet;
use tokio::sync::Semaphore;
use tokio::time::{Instant, timeout};

use crate::config::AccessConfig;
use crate::mail::Domain;
use crate::mail::limits::{
    ACCESS_DECISION_TIMEOUT, HOST_LOOKUP_TIMEOUT, HOST_LOOKUPS_MAX, HOST_RETRY, HOST_TTL_MAX,
    HOST_TTL_MIN, NO_SUCH_HOST_TTL,
};
use crate::smtp::server::Say;

/// Forward look-up of host names, as the service provides it.
pub trait HostLookup: Send + Sync + 'static {
    /// Every A and AAAA address of `name`. May be dropped midway.
    fn addresses(
        &self,
        name: &Domain,
    ) -> impl Future<Output = Result<HostAddresses, LookupError>> + Send;
}

/// What a name stands for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HostAddresses {
    /// Possibly none.
    pub addresses: Vec<IpAddr>,
    /// How long the answer may be used.
    pub ttl: Duration,
}

/// Why a name's addresses are not known.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum LookupError {
    /// There is no such name.
    #[error("no such name")]
    NoSuchName,
    /// DNS can't say now.
    #[error("temporary failure of DNS")]
    Temporary,
}

/// The list of those who may connect.
pub(super) struct Gate<L> {
    networks: Vec<IpNet>,
    hosts: Vec<Host>,
    /// Whether others may connect, too.
    strangers: bool,
    lookup: L,
    lookups: Semaphore,
}

/// What the gate says about a client.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Decision {
    Admit(Standing),
    Refuse(Say),
}

/// What a client may do that was let in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Standing {
    /// It is on the list: it may send.
    Listed,
    /// It is not: it must authenticate first.
    Stranger,
    /// It may be, as a host whose name can't be looked up now: it must authenticate too, but what it is
    /// refused without that is refused for now only.
    Unknown,
}

#[derive(Debug)]
struct Host {
    name: Domain,
    known: Mutex<Known>,
    /// One look-up at a time; who waits for it finds its answer.
    turn: Semaphore,
}

#[derive(Clone, Debug, Default)]
struct Known {
    /// The last answer that was one; it outlives temporary failures.
    addresses: Option<Vec<IpAddr>>,
    /// Until then nothing is asked; `None`: nothing was asked yet.
    fresh_until: Option<Instant>,
}

impl<L: HostLookup> Gate<L> {
    pub(super) fn new(config: &AccessConfig, strangers: bool, lookup: L) -> Gate<L> {
        let host = |name: &Domain| Host {
            name: name.clone(),
            known: Mutex::default(),
            turn: Semaphore::new(1),
        };
        Gate {
            networks: config.allow_networks.clone(),
            hosts: config.allow_hosts.iter().map(host).collect(),
            strangers,
            lookup,
            lookups: Semaphore::new(HOST_LOOKUPS_MAX),
        }
    }

    /// Knows of hosts what `other` knows of them.
    pub(super) fn remember(&self, other: &Gate<L>) {
        for host in &self.hosts {
            if let Some(known) = other.hosts.iter().find(|known| known.name == host.name) {
                let known = known.with(|known| known.clone());
                host.with(|mine| *mine = known);
            }
        }
    }

    /// Decides from what is known, if that is enough.
    pub(super) fn decide_at_once(&self, client: IpAddr) -> Option<Decision> {
        if self
            .networks
            .iter()
            .any(|network| network.contains(&client))
        {
            return Some(Decision::Admit(Standing::Listed));
        }
        let now = Instant::now();
        let mut all_fresh = true;
        for host in &self.hosts {
            match host.is_fresh(now) {
                true if host.has(client) => return Some(Decision::Admit(Standing::Listed)),
                fresh => all_fresh &= fresh,
            }
        }
        all_fresh.then(|| self.decide_from_known(client))
    }

    /// Decides after asking for what is not known or no longer true, within
    /// [`ACCESS_DECISION_TIMEOUT`].
    pub(super) async fn decide(&self, client: IpAddr) -> Decision {
        let now = Instant::now();
        let mut asked: FuturesUnordered<_> = self
            .hosts
            .iter()
            .filter(|host| !host.is_fresh(now))
            .map(|host| self.ask(host))
            .collect();
        let found = async {
            while let Some(host) = asked.next().await {
                if host.has(client) {
                    break;
                }
            }
        };
        // Out of time, what is known by now decides.
        let _ = timeout(ACCESS_DECISION_TIMEOUT, found).await;
        self.decide_from_known(client)
    }

    fn decide_from_known(&self, client: IpAddr) -> Decision {
        if self.hosts.iter().any(|host| host.has(client)) {
            Decision::Admit(Standing::Listed)
        } else {
            let unknown = self.hosts.iter().any(Host::never_answered);
            match (self.strangers, unknown) {
                (true, true) => Decision::Admit(Standing::Unknown),
                (true, false) => Decision::Admit(Standing::Stranger),
                (false, true) => Decision::Refuse(Say::AccessUnknown),
                (false, false) => Decision::Refuse(Say::AccessDenied),
            }
        }
    }

    async fn ask<'a>(&self, host: &'a Host) -> &'a Host {
        if let Ok(_turn) = host.turn.acquire().await
            && let Ok(_one_of_few) = self.lookups.acquire().await
            && !host.is_fresh(Instant::now())
        {
            let answer = timeout(HOST_LOOKUP_TIMEOUT, self.lookup.addresses(&host.name)).await;
            host.learn(
                answer.unwrap_or(Err(LookupError::Temporary)),
                Instant::now(),
            );
        }
        host
    }
}

impl Host {
    fn is_fresh(&self, now: Instant) -> bool {
        self.with(|known| known.fresh_until.is_some_and(|until| now < until))
    }

    fn has(&self, client: IpAddr) -> bool {
        self.with(|known| {
            known
                .addresses
                .as_ref()
                .is_some_and(|a| a.contains(&client))
        })
    }

    fn never_answered(&self) -> bool {
        self.with(|known| known.addresses.is_none())
    }

    fn learn(&self, answer: Result<HostAddresses, LookupError>, now: Instant) {
        let (addresses, for_so_long) = match answer {
            Ok(HostAddresses { addresses, ttl }) => {
                let addresses = addresses.iter().map(IpAddr::to_canonical).collect();
                (Some(addresses), ttl.clamp(HOST_TTL_MIN, HOST_TTL_MAX))
            }
            Err(LookupError::NoSuchName) => (Some(Vec::new()), NO_SUCH_HOST_TTL),
            Err(LookupError::Temporary) => (None, HOST_RETRY),
        };
        self.with(|known| {
            known.fresh_until = Some(now + for_so_long);
            if addresses.is_some() {
                known.addresses = addresses;
            }
        });
    }

    fn with<T>(&self, f: impl FnOnce(&mut Known) -> T) -> T {
        f(&mut self.known.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::VecDeque;
    use std::sync::atomic::{AtomicUsize, Ordering};
    use tokio::time::advance;

    /// Gives its answers in order; after the last it never answers.
    struct Script {
        answers: Mutex<VecDeque<Result<HostAddresses, LookupError>>>,
        asked: AtomicUsize,
    }

    impl HostLookup for Script {
        async fn addresses(&self, _: &Domain) -> Result<HostAddresses, LookupError> {
            self.asked.fetch_add(1, Ordering::Relaxed);
            tokio::time::sleep(Duration::from_millis(10)).await;
            let next = self.answers.lock().unwrap().pop_front();
            match next {
                Some(answer) => answer,
                None => std::future::pending().await,
            }
        }
    }

    type Answers = Vec<Result<HostAddresses, LookupError>>;

    fn gate(networks: &[&str], hosts: &[&str], answers: Answers) -> Gate<Script> {
        let config = AccessConfig {
            allow_networks: networks.iter().map(|n| n.parse().unwrap()).collect(),
            allow_hosts: hosts.iter().map(|h| Domain::parse(h).unwrap()).collect(),
            proxy_networks: Vec::new(),
            require_local_domain: true,
            sender_domains: Vec::new(),
        };
        let script = Script {
            answers: Mutex::new(answers.into()),
            asked: AtomicUsize::new(0),
        };
        Gate::new(&config, false, script)
    }

    fn open_to_strangers(gate: Gate<Script>) -> Gate<Script> {
        Gate {
            strangers: true,
            ..gate
        }
    }

    fn ip(text: &str) -> IpAddr {
        text.parse().unwrap()
    }

    fn found(address: &str, seconds: u64) -> Result<HostAddresses, LookupError> {
        Ok(HostAddresses {
            addresses: vec![ip(address)],
            ttl: Duration::from_secs(seconds),
        })
    }

    async fn decide(gate: &Gate<Script>, client: &str) -> Decision {
        match gate.decide_at_once(ip(client)) {
            Some(decision) => decision,
            None => gate.decide(ip(client)).await,
        }
    }

    const DENIED: Decision = Decision::Refuse(Say::AccessDenied);
    const UNKNOWN: Decision = Decision::Refuse(Say::AccessUnknown);

    #[test]
    fn networks_decide_at_once() {
        // W-1.02, W-1.04, W-1.05
        let some = gate(&["127.0.0.0/8", "2001:db8::/32"], &[], vec![]);
        for (client, want) in [
            ("127.9.9.9", Decision::Admit(Standing::Listed)),
            ("2001:db8::1", Decision::Admit(Standing::Listed)),
            ("128.0.0.1", DENIED),
            ("::1", DENIED),
        ] {
            assert_eq!(some.decide_at_once(ip(client)), Some(want), "{client}");
        }
        let nobody = gate(&[], &[], vec![]);
        assert_eq!(nobody.decide_at_once(ip("127.0.0.1")), Some(DENIED));
    }

    #[tokio::test(start_paused = true)]
    async fn names_are_looked_up_again_when_their_ttl_ends() {
        // W-1.06
        let gate = gate(
            &[],
            &["a.test"],
            vec![found("192.0.2.1", 60), found("192.0.2.2", 60)],
        );
        assert_eq!(
            decide(&gate, "192.0.2.1").await,
            Decision::Admit(Standing::Listed)
        );
        assert_eq!(decide(&gate, "192.0.2.2").await, DENIED);
        assert_eq!(gate.lookup.asked.load(Ordering::Relaxed), 1);
        advance(Duration::from_secs(61)).await;
        assert_eq!(
            decide(&gate, "192.0.2.2").await,
            Decision::Admit(Standing::Listed)
        );
        assert_eq!(decide(&gate, "192.0.2.1").await, DENIED);
    }

    #[tokio::test(start_paused = true)]
    async fn the_last_good_answer_holds_over_a_temporary_failure() {
        // W-1.07
        let gate = gate(
            &[],
            &["a.test"],
            vec![
                Err(LookupError::Temporary),
                found("192.0.2.1", 1),
                Err(LookupError::Temporary),
                Err(LookupError::NoSuchName),
            ],
        );
        assert_eq!(decide(&gate, "192.0.2.1").await, UNKNOWN);
        advance(HOST_RETRY).await;
        assert_eq!(
            decide(&gate, "192.0.2.1").await,
            Decision::Admit(Standing::Listed)
        );
        advance(Duration::from_secs(2)).await;
        assert_eq!(
            decide(&gate, "192.0.2.1").await,
            Decision::Admit(Standing::Listed)
        );
        assert_eq!(decide(&gate, "192.0.2.2").await, DENIED);
        advance(HOST_RETRY).await;
        assert_eq!(decide(&gate, "192.0.2.1").await, DENIED);
    }

    #[tokio::test(start_paused = true)]
    async fn a_host_is_no_stranger_for_good_while_its_name_can_not_be_looked_up() {
        // W-1.07, W-9.13
        let answers = vec![Err(LookupError::Temporary), found("192.0.2.1", 60)];
        let gate = open_to_strangers(gate(&[], &["a.test"], answers));
        let admitted = |standing| Decision::Admit(standing);
        let unknown = admitted(Standing::Unknown);
        assert_eq!(decide(&gate, "192.0.2.1").await, unknown);
        assert_eq!(decide(&gate, "192.0.2.2").await, unknown);
        advance(HOST_RETRY).await;
        assert_eq!(decide(&gate, "192.0.2.1").await, admitted(Standing::Listed));
        assert_eq!(
            decide(&gate, "192.0.2.2").await,
            admitted(Standing::Stranger)
        );
    }

    #[tokio::test(start_paused = true)]
    async fn silent_dns_is_waited_for_once_and_not_for_long() {
        // W-1.07
        let gate = gate(&[], &["a.test"], vec![]);
        let start = Instant::now();
        let both = tokio::join!(decide(&gate, "192.0.2.1"), decide(&gate, "192.0.2.2"));
        assert_eq!(both, (UNKNOWN, UNKNOWN));
        assert!(start.elapsed() < Duration::from_secs(10));
        assert_eq!(gate.lookup.asked.load(Ordering::Relaxed), 1);
    }
}
