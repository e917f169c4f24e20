//! What a client said about a message, apart from its content.

use std::net::IpAddr;

use super::address::ReversePath;
use super::dsn::DsnEnvelope;

/// The envelope without its recipients, which live lives of their own.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Envelope {
    /// Who is told when delivery fails.
    pub reverse_path: ReversePath,
    /// What the client said about the body.
    pub body_kind: BodyKind,
    /// Whether the client asked for SMTPUTF8 (RFC 6531 3.4).
    pub smtputf8: bool,
    /// What the client asked to be told.
    pub dsn: DsnEnvelope,
}

/// The BODY parameter of MAIL (RFC 6152).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BodyKind {
    /// `7BIT`, or nothing said.
    SevenBit,
    /// `8BITMIME`
    EightBitMime,
    /// `BINARYMIME` (RFC 3030): no line structure at all.
    BinaryMime,
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
        /// Under which TLS; `None`: in clear.
        tls: Option<TlsFacts>,
        /// As whom it authenticated; `None`: it did not.
        user: Option<Box<str>>,
    },
    /// Ourselves: a delivery report.
    Local,
}

/// What was agreed upon in a TLS handshake.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TlsFacts {
    /// Such as `TLSv1.3`.
    pub version: Box<str>,
    /// Such as `TLS13_AES_256_GCM_SHA384`.
    pub cipher: Box<str>,
}

/// The greeting and parameters that a client used. Together with TLS and AUTH this makes what
/// Received shows behind `with` (RFC 3848, RFC 6531 4.3).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Protocol {
    /// HELO was said.
    Smtp,
    /// EHLO was said.
    Esmtp,
    /// EHLO, and MAIL with SMTPUTF8.
    Utf8Smtp,
}

impl Protocol {
    /// The keyword of Received: `ESMTP`, `ESMTPSA`, `UTF8SMTPS` and so on. There is none for TLS or
    /// AUTH after HELO.
    #[must_use]
    pub fn with_keyword(self, tls: bool, authenticated: bool) -> &'static str {
        match (self, tls, authenticated) {
            (Protocol::Smtp, _, _) => "SMTP",
            (Protocol::Esmtp, false, false) => "ESMTP",
            (Protocol::Esmtp, true, false) => "ESMTPS",
            (Protocol::Esmtp, false, true) => "ESMTPA",
            (Protocol::Esmtp, true, true) => "ESMTPSA",
            (Protocol::Utf8Smtp, false, false) => "UTF8SMTP",
            (Protocol::Utf8Smtp, true, false) => "UTF8SMTPS",
            (Protocol::Utf8Smtp, false, true) => "UTF8SMTPA",
            (Protocol::Utf8Smtp, true, true) => "UTF8SMTPSA",
        }
    }
}
