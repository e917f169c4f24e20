//! How many reports one sender gets in an hour, so that a flood of failures does not become a flood of
//! reports. Pure: the clock is an argument.

use std::collections::HashMap;
use std::num::NonZeroU32;
use std::time::Duration;

use crate::mail::limits::REPORT_SENDERS_MAX;
use crate::mail::{Address, AddressDomain, UnixMillis};

const HOUR: Duration = Duration::from_secs(3_600);

/// A bucket of reports for each sender, in a bounded table. It begins anew with each start.
#[derive(Debug)]
pub(super) struct ReportBound {
    /// Until a report that was sent is forgotten, in milliseconds.
    each: u64,
    /// When everything about a sender will be forgotten. One without an entry has its full share.
    free_at: HashMap<Mailbox, UnixMillis>,
}

/// A sender, however it spells itself: else it would have a share for each spelling.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct Mailbox {
    /// In lower case, without quotes.
    local_part: Box<str>,
    domain: AddressDomain,
}

impl Mailbox {
    fn of(address: &Address) -> Mailbox {
        let octets = address.local_part().chars();
        let unquoted: String = octets.filter(|c| !matches!(c, '"' | '\\')).collect();
        Mailbox {
            local_part: unquoted.to_lowercase().into(),
            domain: address.domain().clone(),
        }
    }
}

/// How much a report matters to who gets it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Weight {
    /// That mail did not arrive: the whole share.
    Needed,
    /// That it takes long, or was handed on: half of the share, so that there is room for the other.
    Courtesy,
}

impl ReportBound {
    /// So many an hour for each sender.
    pub(super) fn new(per_hour: NonZeroU32) -> ReportBound {
        let hour = u64::try_from(HOUR.as_millis()).unwrap_or(u64::MAX);
        ReportBound {
            each: (hour / u64::from(per_hour.get())).max(1),
            free_at: HashMap::new(),
        }
    }

    /// Another number an hour; what was sent so far counts as before.
    pub(super) fn change(&mut self, per_hour: NonZeroU32) {
        self.each = ReportBound::new(per_hour).each;
    }

    /// Counts a report to `sender`, unless it is one too many.
    pub(super) fn take(&mut self, sender: &Address, weight: Weight, now: UnixMillis) -> bool {
        let share = match weight {
            Weight::Needed => HOUR,
            Weight::Courtesy => HOUR / 2,
        };
        let sender = Mailbox::of(sender);
        let known = self.free_at.get(&sender).copied();
        let busy_until = known.map_or(now, |at| at.max(now));
        // The first is always within the share.
        let free_at = UnixMillis(busy_until.0.saturating_add(self.each));
        if free_at > now.after(share) && busy_until > now {
            return false;
        }
        if known.is_none() && self.free_at.len() >= REPORT_SENDERS_MAX {
            self.make_room(now);
        }
        self.free_at.insert(sender, free_at);
        true
    }

    /// Forgets who has its full share; when that is not enough, everybody: rather a report too many
    /// than a sender who is not told for want of a place in a table.
    fn make_room(&mut self, now: UnixMillis) {
        self.free_at.retain(|_, free_at| *free_at > now);
        if self.free_at.len() > REPORT_SENDERS_MAX / 2 {
            self.free_at.clear();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::queue::samples::address;

    const NOW: UnixMillis = UnixMillis(1_000_000);

    fn bound(per_hour: u32) -> ReportBound {
        ReportBound::new(NonZeroU32::new(per_hour).unwrap())
    }

    /// How many of ten are allowed.
    fn allowed(bound: &mut ReportBound, weight: Weight, minutes: u64) -> usize {
        let now = NOW.after(Duration::from_secs(60 * minutes));
        let ann = address("ann@gp.test");
        (0..10).filter(|_| bound.take(&ann, weight, now)).count()
    }

    #[test]
    fn each_sender_has_its_share_and_gets_it_back_in_an_hour() {
        let mut bound = bound(4);
        assert_eq!(allowed(&mut bound, Weight::Needed, 0), 4);
        assert_eq!(allowed(&mut bound, Weight::Needed, 14), 0);
        assert_eq!(allowed(&mut bound, Weight::Needed, 15), 1);
        assert!(bound.take(&address("eve@gp.test"), Weight::Needed, NOW));
        assert_eq!(allowed(&mut bound, Weight::Needed, 200), 4);
    }

    #[test]
    fn another_spelling_is_no_other_sender() {
        let mut bound = bound(1);
        assert!(bound.take(&address("ann.b@gp.test"), Weight::Needed, NOW));
        for spelling in [
            "ann.b@GP.test",
            "Ann.B@gp.test",
            "\"ann.b\"@gp.test",
            "\"\\ann.b\"@gp.test",
        ] {
            assert!(
                !bound.take(&address(spelling), Weight::Needed, NOW),
                "{spelling}"
            );
        }
        assert!(bound.take(&address("ann.b@sub.gp.test"), Weight::Needed, NOW));
    }

    #[test]
    fn courtesy_leaves_room_for_what_is_needed() {
        let mut bound = bound(4);
        assert_eq!(allowed(&mut bound, Weight::Courtesy, 0), 2);
        assert_eq!(allowed(&mut bound, Weight::Needed, 0), 2);
        assert_eq!(allowed(&mut bound, Weight::Courtesy, 15), 0);
    }

    #[test]
    fn one_an_hour_is_one_of_any_kind() {
        for weight in [Weight::Courtesy, Weight::Needed] {
            assert_eq!(allowed(&mut bound(1), weight, 0), 1);
        }
    }

    #[test]
    fn the_table_is_bounded_and_nobody_loses_by_that() {
        let mut bound = bound(1);
        for number in 0..REPORT_SENDERS_MAX + 10 {
            let sender = address(&format!("a{number}@gp.test"));
            assert!(bound.take(&sender, Weight::Needed, NOW));
            assert!(bound.free_at.len() <= REPORT_SENDERS_MAX);
        }
    }
}
