//! What systemd is to a relay that it started: a socket that hears how far the relay is.

use std::panic::Location;

use tempfile::TempDir;
use tokio::net::UnixDatagram;

use super::deadline::within;

/// Listens for sd_notify(3) on a socket of its own.
#[derive(Debug)]
pub struct ServiceManager {
    socket: UnixDatagram,
    directory: TempDir,
}

impl ServiceManager {
    /// One that listens.
    pub fn new() -> ServiceManager {
        let directory = TempDir::new().expect("a temporary directory");
        let socket = UnixDatagram::bind(directory.path().join("notify"));
        ServiceManager {
            socket: socket.expect("a path that nobody else has"),
            directory,
        }
    }

    /// For `NOTIFY_SOCKET`.
    pub fn path(&self) -> String {
        self.directory.path().join("notify").display().to_string()
    }

    /// The next message that has `wanted`; what comes before is passed over.
    #[track_caller]
    pub fn hears(&self, wanted: &str) -> impl Future<Output = String> {
        let heard = self.hears_until(wanted);
        async move { heard.await.pop().expect("it ends with what was wanted") }
    }

    /// Every message up to one that has `wanted`, and that one.
    #[track_caller]
    pub fn hears_until(&self, wanted: &str) -> impl Future<Output = Vec<String>> {
        let (here, wanted) = (Location::caller(), wanted.to_owned());
        let describe = format!("the service manager to hear {wanted}");
        within(here, || describe, async move {
            let mut heard = Vec::new();
            let mut octets = vec![0; 4096];
            loop {
                let length = self.socket.recv(&mut octets).await.expect("our own socket");
                let told = String::from_utf8_lossy(&octets[..length]).into_owned();
                let ends = told.contains(&wanted);
                heard.push(told);
                if ends {
                    return heard;
                }
            }
        })
    }

    /// Passes over what it has not heard yet.
    pub fn forgets(&self) {
        let mut octets = vec![0; 4096];
        while self.socket.try_recv(&mut octets).is_ok() {}
    }
}
