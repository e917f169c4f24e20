//! How a remote host is described before it runs.

use std::collections::VecDeque;
use std::future::IntoFuture;
use std::net::{IpAddr, SocketAddr};
use std::pin::Pin;
use std::sync::atomic::AtomicUsize;
use std::sync::{Arc, Mutex};

use rustls::SupportedProtocolVersion;
use rustls::version::{TLS12, TLS13};

use super::answer::Answer;
use super::auth::Account;
use super::script::{Handshake, Phase, Script, answers};
use super::{Host, Remote};
use crate::support::journal::Journal;
use crate::support::tls::Certificate;
use crate::support::world::World;

/// A host to be; awaiting it starts the host and names it in DNS.
#[must_use = "await it to start the host"]
#[derive(Debug)]
pub struct RemotePlan<'w> {
    world: &'w World,
    /// Domain whose MX it is; none: no DNS at all.
    domain: Option<String>,
    preference: u16,
    name: Option<String>,
    ip: Option<IpAddr>,
    certificate: Option<Certificate>,
    versions: Vec<&'static SupportedProtocolVersion>,
    implicit_tls: bool,
    account: Option<Account>,
    accepts: bool,
    script: Script,
}

impl<'w> RemotePlan<'w> {
    pub(crate) fn new(world: &'w World, domain: Option<&str>) -> RemotePlan<'w> {
        RemotePlan {
            world,
            domain: domain.map(str::to_owned),
            preference: 10,
            name: None,
            ip: None,
            certificate: None,
            versions: vec![&TLS12, &TLS13],
            implicit_tls: false,
            account: None,
            accepts: true,
            script: Script::well_behaved(),
        }
    }

    /// Preference of its MX record; 10 if nobody says.
    pub fn preference(mut self, preference: u16) -> Self {
        self.preference = preference;
        self
    }

    /// Its own name; `mx1.<domain>`, `mx2...` if nobody says.
    pub fn named(mut self, name: &str) -> Self {
        self.name = Some(name.to_owned());
        self
    }

    /// Its address, such as `127.0.0.5` or `::1`; the next free of 127.0.0.11 and up if nobody says.
    #[track_caller]
    pub fn at(mut self, ip: &str) -> Self {
        self.ip = Some(ip.parse().expect("an IP address"));
        self
    }

    /// It neither accepts nor refuses connections: attempts time out.
    pub fn never_accepts(mut self) -> Self {
        self.accepts = false;
        self
    }

    /// What it offers in reply to EHLO, nothing else (but STARTTLS, where it can).
    pub fn offers<'k>(mut self, keywords: impl IntoIterator<Item = &'k str>) -> Self {
        self.script.offers = keywords.into_iter().map(str::to_owned).collect();
        self
    }

    /// What it offers further.
    pub fn offers_also(mut self, keyword: &str) -> Self {
        self.script.offers.push(keyword.to_owned());
        self
    }

    /// What it offers inside TLS, if that differs.
    pub fn offers_in_tls<'k>(mut self, keywords: impl IntoIterator<Item = &'k str>) -> Self {
        self.script.offers_in_tls = Some(keywords.into_iter().map(str::to_owned).collect());
        self
    }

    /// It offers STARTTLS, and shows this.
    pub fn tls(mut self, certificate: Certificate) -> Self {
        self.certificate = Some(certificate);
        self
    }

    /// TLS begins before its greeting; it shows a good certificate, if nobody says.
    pub fn implicit_tls(mut self) -> Self {
        self.implicit_tls = true;
        self.certificate.get_or_insert(Certificate::Good);
        self
    }

    /// Of TLS it speaks 1.2 alone.
    pub fn speaks_tls12_alone(mut self) -> Self {
        self.versions = vec![&TLS12];
        self
    }

    /// It takes mail from this user only. Which mechanisms it offers is said with `offers_also` or
    /// `offers_in_tls`.
    pub fn account(mut self, user: &str, password: &str) -> Self {
        self.account = Some(Account {
            user: user.to_owned(),
            password: password.to_owned(),
        });
        self
    }

    /// What it answers to AUTH, whatever the user.
    pub fn auth<A: Into<Answer>>(self, list: impl IntoIterator<Item = A>) -> Self {
        self.set(Phase::Auth, answers(list))
    }

    /// It offers STARTTLS, and the handshake goes so. Without a certificate to show, it never
    /// succeeds.
    pub fn handshake(mut self, handshake: Handshake) -> Self {
        self.script.handshake = handshake;
        self.certificate.get_or_insert(Certificate::Good);
        self
    }

    /// What it answers to a phase of its sessions, in this order, the last one again and again.
    pub fn answers<A: Into<Answer>>(self, phase: Phase, list: impl IntoIterator<Item = A>) -> Self {
        self.set(phase, answers(list))
    }

    /// What it says first.
    pub fn greeting<A: Into<Answer>>(self, list: impl IntoIterator<Item = A>) -> Self {
        self.set(Phase::Greeting, answers(list))
    }

    /// What it answers to EHLO, instead of what it offers.
    pub fn ehlo<A: Into<Answer>>(self, list: impl IntoIterator<Item = A>) -> Self {
        self.set(Phase::Ehlo, answers(list))
    }

    /// What it answers to HELO.
    pub fn helo<A: Into<Answer>>(self, list: impl IntoIterator<Item = A>) -> Self {
        self.set(Phase::Helo, answers(list))
    }

    /// What it answers to STARTTLS, which it then offers.
    pub fn starttls<A: Into<Answer>>(self, list: impl IntoIterator<Item = A>) -> Self {
        self.set(Phase::StartTls, answers(list))
    }

    /// What it answers to MAIL.
    pub fn mail<A: Into<Answer>>(self, list: impl IntoIterator<Item = A>) -> Self {
        self.set(Phase::Mail, answers(list))
    }

    /// What it answers to RCPT.
    pub fn rcpt<A: Into<Answer>>(self, list: impl IntoIterator<Item = A>) -> Self {
        self.set(Phase::Rcpt, answers(list))
    }

    /// What it answers to RCPT of one mailbox, in a sequence of its own.
    pub fn rcpt_for<A: Into<Answer>>(
        mut self,
        mailbox: &str,
        list: impl IntoIterator<Item = A>,
    ) -> Self {
        self.script.set_for(mailbox, answers(list));
        self
    }

    /// What it answers to DATA; only after 3yz it reads a message.
    pub fn data<A: Into<Answer>>(self, list: impl IntoIterator<Item = A>) -> Self {
        self.set(Phase::Data, answers(list))
    }

    /// What it answers to the end of a message.
    pub fn dot<A: Into<Answer>>(self, list: impl IntoIterator<Item = A>) -> Self {
        self.set(Phase::Dot, answers(list))
    }

    /// What it answers to RSET.
    pub fn rset<A: Into<Answer>>(self, list: impl IntoIterator<Item = A>) -> Self {
        self.set(Phase::Rset, answers(list))
    }

    /// What it answers to QUIT.
    pub fn quit<A: Into<Answer>>(self, list: impl IntoIterator<Item = A>) -> Self {
        self.set(Phase::Quit, answers(list))
    }

    fn set(mut self, phase: Phase, answers: VecDeque<Answer>) -> Self {
        self.script.set(phase, answers);
        self
    }

    async fn start(self) -> Remote {
        let world = self.world;
        let ip = self.ip.unwrap_or_else(|| world.next_address());
        let name = match (self.name, &self.domain) {
            (Some(name), _) => name,
            (None, Some(domain)) => world.next_host_name(domain),
            (None, None) => ip.to_string(),
        };
        if let Some(domain) = &self.domain {
            world.dns().mx(domain, self.preference, &name);
            world.dns().address_of(&name, ip);
        }
        let versions = self.versions;
        let server = |kind| world.ca().server_speaking(&versions, &name, kind);
        let tls = self.certificate.map(server);
        let remote = Remote(Arc::new(Host {
            name,
            address: SocketAddr::new(ip, world.delivery_port()),
            script: Mutex::new(self.script),
            tls,
            implicit_tls: self.implicit_tls,
            account: self.account,
            accepts: self.accepts,
            connections: Journal::default(),
            transactions: Journal::default(),
            taken: AtomicUsize::new(0),
            promises: Mutex::default(),
            listening: Mutex::default(),
            timeline: world.timeline().clone(),
        }));
        remote.comes_back().await;
        world.keep(remote.clone());
        remote
    }
}

impl<'w> IntoFuture for RemotePlan<'w> {
    type Output = Remote;
    type IntoFuture = Pin<Box<dyn Future<Output = Remote> + Send + 'w>>;

    fn into_future(self) -> Self::IntoFuture {
        Box::pin(self.start())
    }
}
