//! How much room there is for instances, as far as is known without asking: asking the system costs more than making one.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::time::Duration;

use domain::Timestamp;
use domain::ports::{Mappings, ProcessLimits};
use tokio::sync::Notify;

/// After how many instances and units the mappings are counted for the first time: before, they cannot be many.
const FIRST_COUNT: u64 = 256;
/// After how many they are counted again at the earliest.
const COUNT_EVERY_MIN: u64 = 16;
/// How many may be made while somebody counts, which takes milliseconds.
const CLAIMED: u64 = 64;
/// Fewest and most mappings that an instance or a unit is taken to need; in between it is what was seen.
const EACH_MIN: u64 = 4;
const EACH_MAX: u64 = 256;
/// For how long a count of a process that has no room is believed, if nothing was dropped since.
const BELIEVED_FOR: Duration = Duration::from_millis(100);
/// Shortest and longest time between two looks for instances that were idle for too long.
const LOOK_EVERY: (Duration, Duration) = (Duration::from_millis(50), Duration::from_secs(30));
/// Time between two looks while mappings are short.
const LOOK_EVERY_TIGHT: Duration = Duration::from_secs(1);

/// What is known of the room for instances, and who looks after them.
pub(crate) struct Room {
    system: OnceLock<Arc<dyn ProcessLimits>>,
    /// Instances and units that this process made so far.
    made: AtomicU64,
    /// How many of them are made when the mappings are to be counted.
    count_at: AtomicU64,
    /// How many of them are made when there may be more instances than are to be kept.
    sweep_at: AtomicU64,
    /// Whether no more may be made.
    is_full: AtomicBool,
    /// Whether idle instances are to be dropped.
    is_tight: AtomicBool,
    /// Whether something was dropped since the last count.
    is_stale: AtomicBool,
    /// Shortest time after which an idle instance of anybody is dropped, in milliseconds.
    shortest_ttl_ms: AtomicU64,
    counted: Mutex<Counted>,
    /// Told when somebody has to look after the instances.
    pub(crate) wake: Notify,
}

/// The last count.
#[derive(Clone, Copy)]
struct Counted {
    mappings: Option<Mappings>,
    at: Timestamp,
    /// How many were made then.
    made: u64,
    /// How many mappings each of those made before it took.
    each: u64,
}

impl Default for Room {
    fn default() -> Self {
        Self {
            system: OnceLock::new(),
            made: AtomicU64::new(0),
            count_at: AtomicU64::new(u64::MAX),
            sweep_at: AtomicU64::new(u64::MAX),
            is_full: AtomicBool::new(false),
            is_tight: AtomicBool::new(false),
            is_stale: AtomicBool::new(false),
            shortest_ttl_ms: AtomicU64::new(u64::MAX),
            counted: Mutex::new(Counted { mappings: None, at: Timestamp::default(), made: 0, each: EACH_MIN }),
            wake: Notify::new(),
        }
    }
}

impl Room {
    /// Says whom to ask for mappings; without anybody there is always room.
    pub(crate) fn ask(&self, system: Arc<dyn ProcessLimits>) {
        // A registry is opened once.
        let _ = self.system.set(system);
        self.count_at.store(FIRST_COUNT, Ordering::Relaxed);
    }

    /// Hears that an instance or a unit was made.
    pub(crate) fn made(&self) {
        let made = self.made.fetch_add(1, Ordering::Relaxed) + 1;
        if made >= self.sweep_at.load(Ordering::Relaxed) || made >= self.count_at.load(Ordering::Relaxed) {
            self.wake.notify_one();
        }
    }

    /// Hears that instances or units were dropped.
    pub(crate) fn dropped(&self) {
        self.is_stale.store(true, Ordering::Relaxed);
    }

    /// Hears of a time after which an idle instance is dropped.
    pub(crate) fn expect_ttl(&self, ttl: Option<Duration>) {
        let Some(ttl) = ttl else { return };
        let millis = u64::try_from(ttl.as_millis()).unwrap_or(u64::MAX);
        if self.shortest_ttl_ms.fetch_min(millis, Ordering::Relaxed) > millis {
            // Whoever waits may wait for longer than that.
            self.wake.notify_one();
        }
    }

    /// Returns how many instances and units were made so far.
    pub(crate) fn made_so_far(&self) -> u64 {
        self.made.load(Ordering::Relaxed)
    }

    /// Hears that there were `live` instances when `made` were made, and that at most `most` are to be kept.
    pub(crate) fn expect_size(&self, made: u64, live: u64, most: Option<u64>) {
        let at = most.map_or(u64::MAX, |most| made.saturating_add(most.saturating_sub(live)).saturating_add(1));
        self.sweep_at.store(at, Ordering::Relaxed);
    }

    /// Returns how long to wait between two looks at the instances, `None` if there is nothing to wait for.
    pub(crate) fn look_every(&self) -> Option<Duration> {
        let tight = self.is_tight().then_some(LOOK_EVERY_TIGHT);
        let expiring = match self.shortest_ttl_ms.load(Ordering::Relaxed) {
            u64::MAX => None,
            millis => Some((Duration::from_millis(millis) / 4).clamp(LOOK_EVERY.0, LOOK_EVERY.1)),
        };
        tight.into_iter().chain(expiring).min()
    }

    /// Tells whether, at the last count, no more instances were to be made.
    pub(crate) fn is_full(&self) -> bool {
        self.is_full.load(Ordering::Relaxed)
    }

    /// Tells whether, at the last count, idle instances were to be dropped.
    pub(crate) fn is_tight(&self) -> bool {
        self.is_tight.load(Ordering::Relaxed)
    }

    /// Tells whether the mappings are to be counted before more is made: one of those who ask at about the same time.
    pub(crate) fn is_count_due(&self) -> bool {
        let (made, at) = (self.made.load(Ordering::Relaxed), self.count_at.load(Ordering::Relaxed));
        // Should whoever counts go away without having done it, the next is not far.
        let next = made.saturating_add(CLAIMED);
        self.is_full()
            || made >= at && self.count_at.compare_exchange(at, next, Ordering::Relaxed, Ordering::Relaxed).is_ok()
    }

    /// Returns the last count.
    pub(crate) fn known(&self) -> Option<Mappings> {
        self.counted().mappings
    }

    /// Returns the last count if it can still be believed, else counts.
    pub(crate) fn recent(&self, now: Timestamp) -> Option<Mappings> {
        let counted = *self.counted();
        let is_believed = !self.is_stale.load(Ordering::Relaxed) && now.since(counted.at) < BELIEVED_FOR;
        if self.is_full() && is_believed { counted.mappings } else { self.count(now) }
    }

    /// Counts the mappings, and plans when to do it again. Blocks.
    pub(crate) fn count(&self, now: Timestamp) -> Option<Mappings> {
        let made = self.made.load(Ordering::Relaxed);
        // Before the count: what is dropped while it goes on may be in it.
        self.is_stale.store(false, Ordering::Relaxed);
        let mappings = self.system.get().and_then(|system| system.mappings());
        let mut counted = self.counted();
        if let (Some(now), Some(before)) = (mappings, counted.mappings)
            && made.saturating_sub(counted.made) >= COUNT_EVERY_MIN
        {
            let each = now.count.saturating_sub(before.count) / (made - counted.made);
            counted.each = each.clamp(EACH_MIN, EACH_MAX);
        }
        *counted = Counted { mappings, at: now, made, ..*counted };
        let (next, is_tight, is_full) = match mappings {
            // Each quarter of the way is looked at anew.
            Some(mappings) => {
                let way = mappings.tight_at().saturating_sub(mappings.count);
                let next = (way / 4 / counted.each).max(COUNT_EVERY_MIN);
                (made.saturating_add(next), mappings.is_tight(), mappings.is_full_with(counted.each))
            }
            None => (u64::MAX, false, false),
        };
        drop(counted);
        self.count_at.store(next, Ordering::Relaxed);
        self.is_tight.store(is_tight, Ordering::Relaxed);
        self.is_full.store(is_full, Ordering::Relaxed);
        mappings
    }

    fn counted(&self) -> std::sync::MutexGuard<'_, Counted> {
        self.counted.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A process in which each thing made takes ten mappings.
    struct Tens(AtomicU64, u64);

    impl ProcessLimits for Tens {
        fn mappings(&self) -> Option<Mappings> {
            Some(Mappings { count: self.0.load(Ordering::Relaxed) * 10, limit: self.1 })
        }
    }

    fn make(room: &Room, system: &Tens, count: u64) {
        for _ in 0..count {
            system.0.fetch_add(1, Ordering::Relaxed);
            room.made();
        }
    }

    #[test]
    fn mappings_are_counted_the_more_often_the_fewer_are_left() {
        let room = Room::default();
        let system = Arc::new(Tens(AtomicU64::new(0), 65_530));
        room.ask(system.clone());
        let (mut counts, mut total) = (Vec::new(), 0);
        while !room.is_full() && counts.len() < 1_000 {
            make(&room, &system, 1);
            total += 1;
            if room.is_count_due() {
                room.count(Timestamp::default());
                counts.push(total);
            }
        }
        assert_eq!(counts[0], FIRST_COUNT);
        let gaps: Vec<_> = counts.windows(2).map(|two| two[1] - two[0]).collect();
        assert!(gaps[0] > 1_000 && gaps.last() == Some(&COUNT_EVERY_MIN), "{gaps:?}");
        // Between 95 of 100 and what is made until the next count.
        let most = 65_530 * 95 / 100;
        assert!((most..most + 200).contains(&(total * 10 + 10)), "{total}");
        assert!(counts.len() < 150, "{} counts", counts.len());
    }

    #[test]
    fn a_full_process_has_room_again_once_something_was_dropped() {
        let room = Room::default();
        let system = Arc::new(Tens(AtomicU64::new(96), 1_000));
        room.ask(system.clone());
        let now = Timestamp::from_micros(1_000_000);
        assert!(room.count(now).is_some() && room.is_full() && room.is_count_due());
        system.0.store(10, Ordering::Relaxed);
        assert_eq!(room.recent(now).map(|mappings| mappings.count), Some(960), "not asked twice for the same");
        room.dropped();
        assert_eq!(room.recent(now).map(|mappings| mappings.count), Some(100));
        assert!(!room.is_full());
    }

    #[test]
    fn without_a_system_that_tells_there_is_always_room() {
        let room = Room::default();
        for _ in 0..10_000 {
            room.made();
        }
        assert!(!room.is_count_due() && room.look_every().is_none());
        assert_eq!(room.count(Timestamp::default()), None);
        assert!(!room.is_full());
    }

    #[test]
    fn somebody_looks_at_least_as_often_as_the_shortest_time_asks_for() {
        let room = Room::default();
        room.expect_ttl(None);
        assert_eq!(room.look_every(), None);
        room.expect_ttl(Some(Duration::from_secs(3_600)));
        assert_eq!(room.look_every(), Some(LOOK_EVERY.1));
        room.expect_ttl(Some(Duration::from_secs(2)));
        assert_eq!(room.look_every(), Some(Duration::from_millis(500)));
        room.expect_ttl(Some(Duration::from_secs(9)));
        room.expect_ttl(Some(Duration::from_millis(100)));
        assert_eq!(room.look_every(), Some(LOOK_EVERY.0));
    }

    #[tokio::test]
    async fn whoever_looks_is_told_when_there_may_be_too_many() {
        let room = Room::default();
        room.expect_size(0, 1, Some(3));
        let told = async |room: &Room| tokio::time::timeout(Duration::ZERO, room.wake.notified()).await.is_ok();
        room.made();
        room.made();
        assert!(!told(&room).await);
        room.made();
        assert!(told(&room).await);
        room.expect_size(3, 3, None);
        room.made();
        assert!(!told(&room).await);
    }
}
