//! How often something may be done within a window.

use std::collections::VecDeque;
use std::time::Duration;

use crate::time::Timestamp;

/// What was spent of a budget of so many times within a window that moves with the clock, as supervisors of Erlang's OTP count restarts.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Budget {
    spent: VecDeque<Timestamp>,
}

impl Budget {
    /// Returns how often it was spent within the `window` that ends `now`.
    pub fn used(&self, window: Duration, now: Timestamp) -> u32 {
        let recent = self.spent.iter().filter(|at| now.since(**at) < window).count();
        u32::try_from(recent).unwrap_or(u32::MAX)
    }

    /// Spends one of the `max` times that there are within `window`; `false`, and nothing is spent, if there is none left.
    pub fn take(&mut self, max: u32, window: Duration, now: Timestamp) -> bool {
        self.spent.retain(|at| now.since(*at) < window);
        let is_left = self.spent.len() < max as usize;
        if is_left {
            self.spent.push_back(now);
        }
        is_left
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn at(seconds: i64) -> Timestamp {
        Timestamp::from_micros(seconds * 1_000_000)
    }

    #[test]
    fn what_is_spent_comes_back_when_the_window_has_moved_on() {
        let window = Duration::from_secs(10);
        let mut budget = Budget::default();
        assert!(budget.take(2, window, at(0)) && budget.take(2, window, at(5)));
        assert!(!budget.take(2, window, at(9)));
        assert_eq!(budget.used(window, at(9)), 2);
        assert!(budget.take(2, window, at(10)), "the first is ten seconds ago");
        assert!(!budget.take(2, window, at(11)));
        assert!(!budget.take(0, window, at(100)));
    }

    proptest! {
        #[test]
        fn is_never_spent_more_often_than_allowed_within_any_window(steps in prop::collection::vec(0_i64..20, 1..60), max in 1_u32..5) {
            let window = Duration::from_secs(10);
            let (mut budget, mut now, mut taken) = (Budget::default(), 0, Vec::new());
            for step in steps {
                now += step;
                if budget.take(max, window, at(now)) {
                    taken.push(now);
                }
            }
            for first in &taken {
                let within = taken.iter().filter(|other| (*first..first + 10).contains(*other)).count();
                prop_assert!(within <= max as usize);
            }
        }
    }
}
