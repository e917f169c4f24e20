//! What BDAT asks for (RFC 3030 2).

use super::reply::Say;
use super::submission::Submission;

/// A chunk: so many octets follow the command line, whatever is done with them.
#[derive(Debug)]
pub struct Chunk {
    /// How many.
    pub octets: u64,
    /// Whether the message ends with them.
    pub last: bool,
    /// Which message they belong to.
    pub part_of: PartOf,
}

/// Where the octets of a chunk go.
#[derive(Debug)]
pub enum PartOf {
    /// Into the message that they begin.
    New(Box<Submission>),
    /// Into the message that the chunk before belongs to.
    Current,
    /// Nowhere: they are read off, never run, and this is said behind them.
    Nothing(Say),
}

/// Reads what stands behind BDAT: the count, and `LAST` or nothing. `None`: the count is unknown, so
/// nothing that follows can be understood. A count beyond `u64` is as good as none.
pub(super) fn parse(argument: &[u8]) -> Option<(u64, bool)> {
    let mut words = argument
        .split(|&b| b == b' ')
        .filter(|word| !word.is_empty());
    let digits = words.next().filter(|w| w.iter().all(u8::is_ascii_digit))?;
    let octets = std::str::from_utf8(digits).ok()?.parse().ok()?;
    let last = match words.next() {
        None => false,
        Some(word) if word.eq_ignore_ascii_case(b"LAST") => true,
        Some(_) => return None,
    };
    words.next().is_none().then_some((octets, last))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_count_is_read_strictly() {
        // W-10.01, W-10.04
        for (argument, want) in [
            ("0", Some((0, false))),
            ("0 LAST", Some((0, true))),
            ("86 last", Some((86, true))),
            ("0086  Last ", Some((86, true))),
            ("18446744073709551615", Some((u64::MAX, false))),
            ("18446744073709551616", None),
            ("99999999999999999999999999 LAST", None),
            ("", None),
            ("x", None),
            ("-1", None),
            ("+1", None),
            ("1x", None),
            ("1.0", None),
            ("0x10", None),
            ("1\tLAST", None),
            ("LAST", None),
            ("LAST 1", None),
            ("1 FIRST", None),
            ("1 LAST LAST", None),
            ("1 2", None),
        ] {
            assert_eq!(parse(argument.as_bytes()), want, "{argument}");
        }
    }
}
