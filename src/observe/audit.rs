//! The live stream of events: JSON Lines for whoever reads along. A reader that is slow loses events and
//! is told how many; nobody waits for it.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use tokio::sync::broadcast;
use tokio::sync::broadcast::error::RecvError;
use tracing::Level;

use crate::config::LogFormat;

use super::format;
use super::line::{Line, Takes};

/// Who may read along at one time.
pub const AUDIT_READERS_MAX: usize = 32;
/// Events that a reader may be behind; the ring keeps them for all readers together.
const BEHIND_MAX: usize = 4_096;

/// Where events go to those who read along.
#[derive(Debug)]
pub(super) struct Audit {
    lines: broadcast::Sender<Arc<str>>,
    readers: Arc<AtomicUsize>,
    verbose: Arc<AtomicBool>,
}

impl Default for Audit {
    fn default() -> Audit {
        Audit {
            lines: broadcast::Sender::new(BEHIND_MAX),
            readers: Arc::default(),
            verbose: Arc::default(),
        }
    }
}

impl Audit {
    /// `None`: there are [`AUDIT_READERS_MAX`] readers already.
    pub(super) fn subscribe(&self) -> Option<AuditReader> {
        let one_more = |count| (count < AUDIT_READERS_MAX).then_some(count + 1);
        let relaxed = Ordering::Relaxed;
        self.readers.fetch_update(relaxed, relaxed, one_more).ok()?;
        let place = Place(self.readers.clone());
        Some(AuditReader {
            lines: self.lines.subscribe(),
            _place: place,
        })
    }

    pub(super) fn verbose_switch(&self) -> Arc<AtomicBool> {
        self.verbose.clone()
    }

    pub(super) fn set_verbose(&self, verbose: bool) {
        self.verbose.store(verbose, Ordering::Relaxed);
    }

    pub(super) fn is_verbose(&self) -> bool {
        self.verbose.load(Ordering::Relaxed)
    }
}

impl Takes for Audit {
    fn takes(&self, level: Level) -> bool {
        self.readers.load(Ordering::Relaxed) > 0
            && (level <= Level::INFO || (level == Level::DEBUG && self.is_verbose()))
    }

    fn line(&self, line: &Line<'_>) {
        let mut text = String::with_capacity(512);
        format::write(LogFormat::Json, line, &mut text);
        text.pop(); // the line end belongs to the stream's format
        let _ = self.lines.send(text.into()); // the last reader may have left
    }
}

/// Someone who reads along. Dropped, it leaves.
#[derive(Debug)]
pub struct AuditReader {
    lines: broadcast::Receiver<Arc<str>>,
    _place: Place,
}

/// What a reader gets.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Heard {
    /// An event as a JSON object, without a line end.
    Event(Arc<str>),
    /// So many events are lost to this reader, since it was too slow.
    Lost(u64),
}

impl AuditReader {
    /// What comes next; `None`: the relay ends. Cancel-safe.
    pub async fn next(&mut self) -> Option<Heard> {
        match self.lines.recv().await {
            Ok(line) => Some(Heard::Event(line)),
            Err(RecvError::Lagged(count)) => Some(Heard::Lost(count)),
            Err(RecvError::Closed) => None,
        }
    }

    /// What has come already.
    pub fn at_once(&mut self) -> Option<Heard> {
        match self.lines.try_recv() {
            Ok(line) => Some(Heard::Event(line)),
            Err(broadcast::error::TryRecvError::Lagged(count)) => Some(Heard::Lost(count)),
            Err(_nothing) => None,
        }
    }
}

#[derive(Debug)]
struct Place(Arc<AtomicUsize>);

impl Drop for Place {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::observe::line::Value;

    fn told(audit: &Audit, level: Level, number: u64) {
        if audit.takes(level) {
            audit.line(&Line {
                level,
                text: "x",
                fields: &[("n", Value::Number(number))],
            });
        }
    }

    fn numbers(reader: &mut AuditReader) -> Vec<Result<u64, u64>> {
        let heard = std::iter::from_fn(|| reader.at_once());
        let number = |heard: Heard| match heard {
            Heard::Event(line) => {
                let event: serde_json::Value = serde_json::from_str(&line).unwrap();
                Ok(event["n"].as_u64().unwrap())
            }
            Heard::Lost(count) => Err(count),
        };
        heard.map(number).collect()
    }

    #[test]
    fn a_slow_reader_is_told_how_much_it_lost_and_then_goes_on() {
        // W-24.08
        let audit = Audit::default();
        told(&audit, Level::INFO, 0); // nobody is there
        let mut reader = audit.subscribe().unwrap();
        let most = u64::try_from(BEHIND_MAX).unwrap();
        for number in 1..=most + 3 {
            told(&audit, Level::INFO, number);
        }
        let heard = numbers(&mut reader);
        assert_eq!(heard[..2], [Err(3), Ok(4)]);
        assert_eq!(heard.last(), Some(&Ok(most + 3)));
        assert_eq!(heard.len(), BEHIND_MAX + 1);
    }

    #[test]
    fn debug_is_heard_when_switched_on() {
        let audit = Audit::default();
        let mut reader = audit.subscribe().unwrap();
        told(&audit, Level::DEBUG, 1);
        audit.set_verbose(true);
        told(&audit, Level::DEBUG, 2);
        audit.set_verbose(false);
        told(&audit, Level::DEBUG, 3);
        told(&audit, Level::INFO, 4);
        assert_eq!(numbers(&mut reader), [Ok(2), Ok(4)]);
    }

    #[test]
    fn readers_are_bounded_and_a_place_is_given_back() {
        let audit = Audit::default();
        let mut readers: Vec<AuditReader> = std::iter::from_fn(|| audit.subscribe()).collect();
        assert_eq!(readers.len(), AUDIT_READERS_MAX);
        readers.pop();
        assert!(audit.subscribe().is_some());
        drop(readers);
        assert!(!audit.takes(Level::ERROR));
    }
}
