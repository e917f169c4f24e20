//! Everything that one test needs: DNS, remote hosts, a certificate authority, the relay.

use std::collections::{BTreeMap, HashMap};
use std::future::IntoFuture;
use std::net::{IpAddr, SocketAddr};
use std::panic::Location;
use std::path::Path;
use std::pin::Pin;
use std::sync::atomic::{AtomicU8, AtomicUsize, Ordering};
use std::sync::{Mutex, PoisonError};

use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject as _;
use tempfile::TempDir;
use tokio::sync::OnceCell;

use super::client::Rules;
use super::dial::Dial;
use super::dns::Dns;
use super::history::History;
use super::log::Log;
use super::mail::mail;
use super::port::Port;
use super::relay::{Relay, StartFailure};
use super::remote::{Remote, RemotePlan};
use super::reply::Id;
use super::timeline::Timeline;
use super::tls::Ca;

/// Last octet of the address of the first remote host that doesn't choose one.
const FIRST_REMOTE: u8 = 11;

/// A relay in its surroundings. When the test fails, it prints what everybody said; when the test
/// succeeds, it still checks what the test promised, and that the relay is well.
#[derive(Debug)]
pub struct World {
    relay: Relay, // first: it must be gone before what it uses goes
    dns: Dns,
    ca: Ca,
    remotes: Mutex<Vec<Remote>>,
    next_address: AtomicU8,
    host_names: Mutex<HashMap<String, usize>>,
    clients: AtomicUsize,
    probe: OnceCell<Remote>,
    probe_ids: Mutex<Vec<Id>>,
    timeline: Timeline,
    delivery_port: Port,
    tls_port: Option<Port>,
    _smtp_port: Port,
    _health_port: Port,
    _directory: TempDir,
}

/// A world to be; awaiting it starts its relay.
#[must_use = "await it to start the relay"]
#[derive(Debug, Default)]
pub struct Setup {
    changes: Vec<(String, Option<String>)>,
    tls: bool,
}

impl World {
    /// With a relay that runs, and knows nobody yet.
    #[track_caller]
    pub fn new() -> impl Future<Output = World> {
        World::setup().into_future()
    }

    /// For another environment: `World::setup().set("SMTP_MODE", "hold").await`.
    pub fn setup() -> Setup {
        Setup::default()
    }

    /// The relay.
    pub fn relay(&self) -> &Relay {
        &self.relay
    }

    /// Its log.
    pub fn log(&self) -> &Log {
        self.relay.log()
    }

    /// Its DNS server.
    pub fn dns(&self) -> &Dns {
        &self.dns
    }

    /// The root that it trusts.
    pub fn ca(&self) -> &Ca {
        &self.ca
    }

    /// A mail host of `domain`: MX and address records are made, best `preference` 10. Await it.
    pub fn remote(&self, domain: &str) -> RemotePlan<'_> {
        RemotePlan::new(self, Some(domain))
    }

    /// A mail host that DNS doesn't know. Await it.
    pub fn remote_without_dns(&self) -> RemotePlan<'_> {
        RemotePlan::new(self, None)
    }

    /// A client of the relay.
    pub fn client(&self) -> Dial {
        let number = self.clients.fetch_add(1, Ordering::Relaxed) + 1;
        Dial::new(
            self.relay.address(),
            format!("client {number}"),
            Rules::OfTheRelay {
                hostname: self.relay.variable("SMTP_HOSTNAME"),
            },
            self.timeline.clone(),
        )
    }

    /// A client of a remote host, as the relay would be one.
    pub fn client_of(&self, remote: &Remote) -> Dial {
        self.client().to(remote.address())
    }

    /// What became of a message, as the log tells.
    pub fn history(&self, id: &Id) -> History {
        History::new(self.log().clone(), id.clone())
    }

    /// The port of all remote hosts (`SMTP_DELIVERY_PORT`).
    pub fn delivery_port(&self) -> u16 {
        self.delivery_port.number()
    }

    /// The port where the relay begins with TLS ([`Setup::with_tls`]).
    pub fn tls_port(&self) -> u16 {
        let port = self.tls_port.as_ref();
        port.expect("a world set up with TLS").number()
    }

    /// Puts a certificate for `name` with its key where the relay has its own; gives it in DER. Each
    /// file is replaced in one step.
    pub fn replace_certificate(&self, name: &str) -> CertificateDer<'static> {
        let directory = self.relay.directory();
        put_certificate(&self.ca, name, directory)
    }

    /// A loopback address where no remote host listens, and never will.
    pub fn next_address(&self) -> IpAddr {
        let last = self.next_address.fetch_add(1, Ordering::Relaxed);
        IpAddr::from([127, 0, 0, last])
    }

    /// Fails unless the relay takes a mail now, and delivers it.
    #[track_caller]
    pub fn takes_and_delivers_a_mail(&self) -> impl Future<Output = ()> {
        let here = Location::caller();
        let dial = self.client();
        async move {
            let probe = self
                .probe
                .get_or_init(|| async { self.remote("probe.test").await });
            let probe = probe.await;
            let submission = dial.send(mail().to("probe@probe.test")).await;
            let last = submission.last();
            assert!(
                last.is("250"),
                "{here}: a normal mail should be accepted, and got {last} to {:?}",
                last.to
            );
            let id = last.queue_id();
            self.probe_ids().push(id.clone());
            self.history(&id).shows(["delivered"]).await;
            let message = probe.message().await;
            message.arrived_as(submission.mail.octets());
        }
    }

    /// Fails unless the relay is well and has accepted only these messages so far, whatever else
    /// was tried. A mail is sent behind them and delivered, so that nothing is still on its way.
    #[track_caller]
    pub fn accepted_only<const N: usize>(&self, ids: [&Id; N]) -> impl Future<Output = ()> {
        let here = Location::caller();
        let normal_mail = self.takes_and_delivers_a_mail();
        async move {
            normal_mail.await;
            let probes = self.probe_ids().clone();
            let mut accepted: Vec<String> = self
                .log()
                .lines()
                .iter()
                .filter(|line| line.is("accepted"))
                .filter_map(|line| line.field("queue_id"))
                .filter(|id| probes.iter().all(|probe| probe.0 != *id))
                .collect();
            accepted.sort();
            let mut wanted = ids.map(|id| id.0.clone()).to_vec();
            wanted.sort();
            assert_eq!(
                accepted, wanted,
                "{here}: accepted messages (left), wanted ones (right)"
            );
        }
    }

    /// Fails unless the relay is well and has accepted nothing so far.
    #[track_caller]
    pub fn nothing_queued(&self) -> impl Future<Output = ()> {
        self.accepted_only([])
    }

    /// Every party's dialogue so far, as a failure prints it.
    pub fn told_so_far(&self) -> String {
        self.timeline.render()
    }

    pub(super) fn timeline(&self) -> &Timeline {
        &self.timeline
    }

    pub(super) fn next_host_name(&self, domain: &str) -> String {
        let mut names = self
            .host_names
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        let count = names.entry(domain.to_owned()).or_default();
        *count += 1;
        format!("mx{count}.{domain}")
    }

    pub(super) fn keep(&self, remote: Remote) {
        self.remotes().push(remote);
    }

    fn remotes(&self) -> std::sync::MutexGuard<'_, Vec<Remote>> {
        self.remotes.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn probe_ids(&self) -> std::sync::MutexGuard<'_, Vec<Id>> {
        self.probe_ids
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for World {
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!("\nWhat everybody said:\n{}", self.timeline.render());
            return;
        }
        let checks = self.remotes().iter().map(Remote::check_promises).collect();
        let checked: Result<Vec<()>, String> = checks;
        if let Err(broken) = checked.and_then(|_| self.relay.check_health()) {
            eprintln!("\nWhat everybody said:\n{}", self.timeline.render());
            panic!("{broken}");
        }
    }
}

impl Setup {
    /// Sets a variable of the relay.
    pub fn set(mut self, variable: &str, value: &str) -> Setup {
        self.changes
            .push((variable.to_owned(), Some(value.to_owned())));
        self
    }

    /// Gives the relay a certificate for `gp.test` of the world's root, and a port where TLS begins at
    /// once. The files are `cert.pem` and `key.pem` in its directory.
    pub fn with_tls(mut self) -> Setup {
        self.tls = true;
        self
    }

    /// Takes a variable away that a test relay usually has.
    pub fn unset(mut self, variable: &str) -> Setup {
        self.changes.push((variable.to_owned(), None));
        self
    }

    /// The world with its relay not started yet.
    pub async fn without_relay(self) -> World {
        let timeline = Timeline::begin();
        let dns = Dns::start(timeline.clone()).await;
        let ca = Ca::new();
        let directory = TempDir::with_prefix("gopherpost-test-").expect("a temporary directory");
        let (smtp_port, health_port, delivery_port) =
            (Port::reserve(), Port::reserve(), Port::reserve());

        let tls_port = self.tls.then(Port::reserve);

        let ca_file = directory.path().join("ca.pem");
        std::fs::write(&ca_file, ca.pem()).expect("the temporary directory can be written");
        let mut environment = usual_environment();
        let mut set = |variable: &str, value: String| {
            environment.insert(variable.to_owned(), value);
        };
        set("SMTP_PORT", smtp_port.number().to_string());
        set("SMTP_HEALTH_ADDR", health_address(&health_port));
        set("SMTP_DELIVERY_PORT", delivery_port.number().to_string());
        set("SMTP_DNS_SERVERS", dns.address().to_string());
        set("SMTP_TLS_CA_FILE", ca_file.display().to_string());
        set(
            "SMTP_QUEUE_PATH",
            directory.path().join("spool").display().to_string(),
        );
        if let Some(port) = &tls_port {
            put_certificate(&ca, "gp.test", directory.path());
            set("SMTP_TLS_DISABLE", "false".to_owned());
            for (variable, file) in [("SMTP_TLS_CERT", "cert.pem"), ("SMTP_TLS_KEY", "key.pem")] {
                set(variable, directory.path().join(file).display().to_string());
            }
            set("SMTP_TLS_PORT", port.number().to_string());
        }
        for (variable, value) in self.changes {
            match value {
                Some(value) => environment.insert(variable, value),
                None => environment.remove(&variable),
            };
        }

        World {
            relay: Relay::new(environment, directory.path().to_owned(), timeline.clone()),
            dns,
            ca,
            remotes: Mutex::default(),
            next_address: AtomicU8::new(FIRST_REMOTE),
            host_names: Mutex::default(),
            clients: AtomicUsize::new(0),
            probe: OnceCell::new(),
            probe_ids: Mutex::default(),
            timeline,
            delivery_port,
            tls_port,
            _smtp_port: smtp_port,
            _health_port: health_port,
            _directory: directory,
        }
    }

    /// Starts the relay, and fails unless it refuses to run.
    #[track_caller]
    pub fn expect_start_failure(self) -> impl Future<Output = StartFailure> {
        let here = Location::caller();
        async move {
            let world = self.without_relay().await;
            world.relay().start_failure(here).await
        }
    }
}

impl IntoFuture for Setup {
    type Output = World;
    type IntoFuture = Pin<Box<dyn Future<Output = World> + Send>>;

    #[track_caller]
    fn into_future(self) -> Self::IntoFuture {
        let here = Location::caller();
        Box::pin(async move {
            let world = self.without_relay().await;
            world.relay().start_from(here).await;
            world
        })
    }
}

fn put_certificate(ca: &Ca, name: &str, directory: &Path) -> CertificateDer<'static> {
    let (certificate, key) = ca.issue_pem(name);
    for (file, text) in [("cert.pem", &certificate), ("key.pem", &key)] {
        put_file(&directory.join(file), text);
    }
    CertificateDer::from_pem_slice(certificate.as_bytes()).expect("what was just made")
}

/// In one step, as tools that renew certificates do it.
pub(super) fn put_file(path: &Path, text: &str) {
    let new = path.with_extension("new");
    std::fs::write(&new, text).expect("the temporary directory can be written");
    std::fs::rename(&new, path).expect("the temporary directory can be written");
}

fn health_address(port: &Port) -> String {
    SocketAddr::from(([127, 0, 0, 1], port.number())).to_string()
}

/// What every test relay has, but for ports and paths. Timeouts are so long that a slow machine
/// doesn't meet them, and so short that a test which wants one doesn't wait for long.
fn usual_environment() -> BTreeMap<String, String> {
    let usual = [
        ("SMTP_HOSTNAME", "gp.test"),
        ("SMTP_LISTEN_ADDRESSES", "127.0.0.1,::1"),
        ("SMTP_ALLOW_NETWORKS", "127.0.0.0/8,::1"),
        ("SMTP_DELIVERY_DENY_NETWORKS", "none"),
        ("SMTP_LOG_FORMAT", "json"),
        ("SMTP_RETRY_BASE", "1s"),
        ("SMTP_RETRY_CAP", "4s"),
        ("SMTP_DNS_TIMEOUT", "3s"),
        ("SMTP_CONNECT_TIMEOUT", "5s"),
        ("SMTP_REPLY_TIMEOUT", "5s"),
        ("SMTP_DATA_REPLY_TIMEOUT", "5s"),
        ("SMTP_ATTEMPT_TIMEOUT", "15s"),
        ("SMTP_CONNECTION_IDLE", "1s"),
        ("SMTP_SHUTDOWN_GRACE", "5s"),
        ("SMTP_MIN_FREE_SPACE", "1MiB"),
        ("SMTP_TLS_DISABLE", "true"), // or a certificate is asked for, see `Setup::with_tls`
    ];
    let owned = usual.map(|(variable, value)| (variable.to_owned(), value.to_owned()));
    BTreeMap::from(owned)
}
