//! Registries of any size, made by events as the registry itself makes them.

use std::path::Path;
use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};

use domain::inspection::{ExternItem, ExternKind};
use domain::ports::{Clock, Durability, StateStore as _};
use domain::{Actor, ComponentId, ComponentManifest, Digest, Edge, EdgeKind, Event, Revision, Timestamp, Version};
use storage::{OpenOptions, Storage};

use crate::Failure;

/// How many components are registered by one decision.
const BATCH: usize = 2_000;

struct WallClock;

impl Clock for WallClock {
    fn now(&self) -> Timestamp {
        let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        Timestamp::from_micros(i64::try_from(since.as_micros()).unwrap_or(i64::MAX))
    }
}

pub(crate) fn open(folder: &Path) -> Result<Storage, Failure> {
    Ok(Storage::open(folder, &OpenOptions::default(), Arc::new(WallClock))?)
}

/// Fills a new folder with `count` entries that have up to three edges each, and closes it.
pub(crate) fn fill(folder: &Path, count: usize) -> Result<(), Failure> {
    let storage = open(folder)?;
    let tokio = tokio::runtime::Builder::new_current_thread().build()?;
    let numbers: Vec<_> = (0..count).collect();
    for batch in numbers.chunks(BATCH) {
        let events: Vec<_> = batch.iter().map(|number| registered(*number)).collect();
        let decision = Box::new(move |_: &dyn domain::ports::StateView| events);
        tokio.block_on(storage.state.commit_with(Actor::System, decision, Durability::Process))?;
    }
    Ok(storage.close()?)
}

pub(crate) fn id(number: usize) -> ComponentId {
    ComponentId::new("bench", &format!("n{number:07}")).expect("the name is an id")
}

fn interface(number: usize) -> ExternItem {
    ExternItem { name: format!("bench:n{number:07}/ops@1.0.0"), kind: ExternKind::Interface }
}

fn registered(number: usize) -> Event {
    let needs: std::collections::BTreeSet<_> =
        (1..=3).filter_map(|step| number.checked_sub(step * 7 + number % 5)).collect();
    let edge = |on: &usize| Edge {
        on: id(*on),
        kind: EdgeKind::Import { import: interface(*on).name, export: interface(*on).name },
    };
    Event::Registered {
        component: id(number),
        current: true,
        dependencies: needs.iter().map(edge).collect(),
        unresolved: vec![],
        revision: Arc::new(Revision {
            number: 1,
            version: Version::new(1, 0, 0),
            digest: Digest::of(&number.to_le_bytes()),
            size: 100,
            description: Some("one of many".to_owned()),
            manifest: ComponentManifest::default(),
            imports: needs.iter().map(|on| interface(*on)).collect(),
            exports: vec![interface(number)],
            path: None,
            last_modified: None,
            folder: None,
            registered_at: WallClock.now(),
        }),
    }
}

/// Numbers that look random, the same in every run.
pub(crate) struct Dice(u64);

impl Dice {
    pub(crate) fn new() -> Self {
        Self(0x9e37_79b9_7f4a_7c15)
    }

    pub(crate) fn roll(&mut self, sides: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 >> 11) as usize % sides
    }
}
