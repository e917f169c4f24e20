//! What the hosts of an attempt made of it, when none of them settled the recipients. Pure.

use crate::mail::{Answer, EnhancedCode, Reason};
use crate::smtp::client::{Settled, Verdict};

use super::mx::unreachable;

/// Why one host, or one of its addresses, did not take the mail. All of them lead to the next one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Trouble {
    /// It may be otherwise later.
    Passing(Answer),
    /// It said 5yz before MAIL: it wants no mail of ours.
    Refused(Answer),
    /// It has no address, or none that may be dialled.
    NoAddress(Answer),
    /// It is us. Whoever is not preferred to it must not be tried (RFC 5321 5.1).
    Ourselves(Answer),
}

impl Trouble {
    /// What there is to say about it.
    #[must_use]
    pub(super) fn answer(&self) -> &Answer {
        match self {
            Trouble::Passing(answer)
            | Trouble::Refused(answer)
            | Trouble::NoAddress(answer)
            | Trouble::Ourselves(answer) => answer,
        }
    }
}

/// Troubles so far.
#[derive(Clone, Debug, Default)]
pub(super) struct Tally {
    passing: Option<Answer>,
    refused: Option<Answer>,
    no_address: Option<Answer>,
    ourselves: Option<Answer>,
}

impl Tally {
    /// Counts one more. Of the passing ones the most telling is kept, of the rest the last.
    pub(super) fn add(&mut self, trouble: Trouble) {
        match trouble {
            Trouble::Passing(answer) => {
                let before = self.passing.as_ref().map(|kept| weight(kept.reason));
                if before <= Some(weight(answer.reason)) {
                    self.passing = Some(answer);
                }
            }
            Trouble::Refused(answer) => self.refused = Some(answer),
            Trouble::NoAddress(answer) => self.no_address = Some(answer),
            Trouble::Ourselves(answer) => self.ourselves = Some(answer),
        }
    }

    /// Whether no further host may be tried.
    #[must_use]
    pub(super) fn met_ourselves(&self) -> bool {
        self.ourselves.is_some()
    }

    /// Whether it may be otherwise later.
    #[must_use]
    pub(super) fn may_pass(&self) -> bool {
        self.passing.is_some()
    }

    /// Hosts are left that this attempt may not try any more, so nothing of it is final.
    pub(super) fn cut_short(&mut self) {
        if self.passing.is_none() {
            self.passing = Some(Answer {
                remote: None,
                status: EnhancedCode::temporary(4, 1),
                reason: Reason::Connect,
                reply: None,
                detail: "there are more mail hosts than one attempt tries".into(),
            });
        }
    }

    /// What that means for the recipients that nobody settled: final only if every host that there
    /// is said no, or if there is none.
    #[must_use]
    pub(super) fn verdict(self) -> Settled {
        let of_all = self.refused.or(self.ourselves).or(self.no_address);
        let (verdict, answer) = match (self.passing, of_all) {
            (Some(answer), _) => (Verdict::Deferred, answer),
            (None, Some(answer)) => (Verdict::Failed, answer),
            (None, None) => (Verdict::Failed, unreachable("there is no mail host")),
        };
        Settled { verdict, answer }
    }
}

/// How much a kind of trouble tells the operator, against the others of one attempt.
fn weight(reason: Reason) -> u8 {
    match reason {
        Reason::None => 0,
        Reason::Dns => 1,
        Reason::Connect => 2,
        Reason::Timeout => 3,
        Reason::Protocol => 4,
        Reason::Greylist | Reason::Remote | Reason::Policy | Reason::Store => 5,
        Reason::Tls => 6,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn answer(status: &str, reason: Reason) -> Answer {
        Answer {
            remote: None,
            status: EnhancedCode::parse(status).unwrap(),
            reason,
            reply: None,
            detail: "".into(),
        }
    }

    fn passing(status: &str, reason: Reason) -> Trouble {
        Trouble::Passing(answer(status, reason))
    }

    fn refused(status: &str) -> Trouble {
        Trouble::Refused(answer(status, Reason::Remote))
    }

    fn no_address() -> Trouble {
        Trouble::NoAddress(answer("5.4.4", Reason::Dns))
    }

    #[track_caller]
    fn check(troubles: &[Trouble], want: &str) {
        let mut tally = Tally::default();
        for trouble in troubles {
            tally.add(trouble.clone());
        }
        let settled = tally.verdict();
        assert_eq!(
            format!("{:?} {}", settled.verdict, settled.answer.status),
            want
        );
    }

    #[test]
    fn refused_by_all_is_final_with_the_last_reply() {
        // W-14.02
        check(&[refused("5.3.2"), refused("5.7.1")], "Failed 5.7.1");
        check(&[refused("5.7.1"), no_address()], "Failed 5.7.1");
        check(
            &[refused("5.7.1"), passing("4.4.1", Reason::Connect)],
            "Deferred 4.4.1",
        );
        check(
            &[passing("4.3.2", Reason::Remote), refused("5.7.1")],
            "Deferred 4.3.2",
        );
    }

    #[test]
    fn no_address_anywhere_is_final_and_an_unknown_one_is_not() {
        // W-13.04, W-13.05
        check(&[no_address(), no_address()], "Failed 5.4.4");
        check(
            &[no_address(), passing("4.4.3", Reason::Dns)],
            "Deferred 4.4.3",
        );
        check(
            &[passing("4.4.3", Reason::Dns), no_address()],
            "Deferred 4.4.3",
        );
    }

    #[test]
    fn to_have_met_ourselves_is_final_unless_a_host_before_us_may_take_it_later() {
        // W-13.09
        let ourselves = || Trouble::Ourselves(answer("5.4.6", Reason::Dns));
        check(&[ourselves()], "Failed 5.4.6");
        check(&[no_address(), ourselves()], "Failed 5.4.6");
        check(&[refused("5.7.1"), ourselves()], "Failed 5.7.1");
        check(
            &[passing("4.4.1", Reason::Connect), ourselves()],
            "Deferred 4.4.1",
        );
    }

    #[test]
    fn the_most_telling_trouble_is_told() {
        // W-13.12, W-18.02
        check(
            &[
                passing("4.7.5", Reason::Tls),
                passing("4.4.1", Reason::Connect),
            ],
            "Deferred 4.7.5",
        );
        check(
            &[
                passing("4.4.3", Reason::Dns),
                passing("4.4.1", Reason::Connect),
            ],
            "Deferred 4.4.1",
        );
        check(
            &[
                passing("4.4.2", Reason::Connect),
                passing("4.4.1", Reason::Connect),
            ],
            "Deferred 4.4.1",
        );
    }

    #[test]
    fn an_attempt_that_was_cut_short_is_not_final() {
        // W-13.11
        let mut tally = Tally::default();
        tally.add(refused("5.7.1"));
        tally.cut_short();
        assert_eq!(tally.verdict().verdict, Verdict::Deferred);
    }
}
