//! A queued message as every room sees it: what is known about it, not its octets.

use super::envelope::{Client, Envelope};
use super::queue_id::QueueId;
use super::time::UnixMillis;

/// One accepted message. Its recipients are kept beside it, see [`super::Recipient`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Message {
    /// Its name.
    pub id: QueueId,
    /// When it was accepted.
    pub arrival: UnixMillis,
    /// What the client said.
    pub envelope: Envelope,
    /// Who handed it in.
    pub client: Client,
    /// The header fields that we put above what was received, each line with CRLF. What goes out
    /// is these octets and then the body's.
    pub added_header: Box<[u8]>,
    /// About the octets below them.
    pub body: BodyFacts,
    /// What its Message-ID field says, without angle brackets, made safe to show; the field need not be
    /// there, or say anything. At most [`MESSAGE_ID_BYTES_MAX`] bytes.
    ///
    /// [`MESSAGE_ID_BYTES_MAX`]: super::limits::MESSAGE_ID_BYTES_MAX
    pub message_id: Option<Box<str>>,
    /// The message that this one reports on.
    pub report_of: Option<QueueId>,
}

impl Message {
    /// Octets that it has.
    #[must_use]
    pub fn size(&self) -> u64 {
        self.added_header.len() as u64 + self.body.len
    }

    /// Octets that go out with DATA, dot-stuffing apart: the end mark wants a line end before it.
    #[must_use]
    pub fn size_in_lines(&self) -> u64 {
        self.size() + if self.body.ends_in_line_end { 0 } else { 2 }
    }
}

/// What is known about the octets of a message, from when they were received.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BodyFacts {
    /// Octets: header section and text as received, less the fields that are taken out.
    pub len: u64,
    /// CRC-32 of these octets.
    pub crc32: u32,
    /// Whether one of them is above 0x7F, in header or text.
    pub has_8bit: bool,
    /// Whether they end with CRLF, or are none at all, so that the CRLF above them is the end. Text
    /// that came in chunks need not (RFC 3030).
    pub ends_in_line_end: bool,
}
