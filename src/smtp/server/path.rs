//! The paths of MAIL and RCPT: angle brackets, source routes, postmaster (RFC 5321 4.1.2).

use crate::mail::{Address, AddressError, Domain, ReversePath, Spelling};

/// What stands behind `FROM:` or `TO:`, taken apart.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct PathAndParameters<'a> {
    path: Path<'a>,
    /// Parameters, with the spaces between them.
    pub(super) parameters: &'a [u8],
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Path<'a> {
    /// What was between angle brackets.
    Bracketed(&'a [u8]),
    /// An address that came without them, as some clients send it.
    Bare(&'a [u8]),
}

/// Why there is no path and parameters.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum PathFault {
    /// The closing bracket or quote is missing.
    Unclosed,
    /// Something stands directly behind the closing bracket.
    NoSpace,
}

/// Takes `argument`, which is not empty and has no spaces at its ends, apart.
pub(super) fn split(argument: &[u8]) -> Result<PathAndParameters<'_>, PathFault> {
    let Some(inner) = argument.strip_prefix(b"<") else {
        let end = argument.iter().position(|&b| b == b' ');
        let (path, parameters) = argument.split_at(end.unwrap_or(argument.len()));
        return Ok(PathAndParameters {
            path: Path::Bare(path),
            parameters,
        });
    };
    let end = closing_bracket(inner).ok_or(PathFault::Unclosed)?;
    let parameters = &inner[end + 1..];
    if !parameters.is_empty() && parameters[0] != b' ' {
        return Err(PathFault::NoSpace);
    }
    Ok(PathAndParameters {
        path: Path::Bracketed(&inner[..end]),
        parameters,
    })
}

impl PathAndParameters<'_> {
    /// As the path of MAIL.
    pub(super) fn reverse_path(&self, spelling: Spelling) -> Result<ReversePath, AddressError> {
        match self.path {
            Path::Bracketed(b"") => Ok(ReversePath::Null),
            Path::Bracketed(path) => routed(path, spelling).map(ReversePath::Mailbox),
            Path::Bare(path) => bare(path, spelling).map(ReversePath::Mailbox),
        }
    }

    /// As the path of RCPT; `host_name` is where `<Postmaster>` lives (RFC 5321 4.1.1.3).
    pub(super) fn forward_path(
        &self,
        spelling: Spelling,
        host_name: &Domain,
    ) -> Result<Address, AddressError> {
        match self.path {
            Path::Bracketed(path) => std::str::from_utf8(path)
                .ok()
                .and_then(|text| Address::postmaster(text, host_name))
                .map_or_else(|| routed(path, spelling), Ok),
            Path::Bare(path) => bare(path, spelling),
        }
    }
}

/// Where the first `>` outside a quoted string is.
fn closing_bracket(inner: &[u8]) -> Option<usize> {
    let mut quoted = false;
    let mut octets = inner.iter().enumerate();
    while let Some((at, octet)) = octets.next() {
        match octet {
            b'>' if !quoted => return Some(at),
            b'"' => quoted = !quoted,
            b'\\' if quoted => {
                octets.next();
            }
            _ => {}
        }
    }
    None
}

/// An address behind a source route, which is read and left out (RFC 5321 3.3, appendix C).
fn routed(path: &[u8], spelling: Spelling) -> Result<Address, AddressError> {
    if spelling == Spelling::Ascii && !path.is_ascii() {
        return Err(AddressError::NotAscii);
    }
    if !path.starts_with(b"@") {
        return Address::parse(path, spelling);
    }
    let colon = memchr::memchr(b':', path).ok_or(AddressError::Malformed)?;
    let (route, address) = (&path[..colon], &path[colon + 1..]);
    for hop in route.split(|&b| b == b',') {
        hop.strip_prefix(b"@")
            .and_then(|name| std::str::from_utf8(name).ok())
            .and_then(|name| Domain::parse(name).ok())
            .ok_or(AddressError::Malformed)?;
    }
    Address::parse(address, spelling)
}

/// Without brackets only what needs none is taken, so that nothing is guessed.
fn bare(path: &[u8], spelling: Spelling) -> Result<Address, AddressError> {
    if path.starts_with(b"\"") || path.ends_with(b"]") {
        return Err(AddressError::Malformed);
    }
    Address::parse(path, spelling)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn host() -> Domain {
        Domain::parse("gp.test").unwrap()
    }

    fn read(argument: &str) -> Result<String, String> {
        let split = split(argument.as_bytes()).map_err(|fault| format!("{fault:?}"))?;
        split
            .forward_path(Spelling::Ascii, &host())
            .map(|address| address.to_string())
            .map_err(|error| format!("{error:?}"))
    }

    #[track_caller]
    fn good(argument: &str, want: &str) {
        assert_eq!(read(argument), Ok(want.to_owned()));
    }

    #[track_caller]
    fn bad(argument: &str, want: &str) {
        assert_eq!(read(argument), Err(want.to_owned()), "{argument}");
    }

    #[test]
    fn brackets_end_outside_quotes() {
        // W-3.06
        good("<a@dest.test>", "a@dest.test");
        good(r#"<"a b"@dest.test>"#, r#""a b"@dest.test"#);
        good(r#"<"a@b"@dest.test>"#, r#""a@b"@dest.test"#);
        good(r#"<"a\"b"@dest.test>"#, r#""a\"b"@dest.test"#);
        good(r#"<"a>b"@dest.test>"#, r#""a>b"@dest.test"#);
        good(r#"<""@dest.test>"#, r#"""@dest.test"#);
    }

    #[test]
    fn source_routes_are_left_out() {
        // W-3.08
        good("<@x.test,@y.test:u@dest.test>", "u@dest.test");
        good("<@x.test:u@dest.test>", "u@dest.test");
        bad("<@x.test u@d.test>", "Malformed");
        bad("<x.test:u@d.test>", "Malformed");
        bad("<@x.test,y.test:u@d.test>", "Malformed");
        bad("<@x.test,:u@d.test>", "Malformed");
        bad("<@:u@d.test>", "Malformed");
        bad("<@x.test:>", "Malformed");
        bad("<@x.test:postmaster>", "Malformed");
    }

    #[test]
    fn postmaster_needs_no_domain() {
        // W-3.02, W-3.03
        good("<Postmaster>", "Postmaster@gp.test");
        good("<POSTMASTER>", "POSTMASTER@gp.test");
        bad("<ann>", "Malformed");
        bad("postmaster", "Malformed");
    }

    #[test]
    fn percent_and_bang_are_nothing_special() {
        // W-3.09
        good("<u%other.test@dest.test>", "u%other.test@dest.test");
        good("<other.test!u@dest.test>", "other.test!u@dest.test");
    }

    #[test]
    fn brackets_may_be_missing_around_a_plain_address() {
        // W-2.13
        good("b@dest.test", "b@dest.test");
        bad(r#""b"@dest.test"#, "Malformed");
        bad("b@[127.0.0.1]", "Malformed");
    }

    #[test]
    fn malformed_paths_are_refused() {
        // W-3.07, W-3.10, W-3.11
        for path in [
            "<>",
            "< >",
            "<@dest.test>",
            "<a@>",
            "<a@@b.test>",
            "<a@b@c.test>",
            "<a b@dest.test>",
            "<.a@dest.test>",
            "<a..b@dest.test>",
            "<a@dest..test>",
            "<a@.dest.test>",
            "<a@dest.test.>",
            "<a@-x.test>",
            "a@dest.test>",
            "<a(c)@dest.test>",
            "Name <a@dest.test>",
            "<u@[127.0.0.256]>",
            "<u@[IPv6:zz]>",
            "<u@[foo]>",
            "<u@[]>",
            "<u@[127.0.0.1>",
        ] {
            bad(path, "Malformed");
        }
        bad("<a@dest.test", "Unclosed");
        bad("<\"a@dest.test>", "Unclosed");
        bad("<a@gp.test>SIZE=1", "NoSpace");
        bad("<\u{fc}@dest.test>", "NotAscii");
        bad("<@b\u{fc}cher.test:u@dest.test>", "NotAscii");
    }

    #[test]
    fn only_mail_knows_the_null_path() {
        // W-3.01, W-3.02
        let reverse = |argument: &str| {
            split(argument.as_bytes())
                .unwrap()
                .reverse_path(Spelling::Ascii)
        };
        assert_eq!(reverse("<>"), Ok(ReversePath::Null));
        assert_eq!(reverse("<postmaster>"), Err(AddressError::Malformed));
        assert_eq!(reverse("<a@gp.test>").unwrap().to_string(), "a@gp.test");
    }
}
