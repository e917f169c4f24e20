//! smtp-source, Postfix's load generator: many sessions at once.

use std::collections::BTreeMap;
use std::net::SocketAddr;

use super::program;
use crate::support::{Fields, World, same_octets};

/// Messages of one trial.
const MESSAGES: usize = 2_000;

/// After so many arrived, the deadline begins anew: all of them may take longer than one wait.
const STEP: usize = 100;

/// Fields whose values smtp-source makes anew for each message.
const VARYING: [&str; 2] = ["Date", "Message-Id"];

#[tokio::test]
async fn messages_of_a_connection_each_arrive_once_octet_for_octet() {
    // W-5.10
    if program::asked_for() {
        arrive_once_octet_for_octet("").await;
    }
}

#[tokio::test]
async fn messages_over_kept_connections_arrive_once_octet_for_octet() {
    // W-5.10
    if program::asked_for() {
        arrive_once_octet_for_octet("-d").await;
    }
}

/// What arrives through the relay is held against what a remote host gets straight from smtp-source.
async fn arrive_once_octet_for_octet(further_arguments: &str) {
    let world = World::new().await;
    let bare = world.remote_without_dns().await;
    smtp_source(bare.address(), 1, "").await;
    let sent = bare.message().await;

    let mx = world.remote("dest.test").await;
    let relay = world.relay().address();
    smtp_source(relay, MESSAGES, further_arguments).await;
    for count in (STEP..=MESSAGES).step_by(STEP) {
        mx.transactions_seen(count).await;
    }
    mx.received_exactly(MESSAGES).await;

    let wanted = without_values(sent.octets());
    let mut recipients = BTreeMap::new();
    for message in mx.messages() {
        let arrived = message.below_our_trace_fields(sent.octets());
        same_octets(without_values(arrived), &wanted);
        *recipients.entry(message.to().join(" ")).or_insert(0) += 1;
    }
    let each_once = (1..=MESSAGES).map(|number| (format!("{number}bob@dest.test"), 1));
    assert_eq!(
        recipients,
        each_once.collect(),
        "how often each recipient got his message (left), and should have (right)"
    );
}

/// `-N` gives each message a recipient of its own, `1bob@dest.test` and so on.
async fn smtp_source(to: SocketAddr, messages: usize, further_arguments: &str) {
    let arguments = format!(
        "-s 20 -m {messages} -l 4096 -N -M client.test -f ann@gp.test -t bob@dest.test \
         {further_arguments} {to}"
    );
    program::run(program::command("smtp-source", "postfix", &arguments), b"").await;
}

/// The message, but with nothing where each has a value of its own.
fn without_values(message: &[u8]) -> Vec<u8> {
    let (header, length) = Fields::parse(message);
    let mut octets = Vec::with_capacity(message.len());
    for field in header.0 {
        if VARYING.contains(&field.name.as_str()) {
            octets.extend(format!("{}:\r\n", field.name).into_bytes());
        } else {
            octets.extend(field.octets);
        }
    }
    octets.extend(&message[length..]);
    octets
}

#[test]
fn only_what_varies_is_left_out_of_the_comparison() {
    let message = b"Date: today\r\nMessage-Id: <1@a>\r\nTo: b\r\n\r\nDate: x\r\n";
    let want = b"Date:\r\nMessage-Id:\r\nTo: b\r\n\r\nDate: x\r\n";
    same_octets(without_values(message), want);
}
