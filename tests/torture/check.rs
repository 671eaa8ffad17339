//! Looks at a registry after a kill, through the program: it opens, it is whole, and it is what was acknowledged.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use serde_json::Value;

use crate::model::Model;
use crate::numbers::Numbers;
use crate::place::{Cut, Outcome, Place, Ran, run};

/// Active components that are called in each check.
const CALLS: usize = 2;

/// What the checks of one data folder remember.
#[derive(Default)]
pub(crate) struct Checks {
    /// The last record of the journal that was read.
    last_seq: u64,
    /// Warnings of openings that mended something, without the numbers in them.
    pub(crate) warnings: Vec<String>,
}

impl Checks {
    /// Checks everything whose cost does not grow with the folder's age, and takes over what became of what was under way.
    pub(crate) fn check(&mut self, place: &Place, model: &mut Model, numbers: &mut Numbers) -> Outcome<()> {
        let list = self.open(place)?;
        let verified = place.ok(&["verify"])?;
        if verified["ok"] != true {
            return Err(format!("`verify` finds: {verified}"));
        }
        model.compare(&list)?;
        settings(place, model)?;
        self.journal(place, model, &verified)?;
        let active: Vec<_> = model.entries.iter().filter(|(_, entry)| entry.is_active()).map(|(id, _)| id).collect();
        for _ in 0..CALLS {
            let Some(id) = numbers.pick(&active) else { break };
            let sum = model.sum(id);
            let called = place.ok(&["call", id, "get()"])?;
            if called["result"] != sum {
                return Err(format!("{id} answers {called}, not {sum}"));
            }
        }
        match numbers.below(3) {
            0 => graph(place, &list),
            1 => revision(place, model, numbers),
            _ => Ok(()),
        }
    }

    /// Opens the folder for the first time after a kill.
    fn open(&mut self, place: &Place) -> Outcome<Value> {
        let ran = run(place.command(&["list"]), Cut::Never)?;
        for line in ran.stderr.lines() {
            match line.strip_prefix("warning: ") {
                Some(warning) => self.warnings.push(warning.to_owned()),
                None => return Err(format!("an opening says: {line}")),
            }
        }
        let list = ran.document().filter(|_| ran.code == 0);
        list.ok_or_else(|| format!("it does not open: {ran:#?}"))
    }

    /// Records follow each other without a gap, from the last one that was read.
    fn journal(&mut self, place: &Place, model: &mut Model, verified: &Value) -> Outcome<()> {
        let since = (self.last_seq + 1).to_string();
        let ran = run(place.command(&["log", "--since", &since]), Cut::Never)?;
        if ran.code != 0 {
            return Err(format!("the journal cannot be read: {ran:#?}"));
        }
        let last = verified["last_seq"].as_u64().ok_or("`verify` names no last record")?;
        if last < self.last_seq {
            return Err(format!("the journal ends at record {last}, and had {} before", self.last_seq));
        }
        let mut seqs = ran.stdout.lines().map(|line| seq(line, &ran)).collect::<Outcome<Vec<_>>>()?;
        // What a compaction removed is not there to be read.
        let first = match (model.compacted, verified["first_seq"].as_u64()) {
            (true, Some(first)) => first.max(self.last_seq + 1),
            _ => self.last_seq + 1,
        };
        seqs.retain(|seq| *seq <= last);
        if seqs != (first..=last).collect::<Vec<_>>() {
            return Err(format!("the records from {first} to {last} are {seqs:?}"));
        }
        model.compacted = false;
        self.last_seq = last;
        Ok(())
    }
}

fn seq(line: &str, ran: &Ran) -> Outcome<u64> {
    let record: Value = serde_json::from_str(line).map_err(|error| format!("{error} in the log: {ran:#?}"))?;
    record["seq"].as_u64().ok_or_else(|| format!("a record without a number: {line}"))
}

fn settings(place: &Place, model: &mut Model) -> Outcome<()> {
    let shown = place.ok(&["settings"])?;
    let shown = shown["settings"].as_array().ok_or("no settings")?;
    let pending = std::mem::take(&mut model.pending_settings);
    let keys: BTreeSet<String> = model.settings.keys().chain(pending.keys()).cloned().collect();
    for key in keys {
        let setting = shown.iter().find(|setting| setting["key"] == key.as_str()).ok_or(format!("no setting {key}"))?;
        let value = setting["value"].as_u64().ok_or_else(|| format!("{key} is {setting}"))?;
        let known = model.settings.get(&key).copied();
        let is_default = known.is_none() && setting["default"] == true;
        if !is_default && ![known, pending.get(&key).copied()].contains(&Some(value)) {
            return Err(format!("{key} is {value}, not {known:?} or {:?}", pending.get(&key)));
        }
        if !is_default {
            model.settings.insert(key, value);
        }
    }
    Ok(())
}

/// The graph and the order have what the list has.
fn graph(place: &Place, list: &Value) -> Outcome<()> {
    let graph = place.ok(&["graph"])?;
    let listed = list["components"].as_array().unwrap();
    let strings = |values: &[Value], field: &str| -> BTreeSet<String> {
        values.iter().map(|value| value[field].as_str().unwrap().to_owned()).collect()
    };
    let ids = strings(listed, "id");
    let nodes = strings(graph["nodes"].as_array().unwrap(), "id");
    let pairs: BTreeSet<(String, String)> = listed
        .iter()
        .flat_map(|entry| {
            let edges = entry["dependencies"].as_array().unwrap().iter();
            edges.map(|edge| (edge["id"].as_str().unwrap().to_owned(), entry["id"].as_str().unwrap().to_owned()))
        })
        .collect();
    let drawn = graph["edges"].as_array().unwrap().iter();
    let drawn: BTreeSet<_> = drawn
        .map(|edge| (edge["from"].as_str().unwrap().to_owned(), edge["to"].as_str().unwrap().to_owned()))
        .collect();
    if (&nodes, &drawn) != (&ids, &pairs) {
        return Err(format!("the graph is not that of the list: {graph}"));
    }
    let order = place.ok(&["order"])?;
    let order: Vec<&str> = order["order"].as_array().unwrap().iter().filter_map(Value::as_str).collect();
    let at = |id: &str| order.iter().position(|other| *other == id);
    match order.len() == ids.len() && pairs.iter().all(|(from, to)| at(from) < at(to)) {
        true => Ok(()),
        false => Err(format!("the order is not one: {order:?}")),
    }
}

/// A revision that its entry may not point to is there as it was registered.
fn revision(place: &Place, model: &Model, numbers: &mut Numbers) -> Outcome<()> {
    let ids: Vec<_> = model.entries.keys().collect();
    let Some(id) = numbers.pick(&ids) else { return Ok(()) };
    for revision in model.entries[*id].revisions.values() {
        let word = format!("{id}@{}", revision.version);
        let shown = place.ok(&["show", &word])?;
        if shown["digest"] != revision.digest.as_str() {
            return Err(format!("{word} has the digest {}, not {}", shown["digest"], revision.digest));
        }
    }
    Ok(())
}

/// Checks a folder at its end: nothing unfinished is left in it, and a backup of it becomes the same registry.
pub(crate) fn finish(place: &Place, model: &mut Model) -> Outcome<()> {
    place.ok(&["gc", "--grace", "0s"])?;
    let unfinished: Vec<_> = below(&place.data()).into_iter().filter(|path| is_unfinished(path)).collect();
    if !unfinished.is_empty() {
        return Err(format!("unfinished writes are never cleaned up: {unfinished:?}"));
    }
    let digests: BTreeSet<&str> = model
        .entries
        .values()
        .flat_map(|entry| entry.revisions.values())
        .map(|revision| revision.digest.as_str())
        .collect();
    let blobs = below(&place.data().join("blobs"));
    let blobs: BTreeSet<String> =
        blobs.iter().map(|path| format!("sha256:{}", path.file_name().unwrap().to_string_lossy())).collect();
    if !digests.iter().map(|digest| (*digest).to_owned()).eq(blobs.iter().cloned()) {
        return Err(format!("{} revisions have bytes, {} files are there", digests.len(), blobs.len()));
    }
    let list = place.ok(&["list"])?;
    model.compare(&list)?;
    let fresh = place.root.join("restored");
    for worker in 0..crate::plan::WORKERS {
        let folder = format!("backup-{worker}/");
        if worker > 0 && !place.work().join(&folder).exists() {
            continue;
        }
        // An earlier one may have been cut short there.
        place.ok(&["backup", &folder])?;
        place.ok_on(&fresh, &["restore", &folder])?;
        model.compare(&place.ok_on(&fresh, &["list"])?)?;
        let verified = place.ok_on(&fresh, &["verify"])?;
        if verified["ok"] != true {
            return Err(format!("`verify` of a restored backup finds: {verified}"));
        }
        std::fs::remove_dir_all(&fresh).map_err(|error| error.to_string())?;
    }
    Ok(())
}

fn is_unfinished(path: &Path) -> bool {
    path.extension().is_some_and(|extension| extension == "partial")
}

/// Returns all files below a folder.
pub(crate) fn below(folder: &Path) -> Vec<PathBuf> {
    let mut files = Vec::new();
    for entry in std::fs::read_dir(folder).into_iter().flatten().flatten() {
        match entry.file_type().unwrap().is_dir() {
            true => files.extend(below(&entry.path())),
            false => files.push(entry.path()),
        }
    }
    files.sort();
    files
}
