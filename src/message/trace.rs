//! The header fields that we put above what was received: Received (RFC 5321 4.4), and Date and
//! Message-ID where they are missing (RFC 6409 8.2, 8.3).

use super::date::rfc5322_date;
use super::folding::append_clause;
use super::header_filter::HeaderFacts;
use super::message_id::our_message_id;
use crate::mail::limits::HELO_BYTES_MAX;
use crate::mail::{AddressDomain, Client, Domain, QueueId, Recipient, UnixMillis};

/// What the added header is made of.
#[derive(Clone, Copy, Debug)]
pub struct Trace<'a> {
    /// Our name.
    pub hostname: &'a Domain,
    /// Who handed the message in.
    pub client: &'a Client,
    /// The message's name here.
    pub id: QueueId,
    /// When it was received.
    pub now: UnixMillis,
    /// Whom it goes to; only one that is alone is ever named.
    pub recipients: &'a [Recipient],
    /// What the message brought along.
    pub facts: &'a HeaderFacts,
}

impl Trace<'_> {
    /// The fields, ASCII, each line with CRLF and at most 998 octets; and the empty line that ends
    /// the header section, if the message has no section of its own. `signatures` are whole fields;
    /// they stand below Received, above all that they cover.
    #[must_use]
    pub fn added_header(&self, signatures: &[u8]) -> Box<[u8]> {
        let mut received = String::with_capacity(512);
        self.append_received(&mut received, &rfc5322_date(self.now));
        let end: &[u8] = match self.facts.has_header_section {
            true => b"",
            false => b"\r\n",
        };
        let missing = self.missing_fields();
        [received.as_bytes(), signatures, missing.as_bytes(), end]
            .concat()
            .into()
    }

    /// Date and Message-ID, as far as the message has none.
    #[must_use]
    pub fn missing_fields(&self) -> String {
        let mut out = String::new();
        if !self.facts.has_date {
            out.push_str(&format!("Date: {}\r\n", rfc5322_date(self.now)));
        }
        if !self.facts.has_message_id {
            let id = our_message_id(self.id, self.hostname);
            out.push_str(&format!("Message-ID: <{id}>\r\n"));
        }
        out
    }

    /// What the Message-ID field of the message names, be it the one that it brought along or ours;
    /// `theirs` is what the former says.
    #[must_use]
    pub fn message_id(&self, theirs: Option<&str>) -> Option<Box<str>> {
        match self.facts.has_message_id {
            true => theirs.map(Box::from),
            false => Some(our_message_id(self.id, self.hostname)),
        }
    }

    fn append_received(&self, out: &mut String, date: &str) {
        let (hostname, id) = (self.hostname, self.id);
        out.push_str("Received:");
        match self.client {
            Client::Smtp {
                address,
                helo,
                protocol,
                tls,
                user,
            } => {
                // Made safe once more: it costs little, and a client's octets never reach a header
                // field by a caller's mistake.
                let helo = helo_for_trace(helo.as_bytes());
                let literal = AddressDomain::Literal(*address);
                let keyword = protocol.with_keyword(tls.is_some(), user.is_some());
                append_clause(out, &format!("from {helo} ({literal})"));
                append_clause(out, &format!("by {hostname} (GopherPost)"));
                append_clause(out, &format!("with {keyword} id {id}"));
            }
            Client::Local => {
                append_clause(out, &format!("by {hostname} (GopherPost)"));
                append_clause(out, &format!("id {id}"));
            }
        }
        if let Some(address) = self.only_recipient() {
            append_clause(out, &format!("for <{address}>"));
        }
        out.push(';');
        append_clause(out, date);
        out.push_str("\r\n");
    }

    /// The recipient that `for` may show: the only one, since the others are not its business. One
    /// that is not ASCII is left out, so that the added header never needs SMTPUTF8 (RFC 6531 3.7.3).
    fn only_recipient(&self) -> Option<String> {
        let [only] = self.recipients else {
            return None;
        };
        let address = only.address.to_string();
        address
            .bytes()
            .all(|octet| matches!(octet, b' '..=b'~'))
            .then_some(address)
    }
}

/// The argument of EHLO or HELO as Received may show it: its first word, at most [`HELO_BYTES_MAX`]
/// octets of it, in which everything but letters, digits and `.-_:` is replaced by `_`, apart from
/// the brackets around a literal; `unknown` if nothing is there. Safe to apply twice.
#[must_use]
pub fn helo_for_trace(argument: &[u8]) -> String {
    let word = argument
        .split(|octet| matches!(octet, b' ' | b'\t'))
        .find(|word| !word.is_empty())
        .unwrap_or(b"unknown");
    let word = &word[..word.len().min(HELO_BYTES_MAX)];
    match word {
        [b'[', inner @ .., b']'] => format!("[{}]", name_octets(inner)),
        name => name_octets(name),
    }
}

fn name_octets(octets: &[u8]) -> String {
    let safe = |&octet: &u8| match octet {
        b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'.' | b'-' | b'_' | b':' => char::from(octet),
        _ => '_',
    };
    octets.iter().map(safe).collect()
}

#[cfg(test)]
mod tests {
    use expect_test::{Expect, expect};
    use proptest::prelude::*;

    use super::super::SectionEnd;
    use super::*;
    use crate::mail::{Address, Protocol, RecipientNo, RecipientState, Spelling};

    const WHOLE: HeaderFacts = HeaderFacts {
        has_header_section: true,
        has_date: true,
        has_message_id: true,
        section_len: 0,
        section_end: SectionEnd::EmptyLine,
        received: 0,
        over_limits: false,
    };

    fn smtp(address: &str, helo: &str, protocol: Protocol) -> Client {
        Client::Smtp {
            address: address.parse().unwrap(),
            helo: helo.into(),
            protocol,
            tls: None,
            user: None,
        }
    }

    fn added(client: &Client, recipients: &[&str], facts: HeaderFacts) -> String {
        let now = UnixMillis(1_795_478_399_999);
        let recipient = |text: &&str| {
            let address = Address::parse(text.as_bytes(), Spelling::Utf8).unwrap();
            Recipient::new(RecipientNo(0), address, RecipientState::Queued { due: now })
        };
        let trace = Trace {
            hostname: &Domain::parse("gp.test").unwrap(),
            client,
            id: "01ARZ3NDEKTSV4RRFFQ69G5FAV".parse().unwrap(),
            now,
            recipients: &recipients.iter().map(recipient).collect::<Vec<_>>(),
            facts: &facts,
        };
        String::from_utf8(trace.added_header(b"").into()).unwrap()
    }

    #[track_caller]
    fn check(client: &Client, recipients: &[&str], facts: HeaderFacts, want: Expect) {
        let header = added(client, recipients, facts);
        assert!(header.ends_with("\r\n"));
        want.assert_eq(&header.replace("\r\n", "\n"));
    }

    #[test]
    fn a_whole_message_gets_received_only() {
        check(
            &smtp("192.0.2.1", "client.test", Protocol::Esmtp),
            &["ann@example.org"],
            WHOLE,
            expect![[r#"
                Received: from client.test ([192.0.2.1]) by gp.test (GopherPost)
                	with ESMTP id 01ARZ3NDEKTSV4RRFFQ69G5FAV for <ann@example.org>;
                	Mon, 23 Nov 2026 23:59:59 +0000
            "#]],
        );
    }

    #[test]
    fn what_is_missing_is_added_and_an_empty_line_below_a_bare_text() {
        check(
            &smtp("2001:db8::1", "[IPv6:2001:db8::1]", Protocol::Utf8Smtp),
            &["ann@example.org", "bob@example.org"],
            HeaderFacts::default(),
            expect![[r#"
                Received: from [IPv6:2001:db8::1] ([IPv6:2001:db8::1]) by gp.test (GopherPost)
                	with UTF8SMTP id 01ARZ3NDEKTSV4RRFFQ69G5FAV; Mon, 23 Nov 2026 23:59:59 +0000
                Date: Mon, 23 Nov 2026 23:59:59 +0000
                Message-ID: <01ARZ3NDEKTSV4RRFFQ69G5FAV@gp.test>

            "#]],
        );
    }

    #[test]
    fn a_local_message_names_no_client() {
        check(
            &Client::Local,
            &["ann@example.org"],
            WHOLE,
            expect![[r#"
            Received: by gp.test (GopherPost) id 01ARZ3NDEKTSV4RRFFQ69G5FAV
            	for <ann@example.org>; Mon, 23 Nov 2026 23:59:59 +0000
        "#]],
        );
    }

    #[test]
    fn for_is_left_out_where_it_would_tell_too_much_or_is_not_ascii() {
        let client = smtp("192.0.2.1", "c", Protocol::Smtp);
        let has_for = |recipients: &[&str]| added(&client, recipients, WHOLE).contains("for <");
        assert!(has_for(&["a@b.test"]) && has_for(&[r#""a b"@b.test"#]));
        assert!(!has_for(&[]) && !has_for(&["a@b.test", "c@b.test"]));
        assert!(!has_for(&["ü@b.test"]) && !has_for(&["a@bücher.test"]));
    }

    #[test]
    fn the_longest_names_keep_lines_within_the_limit() {
        let label = "d".repeat(60);
        let long = format!("{}@{label}.{label}.{label}.{label}", "l".repeat(256));
        let helo = "h".repeat(5_000);
        let header = added(&smtp("192.0.2.1", &helo, Protocol::Smtp), &[&long], WHOLE);
        assert!(header.contains(&long) && header.contains(&helo[..HELO_BYTES_MAX]));
        assert!(header.lines().all(|line| line.len() <= 998));
    }

    #[test]
    fn helo_names_are_made_safe() {
        #[track_caller]
        fn check(argument: &[u8], want: &str) {
            assert_eq!(helo_for_trace(argument), want);
        }
        check(b"client.test", "client.test");
        check(b"Single_Label.", "Single_Label.");
        check(b"[127.0.0.1]", "[127.0.0.1]");
        check(b"[IPv6:::1]", "[IPv6:::1]");
        check(b"::1", "::1");
        check(b"  a.test further words", "a.test");
        check(b"a(b)\";\x85", "a_b____");
        check("bücher.test".as_bytes(), "b__cher.test");
        check(b"a\r\nBcc:\0x", "a__Bcc:_x");
        check(b"[[a]b]", "[_a_b]");
        check(b"[a", "_a");
        check(b"a]", "a_");
        check(b"", "unknown");
        check(b" \t ", "unknown");
        check(&[b'['; 300], &"_".repeat(HELO_BYTES_MAX));
    }

    proptest! {
        #[test]
        fn no_helo_breaks_the_field(argument in prop::collection::vec(any::<u8>(), 0..600)) {
            let once = helo_for_trace(&argument);
            prop_assert!(!once.is_empty() && once.len() <= HELO_BYTES_MAX);
            prop_assert!(once.bytes().all(|b| b.is_ascii_alphanumeric() || b".-_:[]".contains(&b)));
            prop_assert_eq!(helo_for_trace(once.as_bytes()), once);
        }
    }
}
