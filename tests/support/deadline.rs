//! The one deadline of the suite, and waiting under it.

use std::panic::Location;
use std::time::Duration;

/// Seconds that any single wait of a test may take; `TEST_DEADLINE_SECONDS` overrides it on a slow
/// machine. No test asserts a shorter time unless the protocol names one.
const DEADLINE_SECONDS: u64 = 20;

/// Where a test asked for something. `#[track_caller]` does nothing on an `async fn`, so waiting
/// functions take the place before they become a future, and name it when they fail.
pub type Here = &'static Location<'static>;

/// How long a single wait may take.
#[expect(
    clippy::disallowed_methods,
    reason = "the suite has no config of its own"
)]
pub fn deadline() -> Duration {
    let seconds = std::env::var("TEST_DEADLINE_SECONDS")
        .ok()
        .and_then(|text| text.parse().ok())
        .unwrap_or(DEADLINE_SECONDS);
    Duration::from_secs(seconds)
}

/// Waits for `future` under the deadline. `what` finishes the sentence "waited 20s for ...".
pub async fn within<T>(
    here: Here,
    what: impl FnOnce() -> String,
    future: impl Future<Output = T>,
) -> T {
    let limit = deadline();
    match tokio::time::timeout(limit, future).await {
        Ok(value) => value,
        Err(_) => panic!("{here}: waited {limit:?} for {}", what()),
    }
}
