//! What one compilation may use.

use std::time::Duration;

use domain::settings::CompileSettings;

/// Size from which on a component gets the whole of what the settings allow, in bytes; smaller ones get a share.
pub(super) const WHOLE_FROM: u64 = 16 << 20;

/// The share that even the smallest component gets is one part of so many.
const SMALLEST_SHARE: u64 = 16;

/// The bounds of one compilation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Allowance {
    /// Memory beyond what the worker itself takes, in bytes.
    pub(crate) memory_bytes: u64,
    /// Processor time of all its threads together.
    pub(crate) cpu: Duration,
    /// Time by the clock on the wall.
    pub(crate) wall: Duration,
}

impl Allowance {
    /// Returns what a component of `size` bytes gets: what a compiler needs grows with the size, so that a small bomb dies early.
    pub(crate) fn of(settings: &CompileSettings, size: u64) -> Self {
        let share = |whole: u64| {
            let shared = u128::from(whole) * u128::from(size.clamp(WHOLE_FROM / SMALLEST_SHARE, WHOLE_FROM));
            u64::try_from(shared / u128::from(WHOLE_FROM)).unwrap_or(whole)
        };
        Self {
            memory_bytes: share(settings.memory_bytes),
            cpu: Duration::from_millis(share(settings.cpu_ms)),
            wall: Duration::from_millis(share(settings.wall_ms)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_component_gets_its_share_and_never_more_than_the_whole() {
        let settings =
            CompileSettings { memory_bytes: 16 << 30, cpu_ms: 160_000, wall_ms: 320_000, ..Default::default() };
        let of = |size| {
            let allowance = Allowance::of(&settings, size);
            (allowance.memory_bytes >> 30, allowance.cpu.as_secs(), allowance.wall.as_secs())
        };
        assert_eq!(of(0), (1, 10, 20));
        assert_eq!(of(1 << 20), (1, 10, 20));
        assert_eq!(of(8 << 20), (8, 80, 160));
        assert_eq!(of(16 << 20), (16, 160, 320));
        assert_eq!(of(64 << 20), (16, 160, 320));
    }
}
