//! The bytes of a message: header section, trace fields, delivery reports. Pure.

mod header_filter;

pub use header_filter::{HeaderFacts, HeaderFilter, header_section};
