//! A command of the binary that goes on, and is read while it does.

use std::panic::Location;
use std::process::Stdio;

use rustix::process::{Pid, Signal, kill_process};
use tokio::io::{AsyncBufReadExt as _, AsyncReadExt as _, BufReader};
use tokio::process::{Child, ChildStdout, Command};

use super::deadline::within;
use super::ran::Ran;

/// It is killed when this is dropped.
#[derive(Debug)]
pub struct Running {
    child: Child,
    output: Option<BufReader<ChildStdout>>,
    /// What came of the line that is read.
    line: Vec<u8>,
}

impl Running {
    pub(super) fn start(mut command: Command) -> Running {
        command.stdin(Stdio::null());
        command.stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn().expect("the binary can be started");
        let output = child.stdout.take().map(BufReader::new);
        Running {
            child,
            output,
            line: Vec::new(),
        }
    }

    /// The next line of standard output. Cancel-safe.
    #[track_caller]
    pub fn line(&mut self) -> impl Future<Output = String> + '_ {
        let here = Location::caller();
        let what = || "a line of a command".to_owned();
        within(here, what, async move {
            let output = self.output.as_mut().expect("still open");
            let read = output.read_until(b'\n', &mut self.line).await;
            read.expect("a pipe");
            let line = String::from_utf8(std::mem::take(&mut self.line)).expect("text");
            assert!(line.ends_with('\n'), "{here}: the command ended: {line:?}");
            line
        })
    }

    /// Reads no more of its output, as `head` does when it has enough.
    pub fn reads_no_more(&mut self) {
        self.output = None;
    }

    /// As Ctrl-C.
    pub fn interrupt(&self) {
        let id = self.child.id().and_then(|id| i32::try_from(id).ok());
        let pid = id.and_then(Pid::from_raw).expect("it runs");
        kill_process(pid, Signal::INT).expect("it runs");
    }

    /// Waits for its end; gives what was not read yet.
    #[track_caller]
    pub fn ends(mut self) -> impl Future<Output = Ran> {
        let here = Location::caller();
        let what = || "the end of a command".to_owned();
        within(here, what, async move {
            let (mut out, mut complaint) = (String::new(), String::new());
            if let Some(output) = &mut self.output {
                output.read_to_string(&mut out).await.expect("text");
            }
            let mut error = self.child.stderr.take().expect("piped above");
            error.read_to_string(&mut complaint).await.expect("text");
            let status = self.child.wait().await.expect("a child can be waited for");
            Ran {
                status: status.code(),
                out,
                complaint,
            }
        })
    }
}
