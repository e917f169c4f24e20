//! Another configuration while clients are being served: everything is made ready first, then it is
//! swapped at once.
//!
//! A client that connects meets the new one. A session that is under way takes it up before the next
//! command outside of a transaction: a transaction ends by the rules that it began with. Whoever may not
//! connect any more, or authenticated as a user who is gone, is sent away then.

use std::sync::Arc;

use arc_swap::ArcSwap;
use tokio::sync::Notify;

use crate::config::Config;
use crate::observe::Events;
use crate::store::Store;

use super::accept::Door;
use super::access::{Gate, HostLookup};
use super::allowances::Allowances;
use super::auth_failures::AuthFailures;
use super::connection::SessionContext;
use super::credentials::Credentials;
use super::dkim::Dkim;
use super::proxy::Proxies;
use super::tls::ServerTls;
use super::{InboundSetupError, session_context};

/// The way in as it is now, for every listener and session.
pub(super) struct Current<L> {
    pub(super) door: ArcSwap<Door<L>>,
    /// Told at each change.
    pub(super) changed: Notify,
}

/// What goes on from one configuration to the next.
pub(super) struct Parts {
    pub(super) store: Store,
    pub(super) events: Events,
    pub(super) tls: Option<ServerTls>,
    pub(super) dkim: Option<Dkim>,
    pub(super) credentials: Credentials,
    pub(super) auth_failures: Arc<AuthFailures>,
    pub(super) allowances: Allowances,
}

/// Changes the way in while it is open. Cheap to clone.
pub struct InboundControl<L>(pub(super) Arc<Current<L>>);

/// A changed way in, that everything it needs was found for. In force after
/// [`InboundControl::apply`].
pub struct InboundChange<L> {
    door: Door<L>,
    context: SessionContext,
    config: Config,
}

impl<L> Clone for InboundControl<L> {
    fn clone(&self) -> InboundControl<L> {
        InboundControl(self.0.clone())
    }
}

impl<L: HostLookup> InboundControl<L> {
    /// Reads certificate and keys and makes everything else ready; changes nothing. Blocks, for a
    /// moment for each user with a plain password. Sockets stay as they are.
    ///
    /// # Errors
    /// Everything that would stop a start.
    pub fn prepare(
        &self,
        config: &Config,
        lookup: L,
    ) -> Result<InboundChange<L>, Vec<InboundSetupError>> {
        let old_door = self.0.door.load_full();
        let old = old_door.sessions.load_full();
        let tls = config.tls.as_ref().map(ServerTls::new).transpose();
        let dkim = Dkim::new(&config.dkim, &old.events);
        let (tls, dkim) = match (tls, dkim) {
            (Ok(tls), Ok(dkim)) => (tls, dkim),
            (tls, dkim) => {
                let tls = tls.err().map(InboundSetupError::from);
                let dkim = dkim.err().map(InboundSetupError::from);
                return Err(tls.into_iter().chain(dkim).collect());
            }
        };
        let parts = Parts {
            store: old.store.clone(),
            events: old.events.clone(),
            tls,
            dkim,
            credentials: old.credentials.renewed(&config.auth),
            auth_failures: old.auth_failures.clone(),
            allowances: old.allowances.renewed(&config.limits),
        };
        let gate = Gate::new(&config.access, config.auth.anywhere, lookup);
        gate.remember(&old_door.gate);
        let gate = Arc::new(gate);
        Ok(InboundChange {
            context: session_context(config, parts, &gate),
            door: Door {
                proxies: Proxies::new(config),
                gate,
                slots: old_door.slots.clone(),
                sessions: old_door.sessions.clone(),
                events: old_door.events.clone(),
                lobby: old_door.lobby.clone(),
            },
            config: config.clone(),
        })
    }

    /// From now on the changed way in is open.
    pub fn apply(&self, change: InboundChange<L>) {
        let InboundChange {
            door,
            context,
            config,
        } = change;
        door.slots.set_limits(
            config.smtpd.max_connections,
            config.smtpd.max_connections_per_client,
            config.limits.client_connection_rate,
        );
        door.sessions.store(Arc::new(context));
        self.0.door.store(Arc::new(door));
        self.0.changed.notify_one();
    }
}
