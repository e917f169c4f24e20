//! `gopherpost dkim`: making keys, and comparing what is published with them.

mod check;
mod generate;

use clap::Subcommand;

use crate::config::Sources;
use crate::mail::Domain;

use super::ending::{CommandError, Outcome, configuration};

#[derive(Subcommand)]
pub(super) enum DkimCommand {
    /// Make a key, and print the DNS record that publishes it. Nothing is ever overwritten
    Generate(generate::Generate),
    /// Compare the keys of the configuration with what is published; exit status 1 if something is
    /// wrong, 3 if there is no such key
    Check(check::Check),
}

/// Does it.
pub(super) fn run(command: &DkimCommand, sources: &Sources) -> Outcome {
    let mut out = std::io::stdout().lock();
    match command {
        DkimCommand::Generate(asked) => {
            generate::generate(asked, &mut out).map_err(CommandError::failed)
        }
        DkimCommand::Check(asked) => {
            let config = configuration(sources)?;
            match check::check(asked, &config, &mut out).map_err(CommandError::failed)? {
                0 => Ok(()),
                3 => Err(CommandError::NotFound(
                    "no such key: see SMTP_DKIM_KEYS, SMTP_DKIM_KEY_PATH".to_owned(),
                )),
                _ => Err(CommandError::Told),
            }
        }
    }
}

/// How many characters a string in a zone file may have (RFC 1035 3.3.14).
const STRING_CHARS_MAX: usize = 255;

/// A TXT record as a zone file has it; one that is too long for one string is cut into several,
/// which readers put together again.
fn zone_line(name: &Domain, text: &str) -> String {
    let mut strings = Vec::new();
    let mut rest = text;
    while !rest.is_empty() {
        let (string, behind) = rest.split_at(rest.floor_char_boundary(STRING_CHARS_MAX));
        strings.push(format!("\"{string}\""));
        rest = behind;
    }
    match &strings[..] {
        [one] => format!("{name}. IN TXT {one}"),
        several => format!("{name}. IN TXT ( {} )", several.join(" ")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn long_texts_are_several_strings() {
        let name = Domain::parse("s1._domainkey.a.test").unwrap();
        assert_eq!(
            zone_line(&name, "v=DKIM1; p=x"),
            "s1._domainkey.a.test. IN TXT \"v=DKIM1; p=x\""
        );
        let line = zone_line(&name, &"x".repeat(300));
        let (first, second) = ("x".repeat(255), "x".repeat(45));
        assert_eq!(
            line,
            format!("s1._domainkey.a.test. IN TXT ( \"{first}\" \"{second}\" )")
        );
    }
}
