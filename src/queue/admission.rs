//! What accepted recipients begin their lives as. Pure.

use crate::config::Mode;
use crate::mail::{
    Answer, EnhancedCode, HeldBy, Reason, Recipient, RecipientNo, RecipientState, UnixMillis,
};
use crate::smtp::server::Named;

/// Recipients as they are to be stored, numbered in the order in which they were named.
///
/// # Panics
/// With more than `u32::MAX` of them; sessions take far fewer.
#[must_use]
pub fn admit(mode: Mode, named: Vec<Named>, now: UnixMillis) -> Vec<Recipient> {
    (0..)
        .zip(named)
        .map(|(no, named)| first_state(mode, RecipientNo(no), named, now))
        .collect()
}

fn first_state(mode: Mode, no: RecipientNo, named: Named, now: UnixMillis) -> Recipient {
    let (state, last_answer) = match mode {
        Mode::Deliver => (RecipientState::Queued { due: now }, None),
        Mode::Hold => (RecipientState::Held { by: HeldBy::Mode }, None),
        // final from the start: the sweeper removes it when the retention time is over
        Mode::Sink => (RecipientState::Delivered, Some(kept_here())),
    };
    Recipient {
        dsn: named.dsn,
        last_answer,
        ..Recipient::new(no, named.address, state)
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
    use crate::mail::{Address, DsnRecipient, Notify, Spelling};

    #[track_caller]
    fn check(mode: Mode, want: RecipientState) -> Recipient {
        let dsn = DsnRecipient {
            notify: Some(Notify::Never),
            original: None,
        };
        let named = ["a@x.test", "b@y.test"].map(|text| Named {
            address: Address::parse(text.as_bytes(), Spelling::Ascii)
                .expect("a well-formed address"),
            dsn: dsn.clone(),
        });
        let admitted = admit(mode, named.to_vec(), UnixMillis(7));
        let numbers: Vec<u32> = admitted.iter().map(|r| r.no.0).collect();
        assert_eq!(numbers, [0, 1]);
        assert!(
            admitted
                .iter()
                .all(|r| r.state == want && r.attempts == 0 && r.last_attempt.is_none())
        );
        assert_eq!(admitted[1].address, named[1].address);
        assert_eq!(admitted[1].dsn, dsn);
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
