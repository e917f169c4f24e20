//! What became of a mail that a client sent.

use super::mail::Mail;
use super::reply::{Id, Reply, Wanted};

/// Every reply of one transaction, as far as it came.
#[derive(Clone, Debug)]
#[must_use = "say what should have become of it: accepted() or refused(...)"]
pub struct Submission {
    /// What was sent.
    pub mail: Mail,
    /// To MAIL, each RCPT, and the end of the message; to DATA only if it was refused. A greeting
    /// or EHLO that ended it stands alone.
    pub replies: Vec<Reply>,
}

impl Submission {
    pub(super) fn new(mail: Mail, replies: Vec<Reply>) -> Submission {
        Submission { mail, replies }
    }

    /// Fails unless every recipient and the message were accepted; gives the queue id.
    #[track_caller]
    pub fn accepted(&self) -> Id {
        let refused = self.replies.iter().find(|reply| reply.code / 100 != 2);
        if let Some(reply) = refused {
            panic!("should be accepted, but {:?} got {reply}", reply.to);
        }
        self.last().queue_id()
    }

    /// Fails unless the message was accepted, whatever became of some recipients.
    #[track_caller]
    pub fn accepted_for_some(&self) -> Id {
        self.last().clone().expect(250).queue_id()
    }

    /// Fails unless the last reply, which decides, is this.
    #[track_caller]
    pub fn refused<'w>(&self, wanted: impl Into<Wanted<'w>>) -> Reply {
        self.last().clone().expect(wanted)
    }

    /// The reply to the recipient with this number, from 0.
    #[track_caller]
    pub fn rcpt(&self, number: usize) -> &Reply {
        match self.replies.get(number + 1) {
            Some(reply) if reply.to.starts_with("RCPT") => reply,
            _ => panic!("no reply to recipient {number}: {:?}", self.replies),
        }
    }

    /// The last reply.
    #[track_caller]
    pub fn last(&self) -> &Reply {
        self.replies.last().expect("at least one reply was read")
    }
}
