//! smtp-sink, Postfix's receiver of load, as the remote host.

use std::net::SocketAddr;
use std::panic::Location;
use std::process::Stdio;
use std::time::Duration;

use tokio::io::AsyncReadExt as _;
use tokio::net::TcpStream;
use tokio::process::{Child, ChildStdout};

use super::program;
use crate::support::{World, within};

/// Messages of the trial.
const MESSAGES: usize = 500;

/// Pause between two looks whether the program listens already.
const LISTENING_POLL: Duration = Duration::from_millis(10);

#[tokio::test]
async fn smtp_sink_gets_every_message_once() {
    if !program::asked_for() {
        return;
    }
    let world = World::new().await;
    let address = SocketAddr::new(world.next_address(), world.delivery_port());
    world.dns().mx("dest.test", 10, "sink.dest.test");
    world.dns().address_of("sink.dest.test", address.ip());
    let sink = Sink::start(address).await;

    let arguments = format!(
        "-s 10 -m {MESSAGES} -l 4096 -d -N -f ann@gp.test -t bob@dest.test {}",
        world.relay().address()
    );
    program::run(program::command("smtp-source", "postfix", &arguments), b"").await;
    world.log().tells_times("delivered", MESSAGES).await;
    world.relay().terminate().await; // says goodbye to the sink, and sends nothing more
    let count = sink.counts_at_least(MESSAGES).await;
    assert_eq!(count, MESSAGES, "messages that smtp-sink has counted");
}

/// A running smtp-sink.
struct Sink {
    child: Child,
    counters: ChildStdout,
    told: Vec<u8>,
}

impl Sink {
    #[track_caller]
    fn start(address: SocketAddr) -> impl Future<Output = Sink> {
        let here = Location::caller();
        // Started as root it wants to become somebody else, started as somebody else it can't.
        let user = if rustix::process::geteuid().is_root() {
            "-u nobody"
        } else {
            ""
        };
        let arguments = format!("{user} -c {address} 128");
        let mut command = program::command("smtp-sink", "postfix", &arguments);
        async move {
            command.stdout(Stdio::piped());
            let mut child = command.spawn().expect("the program was found");
            let counters = child.stdout.take().expect("piped above");
            let listens = async {
                while TcpStream::connect(address).await.is_err() {
                    tokio::time::sleep(LISTENING_POLL).await; // nothing tells when a port opens
                }
            };
            let what = || format!("smtp-sink to listen at {address}");
            within(here, what, listens).await;
            Sink {
                child,
                counters,
                told: Vec::new(),
            }
        }
    }

    /// Waits until it has counted so many messages; ends it, and gives its last count.
    #[track_caller]
    fn counts_at_least(mut self, count: usize) -> impl Future<Output = usize> {
        let here = Location::caller();
        async move {
            let counting = async { while self.count() < count && self.reads().await {} };
            within(here, || format!("smtp-sink to count {count}"), counting).await;
            let _ = self.child.start_kill(); // each count has been written at once
            let rest = async { while self.reads().await {} };
            within(here, || "smtp-sink to end".to_owned(), rest).await;
            self.count()
        }
    }

    /// Whether there was anything more to read.
    async fn reads(&mut self) -> bool {
        matches!(self.counters.read_buf(&mut self.told).await, Ok(1..))
    }

    /// The last whole `mesg=COUNT`; each report ends with CR.
    fn count(&self) -> usize {
        let told = String::from_utf8_lossy(&self.told);
        let whole = told.rsplit_once('\r').map_or("", |(whole, _)| whole);
        let last = whole.rsplit_once("mesg=").map(|(_, count)| count);
        last.and_then(|count| count.parse().ok()).unwrap_or(0)
    }
}
