//! What another parser of SMTP commands makes of the same lines. It is more lenient than we want to
//! be; each difference stands here with its reason, so that a new one is noticed.

use std::borrow::Cow;

use smtp_proto::Request;

use super::tests::session;
use crate::smtp::server::{MailIntake, SenderPolicy};

/// Whether we take a line, after EHLO and, for RCPT, after MAIL.
fn we_take(line: &str) -> bool {
    let mut session = session(SenderPolicy::Any);
    let before: &[&str] = match line.get(..4) {
        Some(verb) if verb.eq_ignore_ascii_case("RCPT") => &["EHLO x", "MAIL FROM:<a@gp.test>"],
        Some(verb) if verb.eq_ignore_ascii_case("DATA") => {
            &["EHLO x", "MAIL FROM:<a@gp.test>", "RCPT TO:<b@dest.test>"]
        }
        _ => &["EHLO x"],
    };
    for line in before {
        let step = session.line(line.as_bytes(), MailIntake::Open);
        assert!(step.refusal().is_none(), "{line}");
    }
    session
        .line(line.as_bytes(), MailIntake::Open)
        .refusal()
        .is_none()
}

/// What the other makes of it: `None` if it refuses it, and the address that it found.
fn it_takes(line: &str) -> Option<String> {
    let octets = [line.as_bytes(), b"\r\n"].concat();
    let request = Request::<Cow<'_, str>>::parse(&mut octets.iter()).ok()?;
    Some(match request {
        Request::Mail { from } => from.address.into_owned(),
        Request::Rcpt { to } => to.address.into_owned(),
        _ => String::new(),
    })
}

#[test]
fn both_take_what_is_well_formed() {
    for (line, address) in [
        ("EHLO client.test", ""),
        ("HELO client.test", ""),
        ("NOOP", ""),
        ("RSET", ""),
        ("QUIT", ""),
        ("VRFY ann", ""),
        ("MAIL FROM:<ann@gp.test>", "ann@gp.test"),
        ("mail from:<Ann@gp.test> size=100", "Ann@gp.test"),
        ("MAIL FROM:<>", ""),
        ("MAIL FROM:<a@gp.test> BODY=8BITMIME SIZE=5", "a@gp.test"),
        ("MAIL FROM:<a@gp.test> RET=HDRS ENVID=abc", "a@gp.test"),
        ("RCPT TO:<b@dest.test>", "b@dest.test"),
        ("RCPT TO:<u%other.test@dest.test>", "u%other.test@dest.test"),
        (
            "RCPT TO:<b@dest.test> NOTIFY=SUCCESS,FAILURE",
            "b@dest.test",
        ),
        ("RCPT TO:<b@dest.test> NOTIFY=NEVER", "b@dest.test"),
        ("DATA", ""),
    ] {
        assert!(we_take(line), "{line}");
        assert_eq!(it_takes(line).as_deref(), Some(address), "{line}");
    }
}

#[test]
fn both_refuse_what_is_not() {
    for line in [
        "MAIL FROM",
        "MAIL FORM:<a@gp.test>",
        "MAIL FROM:<a@gp.test> BODY=9BIT",
        "RCPT TO:<b@dest.test",
        "RCPT TO:<b@dest.test> NOTIFY=",
    ] {
        assert!(!we_take(line), "{line}");
        assert_eq!(it_takes(line), None, "{line}");
    }
}

#[test]
fn each_difference_has_its_reason() {
    for (line, we, it, reason) in DIFFERENCES {
        assert_eq!(we_take(line), we, "{line}: {reason}");
        assert_eq!(it_takes(line).as_deref(), it, "{line}: {reason}");
    }
}

/// Line, whether we take it, what the other makes of it, and why we do otherwise.
const DIFFERENCES: [(&str, bool, Option<&str>, &str); 9] = [
    (
        "RCPT TO:<u@[192.0.2.1]>",
        true,
        None,
        "address literals are addresses (RFC 5321 4.1.3)",
    ),
    (
        "RCPT TO:<\"a@b\"@c.test>",
        true,
        Some("a@b@c.test"),
        "without its quotes it is another address, or none (RFC 5321 4.1.2)",
    ),
    (
        "RCPT TO:<a\rb@dest.test>",
        false,
        Some("ab@dest.test"),
        "a CR within a command is no reason to read something else",
    ),
    (
        "RCPT TO:<\"a\0b\"@dest.test>",
        false,
        Some("a\0b@dest.test"),
        "controls are in no address (RFC 5321 4.1.2)",
    ),
    (
        "RCPT TO:<>",
        false,
        Some(""),
        "only a reverse-path may be null (RFC 5321 4.1.1.3)",
    ),
    (
        "MAIL FROM:<postmaster>",
        false,
        Some(""),
        "what looks like the null sender there is a name without a domain",
    ),
    (
        "MAIL FROM:<a@gp.test> SIZE=99999999999999999999999",
        false,
        Some("a@gp.test"),
        "a number is not cut to what fits",
    ),
    (
        "MAIL FROM:<a@gp.test> SIZE=1 SIZE=2",
        false,
        Some("a@gp.test"),
        "a parameter is said once (RFC 5321 4.1.1.11)",
    ),
    (
        "DATA junk",
        false,
        Some(""),
        "DATA has no argument (RFC 5321 4.1.1.4)",
    ),
];
