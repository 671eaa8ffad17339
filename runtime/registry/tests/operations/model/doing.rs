//! What each step does to the plain model, and what it answers.

use std::collections::BTreeSet;

use domain::Status;

use super::plain::{Circle, Item, Lack, Needs, Plain, Use, Why};
use super::steps::{Fault, Text, is_in_range};

pub(super) const UNKNOWN: &str = "component-not-found";
pub(super) const NEEDED: &str = "dependency";
pub(super) const CIRCLE: &str = "circular-dependency";

/// An answer: a word, or the code of an error.
pub(super) type Answer = Result<String, String>;

fn refuse<T>(code: &str) -> Result<T, String> {
    Err(code.to_owned())
}

impl From<Circle> for String {
    fn from(_: Circle) -> Self {
        CIRCLE.to_owned()
    }
}

/// What an activation did, by component.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Activation {
    pub(super) activated: BTreeSet<u8>,
    pub(super) active: BTreeSet<u8>,
    pub(super) failed: BTreeSet<(u8, String)>,
    pub(super) skipped: BTreeSet<u8>,
}

impl Plain {
    pub(super) fn register(&mut self, text: &Text, override_version: bool) -> Answer {
        let name = text.name;
        let Some(item) = self.items.get(&name) else {
            let mut after = self.clone();
            after.items.insert(
                name,
                Item {
                    status: Status::Registered,
                    revisions: vec![text.clone()],
                    current: 1,
                    waiting: None,
                    trail: vec![],
                    needs: Needs::default(),
                    failures: vec![],
                    error_count: 0,
                    last_error: None,
                    use_: Use::default(),
                },
            );
            after.settle(name)?;
            *self = after;
            return Ok("New".to_owned());
        };
        if let Some(number) = item.of_version(text.version) {
            if item.revisions[number - 1] == *text {
                return Ok("Unchanged".to_owned());
            }
            if !override_version && !self.allow_override {
                return refuse("version-conflict");
            }
        }
        let (number, active) = (item.newest() + 1, item.status == Status::Active);
        let mut after = self.clone();
        after.items.get_mut(&name).unwrap().revisions.push(text.clone());
        if active {
            if self.breaks(name, text) {
                return refuse("breaking");
            }
            after.items.get_mut(&name).unwrap().waiting = Some(number);
        } else {
            after.select(name, number)?;
        }
        *self = after;
        Ok(if active { "Waiting" } else { "NewRevision" }.to_owned())
    }

    /// Tells whether something active would lack something, or need something that is not active, with `text` in service as `name`.
    fn breaks(&self, name: u8, text: &Text) -> bool {
        let mut after = self.clone();
        let item = after.items.get_mut(&name).unwrap();
        item.revisions.push(text.clone());
        item.current = item.newest();
        self.dependents(name).into_iter().filter(|other| self.is_active(*other)).any(|other| {
            let before = &self.items[&other];
            let needs = after.resolve(other, before.text(), &before.needs);
            let new = needs.edges.difference(&before.needs.edges);
            let mut imports = new.filter(|(_, why)| matches!(why, Why::Import(_)));
            !needs.lacks.is_subset(&before.needs.lacks) || imports.any(|(on, _)| *on != name && !self.is_active(*on))
        })
    }

    pub(super) fn activate(&mut self, name: u8, version: Option<u8>) -> Activation {
        let mut done = Activation::default();
        if let Err(code) = self.try_activate(name, version, &mut done) {
            done.failed.insert((name, code));
        }
        done
    }

    fn try_activate(&mut self, name: u8, version: Option<u8>, done: &mut Activation) -> Result<(), String> {
        let Some(item) = self.items.get(&name) else { return refuse(UNKNOWN) };
        if let Some(version) = version {
            let Some(number) = item.of_version(version) else { return refuse("version-not-found") };
            if number != item.current {
                if item.status == Status::Active {
                    return self.replace(name, number, done);
                }
                let before = self.clone();
                self.select(name, number)?;
                if !self.bring_up(&[name], done) {
                    // Refused: all is as it was.
                    *self = before;
                }
                return Ok(());
            }
        }
        self.bring_up(&[name], done);
        Ok(())
    }

    /// Activates components and what they need. Tells whether any of them could be begun.
    fn bring_up(&mut self, names: &[u8], done: &mut Activation) -> bool {
        let closure = self.closure(names, |name| self.dependencies(name));
        let lacking = closure.iter().filter(|name| !self.is_active(**name) && !self.items[name].needs.lacks.is_empty());
        let mut lost: BTreeSet<u8> = lacking.copied().collect();
        done.failed.extend(lost.iter().map(|name| (*name, NEEDED.to_owned())));
        // What is not active and needs, directly or not, something that is lost.
        let is_stuck = |plain: &Self, lost: &BTreeSet<u8>, name: u8| {
            let needed = plain.closure(&[name], |name| plain.dependencies(name));
            !plain.is_active(name) && !needed.is_disjoint(lost)
        };
        let blocked = lost.clone();
        done.skipped.extend(closure.iter().filter(|name| !blocked.contains(*name) && is_stuck(self, &blocked, **name)));
        done.active = closure.iter().copied().filter(|name| self.is_active(*name)).collect();
        // What only something needs that is not begun is not begun either.
        let usable: Vec<u8> =
            names.iter().copied().filter(|name| !blocked.contains(name) && !done.skipped.contains(name)).collect();
        let begun = self.closure(&usable, |name| {
            let mut next = self.dependencies(name);
            next.retain(|name| !blocked.contains(name) && !done.skipped.contains(name));
            next
        });
        for name in self.waves().unwrap().concat() {
            if !begun.contains(&name) || self.is_active(name) {
                continue;
            }
            if is_stuck(self, &lost, name) {
                done.skipped.insert(name);
                continue;
            }
            match self.start(name) {
                Ok(()) => drop(done.activated.insert(name)),
                Err(code) => {
                    lost.insert(name);
                    self.items.get_mut(&name).unwrap().status = Status::Error;
                    done.failed.insert((name, code));
                }
            }
        }
        !usable.is_empty()
    }

    /// Makes an instance of the revision that an entry points to.
    fn start(&mut self, name: u8) -> Result<(), String> {
        let item = self.items.get_mut(&name).unwrap();
        let failure = match item.text().fault {
            Some(Fault::Link) => "wasi:sockets/tcp is not granted",
            Some(Fault::Start) => "not today",
            Some(Fault::Call) | None => {
                item.status = Status::Active;
                item.last_error = None;
                item.use_.activations += 1;
                return Ok(());
            }
        };
        item.fail(failure);
        refuse("component-activation")
    }

    /// Puts another revision of an active component in service, or leaves it as it was.
    fn replace(&mut self, name: u8, number: usize, done: &mut Activation) -> Result<(), String> {
        let mut after = self.clone();
        after.select(name, number)?;
        if !after.items[&name].needs.lacks.is_empty() {
            return refuse(NEEDED);
        }
        if self.leaves_behind(&after) {
            return refuse(NEEDED);
        }
        let mut dependencies = Activation::default();
        let needed: Vec<u8> = after.dependencies(name).into_iter().collect();
        self.bring_up(&needed, &mut dependencies);
        // Whatever comes then, they are active.
        done.activated = dependencies.activated;
        if let Some((_, code)) = dependencies.failed.first() {
            return refuse(code);
        }
        // Their activation may have pointed nothing elsewhere, but what is active now is.
        let mut after = self.clone();
        after.select(name, number)?;
        match after.start(name) {
            // It may leave behind what was activated for it.
            Ok(()) if self.leaves_behind(&after) => return refuse(NEEDED),
            Ok(()) => *self = after,
            Err(code) => {
                let failure = after.items[&name].failures[0];
                self.items.get_mut(&name).unwrap().fail(failure);
                return refuse(&code);
            }
        }
        done.activated.insert(name);
        Ok(())
    }

    /// Tells whether something active lacks something afterwards that was changed.
    fn leaves_behind(&self, after: &Self) -> bool {
        after.items.iter().any(|(other, item)| {
            let changed = item.needs != self.items[other].needs;
            item.status == Status::Active && changed && !item.needs.lacks.is_empty()
        })
    }

    pub(super) fn deactivate(&mut self, name: u8, cascade: bool) -> Answer {
        if !self.items.contains_key(&name) {
            return refuse(UNKNOWN);
        }
        if !self.is_active(name) {
            return Ok("done".to_owned());
        }
        let active_dependents = |plain: &Self, name: u8| -> BTreeSet<u8> {
            plain.dependents(name).into_iter().filter(|other| plain.is_active(*other)).collect()
        };
        let going = if cascade { self.closure(&[name], |name| active_dependents(self, name)) } else { [name].into() };
        let mut refused = None;
        for name in self.waves().unwrap().concat().into_iter().rev().filter(|name| going.contains(name)) {
            if !active_dependents(self, name).is_empty() {
                refused = Some(NEEDED.to_owned());
                continue;
            }
            let item = self.items.get_mut(&name).unwrap();
            item.status = Status::Inactive;
            if let Some(waiting) = item.waiting {
                // A revision that would close a circle goes on waiting: what is active can always be stopped.
                let _ = self.select(name, waiting);
            }
        }
        refused.map_or(Ok("done".to_owned()), Err)
    }

    fn remove(&mut self, name: u8) -> Result<(), String> {
        if !self.dependents(name).is_empty() {
            return refuse(NEEDED);
        }
        let mut after = self.clone();
        after.items.remove(&name);
        after.settle(name)?;
        *self = after;
        Ok(())
    }

    pub(super) fn unregister(&mut self, name: u8, cascade: bool) -> Answer {
        if !self.items.contains_key(&name) {
            return refuse(UNKNOWN);
        }
        let going = if cascade { self.closure(&[name], |name| self.dependents(name)) } else { [name].into() };
        let order: Vec<u8> =
            self.waves().unwrap().concat().into_iter().rev().filter(|name| going.contains(name)).collect();
        let mut answer = Ok("done".to_owned());
        for name in order {
            if let Err(code) = self.remove(name) {
                answer = answer.and(Err(code));
            }
        }
        answer
    }

    /// Removes what is not active and nothing needs that stays; returns what went and what could not.
    pub(super) fn prune(&mut self) -> (BTreeSet<u8>, BTreeSet<u8>) {
        let is_unused = |name: &u8| {
            self.closure(&[*name], |name| self.dependents(name)).iter().all(|other| !self.is_active(*other))
        };
        let unused: BTreeSet<u8> = self.items.keys().copied().filter(is_unused).collect();
        let mut gone = BTreeSet::new();
        while let Some(name) = unused.difference(&gone).copied().find(|name| self.remove(*name).is_ok()) {
            gone.insert(name);
        }
        let failed = unused.difference(&gone).copied().collect();
        (gone, failed)
    }

    pub(super) fn depend(&mut self, name: u8, on: u8, range: u8) -> Answer {
        if !self.items.contains_key(&name) || !self.items.contains_key(&on) {
            return refuse(UNKNOWN);
        }
        if self.items[&name].needs.edges.contains(&(on, Why::Operator(range))) {
            return Ok("false".to_owned());
        }
        if !is_in_range(self.items[&on].text().version, range) {
            return refuse(NEEDED);
        }
        let mut after = self.clone();
        let needs = &mut after.items.get_mut(&name).unwrap().needs;
        needs.edges.retain(|(other, why)| !(*other == on && matches!(why, Why::Operator(_))));
        needs.edges.insert((on, Why::Operator(range)));
        after.refresh(name);
        after.waves().ok_or(Circle)?;
        *self = after;
        Ok("true".to_owned())
    }

    pub(super) fn undepend(&mut self, name: u8, on: u8) -> Answer {
        if !self.items.contains_key(&name) || !self.items.contains_key(&on) {
            return refuse(UNKNOWN);
        }
        let edges = &mut self.items.get_mut(&name).unwrap().needs.edges;
        let before = edges.len();
        edges.retain(|(other, why)| !(*other == on && matches!(why, Why::Operator(_))));
        if edges.len() < before {
            self.refresh(name);
            return Ok("true".to_owned());
        }
        if edges.iter().any(|(other, _)| *other == on) { refuse("edge-not-declared") } else { Ok("false".to_owned()) }
    }

    /// Sees anew which ranges of declared dependencies are met.
    fn refresh(&mut self, name: u8) {
        let item = &self.items[&name];
        let needs = self.resolve(name, item.text(), &item.needs);
        let lacks = &mut self.items.get_mut(&name).unwrap().needs.lacks;
        lacks.retain(|lack| matches!(lack, Lack::Interface(_)));
        lacks.extend(needs.lacks.into_iter().filter(|lack| matches!(lack, Lack::Component(_))));
    }

    /// Says whether a component could be fused with another one; afterwards they are as before.
    pub(super) fn fuse(&self, name: u8, on: u8) -> Answer {
        if name == on {
            return refuse("cannot-fuse");
        }
        let (Some(root), Some(part)) = (self.items.get(&name), self.items.get(&on)) else { return refuse(UNKNOWN) };
        let serves = |item: &Item, interface| {
            let mut edges = item.needs.edges.iter();
            edges.find(|(_, why)| *why == Why::Import(interface)).map(|(on, _)| *on)
        };
        if root.text().imports().all(|interface| serves(root, interface) != Some(on)) {
            return refuse("not-imported");
        }
        let is_shared = |interface: &u8| part.text().imports().any(|other| other == *interface);
        if root.text().imports().filter(is_shared).any(|interface| {
            let one = serves(root, interface);
            one != Some(on) && one != serves(part, interface)
        }) {
            return refuse("cannot-fuse");
        }
        let mut needed = root.text().imports().filter_map(|interface| serves(root, interface));
        if self.is_active(name) && needed.any(|on| !self.is_active(on)) {
            return refuse("component-not-active");
        }
        Ok("true".to_owned())
    }

    pub(super) fn mark(&mut self, name: u8, message: &'static str) -> Answer {
        let Some(item) = self.items.get_mut(&name) else { return refuse(UNKNOWN) };
        item.fail(message);
        item.status = Status::Error;
        Ok("done".to_owned())
    }

    pub(super) fn clear(&mut self, name: u8) -> Answer {
        let Some(item) = self.items.get_mut(&name) else { return refuse(UNKNOWN) };
        if item.status == Status::Error {
            item.status = Status::Registered;
        }
        // Clearing what has no failures and no error count is no event, so that a message of an error stays gone too.
        (item.failures, item.error_count, item.last_error) = (vec![], 0, None);
        Ok("done".to_owned())
    }

    pub(super) fn set_status(&mut self, name: u8, status: Status) -> Answer {
        let Some(item) = self.items.get(&name) else { return refuse(UNKNOWN) };
        match (item.status, status) {
            (_, Status::Error) => self.mark(name, "marked by an operator"),
            (now, wanted) if now == wanted => Ok("done".to_owned()),
            (_, Status::Active) => match self.activate(name, None).failed.first() {
                None => Ok("done".to_owned()),
                Some(_) => refuse("activation"),
            },
            (Status::Active, Status::Inactive) => self.deactivate(name, false),
            (Status::Error, Status::Registered) => self.clear(name),
            _ => refuse("invalid-transition"),
        }
    }

    pub(super) fn call(&mut self, name: u8) -> Answer {
        let Some(item) = self.items.get_mut(&name) else { return refuse(UNKNOWN) };
        if item.status != Status::Active {
            return refuse("component-not-active");
        }
        item.use_.calls += 1;
        if item.text().fault == Some(Fault::Call) {
            item.use_.errors += 1;
            item.fail("unreachable");
            return refuse("component-failed");
        }
        Ok("done".to_owned())
    }
}
