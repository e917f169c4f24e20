//! Message data: any cutting gives the same message, what is kept is within the limit, and a message
//! that is taken holds no line end but CRLF and no NUL.
#![no_main]

use gopherpost::smtp::data_decoder::{DataDecoder, DataFault, DataLimits};
use libfuzzer_sys::fuzz_target;

const BYTES_MAX: u64 = 1_000;
const LIMITS: DataLimits = DataLimits {
    message_bytes_max: BYTES_MAX,
    line_bytes_max: Some(100),
};

fuzz_target!(|input: &[u8]| {
    let Some((step, octets)) = input.split_first() else {
        return;
    };
    let whole = read(octets, octets.len().max(1));
    assert_eq!(read(octets, usize::from(*step).max(1)), whole);
    let (text, _, _, fault) = whole;
    if fault.is_none() {
        assert!(text.len() as u64 <= BYTES_MAX && !text.contains(&0));
        let ends = text.windows(2).filter(|two| two == b"\r\n").count();
        let count = |end| text.iter().filter(|&&octet| octet == end).count();
        let cut_off = usize::from(text.ends_with(b"\r")); // the data have not ended
        assert_eq!((count(b'\n'), count(b'\r')), (ends, ends + cut_off));
    }
});

/// Text, octets used, whether it ended, and what is wrong.
fn read(octets: &[u8], step: usize) -> (Vec<u8>, usize, bool, Option<DataFault>) {
    let mut decoder = DataDecoder::new(LIMITS);
    let (mut text, mut used, mut ended) = (Vec::new(), 0, false);
    for piece in octets.chunks(step) {
        let decoded = decoder.decode(piece, |kept| text.extend_from_slice(kept));
        used += decoded.consumed;
        ended = decoded.ended;
        if ended {
            break;
        }
        assert_eq!(decoded.consumed, piece.len());
    }
    let fault = decoder.fault().filter(|_| ended);
    if !ended || fault.is_some() {
        text.clear(); // how much of what is refused was given out is nobody's business
    }
    (text, used, ended, fault)
}
