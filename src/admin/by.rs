//! Who gives an order.

use crate::mail::limits::{BY_BYTES_MAX, REASON_BYTES_MAX};
use crate::observe::is_deceptive;

/// Who gives an order, as it is told: a user, and on whose behalf if that was said. Bounded, and safe to
/// show.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct By(Box<str>);

impl By {
    /// `who` is proven, `behalf` is what was only said.
    #[must_use]
    pub fn new(who: &str, behalf: Option<&str>) -> By {
        let who = safe(who, BY_BYTES_MAX);
        match behalf.map(|said| safe(said, BY_BYTES_MAX)) {
            Some(said) if !said.is_empty() && said != who => {
                By(format!("{who} (sudo from {said})").into())
            }
            Some(_) | None => By(who.into()),
        }
    }

    /// As it is told.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// An operator's reason, bounded and safe to show.
pub(super) fn reason(text: &str) -> String {
    safe(text.trim(), REASON_BYTES_MAX)
}

/// Cut to `bytes_max`; what could pass for more than text is replaced.
pub(super) fn safe(text: &str, bytes_max: usize) -> String {
    let mut kept = String::new();
    for character in text.chars() {
        let character = match is_deceptive(character) {
            true => '?',
            false => character,
        };
        if kept.len() + character.len_utf8() > bytes_max {
            break;
        }
        kept.push(character);
    }
    kept
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(who: &str, behalf: Option<&str>, want: &str) {
        assert_eq!(By::new(who, behalf).as_str(), want);
    }

    #[test]
    fn who_gives_an_order_is_told_with_whom_he_speaks_for() {
        check("ann", None, "ann");
        check("root", Some("ann"), "root (sudo from ann)");
        check("root", Some("root"), "root");
        check("root", Some(""), "root");
        check("root", Some("a\nb\u{202e}"), "root (sudo from a?b?)");
        let long = "x".repeat(1_000);
        assert!(By::new(&long, Some(&long)).as_str().len() < 200);
    }

    #[test]
    fn a_reason_is_one_bounded_line() {
        assert_eq!(reason(" spam\r\nrun "), "spam??run");
        assert_eq!(reason(&"ü".repeat(1_000)).len(), REASON_BYTES_MAX);
    }
}
