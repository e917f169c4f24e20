//! The bytes of a message: header section, trace fields, delivery reports. Pure.

mod date;
mod folding;
mod header_filter;
mod trace;

pub use header_filter::{HeaderFacts, HeaderFilter, header_section};
pub use trace::{Trace, helo_for_trace};
