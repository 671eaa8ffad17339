//! When the machine's host ran something else on a processor while a thread of this process had it.
//!
//! Such a thread stands still without knowing, and whoever it serves sees a pause that no program can avoid. The thread's own clock shows it:
//! time passed in which the thread neither computed, nor waited for a processor, nor slept.

use std::cell::RefCell;
use std::fs::File;
use std::os::unix::fs::FileExt as _;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use rustix::time::{ClockId, clock_gettime};

/// Shortest time between two looks of a thread.
const EVERY: Duration = Duration::from_millis(1);
/// Shortest time that counts as taken; less is within what a look costs.
const LEAST: Duration = Duration::from_micros(500);

/// What was taken from all threads that look, from and to.
static TAKEN: Mutex<Vec<(Instant, Instant)>> = Mutex::new(Vec::new());

thread_local! {
    static THREAD: RefCell<Option<(Files, Look)>> = const { RefCell::new(None) };
}

/// Where the system describes a thread.
struct Files {
    schedule: File,
    status: File,
}

/// What a thread knew of itself.
struct Look {
    at: Instant,
    /// For how long it computed or waited for a processor since it began.
    own: Duration,
    /// How often it went to sleep.
    slept: u64,
}

impl Files {
    fn open() -> Option<Self> {
        let open = |name| File::open(format!("/proc/thread-self/{name}")).ok();
        Some(Self { schedule: open("schedstat")?, status: open("status")? })
    }

    fn look(&self) -> Option<Look> {
        let mut bytes = [0; 4_096];
        let mut text = |file: &File| {
            let length = file.read_at(&mut bytes, 0).ok()?;
            Some(String::from_utf8_lossy(bytes.get(..length)?).into_owned())
        };
        let waited = text(&self.schedule)?.split_whitespace().nth(1)?.parse().ok()?;
        let slept = text(&self.status)?
            .lines()
            .find_map(|line| line.strip_prefix("voluntary_ctxt_switches:")?.trim().parse().ok())?;
        let clock = clock_gettime(ClockId::ThreadCPUTime);
        let computed = Duration::new(clock.tv_sec.try_into().ok()?, clock.tv_nsec.try_into().ok()?);
        Some(Look { at: Instant::now(), own: computed + Duration::from_nanos(waited), slept })
    }
}

/// Notes what was taken from this thread since it looked last. To be called again and again by a thread that is busy.
pub(crate) fn look() {
    THREAD.with_borrow_mut(|thread| {
        if thread.as_ref().is_some_and(|(_, before)| before.at.elapsed() < EVERY) {
            return;
        }
        let Some((files, before)) =
            thread.take().map(|(files, before)| (files, Some(before))).or_else(|| Some((Files::open()?, None)))
        else {
            return;
        };
        let Some(now) = files.look() else { return };
        if let Some(before) = before.filter(|before| before.slept == now.slept) {
            let taken = (now.at - before.at).saturating_sub(now.own - before.own);
            if taken >= LEAST {
                TAKEN.lock().unwrap_or_else(PoisonError::into_inner).push((now.at - taken, now.at));
            }
        }
        *thread = Some((files, now));
    });
}

/// Returns what was taken since the last time, in order and without overlaps.
pub(crate) fn taken() -> Vec<(Instant, Instant)> {
    let mut all = std::mem::take(&mut *TAKEN.lock().unwrap_or_else(PoisonError::into_inner));
    all.sort_unstable();
    let mut apart: Vec<(Instant, Instant)> = Vec::new();
    for (from, to) in all {
        match apart.last_mut() {
            Some(last) if from <= last.1 => last.1 = last.1.max(to),
            _ => apart.push((from, to)),
        }
    }
    apart
}

/// Returns how much of the time between `from` and `to` was not taken.
pub(crate) fn left(taken: &[(Instant, Instant)], from: Instant, to: Instant) -> Duration {
    let overlap = |(begun, ended): &(Instant, Instant)| to.min(*ended).saturating_duration_since(from.max(*begun));
    (to - from).saturating_sub(taken.iter().map(overlap).sum())
}
