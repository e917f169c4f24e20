//! Recipients whose mail was refused over IPv6 for the sake of our IPv6 address: IPv4 is tried before
//! that counts. Pure.

use crate::mail::{EnhancedClass, Recipient, RecipientNo, Remote};
use crate::smtp::client::{Settled, Verdict};

use super::ipv6_complaint::is_about_ipv6;
use super::tally::Trouble;

/// What was said, and about whom. From the first complaint on, only IPv4 is tried.
#[derive(Debug, Default)]
pub(super) struct Complaints(Vec<(RecipientNo, Settled)>);

impl Complaints {
    /// Takes the complaints out of what a host said about the first of the `open` ones, in their
    /// order: these stay open.
    pub(super) fn put_aside(
        &mut self,
        open: &[&Recipient],
        settled: &mut [Option<Settled>],
        remote: &Remote,
    ) {
        if !is_over_ipv6(remote) {
            return;
        }
        for (recipient, slot) in open.iter().zip(settled) {
            if let Some(complaint) = slot.take_if(|settled| is_complaint(settled)) {
                self.0.push((recipient.no, complaint));
            }
        }
    }

    /// Whether there is none.
    #[must_use]
    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Whether nothing more is to be sent over a connection to this host.
    #[must_use]
    pub(super) fn rule_out(&self, remote: &Remote) -> bool {
        !self.0.is_empty() && is_over_ipv6(remote)
    }

    /// What was said about each of the `open` ones.
    #[must_use]
    pub(super) fn about(&self, open: &[&Recipient]) -> Vec<Option<Settled>> {
        let about = |recipient: &&Recipient| {
            let mut complaints = self.0.iter();
            let complaint = complaints.find(|(no, _)| *no == recipient.no);
            complaint.map(|(_, settled)| settled.clone())
        };
        open.iter().map(about).collect()
    }

    /// What it means for those about whom nothing was said yet: their turn comes later.
    #[must_use]
    pub(super) fn trouble(&self) -> Option<Trouble> {
        let (_, settled) = self.0.first()?;
        let mut answer = settled.answer.clone();
        answer.status = answer.status.in_class(EnhancedClass::Temporary);
        Some(Trouble::Passing(answer))
    }
}

fn is_over_ipv6(remote: &Remote) -> bool {
    remote.address.ip().to_canonical().is_ipv6()
}

fn is_complaint(settled: &Settled) -> bool {
    let refused = match settled.verdict {
        Verdict::Delivered => false,
        Verdict::Deferred | Verdict::Failed => true,
    };
    refused && settled.answer.reply.as_ref().is_some_and(is_about_ipv6)
}
