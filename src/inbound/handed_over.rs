//! Sockets that the service manager opened for us and keeps while we restart (sd_listen_fds(3)),
//! so that no client finds a closed door meanwhile. Their names say what they are for.

use std::io;
use std::net::{SocketAddr, TcpListener as StdListener};

use listenfd::ListenFd;
use tokio::net::TcpListener;

use crate::observe::{Events, ProcessEvent};

/// A socket that the service manager handed over is no listening one, or can't be used.
#[derive(Debug, thiserror::Error)]
#[error("can't listen on the service manager's socket {name:?}: {source}; check the socket unit")]
pub struct UnusableSocket {
    /// As the socket unit calls it.
    name: String,
    source: io::Error,
}

/// Of systemd: what the descriptors are called, in their order, with colons between.
const NAMES: &str = "LISTEN_FDNAMES";

/// Listening sockets with their names. What is not taken is closed with it.
#[derive(Debug, Default)]
pub(super) struct HandedOver(Vec<(String, StdListener)>);

impl HandedOver {
    /// What this process was given, if it was given any. Only the first to ask gets it.
    ///
    /// # Errors
    /// One of them is no listening TCP socket.
    #[expect(
        clippy::disallowed_methods,
        reason = "what systemd says of its sockets is no configuration"
    )]
    pub(super) fn from_process() -> Result<HandedOver, UnusableSocket> {
        let mut given = ListenFd::from_env();
        let names = std::env::var(NAMES).unwrap_or_default();
        let mut names = names.split(':');
        let mut sockets = Vec::with_capacity(given.len());
        for at in 0..given.len() {
            let name = names.next().unwrap_or_default().to_owned();
            match given.take_tcp_listener(at) {
                Ok(socket) => sockets.extend(socket.map(|socket| (name, socket))),
                Err(source) => return Err(UnusableSocket { name, source }),
            }
        }
        Ok(HandedOver(sockets))
    }

    /// Those with this name: then none are to be opened for it.
    ///
    /// # Errors
    /// The system has trouble with one of them.
    pub(super) fn take(
        &mut self,
        wanted: &str,
    ) -> Result<Vec<(TcpListener, SocketAddr)>, UnusableSocket> {
        let taken = self.0.extract_if(.., |(name, _)| name == wanted);
        let usable = taken.map(|(name, socket)| {
            into_tokio(socket).map_err(|source| UnusableSocket { name, source })
        });
        usable.collect()
    }

    /// Tells of what nobody took, and closes it.
    pub(super) fn tell_what_is_left(self, events: &Events) {
        for (name, _) in self.0 {
            events.emit(ProcessEvent::Warning {
                what: &format!("the service manager's socket {name:?} is not used"),
                todo: "FileDescriptorName= must be smtp, or smtps where SMTP_TLS_PORT is set",
            });
        }
    }
}

fn into_tokio(socket: StdListener) -> io::Result<(TcpListener, SocketAddr)> {
    socket.set_nonblocking(true)?;
    let listener = TcpListener::from_std(socket)?;
    let address = listener.local_addr()?;
    Ok((listener, address))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn each_entrance_takes_those_with_its_name() {
        let socket = |name: &str| {
            let socket = StdListener::bind("127.0.0.1:0").unwrap();
            (name.to_owned(), socket)
        };
        let mut given = HandedOver(vec![socket("smtp"), socket("smtps"), socket("smtp")]);
        assert_eq!(given.take("smtp").unwrap().len(), 2);
        assert_eq!(given.take("smtp").unwrap().len(), 0);
        assert_eq!(given.take("smtps").unwrap().len(), 1);
        assert!(given.0.is_empty());
    }

    #[test]
    fn without_a_service_manager_there_are_none() {
        assert!(HandedOver::from_process().unwrap().0.is_empty());
    }
}
