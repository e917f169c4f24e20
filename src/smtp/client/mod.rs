//! The client's half of SMTP: replies read, extensions understood, a transaction carried through.
//!
//! Promises: pure. Octets and replies go in; commands, and at the end an answer for every
//! recipient, come out. What a reply means is decided in [`verdict`] and nowhere else.
//!
//! The driver (`outbound`) owns the socket, TLS and every deadline.

pub mod auth;
pub mod ehlo;
pub mod reply_reader;
pub mod transaction;
pub mod verdict;

pub use auth::{AuthExchange, AuthFault, AuthTurn, ClientMechanism, OfferedMechanisms};
pub use ehlo::Extensions;
pub use reply_reader::{ProtocolFault, RemoteReply, ReplyReader};
pub use transaction::{Facts, Framing, Step, Transaction};
pub use verdict::{Meaning, Phase, Settled, Verdict, meaning};
