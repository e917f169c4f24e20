//! A client's connection, in clear or in TLS.

use std::io::{self, ErrorKind};
use std::pin::Pin;
use std::task::{Context, Poll};

use rustls::ProtocolVersion;
use tokio::io::{AsyncRead, AsyncWrite, AsyncWriteExt, ReadBuf};
use tokio::net::TcpStream;
use tokio_rustls::server::TlsStream;

/// Octets as SMTP sees them.
#[derive(Debug)]
pub(super) enum Stream {
    Clear(TcpStream),
    Tls(Box<TlsStream<TcpStream>>),
    /// A handshake has it, or did not give it back: for SMTP it is at its end.
    Gone,
}

impl Stream {
    /// Takes the connection out if it is in clear, for a handshake.
    pub(super) fn take_clear(&mut self) -> Option<TcpStream> {
        match std::mem::replace(self, Stream::Gone) {
            Stream::Clear(stream) => Some(stream),
            other => {
                *self = other;
                None
            }
        }
    }

    /// Writes what can be written without waiting; returns how many octets. Inside TLS that is none.
    pub(super) fn try_write(&self, octets: &[u8]) -> io::Result<usize> {
        match self {
            Stream::Clear(stream) => match stream.try_write(octets) {
                Err(error) if error.kind() == ErrorKind::WouldBlock => Ok(0),
                result => result,
            },
            Stream::Tls(_) => Ok(0),
            Stream::Gone => Err(ErrorKind::NotConnected.into()),
        }
    }

    /// What binds an exchange to this connection (tls-exporter, RFC 9266 2); `None`: there is
    /// nothing. In TLS 1.2 it would be safe only with an extended master secret, of which we can't
    /// know (RFC 9266 4).
    pub(super) fn channel_binding(&self) -> Option<Box<[u8]>> {
        let Stream::Tls(stream) = self else {
            return None;
        };
        let (_, connection) = stream.get_ref();
        if connection.protocol_version() != Some(ProtocolVersion::TLSv1_3) {
            return None;
        }
        let label = b"EXPORTER-Channel-Binding";
        let exported = connection.export_keying_material([0; 32], label, Some(&[]));
        exported.ok().map(|octets| octets.into())
    }

    /// Writes all of it and lets it leave.
    pub(super) async fn write_and_flush(&mut self, octets: &[u8]) -> io::Result<()> {
        self.write_all(octets).await?;
        self.flush().await
    }
}

impl AsyncRead for Stream {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Stream::Clear(stream) => Pin::new(stream).poll_read(cx, buf),
            Stream::Tls(stream) => Pin::new(stream).poll_read(cx, buf),
            Stream::Gone => Poll::Ready(Ok(())),
        }
    }
}

impl AsyncWrite for Stream {
    fn poll_write(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        match self.get_mut() {
            Stream::Clear(stream) => Pin::new(stream).poll_write(cx, buf),
            Stream::Tls(stream) => Pin::new(stream).poll_write(cx, buf),
            Stream::Gone => Poll::Ready(Err(ErrorKind::NotConnected.into())),
        }
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Stream::Clear(stream) => Pin::new(stream).poll_flush(cx),
            Stream::Tls(stream) => Pin::new(stream).poll_flush(cx),
            Stream::Gone => Poll::Ready(Ok(())),
        }
    }

    /// Inside TLS, close_notify goes first.
    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Stream::Clear(stream) => Pin::new(stream).poll_shutdown(cx),
            Stream::Tls(stream) => Pin::new(stream).poll_shutdown(cx),
            Stream::Gone => Poll::Ready(Ok(())),
        }
    }
}
