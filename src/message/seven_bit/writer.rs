//! Writes what a walk through a message comes by, re-encoded as the plan has it.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;

use super::content::say;
use super::lines::Line;
use super::structure::{Header, Visitor};
use super::{Obstacle, Plan, Treatment};
use crate::message::quoted_printable::QuotedPrintable;

/// Octets on a line of base64: 76 characters (RFC 2045 6.8).
const BASE64_LINE_BYTES: usize = 57;

/// What is written, and how.
#[derive(Debug)]
pub(super) struct Writer<'a> {
    plan: &'a Plan,
    encoder: Encoder,
}

/// For the body that is being written.
#[derive(Debug)]
enum Encoder {
    Plain,
    QuotedPrintable(QuotedPrintable),
    Base64 {
        /// Fewer than fill a line.
        held: Vec<u8>,
        /// A line end that is the body's only if no delimiter follows.
        owes_line_end: bool,
    },
}

/// With where to.
pub(super) struct WriterTo<'a, 'b> {
    writer: &'b mut Writer<'a>,
    out: &'b mut Vec<u8>,
}

impl<'a> Writer<'a> {
    pub(super) fn new(plan: &'a Plan) -> Writer<'a> {
        Writer {
            plan,
            encoder: Encoder::Plain,
        }
    }

    pub(super) fn to<'b>(&'b mut self, out: &'b mut Vec<u8>) -> WriterTo<'a, 'b> {
        WriterTo { writer: self, out }
    }

    /// Ends the body that is being written, with its last line end.
    pub(super) fn end_body(&mut self, out: &mut Vec<u8>) {
        if let Encoder::Base64 {
            held,
            owes_line_end,
        } = &mut self.encoder
        {
            if std::mem::take(owes_line_end) {
                append_base64(held, b"\r\n", out);
            }
            end_base64(held, out);
        }
        self.encoder = Encoder::Plain;
    }
}

impl Visitor for WriterTo<'_, '_> {
    fn header(&mut self, header: Header<'_>) -> Result<(), Obstacle> {
        let treatment = self.writer.plan.treatments.get(header.entity).copied();
        let treatment = treatment.ok_or(Obstacle::Malformed)?;
        let said = treatment.said();
        match said {
            None => self.out.extend_from_slice(header.octets),
            Some(said) => say(header.octets, said, header.is_message, self.out),
        }
        self.writer.encoder = match treatment {
            Treatment::Keep | Treatment::Relabel => Encoder::Plain,
            Treatment::QuotedPrintable => Encoder::QuotedPrintable(QuotedPrintable::default()),
            Treatment::Base64 => Encoder::Base64 {
                held: Vec::new(),
                owes_line_end: false,
            },
        };
        Ok(())
    }

    fn body(&mut self, _: usize, line: Line<'_>) -> Result<(), Obstacle> {
        let (content, has_line_end) = line.content();
        match &mut self.writer.encoder {
            Encoder::Plain => return self.aside(line),
            Encoder::QuotedPrintable(encoder) => {
                encoder.append(content, has_line_end, self.out);
                if has_line_end {
                    self.out.extend_from_slice(b"\r\n");
                }
            }
            Encoder::Base64 {
                held,
                owes_line_end,
            } => {
                if std::mem::replace(owes_line_end, has_line_end) {
                    append_base64(held, b"\r\n", self.out);
                }
                append_base64(held, content, self.out);
            }
        }
        Ok(())
    }

    fn delimiter(&mut self, line: Line<'_>) -> Result<(), Obstacle> {
        if let Encoder::Base64 { held, .. } = &mut self.writer.encoder {
            end_base64(held, self.out);
        }
        self.writer.encoder = Encoder::Plain;
        self.aside(line)
    }

    /// Whatever passes through as it is has been found to be ASCII; if not, it does not leave.
    fn aside(&mut self, line: Line<'_>) -> Result<(), Obstacle> {
        if !line.octets.is_ascii() {
            return Err(Obstacle::NoPlace);
        }
        self.out.extend_from_slice(line.octets);
        Ok(())
    }
}

/// Writes whole lines and holds the rest.
fn append_base64(held: &mut Vec<u8>, octets: &[u8], out: &mut Vec<u8>) {
    held.extend_from_slice(octets);
    let whole = held.len() - held.len() % BASE64_LINE_BYTES;
    for line in held[..whole].chunks(BASE64_LINE_BYTES) {
        write_base64(line, out);
    }
    held.drain(..whole);
}

fn end_base64(held: &mut Vec<u8>, out: &mut Vec<u8>) {
    if !held.is_empty() {
        write_base64(held, out);
    }
    held.clear();
}

fn write_base64(line: &[u8], out: &mut Vec<u8>) {
    out.extend_from_slice(BASE64.encode(line).as_bytes());
    out.extend_from_slice(b"\r\n");
}
