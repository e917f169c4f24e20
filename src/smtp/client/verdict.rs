//! What a remote's reply means. This is the one place where that is decided.

use crate::mail::{Answer, EnhancedCode, Reason, Remote, Reply, ReplyClass, ReplyCode};

use super::reply_reader::ProtocolFault;

/// What a reply is the answer to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[expect(missing_docs, reason = "SMTP's own names")]
pub enum Phase {
    Greeting,
    Ehlo,
    Helo,
    StartTls,
    Auth,
    Mail,
    Rcpt,
    Data,
    Dot,
    Rset,
    Quit,
}

impl Phase {
    /// As in "no answer to ...".
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Phase::Greeting => "the connection",
            Phase::Ehlo => "EHLO",
            Phase::Helo => "HELO",
            Phase::StartTls => "STARTTLS",
            Phase::Auth => "AUTH",
            Phase::Mail => "MAIL",
            Phase::Rcpt => "RCPT",
            Phase::Data => "DATA",
            Phase::Dot => "the end of the message",
            Phase::Rset => "RSET",
            Phase::Quit => "QUIT",
        }
    }
}

/// What a reply means for the dialogue.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Meaning {
    /// Accepted: on.
    Go,
    /// 4yz: not now.
    NotNow,
    /// 5yz: never.
    Never,
    /// 421: not now, and the host closes the connection (RFC 5321 3.8).
    Closing,
}

/// Reads a reply code at its place. A class that has no meaning there is a fault: 3yz anywhere but
/// after DATA, 2yz after DATA.
pub fn meaning(phase: Phase, code: ReplyCode) -> Result<Meaning, ProtocolFault> {
    if code.get() == 421 {
        return Ok(Meaning::Closing);
    }
    match (code.class(), phase) {
        (ReplyClass::Intermediate, Phase::Data | Phase::Auth) => Ok(Meaning::Go),
        (ReplyClass::Success, Phase::Data) => Err(ProtocolFault::OutOfPlace),
        (ReplyClass::Success, _) => Ok(Meaning::Go),
        (ReplyClass::Intermediate, _) => Err(ProtocolFault::OutOfPlace),
        (ReplyClass::Temporary, _) => Ok(Meaning::NotNow),
        (ReplyClass::Permanent, _) => Ok(Meaning::Never),
    }
}

/// What becomes of a recipient.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// A host took responsibility.
    Delivered,
    /// Not now.
    Deferred,
    /// Never.
    Failed,
}

/// A recipient's answer in this attempt.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Settled {
    /// What becomes of it.
    pub verdict: Verdict,
    /// What is told about it.
    pub answer: Answer,
}

impl Settled {
    /// By a remote's reply; its basic code decides (RFC 5321 4.2.1).
    #[must_use]
    pub fn by_reply(reply: &Reply, remote: &Remote) -> Settled {
        Settled {
            verdict: match reply.code().class() {
                ReplyClass::Success | ReplyClass::Intermediate => Verdict::Delivered,
                ReplyClass::Temporary => Verdict::Deferred,
                ReplyClass::Permanent => Verdict::Failed,
            },
            answer: answer_of(reply, remote),
        }
    }

    /// By a rule of ours: never.
    #[must_use]
    pub fn failed(status: EnhancedCode, reason: Reason, remote: &Remote, detail: &str) -> Settled {
        Settled {
            verdict: Verdict::Failed,
            answer: Answer {
                remote: Some(remote.clone()),
                status,
                reason,
                reply: None,
                detail: detail.into(),
            },
        }
    }
}

/// A remote's reply as it is told and kept.
#[must_use]
pub fn answer_of(reply: &Reply, remote: &Remote) -> Answer {
    Answer {
        remote: Some(remote.clone()),
        status: reply.status(),
        reason: reason_of(reply),
        reply: Some(reply.clone()),
        detail: Box::default(),
    }
}

/// Greylisting has no code of its own; hosts that do it say so. This is a label for people and
/// metrics, and decides nothing.
fn reason_of(reply: &Reply) -> Reason {
    match reply.code().class() {
        ReplyClass::Success | ReplyClass::Intermediate => Reason::None,
        ReplyClass::Permanent => Reason::Remote,
        ReplyClass::Temporary => {
            let text = reply.text().to_ascii_lowercase();
            if text.contains("greylist") || text.contains("graylist") {
                Reason::Greylist
            } else {
                Reason::Remote
            }
        }
    }
}

/// Whether the host wants fewer recipients in one transaction, not fewer recipients: then the
/// refused ones go into a further transaction at once (RFC 5321 4.5.3.1.10). `accepted` is how many
/// it took before; with none of them there is nothing to divide.
#[must_use]
pub fn too_many_recipients(reply: &Reply, accepted: usize) -> bool {
    let says_so = reply
        .enhanced()
        .is_some_and(|code| (code.subject, code.detail) == (5, 3));
    accepted > 0 && (reply.code().get() == 552 || reply.code().get() == 452 && says_so)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(phase: Phase, codes: &[u16], want: Result<Meaning, ProtocolFault>) {
        for &code in codes {
            assert_eq!(
                meaning(phase, ReplyCode::new(code).unwrap()),
                want,
                "{phase:?} {code}"
            );
        }
    }

    #[test]
    fn codes_mean_what_their_class_says_at_their_place() {
        // W-15.03
        let fault = Err(ProtocolFault::OutOfPlace);
        for phase in [Phase::Mail, Phase::Rcpt, Phase::Dot] {
            check(phase, &[200, 250, 251, 252, 299], Ok(Meaning::Go));
            check(phase, &[300, 354], fault);
        }
        check(Phase::Data, &[300, 354, 399], Ok(Meaning::Go));
        check(Phase::Data, &[200, 250], fault);
        for phase in [
            Phase::Greeting,
            Phase::Ehlo,
            Phase::Mail,
            Phase::Rcpt,
            Phase::Data,
            Phase::Dot,
        ] {
            check(phase, &[400, 450, 499], Ok(Meaning::NotNow));
            check(phase, &[500, 550, 599], Ok(Meaning::Never));
            check(phase, &[421], Ok(Meaning::Closing));
        }
    }

    fn reply(code: u16, text: &str) -> Reply {
        Reply::from_lines(ReplyCode::new(code).unwrap(), [text.as_bytes()])
    }

    #[test]
    fn the_basic_code_decides_and_the_enhanced_one_takes_its_class() {
        // W-15.07
        let remote = Remote {
            host: "mx.test".into(),
            address: "192.0.2.1:25".parse().unwrap(),
            security: None,
            connected: true,
        };
        for (code, text, verdict, status) in [
            (250, "ok", Verdict::Delivered, "2.0.0"),
            (252, "2.1.5 may be", Verdict::Delivered, "2.1.5"),
            (550, "4.2.2 full", Verdict::Failed, "5.2.2"),
            (450, "5.1.1 no", Verdict::Deferred, "4.1.1"),
            (451, "later", Verdict::Deferred, "4.0.0"),
        ] {
            let settled = Settled::by_reply(&reply(code, text), &remote);
            assert_eq!(settled.verdict, verdict, "{code} {text}");
            assert_eq!(settled.answer.status.to_string(), status, "{code} {text}");
        }
    }

    #[test]
    fn only_too_many_recipients_are_divided() {
        // W-16.09
        assert!(too_many_recipients(&reply(452, "4.5.3 too many"), 1));
        assert!(too_many_recipients(&reply(552, "too many"), 1));
        assert!(!too_many_recipients(&reply(452, "4.5.3 too many"), 0));
        assert!(!too_many_recipients(&reply(452, "4.2.2 full"), 1));
        assert!(!too_many_recipients(&reply(452, "later"), 1));
        assert!(!too_many_recipients(&reply(550, "5.5.3 no"), 1));
    }
}
