//! 8-bit messages for hosts that take 7 bits: any cutting gives the same plan and the same message, all
//! of it ASCII; what was re-encoded needs no second time; and a part decodes to what it was.
#![no_main]

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use gopherpost::message::{Plan, Rewriter, Survey};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|input: &[u8]| {
    let Some(([step, frame], octets)) = input.split_first_chunk::<2>() else {
        return;
    };
    let step = usize::from(*step).max(1);
    match frame % 3 {
        0 => {
            in_seven_bits(octets, step);
        }
        1 => {
            let got =
                in_seven_bits(&[b"A: b\r\n\r\n", octets].concat(), step).expect("it can be done");
            let (header, body) = cut(&got, b"\r\n\r\n").expect("a header");
            assert_eq!(decoded(header, body), octets);
        }
        _ => {
            if contains(octets, b"--=b") {
                return;
            }
            let message = [
                b"Content-Type: multipart/x; boundary=\"=b\"\r\n\r\n--=b\r\nA: b\r\n\r\n",
                octets,
                b"\r\n--=b--\r\n",
            ];
            let got = in_seven_bits(&message.concat(), step).expect("it can be done");
            let (_, part) = cut(&got, b"\r\n--=b\r\n").expect("a delimiter");
            let (header, body) = cut(part, b"\r\n\r\n").expect("a header");
            let (body, _) = cut(body, b"--=b--\r\n").expect("a delimiter");
            // A line end before a delimiter belongs to that; base64 has one of its own there.
            let body = body.strip_suffix(b"\r\n").unwrap_or(body);
            assert_eq!(decoded(header, body), octets);
        }
    }
});

/// The message in 7 bits, if that can be.
fn in_seven_bits(message: &[u8], step: usize) -> Option<Vec<u8>> {
    let plan = plan(message, message.len().max(1));
    assert_eq!(self::plan(message, step), plan);
    let plan = plan?;
    let got = rewritten(message, &plan, message.len().max(1));
    assert_eq!(rewritten(message, &plan, step), got);
    assert!(got.is_ascii());
    let again = self::plan(&got, step).expect("what we write can be read");
    assert_eq!(rewritten(&got, &again, step), got);
    Some(got)
}

fn plan(message: &[u8], step: usize) -> Option<Plan> {
    let mut survey = Survey::new();
    for piece in message.chunks(step) {
        survey.feed(piece).ok()?;
    }
    survey.finish().ok()
}

fn rewritten(message: &[u8], plan: &Plan, step: usize) -> Vec<u8> {
    let (mut rewriter, mut out) = (Rewriter::new(plan), Vec::new());
    for piece in message.chunks(step) {
        rewriter.feed(piece, &mut out).expect("the same message");
    }
    rewriter.finish(&mut out).expect("the same message");
    out
}

/// A decoder of its own, which takes nothing that RFC 2045 does not allow.
fn decoded(header: &[u8], body: &[u8]) -> Vec<u8> {
    if contains(header, b"Encoding: base64") {
        let lines = body.split(|&octet| octet == b'\n');
        let lines = lines.map(|line| line.strip_suffix(b"\r").unwrap_or(line));
        let text: Vec<u8> = lines
            .inspect(|line| assert!(line.len() <= 76))
            .flatten()
            .copied()
            .collect();
        return BASE64.decode(text).expect("base64");
    }
    if !contains(header, b"Encoding: quoted-printable") {
        return body.to_vec();
    }
    let (mut octets, mut rest) = (Vec::new(), Some(body));
    while let Some(text) = rest {
        let (line, behind) = match cut(text, b"\r\n") {
            Some((line, behind)) => (line, Some(behind)),
            None => (text, None),
        };
        rest = behind;
        assert!(line.len() <= 76 && !line.ends_with(b" ") && !line.ends_with(b"\t"));
        let (line, is_soft) = match line.strip_suffix(b"=") {
            Some(line) => (line, true),
            None => (line, false),
        };
        let mut at = line.iter();
        while let Some(&octet) = at.next() {
            octets.push(match octet {
                b'=' => {
                    let digits = [*at.next().expect("a digit"), *at.next().expect("a digit")];
                    let digits = std::str::from_utf8(&digits).expect("digits");
                    u8::from_str_radix(digits, 16).expect("digits")
                }
                b'\t' | b' '..=b'~' => octet,
                _ => panic!("{octet:#x} stands in quoted-printable"),
            });
        }
        assert!(!is_soft || rest.is_some());
        if !is_soft && rest.is_some() {
            octets.extend_from_slice(b"\r\n");
        }
    }
    octets
}

fn contains(octets: &[u8], what: &[u8]) -> bool {
    octets.windows(what.len()).any(|window| window == what)
}

/// What stands before and behind the first `at`.
fn cut<'a>(octets: &'a [u8], at: &[u8]) -> Option<(&'a [u8], &'a [u8])> {
    let found = octets.windows(at.len()).position(|window| window == at)?;
    Some((&octets[..found], &octets[found + at.len()..]))
}
