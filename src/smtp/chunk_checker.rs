//! Message data as it comes in with BDAT: counted, and looked at for what makes a message unfit
//! (RFC 3030 2, RFC 5321 2.3.8). There is no end to be found in it, and no dot is special.

use memchr::{memchr, memchr_iter};

use super::data_decoder::{DataFault, DataLimits};
use crate::mail::BodyKind;

/// Looks at the octets of one message, in pieces of any size, across the borders of its chunks.
#[derive(Clone, Debug)]
pub struct ChunkChecker {
    any_octets: bool,
    limits: DataLimits,
    bytes: u64,
    /// Of the line that is being read.
    line_bytes: u64,
    long_line: bool,
    crs: u64,
    crlfs: u64,
    after_cr: bool,
    bare_lf: bool,
    nul: bool,
}

impl ChunkChecker {
    /// For a message of at most so much. Declared as `BINARYMIME`, it may hold any octets;
    /// otherwise it is text, and what DATA refuses is refused here too.
    #[must_use]
    pub fn new(body_kind: BodyKind, limits: DataLimits) -> ChunkChecker {
        ChunkChecker {
            any_octets: match body_kind {
                BodyKind::BinaryMime => true,
                BodyKind::SevenBit | BodyKind::EightBitMime => false,
            },
            limits,
            bytes: 0,
            line_bytes: 0,
            long_line: false,
            crs: 0,
            crlfs: 0,
            after_cr: false,
            bare_lf: false,
            nul: false,
        }
    }

    /// Looks at the next octets.
    pub fn check(&mut self, octets: &[u8]) {
        self.bytes = self.bytes.saturating_add(octets.len() as u64);
        let Some(last) = octets.last().filter(|_| !self.any_octets) else {
            return;
        };
        let mut line_start = 0;
        for lf in memchr_iter(b'\n', octets) {
            self.line_goes_on(lf + 1 - line_start);
            line_start = lf + 1;
            let after_cr = match lf.checked_sub(1) {
                Some(before) => octets[before] == b'\r',
                None => self.after_cr,
            };
            if after_cr {
                self.crlfs += 1;
                self.line_bytes = 0;
            } else {
                self.bare_lf = true;
            }
        }
        self.line_goes_on(octets.len() - line_start);
        // CRs are only counted: as many as there are CRLFs means that none is bare.
        self.crs += memchr_iter(b'\r', octets).count() as u64;
        self.nul |= memchr(0, octets).is_some();
        self.after_cr = *last == b'\r';
    }

    /// What is wrong with the message so far. A CR as its last octet is nothing yet: its LF may be
    /// the first of the next chunk.
    #[must_use]
    pub fn fault(&self) -> Option<DataFault> {
        self.fault_with(self.crlfs + u64::from(self.after_cr))
    }

    /// What is wrong with the message, now that nothing follows.
    #[must_use]
    pub fn fault_at_end(&self) -> Option<DataFault> {
        self.fault_with(self.crlfs)
    }

    fn fault_with(&self, good_crs: u64) -> Option<DataFault> {
        if self.nul {
            Some(DataFault::Nul)
        } else if self.bare_lf || self.crs != good_crs {
            Some(DataFault::BareLineEnd)
        } else if self.bytes > self.limits.message_bytes_max {
            Some(DataFault::TooLarge)
        } else if self.long_line {
            Some(DataFault::LineTooLong)
        } else {
            None
        }
    }

    fn line_goes_on(&mut self, bytes: usize) {
        self.line_bytes = self.line_bytes.saturating_add(bytes as u64);
        let longest = self.limits.line_bytes_max.unwrap_or(u64::MAX);
        self.long_line |= self.line_bytes > longest;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn limits(line_bytes_max: Option<u64>) -> DataLimits {
        DataLimits {
            message_bytes_max: 20,
            line_bytes_max,
        }
    }

    /// What is found after these octets in pieces of `step`, and what at their end.
    fn found(kind: BodyKind, octets: &[u8], step: usize) -> [Option<DataFault>; 2] {
        found_within(limits(None), kind, octets, step)
    }

    fn found_within(
        limits: DataLimits,
        kind: BodyKind,
        octets: &[u8],
        step: usize,
    ) -> [Option<DataFault>; 2] {
        let mut checker = ChunkChecker::new(kind, limits);
        for piece in octets.chunks(step) {
            checker.check(piece);
            checker.check(b""); // an empty chunk changes nothing
        }
        [checker.fault(), checker.fault_at_end()]
    }

    #[track_caller]
    fn check(octets: &[u8], so_far: Option<DataFault>, at_end: Option<DataFault>) {
        for step in [1, 2, 3, 1000] {
            let got = found(BodyKind::EightBitMime, octets, step);
            assert_eq!(got, [so_far, at_end], "in pieces of {step}");
        }
    }

    #[test]
    fn only_whole_line_ends_are_good() {
        // W-10.02, W-10.07
        let bare = Some(DataFault::BareLineEnd);
        let nul = Some(DataFault::Nul);
        for good in [
            &b""[..],
            b"x",
            b"x\r\n",
            b"\r\n\r\n",
            b"\r\n.\r\n..x",
            b"\xff\x01\x7f",
        ] {
            check(good, None, None);
        }
        for bad in [
            &b"\n"[..],
            b"x\ny",
            b"x\ry",
            b"\r\r\n",
            b"\r\n\n",
            b"\n\r\n",
            b"\r\nx\r ",
        ] {
            check(bad, bare, bare);
        }
        check(b"x\r", None, bare);
        check(b"x\r\n\r", None, bare);
        check(b"\r\r", bare, bare);
        check(b"x\0", nul, nul);
        check(b"\0\n", nul, nul);
    }

    #[test]
    fn octets_are_counted_over_all_chunks() {
        // W-10.06, and as W-5.06
        let large = Some(DataFault::TooLarge);
        let bare = Some(DataFault::BareLineEnd);
        check(&[b'x'; 20], None, None);
        check(&[b'x'; 21], large, large);
        check(&[b'\n'; 21], bare, bare);
        check(&[&[b'x'; 20][..], b"\r"].concat(), large, bare);
        let of_binary = found(BodyKind::BinaryMime, &[0; 21], 2);
        assert_eq!(of_binary, [large, large]);
    }

    #[test]
    fn lines_are_counted_over_all_chunks_but_not_in_binary() {
        let long = Some(DataFault::LineTooLong);
        for (octets, want) in [
            (&b"123456\r\n123456\r\n"[..], None),
            (b"1\r\n1234567\r\n2\r\n", long),
            (b"123456789", long),
            (b"12345678", None),
        ] {
            for step in [1, 2, 3, 1000] {
                let within = |kind| found_within(limits(Some(8)), kind, octets, step);
                assert_eq!(within(BodyKind::EightBitMime), [want, want], "{step}");
                assert_eq!(within(BodyKind::BinaryMime), [None, None], "{step}");
            }
        }
    }

    #[test]
    fn binary_holds_anything() {
        // W-10.08
        for octets in [&b"\0\r\n\n\r"[..], b"\r", b"\n", b"\0"] {
            assert_eq!(found(BodyKind::BinaryMime, octets, 1), [None, None]);
        }
    }

    proptest! {
        #[test]
        fn any_segmentation_finds_the_same(
            octets in prop::collection::vec(
                prop::sample::select(b"abc\r\n\r\n\r\n\0".to_vec()), 0..30),
            cuts in prop::collection::vec(0usize..8, 0..8),
        ) {
            let mut checker = ChunkChecker::new(BodyKind::SevenBit, limits(Some(8)));
            let mut rest = &octets[..];
            for cut in cuts {
                let (piece, behind) = rest.split_at(cut.min(rest.len()));
                checker.check(piece);
                rest = behind;
            }
            checker.check(rest);
            let whole = found_within(limits(Some(8)), BodyKind::SevenBit, &octets, 1000);
            prop_assert_eq!([checker.fault(), checker.fault_at_end()], whole);
        }

        #[test]
        fn text_is_fit_exactly_if_data_would_take_it(
            octets in prop::collection::vec(
                prop::sample::select(b"ab\r\n\r\n\r\n\0".to_vec()), 0..15),
        ) {
            use crate::smtp::data_decoder::DataDecoder;
            let octets = [&octets[..], b"\r\n"].concat();
            let mut decoder = DataDecoder::new(limits(Some(8)));
            decoder.decode(&[&octets[..], b".\r\n"].concat(), |_| {});
            let [_, at_end] = found_within(limits(Some(8)), BodyKind::SevenBit, &octets, 1000);
            prop_assert_eq!(at_end, decoder.fault());
        }
    }
}
