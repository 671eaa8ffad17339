//! The health of a whole registry: only its changes are worth a word.

/// Whether the health of a registry was below its threshold when it was looked at last.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Pulse {
    is_low: bool,
}

/// The health of a registry crossed its threshold.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Beat {
    /// It fell below.
    Fell,
    /// It is no longer below.
    Rose,
}

impl Pulse {
    /// Takes what was seen now; the answer is `None` for as long as it stays on the same side. What is equal to the threshold is not
    /// below it.
    pub fn see(&mut self, percentage: f64, threshold: f64) -> Option<Beat> {
        let is_low = percentage < threshold;
        if std::mem::replace(&mut self.is_low, is_low) == is_low {
            return None;
        }
        Some(if is_low { Beat::Fell } else { Beat::Rose })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_edges_are_told() {
        let mut pulse = Pulse::default();
        let seen: Vec<_> = [100.0, 80.0, 79.9, 10.0, 79.0, 80.0, 100.0, 0.0]
            .into_iter()
            .map(|percentage| pulse.see(percentage, 80.0))
            .collect();
        assert_eq!(seen, [None, None, Some(Beat::Fell), None, None, Some(Beat::Rose), None, Some(Beat::Fell)]);
    }
}
