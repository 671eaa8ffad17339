//! What changed between two revisions' imports or exports, item by item.

use std::collections::{BTreeMap, BTreeSet};

use super::compare::{Aliases, Comparison, Verdict};
use super::difference::{Difference, DifferenceKind};
use super::{Function, Interface, Item, TypeId, World};
use crate::interface::InterfaceName;

/// Which half of a world is meant.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Side {
    /// What it needs.
    Imports,
    /// What it offers.
    Exports,
}

/// What changed on one side; items that are the same are not in it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Diff {
    /// The items that came, went or changed, ordered by name.
    pub items: Vec<ItemDiff>,
}

impl Diff {
    /// Returns what the change means to those who link with it: the gravest of all items. Meant for exports.
    pub fn verdict(&self) -> Verdict {
        self.items.iter().map(|item| item.verdict).max().unwrap_or(Verdict::Same)
    }
}

/// An import or export that came, went or changed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ItemDiff {
    /// Its name before, `None` if it came.
    pub old: Option<String>,
    /// Its name now, `None` if it went.
    pub new: Option<String>,
    /// What this means to those who link with it, were it an export.
    pub verdict: Verdict,
    /// Functions that came, went or changed, ordered by name; empty for an item that came or went.
    pub functions: Vec<ChangedItem>,
    /// Types and resources that came, went or changed, ordered by name.
    pub types: Vec<ChangedItem>,
}

/// A function or type that came, went or changed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ChangedItem {
    /// Its name.
    pub name: String,
    /// As WIT text before, `None` if it came.
    pub old: Option<String>,
    /// As WIT text now, `None` if it went.
    pub new: Option<String>,
    /// What this means to those who use it.
    pub verdict: Verdict,
    /// How it differs; empty if it came or went.
    pub differences: Vec<Difference>,
}

/// Says what changed from `old` to `new` on one side. An interface in another version is the same interface, changed.
pub fn diff(old: &World, new: &World, side: Side) -> Diff {
    let (before, after) = match side {
        Side::Imports => (&old.imports, &new.imports),
        Side::Exports => (&old.exports, &new.exports),
    };
    let mut items = Vec::new();
    let mut taken = BTreeSet::new();
    for (name, item) in before {
        let Some(new_name) = counterpart(name, before, after) else {
            items.push(ItemDiff {
                old: Some(name.clone()),
                new: None,
                verdict: Verdict::Breaking,
                functions: Vec::new(),
                types: Vec::new(),
            });
            continue;
        };
        taken.insert(new_name);
        let Some(new_item) = after.get(new_name) else { continue };
        let changed = Changed { old, new, names: [name, new_name] };
        items.extend(changed.item(item, new_item));
    }
    for name in after.keys().filter(|name| !taken.contains(name.as_str())) {
        items.push(ItemDiff {
            old: None,
            new: Some(name.clone()),
            verdict: Verdict::Additive,
            functions: Vec::new(),
            types: Vec::new(),
        });
    }
    let name = |item: &ItemDiff| item.new.clone().or_else(|| item.old.clone());
    items.sort_by_key(name);
    Diff { items }
}

/// Finds what `name` is called afterwards: the same, or the only other version of it.
fn counterpart<'a>(name: &str, before: &BTreeMap<String, Item>, after: &'a BTreeMap<String, Item>) -> Option<&'a str> {
    if let Some((same, _)) = after.get_key_value(name) {
        return Some(same);
    }
    let unversioned = |name: &str| name.parse::<InterfaceName>().ok().map(|name| name.unversioned());
    let wanted = unversioned(name)?;
    let is_it = |other: &&String| unversioned(other).as_ref() == Some(&wanted);
    let mut others = after.keys().filter(is_it).filter(|other| !before.contains_key(*other));
    let only_before = before.keys().filter(is_it).filter(|other| !after.contains_key(*other)).count() == 1;
    match (others.next(), others.next()) {
        (Some(other), None) if only_before => Some(other),
        _ => None,
    }
}

struct Changed<'a> {
    old: &'a World,
    new: &'a World,
    names: [&'a str; 2],
}

impl Changed<'_> {
    fn item(&self, old: &Item, new: &Item) -> Option<ItemDiff> {
        let [old_name, _] = self.names;
        let interface = if let Item::Interface(interface) = new { Some(interface) } else { None };
        let aliases = Aliases { wanted: old_name, offered: interface };
        let mut comparison = Comparison::new(self.old, self.new, aliases);
        let (mut functions, mut types, mut resources) = (Vec::new(), Vec::new(), Vec::new());
        match (old, new) {
            (Item::Interface(old), Item::Interface(new)) => {
                functions = self.functions(old, new, &mut comparison);
                types = self.types(old, new, &mut comparison);
                resources = changed_resources(old, new);
            }
            (Item::Function(old), Item::Function(new)) => {
                functions.extend(self.function(old_name, old, new, &mut comparison));
            }
            (Item::Type(old), Item::Type(new)) => types.extend(self.ty(old_name, *old, *new, &mut comparison)),
            (Item::Other, Item::Other) => {}
            _ => functions.push(self.other_sort()),
        }
        let renamed = if is_compatible(self.names) { Verdict::Same } else { Verdict::Breaking };
        // Nobody links with the name of a type: one that matters has changed a function.
        let verdict = functions.iter().chain(&resources).map(|item| item.verdict).max().unwrap_or(renamed);
        types.extend(resources);
        types.sort_by(|a, b| a.name.cmp(&b.name));
        let [old_name, new_name] = self.names.map(str::to_owned);
        let is_unchanged = functions.is_empty() && types.is_empty() && old_name == new_name;
        (!is_unchanged).then(|| ItemDiff {
            old: Some(old_name),
            new: Some(new_name),
            verdict: verdict.max(renamed),
            functions,
            types,
        })
    }

    fn other_sort(&self) -> ChangedItem {
        let kind = DifferenceKind::OtherSort;
        ChangedItem {
            name: self.names[0].to_owned(),
            old: None,
            new: None,
            verdict: Verdict::Breaking,
            differences: vec![Difference { item: None, place: String::new(), kind }],
        }
    }

    fn functions(&self, old: &Interface, new: &Interface, comparison: &mut Comparison<'_>) -> Vec<ChangedItem> {
        let names: BTreeSet<_> = old.functions.keys().chain(new.functions.keys()).collect();
        let changed = names.into_iter().filter_map(|name| match (old.functions.get(name), new.functions.get(name)) {
            (Some(a), Some(b)) => self.function(name, a, b, comparison),
            (a, b) => Some(came_or_went(
                name,
                a.map(|function| self.old.function_text(function)),
                b.map(|function| self.new.function_text(function)),
            )),
        });
        changed.collect()
    }

    fn function(
        &self,
        name: &str,
        old: &Function,
        new: &Function,
        comparison: &mut Comparison<'_>,
    ) -> Option<ChangedItem> {
        let differences = comparison.function(name, old, new);
        let separates = differences.iter().any(Difference::separates);
        (!differences.is_empty()).then(|| ChangedItem {
            name: name.to_owned(),
            old: Some(self.old.function_text(old)),
            new: Some(self.new.function_text(new)),
            verdict: if separates { Verdict::Breaking } else { Verdict::Same },
            differences,
        })
    }

    fn types(&self, old: &Interface, new: &Interface, comparison: &mut Comparison<'_>) -> Vec<ChangedItem> {
        let names: BTreeSet<_> = old.types.keys().chain(new.types.keys()).collect();
        let changed = names.into_iter().filter_map(|name| match (old.types.get(name), new.types.get(name)) {
            (Some(a), Some(b)) => self.ty(name, *a, *b, comparison),
            (a, b) => {
                Some(came_or_went(name, a.map(|ty| self.old.body_text(*ty)), b.map(|ty| self.new.body_text(*ty))))
            }
        });
        changed.collect()
    }

    fn ty(&self, name: &str, old: TypeId, new: TypeId, comparison: &mut Comparison<'_>) -> Option<ChangedItem> {
        (!comparison.same(old, new)).then(|| ChangedItem {
            name: name.to_owned(),
            old: Some(self.old.body_text(old)),
            new: Some(self.new.body_text(new)),
            verdict: Verdict::Breaking,
            differences: comparison.types(name, old, new),
        })
    }
}

fn changed_resources(old: &Interface, new: &Interface) -> Vec<ChangedItem> {
    let word = || Some("resource".to_owned());
    let gone = old.resources.keys().filter(|name| !new.resources.contains_key(*name));
    let come = new.resources.keys().filter(|name| !old.resources.contains_key(*name));
    let gone = gone.map(|name| came_or_went(name, word(), None));
    gone.chain(come.map(|name| came_or_went(name, None, word()))).collect()
}

fn came_or_went(name: &str, old: Option<String>, new: Option<String>) -> ChangedItem {
    let verdict = if old.is_some() { Verdict::Breaking } else { Verdict::Additive };
    ChangedItem { name: name.to_owned(), old, new, verdict, differences: Vec::new() }
}

/// Tells whether whoever imports the first name is served by the second.
fn is_compatible([old, new]: [&str; 2]) -> bool {
    let parse = |name: &str| name.parse::<InterfaceName>().ok();
    match (parse(old), parse(new)) {
        (Some(old), Some(new)) => new.satisfies(&old),
        _ => old == new,
    }
}
