//! The transaction of a session, from MAIL to the message (RFC 5321 3.3, RFC 3030): what may come
//! next, and what was said so far.

use crate::mail::{AddressError, BodyKind, Envelope, Protocol, Spelling};
use crate::smtp::server::allowance::Allowance;
use crate::smtp::server::chunk::{Chunk, PartOf};
use crate::smtp::server::parameter_fault::ParameterFault;
use crate::smtp::server::parameters;
use crate::smtp::server::path::{self, PathFault};
use crate::smtp::server::recipients::{Added, Named, Recipients};
use crate::smtp::server::reply::{Reply, Say};
use crate::smtp::server::rules::Rules;
use crate::smtp::server::submission::Submission;

use super::Session;
use super::step::{About, Next, Step};

/// Where a session stands.
#[derive(Debug)]
pub(super) enum Phase {
    /// The client has not said who it is.
    Unknown,
    /// No transaction is open.
    Ready { hello: Hello },
    /// MAIL was granted.
    Transaction {
        hello: Hello,
        envelope: Envelope,
        recipients: Recipients,
        refused: bool,
    },
    /// The message is coming in, in chunks of which the last has not been announced.
    Chunks { hello: Hello },
}

/// What the client said about itself.
#[derive(Clone, Debug)]
pub(super) struct Hello {
    pub(super) name: Box<[u8]>,
    pub(super) extended: bool,
}

impl Session {
    pub(super) fn mail(
        &mut self,
        argument: &[u8],
        mut allowance: impl Allowance,
    ) -> Result<(), Say> {
        let hello = match &self.phase {
            Phase::Unknown => return Err(Say::HelloFirst),
            Phase::Transaction { .. } | Phase::Chunks { .. } => return Err(Say::NestedMail),
            Phase::Ready { hello } => hello.clone(),
        };
        if self.mails >= self.rules.limits.mails_max {
            return Err(Say::TooManyMessages);
        }
        let split = path::split(argument).map_err(|fault| path_fault(fault, Say::BadSender))?;
        let spelling = if parameters::ask_for_smtputf8(split.parameters) {
            Spelling::Utf8
        } else {
            Spelling::Ascii
        };
        let reverse_path = split
            .reverse_path(spelling)
            .map_err(|error| address_error(error, Say::BadSender))?;
        let parameters = parameters::of_mail(split.parameters, self.mechanisms().is_some())
            .map_err(parameter_fault)?;
        if parameters.size > self.rules.message_bytes_max {
            return Err(Say::TooLarge);
        }
        if self.auth.user.is_none() && !self.rules.senders.allows(&reverse_path) {
            return Err(Say::SenderNotAllowed);
        }
        allowance.message()?;
        self.mails += 1;
        self.phase = Phase::Transaction {
            hello,
            envelope: Envelope {
                reverse_path,
                body_kind: parameters.body_kind,
                smtputf8: parameters.smtputf8,
                dsn: parameters.dsn,
            },
            recipients: Recipients::default(),
            refused: false,
        };
        Ok(())
    }

    pub(super) fn rcpt(
        &mut self,
        argument: &[u8],
        mut allowance: impl Allowance,
    ) -> Result<(), Say> {
        let (envelope, recipients, refused) = match &mut self.phase {
            Phase::Unknown => return Err(Say::HelloFirst),
            Phase::Ready { .. } => return Err(Say::MailFirst),
            Phase::Chunks { .. } => return Err(Say::ChunksBegun),
            Phase::Transaction {
                envelope,
                recipients,
                refused,
                ..
            } => (envelope, recipients, refused),
        };
        let granted = recipient(argument, envelope, &self.rules).and_then(|named| {
            allowance.recipient(recipients.len())?;
            match recipients.add(named, self.rules.recipients_max) {
                Added::Yes => Ok(()),
                Added::Full => Err(Say::TooManyRecipients),
            }
        });
        *refused |= granted.is_err();
        granted
    }

    pub(super) fn data(&mut self) -> Step {
        let granted = self.may_send().and_then(|body_kind| match body_kind {
            BodyKind::BinaryMime => Err(Say::ChunksOnly), // RFC 3030 3
            BodyKind::SevenBit | BodyKind::EightBitMime => self.take_submission(),
        });
        match granted {
            Err(say) => Step::say(About::Data, say),
            Ok(submission) => Step {
                next: Next::Data(Box::new(submission)),
                ..Step::say(About::Data, Say::SendData)
            },
        }
    }

    /// The octets come in any case, so the reply waits for them in any case.
    pub(super) fn bdat(&mut self, octets: u64, last: bool) -> Step {
        let part_of = if self.in_chunks() {
            PartOf::Current
        } else {
            match self.may_send().and_then(|_| self.take_submission()) {
                Ok(submission) => PartOf::New(Box::new(submission)),
                Err(say) => PartOf::Nothing(say),
            }
        };
        if !matches!(part_of, PartOf::Nothing(_)) {
            self.announced(last);
        }
        Step {
            reply: Reply::Later,
            about: About::Data,
            next: Next::Chunk(Chunk {
                octets,
                last,
                part_of,
            }),
        }
    }

    /// A chunk of a message was announced. With the last one the transaction is over here, as it
    /// is with DATA.
    fn announced(&mut self, last: bool) {
        self.phase = match std::mem::replace(&mut self.phase, Phase::Unknown) {
            Phase::Ready { hello } | Phase::Chunks { hello } if last => Phase::Ready { hello },
            Phase::Ready { hello } | Phase::Chunks { hello } => Phase::Chunks { hello },
            other @ (Phase::Unknown | Phase::Transaction { .. }) => other,
        };
    }

    /// Whether message data may come now, and of which kind the client said they are.
    fn may_send(&self) -> Result<BodyKind, Say> {
        if let Some(say) = self.demands_auth() {
            return Err(say);
        }
        match &self.phase {
            Phase::Unknown => Err(Say::HelloFirst),
            Phase::Ready { .. } => Err(Say::MailFirst),
            Phase::Chunks { .. } => Err(Say::ChunksBegun),
            Phase::Transaction {
                envelope,
                recipients,
                refused,
                ..
            } => match (recipients.is_empty(), refused) {
                (true, false) => Err(Say::RecipientFirst),
                (true, true) => Err(Say::NoValidRecipients),
                (false, _) => Ok(envelope.body_kind),
            },
        }
    }

    fn take_submission(&mut self) -> Result<Submission, Say> {
        match std::mem::replace(&mut self.phase, Phase::Unknown) {
            Phase::Unknown => Err(Say::HelloFirst),
            Phase::Ready { hello } | Phase::Chunks { hello } => {
                self.phase = Phase::Ready { hello };
                Err(Say::MailFirst)
            }
            Phase::Transaction {
                hello,
                envelope,
                recipients,
                refused: _,
            } => {
                let submission = Submission {
                    protocol: match (hello.extended, envelope.smtputf8) {
                        (_, true) => Protocol::Utf8Smtp,
                        (true, false) => Protocol::Esmtp,
                        (false, false) => Protocol::Smtp,
                    },
                    envelope,
                    recipients: recipients.into_list(),
                    helo: hello.name.clone(),
                    tls: self.tls.clone(),
                    user: self.auth.user.clone(),
                };
                self.phase = Phase::Ready { hello };
                Ok(submission)
            }
        }
    }

    /// Forgets what came since MAIL, as RSET does.
    pub fn drop_transaction(&mut self) {
        drop(self.take_submission());
    }
}

fn recipient(argument: &[u8], envelope: &Envelope, rules: &Rules) -> Result<Named, Say> {
    let split = path::split(argument).map_err(|fault| path_fault(fault, Say::BadRecipient))?;
    let spelling = if envelope.smtputf8 {
        Spelling::Utf8
    } else {
        Spelling::Ascii
    };
    let address = split
        .forward_path(spelling, &rules.hostname)
        .map_err(|error| address_error(error, Say::BadRecipient))?;
    let dsn = parameters::of_rcpt(split.parameters, envelope.smtputf8).map_err(parameter_fault)?;
    Ok(Named { address, dsn })
}

fn path_fault(fault: PathFault, malformed: Say) -> Say {
    match fault {
        PathFault::Unclosed => malformed,
        PathFault::NoSpace => Say::BadParameter,
    }
}

fn address_error(error: AddressError, malformed: Say) -> Say {
    match error {
        AddressError::NotAscii => Say::NeedsSmtputf8,
        AddressError::Malformed => malformed,
    }
}

fn parameter_fault(fault: ParameterFault) -> Say {
    match fault {
        ParameterFault::Syntax => Say::BadParameter,
        ParameterFault::Unknown => Say::UnknownParameter,
    }
}
