//! From where and whereto a client connects.

use std::io;
use std::net::{IpAddr, SocketAddr};
use std::panic::Location;

use tokio::net::{TcpSocket, TcpStream};

use super::client::{Client, Rules};
use super::deadline::{Here, within};
use super::mail::Mail;
use super::submission::Submission;
use super::timeline::Timeline;
use super::wire::Wire;

/// A client to be. [`World::client`](super::World::client) gives one that calls the relay over IPv4.
#[derive(Clone, Debug)]
pub struct Dial {
    to: SocketAddr,
    from: Option<IpAddr>,
    rules: Rules,
    party: String,
    timeline: Timeline,
}

impl Dial {
    pub(super) fn new(to: SocketAddr, party: String, rules: Rules, timeline: Timeline) -> Dial {
        Dial {
            to,
            from: None,
            rules,
            party,
            timeline,
        }
    }

    /// Calls this address, same port.
    #[must_use]
    #[track_caller]
    pub fn at(mut self, ip: &str) -> Dial {
        self.to.set_ip(ip.parse().expect("an IP address"));
        self
    }

    /// Calls somebody else than the relay, who need not use enhanced status codes.
    #[must_use]
    pub fn to(mut self, address: SocketAddr) -> Dial {
        self.to = address;
        self.rules = Rules::OfLines;
        self
    }

    /// Calls another port of the relay.
    #[must_use]
    pub fn port(mut self, port: u16) -> Dial {
        self.to.set_port(port);
        self
    }

    /// Calls `::1`.
    #[must_use]
    pub fn over_v6(self) -> Dial {
        self.at("::1")
    }

    /// Calls from this address, such as `127.0.0.7`.
    #[must_use]
    #[track_caller]
    pub fn from(mut self, ip: &str) -> Dial {
        self.from = Some(ip.parse().expect("an IP address"));
        self
    }

    /// Doesn't check that replies keep the rules.
    #[must_use]
    pub fn lenient(mut self) -> Dial {
        self.rules = Rules::Any;
        self
    }

    /// Connects, and reads nothing yet.
    #[track_caller]
    pub fn connect(self) -> impl Future<Output = Client> {
        let here = Location::caller();
        async move {
            match self.try_dial(here).await {
                Ok(client) => client,
                Err((to, error)) => panic!("{here}: no connection to {to}: {error}"),
            }
        }
    }

    /// Connects, reads the greeting, says EHLO.
    #[track_caller]
    pub fn session(self) -> impl Future<Output = Client> {
        let (here, connecting) = (Location::caller(), self.connect());
        async move {
            let mut client = connecting.await;
            let greeting = client.read_reply().await;
            assert!(greeting.is(220), "{here}: greeted with {greeting}");
            let hello = client.cmd("EHLO client.test").await;
            assert!(hello.is(250), "{here}: EHLO got {hello}");
            client
        }
    }

    /// Fails unless the connection is refused.
    #[track_caller]
    pub fn expect_refused(self) -> impl Future<Output = ()> {
        let here = Location::caller();
        async move {
            let to = self.to;
            let connected = self.try_dial(here).await.is_ok();
            assert!(!connected, "{here}: {to} should refuse connections");
        }
    }

    /// A whole session for one mail: greeting, EHLO, the transaction, QUIT.
    #[track_caller]
    pub fn send(self, mail: Mail) -> impl Future<Output = Submission> {
        let connecting = self.connect();
        async move {
            let mut client = connecting.await;
            let greeting = client.read_reply().await;
            if greeting.code != 220 {
                return Submission::new(mail, vec![greeting]);
            }
            let hello = client.cmd("EHLO client.test").await;
            if hello.code != 250 {
                return Submission::new(mail, vec![hello]);
            }
            let submission = client.send(mail).await;
            if submission.last().code != 421 {
                let _ = client.cmd("QUIT").await; // how it says goodbye is another test's claim
            }
            submission
        }
    }

    /// As [`Dial::send`], for a relay that may be dead or die meanwhile: `None` if the last reply
    /// never came.
    #[track_caller]
    pub fn try_send(self, mail: Mail) -> impl Future<Output = Option<Submission>> {
        let here = Location::caller();
        async move {
            let mut client = self.try_session_from(here).await?;
            client.try_send(mail).await.ok()
        }
    }

    /// As [`Dial::session`], for a relay that may be dead or die meanwhile: `None` if it doesn't come
    /// as far as the reply to EHLO.
    #[track_caller]
    pub fn try_session(self) -> impl Future<Output = Option<Client>> {
        self.try_session_from(Location::caller())
    }

    async fn try_session_from(self, here: Here) -> Option<Client> {
        let mut client = self.try_dial(here).await.ok()?;
        client.try_hello(here).await.ok()?;
        Some(client)
    }

    async fn try_dial(self, here: Here) -> Result<Client, (SocketAddr, io::Error)> {
        let what = || format!("a connection to {}", self.to);
        let connected = within(here, what, connect(self.from, self.to)).await;
        let connected = connected.and_then(|stream| Ok((stream.local_addr()?, Wire::new(stream)?)));
        match connected {
            Ok((local, wire)) => {
                self.timeline.note(
                    &self.party,
                    &format!("connects from {local} to {}", self.to),
                );
                Ok(Client::new(wire, self.party, self.rules, self.timeline))
            }
            Err(error) => {
                let what = format!("no connection to {}: {error}", self.to);
                self.timeline.note(&self.party, &what);
                Err((self.to, error))
            }
        }
    }
}

async fn connect(from: Option<IpAddr>, to: SocketAddr) -> io::Result<TcpStream> {
    let socket = match to {
        SocketAddr::V4(_) => TcpSocket::new_v4()?,
        SocketAddr::V6(_) => TcpSocket::new_v6()?,
    };
    if let Some(from) = from {
        socket.bind(SocketAddr::new(from, 0))?;
    }
    socket.connect(to).await
}
