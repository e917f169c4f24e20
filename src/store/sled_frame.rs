//! The frames of sled's log, as far as they must be understood to see whether one is damaged: the
//! format of sled 0.34, which is fixed for ever in a database.

use std::ops::Range;

/// Octets of a segment's header.
pub(super) const SEGMENT_HEADER_BYTES: usize = 20;
/// No frame's header is longer, and none begins with less room than that in its segment.
pub(super) const HEADER_BYTES_MAX: usize = 32;

const CRC_BYTES: usize = 4;
/// Values that are shorter can't be records or bodies with a checksum of their own.
const RECORD_BYTES_MIN: usize = 16;

const CAP: u8 = 2;
const INLINE_NODE: u8 = 8;
const INLINE_LINK: u8 = 10;
const KINDS: Range<u8> = 1..12;

/// Where a frame's parts are, and what its checksum says.
#[derive(Clone, Debug)]
pub(super) struct Frame {
    pub kind: u8,
    pub header_len: usize,
    pub body_len: usize,
    pub stored: u32,
    pub computed: u32,
}

impl Frame {
    /// The frame at the front of `octets`, which end with its segment. `None`: there is none that belongs
    /// to this segment.
    pub(super) fn read(octets: &[u8], segment: u64) -> Option<Frame> {
        let (crc, mut rest) = octets.split_first_chunk::<CRC_BYTES>()?;
        let kind = octet(&mut rest).filter(|kind| KINDS.contains(kind))?;
        let body_len = usize::try_from(number(&mut rest)?).ok()?;
        let of_segment = number(&mut rest)?;
        let _page = number(&mut rest)?;
        let header_len = octets.len() - rest.len();
        let body = rest.get(..body_len).filter(|_| of_segment == segment)?;
        let mut computed = crc32fast::Hasher::new();
        computed.update(body);
        computed.update(&octets[CRC_BYTES..header_len]);
        Some(Frame {
            kind,
            header_len,
            body_len,
            stored: u32::from_le_bytes(*crc) ^ u32::MAX,
            computed: computed.finalize(),
        })
    }

    pub(super) fn is_right(&self) -> bool {
        self.stored == self.computed
    }

    pub(super) fn len(&self) -> usize {
        self.header_len + self.body_len
    }

    /// Octets that the checksum is of: the body's, then the header's behind the checksum itself.
    pub(super) fn checked_len(&self) -> usize {
        self.len() - CRC_BYTES
    }

    /// Where in the frame an octet is that stands there among those of [`Frame::checked_len`].
    pub(super) fn position(&self, checked: usize) -> usize {
        match checked.checked_sub(self.body_len) {
            None => self.header_len + checked,
            Some(in_header) => CRC_BYTES + in_header,
        }
    }

    /// The rest of the segment is empty.
    pub(super) fn is_cap(&self) -> bool {
        self.kind == CAP
    }

    /// Where the values of records and bodies are in a frame that has any; `None`: it should have, but
    /// makes no sense.
    pub(super) fn values(&self, frame: &[u8]) -> Option<Vec<Range<usize>>> {
        let body = &frame[self.header_len..self.len()];
        let found = match self.kind {
            INLINE_LINK => values_of_link(body)?,
            INLINE_NODE => values_of_node(body)?,
            _ => Vec::new(),
        };
        let long = found
            .into_iter()
            .filter(|value| value.len() >= RECORD_BYTES_MIN);
        Some(
            long.map(|value| value.start + self.header_len..value.end + self.header_len)
                .collect(),
        )
    }
}

/// A checksum as it stands at the front of a frame or of a segment's header.
pub(super) fn checksum_octets(computed: u32) -> [u8; CRC_BYTES] {
    (computed ^ u32::MAX).to_le_bytes()
}

/// Checksum and number of a segment, from its header.
pub(super) fn segment_header(header: &[u8; SEGMENT_HEADER_BYTES]) -> (u32, u32, u64) {
    let (crc, rest) = header
        .split_first_chunk::<CRC_BYTES>()
        .unwrap_or((&[0; 4], &[]));
    let lsn = rest.first_chunk::<8>().copied().unwrap_or_default();
    let lsn = u64::from_le_bytes(lsn) ^ (u64::MAX >> 1);
    let stored = u32::from_le_bytes(*crc) ^ u32::MAX;
    (stored, crc32fast::hash(rest), lsn)
}

/// One key gets a value, or loses it, or pages are merged.
fn values_of_link(body: &[u8]) -> Option<Vec<Range<usize>>> {
    let mut rest = body;
    let mut found = Vec::new();
    match octet(&mut rest)? {
        0 => {
            string(&mut rest)?;
            let len = string(&mut rest)?.len();
            let end = body.len() - rest.len();
            found.push(end - len..end);
        }
        1 => drop(string(&mut rest)?),
        2 => drop(number(&mut rest)?),
        3 | 4 => {}
        _ => return None,
    }
    rest.is_empty().then_some(found)
}

/// A whole page: a leaf with keys and values, or an index.
fn values_of_node(body: &[u8]) -> Option<Vec<Range<usize>>> {
    let mut rest = body;
    number(&mut rest)?; // next
    number(&mut rest)?; // child that is being merged
    octet(&mut rest)?; // whether it is being merged
    octet(&mut rest)?; // length of the prefix
    string(&mut rest)?; // from
    string(&mut rest)?; // to
    let is_leaf = match octet(&mut rest)? {
        0 => true,
        1 => false,
        _ => return None,
    };
    let count = number(&mut rest)?;
    for _ in 0..count {
        string(&mut rest)?;
    }
    let mut found = Vec::new();
    for _ in 0..count {
        if is_leaf {
            let len = string(&mut rest)?.len();
            let end = body.len() - rest.len();
            found.push(end - len..end);
        } else {
            number(&mut rest)?;
        }
    }
    rest.is_empty().then_some(found)
}

fn octet(rest: &mut &[u8]) -> Option<u8> {
    let (first, behind) = rest.split_first()?;
    *rest = behind;
    Some(*first)
}

fn string<'a>(rest: &mut &'a [u8]) -> Option<&'a [u8]> {
    let len = usize::try_from(number(rest)?).ok()?;
    let (string, behind) = rest.split_at_checked(len)?;
    *rest = behind;
    Some(string)
}

/// Of one to nine octets.
fn number(rest: &mut &[u8]) -> Option<u64> {
    let first = octet(rest)?;
    Some(match first {
        0..=240 => first.into(),
        241..=248 => 240 + 256 * (u64::from(first) - 241) + u64::from(octet(rest)?),
        249 => 2288 + 256 * u64::from(octet(rest)?) + u64::from(octet(rest)?),
        250..=255 => {
            let (octets, behind) = rest.split_at_checked(usize::from(first) - 247)?;
            *rest = behind;
            let mut whole = [0; 8];
            whole[..octets.len()].copy_from_slice(octets);
            u64::from_le_bytes(whole)
        }
    })
}
