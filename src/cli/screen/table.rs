//! Tables whose columns are fixed before the first row is known, so that a million rows go through in
//! constant memory.

use std::io::{self, Write};

use unicode_width::{UnicodeWidthChar as _, UnicodeWidthStr as _};

use crate::observe::Shown;

use super::{Paint, Screen};

/// Blanks between columns.
const GAP: usize = 2;
/// Stands for what was cut off.
const CUT: char = '…';

/// A column.
#[derive(Clone, Copy, Debug)]
pub(in crate::cli) struct Column {
    pub(in crate::cli) title: &'static str,
    /// Columns of the terminal that it needs.
    pub(in crate::cli) least: usize,
    /// Its share of what is left over; with 0 it has its least width.
    pub(in crate::cli) share: usize,
    /// Numbers stand to the right.
    pub(in crate::cli) right: bool,
}

/// What stands in a row.
#[derive(Clone, Debug)]
pub(in crate::cli) struct Cell {
    pub(in crate::cli) text: String,
    pub(in crate::cli) paint: Paint,
}

impl Cell {
    pub(in crate::cli) fn plain(text: impl Into<String>) -> Cell {
        Cell {
            text: text.into(),
            paint: Paint::Plain,
        }
    }

    pub(in crate::cli) fn painted(paint: Paint, text: impl Into<String>) -> Cell {
        Cell {
            text: text.into(),
            paint,
        }
    }
}

/// Columns with their widths on this screen.
#[derive(Clone, Debug)]
pub(in crate::cli) struct Table {
    columns: Vec<(Column, usize)>,
    gap: usize,
    screen: Screen,
}

impl Table {
    /// Widths come from the terminal's. Where there is none, nothing is cut.
    pub(in crate::cli) fn new(columns: &[Column], screen: Screen) -> Table {
        Table::with_gap(GAP, columns, screen)
    }

    /// As [`Table::new`], with so many blanks between columns.
    pub(in crate::cli) fn with_gap(gap: usize, columns: &[Column], screen: Screen) -> Table {
        let gaps = gap * columns.len().saturating_sub(1);
        let least: usize = columns.iter().map(|column| column.least).sum();
        let shares: usize = columns.iter().map(|column| column.share).sum();
        let over = screen.width.unwrap_or(0).saturating_sub(gaps + least);
        let width = |column: &Column| column.least + over * column.share / shares.max(1);
        Table {
            columns: columns
                .iter()
                .map(|column| (*column, width(column)))
                .collect(),
            gap,
            screen,
        }
    }

    /// Writes the titles.
    pub(in crate::cli) fn titles(&self, out: &mut impl Write) -> io::Result<()> {
        let titles = self.columns.iter().map(|(column, _)| Cell {
            text: column.title.to_owned(),
            paint: Paint::Strong,
        });
        self.row(titles, out)
    }

    /// Writes a row; it has a cell for each column.
    pub(in crate::cli) fn row(
        &self,
        cells: impl IntoIterator<Item = Cell>,
        out: &mut impl Write,
    ) -> io::Result<()> {
        let last = self.columns.len().saturating_sub(1);
        for (at, ((column, width), cell)) in self.columns.iter().zip(cells).enumerate() {
            let text = Shown(&cell.text).to_string();
            let text = match self.screen.width {
                Some(_) => cut(&text, *width),
                None => text,
            };
            let padding = " ".repeat(width.saturating_sub(text.width()));
            if column.right {
                out.write_all(padding.as_bytes())?;
            }
            out.write_all(self.screen.paint(cell.paint, &text).as_bytes())?;
            if at == last {
                break;
            }
            if !column.right {
                out.write_all(padding.as_bytes())?;
            }
            out.write_all(" ".repeat(self.gap).as_bytes())?;
        }
        writeln!(out)
    }
}

/// At most `width` columns of `text`.
pub(super) fn cut(text: &str, width: usize) -> String {
    if text.width() <= width {
        return text.to_owned();
    }
    let mut kept = String::new();
    let mut taken = 0;
    for character in text.chars() {
        let more = character.width().unwrap_or(0);
        if taken + more + 1 > width {
            break;
        }
        taken += more;
        kept.push(character);
    }
    if width > 0 {
        kept.push(CUT);
    }
    kept
}

#[cfg(test)]
mod tests {
    use expect_test::{Expect, expect};

    use super::*;
    use crate::mail::UnixMillis;

    const COLUMNS: [Column; 3] = [
        Column {
            title: "ID",
            least: 4,
            share: 0,
            right: false,
        },
        Column {
            title: "N",
            least: 3,
            share: 0,
            right: true,
        },
        Column {
            title: "TO",
            least: 4,
            share: 1,
            right: false,
        },
    ];

    #[track_caller]
    fn check(width: Option<usize>, colour: bool, want: Expect) {
        let screen = Screen {
            width,
            colour,
            now: UnixMillis(0),
        };
        let table = Table::new(&COLUMNS, screen);
        let mut out = Vec::new();
        table.titles(&mut out).unwrap();
        for (id, n, to) in [
            ("a", "1", "ann@dest.test"),
            ("long-id", "1000", "\u{1b}[31m"),
            ("日本語", "", "b\u{fc}cher\u{202e}@dest.test"),
        ] {
            let to = Cell::painted(Paint::Bad, to);
            table
                .row([Cell::plain(id), Cell::plain(n), to], &mut out)
                .unwrap();
        }
        want.assert_eq(&String::from_utf8(out).unwrap());
    }

    #[test]
    fn what_does_not_fit_is_cut_and_nothing_is_raw() {
        check(
            Some(24),
            false,
            expect![[r#"
            ID      N  TO
            a       1  ann@dest.test
            lon…  10…  \u{1b}[31m
            日…        bücher\u{202…
        "#]],
        );
    }

    #[test]
    fn where_there_is_no_terminal_nothing_is_cut() {
        check(
            None,
            false,
            expect![[r#"
            ID      N  TO
            a       1  ann@dest.test
            long-id  1000  \u{1b}[31m
            日本語       bücher\u{202e}@dest.test
        "#]],
        );
    }

    #[test]
    fn colours_take_no_room() {
        check(
            Some(20),
            true,
            expect![[r#"
            [1mID[0m      [1mN[0m  [1mTO[0m
            a       1  [31mann@dest…[0m
            lon…  10…  [31m\u{1b}[3…[0m
            日…        [31mbücher\u…[0m
        "#]],
        );
    }

    #[test]
    fn cutting_counts_columns() {
        assert_eq!(cut("abcdef", 4), "abc…");
        assert_eq!(cut("abcd", 4), "abcd");
        assert_eq!(cut("日本語", 5), "日本…");
        assert_eq!(cut("abc", 0), "");
    }
}
