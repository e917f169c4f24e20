//! The relay's log, line by line as it is written.

use std::panic::Location;

use serde_json::Value;

use super::deadline::Here;
use super::journal::Journal;

/// One line.
#[derive(Clone, Debug)]
pub struct Line {
    /// As written.
    pub text: String,
    json: Option<Value>,
}

impl Line {
    pub(super) fn new(text: String) -> Line {
        let json = serde_json::from_str(&text).ok();
        Line { text, json }
    }

    /// The field `event`: which fact this line tells.
    pub fn event(&self) -> Option<&str> {
        self.json.as_ref()?.get("event")?.as_str()
    }

    /// Whether it tells this fact.
    pub fn is(&self, event: &str) -> bool {
        self.event() == Some(event)
    }

    /// A field as text, numbers too.
    pub fn field(&self, name: &str) -> Option<String> {
        match self.json.as_ref()?.get(name)? {
            Value::Null => None,
            Value::String(text) => Some(text.clone()),
            other => Some(other.to_string()),
        }
    }
}

/// The log so far, over all starts of the relay.
#[derive(Clone, Debug, Default)]
pub struct Log(pub(super) Journal<Line>);

impl Log {
    /// Every line so far.
    pub fn lines(&self) -> Vec<Line> {
        self.0.all()
    }

    /// Looks at all lines so far, which are many: they are not copied.
    pub fn read<R>(&self, look: impl FnOnce(&[Line]) -> R) -> R {
        self.0.read(look)
    }

    /// Waits until `look` finds what it looks for. `what` finishes the sentence "waited for ...".
    #[track_caller]
    pub fn until<R>(
        &self,
        what: &str,
        look: impl FnMut(&[Line]) -> Option<R>,
    ) -> impl Future<Output = R> {
        let here = Location::caller();
        async move {
            let describe = |lines: &[Line]| format!("{what} in the log of {} lines", lines.len());
            self.0.wait(here, describe, look).await
        }
    }

    /// Waits for a line that is wanted; one that is there already counts.
    #[track_caller]
    pub fn wait_for(&self, wanted: impl Fn(&Line) -> bool) -> impl Future<Output = Line> {
        let here = Location::caller();
        async move { self.first(here, "a certain log line", wanted).await }
    }

    /// Waits for the first line that tells this fact.
    #[track_caller]
    pub fn tells(&self, event: &str) -> impl Future<Output = Line> {
        let here = Location::caller();
        async move { self.first(here, event, |line| line.is(event)).await }
    }

    /// Waits until this fact was told `count` times; gives the lines.
    #[track_caller]
    pub fn tells_times(&self, event: &str, count: usize) -> impl Future<Output = Vec<Line>> {
        let here = Location::caller();
        async move {
            let told = |lines: &[Line]| -> Vec<Line> {
                lines.iter().filter(|l| l.is(event)).cloned().collect()
            };
            self.0
                .wait(
                    here,
                    |lines| format!("{count} events {event:?}; told: {}", told(lines).len()),
                    |lines| Some(told(lines)).filter(|told| told.len() >= count),
                )
                .await
        }
    }

    /// Fails if this fact was told so far.
    #[track_caller]
    pub fn never_told(&self, event: &str) {
        let told = self
            .0
            .read(|lines| lines.iter().find(|line| line.is(event)).cloned());
        if let Some(line) = told {
            panic!("{event:?} should not be told: {}", line.text);
        }
    }

    async fn first(&self, here: Here, what: &str, wanted: impl Fn(&Line) -> bool) -> Line {
        self.0
            .wait(
                here,
                |lines| format!("{what} in the log, which has {} lines", lines.len()),
                |lines| lines.iter().find(|line| wanted(line)).cloned(),
            )
            .await
    }
}
