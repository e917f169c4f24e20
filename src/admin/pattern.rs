//! Patterns with `*` for any characters, in which case does not matter. Pure.

use crate::mail::Domain;

/// What a text must look like.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Pattern {
    /// What stands between the stars, in lower case. Always one more than there are stars.
    parts: Vec<Box<str>>,
}

impl Pattern {
    pub(super) fn new(text: &str) -> Pattern {
        let text = text.to_lowercase();
        Pattern {
            parts: text.split('*').map(Box::from).collect(),
        }
    }

    /// The same for domains, which are kept as A-labels: `bücher.example`, `*.bücher.example`.
    pub(super) fn of_domain(text: &str) -> Pattern {
        let (star, name) = match text.strip_prefix("*.") {
            Some(name) => ("*.", name),
            None => ("", text),
        };
        match Domain::parse(name) {
            Ok(domain) => Pattern::new(&format!("{star}{domain}")),
            Err(_) => Pattern::new(text),
        }
    }

    /// `lower` is in lower case. Takes at most as many steps as the text is long, for each part.
    pub(super) fn matches(&self, lower: &str) -> bool {
        let [first, between @ ..] = &self.parts[..] else {
            return false; // there is always one part
        };
        let [between @ .., last] = between else {
            return **first == *lower;
        };
        let Some(mut rest) = lower.strip_prefix(&**first) else {
            return false;
        };
        for part in between {
            match rest.find(&**part) {
                Some(at) => rest = &rest[at + part.len()..],
                None => return false,
            }
        }
        rest.ends_with(&**last)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(pattern: &str, matching: &[&str], other: &[&str]) {
        let pattern = Pattern::new(pattern);
        for text in matching {
            assert!(pattern.matches(text), "{pattern:?} {text}");
        }
        for text in other {
            assert!(!pattern.matches(text), "{pattern:?} {text}");
        }
    }

    #[test]
    fn a_star_is_for_any_characters_and_the_rest_for_itself() {
        check(
            "Ann@X.test",
            &["ann@x.test"],
            &["ann@x.tes", "aann@x.test", ""],
        );
        check("*", &["", "a", "a@b"], &[]);
        check(
            "*@x.test",
            &["@x.test", "a@x.test"],
            &["a@x.test.", "x.test"],
        );
        check("a*b*c", &["abc", "aXbYc", "abbc"], &["ab", "acb", "xabc"]);
        check("ab*ba", &["abba", "abXba"], &["aba", "ab"]);
        check("**", &["", "x"], &[]);
        check("ü*", &["über"], &["uber"]);
        check("Ü", &["ü"], &[]);
        check("a.c", &["a.c"], &["abc"]);
    }

    #[test]
    fn many_stars_take_no_exponential_time() {
        let pattern = Pattern::new(&format!("{}b", "*a".repeat(100)));
        assert!(!pattern.matches(&"a".repeat(10_000)));
    }

    #[test]
    fn domains_are_found_by_both_spellings() {
        for text in ["bücher.example", "xn--bcher-kva.example", "BÜCHER.example"] {
            assert!(
                Pattern::of_domain(text).matches("xn--bcher-kva.example"),
                "{text}"
            );
        }
        let below = Pattern::of_domain("*.bücher.example");
        assert!(below.matches("a.xn--bcher-kva.example"));
        assert!(Pattern::of_domain("smtp://*").matches("smtp://relay.test:25"));
        assert!(Pattern::of_domain("[192.0.2.*").matches("[192.0.2.1]"));
    }
}
