//! Everything that is found out about a message while its octets come in.

use super::dkim::{BodyDigest, BodyHash};
use super::header_filter::{HeaderFacts, HeaderFilter, HeaderLimits};

/// A [`HeaderFilter`], and behind it, if signatures are made, a [`BodyHash`].
#[derive(Debug)]
pub struct Scan {
    filter: HeaderFilter,
    body: Option<BodyHash>,
    /// How many octets were kept so far.
    kept: u64,
}

/// What a [`Scan`] found out.
#[derive(Clone, Debug, Default)]
pub struct Scanned {
    /// About the header section.
    pub header: HeaderFacts,
    /// The hash of the body, if it was wanted.
    pub body: Option<BodyDigest>,
    /// What its Message-ID field names, see [`message_id`](super::message_id).
    pub message_id: Option<Box<str>>,
}

impl Scan {
    /// At the first octet of a message.
    #[must_use]
    pub fn new(limits: HeaderLimits, hashes_body: bool) -> Scan {
        Scan {
            filter: HeaderFilter::new(limits),
            body: hashes_body.then(BodyHash::default),
            kept: 0,
        }
    }

    /// Takes the next octets and appends to `out` what is kept of them, and of those held back.
    pub fn feed(&mut self, input: &[u8], out: &mut Vec<u8>) {
        let before = out.len();
        self.filter.feed(input, out);
        self.hash(&out[before..]);
    }

    /// Ends the message: appends what is still held back, and tells what was found.
    pub fn finish(self, out: &mut Vec<u8>) -> Scanned {
        Scanned {
            message_id: self.filter.message_id(),
            header: self.filter.finish(out), // what is held back is of no body
            body: self.body.map(BodyHash::finish),
        }
    }

    /// Hashes what of `fresh`, which was just kept, belongs to the body.
    fn hash(&mut self, fresh: &[u8]) {
        if let (Some(body), Some(start)) = (&mut self.body, self.filter.body_start()) {
            let above = start.saturating_sub(self.kept);
            let above = usize::try_from(above).map_or(fresh.len(), |above| above.min(fresh.len()));
            body.update(&fresh[above..]);
        }
        self.kept += fresh.len() as u64;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LIMITS: HeaderLimits = HeaderLimits {
        section_bytes_max: 1_000,
        fields_max: 10,
    };

    fn digest(message: &[u8], piece: usize) -> BodyDigest {
        let (mut scan, mut out) = (Scan::new(LIMITS, true), Vec::new());
        for piece in message.chunks(piece) {
            scan.feed(piece, &mut out);
        }
        scan.finish(&mut out).body.unwrap()
    }

    #[track_caller]
    fn check(message: &str, body: &str) {
        let mut want = BodyHash::default();
        want.update(body.as_bytes());
        let want = want.finish();
        for piece in [usize::MAX, 1, 2, 7] {
            assert_eq!(
                digest(message.as_bytes(), piece),
                want,
                "{message:?} by {piece}"
            );
        }
    }

    #[test]
    fn the_body_is_what_stands_below_the_empty_line() {
        check("From: a\r\n\r\nhello\r\n", "hello\r\n");
        check("From: a\r\nBcc: b\r\n\r\n hello\r\n\r\n", " hello\r\n\r\n");
        check("From: a\r\nBcc: b\r\n c\r\nTo: d\r\n\r\n\r\nx", "\r\nx");
        check("Bcc: b\r\n\r\nx\r\n", "x\r\n");
        check("\r\nx\r\n", "x\r\n");
        check("From: a\r\n\r\n", "");
        check("From: a\r\n", "");
        check("", "");
    }

    #[test]
    fn it_is_hashed_only_when_wanted() {
        let (mut scan, mut out) = (Scan::new(LIMITS, false), Vec::new());
        scan.feed(b"From: a\r\n\r\nx\r\n", &mut out);
        let scanned = scan.finish(&mut out);
        assert_eq!((scanned.body, out.len()), (None, 14));
    }
}
