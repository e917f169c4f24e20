//! The property that nothing else may break: however a client's octets are cut into segments, the
//! session is the same, from the line reader through the session to the data decoder.

use std::sync::Arc;

use proptest::prelude::*;

use crate::mail::Domain;
use crate::smtp::chunk_checker::ChunkChecker;
use crate::smtp::data_decoder::{DataDecoder, DataFault, DataLimits};

use super::{
    Chunk, LineReader, MailIntake, Next, PartOf, Rules, Say, SenderPolicy, Session, SessionLimits,
    Split,
};

const MESSAGE_BYTES_MAX: u64 = 60;
const LIMITS: DataLimits = DataLimits {
    message_bytes_max: MESSAGE_BYTES_MAX,
    line_bytes_max: Some(30),
};

/// What the far end of a socket would see and leave behind.
#[derive(Debug, Default, PartialEq, Eq)]
struct Seen {
    replies: String,
    /// Envelope, text and fault of every message that ended.
    messages: Vec<String>,
    closed: bool,
}

struct Driver {
    session: Session,
    lines: LineReader,
    data: Option<DataDecoder>,
    /// Octets of a chunk that are still to come, and whether it is the last; `None` in between.
    chunk: Option<Announced>,
    checker: Option<ChunkChecker>,
    /// The envelope and the text so far of the message that is coming in.
    envelope: String,
    text: Vec<u8>,
    unread: Vec<u8>,
    seen: Seen,
}

struct Announced {
    left: u64,
    last: bool,
    refused: Option<Say>,
}

impl Driver {
    fn new() -> Driver {
        let limits = SessionLimits {
            mails_max: 6,
            errors_max: 12,
        };
        let name = Domain::parse("gp.test").expect("a name");
        let senders = SenderPolicy::Local(Box::new(|domain| domain.as_str() == "gp.test"));
        let rules = Rules::new(name, "ready", MESSAGE_BYTES_MAX, 2, limits, senders);
        Driver {
            session: Session::new(Arc::new(rules)),
            lines: LineReader::new(300),
            data: None,
            chunk: None,
            checker: None,
            envelope: String::new(),
            text: Vec::new(),
            unread: Vec::new(),
            seen: Seen::default(),
        }
    }

    fn segment(&mut self, octets: &[u8]) {
        self.unread.extend_from_slice(octets);
        while !self.seen.closed && self.advance() {}
    }

    /// Whether there may be more to do with what is unread.
    fn advance(&mut self) -> bool {
        if let Some(announced) = self.chunk.take() {
            return self.chunk(announced);
        }
        let Some(decoder) = &mut self.data else {
            return self.command();
        };
        let decoded = decoder.decode(&self.unread, |piece| self.text.extend_from_slice(piece));
        self.unread.drain(..decoded.consumed);
        if decoded.ended {
            let fault = decoder.fault();
            self.data = None;
            self.end_message(fault);
        }
        decoded.ended
    }

    fn end_message(&mut self, fault: Option<DataFault>) {
        let text = std::mem::take(&mut self.text).escape_ascii().to_string();
        let kept = fault.map_or(text, |fault| format!("{fault:?}"));
        self.seen
            .messages
            .push(format!("{}: {kept}", self.envelope));
        if fault.is_none() {
            self.session.message_accepted();
        }
    }

    fn chunk(&mut self, mut announced: Announced) -> bool {
        let length = self.unread.len();
        let count = usize::try_from(announced.left).map_or(length, |left| left.min(length));
        let octets: Vec<u8> = self.unread.drain(..count).collect();
        announced.left -= count as u64;
        let checker = self
            .checker
            .as_mut()
            .filter(|_| announced.refused.is_none());
        if let Some(checker) = checker {
            checker.check(&octets);
            self.text.extend_from_slice(&octets);
        }
        if announced.left > 0 {
            self.chunk = Some(announced);
            return false;
        }
        self.seen.replies.push_str("chunk\n");
        let Some(checker) = self.checker.take_if(|_| announced.refused.is_none()) else {
            return true;
        };
        let fault = if announced.last {
            checker.fault_at_end()
        } else {
            checker.fault()
        };
        if announced.last || fault.is_some() {
            self.session.drop_transaction();
            self.end_message(fault);
        } else {
            self.checker = Some(checker);
        }
        true
    }

    fn command(&mut self) -> bool {
        let (consumed, split) = self.lines.next(&self.unread);
        let step = match split {
            Split::Line(line) => Some(self.session.line(line, MailIntake::Open)),
            Split::Fault(fault) => Some(self.session.fault(fault)),
            Split::NeedMore => None,
            Split::Flood => {
                self.seen.closed = true;
                None
            }
        };
        self.unread.drain(..consumed);
        let Some(step) = step else {
            return false;
        };
        self.seen.replies.push_str(&format!("{:?}\n", step.reply));
        match step.next {
            Next::Command => {}
            Next::Data(submission) => {
                self.data = Some(DataDecoder::new(LIMITS));
                self.envelope = format!("{submission:?}");
            }
            Next::Chunk(chunk) => self.announce(chunk),
            Next::Close | Next::StartTls | Next::Authenticate(_) => self.seen.closed = true,
            Next::GiveUp(say) => {
                self.seen.replies.push_str(say.line());
                self.seen.closed = true;
            }
        }
        if !self.session.in_transaction() && self.chunk.is_none() {
            (self.checker, self.text) = (None, Vec::new());
        }
        true
    }

    fn announce(&mut self, chunk: Chunk) {
        let mut refused = None;
        match chunk.part_of {
            PartOf::New(submission) => {
                let body_kind = submission.envelope.body_kind;
                self.checker = Some(ChunkChecker::new(body_kind, LIMITS));
                self.envelope = format!("{submission:?}");
                self.text.clear();
            }
            PartOf::Current => {}
            PartOf::Nothing(say) => refused = Some(say),
        }
        self.chunk = Some(Announced {
            left: chunk.octets,
            last: chunk.last,
            refused,
        });
    }
}

/// The session that `octets` give when they are cut behind these many.
fn session(octets: &[u8], cuts: &[usize]) -> Seen {
    let mut driver = Driver::new();
    let mut rest = octets;
    for cut in cuts.iter().cycle().take(octets.len()) {
        let (segment, behind) = rest.split_at(rest.len().min(*cut));
        driver.segment(segment);
        rest = behind;
    }
    driver.segment(rest);
    driver.seen
}

/// What clients send, right and wrong; strung together at random.
const PHRASES: &[&[u8]] = &[
    b"EHLO client.test\r\n",
    b"HELO x\r\n",
    b"MAIL FROM:<ann@gp.test>\r\n",
    b"MAIL FROM:<> SIZE=5 BODY=8BITMIME SMTPUTF8\r\n",
    b"MAIL FROM:<evil@other.test>\r\n",
    b"RCPT TO:<bob@dest.test>\r\n",
    b"RCPT TO:<\"a>b\\\"\"@dest.test>\r\n",
    b"RCPT TO:<@dest.test>\r\n",
    b"EHLO c\r\nMAIL FROM:<a@gp.test>\r\nRCPT TO:<b@dest.test>\r\nDATA\r\n",
    b"DATA\r\n",
    b"EHLO c\r\nMAIL FROM:<a@gp.test>\r\nRCPT TO:<b@dest.test>\r\n",
    b"MAIL FROM:<a@gp.test> BODY=BINARYMIME\r\n",
    b"BDAT 7\r\nNOOP\r\n\r",
    b"BDAT 0\r\n",
    b"BDAT 5 LAST\r\n\n.\r\n",
    b"BDAT 3 LAST\r\nab\r",
    b"BDAT 6 LAST\r\n\ntwo\r\n",
    b"BDAT 70\r\n",
    b"BDAT x\r\n",
    b"RSET\r\n",
    b"NOOP\r\n",
    b"QUIT\r\n",
    b"GET / HTTP/1.1\r\n",
    b"Subject: x\r\n\r\ntext\r\n",
    b"..stuffed\r\n",
    b"\xc3\xa9\xff\r\n",
    b".\r\n",
    b"\r\n.\r\n",
    b"\n.\n",
    b"\n.\r\n",
    b"\r\n.\r",
    b"\r.\r\n",
    b"\r\r\n",
    b"\r",
    b"\n",
    b".",
    b"\0",
    b"\x16\x03\x01",
    b"x",
    b" ",
];

/// Now and then a line, or a text, that is longer than may be.
fn phrase() -> impl Strategy<Value = Vec<u8>> {
    prop_oneof![
        40 => prop::sample::select(PHRASES).prop_map(<[u8]>::to_vec),
        1 => (2_000usize..2_100).prop_map(|length| vec![b'y'; length]),
        1 => (60_000usize..70_000).prop_map(|length| vec![b'z'; length]),
    ]
}

proptest! {
    #[test]
    fn any_cutting_gives_the_same_session( // W-7.02, W-5.15, W-2.27
        phrases in prop::collection::vec(phrase(), 0..24),
        cuts in prop::collection::vec(prop_oneof![5 => 1usize..6, 1 => 6usize..5_000], 1..12),
    ) {
        let octets = phrases.concat();
        let whole = session(&octets, &[octets.len().max(1)]);
        prop_assert_eq!(&session(&octets, &cuts), &whole);
        if octets.len() < 4_000 {
            prop_assert_eq!(&session(&octets, &[1]), &whole);
        }
    }

    #[test]
    fn a_body_is_refused_or_comes_out_as_one_and_the_same_message( // W-5.03 to W-5.07
        pieces in prop::collection::vec(prop::sample::select(vec!["a", ".", "\r", "\n", "\r\n", "..", "\r\n."]), 0..12),
        cut in 1usize..5,
    ) {
        let body = pieces.concat();
        let bare = {
            let without = body.replace("\r\n", "");
            without.contains(['\r', '\n'])
        };
        let mut stuffed = String::new();
        for line in body.split_inclusive("\r\n") {
            if line.starts_with('.') {
                stuffed.push('.');
            }
            stuffed.push_str(line);
        }
        if !body.is_empty() && !body.ends_with("\r\n") {
            stuffed.push_str("\r\n");
        }
        let sent = format!("EHLO c\r\nMAIL FROM:<>\r\nRCPT TO:<b@dest.test>\r\nDATA\r\n{stuffed}.\r\nNOOP\r\n");
        let seen = session(sent.as_bytes(), &[cut]);
        prop_assert_eq!(seen.messages.len(), 1, "{:?}", seen);
        let (_, kept) = seen.messages[0].rsplit_once(": ").expect("as it is written above");
        // A CR at the end of the body and our CRLF make CR CR LF.
        let ends_bare = body.ends_with('\r');
        if bare || ends_bare {
            prop_assert_eq!(kept, "BareLineEnd");
        } else {
            let whole = if body.is_empty() || body.ends_with("\r\n") { body } else { format!("{body}\r\n") };
            prop_assert_eq!(kept, whole.as_bytes().escape_ascii().to_string());
        }
        prop_assert!(seen.replies.ends_with("Fixed(SendData)\nFixed(Ok)\n"));
    }
}
