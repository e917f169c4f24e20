//! Dots at the beginning of lines (RFC 5321 4.5.2), written anew so that a mistake in the relay
//! can't hide behind the same mistake here.

/// A message as DATA wants it, the final dot included. A last line without CRLF gets one.
pub fn stuffed(data: &[u8]) -> Vec<u8> {
    let mut wire = Vec::with_capacity(data.len() + data.len() / 64 + 8);
    let mut rest = data;
    if rest.starts_with(b".") {
        wire.push(b'.');
    }
    while let Some(at) = memchr::memmem::find(rest, b"\r\n.") {
        let (line, tail) = rest.split_at(at + 2);
        wire.extend(line);
        wire.push(b'.');
        // The dot itself goes now, so that it isn't found again.
        wire.push(b'.');
        rest = &tail[1..];
    }
    wire.extend(rest);
    if !wire.is_empty() && !wire.ends_with(b"\r\n") {
        wire.extend(b"\r\n");
    }
    wire.extend(b".\r\n");
    wire
}

/// The other way round; the final dot is already gone.
pub fn unstuffed(wire: &[u8]) -> Vec<u8> {
    let mut data = Vec::with_capacity(wire.len());
    let mut rest = wire.strip_prefix(b".").unwrap_or(wire);
    while let Some(at) = memchr::memmem::find(rest, b"\r\n.") {
        let (line, tail) = rest.split_at(at + 2);
        data.extend(line);
        rest = &tail[1..];
    }
    data.extend(rest);
    data
}

#[cfg(test)]
mod tests {
    use super::{stuffed, unstuffed};

    #[test]
    fn dots_at_the_beginning_of_lines_are_doubled_and_come_back() {
        for (data, wire) in [
            ("", ".\r\n"),
            (".", "..\r\n.\r\n"),
            ("a", "a\r\n.\r\n"),
            (".\r\n..\r\n.x\r\n", "..\r\n...\r\n..x\r\n.\r\n"),
            ("a\r\n.\r\n\r\n.", "a\r\n..\r\n\r\n..\r\n.\r\n"),
            ("a.b\n.c\r\n", "a.b\n.c\r\n.\r\n"),
        ] {
            assert_eq!(stuffed(data.as_bytes()), wire.as_bytes(), "{data:?}");
            let back = unstuffed(wire.strip_suffix(".\r\n").expect("a final dot").as_bytes());
            assert!(back.starts_with(data.as_bytes()), "{back:?}");
        }
    }
}
