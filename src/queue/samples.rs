//! What the tests of this room work with.

use crate::mail::UnixMillis;
use crate::store::{Suspension, SuspensionCause};

pub(super) use crate::mail::samples::{address, message, trouble};

/// What an operator orders.
pub(super) fn ordered_until(until: Option<UnixMillis>) -> Suspension {
    Suspension {
        since: UnixMillis(1_000),
        until,
        cause: SuspensionCause::Order {
            by: "ann".into(),
            reason: "their disk is full".into(),
        },
    }
}
