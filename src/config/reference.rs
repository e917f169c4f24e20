//! The variables for readers: `.env.example` and `docs/configuration.md`.

use std::fmt::Write as _;

use super::table::ALL;
use super::variable::{About, DefaultValue, Section};

/// Longest line of `.env.example`, in characters; a default that is longer stays in one piece.
const LINE_CHARS_MAX: usize = 98;

/// The text of `.env.example`: every variable with its default, commented out.
#[must_use]
pub fn env_example() -> String {
    let mut text = String::from(
        "\
# GopherPost: every variable, with its default. Copy this file to .env in the working directory,
# and take the # away from what you change. What is set in the real environment wins over .env.
# Values with blanks, # or $ stand in single quotes. `gopherpost config check` tells what is in
# force and what is wrong. docs/configuration.md says how values are written.
#
# Made from src/config/table.rs: don't edit it here.
",
    );
    for section in Section::ALL {
        let title = section.title();
        write_line(&mut text, "");
        write_line(&mut text, &format!("# --- {title} ---"));
        for about in of_section(section) {
            write_line(&mut text, "");
            write_wrapped(&mut text, about.meaning);
            write_wrapped(&mut text, &format!("Expected: {}.", about.expected));
            let value = match about.default {
                DefaultValue::Text(value) => quoted(value),
                DefaultValue::HostName
                | DefaultValue::ControlSocket
                | DefaultValue::LogicalCpus => {
                    let words = default_in_words(about.default);
                    write_wrapped(&mut text, &format!("Default: {words}."));
                    String::new()
                }
            };
            write_line(&mut text, &format!("#{}={value}", about.name));
        }
    }
    text
}

/// The text of `docs/configuration.md`.
#[must_use]
pub fn configuration_page() -> String {
    let mut text = String::from(
        "\
# Configuration

<!-- Made from src/config/table.rs and src/config/reference.rs: don't edit it here.
     To make it again: UPDATE_EXPECT=1 cargo test --locked --lib config::reference -->

GopherPost reads environment variables, and the file `.env` in its working directory. What is set
in the environment wins over `.env`. Nothing else of `.env` than variables that begin with `SMTP_`
is used, and what is in it does not become part of the environment.

A command other than `serve`, where neither the environment nor `.env` has such a variable, takes
`/etc/gopherpost/gopherpost.env` if it is there, and looks for the control socket in `/run/gopherpost`: so
`gopherpost queue list` finds the relay that is installed as a service. Whoever asks a running relay needs only
`SMTP_CONTROL_SOCKET` to be right.

`gopherpost config check` prints every variable with what is in force and where it comes from, then
warnings, then all problems at once. It exits with 0 if the relay would start, otherwise with 1.

## How values are written

- An empty value is the same as none.
- Booleans are `true` or `false`.
- Times have a unit: `250ms`, `30s`, `5m`, `4h`, `5d`, or several, the larger first: `1h30m`.
- Sizes are bytes, or have a unit with or without a blank before it: `64 KiB`, `10MiB`, `1 GiB`.
- Lists are separated by commas. Blanks around an item don't count; an empty item is a problem.
- Networks are written as `10.0.0.0/8` or `2001:db8::/32`; an address alone is a network of one.
  Bits behind the prefix don't count, and `::ffff:10.0.0.0/104` is the same as `10.0.0.0/8`.
- In `.env`, a value with blanks, `#` or `$` stands in single quotes: `SMTP_BANNER='at your service'`.
  A malformed line stops the start.
- A secret `X` can stand in a file that `X_FILE` names; a line end at the end of the file does not
  belong to it. Setting both is a problem. Secrets are never printed. They are
  `SMTP_AUTH_USERS`, `SMTP_RELAY_PASSWORD` and `SMTP_DKIM_PRIVATE_KEY`.

## Changes while the relay runs

`gopherpost reload`, or SIGHUP, makes the running relay read `.env`, or the file that `SMTP_ENV_FILE` names,
again, and the files that `X_FILE` names, certificates and keys. What is `live` in the tables below is in force
from then on; what says `restart` keeps its value until the relay is started again. See [reload.md](reload.md).

## Mistakes

A variable that begins with `SMTP_` and is not known has no effect, and brings a warning with the
nearest name that is known. One that only a later version has brings a warning, too.
Every other mistake stops the start.
",
    );
    for section in Section::ALL {
        let title = section.title();
        write_line(&mut text, "");
        write_line(&mut text, &format!("## {title}"));
        write_line(&mut text, "");
        write_line(
            &mut text,
            "| variable | default | live | meaning | expected |",
        );
        write_line(&mut text, "| --- | --- | --- | --- | --- |");
        for about in of_section(section) {
            let default = match about.default {
                DefaultValue::Text("") => String::new(),
                DefaultValue::Text(value) => format!("`{value}`"),
                DefaultValue::HostName
                | DefaultValue::ControlSocket
                | DefaultValue::LogicalCpus => default_in_words(about.default).to_owned(),
            };
            let live = if about.live { "live" } else { "restart" };
            write_line(
                &mut text,
                &format!(
                    "| `{}` | {default} | {live} | {} | {} |",
                    about.name, about.meaning, about.expected
                ),
            );
        }
    }
    text
}

fn of_section(section: Section) -> impl Iterator<Item = &'static About> {
    let of_section = move |about: &&&About| about.section == section;
    ALL.iter().filter(of_section).copied()
}

fn default_in_words(default: DefaultValue) -> &'static str {
    match default {
        DefaultValue::Text(text) => text,
        DefaultValue::HostName => "the system's host name",
        DefaultValue::ControlSocket => {
            "control.sock in $RUNTIME_DIRECTORY, else in the queue's directory"
        }
        DefaultValue::LogicalCpus => "the number of logical CPUs",
    }
}

/// As a value of `.env`.
fn quoted(value: &str) -> String {
    if value.contains([' ', '#', '$']) {
        format!("'{value}'")
    } else {
        value.to_owned()
    }
}

fn write_line(text: &mut String, line: &str) {
    let _ = writeln!(text, "{line}"); // a String takes everything
}

/// Comment lines.
fn write_wrapped(text: &mut String, sentence: &str) {
    let mut line = String::from("#");
    for word in sentence.split(' ') {
        if line.chars().count() + 1 + word.chars().count() > LINE_CHARS_MAX {
            write_line(text, &line);
            line = String::from("#");
        }
        line.push(' ');
        line.push_str(word);
    }
    write_line(text, &line);
}

#[cfg(test)]
mod tests {
    use expect_test::expect_file;

    use super::super::{Config, Sources, dotenv};
    use super::*;

    #[test]
    fn env_example_is_made_from_the_table() {
        expect_file!["../../.env.example"].assert_eq(&env_example());
    }

    #[test]
    fn the_page_is_made_from_the_table() {
        expect_file!["../../docs/configuration.md"].assert_eq(&configuration_page());
    }

    #[test]
    fn env_example_without_its_comment_signs_changes_nothing() {
        let example = env_example().replace("\n#SMTP_", "\nSMTP_");
        let read = dotenv::parse(&example);
        assert_eq!(read.malformed_lines, [0_usize; 0]);
        assert_eq!(read.assignments.len(), ALL.len());
        let given = read.assignments.iter().map(|(n, v)| (&**n, &**v));
        let loaded = Config::load(&Sources::of(given)).unwrap();
        let default = Config::load(&Sources::of([])).unwrap();
        assert_eq!(
            format!("{:?}", loaded.config),
            format!("{:?}", default.config)
        );
        assert_eq!(loaded.warnings, default.warnings);
    }
}
