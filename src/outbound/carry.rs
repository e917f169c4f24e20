//! Carries one transaction through over one connection, message included.

use crate::mail::Message;
use crate::mail::limits::OUTGOING_WRITE_BYTES;
use crate::message::{Plan, Rewriter};
use crate::queue::Contact;
use crate::smtp::client::{Framing, Step, Transaction};
use crate::smtp::dot_stuffing::DotStuffer;
use crate::store::ReadError;

use super::bodies::{Bodies, Pieces};
use super::connection_error::ConnectionError;
use super::form::another;
use super::wire::Wire;

/// Why a transaction was not carried through. The connection is of no more use; what the host said
/// before that is in the transaction.
#[derive(Debug, thiserror::Error)]
pub(super) enum CarryError {
    /// The host or the way to it.
    #[error(transparent)]
    Connection(#[from] ConnectionError),
    /// Our own copy of the message.
    #[error("the stored message can't be read: {0}")]
    Body(#[from] ReadError),
}

const A_COMMAND: &str = "the host to take a command";
const THE_MESSAGE: &str = "the host to take the message";

/// Does what the transaction says until it is over; the message goes out as `plan` has it.
///
/// Dropped midway, the host may or may not have taken the message; an end mark that was not due is
/// never sent.
pub(super) async fn carry<B: Bodies>(
    wire: &mut Wire,
    transaction: &mut Transaction,
    message: &Message,
    plan: Option<&Plan>,
    bodies: &B,
    contact: &Contact,
) -> Result<(), CarryError> {
    loop {
        match transaction.next_step() {
            Step::Send(octets) => {
                if let Err(error) = wire.send(&octets, A_COMMAND).await {
                    hear_out(wire, transaction).await;
                    return Err(error.into());
                }
            }
            Step::Read(phase) => {
                let reply = wire.reply(phase).await?;
                transaction.reply(&reply).map_err(ConnectionError::from)?;
                if !transaction.awaits_reply() {
                    wire.expect_silence().map_err(ConnectionError::from)?;
                }
            }
            Step::Body(framing) => {
                contact.taking();
                send_message(wire, transaction, message, framing, plan, bodies).await?;
                transaction.body_sent();
            }
            Step::Over => return Ok(()),
        }
    }
}

/// A host that refuses and closes at once makes our writing fail, and its refusal counts all the
/// same. What can't be read any more is no worse than what we know already.
async fn hear_out(wire: &mut Wire, transaction: &mut Transaction) {
    while transaction.awaits_reply() {
        match wire.reply_at_hand().await {
            Ok(Some(reply)) if transaction.reply(&reply).is_ok() => {}
            Ok(_) | Err(_) => return,
        }
    }
}

/// Streams the message. What it ends with leaves only once all of it was read and found right;
/// returns only when that is out.
async fn send_message<B: Bodies>(
    wire: &mut Wire,
    transaction: &mut Transaction,
    message: &Message,
    framing: Framing,
    plan: Option<&Plan>,
    bodies: &B,
) -> Result<(), CarryError> {
    let mut pieces = bodies.open(message).await?;
    let mut out = Vec::new();
    let mut encoder = Encoder::new(framing);
    let mut rewriter = plan.map(Rewriter::new);
    let mut rewritten = Vec::new();
    encoder.encode(&message.added_header, &mut out);
    while let Some(piece) = pieces.next().await? {
        for part in piece.chunks(OUTGOING_WRITE_BYTES) {
            if out.len() >= OUTGOING_WRITE_BYTES {
                send_piece(wire, transaction, &out).await?;
                out.clear();
            }
            match &mut rewriter {
                None => encoder.encode(part, &mut out),
                Some(rewriter) => {
                    rewritten.clear();
                    rewriter.feed(part, &mut rewritten).map_err(another)?;
                    encoder.encode(&rewritten, &mut out);
                }
            }
        }
    }
    if let Some(rewriter) = rewriter {
        rewritten.clear();
        rewriter.finish(&mut rewritten).map_err(another)?;
        encoder.encode(&rewritten, &mut out);
    }
    encoder.finish(&mut out);
    send_piece(wire, transaction, &out).await
}

/// Octets of a message as its framing wants them.
enum Encoder {
    Dots(DotStuffer),
    Counted,
}

impl Encoder {
    fn new(framing: Framing) -> Encoder {
        match framing {
            Framing::Dots => Encoder::Dots(DotStuffer::new()),
            Framing::Counted => Encoder::Counted,
        }
    }

    fn encode(&mut self, octets: &[u8], out: &mut Vec<u8>) {
        match self {
            Encoder::Dots(stuffer) => stuffer.encode(octets, out),
            Encoder::Counted => out.extend_from_slice(octets),
        }
    }

    fn finish(self, out: &mut Vec<u8>) {
        match self {
            Encoder::Dots(stuffer) => stuffer.finish(out),
            Encoder::Counted => {}
        }
    }
}

/// Writes a piece, unless the host has had enough already.
async fn send_piece(
    wire: &mut Wire,
    transaction: &mut Transaction,
    octets: &[u8],
) -> Result<(), CarryError> {
    let sent = match wire.reply_at_hand().await? {
        None => wire.send(octets, THE_MESSAGE).await,
        Some(reply) => {
            transaction
                .replied_early(&reply)
                .map_err(ConnectionError::from)?;
            Err(ConnectionError::Refused(reply.to_reply()))
        }
    };
    if matches!(sent, Err(ConnectionError::Lost { .. }))
        && let Ok(Some(reply)) = wire.reply_at_hand().await
    {
        // A refusal before it closed counts; a success can't be meant for half a message.
        let _ = transaction.replied_early(&reply);
    }
    Ok(sent?)
}
