//! One deadline of a session, moved at every step without touching the timer.

use std::pin::Pin;

use tokio::time::{Instant, Sleep, sleep_until};

/// A moment after which waiting is over. Moving it later costs nothing: the timer is left to fire
/// early, and is set again only then.
#[derive(Debug)]
pub(super) struct Deadline {
    at: Instant,
    timer: Pin<Box<Sleep>>,
}

impl Deadline {
    pub(super) fn new(at: Instant) -> Deadline {
        Deadline {
            at,
            timer: Box::pin(sleep_until(at)),
        }
    }

    pub(super) fn move_to(&mut self, at: Instant) {
        self.at = at;
        if at < self.timer.deadline() {
            self.timer.as_mut().reset(at);
        }
    }

    /// Waits until the deadline has passed. Cancel-safe.
    pub(super) async fn passed(&mut self) {
        loop {
            self.timer.as_mut().await;
            if self.at <= self.timer.deadline() {
                return;
            }
            self.timer.as_mut().reset(self.at);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    #[tokio::test(start_paused = true)]
    async fn it_passes_where_it_was_moved_to() {
        let start = Instant::now();
        let seconds = Duration::from_secs;
        let mut deadline = Deadline::new(start + seconds(5));
        deadline.move_to(start + seconds(9));
        deadline.passed().await;
        assert!(start.elapsed() >= seconds(9));
        deadline.move_to(start + seconds(100));
        deadline.move_to(start + seconds(20));
        deadline.passed().await;
        assert!((seconds(20)..seconds(21)).contains(&start.elapsed()));
    }
}
