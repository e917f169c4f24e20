//! One end of a connection, in clear or in TLS, as both client and remote hosts use it.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use rustls::CommonState;
use rustls::pki_types::ServerName;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio_rustls::{TlsAcceptor, TlsConnector, TlsStream};

/// A connected socket.
#[derive(Debug)]
pub enum Wire {
    /// Octets as they are.
    Clear(TcpStream),
    /// Inside TLS.
    Tls(Box<TlsStream<TcpStream>>),
}

impl Wire {
    /// Takes a connected socket. Writes leave at once, each in a segment of its own.
    pub fn new(stream: TcpStream) -> io::Result<Wire> {
        stream.set_nodelay(true)?;
        Ok(Wire::Clear(stream))
    }

    /// The socket below.
    pub fn tcp(&self) -> &TcpStream {
        match self {
            Wire::Clear(stream) => stream,
            Wire::Tls(stream) => stream.get_ref().0,
        }
    }

    /// Whether octets are protected.
    pub fn is_tls(&self) -> bool {
        matches!(self, Wire::Tls(_))
    }

    /// What the handshake agreed upon; `None` in clear.
    pub fn tls(&self) -> Option<&CommonState> {
        match self {
            Wire::Clear(_) => None,
            Wire::Tls(stream) => Some(stream.get_ref().1),
        }
    }

    /// The name that the client asked for (SNI), as server.
    pub fn server_name(&self) -> Option<&str> {
        match self {
            Wire::Tls(stream) => match &**stream {
                TlsStream::Server(stream) => stream.get_ref().1.server_name(),
                TlsStream::Client(_) => None,
            },
            Wire::Clear(_) => None,
        }
    }

    /// What binds an exchange to a client's TLS connection (tls-exporter, RFC 9266).
    pub fn channel_binding(&self) -> Option<[u8; 32]> {
        match self {
            Wire::Tls(stream) => match &**stream {
                TlsStream::Client(stream) => stream
                    .get_ref()
                    .1
                    .export_keying_material([0; 32], b"EXPORTER-Channel-Binding", Some(&[]))
                    .ok(),
                TlsStream::Server(_) => None,
            },
            Wire::Clear(_) => None,
        }
    }

    /// Appends what comes next; 0: the peer said it sends nothing more. Cancel-safe.
    pub async fn read(&mut self, inbox: &mut Vec<u8>) -> io::Result<usize> {
        match self {
            Wire::Clear(stream) => stream.read_buf(inbox).await,
            Wire::Tls(stream) => stream.read_buf(inbox).await,
        }
    }

    /// Appends what is there already, without waiting.
    pub async fn read_waiting(&mut self, inbox: &mut Vec<u8>) -> io::Result<usize> {
        match tokio::time::timeout(Duration::ZERO, self.read(inbox)).await {
            Ok(result) => result,
            Err(_) => Ok(0),
        }
    }

    /// Writes all of it.
    pub async fn write(&mut self, octets: &[u8]) -> io::Result<()> {
        match self {
            Wire::Clear(stream) => stream.write_all(octets).await,
            Wire::Tls(stream) => {
                stream.write_all(octets).await?;
                stream.flush().await
            }
        }
    }

    /// Says that nothing more will be sent (in TLS with close_notify).
    pub async fn finish_sending(&mut self) -> io::Result<()> {
        match self {
            Wire::Clear(stream) => stream.shutdown().await,
            Wire::Tls(stream) => stream.shutdown().await,
        }
    }

    /// Ends it with RST, so that the peer sees a reset and not an end.
    pub fn reset(self) {
        // Without linger the kernel drops what is unsent and sends RST; an error means it is gone already.
        let _ = self.tcp().set_zero_linger();
    }

    /// Handshake as server.
    pub async fn accept_tls(self, config: Arc<rustls::ServerConfig>) -> io::Result<Wire> {
        let stream = TlsAcceptor::from(config).accept(self.into_clear()?).await?;
        Ok(Wire::Tls(Box::new(TlsStream::Server(stream))))
    }

    /// Handshake as client.
    pub async fn connect_tls(
        self,
        config: Arc<rustls::ClientConfig>,
        name: ServerName<'static>,
    ) -> io::Result<Wire> {
        let connector = TlsConnector::from(config);
        let stream = connector.connect(name, self.into_clear()?).await?;
        Ok(Wire::Tls(Box::new(TlsStream::Client(stream))))
    }

    fn into_clear(self) -> io::Result<TcpStream> {
        match self {
            Wire::Clear(stream) => Ok(stream),
            Wire::Tls(_) => Err(io::Error::other("TLS inside TLS")),
        }
    }
}
