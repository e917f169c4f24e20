//! Holds what the relay told and what it did against the rules. Pure.

use std::collections::BTreeMap;
use std::time::Duration;

use jiff::Timestamp;

use super::case::{Case, Rcpt, RcptId};
use super::record::{Fact, Record, What};
use super::{LIFETIME, RETRY_BASE, RETRY_CAP, SLACK, signed};

/// What the relay told about a case, in its log and in reports to the sender.
#[derive(Clone, Debug)]
pub(super) struct Tale {
    /// Before its first message was sent in.
    pub(super) sent_at: Timestamp,
    pub(super) stories: BTreeMap<RcptId, Story>,
}

/// What it told about a recipient.
#[derive(Clone, Debug, Default)]
pub(super) struct Story {
    /// In the order of time.
    pub(super) told: Vec<Told>,
    /// Blocks about it in the reports that came, by their Action.
    pub(super) reports: Vec<String>,
}

/// One line of the log.
#[derive(Clone, Debug)]
pub(super) struct Told {
    pub(super) at: Timestamp,
    pub(super) event: Event,
    pub(super) dsn: String,
    pub(super) reply: String,
}

/// The facts about recipients.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Event {
    Deferred,
    Delivered,
    Failed,
    Expired,
}

/// What is wrong with a case: nothing, or a sentence for each fault.
pub(super) fn judge(case: &Case, record: &Record, tale: &Tale) -> Vec<String> {
    let mut facts = record.facts.clone();
    facts.sort_by_key(|fact| fact.at);
    let mut faults: Vec<String> = facts
        .iter()
        .filter_map(|fact| match &fact.what {
            What::Breach(what) => Some(format!("the relay {what}")),
            _ => None,
        })
        .collect();
    if record.open > 0 {
        faults.push(format!("{} connections are still open", record.open));
    }
    for (id, rcpt) in case.rcpts() {
        let none = Story::default();
        let trial = Trial {
            case,
            rcpt,
            id,
            record,
            facts: &facts,
            story: tale.stories.get(&id).unwrap_or(&none),
            sent_at: tale.sent_at,
        };
        let found = trial.faults().into_iter();
        faults.extend(found.map(|fault| format!("{id}: {fault}")));
    }
    faults
}

/// One recipient.
struct Trial<'a> {
    case: &'a Case,
    rcpt: &'a Rcpt,
    id: RcptId,
    record: &'a Record,
    facts: &'a [Fact],
    story: &'a Story,
    sent_at: Timestamp,
}

impl Trial<'_> {
    fn faults(&self) -> Vec<String> {
        let ends = self.story.told.iter().filter(|told| told.event.is_final());
        let end = match ends.collect::<Vec<_>>().as_slice() {
            [end] => *end,
            [] => return vec!["it came to no end".to_owned()],
            several => return vec![format!("it came to several ends: {several:?}")],
        };
        let mut faults = Vec::new();
        if !self
            .story
            .told
            .last()
            .is_some_and(|told| told.event.is_final())
        {
            faults.push("its end was not the last that was told".to_owned());
        }
        faults.extend(self.end_is_true(end));
        faults.extend(self.nothing_after(end.at, "its end"));
        faults.extend(self.refusal_is_final(end));
        faults.extend(self.taken_once());
        faults.extend(self.told_once(end));
        faults.extend(self.on_schedule());
        faults
    }

    fn end_is_true(&self, end: &Told) -> Option<String> {
        let taken: Vec<bool> = self.taken().map(|(_, told)| told).collect();
        match end.event {
            Event::Delivered if taken.is_empty() => {
                Some("told as delivered, and no host has it".to_owned())
            }
            Event::Failed | Event::Expired if taken.contains(&true) => {
                Some(format!("told as {:?}, and a host took it", end.event))
            }
            Event::Failed => self.failure_is_founded(end),
            Event::Expired => {
                let lifetime_over = self.sent_at + signed(LIFETIME);
                (end.at < lifetime_over).then(|| "expired before its time".to_owned())
            }
            Event::Delivered | Event::Deferred => None,
        }
    }

    /// Only 5yz fails a recipient, or that a host lacks what the message needs.
    fn failure_is_founded(&self, end: &Told) -> Option<String> {
        let code: Option<u16> = end.reply.get(..3).and_then(|code| code.parse().ok());
        let founded = match code {
            Some(code) => code / 100 == 5 && self.record.has(&What::Said(code)),
            None => {
                let unextended = self.record.has(&What::Unextended);
                self.case.may_fail_by_itself(&end.dsn, unextended)
            }
        };
        (!founded).then(|| format!("failed with {} {:?}, without a cause", end.dsn, end.reply))
    }

    /// A 5yz ends it, and it is never named again.
    fn refusal_is_final(&self, end: &Told) -> Vec<String> {
        let refused = self.facts.iter().find_map(|fact| match fact.what {
            What::Refused(id, code) if id == self.id => Some((fact.at, code)),
            _ => None,
        });
        let Some((at, code)) = refused else {
            return Vec::new();
        };
        let mut faults = Vec::new();
        if end.event != Event::Failed {
            faults.push(format!("refused with {code}, and told as {:?}", end.event));
        }
        let again = self.named().find(|named| *named > at);
        if let Some(again) = again {
            faults.push(format!(
                "refused with {code} at {at}, tried again at {again}"
            ));
        }
        faults
    }

    /// Sent again only where the host's word was lost.
    fn taken_once(&self) -> Vec<String> {
        let taken: Vec<(Timestamp, bool)> = self.taken().collect();
        let before_last = taken.iter().rev().skip(1);
        before_last
            .filter(|(_, told)| *told)
            .map(|(at, _)| format!("a host took it at {at} and said so, and got it again"))
            .collect()
    }

    /// The sender learns of an end without delivery, once, unless nobody is to be told.
    fn told_once(&self, end: &Told) -> Option<String> {
        let wanted: &[&str] = match end.event {
            Event::Failed | Event::Expired if !self.rcpt.quiet => &["failed"],
            _ => &[],
        };
        let reports = &self.story.reports;
        (reports != wanted).then(|| format!("{:?}, with reports: {reports:?}", end.event))
    }

    /// After the n-th deferral it is not tried before the n-th delay is over, but for the one attempt
    /// when the lifetime ends. By the host's record, and by the log where it came to no RCPT.
    fn on_schedule(&self) -> Vec<String> {
        let last_attempt = self.sent_at + signed(LIFETIME);
        let mut faults = Vec::new();
        for (count, deferral) in self.story.told.iter().enumerate() {
            if deferral.event != Event::Deferred {
                continue;
            }
            let before = self.named().take_while(|at| *at <= deferral.at).last();
            let after = self.named().find(|at| *at > deferral.at);
            let told_next = self.story.told.get(count + 1).map(|told| told.at);
            let due_after = signed(delay(count) * 3 / 4); // not to the millisecond: both are read late
            let pairs = [(before, after), (Some(deferral.at), told_next)];
            for (one, next) in pairs.into_iter().filter_map(|(a, b)| a.zip(b)) {
                if next < one + due_after && next < last_attempt {
                    let (number, due) = (count + 1, delay(count));
                    faults.push(format!(
                        "attempt {number} at {one}, the next at {next}, due {due:?} later"
                    ));
                }
            }
        }
        faults
    }

    fn nothing_after(&self, end: Timestamp, what: &str) -> Option<String> {
        let after = self.named().find(|at| *at > end + signed(SLACK));
        after.map(|at| format!("named at {at}, after {what} at {end}"))
    }

    fn named(&self) -> impl Iterator<Item = Timestamp> {
        let named = |fact: &Fact| (fact.what == What::Named(self.id)).then_some(fact.at);
        self.facts.iter().filter_map(named)
    }

    /// When a host took it, and whether that was told so that it counts.
    fn taken(&self) -> impl Iterator<Item = (Timestamp, bool)> {
        self.facts.iter().filter_map(|fact| match fact.what {
            What::Taken { rcpt, told } if rcpt == self.id => Some((fact.at, told)),
            _ => None,
        })
    }
}

impl Event {
    pub(super) fn of(word: &str) -> Option<Event> {
        Some(match word {
            "deferred" => Event::Deferred,
            "delivered" => Event::Delivered,
            "failed" => Event::Failed,
            "expired" => Event::Expired,
            _ => return None,
        })
    }

    pub(super) fn is_final(self) -> bool {
        self != Event::Deferred
    }
}

/// After so many deferrals and one more.
fn delay(deferrals: usize) -> Duration {
    let doublings = u32::try_from(deferrals).unwrap_or(u32::MAX).min(16);
    (RETRY_BASE * 2_u32.pow(doublings)).min(RETRY_CAP)
}

#[cfg(test)]
mod tests {
    use super::*;

    const ID: RcptId = RcptId {
        slot: 0,
        letter: 0,
        number: 0,
    };

    /// What a recipient with one life of events and facts is blamed for, by its first words.
    #[track_caller]
    fn check(facts: &[(i64, What)], told: &[(i64, Event, &str)], reports: &[&str], want: &[&str]) {
        let seconds = |s: i64| Timestamp::from_second(1_000 + s).unwrap();
        let mut case = Case::of(1, 0);
        let rcpt = Rcpt {
            fate: super::super::case::Fate::Taken,
            quiet: false,
        };
        case.letters.truncate(1);
        case.letters[0].rcpts = BTreeMap::from([(ID, rcpt)]);
        let mut record = Record::of(&case);
        record.fact(seconds(0), What::Said(550));
        for (at, what) in facts {
            record.fact(seconds(*at), what.clone());
        }
        let told = told.iter().map(|(at, event, reply)| Told {
            at: seconds(*at),
            event: *event,
            dsn: String::new(),
            reply: (*reply).to_owned(),
        });
        let story = Story {
            told: told.collect(),
            reports: reports.iter().map(|&action| action.to_owned()).collect(),
        };
        let tale = Tale {
            sent_at: seconds(0),
            stories: BTreeMap::from([(ID, story)]),
        };
        let faults = judge(&case, &record, &tale);
        let as_wanted = faults
            .iter()
            .zip(want)
            .all(|(fault, want)| fault.contains(want));
        assert!(as_wanted && faults.len() == want.len(), "{faults:#?}");
    }

    const NAMED: What = What::Named(ID);
    const REFUSED: What = What::Refused(ID, 550);
    const TOLD: What = What::Taken {
        rcpt: ID,
        told: true,
    };
    const UNTOLD: What = What::Taken {
        rcpt: ID,
        told: false,
    };

    #[test]
    fn what_is_right_is_not_blamed() {
        use Event::{Deferred, Delivered, Expired, Failed};
        check(
            &[(1, NAMED), (1, TOLD)],
            &[(2, Delivered, "250 ok")],
            &[],
            &[],
        );
        check(
            &[(1, NAMED), (1, REFUSED)],
            &[(2, Failed, "550 no")],
            &["failed"],
            &[],
        );
        // a word that was lost
        let lost = [(1, NAMED), (1, UNTOLD), (3, NAMED), (3, TOLD)];
        check(
            &lost,
            &[(1, Deferred, ""), (3, Delivered, "250 ok")],
            &[],
            &[],
        );
        check(
            &[],
            &[(1, Deferred, ""), (90, Expired, "")],
            &["failed"],
            &[],
        );
    }

    #[test]
    fn every_rule_has_its_fault() {
        use Event::{Deferred, Delivered, Expired, Failed};
        check(&[], &[(1, Deferred, "")], &[], &["it came to no end"]);
        let both = [(1, Failed, "550"), (2, Expired, "")];
        check(&[], &both, &["failed"], &["it came to several ends"]);
        check(&[], &[(1, Delivered, "250 ok")], &[], &["no host has it"]);
        check(
            &[(1, TOLD)],
            &[(2, Failed, "550 no")],
            &["failed"],
            &["a host took it"],
        );
        check(
            &[],
            &[(2, Failed, "450 no")],
            &["failed"],
            &["without a cause"],
        );
        check(
            &[],
            &[(2, Failed, "551 no")],
            &["failed"],
            &["without a cause"],
        );
        check(
            &[],
            &[(2, Failed, "no TLS")],
            &["failed"],
            &["without a cause"],
        );
        check(&[], &[(1, Expired, "")], &["failed"], &["before its time"]);
        check(&[], &[(2, Failed, "550 no")], &[], &["with reports: []"]);
        check(
            &[],
            &[(2, Failed, "550 no")],
            &["failed"; 2],
            &["with reports"],
        );
        let twice = [(1, TOLD), (3, TOLD)];
        check(&twice, &[(3, Delivered, "250")], &[], &["and got it again"]);
        let again = [(1, NAMED), (1, REFUSED), (3, NAMED), (3, REFUSED)];
        let told = [(1, Deferred, "550 no"), (3, Failed, "550 no")];
        check(&again, &told, &["failed"], &["tried again"]);
        check(
            &[(1, REFUSED)],
            &[(90, Expired, "")],
            &["failed"],
            &["refused with 550"],
        );
        let late = [(1, NAMED), (1, TOLD), (80, NAMED)];
        check(&late, &[(2, Delivered, "250")], &[], &["after its end"]);
        let hasty = [(1, Deferred, ""), (1, Delivered, "250")];
        check(&[(1, TOLD)], &hasty, &[], &["the next at"]);
        let undoubled = [(1, Deferred, ""), (2, Deferred, ""), (3, Delivered, "250")];
        check(&[(3, TOLD)], &undoubled, &[], &["attempt 2"]);
        let breach = What::Breach("shouted".to_owned());
        check(
            &[(1, breach), (1, TOLD)],
            &[(2, Delivered, "250")],
            &[],
            &["the relay shouted"],
        );
    }
}
