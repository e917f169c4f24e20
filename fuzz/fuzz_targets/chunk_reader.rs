//! Chunks of BDAT: any cutting finds the same fault, and text that is taken has no line end but CRLF
//! and no NUL.
#![no_main]

use gopherpost::mail::BodyKind;
use gopherpost::smtp::chunk_checker::ChunkChecker;
use gopherpost::smtp::data_decoder::DataLimits;
use libfuzzer_sys::fuzz_target;

const LIMITS: DataLimits = DataLimits {
    message_bytes_max: 1_000,
    line_bytes_max: Some(100),
};

fuzz_target!(|input: &[u8]| {
    let Some((step, octets)) = input.split_first() else {
        return;
    };
    for body_kind in [BodyKind::EightBitMime, BodyKind::BinaryMime] {
        let fault = |step| {
            let mut checker = ChunkChecker::new(body_kind, LIMITS);
            for chunk in octets.chunks(step) {
                checker.check(chunk);
            }
            checker.fault_at_end()
        };
        let found = fault(octets.len().max(1));
        assert_eq!(fault(usize::from(*step).max(1)), found);
        if found.is_none() && body_kind == BodyKind::EightBitMime {
            let ends = octets.windows(2).filter(|two| two == b"\r\n").count();
            let count = |end| octets.iter().filter(|&&octet| octet == end).count();
            assert_eq!((count(b'\n'), count(b'\r'), count(0)), (ends, ends, 0));
        }
    }
});
