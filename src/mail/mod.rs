//! The vocabulary that every other room speaks: addresses, identifiers, replies, states.
//!
//! Promises: a value of these types is well-formed by construction; the only way in from text is a
//! parser. Nothing here reads a clock, a socket, a file or a random number, and nothing here is
//! serialized: records and JSON have types of their own.

mod address;
mod destination;
mod domain;
mod dsn;
mod enhanced_code;
mod envelope;
pub mod limits;
mod message;
mod queue_id;
mod recipient;
mod reply;
#[cfg(test)]
pub(crate) mod samples;
mod security;
mod time;
pub mod unicode_address;

pub use address::{Address, AddressDomain, AddressError, ReversePath, Spelling};
pub use destination::Destination;
pub use domain::{Domain, DomainError};
pub use dsn::{DsnEnvelope, DsnRecipient, EnvelopeId, Notify, OriginalRecipient, Ret};
pub use enhanced_code::{EnhancedClass, EnhancedCode};
pub use envelope::{BodyKind, Client, Envelope, Protocol, TlsFacts};
pub use message::{BodyFacts, Message};
pub use queue_id::{QueueId, QueueIdError};
pub use recipient::{
    Answer, HeldBy, Reason, Recipient, RecipientNo, RecipientState, Remote, StateName, Waiting,
};
pub use reply::{Reply, ReplyClass, ReplyCode};
pub use security::{Channel, Security};
pub use time::UnixMillis;
