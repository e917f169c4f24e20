//! Messages in, messages in 7 bits out; another parser holds both against each other.

use mail_parser::{MessageParser, PartType};
use proptest::prelude::*;

use super::*;

fn survey(message: &[u8], size: usize) -> Result<Plan, Obstacle> {
    let mut survey = Survey::new();
    for piece in message.chunks(size) {
        survey.feed(piece)?;
    }
    survey.finish()
}

/// In pieces of any size it must come out the same.
fn rewrite(message: &[u8]) -> Result<Vec<u8>, Obstacle> {
    let plan = survey(message, 4_096);
    assert_eq!(survey(message, message.len().max(1)), plan);
    let plan = plan?;
    let mut whole = Vec::new();
    for size in [4_096, 1, 7] {
        assert_eq!(survey(message, size).as_ref(), Ok(&plan));
        let (mut rewriter, mut out) = (Rewriter::new(&plan), Vec::new());
        for piece in message.chunks(size) {
            rewriter.feed(piece, &mut out)?;
        }
        rewriter.finish(&mut out)?;
        if size == 4_096 {
            whole = out;
        } else {
            assert_eq!(out, whole, "in pieces of {size}");
        }
    }
    assert!(whole.is_ascii());
    Ok(whole)
}

#[track_caller]
fn check(message: &str, want: &str) {
    let got = rewrite(message.replace('\n', "\r\n").as_bytes());
    let got = String::from_utf8(got.expect("it can be done")).unwrap();
    assert_eq!(got.replace("\r\n", "\n"), want);
    assert_eq!(same(&message.replace('\n', "\r\n")), same(&got));
}

/// What another parser makes of it: the leaves, decoded, and the types above them.
fn same(message: &str) -> Vec<(String, Vec<u8>)> {
    leaves(message.as_bytes())
}

fn leaves(message: &[u8]) -> Vec<(String, Vec<u8>)> {
    let message = MessageParser::new().parse(message).expect("a message");
    let mut found = Vec::new();
    collect(&message, &mut found);
    found
}

fn collect(message: &mail_parser::Message<'_>, found: &mut Vec<(String, Vec<u8>)>) {
    for part in &message.parts {
        match &part.body {
            PartType::Message(inner) => collect(inner, found),
            PartType::Multipart(parts) => found.push((format!("{} parts", parts.len()), vec![])),
            PartType::Text(_)
            | PartType::Html(_)
            | PartType::Binary(_)
            | PartType::InlineBinary(_) => {
                let octets = part.contents().to_vec();
                let octets = octets.strip_suffix(b"\r\n").unwrap_or(&octets).to_vec();
                found.push(("leaf".into(), octets));
            }
        }
    }
}

#[test]
fn a_text_becomes_quoted_printable_and_stays_readable() {
    check(
        "Subject: hello\nMIME-Version: 1.0\nContent-Type: text/plain; charset=utf-8\n\
         Content-Transfer-Encoding: 8bit\n\nSch\u{f6}ne Gr\u{fc}\u{df}e = \n.\n\nAnn, and a long line of nothing\n",
        "Subject: hello\nMIME-Version: 1.0\nContent-Type: text/plain; charset=utf-8\n\
         Content-Transfer-Encoding: quoted-printable\n\nSch=C3=B6ne Gr=C3=BC=C3=9Fe =3D=20\n.\n\nAnn, and a long line of nothing\n",
    );
}

#[test]
fn a_message_that_is_no_mime_says_no_more_than_is_known() {
    let got = rewrite(b"Subject: x\r\n\r\na long enough line of ascii, gr\xfc\xdfe").unwrap();
    assert_eq!(
        String::from_utf8(got).unwrap(),
        "Subject: x\r\nMIME-Version: 1.0\r\nContent-Type: text/plain; charset=unknown-8bit\r\n\
         Content-Transfer-Encoding: quoted-printable\r\n\r\na long enough line of ascii, gr=FC=DFe"
    );
}

#[test]
fn only_parts_with_8_bits_are_touched() {
    check(
        "MIME-Version: 1.0\nContent-Type: multipart/mixed; boundary=\"=b\"\nContent-Transfer-Encoding: 8bit\n\n\
         preamble\n--=b\nX: kept  \n\n  as it is \t\n--=b  \nContent-Type: text/plain\nContent-Transfer-Encoding: 8bit\n\nascii\n\
         --=b\nContent-Type: image/x\nContent-Transfer-Encoding: 8bit\n\n\u{20ac}\u{20ac}\u{20ac}\n\u{20ac}\n\
         --=b\nContent-Type: message/rfc822\nContent-Transfer-Encoding: 8bit\n\nSubject: inner\n\ninner text, gr\u{fc}n\n\n--=b--\nepilogue\n",
        "MIME-Version: 1.0\nContent-Type: multipart/mixed; boundary=\"=b\"\nContent-Transfer-Encoding: 7bit\n\n\
         preamble\n--=b\nX: kept  \n\n  as it is \t\n--=b  \nContent-Type: text/plain\nContent-Transfer-Encoding: 7bit\n\nascii\n\
         --=b\nContent-Type: image/x\nContent-Transfer-Encoding: base64\n\n4oKs4oKs4oKsDQrigqw=\n\
         --=b\nContent-Type: message/rfc822\nContent-Transfer-Encoding: 7bit\n\nSubject: inner\nMIME-Version: 1.0\n\
         Content-Type: text/plain; charset=unknown-8bit\nContent-Transfer-Encoding: quoted-printable\n\ninner text, gr=C3=BCn\n\n--=b--\nepilogue\n",
    );
}

#[test]
fn multiparts_inside_of_each_other_end_with_the_outer_delimiter() {
    check(
        "Content-Type: multipart/mixed; boundary=a\n\n--a\nContent-Type: multipart/digest; boundary=ab\n\n\
         --ab\n\nSubject: one\n\nf\u{fc}r eine Nachricht in einem Digest\n--ab\nContent-Type: text/plain\n\nplain gr\u{fc}n, and quite some more\n\
         --a\n\n--ab\n--a--\n",
        "Content-Type: multipart/mixed; boundary=a\n\n--a\nContent-Type: multipart/digest; boundary=ab\n\n\
         --ab\n\nSubject: one\nMIME-Version: 1.0\nContent-Type: text/plain; charset=unknown-8bit\n\
         Content-Transfer-Encoding: quoted-printable\n\nf=C3=BCr eine Nachricht in einem Digest\n--ab\nContent-Type: text/plain\n\
         Content-Transfer-Encoding: quoted-printable\n\nplain gr=C3=BCn, and quite some more\n--a\n\n--ab\n--a--\n",
    );
}

#[test]
fn base64_keeps_the_last_line_end_of_a_whole_message() {
    let got = rewrite("Content-Type: text/plain\r\n\r\n\u{20ac}\r\n".as_bytes()).unwrap();
    assert!(got.ends_with(b"base64\r\n\r\n4oKsDQo=\r\n"));
}

#[test]
fn a_line_of_any_length_comes_out_the_same_in_any_pieces() {
    let long = "all ascii but for gr\u{fc}n ".repeat(1_000);
    check_leaves(&format!("A: b\r\n\r\n{long}\r\n{long}"));
    check_leaves(&format!("A: b\r\n\r\n{}", "\u{fc}".repeat(10_000)));
}

#[track_caller]
fn check_leaves(message: &str) {
    let got = rewrite(message.as_bytes()).expect("it can be done");
    assert_eq!(leaves(message.as_bytes()), leaves(&got));
}

#[test]
fn what_is_sealed_passes_as_it_is_if_it_can() {
    let signed = "Content-Type: multipart/mixed; boundary=o\n\n--o\nContent-Type: multipart/signed; boundary=s\n\n\
                  --s\nContent-Transfer-Encoding: 8bit\n\nascii\n--s--\n--o\n\nthe rest is gr\u{fc}n but for most of it\n--o--\n";
    check(
        signed,
        &signed.replace(
            "\n--o\n\nthe rest is gr\u{fc}n",
            "\n--o\nContent-Type: text/plain; charset=unknown-8bit\n\
        Content-Transfer-Encoding: quoted-printable\n\nthe rest is gr=C3=BCn",
        ),
    );
}

#[test]
fn what_cant_be_done_is_not_done() {
    #[track_caller]
    fn check(message: &str, want: Obstacle) {
        let message = message.replace('\n', "\r\n");
        assert_eq!(rewrite(message.as_bytes()), Err(want), "{message}");
    }
    check("Subject: gr\u{fc}n\n\nx", Obstacle::HeaderIs8Bit);
    check(
        "Content-Type: multipart/mixed; boundary=a\n\n--a\nX: \u{fc}\n\nx\n--a--\n",
        Obstacle::HeaderIs8Bit,
    );
    check(
        "Content-Type: message/rfc822\n\nSubject: \u{fc}\n\nx",
        Obstacle::HeaderIs8Bit,
    );
    check(
        "Content-Type: multipart/mixed\n\n\u{fc}",
        Obstacle::Malformed,
    );
    check("no field\n\n\u{fc}", Obstacle::Malformed);
    check(" folded\nX: y\n\n\u{fc}", Obstacle::Malformed);
    check(
        "Content-Type: multipart/signed; boundary=a\n\n--a\n\n\u{fc}\n--a--\n",
        Obstacle::Sealed,
    );
    check(
        "Content-Transfer-Encoding: base64\n\n\u{fc}",
        Obstacle::NoPlace,
    );
    check(
        "Content-Transfer-Encoding: x-odd\n\n\u{fc}",
        Obstacle::NoPlace,
    );
    check("Content-Type: message/partial\n\n\u{fc}", Obstacle::NoPlace);
    check(
        "Content-Type: multipart/mixed; boundary=a\n\n\u{fc}\n--a--\n",
        Obstacle::NoPlace,
    );
    check(
        "Content-Type: multipart/mixed; boundary=a\n\n--a--\n\u{fc}\n",
        Obstacle::NoPlace,
    );
    check(
        &format!("X: {}\n\n\u{fc}", "x".repeat(200_000)),
        Obstacle::TooLarge,
    );
    let deep: String = (0..200)
        .map(|n| format!("Content-Type: multipart/mixed; boundary=b{n}x\n\n--b{n}x\n"))
        .collect();
    check(&format!("{deep}\n\u{fc}"), Obstacle::TooLarge);
    check(
        &"Content-Type: message/rfc822\n\n".repeat(200),
        Obstacle::TooLarge,
    );
    let blanks = " ".repeat(5_000);
    check(
        &format!("Content-Type: multipart/mixed; boundary=a\n\n--a\n\n\u{fc}\n--a{blanks}x\n"),
        Obstacle::TooLarge,
    );
    let many = "--a\n\nx\n".repeat(10_001);
    check(
        &format!("Content-Type: multipart/mixed; boundary=a\n\n{many}"),
        Obstacle::TooLarge,
    );
}

#[test]
fn another_message_than_the_planned_one_never_leaves_in_8_bits() {
    let plan = survey(b"A: b\r\n\r\nascii\r\n", 9).unwrap();
    let mut out = Vec::new();
    let fed = Rewriter::new(&plan).feed("A: b\r\n\r\n\u{fc}\r\n".as_bytes(), &mut out);
    assert_eq!(fed, Err(Obstacle::NoPlace));
    assert!(out.is_ascii());
}

/// What a message may be made of.
const ODDS: &[&[u8]] = &[
    b"Content-Type: multipart/mixed; boundary=a\r\n",
    b"Content-Type: message/rfc822\r\n",
    b"Content-Transfer-Encoding: 8bit\r\n",
    b"\r\n",
    b"--a\r\n",
    b"--a--\r\n",
    b"\xfc",
    b"x\r\n",
    b"\n",
    b"\r",
    b" ",
    b"--",
    b"a",
    b"X: y\r\n",
];

proptest! {
    #![proptest_config(ProptestConfig::with_cases(300))]

    #[test]
    fn parts_of_any_octets_come_out_equal(
        parts in prop::collection::vec(
            (prop::bool::ANY, prop::collection::vec("[ -~\u{e4}-\u{fc}=\t]{0,90}|-{2}b|\\.|", 0..6)),
            1..5,
        ),
    ) {
        let mut message = String::from("MIME-Version: 1.0\r\nContent-Type: multipart/mixed; boundary=bound\r\n\r\n");
        for (is_text, lines) in &parts {
            let kind = if *is_text { "text/plain; charset=utf-8" } else { "image/png" };
            message += &format!("--bound\r\nContent-Type: {kind}\r\nContent-Transfer-Encoding: 8bit\r\n\r\n{}\r\n", lines.join("\r\n"));
        }
        message += "--bound--\r\n";
        let got = rewrite(message.as_bytes()).expect("it can be done");
        prop_assert!(got.split(|&octet| octet == b'\n').all(|line| line.len() <= 998));
        prop_assert_eq!(leaves(message.as_bytes()), leaves(&got));
    }

    #[test]
    fn no_octets_at_all_make_it_panic_or_leave_8_bits(
        pieces in prop::collection::vec(prop::sample::select(ODDS), 0..40),
    ) {
        let _ = rewrite(&pieces.concat()); // looks for itself
    }
}
