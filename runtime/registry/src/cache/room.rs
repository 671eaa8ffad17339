//! How much room there is for instances, as far as is known without asking: asking the system costs more than making a thousand. The
//! engine knows how many mappings it has at most, so the system is asked once they could have become too many.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::time::Duration;

use domain::Timestamp;
use domain::ports::{Mappings, ProcessLimits};
use tokio::sync::Notify;

/// From how many mappings that the engine knows of on they are counted for the first time, which tells how many others have.
const FIRST_COUNT: u64 = 256;
/// After how many more they are counted again, which tells how well the engine knows: an eighth of what systems usually allow.
const TRIAL: u64 = 8_192;
/// By how many they grow at least until they are counted again.
const COUNT_EVERY_MIN: u64 = 256;
/// By how many they may grow at most while somebody counts, which takes up to a tenth of a second.
const CLAIMED_MAX: u64 = 4_096;
/// By how many they have to grow to tell how well the engine knows.
const TELLING: u64 = 1_024;
/// In percent, fewest and most mappings that there are for each hundred of which the engine knows.
const KNOWN: (u64, u64) = (100, 1_600);
/// What is left free for whoever is being made already.
const SPARE: u64 = 64;
/// For how long a count of a process that has no room is believed, if nothing was dropped since.
const BELIEVED_FOR: Duration = Duration::from_millis(100);
/// Shortest and longest time between two looks for instances that were idle for too long.
const LOOK_EVERY: (Duration, Duration) = (Duration::from_millis(50), Duration::from_secs(30));
/// Time between two looks while mappings are short.
const LOOK_EVERY_TIGHT: Duration = Duration::from_secs(1);

/// What is known of the room for instances, and who looks after them.
pub(crate) struct Room {
    system: OnceLock<(Arc<dyn ProcessLimits>, Mapped)>,
    /// Instances and units that this process made so far.
    made: AtomicU64,
    /// How many of them are made when there may be more instances than are to be kept.
    sweep_at: AtomicU64,
    /// Of how many mappings the engine knows when they are to be counted.
    count_at: AtomicU64,
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

/// Tells of how many mappings the engine knows.
type Mapped = Box<dyn Fn() -> u64 + Send + Sync>;

/// The last count.
#[derive(Clone, Copy)]
struct Counted {
    mappings: Option<Mappings>,
    at: Timestamp,
    /// Of how many the engine knew then.
    known: u64,
    /// Instances and units that were made until then.
    made: u64,
    /// In percent, how many there were more for each that the engine knew of more, once enough were made to tell.
    more: Option<u64>,
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
            counted: Mutex::new(Counted { mappings: None, at: Timestamp::default(), known: 0, made: 0, more: None }),
            wake: Notify::new(),
        }
    }
}

impl Room {
    /// Says whom to ask for mappings, and who knows of how many; without anybody there is always room.
    pub(crate) fn ask(&self, system: Arc<dyn ProcessLimits>, mapped: Mapped) {
        // A registry is opened once.
        let _ = self.system.set((system, mapped));
        self.count_at.store(FIRST_COUNT, Ordering::Relaxed);
    }

    /// Hears that an instance or a unit was made.
    pub(crate) fn made(&self) {
        let made = self.made.fetch_add(1, Ordering::Relaxed) + 1;
        if made >= self.sweep_at.load(Ordering::Relaxed) || self.mapped() >= self.count_at.load(Ordering::Relaxed) {
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
        let (known, at) = (self.mapped(), self.count_at.load(Ordering::Relaxed));
        if known < at {
            return self.is_full();
        }
        // Should whoever counts go away without having done it, the next is not far.
        let next = known.saturating_add((self.left(known) / 4).clamp(SPARE, CLAIMED_MAX));
        self.is_full() || self.count_at.compare_exchange(at, next, Ordering::Relaxed, Ordering::Relaxed).is_ok()
    }

    /// Returns how many mappings are left until no more instances are made, when the engine knows of `known`.
    fn left(&self, known: u64) -> u64 {
        let counted = *self.counted();
        let Some(mappings) = counted.mappings else { return CLAIMED_MAX };
        let grown = known.saturating_sub(counted.known).saturating_mul(counted.more.unwrap_or(KNOWN.0)) / 100;
        mappings.full_at().saturating_sub(mappings.count.saturating_add(grown))
    }

    /// Has the mappings counted, if anything was made since they were: others than the engine may have made some.
    pub(crate) fn count_again(&self) {
        if self.made_so_far() > self.counted().made {
            self.count_at.store(0, Ordering::Relaxed);
        }
    }

    /// Returns of how many mappings the engine knows.
    fn mapped(&self) -> u64 {
        self.system.get().map_or(0, |(_, mapped)| mapped())
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
        let (known, made) = (self.mapped(), self.made_so_far());
        // Before the count: what is dropped while it goes on may be in it.
        self.is_stale.store(false, Ordering::Relaxed);
        let mappings = self.system.get().and_then(|(system, _)| system.mappings());
        let mut counted = self.counted();
        if let (Some(before), Some(now)) = (counted.mappings, mappings) {
            let grown = known.saturating_sub(counted.known);
            if grown >= TELLING {
                let more = now.count.saturating_sub(before.count).saturating_mul(100) / grown;
                counted.more = Some(more.clamp(KNOWN.0, KNOWN.1));
            }
        }
        *counted = Counted { mappings, at: now, known, made, ..*counted };
        let (next, is_tight, is_full) = match mappings {
            Some(mappings) => {
                let bound = if mappings.is_tight() { mappings.full_at() } else { mappings.tight_at() };
                let more = counted.more.unwrap_or(KNOWN.0);
                let way = bound.saturating_sub(mappings.count).saturating_mul(100) / more;
                // Where idle instances go, the way to the end is looked at several times.
                let next = if mappings.is_tight() { way / 4 } else { way };
                let next = if counted.more.is_none() { next.min(TRIAL) } else { next };
                let next = known.saturating_add(next.max(COUNT_EVERY_MIN * 100 / more));
                (next, mappings.is_tight(), mappings.is_full_with(SPARE))
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

    /// A process in which each thing that is made takes ten mappings, and its bound; the last are mappings of others. The engine knows of
    /// some of them.
    struct Tens(AtomicU64, u64, u64);

    impl ProcessLimits for Tens {
        fn mappings(&self) -> Option<Mappings> {
            Some(Mappings { count: self.0.load(Ordering::Relaxed) * 10 + self.2, limit: self.1 })
        }
    }

    fn room(system: &Arc<Tens>, known_of_each: u64) -> Room {
        let (room, made) = (Room::default(), Arc::clone(system));
        room.ask(system.clone(), Box::new(move || made.0.load(Ordering::Relaxed) * known_of_each));
        room
    }

    /// Makes one after the other until there is no room, and returns after how many the mappings were counted.
    fn fill(known_of_each: u64, others: u64) -> Vec<u64> {
        let system = Arc::new(Tens(AtomicU64::new(0), 65_530, others));
        let room = room(&system, known_of_each);
        let mut counts = Vec::new();
        while !room.is_full() {
            let made = system.0.fetch_add(1, Ordering::Relaxed) + 1;
            room.made();
            if room.is_count_due() {
                room.count(Timestamp::default());
                counts.push(made);
            }
            assert!(made * 10 + others < 65_530, "{counts:?}");
        }
        counts
    }

    #[test]
    fn mappings_are_counted_when_they_may_have_become_too_many() {
        // The engine knows of as many as there are, of twice as many, or only of a part.
        for (known_of_each, others) in [(10, 300), (10, 5_000), (13, 0), (20, 300), (4, 300), (2, 0)] {
            let counts = fill(known_of_each, others);
            assert_eq!(counts.first(), Some(&FIRST_COUNT.div_ceil(known_of_each)));
            let last = counts.last().copied().unwrap_or_default();
            let most = (65_530 * 97 / 100 - others) / 10;
            assert!((most - 60..most + 60).contains(&last), "{known_of_each}: {counts:?}");
            let early = counts.iter().filter(|made| **made * 10 + others < 65_530 * 93 / 100).count();
            assert!(early <= 12 && counts.len() < 60, "{known_of_each}: {counts:?}");
        }
    }

    #[test]
    fn where_the_engine_knows_of_all_only_two_counts_come_before_idle_instances_go() {
        for others in [0, 300, 5_000] {
            let counts = fill(10, others);
            assert_eq!(counts.iter().filter(|made| **made * 10 + others < 61_500).count(), 2, "{others}: {counts:?}");
        }
    }

    #[test]
    fn any_bound_of_the_system_can_be_counted_with() {
        for limit in [0, 1, u64::MAX] {
            let system = Arc::new(Tens(AtomicU64::new(2_000), limit, 0));
            let room = room(&system, 1);
            for _ in 0..3 {
                assert!(room.count(Timestamp::default()).is_some());
                system.0.fetch_add(2_000, Ordering::Relaxed);
                assert_eq!(room.is_full(), limit < u64::MAX);
            }
        }
    }

    #[test]
    fn a_full_process_has_room_again_once_something_was_dropped() {
        let system = Arc::new(Tens(AtomicU64::new(95), 1_000, 0));
        let room = room(&system, 10);
        let now = Timestamp::from_micros(1_000_000);
        assert!(room.count(now).is_some() && room.is_full() && room.is_count_due());
        system.0.store(10, Ordering::Relaxed);
        assert_eq!(room.recent(now).map(|mappings| mappings.count), Some(950), "not asked twice for the same");
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
