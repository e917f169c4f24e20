//! What a host does when it is its turn: the reply that belongs there, in any form that a reply may
//! have, or something that goes wrong.

use std::fmt;
use std::time::Duration;

use crate::support::{Random, visible};

/// Shorter pauses, those between single octets, are no news to people.
const PAUSE_TOLD_MIN: Duration = Duration::from_millis(70);

/// Whose turn it is to answer what.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Verb {
    Greeting,
    Hello,
    StartTls,
    Mail,
    Rcpt,
    Data,
    /// A chunk that is not the last.
    Chunk,
    /// Amid the message.
    Body,
    /// The end of the message, or the last chunk of it.
    Dot,
    Rset,
    Quit,
    Other,
}

/// One turn.
#[derive(Clone, Debug)]
pub(super) struct Turn {
    pub(super) acts: Vec<Act>,
    pub(super) says: Says,
    /// At the end of a message: whether the host has it from now on, whatever it says.
    pub(super) takes: bool,
}

/// What a turn amounts to for who reads it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Says {
    /// One reply with this code, whole, at once and where it belongs: it counts.
    Plainly(u16),
    /// A reply with this code that comes late or slowly, and may or may not be waited for.
    Slowly(u16),
    /// Nothing that is a reply, by itself or within these codes. Nothing counts from here on.
    Nonsense(Vec<u16>),
    /// No reply at all.
    Nothing,
}

#[derive(Clone, Debug)]
pub(super) enum Act {
    Send(Vec<u8>),
    Pause(Duration),
    Close,
    Reset,
    /// Until the other end gives up.
    Endless(Endless),
}

/// What a host does without end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Endless {
    /// It says nothing more.
    Silence,
    /// It neither says nor reads anything more.
    Deafness,
    /// It sends as much as it can.
    Flood,
    /// It sends an octet now and then.
    Trickle,
}

/// The reply that belongs to a turn.
#[derive(Clone, Debug)]
pub(super) struct Usual {
    pub(super) code: u16,
    pub(super) lines: Vec<String>,
}

const TEMPORARY: [u16; 7] = [450, 451, 452, 454, 400, 431, 499];
const PERMANENT: [u16; 10] = [500, 501, 502, 503, 504, 521, 550, 553, 554, 599];

impl Usual {
    pub(super) fn of(code: u16, text: &str) -> Usual {
        Usual {
            code,
            lines: vec![text.to_owned()],
        }
    }
}

impl Turn {
    /// The reply that belongs here, in one of the forms that it may have.
    pub(super) fn usual(random: &mut Random, usual: &Usual) -> Turn {
        let takes = usual.code / 100 == 2;
        Turn::reply(random, usual.code, &usual.lines, takes)
    }

    /// Something that goes wrong.
    pub(super) fn trouble(random: &mut Random, verb: Verb, usual: &Usual) -> Turn {
        let usual_takes = usual.code / 100 == 2;
        let takes = verb == Verb::Dot && usual_takes && random.below(2) == 0;
        let nothing = |acts: Vec<Act>| Turn {
            acts,
            says: Says::Nothing,
            takes,
        };
        match random.below(100) {
            0..22 => Turn::refusal(random, &TEMPORARY),
            22..34 => Turn::refusal(random, &PERMANENT),
            34..42 => {
                let mut turn = Turn::refusal(random, &[421]);
                if random.below(3) > 0 {
                    turn.acts.push(Act::Close);
                }
                turn
            }
            42..50 => nothing(vec![Act::Close]),
            50..56 => nothing(vec![Act::Reset]),
            56..62 => nothing(vec![Act::Endless(Endless::Silence)]),
            62..64 => nothing(vec![Act::Endless(Endless::Deafness)]),
            64..67 => nothing(vec![Act::Endless(Endless::Flood)]),
            67..70 => nothing(vec![Act::Endless(Endless::Trickle)]),
            70..76 => Turn::slow(random, usual),
            76..82 => Turn::nonsense(random, verb, usual, takes),
            82..88 => Turn::too_much(usual, usual_takes),
            88..93 => {
                let whole = written(usual.code, &usual.lines, "\r\n");
                let half = whole[..1 + random.below(whole.len() - 2)].to_vec();
                nothing(vec![Act::Send(half), Act::Close])
            }
            _ => {
                let mut turn = Turn::usual(random, usual);
                turn.acts
                    .push(random.pick(&[Act::Close, Act::Reset]).clone());
                turn
            }
        }
    }

    fn refusal(random: &mut Random, codes: &[u16]) -> Turn {
        let code = *random.pick(codes);
        let enhanced = format!("{}.0.0 no", code / 100);
        let text = *random.pick(&[enhanced.as_str(), "not so", "greylisted, come again", ""]);
        Turn::reply(random, code, &[text.to_owned()], false)
    }

    fn reply(random: &mut Random, code: u16, lines: &[String], takes: bool) -> Turn {
        let mut lines = lines.to_vec();
        let end = match random.below(12) {
            0 => "\n",
            1 => {
                let text = random.pick(&["", "and so on", "caf\u{e9} \u{1b}[1m"]);
                lines.push((*text).to_owned());
                "\r\n"
            }
            _ => "\r\n",
        };
        let octets = written(code, &lines, end);
        let acts = match random.below(8) {
            0 => {
                let pieces = random.cut(&octets, 9).into_iter();
                pieces.map(Act::Send).collect()
            }
            1 => vec![Act::Pause(Duration::from_millis(20)), Act::Send(octets)],
            _ => vec![Act::Send(octets)],
        };
        Turn {
            acts,
            says: Says::Plainly(code),
            takes,
        }
    }

    /// The right reply, late or an octet at a time.
    fn slow(random: &mut Random, usual: &Usual) -> Turn {
        let octets = written(usual.code, &usual.lines, "\r\n");
        let acts = if random.below(2) == 0 {
            let pause = Duration::from_millis(100 + random.below(1_400) as u64);
            vec![Act::Pause(pause), Act::Send(octets)]
        } else {
            let pause = Duration::from_millis(1 + random.below(60) as u64);
            let octet = |octet| [Act::Send(vec![octet]), Act::Pause(pause)];
            octets.into_iter().flat_map(octet).collect()
        };
        Turn {
            acts,
            says: Says::Slowly(usual.code),
            takes: usual.code / 100 == 2,
        }
    }

    /// What is no reply, or has none of the meanings that this place knows.
    fn nonsense(random: &mut Random, verb: Verb, usual: &Usual, takes: bool) -> Turn {
        let code = usual.code;
        let other = if code == 550 { 250 } else { 550 };
        let out_of_place = if verb == Verb::Data { 250 } else { 354 };
        let text = match random.below(9) {
            0 => format!("{code}-one\r\n{other} other\r\n"),
            1 => format!("{code}0 ok\r\n"),
            2 => format!("{} ok\r\n", code / 10),
            3 => "ok\r\n".to_owned(),
            4 => "\r\n".to_owned(),
            5 => "150 soon\r\n".to_owned(),
            6 => "650 ok\r\n".to_owned(),
            7 => format!("{code}_ok\r\n"),
            _ => format!("{out_of_place} out of place\r\n"),
        };
        Turn {
            acts: vec![Act::Send(text.into_bytes())],
            says: Says::Nonsense(Vec::new()),
            takes,
        }
    }

    /// The right reply, and one that nobody asked for.
    fn too_much(usual: &Usual, takes: bool) -> Turn {
        let mut octets = written(usual.code, &usual.lines, "\r\n");
        octets.extend(written(usual.code, &usual.lines, "\r\n"));
        Turn {
            acts: vec![Act::Send(octets)],
            says: Says::Nonsense(vec![usual.code]),
            takes,
        }
    }
}

/// For people; octets that go out one by one are told as what they make.
impl fmt::Display for Turn {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut sent = Vec::new();
        let mut words = Vec::new();
        for act in &self.acts {
            match act {
                Act::Send(octets) => sent.extend(octets),
                Act::Pause(pause) if *pause < PAUSE_TOLD_MIN => {}
                other => words.push(format!("{other:?}")),
            }
        }
        let (sent, words) = (visible(&sent), words.join(", "));
        write!(f, "{sent} {words} ({:?})", self.says)
    }
}

impl Says {
    /// All codes that can be read in it.
    pub(super) fn codes(&self) -> Vec<u16> {
        match self {
            Says::Plainly(code) | Says::Slowly(code) => vec![*code],
            Says::Nonsense(codes) => codes.clone(),
            Says::Nothing => Vec::new(),
        }
    }

    /// The code of a reply.
    pub(super) fn code(&self) -> Option<u16> {
        match self {
            Says::Plainly(code) | Says::Slowly(code) => Some(*code),
            Says::Nonsense(_) | Says::Nothing => None,
        }
    }

    /// The code of a reply that counts.
    pub(super) fn plainly(&self) -> Option<u16> {
        match self {
            Says::Plainly(code) => Some(*code),
            Says::Slowly(_) | Says::Nonsense(_) | Says::Nothing => None,
        }
    }
}

/// A reply as octets, each line ended so.
fn written(code: u16, lines: &[String], end: &str) -> Vec<u8> {
    let last = lines.len() - 1;
    let line = |(number, text): (usize, &String)| {
        let hyphen = if number == last { ' ' } else { '-' };
        format!("{code}{hyphen}{text}{end}")
    };
    let text: String = lines.iter().enumerate().map(line).collect();
    text.into_bytes()
}
