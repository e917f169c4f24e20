//! The mail hosts of all cases, on one listener: who is called is known by the address.

use std::net::{IpAddr, Ipv4Addr};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};

use jiff::Timestamp;
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;

use super::case::{Case, whose};
use super::record::Record;
use super::session::Session;
use crate::support::Wire;

/// A case in its place: what it is, and what became of it.
#[derive(Debug)]
pub(super) struct Place {
    pub(super) case: Case,
    /// Just before the first of it was sent in.
    pub(super) sent_at: OnceLock<Timestamp>,
    record: Mutex<Record>,
}

impl Place {
    pub(super) fn of(case: Case) -> Place {
        let record = Mutex::new(Record::of(&case));
        Place {
            case,
            sent_at: OnceLock::new(),
            record,
        }
    }

    pub(super) fn record(&self) -> MutexGuard<'_, Record> {
        self.record.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Serves all hosts until it is dropped.
pub(super) async fn serve(
    port: u16,
    places: Arc<Vec<Place>>,
    tls: Arc<rustls::ServerConfig>,
) -> std::io::Result<impl Future<Output = ()> + Send + 'static> {
    let listener = TcpListener::bind((Ipv4Addr::UNSPECIFIED, port)).await?;
    Ok(async move {
        let mut sessions = JoinSet::new();
        loop {
            while sessions.try_join_next().is_some() {}
            if let Ok((stream, _)) = listener.accept().await {
                sessions.spawn(session(stream, Arc::clone(&places), Arc::clone(&tls)));
            }
        }
    })
}

async fn session(stream: TcpStream, places: Arc<Vec<Place>>, tls: Arc<rustls::ServerConfig>) {
    let Ok(IpAddr::V4(address)) = stream.local_addr().map(|local| local.ip()) else {
        return;
    };
    let called = whose(address).and_then(|(slot, host)| Some((places.get(slot)?, host)));
    let (Some((place, host)), Ok(wire)) = (called, Wire::new(stream)) else {
        return; // another test's address
    };
    let mut session = Session::of(place, host, wire, tls);
    session.note("connected");
    let Err(why) = session.run().await;
    session.note(&format!("over: {why:?}"));
    place.record().open -= 1;
}
