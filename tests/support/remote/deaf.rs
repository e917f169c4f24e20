//! A port that neither accepts nor refuses, so that a connection attempt times out.

use std::io;
use std::net::SocketAddr;

use socket2::{Domain, Socket, Type};
use tokio::net::TcpStream;

/// A listener whose queue is full. While it is kept, the kernel drops every further SYN.
#[derive(Debug)]
pub(super) struct FullListener {
    _listener: Socket,
    _waiting: TcpStream,
}

pub(super) async fn listen(address: SocketAddr) -> io::Result<FullListener> {
    let listener = Socket::new(Domain::for_address(address), Type::STREAM, None)?;
    listener.set_reuse_address(true)?;
    listener.bind(&address.into())?;
    listener.listen(0)?; // Linux keeps one connection waiting all the same
    let waiting = TcpStream::connect(address).await?;
    Ok(FullListener {
        _listener: listener,
        _waiting: waiting,
    })
}
