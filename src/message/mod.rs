//! The bytes of a message: header section, trace fields, delivery reports.
//!
//! A stored message is our own fields ([`Trace::added_header`]) and below them what was received,
//! less the fields that [`HeaderFilter`] takes out; [`dkim`] signs it. Nothing here holds a message whole: the filter
//! passes octets on while they come in, and a report is a frame into which its caller pours the original.
//!
//! Promises: pure, with time and ids as arguments; every octet that is not ours passes through
//! unchanged or is made safe, so that it can't end a line, begin a field or close a part; no line
//! that we write is over 998 octets. Never: dot-stuffing (`smtp`), deciding about refusal (limits
//! and loops are found here and acted on in `inbound`), deciding whether a report is owed (`queue`).

mod date;
pub mod dkim;
mod folding;
mod header_filter;
mod message_id;
mod quoted_printable;
mod report;
mod scan;
mod seven_bit;
mod trace;

pub use header_filter::{HeaderFacts, HeaderFilter, HeaderLimits, SectionEnd, header_section};
pub use message_id::{message_id, our_message_id};
pub use report::{
    Fate, LineLengths, ReportFacts, ReportFrame, Reported, Returned, delivery_report,
};
pub use scan::{Scan, Scanned};
pub use seven_bit::{Obstacle, Plan, Rewriter, Survey};
pub use trace::{Trace, helo_for_trace};
