//! Wall-clock time as it is stored.

use std::fmt;
use std::time::Duration;

/// Milliseconds since 1970-01-01 UTC. For what is written down; timeouts use
/// [`std::time::Instant`] and are never written down.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct UnixMillis(pub u64);

impl UnixMillis {
    /// The moment `span` later; stops at the end of time instead of wrapping.
    #[must_use]
    pub fn after(self, span: Duration) -> UnixMillis {
        UnixMillis(self.0.saturating_add(millis(span)))
    }

    /// The moment `span` earlier, not before 1970.
    #[must_use]
    pub fn before(self, span: Duration) -> UnixMillis {
        UnixMillis(self.0.saturating_sub(millis(span)))
    }

    /// How long ago `earlier` was; zero if it is in the future.
    #[must_use]
    pub fn since(self, earlier: UnixMillis) -> Duration {
        Duration::from_millis(self.0.saturating_sub(earlier.0))
    }
}

impl fmt::Debug for UnixMillis {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}ms", self.0)
    }
}

fn millis(span: Duration) -> u64 {
    u64::try_from(span.as_millis()).unwrap_or(u64::MAX)
}
