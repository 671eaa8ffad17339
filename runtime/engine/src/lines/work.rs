//! A bound on what reading debug information may cost.

/// Most steps for one component: about a second of an optimised build, and several times what the largest real ones take.
const STEPS_MAX: u64 = 64 << 20;

/// Bytes that are passed over in one step.
const STEP_BYTES: u64 = 8;

/// Steps that are left. Each is worth a bounded, small amount of time, whatever the bytes say.
pub(super) struct Work {
    left: u64,
}

impl Default for Work {
    fn default() -> Self {
        Self { left: STEPS_MAX }
    }
}

impl Work {
    /// Takes steps; `None` once there are none.
    pub(super) fn spend(&mut self, steps: u64) -> Option<()> {
        let left = self.left.checked_sub(steps);
        self.left = left.unwrap_or(0);
        left.map(|_| ())
    }

    /// Takes the steps for passing over so many bytes.
    pub(super) fn pass(&mut self, bytes: usize) -> Option<()> {
        self.spend(1 + bytes as u64 / STEP_BYTES)
    }
}
