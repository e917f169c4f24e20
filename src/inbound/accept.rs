//! The accept loop: takes connections, asks the gate, finds a place, hands over to a session.

use std::io::{self, ErrorKind};
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::task::{JoinError, JoinSet};
use tokio::time::{Instant, interval_at, sleep};
use tokio_util::sync::CancellationToken;

use crate::mail::limits::{ACCEPT_PAUSE, LOBBY_MAX};
use crate::observe::{ClientEvent, Events, ProcessEvent};
use crate::smtp::server::Say;

use super::access::{Decision, Gate, HostLookup};
use super::connection::Contexts;
use super::farewell;
use super::listener::Entrance;
use super::proxy::{Proxies, ProxyFault};
use super::renewal::Current;
use super::session::{self, Who};
use super::slots::{Slot, Slots};
use super::stream::Stream;

/// How often a failing accept, or a wait at the end, is told again.
const TELL_AGAIN: Duration = Duration::from_secs(10);

/// What every listener needs to let clients in, by one configuration.
pub(super) struct Door<L> {
    pub(super) proxies: Proxies,
    pub(super) gate: Arc<Gate<L>>,
    pub(super) slots: Arc<Slots>,
    /// As it is for whoever comes now; it goes on from one configuration to the next.
    pub(super) sessions: Contexts,
    pub(super) events: Events,
    /// Room for clients that are no session: being looked up, or being sent away.
    pub(super) lobby: Arc<Semaphore>,
}

impl<L> Door<L> {
    pub(super) fn lobby() -> Arc<Semaphore> {
        Arc::new(Semaphore::new(LOBBY_MAX))
    }
}

/// Serves one listener until `shutdown`, then waits for its sessions. Dropped, it ends them.
pub(super) async fn serve_listener<L: HostLookup>(
    listener: TcpListener,
    entrance: Entrance,
    current: Arc<Current<L>>,
    events: Events,
    shutdown: CancellationToken,
) {
    let mut sessions = JoinSet::new();
    let mut trouble = AcceptTrouble::default();
    loop {
        tokio::select! {
            biased;
            () = shutdown.cancelled() => break,
            Some(ended) = sessions.join_next() => tell_panic(&events, ended),
            accepted = listener.accept() => match accepted {
                Ok((stream, peer)) => {
                    let client = peer.ip().to_canonical();
                    let door = current.door.load_full();
                    door.let_in(stream, client, entrance, &mut sessions, &shutdown);
                }
                Err(error) if is_of_one_connection(&error) => {}
                Err(error) => {
                    trouble.tell(&events, &error);
                    sleep(ACCEPT_PAUSE).await;
                }
            },
        }
    }
    drop(listener);
    wait_for_sessions(sessions, &events).await;
}

/// Whether it is only the client that went away before it was accepted: others are waiting.
fn is_of_one_connection(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        ErrorKind::ConnectionAborted
            | ErrorKind::ConnectionReset
            | ErrorKind::ConnectionRefused
            | ErrorKind::Interrupted
    )
}

impl<L: HostLookup> Door<L> {
    /// Never waits: whatever takes time is given to a task of `sessions`.
    fn let_in(
        self: &Arc<Door<L>>,
        stream: TcpStream,
        client: IpAddr,
        entrance: Entrance,
        sessions: &mut JoinSet<()>,
        shutdown: &CancellationToken,
    ) {
        let _ = stream.set_nodelay(true); // slower without it, nothing worse
        if self.proxies.include(client) {
            self.look_up(stream, client, entrance, sessions, shutdown);
            return;
        }
        let decision = self.gate.decide_at_once(client);
        let admitted = match decision {
            Some(Decision::Admit(standing)) => self.slots.take(client).map(|slot| (slot, standing)),
            Some(Decision::Refuse(say)) => Err(say),
            None => {
                self.look_up(stream, client, entrance, sessions, shutdown);
                return;
            }
        };
        match admitted {
            Ok((slot, standing)) => {
                let who = Who { client, standing };
                let contexts = Arc::clone(&self.sessions);
                let shutdown = shutdown.clone();
                sessions.spawn(serve(contexts, stream, who, entrance, slot, shutdown));
            }
            Err(say) => self.send_away(stream, client, entrance, say, sessions),
        }
    }

    /// For what takes time to be known: the client behind a proxy, its right to connect.
    fn look_up(
        self: &Arc<Door<L>>,
        mut stream: TcpStream,
        peer: IpAddr,
        entrance: Entrance,
        sessions: &mut JoinSet<()>,
        shutdown: &CancellationToken,
    ) {
        let Ok(in_lobby) = Arc::clone(&self.lobby).try_acquire_owned() else {
            self.send_away(stream, peer, entrance, Say::TooManyConnections, sessions);
            return;
        };
        let (door, shutdown) = (Arc::clone(self), shutdown.clone());
        sessions.spawn(async move {
            let client = if door.proxies.include(peer) {
                match door.proxies.client(&mut stream, peer).await {
                    Ok(client) => client,
                    Err(fault) => {
                        door.tell_proxy_fault(peer, fault);
                        return farewell::close(Stream::Clear(stream)).await;
                    }
                }
            } else {
                peer
            };
            let decision = match door.gate.decide_at_once(client) {
                Some(decision) => decision,
                None => door.gate.decide(client).await,
            };
            let admitted = match decision {
                Decision::Admit(standing) => door.slots.take(client).map(|slot| (slot, standing)),
                Decision::Refuse(say) => Err(say),
            };
            match admitted {
                Ok((slot, standing)) => {
                    let who = Who { client, standing };
                    drop(in_lobby);
                    let contexts = Arc::clone(&door.sessions);
                    serve(contexts, stream, who, entrance, slot, shutdown).await;
                }
                Err(say) => {
                    door.tell_refused(client, say);
                    refuse(stream, entrance, say, in_lobby).await;
                }
            }
        });
    }

    fn send_away(
        &self,
        stream: TcpStream,
        client: IpAddr,
        entrance: Entrance,
        say: Say,
        sessions: &mut JoinSet<()>,
    ) {
        self.tell_refused(client, say);
        match Arc::clone(&self.lobby).try_acquire_owned() {
            Ok(in_lobby) => {
                sessions.spawn(refuse(stream, entrance, say, in_lobby));
            }
            Err(_full) => match entrance {
                Entrance::Clear(_) => farewell::refuse_at_once(stream, say),
                Entrance::Tls(_) => drop(stream),
            },
        }
    }

    fn tell_proxy_fault(&self, peer: IpAddr, fault: ProxyFault) {
        self.events.emit(ClientEvent::ProxyFault {
            proxy: peer,
            fault: &fault.to_string(),
        });
    }

    fn tell_refused(&self, client: IpAddr, say: Say) {
        self.events.emit(ClientEvent::ClientRefused { client, say });
    }
}

async fn serve(
    contexts: Contexts,
    stream: TcpStream,
    who: Who,
    entrance: Entrance,
    slot: Slot,
    shutdown: CancellationToken,
) {
    session::run(contexts, stream, who, entrance, shutdown).await;
    drop(slot);
}

async fn refuse(stream: TcpStream, entrance: Entrance, say: Say, in_lobby: OwnedSemaphorePermit) {
    match entrance {
        Entrance::Clear(_) => farewell::refuse(stream, say).await,
        // Nothing is said in clear there, and a handshake is more than a stranger is worth.
        Entrance::Tls(_) => farewell::close(Stream::Clear(stream)).await,
    }
    drop(in_lobby);
}

async fn wait_for_sessions(mut sessions: JoinSet<()>, events: &Events) {
    let mut ticks = interval_at(Instant::now() + TELL_AGAIN, TELL_AGAIN);
    loop {
        tokio::select! {
            ended = sessions.join_next() => match ended {
                Some(ended) => tell_panic(events, ended),
                None => return,
            },
            _ = ticks.tick() => events.emit(ProcessEvent::StillWaiting {
                what: "smtp sessions",
                count: sessions.len(),
            }),
        }
    }
}

/// A panic costs its session and nothing else.
fn tell_panic(events: &Events, ended: Result<(), JoinError>) {
    if let Err(error) = ended
        && error.is_panic()
    {
        events.emit(ProcessEvent::Alarm {
            what: "a session ended by a panic; its client was cut off, nothing it had a 250 for is lost",
            todo: "report this bug with the lines of standard error around it",
        });
    }
}

/// Tells about failing accepts now and then: at the descriptor limit each one fails.
#[derive(Default)]
struct AcceptTrouble {
    told: Option<Instant>,
}

impl AcceptTrouble {
    fn tell(&mut self, events: &Events, error: &io::Error) {
        let now = Instant::now();
        if self.told.is_none_or(|told| now - told >= TELL_AGAIN) {
            self.told = Some(now);
            events.emit(ProcessEvent::Warning {
                what: &format!("can't accept connections: {error}"),
                todo: "raise the limit of open files, or lower SMTP_MAX_CONNECTIONS",
            });
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_lack_of_descriptors_is_waited_out_and_a_client_that_left_is_not() {
        for (number, want) in [
            (libc::ECONNABORTED, true),
            (libc::ECONNRESET, true),
            (libc::EINTR, true),
            (libc::EMFILE, false),
            (libc::ENFILE, false),
            (libc::ENOBUFS, false),
            (libc::ENOMEM, false),
        ] {
            let error = io::Error::from_raw_os_error(number);
            assert_eq!(is_of_one_connection(&error), want, "{error}");
        }
    }
}
