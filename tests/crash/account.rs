//! What was sent against what arrived.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::fmt;

use super::IN_FLIGHT_MAX;
use super::load::{Load, SENDERS, number_of};
use crate::support::{End, Log, Message, Remote, Transaction, same_octets};

/// Everything that arrived.
#[derive(Debug)]
pub(super) struct Account {
    run: u64,
    whole: Vec<Transaction>,
}

/// What was counted.
#[derive(Debug)]
pub(super) struct Counts {
    deliveries: usize,
    pub(super) duplicates: usize,
    reports: usize,
}

/// Who is still owed something.
struct Owed {
    run: u64,
    messages: HashSet<usize>,
    got: HashSet<String>,
    missing: BTreeSet<String>,
}

impl Account {
    /// Waits until everybody has what is owed to them, as long as anything comes at all. A message
    /// that was acknowledged is owed to all of its recipients; one that was not may be gone, but if
    /// one has it, it is owed to the others.
    pub(super) async fn settled(hosts: &[Remote], run: u64, acknowledged: &BTreeSet<usize>) {
        let mut owed = Owed {
            run,
            messages: HashSet::new(),
            got: HashSet::new(),
            missing: BTreeSet::new(),
        };
        for number in acknowledged {
            owed.owe(*number);
        }
        let mut looked_at = vec![0; hosts.len()];
        loop {
            for (host, looked_at) in hosts.iter().zip(&mut looked_at) {
                let look = |list: &[Transaction]| {
                    let new = list[*looked_at..].iter();
                    let whole = new.filter(|t| t.end != End::Lost);
                    *looked_at = list.len();
                    Some(whole.flat_map(Transaction::to).map(str::to_owned).collect())
                };
                let came: Vec<String> = host.until("a look", look).await;
                came.into_iter().for_each(|mailbox| owed.came(mailbox));
            }
            let Some(next) = owed.missing.first() else {
                break;
            };
            let his = |host: &&Remote| host.name().ends_with(domain_of(next));
            let (host, looked_at) = hosts
                .iter()
                .zip(&looked_at)
                .find(|(host, _)| his(host))
                .expect("every domain has a host");
            let what = format!("{next} (and {} more)", owed.missing.len() - 1);
            let more = |list: &[Transaction]| (list.len() > *looked_at).then_some(());
            host.until(&what, more).await;
        }
    }

    /// What came so far. Taken while the relay is down: then nothing is between what its log tells
    /// and what a host has seen.
    pub(super) fn of(hosts: &[Remote], run: u64) -> Account {
        let all = hosts.iter().flat_map(Remote::transactions);
        Account {
            run,
            whole: all.filter(|t| t.end != End::Lost).collect(),
        }
    }

    /// Fails unless everything came as it was sent, every failure was reported once, and what came
    /// twice was in flight at a kill.
    pub(super) fn check(&self, log: &Log) -> Counts {
        let mut lives_of: BTreeMap<&str, Vec<usize>> = BTreeMap::new();
        let mut reports: BTreeMap<&str, BTreeSet<String>> = BTreeMap::new();
        for transaction in &self.whole {
            let message = Message::new(transaction.clone());
            for mailbox in transaction.to() {
                let life = life_of(&transaction.hello);
                lives_of.entry(mailbox).or_default().push(life);
                if domain_of(mailbox) == SENDERS {
                    self.check_report(&message, mailbox);
                    let id = message.header.only("Message-ID");
                    reports.entry(mailbox).or_default().insert(id);
                } else {
                    self.check_message(&message, mailbox);
                }
            }
        }
        for (sender, ids) in &reports {
            assert_eq!(ids.len(), 1, "reports to {sender}: {ids:?}");
        }
        Counts {
            deliveries: lives_of.values().map(Vec::len).sum(),
            duplicates: check_duplicates(&lives_of, &delivered(log)),
            reports: reports.len(),
        }
    }

    fn check_message(&self, message: &Message, mailbox: &str) {
        let sent = Load::of(self.run, number_of(mailbox)).mail();
        let from = format!("{} ", sent.mail_line()); // SIZE follows
        let mail = &message.transaction.mail;
        assert!(mail.starts_with(&from), "{mailbox}: {mail}");
        let sent = sent.octets();
        let came = message.below_our_trace_fields(&sent);
        if came != sent {
            println!("what {mailbox} got is not what was sent:");
            same_octets(came, sent);
        }
    }

    fn check_report(&self, message: &Message, sender: &str) {
        let load = Load::of(self.run, number_of(sender));
        let refused = load.refused();
        let refused = refused.unwrap_or_else(|| panic!("{sender} has no report to get"));
        assert_eq!(message.from(), "", "{sender}");
        let report = message.report();
        report.is_about(1);
        report.says(refused, "failed", "5.1.1");
    }
}

impl Owed {
    fn owe(&mut self, number: usize) {
        if self.messages.insert(number) {
            let receivers = Load::of(self.run, number).receivers().into_iter();
            let missing = receivers.filter(|receiver| !self.got.contains(receiver));
            self.missing.extend(missing);
        }
    }

    fn came(&mut self, mailbox: String) {
        self.missing.remove(&mailbox);
        let number = number_of(&mailbox);
        self.got.insert(mailbox);
        self.owe(number);
    }
}

/// How many came more than once. Each of them must have come once in each of several lives, and in
/// none but the last may the relay have known of it: the log of that life doesn't tell it delivered.
/// Nor can more be in flight at a kill than are on their way to one destination at one time.
fn check_duplicates(
    lives_of: &BTreeMap<&str, Vec<usize>>,
    delivered: &HashSet<(usize, String)>,
) -> usize {
    let mut in_flight: HashMap<(usize, &str), HashSet<usize>> = HashMap::new();
    let mut duplicates = 0;
    for (mailbox, lives) in lives_of {
        let mut lives = lives.clone();
        lives.sort_unstable();
        for pair in lives.windows(2) {
            let (life, next) = (pair[0], pair[1]);
            assert_ne!(life, next, "{mailbox} got it twice in one life");
            assert!(
                !delivered.contains(&(life, (*mailbox).to_owned())),
                "{mailbox}: told as delivered in life {life}, sent again in life {next}"
            );
            let cut_off = in_flight.entry((life, domain_of(mailbox))).or_default();
            cut_off.insert(number_of(mailbox));
            duplicates += 1;
        }
    }
    for ((life, domain), numbers) in in_flight {
        assert!(
            numbers.len() <= IN_FLIGHT_MAX,
            "{numbers:?} of life {life} were sent to {domain} again: more than can be in flight"
        );
    }
    for (life, mailbox) in delivered {
        let came = lives_of.get(mailbox.as_str());
        assert!(
            came.is_some_and(|lives| lives.contains(life)),
            "{mailbox}: told as delivered in life {life}, where it did not come"
        );
    }
    duplicates
}

/// Which recipients were told as delivered, with the life of the relay that told it.
fn delivered(log: &Log) -> HashSet<(usize, String)> {
    let mut life = 0;
    let mut told = HashSet::new();
    for line in log.lines() {
        if line.is("started") {
            life = life_of(&line.field("hostname").expect("the relay's name"));
        } else if line.is("delivered") {
            told.insert((life, line.field("rcpt").expect("whom")));
        }
    }
    told
}

/// From `EHLO life-3.gp.test` or the name alone.
fn life_of(hello: &str) -> usize {
    let number = hello
        .split_once("life-")
        .and_then(|(_, rest)| rest.split('.').next()?.parse().ok());
    number.unwrap_or_else(|| panic!("{hello:?} names no life of the relay"))
}

fn domain_of(mailbox: &str) -> &str {
    mailbox.rsplit('@').next().unwrap_or_default()
}

impl fmt::Display for Counts {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{} deliveries, {} of them duplicates of what was in flight at a kill; {} failures, each with its report",
            self.deliveries, self.duplicates, self.reports
        )
    }
}
