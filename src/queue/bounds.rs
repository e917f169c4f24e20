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
    /// Lines being read from the store at one time.
    pub(super) reads: usize,
    /// Items of a line that are kept aside until a restart.
    pub(super) set_aside: usize,
}
