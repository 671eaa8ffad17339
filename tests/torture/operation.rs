//! One command: what it is asked to do, what it may change, and which exit codes it may end with.

use std::collections::BTreeMap;

use serde_json::Value;

use crate::model::{Archived, Changes, Model, Revision};
use crate::place::{Outcome, Ran};

/// A command that was chosen, with all that may come of it.
pub(crate) struct Operation {
    pub(crate) args: Vec<String>,
    pub(crate) kind: Kind,
    /// What it changes if all of it is done.
    pub(crate) changes: Changes,
    /// Whose first step is done also where the rest is refused.
    pub(crate) at_least: Option<String>,
    /// The exit codes that it may end with.
    pub(crate) codes: Vec<i32>,
    /// How many steps on the disk it may take; a guess, for choosing where to cut.
    pub(crate) steps: u64,
}

/// What a command's answer means.
pub(crate) enum Kind {
    /// `register`, `import`: revisions by id, and the declared edges that an archive has.
    Register(BTreeMap<String, Revision>),
    Activate,
    /// `deactivate`, `unregister`, `errors --clear`, `depend`, `undepend`: the answer has what was `done`.
    Done,
    Prune,
    /// The answer that is expected of a component, if it is called in vain: none.
    Call(Option<u32>),
    Setting(String, u64),
    Export(Vec<Archived>),
    Compact,
    /// What changes no entry.
    Neutral,
}

impl Operation {
    pub(crate) fn new(args: &[&str], kind: Kind, steps: u64) -> Self {
        let args = args.iter().map(|arg| (*arg).to_owned()).collect();
        Self { args, kind, changes: Changes::new(), at_least: None, codes: vec![0], steps }
    }

    /// Writes into the model what the command acknowledged, or that nobody knows what became of it.
    ///
    /// Returns whether it is known.
    pub(crate) fn acknowledge(self, ran: &Ran, model: &mut Model) -> Outcome<bool> {
        // Begun is enough: records may be gone.
        model.compacted |= matches!(self.kind, Kind::Compact);
        let Some(document) = self.answer(ran)? else {
            if let Kind::Setting(key, value) = self.kind {
                model.pending_settings.insert(key, value);
            }
            for (id, steps) in self.changes {
                model.pending.entry(id).or_default().extend(steps);
            }
            return Ok(false);
        };
        let reached = self.reached(&document, ran)?;
        model.settle(&self.changes, &reached);
        match self.kind {
            Kind::Setting(key, value) => drop(model.settings.insert(key, value)),
            Kind::Export(content) => model.archives.push((self.args[1].clone(), content)),
            _ => {}
        }
        Ok(true)
    }

    /// Returns the command's answer if it gave one, whatever ended it then.
    fn answer(&self, ran: &Ran) -> Outcome<Option<Value>> {
        let unexpected = || Err(format!("`runtime {}` answers: {ran:#?}", self.args.join(" ")));
        let Some(document) = ran.document() else {
            return if ran.was_killed() { Ok(None) } else { unexpected() };
        };
        if document["error"]["code"] == "server-lost" {
            return Ok(None);
        }
        // A process that was ended after its answer has no exit code any more; a client whose server was, has another one.
        let is_late = ran.was_killed() || ran.stdout.contains("\"server-lost\"");
        match is_late || self.codes.contains(&ran.code) {
            true => Ok(Some(document)),
            false => unexpected(),
        }
    }

    /// Returns how many steps each entry went, by the command's answer.
    fn reached(&self, document: &Value, ran: &Ran) -> Outcome<BTreeMap<String, usize>> {
        let mut reached: BTreeMap<String, usize> = BTreeMap::new();
        let all = usize::MAX;
        match &self.kind {
            Kind::Register(revisions) => {
                for entry in list(document, "registered") {
                    let id = text(&entry["id"]);
                    let revision = revisions.get(&id).ok_or(format!("{id} was not asked for: {ran:#?}"))?;
                    if entry["registered_version"] != revision.version.as_str() {
                        return Err(format!(
                            "{id}: {} was registered, not {}",
                            entry["registered_version"], revision.version
                        ));
                    }
                    reached.insert(id, if document["declared"].is_array() { all } else { 1 });
                }
                self.activated(&document["activation"], &mut reached)?;
            }
            Kind::Activate => self.activated(document, &mut reached)?,
            Kind::Done if document["id"].is_string() => {
                // `depend` and `undepend` list what is depended on.
                let changed = list(document, "done").next().is_some();
                reached.extend(changed.then(|| (text(&document["id"]), all)));
            }
            Kind::Done => reached.extend(list(document, "done").map(|id| (text(id), all))),
            Kind::Prune => reached.extend(list(document, "pruned").map(|one| (text(&one["id"]), all))),
            Kind::Call(Some(answer)) if document["result"] != *answer => {
                return Err(format!("`runtime {}` answers {document}, not {answer}", self.args.join(" ")));
            }
            // A trap is recorded before the call is answered.
            Kind::Call(_) => reached.extend(self.changes.keys().map(|id| (id.clone(), all))),
            Kind::Setting(..) | Kind::Export(_) | Kind::Compact | Kind::Neutral => {}
        }
        if let Some(id) = &self.at_least {
            reached.entry(id.clone()).or_insert(1);
        }
        match reached.keys().find(|id| !self.changes.contains_key(*id) && !self.may_leave(id)) {
            Some(id) => Err(format!("`runtime {}` changed {id} without need: {ran:#?}", self.args.join(" "))),
            None => Ok(reached),
        }
    }

    fn activated(&self, document: &Value, reached: &mut BTreeMap<String, usize>) -> Outcome<()> {
        for one in list(document, "activated") {
            reached.insert(text(&one["id"]), usize::MAX);
        }
        for one in list(document, "failed") {
            if one["error"]["code"] != "component-activation" {
                continue;
            }
            // Of what it needs, where that failed.
            let id = text(&one["error"]["component"]);
            let last = self.changes.get(&id).and_then(|steps| steps.last()).and_then(Option::as_ref);
            if last.is_none_or(|entry| entry.status != "error") {
                return Err(format!("{id} cannot be activated: {one}"));
            }
            reached.insert(id, usize::MAX);
        }
        Ok(())
    }

    /// Tells whether the answer may list `id` though nothing changes: what is registered already, or out of service.
    fn may_leave(&self, id: &str) -> bool {
        match &self.kind {
            Kind::Register(revisions) => revisions.contains_key(id),
            Kind::Done => true,
            _ => false,
        }
    }
}

fn list<'a>(document: &'a Value, field: &str) -> impl Iterator<Item = &'a Value> + use<'a> {
    document[field].as_array().map(Vec::as_slice).unwrap_or_default().iter()
}

fn text(value: &Value) -> String {
    value.as_str().unwrap_or_default().to_owned()
}
