//! The real binary as a process: starting, killing, asking.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::panic::Location;
use std::path::{Path, PathBuf};
use std::process::{ExitStatus, Output, Stdio};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};
use tokio::io::{
    AsyncBufReadExt as _, AsyncRead, AsyncReadExt as _, AsyncWriteExt as _, BufReader,
};
use tokio::net::TcpStream;
use tokio::process::{Child, Command};
use tokio::task::JoinHandle;

use super::control::Control;
use super::deadline::{Here, deadline, within};
use super::http::{self, HttpAnswer, Live};
use super::log::{Line, Log};
use super::ran::Ran;
use super::running::Running;
use super::terminal::Terminal;
use super::timeline::Timeline;
use super::world::put_file;

/// Pause between two looks whether the relay answers already.
pub(super) const READY_POLL: Duration = Duration::from_millis(10);

/// Names another build to test instead of Cargo's, such as a release build: its absolute path.
const BINARY_VARIABLE: &str = "TEST_BINARY";

/// The relay under test: its environment, and its process while it runs.
#[derive(Debug)]
pub struct Relay {
    environment: Mutex<BTreeMap<String, String>>,
    /// What stands in `.env`, so that it can be changed while the relay runs.
    in_file: Mutex<BTreeMap<String, String>>,
    process: Mutex<Option<Process>>,
    directory: PathBuf,
    log: Log,
    timeline: Timeline,
}

#[derive(Debug)]
struct Process {
    child: Child,
    output: Vec<JoinHandle<()>>,
}

/// How the relay ended that should not start.
#[derive(Clone, Debug)]
pub struct StartFailure {
    /// Exit code; none if a signal ended it.
    pub code: Option<i32>,
    /// Standard output and error.
    pub output: String,
}

impl Relay {
    pub(super) fn new(
        environment: BTreeMap<String, String>,
        directory: PathBuf,
        timeline: Timeline,
    ) -> Relay {
        Relay {
            environment: Mutex::new(environment),
            in_file: Mutex::default(),
            process: Mutex::default(),
            directory,
            log: Log::default(),
            timeline,
        }
    }

    /// Sets a variable for the next start.
    pub fn set(&self, variable: &str, value: &str) {
        let mut environment = self.environment();
        environment.insert(variable.to_owned(), value.to_owned());
    }

    /// Takes a variable away for the next start.
    pub fn unset(&self, variable: &str) {
        self.environment().remove(variable);
    }

    /// Sets a variable in `.env`, for the next start or reload. What stands in the environment wins, so
    /// it is taken away there: before the start.
    pub fn set_in_file(&self, variable: &str, value: &str) {
        self.unset(variable);
        self.change_file(|in_file| {
            in_file.insert(variable.to_owned(), value.to_owned());
        });
    }

    /// Takes a variable out of `.env`.
    pub fn unset_in_file(&self, variable: &str) {
        self.change_file(|in_file| {
            in_file.remove(variable);
        });
    }

    fn change_file(&self, change: impl FnOnce(&mut BTreeMap<String, String>)) {
        let mut in_file = self.in_file.lock().unwrap_or_else(PoisonError::into_inner);
        change(&mut in_file);
        let lines = in_file.iter();
        let lines = lines.map(|(name, value)| format!("{name}='{value}'\n"));
        put_file(&self.directory.join(".env"), &lines.collect::<String>());
    }

    /// SIGHUP; waits until the changed configuration is in force, and gives the line that says so.
    #[track_caller]
    pub fn reloads(&self) -> impl Future<Output = Line> {
        self.after_hang_up(Location::caller(), "reloaded")
    }

    /// SIGHUP; waits until the changed configuration was refused, and gives the line that says so.
    #[track_caller]
    pub fn refuses_to_reload(&self) -> impl Future<Output = Line> {
        self.after_hang_up(Location::caller(), "reload_failed")
    }

    async fn after_hang_up(&self, here: Here, wanted: &str) -> Line {
        let told = |lines: &[Line]| -> Vec<Line> {
            let of_reloads = |line: &&Line| line.is("reloaded") || line.is("reload_failed");
            lines.iter().filter(of_reloads).cloned().collect()
        };
        let before = self.log.0.read(|lines| told(lines).len());
        self.signal(Signal::HUP);
        let describe = |_: &[Line]| wanted.to_owned();
        let next = |lines: &[Line]| told(lines).into_iter().nth(before);
        let line = self.log.0.wait(here, describe, next).await;
        assert!(
            line.is(wanted),
            "{here}: wanted {wanted}, got {}",
            line.text
        );
        line
    }

    /// A variable as the relay has it.
    #[track_caller]
    pub fn variable(&self, name: &str) -> String {
        let value = self.environment().get(name).cloned();
        value.unwrap_or_else(|| panic!("{name} is not set"))
    }

    /// What the relay logged so far.
    pub fn log(&self) -> &Log {
        &self.log
    }

    /// Its working directory; the spool is `spool` in it.
    pub fn directory(&self) -> &Path {
        &self.directory
    }

    /// Where it takes mail over IPv4, on 127.0.0.1.
    pub fn address(&self) -> SocketAddr {
        let port = self.variable("SMTP_PORT").parse();
        SocketAddr::from(([127, 0, 0, 1], port.expect("a port number")))
    }

    /// Starts it and waits until it answers on its SMTP port.
    #[track_caller]
    pub fn start(&self) -> impl Future<Output = ()> {
        let here = Location::caller();
        async move { self.start_from(here).await }
    }

    /// kill -9, and nothing of its memory is left.
    #[track_caller]
    pub fn kill(&self) -> impl Future<Output = ()> {
        let here = Location::caller();
        async move {
            self.end(here, Signal::KILL).await;
        }
    }

    /// kill -9, and started again at once.
    #[track_caller]
    pub fn kill_and_restart(&self) -> impl Future<Output = ()> {
        let here = Location::caller();
        async move {
            self.end(here, Signal::KILL).await;
            self.start_from(here).await;
        }
    }

    /// SIGTERM; waits until it has ended, and tells how.
    #[track_caller]
    pub fn terminate(&self) -> impl Future<Output = ExitStatus> {
        let here = Location::caller();
        async move { self.end(here, Signal::TERM).await }
    }

    /// SIGTERM, and started again when it has ended.
    #[track_caller]
    pub fn restart(&self) -> impl Future<Output = ()> {
        let here = Location::caller();
        async move {
            self.end(here, Signal::TERM).await;
            self.start_from(here).await;
        }
    }

    /// Sends a signal and doesn't wait for what it does.
    pub fn signal(&self, signal: Signal) {
        let name = format!("{signal:?}");
        self.timeline
            .note("relay", &format!("gets {}", name.trim_matches('"')));
        kill_process(self.pid(), signal).expect("the relay runs");
    }

    /// Waits until the process ends by itself, or after a [`Relay::signal`]; tells how.
    #[track_caller]
    pub fn ends(&self) -> impl Future<Output = ExitStatus> {
        let here = Location::caller();
        let process = self.process().take().expect("the relay runs");
        async move { self.reap(here, process).await }
    }

    /// Starts it, and fails unless it ends by itself before it takes connections.
    #[track_caller]
    pub fn expect_start_failure(&self) -> impl Future<Output = StartFailure> {
        self.start_failure(Location::caller())
    }

    pub(super) async fn start_failure(&self, here: Here) -> StartFailure {
        let logged_before = self.log.0.read(<[_]>::len);
        let mut process = self.spawn();
        let address = self.address();
        let ended = tokio::select! {
            ended = within(here, || "the relay to give up".to_owned(), process.child.wait()) => {
                Some(ended.expect("a child can be waited for"))
            }
            () = greeting(address) => None,
        };
        let Some(status) = ended else {
            *self.process() = Some(process);
            panic!("{here}: the relay started, although it should not");
        };
        for reader in process.output {
            let _ = reader.await; // ends with the pipe
        }
        self.timeline.note("relay", &format!("ended with {status}"));
        let lines = self.log.lines().into_iter().skip(logged_before);
        let texts: Vec<String> = lines.map(|line| line.text).collect();
        StartFailure {
            code: status.code(),
            output: texts.join("\n"),
        }
    }

    /// Runs the binary with arguments, in the same environment, until it ends.
    #[track_caller]
    pub fn run<'a>(
        &self,
        arguments: impl IntoIterator<Item = &'a str>,
    ) -> impl Future<Output = Output> {
        self.run_with_input(arguments, "")
    }

    /// As [`Relay::run`], for commands that print text.
    #[track_caller]
    pub fn does<'a>(
        &self,
        arguments: impl IntoIterator<Item = &'a str>,
    ) -> impl Future<Output = Ran> {
        let running = self.run(arguments);
        async move { Ran::from(running.await) }
    }

    /// Starts a command, and doesn't wait for its end.
    pub fn begins<'a>(&self, arguments: impl IntoIterator<Item = &'a str>) -> Running {
        let mut command = self.command();
        command.args(arguments);
        Running::start(command)
    }

    /// Starts the program on a terminal of its own.
    pub fn on_a_terminal<'a>(&self, arguments: impl IntoIterator<Item = &'a str>) -> Terminal {
        let mut command = self.command();
        command.args(arguments);
        Terminal::start(command)
    }

    /// As [`Relay::run`], with something on standard input: a few lines.
    #[track_caller]
    pub fn run_with_input<'a>(
        &self,
        arguments: impl IntoIterator<Item = &'a str>,
        input: &'a str,
    ) -> impl Future<Output = Output> {
        let here = Location::caller();
        let arguments: Vec<&str> = arguments.into_iter().collect();
        async move {
            let mut command = self.command();
            command.args(&arguments).stdin(Stdio::piped());
            command.stdout(Stdio::piped()).stderr(Stdio::piped());
            let what = || format!("gopherpost {arguments:?}");
            let running = async {
                let mut child = command.spawn().expect("the binary can be started");
                let mut stdin = child.stdin.take().expect("piped above");
                let _ = stdin.write_all(input.as_bytes()).await; // it may not want it
                drop(stdin);
                child.wait_with_output().await
            };
            let output = within(here, what, running).await;
            let output = output.expect("a child can be waited for");
            let told = String::from_utf8_lossy(&output.stdout);
            let complained = String::from_utf8_lossy(&output.stderr);
            self.timeline.note(
                &format!("gopherpost {}", arguments.join(" ")),
                &format!("{}\n{told}{complained}", output.status),
            );
            output
        }
    }

    /// GET from the health server.
    #[track_caller]
    pub fn http_get(&self, path: &str) -> impl Future<Output = HttpAnswer> {
        self.http_request("GET", path, "")
    }

    /// Any request without a body to the health server; `fields` are whole header lines.
    #[track_caller]
    pub fn http_request(
        &self,
        method: &str,
        path: &str,
        fields: &str,
    ) -> impl Future<Output = HttpAnswer> {
        let request =
            format!("{method} {path} HTTP/1.1\r\nHost: relay\r\nConnection: close\r\n{fields}\r\n");
        self.http_octets(request)
    }

    /// Octets to the health server; reads until it closes.
    #[track_caller]
    pub fn http_octets(&self, octets: impl Into<Vec<u8>>) -> impl Future<Output = HttpAnswer> {
        let (here, octets) = (Location::caller(), octets.into());
        let address = self.variable("SMTP_HEALTH_ADDR");
        async move { http::exchange(here, &self.timeline, address, &octets).await }
    }

    /// Begins a request that never comes to its end, an octet now and then; what the server said when
    /// it had enough of that.
    #[track_caller]
    pub fn http_trickle(&self) -> impl Future<Output = String> {
        let here = Location::caller();
        let address = self.variable("SMTP_HEALTH_ADDR");
        async move { http::trickle(here, address).await }
    }

    /// GET of an answer that goes on for ever; `fields` are whole header lines.
    #[track_caller]
    pub fn http_live(&self, path: &str, fields: &str) -> impl Future<Output = Live> {
        self.live(Location::caller(), path, fields, None)
    }

    /// The same, and the system holds only about so many octets until they are read.
    #[track_caller]
    pub fn http_live_slow(&self, path: &str, window: u32) -> impl Future<Output = Live> {
        self.live(Location::caller(), path, "", Some(window))
    }

    async fn live(&self, here: Here, path: &str, fields: &str, window: Option<u32>) -> Live {
        let address = self.variable("SMTP_HEALTH_ADDR");
        let request = format!("GET {path} HTTP/1.0\r\nHost: relay\r\n{fields}\r\n"); // not in chunks
        http::live(here, &self.timeline, address, &request, window).await
    }

    /// A client of the control socket.
    pub fn control(&self) -> Control {
        let environment = self.environment();
        let path = match environment.get("SMTP_CONTROL_SOCKET") {
            Some(path) => path.into(),
            None => self.directory.join("spool/control.sock"),
        };
        Control::new(path, self.timeline.clone())
    }

    /// Memory that it has in use, in octets (resident set).
    pub fn resident_octets(&self) -> u64 {
        self.memory("VmRSS:")
    }

    /// The most that it ever had in use since its start, in octets (resident set).
    pub fn peak_resident_octets(&self) -> u64 {
        self.memory("VmHWM:")
    }

    fn memory(&self, which: &str) -> u64 {
        let status = std::fs::read_to_string(self.proc_path("status")).expect("the relay runs");
        let kibibytes = status
            .lines()
            .find_map(|line| line.strip_prefix(which))
            .and_then(|rest| rest.trim().strip_suffix(" kB"))
            .and_then(|number| number.parse::<u64>().ok());
        kibibytes.expect("the kernel tells memory in kB") * 1024
    }

    /// Descriptors that it has open.
    pub fn open_descriptors(&self) -> usize {
        let listing = std::fs::read_dir(self.proc_path("fd")).expect("the relay runs");
        listing.count()
    }

    fn proc_path(&self, file: &str) -> PathBuf {
        PathBuf::from(format!("/proc/{}/{file}", self.pid().as_raw_nonzero()))
    }

    /// Its process id.
    #[track_caller]
    pub fn pid(&self) -> Pid {
        let process = self.process();
        let id = process.as_ref().and_then(|process| process.child.id());
        let id = id.and_then(|id| i32::try_from(id).ok());
        id.and_then(Pid::from_raw).expect("the relay runs")
    }

    pub(super) async fn start_from(&self, here: Here) {
        assert!(self.process().is_none(), "{here}: the relay runs already");
        *self.process() = Some(self.spawn());
        let address = self.address();
        let limit = Instant::now() + deadline();
        let ready = async {
            tokio::select! {
                () = greeting(address) => true,
                () = greeting(SocketAddr::from(([0, 0, 0, 0, 0, 0, 0, 1], address.port()))) => true,
                () = self.has_ended() => false,
            }
        };
        let ready = tokio::time::timeout_at(limit.into(), ready).await;
        match ready {
            Ok(true) => self.timeline.note("relay", "is ready"),
            Ok(false) => {
                let process = self.process().take().expect("put there above");
                let status = self.reap(here, process).await;
                panic!("{here}: the relay ended at start with {status}");
            }
            Err(_) => panic!("{here}: the relay takes no connections at {address}"),
        }
    }

    async fn has_ended(&self) {
        loop {
            let ended = match self.process().as_mut() {
                Some(process) => !matches!(process.child.try_wait(), Ok(None)),
                None => true,
            };
            if ended {
                return;
            }
            tokio::time::sleep(READY_POLL).await; // a look at a process, not at an event
        }
    }

    async fn end(&self, here: Here, signal: Signal) -> ExitStatus {
        self.signal(signal);
        let process = self.process().take().expect("the relay runs");
        self.reap(here, process).await
    }

    async fn reap(&self, here: Here, mut process: Process) -> ExitStatus {
        let what = || "the relay to end".to_owned();
        let status = within(here, what, process.child.wait()).await;
        let status = status.expect("a child can be waited for");
        for reader in process.output {
            let _ = reader.await; // ends with the pipe, so that no line is missed
        }
        self.timeline.note("relay", &format!("ended with {status}"));
        status
    }

    fn spawn(&self) -> Process {
        let mut command = self.command();
        command.stdin(Stdio::null());
        command.stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn().expect("the binary can be started");
        let id = child.id().unwrap_or_default(); // there is one until it is waited for
        self.timeline
            .note("relay", &format!("starts as process {id}"));
        let stdout = child.stdout.take().expect("piped above");
        let stderr = child.stderr.take().expect("piped above");
        let output = vec![
            tokio::spawn(keep_lines(stdout, self.log.clone(), self.timeline.clone())),
            tokio::spawn(keep_lines(stderr, self.log.clone(), self.timeline.clone())),
        ];
        Process { child, output }
    }

    fn command(&self) -> Command {
        let built = env!("CARGO_BIN_EXE_gopherpost").into();
        let binary = std::env::var_os(BINARY_VARIABLE).unwrap_or(built);
        let mut command = Command::new(binary);
        command.env_clear().envs(&*self.environment());
        if let Some(path) = std::env::var_os("PATH") {
            command.env("PATH", path);
        }
        command.current_dir(&self.directory).kill_on_drop(true);
        command
    }

    /// What went wrong by itself: a panic, or an end that nobody asked for.
    pub(super) fn check_health(&self) -> Result<(), String> {
        let panicked = self.log.0.read(|lines| {
            let told = lines.iter().find(|line| line.text.contains("panicked at"));
            told.map(|line| line.text.clone())
        });
        if let Some(line) = panicked {
            return Err(format!("the relay panicked: {line}"));
        }
        if let Some(process) = self.process().as_mut()
            && let Ok(Some(status)) = process.child.try_wait()
        {
            return Err(format!("the relay ended by itself: {status}"));
        }
        Ok(())
    }

    fn environment(&self) -> MutexGuard<'_, BTreeMap<String, String>> {
        let environment = self.environment.lock();
        environment.unwrap_or_else(PoisonError::into_inner)
    }

    fn process(&self) -> MutexGuard<'_, Option<Process>> {
        self.process.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Relay {
    fn drop(&mut self) {
        // The spool's directory goes next, so the process must be gone, not only about to go.
        if let Some(mut process) = self.process().take() {
            let _ = process.child.start_kill(); // it may have ended
            let limit = Instant::now() + deadline();
            while matches!(process.child.try_wait(), Ok(None)) && Instant::now() < limit {
                std::thread::sleep(Duration::from_millis(1)); // drop can't await
            }
        }
    }
}

/// Returns when something at `address` says anything to whom connects.
async fn greeting(address: SocketAddr) {
    loop {
        if let Ok(mut stream) = TcpStream::connect(address).await
            && matches!(stream.read(&mut [0; 3]).await, Ok(1..))
        {
            return;
        }
        tokio::time::sleep(READY_POLL).await; // nothing tells when a port opens
    }
}

async fn keep_lines(output: impl AsyncRead + Unpin, log: Log, timeline: Timeline) {
    let mut output = BufReader::new(output);
    let mut octets = Vec::new();
    while matches!(output.read_until(b'\n', &mut octets).await, Ok(1..)) {
        let line = String::from_utf8_lossy(&octets).trim_end().to_owned();
        timeline.logged(&line);
        log.0.push(Line::new(line));
        octets.clear();
    }
}
