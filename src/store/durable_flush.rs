//! Makes sled's flush a real one.
//!
//! On Linux sled ends a flush with `sync_file_range`, which moves neither metadata nor the device's
//! cache: after power cuts it lost what it had acknowledged. A later `fdatasync` of our own does not
//! mend it, since sled reuses segments before their pages are safe. So this file defines the symbol
//! `sync_file_range` itself: the linker takes ours before the C library's, and every such call
//! becomes an `fdatasync`. The store refuses to open if a flush did not come through here.

use std::sync::atomic::{AtomicU64, Ordering};

/// Calls so far in this process. A process has one libc, so this can't belong to a store.
static FLUSHES: AtomicU64 = AtomicU64::new(0);

/// How often sled has flushed through [`sync_file_range`] in this process.
pub(super) fn flush_count() -> u64 {
    FLUSHES.load(Ordering::Relaxed)
}

/// Stands in for the C library's function of the same name; writes the whole file's data, and the
/// metadata needed to read it, to the device. Returns 0, or -1 with `errno` set.
#[expect(
    unsafe_code,
    reason = "the symbol must have this very name to be found by the linker"
)]
#[unsafe(no_mangle)]
pub(super) extern "C" fn sync_file_range(
    fd: libc::c_int,
    _offset: libc::off64_t,
    _bytes: libc::off64_t,
    _flags: libc::c_uint,
) -> libc::c_int {
    FLUSHES.fetch_add(1, Ordering::Relaxed);
    // SAFETY: fdatasync takes any number and says EBADF if it is no descriptor.
    #[expect(
        unsafe_code,
        reason = "sled reads errno afterwards, so it must be the C call"
    )]
    unsafe {
        libc::fdatasync(fd)
    }
}
