//! A terminal with a program on it: what stands on its screen, and what is typed.

use std::fs::{File, OpenOptions};
use std::io::Write as _;
use std::panic::Location;
use std::process::{Output, Stdio};

use rustix::pty::{OpenptFlags, grantpt, openpt, ptsname, unlockpt};
use rustix::termios::{LocalModes, tcgetattr};
use tokio::io::AsyncReadExt as _;
use tokio::process::{Child, Command};

use super::deadline::within;

/// Standard input and error of a program; its standard output is elsewhere.
#[derive(Debug)]
pub struct Terminal {
    /// What a person has before him.
    near: File,
    reader: tokio::fs::File,
    /// The program's end, kept open so that what it left there can be seen.
    far: File,
    echoed_at_first: bool,
    child: Child,
    screen: String,
}

impl Terminal {
    pub(super) fn start(mut command: Command) -> Terminal {
        let near = openpt(OpenptFlags::RDWR | OpenptFlags::NOCTTY).expect("a terminal");
        grantpt(&near).expect("a terminal of ours");
        unlockpt(&near).expect("a terminal that opens");
        let name = ptsname(&near, Vec::new()).expect("its name");
        let far = OpenOptions::new()
            .read(true)
            .write(true)
            .open(name.to_str().expect("ASCII"))
            .expect("its other end");
        let near = File::from(near);
        let reader = near.try_clone().expect("a descriptor");
        let on_it = || Stdio::from(far.try_clone().expect("a descriptor"));
        command
            .stdin(on_it())
            .stderr(on_it())
            .stdout(Stdio::piped())
            .kill_on_drop(true);
        let echoed_at_first = echoes(&far); // looked at later, the program might have been there
        Terminal {
            echoed_at_first,
            child: command.spawn().expect("the binary can be started"),
            near,
            reader: reader.into(),
            far,
            screen: String::new(),
        }
    }

    /// Waits until `text` stands at the end of the screen.
    #[track_caller]
    pub fn shows<'a>(&'a mut self, text: &'a str) -> impl Future<Output = ()> + 'a {
        let here = Location::caller();
        let what = move || format!("{text:?} on the terminal");
        within(here, what, async move {
            while !self.screen.ends_with(text) {
                let mut octets = [0; 1024];
                let count = self.reader.read(&mut octets).await;
                let count = count.expect("a terminal that is still there");
                self.screen
                    .push_str(&String::from_utf8_lossy(&octets[..count]));
            }
        })
    }

    /// Types a line and the return key.
    pub fn types(&self, line: &str) {
        (&self.near)
            .write_all(format!("{line}\r").as_bytes())
            .expect("a terminal takes a line");
    }

    /// Presses one key.
    pub fn presses(&self, key: u8) {
        (&self.near)
            .write_all(&[key])
            .expect("a terminal takes a key");
    }

    /// Everything that was on the screen so far.
    pub fn screen(&self) -> &str {
        &self.screen
    }

    /// Whether what was typed before the program started would have been seen.
    pub fn echoed_at_first(&self) -> bool {
        self.echoed_at_first
    }

    /// Whether what is typed now would be seen.
    pub fn echoes(&self) -> bool {
        echoes(&self.far)
    }

    /// Waits for the end of the program, and gives its standard output.
    #[track_caller]
    pub fn ends(&mut self) -> impl Future<Output = Output> + '_ {
        let here = Location::caller();
        let what = || "the end of the program on the terminal".to_owned();
        within(here, what, async move {
            let status = self.child.wait().await.expect("a child can be waited for");
            let mut stdout = Vec::new();
            if let Some(mut pipe) = self.child.stdout.take() {
                let read = pipe.read_to_end(&mut stdout).await;
                read.expect("a pipe");
            }
            Output {
                status,
                stdout,
                stderr: Vec::new(),
            }
        })
    }
}

fn echoes(terminal: &File) -> bool {
    let modes = tcgetattr(terminal).expect("a terminal").local_modes;
    modes.contains(LocalModes::ECHO)
}
