//! What differs between two component manifests.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value;

use super::ComponentManifest;

/// Most levels of tables that have keys of their own; what is deeper is one value.
const DEPTH_MAX: usize = 4;

/// What is told apart from the rest: the identity of a component, and what it asks for.
const ELSEWHERE: [&str; 3] = ["id", "version", "grants"];

/// A value that differs.
#[derive(Clone, Debug, PartialEq)]
pub struct FieldChange {
    /// Its key, for instance `limits.fuel`.
    pub key: String,
    /// The value before, `None` if there was none.
    pub old: Option<Value>,
    /// The value now, `None` if there is none.
    pub new: Option<Value>,
}

/// Returns what differs between two manifests, ordered by key; id, version and grants aside.
///
pub fn changed_fields(old: &ComponentManifest, new: &ComponentManifest) -> Vec<FieldChange> {
    let (old, new) = (fields(old), fields(new));
    let keys: BTreeSet<_> = old.keys().chain(new.keys()).collect();
    let changed = keys.into_iter().filter(|key| old.get(*key) != new.get(*key));
    let change =
        |key: &String| FieldChange { key: key.clone(), old: old.get(key).cloned(), new: new.get(key).cloned() };
    changed.map(change).collect()
}

/// Returns the values of a manifest by their keys.
fn fields(manifest: &ComponentManifest) -> BTreeMap<String, Value> {
    let value = serde_json::to_value(manifest).expect("all keys of a manifest are texts");
    let mut fields = BTreeMap::new();
    if let Value::Object(object) = value {
        for (key, value) in object.into_iter().filter(|(key, _)| !ELSEWHERE.contains(&key.as_str())) {
            flatten(key, value, DEPTH_MAX, &mut fields);
        }
    }
    fields
}

fn flatten(key: String, value: Value, depth: usize, fields: &mut BTreeMap<String, Value>) {
    match value {
        Value::Object(object) if depth > 0 => {
            for (inner, value) in object {
                flatten(format!("{key}.{inner}"), value, depth - 1, fields);
            }
        }
        value => {
            fields.insert(key, value);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_each_value_that_came_went_or_changed() {
        let parse = |text: &str| ComponentManifest::parse(text).unwrap();
        let old = parse("version = \"1.0.0\"\nkind = \"skill\"\n[limits]\nfuel = 5\n[metadata]\na = 1\nb = [1]");
        let new = parse("version = \"2.0.0\"\n[limits]\nfuel = 6\n[metadata]\nb = [1]\n[config]\nmode = \"x\"");
        let changes = changed_fields(&old, &new);
        let texts: Vec<_> = changes
            .iter()
            .map(|change| {
                let text = |value: &Option<Value>| value.as_ref().map_or("-".to_owned(), Value::to_string);
                format!("{}: {} → {}", change.key, text(&change.old), text(&change.new))
            })
            .collect();
        let expected = ["config.mode: - → \"x\"", "kind: \"skill\" → -", "limits.fuel: 5 → 6", "metadata.a: 1 → -"];
        assert_eq!(texts, expected);
    }
}
