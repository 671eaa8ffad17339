//! `[callers]` of a component manifest: who may call which export.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::id::ComponentId;
use crate::pattern::IdPattern;

/// Which components may call an export, by the export's name, an interface with or without version. What is not named, every
/// component may call. People and programs outside are not meant: `runtime call` is for the operator to allow.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Callers(BTreeMap<String, Vec<IdPattern>>);

impl Callers {
    /// Tells whether every component may call everything.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Returns the names of the exports that are spoken of, ordered.
    pub fn exports(&self) -> impl Iterator<Item = &str> {
        self.0.keys().map(String::as_str)
    }

    /// Returns who may call `export`, `None` if all may: by its full name, else by its name without version.
    pub fn of(&self, export: &str) -> Option<&[IdPattern]> {
        let unversioned = export.split('@').next().unwrap_or(export);
        self.0.get(export).or_else(|| self.0.get(unversioned)).map(Vec::as_slice)
    }

    /// Returns who may call `export` if `caller` may not.
    pub fn refusing(&self, export: &str, caller: &ComponentId) -> Option<&[IdPattern]> {
        self.of(export).filter(|allowed| !allowed.iter().any(|pattern| pattern.matches(caller)))
    }
}

impl FromIterator<(String, Vec<IdPattern>)> for Callers {
    fn from_iter<I: IntoIterator<Item = (String, Vec<IdPattern>)>>(rules: I) -> Self {
        Self(rules.into_iter().collect())
    }
}

/// Says in one sentence that `provider` does not let `caller` call `export`.
pub fn refusal(provider: &ComponentId, caller: &ComponentId, export: &str, allowed: &[IdPattern]) -> String {
    let allowed = IdPattern::list(allowed);
    format!("`{provider}` does not let `{caller}` call `{export}`: its `[callers]` allows {allowed}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_export_that_is_not_named_is_for_all_and_an_empty_list_for_nobody() {
        let rule = |name: &str, ids: &[&str]| (name.to_owned(), ids.iter().map(|id| id.parse().unwrap()).collect());
        let callers: Callers =
            [rule("acme:log/sink", &["demo:report", "acme:*"]), rule("acme:log/off@1.0.0", &[])].into_iter().collect();
        let refused = |export: &str, caller: &str| callers.refusing(export, &caller.parse().unwrap()).is_some();
        assert!(!refused("acme:log/sink@1.2.0", "demo:report") && !refused("acme:log/sink", "acme:x"));
        assert!(refused("acme:log/sink@1.2.0", "demo:other") && refused("acme:log/off@1.0.0", "acme:x"));
        assert!(!refused("acme:log/off@2.0.0", "acme:x") && !refused("acme:log/other", "demo:other"));
    }
}
