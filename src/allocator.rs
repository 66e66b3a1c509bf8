//! The static binary's allocator: musl's own maps and unmaps memory all the time, which costs more than
//! all else that a run with nothing to do does.

use libmimalloc_sys::{mi_option_set, mi_option_t};
use mimalloc::MiMalloc;

#[global_allocator]
static ALLOCATOR: MiMalloc = MiMalloc;

/// `mi_option_purge_delay` of mimalloc 3, which the bindings have no name for.
const PURGE_DELAY: mi_option_t = 15;

/// Gives memory that is freed back to the system at once, not after a second: a run may last long, and
/// hold pictures of large stores before and after it. For what begins many times and ends soon, the
/// second is faster.
#[expect(unsafe_code, reason = "the allocator's options are set by C")]
pub(crate) fn give_back_at_once() {
    // SAFETY: sets a number that the allocator reads whenever it frees a page.
    unsafe { mi_option_set(PURGE_DELAY, 0) };
}
