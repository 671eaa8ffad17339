/// Says what the system lets this process have.
pub trait ProcessLimits: Send + Sync {
    /// Counts the ranges of memory that the process has mapped; `None` where the system has no bound for that, or does not say.
    ///
    /// Blocks: the system lists them all, which takes about a millisecond for two thousand.
    fn mappings(&self) -> Option<Mappings>;
}

/// How many ranges of memory a process has mapped, and how many it may have.
///
/// Each instance takes some for its memories and stacks, and so does each component for its native code. A process at the bound can
/// map no more memory at all, so instances are dropped well before it, and no more are made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Mappings {
    /// Those that there are.
    pub count: u64,
    /// Most that there may be.
    pub limit: u64,
}

/// Of a hundred mappings that there may be, from how many on idle instances are dropped.
pub const TIGHT_PERCENT: u64 = 94;
/// Of a hundred mappings that there may be, down to how many they are dropped, so that not every instance that is made costs another its life.
const EASED_PERCENT: u64 = 90;
/// Of a hundred mappings that there may be, from how many on no more instances are made.
pub const FULL_PERCENT: u64 = 97;

impl Mappings {
    /// Returns how many of a hundred there are, 100 if there may be none.
    pub fn percentage(&self) -> f64 {
        if self.limit == 0 { 100.0 } else { self.count as f64 / self.limit as f64 * 100.0 }
    }

    /// Returns from how many on idle instances are dropped.
    pub fn tight_at(&self) -> u64 {
        self.share(TIGHT_PERCENT)
    }

    /// Returns from how many on no more instances are made.
    pub fn full_at(&self) -> u64 {
        self.share(FULL_PERCENT)
    }

    /// Tells whether idle instances are to be dropped.
    pub fn is_tight(&self) -> bool {
        self.count > self.tight_at()
    }

    /// Tells whether enough of them were dropped.
    pub fn is_eased(&self) -> bool {
        self.count <= self.share(EASED_PERCENT)
    }

    /// Tells whether `more` would be too many.
    pub fn is_full_with(&self, more: u64) -> bool {
        self.count.saturating_add(more) > self.full_at()
    }

    fn share(&self, percent: u64) -> u64 {
        // Divided first: the bound may be any number that fits.
        self.limit / 100 * percent + self.limit % 100 * percent / 100
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn idle_instances_go_before_the_bound_and_no_more_come_short_of_it() {
        let of = |count| Mappings { count, limit: 65_530 };
        assert_eq!((of(61_598).is_tight(), of(61_599).is_tight()), (false, true));
        assert_eq!((of(58_977).is_eased(), of(58_978).is_eased()), (true, false));
        assert_eq!((of(63_556).is_full_with(8), of(63_557).is_full_with(8)), (false, true));
        assert!((of(32_765).percentage() - 50.0).abs() < f64::EPSILON);
    }

    #[test]
    fn any_bound_can_be_counted_with() {
        let most = Mappings { count: u64::MAX, limit: u64::MAX };
        assert!(most.is_tight() && most.is_full_with(u64::MAX) && !most.is_eased());
        let none = Mappings { count: 0, limit: 0 };
        assert!(none.is_full_with(1) && !none.is_tight() && none.percentage() == 100.0);
    }
}
