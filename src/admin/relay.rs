//! What concerns the running relay as a whole. A command that opened the queue itself has none of it.

use std::sync::atomic::{AtomicBool, Ordering};

use crate::observe::QueueEvent;

use super::api::{AuditState, Reloaded};
use super::{Admin, AdminError, By};

const NO_RELAY: AdminError = AdminError::NotHere("no relay runs here; there is nothing to be told");

impl Admin {
    /// Whether events of debug level are part of the audit stream.
    ///
    /// # Errors
    /// No relay runs.
    pub fn audit(&self) -> Result<AuditState, AdminError> {
        let verbose = self.verbose.as_deref().ok_or(NO_RELAY)?;
        Ok(AuditState {
            verbose: verbose.load(Ordering::Relaxed),
        })
    }

    /// Switches that.
    ///
    /// # Errors
    /// No relay runs.
    pub fn set_audit(&self, state: AuditState, by: &By) -> Result<AuditState, AdminError> {
        let verbose: &AtomicBool = self.verbose.as_deref().ok_or(NO_RELAY)?;
        let before = verbose.swap(state.verbose, Ordering::Relaxed);
        self.events.emit(QueueEvent::Ordered {
            action: if state.verbose {
                "audit on"
            } else {
                "audit off"
            },
            by: by.as_str(),
            reason: "",
            filter: "",
            matched: 1,
            changed: u64::from(before != state.verbose),
            in_flight: 0,
        });
        Ok(state)
    }

    /// Reads the configuration anew and puts it in force, wholly or not at all.
    ///
    /// # Errors
    /// No relay runs, or something is wrong with the configuration: then nothing has changed.
    pub async fn reload(&self, by: &By) -> Result<Reloaded, AdminError> {
        let reload = self.reload.as_ref().ok_or(NO_RELAY)?;
        reload(by.clone()).await.map_err(AdminError::Invalid)
    }
}
