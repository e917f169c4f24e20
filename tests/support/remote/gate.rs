//! Holding a party back until the test says so.

use std::panic::Location;
use std::sync::Arc;

use tokio::sync::watch;

use crate::support::deadline::{Here, within};

/// Closed at first. Who comes to it waits until the test opens it; then it stays open. Clones are
/// the same gate.
#[derive(Clone, Debug)]
pub struct Gate(Arc<State>);

#[derive(Debug)]
struct State {
    open: watch::Sender<bool>,
    arrived: watch::Sender<usize>,
}

impl Gate {
    /// A closed one.
    pub fn new() -> Gate {
        Gate(Arc::new(State {
            open: watch::Sender::new(false),
            arrived: watch::Sender::new(0),
        }))
    }

    /// Lets everybody pass, now and later.
    pub fn open(&self) {
        self.0.open.send_replace(true);
    }

    /// Waits until somebody stands (or stood) before it.
    #[track_caller]
    pub fn reached(&self) -> impl Future<Output = ()> {
        self.reached_by(1)
    }

    /// Waits until so many came to it, since the beginning.
    #[track_caller]
    pub fn reached_by(&self, count: usize) -> impl Future<Output = ()> {
        let here: Here = Location::caller();
        let mut arrived = self.0.arrived.subscribe();
        async move {
            let what = || format!("{count} to reach the gate");
            let _ = within(here, what, arrived.wait_for(|n| *n >= count)).await;
        }
    }

    pub(super) async fn pass(&self) {
        self.0.arrived.send_modify(|count| *count += 1);
        let _ = self.0.open.subscribe().wait_for(|open| *open).await;
    }
}
