//! What became of one message, as the log tells it.

use std::fmt;
use std::panic::Location;

use super::deadline::Here;
use super::log::{Line, Log};
use super::reply::Id;

/// Events that end an attempt, or a recipient, each with its enhanced status code as `dsn`.
const RECIPIENT_EVENTS: [&str; 4] = ["delivered", "deferred", "failed", "expired"];

/// The recipients' events of one queue id, in order. A claim is `"deferred"` or, with its status,
/// `"deferred 4.2.0"`.
#[derive(Debug)]
pub struct History {
    log: Log,
    id: Id,
}

#[derive(Clone, Debug)]
struct Entry {
    rcpt: String,
    event: String,
    dsn: String,
    reply: String,
}

impl History {
    pub(super) fn new(log: Log, id: Id) -> History {
        History { log, id }
    }

    /// Waits until the history begins so. Fails at once if it can't any more.
    #[track_caller]
    pub fn shows<const N: usize>(&self, claims: [&str; N]) -> impl Future<Output = ()> {
        let claims = claims.map(str::to_owned).to_vec();
        self.claim(Location::caller(), None, claims, false)
    }

    /// As [`History::shows`], for one recipient of several.
    #[track_caller]
    pub fn shows_for<const N: usize>(
        &self,
        rcpt: &str,
        claims: [&str; N],
    ) -> impl Future<Output = ()> {
        let claims = claims.map(str::to_owned).to_vec();
        self.claim(Location::caller(), Some(rcpt.to_owned()), claims, false)
    }

    /// As [`History::shows`], and fails if there is more by then.
    #[track_caller]
    pub fn is_exactly<const N: usize>(&self, claims: [&str; N]) -> impl Future<Output = ()> {
        let claims = claims.map(str::to_owned).to_vec();
        self.claim(Location::caller(), None, claims, true)
    }

    /// Waits until so many events of any kind are told; for retries without end.
    #[track_caller]
    pub fn has(&self, count: usize) -> impl Future<Output = Vec<Line>> {
        let here = Location::caller();
        async move {
            let mine = |lines: &[Line]| -> Vec<Line> {
                let all = lines.iter().filter(|line| self.entry(line).is_some());
                all.cloned().collect()
            };
            self.log
                .0
                .wait(
                    here,
                    |lines| format!("{count} events of {}; told: {:?}", self.id, mine(lines)),
                    |lines| Some(mine(lines)).filter(|mine| mine.len() >= count),
                )
                .await
        }
    }

    /// Waits for the event of this kind (`"failed"`) of this recipient; gives its line.
    #[track_caller]
    pub fn event(&self, event: &str, rcpt: &str) -> impl Future<Output = Line> {
        let here = Location::caller();
        async move {
            let wanted = |line: &Line| {
                let entry = self.entry(line);
                entry.is_some_and(|entry| entry.event == event && entry.rcpt == rcpt)
            };
            self.log
                .0
                .wait(
                    here,
                    |lines| {
                        let told = self.entries(lines, None);
                        format!("{event} for {rcpt} of {}; told: {told:?}", self.id)
                    },
                    |lines| lines.iter().find(|line| wanted(line)).cloned(),
                )
                .await
        }
    }

    async fn claim(&self, here: Here, rcpt: Option<String>, claims: Vec<String>, exactly: bool) {
        let verdict = self
            .log
            .0
            .wait(
                here,
                |lines| {
                    let told = self.entries(lines, rcpt.as_deref());
                    let whose = self.whose(rcpt.as_deref());
                    format!("{claims:?} in the history of {whose}; told: {told:?}")
                },
                |lines| {
                    let told = self.entries(lines, rcpt.as_deref());
                    let kept = claims.iter().zip(&told).all(|(c, t)| t.is(c));
                    if !kept || (exactly && told.len() > claims.len()) {
                        return Some(Err(told));
                    }
                    (told.len() >= claims.len()).then_some(Ok(()))
                },
            )
            .await;
        if let Err(told) = verdict {
            let whose = self.whose(rcpt.as_deref());
            panic!("{here}: the history of {whose} should be {claims:?}, and is {told:?}");
        }
    }

    fn whose(&self, rcpt: Option<&str>) -> String {
        match rcpt {
            Some(rcpt) => format!("{rcpt} of {}", self.id),
            None => self.id.to_string(),
        }
    }

    fn entries(&self, lines: &[Line], rcpt: Option<&str>) -> Vec<Entry> {
        let mine = lines.iter().filter_map(|line| self.entry(line));
        mine.filter(|entry| rcpt.is_none_or(|rcpt| entry.rcpt == rcpt))
            .collect()
    }

    fn entry(&self, line: &Line) -> Option<Entry> {
        let event = line.event()?;
        if !RECIPIENT_EVENTS.contains(&event) || line.field("queue_id")? != self.id.0 {
            return None;
        }
        let rcpt = line.field("rcpt").unwrap_or_default();
        Some(Entry {
            rcpt: rcpt.trim_matches(['<', '>']).to_owned(),
            event: event.to_owned(),
            dsn: line.field("dsn").unwrap_or_default(),
            reply: line.field("reply").unwrap_or_default(),
        })
    }
}

impl Entry {
    fn is(&self, claim: &str) -> bool {
        match claim.split_once(' ') {
            Some((event, dsn)) => self.event == event && self.dsn == dsn,
            None => self.event == claim,
        }
    }
}

impl fmt::Display for Entry {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{} {} {} {:?}",
            self.event, self.dsn, self.rcpt, self.reply
        )
    }
}

#[cfg(test)]
mod tests {
    use super::{History, Id, Line, Log};

    #[tokio::test]
    async fn a_history_is_the_recipients_events_of_one_message() {
        let log = told(&[
            r#"{"event":"accepted","queue_id":"A"}"#,
            r#"{"event":"deferred","queue_id":"A","rcpt":"<x@y>","dsn":"4.2.0","reply":"451 later"}"#,
            r#"{"event":"delivered","queue_id":"B","rcpt":"<x@y>","dsn":"2.0.0"}"#,
            "not JSON at all",
            r#"{"event":"failed","queue_id":"A","rcpt":"z@y","dsn":"5.1.1"}"#,
            r#"{"event":"delivered","queue_id":"A","rcpt":"<x@y>","dsn":"2.0.0"}"#,
        ]);
        let history = History::new(log, Id("A".to_owned()));
        history.shows(["deferred"]).await;
        history.shows(["deferred 4.2.0", "failed 5.1.1"]).await;
        history
            .is_exactly(["deferred", "failed", "delivered 2.0.0"])
            .await;
        history.shows_for("x@y", ["deferred", "delivered"]).await;
        let line = history.event("failed", "z@y").await;
        assert_eq!(line.field("dsn").as_deref(), Some("5.1.1"));
    }

    #[tokio::test]
    async fn a_history_is_awaited() {
        let log = told(&[]);
        let history = History::new(log.clone(), Id("A".to_owned()));
        let waiting = history.shows(["delivered"]);
        tokio::pin!(waiting);
        let now = tokio::time::timeout(std::time::Duration::ZERO, &mut waiting);
        assert!(now.await.is_err());
        let line = r#"{"event":"delivered","queue_id":"A","rcpt":"x@y"}"#;
        log.0.push(Line::new(line.to_owned()));
        waiting.await;
    }

    #[tokio::test]
    #[should_panic(expected = "the history of A should be [\"delivered\"]")]
    async fn another_history_fails_at_once() {
        let log = told(&[r#"{"event":"failed","queue_id":"A","rcpt":"x@y","dsn":"5.0.0"}"#]);
        let history = History::new(log, Id("A".to_owned()));
        history.shows(["delivered"]).await;
    }

    fn told(lines: &[&str]) -> Log {
        let log = Log::default();
        for line in lines {
            log.0.push(Line::new((*line).to_owned()));
        }
        log
    }
}
