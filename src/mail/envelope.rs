//! What a client said about a message, apart from its content.

use std::fmt;
use std::net::IpAddr;

use super::address::ReversePath;

/// The envelope without its recipients, which live lives of their own.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Envelope {
    /// Who is told when delivery fails.
    pub reverse_path: ReversePath,
    /// What the client said about the body.
    pub body_kind: BodyKind,
    /// Whether the client asked for SMTPUTF8 (RFC 6531 3.4).
    pub smtputf8: bool,
}

/// The BODY parameter of MAIL (RFC 6152).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BodyKind {
    /// `7BIT`, or nothing said.
    SevenBit,
    /// `8BITMIME`
    EightBitMime,
}

/// Who handed a message in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Client {
    /// A client over SMTP.
    Smtp {
        /// Its address; IPv4 also where the socket was a dual-stack one.
        address: IpAddr,
        /// What it called itself, already safe to show.
        helo: Box<str>,
        /// How it spoke.
        protocol: Protocol,
    },
    /// Ourselves: a delivery report.
    Local,
}

/// What Received shows behind `with` (RFC 3848, RFC 6531 4.3).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Protocol {
    /// HELO was said.
    Smtp,
    /// EHLO was said.
    Esmtp,
    /// EHLO, and MAIL with SMTPUTF8.
    Utf8Smtp,
}

impl fmt::Display for Protocol {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Protocol::Smtp => "SMTP",
            Protocol::Esmtp => "ESMTP",
            Protocol::Utf8Smtp => "UTF8SMTP",
        })
    }
}
