//! The lines against a naive model, and what they promise one by one.

use std::collections::{BTreeSet, HashMap};
use std::time::Duration;

use proptest::prelude::*;

use super::*;

const SMALL: Bounds = Bounds {
    total: 5,
    destination: 3,
    window: 4,
    group: 3,
    reads: 2,
    set_aside: 2,
};
/// Longer than any pause of a line.
const PAUSE_AT_MOST: Duration = Duration::from_secs(60);

fn destination(number: u8) -> Destination {
    Destination::from_stored(&format!("d{number}.test"))
}

fn item(to: u8, due: u64, id: u128, no: u32) -> DueItem {
    DueItem {
        destination: destination(to),
        due: UnixMillis(due),
        id: QueueId::new(UnixMillis(0), id),
        no: RecipientNo(no),
    }
}

fn add(lines: &mut Lines, item: DueItem) {
    lines.add(item, UnixMillis(0));
}

/// Everything that may be attempted now, as `destination/message` for each claim.
#[track_caller]
fn claims(lines: &mut Lines, now: u64) -> Vec<Claim> {
    std::iter::from_fn(|| lines.next(UnixMillis(now)))
        .map(|step| match step {
            Step::Attempt(claim) => claim,
            Step::Read { destination, .. } => panic!("{destination} was to be read"),
        })
        .collect()
}

#[test]
fn recipients_of_one_message_go_together_and_others_apart() {
    let mut lines = Lines::new(SMALL);
    for (id, no) in [(1, 0), (1, 1), (2, 0)] {
        add(&mut lines, item(1, 5, id, no));
    }
    add(&mut lines, item(2, 5, 1, 2));
    assert!(claims(&mut lines, 4).is_empty());
    assert_eq!(lines.wake_at(), Some(UnixMillis(5)));
    let taken: Vec<(Destination, usize)> = claims(&mut lines, 5)
        .into_iter()
        .map(|claim| (claim.destination, claim.nos.len()))
        .collect();
    let (one, two) = (destination(1), destination(2));
    assert_eq!(taken, [(one.clone(), 2), (two, 1), (one, 1)]);
}

#[test]
fn destinations_take_turns_whatever_is_older() {
    let mut lines = Lines::new(Bounds { total: 1, ..SMALL });
    for id in 0..3 {
        add(&mut lines, item(1, 0, id, 0));
    }
    for to in 2..=3 {
        add(&mut lines, item(to, 5, 9, 0));
    }
    let order: Vec<Destination> = (0..5)
        .map(|_| {
            let claim = claims(&mut lines, 9).remove(0);
            lines.finish(&claim, Ending::Done, UnixMillis(9));
            claim.destination
        })
        .collect();
    assert_eq!(order, [1, 2, 3, 1, 1].map(destination));
}

#[test]
fn one_destination_is_never_attempted_more_often_at_once_than_allowed() {
    let mut lines = Lines::new(SMALL);
    for id in 0..4 {
        add(&mut lines, item(1, 0, id, 0));
    }
    let taken = claims(&mut lines, 0);
    assert_eq!(taken.len(), SMALL.destination);
    lines.finish(&taken[0], Ending::Done, UnixMillis(0));
    assert_eq!(claims(&mut lines, 0).len(), 1);
}

/// A dead destination with 10,000 due recipients, all its attempts hanging: mail for a live one
/// leaves at once.
#[test]
fn a_dead_destination_does_not_keep_a_live_one_waiting() {
    let mut lines = Lines::new(SMALL);
    lines.more(&destination(1), UnixMillis(0), UnixMillis(0));
    let Some(Step::Read { limit, .. }) = lines.next(UnixMillis(0)) else {
        panic!("the line was to be read");
    };
    let backlog: Vec<DueItem> = (0..10_000).map(|id| item(1, 0, id, 0)).collect();
    lines.end_read(&destination(1), &backlog[..limit], UnixMillis(0));
    assert_eq!(claims(&mut lines, 1).len(), SMALL.destination);
    add(&mut lines, item(2, 1, 77, 0));
    let live = claims(&mut lines, 1);
    assert_eq!(live.len(), 1);
    assert_eq!(live[0].destination, destination(2));
}

/// The last quarter of the slots is for destinations that have nothing under way.
#[test]
fn dead_destinations_together_do_not_take_every_slot() {
    let mut lines = Lines::new(Bounds {
        total: 8,
        destination: 4,
        ..SMALL
    });
    for id in 0..3 {
        for dead in 1..=3 {
            add(&mut lines, item(dead, 0, id, 0));
        }
    }
    assert_eq!(claims(&mut lines, 0).len(), 6);
    add(&mut lines, item(4, 0, 9, 0));
    assert_eq!(claims(&mut lines, 0)[0].destination, destination(4));
}

#[test]
fn a_message_that_ends_beyond_the_window_is_read_whole_before_it_goes() {
    let mut lines = Lines::new(Bounds {
        window: 2,
        group: 5,
        ..SMALL
    });
    let message: Vec<DueItem> = (0..4).map(|no| item(1, 0, 1, no)).collect();
    lines.more(&destination(1), UnixMillis(0), UnixMillis(0));
    let Some(Step::Read { limit: 2, .. }) = lines.next(UnixMillis(0)) else {
        panic!("the window was to be read");
    };
    lines.end_read(&destination(1), &message[..2], UnixMillis(0));
    let Some(Step::Read { limit: 6, .. }) = lines.next(UnixMillis(0)) else {
        panic!("the rest of the message was to be read");
    };
    lines.end_read(&destination(1), &message, UnixMillis(0));
    assert_eq!(claims(&mut lines, 0)[0].nos.len(), 4);
}

#[test]
fn what_is_given_back_comes_again_after_a_pause_that_grows() {
    let mut lines = Lines::new(SMALL);
    add(&mut lines, item(1, 0, 1, 0));
    let mut now = 0;
    for pause in [1_000, 2_000, 4_000] {
        let taken = claims(&mut lines, now);
        lines.finish(&taken[0], Ending::GivenBack, UnixMillis(now));
        assert_eq!(lines.wake_at(), Some(UnixMillis(now + pause)));
        now += pause;
    }
}

#[test]
fn nothing_is_kept_of_a_destination_without_work() {
    let mut lines = Lines::new(SMALL);
    add(&mut lines, item(1, 0, 1, 0));
    let taken = claims(&mut lines, 0);
    lines.finish(&taken[0], Ending::Done, UnixMillis(0));
    assert!(lines.lines.is_empty() && lines.fresh.is_empty() && lines.sleeping.is_empty());
}

/// What may happen, in any order.
#[derive(Clone, Debug)]
enum Happening {
    Accept {
        to: u8,
        recipients: u32,
        in_seconds: u64,
        as_more: bool,
    },
    Hear,
    Wait(u64),
    Work {
        seen_at_end: bool,
    },
    ReadEnds {
        which: usize,
        fails: bool,
    },
    AttemptEnds {
        which: usize,
        how: How,
    },
}

#[derive(Clone, Copy, Debug)]
enum How {
    Final,
    Deferred(u64),
    GivenBack,
    SetAside,
}

fn happening() -> impl Strategy<Value = Happening> {
    let how = prop_oneof![
        5 => Just(How::Final),
        3 => (1..40_u64).prop_map(How::Deferred),
        1 => Just(How::GivenBack),
        1 => Just(How::SetAside),
    ];
    prop_oneof![
        4 => (0..4_u8, 1..6_u32, 0..3_u64, any::<bool>()).prop_map(
            |(to, recipients, in_seconds, as_more)| Happening::Accept { to, recipients, in_seconds, as_more }
        ),
        2 => Just(Happening::Hear),
        1 => (1..50_u64).prop_map(Happening::Wait),
        5 => any::<bool>().prop_map(|seen_at_end| Happening::Work { seen_at_end }),
        4 => (any::<usize>(), prop::bool::weighted(0.1))
            .prop_map(|(which, fails)| Happening::ReadEnds { which, fails }),
        5 => (any::<usize>(), how).prop_map(|(which, how)| Happening::AttemptEnds { which, how }),
    ]
}

/// The store and the dispatcher as plainly as they can be written.
struct Model {
    lines: Lines,
    now: UnixMillis,
    ids: u128,
    store: BTreeSet<(Destination, UnixMillis, QueueId, RecipientNo)>,
    news: Vec<Result<DueItem, (Destination, UnixMillis)>>,
    reads: Vec<(Destination, usize, Option<Vec<DueItem>>)>,
    attempts: Vec<Claim>,
    set_aside: Vec<Claim>,
    paused_until: HashMap<Destination, UnixMillis>,
}

impl Model {
    fn new() -> Model {
        Model {
            lines: Lines::new(SMALL),
            now: UnixMillis(1_000),
            ids: 0,
            store: BTreeSet::new(),
            news: Vec::new(),
            reads: Vec::new(),
            attempts: Vec::new(),
            set_aside: Vec::new(),
            paused_until: HashMap::new(),
        }
    }

    fn happens(&mut self, what: Happening) {
        match what {
            Happening::Accept {
                to,
                recipients,
                in_seconds,
                as_more,
            } => {
                self.ids += 1;
                let due = self.now.after(Duration::from_secs(in_seconds));
                for no in 0..recipients {
                    let item = DueItem {
                        due,
                        ..item(to, 0, self.ids, no)
                    };
                    self.insert(&item);
                    // a message may be half told and half summed up
                    self.news.push(match as_more && no > 0 {
                        true => Err((item.destination, item.due)),
                        false => Ok(item),
                    });
                }
            }
            Happening::Hear => self.hear(),
            Happening::Wait(seconds) => self.now = self.now.after(Duration::from_secs(seconds)),
            Happening::Work { seen_at_end } => self.work(seen_at_end),
            Happening::ReadEnds { which, fails } => self.read_ends(which, fails),
            Happening::AttemptEnds { which, how } => self.attempt_ends(which, how),
        }
    }

    fn insert(&mut self, item: &DueItem) {
        let to = item.destination.clone();
        self.store.insert((to, item.due, item.id, item.no));
    }

    fn hear(&mut self) {
        for news in self.news.drain(..) {
            match news {
                Ok(item) => self.lines.add(item, self.now),
                Err((to, due)) => self.lines.more(&to, due, self.now),
            }
        }
    }

    fn line(&self, of: &Destination, limit: usize) -> Vec<DueItem> {
        self.store
            .iter()
            .filter(|(to, ..)| to == of)
            .take(limit)
            .map(|(to, due, id, no)| DueItem {
                destination: to.clone(),
                due: *due,
                id: *id,
                no: *no,
            })
            .collect()
    }

    fn work(&mut self, seen_at_end: bool) {
        while let Some(step) = self.lines.next(self.now) {
            match step {
                Step::Attempt(claim) => self.claimed(claim),
                Step::Read { destination, limit } => {
                    let seen = (!seen_at_end).then(|| self.line(&destination, limit));
                    self.reads.push((destination, limit, seen));
                    assert!(self.reads.len() <= SMALL.reads);
                }
            }
        }
        self.check_nobody_waits();
    }

    fn claimed(&mut self, claim: Claim) {
        assert!(claim.due <= self.now, "before it was due");
        assert!(!claim.nos.is_empty() && claim.nos.len() <= SMALL.group);
        assert!(claim.nos.is_sorted());
        for &no in &claim.nos {
            let key = (claim.destination.clone(), claim.due, claim.id, no);
            assert!(self.store.contains(&key), "{key:?} is over");
            assert!(!self.is_out(&key), "{key:?} twice");
        }
        self.attempts.push(claim);
        let last = self
            .attempts
            .last()
            .expect("it was put there on the line above");
        assert!(self.attempts.len() <= SMALL.total);
        assert!(self.running(&last.destination) <= SMALL.destination);
    }

    fn is_out(&self, (to, due, id, no): &(Destination, UnixMillis, QueueId, RecipientNo)) -> bool {
        self.attempts.iter().chain(&self.set_aside).any(|claim| {
            (&claim.destination, &claim.due, &claim.id) == (to, due, id) && claim.nos.contains(no)
        })
    }

    fn running(&self, destination: &Destination) -> usize {
        self.attempts
            .iter()
            .filter(|claim| claim.destination == *destination)
            .count()
    }

    /// Nobody waits who is due, known, and has a slot.
    fn check_nobody_waits(&self) {
        let free = SMALL.total - self.attempts.len();
        if !self.news.is_empty() || !self.reads.is_empty() {
            return;
        }
        for key in &self.store {
            let running = self.running(&key.0);
            let has_slot = match running {
                0 => free > 0,
                _ => running < SMALL.destination && free > SMALL.total / 4,
            };
            let paused = self
                .paused_until
                .get(&key.0)
                .is_some_and(|end| *end > self.now);
            let may_go = key.1 <= self.now && has_slot && !paused;
            assert!(!may_go || self.is_out(key), "{key:?} waits");
        }
    }

    fn read_ends(&mut self, which: usize, fails: bool) {
        if self.reads.is_empty() {
            return;
        }
        let (to, limit, seen) = self.reads.swap_remove(which % self.reads.len());
        if fails {
            self.pause(&to);
            self.lines.fail_read(&to, self.now);
        } else {
            let items = seen.unwrap_or_else(|| self.line(&to, limit));
            self.lines.end_read(&to, &items, self.now);
        }
    }

    fn pause(&mut self, destination: &Destination) {
        self.paused_until
            .insert(destination.clone(), self.now.after(PAUSE_AT_MOST));
    }

    fn attempt_ends(&mut self, which: usize, how: How) {
        if self.attempts.is_empty() {
            return;
        }
        let claim = self.attempts.swap_remove(which % self.attempts.len());
        let ending = match how {
            How::Final | How::Deferred(_) => {
                for &no in &claim.nos {
                    self.store
                        .remove(&(claim.destination.clone(), claim.due, claim.id, no));
                    if let How::Deferred(seconds) = how {
                        let item = DueItem {
                            destination: claim.destination.clone(),
                            due: self.now.after(Duration::from_secs(seconds)),
                            id: claim.id,
                            no,
                        };
                        self.insert(&item);
                        self.news.push(Ok(item));
                    }
                }
                Ending::Done
            }
            How::GivenBack => {
                self.pause(&claim.destination);
                Ending::GivenBack
            }
            // beyond the bound it would come again with the next read; not modelled
            How::SetAside if self.set_aside.is_empty() && claim.nos.len() <= SMALL.set_aside => {
                self.set_aside.push(claim.clone());
                Ending::SetAside
            }
            How::SetAside => {
                self.pause(&claim.destination);
                Ending::GivenBack
            }
        };
        self.hear();
        self.lines.finish(&claim, ending, self.now);
    }

    /// Everybody gets an attempt in the end.
    fn run_dry(&mut self) {
        let aside: usize = self.set_aside.iter().map(|claim| claim.nos.len()).sum();
        for _ in 0..1_000 {
            self.hear();
            self.work(false);
            while !self.reads.is_empty() {
                self.read_ends(0, false);
            }
            while !self.attempts.is_empty() {
                self.attempt_ends(0, How::Final);
            }
            if self.store.len() == aside && self.lines.next(self.now).is_none() {
                return;
            }
            self.now = self.now.after(Duration::from_secs(61));
        }
        panic!("left in the store: {:?}", self.store);
    }
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(1_000) })]

    #[test]
    fn everybody_is_handed_out_once_when_due_and_nobody_waits_for_a_free_slot(
        happenings in prop::collection::vec(happening(), 0..120)
    ) {
        let mut model = Model::new();
        for what in happenings {
            model.happens(what);
        }
        model.run_dry();
    }
}
