//! One message: all that is known of it, its octets, and its envelope to be exported.

use bytes::Bytes;
use futures_util::stream::{self, BoxStream, StreamExt as _};

use crate::mail::{HeldBy, Message, Notify, QueueId, Recipient, RecipientState, Ret, StateName};
use crate::observe::wall_clock;
use crate::smtp::orcpt;
use crate::store::{BodyReader, Loaded, Store};

use super::api::{ExportedEnvelope, ExportedRecipient, ShownMessage, ShownRecipient};
use super::entry::{body_kind_name, client_of, from_of, rfc3339};
use super::list::histories_of;
use super::told::told;
use super::why::why;
use super::{Admin, AdminError};

/// Longest header section that is shown, in bytes.
const HEADER_BYTES_MAX: usize = 64 * 1024;

impl Admin {
    /// All about one message.
    ///
    /// # Errors
    /// It is not there, or damaged.
    pub async fn show(&self, id: QueueId) -> Result<ShownMessage, AdminError> {
        let (store, loaded) = self.loaded(id).await?;
        let Loaded {
            message,
            recipients,
        } = &loaded;
        let mut events = histories_of(store, message).await?;
        let mut shown = Vec::with_capacity(recipients.len());
        for rcpt in recipients {
            let destination = store.destination_of(rcpt.address.domain());
            let suspended = store.suspension(&destination).await?.is_some();
            let history = events.remove(&rcpt.no).unwrap_or_default();
            shown.push(ShownRecipient {
                entry: self.entry(store, message, rcpt),
                why: why(rcpt, suspended, wall_clock()),
                history: history.iter().map(told).collect(),
            });
        }
        let dsn = &message.envelope.dsn;
        Ok(ShownMessage {
            id: id.to_string(),
            from: from_of(message),
            arrived: rfc3339(message.arrival),
            size: message.size(),
            message_id: message.message_id.as_deref().map(str::to_owned),
            client: client_of(message),
            envelope_id: dsn.envelope_id.as_ref().map(|id| id.as_str().to_owned()),
            body_kind: body_kind_name(message.envelope.body_kind).to_owned(),
            smtputf8: message.envelope.smtputf8,
            report_of: message.report_of.map(|id| id.to_string()),
            header: header(store, message).await,
            recipients: shown,
        })
    }

    /// How many octets a message has, and these octets as they would go out. They end with an error
    /// if the message is damaged.
    ///
    /// # Errors
    /// It is not there, or known to be damaged from the start.
    pub async fn message(
        &self,
        id: QueueId,
    ) -> Result<(u64, BoxStream<'static, Result<Bytes, AdminError>>), AdminError> {
        let (store, loaded) = self.loaded(id).await?;
        let message = loaded.message;
        let body = store.body(&message).await?;
        let size = message.size();
        let added = Bytes::from(message.added_header.into_vec());
        let octets = stream::iter([Ok(added)]).chain(pieces(body));
        Ok((size, octets.boxed()))
    }

    /// Everything of a message but its octets.
    ///
    /// # Errors
    /// It is not there, or damaged.
    pub async fn envelope(&self, id: QueueId) -> Result<ExportedEnvelope, AdminError> {
        let (_, loaded) = self.loaded(id).await?;
        Ok(exported(&loaded))
    }

    async fn loaded(&self, id: QueueId) -> Result<(&Store, Loaded), AdminError> {
        let gone =
            || AdminError::NotFound(format!("{id}: there is no such message, or not any more"));
        let store = self.store.as_ref().ok_or_else(gone)?;
        let loaded = store.entry(id).await?.ok_or_else(gone)?;
        Ok((store, loaded))
    }
}

/// As it goes out; if the body can't be read, what we added to it.
async fn header(store: &Store, message: &Message) -> String {
    let mut octets = message.added_header.to_vec();
    let below = store.header_section(message, HEADER_BYTES_MAX).await;
    octets.extend(below.unwrap_or_default()); // told by the store
    octets.truncate(HEADER_BYTES_MAX);
    String::from_utf8_lossy(&octets).into_owned()
}

fn pieces(body: BodyReader) -> BoxStream<'static, Result<Bytes, AdminError>> {
    let next = |body: Option<BodyReader>| async {
        let mut body = body?;
        match body.next().await {
            Ok(Some(piece)) => Some((Ok(piece), Some(body))),
            Ok(None) => None,
            Err(error) => Some((Err(AdminError::from(error)), None)),
        }
    };
    stream::unfold(Some(body), next).boxed()
}

pub(super) fn exported(loaded: &Loaded) -> ExportedEnvelope {
    let Loaded {
        message,
        recipients,
    } = loaded;
    let envelope = &message.envelope;
    ExportedEnvelope {
        id: message.id.to_string(),
        arrived: rfc3339(message.arrival),
        from: from_of(message),
        body_kind: body_kind_name(envelope.body_kind).to_owned(),
        smtputf8: envelope.smtputf8,
        envelope_id: envelope
            .dsn
            .envelope_id
            .as_ref()
            .map(|id| id.as_str().to_owned()),
        ret: envelope.dsn.ret.map(|ret| match ret {
            Ret::Full => "FULL".to_owned(),
            Ret::Headers => "HDRS".to_owned(),
        }),
        recipients: recipients.iter().map(exported_recipient).collect(),
    }
}

fn exported_recipient(rcpt: &Recipient) -> ExportedRecipient {
    ExportedRecipient {
        to: rcpt.address.to_string(),
        state: exported_state(rcpt).as_str().to_owned(),
        notify: rcpt.dsn.notify.map(notify_words),
        orcpt: rcpt.dsn.original.as_ref().map(orcpt::write),
    }
}

/// What only a mode holds is held by no relay in another mode.
fn exported_state(rcpt: &Recipient) -> StateName {
    match rcpt.state {
        RecipientState::Held { by: HeldBy::Mode } if rcpt.attempts > 0 => StateName::Deferred,
        RecipientState::Held { by: HeldBy::Mode } => StateName::Queued,
        state => state.name(),
    }
}

fn notify_words(notify: Notify) -> String {
    match notify {
        Notify::Never => "NEVER".to_owned(),
        Notify::Of {
            success,
            failure,
            delay,
        } => {
            let words = [(success, "SUCCESS"), (failure, "FAILURE"), (delay, "DELAY")];
            let wanted = words.iter().filter(|(wanted, _)| *wanted);
            wanted.map(|(_, word)| *word).collect::<Vec<_>>().join(",")
        }
    }
}
