//! Exchanges as dialogues: what is said, and what came of it.

use super::super::reply_reader::ReplyReader;
use super::*;

const NONCE: &str = "rOprNGfwEbeRWgbNEkqO";
/// RFC 7677 3.
const SERVER_FIRST: &str =
    "r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0,s=W22ZaJ0SNY7soEsUEjb6gQ==,i=4096";
const CLIENT_FINAL: &str = "c=biws,r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0,\
                            p=dHzbZapWIk4jUhN+Ute9ytag9zjfMHgsqmmiz7AndVQ=";
const SERVER_FINAL: &str = "v=6rriTRBi23WpRR/wtup+mMhUZUn/dB5nLTJRsjl95G4=";

/// Plays the host's replies; gives every line of ours, and at the end what came of it.
fn play(mechanism: ClientMechanism, user: &str, password: &str, replies: &[&str]) -> Vec<String> {
    let (mut exchange, line) = AuthExchange::begin(mechanism, user, password, NONCE);
    let mut said = vec![text(&line)];
    for reply in replies {
        let octets = format!("{reply}\r\n");
        let mut input = octets.as_bytes();
        let reply = ReplyReader::new().take(&mut input).unwrap().unwrap();
        match exchange.take(&reply) {
            Ok(AuthTurn::Send(line)) => said.push(text(&line)),
            Ok(AuthTurn::Done) => said.push("done".to_owned()),
            Err(fault) => said.push(fault.to_string()),
        }
    }
    said
}

/// A line with what is in base64 decoded, NULs as dots.
fn text(line: &[u8]) -> String {
    let line = std::str::from_utf8(line).unwrap();
    let line = line.strip_suffix("\r\n").expect("CRLF");
    let decoded = |text: &str| {
        let octets = STANDARD.decode(text).unwrap();
        String::from_utf8(octets).unwrap().replace('\0', ".")
    };
    match line.split(' ').collect::<Vec<_>>()[..] {
        [response] => decoded(response),
        [auth, name, response] => format!("{auth} {name} {}", decoded(response)),
        _ => line.to_owned(),
    }
}

fn challenge(text: &str) -> String {
    format!("334 {}", STANDARD.encode(text))
}

#[track_caller]
fn check(mechanism: ClientMechanism, replies: &[&str], want: &[&str]) {
    assert_eq!(play(mechanism, "user", "pencil", replies), want);
}

#[test]
fn plain_is_said_at_once() {
    // W-19.04
    let auth = "AUTH PLAIN .user.pencil";
    check(ClientMechanism::Plain, &["235 ok"], &[auth, "done"]);
    check(
        ClientMechanism::Plain,
        &["535 5.7.8 no"],
        &[auth, "535 5.7.8 no"],
    );
    let nonsense = "the remote host sent a challenge that does not belong to PLAIN";
    check(ClientMechanism::Plain, &["334 "], &[auth, nonsense]);
}

#[test]
fn a_long_response_is_not_in_the_command() {
    // RFC 4954 4
    for (len, lines) in [(366, 2), (367, 3)] {
        let password = "p".repeat(len);
        let mut replies = vec!["334 ", "235 ok"];
        if lines == 2 {
            replies.remove(0);
        }
        let said = play(ClientMechanism::Plain, "user", &password, &replies);
        assert_eq!(said.len(), lines, "{said:?}");
        let response = format!(".user.{password}");
        assert!(said.iter().any(|line| line.ends_with(&response)));
        assert_eq!(said[0] == "AUTH PLAIN", lines == 3);
    }
}

#[test]
fn login_gives_name_and_password_in_turn_whatever_it_is_asked() {
    // W-19.04
    let want = ["AUTH LOGIN", "user", "pencil", "done"];
    for prompts in [
        ["334 VXNlcm5hbWU6", "334 UGFzc3dvcmQ6"],
        ["334 ", "334 "],
        ["334", "334 what?"],
    ] {
        check(
            ClientMechanism::Login,
            &[prompts[0], prompts[1], "235 ok"],
            &want,
        );
    }
    check(
        ClientMechanism::Login,
        &["334 ", "235 ok"],
        &[
            "AUTH LOGIN",
            "user",
            "the remote host sent a reply that has no meaning at this place",
        ],
    );
}

#[test]
fn scram_is_as_in_its_rfc() {
    // W-19.04 (RFC 7677 3)
    check(
        ClientMechanism::ScramSha256,
        &[&challenge(SERVER_FIRST), &challenge(SERVER_FINAL), "235 ok"],
        &[
            "AUTH SCRAM-SHA-256 n,,n=user,r=rOprNGfwEbeRWgbNEkqO",
            CLIENT_FINAL,
            "",
            "done",
        ],
    );
    let named = play(ClientMechanism::ScramSha256, "a,b=c", "x", &[]);
    assert_eq!(
        named,
        ["AUTH SCRAM-SHA-256 n,,n=a=2Cb=3Dc,r=rOprNGfwEbeRWgbNEkqO"]
    );
}

#[test]
fn a_scram_host_must_prove_itself() {
    // W-19.04
    let last = |replies: &[&str]| {
        let said = play(ClientMechanism::ScramSha256, "user", "pencil", replies);
        said.last().unwrap().clone()
    };
    let first = challenge(SERVER_FIRST);
    let unproven =
        "the remote host did not prove that it knows the password, as SCRAM-SHA-256 demands";
    assert_eq!(last(&["235 ok"]), unproven);
    assert_eq!(last(&[&first, "235 ok"]), unproven);
    let other = SERVER_FINAL.replace("v=6", "v=7");
    assert_eq!(last(&[&first, &challenge(&other)]), unproven);
    assert_eq!(last(&[&first, &challenge("e=other-error")]), unproven);
    assert_eq!(last(&[&first, "535 5.7.8 no"]), "535 5.7.8 no");
}

#[test]
fn a_scram_challenge_is_whole_and_of_bearable_cost() {
    let last = |first: &str| {
        let replies = [&*challenge(first)];
        let said = play(ClientMechanism::ScramSha256, "user", "pencil", &replies);
        said.last().unwrap().clone()
    };
    let nonsense = "the remote host sent a challenge that does not belong to SCRAM-SHA-256";
    for first in [
        "",
        "r=rOprNGfwEbeRWgbNEkqO,s=AAAA,i=4096", // nothing of the host's own
        "r=otherNGfwEbeRWgbNEkqO,s=AAAA,i=4096",
        "r=rOprNGfwEbeRWgbNEkqOx,s=*,i=4096",
        "r=rOprNGfwEbeRWgbNEkqOx,s=AAAA",
        "m=x,r=rOprNGfwEbeRWgbNEkqOx,s=AAAA,i=4096",
        "r=rOprNGfwEbeRWgbNEkqO\u{1},s=AAAA,i=4096",
    ] {
        assert_eq!(last(first), nonsense, "{first}");
    }
    for rounds in ["0", "4095", "1000001", "99999999999", "x", ""] {
        let first = format!("r=rOprNGfwEbeRWgbNEkqOx,s=AAAA,i={rounds}");
        let want = format!("the remote host wants {rounds} rounds of hashing for SCRAM-SHA-256");
        assert_eq!(last(&first), want);
    }
    let said = play(ClientMechanism::ScramSha256, "user", "pencil", &["334 *"]);
    assert_eq!(said[1], nonsense);
}

#[test]
fn the_best_mechanism_that_is_offered_is_used() {
    // W-19.04
    #[track_caller]
    fn check(offered: &str, want: Option<&str>) {
        let best = OfferedMechanisms::parse(offered.split(' ')).best();
        assert_eq!(best.map(ClientMechanism::name), want);
    }
    check("PLAIN LOGIN SCRAM-SHA-256", Some("SCRAM-SHA-256"));
    check("login plain", Some("PLAIN"));
    check("CRAM-MD5 XOAUTH2 Login", Some("LOGIN"));
    check("CRAM-MD5 SCRAM-SHA-1 SCRAM-SHA-256-PLUS", None);
    check("", None);
}
