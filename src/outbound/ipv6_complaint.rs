//! Replies that find fault with our IPv6 address rather than with the mail: no PTR record, a bad
//! reputation, sender authentication that is asked for over IPv6 only. The same host may well take
//! the mail over IPv4. Pure.
//!
//! Some hosts word this in their own way, so it is known by its words; control flow depends on them
//! only in that another family is tried first. A reply that is mistaken for one costs that try.

use std::net::Ipv6Addr;

use crate::mail::{EnhancedCode, Reply, ReplyClass};

/// Subject and detail of "reverse DNS validation failed" (RFC 7372 3.3).
const REVERSE_DNS: (u16, u16) = (7, 25);
/// Subjects that are about the mailbox (RFC 3463 3.2, 3.3): no address of ours changes that.
const OF_THE_MAILBOX: [u16; 2] = [1, 2];

/// Each of these is about the name of the calling address. All their words, in this order and next to
/// each other.
const ABOUT_ITS_NAME: [&[&str]; 14] = [
    &["ptr", "record"],
    &["ptr", "records"],
    &["ptr", "resource"],
    &["ptr", "lookup"],
    &["dns", "ptr"],
    &["missing", "ptr"],
    &["no", "ptr"],
    &["reverse", "dns"],
    &["reverse", "hostname"],
    &["reverse", "lookup"],
    &["reverse-dns"],
    &["rdns"],
    &["find", "your", "hostname"],
    &["find", "your", "reverse"],
];

/// Each of these, beside an IPv6 address, says that the address is not liked.
const ABOUT_ITS_REPUTATION: [&str; 14] = [
    "reputation",
    "blocked",
    "blocklist",
    "blocklisted",
    "blacklist",
    "blacklisted",
    "listed",
    "dnsbl",
    "rbl",
    "spamhaus",
    "spamcop",
    "barracuda",
    "banned",
    "denylisted",
];

/// Whether a reply that came over IPv6 may be another one over IPv4.
#[must_use]
pub(super) fn is_about_ipv6(reply: &Reply) -> bool {
    let refuses = matches!(
        reply.code().class(),
        ReplyClass::Temporary | ReplyClass::Permanent
    );
    let subject = reply.enhanced().map(|code: EnhancedCode| code.subject);
    if !refuses || subject.is_some_and(|subject| OF_THE_MAILBOX.contains(&subject)) {
        return false;
    }
    let code = reply.enhanced().map(|code| (code.subject, code.detail));
    code == Some(REVERSE_DNS) || words_are_about_ipv6(reply.text())
}

fn words_are_about_ipv6(text: &str) -> bool {
    let lower = text.to_ascii_lowercase();
    let words: Vec<&str> = lower
        .split(|c: char| c.is_whitespace() || c == ',' || c == ';' || c == '=')
        .filter(|word| !word.contains('@')) // somebody's mailbox
        .map(|word| word.trim_matches(|c: char| !c.is_alphanumeric() && c != ':'))
        .map(|word| word.trim_end_matches(':'))
        .filter(|word| !word.is_empty())
        .collect();
    let says = |phrase: &&[&str]| words.windows(phrase.len()).any(|window| window == *phrase);
    if words.contains(&"ipv6") || ABOUT_ITS_NAME.iter().any(says) {
        return true;
    }
    let names_an_address = words.iter().any(|word| word.parse::<Ipv6Addr>().is_ok());
    names_an_address && words.iter().any(|word| ABOUT_ITS_REPUTATION.contains(word))
}

#[cfg(test)]
mod tests {
    use crate::mail::ReplyCode;

    use super::*;

    #[track_caller]
    fn check(code: u16, lines: &[&str], want: bool) {
        let code = ReplyCode::new(code).unwrap();
        let reply = Reply::from_lines(code, lines.iter().map(|line| line.as_bytes()));
        assert_eq!(is_about_ipv6(&reply), want, "{reply}");
    }

    #[test]
    fn complaints_of_the_field_are_known() {
        // W-19.05: Gmail
        let guidelines = [
            "5.7.1 [2001:db8::1] Our system has detected that this",
            "5.7.1 message does not meet IPv6 sending guidelines regarding PTR records",
            "5.7.1 and authentication. Please review",
            "5.7.1  https://support.google.com/mail/?p=IPv6AuthError for more information. x - gsmtp",
        ];
        check(550, &guidelines, true);
        let no_ptr = [
            "4.7.23 The IP address sending this message does not have a PTR record, or the",
            "4.7.23 PTR record's forward DNS entry does not match the sending IP address.",
        ];
        check(421, &no_ptr, true);
        check(550, &["5.7.25 [2001:db8::1] see our guidelines"], true);
        // Outlook
        let outlook = "5.7.25 Service unavailable, sending IPv6 address [2001:db8::1] must have \
                       reverse DNS record.";
        check(550, &[outlook], true);
        let outlook = "4.7.26 Service unavailable, message sent over IPv6 [2001:db8::1] must pass \
                       either SPF or DKIM validation (message not signed)";
        check(450, &[outlook], true);
        // Postfix, Exim and others
        let hostname = "4.7.1 Client host rejected: cannot find your hostname, [2001:db8::1]";
        check(450, &[hostname], true);
        let hostname =
            "5.7.1 Client host rejected: cannot find your reverse hostname, [2001:db8::1]";
        check(550, &[hostname], true);
        check(550, &["Sender IP reverse lookup rejected"], true);
        check(
            554,
            &["mx.test Service not available; Bad DNS PTR resource record."],
            true,
        );
        check(421, &["mx.test: rDNS of 2001:db8::1 required"], true);
        let listed = "5.7.1 Service unavailable; Client host [2001:db8::1] blocked using zen.test";
        check(554, &[listed], true);
        check(
            554,
            &["IP=2001:db8::1 - A problem occurred. (Reputation)"],
            true,
        );
    }

    #[test]
    fn other_refusals_count_as_they_are() {
        check(550, &["5.1.1 no such user"], false);
        check(550, &["5.1.1 <ann@d.test> over IPv6: no such user"], false);
        check(452, &["4.2.2 mailbox of ipv6@d.test is full"], false);
        check(550, &["<ptr@d.test>: unknown record"], false);
        check(550, &["5.7.1 relaying denied"], false);
        check(554, &["5.7.1 blocked by policy"], false);
        check(
            554,
            &["5.7.1 Client host [192.0.2.1] blocked using zen.test"],
            false,
        );
        check(
            451,
            &["4.7.1 greylisted, 2001:db8::1, come again in 300 s"],
            false,
        );
        check(550, &["5.7.26 unauthenticated mail is not accepted"], false);
        check(
            421,
            &["4.7.0 at 12:30 too many connections, blocked"],
            false,
        );
        check(250, &["2.0.0 ok over IPv6"], false);
    }
}
