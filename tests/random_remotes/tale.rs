//! What the relay tells while it works: its log, read as it is written, and its reports.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::time::Duration;

use jiff::Timestamp;
use tokio::sync::Semaphore;

use super::case::{Case, RcptId};
use super::host::Place;
use super::judge::{Event, Tale, Told};
use super::record::What;
use super::{OVER_WITHIN, signed};
use crate::support::{Line, Log, Message, Remote, Transaction};

/// How often it is looked whether a case takes too long.
const LOOK: Duration = Duration::from_secs(1);

/// How long reports may take once every verdict is told.
const REPORTS_WITHIN: Duration = Duration::from_secs(10);

/// All cases, by their place.
#[derive(Debug)]
pub(super) struct Tales {
    tales: Vec<Tale>,
    /// Recipients without an end.
    pending: Vec<usize>,
    lines: Vec<Vec<(Timestamp, String)>>,
    /// Lines of the log that were read.
    read: usize,
}

impl Tales {
    pub(super) fn of(places: &[Place]) -> Tales {
        let silent = Tale {
            sent_at: Timestamp::MAX,
            stories: BTreeMap::new(),
        };
        Tales {
            tales: vec![silent; places.len()],
            pending: places
                .iter()
                .map(|place| place.case.rcpts().count())
                .collect(),
            lines: vec![Vec::new(); places.len()],
            read: 0,
        }
    }

    /// Reads until all cases are over, or take too long. Each gives its place in the room back.
    pub(super) async fn follow(&mut self, log: &Log, places: &[Place], room: &Semaphore) {
        let mut under_way: Vec<usize> = (0..places.len()).collect();
        while !under_way.is_empty() {
            let read = self.read;
            let news = log.until("news", |lines| (lines.len() > read).then_some(()));
            let _ = tokio::time::timeout(LOOK, news).await; // whichever: time passes too
            self.read_rest(log);
            let now = Timestamp::now();
            under_way.retain(|&slot| {
                let sent_at = places[slot].sent_at.get();
                let late = sent_at.is_some_and(|&at| now > at + signed(OVER_WITHIN));
                let over = self.pending[slot] == 0 || late;
                room.add_permits(usize::from(over));
                !over
            });
        }
        for (tale, place) in self.tales.iter_mut().zip(places) {
            tale.sent_at = place.sent_at.get().copied().unwrap_or(Timestamp::MAX);
        }
    }

    /// What is there of the log, and was not read yet.
    pub(super) fn read_rest(&mut self, log: &Log) {
        let read = self.read;
        let new: Vec<Line> = log.read(|lines| lines[read..].to_vec());
        self.read += new.len();
        for line in new {
            self.read_line(&line);
        }
    }

    fn read_line(&mut self, line: &Line) {
        let field = |name: &str| line.field(name).unwrap_or_default();
        let Some(id) = RcptId::of(&field("rcpt")) else {
            return;
        };
        let Some(pending) = self.pending.get_mut(id.slot) else {
            return;
        };
        let at: Timestamp = field("timestamp").parse().expect("every line has its time");
        self.lines[id.slot].push((at, line.text.clone()));
        if let Some(event) = line.event().and_then(Event::of) {
            *pending = pending.saturating_sub(usize::from(event.is_final()));
            let told = Told {
                at,
                event,
                dsn: field("dsn"),
                reply: field("reply"),
            };
            let stories = &mut self.tales[id.slot].stories;
            stories.entry(id).or_default().told.push(told);
        }
    }

    /// Reads the reports that the senders got, as many as are due by what was told. Whether they are
    /// the right ones is for the judge.
    pub(super) async fn read_reports(&mut self, places: &[Place], home: &Remote) {
        let due = places.iter().zip(&self.tales).map(|(place, tale)| {
            let rcpts = place.case.rcpts();
            let owed = rcpts.filter(|(id, rcpt)| {
                let told = tale.stories.get(id).and_then(|story| story.told.last());
                let failed =
                    told.is_some_and(|t| matches!(t.event, Event::Failed | Event::Expired));
                failed && !rcpt.quiet
            });
            owed.count()
        });
        let due: usize = due.sum();
        let mut blocks = Vec::new();
        let mut looked_at = 0;
        let look = |list: &[Transaction]| {
            for transaction in &list[looked_at..] {
                blocks.extend(blocks_of(transaction));
            }
            looked_at = list.len();
            (blocks.len() >= due).then_some(())
        };
        let reports = home.until("reports", look);
        let _ = tokio::time::timeout(REPORTS_WITHIN, reports).await; // the judge will miss them
        for (id, action) in blocks {
            let stories = &mut self.tales[id.slot].stories;
            stories.entry(id).or_default().reports.push(action);
        }
    }

    pub(super) fn tale(&self, case: &Case) -> &Tale {
        &self.tales[case.slot]
    }

    /// What was done in all, so that one sees whether there was anything to judge.
    pub(super) fn summary(&self, places: &[Place]) -> String {
        let stories = self.tales.iter().flat_map(|tale| tale.stories.values());
        let told: Vec<&Told> = stories.flat_map(|story| &story.told).collect();
        let count = |event| told.iter().filter(|told| told.event == event).count();
        let (mut connections, mut lost) = (0, 0);
        for place in places {
            let record = place.record();
            connections += record.connections();
            let untold = |what: &What| matches!(what, What::Taken { told: false, .. });
            lost += record
                .facts
                .iter()
                .filter(|fact| untold(&fact.what))
                .count();
        }
        format!(
            "{} delivered, {} failed, {} expired, {} deferrals; {connections} connections; \
             {lost} times a host took a message for somebody and its word was in doubt",
            count(Event::Delivered),
            count(Event::Failed),
            count(Event::Expired),
            count(Event::Deferred),
        )
    }

    /// Everything that is known about a case.
    pub(super) fn transcript(&self, place: &Place, faults: &[String]) -> String {
        let case = &place.case;
        let mut text = format!("\nSEED={}: {}\n", case.seed, faults.join("\n  and "));
        for host in &case.hosts {
            let _ = writeln!(text, "  {host:?}");
        }
        for (id, rcpt) in case.rcpts() {
            let _ = writeln!(text, "  {id}: {rcpt:?}");
        }
        let record = place.record();
        let both = [record.transcript(), &self.lines[case.slot]];
        let mut lines: Vec<&(Timestamp, String)> = both.into_iter().flatten().collect();
        lines.sort_by_key(|(at, _)| *at);
        for (at, line) in lines {
            let _ = writeln!(text, "{} {line}", at.strftime("%M:%S.%6f"));
        }
        text
    }
}

/// Whom a report is about, with what became of each.
fn blocks_of(transaction: &Transaction) -> Vec<(RcptId, String)> {
    let report = Message::new(transaction.clone()).report();
    let blocks = report.recipients.iter().map(|block| {
        let recipient = block.only("Final-Recipient");
        let address = recipient.rsplit(';').next().unwrap_or_default().trim();
        let id = RcptId::of(address);
        let id = id.unwrap_or_else(|| panic!("a report about {recipient:?}"));
        (id, block.only("Action"))
    });
    blocks.collect()
}
