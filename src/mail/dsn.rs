//! What a client asked to be told about delivery (RFC 3461).

/// Parameters of MAIL. The default is what a client that says nothing wants.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct DsnEnvelope {
    /// RET: how much of the message comes back with a failure.
    pub ret: Option<Ret>,
    /// ENVID: the client's own name for the message.
    pub envelope_id: Option<EnvelopeId>,
}

/// RET (RFC 3461 4.3).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ret {
    /// The whole message.
    Full,
    /// Its header section.
    Headers,
}

/// ENVID (RFC 3461 4.4), decoded: 1 to 100 printable ASCII characters.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EnvelopeId(Box<str>);

impl EnvelopeId {
    /// Longest, in characters.
    const LEN_MAX: usize = 100;

    /// `None` unless it is well-formed.
    #[must_use]
    pub fn parse(decoded: &str) -> Option<EnvelopeId> {
        let printable = decoded.bytes().all(|octet| matches!(octet, b' '..=b'~'));
        let fits = (1..=EnvelopeId::LEN_MAX).contains(&decoded.len());
        (printable && fits).then(|| EnvelopeId(decoded.into()))
    }

    /// Decoded.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// Parameters of RCPT. The default is what a client that says nothing wants.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct DsnRecipient {
    /// NOTIFY; `None`: not said, which means failures, and delays as the relay sees fit.
    pub notify: Option<Notify>,
    /// ORCPT: whom the mail was first sent to.
    pub original: Option<OriginalRecipient>,
}

/// NOTIFY (RFC 3461 4.1): of what the sender wants to be told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Notify {
    /// Of nothing, whatever happens.
    Never,
    /// Of what is `true`; at least one is.
    Of {
        /// That it arrived.
        success: bool,
        /// That it did not.
        failure: bool,
        /// That it takes long.
        delay: bool,
    },
}

/// ORCPT (RFC 3461 4.2), decoded.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OriginalRecipient {
    /// `rfc822`, `utf-8`, or another registered type; an atom, in the spelling that came in.
    pub address_type: Box<str>,
    /// The address, without xtext.
    pub address: Box<str>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn envelope_ids_are_bounded_and_printable() {
        assert_eq!(EnvelopeId::parse("a b").unwrap().as_str(), "a b");
        assert!(EnvelopeId::parse(&"x".repeat(100)).is_some());
        for text in ["", "\r\n", "ü", &"x".repeat(101)] {
            assert_eq!(EnvelopeId::parse(text), None, "{text:?}");
        }
    }
}
