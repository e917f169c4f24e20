//! Whether the dispatcher's loop goes round: it can be woken for nothing, and counts its turns.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use tokio::sync::Notify;

/// Shared by the dispatcher and whoever watches it. Cheap to clone.
#[derive(Clone, Debug, Default)]
pub(super) struct Pulse(Arc<Inner>);

#[derive(Debug, Default)]
struct Inner {
    wake: Notify,
    turns: AtomicU64,
}

impl Pulse {
    /// Wakes the dispatcher, now or when it next waits.
    pub(super) fn stir(&self) {
        self.0.wake.notify_one();
    }

    /// Until [`Pulse::stir`]. Cancel-safe.
    pub(super) async fn stirred(&self) {
        self.0.wake.notified().await;
    }

    /// One turn of the loop is over.
    pub(super) fn turned(&self) {
        self.0.turns.fetch_add(1, Ordering::Relaxed);
    }

    pub(super) fn turns(&self) -> u64 {
        self.0.turns.load(Ordering::Relaxed)
    }
}
