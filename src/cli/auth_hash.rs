//! `gopherpost auth hash`: a password into what may stand in the configuration instead of it.

use std::io::{self, BufRead, Read as _, Write};

use argon2::{Argon2, PasswordHasher as _};
use clap::Subcommand;
use rustix::process::{Signal, getpid, kill_process};
use rustix::termios::{
    LocalModes, OptionalActions, SpecialCodeIndex, Termios, tcgetattr, tcsetattr,
};

use crate::config::ScramVerifier;
use crate::mail::limits::SCRAM_ITERATIONS;
use crate::smtp::server::auth::ScramKeys;

use super::ending::{CommandError, Outcome};

/// Longest password, in bytes; the same as in the configuration.
const PASSWORD_BYTES_MAX: usize = 1_024;

#[derive(Subcommand)]
pub(super) enum AuthCommand {
    /// Read a password from standard input, and print what SMTP_AUTH_USERS takes instead of it
    ///
    /// Write it behind the user's name and a colon; in .env, the whole value in single quotes.
    Hash {
        /// Print a SCRAM verifier, which leaves SCRAM-SHA-256 possible, instead of an argon2 hash
        #[arg(long)]
        scram: bool,
    },
}

/// Does it.
pub(super) fn run(command: &AuthCommand) -> Outcome {
    let AuthCommand::Hash { scram } = command;
    let kind = if *scram { Kind::Scram } else { Kind::Argon2 };
    auth_hash(kind, &mut io::stdout().lock()).map_err(CommandError::failed)
}

/// What to make of a password.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    /// `$argon2id$...`
    Argon2,
    /// `SCRAM-SHA-256$...`
    Scram,
}

/// Why there is no hash.
#[derive(Debug, thiserror::Error)]
enum HashError {
    #[error("expected a password of 1 to {PASSWORD_BYTES_MAX} bytes on one line of standard input")]
    NoPassword,
    #[error("the two passwords are not the same")]
    Different,
    #[error("the password has a control character, or is no UTF-8")]
    Unfit,
    #[error("interrupted")]
    Interrupted(Signal),
    #[error("{0}")]
    Io(#[from] io::Error),
    #[error("argon2: {0}")]
    Argon2(argon2::password_hash::Error),
}

/// Reads a password from standard input, on a terminal twice and without showing it, and prints
/// what was made of it to `out`.
///
/// # Errors
/// There is no fit password, or it can't be read, or nothing can be written.
fn auth_hash(kind: Kind, out: &mut impl Write) -> Result<(), HashError> {
    let mut input = io::stdin().lock();
    let password = match Silence::begin() {
        Some(silence) => {
            let asked = ask_twice(&silence, &mut input);
            drop(silence);
            if let Err(HashError::Interrupted(signal)) = asked {
                // The end that this key has elsewhere; whoever ignores it goes on to the error.
                let _ = kill_process(getpid(), signal);
            }
            asked?
        }
        None => password(&read_line(&mut input, |_| None)?)?,
    };
    writeln!(out, "{}", hash(kind, &password)?)?;
    Ok(out.flush()?)
}

fn ask_twice(silence: &Silence, input: &mut impl BufRead) -> Result<String, HashError> {
    let first = silence.ask("Password: ", input)?;
    let again = silence.ask("Again: ", input)?;
    if first != again {
        return Err(HashError::Different);
    }
    Ok(first)
}

/// A line with its end, as far as it is not too long. What `interrupts` knows ends all at once.
fn read_line(
    input: &mut impl BufRead,
    interrupts: impl Fn(u8) -> Option<Signal>,
) -> Result<Vec<u8>, HashError> {
    let mut line = Vec::new();
    for octet in input.bytes().take(PASSWORD_BYTES_MAX + 2) {
        let octet = octet?;
        if let Some(signal) = interrupts(octet) {
            return Err(HashError::Interrupted(signal));
        }
        line.push(octet);
        if octet == b'\n' {
            break;
        }
    }
    Ok(line)
}

fn password(line: &[u8]) -> Result<String, HashError> {
    let line = line.strip_suffix(b"\n").unwrap_or(line);
    let line = line.strip_suffix(b"\r").unwrap_or(line);
    if line.is_empty() || line.len() > PASSWORD_BYTES_MAX {
        return Err(HashError::NoPassword);
    }
    match std::str::from_utf8(line) {
        Ok(password) if !password.chars().any(char::is_control) => Ok(password.to_owned()),
        Ok(_) | Err(_) => Err(HashError::Unfit),
    }
}

fn hash(kind: Kind, password: &str) -> Result<String, HashError> {
    match kind {
        Kind::Argon2 => Argon2::default()
            .hash_password(password.as_bytes())
            .map(|hash| hash.to_string())
            .map_err(HashError::Argon2),
        Kind::Scram => {
            let salt: [u8; 16] = rand::random();
            let keys = ScramKeys::derive(password.as_bytes(), &salt, SCRAM_ITERATIONS);
            let verifier = ScramVerifier {
                iterations: keys.iterations,
                salt: keys.salt,
                stored_key: keys.stored_key,
                server_key: keys.server_key,
            };
            Ok(verifier.to_string())
        }
    }
}

/// A terminal that shows nothing of what is typed, until this is dropped. So that it is dropped,
/// the keys that end a program are read as the end of a line here, and send no signal.
struct Silence {
    before: Termios,
}

const ENDING_KEYS: [(SpecialCodeIndex, SpecialCodeIndex, Signal); 2] = [
    (SpecialCodeIndex::VINTR, SpecialCodeIndex::VEOL, Signal::INT),
    (
        SpecialCodeIndex::VQUIT,
        SpecialCodeIndex::VEOL2,
        Signal::QUIT,
    ),
];

impl Silence {
    /// `None`: standard input is no terminal.
    fn begin() -> Option<Silence> {
        let before = tcgetattr(io::stdin()).ok()?;
        let mut silent = before.clone();
        silent
            .local_modes
            .remove(LocalModes::ECHO | LocalModes::ISIG);
        silent.local_modes.insert(LocalModes::ECHONL);
        for (key, line_end, _) in ENDING_KEYS {
            silent.special_codes[line_end] = before.special_codes[key];
        }
        tcsetattr(io::stdin(), OptionalActions::Flush, &silent).ok()?;
        Some(Silence { before })
    }

    fn ask(&self, prompt: &str, input: &mut impl BufRead) -> Result<String, HashError> {
        let mut terminal = io::stderr().lock(); // what is made goes to standard output
        write!(terminal, "{prompt}")?;
        terminal.flush()?;
        let line = read_line(input, |octet| self.interrupts(octet));
        if let Err(HashError::Interrupted(_)) = line {
            writeln!(terminal)?;
        }
        password(&line?)
    }

    /// The signal for which this key is on the terminal.
    fn interrupts(&self, octet: u8) -> Option<Signal> {
        let keys = ENDING_KEYS.iter();
        let mut keys = keys.filter(|(key, _, _)| self.before.special_codes[*key] == octet);
        // 0 is a key that is turned off.
        keys.next()
            .filter(|_| octet != 0)
            .map(|(_, _, signal)| *signal)
    }
}

impl Drop for Silence {
    fn drop(&mut self) {
        // If it can't be put right, there is nobody to tell.
        let _ = tcsetattr(io::stdin(), OptionalActions::Flush, &self.before);
    }
}

#[cfg(test)]
mod tests {
    use crate::config::{Config, Credential, Sources};

    use super::*;

    #[track_caller]
    fn check_configuration(kind: Kind, fits: impl Fn(&Credential) -> bool) {
        let made = hash(kind, "pass,wörd:1").unwrap();
        let users = format!("ann:{made},bob:x");
        let loaded = Config::load(&Sources::of([("SMTP_AUTH_USERS", users.as_str())])).unwrap();
        let users = loaded.config.auth.users;
        assert!(users.len() == 2 && fits(&users[0].credential), "{made}");
    }

    #[test]
    fn what_is_made_can_be_configured() {
        check_configuration(Kind::Argon2, |c| matches!(c, Credential::Argon2(_)));
        check_configuration(Kind::Scram, |c| matches!(c, Credential::Scram(_)));
    }

    #[test]
    fn a_password_is_one_line() {
        let read = |input: &str| {
            let line = read_line(&mut input.as_bytes(), |_| None).unwrap();
            password(&line).ok()
        };
        assert_eq!(read("a b\n").as_deref(), Some("a b"));
        assert_eq!(read("a b\r\nrest").as_deref(), Some("a b"));
        assert_eq!(read(" a").as_deref(), Some(" a"));
        assert_eq!(
            read(&"x".repeat(PASSWORD_BYTES_MAX)),
            Some("x".repeat(PASSWORD_BYTES_MAX))
        );
        assert_eq!(read(&"x".repeat(PASSWORD_BYTES_MAX + 1)), None);
        for unfit in ["", "\n", "a\tb\n", "a\0b"] {
            assert_eq!(read(unfit), None, "{unfit:?}");
        }
    }
}
