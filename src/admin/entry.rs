//! How messages and recipients look in the API. Pure.

use crate::mail::{
    Address, BodyKind, Client, Destination, Message, Recipient, TlsFacts, UnixMillis,
};

use super::api::QueueEntry;
use super::selection::shown_state;

/// A line of a list.
pub(super) fn entry(
    message: &Message,
    rcpt: &Recipient,
    destination: &Destination,
    in_flight: bool,
    now: UnixMillis,
) -> QueueEntry {
    let answer = rcpt.last_answer.as_ref();
    QueueEntry {
        id: message.id.to_string(),
        from: from_of(message),
        to: rcpt.address.to_string(),
        destination: destination.to_string(),
        state: shown_state(rcpt, || in_flight).to_owned(),
        attempts: rcpt.attempts,
        arrived: rfc3339(message.arrival),
        next_attempt: rcpt.state.due().map(rfc3339),
        last_attempt: rcpt.last_attempt.map(rfc3339),
        last_reply: answer.map(|answer| answer.words()),
        remote: answer
            .and_then(|answer| answer.remote.as_ref())
            .map(ToString::to_string),
        size: message.size(),
        age_seconds: now.since(message.arrival).as_secs(),
    }
}

/// The reverse-path without angle brackets; empty for none.
pub(super) fn from_of(message: &Message) -> String {
    let mailbox = message.envelope.reverse_path.mailbox();
    mailbox.map(Address::to_string).unwrap_or_default()
}

/// Who brought a message, in words.
pub(super) fn client_of(message: &Message) -> String {
    match &message.client {
        Client::Smtp {
            address,
            helo,
            tls,
            user,
            ..
        } => {
            let tls = tls
                .as_ref()
                .map(|TlsFacts { version, cipher }| format!(", {version} {cipher}"));
            let user = user.as_ref().map(|user| format!(", as {user}"));
            let (tls, user) = (tls.unwrap_or_default(), user.unwrap_or_default());
            format!("{helo} [{address}]{tls}{user}")
        }
        Client::Local => "this relay".to_owned(),
    }
}

/// The BODY parameter, in lower case.
pub(super) fn body_kind_name(kind: BodyKind) -> &'static str {
    match kind {
        BodyKind::SevenBit => "7bit",
        BodyKind::EightBitMime => "8bitmime",
        BodyKind::BinaryMime => "binarymime",
    }
}

/// `2026-11-30T12:00:00Z`
pub(super) fn rfc3339(at: UnixMillis) -> String {
    let seconds = i64::try_from(at.0 / 1_000).unwrap_or(i64::MAX);
    // Times beyond jiff's range (year 9999) can only come from a clock that is wildly off.
    jiff::Timestamp::from_second(seconds)
        .unwrap_or(jiff::Timestamp::MAX)
        .to_string()
}

#[cfg(test)]
mod tests {
    use std::net::{IpAddr, Ipv4Addr};

    use super::super::samples::{self, NOW};
    use super::*;
    use crate::mail::{Protocol, RecipientState};

    #[test]
    fn a_line_has_what_is_known() {
        let message = samples::message(UnixMillis(NOW.0 - 61_000), "ann@home.test");
        let due = RecipientState::Deferred { due: NOW };
        let rcpt = Recipient {
            attempts: 1,
            last_attempt: Some(NOW),
            last_answer: Some(samples::trouble()),
            ..samples::recipient("bob@B.test", due)
        };
        let destination = Destination::of_domain(rcpt.address.domain());
        let line = entry(&message, &rcpt, &destination, false, NOW);
        assert_eq!(
            serde_json::to_value(&line).unwrap(),
            serde_json::json!({
                "id": message.id.to_string(), "from": "ann@home.test", "to": "bob@B.test",
                "destination": "b.test", "state": "deferred", "attempts": 1,
                "arrived": "2023-11-14T22:12:19Z", "next_attempt": "2023-11-14T22:13:20Z",
                "last_attempt": "2023-11-14T22:13:20Z", "last_reply": "connection refused",
                "remote": null, "size": 22, "age_seconds": 61,
            })
        );
        assert_eq!(
            entry(&message, &rcpt, &destination, true, NOW).state,
            "in_flight"
        );
    }

    #[test]
    fn a_client_is_told_with_its_tls_and_user() {
        let mut message = samples::message(NOW, "");
        assert_eq!(
            (from_of(&message), client_of(&message)),
            (String::new(), "this relay".to_owned())
        );
        message.client = Client::Smtp {
            address: IpAddr::V4(Ipv4Addr::LOCALHOST),
            helo: "c.test".into(),
            protocol: Protocol::Esmtp,
            tls: Some(TlsFacts {
                version: "TLSv1.3".into(),
                cipher: "X".into(),
            }),
            user: Some("ann".into()),
        };
        assert_eq!(client_of(&message), "c.test [127.0.0.1], TLSv1.3 X, as ann");
    }
}
