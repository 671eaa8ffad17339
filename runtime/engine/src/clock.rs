//! Time for accounting: how long a call took, read at the price of an instruction or two.
//!
//! The system's clock costs a call between two components a fifth of its time. On processors whose cycle counter runs at one rate at
//! all times, durations are counted in its cycles; the ticker finds out how long a cycle is.

use std::sync::OnceLock;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

/// Bits behind the point of [`RATE`].
const RATE_BITS: u32 = 32;

/// Shortest time that is measured: what reading both clocks takes is less than a hundredth of it.
const MEASURED_MIN: Duration = Duration::from_micros(20);

/// How long the rate is measured until it is known well enough.
const MEASURED: Duration = Duration::from_secs(2);

/// How often both clocks are read, for the two readings that are closest.
const READINGS: usize = 4;

/// Nanoseconds per count, as a number with [`RATE_BITS`] bits behind the point; zero until it was measured.
static RATE: AtomicU64 = AtomicU64::new(0);

/// Where counting began.
static BASE: OnceLock<(u64, Instant)> = OnceLock::new();

/// Measures how long something takes. Never later than the system's clock by more than a thousandth.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Stopwatch(u64);

impl Stopwatch {
    pub(crate) fn start() -> Self {
        Self(count())
    }

    /// Returns the time since the start in nanoseconds.
    pub(crate) fn nanos(self) -> u64 {
        let counted = count().saturating_sub(self.0);
        let rate = match RATE.load(Ordering::Relaxed) {
            0 => measure(),
            rate => rate,
        };
        let nanos = (u128::from(counted) * u128::from(rate)) >> RATE_BITS;
        u64::try_from(nanos).unwrap_or(u64::MAX)
    }

    pub(crate) fn elapsed(self) -> Duration {
        Duration::from_nanos(self.nanos())
    }
}

/// Measures the rate again, for as long as that makes it better. The ticker calls it.
pub(crate) fn calibrate() {
    if base().1.elapsed() < MEASURED || RATE.load(Ordering::Relaxed) == 0 {
        measure();
    }
}

fn base() -> (u64, Instant) {
    *BASE.get_or_init(both_at_once)
}

fn measure() -> u64 {
    let (begun, at) = base();
    // Only where counting has just begun.
    while at.elapsed() < MEASURED_MIN {
        std::hint::spin_loop();
    }
    let (counted, now) = both_at_once();
    let (nanos, counted) = (now.saturating_duration_since(at).as_nanos(), counted.saturating_sub(begun));
    let rate = (nanos << RATE_BITS).checked_div(u128::from(counted)).and_then(|rate| u64::try_from(rate).ok());
    // Nothing has been counted yet: a count is as good as a nanosecond, until there is something to divide.
    let rate = rate.filter(|rate| *rate > 0).unwrap_or(1 << RATE_BITS);
    RATE.store(rate, Ordering::Relaxed);
    rate
}

/// Reads both clocks. A thread that has to wait between two readings reads again.
fn both_at_once() -> (u64, Instant) {
    let read = || {
        let before = count();
        let now = Instant::now();
        let after = count();
        (after.saturating_sub(before), before.midpoint(after), now)
    };
    let (_, counted, now) = (1..READINGS).fold(read(), |best, _| {
        let next = read();
        if next.0 < best.0 { next } else { best }
    });
    (counted, now)
}

#[cfg(target_arch = "x86_64")]
fn count() -> u64 {
    /// Whether the cycle counter runs at one rate, asleep or awake.
    static STEADY: OnceLock<bool> = OnceLock::new();
    if *STEADY.get_or_init(has_steady_counter) { cycles() } else { system_nanos() }
}

#[cfg(not(target_arch = "x86_64"))]
fn count() -> u64 {
    system_nanos()
}

#[cfg(target_arch = "x86_64")]
#[expect(unsafe_code, reason = "instructions of the processor")]
fn cycles() -> u64 {
    // SAFETY: every x86-64 processor has the instruction, and systems that forbid it to programs do not tell of a steady counter.
    unsafe { std::arch::x86_64::_rdtsc() }
}

#[cfg(target_arch = "x86_64")]
fn has_steady_counter() -> bool {
    use std::arch::x86_64::__cpuid;
    const POWER: u32 = 0x8000_0007;
    __cpuid(0x8000_0000).eax >= POWER && __cpuid(POWER).edx & (1 << 8) != 0
}

fn system_nanos() -> u64 {
    static BEGAN: OnceLock<Instant> = OnceLock::new();
    u64::try_from(BEGAN.get_or_init(Instant::now).elapsed().as_nanos()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counts_the_time_that_the_system_counts() {
        let (began, watch) = (Instant::now(), Stopwatch::start());
        std::thread::sleep(Duration::from_millis(50));
        measure();
        let (counted, system) = (watch.elapsed(), began.elapsed());
        assert!(counted <= system + Duration::from_millis(5), "{counted:?}, {system:?}");
        assert!(counted >= Duration::from_millis(45), "{counted:?}");
    }
}
