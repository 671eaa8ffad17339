//! What the registry has to be like, by what was acknowledged.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value;

use crate::place::Outcome;

/// One revision of an entry.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Revision {
    pub(crate) version: String,
    pub(crate) digest: String,
    pub(crate) answer: u32,
    pub(crate) variable: String,
    pub(crate) needs: Vec<String>,
    pub(crate) refuses: bool,
}

/// One entry.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Entry {
    /// By number.
    pub(crate) revisions: BTreeMap<u32, Revision>,
    /// The number of the revision that it points to.
    pub(crate) current: u32,
    /// The number of the one that was registered while it was active, until one is chosen.
    pub(crate) waiting: Option<u32>,
    /// `registered`, `active`, `inactive` or `error`.
    pub(crate) status: &'static str,
    /// Dependencies that `depend` declared.
    pub(crate) declared: BTreeSet<String>,
    /// Failures since they were cleared: at least, at most.
    pub(crate) failures: (u64, u64),
}

/// Entries by id.
pub(crate) type Entries = BTreeMap<String, Entry>;
/// A component in an archive: its id, its revision, and the dependencies that `depend` declared.
pub(crate) type Archived = (String, Revision, BTreeSet<String>);
/// What entries may become, step by step; `None` is one that is gone. What they are now is not among the steps.
pub(crate) type Changes = BTreeMap<String, Vec<Option<Entry>>>;

impl Entry {
    pub(crate) fn new(revision: Revision) -> Self {
        let revisions = BTreeMap::from([(1, revision)]);
        Self { revisions, current: 1, waiting: None, status: "registered", declared: BTreeSet::new(), failures: (0, 0) }
    }

    pub(crate) fn revision(&self) -> &Revision {
        &self.revisions[&self.current]
    }

    pub(crate) fn newest(&self) -> u32 {
        *self.revisions.keys().next_back().unwrap()
    }

    pub(crate) fn is_active(&self) -> bool {
        self.status == "active"
    }

    /// Returns the number of the revision with a version.
    pub(crate) fn with_version(&self, version: &str) -> Option<u32> {
        self.revisions.iter().find(|(_, revision)| revision.version == version).map(|(number, _)| *number)
    }

    /// Returns this with one more revision, which an entry that is not active points to.
    pub(crate) fn with(&self, revision: Revision) -> Self {
        let mut after = self.clone();
        let number = self.newest() + 1;
        after.revisions.insert(number, revision);
        if self.is_active() {
            after.waiting = Some(number);
            after
        } else {
            after.pointing_to(number)
        }
    }

    /// Returns this pointing to a revision, if it does not yet.
    pub(crate) fn pointing_to(&self, number: u32) -> Self {
        let mut after = self.clone();
        if number != self.current {
            after.current = number;
            after.waiting = None;
        }
        after
    }

    /// Returns this after its activation at a revision.
    pub(crate) fn activated(&self, number: u32) -> Self {
        let mut after = self.pointing_to(number);
        after.status = "active";
        if self.revisions[&number].refuses {
            after.status = "error";
            after.failures = (self.failures.0 + 1, self.failures.1 + 1);
        }
        after
    }

    /// Returns this out of service, pointing to the revision that waited, if one did.
    pub(crate) fn deactivated(&self) -> Self {
        let mut after = self.clone();
        if self.is_active() {
            after.status = "inactive";
            return self.waiting.map_or(after.clone(), |waiting| after.pointing_to(waiting));
        }
        after
    }

    /// Says how an entry that the program shows differs from this one.
    fn differs(&self, shown: &Value) -> Option<String> {
        let revision = self.revision();
        let expected = [
            ("version", Value::from(revision.version.as_str())),
            ("revision", self.current.into()),
            ("newest_revision", self.newest().into()),
            ("waiting_revision", self.waiting.into()),
            ("status", self.status.into()),
            ("digest", revision.digest.as_str().into()),
        ];
        for (field, value) in expected {
            if shown[field] != value {
                return Some(format!("{field} is {}, not {value}", shown[field]));
            }
        }
        if shown["grants"]["env"][0] != revision.variable.as_str() {
            return Some(format!("grants are {}, not {}", shown["grants"], revision.variable));
        }
        let (least, most) = self.failures;
        if shown["error_count"].as_u64().is_none_or(|count| count < least || count > most) {
            return Some(format!("error_count is {}, not {least} to {most}", shown["error_count"]));
        }
        let declared: BTreeSet<_> = edges(shown, "declared").collect();
        (declared != self.declared).then(|| format!("declared edges are {declared:?}, not {:?}", self.declared))
    }
}

/// Returns the ids that an entry depends on by edges of one sort.
fn edges<'a>(shown: &'a Value, kind: &'a str) -> impl Iterator<Item = String> + 'a {
    let edges = shown["dependencies"].as_array().unwrap().iter().filter(move |edge| edge["kind"] == kind);
    edges.map(|edge| edge["id"].as_str().unwrap().to_owned())
}

/// All that is known of a registry.
#[derive(Default)]
pub(crate) struct Model {
    pub(crate) entries: Entries,
    /// What was under way when a process was ended.
    pub(crate) pending: Changes,
    pub(crate) settings: BTreeMap<String, u64>,
    pub(crate) pending_settings: BTreeMap<String, u64>,
    /// Archives that were written, with what is in them, dependencies first.
    pub(crate) archives: Vec<(String, Vec<Archived>)>,
    /// Whether records may have been removed since the journal was last read.
    pub(crate) compacted: bool,
}

impl Model {
    /// Puts each entry where a command that ended says it is: so many steps on.
    pub(crate) fn settle(&mut self, changes: &Changes, reached: &BTreeMap<String, usize>) {
        for (id, steps) in changes {
            let Some(at) = reached.get(id).and_then(|count| count.checked_sub(1)) else { continue };
            match &steps[at.min(steps.len() - 1)] {
                Some(entry) => self.entries.insert(id.clone(), entry.clone()),
                None => self.entries.remove(id),
            };
        }
    }

    /// Returns who depends on `id`, directly or not, and it itself.
    pub(crate) fn with_dependents(&self, id: &str) -> BTreeSet<String> {
        self.with_some_dependents(id, |_| true)
    }

    /// As [`Model::with_dependents`]; those that are not `wanted` are left out, with what depends on them alone.
    pub(crate) fn with_some_dependents(&self, id: &str, wanted: impl Fn(&Entry) -> bool) -> BTreeSet<String> {
        let mut found = BTreeSet::from([id.to_owned()]);
        loop {
            let more: Vec<_> = self
                .entries
                .iter()
                .filter(|(id, entry)| !found.contains(*id) && wanted(entry))
                .filter(|(_, entry)| self.needs(entry).iter().any(|need| found.contains(need)))
                .map(|(id, _)| id.clone())
                .collect();
            if more.is_empty() {
                return found;
            }
            found.extend(more);
        }
    }

    /// Returns what an entry depends on.
    pub(crate) fn needs(&self, entry: &Entry) -> BTreeSet<String> {
        let needs = entry.revision().needs.iter().filter(|need| self.entries.contains_key(*need));
        needs.chain(&entry.declared).cloned().collect()
    }

    /// Returns what `get` of an active component answers: the sum of its own answer and those of what it imports.
    pub(crate) fn sum(&self, id: &str) -> u32 {
        let revision = self.entries[id].revision();
        revision.answer + revision.needs.iter().map(|need| self.sum(need)).sum::<u32>()
    }

    /// Compares with the entries that the program shows, and takes over what became of what was under way.
    pub(crate) fn compare(&mut self, shown: &Value) -> Outcome<()> {
        let shown = shown["components"].as_array().ok_or("`list` has no components")?;
        let shown: BTreeMap<String, &Value> =
            shown.iter().map(|entry| (entry["id"].as_str().unwrap().to_owned(), entry)).collect();
        let pending = std::mem::take(&mut self.pending);
        let ids: BTreeSet<String> = self.entries.keys().chain(pending.keys()).chain(shown.keys()).cloned().collect();
        for id in &ids {
            let known = self.entries.get(id).cloned();
            let mut candidates = pending.get(id).cloned().unwrap_or_default();
            candidates.insert(0, known);
            let found = candidates.iter().map(|candidate| differs(candidate.as_ref(), shown.get(id).copied()));
            let found: Vec<_> = found.collect();
            let Some(at) = found.iter().rposition(Option::is_none) else {
                let reasons: Vec<_> = found.into_iter().flatten().collect();
                return Err(format!("{id}: {}", reasons.join("; or ")));
            };
            match candidates.swap_remove(at) {
                Some(mut entry) => {
                    let count = shown[id]["error_count"].as_u64().unwrap();
                    entry.failures = (count, count);
                    self.entries.insert(id.clone(), entry);
                }
                None => drop(self.entries.remove(id)),
            }
        }
        shown.values().try_for_each(|entry| self.check_edges(entry, &shown))
    }

    /// Edges follow from the entries that are there; what is active has all that it imports, active.
    fn check_edges(&self, entry: &Value, shown: &BTreeMap<String, &Value>) -> Outcome<()> {
        let id = entry["id"].as_str().unwrap();
        let known = &self.entries[id];
        let there = known.revision().needs.iter().filter(|need| shown.contains_key(*need)).cloned();
        let (there, imports): (BTreeSet<_>, BTreeSet<_>) = (there.collect(), edges(entry, "import").collect());
        if there != imports {
            return Err(format!("{id}: it imports from {imports:?}, not {there:?}"));
        }
        let missing = known.revision().needs.len() - there.len();
        if entry["unresolved"].as_array().unwrap().len() != missing {
            return Err(format!("{id}: {missing} imports have no provider, unresolved are {}", entry["unresolved"]));
        }
        if known.is_active() && (missing > 0 || imports.iter().any(|id| shown[id]["status"] != "active")) {
            return Err(format!("{id} is active without all that it imports"));
        }
        if let Some(gone) = known.declared.iter().find(|on| !shown.contains_key(*on)) {
            return Err(format!("{id}: it depends on {gone}, which is not there"));
        }
        for need in imports.iter().chain(&known.declared) {
            let dependents = shown[need]["dependents"].as_array().unwrap();
            if !dependents.iter().any(|dependent| dependent == id) {
                return Err(format!("{need}: {id} is not among its dependents"));
            }
        }
        Ok(())
    }
}

fn differs(expected: Option<&Entry>, shown: Option<&Value>) -> Option<String> {
    match (expected, shown) {
        (Some(entry), Some(shown)) => entry.differs(shown),
        (Some(_), None) => Some("it is lost".to_owned()),
        (None, Some(shown)) => Some(format!("nobody registered it: {shown}")),
        (None, None) => None,
    }
}
