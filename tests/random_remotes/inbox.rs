//! What came in a session, and when.

use jiff::Timestamp;

/// What came, with the time when it came: a host that is busy with something else, such as saying
/// nothing, still knows when it was spoken to.
#[derive(Debug, Default)]
pub(super) struct Inbox {
    pub(super) octets: Vec<u8>,
    /// How many octets were there at that time.
    stamps: Vec<(usize, Timestamp)>,
}

impl Inbox {
    pub(super) fn stamp(&mut self) {
        self.stamps.push((self.octets.len(), Timestamp::now()));
    }

    /// The first so many octets, and when the last of them came.
    pub(super) fn take(&mut self, count: usize) -> (Vec<u8>, Timestamp) {
        let at = self.stamps.iter().find(|(length, _)| *length >= count);
        let at = at.map_or_else(Timestamp::now, |(_, at)| *at);
        self.stamps.retain(|(length, _)| *length > count);
        for (length, _) in &mut self.stamps {
            *length -= count;
        }
        (self.octets.drain(..count).collect(), at)
    }

    /// Up to and with the first of these.
    pub(super) fn end_of(&self, mark: &[u8]) -> Option<usize> {
        memchr::memmem::find(&self.octets, mark).map(|at| at + mark.len())
    }
}
