//! What the process was started in, as far as it is no configuration: terminal, user, wishes for
//! printing.

use std::io::IsTerminal as _;

use rustix::termios::tcgetwinsize;

/// Whoever became this user by sudo.
pub(super) fn sudo_user() -> Option<String> {
    variable("SUDO_USER")
}

/// Width of the terminal that standard output is, in columns.
pub(super) fn output_columns() -> Option<usize> {
    let output = std::io::stdout();
    if !output.is_terminal() {
        return None;
    }
    let told = variable("COLUMNS").and_then(|columns| columns.parse().ok());
    let columns = told.or_else(|| tcgetwinsize(&output).ok().map(|size| size.ws_col.into()));
    Some(columns.filter(|columns| *columns > 0).unwrap_or(80))
}

/// Width of the terminal that standard error is, in columns.
pub(super) fn error_columns() -> Option<usize> {
    let error = std::io::stderr();
    if !error.is_terminal() {
        return None;
    }
    let columns = tcgetwinsize(&error).ok().map(|size| size.ws_col.into());
    Some(columns.filter(|columns| *columns > 0).unwrap_or(80))
}

/// Whether somebody is there to answer: he sees standard error and types at standard input.
pub(super) fn somebody_is_there() -> bool {
    std::io::stdin().is_terminal() && std::io::stderr().is_terminal()
}

/// Whether colours are wanted, on a terminal (<https://no-color.org>).
pub(super) fn colours_are_wanted() -> bool {
    variable("NO_COLOR").is_none() && variable("TERM").is_none_or(|terminal| terminal != "dumb")
}

/// A variable that is not empty.
fn variable(name: &str) -> Option<String> {
    let value = std::env::var_os(name)?.into_string().ok()?;
    (!value.is_empty()).then_some(value)
}
