//! When AUTH may be said, and what it changes.

use super::tests::{local_only, play_session, session};
use super::*;
use crate::smtp::server::{AuthPolicy, MailIntake};
use expect_test::{Expect, expect};

const OFFERED: AuthPolicy = AuthPolicy {
    users: true,
    scram: true,
    insecure: false,
};

fn session_with(auth: AuthPolicy) -> Session {
    let mut session = session(local_only());
    let rules = Arc::into_inner(session.rules).expect("only this session has them");
    session.rules = Arc::new(rules.with_auth(auth));
    session
}

fn secured(auth: AuthPolicy) -> Session {
    let mut session = session_with(auth);
    session.secured(TlsFacts {
        version: "TLSv1.3".into(),
        cipher: "x".into(),
    });
    session
}

#[track_caller]
fn check(session: Session, script: &str, want: Expect) {
    want.assert_eq(&play_session(session, script.trim()));
}

/// What `EHLO` offers of AUTH.
fn offered(session: &mut Session) -> String {
    let step = session.line(b"EHLO x", MailIntake::Open);
    let mut out = Vec::new();
    session.rules.write(step.reply, &mut out);
    let out = String::from_utf8(out).expect("ASCII");
    let line = out.lines().find(|line| line[4..].starts_with("AUTH"));
    line.map_or_else(String::new, |line| line[4..].to_owned())
}

#[test]
fn auth_is_offered_as_it_works() {
    // W-2.02, W-9.01
    assert_eq!(offered(&mut session_with(AuthPolicy::default())), "");
    assert_eq!(offered(&mut session_with(OFFERED)), "");
    let insecure = AuthPolicy {
        insecure: true,
        ..OFFERED
    };
    let in_clear = "AUTH PLAIN LOGIN SCRAM-SHA-256";
    assert_eq!(offered(&mut session_with(insecure)), in_clear);
    let mut session = secured(OFFERED);
    assert_eq!(offered(&mut session), in_clear);
    session.channel_can_be_bound();
    let bound = "AUTH PLAIN LOGIN SCRAM-SHA-256 SCRAM-SHA-256-PLUS";
    assert_eq!(offered(&mut session), bound);
    session.authenticated("ann".into());
    assert_eq!(offered(&mut session), "");
    let no_scram = AuthPolicy {
        scram: false,
        ..OFFERED
    };
    let mut session = secured(no_scram);
    session.channel_can_be_bound();
    assert_eq!(offered(&mut session), "AUTH PLAIN LOGIN");
}

#[test]
fn auth_is_refused_in_clear_and_without_users() {
    // W-9.02
    let script = "
        AUTH PLAIN AGEAYg==
        EHLO x
        AUTH PLAIN AGEAYg==
        AUTH
        AUTH FOO";
    check(
        session_with(AuthPolicy::default()),
        script,
        expect![[r#"
            AUTH PLAIN AGEAYg==                          502 5.5.1
            EHLO x                                       250-gp.test|250-SIZE 10485760|250-PIPELINING|250-8BITMIME|250-BINARYMIME|250-CHUNKING|250-SMTPUTF8|250-DSN|250-LIMITS RCPTMAX=3 MAILMAX=50|250 ENHANCEDSTATUSCODES
            AUTH PLAIN AGEAYg==                          502 5.5.1
            AUTH                                         502 5.5.1
            AUTH FOO                                     502 5.5.1
        "#]],
    );
    check(
        session_with(OFFERED),
        script,
        expect![[r#"
            AUTH PLAIN AGEAYg==                          538 5.7.1
            EHLO x                                       250-gp.test|250-SIZE 10485760|250-PIPELINING|250-8BITMIME|250-BINARYMIME|250-CHUNKING|250-SMTPUTF8|250-DSN|250-LIMITS RCPTMAX=3 MAILMAX=50|250 ENHANCEDSTATUSCODES
            AUTH PLAIN AGEAYg==                          538 5.7.1
            AUTH                                         538 5.7.1
            AUTH FOO                                     538 5.7.1
        "#]],
    );
}

#[test]
fn auth_has_its_place_in_a_session() {
    // W-9.08
    check(
        secured(OFFERED),
        "AUTH PLAIN AGEAYg==
        HELO x
        AUTH PLAIN AGEAYg==
        EHLO x
        AUTH
        AUTH CRAM-MD5
        AUTH SCRAM-SHA-256-PLUS
        AUTH PLAINX AGEAYg==
        auth plain
        AUTH Login   YQ==
        MAIL FROM:<a@gp.test> AUTH=<>
        AUTH PLAIN",
        expect![[r#"
            AUTH PLAIN AGEAYg==                          503 5.5.1
            HELO x                                       250 gp.test
            AUTH PLAIN AGEAYg==                          503 5.5.1
            EHLO x                                       250-gp.test|250-SIZE 10485760|250-PIPELINING|250-8BITMIME|250-BINARYMIME|250-CHUNKING|250-SMTPUTF8|250-DSN|250-LIMITS RCPTMAX=3 MAILMAX=50|250-AUTH PLAIN LOGIN SCRAM-SHA-256|250 ENHANCEDSTATUSCODES
            AUTH                                         501 5.5.4
            AUTH CRAM-MD5                                504 5.5.4
            AUTH SCRAM-SHA-256-PLUS                      504 5.5.4
            AUTH PLAINX AGEAYg==                         504 5.5.4
            auth plain                                   ...
              = AuthStart { mechanism: Plain, .. }
            AUTH Login   YQ==                            ...
              = AuthStart { mechanism: Login, .. }
            MAIL FROM:<a@gp.test> AUTH=<>                250 2.1.0
            AUTH PLAIN                                   503 5.5.1
        "#]],
    );
}

#[test]
fn who_is_authenticated_stays_so_and_sends_as_anybody() {
    // W-9.08, W-9.12
    let mut session = secured(OFFERED);
    session.authenticated("ann".into());
    check(
        session,
        "EHLO x
        AUTH PLAIN
        RSET
        EHLO x
        MAIL FROM:<a@elsewhere.test>
        RCPT TO:<b@dest.test>
        DATA",
        expect![[r#"
            EHLO x                                       250-gp.test|250-SIZE 10485760|250-PIPELINING|250-8BITMIME|250-BINARYMIME|250-CHUNKING|250-SMTPUTF8|250-DSN|250-LIMITS RCPTMAX=3 MAILMAX=50|250 ENHANCEDSTATUSCODES
            AUTH PLAIN                                   503 5.5.1
            RSET                                         250 2.0.0
            EHLO x                                       250-gp.test|250-SIZE 10485760|250-PIPELINING|250-8BITMIME|250-BINARYMIME|250-CHUNKING|250-SMTPUTF8|250-DSN|250-LIMITS RCPTMAX=3 MAILMAX=50|250 ENHANCEDSTATUSCODES
            MAIL FROM:<a@elsewhere.test>                 250 2.1.0
            RCPT TO:<b@dest.test>                        250 2.1.5
            DATA                                         354
              = <a@elsewhere.test> to [<b@dest.test>] by x with Esmtp SevenBit in TLSv1.3 as ann
        "#]],
    );
}

#[test]
fn a_new_tls_forgets_who_authenticated_before() {
    // W-8.02
    let insecure = AuthPolicy {
        insecure: true,
        ..OFFERED
    };
    let mut session = session_with(insecure);
    session.authenticated("ann".into());
    session.secured(TlsFacts {
        version: "TLSv1.3".into(),
        cipher: "x".into(),
    });
    assert_eq!(session.auth.user, None);
}

#[test]
fn a_stranger_can_only_authenticate() {
    // W-9.13
    let script = "
        MAIL FROM:<a@gp.test>
        EHLO x
        NOOP
        RSET
        MAIL FROM:<a@gp.test>
        MAIL garbage
        RCPT TO:<b@dest.test>
        DATA
        DATA x
        BDAT 1
        VRFY
        VRFY x
        EXPN x
        HELP
        FOO
        HELO x
        QUIT";
    check(
        session_with(OFFERED).demanding_auth(Say::AuthFirst),
        script,
        expect![[r#"
            MAIL FROM:<a@gp.test>                        530 5.7.0
            EHLO x                                       250-gp.test|250-SIZE 10485760|250-PIPELINING|250-8BITMIME|250-BINARYMIME|250-CHUNKING|250-SMTPUTF8|250-DSN|250-LIMITS RCPTMAX=3 MAILMAX=50|250 ENHANCEDSTATUSCODES
            NOOP                                         250 2.0.0
            RSET                                         250 2.0.0
            MAIL FROM:<a@gp.test>                        530 5.7.0
            MAIL garbage                                 530 5.7.0
            RCPT TO:<b@dest.test>                        530 5.7.0
            DATA                                         530 5.7.0
            DATA x                                       530 5.7.0
            BDAT 1                                       ...
              = 1 octets: nothing: 530 5.7.0 authenticate first
            VRFY                                         530 5.7.0
            VRFY x                                       530 5.7.0
            EXPN x                                       530 5.7.0
            HELP                                         530 5.7.0
            FOO                                          500 5.5.1
            HELO x                                       250 gp.test
            QUIT                                         221 2.0.0
              = closes
        "#]],
    );
    let mut session = secured(OFFERED).demanding_auth(Say::AuthFirst);
    session.authenticated("ann".into());
    check(
        session,
        "EHLO x
        MAIL FROM:<a@elsewhere.test>
        VRFY x",
        expect![[r#"
            EHLO x                                       250-gp.test|250-SIZE 10485760|250-PIPELINING|250-8BITMIME|250-BINARYMIME|250-CHUNKING|250-SMTPUTF8|250-DSN|250-LIMITS RCPTMAX=3 MAILMAX=50|250 ENHANCEDSTATUSCODES
            MAIL FROM:<a@elsewhere.test>                 250 2.1.0
            VRFY x                                       252 2.0.0
        "#]],
    );
}

#[test]
fn who_may_be_no_stranger_is_put_off_and_not_refused() {
    // W-1.07, W-9.13
    let mut session = session_with(OFFERED).demanding_auth(Say::AuthFirstForNow);
    for line in [
        "EHLO x",
        "MAIL FROM:<a@gp.test>",
        "MAIL garbage",
        "DATA",
        "VRFY x",
    ] {
        let step = session.line(line.as_bytes(), MailIntake::Open);
        let want = (line != "EHLO x").then_some(Say::AuthFirstForNow);
        assert_eq!(step.refusal(), want, "{line}");
    }
    assert_eq!(session.errors, 0);
}

#[test]
fn there_is_no_starttls_after_auth() {
    // W-2.02, W-8.01
    let insecure = AuthPolicy {
        insecure: true,
        ..OFFERED
    };
    let mut session = session_with(insecure);
    let rules = Arc::into_inner(session.rules).expect("only this session has them");
    session.rules = Arc::new(rules.with_starttls());
    session.authenticated("ann".into());
    check(
        session,
        "EHLO x
        STARTTLS",
        expect![[r#"
            EHLO x                                       250-gp.test|250-SIZE 10485760|250-PIPELINING|250-8BITMIME|250-BINARYMIME|250-CHUNKING|250-SMTPUTF8|250-DSN|250-LIMITS RCPTMAX=3 MAILMAX=50|250 ENHANCEDSTATUSCODES
            STARTTLS                                     503 5.5.1
        "#]],
    );
}

#[test]
fn the_third_failure_is_the_last() {
    // W-9.10
    let mut session = secured(OFFERED);
    let said: Vec<Say> = (0..3)
        .map(|_| session.auth_failed(Say::AuthRefused))
        .collect();
    let want = [Say::AuthRefused, Say::AuthRefused, Say::AuthFailedTooOften];
    assert_eq!(said, want);
}
