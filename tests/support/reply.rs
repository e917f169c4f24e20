//! A reply as a client read it, and readable claims about it.

use std::fmt;

/// One whole reply.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reply {
    /// Three digits.
    pub code: u16,
    /// Such as `5.1.1`; none if the text doesn't begin with one.
    pub enhanced: Option<String>,
    /// The text of each line, the enhanced code included.
    pub lines: Vec<String>,
    /// What it answers, for the message of a failure.
    pub to: String,
}

impl Reply {
    /// Fails unless the reply is this: `250`, `"250"`, `"503 5.5.1"`, or `"2"` for any 2yz.
    #[track_caller]
    pub fn expect<'w>(self, wanted: impl Into<Wanted<'w>>) -> Reply {
        let wanted = wanted.into();
        assert!(
            wanted.matches(&self),
            "expected {wanted} to {:?}, got {self}",
            self.to
        );
        self
    }

    /// Whether it is this; as [`Reply::expect`], without failing.
    pub fn is<'w>(&self, wanted: impl Into<Wanted<'w>>) -> bool {
        wanted.into().matches(self)
    }

    /// All lines as one text, without codes at their beginning.
    pub fn text(&self) -> String {
        self.lines.join("\n")
    }

    /// EHLO keywords with their parameters, such as `SIZE 10485760`: all lines but the first.
    pub fn keywords(&self) -> Vec<&str> {
        self.lines.iter().skip(1).map(String::as_str).collect()
    }

    /// The queue id in the text of a 250 after the final dot.
    #[track_caller]
    pub fn queue_id(&self) -> Id {
        let text = self.text();
        let mut words = text.split(|c: char| !c.is_ascii_alphanumeric());
        match words.find(|word| is_queue_id(word)) {
            Some(word) => Id(word.to_owned()),
            None => panic!("no queue id in {self}"),
        }
    }

    /// From the lines of a reply without their CRLF; `Err` says why it is none.
    pub(super) fn parse(lines: &[String], to: &str) -> Result<Reply, String> {
        let last = lines.len().checked_sub(1).ok_or("no line")?;
        let mut texts = Vec::new();
        let mut code = None;
        for (number, line) in lines.iter().enumerate() {
            let (digits, rest) = line.split_at_checked(3).ok_or("a line without code")?;
            let this: u16 = digits.parse().map_err(|_| "a line without code")?;
            if *code.get_or_insert(this) != this {
                return Err("two codes in one reply".to_owned());
            }
            let text = match (rest.as_bytes().first(), number == last) {
                (None, true) => "",
                (Some(b' '), true) | (Some(b'-'), false) => &rest[1..],
                _ => return Err("neither space nor hyphen behind the code".to_owned()),
            };
            texts.push(text.to_owned());
        }
        let enhanced = texts
            .first()
            .and_then(|text| text.split(' ').next())
            .filter(|word| is_enhanced(word))
            .map(str::to_owned);
        Ok(Reply {
            code: code.ok_or("no line")?,
            enhanced,
            lines: texts,
            to: to.to_owned(),
        })
    }
}

impl fmt::Display for Reply {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "\"{} {}\"", self.code, self.lines.join(" / "))
    }
}

/// What a reply should be.
#[derive(Clone, Copy, Debug)]
pub enum Wanted<'w> {
    /// The code alone.
    Code(u16),
    /// Its digits, or as many of them as matter, and perhaps the enhanced code.
    Words(&'w str),
}

impl Wanted<'_> {
    fn matches(self, reply: &Reply) -> bool {
        match self {
            Wanted::Code(code) => reply.code == code,
            Wanted::Words(words) => {
                let (code, enhanced) = match words.split_once(' ') {
                    Some((code, enhanced)) => (code, Some(enhanced)),
                    None => (words, None),
                };
                let right = enhanced.is_none() || enhanced == reply.enhanced.as_deref();
                right && reply.code.to_string().starts_with(code)
            }
        }
    }
}

impl fmt::Display for Wanted<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Wanted::Code(code) => code.fmt(f),
            Wanted::Words(words) => words.fmt(f),
        }
    }
}

impl From<u16> for Wanted<'_> {
    fn from(code: u16) -> Self {
        Wanted::Code(code)
    }
}

impl<'w> From<&'w str> for Wanted<'w> {
    fn from(words: &'w str) -> Self {
        Wanted::Words(words)
    }
}

/// A queue id, as the relay told it.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Id(pub String);

impl fmt::Display for Id {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// 26 characters of Crockford's base 32.
fn is_queue_id(word: &str) -> bool {
    let alphabet = b"0123456789ABCDEFGHJKMNPQRSTVWXYZ";
    word.len() == 26 && word.bytes().all(|octet| alphabet.contains(&octet))
}

fn is_enhanced(word: &str) -> bool {
    let parts: Vec<&str> = word.split('.').collect();
    let digits = |p: &&str| (1..=3).contains(&p.len()) && p.bytes().all(|o| o.is_ascii_digit());
    parts.len() == 3 && parts.iter().all(digits)
}

#[cfg(test)]
mod tests {
    use super::{Id, Reply};

    #[test]
    fn replies_are_parsed_and_compared() {
        let reply = parse(&["250-2.0.0 one", "250-", "250"]).expect("a reply");
        assert_eq!(reply.lines, ["2.0.0 one", "", ""]);
        for (wanted, is) in [
            ("250", true),
            ("2", true),
            ("250 2.0.0", true),
            ("250 2.1.0", false),
            ("550", false),
        ] {
            assert_eq!(reply.is(wanted), is, "{wanted}");
        }
        assert!(
            parse(&["250 2000.1.1 x"])
                .expect("a reply")
                .enhanced
                .is_none()
        );
    }

    #[test]
    fn what_is_no_reply_is_refused() {
        for lines in [
            &["250-a", "550 b"][..],
            &["25 a"],
            &["ok"],
            &[""],
            &["250+a"],
            &["2500"],
            &["250 a", "250 b"],
        ] {
            assert!(parse(lines).is_err(), "{lines:?}");
        }
    }

    #[test]
    fn the_queue_id_is_found_in_any_text() {
        let id = "01ARZ3NDEKTSV4RRFFQ69G5FAV";
        for text in ["250 2.0.0 queued as {}", "250 2.0.0 <{}>.", "250 ok id={}"] {
            let reply = parse(&[&text.replace("{}", id)]).expect("a reply");
            assert_eq!(reply.queue_id(), Id(id.to_owned()), "{text}");
        }
    }

    fn parse(lines: &[&str]) -> Result<Reply, String> {
        let lines: Vec<String> = lines.iter().map(|&line| line.to_owned()).collect();
        Reply::parse(&lines, "a test")
    }
}
