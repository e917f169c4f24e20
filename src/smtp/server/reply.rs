//! Everything that we say to a client, in one table. Codes follow RFC 5321 4.2 and RFC 3463; each
//! enhanced code stands in the class of its basic code (RFC 2034 4).

use crate::mail::QueueId;

use super::auth::Mechanisms;

/// A reply that is always the same one line. Nothing that a client sent can get into it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[expect(missing_docs, reason = "the table below says what each one says")]
pub enum Say {
    Ok,
    SenderOk,
    RecipientOk,
    Verify,
    Help,
    Bye,
    SendData,
    StartTls,

    BadLine,
    LineTooLong,
    BareLineEndInCommand,
    Http,
    TlsHello,
    UnknownCommand,
    NotImplemented,
    BadArgument,
    HelloFirst,
    NestedMail,
    MailFirst,
    RecipientFirst,
    NoValidRecipients,
    ChunksBegun,
    ChunksOnly,
    BadChunk,
    TlsAlready,
    TlsAfterAuth,

    BadSender,
    BadRecipient,
    NeedsSmtputf8,
    SenderNotAllowed,
    BadParameter,
    UnknownParameter,
    TooLarge,
    TooManyRecipients,

    NulInData,
    BareLineEndInData,
    TextLineTooLong,
    Looping,
    HeaderTooLarge,
    NoRoom,
    NotSigned,

    AuthOk,
    AuthRefused,
    AuthCancelled,
    AuthMalformed,
    AuthLineTooLong,
    AuthFailedTooOften,
    AuthOverCap,
    AuthNeedsTls,
    UnknownMechanism,
    AuthTwice,
    AuthInTransaction,
    AuthFirst,
    AuthFirstForNow,
    AuthTooLate,

    AccessDenied,
    AccessUnknown,
    TooManyConnections,
    TooManyFromClient,
    TooManyMessages,
    TooManyErrors,
    MessageRate,
    RecipientRate,
    ShuttingDown,
    TooSlow,
    AccessWithdrawn,
}

impl Say {
    /// All of them.
    pub const ALL: [Say; 66] = [
        Say::Ok,
        Say::SenderOk,
        Say::RecipientOk,
        Say::Verify,
        Say::Help,
        Say::Bye,
        Say::SendData,
        Say::StartTls,
        Say::BadLine,
        Say::LineTooLong,
        Say::BareLineEndInCommand,
        Say::Http,
        Say::TlsHello,
        Say::UnknownCommand,
        Say::NotImplemented,
        Say::BadArgument,
        Say::HelloFirst,
        Say::NestedMail,
        Say::MailFirst,
        Say::RecipientFirst,
        Say::NoValidRecipients,
        Say::ChunksBegun,
        Say::ChunksOnly,
        Say::BadChunk,
        Say::TlsAlready,
        Say::TlsAfterAuth,
        Say::BadSender,
        Say::BadRecipient,
        Say::NeedsSmtputf8,
        Say::SenderNotAllowed,
        Say::BadParameter,
        Say::UnknownParameter,
        Say::TooLarge,
        Say::TooManyRecipients,
        Say::NulInData,
        Say::BareLineEndInData,
        Say::TextLineTooLong,
        Say::Looping,
        Say::HeaderTooLarge,
        Say::NoRoom,
        Say::NotSigned,
        Say::AuthOk,
        Say::AuthRefused,
        Say::AuthCancelled,
        Say::AuthMalformed,
        Say::AuthLineTooLong,
        Say::AuthFailedTooOften,
        Say::AuthOverCap,
        Say::AuthNeedsTls,
        Say::UnknownMechanism,
        Say::AuthTwice,
        Say::AuthInTransaction,
        Say::AuthFirst,
        Say::AuthFirstForNow,
        Say::AuthTooLate,
        Say::AccessDenied,
        Say::AccessUnknown,
        Say::TooManyConnections,
        Say::TooManyFromClient,
        Say::TooManyMessages,
        Say::TooManyErrors,
        Say::MessageRate,
        Say::RecipientRate,
        Say::ShuttingDown,
        Say::TooSlow,
        Say::AccessWithdrawn,
    ];

    /// The line, without CRLF.
    #[must_use]
    pub const fn line(self) -> &'static str {
        match self {
            Say::Ok => "250 2.0.0 ok",
            Say::SenderOk => "250 2.1.0 sender ok",
            Say::RecipientOk => "250 2.1.5 recipient ok",
            Say::Verify => "252 2.0.0 send some mail, and it will be tried",
            Say::Help => {
                "214 2.0.0 HELO EHLO MAIL RCPT DATA BDAT RSET NOOP VRFY HELP QUIT: see RFC 5321"
            }
            Say::Bye => "221 2.0.0 bye",
            Say::SendData => "354 end with a dot on a line of its own",
            Say::StartTls => "220 2.0.0 begin the TLS handshake",

            Say::BadLine => "500 5.5.2 this is no command line",
            Say::LineTooLong => "500 5.5.2 line too long",
            Say::BareLineEndInCommand => "500 5.5.2 lines end with CR LF, and neither stands alone",
            Say::Http => "500 5.5.2 this is SMTP, not HTTP",
            Say::TlsHello => "500 5.5.2 no TLS on this port",
            Say::UnknownCommand => "500 5.5.1 unknown command",
            Say::NotImplemented => "502 5.5.1 command not implemented",
            Say::BadArgument => "501 5.5.4 argument missing, malformed or needless",
            Say::HelloFirst => "503 5.5.1 say EHLO first",
            Say::NestedMail => "503 5.5.1 a transaction is open already",
            Say::MailFirst => "503 5.5.1 say MAIL first",
            Say::RecipientFirst => "503 5.5.1 say RCPT first",
            Say::NoValidRecipients => "554 5.5.1 no valid recipients",
            Say::ChunksBegun => "503 5.5.1 the message comes in chunks, say BDAT or RSET",
            Say::ChunksOnly => "503 5.5.1 a BODY=BINARYMIME message comes with BDAT only",
            Say::BadChunk => "501 5.5.4 chunk without a count, where it ends is unknown",
            Say::TlsAlready => "503 5.5.1 this is inside TLS already",
            Say::TlsAfterAuth => "503 5.5.1 no STARTTLS after AUTH",

            Say::BadSender => "501 5.1.7 malformed sender address",
            Say::BadRecipient => "501 5.1.3 malformed recipient address",
            Say::NeedsSmtputf8 => "553 5.6.7 non-ASCII address without SMTPUTF8",
            Say::SenderNotAllowed => "550 5.7.1 sender domain not allowed here",
            Say::BadParameter => "501 5.5.4 malformed or repeated parameter",
            Say::UnknownParameter => "555 5.5.4 parameter not offered here",
            Say::TooLarge => "552 5.3.4 message too large",
            Say::TooManyRecipients => "452 4.5.3 too many recipients for one transaction",

            Say::NulInData => "554 5.6.0 the message holds a NUL octet",
            Say::BareLineEndInData => "550 5.5.2 the message holds a CR or LF that stands alone",
            Say::TextLineTooLong => "500 5.5.2 the message holds a line longer than taken here",
            Say::Looping => "554 5.4.6 too many hops, this message is in a loop",
            Say::HeaderTooLarge => "552 5.3.4 header section too large",
            Say::NoRoom => "452 4.3.1 mail can not be stored now, come again later",
            Say::NotSigned => "451 4.3.5 message can not be signed now, come again later",

            Say::AuthOk => "235 2.7.0 authenticated",
            Say::AuthRefused => "535 5.7.8 user or password not right",
            Say::AuthCancelled => "501 5.7.0 authentication cancelled",
            Say::AuthMalformed => "501 5.5.2 malformed response",
            Say::AuthLineTooLong => "500 5.5.6 response too long",
            Say::AuthFailedTooOften => "421 4.7.0 authentication failed too often",
            Say::AuthOverCap => "454 4.7.0 authentication not possible now, come again later",
            Say::AuthNeedsTls => "538 5.7.11 say STARTTLS before AUTH",
            Say::UnknownMechanism => "504 5.5.4 mechanism not offered here",
            Say::AuthTwice => "503 5.5.1 authenticated already",
            Say::AuthInTransaction => "503 5.5.1 no AUTH within a transaction",
            Say::AuthFirst => "530 5.7.0 authenticate first",
            Say::AuthFirstForNow => {
                "451 4.4.3 your right to send can not be looked up now, authenticate or come again later"
            }
            Say::AuthTooLate => "421 4.7.0 waited too long for you to authenticate",

            Say::AccessDenied => "554 5.7.1 access denied",
            Say::AccessUnknown => "421 4.4.3 your right to connect can not be looked up now",
            Say::TooManyConnections => "421 4.3.2 too many connections, come again later",
            Say::TooManyFromClient => "421 4.7.0 too many connections from your network",
            Say::TooManyMessages => "421 4.7.0 too many messages for one connection",
            Say::TooManyErrors => "421 4.7.0 too many errors",
            Say::MessageRate => "450 4.7.1 too many messages from your network, come again later",
            Say::RecipientRate => {
                "450 4.7.1 too many recipients from your network, come again later"
            }
            Say::ShuttingDown => "421 4.3.2 shutting down, come again later",
            Say::TooSlow => "421 4.4.2 waited too long for you",
            Say::AccessWithdrawn => "421 4.7.0 you may not send here any more",
        }
    }

    /// Whether it says no, for now or for good.
    #[must_use]
    pub const fn is_refusal(self) -> bool {
        self.line().as_bytes()[0] >= b'4'
    }

    /// Whether it says no for good.
    #[must_use]
    pub const fn is_permanent(self) -> bool {
        self.line().as_bytes()[0] == b'5'
    }

    /// Whether we hang up behind it.
    #[must_use]
    pub const fn ends_session(self) -> bool {
        match self.line().as_bytes() {
            [b'2', b'2', b'1', ..] | [b'4', b'2', b'1', ..] => true,
            _ => matches!(
                self,
                Say::Http | Say::TlsHello | Say::BadChunk | Say::AccessDenied
            ),
        }
    }

    /// Appends the line with its CRLF.
    pub fn write(self, out: &mut Vec<u8>) {
        out.extend_from_slice(self.line().as_bytes());
        out.extend_from_slice(b"\r\n");
    }
}

/// The 250 that hands responsibility over to us (RFC 5321 4.2.5), with the id by which to ask.
pub fn write_accepted(id: QueueId, out: &mut Vec<u8>) {
    out.extend_from_slice(b"250 2.0.0 queued as ");
    out.extend_from_slice(id.to_string().as_bytes());
    out.extend_from_slice(b"\r\n");
}

/// A reply to a command.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reply {
    /// Always the same.
    Fixed(Say),
    /// The 250 to HELO.
    Hello,
    /// The 250 to EHLO, with what is offered.
    Extensions(Offers),
    /// Nothing yet: the reply comes when what was asked for is done.
    Later,
}

/// What EHLO offers besides that which always is offered.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Offers {
    /// STARTTLS (RFC 3207).
    pub starttls: bool,
    /// AUTH (RFC 4954), and how; `None`: not now.
    pub auth: Option<Mechanisms>,
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use crate::mail::limits::REPLY_LINE_BYTES_MAX;
    use crate::mail::{EnhancedCode, ReplyCode};

    use super::*;

    #[test]
    fn every_reply_is_well_formed_and_bounded() {
        // W-2.29, and "Always (a)"
        for say in Say::ALL {
            let line = say.line();
            assert!(line.len() <= REPLY_LINE_BYTES_MAX - 2, "{line}");
            assert!(line.bytes().all(|b| (b' '..=b'~').contains(&b)), "{line}");
            let mut words = line.split(' ');
            let code = words.next().and_then(|code| code.parse().ok());
            let code = code.and_then(ReplyCode::new).expect(line);
            let enhanced = words.next().and_then(EnhancedCode::parse);
            if code.get() == 354 {
                assert_eq!(enhanced, None, "{line}");
            } else {
                let class = enhanced.map(|e| u16::from(e.class.digit()));
                assert_eq!(class, Some(code.get() / 100), "{line}");
            }
            assert_eq!(say.is_refusal(), code.get() >= 400, "{line}");
        }
        let different: HashSet<Say> = Say::ALL.into_iter().collect();
        assert_eq!(different.len(), Say::ALL.len());
    }
}
