//! Ids that people can mistake for one another. An id has no characters but `a`–`z`, `0`–`9` and hyphens, but `f00` still looks like
//! `foo`, and `acme:base-util` like `acme:baseutil`.

use std::collections::BTreeSet;

use crate::id::ComponentId;

/// Most ids that are tried as what another may be mistaken for.
pub const VARIANTS_MAX: usize = 128;

/// Texts that look alike, each first the one that stands for both.
const ALIKE: [(&str, &str); 5] = [("o", "0"), ("l", "1"), ("m", "rn"), ("w", "vv"), ("d", "cl")];

/// Returns a text that is the same for all ids that look alike.
pub fn skeleton(id: &ComponentId) -> String {
    let mut text = id.as_str().replace('-', "");
    for (one, other) in ALIKE {
        text = text.replace(other, one);
    }
    text
}

/// Returns ids that `id` may be mistaken for, at most [`VARIANTS_MAX`]: with one place changed, or with all places of a sort.
///
/// All are different from `id` and have its [`skeleton`]; ids that differ in several ways at once are not among them, so that looking
/// for each in a registry stays cheap.
pub fn variants(id: &ComponentId) -> Vec<ComponentId> {
    let text = id.as_str();
    let mut found = BTreeSet::new();
    for (from, to) in ALIKE.into_iter().flat_map(|(one, other)| [(one, other), (other, one)]) {
        let (namespace, name) = (id.namespace(), id.name());
        found.insert(format!("{namespace}:{}", name.replace(from, to)));
        found.insert(format!("{}:{name}", namespace.replace(from, to)));
        found.extend(text.match_indices(from).map(|(at, _)| with(text, at, from.len(), to)));
    }
    found.insert(text.replace('-', ""));
    found.extend(text.match_indices('-').map(|(at, _)| with(text, at, 1, "")));
    found.extend(text.char_indices().map(|(at, _)| with(text, at, 0, "-")));
    let ids = found.into_iter().filter(|variant| variant != text).filter_map(|variant| variant.parse().ok());
    ids.take(VARIANTS_MAX).collect()
}

/// Returns `text` with `length` bytes from `at` on replaced.
fn with(text: &str, at: usize, length: usize, by: &str) -> String {
    let (before, after) = (text.get(..at).unwrap_or_default(), text.get(at + length..).unwrap_or_default());
    format!("{before}{by}{after}")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn id(text: &str) -> ComponentId {
        text.parse().unwrap()
    }

    #[test]
    fn ids_that_look_alike_find_each_other() {
        for (one, other) in [
            ("demo:foo", "demo:f00"),
            ("demo:foo", "demo:fo0"),
            ("acme:log", "acrne:log"),
            ("acme:log", "acme:1og"),
            ("acme:base-util", "acme:baseutil"),
            ("acme:base-util", "acme:bas-e-util"),
            ("acme:view", "acme:vievv"),
        ] {
            assert_eq!(skeleton(&id(one)), skeleton(&id(other)), "{one} {other}");
        }
        assert!(
            variants(&id("demo:foo")).contains(&id("demo:f00")) && variants(&id("demo:f00")).contains(&id("demo:foo"))
        );
        assert!(variants(&id("acrne:log")).contains(&id("acme:log")));
        assert!(variants(&id("acme:baseutil")).contains(&id("acme:base-util")));
        assert!(variants(&id("acme:base-util")).contains(&id("acme:baseutil")));
    }

    #[test]
    fn ids_that_differ_are_left_alone() {
        assert_ne!(skeleton(&id("demo:log")), skeleton(&id("demo:lag")));
        assert_ne!(skeleton(&id("demo:v1")), skeleton(&id("demo:v2")));
        for variant in variants(&id("acme:commodore-0l1-colour")) {
            assert_eq!(skeleton(&variant), skeleton(&id("acme:commodore-0l1-colour")), "{variant}");
        }
        let long = id(&format!("{}:{}", "o1".repeat(32), "l0".repeat(32)));
        assert_eq!(variants(&long).len(), VARIANTS_MAX);
    }
}
