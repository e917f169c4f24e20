//! Where mail waits in line: one line for each next hop.

use std::fmt;

use super::address::AddressDomain;

/// The next-hop domain in lower-case A-labels, an address literal, or the name of a configured
/// route. Recipients of one destination share connections, limits and back-off.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Destination(Box<str>);

impl Destination {
    /// The destination of mail that goes where its domain says.
    #[must_use]
    pub fn of_domain(domain: &AddressDomain) -> Destination {
        Destination(domain.to_string().into())
    }

    /// The destination of mail that a route sends to one place. Names of routes can't be mistaken
    /// for domains: they have a slash in them, as in `smtp://relay.example:25`.
    ///
    /// # Panics
    /// If `name` has no slash or holds a NUL: that is a bug of the caller.
    #[must_use]
    pub fn of_route(name: &str) -> Destination {
        assert!(name.contains('/') && !name.contains('\0'), "{name}");
        Destination(name.into())
    }

    /// Reads back what [`Destination::as_str`] gave; for the store.
    #[must_use]
    pub fn from_stored(text: &str) -> Destination {
        Destination(text.into())
    }

    /// Its name, as it stands in keys and logs; holds no NUL.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for Destination {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for Destination {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Destination({})", self.0)
    }
}
