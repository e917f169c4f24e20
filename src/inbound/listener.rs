//! Sockets that listen.

use std::io::{self, ErrorKind};
use std::net::{IpAddr, Ipv6Addr, SocketAddr};

use socket2::{Domain, Protocol, Socket, Type};
use tokio::net::TcpListener;

use crate::config::SmtpdConfig;
use crate::mail::limits::LISTEN_BACKLOG;
use crate::observe::{Events, ProcessEvent};

use super::handed_over::{HandedOver, UnusableSocket};

/// Why the relay can't listen. One line that names the variable to change.
#[derive(Debug, thiserror::Error)]
pub enum BindError {
    /// Somebody else listens there.
    #[error(
        "can't listen on {address}: the address is in use; stop what uses it, or set {port} or SMTP_LISTEN_ADDRESSES"
    )]
    InUse {
        /// Where.
        address: SocketAddr,
        /// The variable of its port.
        port: &'static str,
    },
    /// The user may not.
    #[error(
        "can't listen on {address}: permission denied; set {port} to 1024 or more, or give the process CAP_NET_BIND_SERVICE"
    )]
    Denied {
        /// Where.
        address: SocketAddr,
        /// The variable of its port.
        port: &'static str,
    },
    /// No such address here, or another trouble of the system.
    #[error("can't listen on {address}: {source}; check SMTP_LISTEN_ADDRESSES and {port}")]
    Other {
        /// Where.
        address: SocketAddr,
        /// The variable of its port.
        port: &'static str,
        /// What the system says.
        source: io::Error,
    },
    /// What the service manager opened for us.
    #[error(transparent)]
    HandedOver(#[from] UnusableSocket),
}

/// A port, and how a client begins there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Entrance {
    /// SMTP in clear, with STARTTLS if there is a certificate.
    Clear(u16),
    /// TLS before the greeting (RFC 8314 3.3).
    Tls(u16),
}

impl Entrance {
    /// As the log calls it, and a socket unit its descriptors.
    pub(super) fn name(self) -> &'static str {
        match self {
            Entrance::Clear(_) => "smtp",
            Entrance::Tls(_) => "smtps",
        }
    }

    fn port(self) -> u16 {
        match self {
            Entrance::Clear(port) | Entrance::Tls(port) => port,
        }
    }

    fn variable(self) -> &'static str {
        match self {
            Entrance::Clear(_) => "SMTP_PORT",
            Entrance::Tls(_) => "SMTP_TLS_PORT",
        }
    }
}

/// Takes what the service manager has for this entrance, otherwise binds all addresses. `::` may be
/// missing on a host without IPv6, if another address is there.
pub(super) fn bind_all(
    config: &SmtpdConfig,
    entrance: Entrance,
    handed_over: &mut HandedOver,
    events: &Events,
) -> Result<Vec<(TcpListener, SocketAddr)>, BindError> {
    let given = handed_over.take(entrance.name())?;
    if !given.is_empty() {
        return Ok(given);
    }
    let dual_stack = !config.listen_addresses.iter().any(IpAddr::is_ipv4);
    let mut bound = Vec::with_capacity(config.listen_addresses.len());
    let mut missing = None;
    for ip in &config.listen_addresses {
        let address = SocketAddr::new(*ip, entrance.port());
        match bind(address, dual_stack) {
            Ok(listener) => bound.push(listener),
            Err(error) if *ip == Ipv6Addr::UNSPECIFIED && no_ipv6_here(&error) => {
                missing = Some((address, error));
            }
            Err(error) => return Err(bind_error(address, entrance, error)),
        }
    }
    match missing {
        Some((address, error)) if bound.is_empty() => Err(bind_error(address, entrance, error)),
        Some((address, error)) => {
            events.emit(ProcessEvent::NotListening {
                address,
                what: entrance.name(),
                error: &error.to_string(),
            });
            Ok(bound)
        }
        None => Ok(bound),
    }
}

/// `::` alone means both families; beside IPv4 addresses it must leave them their port.
fn bind(address: SocketAddr, dual_stack: bool) -> io::Result<(TcpListener, SocketAddr)> {
    let socket = Socket::new(
        Domain::for_address(address),
        Type::STREAM,
        Some(Protocol::TCP),
    )?;
    if address.is_ipv6() {
        socket.set_only_v6(!dual_stack)?;
    }
    socket.set_reuse_address(true)?; // so that a restart needn't wait for old connections
    socket.set_nonblocking(true)?;
    socket.bind(&address.into())?;
    socket.listen(LISTEN_BACKLOG)?;
    let listener = TcpListener::from_std(socket.into())?;
    let address = listener.local_addr()?;
    Ok((listener, address))
}

fn no_ipv6_here(error: &io::Error) -> bool {
    error.kind() == ErrorKind::AddrNotAvailable || error.raw_os_error() == Some(libc::EAFNOSUPPORT)
}

fn bind_error(address: SocketAddr, entrance: Entrance, source: io::Error) -> BindError {
    let port = entrance.variable();
    match source.kind() {
        ErrorKind::AddrInUse => BindError::InUse { address, port },
        ErrorKind::PermissionDenied => BindError::Denied { address, port },
        _ => BindError::Other {
            address,
            port,
            source,
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    fn config(addresses: &[&str], port: u16) -> SmtpdConfig {
        SmtpdConfig {
            listen_addresses: addresses.iter().map(|a| a.parse().unwrap()).collect(),
            port,
            banner: String::new(),
            max_message_size: 1,
            max_recipients: 1,
            max_connections: 1,
            max_connections_per_client: 1,
            command_timeout: Duration::from_secs(1),
            data_timeout: Duration::from_secs(1),
            shutdown_grace: Duration::from_secs(1),
        }
    }

    #[tokio::test]
    async fn an_address_in_use_is_told_with_what_to_change() {
        let events = Events::default();
        let bind_all = |config: &SmtpdConfig, entrance| {
            bind_all(config, entrance, &mut HandedOver::default(), &events)
        };
        let bound = bind_all(&config(&["127.0.0.1"], 0), Entrance::Clear(0)).unwrap();
        let port = bound[0].1.port();
        let config = config(&["127.0.0.1"], port);
        let error = bind_all(&config, Entrance::Tls(port)).unwrap_err();
        assert!(error.to_string().contains("SMTP_TLS_PORT"), "{error}");
        let error = bind_all(&config, Entrance::Clear(port)).unwrap_err();
        let line = error.to_string();
        assert!(line.starts_with(&format!(
            "can't listen on 127.0.0.1:{port}: the address is in use"
        )));
        assert!(line.contains("SMTP_PORT"), "{line}");
    }

    #[tokio::test]
    async fn an_address_of_another_host_is_told() {
        let error = bind_all(
            &config(&["192.0.2.1"], 0),
            Entrance::Clear(0),
            &mut HandedOver::default(),
            &Events::default(),
        )
        .unwrap_err();
        assert!(
            error.to_string().contains("SMTP_LISTEN_ADDRESSES"),
            "{error}"
        );
    }
}
