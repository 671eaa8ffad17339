//! Chooses commands, and foretells from the model what each of them does.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use crate::foretell::{activation, blocked, prune};
use crate::model::{Changes, Entry, Model, Revision};
use crate::numbers::Numbers;
use crate::operation::{Kind, Operation};
use crate::recipe::Recipe;

/// Workers. Each has components of its own, in a namespace of its own, so that what its commands do is known in advance.
pub(crate) const WORKERS: usize = 4;
/// A setting for each worker to change, and the value from which it counts up: large enough to be in nobody's way.
const SETTINGS: [(&str, u64); WORKERS] = [
    ("limits.fuel", 100_000_000),
    ("limits.activation_fuel", 1_000_000_000),
    ("ceilings.fuel", 100_000_000_000),
    ("ceilings.activation_fuel", 100_000_000_000),
];
/// From so many entries on a worker rather removes some.
const ENTRIES_MAX: usize = 40;
/// Names of a worker's components are numbered up to this.
const NAMES: u64 = 60;
/// Of so many names one belongs to components that refuse to be activated.
const REFUSING: u64 = 9;
/// Most bytes of padding in a component.
const PADDING_MAX: u64 = 9_000;

/// Chooses the commands of one worker.
pub(crate) struct Planner<'a> {
    pub(crate) worker: usize,
    pub(crate) numbers: &'a mut Numbers,
    /// Whether nobody else changes the registry meanwhile.
    pub(crate) is_alone: bool,
    /// Where components are written.
    pub(crate) folder: &'a Path,
    /// Counts versions; nobody else does in the worker's namespace.
    pub(crate) next: &'a mut u32,
}

impl Planner<'_> {
    /// Chooses a command.
    pub(crate) fn plan(&mut self, model: &Model) -> Operation {
        let mine = self.mine(model);
        if mine.len() < 3 {
            return self.register(model, 6);
        }
        if mine.len() > ENTRIES_MAX && self.numbers.percent(30) {
            return self.stop(model, "unregister");
        }
        match self.numbers.below(100) {
            0..18 => self.register(model, 1),
            18..26 => {
                let count = 3 + self.numbers.below(8);
                self.register(model, count)
            }
            26..40 => self.activate(model),
            40..43 => self.activate_all(model),
            43..50 => self.stop(model, "deactivate"),
            50..55 => self.stop(model, "unregister"),
            55..66 => self.call(model),
            66..71 => self.trap(model),
            71..78 => self.depend(model),
            78..80 => self.undepend(model),
            80..84 => self.set(model),
            84..86 => self.clear(model),
            86..88 => self.export(model),
            88..90 => self.import(model),
            90..93 => Operation::new(&["backup", &format!("backup-{}/", self.worker)], Kind::Neutral, 60),
            93..96 => self.compact(),
            96..98 => Operation::new(&["gc", "--grace", "0s"], Kind::Neutral, 30),
            98 if self.is_alone => prune(model),
            _ => Operation::new(&["verify"], Kind::Neutral, 20),
        }
    }

    fn mine(&self, model: &Model) -> Vec<String> {
        let prefix = format!("w{}:", self.worker);
        model.entries.keys().filter(|id| id.starts_with(&prefix)).cloned().collect()
    }

    /// Chooses one of the worker's components.
    fn one(&mut self, model: &Model, wanted: impl Fn(&Entry) -> bool) -> Option<String> {
        let ids: Vec<_> = self.mine(model).into_iter().filter(|id| wanted(&model.entries[id])).collect();
        self.numbers.pick(&ids).cloned()
    }

    /// Makes a recipe for a name; it needs components with lower numbers only, so that no cycle comes of it.
    fn recipe(&mut self, name: u64, there: &BTreeSet<u64>) -> Recipe {
        *self.next += 1;
        let refuses = name % REFUSING == 4;
        let lower: Vec<u64> = there.range(..name).copied().filter(|lower| lower % REFUSING != 4).collect();
        let mut needs = BTreeSet::new();
        for _ in 0..self.numbers.below(4) {
            // A few needs are of components that may not be there.
            let need = match self.numbers.pick(&lower) {
                Some(need) if !self.numbers.percent(4) => *need,
                _ if name > 0 && self.numbers.percent(10) => self.numbers.below(name),
                _ => continue,
            };
            needs.insert(need);
        }
        needs.retain(|need| !refuses && need % REFUSING != 4);
        Recipe {
            id: self.id(name),
            version: format!("1.{}.0", self.next),
            answer: *self.next * WORKERS as u32 + self.worker as u32,
            needs: needs.into_iter().map(|need| self.id(need)).collect(),
            refuses,
            padding: usize::try_from(self.numbers.spread(PADDING_MAX)).unwrap(),
        }
    }

    fn id(&self, name: u64) -> String {
        format!("w{}:n{name}", self.worker)
    }

    /// Registers new components or new versions: one by its folder, or several by the folder that they are in.
    fn register(&mut self, model: &Model, count: u64) -> Operation {
        let mine = self.mine(model);
        let number = |id: &String| id.rsplit_once('n').unwrap().1.parse::<u64>().unwrap();
        let mut there: BTreeSet<u64> = mine.iter().map(number).collect();
        let names: BTreeSet<u64> = (0..count).map(|_| self.numbers.below(NAMES)).collect();
        there.extend(&names);
        let batch = self.folder.join(format!("batch-{}-{}", self.worker, self.next));
        let (mut changes, mut revisions, mut path) = (Changes::new(), BTreeMap::new(), batch.clone());
        let names_count = names.len();
        for name in names {
            let recipe = self.recipe(name, &there);
            let (folder, digest) = recipe.write(&batch);
            let revision = revision_of(&recipe, digest);
            let after = match model.entries.get(&recipe.id) {
                Some(entry) => entry.with(revision.clone()),
                None => Entry::new(revision.clone()),
            };
            changes.insert(recipe.id.clone(), vec![Some(after)]);
            revisions.insert(recipe.id, revision);
            if names_count == 1 {
                path = folder;
            }
        }
        let mut args = vec!["register", path.to_str().unwrap()];
        let mut codes = vec![0];
        if self.numbers.percent(25) {
            args.push("--activate");
            codes = vec![0, 3, 4, 7];
            self.then_activated(model, &mut changes, &revisions);
        }
        let mut operation = Operation::new(&args, Kind::Register(revisions), 30 + 14 * names_count as u64);
        (operation.changes, operation.codes) = (changes, codes);
        operation
    }

    /// Adds what `register --activate` does after the registration.
    fn then_activated(&self, model: &Model, changes: &mut Changes, revisions: &BTreeMap<String, Revision>) {
        let mut after = Model { entries: model.entries.clone(), ..Model::default() };
        after.settle(changes, &changes.keys().map(|id| (id.clone(), usize::MAX)).collect());
        // One that is blocked does not keep the others.
        let each = revisions.iter().map(|(id, revision)| {
            let version = Some(revision.version.as_str());
            activation(&after, id, version).unwrap_or_else(|| blocked(&after, id, version))
        });
        let activated: Changes = each.flatten().collect();
        for (id, steps) in activated {
            changes.entry(id).or_default().extend(steps);
        }
    }

    fn activate(&mut self, model: &Model) -> Operation {
        let waits = |entry: &Entry| !entry.is_active() || entry.newest() != entry.current;
        let Some(id) = self.one(model, waits) else { return self.call(model) };
        let entry = &model.entries[&id];
        let version = (entry.is_active() || self.numbers.percent(20)).then(|| {
            let numbers: Vec<_> = entry.revisions.keys().copied().collect();
            entry.revisions[self.numbers.pick(&numbers).unwrap()].version.clone()
        });
        let word = version.as_ref().map_or(id.clone(), |version| format!("{id}@{version}"));
        let mut operation = Operation::new(&["activate", &word], Kind::Activate, 45);
        match activation(model, &id, version.as_deref()) {
            Some(changes) => {
                let refuses = |steps: &Vec<Option<Entry>>| steps.iter().flatten().any(|entry| entry.status == "error");
                operation.codes = vec![if changes.values().any(refuses) { 7 } else { 0 }];
                operation.changes = changes;
            }
            None => {
                operation.codes = vec![3, 4];
                operation.changes = blocked(model, &id, version.as_deref());
            }
        }
        // An entry that is not active points to the version before anything else is looked at.
        if let Some(number) = version.and_then(|version| entry.with_version(&version)).filter(|_| !entry.is_active()) {
            let pointing = entry.pointing_to(number);
            operation.changes.entry(id.clone()).or_default().insert(0, Some(pointing));
            operation.at_least = Some(id);
        }
        operation
    }

    /// Activates all components of the worker: their kind is the name of its namespace.
    fn activate_all(&mut self, model: &Model) -> Operation {
        let kind = format!("w{}", self.worker);
        let mut operation = Operation::new(&["activate", "--kind", &kind], Kind::Activate, 120);
        for id in self.mine(model) {
            operation.changes.extend(activation(model, &id, None).unwrap_or_default());
        }
        operation.codes = vec![0, 3, 4, 7];
        operation
    }

    /// Deactivates or unregisters a component, with or without its dependents.
    fn stop(&mut self, model: &Model, verb: &str) -> Operation {
        let leaves = verb == "unregister";
        let Some(id) = self.one(model, |entry| leaves || entry.is_active()) else { return self.activate(model) };
        let stopped = model.with_some_dependents(&id, |entry| leaves || entry.is_active());
        let cascade = self.numbers.percent(50);
        let args = [verb, &id, "--cascade"];
        let mut operation = Operation::new(&args[..2 + usize::from(cascade)], Kind::Done, 40);
        if stopped.len() > 1 && !cascade {
            operation.codes = vec![4];
            return operation;
        }
        operation.steps += 15 * stopped.len() as u64;
        for id in stopped {
            let entry = &model.entries[&id];
            let inactive = entry.is_active().then(|| Some(entry.deactivated()));
            operation.changes.insert(id, inactive.into_iter().chain(leaves.then_some(None)).collect());
        }
        operation
    }

    fn call(&mut self, model: &Model) -> Operation {
        let Some(id) = self.one(model, |_| true) else { return self.register(model, 3) };
        let is_active = model.entries[&id].is_active();
        let (function, answer) = match self.numbers.percent(50) {
            true => ("own()", model.entries[&id].revision().answer),
            false => ("get()", if is_active { model.sum(&id) } else { 0 }),
        };
        let mut operation = Operation::new(&["call", &id, function], Kind::Call(is_active.then_some(answer)), 20);
        operation.codes = vec![if is_active { 0 } else { 4 }];
        operation
    }

    fn trap(&mut self, model: &Model) -> Operation {
        let Some(id) = self.one(model, Entry::is_active) else { return self.activate(model) };
        let mut operation = Operation::new(&["call", &id, "trap()"], Kind::Call(None), 30);
        operation.codes = vec![7];
        let mut failed = model.entries[&id].clone();
        failed.failures = (failed.failures.0 + 1, failed.failures.1 + 1);
        operation.changes.insert(id, vec![Some(failed)]);
        operation
    }

    /// Declares a dependency on a component with a lower number, or one that would close a cycle.
    fn depend(&mut self, model: &Model) -> Operation {
        let mine = self.mine(model);
        let pair: Vec<_> = (0..2).filter_map(|_| self.numbers.pick(&mine).cloned()).collect();
        let number = |id: &String| id.rsplit_once('n').unwrap().1.parse::<u64>().unwrap();
        let (Some(low), Some(high)) =
            (pair.iter().min_by_key(|id| number(id)), pair.iter().max_by_key(|id| number(id)))
        else {
            return self.register(model, 3);
        };
        if low == high {
            return self.call(model);
        }
        let closes = model.with_dependents(low).contains(high) && self.numbers.percent(60);
        let (from, on) = if closes { (low, high) } else { (high, low) };
        let mut operation = Operation::new(&["depend", from, "--on", on], Kind::Done, 30);
        if closes {
            operation.codes = vec![4];
            return operation;
        }
        let mut after = model.entries[from].clone();
        if after.declared.insert(on.clone()) {
            operation.changes.insert(from.clone(), vec![Some(after)]);
        }
        operation
    }

    fn undepend(&mut self, model: &Model) -> Operation {
        let Some(id) = self.one(model, |entry| !entry.declared.is_empty()) else { return self.depend(model) };
        let mut after = model.entries[&id].clone();
        let on = after.declared.pop_first().unwrap();
        let mut operation = Operation::new(&["undepend", &id, "--on", &on], Kind::Done, 30);
        operation.changes.insert(id, vec![Some(after)]);
        operation
    }

    fn set(&mut self, model: &Model) -> Operation {
        let (key, base) = SETTINGS[self.worker];
        let value = model.settings.get(key).copied().unwrap_or(base) + 1 + self.numbers.below(9);
        Operation::new(&["settings", &format!("{key}={value}")], Kind::Setting(key.to_owned(), value), 25)
    }

    fn clear(&mut self, model: &Model) -> Operation {
        let Some(id) = self.one(model, |entry| entry.failures.0 > 0) else { return self.trap(model) };
        let mut operation = Operation::new(&["errors", "--clear", &id], Kind::Done, 30);
        let mut after = model.entries[&id].clone();
        after.failures = (0, 0);
        if after.status == "error" {
            after.status = "registered";
        }
        operation.changes.insert(id, vec![Some(after)]);
        operation
    }

    fn export(&mut self, model: &Model) -> Operation {
        let Some(id) = self.one(model, |_| true) else { return self.register(model, 3) };
        *self.next += 1;
        let mut ids = vec![id.clone()];
        let mut at = 0;
        let mut is_whole = true;
        while let Some(id) = ids.get(at).cloned() {
            is_whole &= model.entries[&id].revision().needs.iter().all(|need| model.entries.contains_key(need));
            for need in model.needs(&model.entries[&id]) {
                if !ids.contains(&need) {
                    ids.push(need);
                }
            }
            at += 1;
        }
        let content = ids.into_iter().map(|id| {
            let entry = &model.entries[&id];
            (id, entry.revision().clone(), entry.declared.clone())
        });
        let file = format!("archive-{}-{}.tar", self.worker, self.next);
        // What imports something that nobody has comes as it is; the model of an import is kept simple.
        let kind = if is_whole { Kind::Export(content.collect()) } else { Kind::Neutral };
        Operation::new(&["export", &file, &id], kind, 20)
    }

    fn import(&mut self, model: &Model) -> Operation {
        let prefix = format!("archive-{}-", self.worker);
        let archives: Vec<_> = model.archives.iter().filter(|(file, _)| file.starts_with(&prefix)).collect();
        let Some((file, content)) = self.numbers.pick(&archives) else { return self.export(model) };
        let (mut changes, mut revisions) = (Changes::new(), BTreeMap::new());
        for (id, revision, declared) in content {
            let entry = model.entries.get(id);
            let mut after = match entry {
                Some(entry) if entry.with_version(&revision.version).is_some() => entry.clone(),
                Some(entry) => entry.with(revision.clone()),
                None => Entry::new(revision.clone()),
            };
            let mut steps = vec![Some(after.clone())];
            for on in declared {
                // They are declared one by one, in an order that nobody promised: there are few of them.
                steps.extend(steps.clone().into_iter().map(|step| {
                    let mut step = step.unwrap();
                    step.declared.insert(on.clone());
                    Some(step)
                }));
            }
            after.declared.extend(declared.iter().cloned());
            steps.push(Some(after));
            changes.insert(id.clone(), steps);
            revisions.insert(id.clone(), revision.clone());
        }
        let mut operation =
            Operation::new(&["import", file], Kind::Register(revisions), 30 + 20 * content.len() as u64);
        operation.changes = changes;
        operation
    }

    fn compact(&mut self) -> Operation {
        let keeps: [&[&str]; 3] = [&[], &["--keep", "0s"], &["--keep", "0s", "--keep-records", "20"]];
        let args = [&["compact"], *self.numbers.pick(&keeps).unwrap()].concat();
        Operation::new(&args, Kind::Compact, 90)
    }
}

fn revision_of(recipe: &Recipe, digest: String) -> Revision {
    Revision {
        version: recipe.version.clone(),
        digest,
        answer: recipe.answer,
        variable: recipe.variable(),
        needs: recipe.needs.clone(),
        refuses: recipe.refuses,
    }
}
