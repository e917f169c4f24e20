//! How much the dispatcher hands out and holds.

/// The limits that the lines keep.
#[derive(Clone, Copy, Debug)]
pub(super) struct Bounds {
    /// Attempts at one time.
    pub(super) total: usize,
    /// Attempts of one destination at one time.
    pub(super) destination: usize,
    /// Items of a line that are held in memory.
    pub(super) window: usize,
    /// Recipients in one claim.
    pub(super) group: usize,
    /// Recipients in one transaction.
    pub(super) transaction: usize,
    /// Lines being read from the store at one time.
    pub(super) reads: usize,
    /// Items of a line that are kept aside until a restart.
    pub(super) set_aside: usize,
    /// Destinations without mail of which something is remembered.
    pub(super) remembered: usize,
}

impl Bounds {
    /// Attempts at one time of destinations that have not shown that they answer, all together.
    pub(super) fn unproven(&self) -> usize {
        (self.total / 2).max(1)
    }

    /// Slots that are kept for destinations that have nothing under way.
    pub(super) fn kept_for_fresh(&self) -> usize {
        self.total / 4
    }
}
