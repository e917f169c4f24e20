//! Whom to call and on which terms. Pure.

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

use crate::config::{RelayLogin, TlsLevel};
use crate::mail::{AddressDomain, Domain, Remote};

/// One address of one host, and the terms for it. Only a connection to an equal target may be used
/// in place of a new one.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) struct Target {
    /// Whom the connection must lead to.
    pub(super) host: HostName,
    /// Where it is.
    pub(super) address: SocketAddr,
    /// What must hold before mail goes there.
    pub(super) terms: Arc<Terms>,
}

/// What must hold on a connection: decided anew for each attempt, from the route and the policy of
/// the next hop, see [`super::policy`].
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) struct Terms {
    /// How much TLS it takes.
    pub(super) tls: TlsLevel,
    /// The item of `SMTP_TLS_POLICY` that says so.
    pub(super) rule: Box<str>,
    /// By which name the policy was asked.
    pub(super) next_hop: AddressDomain,
    /// Where TLS begins.
    pub(super) opening: Opening,
    /// As whom we must authenticate.
    pub(super) login: Option<RelayLogin>,
    /// Whether the host may have our own name: only if the operator named it, not DNS.
    pub(super) may_be_us: bool,
}

/// Where TLS begins.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) enum Opening {
    /// With STARTTLS, if at all.
    StartTls,
    /// At once (RFC 8314 3).
    Tls,
}

/// How a host is named on the wire and in its certificate.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) enum HostName {
    /// As its MX record or the configuration names it.
    Name(Domain),
    /// An address literal, or an address in the configuration.
    Address(IpAddr),
}

impl Target {
    /// The host as it is told.
    #[must_use]
    pub(super) fn remote(&self) -> Remote {
        Remote {
            host: self.host.to_string().into(),
            address: self.address,
            security: None,
            connected: true,
        }
    }
}

impl std::fmt::Display for HostName {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            HostName::Name(name) => name.fmt(f),
            HostName::Address(address) => address.fmt(f),
        }
    }
}
