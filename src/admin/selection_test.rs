//! Which recipients are meant by which fields.

use crate::mail::{HeldBy, RecipientState, Waiting};

use super::super::samples::{self, NOW};
use super::*;

const DAY: Duration = Duration::from_secs(86_400);

fn filter(fields: &[(&str, &str)]) -> Filter {
    let mut filter = Filter::default();
    for (field, text) in fields {
        let text = Some((*text).to_owned());
        match *field {
            "id" => filter.id = text,
            "from" => filter.from = text,
            "to" => filter.to = text,
            "domain" => filter.domain = text,
            "state" => filter.state = text,
            "older_than" => filter.older_than = text,
            "younger_than" => filter.younger_than = text,
            "reply" => filter.reply = text,
            field => panic!("no such field: {field}"),
        }
    }
    filter
}

/// Recipients by what they stand for.
fn everybody() -> Vec<(&'static str, Message, Recipient)> {
    let old = samples::message(NOW.before(2 * DAY), "ann@home.test");
    let fresh = samples::message(NOW.before(DAY / 24), "Bob@home.test");
    let report = samples::message(NOW.before(DAY / 2), "");
    let due = NOW;
    let deferred = Recipient {
        attempts: 3,
        last_answer: Some(samples::trouble()),
        ..samples::recipient("carl@a.test", RecipientState::Deferred { due })
    };
    let purged = RecipientState::Purged {
        at: NOW,
        was: Waiting::Queued { due },
    };
    let held = RecipientState::Held {
        by: HeldBy::Operator,
    };
    vec![
        ("deferred", old.clone(), deferred),
        ("held", old, samples::recipient("\"a,b\"@b.a.test", held)),
        (
            "queued",
            fresh.clone(),
            samples::recipient("dora@B.test", RecipientState::Queued { due }),
        ),
        (
            "purged",
            fresh,
            samples::recipient("ed@bücher.test", purged),
        ),
        (
            "report",
            report,
            samples::recipient("ann@home.test", RecipientState::Delivered),
        ),
    ]
}

/// Those of [`everybody`] that are meant; the queued one is in flight if that is asked.
#[track_caller]
fn check(fields: &[(&str, &str)], want: &[&str]) {
    let selection = Selection::parse(&filter(fields), NOW).expect("a good filter");
    check_selection(&selection, want);
}

#[track_caller]
fn check_selection(selection: &Selection, want: &[&str]) {
    let everybody = everybody();
    let meant = everybody.iter().filter(|(_, message, rcpt)| {
        let destination = Destination::of_domain(rcpt.address.domain());
        selection.matches(message, rcpt, &destination, || false)
    });
    let meant: Vec<&str> = meant.map(|(name, ..)| *name).collect();
    assert_eq!(meant, want, "{selection:?}");
}

#[test]
fn every_field_means_its_recipients() {
    check(&[], &["deferred", "held", "queued", "purged", "report"]);
    check(&[("from", "ann@HOME.test")], &["deferred", "held"]);
    check(&[("from", "<bob@home.test>")], &["queued", "purged"]);
    check(&[("from", "*")], &["deferred", "held", "queued", "purged"]);
    check(&[("from", "<>")], &["report"]);
    check(&[("from", "bob@*, <>")], &["queued", "purged", "report"]);
    check(&[("to", "CARL@a.test")], &["deferred"]);
    check(&[("to", "*@b.*,ed@*")], &["held", "queued", "purged"]);
    check(&[("to", "\"a,b\"@*")], &["held"]);
    check(&[("domain", "a.test")], &["deferred"]);
    check(&[("domain", "*.a.test,B.TEST")], &["held", "queued"]);
    check(&[("domain", "bücher.test")], &["purged"]);
    check(&[("domain", "xn--bcher-kva.test")], &["purged"]);
    check(&[("state", "queued,held")], &["held", "queued"]);
    check(&[("state", "delivered, purged")], &["purged", "report"]);
    check(&[("older_than", "1d")], &["deferred", "held"]);
    check(
        &[("older_than", "0s")],
        &["deferred", "held", "queued", "purged", "report"],
    );
    check(&[("younger_than", "13h")], &["queued", "purged", "report"]);
    check(&[("reply", "CONNECTION refused")], &["deferred"]);
    check(&[("reply", "greylist")], &[]);
}

#[test]
fn all_fields_must_match() {
    check(&[("from", "ann@*"), ("state", "held")], &["held"]);
    check(&[("from", "ann@*"), ("state", "queued")], &[]);
    check(
        &[("older_than", "11h"), ("younger_than", "13h")],
        &["report"],
    );
    check(&[("older_than", "13h"), ("younger_than", "11h")], &[]);
}

#[test]
fn attempts_and_ids_are_counted_and_named() {
    let of_attempts = |min_attempts| {
        let filter = Filter {
            min_attempts: Some(min_attempts),
            ..Filter::default()
        };
        Selection::parse(&filter, NOW).unwrap()
    };
    check_selection(&of_attempts(3), &["deferred"]);
    check_selection(&of_attempts(4), &[]);
    let id = samples::message(NOW.before(DAY / 2), "").id.to_string();
    check(&[("id", &id)], &["report"]);
    check(&[("id", &id.to_lowercase()), ("from", "ann@*")], &[]);
}

#[test]
fn what_is_being_attempted_is_in_flight_and_nothing_else() {
    let rcpt = samples::recipient("a@b.test", RecipientState::Queued { due: NOW });
    assert_eq!(shown_state(&rcpt, || true), "in_flight");
    assert_eq!(shown_state(&rcpt, || false), "queued");
    // the operator's hand is seen at once
    let held = samples::recipient(
        "a@b.test",
        RecipientState::Held {
            by: HeldBy::Operator,
        },
    );
    assert_eq!(shown_state(&held, || true), "held");

    let message = samples::message(NOW, "ann@home.test");
    let destination = Destination::of_domain(rcpt.address.domain());
    for (state, in_flight, want) in [
        ("in_flight", true, true),
        ("in_flight", false, false),
        ("queued", true, false),
        ("queued", false, true),
    ] {
        let selection = Selection::parse(&filter(&[("state", state)]), NOW).unwrap();
        let meant = selection.matches(&message, &rcpt, &destination, || in_flight);
        assert_eq!(meant, want, "{state} {in_flight}");
    }
}

#[test]
fn only_a_filter_that_names_nothing_is_empty() {
    let empty = Filter {
        all: true,
        limit: Some(3),
        ..Filter::default()
    };
    assert!(Selection::parse(&empty, NOW).unwrap().is_empty());
    for field in ["from", "to", "domain", "reply"] {
        let selection = Selection::parse(&filter(&[(field, "*")]), NOW).unwrap();
        assert!(!selection.is_empty(), "{field}");
    }
}

#[test]
fn times_bound_the_ids_that_are_looked_at() {
    let selection = Selection::parse(
        &filter(&[("older_than", "1h"), ("younger_than", "2h")]),
        NOW,
    );
    let selection = selection.unwrap();
    let hour = Duration::from_secs(3_600);
    assert_eq!(selection.ends_before(), Some(NOW.before(hour)));
    assert_eq!(
        selection.begins_at(),
        Some(QueueId::first_of(NOW.before(2 * hour)))
    );
}

#[track_caller]
fn refused(field: &str, text: &str, want: &str) {
    let error = Selection::parse(&filter(&[(field, text)]), NOW)
        .expect_err(text)
        .to_string();
    assert!(error.starts_with(&format!("{field}: ")), "{error}");
    assert!(
        error.contains(want) && error.lines().count() == 1 && error.len() < 300,
        "{error}"
    );
}

#[test]
fn what_can_not_be_read_is_refused_with_the_name_of_its_field() {
    refused("id", "nonsense", "26 characters");
    refused("id", &"x".repeat(1_000), "26 characters");
    refused("state", "bounced", "none of in_flight, queued, deferred");
    refused("state", "Queued", "none of");
    refused("older_than", "4", "such as 4h");
    refused("younger_than", "-4h", "such as 4h");
    refused("to", "a@b.test,", "comma");
    for field in ["id", "from", "to", "domain", "state", "older_than", "reply"] {
        refused(field, "", "");
    }
    for field in ["from", "to", "domain", "reply"] {
        refused(field, &"x".repeat(FIELD_BYTES_MAX + 1), "4096");
    }
    refused("to", &"a,".repeat(101), "");
    refused(
        "id",
        &["01ARZ3NDEKTSV4RRFFQ69G5FAV"; 1_001].join(","),
        "1000",
    );
}
