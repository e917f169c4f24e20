//! Text of others that is safe to show, in the log and on a terminal.

use std::fmt::{self, Display, Write as _};

/// What others chose, such as addresses: a control, or what a viewer takes for the end of a line or for
/// another direction of the text, is escaped. `smtp` keeps those of ASCII out, SMTPUTF8 has more.
#[derive(Clone, Copy, Debug)]
pub struct Shown<T>(pub T);

impl<T: Display> Display for Shown<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(Escaping(f), "{}", self.0)
    }
}

struct Escaping<'a, 'b>(&'a mut fmt::Formatter<'b>);

impl fmt::Write for Escaping<'_, '_> {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        for character in text.chars() {
            if is_deceptive(character) {
                write!(self.0, "{}", character.escape_unicode())?;
            } else {
                self.0.write_char(character)?;
            }
        }
        Ok(())
    }
}

/// Whether a character is a control, or would be taken for the end of a line or for another direction
/// of the text.
#[must_use]
pub fn is_deceptive(character: char) -> bool {
    let marks = [
        '\u{200e}'..='\u{200f}',
        '\u{2028}'..='\u{202e}',
        '\u{2066}'..='\u{2069}',
    ];
    character.is_control() || marks.iter().any(|marks| marks.contains(&character))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_is_text_in_the_log_and_nothing_else() {
        // "Always (d)"
        for (address, want) in [
            ("ann@gp.test", "ann@gp.test"),
            ("\"a b\"@b\u{fc}cher.test", "\"a b\"@b\u{fc}cher.test"),
            ("a\u{9b}31m@gp.test", r"a\u{9b}31m@gp.test"),
            ("\u{85}\u{2028}@gp.test", r"\u{85}\u{2028}@gp.test"),
            ("\u{202e}\u{2066}@gp.test", r"\u{202e}\u{2066}@gp.test"),
        ] {
            assert_eq!(Shown(address).to_string(), want);
        }
    }
}
