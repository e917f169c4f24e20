//! How things look: tables that fit, times as people say them, colours where they help. Nothing that
//! others chose reaches the terminal raw.

mod amount;
mod paint;
mod progress;
mod question;
mod table;
mod when;

use std::io::{self, BufWriter, StdoutLock, Write};

use crate::mail::UnixMillis;
use crate::observe::wall_clock;

use super::ask::printable;
use super::surroundings;

pub(super) use amount::{grouped, octets, of, short};
pub(super) use paint::Paint;
pub(super) use progress::Progress;
pub(super) use question::agreed;
pub(super) use table::{Cell, Column, Table};
pub(super) use when::{ago, ahead, clock, span};

/// What is printed to, and when.
#[derive(Clone, Copy, Debug)]
pub(super) struct Screen {
    /// Columns of the terminal; `None`: it is none, and nothing is cut.
    pub(super) width: Option<usize>,
    /// Whether colours may be used.
    pub(super) colour: bool,
    /// What relative times are relative to.
    pub(super) now: UnixMillis,
}

impl Screen {
    /// Of standard output.
    pub(super) fn of_output() -> Screen {
        let width = surroundings::output_columns();
        Screen {
            width,
            colour: width.is_some() && surroundings::colours_are_wanted(),
            now: wall_clock(),
        }
    }

    /// Of standard error.
    pub(super) fn of_error() -> Screen {
        let width = surroundings::error_columns();
        Screen {
            width,
            colour: width.is_some() && surroundings::colours_are_wanted(),
            now: wall_clock(),
        }
    }

    /// `text` in a colour, if there are any.
    pub(super) fn paint(&self, paint: Paint, text: &str) -> String {
        match self.colour {
            true => paint.on(text),
            false => text.to_owned(),
        }
    }

    /// A line of JSON: as it came, but for what would do something to a terminal.
    pub(super) fn json_line(&self, out: &mut impl Write, json: &str) -> io::Result<()> {
        match self.width {
            Some(_) => writeln!(out, "{}", printable(json)),
            None => writeln!(out, "{json}"),
        }
    }
}

/// Standard output, written in large pieces.
pub(super) fn output() -> BufWriter<StdoutLock<'static>> {
    BufWriter::with_capacity(64 * 1024, io::stdout().lock())
}
