//! What the tests of this room work with.

use crate::mail::UnixMillis;

pub(super) use crate::mail::samples::{message, recipient, trouble};

pub(super) const NOW: UnixMillis = UnixMillis(1_700_000_000_000);
