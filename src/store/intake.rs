//! Where the octets of a message go while they come in.

use std::fs::File;
use std::io::{self, Read as _, Write as _};
use std::sync::Arc;

use crate::mail::BodyFacts;
use crate::mail::limits::{BODY_PIECE_BYTES, INLINE_BODY_BYTES_MAX};

use super::body_files::{BodyFiles, FileGuard, OnItsWay};
use super::{CommitError, disk_error};

/// Collects the octets of one message: small bodies stay in memory, larger ones go to a file piece
/// by piece, so that memory does not grow with the message. Dropped, or made into a
/// [`FinishedBody`] that is never accepted, it leaves nothing behind.
pub struct Intake {
    files: Arc<BodyFiles>,
    name: String,
    /// Someone is to be attempted at once, so the octets are read again soon.
    read_soon: bool,
    buffer: Vec<u8>,
    settled: usize,
    file: Option<(File, FileGuard)>,
    len: u64,
    crc: crc32fast::Hasher,
    has_8bit: bool,
    /// The last two octets.
    tail: [u8; 2],
}

/// Octets that are complete; if they are in a file, its content is on disk.
pub struct FinishedBody {
    facts: BodyFacts,
    pub(super) octets: Octets,
    /// If it is a file, until the committer has it.
    on_its_way: Option<OnItsWay>,
}

pub(super) enum Octets {
    Inline(Vec<u8>),
    File(FileGuard),
}

impl Intake {
    pub(super) fn new(files: Arc<BodyFiles>, name: String, read_soon: bool) -> Intake {
        Intake {
            files,
            name,
            read_soon,
            buffer: Vec::new(),
            settled: 0,
            file: None,
            len: 0,
            crc: crc32fast::Hasher::new(),
            has_8bit: false,
            tail: *b"\r\n", // as if of the line above
        }
    }

    /// Append octets here, then call [`Intake::settle`].
    pub fn buffer(&mut self) -> &mut Vec<u8> {
        &mut self.buffer
    }

    /// Takes notice of what was appended, and writes a piece to the file once there is enough.
    ///
    /// If the future is dropped, the intake is of no more use: a piece may be missing.
    pub async fn settle(&mut self) -> Result<(), CommitError> {
        self.take_notice();
        if self.buffer.len() >= BODY_PIECE_BYTES {
            let (file, mut buffer) = self.write_out(File::flush).await?;
            buffer.clear();
            self.buffer = buffer;
            self.file = Some(file);
            self.settled = 0;
        }
        Ok(())
    }

    /// Completes the octets; a file's content is durable afterwards.
    pub async fn finish(mut self) -> Result<FinishedBody, CommitError> {
        self.take_notice();
        let facts = BodyFacts {
            len: self.len,
            crc32: self.crc.clone().finalize(),
            has_8bit: self.has_8bit,
            ends_in_line_end: self.tail == *b"\r\n",
        };
        if self.file.is_none() && self.buffer.len() <= INLINE_BODY_BYTES_MAX {
            return Ok(FinishedBody {
                facts,
                octets: Octets::Inline(self.buffer),
                on_its_way: None,
            });
        }
        let on_its_way = OnItsWay::new(self.files.clone());
        let forget = !self.read_soon || self.len > BODY_PIECE_BYTES as u64;
        let ((_, guard), _) = self
            .write_out(move |file| make_durable(file, forget))
            .await?;
        Ok(FinishedBody {
            facts,
            octets: Octets::File(guard),
            on_its_way: Some(on_its_way),
        })
    }

    fn take_notice(&mut self) {
        let fresh = &self.buffer[self.settled..];
        self.crc.update(fresh);
        self.has_8bit |= !fresh.is_ascii();
        self.len += fresh.len() as u64;
        self.tail = match fresh {
            [.., before, last] => [*before, *last],
            [last] => [self.tail[1], *last],
            [] => self.tail,
        };
        self.settled = self.buffer.len();
    }

    /// Writes the buffer to the file, which is created if need be, and then does `last`; on a
    /// blocking thread, never on the event loop.
    async fn write_out(
        &mut self,
        last: impl FnOnce(&mut File) -> io::Result<()> + Send + 'static,
    ) -> Result<((File, FileGuard), Vec<u8>), CommitError> {
        let (files, name) = (self.files.clone(), self.name.clone());
        let (file, buffer) = (self.file.take(), std::mem::take(&mut self.buffer));
        let write = move || -> io::Result<_> {
            let (mut file, guard) = match file {
                Some(open) => open,
                None => (files.create(&name)?, FileGuard::new(files, name)),
            };
            file.write_all(&buffer)?;
            last(&mut file)?;
            Ok(((file, guard), buffer))
        };
        match tokio::task::spawn_blocking(write).await {
            Ok(written) => written.map_err(|error| disk_error(&error)),
            Err(_) => Err(CommitError::Closed), // only at the end of the runtime, or by a panic told elsewhere
        }
    }
}

/// Syncs the content; then lets the page cache forget it, if it is large or not read again soon and
/// would only crowd out the rest.
fn make_durable(file: &mut File, forget: bool) -> io::Result<()> {
    file.sync_data()?;
    if forget {
        let advice = rustix::fs::Advice::DontNeed;
        let _ = rustix::fs::fadvise(&*file, 0, None, advice); // only advice
    }
    Ok(())
}

impl FinishedBody {
    /// What is known about the octets.
    #[must_use]
    pub fn facts(&self) -> BodyFacts {
        self.facts
    }

    /// Says that the committer has it; returns whether it is a file.
    pub(super) fn arrive(&mut self) -> bool {
        self.on_its_way.take().is_some()
    }

    /// The first `len` octets, or all if there are fewer. A file is read on a thread that may wait.
    pub async fn head(&self, len: usize) -> io::Result<Vec<u8>> {
        let path = match &self.octets {
            Octets::Inline(octets) => return Ok(octets[..len.min(octets.len())].to_vec()),
            Octets::File(guard) => guard.path(),
        };
        let read = move || -> io::Result<Vec<u8>> {
            let mut head = Vec::with_capacity(len);
            File::open(path)?.take(len as u64).read_to_end(&mut head)?;
            Ok(head)
        };
        let read = tokio::task::spawn_blocking(read).await;
        read.unwrap_or_else(|_| Err(io::Error::other("the reader ended")))
    }

    /// Length in bytes of what goes into the database itself.
    pub(super) fn inline_bytes(&self) -> usize {
        match &self.octets {
            Octets::Inline(octets) => octets.len(),
            Octets::File(_) => 0,
        }
    }
}
