//! What the operator decided about sessions, and what of our replies depends on it: the greeting and what
//! EHLO offers.

use std::fmt;

use crate::mail::limits::REPLY_LINE_BYTES_MAX;
use crate::mail::{Address, AddressDomain, Domain, ReversePath};

use super::auth::Mechanisms;
use super::reply::{Offers, Reply};

/// What the operator decided about sessions, and the replies that depend on it.
#[derive(Debug)]
pub struct Rules {
    /// Our name.
    pub hostname: Domain,
    /// Largest message taken, in bytes as data, unstuffed.
    pub message_bytes_max: u64,
    /// Most recipients of one transaction.
    pub recipients_max: usize,
    /// What else a session may use up.
    pub limits: SessionLimits,
    /// Who may stand in MAIL.
    pub senders: SenderPolicy,
    /// Whether there is a certificate for STARTTLS.
    pub starttls: bool,
    /// Who may authenticate, and how.
    pub auth: AuthPolicy,
    greeting: Box<[u8]>,
    hello: Box<[u8]>,
    extensions: Box<[u8]>,
}

/// What one session may use up.
#[derive(Clone, Copy, Debug)]
pub struct SessionLimits {
    /// Most transactions, announced as MAILMAX (RFC 9422).
    pub mails_max: u64,
    /// Commands refused with 5yz since the last accepted message, at which it ends.
    pub errors_max: u32,
}

/// Whether and how clients may authenticate.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct AuthPolicy {
    /// There are users.
    pub users: bool,
    /// All of them can use SCRAM.
    pub scram: bool,
    /// Without TLS, too.
    pub insecure: bool,
}

/// Which reverse-paths are taken.
pub enum SenderPolicy {
    /// Every one.
    Any,
    /// The null reverse-path, and those whose domain this says yes to.
    Local(Box<dyn Fn(&Domain) -> bool + Send + Sync>),
}

impl SenderPolicy {
    /// Whether `sender` may send through us.
    #[must_use]
    pub fn allows(&self, sender: &ReversePath) -> bool {
        match (self, sender.mailbox().map(Address::domain)) {
            (SenderPolicy::Any, _) | (SenderPolicy::Local(_), None) => true,
            (SenderPolicy::Local(is_local), Some(AddressDomain::Name(name))) => is_local(name),
            (SenderPolicy::Local(_), Some(AddressDomain::Literal(_))) => false,
        }
    }
}

impl fmt::Debug for SenderPolicy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            SenderPolicy::Any => "Any",
            SenderPolicy::Local(_) => "Local",
        })
    }
}

impl Rules {
    /// Rules from what was configured; `banner` is cut where it would not fit into a reply line.
    #[must_use]
    pub fn new(
        hostname: Domain,
        banner: &str,
        message_bytes_max: u64,
        recipients_max: usize,
        limits: SessionLimits,
        senders: SenderPolicy,
    ) -> Rules {
        let mails_max = limits.mails_max;
        let name = hostname.as_str();
        Rules {
            greeting: one_line(&format!("220 {name} {banner}")),
            hello: one_line(&format!("250 {name}")),
            extensions: format!(
                "250-{name}\r\n250-SIZE {message_bytes_max}\r\n250-PIPELINING\r\n\
                 250-8BITMIME\r\n250-BINARYMIME\r\n250-CHUNKING\r\n250-SMTPUTF8\r\n250-DSN\r\n\
                 250-LIMITS RCPTMAX={recipients_max} MAILMAX={mails_max}\r\n"
            )
            .into_bytes()
            .into(),
            hostname,
            message_bytes_max,
            recipients_max,
            limits,
            senders,
            starttls: false,
            auth: AuthPolicy::default(),
        }
    }

    /// With STARTTLS offered to clients that are in clear.
    #[must_use]
    pub fn with_starttls(self) -> Rules {
        Rules {
            starttls: true,
            ..self
        }
    }

    /// The same, with authentication.
    #[must_use]
    pub fn with_auth(self, auth: AuthPolicy) -> Rules {
        Rules { auth, ..self }
    }

    /// Appends the greeting that opens a session.
    pub fn write_greeting(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(&self.greeting);
    }

    /// Appends a reply.
    pub fn write(&self, reply: Reply, out: &mut Vec<u8>) {
        match reply {
            Reply::Fixed(say) => say.write(out),
            Reply::Hello => out.extend_from_slice(&self.hello),
            Reply::Extensions(offers) => self.write_extensions(offers, out),
            Reply::Later => {}
        }
    }

    /// The one place where keywords are put together.
    fn write_extensions(&self, offers: Offers, out: &mut Vec<u8>) {
        out.extend_from_slice(&self.extensions);
        if offers.starttls {
            out.extend_from_slice(b"250-STARTTLS\r\n");
        }
        if let Some(mechanisms) = offers.auth {
            write_auth_keyword(mechanisms, out);
        }
        out.extend_from_slice(b"250 ENHANCEDSTATUSCODES\r\n");
    }
}

fn write_auth_keyword(mechanisms: Mechanisms, out: &mut Vec<u8>) {
    out.extend_from_slice(b"250-AUTH");
    for mechanism in mechanisms.iter() {
        out.push(b' ');
        out.extend_from_slice(mechanism.name().as_bytes());
    }
    out.extend_from_slice(b"\r\n");
}

/// A bounded line with its CRLF; what is not printable ASCII becomes `?`.
fn one_line(text: &str) -> Box<[u8]> {
    text.trim_end()
        .chars()
        .map(|c| if c.is_ascii_control() { '?' } else { c })
        .map(|c| u8::try_from(c).ok().filter(u8::is_ascii).unwrap_or(b'?'))
        .take(REPLY_LINE_BYTES_MAX - 2)
        .chain(*b"\r\n")
        .collect()
}

#[cfg(test)]
mod tests {
    use super::super::reply::write_accepted;
    use super::*;
    use crate::mail::{QueueId, Spelling, UnixMillis};

    fn rules(banner: &str) -> Rules {
        let name = Domain::parse("gp.test").unwrap();
        let senders = SenderPolicy::Local(Box::new(|domain| domain.as_str() == "gp.test"));
        let limits = SessionLimits {
            mails_max: 1000,
            errors_max: 20,
        };
        Rules::new(name, banner, 10_485_760, 100, limits, senders)
    }

    #[test]
    fn what_depends_on_configuration() {
        // W-1.01, W-2.01, W-2.03, W-4.13, W-5.01
        let mut out = Vec::new();
        let rules = rules("GopherPost ready");
        rules.write_greeting(&mut out);
        rules.write(Reply::Hello, &mut out);
        rules.write(Reply::Extensions(Offers::default()), &mut out);
        let everything = Offers {
            starttls: true,
            auth: Some(Mechanisms {
                scram: true,
                scram_plus: true,
            }),
        };
        rules.write(Reply::Extensions(everything), &mut out);
        write_accepted(QueueId::first_of(UnixMillis(1)), &mut out);
        expect_test::expect![[r#"
            220 gp.test GopherPost ready
            250 gp.test
            250-gp.test
            250-SIZE 10485760
            250-PIPELINING
            250-8BITMIME
            250-BINARYMIME
            250-CHUNKING
            250-SMTPUTF8
            250-DSN
            250-LIMITS RCPTMAX=100 MAILMAX=1000
            250 ENHANCEDSTATUSCODES
            250-gp.test
            250-SIZE 10485760
            250-PIPELINING
            250-8BITMIME
            250-BINARYMIME
            250-CHUNKING
            250-SMTPUTF8
            250-DSN
            250-LIMITS RCPTMAX=100 MAILMAX=1000
            250-STARTTLS
            250-AUTH PLAIN LOGIN SCRAM-SHA-256 SCRAM-SHA-256-PLUS
            250 ENHANCEDSTATUSCODES
            250 2.0.0 queued as 00000000010000000000000000
        "#]]
        .assert_eq(&String::from_utf8(out).unwrap().replace("\r\n", "\n"));
    }

    #[test]
    fn a_banner_is_made_to_fit() {
        for banner in ["", "x\r\n250 y\u{e9}", &"x".repeat(2000)] {
            let mut out = Vec::new();
            rules(banner).write_greeting(&mut out);
            assert!(out.len() <= REPLY_LINE_BYTES_MAX);
            assert!(out.starts_with(b"220 gp.test") && out.ends_with(b"\r\n"));
            assert!(
                out[..out.len() - 2]
                    .iter()
                    .all(|b| (b' '..=b'~').contains(b))
            );
        }
    }

    #[test]
    fn only_our_domains_send_through_us() {
        // W-3.04
        let policy = rules("").senders;
        let from = |text: &str| {
            ReversePath::Mailbox(Address::parse(text.as_bytes(), Spelling::Ascii).unwrap())
        };
        assert!(policy.allows(&ReversePath::Null));
        for good in ["a@gp.test", "a@GP.Test"] {
            assert!(policy.allows(&from(good)), "{good}");
        }
        for bad in [
            "a@other.test",
            "a@sub.gp.test",
            "a@evilgp.test",
            "a@gp.test.evil.test",
            "a@[127.0.0.1]",
        ] {
            assert!(!policy.allows(&from(bad)), "{bad}");
            assert!(SenderPolicy::Any.allows(&from(bad)), "{bad}");
        }
    }
}
