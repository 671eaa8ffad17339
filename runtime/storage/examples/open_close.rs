//! Measures what a short process pays for its data folder: opening, one change, closing.
//!
//! `cargo run --release -p storage --example open_close -- 0 100 1000 10000` prints a line for each number of entries.

use std::error::Error;
use std::future::Future;
use std::sync::Arc;
use std::task::{Context, Poll, Wake, Waker};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use domain::entry::Revision;
use domain::event::{Actor, Event};
use domain::ports::{Clock, StateStore, StateView};
use domain::{ComponentId, ComponentManifest, Digest, Timestamp};
use storage::{OpenOptions, Storage};

/// How often each step is measured; the median is printed.
const ROUNDS: usize = 21;

struct WallClock;

impl Clock for WallClock {
    fn now(&self) -> Timestamp {
        let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        Timestamp::from_micros(i64::try_from(since.as_micros()).unwrap_or(i64::MAX))
    }
}

struct Unpark(std::thread::Thread);

impl Wake for Unpark {
    fn wake(self: Arc<Self>) {
        self.0.unpark();
    }
}

fn wait<T>(future: impl Future<Output = T>) -> T {
    let waker = Waker::from(Arc::new(Unpark(std::thread::current())));
    let mut future = std::pin::pin!(future);
    loop {
        if let Poll::Ready(value) = future.as_mut().poll(&mut Context::from_waker(&waker)) {
            return value;
        }
        std::thread::park();
    }
}

fn registered(number: usize) -> Result<Event, Box<dyn Error>> {
    let name = format!("c-{number}");
    Ok(Event::Registered {
        component: ComponentId::new("bench", &name)?,
        revision: Arc::new(Revision {
            number: 1,
            version: "1.0.0".parse()?,
            digest: Digest::of(name.as_bytes()),
            size: 1,
            description: Some("measured".to_owned()),
            manifest: ComponentManifest::default(),
            imports: Vec::new(),
            exports: Vec::new(),
            path: None,
            last_modified: None,
            folder: None,
            registered_at: WallClock.now(),
        }),
        current: true,
        dependencies: Vec::new(),
        unresolved: Vec::new(),
    })
}

fn median(mut times: Vec<Duration>) -> f64 {
    times.sort_unstable();
    times.get(times.len() / 2).copied().unwrap_or_default().as_secs_f64() * 1e3
}

fn measure(entries: usize) -> Result<(), Box<dyn Error>> {
    let folder = tempfile::tempdir()?;
    let open = || Storage::open(folder.path(), &OpenOptions::default(), Arc::new(WallClock));
    let storage = open()?;
    let events = (0..entries).map(registered).collect::<Result<Vec<_>, _>>()?;
    wait(storage.state.commit(Actor::System, Box::new(move |_| events)))?;
    storage.close()?;
    let (mut opening, mut looking, mut changing, mut closing) = (vec![], vec![], vec![], vec![]);
    for round in 0..ROUNDS {
        let began = Instant::now();
        let storage = open()?;
        opening.push(began.elapsed());
        let began = Instant::now();
        storage.state.ids(None, 1)?;
        looking.push(began.elapsed());
        let began = Instant::now();
        let event = registered(entries + round)?;
        wait(storage.state.commit(Actor::System, Box::new(move |_| vec![event])))?;
        changing.push(began.elapsed());
        let began = Instant::now();
        storage.close()?;
        closing.push(began.elapsed());
    }
    let [opening, looking, changing, closing] = [opening, looking, changing, closing].map(median);
    let line = format!(
        "{entries:>8} entries: open {opening:.2} ms, look {looking:.3} ms, change {changing:.2} ms, close {closing:.2} ms\n"
    );
    std::io::Write::write_all(&mut std::io::stdout(), line.as_bytes())?;
    Ok(())
}

fn main() -> Result<(), Box<dyn Error>> {
    for argument in std::env::args().skip(1) {
        measure(argument.parse()?)?;
    }
    Ok(())
}
