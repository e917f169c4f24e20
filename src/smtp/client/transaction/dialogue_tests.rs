//! Whole dialogues, played without a socket.

use expect_test::{Expect, expect};

use super::super::reply_reader::ReplyReader;
use super::super::verdict::Verdict;
use super::*;
use crate::mail::{
    BodyKind, EnvelopeId, OriginalRecipient, RecipientNo, RecipientState, ReversePath, Spelling,
    UnixMillis,
};

fn address(text: &str) -> Address {
    Address::parse(text.as_bytes(), Spelling::Utf8).unwrap()
}

fn recipient(text: &str) -> Recipient {
    let due = UnixMillis(0);
    Recipient::new(
        RecipientNo(0),
        address(text),
        RecipientState::Queued { due },
    )
}

fn plain() -> Envelope {
    Envelope {
        reverse_path: ReversePath::Mailbox(address("s@gp.test")),
        body_kind: BodyKind::SevenBit,
        smtputf8: false,
        dsn: Default::default(),
    }
}

const SMALL: Facts = Facts {
    size: 100,
    has_8bit: false,
    header_8bit: false,
    any_header_8bit: false,
    obstacle: None,
};

fn remote() -> Remote {
    Remote {
        host: "mx.test".into(),
        address: "192.0.2.1:25".parse().unwrap(),
        security: None,
        connected: true,
    }
}

fn read(text: &str) -> RemoteReply {
    let wire = format!("{text}\r\n");
    let mut input = wire.as_bytes();
    ReplyReader::new().take(&mut input).unwrap().unwrap()
}

fn pipelining() -> Extensions {
    Extensions {
        pipelining: true,
        ..Extensions::none()
    }
}

/// Plays `replies` to a transaction and checks what was said, and what came of it.
#[track_caller]
fn check(offered: &Extensions, to: &[&str], replies: &[&str], want: &Expect) {
    let to: Vec<Recipient> = to.iter().map(|text| recipient(text)).collect();
    let to: Vec<&Recipient> = to.iter().collect();
    let transaction = Transaction::new(&plain(), &to, SMALL, offered, &remote());
    want.assert_eq(&play(transaction, replies));
}

fn play(mut transaction: Transaction, replies: &[&str]) -> String {
    let mut replies = replies.iter();
    let mut said = String::new();
    loop {
        match transaction.next_step() {
            Step::Send(octets) => {
                let text = String::from_utf8(octets).unwrap();
                said += &format!("C: {}\n", text.trim_end().replace("\r\n", " | "));
            }
            Step::Body(framing) => {
                said += match framing {
                    Framing::Dots => "C: (message)\n",
                    Framing::Counted => "C: (octets)\n",
                };
                transaction.body_sent();
            }
            Step::Read(_) => {
                let Some(text) = replies.next() else {
                    said += "   (lost)\n";
                    break;
                };
                said += &format!("S: {text}\n");
                if let Err(fault) = transaction.reply(&read(text)) {
                    said += &format!("   ({fault})\n");
                    break;
                }
            }
            Step::Over => break,
        }
    }
    assert_eq!(replies.next(), None, "{said}");
    if transaction.needs_reset() {
        said += "   (needs RSET)\n";
    }
    if let Some(reply) = transaction.closed_by() {
        said += &format!("   (closed: {reply})\n");
    }
    for at in transaction.doubtful() {
        said += &format!("   (in doubt: {at})\n");
    }
    for (at, settled) in transaction.finish().into_iter().enumerate() {
        said += &match settled {
            None => format!("{at} open\n"),
            Some(Settled { verdict, answer }) => {
                let verdict = match verdict {
                    Verdict::Delivered => "delivered",
                    Verdict::Deferred => "deferred",
                    Verdict::Failed => "failed",
                };
                format!("{at} {verdict} {}: {}\n", answer.status, answer.words())
            }
        };
    }
    said
}

#[test]
fn each_recipient_gets_its_own_answer() {
    // W-16.01, W-16.02, W-16.04
    check(
        &Extensions::none(),
        &["a@d.test", "b@d.test", "c@d.test"],
        &[
            "250 ok",
            "250 a",
            "451 4.2.0 b",
            "550 5.1.1 c",
            "354 go",
            "250 2.0.0 queued",
        ],
        &expect![[r#"
            C: MAIL FROM:<s@gp.test>
            S: 250 ok
            C: RCPT TO:<a@d.test>
            S: 250 a
            C: RCPT TO:<b@d.test>
            S: 451 4.2.0 b
            C: RCPT TO:<c@d.test>
            S: 550 5.1.1 c
            C: DATA
            S: 354 go
            C: (message)
            S: 250 2.0.0 queued
            0 delivered 2.0.0: 250 2.0.0 queued
            1 deferred 4.2.0: 451 4.2.0 b
            2 failed 5.1.1: 550 5.1.1 c
        "#]],
    );
}

#[test]
fn any_2yz_is_success() {
    // W-15.03
    check(
        &Extensions::none(),
        &["a@d.test", "b@d.test"],
        &["299 ok", "251 a", "252 b", "354 go", "200 ok"],
        &expect![[r#"
            C: MAIL FROM:<s@gp.test>
            S: 299 ok
            C: RCPT TO:<a@d.test>
            S: 251 a
            C: RCPT TO:<b@d.test>
            S: 252 b
            C: DATA
            S: 354 go
            C: (message)
            S: 200 ok
            0 delivered 2.0.0: 200 ok
            1 delivered 2.0.0: 200 ok
        "#]],
    );
}

#[test]
fn a_refused_mail_settles_all() {
    // W-16.03
    check(
        &Extensions::none(),
        &["a@d.test", "b@d.test"],
        &["550 5.7.1 no"],
        &expect![[r#"
            C: MAIL FROM:<s@gp.test>
            S: 550 5.7.1 no
               (needs RSET)
            0 failed 5.7.1: 550 5.7.1 no
            1 failed 5.7.1: 550 5.7.1 no
        "#]],
    );
}

#[test]
fn a_refused_data_settles_the_open_ones() {
    // W-16.03
    check(
        &Extensions::none(),
        &["a@d.test", "b@d.test"],
        &["250 ok", "550 a", "250 b", "451 later"],
        &expect![[r#"
            C: MAIL FROM:<s@gp.test>
            S: 250 ok
            C: RCPT TO:<a@d.test>
            S: 550 a
            C: RCPT TO:<b@d.test>
            S: 250 b
            C: DATA
            S: 451 later
               (needs RSET)
            0 failed 5.0.0: 550 a
            1 deferred 4.0.0: 451 later
        "#]],
    );
}

#[test]
fn a_refused_message_settles_the_open_ones() {
    // W-16.03
    check(
        &Extensions::none(),
        &["a@d.test", "b@d.test"],
        &["250 ok", "451 a", "250 b", "354 go", "554 5.6.0 no"],
        &expect![[r#"
            C: MAIL FROM:<s@gp.test>
            S: 250 ok
            C: RCPT TO:<a@d.test>
            S: 451 a
            C: RCPT TO:<b@d.test>
            S: 250 b
            C: DATA
            S: 354 go
            C: (message)
            S: 554 5.6.0 no
               (needs RSET)
            0 deferred 4.0.0: 451 a
            1 failed 5.6.0: 554 5.6.0 no
        "#]],
    );
}

#[test]
fn without_an_accepted_recipient_there_is_no_data() {
    // W-16.04
    check(
        &Extensions::none(),
        &["a@d.test"],
        &["250 ok", "450 later"],
        &expect![[r#"
            C: MAIL FROM:<s@gp.test>
            S: 250 ok
            C: RCPT TO:<a@d.test>
            S: 450 later
               (needs RSET)
            0 deferred 4.0.0: 450 later
        "#]],
    );
}

#[test]
fn success_instead_of_354_is_a_fault_and_no_message_is_sent() {
    // W-15.03
    check(
        &Extensions::none(),
        &["a@d.test"],
        &["250 ok", "250 a", "250 queued"],
        &expect![[r#"
            C: MAIL FROM:<s@gp.test>
            S: 250 ok
            C: RCPT TO:<a@d.test>
            S: 250 a
            C: DATA
            S: 250 queued
               (the remote host sent a reply that has no meaning at this place)
               (needs RSET)
            0 open
        "#]],
    );
}

#[test]
fn a_421_ends_it_and_leaves_the_unanswered_open() {
    // W-14.06
    check(
        &Extensions::none(),
        &["a@d.test", "b@d.test", "c@d.test"],
        &["250 ok", "550 a", "250 b", "421 4.3.2 closing"],
        &expect![[r#"
            C: MAIL FROM:<s@gp.test>
            S: 250 ok
            C: RCPT TO:<a@d.test>
            S: 550 a
            C: RCPT TO:<b@d.test>
            S: 250 b
            C: RCPT TO:<c@d.test>
            S: 421 4.3.2 closing
               (needs RSET)
               (closed: 421 4.3.2 closing)
            0 failed 5.0.0: 550 a
            1 open
            2 open
        "#]],
    );
}

#[test]
fn a_lost_answer_to_the_message_leaves_the_accepted_in_doubt() {
    // W-16.08
    check(
        &Extensions::none(),
        &["a@d.test", "b@d.test"],
        &["250 ok", "250 a", "550 b", "354 go"],
        &expect![[r#"
            C: MAIL FROM:<s@gp.test>
            S: 250 ok
            C: RCPT TO:<a@d.test>
            S: 250 a
            C: RCPT TO:<b@d.test>
            S: 550 b
            C: DATA
            S: 354 go
            C: (message)
               (lost)
               (needs RSET)
               (in doubt: 0)
            0 open
            1 failed 5.0.0: 550 b
        "#]],
    );
}

#[test]
fn with_pipelining_all_commands_leave_before_the_first_reply() {
    // W-16.05
    check(
        &pipelining(),
        &["a@d.test", "b@d.test"],
        &["250 ok", "250 a", "450 b", "354 go", "250 queued"],
        &expect![[r#"
            C: MAIL FROM:<s@gp.test> | RCPT TO:<a@d.test> | RCPT TO:<b@d.test> | DATA
            S: 250 ok
            S: 250 a
            S: 450 b
            S: 354 go
            C: (message)
            S: 250 queued
            0 delivered 2.0.0: 250 queued
            1 deferred 4.0.0: 450 b
        "#]],
    );
}

#[test]
fn a_go_without_a_recipient_gets_an_empty_message_that_counts_for_nobody() {
    // W-16.05
    check(
        &pipelining(),
        &["a@d.test"],
        &["250 ok", "550 a", "354 go", "250 queued"],
        &expect![[r#"
            C: MAIL FROM:<s@gp.test> | RCPT TO:<a@d.test> | DATA
            S: 250 ok
            S: 550 a
            S: 354 go
            C: .
            S: 250 queued
               (needs RSET)
            0 failed 5.0.0: 550 a
        "#]],
    );
    check(
        &pipelining(),
        &["a@d.test"],
        &["550 no", "503 what", "503 what"],
        &expect![[r#"
            C: MAIL FROM:<s@gp.test> | RCPT TO:<a@d.test> | DATA
            S: 550 no
            S: 503 what
            S: 503 what
               (needs RSET)
            0 failed 5.0.0: 550 no
        "#]],
    );
}

#[test]
fn a_refusal_stands_when_the_rest_is_lost() {
    // W-16.06
    check(
        &pipelining(),
        &["a@d.test", "b@d.test"],
        &["250 ok", "550 a"],
        &expect![[r#"
            C: MAIL FROM:<s@gp.test> | RCPT TO:<a@d.test> | RCPT TO:<b@d.test> | DATA
            S: 250 ok
            S: 550 a
               (lost)
               (needs RSET)
            0 failed 5.0.0: 550 a
            1 open
        "#]],
    );
}

#[test]
fn recipients_that_are_too_many_stay_open_for_a_further_transaction() {
    // W-16.09
    check(
        &Extensions::none(),
        &["a@d.test", "b@d.test", "c@d.test"],
        &[
            "250 ok",
            "250 a",
            "452 4.5.3 too many",
            "552 too many",
            "354 go",
            "250 queued",
        ],
        &expect![[r#"
            C: MAIL FROM:<s@gp.test>
            S: 250 ok
            C: RCPT TO:<a@d.test>
            S: 250 a
            C: RCPT TO:<b@d.test>
            S: 452 4.5.3 too many
            C: RCPT TO:<c@d.test>
            S: 552 too many
            C: DATA
            S: 354 go
            C: (message)
            S: 250 queued
            0 delivered 2.0.0: 250 queued
            1 open
            2 open
        "#]],
    );
}

#[test]
fn a_refusal_during_the_message_stands_and_success_does_not() {
    // W-15.06
    for (text, want) in [
        ("552 5.3.4 too big", Some(Verdict::Failed)),
        ("452 4.3.1 full", Some(Verdict::Deferred)),
        ("421 bye", None),
        ("250 queued", None),
    ] {
        let to = recipient("a@d.test");
        let mut transaction = Transaction::new(&plain(), &[&to], SMALL, &pipelining(), &remote());
        let _ = transaction.next_step();
        for reply in ["250 ok", "250 a", "354 go"] {
            transaction.reply(&read(reply)).unwrap();
        }
        assert_eq!(transaction.next_step(), Step::Body(Framing::Dots));
        let is_fault = transaction.replied_early(&read(text)).is_err();
        assert_eq!(is_fault, text.starts_with('2'), "{text}");
        assert_eq!(transaction.next_step(), Step::Over);
        let settled = transaction.finish().remove(0);
        assert_eq!(settled.map(|settled| settled.verdict), want, "{text}");
    }
}

/// The first line that is sent, or what is settled instead.
fn opening(envelope: &Envelope, to: &str, facts: Facts, offered: &Extensions) -> String {
    let to = recipient(to);
    let mut transaction = Transaction::new(envelope, &[&to], facts, offered, &remote());
    match transaction.next_step() {
        Step::Send(octets) => String::from_utf8(octets).unwrap().trim_end().to_owned(),
        Step::Over => {
            let settled = transaction.finish().remove(0).unwrap();
            format!("{:?} {}", settled.verdict, settled.answer.status)
        }
        other => panic!("{other:?}"),
    }
}

#[test]
fn dsn_parameters_go_on_where_dsn_is_offered() {
    // W-17.04
    let mut envelope = plain();
    envelope.dsn.ret = Some(Ret::Headers);
    envelope.dsn.envelope_id = EnvelopeId::parse("a b=");
    let of = |success, failure, delay| Notify::Of {
        success,
        failure,
        delay,
    };
    let notify = [Notify::Never, of(true, false, true), of(false, true, false)];
    let to = notify.map(|notify| {
        let mut to = recipient("a@d.test");
        to.dsn.notify = Some(notify);
        to.dsn.original = Some(OriginalRecipient {
            address_type: "rfc822".into(),
            address: "b c@d.test".into(),
        });
        to
    });
    let silent = recipient("z@d.test");
    let to = [&to[0], &to[1], &to[2], &silent];
    let said = |dsn| {
        let offered = Extensions {
            dsn,
            ..pipelining()
        };
        let mut transaction = Transaction::new(&envelope, &to, SMALL, &offered, &remote());
        match transaction.next_step() {
            Step::Send(octets) => String::from_utf8(octets).unwrap().replace("\r\n", "\n"),
            other => panic!("{other:?}"),
        }
    };
    expect![[r#"
        MAIL FROM:<s@gp.test> RET=HDRS ENVID=a+20b+3D
        RCPT TO:<a@d.test> NOTIFY=NEVER ORCPT=rfc822;b+20c@d.test
        RCPT TO:<a@d.test> NOTIFY=SUCCESS,DELAY ORCPT=rfc822;b+20c@d.test
        RCPT TO:<a@d.test> NOTIFY=FAILURE ORCPT=rfc822;b+20c@d.test
        RCPT TO:<z@d.test>
        DATA
    "#]]
    .assert_eq(&said(true));
    assert_eq!(
        said(false),
        "MAIL FROM:<s@gp.test>\nRCPT TO:<a@d.test>\nRCPT TO:<a@d.test>\nRCPT TO:<a@d.test>\nRCPT TO:<z@d.test>\nDATA\n"
    );
}

#[test]
fn parameters_stand_on_mail_only_if_offered_and_needed() {
    // W-16.11, W-17.01, W-17.03
    let all = Extensions {
        size: Some(SizeLimit::Octets(1_000)),
        eight_bit_mime: true,
        smtputf8: true,
        dsn: Default::default(),
        ..Extensions::none()
    };
    let none = Extensions::none();
    let eight = Facts {
        has_8bit: true,
        ..SMALL
    };
    let eight_in_header = Facts {
        has_8bit: true,
        header_8bit: true,
        any_header_8bit: true,
        ..SMALL
    };
    let eight_in_part = Facts {
        header_8bit: false,
        ..eight_in_header
    };
    let with_signature = Facts {
        has_8bit: true,
        obstacle: Some((EnhancedCode::permanent(6, 9), "why")),
        ..SMALL
    };
    let large = Facts {
        size: 1_001,
        ..SMALL
    };
    let eight_only = Extensions {
        eight_bit_mime: true,
        ..Extensions::none()
    };
    let mut asks_utf8 = plain();
    asks_utf8.smtputf8 = true;
    let mut utf8 = plain();
    utf8.reverse_path = ReversePath::Mailbox(address("ü@gp.test"));
    let mut null = plain();
    null.reverse_path = ReversePath::Null;
    for (envelope, to, facts, offered, want) in [
        (&plain(), "a@d.test", SMALL, &none, "MAIL FROM:<s@gp.test>"),
        (&plain(), "a@d.test", eight, &none, "Failed 5.6.3"),
        (&plain(), "a@d.test", with_signature, &none, "Failed 5.6.9"),
        (&plain(), "ö@d.test", with_signature, &none, "Failed 5.6.7"),
        (
            &plain(),
            "a@d.test",
            eight_in_header,
            &eight_only,
            "MAIL FROM:<s@gp.test> BODY=8BITMIME",
        ),
        (
            &asks_utf8,
            "a@d.test",
            eight_in_header,
            &eight_only,
            "Failed 5.6.7",
        ),
        (
            &asks_utf8,
            "a@d.test",
            eight,
            &eight_only,
            "MAIL FROM:<s@gp.test> BODY=8BITMIME",
        ),
        (
            &asks_utf8,
            "a@d.test",
            eight,
            &all,
            "MAIL FROM:<s@gp.test> SIZE=100 BODY=8BITMIME",
        ),
        (
            &asks_utf8,
            "a@d.test",
            eight_in_part,
            &eight_only,
            "MAIL FROM:<s@gp.test> BODY=8BITMIME",
        ),
        (
            &asks_utf8,
            "a@d.test",
            eight_in_part,
            &all,
            "MAIL FROM:<s@gp.test> SIZE=100 BODY=8BITMIME SMTPUTF8",
        ),
        (
            &asks_utf8,
            "a@d.test",
            eight_in_header,
            &all,
            "MAIL FROM:<s@gp.test> SIZE=100 BODY=8BITMIME SMTPUTF8",
        ),
        (
            &plain(),
            "a@d.test",
            SMALL,
            &all,
            "MAIL FROM:<s@gp.test> SIZE=100",
        ),
        (
            &plain(),
            "a@d.test",
            eight,
            &all,
            "MAIL FROM:<s@gp.test> SIZE=100 BODY=8BITMIME",
        ),
        (
            &plain(),
            "ö@d.test",
            SMALL,
            &all,
            "MAIL FROM:<s@gp.test> SIZE=100 SMTPUTF8",
        ),
        (
            &plain(),
            "a@dö.test",
            SMALL,
            &all,
            "MAIL FROM:<s@gp.test> SIZE=100 SMTPUTF8",
        ),
        (
            &utf8,
            "a@d.test",
            SMALL,
            &all,
            "MAIL FROM:<ü@gp.test> SIZE=100 SMTPUTF8",
        ),
        (&null, "a@d.test", SMALL, &none, "MAIL FROM:<>"),
        (&plain(), "ö@d.test", SMALL, &none, "Failed 5.6.7"),
        (&utf8, "a@d.test", SMALL, &none, "Failed 5.6.7"),
        (&plain(), "a@d.test", large, &all, "Failed 5.3.4"),
        (&plain(), "a@d.test", large, &none, "MAIL FROM:<s@gp.test>"),
    ] {
        assert_eq!(opening(envelope, to, facts, offered), want, "{to}");
    }
}

#[test]
fn only_those_that_need_smtputf8_fail_without_it() {
    // W-17.03
    check(
        &Extensions::none(),
        &["ö@d.test", "b@d.test"],
        &["250 ok", "250 b", "354 go", "250 queued"],
        &expect![[r#"
            C: MAIL FROM:<s@gp.test>
            S: 250 ok
            C: RCPT TO:<b@d.test>
            S: 250 b
            C: DATA
            S: 354 go
            C: (message)
            S: 250 queued
            0 failed 5.6.7: the remote host does not take non-ASCII addresses (it does not offer SMTPUTF8)
            1 delivered 2.0.0: 250 queued
        "#]],
    );
}

fn binary() -> Envelope {
    Envelope {
        body_kind: BodyKind::BinaryMime,
        ..plain()
    }
}

fn chunking(pipelining: bool) -> Extensions {
    Extensions {
        pipelining,
        chunking: true,
        binary_mime: true,
        size: Some(SizeLimit::Unknown),
        eight_bit_mime: true,
        ..Extensions::none()
    }
}

#[track_caller]
fn check_binary(pipelining: bool, replies: &[&str], want: &Expect) {
    let (a, b) = (recipient("a@d.test"), recipient("b@d.test"));
    let offered = chunking(pipelining);
    want.assert_eq(&play(
        Transaction::new(&binary(), &[&a, &b], SMALL, &offered, &remote()),
        replies,
    ));
}

#[test]
fn a_binary_message_is_one_chunk_that_waits_for_a_recipient() {
    // W-10.08, W-17.05
    check_binary(
        true,
        &["250 ok", "550 a", "250 b", "250 queued"],
        &expect![[r#"
            C: MAIL FROM:<s@gp.test> SIZE=100 BODY=BINARYMIME | RCPT TO:<a@d.test> | RCPT TO:<b@d.test>
            S: 250 ok
            S: 550 a
            S: 250 b
            C: BDAT 100 LAST
            C: (octets)
            S: 250 queued
            0 failed 5.0.0: 550 a
            1 delivered 2.0.0: 250 queued
        "#]],
    );
    check_binary(
        false,
        &["250 ok", "250 a", "250 b", "250 queued"],
        &expect![[r#"
            C: MAIL FROM:<s@gp.test> SIZE=100 BODY=BINARYMIME
            S: 250 ok
            C: RCPT TO:<a@d.test>
            S: 250 a
            C: RCPT TO:<b@d.test>
            S: 250 b
            C: BDAT 100 LAST
            C: (octets)
            S: 250 queued
            0 delivered 2.0.0: 250 queued
            1 delivered 2.0.0: 250 queued
        "#]],
    );
    check_binary(
        true,
        &["250 ok", "550 a", "450 b"],
        &expect![[r#"
        C: MAIL FROM:<s@gp.test> SIZE=100 BODY=BINARYMIME | RCPT TO:<a@d.test> | RCPT TO:<b@d.test>
        S: 250 ok
        S: 550 a
        S: 450 b
           (needs RSET)
        0 failed 5.0.0: 550 a
        1 deferred 4.0.0: 450 b
    "#]],
    );
    check_binary(
        true,
        &["550 ok", "503 a", "503 b"],
        &expect![[r#"
            C: MAIL FROM:<s@gp.test> SIZE=100 BODY=BINARYMIME | RCPT TO:<a@d.test> | RCPT TO:<b@d.test>
            S: 550 ok
            S: 503 a
            S: 503 b
               (needs RSET)
            0 failed 5.0.0: 550 ok
            1 failed 5.0.0: 550 ok
        "#]],
    );
}

#[test]
fn a_refused_chunk_settles_the_open_ones() {
    // W-17.05
    check_binary(
        true,
        &["250 ok", "550 a", "250 b", "554 5.6.0 no"],
        &expect![[r#"
            C: MAIL FROM:<s@gp.test> SIZE=100 BODY=BINARYMIME | RCPT TO:<a@d.test> | RCPT TO:<b@d.test>
            S: 250 ok
            S: 550 a
            S: 250 b
            C: BDAT 100 LAST
            C: (octets)
            S: 554 5.6.0 no
               (needs RSET)
            0 failed 5.0.0: 550 a
            1 failed 5.6.0: 554 5.6.0 no
        "#]],
    );
    check_binary(
        true,
        &["250 ok", "250 a", "250 b"],
        &expect![[r#"
        C: MAIL FROM:<s@gp.test> SIZE=100 BODY=BINARYMIME | RCPT TO:<a@d.test> | RCPT TO:<b@d.test>
        S: 250 ok
        S: 250 a
        S: 250 b
        C: BDAT 100 LAST
        C: (octets)
           (lost)
           (needs RSET)
           (in doubt: 0)
           (in doubt: 1)
        0 open
        1 open
    "#]],
    );
}

#[test]
fn a_binary_message_needs_both_extensions() {
    // W-10.08
    let with = |chunking, binary_mime| Extensions {
        chunking,
        binary_mime,
        ..Extensions::none()
    };
    for (offered, want) in [
        (with(false, false), "Failed 5.6.3"),
        (with(true, false), "Failed 5.6.3"),
        (with(false, true), "Failed 5.6.3"),
        (with(true, true), "MAIL FROM:<s@gp.test> BODY=BINARYMIME"),
    ] {
        let got = opening(&binary(), "a@d.test", SMALL, &offered);
        assert_eq!(got, want, "{offered:?}");
    }
}
