//! Reports as a whole: how they read, and that nothing a peer says changes their form.

use expect_test::{Expect, expect};
use proptest::prelude::*;

use super::strict_reader::parse;
use super::*;
use crate::mail::limits::REPORT_HEADER_BYTES_MAX;
use crate::mail::{
    Answer, BodyFacts, BodyKind, Channel, Client, EnhancedCode, Envelope, EnvelopeId,
    OriginalRecipient, Protocol, Reason, RecipientNo, RecipientState, Remote, Reply, ReplyCode,
    ReversePath, Security, Spelling, TlsFacts,
};

mod delayed;

const ADDED: &str = "Received: from client.test ([192.0.2.9]) by gp.test (GopherPost)\r\n\
                     \twith ESMTP id 01ARZ3NDEKTSV4RRFFQ69G5FAV; Thu, 1 Jan 1970 00:00:00 +0000\r\n";
const HEADER: &str = "Subject: hello\r\nFrom: ann@gp.test\r\n\r\n";

fn address(text: &str) -> Address {
    Address::parse(text.as_bytes(), Spelling::Utf8).expect(text)
}

fn recipient(text: &str, answer: Option<Answer>) -> Recipient {
    Recipient {
        attempts: u32::from(answer.is_some()),
        last_attempt: answer.as_ref().map(|_| UnixMillis(60_000)),
        last_answer: answer,
        ..Recipient::new(RecipientNo(0), address(text), RecipientState::Failed)
    }
}

/// As a remote would have said it, in lines.
fn reply(code: u16, lines: &[&[u8]]) -> Answer {
    let code = ReplyCode::new(code).unwrap();
    let reply = Reply::from_lines(code, lines.iter().copied());
    Answer {
        remote: Some(Remote {
            host: "mx.dest.test".into(),
            address: "192.0.2.25:25".parse().unwrap(),
            security: None,
            connected: true,
        }),
        status: reply.status(),
        reason: Reason::Remote,
        reply: Some(reply),
        detail: "".into(),
    }
}

fn our_words(status: EnhancedCode, detail: &str) -> Answer {
    Answer {
        remote: None,
        status,
        reason: Reason::Dns,
        reply: None,
        detail: detail.into(),
    }
}

fn report(to: &str, header_section: &[u8], recipients: &[(Recipient, Fate)]) -> Vec<u8> {
    let frame = frame(to, Returned::Headers(header_section), recipients, |_| ());
    [frame.before, frame.behind].concat()
}

/// A report about a message that is first changed by `change`.
fn frame(
    to: &str,
    returned: Returned<'_>,
    recipients: &[(Recipient, Fate)],
    change: impl FnOnce(&mut Message),
) -> ReportFrame {
    let to = address(to);
    let mut original = Message {
        id: "01ARZ3NDEKTSV4RRFFQ69G5FAV".parse().unwrap(),
        arrival: UnixMillis(0),
        envelope: Envelope {
            reverse_path: ReversePath::Mailbox(to.clone()),
            body_kind: BodyKind::SevenBit,
            smtputf8: false,
            dsn: Default::default(),
        },
        client: Client::Smtp {
            address: "192.0.2.9".parse().unwrap(),
            helo: "client.test".into(),
            protocol: Protocol::Esmtp,
            tls: None,
            user: None,
        },
        added_header: ADDED.as_bytes().into(),
        body: BodyFacts {
            len: 0,
            crc32: 0,
            has_8bit: false,
            ends_in_line_end: true,
        },
        message_id: None,
        report_of: None,
    };
    change(&mut original);
    let recipients: Vec<Reported<'_>> = recipients
        .iter()
        .map(|(recipient, fate)| Reported {
            recipient,
            fate: *fate,
        })
        .collect();
    delivery_report(&ReportFacts {
        hostname: &Domain::parse("gp.test").unwrap(),
        id: "01BX5ZZKBKACTAV9WEVGEMMVRZ".parse().unwrap(),
        now: UnixMillis(60_000),
        to: &to,
        original: &original,
        returned,
        smtputf8: original.envelope.smtputf8,
        recipients: &recipients,
        lifetime: Duration::from_secs(5 * 86_400),
    })
}

/// One failed recipient who got `answer`.
fn report_on(answer: Answer) -> Vec<u8> {
    let recipients = [(recipient("bob@dest.test", Some(answer)), Fate::Failed)];
    report("ann@gp.test", HEADER.as_bytes(), &recipients)
}

#[track_caller]
fn check(report: &[u8], want: Expect) {
    parse(report);
    want.assert_eq(&String::from_utf8_lossy(report).replace("\r\n", "\n"));
}

#[test]
fn a_refused_recipient() {
    let answer = reply(
        550,
        &[
            b"5.1.1 The mailbox that you tried to reach does not exist; please",
            b"5.1.1 look at https://dest.test/help for what may have gone wrong",
        ],
    );
    check(
        &report_on(answer),
        expect![[r#"
        Date: Thu, 1 Jan 1970 00:01:00 +0000
        From: Mail Delivery System <MAILER-DAEMON@gp.test>
        To: <ann@gp.test>
        Subject: Your message could not be delivered
        Message-ID: <01BX5ZZKBKACTAV9WEVGEMMVRZ@gp.test>
        Auto-Submitted: auto-replied
        MIME-Version: 1.0
        Content-Type: multipart/report; report-type=delivery-status;
         boundary="=_01BX5ZZKBKACTAV9WEVGEMMVRZ-0"
        Content-Transfer-Encoding: 7bit

        --=_01BX5ZZKBKACTAV9WEVGEMMVRZ-0
        Content-Type: text/plain; charset=us-ascii
        Content-Description: Notification
        Content-Transfer-Encoding: 7bit

        This is the mail relay at gp.test.

        Your message of Thu, 1 Jan 1970 00:00:00 +0000 could not be delivered
        to this recipient. This is final: nobody will try again.

        What you can do: read below why, check the address for mistakes, and
        send the message again once the cause is gone. A postmaster whom you ask
        for help will want to know its queue id: 01ARZ3NDEKTSV4RRFFQ69G5FAV.

        <bob@dest.test>
            This address does not exist there: check the part before the @.
            Refused by mx.dest.test[192.0.2.25]:25:
            550 5.1.1 The mailbox that you tried to reach does not exist; please look
            at https://dest.test/help for what may have gone wrong

        --=_01BX5ZZKBKACTAV9WEVGEMMVRZ-0
        Content-Type: message/delivery-status
        Content-Description: Delivery report
        Content-Transfer-Encoding: 7bit

        Reporting-MTA: dns; gp.test
        Arrival-Date: Thu, 1 Jan 1970 00:00:00 +0000
        X-GopherPost-Queue-ID: 01ARZ3NDEKTSV4RRFFQ69G5FAV

        Final-Recipient: rfc822; bob@dest.test
        Action: failed
        Status: 5.1.1
        Remote-MTA: dns; mx.dest.test
        Diagnostic-Code: smtp; 550 5.1.1 The mailbox that you tried to reach does not
         exist; please look at https://dest.test/help for what may have gone wrong
        Last-Attempt-Date: Thu, 1 Jan 1970 00:01:00 +0000

        --=_01BX5ZZKBKACTAV9WEVGEMMVRZ-0
        Content-Type: text/rfc822-headers
        Content-Description: Header of the undelivered message
        Content-Transfer-Encoding: 7bit

        Received: from client.test ([192.0.2.9]) by gp.test (GopherPost)
        	with ESMTP id 01ARZ3NDEKTSV4RRFFQ69G5FAV; Thu, 1 Jan 1970 00:00:00 +0000
        Subject: hello
        From: ann@gp.test

        --=_01BX5ZZKBKACTAV9WEVGEMMVRZ-0--
    "#]],
    );
}

#[test]
fn recipients_of_every_kind() {
    let no_mx = our_words(
        EnhancedCode::permanent(1, 2),
        "no such domain: nowhere.test is not in DNS",
    );
    let later = reply(451, &[b"4.2.0 come again"]);
    let silent = our_words(
        EnhancedCode::temporary(4, 1),
        "no host of dead.test answers",
    );
    let recipients = [
        (recipient("bob@nowhere.test", Some(no_mx)), Fate::Failed),
        (recipient("\"c d\"@dest.test", Some(later)), Fate::Expired),
        (recipient("eve@dead.test", Some(silent)), Fate::Expired),
        (recipient("fay@held.test", None), Fate::Expired),
    ];
    check(
        &report("ann@gp.test", b"", &recipients),
        expect![[r#"
        Date: Thu, 1 Jan 1970 00:01:00 +0000
        From: Mail Delivery System <MAILER-DAEMON@gp.test>
        To: <ann@gp.test>
        Subject: Your message could not be delivered
        Message-ID: <01BX5ZZKBKACTAV9WEVGEMMVRZ@gp.test>
        Auto-Submitted: auto-replied
        MIME-Version: 1.0
        Content-Type: multipart/report; report-type=delivery-status;
         boundary="=_01BX5ZZKBKACTAV9WEVGEMMVRZ-0"
        Content-Transfer-Encoding: 7bit

        --=_01BX5ZZKBKACTAV9WEVGEMMVRZ-0
        Content-Type: text/plain; charset=us-ascii
        Content-Description: Notification
        Content-Transfer-Encoding: 7bit

        This is the mail relay at gp.test.

        Your message of Thu, 1 Jan 1970 00:00:00 +0000 could not be delivered
        to these recipients. This is final: nobody will try again.

        What you can do: read below why, check each address for mistakes, and
        send the message again once the cause is gone. A postmaster whom you ask
        for help will want to know its queue id: 01ARZ3NDEKTSV4RRFFQ69G5FAV.

        <bob@nowhere.test>
            No mail can be sent to this domain: check the part behind the @.
            Given up:
            no such domain: nowhere.test is not in DNS

        <"c d"@dest.test>
            Not taken within 5 days; the last answer, from
            mx.dest.test[192.0.2.25]:25:
            451 4.2.0 come again

        <eve@dead.test>
            Not taken within 5 days; the last attempt failed:
            no host of dead.test answers

        <fay@held.test>
            Not taken within 5 days; no attempt was made.

        --=_01BX5ZZKBKACTAV9WEVGEMMVRZ-0
        Content-Type: message/delivery-status
        Content-Description: Delivery report
        Content-Transfer-Encoding: 7bit

        Reporting-MTA: dns; gp.test
        Arrival-Date: Thu, 1 Jan 1970 00:00:00 +0000
        X-GopherPost-Queue-ID: 01ARZ3NDEKTSV4RRFFQ69G5FAV

        Final-Recipient: rfc822; bob@nowhere.test
        Action: failed
        Status: 5.1.2
        Diagnostic-Code: X-GopherPost; no such domain: nowhere.test is not in DNS
        Last-Attempt-Date: Thu, 1 Jan 1970 00:01:00 +0000

        Final-Recipient: rfc822; "c d"@dest.test
        Action: failed
        Status: 4.4.7
        Remote-MTA: dns; mx.dest.test
        Diagnostic-Code: smtp; 451 4.2.0 come again
        Last-Attempt-Date: Thu, 1 Jan 1970 00:01:00 +0000

        Final-Recipient: rfc822; eve@dead.test
        Action: failed
        Status: 4.4.7
        Diagnostic-Code: X-GopherPost; no host of dead.test answers
        Last-Attempt-Date: Thu, 1 Jan 1970 00:01:00 +0000

        Final-Recipient: rfc822; fay@held.test
        Action: failed
        Status: 4.4.7
        Diagnostic-Code: X-GopherPost; not delivered within 5 days

        --=_01BX5ZZKBKACTAV9WEVGEMMVRZ-0
        Content-Type: text/rfc822-headers
        Content-Description: Header of the undelivered message
        Content-Transfer-Encoding: 7bit

        Received: from client.test ([192.0.2.9]) by gp.test (GopherPost)
        	with ESMTP id 01ARZ3NDEKTSV4RRFFQ69G5FAV; Thu, 1 Jan 1970 00:00:00 +0000

        --=_01BX5ZZKBKACTAV9WEVGEMMVRZ-0--
    "#]],
    );
}

#[test]
fn what_was_asked_for_with_dsn() {
    // W-22.07, W-22.08
    let mut failed = recipient("bob@dest.test", Some(reply(550, &[b"5.1.1 no"])));
    failed.dsn.original = Some(OriginalRecipient {
        address_type: "rfc822".into(),
        address: "old bob@src.test".into(),
    });
    let mut relayed = recipient("eve@dest.test", Some(reply(250, &[b"ok"])));
    relayed.dsn.original = Some(OriginalRecipient {
        address_type: "utf-8".into(),
        address: "\u{e8}ve@src.test".into(),
    });
    let recipients = [(relayed, Fate::Relayed), (failed, Fate::Failed)];
    let name = |message: &mut Message| {
        message.envelope.dsn.envelope_id = EnvelopeId::parse("QQ 3=14");
        message.body.has_8bit = true;
    };
    let ReportFrame { before, behind } = frame("ann@gp.test", Returned::Whole, &recipients, name);
    let whole = [
        &before[..],
        "Subject: x\r\n\r\n\u{fc}\r\n".as_bytes(),
        &behind,
    ]
    .concat();
    check(
        &whole,
        expect![[r#"
        Date: Thu, 1 Jan 1970 00:01:00 +0000
        From: Mail Delivery System <MAILER-DAEMON@gp.test>
        To: <ann@gp.test>
        Subject: Your message could not be delivered
        Message-ID: <01BX5ZZKBKACTAV9WEVGEMMVRZ@gp.test>
        Auto-Submitted: auto-replied
        MIME-Version: 1.0
        Content-Type: multipart/report; report-type=delivery-status;
         boundary="=_01BX5ZZKBKACTAV9WEVGEMMVRZ-0"
        Content-Transfer-Encoding: 8bit

        --=_01BX5ZZKBKACTAV9WEVGEMMVRZ-0
        Content-Type: text/plain; charset=us-ascii
        Content-Description: Notification
        Content-Transfer-Encoding: 7bit

        This is the mail relay at gp.test.

        Your message of Thu, 1 Jan 1970 00:00:00 +0000 could not be delivered
        to this recipient. This is final: nobody will try again.

        What you can do: read below why, check the address for mistakes, and
        send the message again once the cause is gone. A postmaster whom you ask
        for help will want to know its queue id: 01ARZ3NDEKTSV4RRFFQ69G5FAV.

        <bob@dest.test>
            This address does not exist there: check the part before the @.
            Refused by mx.dest.test[192.0.2.25]:25:
            550 5.1.1 no

        Your message of Thu, 1 Jan 1970 00:00:00 +0000 was handed on
        to the mail host of this recipient. That host does not report on
        deliveries, so this may be the last that you hear of it.

        You need not do anything: you are told because you asked to be. The
        message's queue id here was: 01ARZ3NDEKTSV4RRFFQ69G5FAV.

        <eve@dest.test>
            Taken by mx.dest.test[192.0.2.25]:25:
            250 ok

        --=_01BX5ZZKBKACTAV9WEVGEMMVRZ-0
        Content-Type: message/delivery-status
        Content-Description: Delivery report
        Content-Transfer-Encoding: 7bit

        Original-Envelope-Id: QQ 3=14
        Reporting-MTA: dns; gp.test
        Arrival-Date: Thu, 1 Jan 1970 00:00:00 +0000
        X-GopherPost-Queue-ID: 01ARZ3NDEKTSV4RRFFQ69G5FAV

        Original-Recipient: utf-8; \x{E8}ve@src.test
        Final-Recipient: rfc822; eve@dest.test
        Action: relayed
        Status: 2.0.0
        Remote-MTA: dns; mx.dest.test
        Diagnostic-Code: smtp; 250 ok
        Last-Attempt-Date: Thu, 1 Jan 1970 00:01:00 +0000

        Original-Recipient: rfc822; old bob@src.test
        Final-Recipient: rfc822; bob@dest.test
        Action: failed
        Status: 5.1.1
        Remote-MTA: dns; mx.dest.test
        Diagnostic-Code: smtp; 550 5.1.1 no
        Last-Attempt-Date: Thu, 1 Jan 1970 00:01:00 +0000

        --=_01BX5ZZKBKACTAV9WEVGEMMVRZ-0
        Content-Type: message/rfc822
        Content-Description: The undelivered message
        Content-Transfer-Encoding: 8bit

        Received: from client.test ([192.0.2.9]) by gp.test (GopherPost)
        	with ESMTP id 01ARZ3NDEKTSV4RRFFQ69G5FAV; Thu, 1 Jan 1970 00:00:00 +0000
        Subject: x

        ü

        --=_01BX5ZZKBKACTAV9WEVGEMMVRZ-0--
    "#]],
    );
}

#[test]
fn a_report_for_smtputf8_has_addresses_as_they_are() {
    // W-22.10
    let mut bob = recipient("b\u{f6}b@dest.test", Some(reply(550, &[b"no"])));
    bob.dsn.original = Some(OriginalRecipient {
        address_type: "utf-8".into(),
        address: "\u{fc}@src.test".into(),
    });
    let parsed = |returned| {
        let ask = |message: &mut Message| message.envelope.smtputf8 = true;
        let recipients = [(bob.clone(), Fate::Failed)];
        let ReportFrame { before, behind } = frame("ann@gp.test", returned, &recipients, ask);
        parse(&[before, behind].concat())
    };
    for (returned, content_type) in [
        (
            Returned::Headers("A: \u{fc}\r\n".as_bytes()),
            "message/global-headers",
        ),
        (Returned::Whole, "message/global"),
    ] {
        let report = parsed(returned);
        let [_, status, original] = &report.parts[..] else {
            panic!("three parts");
        };
        let status_type = status.header.value("Content-Type");
        assert_eq!(status_type, "message/global-delivery-status");
        assert_eq!(original.header.value("Content-Type"), content_type);
        let bob = &report.recipients[0];
        assert_eq!(bob.value("Original-Recipient"), "utf-8; \u{fc}@src.test");
        assert_eq!(bob.value("Final-Recipient"), "utf-8; b\u{f6}b@dest.test");
    }
}

#[test]
fn a_report_of_success_only_says_so() {
    // W-22.07
    let relayed = |text| (recipient(text, None), Fate::Relayed);
    let recipients = [relayed("bob@dest.test"), relayed("eve@dest.test")];
    check(
        &report("ann@gp.test", b"", &recipients),
        expect![[r#"
        Date: Thu, 1 Jan 1970 00:01:00 +0000
        From: Mail Delivery System <MAILER-DAEMON@gp.test>
        To: <ann@gp.test>
        Subject: Your message was relayed
        Message-ID: <01BX5ZZKBKACTAV9WEVGEMMVRZ@gp.test>
        Auto-Submitted: auto-replied
        MIME-Version: 1.0
        Content-Type: multipart/report; report-type=delivery-status;
         boundary="=_01BX5ZZKBKACTAV9WEVGEMMVRZ-0"
        Content-Transfer-Encoding: 7bit

        --=_01BX5ZZKBKACTAV9WEVGEMMVRZ-0
        Content-Type: text/plain; charset=us-ascii
        Content-Description: Notification
        Content-Transfer-Encoding: 7bit

        This is the mail relay at gp.test.

        Your message of Thu, 1 Jan 1970 00:00:00 +0000 was handed on
        to the mail host of these recipients. Those hosts do not report on
        deliveries, so this may be the last that you hear of it.

        You need not do anything: you are told because you asked to be. The
        message's queue id here was: 01ARZ3NDEKTSV4RRFFQ69G5FAV.

        <bob@dest.test>
            Taken.

        <eve@dest.test>
            Taken.

        --=_01BX5ZZKBKACTAV9WEVGEMMVRZ-0
        Content-Type: message/delivery-status
        Content-Description: Delivery report
        Content-Transfer-Encoding: 7bit

        Reporting-MTA: dns; gp.test
        Arrival-Date: Thu, 1 Jan 1970 00:00:00 +0000
        X-GopherPost-Queue-ID: 01ARZ3NDEKTSV4RRFFQ69G5FAV

        Final-Recipient: rfc822; bob@dest.test
        Action: relayed
        Status: 2.0.0

        Final-Recipient: rfc822; eve@dest.test
        Action: relayed
        Status: 2.0.0

        --=_01BX5ZZKBKACTAV9WEVGEMMVRZ-0
        Content-Type: text/rfc822-headers
        Content-Description: Header of the message
        Content-Transfer-Encoding: 7bit

        Received: from client.test ([192.0.2.9]) by gp.test (GopherPost)
        	with ESMTP id 01ARZ3NDEKTSV4RRFFQ69G5FAV; Thu, 1 Jan 1970 00:00:00 +0000

        --=_01BX5ZZKBKACTAV9WEVGEMMVRZ-0--
    "#]],
    );
}

#[test]
fn addresses_beyond_ascii_and_an_odd_original() {
    let recipients = [(
        recipient("ü@bücher.test", Some(reply(550, &[b"no"]))),
        Fate::Failed,
    )];
    check(
        &report(
            "jürgen@gp.test",
            "Subject: grün\r\nno field\r\n\r\n".as_bytes(),
            &recipients,
        ),
        expect![[r#"
        Date: Thu, 1 Jan 1970 00:01:00 +0000
        From: Mail Delivery System <MAILER-DAEMON@gp.test>
        To: <jürgen@gp.test>
        Subject: Your message could not be delivered
        Message-ID: <01BX5ZZKBKACTAV9WEVGEMMVRZ@gp.test>
        Auto-Submitted: auto-replied
        MIME-Version: 1.0
        Content-Type: multipart/report; report-type=delivery-status;
         boundary="=_01BX5ZZKBKACTAV9WEVGEMMVRZ-0"
        Content-Transfer-Encoding: 8bit

        --=_01BX5ZZKBKACTAV9WEVGEMMVRZ-0
        Content-Type: text/plain; charset=utf-8
        Content-Description: Notification
        Content-Transfer-Encoding: quoted-printable

        This is the mail relay at gp.test.

        Your message of Thu, 1 Jan 1970 00:00:00 +0000 could not be delivered
        to this recipient. This is final: nobody will try again.

        What you can do: read below why, check the address for mistakes, and
        send the message again once the cause is gone. A postmaster whom you ask
        for help will want to know its queue id: 01ARZ3NDEKTSV4RRFFQ69G5FAV.

        <=C3=BC@b=C3=BCcher.test>
            Refused by mx.dest.test[192.0.2.25]:25:
            550 no

        --=_01BX5ZZKBKACTAV9WEVGEMMVRZ-0
        Content-Type: message/delivery-status
        Content-Description: Delivery report
        Content-Transfer-Encoding: 7bit

        Reporting-MTA: dns; gp.test
        Arrival-Date: Thu, 1 Jan 1970 00:00:00 +0000
        X-GopherPost-Queue-ID: 01ARZ3NDEKTSV4RRFFQ69G5FAV

        Final-Recipient: utf-8; \x{FC}@xn--bcher-kva.test
        Action: failed
        Status: 5.0.0
        Remote-MTA: dns; mx.dest.test
        Diagnostic-Code: smtp; 550 no
        Last-Attempt-Date: Thu, 1 Jan 1970 00:01:00 +0000

        --=_01BX5ZZKBKACTAV9WEVGEMMVRZ-0
        Content-Type: text/rfc822-headers
        Content-Description: Header of the undelivered message
        Content-Transfer-Encoding: 8bit

        Received: from client.test ([192.0.2.9]) by gp.test (GopherPost)
        	with ESMTP id 01ARZ3NDEKTSV4RRFFQ69G5FAV; Thu, 1 Jan 1970 00:00:00 +0000
        Subject: grün

        --=_01BX5ZZKBKACTAV9WEVGEMMVRZ-0--
    "#]],
    );
}

#[test]
fn the_whole_reply_is_in_the_diagnostic_code() {
    let words = "word and  more ".repeat(130);
    let report = parse(&report_on(reply(
        550,
        &[format!("5.7.1 {words}").as_bytes()],
    )));
    let want = format!("smtp; 550 5.7.1 {}", words.trim_end());
    assert_eq!(report.recipients[0].value("Diagnostic-Code"), want);
}

#[test]
fn no_reply_changes_the_form_of_a_report() {
    let x = "x".repeat(2_000);
    let boundary = "--=_01BX5ZZKBKACTAV9WEVGEMMVRZ-0--";
    let hostile: &[&[&[u8]]] = &[
        &[
            b"no",
            b".",
            b"..",
            b"",
            b"--",
            boundary.as_bytes(),
            b"",
            b".",
        ],
        &[
            b"5.1.1 a\r\nAction: delivered\r\n\r\nFinal-Recipient: rfc822; x@y",
            b"Action: delivered",
        ],
        &[b"\x00\x1b[2J\xff\xfe\x85\xe2\x80\xa8", "ü".as_bytes()],
        &[x.as_bytes()],
        &[b"4.2.2 a temporary code", x.as_bytes(), b"end"],
        &[&[b' '; 1_990], b"x"],
        &[b"a", &[b' '; 1_990], b"x"],
        &[b""],
        &[],
    ];
    for lines in hostile {
        let mut answer = reply(550, lines);
        answer.detail = "ours\r\n.\r\n--=_ü\u{85}\u{2028}".into();
        let report = parse(&report_on(answer));
        let [group] = &report.recipients[..] else {
            panic!("{lines:?}");
        };
        assert_eq!(group.value("Action"), "failed");
        assert!(group.value("Status").starts_with("5."));
        assert!(group.value("Diagnostic-Code").starts_with("smtp; 550"));
    }
}

#[test]
fn no_words_or_names_of_others_do_either() {
    let hostile = "a\r\nAction: delivered\r\n\r\n.\r\n\u{85}\u{2028}ü\0";
    let mut answer = our_words(EnhancedCode::temporary(7, 5), hostile);
    let group = &parse(&report_on(answer.clone())).recipients[0];
    assert_eq!(
        group.value("Diagnostic-Code"),
        "X-GopherPost; a??Action: delivered????.??????"
    );
    assert_eq!(group.value("Status"), "5.7.5");

    answer.reason = Reason::Tls;
    answer.remote = Some(Remote {
        host: hostile.into(),
        address: "192.0.2.25:25".parse().unwrap(),
        security: None,
        connected: true,
    });
    let group = &parse(&report_on(answer)).recipients[0];
    assert!(
        group
            .value("Remote-MTA")
            .starts_with("dns; a??Action:?delivered")
    );
}

#[test]
fn how_the_host_was_secured_is_told_and_by_which_rule() {
    // W-18.05
    let mut answer = reply(550, &[b"5.1.1 no such user"]);
    let report = report_on(answer.clone());
    assert!(!String::from_utf8_lossy(&report).contains("X-GopherPost-TLS"));
    if let Some(remote) = &mut answer.remote {
        remote.security = Some(Box::new(Security {
            rule: "dest.test=encrypt".into(),
            channel: Channel::Unchecked(TlsFacts {
                version: "TLSv1.3".into(),
                cipher: "TLS13_AES_256_GCM_SHA384".into(),
            }),
        }));
    }
    let group = &parse(&report_on(answer)).recipients[0];
    assert_eq!(
        group.value("X-GopherPost-TLS"),
        "TLSv1.3 TLS13_AES_256_GCM_SHA384 unchecked; dest.test=encrypt"
    );
}

#[test]
fn only_a_host_that_had_a_part_in_it_is_named() {
    // W-22.02
    #[track_caller]
    fn check(reason: Reason, with_reply: bool, connected: bool) {
        let mut answer = reply(450, &[b"4.3.2 not now"]);
        answer.reason = reason;
        answer.remote = answer.remote.map(|remote| Remote {
            connected,
            ..remote
        });
        if !with_reply {
            answer.reply = None;
        }
        let report = report_on(answer);
        let named = memchr::memmem::find(&report, b"\r\nRemote-MTA: ").is_some();
        assert_eq!(named, connected, "{reason:?}");
    }
    check(Reason::Connect, false, false);
    check(Reason::Timeout, false, false);
    check(Reason::Timeout, false, true); // it took the connection and said nothing
    check(Reason::Connect, false, true);
    check(Reason::Tls, false, true);
    check(Reason::Remote, true, true);
}

#[test]
fn a_boundary_that_occurs_is_passed_over() {
    let header = "X: =_01BX5ZZKBKACTAV9WEVGEMMVRZ-0 =_01BX5ZZKBKACTAV9WEVGEMMVRZ-1\r\n";
    let recipients = [(recipient("bob@dest.test", None), Fate::Failed)];
    let report = report("ann@gp.test", header.as_bytes(), &recipients);
    assert!(parse(&report).parts[2].content.ends_with(header.as_bytes()));
    assert!(
        String::from_utf8_lossy(&report).contains("boundary=\"=_01BX5ZZKBKACTAV9WEVGEMMVRZ-2\"")
    );
}

#[test]
fn the_original_comes_back_octet_for_octet() {
    #[track_caller]
    fn check(header: &[u8], want: &[u8], encoding: &str) {
        let recipients = [(recipient("bob@dest.test", None), Fate::Failed)];
        let part = &parse(&report("ann@gp.test", header, &recipients)).parts[2];
        assert_eq!(part.header.value("Content-Transfer-Encoding"), encoding);
        assert_eq!(part.content, [ADDED.as_bytes(), want].concat());
    }
    check(
        b"A:\tb  \r\n\t\r\nc:\r\n\r\ntext\r\n",
        b"A:\tb  \r\n\t\r\nc:\r\n",
        "7bit",
    );
    check(b"A: \xff\r\n", b"A: \xff\r\n", "8bit");
    check(b"A: cut of", b"", "7bit");
    check(b"text\r\n", b"", "7bit");
    let long = format!("A: b \t\r\nB: {}=\u{fc}\r\n", "x".repeat(1_000));
    check(long.as_bytes(), long.as_bytes(), "quoted-printable");
    let many = "A: b\r\n".repeat(20_000);
    let kept = "A: b\r\n".repeat(REPORT_HEADER_BYTES_MAX / 6);
    check(many.as_bytes(), kept.as_bytes(), "7bit");
}

proptest! {
    #[test]
    fn any_reply_header_and_address_give_a_report(
        lines in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..300), 0..9),
        header in "([A-Za-z]{1,9}: [ -~ü]{0,1200}\r\n)(\t[ -~]{0,9}\r\n){0,2}",
        local_part in "\"([ !#-~&&[^\\\\]]|\u{85}|ü|\u{2028}|\\\\[ -~]){0,40}\"",
    ) {
        let lines: Vec<&[u8]> = lines.iter().map(|line| &line[..]).collect();
        let mailbox = format!("{local_part}@dest.test");
        let recipients = [
            (recipient(&mailbox, Some(reply(550, &lines))), Fate::Failed),
            (recipient(&mailbox, Some(reply(451, &lines))), Fate::Expired),
        ];
        let report = parse(&report(&mailbox, header.as_bytes(), &recipients));
        prop_assert_eq!(report.recipients.len(), 2);
        prop_assert_eq!(&report.parts[2].content, &[ADDED, &header].concat().into_bytes());
    }
}
