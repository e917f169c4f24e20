//! The C library's allocator, bounded. Of itself it keeps a heap for every few threads; what one
//! thread allocates and another frees, as sled's pages are, then leaves holes in all of them. With a
//! million recipients in line memory went on growing for a minute; see docs/performance.md.

/// Heaps of the process: two, so that the committer and the sessions don't wait for each other.
#[cfg(target_env = "gnu")]
const HEAPS_MAX: libc::c_int = 2;

/// Bounds the heaps. To be called before there are threads. Without effect where the C library is
/// another one.
pub(super) fn bound_heaps() {
    #[cfg(target_env = "gnu")]
    {
        // SAFETY: mallopt takes any values; of those that it does not know it makes nothing.
        #[expect(unsafe_code, reason = "the C library has no other way to be told")]
        unsafe {
            libc::mallopt(libc::M_ARENA_MAX, HEAPS_MAX);
        }
    }
}
