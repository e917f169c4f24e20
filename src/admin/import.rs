//! Taking a message that was exported: by the same way as one that comes in over SMTP, but octet for
//! octet as it would have gone out, so nothing is added to it and it is not signed again.

use std::pin::pin;
use std::time::Instant;

use bytes::Bytes;
use futures_util::{Stream, StreamExt as _};

use crate::config::{Config, Mode};
use crate::mail::limits::HEADER_SECTION_BYTES_MAX;
use crate::mail::{
    Address, BodyKind, Client, DsnEnvelope, DsnRecipient, Envelope, EnvelopeId, HeldBy, Message,
    Notify, QueueId, Recipient, RecipientState, Ret, ReversePath, Spelling, StateName, UnixMillis,
};
use crate::message::{HeaderLimits, Scan};
use crate::observe::{MailEvent, QueueEvent, wall_clock};
use crate::queue::admit;
use crate::smtp::chunk_checker::ChunkChecker;
use crate::smtp::data_decoder::{DataFault, DataLimits};
use crate::smtp::orcpt;
use crate::smtp::server::Named;
use crate::store::{FinishedBody, NewMessage, Store};

use super::api::{ExportedEnvelope, ExportedRecipient, Imported};
use super::entry::body_kind_name;
use super::{Admin, AdminError, By};

/// Most recipients of one message, as many as can be allowed over SMTP.
const RECIPIENTS_MAX: usize = 10_000;

/// How mail is taken.
#[derive(Clone, Copy, Debug)]
pub(super) struct ImportRules {
    mode: Mode,
    message_bytes_max: u64,
    header_limits: HeaderLimits,
}

impl ImportRules {
    pub(super) fn of(config: &Config) -> ImportRules {
        // What we added when it came in first is beyond what the client was allowed.
        let added = HEADER_SECTION_BYTES_MAX as u64;
        ImportRules {
            mode: config.mode,
            message_bytes_max: config.smtpd.max_message_size.saturating_add(added),
            header_limits: HeaderLimits {
                section_bytes_max: HEADER_SECTION_BYTES_MAX,
                fields_max: usize::MAX,
            },
        }
    }
}

/// Everything about a message but its octets.
struct Incoming {
    id: QueueId,
    arrival: UnixMillis,
    envelope: Envelope,
    recipients: Vec<Recipient>,
}

impl Admin {
    /// Takes a message with the recipients that were not over yet, and makes it durable. It keeps its
    /// time of arrival, and so what is left of its lifetime; of its attempts nothing is kept. What an
    /// operator held stays held; all else is due at once, or does what `SMTP_MODE` says.
    ///
    /// # Errors
    /// The envelope or the octets are not fit for mail, or the store can't take it.
    pub async fn import(
        &self,
        envelope: &ExportedEnvelope,
        octets: impl Stream<Item = Result<Bytes, String>> + Send,
        by: &By,
    ) -> Result<Imported, AdminError> {
        let now = wall_clock();
        let incoming = read(envelope, self.import.mode, now)?;
        let store = self.store.as_ref().ok_or_else(|| {
            AdminError::NotFound("there is no queue yet; start the relay once".to_owned())
        })?;
        let (body, message_id) = self.take_in(store, &incoming, octets).await?;
        let Incoming {
            id,
            arrival,
            envelope: read_envelope,
            recipients,
        } = incoming;
        let message = Message {
            id,
            arrival,
            envelope: read_envelope,
            client: Client::Local,
            added_header: [].into(), // all of it is in the octets
            body: body.facts(),
            message_id,
            report_of: None,
        };
        let count = recipients.len();
        let waiting = recipients
            .iter()
            .filter(|rcpt| !rcpt.state.is_final())
            .count() as u64;
        let new = NewMessage {
            message: message.clone(),
            recipients,
            body,
        };
        let started = Instant::now();
        store.accept(new).await?;
        self.events.emit(MailEvent::Accepted {
            message: &message,
            recipients: count,
            commit: started.elapsed(),
        });
        self.events.emit(QueueEvent::Ordered {
            action: "import",
            by: by.as_str(),
            reason: "",
            filter: &format!("id={id}"),
            matched: envelope.recipients.len() as u64,
            changed: count as u64,
            in_flight: 0,
        });
        Ok(Imported {
            id: id.to_string(),
            recipients: waiting,
        })
    }

    /// The octets, and what their Message-ID says.
    async fn take_in(
        &self,
        store: &Store,
        incoming: &Incoming,
        octets: impl Stream<Item = Result<Bytes, String>> + Send,
    ) -> Result<(FinishedBody, Option<Box<str>>), AdminError> {
        let limits = DataLimits {
            message_bytes_max: self.import.message_bytes_max,
            line_bytes_max: None, // it was taken once, under the limit of then
        };
        let mut checker = ChunkChecker::new(incoming.envelope.body_kind, limits);
        let mut scan = Scan::new(self.import.header_limits, false);
        let mut intake = store.intake(incoming.id, &incoming.recipients);
        let mut unused = Vec::new();
        let mut octets = pin!(octets);
        let mut any = false;
        while let Some(piece) = octets.next().await {
            let piece = piece.map_err(AdminError::Malformed)?;
            any |= !piece.is_empty();
            checker.check(&piece);
            if let Some(fault) = checker.fault() {
                return Err(self.unfit(fault));
            }
            scan.feed(&piece, &mut unused);
            unused.clear();
            intake.buffer().extend_from_slice(&piece);
            intake.settle().await?;
        }
        if let Some(fault) = checker.fault_at_end() {
            return Err(self.unfit(fault));
        }
        if !any {
            return Err(AdminError::Malformed("the message: it is empty".to_owned()));
        }
        let message_id = scan.finish(&mut unused).message_id;
        Ok((intake.finish().await?, message_id))
    }

    fn unfit(&self, fault: DataFault) -> AdminError {
        let bytes_max = self.import.message_bytes_max;
        AdminError::Malformed(match fault {
            DataFault::Nul => "the message: it holds a NUL".to_owned(),
            DataFault::BareLineEnd => {
                "the message: every line ends in CRLF, and CR and LF stand nowhere else".to_owned()
            }
            DataFault::TooLarge => {
                format!("the message: it is larger than {bytes_max} bytes (SMTP_MAX_MESSAGE_SIZE)")
            }
            DataFault::LineTooLong => "the message: a line is too long".to_owned(),
        })
    }
}

fn bad(field: &str, what: &str) -> AdminError {
    AdminError::Malformed(format!("the envelope: {field}: {what}"))
}

fn read(envelope: &ExportedEnvelope, mode: Mode, now: UnixMillis) -> Result<Incoming, AdminError> {
    let ExportedEnvelope {
        id: _,
        arrived,
        from,
        body_kind,
        smtputf8,
        envelope_id,
        ret,
        recipients,
    } = envelope;
    if recipients.len() > RECIPIENTS_MAX {
        return Err(bad(
            "recipients",
            &format!("there are more than {RECIPIENTS_MAX}"),
        ));
    }
    let spelling = match smtputf8 {
        true => Spelling::Utf8,
        false => Spelling::Ascii,
    };
    let arrival = arrival(arrived, now)?;
    let kinds = [
        BodyKind::SevenBit,
        BodyKind::EightBitMime,
        BodyKind::BinaryMime,
    ];
    let kind = kinds
        .into_iter()
        .find(|kind| body_kind_name(*kind) == body_kind);
    let reverse_path = match &**from {
        "" => ReversePath::Null,
        from => ReversePath::Mailbox(address("from", from, spelling)?),
    };
    let envelope_id = envelope_id.as_deref().map(|text| {
        EnvelopeId::parse(text)
            .ok_or_else(|| bad("envelope_id", "at most 100 printable characters"))
    });
    let ret = ret.as_deref().map(|text| match text {
        "FULL" => Ok(Ret::Full),
        "HDRS" => Ok(Ret::Headers),
        _ => Err(bad("ret", "FULL or HDRS")),
    });
    Ok(Incoming {
        // Of its arrival, as every id: lists and searches by age rely on that.
        id: QueueId::new(arrival, rand::random()),
        arrival,
        envelope: Envelope {
            reverse_path,
            body_kind: kind.ok_or_else(|| bad("body_kind", "7bit, 8bitmime or binarymime"))?,
            smtputf8: *smtputf8,
            dsn: DsnEnvelope {
                ret: ret.transpose()?,
                envelope_id: envelope_id.transpose()?,
            },
        },
        recipients: read_recipients(recipients, spelling, mode, now)?,
    })
}

fn read_recipients(
    exported: &[ExportedRecipient],
    spelling: Spelling,
    mode: Mode,
    now: UnixMillis,
) -> Result<Vec<Recipient>, AdminError> {
    let (mut named, mut held) = (Vec::new(), Vec::new());
    for ExportedRecipient {
        to,
        state,
        notify,
        orcpt,
    } in exported
    {
        let state = StateName::ALL
            .into_iter()
            .find(|name| name.as_str() == state);
        match state.ok_or_else(|| bad("state", "there is no such state"))? {
            StateName::Queued | StateName::Deferred => held.push(false),
            StateName::Held => held.push(true),
            StateName::Delivered | StateName::Failed | StateName::Expired | StateName::Purged => {
                continue;
            }
        }
        let original = orcpt.as_deref().map(|text| {
            orcpt::parse(text.as_bytes()).ok_or_else(|| bad("orcpt", "type;address, in xtext"))
        });
        named.push(Named {
            address: address("to", to, spelling)?,
            dsn: DsnRecipient {
                notify: notify.as_deref().map(read_notify).transpose()?,
                original: original.transpose()?,
            },
        });
    }
    if named.is_empty() {
        return Err(bad("recipients", "none of them waits for anything"));
    }
    let mut recipients = admit(mode, named, now);
    for (rcpt, held) in recipients.iter_mut().zip(held) {
        if held && !rcpt.state.is_final() {
            let by = HeldBy::Operator;
            rcpt.state = RecipientState::Held { by };
        }
    }
    Ok(recipients)
}

fn address(field: &str, text: &str, spelling: Spelling) -> Result<Address, AdminError> {
    Address::parse(text.as_bytes(), spelling).map_err(|error| bad(field, &error.to_string()))
}

/// Not in the future, so that it does not live longer than other mail.
fn arrival(text: &str, now: UnixMillis) -> Result<UnixMillis, AdminError> {
    let at: jiff::Timestamp = text
        .parse()
        .map_err(|_| bad("arrived", "a time such as 2026-11-30T12:00:00Z"))?;
    let millis = u64::try_from(at.as_millisecond());
    let millis = millis.map_err(|_| bad("arrived", "a time after 1970"))?;
    Ok(UnixMillis(millis).min(now))
}

fn read_notify(text: &str) -> Result<Notify, AdminError> {
    if text == "NEVER" {
        return Ok(Notify::Never);
    }
    let (mut success, mut failure, mut delay) = (false, false, false);
    for word in text.split(',') {
        let said = match word {
            "SUCCESS" => &mut success,
            "FAILURE" => &mut failure,
            "DELAY" => &mut delay,
            _ => {
                return Err(bad(
                    "notify",
                    "NEVER, or a list of SUCCESS, FAILURE and DELAY",
                ));
            }
        };
        *said = true;
    }
    Ok(Notify::Of {
        success,
        failure,
        delay,
    })
}

#[cfg(test)]
#[path = "import_test.rs"]
mod tests;
