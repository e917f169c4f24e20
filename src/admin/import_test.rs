//! What of an exported envelope is taken, and what is refused.

use super::super::samples::NOW;
use super::super::show::exported;
use super::*;
use crate::store::Loaded;

fn recipient(to: &str, state: &str) -> ExportedRecipient {
    ExportedRecipient {
        to: to.to_owned(),
        state: state.to_owned(),
        notify: None,
        orcpt: None,
    }
}

fn envelope() -> ExportedEnvelope {
    ExportedEnvelope {
        id: "01ARZ3NDEKTSV4RRFFQ69G5FAV".to_owned(),
        arrived: "2023-11-14T22:00:00Z".to_owned(),
        from: "ann@home.test".to_owned(),
        body_kind: "8bitmime".to_owned(),
        smtputf8: false,
        envelope_id: Some("x y".to_owned()),
        ret: Some("HDRS".to_owned()),
        recipients: vec![
            ExportedRecipient {
                notify: Some("SUCCESS,DELAY".to_owned()),
                orcpt: Some("rfc822;bob+2B@b.test".to_owned()),
                ..recipient("bob@b.test", "deferred")
            },
            recipient("carl@b.test", "delivered"),
            recipient("dora@b.test", "held"),
        ],
    }
}

fn states(mode: Mode) -> Vec<RecipientState> {
    let incoming = read(&envelope(), mode, NOW).unwrap();
    incoming.recipients.iter().map(|rcpt| rcpt.state).collect()
}

#[test]
fn what_waits_is_taken_with_what_was_asked_for_it() {
    let incoming = read(&envelope(), Mode::Deliver, NOW).unwrap();
    let to: Vec<String> = incoming
        .recipients
        .iter()
        .map(|rcpt| rcpt.address.to_string())
        .collect();
    assert_eq!(to, ["bob@b.test", "dora@b.test"]);
    assert_eq!(incoming.arrival, UnixMillis(1_699_999_200_000));
    assert_eq!(incoming.id.made_at(), incoming.arrival);

    // exported again, it says the same
    let message = Message {
        id: incoming.id,
        arrival: incoming.arrival,
        envelope: incoming.envelope,
        ..super::super::samples::message(NOW, "")
    };
    let again = exported(&Loaded {
        message,
        recipients: incoming.recipients,
    });
    let mut want = envelope();
    want.recipients.remove(1);
    want.recipients[0].state = "queued".to_owned();
    assert_eq!(
        ExportedEnvelope {
            id: want.id.clone(),
            ..again
        },
        want
    );
}

#[test]
fn what_was_held_stays_held_and_the_mode_decides_about_the_rest() {
    let held = |by| RecipientState::Held { by };
    let operators = held(HeldBy::Operator);
    assert_eq!(
        states(Mode::Deliver),
        [RecipientState::Queued { due: NOW }, operators]
    );
    assert_eq!(states(Mode::Hold), [held(HeldBy::Mode), operators]);
    assert_eq!(states(Mode::Sink), [RecipientState::Delivered; 2]);
}

#[test]
fn what_only_a_mode_held_is_exported_as_what_it_would_be_without() {
    let by = HeldBy::Mode;
    let new = super::super::samples::recipient("a@b.test", RecipientState::Held { by });
    let tried = Recipient {
        attempts: 1,
        ..new.clone()
    };
    let envelope = exported(&Loaded {
        message: super::super::samples::message(NOW, ""),
        recipients: vec![new, tried],
    });
    let states: Vec<&str> = envelope
        .recipients
        .iter()
        .map(|rcpt| &*rcpt.state)
        .collect();
    assert_eq!(states, ["queued", "deferred"]);
}

#[test]
fn a_future_arrival_is_now() {
    assert_eq!(arrival("2999-01-01T00:00:00Z", NOW).unwrap(), NOW);
}

#[track_caller]
fn refused(change: impl FnOnce(&mut ExportedEnvelope), want: &str) {
    let mut envelope = envelope();
    change(&mut envelope);
    let error = read(&envelope, Mode::Deliver, NOW)
        .err()
        .expect(want)
        .to_string();
    assert!(
        error.starts_with(&format!("the envelope: {want}: ")),
        "{error}"
    );
}

#[test]
fn what_is_malformed_is_refused_by_its_field() {
    refused(|envelope| envelope.from = "no address".to_owned(), "from");
    refused(
        |envelope| envelope.from = "ann@home.test\r\nDATA".to_owned(),
        "from",
    );
    refused(
        |envelope| envelope.recipients[0].to = "<bob@b.test>".to_owned(),
        "to",
    );
    refused(
        |envelope| envelope.recipients[0].to = "\u{fc}@b.test".to_owned(),
        "to",
    );
    refused(
        |envelope| envelope.recipients[0].state = "lost".to_owned(),
        "state",
    );
    refused(
        |envelope| envelope.recipients[0].notify = Some("ALWAYS".to_owned()),
        "notify",
    );
    refused(
        |envelope| envelope.recipients[0].orcpt = Some("x".to_owned()),
        "orcpt",
    );
    refused(
        |envelope| envelope.arrived = "yesterday".to_owned(),
        "arrived",
    );
    refused(
        |envelope| envelope.arrived = "1969-01-01T00:00:00Z".to_owned(),
        "arrived",
    );
    refused(
        |envelope| envelope.body_kind = "9bit".to_owned(),
        "body_kind",
    );
    refused(|envelope| envelope.ret = Some("ALL".to_owned()), "ret");
    refused(
        |envelope| envelope.envelope_id = Some(String::new()),
        "envelope_id",
    );
    refused(|envelope| envelope.recipients.truncate(0), "recipients");
    let many = || vec![recipient("a@b.test", "queued"); RECIPIENTS_MAX + 1];
    refused(|envelope| envelope.recipients = many(), "recipients");
}
