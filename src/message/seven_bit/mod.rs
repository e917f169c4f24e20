//! The way of an 8-bit message to a host that takes 7 bits only (RFC 6152 3): its parts re-encoded, so
//! that who decodes it has the same message; or the reason why that can't be.
//!
//! 1. A [`Survey`] reads all of it and finds which parts have 8-bit octets, and what is in the way.
//! 2. Its [`Plan`] says how each part is to be written.
//! 3. A [`Rewriter`] reads all of it again and writes.
//!
//! Nobody holds the message: what grows with it is a few octets for each part, and parts are
//! counted. What is not to be changed (parts in 7 bits, delimiters, header fields) passes
//! through octet for octet.
//!
//! A DKIM signature (RFC 6376) covers the octets as they are sent, so one of 8-bit text no longer
//! verifies behind such a host. What was signed or encrypted as a part (RFC 1847) is left alone.

mod content;
mod lines;
mod structure;
mod writer;

use content::{Encoding, Kind, Said};
use lines::Line;
use structure::{Header, Visitor, Walker};
use writer::Writer;

/// Why a message can't be re-encoded.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Obstacle {
    /// A header field outside of ASCII, which only SMTPUTF8 takes (RFC 6532).
    #[error("its header is not ASCII")]
    HeaderIs8Bit,
    /// What it says about itself is wrong, or can be read in two ways.
    #[error("its MIME structure is malformed")]
    Malformed,
    /// 8-bit octets in what was signed or encrypted as it is.
    #[error("that would break a signature inside of it")]
    Sealed,
    /// 8-bit octets where no encoding is allowed, or where one is said to be.
    #[error("a part of it has 8-bit octets where none may be")]
    NoPlace,
    /// More parts, or larger headers, than are looked into.
    #[error("its MIME structure is too large")]
    TooLarge,
}

/// How each part of a message is to be written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Plan {
    treatments: Vec<Treatment>,
    has_global: bool,
}

impl Plan {
    /// Whether a message with UTF-8 in its header stands inside, as message/global or its like. No
    /// other header inside of a message with a plan is beyond ASCII.
    #[must_use]
    pub fn has_global(&self) -> bool {
        self.has_global
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Treatment {
    Keep,
    /// Its body is kept, and what is said of it becomes true.
    Relabel,
    QuotedPrintable,
    Base64,
}

impl Treatment {
    fn said(self) -> Option<Said> {
        match self {
            Treatment::Keep => None,
            Treatment::Relabel => Some(Said::SevenBit),
            Treatment::QuotedPrintable => Some(Said::QuotedPrintable),
            Treatment::Base64 => Some(Said::Base64),
        }
    }
}

/// Reads a message, the octets below our added header, in pieces of any size.
#[derive(Debug)]
pub struct Survey {
    walker: Walker,
    seen: Seen,
}

#[derive(Debug, Default)]
struct Seen {
    entities: Vec<Entity>,
    has_global: bool,
}

#[derive(Debug)]
struct Entity {
    may_be_encoded: Result<(), Obstacle>,
    is_labelled_wide: bool,
    octets: u64,
    eight_bit_octets: u64,
}

impl Survey {
    /// At the first octet.
    #[must_use]
    pub fn new() -> Survey {
        Survey {
            walker: Walker::new(),
            seen: Seen::default(),
        }
    }

    /// Reads on. After an obstacle there is no need to.
    pub fn feed(&mut self, octets: &[u8]) -> Result<(), Obstacle> {
        self.walker.feed(octets, &mut self.seen)
    }

    /// What is to be done.
    pub fn finish(mut self) -> Result<Plan, Obstacle> {
        self.walker.finish(&mut self.seen)?;
        let treatments = self.seen.entities.iter().map(Entity::treatment);
        Ok(Plan {
            treatments: treatments.collect::<Result<_, _>>()?,
            has_global: self.seen.has_global,
        })
    }
}

impl Default for Survey {
    fn default() -> Survey {
        Survey::new()
    }
}

impl Entity {
    /// Quoted-printable takes three octets for one and leaves text readable; base64 takes four for
    /// three whatever they are.
    fn treatment(&self) -> Result<Treatment, Obstacle> {
        match (self.eight_bit_octets, self.may_be_encoded) {
            (0, Err(Obstacle::Sealed)) => Ok(Treatment::Keep),
            (0, _) if self.is_labelled_wide => Ok(Treatment::Relabel),
            (0, _) => Ok(Treatment::Keep),
            (_, Err(obstacle)) => Err(obstacle),
            (wide, Ok(())) if wide.saturating_mul(6) > self.octets => Ok(Treatment::Base64),
            (_, Ok(())) => Ok(Treatment::QuotedPrintable),
        }
    }
}

impl Visitor for Seen {
    fn header(&mut self, header: Header<'_>) -> Result<(), Obstacle> {
        let may_be_encoded = match (&header.content.kind, header.content.encoding) {
            _ if header.is_sealed => Err(Obstacle::Sealed),
            (_, Encoding::Encoded) | (Kind::Fixed, _) => Err(Obstacle::NoPlace),
            (Kind::Leaf | Kind::Global | Kind::Message | Kind::Multipart { .. }, _) => Ok(()),
        };
        self.has_global |= header.content.kind == Kind::Global;
        self.entities.push(Entity {
            may_be_encoded,
            is_labelled_wide: header.content.encoding == Encoding::Wide,
            octets: 0,
            eight_bit_octets: 0,
        });
        Ok(())
    }

    fn body(&mut self, entity: usize, line: Line<'_>) -> Result<(), Obstacle> {
        let entity = &mut self.entities[entity];
        let wide = line.octets.iter().filter(|octet| !octet.is_ascii()).count();
        entity.octets += line.octets.len() as u64;
        entity.eight_bit_octets += wide as u64;
        match entity.may_be_encoded {
            Err(obstacle) if wide > 0 => Err(obstacle),
            Ok(()) | Err(_) => Ok(()),
        }
    }

    fn delimiter(&mut self, line: Line<'_>) -> Result<(), Obstacle> {
        self.aside(line)
    }

    fn aside(&mut self, line: Line<'_>) -> Result<(), Obstacle> {
        match line.octets.is_ascii() {
            true => Ok(()),
            false => Err(Obstacle::NoPlace),
        }
    }
}

/// Writes the same message again as its plan has it, in 7 bits.
#[derive(Debug)]
pub struct Rewriter<'a> {
    walker: Walker,
    writer: Writer<'a>,
}

impl<'a> Rewriter<'a> {
    /// At the first octet of the message that `plan` was made for.
    #[must_use]
    pub fn new(plan: &'a Plan) -> Rewriter<'a> {
        Rewriter {
            walker: Walker::new(),
            writer: Writer::new(plan),
        }
    }

    /// Reads on, and appends to `out` what is to be sent. An obstacle means that it is another message
    /// than that of the plan.
    pub fn feed(&mut self, octets: &[u8], out: &mut Vec<u8>) -> Result<(), Obstacle> {
        self.walker.feed(octets, &mut self.writer.to(out))
    }

    /// Appends what was held back.
    pub fn finish(mut self, out: &mut Vec<u8>) -> Result<(), Obstacle> {
        self.walker.finish(&mut self.writer.to(out))?;
        self.writer.end_body(out);
        Ok(())
    }
}

#[cfg(test)]
mod tests;
