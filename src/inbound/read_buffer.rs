//! What was read from a client and not used up yet.

use std::io;

use tokio::io::{AsyncRead, AsyncReadExt};

use crate::mail::limits::{DATA_READ_BYTES, SESSION_READ_BYTES};

/// Octets of one connection. Small while commands are read; grows for message data only when reads
/// fill it, and becomes small again afterwards, so that idle sessions and small messages are cheap.
#[derive(Debug)]
pub(super) struct ReadBuffer {
    octets: Vec<u8>,
    used: usize,
    last_read_filled_it: bool,
}

impl ReadBuffer {
    pub(super) fn new() -> ReadBuffer {
        ReadBuffer {
            octets: Vec::with_capacity(SESSION_READ_BYTES),
            used: 0,
            last_read_filled_it: false,
        }
    }

    pub(super) fn unread(&self) -> &[u8] {
        &self.octets[self.used..]
    }

    /// # Panics
    /// If there are not so many octets.
    pub(super) fn consume(&mut self, count: usize) {
        self.used += count;
        assert!(self.used <= self.octets.len());
    }

    /// Throws everything away.
    pub(super) fn clear(&mut self) {
        self.octets.clear();
        self.used = 0;
    }

    /// Reads more commands; returns how many octets, 0 at the end of the stream. Cancel-safe.
    pub(super) async fn read_command(
        &mut self,
        stream: &mut (impl AsyncRead + Unpin),
    ) -> io::Result<usize> {
        self.read(stream, SESSION_READ_BYTES).await
    }

    /// As [`ReadBuffer::read_command`], for message data.
    pub(super) async fn read_data(
        &mut self,
        stream: &mut (impl AsyncRead + Unpin),
    ) -> io::Result<usize> {
        let size = if self.last_read_filled_it {
            DATA_READ_BYTES
        } else {
            SESSION_READ_BYTES
        };
        self.read(stream, size).await
    }

    async fn read(
        &mut self,
        stream: &mut (impl AsyncRead + Unpin),
        size: usize,
    ) -> io::Result<usize> {
        self.make_room(size);
        let count = stream.read_buf(&mut self.octets).await?;
        self.last_read_filled_it = self.octets.len() == self.octets.capacity();
        Ok(count)
    }

    /// Callers leave less than a buffer full unread, so there is room behind it afterwards.
    fn make_room(&mut self, size: usize) {
        if self.used > 0 {
            self.octets.drain(..self.used);
            self.used = 0;
        }
        assert!(self.octets.len() < size);
        if self.octets.capacity() != size {
            let mut octets = Vec::with_capacity(size);
            octets.append(&mut self.octets);
            self.octets = octets;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn it_grows_for_data_and_shrinks_again() {
        let octets: Vec<u8> = (0..=255).cycle().take(200_000).collect();
        let mut stream = &octets[..];
        let mut buffer = ReadBuffer::new();
        let mut seen = Vec::new();
        assert_eq!(
            buffer.read_command(&mut stream).await.unwrap(),
            SESSION_READ_BYTES
        );
        seen.extend_from_slice(&buffer.unread()[..5_000]);
        buffer.consume(5_000);
        let count = buffer.read_data(&mut stream).await.unwrap();
        assert_eq!(count, DATA_READ_BYTES - (SESSION_READ_BYTES - 5_000));
        seen.extend_from_slice(buffer.unread());
        buffer.consume(buffer.unread().len());
        while buffer.read_command(&mut stream).await.unwrap() > 0 {
            assert_eq!(buffer.octets.capacity(), SESSION_READ_BYTES);
            seen.extend_from_slice(buffer.unread());
            buffer.consume(buffer.unread().len());
        }
        assert_eq!(seen, octets);
    }
}
