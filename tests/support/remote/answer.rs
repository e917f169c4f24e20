//! What a scripted host does when it is its turn.

use std::time::Duration;

use super::gate::Gate;

/// One turn of a remote host: usually a reply, but also silence, a reset or octets that no good
/// host would send. A `&str` is a reply whose CRLF at the end is added; lines in between need theirs:
/// `"250-one\r\n250 two"`.
#[derive(Clone, Debug)]
pub struct Answer {
    pub(super) acts: Vec<Act>,
}

#[derive(Clone, Debug)]
pub(super) enum Act {
    Send(Vec<u8>),
    SendCut { octets: Vec<u8>, pause: Duration },
    Pause(Duration),
    Gate(Gate),
    ReadData(usize),
    Close,
    Reset,
    Hang,
    StopReading,
}

/// A reply as text; the same as the bare `&str`, for lists that mix it with other turns.
pub fn reply(text: &str) -> Answer {
    Answer::from(text)
}

/// Exactly these octets.
pub fn raw(octets: impl AsRef<[u8]>) -> Answer {
    Answer::of(Act::Send(octets.as_ref().to_vec()))
}

/// Each octet of the reply in a segment of its own, so far apart.
pub fn trickle(pause: Duration, text: &str) -> Answer {
    let octets = with_crlf(text);
    Answer::of(Act::SendCut { octets, pause })
}

/// Each of these pieces in a segment of its own.
pub fn segments<P: AsRef<[u8]>>(pieces: impl IntoIterator<Item = P>) -> Answer {
    let acts = pieces.into_iter().map(|p| Act::Send(p.as_ref().to_vec()));
    Answer {
        acts: acts.collect(),
    }
}

/// Ends the connection with FIN, without a word.
pub fn close() -> Answer {
    Answer::of(Act::Close)
}

/// Ends the connection with RST, without a word.
pub fn reset() -> Answer {
    Answer::of(Act::Reset)
}

/// Says nothing more, until the other end gives up. What comes in is still read.
pub fn hang() -> Answer {
    Answer::of(Act::Hang)
}

/// Says nothing more and reads nothing more, so that the window closes.
pub fn stop_reading() -> Answer {
    Answer::of(Act::StopReading)
}

/// Reads so many octets of what comes (of a body: after `354`), then goes on.
pub fn read_data(octets: usize) -> Answer {
    Answer::of(Act::ReadData(octets))
}

impl Answer {
    fn of(act: Act) -> Answer {
        Answer { acts: vec![act] }
    }

    /// Does this and then `next`: `reply("421 4.3.2 bye").then(close())`.
    #[must_use]
    pub fn then(mut self, next: impl Into<Answer>) -> Answer {
        self.acts.extend(next.into().acts);
        self
    }

    /// Waits so long first.
    #[must_use]
    pub fn after(self, pause: Duration) -> Answer {
        Answer::of(Act::Pause(pause)).then(self)
    }

    /// Waits at the gate first.
    #[must_use]
    pub fn behind(self, gate: &Gate) -> Answer {
        Answer::of(Act::Gate(gate.clone())).then(self)
    }
}

impl From<&str> for Answer {
    fn from(text: &str) -> Answer {
        Answer::of(Act::Send(with_crlf(text)))
    }
}

impl From<String> for Answer {
    fn from(text: String) -> Answer {
        Answer::from(text.as_str())
    }
}

fn with_crlf(text: &str) -> Vec<u8> {
    let mut octets = text.as_bytes().to_vec();
    if !text.ends_with("\r\n") {
        octets.extend(b"\r\n");
    }
    octets
}
