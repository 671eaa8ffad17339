//! Memory of the whole program.
//!
//! Guests come and go by the thousand, and what one thread allocated another frees: jemalloc is fast at that, and gives back to the
//! system what they leave. The C library's allocator grew fivefold while hostile components came and went.

use tracing::debug;

#[global_allocator]
static ALLOCATOR: tikv_jemallocator::Jemalloc = tikv_jemallocator::Jemalloc;

/// Options of the allocator: pages that nobody uses go back after a second, those of a piece from 512 KiB on at once, so that one
/// stranger's bytes after the other take no more than the largest. Ended by a zero, as C has it.
///
/// `_RJEM_MALLOC_CONF` in the environment goes before this.
#[expect(unsafe_code, reason = "the allocator finds its options by this name before `main` runs")]
// SAFETY: jemalloc's own name for a pointer to text that ends with a zero, and nobody else's.
#[unsafe(export_name = "_rjem_malloc_conf")]
static OPTIONS: &[u8; 46] = b"dirty_decay_ms:1000,oversize_threshold:524288\0";

/// Gives memory back also while nothing is allocated, from a thread of the allocator's own. For a process that lives long.
pub(crate) fn give_back_in_background() {
    if let Err(error) = tikv_jemalloc_ctl::background_thread::write(true) {
        // A system where the allocator has no such threads: memory goes back at the next allocations.
        debug!(%error, "the allocator gives nothing back by itself");
    }
}
