//! One recipient of one message, and the states of its life.

use std::fmt;
use std::net::SocketAddr;

use super::address::Address;
use super::dsn::DsnRecipient;
use super::enhanced_code::EnhancedCode;
use super::reply::Reply;
use super::security::Security;
use super::time::UnixMillis;

/// Which recipient of its message, counted from 0 in the order of RCPT.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct RecipientNo(pub u32);

/// A recipient with all that is known about its delivery.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Recipient {
    /// Which of its message.
    pub no: RecipientNo,
    /// Forward-path.
    pub address: Address,
    /// What the client asked to be told about it.
    pub dsn: DsnRecipient,
    /// What has become of it.
    pub state: RecipientState,
    /// Attempts that ended with an answer or an error.
    pub attempts: u32,
    /// When the first of them ended.
    pub first_attempt: Option<UnixMillis>,
    /// When the last of them ended.
    pub last_attempt: Option<UnixMillis>,
    /// What the last of them gave.
    pub last_answer: Option<Answer>,
    /// When its sender was told that it takes long; that is told once.
    pub delay_told: Option<UnixMillis>,
}

impl Recipient {
    /// A recipient to whom nothing has happened yet.
    #[must_use]
    pub fn new(no: RecipientNo, address: Address, state: RecipientState) -> Recipient {
        Recipient {
            no,
            address,
            dsn: DsnRecipient::default(),
            state,
            attempts: 0,
            first_attempt: None,
            last_attempt: None,
            last_answer: None,
            delay_told: None,
        }
    }
}

/// Where a recipient stands. Being attempted right now is no state of its own: that is known in
/// memory only, so that a crash gives the claim back by itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RecipientState {
    /// Waits for its first attempt.
    Queued {
        /// Not before.
        due: UnixMillis,
    },
    /// Was attempted, will be again.
    Deferred {
        /// Not before.
        due: UnixMillis,
    },
    /// Waits to be released.
    Held {
        /// Who holds it.
        by: HeldBy,
    },
    /// A remote host took it.
    Delivered,
    /// Refused for good.
    Failed,
    /// The lifetime ended before anyone took it.
    Expired,
    /// Taken out by the operator.
    Purged {
        /// When.
        at: UnixMillis,
        /// What it waited for, should it be brought back.
        was: Waiting,
    },
}

/// What a recipient waited for before it was purged.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Waiting {
    /// Its first attempt.
    Queued {
        /// Not before.
        due: UnixMillis,
    },
    /// Another attempt.
    Deferred {
        /// Not before.
        due: UnixMillis,
    },
    /// To be released.
    Held {
        /// By whom it was held.
        by: HeldBy,
    },
}

impl From<Waiting> for RecipientState {
    fn from(was: Waiting) -> RecipientState {
        match was {
            Waiting::Queued { due } => RecipientState::Queued { due },
            Waiting::Deferred { due } => RecipientState::Deferred { due },
            Waiting::Held { by } => RecipientState::Held { by },
        }
    }
}

/// Why a recipient is held.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum HeldBy {
    /// It came in under `SMTP_MODE=hold`; released by a start in mode `deliver`.
    Mode,
    /// The operator said so; released only by the operator.
    Operator,
}

impl RecipientState {
    /// When the next attempt is due, if one is.
    #[must_use]
    pub fn due(&self) -> Option<UnixMillis> {
        match *self {
            RecipientState::Queued { due } | RecipientState::Deferred { due } => Some(due),
            RecipientState::Held { .. }
            | RecipientState::Delivered
            | RecipientState::Failed
            | RecipientState::Expired
            | RecipientState::Purged { .. } => None,
        }
    }

    /// What it waits for; `None` in final states.
    #[must_use]
    pub fn waiting(&self) -> Option<Waiting> {
        match *self {
            RecipientState::Queued { due } => Some(Waiting::Queued { due }),
            RecipientState::Deferred { due } => Some(Waiting::Deferred { due }),
            RecipientState::Held { by } => Some(Waiting::Held { by }),
            RecipientState::Delivered
            | RecipientState::Failed
            | RecipientState::Expired
            | RecipientState::Purged { .. } => None,
        }
    }

    /// Whether nothing more will happen by itself.
    #[must_use]
    pub fn is_final(&self) -> bool {
        match self {
            RecipientState::Queued { .. }
            | RecipientState::Deferred { .. }
            | RecipientState::Held { .. } => false,
            RecipientState::Delivered
            | RecipientState::Failed
            | RecipientState::Expired
            | RecipientState::Purged { .. } => true,
        }
    }

    /// The one table of a recipient's life: whether `next` may follow. Final states are final, but for
    /// what the operator purged and brings back. What is held leaves that state by release or by the
    /// operator's hand, and does not age. An attempt that was under way when the operator held or
    /// purged may still tell how it ended.
    #[must_use]
    pub fn may_become(&self, next: &RecipientState) -> bool {
        use StateName::{Deferred, Delivered, Expired, Failed, Held, Purged, Queued};
        match (self.name(), next.name()) {
            // an earlier or later time for the first attempt
            (Queued, Queued) => true,
            // once attempted, always attempted
            (Deferred, Queued) => false,
            // attempts, the end of the lifetime, the operator
            (Queued | Deferred, Deferred | Held | Delivered | Failed | Expired | Purged) => true,
            // released as it was, held by another, given up by the operator
            (Held, Queued | Deferred | Held | Failed | Purged) => true,
            // by an attempt that was under way
            (Held, Delivered) => true,
            // waiting was not its own fault
            (Held, Expired) => false,
            // brought back, or taken by an attempt that was under way
            (Purged, Queued | Deferred | Held | Delivered | Failed | Purged) => true,
            (Purged, Expired) => false,
            (Delivered | Failed | Expired, _) => false,
        }
    }

    /// Its name, for lists and metrics.
    #[must_use]
    pub fn name(&self) -> StateName {
        match self {
            RecipientState::Queued { .. } => StateName::Queued,
            RecipientState::Deferred { .. } => StateName::Deferred,
            RecipientState::Held { .. } => StateName::Held,
            RecipientState::Delivered => StateName::Delivered,
            RecipientState::Failed => StateName::Failed,
            RecipientState::Expired => StateName::Expired,
            RecipientState::Purged { .. } => StateName::Purged,
        }
    }
}

/// The states by name, as operators see them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[expect(
    missing_docs,
    reason = "the names say it all; RecipientState has the meaning"
)]
pub enum StateName {
    Queued,
    Deferred,
    Held,
    Delivered,
    Failed,
    Expired,
    Purged,
}

impl StateName {
    /// All of them, in the order of a life.
    pub const ALL: [StateName; 7] = [
        StateName::Queued,
        StateName::Deferred,
        StateName::Held,
        StateName::Delivered,
        StateName::Failed,
        StateName::Expired,
        StateName::Purged,
    ];

    /// Lower case, as in JSON and metrics.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            StateName::Queued => "queued",
            StateName::Deferred => "deferred",
            StateName::Held => "held",
            StateName::Delivered => "delivered",
            StateName::Failed => "failed",
            StateName::Expired => "expired",
            StateName::Purged => "purged",
        }
    }
}

/// The host that was spoken to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Remote {
    /// Its name as MX or route gave it, or the literal.
    pub host: Box<str>,
    /// Where it was dialled.
    pub address: SocketAddr,
    /// How the connection was secured; `None`: it did not come so far.
    pub security: Option<Box<Security>>,
    /// Whether it took the connection, if nothing else; only then had it a part in what happened.
    pub connected: bool,
}

impl fmt::Display for Remote {
    /// `mx.example.org[192.0.2.1]:25`, as Postfix writes it.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{}[{}]:{}",
            self.host,
            self.address.ip(),
            self.address.port()
        )
    }
}

/// What an attempt gave: a remote's reply, or our own words where no reply was had.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Answer {
    /// Who gave it; `None` if no host was reached.
    pub remote: Option<Remote>,
    /// The Status of reports and logs.
    pub status: EnhancedCode,
    /// What kind of trouble, or none.
    pub reason: Reason,
    /// The remote's reply, word for word as far as it is safe to show.
    pub reply: Option<Reply>,
    /// Our own words: what happened, and which setting would change it. Empty beside a reply that
    /// says it all.
    pub detail: Box<str>,
}

/// Kinds of trouble, as the metric `delivery_attempts_total` names them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Reason {
    /// Delivered.
    None,
    /// Names could not be resolved.
    Dns,
    /// No connection, or it broke.
    Connect,
    /// STARTTLS or the certificate.
    Tls,
    /// The remote was too slow.
    Timeout,
    /// The remote asks to come again (greylisting).
    Greylist,
    /// One of our own rules.
    Policy,
    /// The remote said no.
    Remote,
    /// The remote does not speak SMTP.
    Protocol,
    /// Our own copy of the message can't be read.
    Store,
}

impl Reason {
    /// All of them.
    pub const ALL: [Reason; 10] = [
        Reason::None,
        Reason::Dns,
        Reason::Connect,
        Reason::Tls,
        Reason::Timeout,
        Reason::Greylist,
        Reason::Policy,
        Reason::Remote,
        Reason::Protocol,
        Reason::Store,
    ];

    /// Lower case, as in metrics and logs.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Reason::None => "none",
            Reason::Dns => "dns",
            Reason::Connect => "connect",
            Reason::Tls => "tls",
            Reason::Timeout => "timeout",
            Reason::Greylist => "greylist",
            Reason::Policy => "policy",
            Reason::Remote => "remote",
            Reason::Protocol => "protocol",
            Reason::Store => "store",
        }
    }
}

impl Answer {
    /// One line for logs and reports: the reply, or our own words.
    #[must_use]
    pub fn words(&self) -> String {
        match (&self.reply, self.detail.is_empty()) {
            (Some(reply), true) => reply.to_string(),
            (Some(reply), false) => format!("{reply} ({})", self.detail),
            (None, _) => self.detail.to_string(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: UnixMillis = UnixMillis(1);
    const QUEUED: RecipientState = RecipientState::Queued { due: NOW };
    const DEFERRED: RecipientState = RecipientState::Deferred { due: NOW };
    const HELD: RecipientState = RecipientState::Held {
        by: HeldBy::Operator,
    };
    const PURGED: RecipientState = RecipientState::Purged {
        at: NOW,
        was: Waiting::Queued { due: NOW },
    };
    const ALL: [RecipientState; 7] = [
        QUEUED,
        DEFERRED,
        HELD,
        RecipientState::Delivered,
        RecipientState::Failed,
        RecipientState::Expired,
        PURGED,
    ];

    #[track_caller]
    fn check(from: RecipientState, want: &[StateName]) {
        let reached: Vec<StateName> = ALL
            .iter()
            .filter(|next| from.may_become(next))
            .map(RecipientState::name)
            .collect();
        assert_eq!(reached, want, "from {from:?}");
    }

    #[test]
    fn final_states_are_final_and_live_ones_go_on() {
        use StateName::{Deferred, Delivered, Expired, Failed, Held, Purged, Queued};
        check(
            QUEUED,
            &[Queued, Deferred, Held, Delivered, Failed, Expired, Purged],
        );
        check(
            DEFERRED,
            &[Deferred, Held, Delivered, Failed, Expired, Purged],
        );
        check(HELD, &[Queued, Deferred, Held, Delivered, Failed, Purged]);
        check(PURGED, &[Queued, Deferred, Held, Delivered, Failed, Purged]);
        for state in [
            RecipientState::Delivered,
            RecipientState::Failed,
            RecipientState::Expired,
        ] {
            check(state, &[]);
        }
    }
}
