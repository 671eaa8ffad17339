//! Rounds: a registry is used and killed, again and again.

use std::io::Write as _;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use crate::check::{Checks, below, finish};
use crate::model::Model;
use crate::numbers::Numbers;
use crate::place::{Cut, Outcome, Place, Server, run};
use crate::plan::{Planner, WORKERS};

/// Rounds of one data folder: then a new one is begun, so that a check does not cost more and more.
const ROUNDS_OF_A_FOLDER: u64 = 20;
/// Commands in a row that are not cut, at most.
const WHOLE_MAX: u64 = 4;
/// Commands in a row that are cut, but end before.
const TRIES_MAX: usize = 8;
/// A command is killed within this time of its start.
const COMMAND_KILL_MAX: u64 = 50_000;
/// A server is killed within this time of its readiness, also if it does not get to the step at which it is to abort.
const SERVER_KILL_MAX: u64 = 600_000;
/// A server that lost a client has ended within this time.
const END_MAX: Duration = Duration::from_secs(5);
/// Most steps of a server until it aborts.
const SERVER_STEPS_MAX: u64 = 1_500;
/// Of a hundred commands of a server so many have their own process killed.
const CLIENT_KILLS: u64 = 3;
/// Of a hundred rounds so many leave a torn record.
const TEARS: u64 = 12;

/// What many folders came to.
#[derive(Default)]
pub(crate) struct Totals {
    pub(crate) rounds: AtomicU64,
    pub(crate) commands: AtomicU64,
    /// Commands of which nobody knows whether they were done.
    pub(crate) unknown: AtomicU64,
    /// Aborts at a chosen step on the disk; the other rounds end with SIGKILL.
    pub(crate) aborts: AtomicU64,
    pub(crate) warnings: Mutex<Vec<String>>,
}

/// What the threads of a round with a server tell each other.
#[derive(Default)]
struct Over {
    /// The server has ended or is about to be killed.
    is_over: AtomicBool,
    /// A client was told that the server went away.
    lost: AtomicBool,
}

/// One data folder and all that is known of it.
struct Folder<'a> {
    place: Place,
    model: Mutex<Model>,
    checks: Checks,
    numbers: Numbers,
    /// Counts versions, by worker.
    next: [u32; WORKERS],
    totals: &'a Totals,
    /// Whether the binary has steps to abort at.
    has_steps: bool,
    /// How the present round was ended.
    cut: String,
}

/// Uses and kills one data folder for `rounds` rounds. The numbers of all that is chosen follow from `seed`.
pub(crate) fn folder(seed: u64, rounds: u64, has_steps: bool, totals: &Totals) -> Outcome<()> {
    let mut folder = Folder {
        place: Place::new(&format!("{seed}")),
        model: Mutex::default(),
        checks: Checks::default(),
        numbers: Numbers::new(seed),
        next: [0; WORKERS],
        totals,
        has_steps,
        cut: String::new(),
    };
    // What the registry does by itself, and when, is no part of the model.
    folder.place.ok(&["settings", "breaker.failures=never", "restart.policy=never", "activation.follow=false"])?;
    for round in 0..rounds {
        folder.place.note(&format!("-- round {round}"));
        let done = match folder.numbers.percent(50) {
            true => folder.direct(),
            false => folder.served(),
        };
        folder.tear();
        folder.place.note(&format!("-- {}", folder.cut));
        let model = folder.model.get_mut().unwrap();
        done.and_then(|()| folder.checks.check(&folder.place, model, &mut folder.numbers))
            .map_err(|error| folder.tell(seed, round, &error))?;
        totals.rounds.fetch_add(1, Ordering::Relaxed);
    }
    let model = folder.model.get_mut().unwrap();
    finish(&folder.place, model).map_err(|error| folder.tell(seed, rounds, &error))?;
    totals.warnings.lock().unwrap().append(&mut folder.checks.warnings);
    folder.place.remove();
    Ok(())
}

/// Returns how many rounds each of the folders has.
pub(crate) fn shares(rounds: u64) -> Vec<u64> {
    let whole = rounds / ROUNDS_OF_A_FOLDER;
    let rest = rounds % ROUNDS_OF_A_FOLDER;
    std::iter::repeat_n(ROUNDS_OF_A_FOLDER, whole as usize).chain((rest > 0).then_some(rest)).collect()
}

impl Folder<'_> {
    fn tell(&self, seed: u64, round: u64, error: &str) -> String {
        format!(
            "folder with seed {seed}, round {round}, ended by {}: {error}\n{} has the data folder and acknowledged.log",
            self.cut,
            self.place.root.display()
        )
    }

    /// In some rounds, adds what a kill in the middle of a write leaves: the beginning of a record that nobody was told of.
    fn tear(&mut self) {
        if !self.numbers.percent(TEARS) {
            return;
        }
        let segments = below(&self.place.data().join("journal"));
        let last = segments.iter().rfind(|path| path.extension().is_some_and(|extension| extension == "jsonl"));
        let Some(last) = last else { return };
        let bytes = std::fs::read(last).unwrap();
        let line = bytes.trim_ascii_end().rsplit(|byte| *byte == b'\n').next().unwrap_or_default();
        let length = 1 + self.numbers.index(line.len().max(2) - 1);
        let mut file = std::fs::File::options().append(true).open(last).unwrap();
        file.write_all(&line[..length.min(line.len())]).unwrap();
        self.cut += &format!(", and {length} bytes of an unfinished record");
    }

    /// Commands that open the folder themselves, the last of them cut short.
    fn direct(&mut self) -> Outcome<()> {
        for _ in 0..self.numbers.below(WHOLE_MAX + 1) {
            self.command(|_, _| Cut::Never)?;
        }
        let has_steps = self.has_steps;
        for _ in 0..TRIES_MAX {
            let is_cut = self.command(|numbers, steps| match has_steps && numbers.percent(65) {
                true => Cut::At(1 + numbers.below(steps)),
                false => Cut::After(Duration::from_micros(numbers.spread(COMMAND_KILL_MAX))),
            })?;
            if is_cut {
                break;
            }
        }
        Ok(())
    }

    /// Runs one command; returns whether it was ended.
    fn command(&mut self, cut: impl FnOnce(&mut Numbers, u64) -> Cut) -> Outcome<bool> {
        let worker = self.numbers.index(WORKERS);
        let folder = self.place.root.join("made");
        let model = self.model.get_mut().unwrap();
        let next = &mut self.next[worker];
        let mut planner = Planner { worker, numbers: &mut self.numbers, is_alone: true, folder: &folder, next };
        let operation = planner.plan(model);
        let cut = cut(&mut self.numbers, operation.steps);
        let said = operation.args.join(" ");
        let ran = run(self.place.command(&operation.args), cut)?;
        self.totals.commands.fetch_add(1, Ordering::Relaxed);
        self.cut = format!("{cut:?} of `runtime {said}`");
        let aborted = ran.stderr.lines().find(|line| line.starts_with("aborted ")).unwrap_or_default();
        self.totals.aborts.fetch_add(u64::from(!aborted.is_empty()), Ordering::Relaxed);
        let was_killed = ran.was_killed();
        let is_known = operation.acknowledge(&ran, model)?;
        self.place.note(&format!("{said}: {}{} {aborted}", ran.code, if is_known { "" } else { " (unknown)" }));
        self.totals.unknown.fetch_add(u64::from(!is_known), Ordering::Relaxed);
        Ok(was_killed)
    }

    /// A server with many clients at once; the server is killed.
    fn served(&mut self) -> Outcome<()> {
        let (cut, kill_after) = match self.has_steps && self.numbers.percent(60) {
            true => (Cut::At(self.numbers.spread(SERVER_STEPS_MAX)), SERVER_KILL_MAX),
            // Half of them soon after the start.
            false if self.numbers.percent(50) => (Cut::Never, self.numbers.spread(SERVER_KILL_MAX)),
            false => (Cut::Never, self.numbers.below(SERVER_KILL_MAX)),
        };
        let kill_after = Duration::from_micros(kill_after);
        self.cut = format!("{cut:?}, at the latest {kill_after:?} after its readiness, of the server");
        let server = Server::start(&self.place, cut);
        self.came_back(&server)?;
        let is_ready = server.ready.is_some();
        let (over, seeds) = (Over::default(), [(); WORKERS].map(|()| self.numbers.next()));
        let (this, mut next) = (&*self, self.next);
        let ended = std::thread::scope(|scope| {
            let clients = next.iter_mut().zip(seeds).enumerate().filter(|_| is_ready);
            let over = &over;
            let clients: Vec<_> = clients
                .map(|(worker, (next, seed))| scope.spawn(move || this.client(worker, next, seed, over)))
                .collect();
            let begun = Instant::now();
            let is_busy = || clients.iter().any(|client| !client.is_finished());
            let ended = this.end(server, over, &|| begun.elapsed() < kill_after && is_busy());
            clients.into_iter().map(|client| client.join().unwrap()).chain([ended]).collect()
        });
        self.next = next;
        ended
    }

    /// What was active is live in a server that is ready.
    fn came_back(&mut self, server: &Server) -> Outcome<()> {
        let Some(ready) = &server.ready else { return Ok(()) };
        let model = self.model.get_mut().unwrap();
        let active = model.entries.values().filter(|entry| entry.is_active()).count();
        match ready["live"] == active && ready["failed"] == 0 {
            true => Ok(()),
            false => Err(format!("{active} components were active, the server says {ready}")),
        }
    }

    /// Waits for a server's end, kills it when it `may_go_on` no longer, and says what it ended by.
    fn end(&self, mut server: Server, over: &Over, may_go_on: &dyn Fn() -> bool) -> Outcome<()> {
        while may_go_on() && !server.has_ended() && !over.lost.load(Ordering::SeqCst) {
            std::thread::sleep(Duration::from_micros(500));
        }
        over.is_over.store(true, Ordering::SeqCst);
        let begun = Instant::now();
        while over.lost.load(Ordering::SeqCst) && !server.has_ended() {
            if begun.elapsed() > END_MAX {
                return Err("the server lost a client and did not end".to_owned());
            }
            std::thread::sleep(Duration::from_micros(500));
        }
        let log = server.kill()?;
        let aborted = log.lines().find(|line| line.starts_with("aborted "));
        self.totals.aborts.fetch_add(u64::from(aborted.is_some()), Ordering::Relaxed);
        self.place.note(&format!("server: {}", aborted.unwrap_or("killed")));
        Ok(())
    }

    /// One client after the other, until the server is gone or a command's end is not known.
    fn client(&self, worker: usize, next: &mut u32, seed: u64, over: &Over) -> Outcome<()> {
        let (folder, mut numbers) = (self.place.root.join("made"), Numbers::new(seed));
        while !over.is_over.load(Ordering::SeqCst) {
            let mut planner = Planner { worker, numbers: &mut numbers, is_alone: false, folder: &folder, next };
            let operation = planner.plan(&self.model.lock().unwrap());
            let cut = match numbers.percent(CLIENT_KILLS) {
                true => Cut::After(Duration::from_micros(numbers.spread(COMMAND_KILL_MAX))),
                false => Cut::Never,
            };
            let said = operation.args.join(" ");
            let ran = run(self.place.command(&operation.args), cut)?;
            self.totals.commands.fetch_add(1, Ordering::Relaxed);
            let is_known = operation.acknowledge(&ran, &mut self.model.lock().unwrap())?;
            self.place.note(&format!("{said}: {}{}", ran.code, if is_known { "" } else { " (unknown)" }));
            self.totals.unknown.fetch_add(u64::from(!is_known), Ordering::Relaxed);
            if !is_known {
                if !ran.was_killed() && !over.is_over.load(Ordering::SeqCst) {
                    over.lost.store(true, Ordering::SeqCst);
                }
                break;
            }
        }
        Ok(())
    }
}
