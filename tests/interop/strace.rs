//! strace, which sees what the relay asks of the kernel, and when.

use std::fmt::Write as _;
use std::fs;
use std::panic::Location;
use std::path::PathBuf;
use std::process::Stdio;

use rustix::process::{Pid, Signal, kill_process};
use tokio::io::{AsyncBufReadExt as _, AsyncReadExt as _, BufReader};
use tokio::process::Child;

use super::program;
use super::system_calls::{SystemCalls, Traced};
use crate::support::{Line, Relay, ServiceManager, World, mail, within};

/// As in docs/durability.md. `-s` is larger than any single write, so that nothing is cut.
const ARGUMENTS: &str = "-f -yy -s 1048576 -e signal=none -e trace=openat,mkdir,write,writev,\
                         pwrite64,pwritev,fdatasync,fsync,sendto,recvfrom";
/// Makes each flush hang for longer than it takes until the disk counts as very slow and that is told.
const HANGING_DISK: &str =
    "-f -e signal=none -e trace=fdatasync -e inject=fdatasync:delay_enter=20000000";

#[tokio::test]
async fn every_file_that_holds_a_message_is_flushed_before_its_250() {
    // W-5.02
    if !program::asked_for() {
        return;
    }
    let world = World::setup().set("SMTP_MODE", "hold").await;
    let strace = Strace::attach(world.relay(), ARGUMENTS).await;

    let sizes = [("small", 4 * 1024), ("large", 100 * 1024)];
    let mut accepted = Vec::new();
    for (name, size) in sizes {
        let recipient = format!("{name}.recipient@dest.test");
        let text = numbered_lines(name, size);
        let mail = mail().to(&recipient).body(&text);
        let id = world.client().send(mail).await.accepted();
        accepted.push((name, id, recipient, text));
    }
    let calls = SystemCalls::parse(&strace.detach().await);

    let spool = world.relay().variable("SMTP_QUEUE_PATH");
    let spool = fs::canonicalize(spool).expect("the relay made it"); // as strace names files
    let spool = spool.display().to_string();
    for (name, id, recipient, text) in &accepted {
        let mut pieces: Vec<&str> = text.lines().collect();
        pieces.push(recipient);
        let message = Traced { id: &id.0, pieces };
        let files = match calls.safe_before_250(&spool, &message) {
            Ok(files) => files,
            Err(why) => panic!("the {name} message: {why}"),
        };
        let kinds: Vec<&str> = files.iter().map(|file| kind(file)).collect();
        let wanted: &[&str] = match *name {
            "small" => &["database"],
            _ => &["body file", "database"],
        };
        assert_eq!(kinds, wanted, "files of the {name} message: {files:?}");
    }
}

#[tokio::test]
async fn the_watchdog_goes_hungry_while_a_flush_hangs() {
    if !program::asked_for() {
        return;
    }
    let manager = ServiceManager::new();
    let world = World::setup()
        .set("SMTP_MODE", "hold")
        .set("NOTIFY_SOCKET", &manager.path())
        .set("WATCHDOG_USEC", "400000")
        .await;
    manager.hears("WATCHDOG=1").await;
    let _strace = Strace::attach(world.relay(), HANGING_DISK).await;
    let mut client = world.client().session().await;
    client.up_to_data(&mail().to("ann@dest.test")).await;
    client.send_octets("Subject: x\r\n\r\nx\r\n.\r\n").await;
    let hangs = |line: &Line| {
        line.text
            .contains("the committer does not get on with its work")
    };
    world.log().wait_for(hangs).await;
    // From here on, for all the time that it takes until the disk counts as very slow.
    manager.forgets();
    let heard = manager.hears_until("STATUS=REFUSING MAIL").await;
    let fed = heard.iter().any(|told| told.contains("WATCHDOG=1"));
    assert!(!fed, "{heard:?}");
    world.relay().kill().await;
}

/// Lines that can be told from all others, `size` octets in all or a little more.
fn numbered_lines(name: &str, size: usize) -> String {
    let mut text = String::new();
    for number in 0.. {
        if text.len() >= size {
            break;
        }
        let _ = writeln!(text, "line {number:05} of the {name} message {:-<40}", ""); // to a String
    }
    text
}

fn kind(file: &str) -> &'static str {
    if file.ends_with(".eml") {
        "body file"
    } else if file.ends_with("/db/db") {
        "database"
    } else {
        "other"
    }
}

/// strace at work on a process.
struct Strace {
    child: Child,
    stderr: BufReader<tokio::process::ChildStderr>,
    output: PathBuf,
}

impl Strace {
    /// Returns when all threads of the process are watched.
    #[track_caller]
    fn attach(relay: &Relay, arguments: &str) -> impl Future<Output = Strace> {
        let here = Location::caller();
        let mut command = program::command("strace", "strace", arguments);
        let output = relay.directory().join("strace");
        command.arg("-o").arg(&output);
        command
            .arg("-p")
            .arg(relay.pid().as_raw_nonzero().to_string());
        async move {
            command.stderr(Stdio::piped());
            let mut child = command.spawn().expect("the program was found");
            let mut stderr = BufReader::new(child.stderr.take().expect("piped above"));
            let mut told = String::new();
            let attached = async {
                while !told.contains(" attached") {
                    if !matches!(stderr.read_line(&mut told).await, Ok(1..)) {
                        return false;
                    }
                }
                true
            };
            let attached = within(here, || "strace to attach".to_owned(), attached).await;
            assert!(attached, "{here}: strace can't trace: {told}");
            Strace {
                child,
                stderr,
                output,
            }
        }
    }

    /// Lets the process go; gives what strace saw.
    #[track_caller]
    fn detach(mut self) -> impl Future<Output = String> {
        let here = Location::caller();
        async move {
            let id = self.child.id().and_then(|id| i32::try_from(id).ok());
            let process = id.and_then(Pid::from_raw).expect("strace runs");
            kill_process(process, Signal::TERM).expect("strace runs");
            let mut told = String::new();
            let ending = async {
                let _ = self.stderr.read_to_string(&mut told).await; // ends with the process
                self.child.wait().await
            };
            let ended = within(here, || "strace to end".to_owned(), ending).await;
            ended.expect("a child can be waited for");
            let seen = fs::read(&self.output).expect("strace has written its output");
            String::from_utf8_lossy(&seen).into_owned()
        }
    }
}
