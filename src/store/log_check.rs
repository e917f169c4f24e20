//! A look at sled's log before sled opens it. sled takes a frame whose checksum does not match for the end
//! of the log and forgets all that stands behind it, in silence; or, if it knows the frame from earlier,
//! does not open at all. That is right for what a crash tore, and wrong for damage: one octet that the
//! disk has changed would cost all mail behind it.
//!
//! So where a single wrong octet explains the checksum, it is damage, and is mended: put right, if it is
//! in sled's own part of the frame; if it is in a record or a body, only the frame's checksum is made to
//! match, since these have checksums of their own: whoever reads them will tell, and nobody's mail is
//! changed by a guess. The same is done for a frame with more wrong octets, if it is known to have been
//! whole and they leave its structure alone. What can't be explained so is left to sled, and told where
//! it is known to be no crash.

use std::fs::{File, OpenOptions};
use std::io;
use std::os::unix::fs::FileExt as _;
use std::path::{Path, PathBuf};

use crate::observe::{Events, ProcessEvent};

use super::engine::SEGMENT_BYTES;
use super::single_error::{self, SingleError};
use super::sled_frame::{
    Frame, HEADER_BYTES_MAX, SEGMENT_HEADER_BYTES, checksum_octets, segment_header,
};

/// Wrong octets that are told one by one.
const TOLD_MAX: usize = 20;

/// How much is looked at.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Scope {
    /// What sled will read as it opens: what was written since it last opened.
    Unread,
    /// The same, after a clean stop: all of it is known to have been whole.
    Closed,
    /// All of it.
    All,
}

/// Something that was wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Mended {
    /// Where, in the file.
    pub at: u64,
    pub how: How,
}

/// What became of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum How {
    /// It was put right.
    Right,
    /// It is in a record or a body, and still wrong.
    InRecord,
    /// It could not be mended; so many octets behind it are what sled will pass over at least.
    Lost(u64),
}

/// Tells of it, as far as it is not too much.
pub(super) fn tell(mended: &[Mended], database: &Path, events: &Events) {
    for Mended { at, how } in mended.iter().take(TOLD_MAX) {
        let what = match how {
            How::Right => "it was put right, and nothing is lost by it".to_owned(),
            How::InRecord => "a record or the text of a message is damaged by it".to_owned(),
            How::Lost(octets) => format!(
                "it could not be put right, and what was accepted may be lost: {octets} octets from there"
            ),
        };
        let file = database.join("db");
        events.emit(ProcessEvent::Alarm {
            what: &format!("{}: octet {at} was wrong; {what}", file.display()),
            todo: "see to the disk; `gopherpost queue verify` names what is damaged, and with --repair puts it aside",
        });
    }
    if mended.len() > TOLD_MAX {
        let more = mended.len() - TOLD_MAX;
        events.emit(ProcessEvent::Alarm {
            what: &format!("{more} more octets of the database were wrong"),
            todo: "see to the disk",
        });
    }
}

/// Checks the log and the snapshot of the database in this directory and mends what can be mended.
/// Durable. Blocks, for as long as it takes to read it.
pub(super) fn check(database: &Path, scope: Scope) -> io::Result<Vec<Mended>> {
    let (snapshot, told) = newest_snapshot(database)?;
    if let Some(path) = snapshot {
        mend_snapshot(&path)?;
    }
    let path = database.join("db");
    let file = match OpenOptions::new().read(true).write(true).open(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        file => file?,
    };
    let mut log = Log {
        from: match scope {
            Scope::Unread | Scope::Closed => told,
            Scope::All => 0,
        },
        whole_to: match scope {
            Scope::Closed => u64::MAX,
            Scope::Unread | Scope::All => told,
        },
        closed: scope == Scope::Closed,
        mended: Vec::new(),
        file,
    };
    let len = log.file.metadata()?.len();
    for segment in (0..len).step_by(SEGMENT_BYTES) {
        log.segment(segment)?;
    }
    if !log.mended.is_empty() {
        log.file.sync_all()?;
    }
    Ok(log.mended)
}

struct Log {
    file: File,
    /// Segments of before that are passed over, by their place in the log.
    from: u64,
    /// Frames before that place in the log were once whole on disk.
    whole_to: u64,
    closed: bool,
    mended: Vec<Mended>,
}

impl Log {
    fn segment(&mut self, at: u64) -> io::Result<()> {
        let mut header = [0; SEGMENT_HEADER_BYTES];
        if read_up_to(&self.file, &mut header, at)? < header.len() {
            return Ok(());
        }
        let Some(lsn) = self.segment_header(&mut header, at)? else {
            return Ok(()); // never written, or given back
        };
        let segment_bytes = SEGMENT_BYTES as u64;
        if lsn % segment_bytes != 0 || lsn + segment_bytes <= self.from {
            return Ok(());
        }
        let mut octets = vec![0; SEGMENT_BYTES];
        let len = read_up_to(&self.file, &mut octets, at)?;
        octets.truncate(len);
        self.frames(&mut octets, at, lsn / segment_bytes)
    }

    /// The place of a segment in the log, from its header, mended if need be.
    fn segment_header(
        &mut self,
        header: &mut [u8; SEGMENT_HEADER_BYTES],
        at: u64,
    ) -> io::Result<Option<u64>> {
        let (stored, computed, lsn) = segment_header(header);
        if stored == computed {
            return Ok(Some(lsn));
        }
        if header.iter().all(|octet| *octet == header[0]) {
            return Ok(None);
        }
        let checked = SEGMENT_HEADER_BYTES - 4;
        let wrong = match single_error::find(stored, computed, checked) {
            None => return Ok(None),
            Some(SingleError::Checksum) => {
                header[..4].copy_from_slice(&checksum_octets(computed));
                at
            }
            Some(SingleError::Octet { at: octet, xor }) => {
                header[4 + octet] ^= xor;
                at + 4 + octet as u64
            }
        };
        self.file.write_all_at(header, at)?;
        self.told(wrong, How::Right);
        Ok(Some(segment_header(header).2))
    }

    fn frames(&mut self, octets: &mut [u8], segment: u64, number: u64) -> io::Result<()> {
        let mut at = SEGMENT_HEADER_BYTES;
        let last = SEGMENT_BYTES - HEADER_BYTES_MAX;
        while at <= last && at < octets.len() {
            let rest = &mut octets[at..];
            let frame = match Frame::read(rest, number) {
                Some(frame) if frame.is_right() => frame,
                frame => {
                    let offset = segment + at as u64;
                    let was_whole = number * SEGMENT_BYTES as u64 + (at as u64) < self.whole_to;
                    let seen = frame.clone().filter(|_| was_whole);
                    let mended = mend(rest, frame, number);
                    let mended = mended.or_else(|| take_as_it_is(rest, seen?, number));
                    let Some((frame, wrong)) = mended else {
                        // the end of the log, or what a crash tore, or more than can be mended
                        if let Some(octets) = next_frame(rest, number).filter(|_| self.closed) {
                            self.told(offset, How::Lost(octets));
                        }
                        return Ok(());
                    };
                    self.file.write_all_at(&rest[..frame.len()], offset)?;
                    self.told(offset + wrong.at, wrong.how);
                    frame
                }
            };
            if frame.is_cap() {
                break;
            }
            at += frame.len();
        }
        Ok(())
    }

    fn told(&mut self, at: u64, how: How) {
        self.mended.push(Mended { at, how });
    }
}

/// Mends the frame at the front of `octets`, if a single octet of it is wrong; says which, counted from
/// there.
fn mend(octets: &mut [u8], frame: Option<Frame>, segment: u64) -> Option<(Frame, Mended)> {
    match frame {
        Some(frame) => {
            mend_by_checksum(octets, frame, segment).or_else(|| mend_header(octets, segment))
        }
        None => mend_header(octets, segment),
    }
}

fn mend_by_checksum(octets: &mut [u8], frame: Frame, segment: u64) -> Option<(Frame, Mended)> {
    let error = single_error::find(frame.stored, frame.computed, frame.checked_len())?;
    let (at, how) = match error {
        SingleError::Checksum => {
            frame.values(octets)?;
            octets[..4].copy_from_slice(&checksum_octets(frame.computed));
            (0, How::Right)
        }
        SingleError::Octet { at, xor } => {
            let at = frame.position(at);
            octets[at] ^= xor;
            let right = Frame::read(octets, segment).filter(Frame::is_right);
            let Some(values) = right.and_then(|right| right.values(octets)) else {
                octets[at] ^= xor;
                return None;
            };
            if values.iter().any(|value| value.contains(&at)) {
                octets[at] ^= xor;
                octets[..4].copy_from_slice(&checksum_octets(frame.computed));
                (at, How::InRecord)
            } else {
                (at, How::Right)
            }
        }
    };
    let at = at as u64;
    let frame = Frame::read(octets, segment).filter(Frame::is_right)?;
    Some((frame, Mended { at, how }))
}

/// Makes the checksum of a frame match that has more than one wrong octet, and still makes sense.
fn take_as_it_is(octets: &mut [u8], frame: Frame, segment: u64) -> Option<(Frame, Mended)> {
    let has_values = !frame.values(octets)?.is_empty();
    let fits = frame.len() == octets.len() || next_is_right(&octets[frame.len()..], segment);
    if !has_values || !fits {
        return None;
    }
    octets[..4].copy_from_slice(&checksum_octets(frame.computed));
    let frame = Frame::read(octets, segment).filter(Frame::is_right)?;
    let how = How::InRecord;
    Some((frame, Mended { at: 0, how }))
}

fn next_is_right(octets: &[u8], segment: u64) -> bool {
    Frame::read(octets, segment).is_some_and(|frame| frame.is_right())
}

/// How far away the next frame of this segment is that is whole.
fn next_frame(octets: &[u8], segment: u64) -> Option<u64> {
    let zeros: &[u8; 4096] = &[0; 4096];
    let mut used = octets;
    while let Some(shorter) = used.strip_suffix(zeros) {
        used = shorter;
    }
    let found = (1..used.len()).find(|&at| next_is_right(&octets[at..], segment));
    found.map(|at| at as u64)
}

/// If length or segment are wrong, the frame is not seen as one: each octet of its header is tried.
fn mend_header(octets: &mut [u8], segment: u64) -> Option<(Frame, Mended)> {
    let header = octets.len().min(HEADER_BYTES_MAX);
    if octets[..header].iter().all(|octet| *octet == 0) {
        return None; // nothing was written here
    }
    for at in 4..header {
        for xor in 1..=255 {
            octets[at] ^= xor;
            let frame = Frame::read(octets, segment).filter(|frame| at < frame.header_len);
            let right = frame.filter(Frame::is_right);
            if let Some(frame) = right.filter(|right| right.values(octets).is_some()) {
                let (at, how) = (at as u64, How::Right);
                return Some((frame, Mended { at, how }));
            }
            octets[at] ^= xor;
        }
    }
    None
}

/// The snapshot that sled would read, and up to where in the log it tells.
fn newest_snapshot(database: &Path) -> io::Result<(Option<PathBuf>, u64)> {
    let entries = match std::fs::read_dir(database) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok((None, 0)),
        entries => entries?,
    };
    let mut newest = (None, 0);
    for entry in entries {
        let entry = entry?;
        let name = entry.file_name();
        let lsn = name.to_str().and_then(|name| name.strip_prefix("snap."));
        let lsn = lsn.and_then(|lsn| u64::from_str_radix(lsn, 16).ok());
        if let Some(lsn) = lsn.filter(|lsn| newest.0.is_none() || *lsn > newest.1) {
            newest = (Some(entry.path()), lsn);
        }
    }
    Ok(newest)
}

/// It ends with eight octets of its length and a checksum of what is before both.
fn mend_snapshot(path: &Path) -> io::Result<()> {
    let mut octets = std::fs::read(path)?;
    let Some(len) = octets.len().checked_sub(12) else {
        return Ok(());
    };
    let (content, end) = octets.split_at(len);
    let stored = end.last_chunk::<4>().copied().unwrap_or_default();
    let (stored, computed) = (u32::from_le_bytes(stored), crc32fast::hash(content));
    match single_error::find(stored, computed, len) {
        None => return Ok(()),
        Some(SingleError::Checksum) => {
            octets[len + 8..].copy_from_slice(&computed.to_le_bytes());
        }
        Some(SingleError::Octet { at, xor }) => octets[at] ^= xor,
    }
    let file = OpenOptions::new().write(true).open(path)?;
    file.write_all_at(&octets, 0)?;
    file.sync_all()
}

fn read_up_to(file: &File, octets: &mut [u8], at: u64) -> io::Result<usize> {
    let mut len = 0;
    while len < octets.len() {
        match file.read_at(&mut octets[len..], at + len as u64) {
            Ok(0) => break,
            Ok(read) => len += read,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(len)
}
