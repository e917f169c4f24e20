//! Recipients as rows of a table; which columns there are depends on the width.

use std::io::{self, Write};

use crate::admin::api::QueueEntry;
use crate::cli::screen::{Cell, Column, Paint, Screen, Table, ahead, octets, span};

/// Length of a queue id.
const ID_COLUMNS: usize = 26;

/// Recipients, one a row.
pub(super) struct Entries {
    fields: &'static [Field],
    table: Table,
    screen: Screen,
}

#[derive(Clone, Copy)]
enum Field {
    Id,
    State,
    Tries,
    Age,
    Next,
    Size,
    From,
    To,
    Reply,
}

impl Field {
    /// What is most worth its room comes first as the terminal grows.
    fn that_fit(width: Option<usize>) -> &'static [Field] {
        use Field::{Age, From, Id, Next, Reply, Size, State, To, Tries};
        match width {
            Some(0..60) => &[Id, To],
            Some(60..110) => &[Id, State, Age, Next, To],
            Some(110..150) => &[Id, State, Age, Next, To, Reply],
            Some(150..190) => &[Id, State, Tries, Age, Next, From, To, Reply],
            Some(_) | None => &[Id, State, Tries, Age, Next, Size, From, To, Reply],
        }
    }

    fn column(self) -> Column {
        let (title, least, share, right) = match self {
            Field::Id => ("ID", ID_COLUMNS, 0, false),
            Field::State => ("STATE", 9, 0, false),
            Field::Tries => ("TRIES", 5, 0, true),
            Field::Age => ("AGE", 4, 0, true),
            Field::Next => ("NEXT", 6, 0, false),
            Field::Size => ("SIZE", 5, 0, true),
            Field::From => ("FROM", 8, 2, false),
            Field::To => ("TO", 8, 3, false),
            Field::Reply => ("LAST REPLY", 10, 4, false),
        };
        Column {
            title,
            least,
            share,
            right,
        }
    }

    fn cell(self, entry: &QueueEntry, screen: &Screen) -> Cell {
        Cell::plain(match self {
            Field::Id => entry.id.clone(),
            Field::State => return Cell::painted(Paint::of_state(&entry.state), &*entry.state),
            Field::Tries => entry.attempts.to_string(),
            Field::Age => span(entry.age_seconds),
            Field::Next => match &entry.next_attempt {
                Some(next) => ahead(next, screen.now),
                None => "-".to_owned(),
            },
            Field::Size => octets(entry.size),
            Field::From => format!("<{}>", entry.from),
            Field::To => entry.to.clone(),
            Field::Reply => match &entry.last_reply {
                Some(reply) => reply.clone(),
                None => "-".to_owned(),
            },
        })
    }
}

impl Entries {
    pub(super) fn new(screen: Screen) -> Entries {
        let fields = Field::that_fit(screen.width);
        let columns: Vec<Column> = fields.iter().map(|field| field.column()).collect();
        Entries {
            fields,
            table: Table::new(&columns, screen),
            screen,
        }
    }

    pub(super) fn titles(&self, out: &mut impl Write) -> io::Result<()> {
        self.table.titles(out)
    }

    pub(super) fn row(&self, entry: &QueueEntry, out: &mut impl Write) -> io::Result<()> {
        let cells = self.fields.iter();
        self.table
            .row(cells.map(|field| field.cell(entry, &self.screen)), out)
    }
}

#[cfg(test)]
pub(super) mod tests {
    use expect_test::{Expect, expect};

    use super::*;
    use crate::mail::UnixMillis;

    /// 2026-11-25T12:00:00Z
    pub(in crate::cli::queue) const NOON: UnixMillis = UnixMillis(1_795_608_000_000);

    pub(in crate::cli::queue) fn entry(to: &str, state: &str) -> QueueEntry {
        QueueEntry {
            id: "01KBKZ4X2Q7V8N3M5T6R9WYEAF".to_owned(),
            from: "ann@gp.test".to_owned(),
            to: to.to_owned(),
            destination: "dest.test".to_owned(),
            state: state.to_owned(),
            attempts: 2,
            arrived: "2026-11-25T11:30:00Z".to_owned(),
            next_attempt: (state == "deferred").then(|| "2026-11-25T12:04:10Z".to_owned()),
            last_attempt: Some("2026-11-25T11:56:00Z".to_owned()),
            last_reply: Some("451 4.7.1 come again".to_owned()),
            remote: Some("mx1.dest.test[192.0.2.1]:25".to_owned()),
            size: 2_500,
            age_seconds: 1_800,
        }
    }

    #[track_caller]
    fn check(width: Option<usize>, want: Expect) {
        let screen = Screen {
            width,
            colour: false,
            now: NOON,
        };
        let entries = Entries::new(screen);
        let mut out = Vec::new();
        entries.titles(&mut out).unwrap();
        let long = "somebody.with.a.very.long.name@department.of.dest.test";
        for (to, state) in [("bob@dest.test", "deferred"), (long, "held")] {
            entries.row(&entry(to, state), &mut out).unwrap();
        }
        let printed = String::from_utf8(out).unwrap();
        for line in printed.lines() {
            assert!(
                line.chars().count() <= width.unwrap_or(usize::MAX),
                "{line}"
            );
        }
        want.assert_eq(&printed);
    }

    #[test]
    fn columns_come_with_the_width_of_the_terminal() {
        check(
            Some(40),
            expect![[r#"
            ID                          TO
            01KBKZ4X2Q7V8N3M5T6R9WYEAF  bob@dest.te…
            01KBKZ4X2Q7V8N3M5T6R9WYEAF  somebody.wi…
        "#]],
        );
        check(
            Some(80),
            expect![[r#"
            ID                          STATE       AGE  NEXT    TO
            01KBKZ4X2Q7V8N3M5T6R9WYEAF  deferred    30m  in 4m   bob@dest.test
            01KBKZ4X2Q7V8N3M5T6R9WYEAF  held        30m  -       somebody.with.a.very.long.…
        "#]],
        );
        check(
            Some(120),
            expect![[r#"
            ID                          STATE       AGE  NEXT    TO                            LAST REPLY
            01KBKZ4X2Q7V8N3M5T6R9WYEAF  deferred    30m  in 4m   bob@dest.test                 451 4.7.1 come again
            01KBKZ4X2Q7V8N3M5T6R9WYEAF  held        30m  -       somebody.with.a.very.long.n…  451 4.7.1 come again
        "#]],
        );
        check(
            Some(160),
            expect![[r#"
            ID                          STATE      TRIES   AGE  NEXT    FROM                     TO                               LAST REPLY
            01KBKZ4X2Q7V8N3M5T6R9WYEAF  deferred       2   30m  in 4m   <ann@gp.test>            bob@dest.test                    451 4.7.1 come again
            01KBKZ4X2Q7V8N3M5T6R9WYEAF  held           2   30m  -       <ann@gp.test>            somebody.with.a.very.long.name…  451 4.7.1 come again
        "#]],
        );
        check(
            None,
            expect![[r#"
            ID                          STATE      TRIES   AGE  NEXT     SIZE  FROM      TO        LAST REPLY
            01KBKZ4X2Q7V8N3M5T6R9WYEAF  deferred       2   30m  in 4m    2.4K  <ann@gp.test>  bob@dest.test  451 4.7.1 come again
            01KBKZ4X2Q7V8N3M5T6R9WYEAF  held           2   30m  -        2.4K  <ann@gp.test>  somebody.with.a.very.long.name@department.of.dest.test  451 4.7.1 come again
        "#]],
        );
    }
}
