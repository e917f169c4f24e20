//! Why we could not authenticate, and what that means for the mail. Pure.

use crate::mail::{AddressDomain, EnhancedCode, Reason, Reply, ReplyClass};
use crate::smtp::client::AuthFault;

/// Why we are not authenticated at a host that we must authenticate to.
#[derive(Debug, thiserror::Error)]
pub(super) enum LoginFault {
    /// It said 4yz or 5yz.
    #[error("the relay host did not authenticate us; see SMTP_RELAY_USER and SMTP_RELAY_PASSWORD")]
    Refused(Reply),
    /// It offers no mechanism that we know.
    #[error(
        "the relay host offers no AUTH that we know (SCRAM-SHA-256, PLAIN or LOGIN); without \
         SMTP_RELAY_USER and SMTP_RELAY_PASSWORD mail would go there without"
    )]
    NotOffered,
    /// There is no TLS.
    #[error(
        "there is no TLS with the relay host, so the password stays here; if it may go in clear, set \
         SMTP_TLS_POLICY=...,{next_hop}=none (now: {rule})"
    )]
    InClear {
        /// By which name the policy was asked.
        next_hop: AddressDomain,
        /// What it said.
        rule: Box<str>,
    },
    /// It did not follow the mechanism.
    #[error("AUTH failed: {0}")]
    Exchange(AuthFault),
}

impl LoginFault {
    /// Status and kind; all of them pass, so that the queue is kept whatever the host says
    /// (RFC 4954 6, RFC 3463 3.8).
    #[must_use]
    pub(super) fn status(&self) -> (EnhancedCode, Reason) {
        match self {
            LoginFault::Refused(reply) if reply.code().class() == ReplyClass::Temporary => {
                (reply.status(), Reason::Remote)
            }
            LoginFault::Refused(_) => (EnhancedCode::temporary(7, 8), Reason::Remote),
            LoginFault::NotOffered => (EnhancedCode::temporary(7, 4), Reason::Policy),
            LoginFault::InClear { .. } => (EnhancedCode::temporary(7, 11), Reason::Policy),
            LoginFault::Exchange(_) => (EnhancedCode::temporary(7, 5), Reason::Policy),
        }
    }

    /// What the host said.
    #[must_use]
    pub(super) fn reply(&self) -> Option<&Reply> {
        match self {
            LoginFault::Refused(reply) => Some(reply),
            LoginFault::NotOffered | LoginFault::InClear { .. } | LoginFault::Exchange(_) => None,
        }
    }

    /// Whether nothing but the operator can change it.
    pub(super) fn is_lasting(&self) -> bool {
        match self {
            LoginFault::Refused(reply) => reply.code().class() == ReplyClass::Permanent,
            LoginFault::NotOffered | LoginFault::InClear { .. } | LoginFault::Exchange(_) => true,
        }
    }
}
