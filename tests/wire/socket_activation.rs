//! Sockets that the service manager holds: used instead of our own, and no client is refused while we are away.

use std::net::TcpListener;
use std::os::fd::OwnedFd;
use std::path::Path;
use std::process::Stdio;

use rustix::process::{Pid, Signal, kill_process};
use tokio::io::{AsyncBufReadExt as _, BufReader};
use tokio::net::TcpStream;
use tokio::process::{Child, Command};

use crate::support::within;

/// The shell puts the socket where systemd puts it, and becomes the relay.
const AS_SYSTEMD_DOES: &str = r#"exec 3<&0 </dev/null; LISTEN_PID=$$ LISTEN_FDS=1 exec "$0" serve"#;

fn start(socket: &TcpListener, name: &str, directory: &Path) -> Child {
    let socket: OwnedFd = socket.try_clone().unwrap().into();
    Command::new("/bin/sh")
        .args(["-c", AS_SYSTEMD_DOES, env!("CARGO_BIN_EXE_gopherpost")])
        .env_clear()
        .env("LISTEN_FDNAMES", name)
        .env("SMTP_HOSTNAME", "gp.test")
        .env("SMTP_ALLOW_NETWORKS", "127.0.0.0/8")
        // What it would take if it took no notice of the socket.
        .env("SMTP_LISTEN_ADDRESSES", "192.0.2.1")
        .env("SMTP_HEALTH_DISABLE", "true")
        .current_dir(directory)
        .stdin(socket)
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .kill_on_drop(true)
        .spawn()
        .expect("a shell can be started")
}

async fn greeting(stream: TcpStream) -> String {
    let mut line = String::new();
    let here = std::panic::Location::caller();
    let read = async { BufReader::new(stream).read_line(&mut line).await };
    within(here, || "a greeting".to_owned(), read)
        .await
        .expect("a socket can be read");
    line
}

#[tokio::test]
async fn who_comes_while_the_relay_is_away_is_served_by_the_next_one() {
    let directory = tempfile::tempdir().unwrap();
    let socket = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = socket.local_addr().unwrap();

    let mut first = start(&socket, "smtp", directory.path());
    let client = TcpStream::connect(address).await.unwrap();
    assert!(greeting(client).await.starts_with("220 gp.test "));

    let pid = Pid::from_raw(first.id().unwrap().cast_signed()).unwrap();
    kill_process(pid, Signal::TERM).unwrap();
    let here = std::panic::Location::caller();
    let ended = within(here, || "the relay to end".to_owned(), first.wait()).await;
    assert!(ended.unwrap().success());

    let early = TcpStream::connect(address).await.unwrap();
    let _second = start(&socket, "smtp", directory.path());
    assert!(greeting(early).await.starts_with("220 gp.test "));
}

#[tokio::test]
async fn a_socket_by_another_name_is_not_taken() {
    let directory = tempfile::tempdir().unwrap();
    let socket = TcpListener::bind("127.0.0.1:0").unwrap();
    let relay = start(&socket, "gopherpost.socket", directory.path());
    let here = std::panic::Location::caller();
    let ended = within(
        here,
        || "the relay to end".to_owned(),
        relay.wait_with_output(),
    )
    .await;
    let ended = ended.unwrap();
    let told = String::from_utf8_lossy(&ended.stderr);
    assert_eq!(ended.status.code(), Some(1), "{told}");
    assert!(told.contains("can't listen on 192.0.2.1:2525"), "{told}");
}
