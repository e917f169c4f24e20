//! Takes reports apart as a strict reader would, for the tests.

/// A report taken apart.
pub(super) struct Parsed {
    pub(super) parts: Vec<ParsedPart>,
    pub(super) recipients: Vec<Fields>,
}

pub(super) struct ParsedPart {
    pub(super) header: Fields,
    /// Decoded.
    pub(super) content: Vec<u8>,
}

/// Unfolded.
pub(super) struct Fields(Vec<(String, String)>);

impl Fields {
    #[track_caller]
    pub(super) fn value(&self, name: &str) -> &str {
        let mut found = self.0.iter().filter(|(other, _)| other == name);
        let (_, value) = found.next().expect(name);
        assert!(found.next().is_none(), "{name} twice");
        value
    }

    fn names(&self) -> Vec<&str> {
        self.0.iter().map(|(name, _)| &**name).collect()
    }
}

/// Panics at whatever a strict reader would stumble over.
#[track_caller]
pub(super) fn parse(report: &[u8]) -> Parsed {
    let lines = lines(report);
    let (header, body) = split_at_empty_line(&lines);
    let header = fields(header);
    assert_eq!(
        header.names(),
        [
            "Date",
            "From",
            "To",
            "Subject",
            "Message-ID",
            "Auto-Submitted",
            "MIME-Version",
            "Content-Type",
            "Content-Transfer-Encoding",
        ]
    );
    let boundary = header
        .value("Content-Type")
        .strip_prefix("multipart/report; report-type=delivery-status; boundary=\"")
        .and_then(|rest| rest.strip_suffix('"'))
        .expect("a boundary");
    assert!(boundary.len() <= 70);
    let (delimiter, end) = (format!("--{boundary}"), format!("--{boundary}--"));

    let mut sections = body.split(|line| *line == delimiter.as_bytes() || *line == end.as_bytes());
    assert_eq!(sections.next(), Some(&[][..]), "a preamble");
    let mut parts: Vec<ParsedPart> = sections.map(part).collect();
    let behind = parts.pop().expect("an end");
    assert!(behind.content.is_empty() && behind.header.0.is_empty());
    assert_eq!(body.last(), Some(&end.as_bytes()));

    let types: Vec<&str> = parts
        .iter()
        .map(|part| part.header.value("Content-Type").split(';').next().unwrap())
        .collect();
    let plain = ["text/plain", "message/delivery-status"];
    let global = ["text/plain", "message/global-delivery-status"];
    match types[2] {
        "text/rfc822-headers" | "message/rfc822" => assert_eq!(types[..2], plain),
        "message/global-headers" | "message/global" => assert_eq!(types[..2], global),
        other => panic!("{other}"),
    }
    let has_8bit = header.value("Content-Transfer-Encoding") == "8bit";
    assert!(has_8bit || body.iter().all(|line| line.is_ascii()));

    let status = self::lines(&parts[1].content);
    let mut groups = status.split(|line| line.is_empty()).map(fields);
    let message = groups.next().expect("fields of the message");
    assert_eq!(message.value("Reporting-MTA"), "dns; gp.test");
    let recipients: Vec<Fields> = groups.collect();
    for group in &recipients {
        let names = group.names();
        let names = names
            .strip_prefix(&["Original-Recipient"])
            .unwrap_or(&names);
        assert_eq!(names[..3], ["Final-Recipient", "Action", "Status"]);
    }
    Parsed { parts, recipients }
}

#[track_caller]
fn part(lines: &[&[u8]]) -> ParsedPart {
    // The line end before a boundary belongs to the boundary.
    let Some((&[], lines)) = lines.split_last() else {
        assert!(lines.is_empty());
        return ParsedPart {
            header: Fields(vec![]),
            content: vec![],
        };
    };
    let (header, content) = split_at_empty_line(lines);
    let header = fields(header);
    let mut content: Vec<u8> = content
        .iter()
        .flat_map(|line| [*line, b"\r\n"].concat())
        .collect();
    match header.value("Content-Transfer-Encoding") {
        "7bit" => assert!(content.is_ascii()),
        "8bit" => assert!(!content.is_ascii()),
        "quoted-printable" => content = unquoted(&content),
        other => panic!("{other}"),
    }
    ParsedPart { header, content }
}

/// Without CRLF.
#[track_caller]
fn lines(octets: &[u8]) -> Vec<&[u8]> {
    let mut lines = Vec::new();
    let mut rest = octets;
    while !rest.is_empty() {
        let end = memchr::memmem::find(rest, b"\r\n").expect("a last line with CRLF");
        let line = &rest[..end];
        assert!(line.len() <= 998, "{}", line.len());
        let control = |octet: &u8| octet.is_ascii_control() && *octet != b'\t';
        assert!(!line.iter().any(control), "{}", line.escape_ascii());
        lines.push(line);
        rest = &rest[end + 2..];
    }
    lines
}

#[track_caller]
fn split_at_empty_line<'a, 'b>(lines: &'a [&'b [u8]]) -> (&'a [&'b [u8]], &'a [&'b [u8]]) {
    let end = lines
        .iter()
        .position(|line| line.is_empty())
        .expect("an empty line");
    (&lines[..end], &lines[end + 1..])
}

#[track_caller]
fn fields(lines: &[&[u8]]) -> Fields {
    let mut fields: Vec<(String, String)> = Vec::new();
    for line in lines {
        let line = std::str::from_utf8(line).expect("UTF-8");
        assert!(!line.trim().is_empty(), "a blank line");
        if line.starts_with([' ', '\t']) {
            fields.last_mut().expect("a field above").1.push_str(line);
            continue;
        }
        let (name, value) = line.split_once(": ").expect(line);
        assert!(
            name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-'),
            "{line}"
        );
        fields.push((name.into(), value.into()));
    }
    assert!(!fields.is_empty());
    Fields(fields)
}

#[track_caller]
fn unquoted(content: &[u8]) -> Vec<u8> {
    let mut out = Vec::new();
    for line in lines(content) {
        assert!(line.len() <= 76 && !line.ends_with(b" ") && !line.ends_with(b"\t"));
        let soft = line.strip_suffix(b"=");
        let mut rest = soft.unwrap_or(line);
        while let Some((&octet, behind)) = rest.split_first() {
            if octet == b'=' {
                let digits = std::str::from_utf8(&behind[..2]).unwrap();
                out.push(u8::from_str_radix(digits, 16).unwrap());
                rest = &behind[2..];
            } else {
                out.push(octet);
                rest = behind;
            }
        }
        if soft.is_none() {
            out.extend_from_slice(b"\r\n");
        }
    }
    out
}
