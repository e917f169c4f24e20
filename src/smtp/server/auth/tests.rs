//! Exchanges without a socket. In a script, lines are base64 of what is written.

use std::num::NonZeroU32;

use super::*;

const SERVER_NONCE: &str = "%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0";
const CLIENT_FIRST: &str = "n,,n=user,r=rOprNGfwEbeRWgbNEkqO";
const SERVER_FIRST: &str =
    "r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0,s=W22ZaJ0SNY7soEsUEjb6gQ==,i=4096";
const NONCE: &str = "rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0";
const PROOF: &str = "dHzbZapWIk4jUhN+Ute9ytag9zjfMHgsqmmiz7AndVQ=";
const SERVER_FINAL: &str = "v=6rriTRBi23WpRR/wtup+mMhUZUn/dB5nLTJRsjl95G4=";
const CHANNEL: &[u8] = &[7; 32];

fn exchange(mechanism: Mechanism, in_tls: bool) -> Exchange {
    let facts = ScramFacts {
        nonce: SERVER_NONCE.into(),
        channel_binding: in_tls.then(|| CHANNEL.into()),
    };
    Exchange::new(mechanism, facts)
}

/// The keys of RFC 7677 3, for whoever asks.
fn keys(_user: &[u8]) -> ScramKeys {
    let salt = STANDARD.decode("W22ZaJ0SNY7soEsUEjb6gQ==").unwrap();
    ScramKeys::derive(b"pencil", &salt, NonZeroU32::new(4096).unwrap())
}

/// What came of the last line; `first` is the initial response.
fn play(exchange: &mut Exchange, first: Option<&[u8]>, lines: &[&[u8]]) -> String {
    let first = first.map(|first| STANDARD.encode(first));
    let first = first.as_ref().map(|first| match &**first {
        "" => &b"="[..],
        text => text.as_bytes(),
    });
    let mut turn = exchange.begin(first, keys);
    for line in lines {
        turn = exchange.respond(STANDARD.encode(line).as_bytes(), keys);
    }
    match turn {
        Turn::Password(claim) => {
            let password = claim.password.escape_ascii().to_string();
            format!("{} {password}", claim.user.escape_ascii())
        }
        other => format!("{other:?}"),
    }
}

#[track_caller]
fn check(mechanism: Mechanism, first: Option<&[u8]>, lines: &[&[u8]], want: &str) {
    let got = play(&mut exchange(mechanism, false), first, lines);
    assert_eq!(got, want);
}

#[test]
fn plain_is_two_nuls_and_nobody_else() {
    // W-9.03, W-9.06
    let plain = |response: &[u8], want: &str| {
        check(Mechanism::Plain, Some(response), &[], want);
        check(Mechanism::Plain, None, &[response], want);
    };
    plain(b"\0ann\0secret", "ann secret");
    plain(b"ann\0ann\0secret", "ann secret");
    plain(b"\0ann\0", "ann ");
    plain(b"bob\0ann\0secret", "Failed(Refused)");
    plain(b"", "Failed(Malformed)");
    plain(b"ann\0secret", "Failed(Malformed)");
    plain(b"\0ann\0secret\0", "Failed(Malformed)");
    plain(b"ann", "Failed(Malformed)");
    check(Mechanism::Plain, None, &[], "Challenge()");
}

#[test]
fn login_asks_for_what_it_does_not_have() {
    // W-9.03
    let login = Mechanism::Login;
    check(login, None, &[], "Challenge(Username:)");
    check(login, None, &[b"ann"], "Challenge(Password:)");
    check(login, Some(b"ann"), &[], "Challenge(Password:)");
    check(login, None, &[b"ann", b"a\0b"], "ann a\\x00b");
    check(login, Some(b"ann"), &[b"secret"], "ann secret");
}

#[test]
fn base64_is_strict_and_a_star_ends_it() {
    // W-9.05, W-9.06
    #[track_caller]
    fn bad(line: &str, want: AuthFault) {
        for mechanism in [Mechanism::Plain, Mechanism::Login, Mechanism::ScramSha256] {
            let mut exchange = exchange(mechanism, false);
            let _ = exchange.begin(None, keys);
            let turn = exchange.respond(line.as_bytes(), keys);
            assert!(
                matches!(turn, Turn::Failed(fault) if fault == want),
                "{line}"
            );
            let again = exchange.respond(b"AGEAYg==", keys);
            assert!(matches!(again, Turn::Failed(_)), "{again:?}");
        }
    }
    bad("*", AuthFault::Cancelled);
    for line in [
        "**",
        "AGEAYg",
        "AGEAYg=",
        "AGEA Yg==",
        " AGEAYg==",
        "AGEAYg== ",
        "=",
        "AGEAYh==",
        "AGEAYg===",
        "AG\r\n",
        "AG-_",
        "A",
    ] {
        bad(line, AuthFault::Malformed);
    }
}

#[test]
fn scram_follows_the_example_of_the_rfc() {
    // W-9.04 (RFC 7677 3)
    let last = format!("c=biws,r={NONCE},p={PROOF}");
    let scram = Mechanism::ScramSha256;
    let (first, last) = (CLIENT_FIRST.as_bytes(), last.as_bytes());
    check(scram, None, &[], "Challenge()");
    check(scram, None, &[first], &format!("Challenge({SERVER_FIRST})"));
    check(
        scram,
        Some(first),
        &[last],
        &format!("Challenge({SERVER_FINAL})"),
    );
    check(scram, Some(first), &[last, b""], "Granted(user)");
    check(scram, Some(first), &[last, b"x"], "Failed(Malformed)");
}

#[test]
fn scram_takes_no_wrong_last_message() {
    // W-9.04
    #[track_caller]
    fn last(message: &str, want: &str) {
        let first = Some(CLIENT_FIRST.as_bytes());
        check(Mechanism::ScramSha256, first, &[message.as_bytes()], want);
    }
    let wrong = PROOF.replace("dHzb", "eHzb");
    last(&format!("c=biws,r={NONCE},p={wrong}"), "Failed(Refused)");
    last(&format!("c=biws,r={NONCE}x,p={PROOF}"), "Failed(Refused)");
    last(&format!("c=biws,r=rOpr,p={PROOF}"), "Failed(Refused)");
    last(&format!("c=eSws,r={NONCE},p={PROOF}"), "Failed(Refused)");
    last(
        &format!("c=biws,r={NONCE},x=1,p={PROOF}"),
        "Failed(Refused)",
    );
    for malformed in [
        format!("c=biws,r={NONCE}"),
        format!("c=biws,r={NONCE},p=AAAA"),
        format!("c=biws,r={NONCE},p=?"),
        format!("c=b,r={NONCE},p={PROOF}"),
        format!("r={NONCE},c=biws,p={PROOF}"),
        format!("p={PROOF}"),
        String::new(),
    ] {
        last(&malformed, "Failed(Malformed)");
    }
}

#[test]
fn scram_reads_first_messages_strictly() {
    // W-9.04, W-9.06
    #[track_caller]
    fn first(plus: bool, in_tls: bool, message: &str, want: &str) {
        let mechanism = if plus {
            Mechanism::ScramSha256Plus
        } else {
            Mechanism::ScramSha256
        };
        let got = play(
            &mut exchange(mechanism, in_tls),
            Some(message.as_bytes()),
            &[],
        );
        assert!(got.starts_with(want), "{message}: {got}");
    }
    first(false, false, "y,,n=user,r=abc", "Challenge(r=abc%hv");
    first(false, true, "n,,n=user,r=abc", "Challenge(r=abc%hv");
    first(false, false, "n,a=us=2Cer,n=us=2Cer,r=abc", "Challenge");
    first(false, false, "n,,n=user,r=abc,x=1", "Challenge");
    first(true, true, "p=tls-exporter,,n=user,r=abc", "Challenge");
    // -PLUS was offered, so somebody took it out of EHLO.
    first(false, true, "y,,n=user,r=abc", "Failed(Refused)");
    first(
        false,
        true,
        "p=tls-exporter,,n=user,r=abc",
        "Failed(Refused)",
    );
    first(true, true, "n,,n=user,r=abc", "Failed(Refused)");
    first(true, true, "p=tls-unique,,n=user,r=abc", "Failed(Refused)");
    first(false, false, "n,a=other,n=user,r=abc", "Failed(Refused)");
    for message in [
        "",
        "n",
        "n,,",
        "x,,n=user,r=abc",
        "n,,n=user",
        "n,,n=,r=abc",
        "n,,n=user,r=",
        "n,,n=user,r=a\u{7f}",
        "n,,r=abc,n=user",
        "n,,m=x,n=user,r=abc",
        "n,,n=us=er,r=abc",
        "n,,n=us=2c,r=abc",
        "n,user,n=user,r=abc",
    ] {
        first(false, false, message, "Failed(Malformed)");
    }
}

#[test]
fn scram_plus_is_bound_to_its_channel() {
    // W-9.04
    let play_with = |channel: &[u8]| {
        let header = "p=tls-exporter,,";
        let bare = "n=user,r=abc";
        let binding = STANDARD.encode([header.as_bytes(), channel].concat());
        let without_proof = format!("c={binding},r=abc{SERVER_NONCE}");
        let server_first = format!("r=abc{SERVER_NONCE},s=W22ZaJ0SNY7soEsUEjb6gQ==,i=4096");
        let message = format!("{bare},{server_first},{without_proof}");
        let proof = STANDARD.encode(client_proof(b"pencil", message.as_bytes()));
        let last = format!("{without_proof},p={proof}");
        let first = format!("{header}{bare}");
        let mut exchange = exchange(Mechanism::ScramSha256Plus, true);
        play(
            &mut exchange,
            Some(first.as_bytes()),
            &[last.as_bytes(), b""],
        )
    };
    assert_eq!(play_with(CHANNEL), "Granted(user)");
    assert_eq!(play_with(&[8; 32]), "Failed(Malformed)"); // its empty line comes to nothing
    assert_eq!(play_with(b""), "Failed(Malformed)");
}

fn client_proof(password: &[u8], message: &[u8]) -> Vec<u8> {
    use ring::{digest, hmac, pbkdf2};
    let salt = STANDARD.decode("W22ZaJ0SNY7soEsUEjb6gQ==").unwrap();
    let sign = |key: &[u8], text: &[u8]| hmac::sign(&hmac::Key::new(hmac::HMAC_SHA256, key), text);
    let mut salted = [0; 32];
    let rounds = NonZeroU32::new(4096).unwrap();
    pbkdf2::derive(
        pbkdf2::PBKDF2_HMAC_SHA256,
        rounds,
        &salt,
        password,
        &mut salted,
    );
    let client_key = sign(&salted, b"Client Key");
    let stored_key = digest::digest(&digest::SHA256, client_key.as_ref());
    let signature = sign(stored_key.as_ref(), message);
    let pairs = client_key.as_ref().iter().zip(signature.as_ref());
    pairs.map(|(a, b)| a ^ b).collect()
}

#[test]
fn only_what_is_usable_has_a_name() {
    // W-9.01, W-9.08
    let names = |mechanisms: Mechanisms| {
        let names: Vec<&str> = mechanisms.iter().map(Mechanism::name).collect();
        names.join(" ")
    };
    let mechanisms = |scram, scram_plus| Mechanisms { scram, scram_plus };
    assert_eq!(names(mechanisms(false, false)), "PLAIN LOGIN");
    assert_eq!(names(mechanisms(true, false)), "PLAIN LOGIN SCRAM-SHA-256");
    assert_eq!(
        names(mechanisms(true, true)),
        "PLAIN LOGIN SCRAM-SHA-256 SCRAM-SHA-256-PLUS"
    );
    let some = mechanisms(true, false);
    assert_eq!(some.named(b"plain"), Some(Mechanism::Plain));
    assert_eq!(some.named(b"scram-sha-256"), Some(Mechanism::ScramSha256));
    for name in ["SCRAM-SHA-256-PLUS", "CRAM-MD5", "PLAI", "PLAINX", ""] {
        assert_eq!(some.named(name.as_bytes()), None, "{name}");
    }
}

#[test]
fn nothing_of_a_password_is_shown() {
    let start = AuthStart {
        mechanism: Mechanism::Plain,
        initial: Some(b"hunter2".as_slice().into()),
    };
    let claim = Turn::Password(PasswordClaim {
        user: b"ann".as_slice().into(),
        password: b"hunter2".as_slice().into(),
    });
    let shown = format!("{start:?} {claim:?}");
    assert!(
        shown.contains("ann") && !shown.contains("hunter2"),
        "{shown}"
    );
}
