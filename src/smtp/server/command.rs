//! One command line, read strictly (RFC 5321 4.1.1): what is asked for, or the reply that says why
//! it is no command. Paths and parameters are taken apart later, when it is known that the command
//! may be given at all.

use super::chunk;
use super::reply::Say;

/// A command, with what stands behind its verb.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Command<'a> {
    /// The client's name, not empty.
    Helo(&'a [u8]),
    /// The client's name, not empty.
    Ehlo(&'a [u8]),
    /// What stands behind `FROM:`, not empty.
    Mail(&'a [u8]),
    /// What stands behind `TO:`, not empty.
    Rcpt(&'a [u8]),
    Data,
    /// So many octets follow, and whether they are the last of the message.
    Bdat {
        octets: u64,
        last: bool,
    },
    StartTls,
    /// Mechanism and initial response, perhaps nothing.
    Auth(&'a [u8]),
    Rset,
    Noop,
    Vrfy,
    Help,
    Quit,
}

/// Reads `line`, which has no CRLF and no controls but TAB.
pub(super) fn parse(line: &[u8]) -> Result<Command<'_>, Say> {
    let line = without_blanks_at_end(line);
    let verb_end = memchr::memchr(b' ', line).unwrap_or(line.len());
    let (verb, argument) = line.split_at(verb_end);
    let argument = without_spaces_at_start(argument);
    if verb.is_empty() || !verb.is_ascii() {
        return Err(Say::BadLine);
    }
    let mut upper = [0; LONGEST_VERB];
    let Some(upper) = upper.get_mut(..verb.len()) else {
        return Err(unknown(line));
    };
    upper.copy_from_slice(verb);
    upper.make_ascii_uppercase();
    match &*upper {
        b"MAIL" => path_argument(argument, b"FROM:").map(Command::Mail),
        b"RCPT" => path_argument(argument, b"TO:").map(Command::Rcpt),
        b"DATA" => alone(argument, Command::Data),
        b"EHLO" => first_word(argument).map(Command::Ehlo),
        b"HELO" => first_word(argument).map(Command::Helo),
        b"BDAT" => match chunk::parse(argument) {
            Some((octets, last)) => Ok(Command::Bdat { octets, last }),
            None => Err(Say::BadChunk),
        },
        b"AUTH" => Ok(Command::Auth(argument)),
        b"RSET" => alone(argument, Command::Rset),
        b"STARTTLS" => alone(argument, Command::StartTls),
        b"QUIT" => alone(argument, Command::Quit),
        b"NOOP" => Ok(Command::Noop),
        b"HELP" => Ok(Command::Help),
        b"VRFY" if argument.is_empty() => Err(Say::BadArgument),
        b"VRFY" => Ok(Command::Vrfy),
        // Known to RFCs, not offered here.
        b"EXPN" | b"ETRN" | b"TURN" | b"ATRN" | b"SEND" | b"SOML" | b"SAML" | b"BURL" => {
            Err(Say::NotImplemented)
        }
        _ => Err(unknown(line)),
    }
}

/// Of the verbs that are known.
const LONGEST_VERB: usize = b"STARTTLS".len();

/// A browser or a confused proxy is not argued with: what follows its first line is its own
/// business and must not be taken for commands.
fn unknown(line: &[u8]) -> Say {
    match line {
        [
            ..,
            b' ',
            b'H',
            b'T',
            b'T',
            b'P',
            b'/',
            b'1' | b'2',
            b'.',
            b'0'..=b'9',
        ] => Say::Http,
        _ => Say::UnknownCommand,
    }
}

fn alone<'a>(argument: &[u8], command: Command<'a>) -> Result<Command<'a>, Say> {
    argument
        .is_empty()
        .then_some(command)
        .ok_or(Say::BadArgument)
}

fn first_word(argument: &[u8]) -> Result<&[u8], Say> {
    argument
        .split(|b| matches!(b, b' ' | b'\t'))
        .next()
        .filter(|word| !word.is_empty())
        .ok_or(Say::BadArgument)
}

/// What stands behind `FROM:` or `TO:`; a space before it is common and harmless.
fn path_argument<'a>(argument: &'a [u8], keyword: &[u8]) -> Result<&'a [u8], Say> {
    argument
        .split_at_checked(keyword.len())
        .filter(|(start, _)| start.eq_ignore_ascii_case(keyword))
        .map(|(_, path)| without_spaces_at_start(path))
        .filter(|path| !path.is_empty())
        .ok_or(Say::BadArgument)
}

fn without_spaces_at_start(octets: &[u8]) -> &[u8] {
    let start = octets.iter().position(|&b| b != b' ');
    &octets[start.unwrap_or(octets.len())..]
}

fn without_blanks_at_end(octets: &[u8]) -> &[u8] {
    let last = octets.iter().rposition(|&b| b != b' ' && b != b'\t');
    &octets[..last.map_or(0, |at| at + 1)]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn good(line: &str, want: Command<'_>) {
        assert_eq!(parse(line.as_bytes()), Ok(want), "{line}");
    }

    #[track_caller]
    fn bad(lines: &[&[u8]], want: Say) {
        for line in lines {
            assert_eq!(parse(line), Err(want), "{}", line.escape_ascii());
        }
    }

    #[test]
    fn case_and_blanks_are_forgiven() {
        // W-2.10
        good("noop", Command::Noop);
        good("NoOp any text", Command::Noop);
        good("DATA \t ", Command::Data);
        good("RSET", Command::Rset);
        good("auth", Command::Auth(b""));
        good("Auth plain  AGE=  ", Command::Auth(b"plain  AGE="));
        good("quit ", Command::Quit);
        good("mail from:<a@b>", Command::Mail(b"<a@b>"));
        good(
            "MAIL   FROM: <a@b> SIZE=1 \t",
            Command::Mail(b"<a@b> SIZE=1"),
        );
        good("Rcpt To:  <a@b>", Command::Rcpt(b"<a@b>"));
    }

    #[test]
    fn any_name_is_taken() {
        // W-2.05, W-2.06
        for name in [
            "client.test",
            "single",
            "[127.0.0.1]",
            "[IPv6:::1]",
            "127.0.0.1",
            "::1",
            "under_score.test",
            "trailing.test.",
        ] {
            good(&format!("EHLO {name}"), Command::Ehlo(name.as_bytes()));
            good(&format!("helo {name} x y"), Command::Helo(name.as_bytes()));
        }
        good("HELO  [IPv6:::1] and more", Command::Helo(b"[IPv6:::1]"));
        good(
            "EHLO a(b)\";\u{e9}",
            Command::Ehlo("a(b)\";\u{e9}".as_bytes()),
        );
    }

    #[test]
    fn missing_and_needless_arguments_are_told() {
        // W-2.04, W-2.11, W-2.12, W-2.15, W-2.16
        bad(
            &[
                b"EHLO",
                b"HELO",
                b"EHLO   ",
                b"MAIL",
                b"RCPT",
                b"MAIL FROM:",
                b"MAIL FROM:  ",
                b"RCPT TO:",
                b"MAIL FROM <a@b>",
                b"MAIL FROM :<a@b>",
                b"MAIL FORM:<a@b>",
                b"MAIL FRO",
                b"RCPT FROM:<a@b>",
                b"RSET x",
                b"DATA x",
                b"QUIT x",
                b"STARTTLS x",
                b"VRFY",
            ],
            Say::BadArgument,
        );
        good("VRFY x", Command::Vrfy);
        good("HELP MAIL", Command::Help);
    }

    #[test]
    fn other_verbs_are_unknown_or_not_implemented() {
        // W-2.14, W-2.28, W-2.30, W-9.02
        bad(
            &[
                b"FOO",
                b"NO OP",
                b"LHLO x",
                b"XCLIENT ADDR=::1",
                b"XFORWARD",
                b"PROXY TCP4",
                b"XEXCH50 1 2",
                b"NOOPNOOPNOOP",
                b"DATA\tx",
            ],
            Say::UnknownCommand,
        );
        bad(
            &[
                b"EXPN x",
                b"ETRN x",
                b"TURN",
                b"SEND FROM:<a@b>",
                b"soml",
                b"SAML",
            ],
            Say::NotImplemented,
        );
        bad(
            &[b"", b"  \t", b" NOOP", b"N\xc3\x96OP", b"\xff"],
            Say::BadLine,
        );
    }

    #[test]
    fn a_chunk_has_its_count() {
        // W-10.04
        for (line, octets, last) in [("BDAT 5", 5, false), ("bdat  0 last \t", 0, true)] {
            good(line, Command::Bdat { octets, last });
        }
        bad(&[b"BDAT", b"BDAT x", b"BDAT 1 FIRST"], Say::BadChunk);
    }

    #[test]
    fn http_is_known_by_the_end_of_its_first_line() {
        // W-1.09
        bad(
            &[
                b"GET / HTTP/1.1",
                b"POST /x HTTP/1.0",
                b"CONNECT mx:25 HTTP/1.1",
            ],
            Say::Http,
        );
        good("HELP HTTP/1.1", Command::Help);
    }
}
