//! The socket loops: UDP datagrams, and TCP with its two octets of length (RFC 1035 4.2.2).

use std::io;
use std::net::SocketAddr;
use std::sync::{Arc, PoisonError};

use hickory_proto::op::Message;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream, UdpSocket};
use tokio::task::JoinSet;

use super::zone::Reaction;
use super::{Query, Shared, Task, Transport};

pub(super) async fn start(address: SocketAddr, shared: Arc<Shared>) -> io::Result<Task> {
    let udp = Arc::new(UdpSocket::bind(address).await?);
    let tcp = TcpListener::bind(address).await?;
    Ok(Task::spawn(async move {
        tokio::join!(serve_udp(udp, Arc::clone(&shared)), serve_tcp(tcp, shared));
    }))
}

async fn serve_udp(socket: Arc<UdpSocket>, shared: Arc<Shared>) {
    let mut pending = JoinSet::new(); // a slow answer must not hold up the others
    let mut datagram = vec![0; 65_535];
    loop {
        while pending.try_join_next().is_some() {}
        // An error here is an ICMP message about an earlier answer: its asker has gone.
        let Ok((length, peer)) = socket.recv_from(&mut datagram).await else {
            continue;
        };
        let request = datagram[..length].to_vec();
        let (socket, shared) = (Arc::clone(&socket), Arc::clone(&shared));
        pending.spawn(async move {
            for answer in answers(&shared, &request, Transport::Udp).await {
                let _ = socket.send_to(&answer, peer).await; // the asker may have gone
            }
        });
    }
}

async fn serve_tcp(listener: TcpListener, shared: Arc<Shared>) {
    let mut connections = JoinSet::new();
    loop {
        while connections.try_join_next().is_some() {}
        if let Ok((stream, _)) = listener.accept().await {
            let shared = Arc::clone(&shared);
            connections.spawn(async move {
                let _ = serve_connection(stream, &shared).await; // ends when the asker leaves
            });
        }
    }
}

async fn serve_connection(mut stream: TcpStream, shared: &Shared) -> io::Result<()> {
    loop {
        let length = stream.read_u16().await?;
        let mut request = vec![0; usize::from(length)];
        stream.read_exact(&mut request).await?;
        for answer in answers(shared, &request, Transport::Tcp).await {
            let length = u16::try_from(answer.len()).map_err(io::Error::other)?;
            stream.write_u16(length).await?;
            stream.write_all(&answer).await?;
        }
    }
}

async fn answers(shared: &Shared, request: &[u8], transport: Transport) -> Vec<Vec<u8>> {
    let message = match Message::from_vec(request) {
        Ok(message) => message,
        Err(error) => {
            let what = format!("got what is no DNS message: {error}");
            shared.timeline.note("dns", &what);
            return Vec::new();
        }
    };
    let Some(question) = message.queries.first().cloned() else {
        return Vec::new();
    };
    let query = Query {
        name: question
            .name()
            .to_lowercase()
            .to_ascii()
            .trim_end_matches('.')
            .to_owned(),
        record_type: question.query_type(),
        transport,
    };
    let reaction = shared
        .zone
        .lock()
        .unwrap_or_else(PoisonError::into_inner)
        .react(&message, &question, transport);
    let told = match &reaction {
        Reaction::Silence => "silence".to_owned(),
        Reaction::Answers(answers, _) => {
            let told: Vec<String> = answers.iter().map(|answer| in_words(answer)).collect();
            told.join("; ")
        }
    };
    shared.timeline.note(
        "dns",
        &format!(
            "{} {} over {transport:?}: {told}",
            query.name, query.record_type
        ),
    );
    shared.queries.push(query);
    match reaction {
        Reaction::Silence => Vec::new(),
        Reaction::Answers(answers, pause) => {
            if !pause.is_zero() {
                tokio::time::sleep(pause).await; // a slow server is what the test asked for
            }
            answers
        }
    }
}

fn in_words(answer: &[u8]) -> String {
    Message::from_vec(answer).map_or_else(
        |error| error.to_string(),
        |told| {
            format!(
                "{}{}, {} answers",
                told.metadata.response_code,
                if told.metadata.truncation { " TC" } else { "" },
                told.answers.len()
            )
        },
    )
}
