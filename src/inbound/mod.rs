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
mod handed_over;
mod incoming;
mod listener;
mod proxy;
mod proxy_header;
mod read_buffer;
mod receive;
mod renewal;
mod session;
mod slots;
mod stream;
mod tls;

pub use access::{HostAddresses, HostLookup, LookupError};
pub use dkim::{DkimKeyError, SigningKey, check_dkim_keys, load_dkim_key};
pub use listener::BindError;
pub use proxy_header::{ProxyHead, ProxySource, look_at_proxy_head};
pub use renewal::{InboundChange, InboundControl};
pub use tls::{ServerTlsError, check_certificate};

use std::convert::Infallible;
use std::net::SocketAddr;
use std::sync::Arc;

use arc_swap::ArcSwap;
use futures_util::future::join_all;
use tokio::net::TcpListener;
use tokio::sync::Notify;
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
use connection::SessionContext;
use credentials::Credentials;
use dkim::Dkim;
use handed_over::HandedOver;
use listener::Entrance;
use proxy::Proxies;
use renewal::{Current, Parts};
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
    current: Arc<Current<L>>,
    events: Events,
}

impl<L: HostLookup> Inbound<L> {
    /// Binds the configured addresses, unless the service manager has done so for us; clients that
    /// connect wait until [`Inbound::serve`] runs.
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
        let mut handed_over = HandedOver::from_process().map_err(listener::BindError::from)?;
        for entrance in std::iter::once(clear).chain(implicit.map(Entrance::Tls)) {
            let bound = listener::bind_all(&config.smtpd, entrance, &mut handed_over, &events)?;
            listeners.extend(bound.into_iter().map(|(socket, at)| (socket, at, entrance)));
        }
        handed_over.tell_what_is_left(&events);
        let slots = Slots::new(
            config.smtpd.max_connections,
            config.smtpd.max_connections_per_client,
            config.limits.client_connection_rate,
        );
        let gate = Arc::new(Gate::new(&config.access, config.auth.anywhere, lookup));
        let parts = Parts {
            tls,
            dkim,
            credentials: Credentials::new(&config.auth),
            auth_failures: Arc::default(),
            allowances: Allowances::new(&config.limits, store.clone()),
            store,
            events: events.clone(),
        };
        let context = session_context(config, parts, &gate);
        let door = Door {
            proxies: Proxies::new(config),
            gate,
            slots,
            sessions: Arc::new(ArcSwap::from_pointee(context)),
            events: events.clone(),
            lobby: Door::<L>::lobby(),
        };
        Ok(Inbound {
            listeners,
            current: Arc::new(Current {
                door: ArcSwap::from_pointee(door),
                changed: Notify::new(),
            }),
            events,
        })
    }

    /// To change it while it serves.
    #[must_use]
    pub fn control(&self) -> InboundControl<L> {
        InboundControl(self.current.clone())
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
        let loops = self.listeners.into_iter().map(|(listener, _, entrance)| {
            let current = Arc::clone(&self.current);
            accept::serve_listener(
                listener,
                entrance,
                current,
                self.events.clone(),
                shutdown.clone(),
            )
        });
        tokio::select! {
            _ = join_all(loops) => {}
            never = watch_files(&self.current, &self.events) => match never {},
        }
    }
}

/// Takes up changed certificates and keys, for ever.
async fn watch_files<L>(current: &Current<L>, events: &Events) -> Infallible {
    loop {
        let sessions = current.door.load().sessions.load_full();
        let certificate_changes = async {
            match &sessions.tls {
                Some(tls) => tls.watch(events).await,
                None => std::future::pending().await,
            }
        };
        let dkim_key_changes = async {
            match &sessions.dkim {
                Some(dkim) => dkim.watch().await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            never = certificate_changes => match never {},
            never = dkim_key_changes => match never {},
            () = current.changed.notified() => {}
        }
    }
}

fn session_context<L: HostLookup>(
    config: &Config,
    parts: Parts,
    gate: &Arc<Gate<L>>,
) -> SessionContext {
    let Parts {
        store,
        events,
        tls,
        dkim,
        credentials,
        auth_failures,
        allowances,
    } = parts;
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
    let gate = Arc::clone(gate);
    SessionContext {
        rules: Arc::new(match tls {
            Some(_) => rules.with_starttls(),
            None => rules,
        }),
        tls,
        dkim,
        credentials: Arc::new(credentials),
        admits: Box::new(move |client| gate.decide_at_once(client)),
        auth_failures,
        allowances,
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
