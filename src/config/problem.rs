//! What stops the start, and what only deserves a word.

use std::fmt;

/// Longest value that a problem repeats, in characters; the rest is cut.
const SHOWN_CHARS_MAX: usize = 120;

/// One thing that stops the start; the operator's fault, and one line.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problem {
    /// Where: `SMTP_PORT=abc`, `SMTP_PORT`, or `.env, line 3`.
    place: String,
    /// What is expected there, and what was wrong if that needs a word.
    what: String,
}

impl Problem {
    /// A value that can't be taken; `shown` is what may be printed of it.
    pub(super) fn value(variable: &str, shown: &str, what: impl Into<String>) -> Problem {
        Problem {
            place: format!("{variable}={}", cut(shown)),
            what: what.into(),
        }
    }

    /// A trouble with a place that has no value to show.
    pub(super) fn at(place: impl Into<String>, what: impl Into<String>) -> Problem {
        Problem {
            place: place.into(),
            what: what.into(),
        }
    }

    /// The same with more words behind it.
    pub(super) fn with(mut self, more: &str) -> Problem {
        self.what.push_str(more);
        self
    }
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.place, self.what)
    }
}

/// Everything that stops the start, never empty. `Display` gives one line for each, without a
/// line end after the last.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub struct ConfigProblems(pub Vec<Problem>);

impl fmt::Display for ConfigProblems {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (n, problem) in self.0.iter().enumerate() {
            if n > 0 {
                writeln!(f)?;
            }
            write!(f, "{problem}")?;
        }
        Ok(())
    }
}

/// Something the operator should know although it does not stop the start.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Warning {
    /// What is odd.
    pub what: String,
    /// What to do about it.
    pub todo: String,
}

impl Warning {
    pub(super) fn new(what: impl Into<String>, todo: impl Into<String>) -> Warning {
        Warning {
            what: what.into(),
            todo: todo.into(),
        }
    }
}

impl fmt::Display for Warning {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}; {}", self.what, self.todo)
    }
}

/// `text` on one line and not too long: control characters escaped, the end cut.
pub(super) fn cut(text: &str) -> String {
    let mut shown = one_line(&text.chars().take(SHOWN_CHARS_MAX).collect::<String>());
    if text.chars().nth(SHOWN_CHARS_MAX).is_some() {
        shown.push('…');
    }
    shown
}

/// `text` with its control characters escaped.
pub(super) fn one_line(text: &str) -> String {
    let mut shown = String::new();
    for c in text.chars() {
        if c.is_control() {
            shown.extend(c.escape_default());
        } else {
            shown.push(c);
        }
    }
    shown
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn problems_are_one_line_each() {
        let problems = ConfigProblems(vec![
            Problem::value("SMTP_PORT", "abc", "expected a port from 1 to 65535"),
            Problem::at(".env, line 3", "expected NAME=value"),
        ]);
        assert_eq!(
            problems.to_string(),
            "SMTP_PORT=abc: expected a port from 1 to 65535\n.env, line 3: expected NAME=value"
        );
    }

    #[test]
    fn what_is_shown_of_a_value_is_short_and_on_one_line() {
        assert_eq!(cut("a\nb\u{1b}[31m"), "a\\nb\\u{1b}[31m");
        let long = cut(&"ä".repeat(500));
        assert_eq!(long.chars().count(), SHOWN_CHARS_MAX + 1);
        assert!(long.ends_with('…'));
        let just = "a".repeat(SHOWN_CHARS_MAX);
        assert_eq!(cut(&just), just);
    }
}
