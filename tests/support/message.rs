//! A message as a remote host has it.

use super::fields::{Field, Fields};
use super::remote::Transaction;
use super::report::Report;
use super::timeline::visible;

/// Header, body, and the transaction that brought them.
#[derive(Clone, Debug)]
pub struct Message {
    /// How it came.
    pub transaction: Transaction,
    /// The header section.
    pub header: Fields,
    body_at: usize,
}

/// The first Received field, taken apart.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Trace {
    /// Behind `from`: what the client called itself.
    pub from: String,
    /// The comment behind it, without its parentheses: who the client was.
    pub client: String,
    /// Behind `by`.
    pub by: String,
    /// Behind `with`.
    pub with: String,
    /// Behind `id`.
    pub id: String,
    /// Behind `for`, without brackets.
    pub to: Option<String>,
    /// Behind the semicolon.
    pub date: String,
}

impl Message {
    /// What a transaction brought.
    pub fn new(transaction: Transaction) -> Message {
        let (header, length) = Fields::parse(&transaction.data);
        let rest = &transaction.data[length..];
        let body_at = length + if rest.starts_with(b"\r\n") { 2 } else { 0 };
        Message {
            transaction,
            header,
            body_at,
        }
    }

    /// Header, empty line and body.
    pub fn octets(&self) -> &[u8] {
        &self.transaction.data
    }

    /// What is behind the empty line.
    pub fn body(&self) -> &[u8] {
        &self.octets()[self.body_at..]
    }

    /// The value of the first field of this name.
    pub fn field(&self, name: &str) -> Option<String> {
        self.header.get(name)
    }

    /// The reverse-path without brackets; empty for the null one.
    pub fn from(&self) -> &str {
        self.transaction.from()
    }

    /// The recipients without brackets.
    pub fn to(&self) -> Vec<&str> {
        self.transaction.to()
    }

    /// The Received field on top; fails if it isn't one, or not of the usual form.
    #[track_caller]
    pub fn trace(&self) -> Trace {
        let top = self.header.0.first().filter(|f| f.name == "Received");
        let value = top.map(Field::value);
        let trace = value.as_deref().and_then(Trace::parse);
        trace.unwrap_or_else(|| panic!("{value:?} is not the Received field that belongs on top"))
    }

    /// What is left when the fields that the relay added are taken off: Received on top, its
    /// signatures, then Date and Message-ID where `sent`, the octets as the client sent them, had none.
    #[track_caller]
    pub fn below_our_trace_fields(&self, sent: impl AsRef<[u8]>) -> &[u8] {
        let (before, _) = Fields::parse(sent.as_ref());
        self.trace();
        let mut addable = vec!["Date", "Message-ID"];
        addable.retain(|name| before.get(name).is_none());
        let mut signatures =
            self.header.all("DKIM-Signature").len() - before.all("DKIM-Signature").len();
        let mut length = 0;
        for (number, field) in self.header.0.iter().enumerate() {
            let added = addable.iter().position(|name| field.name == *name);
            match added {
                Some(which) => drop(addable.remove(which)),
                None if number == 0 => {}
                None if signatures > 0 && field.name == "DKIM-Signature" => signatures -= 1,
                None => break,
            }
            length += field.octets.len();
        }
        &self.octets()[length..]
    }

    /// Fails unless the message is what was sent, octet for octet, below the fields that the relay
    /// added.
    #[track_caller]
    pub fn arrived_as(&self, sent: impl AsRef<[u8]>) {
        let sent = sent.as_ref();
        same_octets(self.below_our_trace_fields(sent), sent);
    }

    /// The message as a delivery report; fails if it is none, or breaks RFC 3462 or RFC 3464.
    #[track_caller]
    pub fn report(&self) -> Report {
        match Report::parse(&self.header, self.body()) {
            Ok(report) => report,
            Err(why) => panic!(
                "no proper report: {why}\n{}",
                String::from_utf8_lossy(self.octets())
            ),
        }
    }
}

impl Trace {
    /// `from A (B) by C (...) with D id E for <F>; date`, where comments after the first don't count.
    fn parse(value: &str) -> Option<Trace> {
        let (clauses, date) = value.rsplit_once(';')?;
        let mut words = Vec::new();
        let mut client = None;
        let mut rest = clauses.trim();
        while !rest.is_empty() {
            if let Some(inside) = rest.strip_prefix('(') {
                let (comment, tail) = inside.split_at(comment_end(inside)?);
                client.get_or_insert(comment.to_owned());
                rest = tail[1..].trim_start();
            } else {
                let end = rest.find([' ', '\t']).unwrap_or(rest.len());
                words.push(&rest[..end]);
                rest = rest[end..].trim_start();
            }
        }
        let behind = |keyword: &str| {
            let at = words.iter().position(|word| *word == keyword)?;
            words.get(at + 1).map(|word| (*word).to_owned())
        };
        let to = behind("for");
        Some(Trace {
            from: behind("from")?,
            client: client?,
            by: behind("by")?,
            with: behind("with")?,
            id: behind("id")?,
            to: to.map(|path| path.trim_matches(['<', '>']).to_owned()),
            date: date.trim().to_owned(),
        })
    }
}

/// Where the comment ends whose opening parenthesis is before `inside`.
fn comment_end(inside: &str) -> Option<usize> {
    let mut depth = 1;
    let mut escaped = false;
    for (at, octet) in inside.bytes().enumerate() {
        match octet {
            _ if escaped => escaped = false,
            b'\\' => escaped = true,
            b'(' => depth += 1,
            b')' if depth == 1 => return Some(at),
            b')' => depth -= 1,
            _ => {}
        }
    }
    None
}

/// Fails, showing the first difference, unless both are the same.
#[track_caller]
pub fn same_octets(got: impl AsRef<[u8]>, want: impl AsRef<[u8]>) {
    let (got, want) = (got.as_ref(), want.as_ref());
    if got == want {
        return;
    }
    let same = got.iter().zip(want).take_while(|(a, b)| a == b).count();
    let from = same.saturating_sub(40);
    panic!(
        "octets differ from number {same} on (got {}, wanted {} in all):\n   got ...{}\nwanted ...{}",
        got.len(),
        want.len(),
        visible(&got[from..got.len().min(same + 80)]),
        visible(&want[from..want.len().min(same + 80)]),
    );
}

#[cfg(test)]
mod tests {
    use std::time::Instant;

    use super::{Message, Trace};
    use crate::support::remote::{End, Transaction};

    const RECEIVED: &str = "Received: from x.test (who (he) is [127.0.0.1])\r\n\tby gp.test (GopherPost) \
                            with ESMTP id 01A\r\n\tfor <a@b.test>; Mon, 2 Nov 2026 10:00:00 +0100\r\n";

    #[test]
    fn the_trace_is_taken_apart() {
        let trace = message(RECEIVED).trace();
        let want = Trace {
            from: "x.test".to_owned(),
            client: "who (he) is [127.0.0.1]".to_owned(),
            by: "gp.test".to_owned(),
            with: "ESMTP".to_owned(),
            id: "01A".to_owned(),
            to: Some("a@b.test".to_owned()),
            date: "Mon, 2 Nov 2026 10:00:00 +0100".to_owned(),
        };
        assert_eq!(trace, want);
    }

    #[test]
    fn only_what_the_relay_added_is_taken_off() {
        for (added, sent) in [
            ("", "Date: x\r\nSubject: y\r\n\r\nbody\r\n"),
            (
                "Date: z\r\nMessage-ID: <1@gp.test>\r\n",
                "Subject: y\r\n\r\nbody\r\n",
            ),
            ("Date: z\r\n", "Message-ID: <1@gp.test>\r\n\r\nbody\r\n"),
            ("Message-ID: <1@gp.test>\r\n", "date: x\r\nDate: y\r\n\r\n"),
        ] {
            message(&format!("{RECEIVED}{added}{sent}")).arrived_as(sent);
        }
    }

    #[test]
    #[should_panic(expected = "octets differ from number 9 on")]
    fn a_changed_octet_is_shown() {
        message(&format!("{RECEIVED}Subject: x\r\n\r\n")).arrived_as("Subject: y\r\n\r\n");
    }

    #[test]
    #[should_panic(expected = "is not the Received field that belongs on top")]
    fn without_received_on_top_nothing_arrived() {
        message("Subject: x\r\n\r\n").arrived_as("Subject: x\r\n\r\n");
    }

    fn message(data: &str) -> Message {
        Message::new(Transaction {
            connection: 0,
            in_tls: false,
            hello: String::new(),
            mail: String::new(),
            rcpts: Vec::new(),
            refused: Vec::new(),
            data: data.as_bytes().to_vec(),
            wire: Vec::new(),
            end: End::Accepted,
            at: Instant::now(),
        })
    }
}
