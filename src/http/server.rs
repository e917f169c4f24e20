//! Serving HTTP/1.1 so that no client can hold up another one or the mail: for the control socket and
//! the network alike. Connections are counted, a request's header has its time and its size, and who
//! does not read its answer is let go.

use std::convert::Infallible;
use std::future::Future;
use std::io;
use std::net::SocketAddr;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::http::{Request, Response};
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::{TcpListener, UnixListener};
use tokio::sync::Semaphore;
use tokio::task::JoinSet;
use tokio::time::{Instant, Sleep, sleep};
use tokio_util::sync::CancellationToken;
use tower::ServiceExt as _;

use crate::mail::limits::ACCEPT_PAUSE;

/// How long open connections may finish their answers when the process ends.
const DRAIN: Duration = Duration::from_secs(1);
/// A request line and header section that has grown to so many bytes is refused, unless the octets at
/// hand end it: the last read may bring as many again, so none is over 64 KiB.
const HEADER_BYTES_MAX: usize = 32 * 1024;
/// Most fields in a request's header section.
const HEADER_FIELDS_MAX: usize = 100;

/// Who is at the other end of a connection; an extension of each request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Peer {
    /// A process of this machine, on the control socket.
    Process {
        /// Its user; `None`: the kernel did not say.
        uid: Option<u32>,
    },
    /// Somebody in the network, or on the loopback.
    Network(SocketAddr),
}

/// What clients may use up.
#[derive(Clone, Copy, Debug)]
pub(super) struct Bounds {
    /// Connections at one time; further ones wait until they are accepted.
    pub(super) connections: usize,
    /// For a request's header, from the first octet or the end of the answer before.
    pub(super) header: Duration,
    /// For a client to read something of an answer that it has not read.
    pub(super) stall: Duration,
}

/// Where connections come from.
pub(super) trait Door: Send + 'static {
    /// A connection.
    type Stream: AsyncRead + AsyncWrite + Send + Unpin + 'static;

    /// The next one. Cancel-safe.
    fn next(&self) -> impl Future<Output = io::Result<(Self::Stream, Peer)>> + Send;
}

impl Door for UnixListener {
    type Stream = tokio::net::UnixStream;

    async fn next(&self) -> io::Result<(Self::Stream, Peer)> {
        let (stream, _) = self.accept().await?;
        let uid = stream.peer_cred().ok().map(|peer| peer.uid());
        Ok((stream, Peer::Process { uid }))
    }
}

impl Door for TcpListener {
    type Stream = tokio::net::TcpStream;

    async fn next(&self) -> io::Result<(Self::Stream, Peer)> {
        let (stream, peer) = self.accept().await?;
        let _ = stream.set_nodelay(true); // slower without it, nothing worse
        Ok((stream, Peer::Network(peer)))
    }
}

/// Serves until `shutdown`; then answers under way have a moment to end.
pub(super) async fn serve_http<D: Door>(
    door: D,
    router: Router,
    bounds: Bounds,
    shutdown: CancellationToken,
) {
    let places = Arc::new(Semaphore::new(bounds.connections));
    let mut connections = JoinSet::new();
    loop {
        let next = async {
            // never closed
            let place = places
                .clone()
                .acquire_owned()
                .await
                .map_err(io::Error::other)?;
            Ok((place, door.next().await?))
        };
        tokio::select! {
            biased;
            () = shutdown.cancelled() => break,
            Some(_) = connections.join_next() => {} // a panic cost that connection
            next = next => match next {
                Ok((place, (stream, peer))) => {
                    let connection = answer(stream, peer, router.clone(), bounds, shutdown.clone());
                    connections.spawn(async move {
                        connection.await;
                        drop(place);
                    });
                }
                Err(error) => {
                    let error: io::Error = error;
                    if error.kind() != io::ErrorKind::ConnectionAborted {
                        sleep(ACCEPT_PAUSE).await; // such as for lack of descriptors
                    }
                }
            },
        }
    }
    drop(door);
    let drained = async { while connections.join_next().await.is_some() {} };
    let _ = tokio::time::timeout(DRAIN, drained).await; // what is left ends with its tasks
}

/// One connection, until its client or the process ends it. What goes wrong is the client's trouble.
async fn answer<S: AsyncRead + AsyncWrite + Send + Unpin + 'static>(
    stream: S,
    peer: Peer,
    router: Router,
    bounds: Bounds,
    shutdown: CancellationToken,
) {
    let service = service_fn(move |mut request: Request<Incoming>| {
        request.extensions_mut().insert(peer);
        let answer = router.clone().oneshot(request.map(Body::new));
        async move { answer.await as Result<Response<Body>, Infallible> }
    });
    let connection = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(bounds.header)
        .max_buf_size(HEADER_BYTES_MAX)
        .max_headers(HEADER_FIELDS_MAX)
        .half_close(false)
        .serve_connection(TokioIo::new(Impatient::new(stream, bounds.stall)), service);
    let mut connection = pin!(connection);
    tokio::select! {
        _ = &mut connection => return,
        () = shutdown.cancelled() => connection.as_mut().graceful_shutdown(),
    }
    let _ = connection.await;
}

/// A stream on which a write that makes no progress for a while fails.
struct Impatient<S> {
    stream: S,
    patience: Duration,
    /// While a write waits.
    waits: Option<Pin<Box<Sleep>>>,
}

impl<S> Impatient<S> {
    fn new(stream: S, patience: Duration) -> Impatient<S> {
        Impatient {
            stream,
            patience,
            waits: None,
        }
    }

    fn watch<T>(
        &mut self,
        cx: &mut Context<'_>,
        written: Poll<io::Result<T>>,
    ) -> Poll<io::Result<T>> {
        if written.is_ready() {
            self.waits = None;
            return written;
        }
        let (until, patience) = (Instant::now(), self.patience);
        let waits = self
            .waits
            .get_or_insert_with(|| Box::pin(tokio::time::sleep_until(until + patience)));
        ready!(waits.as_mut().poll(cx));
        Poll::Ready(Err(io::ErrorKind::TimedOut.into()))
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Impatient<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        into: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_read(cx, into)
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Impatient<S> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        octets: &[u8],
    ) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.stream).poll_write(cx, octets);
        self.watch(cx, written)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.stream).poll_write_vectored(cx, slices);
        self.watch(cx, written)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let flushed = Pin::new(&mut self.stream).poll_flush(cx);
        self.watch(cx, flushed)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let shut = Pin::new(&mut self.stream).poll_shutdown(cx);
        self.watch(cx, shut)
    }
}
