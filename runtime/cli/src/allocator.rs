//! Memory of the whole program.
//!
//! Guests come and go by the thousand, and what one thread allocated another frees: jemalloc is fast at that, and gives back to the
//! system what they leave. The C library's allocator grew fivefold while hostile components came and went.

use tikv_jemalloc_ctl::{Error, background_thread, raw};
use tracing::debug;

#[global_allocator]
static ALLOCATOR: tikv_jemallocator::Jemalloc = tikv_jemallocator::Jemalloc;

/// Options of the allocator: pages that nobody uses are kept, since giving them back interrupts every thread, and most commands end soon;
/// those of a piece from 512 KiB on go back at once, so that one stranger's bytes after the other take no more than the largest. Ended
/// by a zero, as C has it.
///
/// `_RJEM_MALLOC_CONF` in the environment goes before this.
#[expect(unsafe_code, reason = "the allocator finds its options by this name before `main` runs")]
// SAFETY: jemalloc's own name for a pointer to text that ends with a zero, and nobody else's.
#[unsafe(export_name = "_rjem_malloc_conf")]
static OPTIONS: &[u8; 44] = b"dirty_decay_ms:-1,oversize_threshold:524288\0";

/// For how long pages that nobody uses are kept from then on, in milliseconds.
const KEPT_MS: isize = 1_000;
/// What the allocator says of an arena that keeps them for ever.
const FOR_EVER: isize = -1;

/// Gives pages that nobody uses back after a second, from a thread of the allocator's own. For a process that lives long, once it has
/// started.
pub(crate) fn give_back_in_background() {
    let begun = give_back_after(KEPT_MS).and_then(|()| background_thread::write(true));
    if let Err(error) = begun {
        // A system where the allocator has no such threads: memory goes back at the next allocations.
        debug!(%error, "the allocator gives nothing back by itself");
    }
}

/// Sets how long arenas that keep pages for ever keep them, those that are there and those to come.
#[expect(unsafe_code, reason = "the allocator's settings have no safe names")]
fn give_back_after(millis: isize) -> Result<(), Error> {
    // SAFETY: the allocator has these settings with these types, `ssize_t` and `unsigned`; the names end with a zero.
    unsafe {
        if raw::read::<isize>(b"arenas.dirty_decay_ms\0")? == FOR_EVER {
            raw::write(b"arenas.dirty_decay_ms\0", millis)?;
        }
        for arena in 0..raw::read::<u32>(b"arenas.narenas\0")? {
            let name = format!("arena.{arena}.dirty_decay_ms\0");
            // Others are not there yet, or as whoever started the program wanted them, or for large pieces, which are never kept.
            if raw::read::<isize>(name.as_bytes()).is_ok_and(|kept| kept == FOR_EVER) {
                raw::write(name.as_bytes(), millis)?;
            }
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    #[expect(unsafe_code, reason = "the allocator's settings have no safe names")]
    fn pages_are_kept_until_somebody_asks_for_their_return() {
        // SAFETY: as above.
        let kept = |name: &[u8]| unsafe { raw::read::<isize>(name) };
        assert_eq!(kept(b"opt.dirty_decay_ms\0"), Ok(FOR_EVER));
        give_back_after(500).unwrap();
        assert_eq!(kept(b"arenas.dirty_decay_ms\0"), Ok(500));
        assert_eq!(kept(b"arena.0.dirty_decay_ms\0"), Ok(500));
    }
}
