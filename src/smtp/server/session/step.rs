//! What comes of a command line: a reply, and what is to be done after it.

use crate::smtp::server::auth::AuthStart;
use crate::smtp::server::chunk::{Chunk, PartOf};
use crate::smtp::server::reply::{Reply, Say};
use crate::smtp::server::submission::Submission;

/// What to do about a command line.
#[derive(Debug)]
pub struct Step {
    /// To be sent.
    pub reply: Reply,
    /// What it is the reply to.
    pub about: About,
    /// To be done after it.
    pub next: Next,
}

/// Which part of a session a reply is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[expect(missing_docs, reason = "SMTP verbs")]
pub enum About {
    Command,
    Mail,
    Rcpt,
    Data,
}

/// What comes after a reply.
#[derive(Debug)]
pub enum Next {
    /// The next command.
    Command,
    /// Message data, for this transaction.
    Data(Box<Submission>),
    /// The octets of a chunk, and then what is to be said about them.
    Chunk(Chunk),
    /// The TLS handshake, and then [`Session::secured`]; if it fails, hang up without a word.
    StartTls,
    /// An exchange, whose outcome [`Session::authenticated`] or [`Session::auth_failed`] hears.
    Authenticate(AuthStart),
    /// Nothing: hang up.
    Close,
    /// Nothing: say this as well, and hang up.
    GiveUp(Say),
}

impl Step {
    pub(super) fn say(about: About, say: Say) -> Step {
        Step {
            reply: Reply::Fixed(say),
            about,
            next: if say.ends_session() {
                Next::Close
            } else {
                Next::Command
            },
        }
    }

    /// What was decided about the command, said at once or behind the octets of a chunk.
    pub(super) fn verdict(&self) -> Option<Say> {
        match (&self.next, self.reply) {
            (Next::Chunk(chunk), _) => match chunk.part_of {
                PartOf::Nothing(say) => Some(say),
                PartOf::New(_) | PartOf::Current => None,
            },
            (_, Reply::Fixed(say)) => Some(say),
            (_, Reply::Hello | Reply::Extensions(_) | Reply::Later) => None,
        }
    }

    /// The line that says no, if this step does.
    #[must_use]
    pub fn refusal(&self) -> Option<Say> {
        match self.reply {
            Reply::Fixed(say) => say.is_refusal().then_some(say),
            Reply::Hello | Reply::Extensions(_) | Reply::Later => None,
        }
    }
}

/// Which command a line that could not be read was meant to be.
pub(super) fn about(line: &[u8]) -> About {
    match line.get(..4) {
        Some(verb) if verb.eq_ignore_ascii_case(b"MAIL") => About::Mail,
        Some(verb) if verb.eq_ignore_ascii_case(b"RCPT") => About::Rcpt,
        Some(verb) if verb.eq_ignore_ascii_case(b"DATA") => About::Data,
        Some(verb) if verb.eq_ignore_ascii_case(b"BDAT") => About::Data,
        _ => About::Command,
    }
}
