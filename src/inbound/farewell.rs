//! The end of a connection that we end: the last reply must arrive whole. A close with input unread
//! makes the system send a reset, which can overtake the reply; so the rest is read and thrown away
//! for a short while.

use std::io::{self, Write};

use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::timeout;

use crate::mail::limits::{LINGER, LINGER_BYTES_MAX};
use crate::smtp::server::Say;

use super::stream::Stream;

/// Ends a connection on which everything was written. Takes at most [`LINGER`].
pub(super) async fn close(mut stream: Stream) {
    let _ = timeout(LINGER, until_gone(&mut stream)).await; // then it is closed anyway
}

/// Sends a client away. Takes at most [`LINGER`].
pub(super) async fn refuse(mut stream: TcpStream, say: Say) {
    let mut reply = Vec::new();
    say.write(&mut reply);
    let said = async {
        stream.write_all(&reply).await?;
        until_gone(&mut stream).await
    };
    let _ = timeout(LINGER, said).await; // a client that does not listen misses its refusal
}

/// As [`refuse`], without waiting: best effort.
pub(super) fn refuse_at_once(stream: TcpStream, say: Say) {
    let mut reply = Vec::new();
    say.write(&mut reply);
    if let Ok(mut stream) = stream.into_std() {
        let _ = stream.write(&reply); // an empty send buffer takes it
    }
}

async fn until_gone(stream: &mut (impl AsyncRead + AsyncWrite + Unpin)) -> io::Result<()> {
    stream.shutdown().await?;
    let mut thrown_away = 0;
    let mut octets = [0; 4096];
    while thrown_away < LINGER_BYTES_MAX {
        match stream.read(&mut octets).await? {
            0 => break,
            count => thrown_away += count,
        }
    }
    Ok(())
}
