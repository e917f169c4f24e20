//! What a report says about recipients that wait.

use super::*;

#[test]
fn a_delayed_recipient() {
    // W-22.09
    let put_off = reply(451, &[b"4.2.0 come again"]);
    let silent = Answer {
        reply: None,
        detail: "no answer in time".into(),
        reason: Reason::Timeout,
        ..reply(450, &[b""])
    };
    let recipients = [
        (recipient("bob@dest.test", Some(put_off)), Fate::Delayed),
        (recipient("eve@dest.test", Some(silent)), Fate::Delayed),
        (recipient("fay@slow.test", None), Fate::Delayed),
    ];
    check(
        &report("ann@gp.test", b"", &recipients),
        expect![[r#"
        Date: Thu, 1 Jan 1970 00:01:00 +0000
        From: Mail Delivery System <MAILER-DAEMON@gp.test>
        To: <ann@gp.test>
        Subject: Your message is delayed
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

        Your message of Thu, 1 Jan 1970 00:00:00 +0000 could not yet be delivered
        to these recipients. It is not lost: we go on trying until
        Tue, 6 Jan 1970 00:00:00 +0000, and give up only then.

        You need not do anything, nor send the message again. If it is urgent,
        reach the recipient in another way. You are told of the delay only this
        once. The message's queue id here is: 01ARZ3NDEKTSV4RRFFQ69G5FAV.

        <bob@dest.test>
            Put off by mx.dest.test[192.0.2.25]:25:
            451 4.2.0 come again

        <eve@dest.test>
            The last attempt, at mx.dest.test[192.0.2.25]:25, failed:
            no answer in time

        <fay@slow.test>
            No attempt was made yet.

        --=_01BX5ZZKBKACTAV9WEVGEMMVRZ-0
        Content-Type: message/delivery-status
        Content-Description: Delivery report
        Content-Transfer-Encoding: 7bit

        Reporting-MTA: dns; gp.test
        Arrival-Date: Thu, 1 Jan 1970 00:00:00 +0000
        X-GopherPost-Queue-ID: 01ARZ3NDEKTSV4RRFFQ69G5FAV

        Final-Recipient: rfc822; bob@dest.test
        Action: delayed
        Status: 4.2.0
        Remote-MTA: dns; mx.dest.test
        Diagnostic-Code: smtp; 451 4.2.0 come again
        Last-Attempt-Date: Thu, 1 Jan 1970 00:01:00 +0000
        Will-Retry-Until: Tue, 6 Jan 1970 00:00:00 +0000

        Final-Recipient: rfc822; eve@dest.test
        Action: delayed
        Status: 4.0.0
        Remote-MTA: dns; mx.dest.test
        Diagnostic-Code: X-GopherPost; no answer in time
        Last-Attempt-Date: Thu, 1 Jan 1970 00:01:00 +0000
        Will-Retry-Until: Tue, 6 Jan 1970 00:00:00 +0000

        Final-Recipient: rfc822; fay@slow.test
        Action: delayed
        Status: 4.0.0
        Will-Retry-Until: Tue, 6 Jan 1970 00:00:00 +0000

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
fn what_failed_comes_before_what_waits() {
    // W-22.09
    let delayed = recipient("bob@dest.test", Some(reply(451, &[b"4.2.0 later"])));
    let failed = recipient("eve@dest.test", Some(reply(550, &[b"5.1.1 no"])));
    let recipients = [(delayed, Fate::Delayed), (failed, Fate::Failed)];
    let text = String::from_utf8(report("ann@gp.test", b"", &recipients)).unwrap();
    let place = |words: &str| {
        text.find(words)
            .unwrap_or_else(|| panic!("{words} in {text}"))
    };
    assert!(place("Subject: Your message could not be delivered") < place("This is final"));
    assert!(place("This is final") < place("<eve@dest.test>"));
    assert!(place("<eve@dest.test>") < place("It is not lost"));
    assert!(place("It is not lost") < place("<bob@dest.test>"));
    assert_eq!(text.matches("Will-Retry-Until:").count(), 1);
}
