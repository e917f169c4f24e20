//! The form in which a message goes to a host, by what that host offers: as it is, or in 7 bits.

use crate::mail::limits::HEADER_SECTION_BYTES_MAX;
use crate::mail::{BodyKind, EnhancedCode, Message};
use crate::message::{Obstacle, Plan, Rewriter, Survey, header_section};
use crate::smtp::client::{Extensions, Facts};
use crate::store::ReadError;

use super::bodies::{Bodies, Pieces};

/// A form.
#[derive(Debug)]
pub(super) struct Form {
    /// Of what goes out.
    pub(super) facts: Facts,
    /// How it is re-encoded; `None`: it goes out as it is.
    pub(super) plan: Option<Plan>,
}

/// What is told beside the reply of a host that took a re-encoded message.
pub(super) const RE_ENCODED: &str = "re-encoded in 7 bits, since the host does not offer 8BITMIME";

/// The form for a host that offers `offered`. A message of 8 bits is read for that where it matters: to
/// find whether a header needs SMTPUTF8, or what must be encoded and how large it becomes.
pub(super) async fn form_for<B: Bodies>(
    message: &Message,
    offered: &Extensions,
    bodies: &B,
) -> Result<Form, ReadError> {
    let mut facts = facts_of(message);
    match message.envelope.body_kind {
        BodyKind::SevenBit | BodyKind::EightBitMime if facts.has_8bit => {}
        BodyKind::SevenBit | BodyKind::EightBitMime | BodyKind::BinaryMime => {
            return Ok(Form { facts, plan: None });
        }
    }
    if message.envelope.smtputf8 {
        facts.header_8bit = header_is_8bit(message, bodies).await?;
    }
    // SMTPUTF8 on MAIL covers 8 bits (RFC 6531 3.1).
    let as_it_is = offered.eight_bit_mime || offered.smtputf8 && facts.header_8bit;
    if as_it_is && (!message.envelope.smtputf8 || !offered.smtputf8) {
        return Ok(Form { facts, plan: None });
    }
    match plan(message, bodies).await? {
        planned if as_it_is => {
            facts.any_header_8bit = !planned.is_ok_and(|plan| !plan.has_global());
            Ok(Form { facts, plan: None })
        }
        Ok(plan) => {
            let facts = Facts {
                size: size_as_planned(message, &plan, bodies).await?,
                has_8bit: false,
                header_8bit: false,
                any_header_8bit: false,
                obstacle: None,
            };
            Ok(Form {
                facts,
                plan: Some(plan),
            })
        }
        Err(obstacle) => {
            facts.obstacle = Some(told(obstacle));
            Ok(Form { facts, plan: None })
        }
    }
}

fn facts_of(message: &Message) -> Facts {
    let added_is_8bit = !message.added_header.is_ascii();
    Facts {
        size: match message.envelope.body_kind {
            BodyKind::BinaryMime => message.size(),
            BodyKind::SevenBit | BodyKind::EightBitMime => message.size_in_lines(),
        },
        has_8bit: message.body.has_8bit || added_is_8bit,
        header_8bit: added_is_8bit,
        any_header_8bit: message.body.has_8bit || added_is_8bit,
        obstacle: None,
    }
}

async fn header_is_8bit<B: Bodies>(message: &Message, bodies: &B) -> Result<bool, ReadError> {
    if !message.added_header.is_ascii() {
        return Ok(true);
    }
    let mut pieces = bodies.open(message).await?;
    let mut front = Vec::new();
    while front.len() < HEADER_SECTION_BYTES_MAX {
        let Some(piece) = pieces.next().await? else {
            break;
        };
        let behind = front.len().saturating_sub(3);
        front.extend_from_slice(&piece);
        let section_ends = memchr::memmem::find(&front[behind..], b"\r\n\r\n").is_some();
        if section_ends || front.starts_with(b"\r\n") {
            break;
        }
    }
    Ok(!header_section(&front).is_ascii())
}

async fn plan<B: Bodies>(
    message: &Message,
    bodies: &B,
) -> Result<Result<Plan, Obstacle>, ReadError> {
    if !message.added_header.is_ascii() {
        return Ok(Err(Obstacle::HeaderIs8Bit));
    }
    // Without a header section the empty line is in what we added: no field can be put in below it.
    if message.added_header.ends_with(b"\r\n\r\n") {
        return Ok(Err(Obstacle::Malformed));
    }
    let mut survey = Survey::new();
    let mut pieces = bodies.open(message).await?;
    while let Some(piece) = pieces.next().await? {
        if let Err(obstacle) = survey.feed(&piece) {
            return Ok(Err(obstacle));
        }
    }
    Ok(survey.finish())
}

async fn size_as_planned<B: Bodies>(
    message: &Message,
    plan: &Plan,
    bodies: &B,
) -> Result<u64, ReadError> {
    let mut size = message.added_header.len() as u64;
    let mut rewriter = Rewriter::new(plan);
    let mut written = Vec::new();
    let mut ends_in_line_end = true;
    let mut count = |written: &mut Vec<u8>| {
        size += written.len() as u64;
        if !written.is_empty() {
            ends_in_line_end = written.ends_with(b"\n");
        }
        written.clear();
    };
    let mut pieces = bodies.open(message).await?;
    while let Some(piece) = pieces.next().await? {
        rewriter.feed(&piece, &mut written).map_err(another)?;
        count(&mut written);
    }
    rewriter.finish(&mut written).map_err(another)?;
    count(&mut written);
    Ok(size + if ends_in_line_end { 0 } else { 2 })
}

/// A message does not change while it is stored, so this is a bug or a failing disk; it is never sent
/// half in one form and half in another.
pub(super) fn another(obstacle: Obstacle) -> ReadError {
    ReadError::Failed(format!("it differs from what was read before: {obstacle}"))
}

fn told(obstacle: Obstacle) -> (EnhancedCode, &'static str) {
    let needs_smtputf8 = EnhancedCode::permanent(6, 7);
    let cant_be_converted = EnhancedCode::permanent(6, 3);
    match obstacle {
        Obstacle::HeaderIs8Bit => (
            needs_smtputf8,
            "the remote host takes 7-bit mail only (it offers neither 8BITMIME nor SMTPUTF8), and the \
             message's header is not ASCII",
        ),
        Obstacle::Malformed => (
            cant_be_converted,
            "the remote host takes 7-bit mail only (it does not offer 8BITMIME), and the message can't \
             be re-encoded since its MIME structure is malformed",
        ),
        Obstacle::Sealed => (
            cant_be_converted,
            "the remote host takes 7-bit mail only (it does not offer 8BITMIME), and re-encoding would \
             break a signature in the message",
        ),
        Obstacle::NoPlace => (
            cant_be_converted,
            "the remote host takes 7-bit mail only (it does not offer 8BITMIME), and the message has \
             8-bit octets where they can't be encoded",
        ),
        Obstacle::TooLarge => (
            cant_be_converted,
            "the remote host takes 7-bit mail only (it does not offer 8BITMIME), and the message's MIME \
             structure is too large to be re-encoded",
        ),
    }
}
