//! What goes wrong between us and one host, and what that means for the mail.

use std::io;
use std::net::IpAddr;
use std::sync::Arc;

use crate::mail::{Answer, Domain, EnhancedCode, Reason, Remote, Reply, ReplyClass};
use crate::smtp::client::{Phase, ProtocolFault};

use super::login_fault::LoginFault;
use super::policy::Obstacle;
use super::tally::Trouble;
use super::target::Terms;
use super::tls::TlsFault;

/// The connection is of no use, or no more.
#[derive(Debug, thiserror::Error)]
pub(super) enum ConnectionError {
    /// No connection came about.
    #[error("{}", io_text(.0))]
    Connect(io::Error),
    /// Nor an answer to the attempt.
    #[error("no connection in time (SMTP_CONNECT_TIMEOUT)")]
    ConnectTimeout,
    /// Our own end could not have the address that it should have.
    #[error("nobody can call from {address} (SMTP_SOURCE_ADDRESSES): {}", io_text(.error))]
    Source {
        /// Ours.
        address: IpAddr,
        /// Why not.
        error: io::Error,
    },
    /// The host calls itself by our name.
    #[error("the host says that it is {0} (SMTP_HOSTNAME)")]
    Ourselves(Domain),
    /// It was closed or broke.
    #[error("connection lost while waiting for {during}: {}", io_text(.error))]
    Lost {
        /// What we waited for.
        during: &'static str,
        /// How it broke.
        error: io::Error,
    },
    /// The host was too slow.
    #[error("no progress in time while waiting for {during} ({setting})")]
    Timeout {
        /// What we waited for.
        during: &'static str,
        /// Which setting says how long.
        setting: &'static str,
    },
    /// It answered with 4yz or 5yz before any mail was offered.
    #[error("{0}")]
    Refused(Reply),
    /// It does not offer STARTTLS, and the terms demand it.
    #[error("the remote host offers no STARTTLS; {}", .terms.mend(Obstacle::NotOffered))]
    StartTlsMissing {
        /// The terms.
        terms: Arc<Terms>,
    },
    /// It offered STARTTLS and then refused it.
    #[error("the remote host offers STARTTLS and refuses it; {}", .terms.mend(Obstacle::Broken))]
    StartTlsRefused {
        /// How it did so.
        reply: Reply,
        /// The terms.
        terms: Arc<Terms>,
    },
    /// TLS did not come about, or not with a certificate that can be trusted.
    #[error("{fault}; {}", .terms.mend(.fault.obstacle()))]
    Tls {
        /// What is wrong.
        fault: TlsFault,
        /// The terms.
        terms: Arc<Terms>,
    },
    /// The TLS handshake had no end.
    #[error("no progress in time while waiting for the TLS handshake ({setting})")]
    TlsTimeout {
        /// Which setting says how long.
        setting: &'static str,
    },
    /// We are not authenticated, and must be.
    #[error("{0}")]
    Login(LoginFault),
    /// It does not speak SMTP.
    #[error("{0}")]
    Protocol(#[from] ProtocolFault),
}

impl ConnectionError {
    /// A read or write that failed.
    #[must_use]
    pub(super) fn lost(during: &'static str, error: io::Error) -> ConnectionError {
        ConnectionError::Lost { during, error }
    }

    /// The remote closed the connection.
    #[must_use]
    pub(super) fn closed(phase: Phase) -> ConnectionError {
        ConnectionError::lost(phase.name(), io::ErrorKind::UnexpectedEof.into())
    }

    /// As it is told.
    #[must_use]
    pub(super) fn answer(&self, remote: &Remote) -> Answer {
        let (status, reason) = match self {
            ConnectionError::Connect(_) => (EnhancedCode::temporary(4, 1), Reason::Connect),
            ConnectionError::ConnectTimeout => (EnhancedCode::temporary(4, 1), Reason::Timeout),
            ConnectionError::Source { .. } => (EnhancedCode::temporary(4, 1), Reason::Policy),
            ConnectionError::Ourselves(_) => (EnhancedCode::permanent(4, 6), Reason::Dns),
            ConnectionError::Lost { .. } => (EnhancedCode::temporary(4, 2), Reason::Connect),
            ConnectionError::Timeout { .. } | ConnectionError::TlsTimeout { .. } => {
                (EnhancedCode::temporary(4, 2), Reason::Timeout)
            }
            ConnectionError::Refused(reply) => (reply.status(), Reason::Remote),
            ConnectionError::StartTlsMissing { .. } | ConnectionError::StartTlsRefused { .. } => {
                (EnhancedCode::temporary(7, 4), Reason::Tls)
            }
            ConnectionError::Tls { .. } => (EnhancedCode::temporary(7, 5), Reason::Tls),
            ConnectionError::Login(fault) => fault.status(),
            ConnectionError::Protocol(_) => (EnhancedCode::temporary(5, 0), Reason::Protocol),
        };
        let (reply, detail) = match self {
            ConnectionError::Refused(reply) => (Some(reply.clone()), String::new()),
            ConnectionError::StartTlsRefused { reply, .. } => {
                (Some(reply.clone()), self.to_string())
            }
            ConnectionError::Login(fault) => (fault.reply().cloned(), self.to_string()),
            other => (None, other.to_string()),
        };
        let connected = !matches!(
            self,
            ConnectionError::Connect(_) | ConnectionError::ConnectTimeout
        );
        let remote = Remote {
            connected,
            ..remote.clone()
        };
        Answer {
            remote: Some(remote),
            status,
            reason,
            reply,
            detail: detail.into(),
        }
    }

    /// Whether TLS was tried and did not come about: another connection may do without.
    #[must_use]
    pub(super) fn is_of_tls(&self) -> bool {
        match self {
            ConnectionError::StartTlsRefused { .. }
            | ConnectionError::Tls { .. }
            | ConnectionError::TlsTimeout { .. } => true,
            ConnectionError::Connect(_)
            | ConnectionError::ConnectTimeout
            | ConnectionError::Source { .. }
            | ConnectionError::Ourselves(_)
            | ConnectionError::Lost { .. }
            | ConnectionError::Timeout { .. }
            | ConnectionError::Refused(_)
            | ConnectionError::StartTlsMissing { .. }
            | ConnectionError::Login(_)
            | ConnectionError::Protocol(_) => false,
        }
    }

    /// What it means for the attempt: all lead to the next host, and only a 5yz is final once every
    /// host has said it.
    #[must_use]
    pub(super) fn trouble(&self, remote: &Remote) -> Trouble {
        let answer = self.answer(remote);
        match self {
            ConnectionError::Refused(reply) if reply.code().class() == ReplyClass::Permanent => {
                Trouble::Refused(answer)
            }
            ConnectionError::Ourselves(_) => Trouble::Ourselves(answer),
            _ => Trouble::Passing(answer),
        }
    }
}

/// `connection refused`, without numbers of this machine.
fn io_text(error: &io::Error) -> String {
    match error.kind() {
        io::ErrorKind::UnexpectedEof => "closed by the remote host".to_owned(),
        kind => kind.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::super::policy::terms_of;
    use super::super::route::Route;
    use super::super::test_config;
    use super::*;
    use crate::mail::{Domain, ReplyCode};

    #[track_caller]
    fn check(error: &ConnectionError, want: &str) {
        let remote = Remote {
            host: "mx.test".into(),
            address: "192.0.2.1:25".parse().unwrap(),
            security: None,
            connected: true,
        };
        let text = match error.trouble(&remote) {
            Trouble::Passing(answer) => format!("deferred {} {}", answer.status, answer.words()),
            Trouble::Refused(answer) => format!("refused {} {}", answer.status, answer.words()),
            Trouble::NoAddress(answer) => format!("no address {}", answer.status),
            Trouble::Ourselves(answer) => format!("us {} {}", answer.status, answer.words()),
        };
        assert_eq!(text, want);
    }

    fn reply(code: u16, text: &str) -> Reply {
        Reply::from_lines(ReplyCode::new(code).unwrap(), [text.as_bytes()])
    }

    #[test]
    fn every_error_has_its_status_and_one_line() {
        // W-13.12
        check(
            &ConnectionError::Connect(io::ErrorKind::ConnectionRefused.into()),
            "deferred 4.4.1 connection refused",
        );
        check(
            &ConnectionError::ConnectTimeout,
            "deferred 4.4.1 no connection in time (SMTP_CONNECT_TIMEOUT)",
        );
        // W-14.08
        check(
            &ConnectionError::Source {
                address: "192.0.2.7".parse().unwrap(),
                error: io::ErrorKind::AddrNotAvailable.into(),
            },
            "deferred 4.4.1 nobody can call from 192.0.2.7 (SMTP_SOURCE_ADDRESSES): \
             address not available",
        );
        // W-13.09
        check(
            &ConnectionError::Ourselves(Domain::parse("gp.test").unwrap()),
            "us 5.4.6 the host says that it is gp.test (SMTP_HOSTNAME)",
        );
        // W-16.07
        check(
            &ConnectionError::closed(Phase::Data),
            "deferred 4.4.2 connection lost while waiting for DATA: closed by the remote host",
        );
        // W-14.07
        check(
            &ConnectionError::Timeout {
                during: Phase::Ehlo.name(),
                setting: "SMTP_REPLY_TIMEOUT",
            },
            "deferred 4.4.2 no progress in time while waiting for EHLO (SMTP_REPLY_TIMEOUT)",
        );
        // W-14.02
        check(
            &ConnectionError::Refused(reply(554, "5.7.1 go away")),
            "refused 5.7.1 554 5.7.1 go away",
        );
        check(
            &ConnectionError::Refused(reply(421, "busy")),
            "deferred 4.0.0 421 busy",
        );
        // W-15.02
        check(
            &ConnectionError::Protocol(ProtocolFault::NotAReply),
            "deferred 4.5.0 the remote host sent a line that is no SMTP reply",
        );
        // W-18.02
        let terms = terms_of(
            &test_config(),
            &Route::Mx(Domain::parse("dest.test").unwrap()),
        );
        let reply = reply(554, "no");
        check(
            &ConnectionError::StartTlsRefused {
                reply,
                terms: terms.clone(),
            },
            "deferred 4.7.4 554 no (the remote host offers STARTTLS and refuses it; the remote host \
             must mend it; SMTP_TLS_POLICY=...,dest.test=opportunistic would send mail there all the \
             same (now: valid))",
        );
        check(
            &ConnectionError::Tls {
                fault: TlsFault::Expired,
                terms,
            },
            "deferred 4.7.5 certificate expired; the remote host must mend it; \
             SMTP_TLS_POLICY=...,dest.test=encrypt would send mail there all the same (now: valid)",
        );
        check(
            &ConnectionError::TlsTimeout {
                setting: "SMTP_REPLY_TIMEOUT",
            },
            "deferred 4.4.2 no progress in time while waiting for the TLS handshake \
             (SMTP_REPLY_TIMEOUT)",
        );
    }

    #[test]
    fn no_failure_to_authenticate_is_final() {
        // W-19.04
        let words = "the relay host did not authenticate us; see SMTP_RELAY_USER and \
                     SMTP_RELAY_PASSWORD";
        for (code, text, status) in [
            (535, "5.7.8 no", "4.7.8"),
            (534, "5.7.9 too weak", "4.7.8"),
            (454, "4.7.0 not now", "4.7.0"),
        ] {
            check(
                &ConnectionError::Login(LoginFault::Refused(reply(code, text))),
                &format!("deferred {status} {code} {text} ({words})"),
            );
        }
    }
}
