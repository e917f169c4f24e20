//! How a connection to a remote host was secured, and by which rule.

use std::fmt;

use super::envelope::TlsFacts;

/// What was demanded of a connection, and what came of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Security {
    /// The item of `SMTP_TLS_POLICY` that decided, such as `example.com=verify`.
    pub rule: Box<str>,
    /// What mail goes over.
    pub channel: Channel,
}

/// What mail goes over.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Channel {
    /// No TLS.
    Clear,
    /// TLS with whoever was there.
    Unchecked(TlsFacts),
    /// TLS with a host whose certificate is valid and names it.
    Verified(TlsFacts),
}

impl fmt::Display for Channel {
    /// `TLSv1.3 TLS13_AES_256_GCM_SHA384 verified`, `TLSv1.2 ... unchecked` or `clear`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (facts, word) = match self {
            Channel::Clear => return f.write_str("clear"),
            Channel::Unchecked(facts) => (facts, "unchecked"),
            Channel::Verified(facts) => (facts, "verified"),
        };
        write!(f, "{} {} {word}", facts.version, facts.cipher)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_channel_is_told_with_version_cipher_and_check() {
        let facts = TlsFacts {
            version: "TLSv1.2".into(),
            cipher: "X".into(),
        };
        assert_eq!(Channel::Clear.to_string(), "clear");
        assert_eq!(
            Channel::Unchecked(facts.clone()).to_string(),
            "TLSv1.2 X unchecked"
        );
        assert_eq!(Channel::Verified(facts).to_string(), "TLSv1.2 X verified");
    }
}
