//! Adding one component to a registry of 100,000, beside adding one to a registry of 1,000.

use std::sync::Arc;
use std::time::Duration;

use domain::inspection::{ExternItem, ExternKind};
use domain::ports::{Clock, StateStore as _};
use domain::{Actor, ComponentId, ComponentManifest, Digest, Edge, EdgeKind, Event, Revision, Version};
use embed::{OpenOptions, RegisterRequest, Registry, SystemClock};
use storage::Storage;
use tokio::runtime::Runtime;

const RUNS: usize = 31;
const BATCH: usize = 2_000;

pub(crate) fn run(tokio: &Runtime) -> anyhow::Result<()> {
    let small = filled(tokio, 1_000)?;
    let large = filled(tokio, 100_000)?;
    let (mut in_large, mut in_small) = (0, 0);
    let both = crate::medians(RUNS, || add(tokio, &large.1, &mut in_large), || add(tokio, &small.1, &mut in_small));
    crate::show("adding a component to 100,000", "to 1,000", 2.0, both);
    Ok(())
}

fn add(tokio: &Runtime, registry: &Registry, count: &mut u32) -> Duration {
    *count += 1;
    // Each provides what nobody waits for and imports what one of the others provides.
    let text = format!(
        r#"(component
            (import "bench:n{count:06}/ops@1.0.0" (instance (export "f" (func))))
            (core module $m (func (export "f")))
            (core instance $i (instantiate $m))
            (func $f (canon lift (core func $i "f")))
            (instance $ops (export "f" (func $f)))
            (export "bench:added{count}/ops@1.0.0" (instance $ops)))"#
    );
    let mut request = RegisterRequest::bytes("added.wat", text.into_bytes());
    request.id = format!("bench:added{count}").parse().ok();
    request.version = Some(Version::new(1, 0, 0));
    crate::time(|| {
        let registered = tokio.block_on(registry.register(request)).expect("it can be registered");
        assert_eq!(registered.entry.entry.dependencies.len(), 1);
    })
}

/// Makes a registry of `count` entries with three edges each, by events, as replaying a journal would.
pub(crate) fn filled(tokio: &Runtime, count: usize) -> anyhow::Result<(tempfile::TempDir, Registry)> {
    let folder = tempfile::tempdir()?;
    let clock: Arc<dyn Clock> = Arc::new(SystemClock);
    let storage = Storage::open(folder.path(), &storage::OpenOptions::default(), clock)?;
    let numbers: Vec<_> = (0..count).collect();
    for batch in numbers.chunks(BATCH) {
        let events: Vec<_> = batch.iter().map(|number| registered(*number)).collect();
        tokio.block_on(storage.state.commit(Actor::System, Box::new(move |_| events)))?;
    }
    storage.close()?;
    let registry = tokio.block_on(embed::open(folder.path(), OpenOptions::default()))?;
    Ok((folder, registry))
}

fn id(number: usize) -> ComponentId {
    ComponentId::new("bench", &format!("n{number:06}")).expect("the name is an id")
}

fn interface(number: usize) -> ExternItem {
    ExternItem { name: format!("bench:n{number:06}/ops@1.0.0"), kind: ExternKind::Interface }
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
            description: None,
            manifest: ComponentManifest::default(),
            imports: needs.iter().map(|on| interface(*on)).collect(),
            exports: vec![interface(number)],
            path: None,
            last_modified: None,
            folder: None,
            registered_at: SystemClock.now(),
        }),
    }
}
