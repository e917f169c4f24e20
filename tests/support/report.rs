//! Delivery reports (RFC 3462, RFC 3464), parsed strictly.

use super::fields::Fields;

/// Longest line without CRLF (RFC 5322 2.1.1).
const LINE_OCTETS_MAX: usize = 998;

/// A multipart/report of type delivery-status.
#[derive(Clone, Debug)]
pub struct Report {
    /// For people.
    pub text: Part,
    /// The first block of message/delivery-status.
    pub per_message: Fields,
    /// Its further blocks.
    pub recipients: Vec<Fields>,
    /// The message that it is about, or its header.
    pub original: Part,
}

/// A part of a multipart message.
#[derive(Clone, Debug)]
pub struct Part {
    /// Lower case, without parameters.
    pub content_type: String,
    /// Its header.
    pub header: Fields,
    /// Its body, without the line end that belongs to the boundary.
    pub body: Vec<u8>,
}

impl Report {
    /// What is told about a recipient; fails if he isn't told about exactly once.
    #[track_caller]
    pub fn about(&self, mailbox: &str) -> &Fields {
        let is_his = |block: &&Fields| {
            let recipient = block.get("Final-Recipient").unwrap_or_default();
            let (_, address) = recipient.split_once(';').unwrap_or_default();
            address.trim() == mailbox
        };
        let his: Vec<&Fields> = self.recipients.iter().filter(is_his).collect();
        match his.as_slice() {
            [one] => one,
            _ => panic!("not one block about {mailbox} in {:?}", self.recipients),
        }
    }

    /// Fails unless this was told about a recipient: `says("bob@x", "failed", "5.1.1")`.
    #[track_caller]
    pub fn says(&self, mailbox: &str, action: &str, status: &str) {
        let block = self.about(mailbox);
        let told = (block.only("Action"), block.only("Status"));
        assert_eq!(told, (action.to_owned(), status.to_owned()), "in {block:?}");
    }

    /// Fails unless the report is about so many recipients.
    #[track_caller]
    pub fn is_about(&self, count: usize) {
        assert_eq!(self.recipients.len(), count, "in {:?}", self.recipients);
    }

    pub(super) fn parse(header: &Fields, body: &[u8]) -> Result<Report, String> {
        let content_type = header.get("Content-Type").ok_or("no Content-Type")?;
        let (kind, parameters) = split_content_type(&content_type)?;
        if kind != "multipart/report" {
            return Err(format!("it is {kind}"));
        }
        let parameter = |name: &str| {
            let found = parameters.iter().find(|(n, _)| n == name);
            found.map(|(_, value)| value.as_str())
        };
        if parameter("report-type") != Some("delivery-status") {
            return Err("report-type is not delivery-status".to_owned());
        }
        if header.get("MIME-Version").as_deref() != Some("1.0") {
            return Err("MIME-Version is not 1.0".to_owned());
        }
        for field in &header.0 {
            check_lines(&field.octets)?;
        }
        let boundary = parameter("boundary").ok_or("no boundary")?;
        let parts = split_parts(body, boundary)?;
        let [text, status, original] = <[Part; 3]>::try_from(parts)
            .map_err(|parts| format!("{} parts instead of 3", parts.len()))?;
        check_types(&text, &status, &original)?;
        check_lines(&text.body)?;
        check_lines(&status.body)?;
        let mut blocks = split_blocks(&status.body)?.into_iter();
        let per_message = blocks.next().ok_or("an empty delivery-status")?;
        let recipients: Vec<Fields> = blocks.collect();
        if recipients.is_empty() {
            return Err("no recipient in the delivery-status".to_owned());
        }
        Ok(Report {
            text,
            per_message,
            recipients,
            original,
        })
    }
}

fn check_types(text: &Part, status: &Part, original: &Part) -> Result<(), String> {
    let types = [text, status, original].map(|part| part.content_type.as_str());
    match types {
        [
            "text/plain",
            "message/delivery-status",
            "message/rfc822" | "text/rfc822-headers",
        ]
        | [
            "text/plain",
            "message/global-delivery-status",
            "message/global" | "message/global-headers",
        ] => Ok(()),
        other => Err(format!("the parts are {other:?}")),
    }
}

/// No bare CR or LF, no NUL, no line over the limit.
fn check_lines(octets: &[u8]) -> Result<(), String> {
    for line in String::from_utf8_lossy(octets).split("\r\n") {
        if line.contains(['\r', '\n', '\0']) {
            return Err(format!("a bare CR, LF or NUL in {line:?}"));
        }
        if line.len() > LINE_OCTETS_MAX {
            return Err(format!("a line of {} octets", line.len()));
        }
    }
    Ok(())
}

fn split_parts(body: &[u8], boundary: &str) -> Result<Vec<Part>, String> {
    let delimiter = format!("\r\n--{boundary}").into_bytes();
    let mut framed = b"\r\n".to_vec(); // so that a delimiter at the very beginning is found too
    framed.extend(body);
    let mut pieces = Vec::new();
    let mut at = 0;
    loop {
        let found = memchr::memmem::find(&framed[at..], &delimiter)
            .ok_or("the closing boundary is missing")?;
        pieces.push(&framed[at..at + found]);
        at += found + delimiter.len();
        let rest = &framed[at..];
        if rest.starts_with(b"--") {
            break;
        }
        if !rest.starts_with(b"\r\n") {
            return Err("a boundary that its line doesn't end".to_owned());
        }
        // The CRLF stays: it may be the empty header line's, or part of a next delimiter.
    }
    pieces[1..].iter().map(|piece| parse_part(piece)).collect()
}

/// `piece` begins with the CRLF of its delimiter line.
fn parse_part(piece: &[u8]) -> Result<Part, String> {
    let piece = piece.strip_prefix(b"\r\n").ok_or("an empty part")?;
    let (header, length) = Fields::parse(piece);
    let body = piece[length..]
        .strip_prefix(b"\r\n")
        .ok_or_else(|| format!("no empty line behind the part's header {header:?}"))?;
    let content_type = header
        .get("Content-Type")
        .unwrap_or("text/plain".to_owned());
    let (content_type, _) = split_content_type(&content_type)?;
    Ok(Part {
        content_type,
        header,
        body: body.to_vec(),
    })
}

/// Blocks of fields with empty lines between (RFC 3464 2.1).
fn split_blocks(body: &[u8]) -> Result<Vec<Fields>, String> {
    let mut blocks = Vec::new();
    let mut rest = body;
    loop {
        while let Some(tail) = rest.strip_prefix(b"\r\n") {
            rest = tail;
        }
        if rest.is_empty() {
            return Ok(blocks);
        }
        let (fields, length) = Fields::parse(rest);
        let tail = &rest[length..];
        if fields.0.is_empty() || !(tail.is_empty() || tail.starts_with(b"\r\n")) {
            let line = String::from_utf8_lossy(tail);
            return Err(format!("{:?} is no field", line.lines().next()));
        }
        blocks.push(fields);
        rest = tail;
    }
}

type Parameters = Vec<(String, String)>;

/// Type in lower case, and parameters with their quotes taken off.
fn split_content_type(value: &str) -> Result<(String, Parameters), String> {
    let mut pieces = Vec::new();
    let (mut piece, mut quoted) = (String::new(), false);
    for character in value.chars() {
        match character {
            '"' => quoted = !quoted,
            ';' if !quoted => pieces.push(std::mem::take(&mut piece)),
            other => piece.push(other),
        }
    }
    pieces.push(piece);
    if quoted {
        return Err(format!("an open quote in {value:?}"));
    }
    let mut pieces = pieces.iter().map(|piece| piece.trim());
    let kind = pieces.next().unwrap_or_default().to_ascii_lowercase();
    let mut parameters = Vec::new();
    for piece in pieces {
        let (name, value) = piece
            .split_once('=')
            .ok_or_else(|| format!("no value in the parameter {piece:?}"))?;
        parameters.push((name.to_ascii_lowercase(), value.to_owned()));
    }
    Ok((kind, parameters))
}

#[cfg(test)]
mod tests {
    use super::{Fields, Report};

    const HEADER: &str = "MIME-Version: 1.0\r\nContent-Type: multipart/report;\r\n \
                          report-type=delivery-status; boundary=\"a;b\"\r\n";
    const BODY: &str = "--a;b\r\nContent-Type: text/plain; charset=utf-8\r\n\r\nNot delivered.\r\n\
        --a;b\r\nContent-Type: message/delivery-status\r\n\r\n\
        Reporting-MTA: dns; gp.test\r\n\r\n\
        Final-Recipient: rfc822; bob@b.test\r\nAction: failed\r\nStatus: 5.1.1\r\n\
        Diagnostic-Code: smtp; 550 5.1.1\r\n unknown\r\n\r\n\
        Final-Recipient: rfc822;eve@b.test\r\nAction: failed\r\nStatus: 5.0.0\r\n\r\n\
        --a;b\r\nContent-Type: message/rfc822\r\n\r\nSubject: x\r\n\r\nbody\r\n\r\n\
        --a;b--\r\n";

    #[test]
    fn a_report_is_taken_apart() {
        let report = parse(BODY).expect("a report");
        report.is_about(2);
        report.says("bob@b.test", "failed", "5.1.1");
        report.says("eve@b.test", "failed", "5.0.0");
        assert_eq!(report.per_message.only("Reporting-MTA"), "dns; gp.test");
        let bob = report.about("bob@b.test");
        assert_eq!(bob.only("Diagnostic-Code"), "smtp; 550 5.1.1 unknown");
        assert_eq!(report.text.body, b"Not delivered.");
        assert_eq!(report.original.body, b"Subject: x\r\n\r\nbody\r\n");
    }

    #[test]
    fn what_breaks_the_rules_is_refused() {
        for (from, to, why) in [
            ("--a;b--\r\n", "", "the closing boundary is missing"),
            ("Not delivered.", "one\ntwo", "a bare CR, LF or NUL"),
            ("Not delivered.", &"x".repeat(999), "a line of 999 octets"),
            (
                "Not delivered.",
                "\r\n--a;b\r\n\r\nfake",
                "4 parts instead of 3",
            ),
            ("Action: failed", "no field at all", "is no field"),
            ("text/plain", "text/html", "the parts are"),
            ("message/rfc822", "text/plain", "the parts are"),
        ] {
            let error = parse(&BODY.replacen(from, to, 1)).expect_err(from);
            assert!(error.contains(why), "{from}: {error}");
        }
    }

    fn parse(body: &str) -> Result<Report, String> {
        let (header, _) = Fields::parse(HEADER.as_bytes());
        Report::parse(&header, body.as_bytes())
    }
}
