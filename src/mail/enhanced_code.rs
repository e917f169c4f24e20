//! Enhanced status codes (RFC 3463, RFC 5248).

use std::fmt;

/// `class.subject.detail`, such as `5.1.1`.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct EnhancedCode {
    /// Success, temporary or permanent.
    pub class: EnhancedClass,
    /// What it is about: 0 to 999.
    pub subject: u16,
    /// Which of these: 0 to 999.
    pub detail: u16,
}

/// First digit of an enhanced code.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum EnhancedClass {
    /// 2.x.x
    Success,
    /// 4.x.x
    Temporary,
    /// 5.x.x
    Permanent,
}

impl EnhancedClass {
    /// 2, 4 or 5.
    #[must_use]
    pub fn digit(self) -> u8 {
        match self {
            EnhancedClass::Success => 2,
            EnhancedClass::Temporary => 4,
            EnhancedClass::Permanent => 5,
        }
    }
}

impl EnhancedCode {
    /// `2.subject.detail`
    #[must_use]
    pub const fn success(subject: u16, detail: u16) -> EnhancedCode {
        EnhancedCode {
            class: EnhancedClass::Success,
            subject,
            detail,
        }
    }

    /// `4.subject.detail`
    #[must_use]
    pub const fn temporary(subject: u16, detail: u16) -> EnhancedCode {
        EnhancedCode {
            class: EnhancedClass::Temporary,
            subject,
            detail,
        }
    }

    /// `5.subject.detail`
    #[must_use]
    pub const fn permanent(subject: u16, detail: u16) -> EnhancedCode {
        EnhancedCode {
            class: EnhancedClass::Permanent,
            subject,
            detail,
        }
    }

    /// The same subject and detail in another class: the basic code decides about the class
    /// (RFC 2034 4), whatever the remote wrote behind it.
    #[must_use]
    pub const fn in_class(self, class: EnhancedClass) -> EnhancedCode {
        EnhancedCode { class, ..self }
    }

    /// Reads `d.ddd.ddd` exactly.
    #[must_use]
    pub fn parse(text: &str) -> Option<EnhancedCode> {
        let mut parts = text.split('.');
        let class = match parts.next()? {
            "2" => EnhancedClass::Success,
            "4" => EnhancedClass::Temporary,
            "5" => EnhancedClass::Permanent,
            _ => return None,
        };
        let (subject, detail) = (number(parts.next()?)?, number(parts.next()?)?);
        parts.next().is_none().then_some(EnhancedCode {
            class,
            subject,
            detail,
        })
    }
}

fn number(text: &str) -> Option<u16> {
    let digits = (1..=3).contains(&text.len()) && text.bytes().all(|b| b.is_ascii_digit());
    digits.then(|| text.parse().ok()).flatten()
}

impl fmt::Display for EnhancedCode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}.{}", self.class.digit(), self.subject, self.detail)
    }
}

impl fmt::Debug for EnhancedCode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn codes_are_read_exactly_or_not_at_all() {
        assert_eq!(
            EnhancedCode::parse("4.7.500"),
            Some(EnhancedCode::temporary(7, 500))
        );
        for text in [
            "", "5", "5.1", "5.1.1.1", "3.0.0", "5.1.1000", "5.a.1", "5..1", "05.1.1",
        ] {
            assert_eq!(EnhancedCode::parse(text), None, "{text}");
        }
    }
}
