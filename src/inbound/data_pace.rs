//! Whether message data come fast enough. What a client sends buys it time; what it makes us wait
//! costs it time.

use std::time::Duration;

/// The time that a client has left to send something, never more than its full credit.
#[derive(Clone, Copy, Debug)]
pub(super) struct DataPace {
    credit: Duration,
    bytes_per_second: u64,
    left: Duration,
}

impl DataPace {
    /// With the full `credit`. At 0 bytes a second, each octet brings it back.
    pub(super) fn new(credit: Duration, bytes_per_second: u64) -> DataPace {
        DataPace {
            credit,
            bytes_per_second,
            left: credit,
        }
    }

    /// How long the next octet may take.
    pub(super) fn left(&self) -> Duration {
        self.left
    }

    /// After `waited`, so many octets have come.
    pub(super) fn received(&mut self, bytes: usize, waited: Duration) {
        let nanos = (bytes as u64)
            .saturating_mul(1_000_000_000)
            .checked_div(self.bytes_per_second);
        let bought = nanos.map_or(self.credit, Duration::from_nanos);
        let left = self.left.saturating_sub(waited).saturating_add(bought);
        self.left = left.min(self.credit);
    }

    /// A new message begins.
    pub(super) fn restart(&mut self) {
        self.left = self.credit;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    /// How many seconds a client gets that sends so many octets in each.
    fn seconds(mut pace: DataPace, bytes: usize) -> usize {
        (0..10_000)
            .take_while(|_| {
                let in_time = pace.left() >= SECOND;
                pace.received(bytes, SECOND);
                in_time
            })
            .count()
    }

    #[test]
    fn a_trickle_runs_out_of_time() {
        // W-12.02
        let pace = DataPace::new(180 * SECOND, 100);
        assert_eq!(seconds(pace, 1), 181);
        assert_eq!(seconds(pace, 50), 359);
        assert_eq!(seconds(pace, 100), 10_000);
        assert_eq!(seconds(DataPace::new(180 * SECOND, 0), 1), 10_000);
    }

    #[test]
    fn nothing_is_saved_up_beyond_the_credit() {
        let mut pace = DataPace::new(10 * SECOND, 100);
        pace.received(1 << 30, 3 * SECOND);
        assert_eq!(pace.left(), 10 * SECOND);
        pace.received(usize::MAX, 30 * SECOND);
        assert_eq!(pace.left(), 10 * SECOND);
        pace.received(100, 5 * SECOND);
        assert_eq!(pace.left(), 6 * SECOND);
        pace.restart();
        assert_eq!(pace.left(), 10 * SECOND);
    }
}
