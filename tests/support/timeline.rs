//! What every party of a test said, in the order of time; printed when the test fails.

use std::collections::VecDeque;
use std::fmt::Write as _;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

/// Lines of dialogue that are kept; older ones are forgotten.
const DIALOGUE_LINES_MAX: usize = 600;

/// Lines of the relay's log that are kept.
const LOG_LINES_MAX: usize = 200;

/// Octets of one line that are shown.
const SHOWN_OCTETS_MAX: usize = 400;

/// Shared by all parties of one [`World`](super::World). Clones share the lines.
#[derive(Clone, Debug)]
pub struct Timeline(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    began: Instant,
    lines: Mutex<Lines>,
}

#[derive(Debug, Default)]
struct Lines {
    dialogue: Ring,
    log: Ring,
}

#[derive(Debug, Default)]
struct Ring {
    kept: VecDeque<(Duration, String)>,
    forgotten: usize,
}

impl Timeline {
    /// An empty one that begins now.
    pub fn begin() -> Timeline {
        Timeline(Arc::new(Shared {
            began: Instant::now(),
            lines: Mutex::default(),
        }))
    }

    /// `party` sent these octets.
    pub fn sent(&self, party: &str, octets: &[u8]) {
        self.add(format!("{party} > {}", visible(octets)));
    }

    /// `party` received these octets.
    pub fn received(&self, party: &str, octets: &[u8]) {
        self.add(format!("{party} < {}", visible(octets)));
    }

    /// Something happened at `party`.
    pub fn note(&self, party: &str, what: &str) {
        self.add(format!("{party} * {what}"));
    }

    /// The relay logged a line.
    pub fn logged(&self, line: &str) {
        let now = self.0.began.elapsed();
        self.lines(|lines| {
            lines
                .log
                .add(LOG_LINES_MAX, now, format!("relay log | {line}"))
        });
    }

    fn add(&self, line: String) {
        let now = self.0.began.elapsed();
        self.lines(|lines| lines.dialogue.add(DIALOGUE_LINES_MAX, now, line));
    }

    fn lines<R>(&self, work: impl FnOnce(&mut Lines) -> R) -> R {
        work(&mut self.0.lines.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// Dialogue and log as one text, a line for each.
    pub fn render(&self) -> String {
        self.lines(|Lines { dialogue, log }| {
            let mut all: Vec<&(Duration, String)> = dialogue.kept.iter().chain(&log.kept).collect();
            all.sort_by_key(|(at, _)| *at);
            let mut text = String::new();
            for (ring, what) in [(&dialogue, "dialogue"), (&log, "log")] {
                if ring.forgotten > 0 {
                    let _ = writeln!(
                        text,
                        "({} earlier lines of {what} not kept)",
                        ring.forgotten
                    );
                }
            }
            for (at, line) in all {
                let _ = writeln!(text, "{:>8.3} {line}", at.as_secs_f64());
            }
            text
        })
    }
}

impl Ring {
    fn add(&mut self, max: usize, at: Duration, line: String) {
        if self.kept.len() == max {
            self.kept.pop_front();
            self.forgotten += 1;
        }
        self.kept.push_back((at, line));
    }
}

/// Octets for people: CRLF as `⏎`, other controls and what is no UTF-8 escaped, long ones cut.
pub fn visible(octets: &[u8]) -> String {
    let (shown, rest) = octets.split_at(octets.len().min(SHOWN_OCTETS_MAX));
    let mut text = String::new();
    for chunk in shown.utf8_chunks() {
        let mut characters = chunk.valid().chars().peekable();
        while let Some(character) = characters.next() {
            match character {
                '\r' if characters.peek() == Some(&'\n') => {
                    characters.next();
                    text.push('⏎');
                }
                '\t' => text.push_str("\\t"),
                '\r' => text.push_str("\\r"),
                '\n' => text.push_str("\\n"),
                control if control.is_control() => {
                    let _ = write!(text, "\\x{:02x}", u32::from(control));
                }
                other => text.push(other),
            }
        }
        for octet in chunk.invalid() {
            let _ = write!(text, "\\x{octet:02x}");
        }
    }
    if !rest.is_empty() {
        let _ = write!(text, "... ({} octets in all)", octets.len());
    }
    text
}
