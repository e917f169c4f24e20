//! Message data as it comes in after DATA: dots unstuffed, the end found, and everything noted that
//! makes a message unfit (RFC 5321 4.1.1.4, 4.5.2).
//!
//! Only CRLF.CRLF ends the data, or `.CRLF` at its very start. A CR or LF outside a CRLF never
//! does, and spoils the message: where two servers disagree about line ends, mail is smuggled.

use memchr::{memchr, memchr_iter};

/// How much of message data is taken, however they come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DataLimits {
    /// Largest message, in bytes, unstuffed and without the end.
    pub message_bytes_max: u64,
    /// Longest line, in bytes, unstuffed and with its CRLF (RFC 5321 4.5.3.1.6); `None`: any.
    pub line_bytes_max: Option<u64>,
}

/// Reads the data of one message. Keeps a few octets of state, whatever the size of the message.
#[derive(Clone, Debug)]
pub struct DataDecoder {
    at: At,
    limits: DataLimits,
    bytes: u64,
    /// Of the line that is being read.
    line_bytes: u64,
    long_line: bool,
    crs: u64,
    crlfs: u64,
    bare_lf: bool,
    nul: bool,
}

/// What one call of [`DataDecoder::decode`] did.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Decoded {
    /// Octets of the input that belong to the data; what follows are commands.
    pub consumed: usize,
    /// Whether the end was among them. Don't call again afterwards.
    pub ended: bool,
}

/// Why a message that ended can't be taken. Where several are true, the first one counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum DataFault {
    /// It holds a NUL (RFC 5321 4.5.2, RFC 5322 4).
    Nul,
    /// It holds a CR or LF outside a CRLF (RFC 5321 2.3.8).
    BareLineEnd,
    /// It is larger than we take.
    TooLarge,
    /// One of its lines is longer than we take.
    LineTooLong,
}

/// What the last octets were, as far as it matters for the next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum At {
    /// CRLF, or nothing at all yet.
    LineStart,
    /// A dot at the start of a line, which is left out in any case.
    Dot,
    /// Such a dot and a CR, which is still to be given out if no LF follows.
    DotCr,
    /// Within a line, the last octet being a CR.
    Cr,
    /// Within a line.
    Text,
}

impl DataDecoder {
    /// At the first octet behind DATA.
    #[must_use]
    pub fn new(limits: DataLimits) -> DataDecoder {
        DataDecoder {
            at: At::LineStart,
            limits,
            bytes: 0,
            line_bytes: 0,
            long_line: false,
            crs: 0,
            crlfs: 0,
            bare_lf: false,
            nul: false,
        }
    }

    /// Reads on, giving the octets of the message to `keep`, in pieces as large as possible; from
    /// the next call on nothing more, once the message is known to be unfit.
    pub fn decode(&mut self, input: &[u8], mut keep: impl FnMut(&[u8])) -> Decoded {
        let mut kept = 0; // input before this was given out or left out
        let mut next = 0; // input before this was looked at
        let ended = loop {
            match self.at {
                At::LineStart => match input.get(next) {
                    None => break false,
                    Some(b'.') => {
                        self.give(&input[kept..next], &mut keep);
                        next += 1;
                        kept = next;
                        self.at = At::Dot;
                    }
                    Some(_) => self.at = At::Text,
                },
                At::Dot => match input.get(next) {
                    None => break false,
                    Some(b'\r') => {
                        next += 1;
                        kept = next;
                        self.at = At::DotCr;
                    }
                    Some(_) => self.at = At::Text,
                },
                At::DotCr => match input.get(next) {
                    None => break false,
                    Some(b'\n') => {
                        next += 1;
                        kept = next;
                        self.crlfs += 1;
                        break true;
                    }
                    Some(_) => {
                        self.give(b"\r", &mut keep);
                        self.line_goes_on(1);
                        self.at = At::Text;
                    }
                },
                At::Cr | At::Text => {
                    let Some(lf) = memchr(b'\n', &input[next..]).map(|at| next + at) else {
                        self.at = match input.last() {
                            Some(b'\r') => At::Cr,
                            Some(_) => At::Text,
                            None => self.at,
                        };
                        self.line_goes_on(input.len() - next);
                        next = input.len();
                        break false;
                    };
                    let after_cr = match lf.checked_sub(1) {
                        Some(before) => input[before] == b'\r',
                        None => self.at == At::Cr,
                    };
                    self.line_goes_on(lf + 1 - next);
                    next = lf + 1;
                    if after_cr {
                        self.line_bytes = 0;
                        self.crlfs += 1;
                        self.at = At::LineStart;
                    } else {
                        self.bare_lf = true;
                        self.at = At::Text;
                    }
                }
            }
        };
        self.note_spoilers(&input[..next]);
        self.give(&input[kept..next], &mut keep);
        Decoded {
            consumed: next,
            ended,
        }
    }

    /// What is wrong with the message; ask at its end.
    pub fn fault(&self) -> Option<DataFault> {
        if self.nul {
            Some(DataFault::Nul)
        } else if self.bare_lf || self.crs != self.crlfs {
            Some(DataFault::BareLineEnd)
        } else if self.bytes > self.limits.message_bytes_max {
            Some(DataFault::TooLarge)
        } else if self.long_line {
            Some(DataFault::LineTooLong)
        } else {
            None
        }
    }

    /// Whether it is known before the end that the message can't be taken; nothing more of it is
    /// given out then.
    #[must_use]
    pub fn is_unfit(&self) -> bool {
        self.nul || self.bare_lf || self.long_line || self.bytes > self.limits.message_bytes_max
    }

    /// Octets of the message so far, whether or not they were given out.
    #[must_use]
    pub fn bytes(&self) -> u64 {
        self.bytes
    }

    fn line_goes_on(&mut self, bytes: usize) {
        self.line_bytes = self.line_bytes.saturating_add(bytes as u64);
        let longest = self.limits.line_bytes_max.unwrap_or(u64::MAX);
        self.long_line |= self.line_bytes > longest;
    }

    fn give(&mut self, piece: &[u8], keep: &mut impl FnMut(&[u8])) {
        self.bytes = self.bytes.saturating_add(piece.len() as u64);
        if !piece.is_empty() && !self.is_unfit() {
            keep(piece);
        }
    }

    /// CRs are only counted: as many as there are CRLFs means that none is bare.
    fn note_spoilers(&mut self, seen: &[u8]) {
        self.crs += memchr_iter(b'\r', seen).count() as u64;
        self.nul |= memchr(0, seen).is_some();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[derive(Debug, PartialEq, Eq)]
    struct Read {
        text: Vec<u8>,
        left: Vec<u8>,
        ended: bool,
        fault: Option<DataFault>,
    }

    /// Reads `input` in pieces of `step` octets, as a session would.
    fn read(input: &[u8], step: usize, bytes_max: u64) -> Read {
        read_within(limits(bytes_max, None), input, step)
    }

    fn limits(message_bytes_max: u64, line_bytes_max: Option<u64>) -> DataLimits {
        DataLimits {
            message_bytes_max,
            line_bytes_max,
        }
    }

    fn read_within(limits: DataLimits, input: &[u8], step: usize) -> Read {
        let mut decoder = DataDecoder::new(limits);
        let (mut text, mut used, mut ended) = (Vec::new(), 0, false);
        for piece in input.chunks(step) {
            let decoded = decoder.decode(piece, |kept| text.extend_from_slice(kept));
            used += decoded.consumed;
            ended = decoded.ended;
            if ended {
                break;
            }
            assert_eq!(decoded.consumed, piece.len());
        }
        let fault = decoder.fault();
        if fault.is_some() {
            text.clear();
        }
        Read {
            text,
            left: input[used..].to_vec(),
            ended,
            fault,
        }
    }

    const WHOLE: usize = usize::MAX >> 1;

    #[track_caller]
    fn check(input: &[u8], want: &[u8], left: &[u8]) {
        for step in [1, 2, 3, 5, WHOLE] {
            let want = Read {
                text: want.to_vec(),
                left: left.to_vec(),
                ended: true,
                fault: None,
            };
            assert_eq!(read(input, step, 1000), want, "in pieces of {step}");
        }
    }

    #[track_caller]
    fn spoilt(input: &[u8], fault: DataFault, left: &[u8]) {
        for step in [1, 2, 3, 5, WHOLE] {
            let want = Read {
                text: Vec::new(),
                left: left.to_vec(),
                ended: true,
                fault: Some(fault),
            };
            assert_eq!(read(input, step, 1000), want, "in pieces of {step}");
        }
    }

    #[test]
    fn only_a_dot_alone_on_a_line_ends_the_data() {
        // W-5.03
        check(b".\r\nQUIT\r\n", b"", b"QUIT\r\n");
        check(b"a\r\n.\r\n", b"a\r\n", b"");
        check(b"a\r\n..\r\n.\r\n", b"a\r\n.\r\n", b"");
        check(b"a\r\n...\r\n.\r\n", b"a\r\n..\r\n", b"");
        check(b"a\r\n.x\r\n.\r\n", b"a\r\nx\r\n", b"");
        check(b"a\r\n. \r\n.\r\n", b"a\r\n \r\n", b"");
        check(b"..\r\n.\r\n", b".\r\n", b"");
        check(b"a.\r\n.\r\n", b"a.\r\n", b"");
        check(b"\r\n.\r\n", b"\r\n", b"");
        check(b"\r\n\r\n.\r\n.\r\n", b"\r\n\r\n", b".\r\n");
        check(
            "8bit \u{e9}\r\n.\r\n".as_bytes(),
            "8bit \u{e9}\r\n".as_bytes(),
            b"",
        );
    }

    #[test]
    fn data_without_its_end_has_not_ended() {
        // W-5.13
        for input in [
            &b""[..],
            b"a",
            b"a\r\n",
            b"a\r\n.",
            b"a\r\n.\r",
            b"a\r\n..\r\n",
        ] {
            assert!(!read(input, WHOLE, 1000).ended);
            assert!(!read(input, 1, 1000).ended);
        }
    }

    #[test]
    fn what_other_servers_take_for_an_end_is_none() {
        // W-5.04, W-5.05
        let smuggled = b"MAIL FROM:<evil@gp.test>\r\nRCPT TO:<v@dest.test>\r\nDATA\r\nx\r\n.\r\n";
        for end in [
            "\n.\n",
            "\n.\r\n",
            "\r\n.\n",
            "\r\n.\r",
            "\r.\r",
            "\r.\r\n",
            "\n.\r",
            "\r\r\n.\r\r\n",
            "\n\n.\r\n",
            "\r\n.\n\r\n",
            "\n",
            "\r",
        ] {
            let input = [b"half", end.as_bytes(), smuggled, b"QUIT\r\n"].concat();
            spoilt(&input, DataFault::BareLineEnd, b"QUIT\r\n");
        }
    }

    #[test]
    fn nul_spoils_and_ends_nothing() {
        // W-5.07
        spoilt(b"a\0b\r\n.\r\nNOOP\r\n", DataFault::Nul, b"NOOP\r\n");
        spoilt(b"a\r\n\0.\r\n.\r\n", DataFault::Nul, b"");
        spoilt(b"a\r\n.\0\r\n.\r\n", DataFault::Nul, b"");
        spoilt(b"a\0\n\r\n.\r\n", DataFault::Nul, b"");
        // What follows the end is not looked at.
        check(b"a\r\n.\r\n\0\n\r", b"a\r\n", b"\0\n\r");
    }

    #[test]
    fn size_is_counted_unstuffed_and_without_the_end() {
        // W-5.11
        let exact = b"1234\r\n..67\r\n.\r\n";
        for step in [1, 2, 3, WHOLE] {
            assert_eq!(read(exact, step, 11).fault, None);
            assert_eq!(read(exact, step, 10).fault, Some(DataFault::TooLarge));
        }
        // W-5.06
        let both = [&b"x".repeat(2000)[..], b"\n\r\n.\r\n"].concat();
        spoilt(&both, DataFault::BareLineEnd, b"");
        let only = [&b"x".repeat(2000)[..], b"\r\n.\r\n"].concat();
        spoilt(&only, DataFault::TooLarge, b"");
    }

    #[test]
    fn lines_are_counted_unstuffed_and_with_their_end() {
        #[track_caller]
        fn check(input: &[u8], want: Option<DataFault>) {
            for step in [1, 2, 3, WHOLE] {
                let read = read_within(limits(40, Some(6)), input, step);
                assert_eq!((read.fault, read.ended), (want, true), "{step}");
            }
        }
        let long = Some(DataFault::LineTooLong);
        check(b".\r\n", None);
        check(b"1234\r\n1234\r\n.\r\n", None);
        check(b"12345\r\n.\r\n", long);
        check(b"1\r\n12345\r\n2\r\n.\r\n", long);
        check(b"..234\r\n.\r\n", None);
        check(b"..2345\r\n.\r\n", long);
        check(b"12345678\r\n12\r\n.\r\n", long);
        // What is worse is told first.
        check(b"12345\n\r\n.\r\n", Some(DataFault::BareLineEnd));
        check(b".\r12345\r\n.\r\n", Some(DataFault::BareLineEnd));
        let large = [&b"12345\r\n".repeat(7)[..], b".\r\n"].concat();
        check(&large, Some(DataFault::TooLarge));
    }

    #[test]
    fn nothing_is_kept_beyond_the_limit() {
        let mut decoder = DataDecoder::new(limits(100, None));
        let mut kept = 0;
        for _ in 0..1000 {
            decoder.decode(&[b'x'; 64], |piece| kept += piece.len());
        }
        assert_eq!((kept, decoder.bytes()), (64, 64_000));
    }

    fn stuffed(text: &[u8]) -> Vec<u8> {
        let mut out = Vec::new();
        for line in text.split_inclusive(|&b| b == b'\n') {
            if line.starts_with(b".") {
                out.push(b'.');
            }
            out.extend_from_slice(line);
        }
        out.extend_from_slice(b".\r\n");
        out
    }

    proptest! {
        #[test]
        fn any_segmentation_gives_the_same_message( // W-5.15
            input in prop::collection::vec(
                prop::sample::select(b"ab...\r\n\r\n\r\n\0".to_vec()), 0..80),
            step in 1usize..9,
        ) {
            prop_assert_eq!(read(&input, step, 30), read(&input, WHOLE, 30));
        }

        #[test]
        fn stuffing_is_undone(
            lines in prop::collection::vec("[.ab ]{0,5}", 0..12),
            step in 1usize..9,
        ) {
            let text: Vec<u8> = lines.iter().flat_map(|l| format!("{l}\r\n").into_bytes()).collect();
            let got = read(&stuffed(&text), step, 1000);
            prop_assert_eq!((got.text, got.ended, got.fault), (text, true, None));
        }
    }
}
