//! Dialogues without a socket. In a script a line is what the client says; `=` is DATA's content
//! (the transaction is taken as accepted).

use super::*;
use crate::mail::Domain;
use crate::smtp::server::{Chunk, MailIntake, PartOf, SenderPolicy, SessionLimits, Submission};
use expect_test::{Expect, expect};

const LIMITS: SessionLimits = SessionLimits {
    mails_max: 50,
    errors_max: 100,
};

pub(super) fn session(senders: SenderPolicy) -> Session {
    let name = Domain::parse("gp.test").unwrap();
    let rules = Rules::new(name, "ready", 10_485_760, 3, LIMITS, senders);
    Session::new(Arc::new(rules))
}

pub(super) fn local_only() -> SenderPolicy {
    SenderPolicy::Local(Box::new(|domain| domain.as_str() == "gp.test"))
}

fn play_with(mut session: Session, script: &str, intake: MailIntake) -> String {
    let mut seen = String::new();
    for line in script.lines().map(str::trim_start) {
        let step = session.line(line.as_bytes(), intake);
        let mut out = Vec::new();
        session.rules.write(step.reply, &mut out);
        let reply = String::from_utf8(out).unwrap().replace("\r\n", "|");
        let reply = reply.trim_end_matches('|');
        let codes = match step.reply {
            Reply::Fixed(Say::SendData) => "354",
            Reply::Fixed(_) => &reply[..9],
            Reply::Hello | Reply::Extensions(_) => reply,
            Reply::Later => "...",
        };
        seen.push_str(&format!("{line:<44} {codes}\n"));
        match step.next {
            Next::Command => {}
            Next::Data(submission) => {
                let Submission {
                    envelope,
                    recipients,
                    helo,
                    protocol,
                    tls,
                    user,
                } = *submission;
                let from = envelope.reverse_path;
                let recipients: Vec<_> = recipients.iter().map(|named| &named.address).collect();
                let helo = helo.escape_ascii();
                seen.push_str(&format!(
                    "  = {from:?} to {recipients:?} by {helo} with {protocol:?} {:?}{}{}\n",
                    envelope.body_kind,
                    tls.map_or(String::new(), |tls| format!(" in {}", tls.version)),
                    user.map_or(String::new(), |user| format!(" as {user}"))
                ));
            }
            Next::StartTls => {
                session.secured(TlsFacts {
                    version: "TLSv1.3".into(),
                    cipher: "a cipher".into(),
                });
                seen.push_str("  = handshake\n");
            }
            Next::Authenticate(start) => seen.push_str(&format!("  = {start:?}\n")),
            Next::Close => seen.push_str("  = closes\n"),
            Next::Chunk(chunk) => seen.push_str(&format!("  = {}\n", told(&chunk))),
            Next::GiveUp(say) => seen.push_str(&format!("  = says {} and closes\n", say.line())),
        }
    }
    seen
}

fn told(chunk: &Chunk) -> String {
    let part_of = match &chunk.part_of {
        PartOf::New(submission) => {
            let recipients = submission.recipients.iter();
            let addresses: Vec<_> = recipients.map(|named| &named.address).collect();
            format!("begins {addresses:?}")
        }
        PartOf::Current => "goes on".to_owned(),
        PartOf::Nothing(say) => format!("nothing: {}", say.line()),
    };
    let last = if chunk.last { ", the last" } else { "" };
    format!("{} octets{last}: {part_of}", chunk.octets)
}

pub(super) fn play_session(session: Session, script: &str) -> String {
    play_with(session, script, MailIntake::Open)
}

#[track_caller]
fn play(script: &str, want: Expect) {
    want.assert_eq(&play_with(
        session(local_only()),
        script.trim(),
        MailIntake::Open,
    ));
}

#[test]
fn a_transaction() {
    // W-2.01, W-3.05, W-6.02
    play(
        "EHLO client.test
        MAIL FROM:<Ann@GP.test> SIZE=100 BODY=8BITMIME
        RCPT TO:<Bob@Dest.test>
        RCPT TO:<postMaster>
        DATA
        RCPT TO:<c@dest.test>
        MAIL FROM:<>
        RCPT TO:<c@dest.test>
        DATA
        QUIT",
        expect![[r#"
            EHLO client.test                             250-gp.test|250-SIZE 10485760|250-PIPELINING|250-8BITMIME|250-BINARYMIME|250-CHUNKING|250-SMTPUTF8|250-DSN|250-LIMITS RCPTMAX=3 MAILMAX=50|250 ENHANCEDSTATUSCODES
            MAIL FROM:<Ann@GP.test> SIZE=100 BODY=8BITMIME 250 2.1.0
            RCPT TO:<Bob@Dest.test>                      250 2.1.5
            RCPT TO:<postMaster>                         250 2.1.5
            DATA                                         354
              = <Ann@GP.test> to [<Bob@Dest.test>, <postMaster@gp.test>] by client.test with Esmtp EightBitMime
            RCPT TO:<c@dest.test>                        503 5.5.1
            MAIL FROM:<>                                 250 2.1.0
            RCPT TO:<c@dest.test>                        250 2.1.5
            DATA                                         354
              = <> to [<c@dest.test>] by client.test with Esmtp SevenBit
            QUIT                                         221 2.0.0
              = closes
        "#]],
    );
}

#[test]
fn commands_out_of_order() {
    // W-2.07, W-2.09, W-2.18, W-2.19, W-2.20, W-2.21
    play(
        "NOOP
        HELP
        VRFY x
        RSET
        MAIL FROM:<a@gp.test>
        RCPT TO:<b@dest.test>
        DATA
        EHLO x
        RCPT TO:<b@dest.test>
        DATA
        MAIL FROM:<a@gp.test>
        DATA
        MAIL FROM:<other@gp.test>
        RCPT TO:<b@dest.test>
        MAIL FROM:<other@gp.test>
        DATA
        MAIL FROM:<a@gp.test>
        RCPT TO:<b@dest.test>
        RSET
        RCPT TO:<b@dest.test>
        MAIL FROM:<a@gp.test>
        RCPT TO:<b@dest.test>
        HELO y
        RCPT TO:<b@dest.test>
        MAIL FROM:<a@gp.test>
        QUIT",
        expect![[r#"
            NOOP                                         250 2.0.0
            HELP                                         214 2.0.0
            VRFY x                                       252 2.0.0
            RSET                                         250 2.0.0
            MAIL FROM:<a@gp.test>                        503 5.5.1
            RCPT TO:<b@dest.test>                        503 5.5.1
            DATA                                         503 5.5.1
            EHLO x                                       250-gp.test|250-SIZE 10485760|250-PIPELINING|250-8BITMIME|250-BINARYMIME|250-CHUNKING|250-SMTPUTF8|250-DSN|250-LIMITS RCPTMAX=3 MAILMAX=50|250 ENHANCEDSTATUSCODES
            RCPT TO:<b@dest.test>                        503 5.5.1
            DATA                                         503 5.5.1
            MAIL FROM:<a@gp.test>                        250 2.1.0
            DATA                                         503 5.5.1
            MAIL FROM:<other@gp.test>                    503 5.5.1
            RCPT TO:<b@dest.test>                        250 2.1.5
            MAIL FROM:<other@gp.test>                    503 5.5.1
            DATA                                         354
              = <a@gp.test> to [<b@dest.test>] by x with Esmtp SevenBit
            MAIL FROM:<a@gp.test>                        250 2.1.0
            RCPT TO:<b@dest.test>                        250 2.1.5
            RSET                                         250 2.0.0
            RCPT TO:<b@dest.test>                        503 5.5.1
            MAIL FROM:<a@gp.test>                        250 2.1.0
            RCPT TO:<b@dest.test>                        250 2.1.5
            HELO y                                       250 gp.test
            RCPT TO:<b@dest.test>                        503 5.5.1
            MAIL FROM:<a@gp.test>                        250 2.1.0
            QUIT                                         221 2.0.0
              = closes
        "#]],
    );
}

#[test]
fn greetings() {
    // W-2.03, W-2.04, W-2.06, W-2.08, W-6.02
    play(
        "HELO client.test
        MAIL FROM:<a@gp.test> SIZE=1
        EHLO
        HELO
        RCPT TO:<b@dest.test>
        DATA
        EHLO a(b)\";\u{e9}[]
        MAIL FROM:<a@gp.test> SMTPUTF8
        RCPT TO:<\u{fc}@b\u{fc}cher.test>
        DATA
        EHLO [IPv6:::1]
        MAIL FROM:<a@gp.test>
        RCPT TO:<b@dest.test>
        DATA",
        expect![[r#"
            HELO client.test                             250 gp.test
            MAIL FROM:<a@gp.test> SIZE=1                 250 2.1.0
            EHLO                                         501 5.5.4
            HELO                                         501 5.5.4
            RCPT TO:<b@dest.test>                        250 2.1.5
            DATA                                         354
              = <a@gp.test> to [<b@dest.test>] by client.test with Smtp SevenBit
            EHLO a(b)";é[]                               250-gp.test|250-SIZE 10485760|250-PIPELINING|250-8BITMIME|250-BINARYMIME|250-CHUNKING|250-SMTPUTF8|250-DSN|250-LIMITS RCPTMAX=3 MAILMAX=50|250 ENHANCEDSTATUSCODES
            MAIL FROM:<a@gp.test> SMTPUTF8               250 2.1.0
            RCPT TO:<ü@bücher.test>                      250 2.1.5
            DATA                                         354
              = <a@gp.test> to [<ü@bücher.test>] by a(b)\";\xc3\xa9[] with Utf8Smtp SevenBit
            EHLO [IPv6:::1]                              250-gp.test|250-SIZE 10485760|250-PIPELINING|250-8BITMIME|250-BINARYMIME|250-CHUNKING|250-SMTPUTF8|250-DSN|250-LIMITS RCPTMAX=3 MAILMAX=50|250 ENHANCEDSTATUSCODES
            MAIL FROM:<a@gp.test>                        250 2.1.0
            RCPT TO:<b@dest.test>                        250 2.1.5
            DATA                                         354
              = <a@gp.test> to [<b@dest.test>] by [IPv6:::1] with Esmtp SevenBit
        "#]],
    );
}

#[test]
fn refused_recipients_disturb_nobody() {
    // W-2.19, W-2.22, W-3.01, W-3.12, W-3.14, W-3.15
    play(
        "EHLO x
        MAIL FROM:<a@gp.test>
        RCPT TO:<>
        RCPT TO:<@dest.test>
        RCPT TO:<\u{fc}@dest.test>
        DATA
        RCPT TO:<1@dest.test>
        RCPT TO:<bad
        RCPT TO:<2@dest.test> NOTIFY=NEVER
        RCPT TO:<2@dest.test>
        RCPT TO:<1@DEST.test>
        RCPT TO:<u@[127.0.0.5]>
        RCPT TO:<4@dest.test>
        RCPT TO:<2@dest.test>
        DATA",
        expect![[r#"
            EHLO x                                       250-gp.test|250-SIZE 10485760|250-PIPELINING|250-8BITMIME|250-BINARYMIME|250-CHUNKING|250-SMTPUTF8|250-DSN|250-LIMITS RCPTMAX=3 MAILMAX=50|250 ENHANCEDSTATUSCODES
            MAIL FROM:<a@gp.test>                        250 2.1.0
            RCPT TO:<>                                   501 5.1.3
            RCPT TO:<@dest.test>                         501 5.1.3
            RCPT TO:<ü@dest.test>                        553 5.6.7
            DATA                                         554 5.5.1
            RCPT TO:<1@dest.test>                        250 2.1.5
            RCPT TO:<bad                                 501 5.1.3
            RCPT TO:<2@dest.test> NOTIFY=NEVER           250 2.1.5
            RCPT TO:<2@dest.test>                        250 2.1.5
            RCPT TO:<1@DEST.test>                        250 2.1.5
            RCPT TO:<u@[127.0.0.5]>                      250 2.1.5
            RCPT TO:<4@dest.test>                        452 4.5.3
            RCPT TO:<2@dest.test>                        250 2.1.5
            DATA                                         354
              = <a@gp.test> to [<1@dest.test>, <2@dest.test>, <u@[127.0.0.5]>] by x with Esmtp SevenBit
        "#]],
    );
}

#[test]
fn refused_senders_open_nothing() {
    // W-2.21, W-3.02, W-3.03, W-3.04, W-3.12, W-4.01, W-4.03, W-4.04, W-7.03
    play(
        "EHLO x
        MAIL FROM:<postmaster>
        MAIL FROM:<a@sub.gp.test>
        RCPT TO:<b@dest.test>
        DATA
        MAIL FROM:<\u{fc}@gp.test>
        MAIL FROM:<\u{fc}@gp.test> SIZE=10485761
        MAIL FROM:<a@gp.test> SIZE=10485761
        MAIL FROM:<a@gp.test> SIZE=x
        MAIL FROM:<a@gp.test>SIZE=1
        MAIL FROM:<a@gp.test> BODY=x
        MAIL FROM:<a@gp.test> X=x
        MAIL FROM:Name <a@gp.test>
        RCPT TO:<b@dest.test>
        MAIL FROM:<\u{fc}@gp.test> SIZE=10485760 SMTPUTF8",
        expect![[r#"
            EHLO x                                       250-gp.test|250-SIZE 10485760|250-PIPELINING|250-8BITMIME|250-BINARYMIME|250-CHUNKING|250-SMTPUTF8|250-DSN|250-LIMITS RCPTMAX=3 MAILMAX=50|250 ENHANCEDSTATUSCODES
            MAIL FROM:<postmaster>                       501 5.1.7
            MAIL FROM:<a@sub.gp.test>                    550 5.7.1
            RCPT TO:<b@dest.test>                        503 5.5.1
            DATA                                         503 5.5.1
            MAIL FROM:<ü@gp.test>                        553 5.6.7
            MAIL FROM:<ü@gp.test> SIZE=10485761          553 5.6.7
            MAIL FROM:<a@gp.test> SIZE=10485761          552 5.3.4
            MAIL FROM:<a@gp.test> SIZE=x                 501 5.5.4
            MAIL FROM:<a@gp.test>SIZE=1                  501 5.5.4
            MAIL FROM:<a@gp.test> BODY=x                 501 5.5.4
            MAIL FROM:<a@gp.test> X=x                    555 5.5.4
            MAIL FROM:Name <a@gp.test>                   501 5.1.7
            RCPT TO:<b@dest.test>                        503 5.5.1
            MAIL FROM:<ü@gp.test> SIZE=10485760 SMTPUTF8 250 2.1.0
        "#]],
    );
}

#[test]
fn http_and_quit_close() {
    // W-1.09, W-2.17
    play(
        "GET / HTTP/1.1
        EHLO x
        MAIL FROM:<a@gp.test>
        QUIT x
        QUIT",
        expect![[r#"
            GET / HTTP/1.1                               500 5.5.2
              = closes
            EHLO x                                       250-gp.test|250-SIZE 10485760|250-PIPELINING|250-8BITMIME|250-BINARYMIME|250-CHUNKING|250-SMTPUTF8|250-DSN|250-LIMITS RCPTMAX=3 MAILMAX=50|250 ENHANCEDSTATUSCODES
            MAIL FROM:<a@gp.test>                        250 2.1.0
            QUIT x                                       501 5.5.4
            QUIT                                         221 2.0.0
              = closes
        "#]],
    );
}

#[test]
fn without_room_only_mail_is_refused() {
    // W-5.19
    let script = "EHLO x\nMAIL FROM:<a@gp.test>\nRCPT TO:<b@dest.test>\nNOOP";
    let seen = play_with(session(SenderPolicy::Any), script, MailIntake::Closed);
    expect![[r#"
        EHLO x                                       250-gp.test|250-SIZE 10485760|250-PIPELINING|250-8BITMIME|250-BINARYMIME|250-CHUNKING|250-SMTPUTF8|250-DSN|250-LIMITS RCPTMAX=3 MAILMAX=50|250 ENHANCEDSTATUSCODES
        MAIL FROM:<a@gp.test>                        452 4.3.1
        RCPT TO:<b@dest.test>                        503 5.5.1
        NOOP                                         250 2.0.0
    "#]].assert_eq(&seen);
}

#[test]
fn utf8_must_be_utf8() {
    // W-3.12
    let mut session = session(SenderPolicy::Any);
    session.line(b"EHLO x", MailIntake::Open);
    for bad in [&b"\xff"[..], b"\xc0\xaf", b"\xed\xa0\x80"] {
        let line = [b"MAIL FROM:<", bad, b"@gp.test> SMTPUTF8"].concat();
        let step = session.line(&line, MailIntake::Open);
        assert_eq!(step.reply, Reply::Fixed(Say::BadSender));
        let line = [b"MAIL FROM:<", bad, b"@gp.test>"].concat();
        let step = session.line(&line, MailIntake::Open);
        assert_eq!(step.reply, Reply::Fixed(Say::NeedsSmtputf8));
    }
}

#[test]
fn long_addresses_are_taken_up_to_their_bounds() {
    // W-3.11, W-3.16
    let mut session = session(SenderPolicy::Any);
    session.line(b"EHLO x", MailIntake::Open);
    session.line(b"MAIL FROM:<>", MailIntake::Open);
    let label = "d".repeat(63);
    let longest = format!("{label}.{label}.{label}.{}", "e".repeat(61));
    for (local, domain, want) in [
        ("l".repeat(64), longest.clone(), Say::RecipientOk),
        ("l".into(), "singlelabel".into(), Say::RecipientOk),
        ("l".repeat(257), "dest.test".into(), Say::BadRecipient),
        ("l".into(), format!("{longest}.fff"), Say::BadRecipient),
        ("l".into(), format!("{label}d.test"), Say::BadRecipient),
    ] {
        let line = format!("RCPT TO:<{local}@{domain}>");
        let step = session.line(line.as_bytes(), MailIntake::Open);
        assert_eq!(step.reply, Reply::Fixed(want), "{line}");
    }
}

#[test]
fn nothing_a_client_says_is_repeated() {
    // W-2.29
    let mut session = session(SenderPolicy::Any);
    session.line(b"EHLO x", MailIntake::Open);
    let long = "x".repeat(2000);
    for verb in ["VRFY ", "RCPT TO:<", "MAIL FROM:<", "NOOP ", "EHLO ", ""] {
        let step = session.line(format!("{verb}{long}").as_bytes(), MailIntake::Open);
        let mut out = Vec::new();
        session.rules.write(step.reply, &mut out);
        assert!(out.split(|&b| b == b'\n').all(|line| line.len() < 512));
        assert!(!out.windows(3).any(|w| w == b"xxx"));
    }
}

#[test]
fn a_message_in_chunks() {
    // W-10.01, W-10.03, W-10.05
    play(
        "BDAT 1
        EHLO x
        BDAT 2 LAST
        MAIL FROM:<a@gp.test>
        BDAT 3
        RCPT TO:<>
        BDAT 4
        RCPT TO:<b@dest.test>
        BDAT 5
        MAIL FROM:<a@gp.test>
        RCPT TO:<b@dest.test>
        DATA
        NOOP
        BDAT 6
        BDAT 0 LAST
        BDAT 7 LAST
        MAIL FROM:<a@gp.test>
        RCPT TO:<b@dest.test>
        BDAT 8 LAST
        MAIL FROM:<a@gp.test>
        RCPT TO:<b@dest.test>
        BDAT 9
        RSET
        BDAT 10
        MAIL FROM:<a@gp.test>
        RCPT TO:<b@dest.test>
        BDAT 11
        EHLO x
        BDAT 12",
        expect![[r#"
            BDAT 1                                       ...
              = 1 octets: nothing: 503 5.5.1 say EHLO first
            EHLO x                                       250-gp.test|250-SIZE 10485760|250-PIPELINING|250-8BITMIME|250-BINARYMIME|250-CHUNKING|250-SMTPUTF8|250-DSN|250-LIMITS RCPTMAX=3 MAILMAX=50|250 ENHANCEDSTATUSCODES
            BDAT 2 LAST                                  ...
              = 2 octets, the last: nothing: 503 5.5.1 say MAIL first
            MAIL FROM:<a@gp.test>                        250 2.1.0
            BDAT 3                                       ...
              = 3 octets: nothing: 503 5.5.1 say RCPT first
            RCPT TO:<>                                   501 5.1.3
            BDAT 4                                       ...
              = 4 octets: nothing: 554 5.5.1 no valid recipients
            RCPT TO:<b@dest.test>                        250 2.1.5
            BDAT 5                                       ...
              = 5 octets: begins [<b@dest.test>]
            MAIL FROM:<a@gp.test>                        503 5.5.1
            RCPT TO:<b@dest.test>                        503 5.5.1
            DATA                                         503 5.5.1
            NOOP                                         250 2.0.0
            BDAT 6                                       ...
              = 6 octets: goes on
            BDAT 0 LAST                                  ...
              = 0 octets, the last: goes on
            BDAT 7 LAST                                  ...
              = 7 octets, the last: nothing: 503 5.5.1 say MAIL first
            MAIL FROM:<a@gp.test>                        250 2.1.0
            RCPT TO:<b@dest.test>                        250 2.1.5
            BDAT 8 LAST                                  ...
              = 8 octets, the last: begins [<b@dest.test>]
            MAIL FROM:<a@gp.test>                        250 2.1.0
            RCPT TO:<b@dest.test>                        250 2.1.5
            BDAT 9                                       ...
              = 9 octets: begins [<b@dest.test>]
            RSET                                         250 2.0.0
            BDAT 10                                      ...
              = 10 octets: nothing: 503 5.5.1 say MAIL first
            MAIL FROM:<a@gp.test>                        250 2.1.0
            RCPT TO:<b@dest.test>                        250 2.1.5
            BDAT 11                                      ...
              = 11 octets: begins [<b@dest.test>]
            EHLO x                                       250-gp.test|250-SIZE 10485760|250-PIPELINING|250-8BITMIME|250-BINARYMIME|250-CHUNKING|250-SMTPUTF8|250-DSN|250-LIMITS RCPTMAX=3 MAILMAX=50|250 ENHANCEDSTATUSCODES
            BDAT 12                                      ...
              = 12 octets: nothing: 503 5.5.1 say MAIL first
        "#]],
    );
}

#[test]
fn a_chunk_without_a_count_closes() {
    // W-10.04
    for line in ["BDAT", "BDAT x", "BDAT -1", "BDAT 1 FIRST"] {
        let mut session = session(local_only());
        let step = session.line(line.as_bytes(), MailIntake::Open);
        assert_eq!(step.reply, Reply::Fixed(Say::BadChunk), "{line}");
        assert!(matches!(step.next, Next::Close), "{line}");
    }
    let step = session(local_only()).fault(LineFault::Chunk);
    assert!(matches!(step.next, Next::Close));
}

#[test]
fn a_binary_message_comes_in_chunks_only() {
    // W-10.08
    play(
        "EHLO x
        MAIL FROM:<a@gp.test> BODY=BINARYMIME
        RCPT TO:<b@dest.test>
        DATA
        BDAT 5 LAST",
        expect![[r#"
            EHLO x                                       250-gp.test|250-SIZE 10485760|250-PIPELINING|250-8BITMIME|250-BINARYMIME|250-CHUNKING|250-SMTPUTF8|250-DSN|250-LIMITS RCPTMAX=3 MAILMAX=50|250 ENHANCEDSTATUSCODES
            MAIL FROM:<a@gp.test> BODY=BINARYMIME        250 2.1.0
            RCPT TO:<b@dest.test>                        250 2.1.5
            DATA                                         503 5.5.1
            BDAT 5 LAST                                  ...
              = 5 octets, the last: begins [<b@dest.test>]
        "#]],
    );
}

#[test]
fn starttls_forgets_what_was_said() {
    // W-2.02, W-8.01, W-8.02
    let name = Domain::parse("gp.test").unwrap();
    let rules = Rules::new(name, "ready", 10_485_760, 3, LIMITS, SenderPolicy::Any).with_starttls();
    let session = Session::new(Arc::new(rules));
    expect![[r#"
        STARTTLS                                     503 5.5.1
        EHLO outside                                 250-gp.test|250-SIZE 10485760|250-PIPELINING|250-8BITMIME|250-BINARYMIME|250-CHUNKING|250-SMTPUTF8|250-DSN|250-LIMITS RCPTMAX=3 MAILMAX=50|250-STARTTLS|250 ENHANCEDSTATUSCODES
        STARTTLS now                                 501 5.5.4
        MAIL FROM:<a@gp.test>                        250 2.1.0
        STARTTLS                                     220 2.0.0
          = handshake
        STARTTLS                                     503 5.5.1
        RCPT TO:<b@dest.test>                        503 5.5.1
        MAIL FROM:<a@gp.test>                        503 5.5.1
        EHLO inside                                  250-gp.test|250-SIZE 10485760|250-PIPELINING|250-8BITMIME|250-BINARYMIME|250-CHUNKING|250-SMTPUTF8|250-DSN|250-LIMITS RCPTMAX=3 MAILMAX=50|250 ENHANCEDSTATUSCODES
        STARTTLS                                     503 5.5.1
        MAIL FROM:<a@gp.test>                        250 2.1.0
        RCPT TO:<b@dest.test>                        250 2.1.5
        DATA                                         354
          = <a@gp.test> to [<b@dest.test>] by inside with Esmtp SevenBit in TLSv1.3
    "#]]
    .assert_eq(&play_with(
        session,
        "STARTTLS
        EHLO outside
        STARTTLS now
        MAIL FROM:<a@gp.test>
        STARTTLS
        STARTTLS
        RCPT TO:<b@dest.test>
        MAIL FROM:<a@gp.test>
        EHLO inside
        STARTTLS
        MAIL FROM:<a@gp.test>
        RCPT TO:<b@dest.test>
        DATA",
        MailIntake::Open,
    ));
}

#[test]
fn without_a_certificate_there_is_no_starttls() {
    // W-2.02, W-8.01
    play(
        "STARTTLS
        EHLO x
        STARTTLS",
        expect![[r#"
            STARTTLS                                     502 5.5.1
            EHLO x                                       250-gp.test|250-SIZE 10485760|250-PIPELINING|250-8BITMIME|250-BINARYMIME|250-CHUNKING|250-SMTPUTF8|250-DSN|250-LIMITS RCPTMAX=3 MAILMAX=50|250 ENHANCEDSTATUSCODES
            STARTTLS                                     502 5.5.1
        "#]],
    );
}
