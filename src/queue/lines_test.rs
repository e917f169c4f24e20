//! What the lines promise, one by one.

use std::time::Duration;

use super::super::backoff::RetryPolicy;
use super::super::samples;
use super::*;
use crate::config::{Config, Sources};
use crate::store::SuspensionCause;

pub(super) const SMALL: Bounds = Bounds {
    total: 5,
    destination: 3,
    window: 4,
    group: 3,
    transaction: 2,
    reads: 2,
    set_aside: 2,
    remembered: 2,
};

pub(super) fn destination(number: u8) -> Destination {
    Destination::from_stored(&format!("d{number}.test"))
}

pub(super) fn item(to: u8, due: u64, id: u128, no: u32) -> DueItem {
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
            Step::PutOff(ticket) => panic!("{ticket:?} was to make room"),
        })
        .collect()
}

pub(super) fn lines(bounds: Bounds) -> Lines {
    Lines::new(Rules {
        bounds,
        rates: DestinationRates::default(),
        suspension: SuspensionPolicy::of(&RetryPolicy {
            base: Duration::from_secs(60),
            cap: Duration::from_secs(3_600),
            lifetime: Duration::from_secs(86_400),
            warn_after: None,
        }),
    })
}

/// Lines of destinations 1 to 9, which all have answered before.
fn lines_of_proven(bounds: Bounds) -> Lines {
    let mut lines = lines(Bounds {
        remembered: 9,
        ..bounds
    });
    for to in 1..=9 {
        let entry = lines.entry(&destination(to), Level::NEWCOMER);
        entry.standing.is_taking();
        lines.settle(&destination(to), UnixMillis(0));
    }
    lines
}

pub(super) fn finish(lines: &mut Lines, claim: &Claim, ending: Ending, now: u64) {
    let learned = match ending {
        Ending::Done => Learned::Answered,
        Ending::GivenBack | Ending::PutOff | Ending::SetAside => Learned::Nothing,
    };
    let change = lines.finish(claim, ending, &learned, UnixMillis(now), Jitter::NONE);
    assert_eq!(change, None);
}

fn miss(lines: &mut Lines, claim: &Claim, now: u64) -> Option<Change> {
    let missed = Learned::Missed(Box::new(samples::trouble()));
    let now = UnixMillis(now);
    lines.finish(claim, Ending::Done, &missed, now, Jitter::NONE)
}

fn destinations(claims: &[Claim]) -> Vec<Destination> {
    let all = claims.iter().map(|claim| claim.destination.clone());
    all.collect()
}

#[test]
fn recipients_of_one_message_go_together_and_others_apart() {
    let mut lines = lines_of_proven(SMALL);
    for (id, no) in [(1, 0), (1, 1), (2, 0)] {
        add(&mut lines, item(1, 5, id, no));
    }
    add(&mut lines, item(2, 5, 1, 2));
    assert!(claims(&mut lines, 4).is_empty());
    assert_eq!(lines.wake_at(UnixMillis(4)), Some(UnixMillis(5)));
    let taken: Vec<(Destination, usize)> = claims(&mut lines, 5)
        .into_iter()
        .map(|claim| (claim.destination, claim.nos.len()))
        .collect();
    let (one, two) = (destination(1), destination(2));
    assert_eq!(taken, [(one.clone(), 2), (two, 1), (one, 1)]);
}

#[test]
fn destinations_take_turns_whatever_is_older() {
    let mut lines = lines_of_proven(Bounds { total: 1, ..SMALL });
    for id in 0..3 {
        add(&mut lines, item(1, 0, id, 0));
    }
    for to in 2..=3 {
        add(&mut lines, item(to, 5, 9, 0));
    }
    let order: Vec<Destination> = (0..5)
        .map(|_| {
            let claim = claims(&mut lines, 9).remove(0);
            finish(&mut lines, &claim, Ending::Done, 9);
            claim.destination
        })
        .collect();
    assert_eq!(order, [1, 2, 3, 1, 1].map(destination));
}

#[test]
fn one_destination_is_never_attempted_more_often_at_once_than_allowed() {
    let mut lines = lines_of_proven(SMALL);
    for id in 0..4 {
        add(&mut lines, item(1, 0, id, 0));
    }
    let taken = claims(&mut lines, 0);
    assert_eq!(taken.len(), SMALL.destination);
    finish(&mut lines, &taken[0], Ending::Done, 0);
    assert_eq!(claims(&mut lines, 0).len(), 1);
}

#[test]
fn a_destination_gets_one_attempt_until_a_host_takes_a_message() {
    let mut lines = lines(SMALL);
    for id in 0..4 {
        add(&mut lines, item(1, 0, id, 0));
    }
    let first = claims(&mut lines, 0);
    assert_eq!(first.len(), 1);
    lines.is_taking(&first[0], UnixMillis(0));
    assert_eq!(claims(&mut lines, 0).len(), SMALL.destination - 1);
}

#[test]
fn a_miss_stops_a_destination_until_one_of_its_attempts_is_answered() {
    let mut lines = lines_of_proven(SMALL);
    for id in 0..9 {
        add(&mut lines, item(1, 0, id, 0));
    }
    let taken = claims(&mut lines, 0);
    assert_eq!(miss(&mut lines, &taken[0], 0), None);
    assert!(claims(&mut lines, 0).is_empty());
    finish(&mut lines, &taken[1], Ending::Done, 0);
    assert_eq!(claims(&mut lines, 0).len(), 1); // one is still under way, and two are allowed
}

/// W-19.07: a dead destination with 10,000 due recipients has one attempt hanging, and mail for a
/// live one leaves at once.
#[test]
fn a_dead_destination_does_not_keep_a_live_one_waiting() {
    let mut lines = lines(SMALL);
    lines.more(&destination(1), UnixMillis(0), UnixMillis(0));
    let Some(Step::Read { limit, .. }) = lines.next(UnixMillis(0)) else {
        panic!("the line was to be read");
    };
    let backlog: Vec<DueItem> = (0..10_000).map(|id| item(1, 0, id, 0)).collect();
    lines.end_read(&destination(1), &backlog[..limit], UnixMillis(0));
    assert_eq!(claims(&mut lines, 1).len(), 1);
    add(&mut lines, item(2, 1, 77, 0));
    assert_eq!(destinations(&claims(&mut lines, 1)), [destination(2)]);
}

/// The last quarter of the slots is for destinations that have nothing under way.
#[test]
fn slow_destinations_together_do_not_take_every_slot() {
    let mut lines = lines_of_proven(Bounds {
        total: 8,
        destination: 4,
        ..SMALL
    });
    for id in 0..3 {
        for slow in 1..=3 {
            add(&mut lines, item(slow, 0, id, 0));
        }
    }
    assert_eq!(claims(&mut lines, 0).len(), 6);
    add(&mut lines, item(4, 0, 9, 0));
    assert_eq!(claims(&mut lines, 0)[0].destination, destination(4));
}

/// Half of the slots stay with those who answer, however many dead destinations there are.
#[test]
fn destinations_that_answer_have_half_of_the_slots() {
    let mut lines = lines_of_proven(SMALL_OF_8);
    for dead in 100..200 {
        add(&mut lines, item(dead, 0, 1, 0));
    }
    assert_eq!(claims(&mut lines, 0).len(), 4);
    for live in 1..=5 {
        add(&mut lines, item(live, 0, 1, 0));
    }
    assert_eq!(
        destinations(&claims(&mut lines, 0)),
        [1, 2, 3, 4].map(destination)
    );
}

const SMALL_OF_8: Bounds = Bounds { total: 8, ..SMALL };

/// Ends everybody who is told to make room; which destinations these are.
fn make_room(lines: &mut Lines, running: &mut Vec<Claim>, now: u64) -> Vec<Destination> {
    let mut left = Vec::new();
    while let Some(step) = lines.next(UnixMillis(now)) {
        match step {
            Step::PutOff(ticket) => {
                let at = running.iter().position(|claim| claim.ticket == ticket);
                let claim = running.swap_remove(at.expect("it is under way"));
                finish(lines, &claim, Ending::PutOff, now);
                left.push(claim.destination);
            }
            Step::Attempt(claim) => running.push(claim),
            Step::Read { .. } => panic!("everything is known"),
        }
    }
    left
}

#[test]
fn a_new_destination_gets_its_turn_however_many_dead_ones_hang() {
    let mut lines = lines(SMALL_OF_8);
    for dead in 100..200 {
        add(&mut lines, item(dead, 0, 1, 0));
    }
    let mut running = claims(&mut lines, 0);
    assert!(make_room(&mut lines, &mut running, 499).is_empty());
    assert_eq!(lines.wake_at(UnixMillis(499)), Some(UnixMillis(500)));
    // the next four had their time, and behind them waits the new one
    make_room(&mut lines, &mut running, 500);
    lines.add(item(1, 900, 1, 0), UnixMillis(900));
    let left = make_room(&mut lines, &mut running, 1_000);
    assert_eq!(left.len(), 4);
    let live = running
        .iter()
        .find(|claim| claim.destination == destination(1));
    let live = live.expect("it came last, and goes among the next").clone();
    finish(&mut lines, &live, Ending::Done, 1_010);
    running.retain(|claim| *claim != live);

    // in the end all have been tried once, and those that hang keep their slots for longer
    let mut now = 1_500;
    while lines.turns.unproven_after(0) == Some(Level::NEWCOMER) {
        make_room(&mut lines, &mut running, now);
        now += 500;
    }
    make_room(&mut lines, &mut running, now);
    assert!(now <= 13_500, "{now}");
    let soon = lines.wake_at(UnixMillis(now)).expect("others wait");
    assert!(soon > UnixMillis(now + 500), "{soon:?}");
    // but not against another new one
    lines.add(item(2, now, 1, 0), UnixMillis(now));
    assert_eq!(make_room(&mut lines, &mut running, now + 500).len(), 1);
    assert!(
        running
            .iter()
            .any(|claim| claim.destination == destination(2))
    );
}

#[test]
fn an_attempt_whose_message_is_being_taken_is_not_put_off() {
    let mut lines = lines(Bounds { total: 2, ..SMALL });
    add(&mut lines, item(1, 0, 1, 0));
    let slow = claims(&mut lines, 0).remove(0);
    add(&mut lines, item(2, 0, 1, 0));
    let Some(Step::PutOff(ticket)) = lines.next(UnixMillis(500)) else {
        panic!("its slot is wanted");
    };
    assert_eq!(ticket, slow.ticket);
    assert!(lines.next(UnixMillis(500)).is_none(), "told once");
    lines.is_taking(&slow, UnixMillis(500));
    assert!(lines.next(UnixMillis(99_999)).is_none());
    assert_eq!(lines.wake_at(UnixMillis(500)), None);
    finish(&mut lines, &slow, Ending::Done, 99_999);
    assert_eq!(destinations(&claims(&mut lines, 99_999)), [destination(2)]);
}

/// As when a provider of many domains falls silent.
#[test]
fn destinations_that_used_to_answer_make_room_if_every_slot_is_taken() {
    let mut lines = lines_of_proven(SMALL);
    for silent in 1..=5 {
        add(&mut lines, item(silent, 0, 1, 0));
    }
    let mut running = claims(&mut lines, 0);
    assert_eq!(running.len(), SMALL.total);
    add(&mut lines, item(6, 0, 1, 0));
    assert!(make_room(&mut lines, &mut running, 3_999).is_empty());
    let left = make_room(&mut lines, &mut running, 4_000);
    assert!((1..=SMALL.unproven()).contains(&left.len()), "{left:?}");
    assert!(destinations(&running).contains(&destination(6)));
}

#[test]
fn a_suspended_destination_waits_and_is_probed_with_one_message() {
    let mut lines = lines(SMALL);
    for id in 0..9 {
        add(&mut lines, item(1, 0, id, 0));
    }
    for _ in 0..2 {
        let claim = claims(&mut lines, 0).remove(0);
        assert_eq!(miss(&mut lines, &claim, 0), None);
    }
    let claim = claims(&mut lines, 0).remove(0);
    let Some(Change::Suspended(suspension)) = miss(&mut lines, &claim, 0) else {
        panic!("it keeps failing");
    };
    assert!(claims(&mut lines, 59_999).is_empty());
    assert_eq!(lines.wake_at(UnixMillis(0)), Some(UnixMillis(60_000)));

    // another program goes on with what the store remembers
    let mut lines = self::lines(SMALL);
    lines.more(&destination(1), UnixMillis(0), UnixMillis(0));
    lines.suspend(&destination(1), *suspension, UnixMillis(10));
    assert!(claims(&mut lines, 59_999).is_empty());
    let Some(Step::Read { limit: 4, .. }) = lines.next(UnixMillis(60_000)) else {
        panic!("it has not been read yet");
    };
    let items: Vec<DueItem> = (3..6).map(|id| item(1, 0, id, 0)).collect();
    lines.end_read(&destination(1), &items, UnixMillis(60_000));
    let probe = claims(&mut lines, 60_000);
    assert_eq!(probe.len(), 1);
    lines.is_taking(&probe[0], UnixMillis(60_000));
    assert!(
        claims(&mut lines, 60_000).is_empty(),
        "not before it is taken"
    );
    let opened = lines.finish(
        &probe[0],
        Ending::Done,
        &Learned::Answered,
        UnixMillis(60_001),
        Jitter::NONE,
    );
    assert_eq!(opened, Some(Change::Opened));
    assert_eq!(claims(&mut lines, 60_001).len(), 2);
}

#[test]
fn a_suspension_that_is_lifted_is_over_at_once() {
    let mut lines = lines(SMALL);
    add(&mut lines, item(1, 0, 1, 0));
    for id in 2..=3 {
        let claim = claims(&mut lines, 0).remove(0);
        miss(&mut lines, &claim, 0);
        add(&mut lines, item(1, 0, id, 0));
    }
    let claim = claims(&mut lines, 0).remove(0);
    miss(&mut lines, &claim, 0).expect("suspended");
    add(&mut lines, item(1, 0, 4, 0));
    assert!(claims(&mut lines, 1).is_empty());
    let change = lines.resume(&destination(1), UnixMillis(1));
    assert_eq!(change, Some(Change::Opened));
    assert_eq!(claims(&mut lines, 1).len(), 1);
    assert_eq!(lines.resume(&destination(7), UnixMillis(1)), None);
    assert_eq!(lines.lines.len(), 1);
}

#[test]
fn other_settings_hold_for_who_waits_and_for_who_is_remembered() {
    let settings = |variables: &[(&str, &str)]| {
        let sources = Sources::of(variables.iter().copied());
        Settings::of(&Config::load(&sources).expect("taken").config)
    };
    let mut lines = lines_of_proven(SMALL);
    for id in 0..4 {
        add(&mut lines, item(1, 0, id, 0));
    }
    let running = claims(&mut lines, 0);
    assert_eq!(running.len(), 3);
    let more = settings(&[("SMTP_DESTINATION_CONCURRENCY", "4")]);
    lines.change(&more, UnixMillis(0));
    assert_eq!(claims(&mut lines, 0).len(), 1);
    // Fewer than are under way: nobody is stopped, nobody follows.
    let fewer = [
        ("SMTP_DESTINATION_CONCURRENCY", "1"),
        ("SMTP_DESTINATION_RATE", "*=1/9s"),
    ];
    lines.change(&settings(&fewer), UnixMillis(0));
    add(&mut lines, item(1, 0, 9, 0));
    finish(&mut lines, &running[0], Ending::Done, 0);
    assert!(claims(&mut lines, 0).is_empty());
    // Another one, that nothing waits for: its rate holds, and what is spent stays spent.
    add(&mut lines, item(2, 0, 10, 0));
    let claim = claims(&mut lines, 0).remove(0);
    finish(&mut lines, &claim, Ending::Done, 0);
    lines.change(&settings(&fewer), UnixMillis(0));
    add(&mut lines, item(2, 0, 11, 0));
    assert!(claims(&mut lines, 8_999).is_empty());
    assert_eq!(claims(&mut lines, 9_000).len(), 1);
}

#[test]
fn a_rate_is_kept_over_the_end_of_the_line() {
    // W-19.06
    let rates = [("SMTP_DESTINATION_RATE", "d1.test=2/s")];
    let config = Config::load(&Sources::of(rates)).expect("taken").config;
    let mut lines = lines_of_proven(SMALL);
    lines.rules.rates = config.queue.destination_rates;
    lines.remembered.take(&destination(1));
    let start = 1_795_000_000_000;
    let mut at = Vec::new();
    for id in 0..5 {
        lines.add(item(1, start, id, 0), UnixMillis(start));
        let now = lines.wake_at(UnixMillis(start)).map_or(start, |at| at.0);
        let claim = claims(&mut lines, now).remove(0);
        finish(&mut lines, &claim, Ending::Done, now);
        at.push(now - start);
    }
    assert_eq!(at, [0, 0, 500, 1_000, 1_500]);
    // recipients of three transactions count three times
    for no in 0..3 {
        add(&mut lines, item(1, start, 9, no));
    }
    let claim = claims(&mut lines, start + 9_000).remove(0);
    assert_eq!(claim.nos.len(), 3);
    add(&mut lines, item(1, start, 10, 0));
    assert_eq!(claims(&mut lines, start + 9_000).len(), 0);
    add(&mut lines, item(2, start, 10, 0));
    assert_eq!(claims(&mut lines, start + 9_000).len(), 1);
}

#[test]
fn a_message_that_ends_beyond_the_window_is_read_whole_before_it_goes() {
    let mut lines = lines(Bounds {
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
    let mut lines = lines(SMALL);
    add(&mut lines, item(1, 0, 1, 0));
    let mut now = 0;
    for pause in [1_000, 2_000, 4_000] {
        let taken = claims(&mut lines, now);
        finish(&mut lines, &taken[0], Ending::GivenBack, now);
        let at = lines.wake_at(UnixMillis(now));
        assert_eq!(at, Some(UnixMillis(now + pause)));
        now += pause;
    }
}

#[test]
fn of_destinations_without_work_only_few_are_remembered() {
    let mut lines = lines(SMALL);
    for to in 1..=4 {
        add(&mut lines, item(to, 0, 1, 0));
        let taken = claims(&mut lines, 0);
        finish(&mut lines, &taken[0], Ending::Done, 0);
    }
    assert!(lines.lines.is_empty() && lines.turns.are_empty());
    let remembered = |lines: &mut Lines, to| lines.remembered.take(&destination(to)).is_some();
    let known = [1, 2, 3, 4].map(|to| remembered(&mut lines, to));
    assert_eq!(known, [false, false, true, true]);
}

#[test]
fn a_suspended_destination_that_is_forgotten_is_told() {
    let mut lines = lines(SMALL);
    let suspension = Suspension {
        since: UnixMillis(0),
        until: Some(UnixMillis(9)),
        cause: SuspensionCause::Trouble {
            times: 1,
            answer: samples::trouble(),
        },
    };
    for to in 1..=2 {
        lines.suspend(&destination(to), suspension.clone(), UnixMillis(0));
    }
    assert!(lines.take_opened().is_empty());
    add(&mut lines, item(3, 0, 1, 0));
    let taken = claims(&mut lines, 0);
    finish(&mut lines, &taken[0], Ending::Done, 0);
    assert_eq!(lines.take_opened(), [destination(1)]);
    assert!(lines.take_opened().is_empty());
}

fn order(lines: &mut Lines, to: u8, until: Option<u64>) {
    let order = samples::ordered_until(until.map(UnixMillis));
    lines.suspend(&destination(to), order, UnixMillis(0));
}

#[test]
fn what_the_operator_suspends_gets_nothing_until_its_time_and_is_never_forgotten() {
    let mut lines = lines_of_proven(SMALL);
    for to in 1..=9 {
        order(&mut lines, to, Some(1_000));
    }
    order(&mut lines, 1, None);
    add(&mut lines, item(1, 0, 1, 0));
    add(&mut lines, item(2, 0, 1, 1));
    add(&mut lines, item(3, 5_000, 1, 2));
    assert!(claims(&mut lines, 999).is_empty());
    assert_eq!(lines.wake_at(UnixMillis(999)), Some(UnixMillis(1_000)));
    assert_eq!(destinations(&claims(&mut lines, 1_000)), [destination(2)]);
    let opened: Vec<Destination> = (2..=9).map(destination).collect();
    assert_eq!(lines.take_opened(), opened, "all but the first");
    assert_eq!(lines.wake_at(UnixMillis(1_000)), Some(UnixMillis(5_000)));
    let change = lines.resume(&destination(1), UnixMillis(1_000));
    assert_eq!(change, Some(Change::Opened));
    assert_eq!(destinations(&claims(&mut lines, 1_000)), [destination(1)]);
}

#[test]
fn an_attempt_under_way_does_not_lift_what_the_operator_ordered() {
    let mut lines = lines_of_proven(SMALL);
    add(&mut lines, item(1, 0, 1, 0));
    add(&mut lines, item(1, 0, 2, 0));
    let taken = claims(&mut lines, 0);
    assert_eq!(taken.len(), 2);
    order(&mut lines, 1, None);
    finish(&mut lines, &taken[0], Ending::Done, 0);
    assert_eq!(miss(&mut lines, &taken[1], 0), None);
    add(&mut lines, item(1, 0, 3, 0));
    assert!(claims(&mut lines, 9_000).is_empty());
    assert_eq!(lines.wake_at(UnixMillis(9_000)), None, "nothing ticks");
}

#[test]
fn what_is_in_other_hands_does_not_stall_its_line_and_comes_when_it_is_put_back() {
    let mut lines = lines_of_proven(SMALL);
    for id in 1..=2 {
        add(&mut lines, item(1, 0, id, 0));
    }
    let mut taken = claims(&mut lines, 0);
    assert_eq!(taken.len(), 2);
    let refused = std::mem::take(&mut taken[0].nos);
    finish(&mut lines, &taken[0], Ending::Done, 0);
    finish(&mut lines, &taken[1], Ending::Done, 0);
    add(&mut lines, item(1, 0, 3, 0));
    // told once more, read once more: it is known to be out
    add(&mut lines, item(1, 0, 1, 0));
    lines.more(&destination(1), UnixMillis(0), UnixMillis(0));
    let Some(Step::Read { .. }) = lines.next(UnixMillis(0)) else {
        panic!("the line was to be read");
    };
    let read = [item(1, 0, 1, 0), item(1, 0, 3, 0)];
    lines.end_read(&destination(1), &read, UnixMillis(0));
    let others = claims(&mut lines, 0);
    assert_eq!(others.len(), 1, "no pause");
    assert_eq!(others[0].id, QueueId::new(UnixMillis(0), 3));
    assert_eq!(refused, [RecipientNo(0)]);
    for _ in 0..2 {
        lines.put_back(item(1, 0, 1, 0), UnixMillis(0));
    }
    assert_eq!(claims(&mut lines, 0).len(), 1);
}
