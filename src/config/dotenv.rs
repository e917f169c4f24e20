//! The file `.env`, read by dotenvy, without a change to the environment of the process.

use std::cell::Cell;
use std::io::{self, Read};
use std::rc::Rc;

/// Assignments of a `.env` in their order, and the lines that are none.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct DotEnv {
    pub(super) assignments: Vec<(String, String)>,
    /// Numbers of the lines where a malformed entry begins, from 1.
    pub(super) malformed_lines: Vec<usize>,
}

/// Reads the text of a `.env`. Never repeats any of it in an error: it may be a password.
pub(super) fn parse(text: &str) -> DotEnv {
    let text = text.strip_prefix('\u{feff}').unwrap_or(text);
    // dotenvy takes blanks at the very end, without a line end, for an unfinished entry.
    let text = text.trim_end();

    let lines_read = Rc::new(Cell::new(0));
    let reader = LineByLine {
        rest: text.as_bytes(),
        lines_read: Rc::clone(&lines_read),
    };
    let mut found = DotEnv::default();
    for entry in dotenvy::from_read_iter(reader) {
        match entry {
            Ok(assignment) => found.assignments.push(assignment),
            Err(dotenvy::Error::LineParse(entry, _)) => {
                // An open quote swallows the lines behind it; the one with the quote is the culprit.
                let more_lines = entry.lines().count().saturating_sub(1);
                found.malformed_lines.push(lines_read.get() - more_lines);
            }
            // Our reader never fails, and dotenvy's error enum may grow.
            Err(_) => found.malformed_lines.push(lines_read.get()),
        }
    }
    found
}

/// Gives dotenvy one line at a time, so that the line it stumbles over is known: it counts none.
struct LineByLine<'a> {
    rest: &'a [u8],
    lines_read: Rc<Cell<usize>>,
}

impl Read for LineByLine<'_> {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        let line_end = memchr::memchr(b'\n', self.rest).map(|at| at + 1);
        let line_len = line_end.unwrap_or(self.rest.len());
        let taken = line_len.min(buf.len());
        buf[..taken].copy_from_slice(&self.rest[..taken]);
        if taken > 0 && taken == line_len {
            self.lines_read.set(self.lines_read.get() + 1);
        }
        self.rest = &self.rest[taken..];
        Ok(taken)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(text: &str, assignments: &[(&str, &str)], malformed_lines: &[usize]) {
        let owned = |(name, value): &(&str, &str)| ((*name).to_owned(), (*value).to_owned());
        let want = DotEnv {
            assignments: assignments.iter().map(owned).collect(),
            malformed_lines: malformed_lines.to_vec(),
        };
        assert_eq!(parse(text), want);
    }

    #[test]
    fn assignments_comments_and_quotes() {
        check("", &[], &[]);
        check("# nothing\n\n", &[], &[]);
        check("A=1\nB=two\n", &[("A", "1"), ("B", "two")], &[]);
        check("A=1\r\nB=2\r\n", &[("A", "1"), ("B", "2")], &[]);
        check("export A=1", &[("A", "1")], &[]);
        check("A=\"10 MiB\" # big", &[("A", "10 MiB")], &[]);
        check("A='a$b'", &[("A", "a$b")], &[]);
        check("A=", &[("A", "")], &[]);
        check("A=\"x\ny\"\nB=1", &[("A", "x\ny"), ("B", "1")], &[]);
    }

    #[test]
    fn editors_leave_marks_and_blanks_behind() {
        check("\u{feff}A=1\n", &[("A", "1")], &[]);
        check("A=1  ", &[("A", "1")], &[]);
        check("A=1  \n\n  \t", &[("A", "1")], &[]);
    }

    #[test]
    fn every_malformed_line_is_named() {
        check("A=1\nB 2\nC=3\n", &[("A", "1"), ("C", "3")], &[2]);
        check("\n# x\n\nA\n\nB=1 2\n", &[], &[4, 6]);
        check("=1", &[], &[1]);
        check("A=1\nB=a b\n", &[("A", "1")], &[2]);
    }

    #[test]
    fn an_open_quote_is_named_where_it_opens() {
        check("A=1\nB=\"two\nC=3\nD=4\n", &[("A", "1")], &[2]);
        check("A=1\n\nB='two", &[("A", "1")], &[3]);
    }

    #[test]
    fn a_line_longer_than_any_buffer_counts_as_one() {
        let long = "x".repeat(100_000);
        check(&format!("A={long}\nB"), &[("A", &long)], &[2]);
    }
}
