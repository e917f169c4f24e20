//! What a remote host offers in its reply to EHLO (RFC 5321 4.1.1.1).

use super::auth::OfferedMechanisms;
use super::reply_reader::RemoteReply;

/// Extensions offered. A keyword that is malformed or unknown does no harm: it offers nothing.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Extensions {
    /// PIPELINING (RFC 2920).
    pub pipelining: bool,
    /// SIZE (RFC 1870).
    pub size: Option<SizeLimit>,
    /// 8BITMIME (RFC 6152).
    pub eight_bit_mime: bool,
    /// SMTPUTF8 (RFC 6531).
    pub smtputf8: bool,
    /// STARTTLS (RFC 3207).
    pub starttls: bool,
    /// ENHANCEDSTATUSCODES (RFC 2034).
    pub enhanced_status_codes: bool,
    /// DSN (RFC 3461).
    pub dsn: bool,
    /// CHUNKING (RFC 3030).
    pub chunking: bool,
    /// BINARYMIME (RFC 3030).
    pub binary_mime: bool,
    /// REQUIRETLS (RFC 8689).
    pub require_tls: bool,
    /// AUTH (RFC 4954): the mechanisms that we know.
    pub auth: OfferedMechanisms,
    /// `RCPTMAX` of LIMITS (RFC 9422), if it is a sane number.
    pub recipients_max: Option<usize>,
    /// `MAILMAX`, the same: transactions in one session.
    pub transactions_max: Option<usize>,
}

/// The parameter of SIZE.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SizeLimit {
    /// None said, 0, or nothing that can be read as a number.
    Unknown,
    /// Octets.
    Octets(u64),
}

impl Extensions {
    /// Of a host that answered HELO only.
    #[must_use]
    pub fn none() -> Extensions {
        Extensions::default()
    }

    /// Reads a positive reply to EHLO. Its first line is the host's greeting and never a keyword.
    #[must_use]
    pub fn from_reply(reply: &RemoteReply) -> Extensions {
        let mut offered = Extensions::none();
        for line in reply.lines().skip(1) {
            if let Ok(line) = std::str::from_utf8(line) {
                offered.add(line);
            }
        }
        offered
    }

    fn add(&mut self, line: &str) {
        let mut words = line.split_ascii_whitespace();
        let keyword = words.next().unwrap_or("").to_ascii_uppercase();
        match keyword.as_str() {
            "PIPELINING" => self.pipelining = true,
            "SIZE" => self.size = Some(SizeLimit::parse(words.next())),
            "8BITMIME" => self.eight_bit_mime = true,
            "SMTPUTF8" => self.smtputf8 = true,
            "STARTTLS" => self.starttls = true,
            "ENHANCEDSTATUSCODES" => self.enhanced_status_codes = true,
            "DSN" => self.dsn = true,
            "CHUNKING" => self.chunking = true,
            "BINARYMIME" => self.binary_mime = true,
            "REQUIRETLS" => self.require_tls = true,
            "AUTH" => self.auth = OfferedMechanisms::parse(words),
            "LIMITS" => words.for_each(|word| self.add_limit(word)),
            _ => {}
        }
    }

    /// One limit. A number that is none, or leaves no room for mail, limits nothing.
    fn add_limit(&mut self, limit: &str) {
        let Some((name, value)) = limit.split_once('=') else {
            return;
        };
        let value = value.parse().ok().filter(|&value| value > 0);
        match name.to_ascii_uppercase().as_str() {
            "RCPTMAX" => self.recipients_max = value,
            "MAILMAX" => self.transactions_max = value,
            _ => {}
        }
    }
}

impl SizeLimit {
    fn parse(parameter: Option<&str>) -> SizeLimit {
        match parameter.and_then(|text| text.parse().ok()) {
            None | Some(0) => SizeLimit::Unknown,
            Some(octets) => SizeLimit::Octets(octets),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::reply_reader::ReplyReader;
    use super::*;

    #[track_caller]
    fn offered(lines: &[&str]) -> Extensions {
        let mut wire = String::from("250-mx.test at your service\r\n");
        for line in lines {
            wire += &format!("250-{line}\r\n");
        }
        wire += "250 HELP\r\n";
        let mut input = wire.as_bytes();
        let reply = ReplyReader::new().take(&mut input).unwrap().unwrap();
        Extensions::from_reply(&reply)
    }

    #[test]
    fn keywords_count_in_any_case_and_order() {
        // W-14.04
        let got = offered(&[
            "size 1000",
            "Pipelining",
            "8bitmime",
            "SMTPUTF8",
            "StartTLS",
            "dsn",
        ]);
        let want = Extensions {
            pipelining: true,
            size: Some(SizeLimit::Octets(1_000)),
            eight_bit_mime: true,
            smtputf8: true,
            starttls: true,
            dsn: true,
            ..Extensions::none()
        };
        assert_eq!(got, want);
    }

    #[test]
    fn the_first_line_is_never_a_keyword() {
        // W-14.04
        let mut input: &[u8] = b"250-PIPELINING greets you\r\n250 STARTTLS\r\n";
        let reply = ReplyReader::new().take(&mut input).unwrap().unwrap();
        let got = Extensions::from_reply(&reply);
        assert!(got.starttls && !got.pipelining);
        let mut input: &[u8] = b"250 PIPELINING\r\n";
        let reply = ReplyReader::new().take(&mut input).unwrap().unwrap();
        assert_eq!(Extensions::from_reply(&reply), Extensions::none());
    }

    #[test]
    fn mechanisms_of_auth_are_read() {
        // W-14.04, W-19.04
        let got = offered(&["auth login Plain XOAUTH2"]).auth;
        let want = OfferedMechanisms {
            login: true,
            plain: true,
            ..OfferedMechanisms::default()
        };
        assert_eq!(got, want);
        assert_eq!(offered(&["AUTH"]), Extensions::none());
    }

    #[test]
    fn malformed_and_unknown_keywords_do_no_harm() {
        // W-14.04
        let lines = [
            "AUTH=LOGIN",
            "",
            " ",
            "X-\u{1}",
            "PIPELINING=1",
            "XPIPELINING",
            "\u{fc}",
        ];
        assert_eq!(offered(&lines), Extensions::none());
    }

    #[test]
    fn size_without_a_sane_number_is_no_limit() {
        // W-14.04
        for line in [
            "SIZE",
            "SIZE abc",
            "SIZE 0",
            "SIZE -1",
            "SIZE 99999999999999999999999",
        ] {
            assert_eq!(offered(&[line]).size, Some(SizeLimit::Unknown), "{line}");
        }
        assert_eq!(offered(&[]).size, None);
    }

    #[test]
    fn absurd_limits_are_ignored() {
        // W-16.12
        let limits = |line: &str| {
            let offered = offered(&[line]);
            (offered.transactions_max, offered.recipients_max)
        };
        assert_eq!(limits("LIMITS MAILMAX=5 RCPTMAX=7"), (Some(5), Some(7)));
        assert_eq!(limits("limits X=1 mailmax=1"), (Some(1), None));
        for value in ["", "=", "=0", "=-1", "=x", &format!("=1{}", "0".repeat(30))] {
            let line = format!("LIMITS RCPTMAX{value} MAILMAX{value}");
            assert_eq!(limits(&line), (None, None), "{line}");
        }
    }
}
