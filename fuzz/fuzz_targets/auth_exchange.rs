//! AUTH: any cutting of the client's lines gives the same ones, every exchange is over after a few
//! turns, and nobody gets through SCRAM without the password.
#![no_main]

use std::num::NonZeroU32;

use gopherpost::smtp::server::auth::{
    Exchange, Mechanism, ResponseFault, ResponseReader, ScramFacts, ScramKeys, Turn,
};
use libfuzzer_sys::fuzz_target;

/// More than any mechanism needs.
const TURNS_MAX: usize = 5;

fuzz_target!(|input: &[u8]| {
    let Some(([step, which], octets)) = input.split_first_chunk::<2>() else {
        return;
    };
    let lines = lines(octets, octets.len().max(1));
    assert_eq!(self::lines(octets, usize::from(*step).max(1)), lines);
    let mechanism = match which % 4 {
        0 => Mechanism::Plain,
        1 => Mechanism::Login,
        2 => Mechanism::ScramSha256,
        _ => Mechanism::ScramSha256Plus,
    };
    let scram = ScramFacts {
        nonce: "server".into(),
        channel_binding: Some(Box::new([7; 32])),
    };
    let keys = |_: &[u8]| ScramKeys::derive(b"secret", b"salt", NonZeroU32::MIN);
    let mut exchange = Exchange::new(mechanism, scram);
    let mut lines = lines.iter();
    let initial = if which & 4 == 0 { None } else { lines.next() };
    let mut turn = exchange.begin(initial.map(Vec::as_slice), keys);
    let mut turns = 1;
    while let Turn::Challenge(_) = turn {
        let Some(line) = lines.next() else { return };
        turn = exchange.respond(line, keys);
        turns += 1;
        assert!(turns <= TURNS_MAX);
    }
    assert!(!matches!(turn, Turn::Granted(_)));
});

/// The whole lines of `octets`, which come in pieces; those that are too long are left out.
fn lines(octets: &[u8], step: usize) -> Vec<Vec<u8>> {
    let (mut lines, mut reader) = (Vec::new(), ResponseReader::default());
    for mut piece in octets.chunks(step) {
        while !piece.is_empty() {
            let (used, line) = reader.feed(piece);
            piece = &piece[used..];
            match line {
                Some(Ok(line)) => lines.push(line),
                Some(Err(ResponseFault::TooLong)) => {}
                Some(Err(ResponseFault::Flood)) => return lines,
                None => continue,
            }
            reader = ResponseReader::default();
        }
    }
    lines
}
