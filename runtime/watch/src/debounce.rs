//! Waits until nothing has changed for a moment. Time comes in as a value.

use std::collections::BTreeSet;
use std::path::PathBuf;
use std::time::{Duration, Instant};

/// How often the quiet time something may be put off that goes on changing.
const LONGEST: u32 = 20;

/// Collects what changed until it was quiet.
///
/// All that changes before it is quiet is one burst, also of several components: a change of branch, say. Something that never stops
/// changing is handed out after twenty times the quiet time.
#[derive(Debug)]
pub(crate) struct Debounce {
    quiet: Duration,
    waiting: BTreeSet<PathBuf>,
    /// When the first and the last change of the burst came.
    burst: Option<(Instant, Instant)>,
}

impl Debounce {
    /// Makes one that hands out what changed once nothing changed for `quiet`.
    pub(crate) fn new(quiet: Duration) -> Self {
        Self { quiet, waiting: BTreeSet::new(), burst: None }
    }

    /// Takes down a change of the component at `path`.
    pub(crate) fn mark(&mut self, path: PathBuf, now: Instant) {
        self.waiting.insert(path);
        self.stir(now);
    }

    /// Takes down that something changed which belongs to no component.
    pub(crate) fn stir(&mut self, now: Instant) {
        let (first, _) = self.burst.unwrap_or((now, now));
        self.burst = Some((first, now));
    }

    /// Returns when the burst is over, if nothing more comes.
    pub(crate) fn due_at(&self) -> Option<Instant> {
        let (first, last) = self.burst?;
        Some((last + self.quiet).min(first + self.quiet * LONGEST))
    }

    /// Returns the components that changed, once the burst is over.
    pub(crate) fn take(&mut self, now: Instant) -> Option<BTreeSet<PathBuf>> {
        if self.due_at()? > now {
            return None;
        }
        self.burst = None;
        Some(std::mem::take(&mut self.waiting))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const QUIET: Duration = Duration::from_millis(100);

    fn after(start: Instant, ms: u64) -> Instant {
        start + Duration::from_millis(ms)
    }

    fn paths(names: &[&str]) -> BTreeSet<PathBuf> {
        names.iter().map(PathBuf::from).collect()
    }

    #[test]
    fn a_storm_of_changes_is_handed_out_once_it_is_quiet() {
        let start = Instant::now();
        let mut debounce = Debounce::new(QUIET);
        for ms in (0..500).step_by(50) {
            debounce.mark("a".into(), after(start, ms));
            assert_eq!(debounce.take(after(start, ms)), None);
        }
        assert_eq!(debounce.due_at(), Some(after(start, 550)));
        assert_eq!(debounce.take(after(start, 549)), None);
        assert_eq!(debounce.take(after(start, 550)), Some(paths(&["a"])));
        assert_eq!((debounce.due_at(), debounce.take(after(start, 9_000))), (None, None));
    }

    #[test]
    fn what_changes_in_one_burst_is_handed_out_together() {
        let start = Instant::now();
        let mut debounce = Debounce::new(QUIET);
        debounce.mark("a".into(), start);
        debounce.mark("b".into(), after(start, 90));
        assert_eq!(debounce.take(after(start, 150)), None);
        assert_eq!(debounce.take(after(start, 190)), Some(paths(&["a", "b"])));
        debounce.mark("b".into(), after(start, 200));
        assert_eq!(debounce.take(after(start, 300)), Some(paths(&["b"])));
    }

    #[test]
    fn what_never_stops_changing_is_not_put_off_for_ever() {
        let start = Instant::now();
        let mut debounce = Debounce::new(QUIET);
        let mut handed_out = Vec::new();
        for ms in (0..5_000).step_by(50) {
            debounce.mark("a".into(), after(start, ms));
            if debounce.take(after(start, ms)).is_some() {
                handed_out.push(ms);
            }
        }
        assert_eq!(handed_out, [2_000, 4_050]);
    }

    #[test]
    fn a_change_of_nobody_ends_as_an_empty_burst() {
        let start = Instant::now();
        let mut debounce = Debounce::new(QUIET);
        debounce.stir(start);
        assert_eq!(debounce.take(after(start, 100)), Some(paths(&[])));
    }
}
