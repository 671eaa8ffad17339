//! How long to wait before something that failed is tried again.

use std::time::Duration;

/// How much of a delay is left to chance, in parts of a hundred: what failed together is not tried again together.
pub const JITTER_PERCENT: u64 = 10;

/// A delay that doubles with each attempt, up to a bound.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Backoff {
    /// Before the first attempt.
    pub base: Duration,
    /// Never longer than this, chance included.
    pub max: Duration,
}

impl Backoff {
    /// Returns how long to wait before the attempt that follows `attempts` others: `base`, twice that, four times that and so on, up to
    /// `max`, and of that up to [`JITTER_PERCENT`] less, as `draw` has it, any number.
    pub fn delay(&self, attempts: u32, draw: u64) -> Duration {
        let factor = 1_u32.checked_shl(attempts).unwrap_or(u32::MAX);
        let whole = self.base.saturating_mul(factor).min(self.max);
        let micros = u64::try_from(whole.as_micros()).unwrap_or(u64::MAX);
        let share = micros / 100 * JITTER_PERCENT;
        Duration::from_micros(micros - draw % share.saturating_add(1))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn backoff(base_ms: u64, max_ms: u64) -> Backoff {
        Backoff { base: Duration::from_millis(base_ms), max: Duration::from_millis(max_ms) }
    }

    #[test]
    fn doubles_up_to_its_bound() {
        let delays: Vec<_> = (0..6).map(|attempts| backoff(1_000, 10_000).delay(attempts, 0).as_millis()).collect();
        assert_eq!(delays, [1_000, 2_000, 4_000, 8_000, 10_000, 10_000]);
        assert_eq!(backoff(1_000, 10_000).delay(u32::MAX, 0), Duration::from_secs(10));
        assert_eq!(backoff(1_000, 10_000).delay(1, 200_000), Duration::from_millis(1_800));
    }

    proptest! {
        #[test]
        fn stays_between_nine_tenths_and_the_whole(base in 1_u64..100_000, max in 1_u64..1_000_000, attempts in 0_u32..80, draw: u64) {
            let backoff = backoff(base, max);
            let (whole, delay) = (backoff.delay(attempts, 0), backoff.delay(attempts, draw));
            prop_assert!(delay <= whole && delay <= backoff.max);
            prop_assert!(delay.as_micros() * 100 >= whole.as_micros() * u128::from(100 - JITTER_PERCENT));
            prop_assert!(backoff.delay(attempts.saturating_add(1), 0) >= whole, "it never becomes shorter");
        }
    }
}
