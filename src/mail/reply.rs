//! SMTP replies (RFC 5321 4.2), ours and other hosts'.

use std::fmt;

use super::enhanced_code::{EnhancedClass, EnhancedCode};
use super::limits::REPLY_TEXT_BYTES_MAX;

/// A reply code from 200 to 599.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ReplyCode(u16);

/// First digit of a reply code.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ReplyClass {
    /// 2yz
    Success,
    /// 3yz
    Intermediate,
    /// 4yz
    Temporary,
    /// 5yz
    Permanent,
}

impl ReplyCode {
    /// `None` outside 200 to 599.
    #[must_use]
    pub const fn new(code: u16) -> Option<ReplyCode> {
        if code >= 200 && code <= 599 {
            Some(ReplyCode(code))
        } else {
            None
        }
    }

    /// The number.
    #[must_use]
    pub const fn get(self) -> u16 {
        self.0
    }

    /// What it means as a whole.
    #[must_use]
    pub fn class(self) -> ReplyClass {
        match self.0 / 100 {
            2 => ReplyClass::Success,
            3 => ReplyClass::Intermediate,
            4 => ReplyClass::Temporary,
            _ => ReplyClass::Permanent,
        }
    }
}

impl fmt::Display for ReplyCode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl fmt::Debug for ReplyCode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// A whole reply. Its text is safe to show: lines are joined by one space, controls and octets
/// above 0x7F are replaced, and it is cut at [`REPLY_TEXT_BYTES_MAX`].
#[derive(Clone, PartialEq, Eq)]
pub struct Reply {
    code: ReplyCode,
    enhanced: Option<EnhancedCode>,
    text: Box<str>,
}

impl Reply {
    /// A reply from the raw lines behind code and separator. The enhanced code is taken off the
    /// front of every line where it stands.
    #[must_use]
    pub fn from_lines<'a>(code: ReplyCode, lines: impl IntoIterator<Item = &'a [u8]>) -> Reply {
        let mut enhanced = None;
        let mut text = String::new();
        for line in lines {
            let line = printable(line);
            let (first, rest) = line.split_once(' ').unwrap_or((&line, ""));
            let words = match EnhancedCode::parse(first) {
                Some(found) if enhanced.is_none() || enhanced == Some(found) => {
                    enhanced = Some(found);
                    rest
                }
                _ => &line,
            };
            if !text.is_empty() && !words.is_empty() {
                text.push(' ');
            }
            text.push_str(words);
            if text.len() > REPLY_TEXT_BYTES_MAX {
                break;
            }
        }
        text.truncate(REPLY_TEXT_BYTES_MAX); // ASCII by now, so every place is a boundary
        Reply {
            code,
            enhanced,
            text: text.into(),
        }
    }

    /// A reply from parts that were taken apart before; for the store. The text is made safe again.
    #[must_use]
    pub fn from_parts(code: ReplyCode, enhanced: Option<EnhancedCode>, text: &str) -> Reply {
        let mut text = printable(text.as_bytes());
        text.truncate(REPLY_TEXT_BYTES_MAX);
        Reply {
            code,
            enhanced,
            text: text.into(),
        }
    }

    /// Basic code.
    #[must_use]
    pub fn code(&self) -> ReplyCode {
        self.code
    }

    /// The enhanced code as it was written, if one was.
    #[must_use]
    pub fn enhanced(&self) -> Option<EnhancedCode> {
        self.enhanced
    }

    /// The words, without codes.
    #[must_use]
    pub fn text(&self) -> &str {
        &self.text
    }

    /// The Status that a report shows: the written enhanced code in the class of the basic code,
    /// else `x.0.0` (RFC 3464 2.3.4).
    #[must_use]
    pub fn status(&self) -> EnhancedCode {
        let class = match self.code.class() {
            ReplyClass::Success | ReplyClass::Intermediate => EnhancedClass::Success,
            ReplyClass::Temporary => EnhancedClass::Temporary,
            ReplyClass::Permanent => EnhancedClass::Permanent,
        };
        self.enhanced
            .unwrap_or(EnhancedCode::success(0, 0))
            .in_class(class)
    }
}

impl fmt::Display for Reply {
    /// `550 5.1.1 no such user`
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.code)?;
        if let Some(enhanced) = self.enhanced {
            write!(f, " {enhanced}")?;
        }
        if !self.text.is_empty() {
            write!(f, " {}", self.text)?;
        }
        Ok(())
    }
}

impl fmt::Debug for Reply {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Reply({self})")
    }
}

/// Printable ASCII; everything else becomes `?`, tabs become spaces, ends are trimmed.
fn printable(octets: &[u8]) -> String {
    let safe: String = octets
        .iter()
        .map(|&b| match b {
            b' '..=b'~' => char::from(b),
            b'\t' => ' ',
            _ => '?',
        })
        .collect();
    safe.trim().to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn reply(code: u16, lines: &[&[u8]]) -> Reply {
        Reply::from_lines(ReplyCode::new(code).unwrap(), lines.iter().copied())
    }

    #[test]
    fn the_basic_code_decides_about_the_class() {
        assert_eq!(reply(550, &[b"4.2.2 full"]).status().to_string(), "5.2.2");
        assert_eq!(reply(450, &[b"5.1.1 no"]).status().to_string(), "4.1.1");
        assert_eq!(reply(451, &[b"later"]).status().to_string(), "4.0.0");
    }

    #[test]
    fn lines_are_joined_and_made_safe() {
        let r = reply(550, &[b"5.1.1 no\x1b such", b"5.1.1 user\xff\r"]);
        assert_eq!(r.to_string(), "550 5.1.1 no? such user??");
        assert_eq!(reply(250, &[b"", b""]).to_string(), "250");
    }

    #[test]
    fn long_texts_are_cut() {
        let long = vec![b'x'; 10_000];
        assert_eq!(
            reply(250, &[&long, &long]).text().len(),
            REPLY_TEXT_BYTES_MAX
        );
    }
}
