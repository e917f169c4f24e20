//! Real programs, found by name and run under a limit.

use std::io::Write as _;
use std::panic::Location;
use std::path::PathBuf;
use std::process::{Output, Stdio};

use tokio::io::AsyncWriteExt as _;
use tokio::process::Command;

use crate::support::deadline;

/// Turns the trials on.
const VARIABLE: &str = "INTEROP";

/// Where Debian keeps programs that the search path of a user may lack.
const FURTHER_DIRECTORIES: [&str; 3] = ["/usr/sbin", "/sbin", "/usr/local/sbin"];

/// How many of the suite's deadlines a program may run: thousands of messages take longer than one.
const DEADLINES_MAX: u32 = 6;

/// Whether trials were asked for. If not, says on standard error that this one is left out.
#[track_caller]
pub(super) fn asked_for() -> bool {
    let asked = std::env::var_os(VARIABLE).is_some_and(|value| value == "1");
    if !asked {
        let place = Location::caller();
        let line = format!("{place}: left out, since {VARIABLE} is not 1\n");
        // Not `eprintln!`, which the test harness keeps to itself when a test succeeds.
        let _ = std::io::stderr().write_all(line.as_bytes());
    }
    asked
}

/// The path of a program; fails, naming the Debian package that has it, if it is not there.
#[track_caller]
pub(super) fn path_of(name: &str, package: &str) -> PathBuf {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let directories = std::env::split_paths(&path);
    let further = FURTHER_DIRECTORIES.map(PathBuf::from);
    directories
        .chain(further)
        .map(|directory| directory.join(name))
        .find(|file| file.is_file())
        .unwrap_or_else(|| panic!("{name} is missing: apt-get install {package}"))
}

/// A program of a Debian package, with arguments separated by blanks.
#[track_caller]
pub(super) fn command(name: &str, package: &str, arguments: &str) -> Command {
    let mut command = Command::new(path_of(name, package));
    command.args(arguments.split_whitespace());
    command.stdin(Stdio::null()).kill_on_drop(true);
    command
}

/// Runs it to its end, with `input` on standard input; gives its standard output. Fails if it takes
/// too long or ends with anything but 0.
#[track_caller]
pub(super) fn run(mut command: Command, input: &[u8]) -> impl Future<Output = Vec<u8>> {
    let here = Location::caller();
    let input = input.to_vec();
    async move {
        let what = format!("{:?}", command.as_std());
        command.stdin(Stdio::piped());
        command.stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn().expect("the program was found");
        let mut stdin = child.stdin.take().expect("piped above");
        let feeding = tokio::spawn(async move {
            let _ = stdin.write_all(&input).await; // a program may end without reading everything
        });
        let limit = deadline() * DEADLINES_MAX;
        let ended = tokio::time::timeout(limit, child.wait_with_output()).await;
        let output: Output = match ended {
            Ok(output) => output.expect("a child can be waited for"),
            Err(_) => panic!("{here}: {what} takes longer than {limit:?}"),
        };
        let _ = feeding.await;
        assert!(
            output.status.success(),
            "{here}: {what} ended with {}\n{}{}",
            output.status,
            String::from_utf8_lossy(&output.stdout),
            String::from_utf8_lossy(&output.stderr),
        );
        output.stdout
    }
}
