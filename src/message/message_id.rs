//! What a Message-ID field names, for logs and for finding a message again.

use crate::mail::limits::MESSAGE_ID_BYTES_MAX;
use crate::mail::{Domain, QueueId};

/// Octets of the field that are kept to be looked at: a folded field, a comment before the id.
const FIELD_BYTES_MAX: usize = 2 * MESSAGE_ID_BYTES_MAX;

/// The body of a message's first Message-ID field, while it comes in piece by piece.
#[derive(Debug, Default)]
pub(super) struct MessageIdField {
    body: Option<Vec<u8>>,
    /// Whether the field that is being read is the one.
    open: bool,
}

impl MessageIdField {
    /// A field begins.
    pub(super) fn begin(&mut self, is_message_id: bool) {
        self.open = is_message_id && self.body.is_none();
        if self.open {
            self.body = Some(Vec::new());
        }
    }

    /// Octets of the field that began last, behind its colon.
    pub(super) fn feed(&mut self, octets: &[u8]) {
        if let (true, Some(body)) = (self.open, &mut self.body) {
            let room = FIELD_BYTES_MAX - body.len();
            body.extend_from_slice(&octets[..octets.len().min(room)]);
        }
    }

    /// What the field says, see [`message_id`].
    pub(super) fn value(&self) -> Option<Box<str>> {
        message_id(self.body.as_deref()?)
    }
}

/// The Message-ID that we give to a message, without angle brackets.
#[must_use]
pub fn our_message_id(id: QueueId, hostname: &Domain) -> Box<str> {
    format!("{id}@{hostname}").into()
}

/// The id in the body of a Message-ID field: what stands in angle brackets, or all of it if nothing
/// does. Blanks and line ends go, what is not safe to show becomes `_`. `None` if nothing is left.
#[must_use]
pub fn message_id(field_body: &[u8]) -> Option<Box<str>> {
    let text = String::from_utf8_lossy(field_body);
    let inner = text.split_once('<').map(|(_, rest)| rest);
    let inner = inner.and_then(|rest| rest.split_once('>'));
    let named = inner.map_or(&*text, |(id, _)| id);
    let mut id = String::new();
    for character in named.chars().filter(|one| !one.is_whitespace()) {
        let safe =
            character.is_ascii_graphic() || (!character.is_ascii() && character.is_alphanumeric());
        let shown = if safe { character } else { '_' };
        if id.len() + shown.len_utf8() > MESSAGE_ID_BYTES_MAX {
            break;
        }
        id.push(shown);
    }
    (!id.is_empty()).then(|| id.into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_id_is_what_stands_in_angle_brackets_and_is_safe_to_show() {
        #[track_caller]
        fn check(field_body: &str, want: Option<&str>) {
            assert_eq!(message_id(field_body.as_bytes()).as_deref(), want);
        }
        check(" <a.b@gp.test>\r\n", Some("a.b@gp.test"));
        check("\r\n\t<a@\r\n gp.test> (a comment)\r\n", Some("a@gp.test"));
        check(" junk\r\n", Some("junk"));
        check(" <a@b", Some("<a@b"));
        check(
            " <\u{fc}@b\u{202e}\u{7}\u{85}.test>",
            Some("\u{fc}@b__.test"),
        );
        check(" <a b@c>", Some("ab@c"));
        for nothing in ["", " ", "\r\n", "<>", "< >"] {
            check(nothing, None);
        }
        let long = "x".repeat(MESSAGE_ID_BYTES_MAX);
        check(&format!("<{long}y@z>"), Some(&long));
    }
}
