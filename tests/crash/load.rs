//! What is sent: every message can be told from its number and the seed alone.

use crate::support::{Mail, Random, mail};

/// Domains of the recipients. Reports go to the senders' domain.
pub(super) const DOMAINS: [&str; 2] = ["one.test", "two.test"];
pub(super) const SENDERS: &str = "gp.test";

/// Octets of a body, most of them small; from the third on they are files of their own in the spool.
const SIZES: [usize; 10] = [
    500, 500, 500, 500, 4_096, 4_096, 4_096, 51_200, 51_200, 307_200,
];

/// How its host treats a recipient.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Fate {
    Taken,
    /// 451 once, then taken.
    Greylisted,
    /// 550.
    Refused,
}

/// One message to send.
#[derive(Clone, Debug)]
pub(super) struct Load {
    pub(super) number: usize,
    pub(super) rcpts: Vec<(String, Fate)>,
    seed: u64,
    size: usize,
}

impl Load {
    /// At most one of its recipients is refused, so it has one report or none.
    pub(super) fn of(run: u64, number: usize) -> Load {
        let seed = run ^ (number as u64).wrapping_mul(0x9e37_79b9_7f4a_7c15);
        let mut random = Random::from_seed(seed);
        let fates: &[Fate] = match random.below(10) {
            0..4 => &[Fate::Taken],
            4 | 5 => &[Fate::Taken, Fate::Taken],
            6 => &[Fate::Greylisted],
            7 => &[Fate::Refused],
            _ => &[Fate::Taken, Fate::Refused, Fate::Greylisted],
        };
        let mut rcpt = |(place, fate): (usize, &Fate)| {
            let domain = random.pick(&DOMAINS);
            (format!("r{place}.{number}@{domain}"), *fate)
        };
        let rcpts = fates.iter().enumerate().map(&mut rcpt).collect();
        let size = *random.pick(&SIZES);
        Load {
            number,
            rcpts,
            seed,
            size,
        }
    }

    /// As it is handed in, and as it must arrive.
    pub(super) fn mail(&self) -> Mail {
        let subject = format!("number {}", self.number);
        let mut random = Random::from_seed(!self.seed);
        mail()
            .from(&self.sender())
            .recipients(self.rcpts.iter().map(|(rcpt, _)| rcpt))
            .subject(&subject)
            .body_octets(random.text(self.size))
    }

    /// Its own, so that a report tells which message it is about.
    fn sender(&self) -> String {
        format!("sender.{}@{SENDERS}", self.number)
    }

    pub(super) fn refused(&self) -> Option<&str> {
        let refused = self.rcpts.iter().find(|(_, fate)| *fate == Fate::Refused);
        refused.map(|(rcpt, _)| rcpt.as_str())
    }

    /// Who must get something once it is accepted: recipients the message, or the sender a report.
    pub(super) fn receivers(&self) -> Vec<String> {
        let rcpts = self.rcpts.iter();
        let receiver = |(rcpt, fate): &(String, Fate)| match fate {
            Fate::Taken | Fate::Greylisted => rcpt.clone(),
            Fate::Refused => self.sender(),
        };
        rcpts.map(receiver).collect()
    }
}

/// The number of the message that brings something to this mailbox.
pub(super) fn number_of(mailbox: &str) -> usize {
    let local_part = mailbox.split('@').next().unwrap_or_default();
    let number = local_part.rsplit('.').next().and_then(|n| n.parse().ok());
    number.unwrap_or_else(|| panic!("{mailbox} is nobody's"))
}
