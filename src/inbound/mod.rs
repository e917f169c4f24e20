//! Listeners, access, the session driver: sockets and deadlines around `smtp::server`.
//!
//! Promises: a client that was not let in gets one refusal and runs no command; a 250 to message
//! data is written after [`Store::accept`] said `Ok`, and nowhere else; whatever a client does costs
//! a bounded amount of memory and time, and no other client's service.
//!
//! Deliberately not here: what a command means (`smtp::server`), what is done to a header section
//! (`message`), what a recipient begins as (`queue`), DNS (a [`HostLookup`] is handed in).

mod accept;
mod access;
mod allowances;
mod auth;
mod auth_failures;
mod chunked_message;
mod chunks;
mod client_network;
mod client_rate;
mod connection;
mod credentials;
mod data_pace;
mod deadline;
mod dkim;
mod farewell;
mod file_stamp;
mod incoming;
mod listener;
mod proxy;
mod proxy_header;
mod read_buffer;
mod receive;
mod session;
mod slots;
mod stream;
mod tls;

pub use access::{HostAddresses, HostLookup, LookupError};
pub use dkim::{DkimKeyError, SigningKey, check_dkim_keys, load_dkim_key};
pub use listener::BindError;
pub use proxy_header::{ProxyHead, ProxySource, look_at_proxy_head};
pub use tls::{ServerTlsError, check_certificate};

use std::net::SocketAddr;
use std::sync::Arc;

use futures_util::future::join_all;
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

use crate::config::Config;
use crate::mail::limits::WRITE_TIMEOUT;
use crate::message::HeaderLimits;
use crate::observe::{Events, ProcessEvent};
use crate::smtp::data_decoder::DataLimits;
use crate::smtp::server::{Rules, SenderPolicy, SessionLimits};
use crate::store::Store;

use accept::Door;
use access::Gate;
use allowances::Allowances;
use auth_failures::AuthFailures;
use connection::SessionContext;
use credentials::Credentials;
use dkim::Dkim;
use listener::Entrance;
use proxy::Proxies;
use slots::Slots;
use tls::ServerTls;

/// Why clients can't be served.
#[derive(Debug, thiserror::Error)]
pub enum InboundSetupError {
    /// A listener.
    #[error(transparent)]
    Bind(#[from] BindError),
    /// Certificate and key.
    #[error(transparent)]
    Tls(#[from] ServerTlsError),
    /// A key that is to sign.
    #[error(transparent)]
    Dkim(#[from] DkimKeyError),
}

/// The way in, with its sockets bound and listening.
pub struct Inbound<L> {
    listeners: Vec<(TcpListener, SocketAddr, Entrance)>,
    door: Arc<Door<L>>,
    events: Events,
}

impl<L: HostLookup> Inbound<L> {
    /// Binds the configured addresses; clients that connect wait until [`Inbound::serve`] runs.
    /// Call it within a Tokio runtime. Fails with what the operator should change.
    pub fn bind(
        config: &Config,
        store: Store,
        events: Events,
        lookup: L,
    ) -> Result<Inbound<L>, InboundSetupError> {
        let tls = config.tls.as_ref().map(ServerTls::new).transpose()?;
        let dkim = Dkim::new(&config.dkim, &events)?;
        let clear = Entrance::Clear(config.smtpd.port);
        let implicit = config.tls.as_ref().and_then(|tls| tls.port);
        let mut listeners = Vec::new();
        for entrance in std::iter::once(clear).chain(implicit.map(Entrance::Tls)) {
            let bound = listener::bind_all(&config.smtpd, entrance, &events)?;
            listeners.extend(bound.into_iter().map(|(socket, at)| (socket, at, entrance)));
        }
        let gate = Gate::new(&config.access, config.auth.anywhere, lookup);
        let door = Door {
            proxies: Proxies::new(config),
            gate,
            slots: Slots::new(
                config.smtpd.max_connections,
                config.smtpd.max_connections_per_client,
                config.limits.client_connection_rate,
            ),
            sessions: Arc::new(session_context(config, tls, dkim, store, events.clone())),
            events: events.clone(),
            lobby: Door::<L>::lobby(),
        };
        Ok(Inbound {
            listeners,
            door: Arc::new(door),
            events,
        })
    }

    /// Where clients can connect; with port 0 configured, the ports that the system chose.
    #[must_use]
    pub fn local_addresses(&self) -> Vec<SocketAddr> {
        self.listeners
            .iter()
            .map(|(_, address, _)| *address)
            .collect()
    }

    /// Serves clients until `shutdown`; then stops listening at once, says good-bye to idle
    /// clients, lets running transactions end, and returns when the last session is over. The
    /// caller bounds that wait: dropped, it cuts off the sessions that are left.
    pub async fn serve(self, shutdown: CancellationToken) {
        for (_, address, entrance) in &self.listeners {
            self.events.emit(ProcessEvent::Listening {
                address: *address,
                what: entrance.name(),
            });
        }
        let sessions = Arc::clone(&self.door.sessions);
        let loops = self.listeners.into_iter().map(|(listener, _, entrance)| {
            let door = Arc::clone(&self.door);
            accept::serve_listener(listener, entrance, door, shutdown.clone())
        });
        let certificate_changes = async {
            match &sessions.tls {
                Some(tls) => match tls.watch(&self.events).await {},
                None => std::future::pending().await,
            }
        };
        let dkim_key_changes = async {
            match &sessions.dkim {
                Some(dkim) => match dkim.watch().await {},
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            _ = join_all(loops) => {}
            () = certificate_changes => {}
            () = dkim_key_changes => {}
        }
    }
}

fn session_context(
    config: &Config,
    tls: Option<ServerTls>,
    dkim: Option<Dkim>,
    store: Store,
    events: Events,
) -> SessionContext {
    let credentials = Credentials::new(&config.auth);
    let rules = Rules::new(
        config.hostname.clone(),
        &config.smtpd.banner,
        config.smtpd.max_message_size,
        config.smtpd.max_recipients,
        SessionLimits {
            mails_max: config.limits.max_messages_per_connection,
            errors_max: config.limits.max_errors,
        },
        sender_policy(config),
    )
    .with_auth(credentials.policy());
    SessionContext {
        rules: Arc::new(match tls {
            Some(_) => rules.with_starttls(),
            None => rules,
        }),
        tls,
        dkim,
        credentials: Arc::new(credentials),
        auth_failures: AuthFailures::default(),
        allowances: Allowances::new(&config.limits, store.clone()),
        store,
        events,
        mode: config.mode,
        command_line_bytes_max: config.limits.max_command_length,
        data_limits: DataLimits {
            message_bytes_max: config.smtpd.max_message_size,
            line_bytes_max: config.limits.max_line_length,
        },
        header_limits: HeaderLimits {
            section_bytes_max: config.limits.max_header_size,
            fields_max: config.limits.max_header_fields,
        },
        command_timeout: config.smtpd.command_timeout,
        data_timeout: config.smtpd.data_timeout,
        write_timeout: WRITE_TIMEOUT.min(config.smtpd.command_timeout),
        min_data_rate: config.limits.min_data_rate,
    }
}

fn sender_policy(config: &Config) -> SenderPolicy {
    if !config.access.require_local_domain {
        return SenderPolicy::Any;
    }
    let (hostname, others) = (
        config.hostname.clone(),
        config.access.sender_domains.clone(),
    );
    SenderPolicy::Local(Box::new(move |domain| {
        *domain == hostname || others.iter().any(|other| other.matches(domain))
    }))
}

#[cfg(test)]
mod tests;
