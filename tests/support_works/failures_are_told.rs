//! A claim that doesn't hold fails, also when it breaks only later; and what is needed to understand
//! a failure is kept.

use std::collections::HashSet;

use crate::support::{Gate, Port, Random, World, mail, reply};

#[tokio::test]
#[should_panic(expected = "should receive exactly 1, got 2 transactions")]
async fn a_duplicate_that_was_there_fails() {
    let world = World::setup().without_relay().await;
    let mx = world.remote("example.net").await;
    for _ in 0..2 {
        let sent = world.client_of(&mx).send(mail().to("a@example.net")).await;
        sent.refused(250);
    }
    mx.received_exactly(1).await;
}

#[tokio::test]
#[should_panic(expected = "should receive exactly 1, got 2 transactions")]
async fn a_duplicate_that_comes_later_fails_at_the_end() {
    let world = World::setup().without_relay().await;
    let mx = world.remote("example.net").await;
    for _ in 0..2 {
        let sent = world.client_of(&mx).send(mail().to("a@example.net")).await;
        sent.refused(250);
        if mx.messages().len() == 1 {
            mx.received_exactly(1).await;
        }
    }
}

#[tokio::test]
#[should_panic(expected = "should never be called, was 1 times")]
async fn a_connection_that_should_not_be_fails() {
    let world = World::setup().without_relay().await;
    let mx = world.remote("example.net").await;
    world.client_of(&mx).connect().await.close();
    mx.was_called(1).await;
    mx.never_called();
}

#[tokio::test]
#[should_panic(expected = "should be accepted, but \"RCPT TO:<a@example.net>\" got \"550 no\"")]
async fn a_refused_mail_tells_who_refused_what() {
    let world = World::setup().without_relay().await;
    let mx = world.remote("example.net").rcpt(["550 no"]).await;
    let sent = world.client_of(&mx).send(mail().to("a@example.net")).await;
    sent.accepted();
}

#[tokio::test]
async fn everybodys_words_are_kept_in_order() {
    let world = World::setup().without_relay().await;
    let mx = world.remote("example.net").await;
    let mut client = world.client_of(&mx).session().await;
    client.cmd("VRFY \x07\u{fc}").await.expect(252);
    client.quit().await;
    mx.ended(0).await;
    let told = world.told_so_far();
    let mut rest = told.as_str();
    for words in [
        "mx1.example.net * listens",
        "client 1 * connects",
        "client 1 > EHLO client.test⏎",
        "mx1.example.net #0 < EHLO client.test⏎",
        "client 1 > VRFY \\x07ü⏎",
        "client 1 < 252 2.0.0",
        "mx1.example.net #0 * ended: Quit",
    ] {
        let at = rest.find(words);
        let at = at.unwrap_or_else(|| panic!("{words:?} is missing in\n{told}"));
        rest = &rest[at..];
    }
}

#[test]
fn random_draws_repeat_with_their_seed() {
    let mut first = Random::from_seed(7);
    let mut second = Random::from_seed(first.seed());
    assert_eq!(first.octets(100), second.octets(100));
    let text = first.text(5_000);
    assert_eq!(text.len(), 5_000);
    assert!(text.ends_with(b"\r\n"));
    assert_eq!(first.cut(&text, 7).concat(), text);
}

#[test]
fn ports_are_never_given_twice() {
    let threads: Vec<_> = (0..8)
        .map(|_| std::thread::spawn(|| [(); 25].map(|()| Port::reserve())))
        .collect();
    let ports: Vec<Port> = threads
        .into_iter()
        .flat_map(|thread| thread.join().expect("ports"))
        .collect();
    let numbers: HashSet<u16> = ports.iter().map(Port::number).collect();
    assert_eq!(numbers.len(), 200);
}

#[tokio::test]
async fn whole_worlds_live_side_by_side() {
    let first = World::setup().without_relay().await;
    let second = World::setup().without_relay().await;
    let gate = Gate::new();
    let held = first
        .remote("example.net")
        .at("127.0.0.5")
        .greeting([reply("220 hi").behind(&gate)])
        .await;
    let free = second.remote("example.net").at("127.0.0.5").await;
    second.client_of(&free).session().await.quit().await;
    held.never_called();
}
