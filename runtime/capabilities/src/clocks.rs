//! `wasi:clocks`: the time of day and a clock that only goes forward, both by the millisecond unless more is granted.

use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use engine::{Capability, InstanceSpec, StoreState};
use wasmtime::component::Linker;
use wasmtime_wasi::WasiCtxBuilder;
use wasmtime_wasi::clocks::{HostMonotonicClock, HostWallClock, WasiClocks, WasiClocksCtxView};
use wasmtime_wasi::p2::bindings::clocks::{monotonic_clock, wall_clock};
use wasmtime_wasi::{WasiCtx, clocks};

/// What clocks go by without a grant: a finer one tells a guest how long its neighbours' memory accesses take.
pub const COARSE_TICK: Duration = Duration::from_millis(1);

/// Tells guests the time; the monotonic clock begins anew with each instance.
pub struct ClocksCapability;

/// The clocks of a WASI context; only the builder can set them.
struct ClocksCtx(WasiCtx);

fn view(state: &mut StoreState) -> WasiClocksCtxView<'_> {
    let (ctx, table) = state.part::<ClocksCtx>();
    WasiClocksCtxView { ctx: ctx.0.clocks(), table }
}

impl Capability for ClocksCapability {
    fn name(&self) -> &'static str {
        "clocks"
    }

    fn interfaces(&self) -> &'static [&'static str] {
        &["wasi:clocks/monotonic-clock@0.2.12", "wasi:clocks/wall-clock@0.2.12"]
    }

    fn link(&self, interface: &str, linker: &mut Linker<StoreState>) -> wasmtime::Result<()> {
        match interface {
            "wasi:clocks/monotonic-clock@0.2.12" => monotonic_clock::add_to_linker::<_, WasiClocks>(linker, view),
            _ => wall_clock::add_to_linker::<_, WasiClocks>(linker, view),
        }
    }

    fn may_wait(&self, _: &str) -> bool {
        false
    }

    fn prepare(&self, instance: &InstanceSpec, state: &mut StoreState) -> Result<(), String> {
        let mut builder = WasiCtxBuilder::new();
        if instance.grants.has_precise_clocks() {
            builder.wall_clock(clocks::WallClock::new()).monotonic_clock(clocks::MonotonicClock::new());
        } else {
            builder.wall_clock(CoarseWallClock).monotonic_clock(CoarseMonotonicClock(Instant::now()));
        }
        state.insert(ClocksCtx(builder.build()));
        Ok(())
    }
}

/// The time of day, cut to [`COARSE_TICK`].
struct CoarseWallClock;

impl HostWallClock for CoarseWallClock {
    fn resolution(&self) -> Duration {
        COARSE_TICK
    }

    fn now(&self) -> Duration {
        // A host whose clock stands before 1970 has no time to tell.
        coarse(SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default())
    }
}

/// The time since the instance was made, cut to [`COARSE_TICK`], beginning with one: Go's runtime takes a clock that says zero for one
/// that is broken, and most instances ask within their first millisecond.
struct CoarseMonotonicClock(Instant);

impl HostMonotonicClock for CoarseMonotonicClock {
    fn resolution(&self) -> u64 {
        nanos(COARSE_TICK)
    }

    fn now(&self) -> u64 {
        nanos(coarse(self.0.elapsed().saturating_add(COARSE_TICK)))
    }
}

fn coarse(time: Duration) -> Duration {
    let beyond = time.as_nanos() % COARSE_TICK.as_nanos();
    // The rest of a division by a millisecond fits.
    time.saturating_sub(Duration::from_nanos(u64::try_from(beyond).unwrap_or_default()))
}

fn nanos(time: Duration) -> u64 {
    u64::try_from(time.as_nanos()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_clock_that_only_goes_forward_never_says_zero() {
        let first = CoarseMonotonicClock(Instant::now()).now();
        assert!(first >= 1_000_000 && first.is_multiple_of(1_000_000), "{first}");
    }

    #[test]
    fn time_is_cut_to_the_millisecond_below() {
        assert_eq!(coarse(Duration::from_nanos(5_999_999)), Duration::from_millis(5));
        assert_eq!(coarse(Duration::from_secs(7)), Duration::from_secs(7));
        assert_eq!(nanos(Duration::MAX), u64::MAX);
    }
}
