//! Durable changes by many at once, beside one at a time and beside bare lines that are synced one by one.

use std::fs::File;
use std::io::Write as _;
use std::path::Path;
use std::time::Duration;

use domain::entry::DeclaredBy;
use domain::ports::{StateStore, StateView};
use domain::{Actor, ComponentId, Edge, EdgeKind, Event, Status, VersionReq};
use storage::{JournaledState, Storage};
use tokio::runtime::Runtime;

use crate::filling::{fill, id, open};
use crate::{Failure, median, time};

const ENTRIES: usize = 1_000;
const RUNS: usize = 11;
/// How many changes one after the other are timed.
const CHANGES: usize = 40;

pub(crate) fn run() -> Result<(), Failure> {
    let folder = tempfile::tempdir()?;
    let tokio = tokio::runtime::Builder::new_multi_thread().worker_threads(2).build()?;
    fill(folder.path(), ENTRIES)?;
    let storage = open(folder.path())?;
    let mut bare = File::create(folder.path().join("bare"))?;
    let line = line_of_a_change(&tokio, &storage, folder.path())?;
    let sides = [1, 64, 256];
    let mut ours: [Vec<Duration>; 3] = Default::default();
    let mut theirs = Vec::new();
    for _ in 0..RUNS {
        for (at_once, times) in sides.iter().zip(&mut ours) {
            let took = time(|| change(&tokio, &storage, *at_once))?.0;
            times.push(took / u32::try_from(at_once * CHANGES)?);
        }
        let took = time(|| {
            for _ in 0..CHANGES {
                bare.write_all(&line)?;
                bare.sync_data()?;
            }
            Ok(())
        })?;
        theirs.push(took.0 / u32::try_from(CHANGES)?);
    }
    let rate = |times: Vec<Duration>| 1.0 / median(times).as_secs_f64();
    let [one, some, many] = ours.map(rate);
    let bare = rate(theirs);
    let show = |what: &str, ours: f64, beside: &str, theirs: f64, bound: f64| {
        println!("{what}: {ours:.0}/s, {beside}: {theirs:.0}/s, ratio {:.1} (bound at least {bound})", ours / theirs);
    };
    show("durable changes, 64 at once", some, "one at a time", one, 10.0);
    show("durable changes, 256 at once", many, "one at a time", one, 30.0);
    show("durable changes, 256 at once", many, "bare lines, each synced", bare, 30.0);
    println!("a durable change alone beside a bare line that is synced: ratio {:.2} (no bound)", bare / one);
    Ok(())
}

/// Lets so many tasks change the registry, each one change after the other.
fn change(tokio: &Runtime, storage: &Storage, at_once: usize) -> Result<(), Failure> {
    let tasks: Vec<_> = (0..at_once).map(|task| tokio.spawn(changes_of_one(storage.state.clone(), task))).collect();
    tokio.block_on(async {
        for task in tasks {
            task.await??;
        }
        Ok(())
    })
}

async fn changes_of_one(state: std::sync::Arc<JournaledState>, task: usize) -> Result<(), domain::ports::StorageError> {
    let change = Change { component: id(task + 30), on: id(1), range: VersionReq::STAR };
    for number in 0..CHANGES {
        let change = change.clone();
        let decision = move |view: &dyn StateView| change.decide(view, number).unwrap_or_default();
        let committed = state.commit(Actor::System, Box::new(decision)).await?;
        assert_eq!(committed.len(), 1, "every decision changes something");
    }
    Ok(())
}

/// What one task changes.
#[derive(Clone)]
struct Change {
    component: ComponentId,
    on: ComponentId,
    range: VersionReq,
}

impl Change {
    /// Decides on an edge, a setting or a status, after a look at the entry as operations do.
    fn decide(self, view: &dyn StateView, number: usize) -> Option<Vec<Event>> {
        let Self { component, on, range } = self;
        let entry = view.entry(&component).ok()??;
        let declared = entry.dependencies.iter().any(|edge| edge.on == on);
        let event = match number % 4 {
            0 if declared => Event::EdgeRemoved { component, on },
            0 => {
                let kind = EdgeKind::Declared { range, origin: DeclaredBy::Operator };
                Event::EdgeAdded { component, edge: Edge { on, kind } }
            }
            1 => Event::ConfigSet { key: "note".to_owned(), old: None, new: Some(number.to_string()) },
            _ if entry.status == Status::Active => {
                Event::Deactivated { component, old_status: entry.status, reason: None, lost: None }
            }
            _ => Event::Activated {
                component,
                old_status: entry.status,
                revision: 1,
                duration_us: 700,
                fuel: 4_000,
                asked: Some(true),
                lock: vec![],
            },
        };
        Some(vec![event])
    }
}

/// Returns a line as the journal has it for such a change.
fn line_of_a_change(tokio: &Runtime, storage: &Storage, folder: &Path) -> Result<Vec<u8>, Failure> {
    change(tokio, storage, 1)?;
    let mut segments: Vec<_> = std::fs::read_dir(folder.join("journal"))?
        .map(|file| file.map(|file| file.path()))
        .collect::<Result<_, _>>()?;
    segments.retain(|path| path.extension().is_some_and(|extension| extension == "jsonl"));
    segments.sort();
    let text = std::fs::read(segments.last().ok_or("there is no segment")?)?;
    let line = text.split_inclusive(|byte| *byte == b'\n').next_back();
    Ok(line.ok_or("the segment is empty")?.to_vec())
}
