//! DKIM signatures (RFC 6376), but for the keys: what is signed, what octets that makes, and how the
//! field looks that comes of it.
//!
//! Both canonicalizations are `relaxed`. The body is hashed while it comes in ([`BodyHash`]), so
//! that a message of any size costs the same memory; the header section is looked at once, at the
//! end ([`Signable`]). The field itself and the keys' arithmetic are mail-auth's; its body
//! canonicalization is not used, since it keeps lines of blanks at the end of a body, which RFC 6376
//! 3.4.4 takes away.

mod author;
mod body_hash;
mod fields;
mod record;
mod signable;

pub use body_hash::{BodyDigest, BodyHash};
pub use record::{DkimAlgorithm, KeyRecord, RecordFault, record_text};
pub use signable::{Prepared, Signable, Unsigned};
