//! A background task that ends with its owner.

use std::future::Future;

use tokio::task::JoinHandle;

/// Runs until it is done or dropped. What it owns in a `JoinSet` goes with it.
#[derive(Debug)]
pub struct Task(JoinHandle<()>);

impl Task {
    /// Starts it.
    pub fn spawn(future: impl Future<Output = ()> + Send + 'static) -> Task {
        Task(tokio::spawn(future))
    }
}

impl Drop for Task {
    fn drop(&mut self) {
        self.0.abort();
    }
}
