//! What a sender can do about a failure, by its status (RFC 3463). Most senders don't read codes.

use crate::mail::EnhancedCode;

/// One sentence, if the status tells enough for one. Its class is of no account.
pub(super) fn advice(status: EnhancedCode) -> Option<&'static str> {
    Some(match (status.subject, status.detail) {
        (1, 1 | 6 | 10) => "This address does not exist there: check the part before the @.",
        (1, 2) | (4, 4) => "No mail can be sent to this domain: check the part behind the @.",
        (1, 3) => "That host can't read this address: check it for mistakes.",
        (1, 7 | 8) => "That host does not accept your own address as a sender: check it.",
        (2, 1) => "The mailbox takes no mail at present: reach the recipient in another way.",
        (2, 2) => "The mailbox is full: reach the recipient in another way, or send again later.",
        (2, 3) | (3, 4) => "The message is too large for that host: send less, or in parts.",
        (4, 6) => "Mail to this address goes round in circles: its postmaster has to mend that.",
        (4, 7) => "Nobody took it in time: send the message again later.",
        (6, 7) => "That host takes ASCII only in addresses and header: use another address.",
        (6, _) => {
            "That host can't take this form of message: send it in a simpler one, as plain text."
        }
        (7, 1 | 8 | 9) | (7, 20..=29) => {
            "That host refuses the message by a rule of its own: ask its postmaster for help."
        }
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_helps_depends_on_subject_and_detail_only() {
        #[track_caller]
        fn check(code: &str, want: Option<&str>) {
            let status = EnhancedCode::parse(code).expect(code);
            let words = advice(status).unwrap_or_default();
            assert!(words.is_ascii() && words.len() < 90, "{words}");
            assert_eq!(words.is_empty(), want.is_none(), "{code}: {words}");
            assert!(words.contains(want.unwrap_or_default()), "{code}: {words}");
        }
        check("5.1.1", Some("before the @"));
        check("4.1.1", Some("before the @"));
        check("5.1.2", Some("behind the @"));
        check("5.2.2", Some("full"));
        check("5.3.4", Some("too large"));
        check("4.4.7", Some("again later"));
        check("5.6.7", Some("ASCII"));
        check("5.6.3", Some("plain text"));
        check("5.7.26", Some("postmaster"));
        check("5.0.0", None);
        check("5.5.0", None);
        check("5.7.5", None);
    }
}
