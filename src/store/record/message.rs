//! Records of the tree `messages`.

use std::net::IpAddr;

use serde::{Deserialize, Serialize};

use crate::mail::{
    Address, BodyFacts, BodyKind, Client, DsnEnvelope, Envelope, EnvelopeId, Message, Protocol,
    QueueId, Ret, ReversePath, TlsFacts, UnixMillis,
};

use super::{RecordError, address, decode, seal, unseal};

/// Where the octets of a message are.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(in crate::store) enum Place {
    /// In the tree `bodies`.
    Inline,
    /// In this file below `bodies/`.
    File(String),
    /// They were damaged, and what there was of them is in this file below `quarantine/`. Since version 3.
    PutAside(Option<String>),
}

/// A message as the store knows it: the vocabulary's message and what only the store needs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::store) struct StoredMessage {
    pub message: Message,
    pub place: Place,
    pub recipients: u32,
}

#[derive(Serialize, Deserialize)]
struct MessageV1 {
    arrival_ms: u64,
    reverse_path: Option<String>,
    eight_bit: bool,
    smtputf8: bool,
    client: ClientV1,
    added_header: Vec<u8>,
    place: Place,
    body_len: u64,
    body_crc32: u32,
    body_has_8bit: bool,
    report_of: Option<[u8; 16]>,
    recipients: u32,
}

#[derive(Serialize, Deserialize)]
enum ClientV1 {
    Smtp {
        address: IpAddr,
        helo: String,
        protocol: ProtocolV1,
    },
    Local,
}

#[derive(Serialize, Deserialize)]
enum ProtocolV1 {
    Smtp,
    Esmtp,
    Utf8Smtp,
}

/// What version 2 adds: BINARYMIME, bodies without a line end, TLS and AUTH of the client, RET and ENVID.
#[derive(Serialize, Deserialize)]
struct MessageV2 {
    v1: MessageV1,
    binary: bool,
    body_ends_in_line_end: bool,
    tls: Option<(String, String)>,
    user: Option<String>,
    ret: Option<RetV2>,
    envelope_id: Option<String>,
}

impl From<MessageV1> for MessageV2 {
    /// What version 1 could not say was not said; and all that it knew came with DATA.
    fn from(v1: MessageV1) -> MessageV2 {
        MessageV2 {
            v1,
            binary: false,
            body_ends_in_line_end: true,
            tls: None,
            user: None,
            ret: None,
            envelope_id: None,
        }
    }
}

/// What version 3 adds: the Message-ID.
#[derive(Serialize, Deserialize)]
struct MessageV3 {
    v2: MessageV2,
    message_id: Option<String>,
}

impl From<MessageV2> for MessageV3 {
    /// Version 2 did not know it.
    fn from(v2: MessageV2) -> MessageV3 {
        MessageV3 {
            v2,
            message_id: None,
        }
    }
}

#[derive(Serialize, Deserialize)]
enum RetV2 {
    Full,
    Headers,
}

pub(in crate::store) fn seal_message(stored: &StoredMessage) -> Vec<u8> {
    let Message {
        id,
        arrival,
        envelope,
        client,
        added_header,
        body,
        message_id,
        report_of,
    } = &stored.message;
    let (tls, user) = match client {
        Client::Smtp { tls, user, .. } => (tls.as_ref(), user.as_deref()),
        Client::Local => (None, None),
    };
    let v1 = MessageV1 {
        arrival_ms: arrival.0,
        reverse_path: envelope.reverse_path.mailbox().map(Address::to_string),
        eight_bit: envelope.body_kind == BodyKind::EightBitMime,
        smtputf8: envelope.smtputf8,
        client: match client {
            Client::Smtp {
                address,
                helo,
                protocol,
                tls: _,
                user: _,
            } => ClientV1::Smtp {
                address: *address,
                helo: helo.to_string(),
                protocol: match protocol {
                    Protocol::Smtp => ProtocolV1::Smtp,
                    Protocol::Esmtp => ProtocolV1::Esmtp,
                    Protocol::Utf8Smtp => ProtocolV1::Utf8Smtp,
                },
            },
            Client::Local => ClientV1::Local,
        },
        added_header: added_header.to_vec(),
        place: stored.place.clone(),
        body_len: body.len,
        body_crc32: body.crc32,
        body_has_8bit: body.has_8bit,
        report_of: report_of.map(QueueId::to_bytes),
        recipients: stored.recipients,
    };
    let v2 = MessageV2 {
        v1,
        binary: envelope.body_kind == BodyKind::BinaryMime,
        body_ends_in_line_end: body.ends_in_line_end,
        tls: tls.map(|tls| (tls.version.to_string(), tls.cipher.to_string())),
        user: user.map(str::to_owned),
        ret: envelope.dsn.ret.map(|ret| match ret {
            Ret::Full => RetV2::Full,
            Ret::Headers => RetV2::Headers,
        }),
        envelope_id: envelope
            .dsn
            .envelope_id
            .as_ref()
            .map(|id| id.as_str().to_owned()),
    };
    let message_id = message_id.as_deref().map(str::to_owned);
    seal(&id.to_bytes(), 3, &MessageV3 { v2, message_id })
}

pub(in crate::store) fn open_message(
    id: QueueId,
    sealed: &[u8],
) -> Result<StoredMessage, RecordError> {
    let MessageV3 {
        v2: record,
        message_id,
    } = match unseal(&id.to_bytes(), sealed)? {
        (1, content) => MessageV2::from(decode::<MessageV1>(content)?).into(),
        (2, content) => decode::<MessageV2>(content)?.into(),
        (3, content) => decode(content)?,
        (version, _) => return Err(RecordError::Version(version)),
    };
    let MessageV2 {
        v1: record,
        binary,
        body_ends_in_line_end,
        tls,
        user,
        ret,
        envelope_id,
    } = record;
    let envelope_id = envelope_id
        .map(|text| EnvelopeId::parse(&text).ok_or(RecordError::Content("an envelope id")))
        .transpose()?;
    let reverse_path = match record.reverse_path {
        None => ReversePath::Null,
        Some(text) => ReversePath::Mailbox(address(&text)?),
    };
    let message = Message {
        id,
        arrival: UnixMillis(record.arrival_ms),
        envelope: Envelope {
            reverse_path,
            body_kind: match (binary, record.eight_bit) {
                (true, _) => BodyKind::BinaryMime,
                (false, true) => BodyKind::EightBitMime,
                (false, false) => BodyKind::SevenBit,
            },
            smtputf8: record.smtputf8,
            dsn: DsnEnvelope {
                ret: ret.map(|ret| match ret {
                    RetV2::Full => Ret::Full,
                    RetV2::Headers => Ret::Headers,
                }),
                envelope_id,
            },
        },
        client: match record.client {
            ClientV1::Smtp {
                address,
                helo,
                protocol,
            } => Client::Smtp {
                address,
                helo: helo.into(),
                protocol: match protocol {
                    ProtocolV1::Smtp => Protocol::Smtp,
                    ProtocolV1::Esmtp => Protocol::Esmtp,
                    ProtocolV1::Utf8Smtp => Protocol::Utf8Smtp,
                },
                tls: tls.map(|(version, cipher)| TlsFacts {
                    version: version.into(),
                    cipher: cipher.into(),
                }),
                user: user.map(Into::into),
            },
            ClientV1::Local => Client::Local,
        },
        added_header: record.added_header.into(),
        body: BodyFacts {
            len: record.body_len,
            crc32: record.body_crc32,
            has_8bit: record.body_has_8bit,
            ends_in_line_end: body_ends_in_line_end,
        },
        message_id: message_id.map(Into::into),
        report_of: record.report_of.map(QueueId::from_bytes),
    };
    Ok(StoredMessage {
        message,
        place: record.place,
        recipients: record.recipients,
    })
}
