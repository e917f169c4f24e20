//! What a remote host says: any cutting gives the same replies or the same fault, a reply is bounded and
//! safe to show, and whatever is offered leaves room for mail.
#![no_main]

use gopherpost::mail::limits::{REMOTE_REPLY_BYTES_MAX, REMOTE_REPLY_LINES_MAX};
use gopherpost::smtp::client::{Extensions, ProtocolFault, RemoteReply, ReplyReader};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|input: &[u8]| {
    let Some((step, octets)) = input.split_first() else {
        return;
    };
    let whole = replies(octets, octets.len().max(1));
    assert_eq!(replies(octets, usize::from(*step).max(1)), whole);
    for reply in &whole.0 {
        let octets: usize = reply.lines().map(<[u8]>::len).sum();
        assert!(octets <= REMOTE_REPLY_BYTES_MAX);
        assert!((1..=REMOTE_REPLY_LINES_MAX).contains(&reply.lines().count()));
        let shown = reply.to_reply().to_string();
        assert!(!shown.chars().any(char::is_control));
        let offered = Extensions::from_reply(reply);
        assert!(offered.recipients_max != Some(0) && offered.transactions_max != Some(0));
    }
});

/// The replies in octets that come in pieces of `step`, and what ended them.
fn replies(octets: &[u8], step: usize) -> (Vec<RemoteReply>, Option<ProtocolFault>) {
    let (mut reader, mut replies) = (ReplyReader::new(), Vec::new());
    for mut piece in octets.chunks(step) {
        loop {
            match reader.take(&mut piece) {
                Ok(Some(reply)) => replies.push(reply),
                Ok(None) => break,
                Err(fault) => return (replies, Some(fault)),
            }
        }
        assert!(piece.is_empty());
    }
    (replies, None)
}
