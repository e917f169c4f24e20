//! The structure of a MIME message, found line by line (RFC 2046 5.1).

use super::Obstacle;
use super::content::{Content, Kind};
use super::lines::{Line, Lines};

/// Largest header of a part or a message that is looked into, in octets.
const HEADER_BYTES_MAX: usize = 128 * 1024;
/// Most parts and messages inside of each other.
const DEPTH_MAX: usize = 100;
/// Most parts and messages in all.
const ENTITIES_MAX: usize = 10_000;

/// Who is told what stands where. Entities, that is parts and messages, are numbered from 0 in the
/// order of their headers.
pub(super) trait Visitor {
    /// A header, with the empty line that ends it, if one does.
    fn header(&mut self, header: Header<'_>) -> Result<(), Obstacle>;
    /// A line of the body of that entity, which has no parts.
    fn body(&mut self, entity: usize, line: Line<'_>) -> Result<(), Obstacle>;
    /// A delimiter. The line end before it belongs to it.
    fn delimiter(&mut self, line: Line<'_>) -> Result<(), Obstacle>;
    /// A line before the first part or behind the last.
    fn aside(&mut self, line: Line<'_>) -> Result<(), Obstacle>;
}

/// The header of an entity.
pub(super) struct Header<'a> {
    pub(super) entity: usize,
    pub(super) octets: &'a [u8],
    pub(super) content: Content,
    /// Whether it is that of a message, not of a part.
    pub(super) is_message: bool,
    /// Whether what it stands in is signed or encrypted.
    pub(super) is_sealed: bool,
}

/// Finds the structure.
#[derive(Debug)]
pub(super) struct Walker {
    lines: Lines,
    walk: Walk,
}

#[derive(Debug)]
struct Walk {
    place: Place,
    /// The multiparts that are open, from the outermost.
    open: Vec<Multipart>,
    /// The entity that is being read.
    entity: usize,
    /// Messages inside of each other.
    nested: usize,
}

#[derive(Debug)]
enum Place {
    Header { read: Vec<u8>, is_message: bool },
    Body,
    Aside,
}

#[derive(Debug)]
struct Multipart {
    boundary: Vec<u8>,
    is_digest: bool,
    is_sealed: bool,
}

impl Walker {
    /// At the first octet of a message.
    pub(super) fn new() -> Walker {
        Walker {
            lines: Lines::new(),
            walk: Walk {
                place: Place::header_of_message(),
                open: Vec::new(),
                entity: 0,
                nested: 0,
            },
        }
    }

    pub(super) fn feed(&mut self, octets: &[u8], to: &mut impl Visitor) -> Result<(), Obstacle> {
        let walk = &mut self.walk;
        self.lines.feed(octets, |line| walk.line(line, to))
    }

    pub(super) fn finish(mut self, to: &mut impl Visitor) -> Result<(), Obstacle> {
        let walk = &mut self.walk;
        self.lines.finish(|line| walk.line(line, to))?;
        walk.end_header(to)
    }
}

impl Place {
    fn header_of_message() -> Place {
        Place::Header {
            read: Vec::new(),
            is_message: true,
        }
    }
}

impl Walk {
    fn line(&mut self, line: Line<'_>, to: &mut impl Visitor) -> Result<(), Obstacle> {
        if let Some((level, closes)) = self.delimits(line) {
            if line.is_cut() {
                return Err(Obstacle::TooLarge); // nobody knows yet what else stands in it
            }
            self.end_header(to)?;
            to.delimiter(line)?;
            return self.begin_behind(level, closes);
        }
        match &mut self.place {
            Place::Body => to.body(self.entity, line),
            Place::Aside => to.aside(line),
            Place::Header { read, .. } => {
                if read.len() + line.octets.len() > HEADER_BYTES_MAX {
                    return Err(Obstacle::TooLarge);
                }
                read.extend_from_slice(line.octets);
                let is_empty = line.starts && matches!(line.octets, b"\r\n" | b"\n");
                if is_empty {
                    self.end_header(to)
                } else {
                    Ok(())
                }
            }
        }
    }

    /// Which open multipart a line belongs to as a delimiter, and whether it closes it.
    fn delimits(&self, line: Line<'_>) -> Option<(usize, bool)> {
        let dashed = line.octets.strip_prefix(b"--").filter(|_| line.starts)?;
        let of = |multipart: &Multipart| {
            let rest = dashed.strip_prefix(multipart.boundary.as_slice())?;
            match rest.trim_ascii() {
                b"" => Some(false),
                closing => closing.starts_with(b"--").then_some(true),
            }
        };
        let mut levels = self.open.iter().enumerate().rev();
        levels.find_map(|(level, multipart)| Some((level, of(multipart)?)))
    }

    fn begin_behind(&mut self, level: usize, closes: bool) -> Result<(), Obstacle> {
        self.open.truncate(level + usize::from(!closes));
        if closes {
            self.place = Place::Aside;
            return Ok(());
        }
        self.place = Place::Header {
            read: Vec::new(),
            is_message: false,
        };
        self.count_entity()
    }

    fn count_entity(&mut self) -> Result<(), Obstacle> {
        self.entity += 1;
        match self.entity < ENTITIES_MAX {
            true => Ok(()),
            false => Err(Obstacle::TooLarge),
        }
    }

    /// Ends the header that is being read, if one is; what follows is its body.
    fn end_header(&mut self, to: &mut impl Visitor) -> Result<(), Obstacle> {
        let Place::Header { read, is_message } = &mut self.place else {
            return Ok(());
        };
        let (octets, is_message) = (std::mem::take(read), *is_message);
        let around = self.open.last();
        let in_digest = !is_message && around.is_some_and(|multipart| multipart.is_digest);
        let is_sealed = around.is_some_and(|multipart| multipart.is_sealed);
        let content = Content::of(&octets, in_digest)?;
        let kind = content.kind.clone();
        to.header(Header {
            entity: self.entity,
            octets: &octets,
            content,
            is_message,
            is_sealed,
        })?;
        self.place = match kind {
            Kind::Leaf | Kind::Global | Kind::Fixed => Place::Body,
            Kind::Message => {
                self.nested += 1;
                self.count_entity()?;
                Place::header_of_message()
            }
            Kind::Multipart {
                boundary,
                is_digest,
                is_sealed: seals,
            } => {
                self.open.push(Multipart {
                    boundary,
                    is_digest,
                    is_sealed: is_sealed || seals,
                });
                Place::Aside
            }
        };
        match self.open.len() + self.nested <= DEPTH_MAX {
            true => Ok(()),
            false => Err(Obstacle::TooLarge),
        }
    }
}
