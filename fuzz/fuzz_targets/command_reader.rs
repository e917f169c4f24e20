//! Lines and the session: whatever comes, replies are whole lines of bounded length, nothing that
//! the client sent stands in them, and the same octets in other segments give the same replies.
#![no_main]

use std::sync::Arc;

use gopherpost::mail::Domain;
use gopherpost::smtp::server::{
    LineReader, MailIntake, Next, Rules, SenderPolicy, Session, SessionLimits, Split,
};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|input: &[u8]| {
    let Some((step, octets)) = input.split_first() else {
        return;
    };
    let whole = replies(octets, octets.len().max(1));
    assert_eq!(replies(octets, usize::from(*step).max(1)), whole);
    for line in whole.split_inclusive(|&octet| octet == b'\n') {
        assert!(line.ends_with(b"\r\n") && line.len() <= 512);
        let text = &line[..line.len() - 2];
        assert!(text.iter().all(|octet| (b' '..=b'~').contains(octet)));
    }
});

/// What is answered when the octets come in pieces of `step`; message data count for nothing here.
fn replies(octets: &[u8], step: usize) -> Vec<u8> {
    let limits = SessionLimits {
        mails_max: 100,
        errors_max: 50,
    };
    let name = Domain::parse("gp.test").expect("a name");
    let rules = Rules::new(name, "ready", 1_000_000, 10, limits, SenderPolicy::Any);
    let rules = Arc::new(rules);
    let (mut session, mut lines) = (Session::new(Arc::clone(&rules)), LineReader::new(2_048));
    let (mut unread, mut out) = (Vec::new(), Vec::new());
    for piece in octets.chunks(step) {
        unread.extend_from_slice(piece);
        loop {
            let (consumed, split) = lines.next(&unread);
            let step = match split {
                Split::Line(line) => Some(session.line(line, MailIntake::Open)),
                Split::Fault(fault) => Some(session.fault(fault)),
                Split::NeedMore => None,
                Split::Flood => return out,
            };
            unread.drain(..consumed);
            let Some(step) = step else { break };
            rules.write(step.reply, &mut out);
            match step.next {
                Next::Command | Next::Data(_) | Next::Chunk(_) => {}
                Next::StartTls | Next::Authenticate(_) => {}
                Next::Close => return out,
                Next::GiveUp(say) => {
                    say.write(&mut out);
                    return out;
                }
            }
        }
        assert!(unread.len() < 2_048);
    }
    out
}
