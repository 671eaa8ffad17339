//! Well-behaved components that are called all the time while hostile ones run.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use crate::host::{Host, Socket};

/// How many there are.
const NEIGHBOURS: usize = 8;

/// Time between two calls: two hundred a second over all of them.
const EVERY: Duration = Duration::from_millis(5);

/// How long they are called before anything hostile runs, for comparison.
const IDLE: Duration = Duration::from_secs(10);

/// Calls under way, and what came of those that are over.
pub(crate) struct Neighbours {
    idle: Vec<Duration>,
    counts: Arc<Counts>,
    ending: Arc<AtomicBool>,
    caller: JoinHandle<()>,
}

#[derive(Default)]
struct Counts {
    failed: AtomicU64,
    first: Mutex<Option<String>>,
    /// When each call was due, and how long after that it was over.
    times: Mutex<Vec<(Instant, Duration)>>,
}

/// What came of all calls.
pub(crate) struct Load {
    pub(crate) calls: usize,
    pub(crate) failed: u64,
    pub(crate) first: Option<String>,
    pub(crate) idle_median: Duration,
    pub(crate) idle_p99: Duration,
    pub(crate) median: Duration,
    pub(crate) p99: Duration,
    /// When each call was due, and how long after that it was over.
    pub(crate) each: Vec<(Instant, Duration)>,
}

impl Neighbours {
    /// Puts them in service, measures them alone, and goes on calling them.
    pub(crate) fn start(host: &Host) -> Self {
        let ids: Vec<_> = (0..NEIGHBOURS).map(|n| format!("neighbour:n{n}")).collect();
        ids.iter().for_each(|id| host.register_neighbour(id));
        let (counts, ending) = (Arc::new(Counts::default()), Arc::new(AtomicBool::new(false)));
        let (socket, theirs, end) = (host.socket(), Arc::clone(&counts), Arc::clone(&ending));
        let caller = std::thread::spawn(move || call_on(&socket, &ids, &theirs, &end));
        std::thread::sleep(IDLE);
        let idle = counts.times.lock().unwrap().drain(..).map(|(_, took)| took).collect();
        Self { idle, counts, ending, caller }
    }

    /// Ends the calls and says how they went.
    pub(crate) fn stop(mut self) -> Load {
        self.ending.store(true, Ordering::Relaxed);
        self.caller.join().unwrap();
        let each = std::mem::take(&mut *self.counts.times.lock().unwrap());
        let mut times: Vec<_> = each.iter().map(|(_, took)| *took).collect();
        Load {
            calls: times.len(),
            failed: self.counts.failed.load(Ordering::Relaxed),
            first: self.counts.first.lock().unwrap().take(),
            idle_median: percentile(&mut self.idle, 50),
            idle_p99: percentile(&mut self.idle, 99),
            median: percentile(&mut times, 50),
            p99: percentile(&mut times, 99),
            each,
        }
    }
}

/// Calls one after the other at their times, whether earlier calls have returned or not.
fn call_on(socket: &Socket, ids: &[String], counts: &Arc<Counts>, ending: &AtomicBool) {
    let tokio = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    tokio.block_on(async {
        let mut clock = tokio::time::interval(EVERY);
        let mut calls = tokio::task::JoinSet::new();
        for id in ids.iter().cycle() {
            if ending.load(Ordering::Relaxed) {
                break;
            }
            // The time at which it should begin counts: a caller that is held up must not hide it.
            let due = clock.tick().await;
            let (socket, id, counts) = (socket.clone(), id.clone(), Arc::clone(counts));
            calls.spawn(async move {
                let answer = socket.ask(&["call", &id, "answer()"], true).await;
                let due = due.into_std();
                counts.times.lock().unwrap().push((due, due.elapsed()));
                let complaint = match answer {
                    Ok(answer) if answer.code == 0 => return,
                    Ok(answer) => format!("{answer:?}"),
                    Err(error) => error,
                };
                counts.failed.fetch_add(1, Ordering::Relaxed);
                counts.first.lock().unwrap().get_or_insert(complaint);
            });
            while calls.try_join_next().is_some() {}
        }
        while calls.join_next().await.is_some() {}
    });
}

fn percentile(times: &mut [Duration], percent: usize) -> Duration {
    times.sort_unstable();
    times.get(times.len() * percent / 100).copied().unwrap_or_default()
}
