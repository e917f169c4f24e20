//! One line on standard error that says how far it is, where somebody can see it.

use std::io::{self, Write as _};

use super::super::surroundings;
use super::grouped;
use super::table::cut;

/// Columns of the bar.
const BAR_COLUMNS: usize = 20;

/// The line; it is gone when this is dropped.
#[derive(Debug)]
pub(in crate::cli) struct Progress {
    /// Columns of the terminal; `None`: nobody looks.
    columns: Option<usize>,
    shown: bool,
}

impl Progress {
    /// Shows nothing yet.
    pub(in crate::cli) fn new() -> Progress {
        Progress {
            columns: surroundings::error_columns(),
            shown: false,
        }
    }

    /// Says that `done` of `all` is done.
    pub(in crate::cli) fn show(&mut self, what: &str, done: u64, all: u64, words: &str) {
        if let Some(columns) = self.columns {
            let line = cut(&line(what, done, all, words), columns.saturating_sub(1));
            self.shown = true;
            self.write(&format!("\r\x1b[K{line}"));
        }
    }

    /// Takes the line away, so that something else can be written.
    pub(in crate::cli) fn clear(&mut self) {
        if std::mem::take(&mut self.shown) {
            self.write("\r\x1b[K");
        }
    }

    fn write(&self, text: &str) {
        let mut error = io::stderr().lock();
        // A bar that can't be seen is no reason to end.
        let _ = error
            .write_all(text.as_bytes())
            .and_then(|()| error.flush());
    }
}

impl Drop for Progress {
    fn drop(&mut self) {
        self.clear();
    }
}

fn line(what: &str, done: u64, all: u64, words: &str) -> String {
    let all = all.max(done).max(1); // what came meanwhile is done as well
    let share = |of: u64| u128::from(done) * u128::from(of) / u128::from(all);
    let full = usize::try_from(share(BAR_COLUMNS as u64)).unwrap_or(BAR_COLUMNS);
    let bar = "#".repeat(full) + &"-".repeat(BAR_COLUMNS - full);
    let (percent, done, all) = (share(100), grouped(done), grouped(all));
    format!("{what} [{bar}] {percent:>3} %  {done} of {all}{words}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_bar_says_how_far_it_is() {
        assert_eq!(
            line("purge", 500_000, 1_000_000, ", 7 match"),
            "purge [##########----------]  50 %  500,000 of 1,000,000, 7 match"
        );
        assert_eq!(
            line("verify", 0, 0, ""),
            "verify [--------------------]   0 %  0 of 1"
        );
        assert!(line("verify", 5, 4, "").contains("100 %  5 of 5"));
    }
}
