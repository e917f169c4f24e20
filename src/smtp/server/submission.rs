//! What the commands of a transaction agreed upon, from MAIL to DATA or the first BDAT.

use crate::mail::{Envelope, Protocol, TlsFacts};

use super::recipients::Named;

/// A transaction that is complete but for the message itself.
#[derive(Debug)]
pub struct Submission {
    /// From MAIL.
    pub envelope: Envelope,
    /// At least one, each once, in the order of RCPT.
    pub recipients: Vec<Named>,
    /// What the client called itself, as it came, but at most [`crate::mail::limits::HELO_BYTES_MAX`] octets.
    pub helo: Box<[u8]>,
    /// For Received.
    pub protocol: Protocol,
    /// Under which TLS it came; `None`: in clear.
    pub tls: Option<TlsFacts>,
    /// As whom the client authenticated.
    pub user: Option<Box<str>>,
}
