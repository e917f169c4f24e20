//! Our side of an SMTP session (RFC 5321), without a socket: octets become lines, lines become
//! commands, commands become replies and the transactions that they agree on.
//!
//! Promises: no input makes it panic, wait or keep more than the bounds of [`crate::mail::limits`];
//! nothing that a client sent is ever part of a reply; a line that is damaged runs nothing.

mod allowance;
pub mod auth;
mod chunk;
mod command;
mod dsn_parameters;
mod line_reader;
mod parameter_fault;
mod parameters;
mod path;
mod recipients;
mod reply;
mod rules;
mod session;
mod submission;

pub use allowance::{Allowance, MailIntake};
pub use chunk::{Chunk, PartOf};
pub use line_reader::{LineFault, LineReader, Split};
pub use recipients::Named;
pub use reply::{Offers, Reply, Say, write_accepted};
pub use rules::{AuthPolicy, Rules, SenderPolicy, SessionLimits};
pub use session::{About, Next, Session, Step};
pub use submission::Submission;

#[cfg(test)]
mod segmentation;
