//! What a registry is, in a few maps: it shares no code with the registry, and looks at everything each time.

use std::collections::{BTreeMap, BTreeSet};

use domain::Status;

use super::steps::{INTERFACES, Text, is_in_range};

/// Why a component depends on another one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Why {
    /// It imports this interface.
    Import(u8),
    /// Its manifest says so, with a range.
    Manifest(u8),
    /// Somebody said so, with a range.
    Operator(u8),
}

/// What a component needs and does not have.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Lack {
    Interface(u8),
    Component(u8),
}

/// What a component has and lacks.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Needs {
    pub(super) edges: BTreeSet<(u8, Why)>,
    pub(super) lacks: BTreeSet<Lack>,
}

/// One entry.
#[derive(Clone, Debug)]
pub(super) struct Item {
    pub(super) status: Status,
    /// Each revision; the first has number 1.
    pub(super) revisions: Vec<Text>,
    /// Number of the revision that the entry points to.
    pub(super) current: usize,
    /// Number of the one that was registered while another was active, until one is chosen.
    pub(super) waiting: Option<usize>,
    /// Numbers of the revisions by which it came to this one, without detours.
    pub(super) trail: Vec<usize>,
    pub(super) needs: Needs,
    /// The newest first.
    pub(super) failures: Vec<&'static str>,
    pub(super) error_count: u64,
    pub(super) last_error: Option<&'static str>,
    pub(super) use_: Use,
}

/// Counters.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Use {
    pub(super) calls: u64,
    pub(super) errors: u64,
    pub(super) activations: u64,
}

impl Item {
    pub(super) fn text(&self) -> &Text {
        &self.revisions[self.current - 1]
    }

    pub(super) fn newest(&self) -> usize {
        self.revisions.len()
    }

    /// Returns the number of the newest revision of a version.
    pub(super) fn of_version(&self, version: u8) -> Option<usize> {
        self.revisions.iter().rposition(|text| text.version == version).map(|at| at + 1)
    }

    pub(super) fn fail(&mut self, message: &'static str) {
        self.failures.insert(0, message);
        self.error_count += 1;
        self.last_error = Some(message);
    }
}

/// A change would make components need each other in a circle.
#[derive(Debug)]
pub(super) struct Circle;

/// The whole registry.
#[derive(Clone, Debug, Default)]
pub(super) struct Plain {
    pub(super) items: BTreeMap<u8, Item>,
    pub(super) has_index: bool,
    pub(super) allow_override: bool,
}

impl Plain {
    pub(super) fn is_active(&self, name: u8) -> bool {
        self.items.get(&name).is_some_and(|item| item.status == Status::Active)
    }

    pub(super) fn dependencies(&self, name: u8) -> BTreeSet<u8> {
        self.items.get(&name).into_iter().flat_map(|item| &item.needs.edges).map(|(on, _)| *on).collect()
    }

    pub(super) fn dependents(&self, name: u8) -> BTreeSet<u8> {
        self.items.keys().copied().filter(|other| self.dependencies(*other).contains(&name)).collect()
    }

    /// Returns the components and all that `next` leads to from them.
    pub(super) fn closure(&self, from: &[u8], next: impl Fn(u8) -> BTreeSet<u8>) -> BTreeSet<u8> {
        let mut found = BTreeSet::new();
        let mut open = from.to_vec();
        while let Some(name) = open.pop() {
            if found.insert(name) {
                open.extend(next(name));
            }
        }
        found
    }

    /// Returns the wave of each component: 0 if it needs nobody.
    pub(super) fn waves(&self) -> Option<Vec<Vec<u8>>> {
        let mut waves: Vec<Vec<u8>> = Vec::new();
        let mut done = BTreeSet::new();
        while done.len() < self.items.len() {
            let is_ready = |name: &&u8| !done.contains(*name) && self.dependencies(**name).is_subset(&done);
            let wave: Vec<u8> = self.items.keys().filter(is_ready).copied().collect();
            if wave.is_empty() {
                return None;
            }
            done.extend(&wave);
            waves.push(wave);
        }
        Some(waves)
    }

    /// Finds what a component has and lacks, which has `before` now.
    pub(super) fn resolve(&self, name: u8, text: &Text, before: &Needs) -> Needs {
        let mut needs = Needs::default();
        let serves = |other: u8, interface| self.items.get(&other).is_some_and(|item| item.text().exports(interface));
        for interface in text.imports() {
            let kept = before.edges.iter().find(|(on, why)| *why == Why::Import(interface) && serves(*on, interface));
            let all: Vec<u8> =
                self.items.keys().copied().filter(|other| *other != name && serves(*other, interface)).collect();
            match (kept, all.as_slice()) {
                (Some((on, _)), _) => drop(needs.edges.insert((*on, Why::Import(interface)))),
                (None, [only]) => drop(needs.edges.insert((*only, Why::Import(interface)))),
                (None, _) => drop(needs.lacks.insert(Lack::Interface(interface))),
            }
        }
        let version = |on: u8| self.items.get(&on).map(|item| item.text().version);
        if let Some((on, range)) = text.needs {
            if on == name || version(on).is_some_and(|version| is_in_range(version, range)) {
                needs.edges.insert((on, Why::Manifest(range)));
            } else {
                needs.lacks.insert(Lack::Component(on));
            }
        }
        for (on, why) in &before.edges {
            let Why::Operator(range) = *why else { continue };
            needs.edges.insert((*on, *why));
            if !version(*on).is_some_and(|version| is_in_range(version, range)) {
                needs.lacks.insert(Lack::Component(*on));
            }
        }
        needs
    }

    /// Brings everybody up to date who may be concerned by a change of `name`: who needs it, and who lacks something.
    pub(super) fn settle(&mut self, name: u8) -> Result<(), Circle> {
        let mut after = self.clone();
        for (other, item) in &self.items {
            if *other == name || !item.needs.lacks.is_empty() || self.dependencies(*other).contains(&name) {
                let needs = self.resolve(*other, item.text(), &item.needs);
                after.items.get_mut(other).unwrap().needs = needs;
            }
        }
        after.waves().ok_or(Circle)?;
        *self = after;
        Ok(())
    }

    /// Lets the entry point to a revision.
    pub(super) fn select(&mut self, name: u8, number: usize) -> Result<(), Circle> {
        let mut after = self.clone();
        let item = after.items.get_mut(&name).unwrap();
        match item.trail.iter().position(|known| *known == number) {
            Some(at) => item.trail.truncate(at),
            None if item.current != number => item.trail.push(item.current),
            None => {}
        }
        item.waiting = None;
        item.current = number;
        after.settle(name)?;
        *self = after;
        Ok(())
    }

    /// Returns the keys of the index on authors.
    pub(super) fn authors(&self, author: bool) -> Vec<u8> {
        self.items.iter().filter(|(_, item)| item.text().author == Some(author)).map(|(name, _)| *name).collect()
    }

    /// Checks what must hold of the model itself, lest it agrees with a registry that is wrong in the same way.
    pub(super) fn check(&self) {
        assert!(self.waves().is_some());
        for (name, item) in &self.items {
            assert!(item.current >= 1 && item.current <= item.newest());
            assert!(
                (0..INTERFACES).all(|number| item
                    .needs
                    .edges
                    .iter()
                    .filter(|(_, why)| *why == Why::Import(number))
                    .count()
                    <= 1)
            );
            assert!(self.dependencies(*name).iter().all(|on| self.items.contains_key(on)));
        }
    }
}
