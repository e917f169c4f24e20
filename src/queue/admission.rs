//! What accepted recipients begin their lives as. Pure.

use crate::config::Mode;
use crate::mail::{
    Address, Answer, EnhancedCode, HeldBy, Reason, Recipient, RecipientNo, RecipientState,
    UnixMillis,
};

/// Recipients as they are to be stored, numbered in the order in which they were named.
///
/// # Panics
/// With more than `u32::MAX` addresses; sessions take far fewer.
#[must_use]
pub fn admit(mode: Mode, addresses: Vec<Address>, now: UnixMillis) -> Vec<Recipient> {
    (0..)
        .zip(addresses)
        .map(|(no, address)| first_state(mode, RecipientNo(no), address, now))
        .collect()
}

fn first_state(mode: Mode, no: RecipientNo, address: Address, now: UnixMillis) -> Recipient {
    match mode {
        Mode::Deliver => Recipient::new(no, address, RecipientState::Queued { due: now }),
        Mode::Hold => Recipient::new(no, address, RecipientState::Held { by: HeldBy::Mode }),
        // final from the start: the sweeper removes it when the retention time is over
        Mode::Sink => Recipient {
            last_answer: Some(kept_here()),
            ..Recipient::new(no, address, RecipientState::Delivered)
        },
    }
}

fn kept_here() -> Answer {
    Answer {
        remote: None,
        status: EnhancedCode::success(0, 0),
        reason: Reason::None,
        reply: None,
        detail: "kept here, SMTP_MODE=sink".into(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::mail::Spelling;

    #[track_caller]
    fn check(mode: Mode, want: RecipientState) -> Recipient {
        let addresses = ["a@x.test", "b@y.test"].map(|text| {
            Address::parse(text.as_bytes(), Spelling::Ascii).expect("a well-formed address")
        });
        let admitted = admit(mode, addresses.to_vec(), UnixMillis(7));
        let numbers: Vec<u32> = admitted.iter().map(|r| r.no.0).collect();
        assert_eq!(numbers, [0, 1]);
        assert!(
            admitted
                .iter()
                .all(|r| r.state == want && r.attempts == 0 && r.last_attempt.is_none())
        );
        assert_eq!(admitted[1].address, addresses[1]);
        admitted[0].clone()
    }

    #[test]
    fn the_mode_decides_how_a_life_begins() {
        check(Mode::Deliver, RecipientState::Queued { due: UnixMillis(7) });
        check(Mode::Hold, RecipientState::Held { by: HeldBy::Mode });
        let kept = check(Mode::Sink, RecipientState::Delivered);
        assert_eq!(
            kept.last_answer.map(|answer| answer.words()).as_deref(),
            Some("kept here, SMTP_MODE=sink")
        );
    }
}
