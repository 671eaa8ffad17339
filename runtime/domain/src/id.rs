//! Names of components: the full id, and what people type for it.

use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

use semver::Version;
use serde::{Serialize, Serializer};

/// Longest namespace and longest name, in characters each.
pub const SEGMENT_MAX: usize = 64;

/// The identity of a component in the registry: `namespace:name`.
///
/// Both halves are words of `a`–`z` and `0`–`9` joined by single hyphens, at most [`SEGMENT_MAX`] characters each,
/// so an id is safe in paths, keys and terminals and has no look-alikes. Cheap to clone.
///
/// The revision that an entry has in service goes by the entry's id. One that is active *beside* it goes by an id of its own,
/// `namespace:name@version`, which [`ComponentId::beside`] makes and nobody registers: it is a node of the activation graph as the other
/// is, with edges, a place, a history and counters of its own.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ComponentId(Arc<str>);

impl ComponentId {
    /// Makes an id from its two halves.
    ///
    /// # Errors
    /// [`IdError`] says which half is not acceptable and why.
    pub fn new(namespace: &str, name: &str) -> Result<Self, IdError> {
        check_segment("namespace", namespace)?;
        check_segment("name", name)?;
        Ok(Self(format!("{namespace}:{name}").into()))
    }

    /// Makes the id `local:<stem>` of a file that says nothing better of itself.
    ///
    /// The stem is lower-cased, every other character becomes a hyphen, runs of hyphens shrink to one, and the
    /// result is cut to [`SEGMENT_MAX`]; a stem without any letter or digit becomes `component`.
    pub fn from_file_stem(stem: &str) -> Self {
        let mut name = String::new();
        for c in stem.chars().flat_map(char::to_lowercase) {
            if name.len() >= SEGMENT_MAX {
                break;
            }
            if c.is_ascii_lowercase() || c.is_ascii_digit() {
                name.push(c);
            } else if !name.is_empty() && !name.ends_with('-') {
                name.push('-');
            }
        }
        let name = name.trim_end_matches('-');
        let name = if name.is_empty() { "component" } else { name };
        Self(format!("local:{name}").into())
    }

    /// Returns the id of this component's revision of `version` where that is active beside the one in service.
    #[must_use]
    pub fn beside(&self, version: &Version) -> Self {
        Self(format!("{}@{version}", self.entry_str()).into())
    }

    /// Returns the id of the entry: this one, or that beside whose revision in service this one is.
    #[must_use]
    pub fn entry(&self) -> Self {
        if self.is_beside() { Self(self.entry_str().into()) } else { self.clone() }
    }

    /// Tells whether this is the id of a revision beside the one in service.
    pub fn is_beside(&self) -> bool {
        self.0.contains('@')
    }

    /// Tells whether both are revisions of one entry, or that entry.
    pub fn is_same_entry(&self, other: &Self) -> bool {
        self.entry_str() == other.entry_str()
    }

    /// Returns the version of a revision beside the one in service.
    pub fn version(&self) -> Option<Version> {
        self.0.split_once('@').and_then(|(_, version)| version.parse().ok())
    }

    /// Reads an id as it was written, also that of a revision beside the one in service, which [`str::parse`] does not take from people.
    ///
    /// # Errors
    /// As [`str::parse`]; [`IdError::BadVersion`].
    pub fn read(text: &str) -> Result<Self, IdError> {
        let Some((id, version)) = text.split_once('@') else { return text.parse() };
        let id: Self = id.parse()?;
        let parsed = Version::parse(version);
        let bad = |error: semver::Error| IdError::BadVersion { text: shown(version), reason: error.to_string() };
        Ok(id.beside(&parsed.map_err(bad)?))
    }

    /// Returns the id of the entry as text.
    pub fn entry_str(&self) -> &str {
        self.0.split_once('@').map_or(&*self.0, |(entry, _)| entry)
    }

    /// Returns the half before the colon.
    pub fn namespace(&self) -> &str {
        self.0.split_once(':').map_or("", |(namespace, _)| namespace)
    }

    /// Returns the half after the colon.
    pub fn name(&self) -> &str {
        self.entry_str().split_once(':').map_or("", |(_, name)| name)
    }

    /// Returns the whole id.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for ComponentId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.0)
    }
}

impl fmt::Debug for ComponentId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl FromStr for ComponentId {
    type Err = IdError;

    fn from_str(text: &str) -> Result<Self, IdError> {
        let (namespace, name) = text.split_once(':').ok_or_else(|| IdError::NoNamespace { text: shown(text) })?;
        Self::new(namespace, name)
    }
}

impl Serialize for ComponentId {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&self.0)
    }
}

impl<'de> serde::Deserialize<'de> for ComponentId {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = std::borrow::Cow::<str>::deserialize(deserializer)?;
        Self::read(&text).map_err(serde::de::Error::custom)
    }
}

/// Why a text is not a component id or a reference to one.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum IdError {
    /// There is no colon.
    #[error("`{text}` is not a component id: expected `namespace:name`")]
    NoNamespace {
        /// What was given, bounded and escaped.
        text: String,
    },
    /// One half is empty.
    #[error("the {half} of a component id must not be empty")]
    Empty {
        /// `namespace` or `name`.
        half: &'static str,
    },
    /// One half is longer than [`SEGMENT_MAX`].
    #[error("the {half} of a component id has {length} characters, at most {SEGMENT_MAX} are allowed")]
    TooLong {
        /// `namespace` or `name`.
        half: &'static str,
        /// Its length in characters.
        length: usize,
    },
    /// One half has a character or a form that is not allowed.
    #[error(
        "`{text}` cannot be the {half} of a component id: use lower-case words of a-z and 0-9 joined by single hyphens"
    )]
    BadWord {
        /// `namespace` or `name`.
        half: &'static str,
        /// What was given, bounded and escaped.
        text: String,
    },
    /// The part after `@` is not a semantic version.
    #[error("`{text}` is not a semantic version ({reason})")]
    BadVersion {
        /// What was given, bounded and escaped.
        text: String,
        /// The parser's reason.
        reason: String,
    },
}

fn check_segment(half: &'static str, text: &str) -> Result<(), IdError> {
    if text.is_empty() {
        return Err(IdError::Empty { half });
    }
    let length = text.chars().count();
    if length > SEGMENT_MAX {
        return Err(IdError::TooLong { half, length });
    }
    let is_word = |word: &str| !word.is_empty() && word.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit());
    if text.split('-').all(is_word) { Ok(()) } else { Err(IdError::BadWord { half, text: shown(text) }) }
}

fn shown(text: &str) -> String {
    crate::text::escape_line(&crate::text::truncate(text, 80)).into_owned()
}

/// What people type for a component: `namespace:name`, bare `name`, each with or without `@version`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ComponentRef {
    /// The namespace, where it was given.
    pub namespace: Option<String>,
    /// The name.
    pub name: String,
    /// The version, where it was given.
    pub version: Option<Version>,
}

impl ComponentRef {
    /// Returns the full id, where a namespace was given.
    pub fn id(&self) -> Option<ComponentId> {
        let namespace = self.namespace.as_deref()?;
        Some(ComponentId(format!("{namespace}:{}", self.name).into()))
    }

    /// Returns the reference with ASCII letters of `text` folded to lower case before it is read.
    ///
    /// # Errors
    /// As [`str::parse`].
    pub fn parse_folded(text: &str) -> Result<Self, IdError> {
        let folded = match text.split_once('@') {
            // A version's pre-release part is case-sensitive.
            Some((name, version)) => format!("{}@{version}", name.to_ascii_lowercase()),
            None => text.to_ascii_lowercase(),
        };
        folded.parse()
    }
}

impl From<&ComponentId> for ComponentRef {
    fn from(id: &ComponentId) -> Self {
        Self { namespace: Some(id.namespace().to_owned()), name: id.name().to_owned(), version: None }
    }
}

impl FromStr for ComponentRef {
    type Err = IdError;

    fn from_str(text: &str) -> Result<Self, IdError> {
        let (path, version) = match text.split_once('@') {
            Some((path, version)) => {
                let version = Version::parse(version)
                    .map_err(|e| IdError::BadVersion { text: shown(version), reason: e.to_string() })?;
                (path, Some(version))
            }
            None => (text, None),
        };
        let (namespace, name) = match path.split_once(':') {
            Some((namespace, name)) => (Some(namespace), name),
            None => (None, path),
        };
        if let Some(namespace) = namespace {
            check_segment("namespace", namespace)?;
        }
        check_segment("name", name)?;
        Ok(Self { namespace: namespace.map(str::to_owned), name: name.to_owned(), version })
    }
}

impl fmt::Display for ComponentRef {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(namespace) = &self.namespace {
            write!(f, "{namespace}:")?;
        }
        f.write_str(&self.name)?;
        match &self.version {
            Some(version) => write!(f, "@{version}"),
            None => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_ids_as_wit_packages_are_named() {
        let id: ComponentId = "acme:base-util2".parse().unwrap();
        assert_eq!((id.namespace(), id.name()), ("acme", "base-util2"));
    }

    #[test]
    fn refuses_what_could_be_mistaken_or_could_leave_a_folder() {
        let long = format!("a:{}", "x".repeat(300));
        for text in [
            "", "Foo", "a:B", "a:b:c", "..", "a:..", "a:b/c", "а:b", "a:", ":b", "a:-b", "a:b-", "a:b--c", "a: b",
            &long,
        ] {
            assert!(text.parse::<ComponentId>().is_err(), "{text}");
        }
    }

    #[test]
    fn a_revision_beside_the_one_in_service_has_an_id_that_nobody_can_give() {
        let log: ComponentId = "acme:log".parse().unwrap();
        let beside = log.beside(&"1.2.0-rc.1+b".parse().unwrap());
        assert_eq!(beside.as_str(), "acme:log@1.2.0-rc.1+b");
        assert_eq!((beside.namespace(), beside.name(), beside.entry()), ("acme", "log", log.clone()));
        assert_eq!(beside.version(), Some("1.2.0-rc.1+b".parse().unwrap()));
        assert!(beside.is_beside() && !log.is_beside() && beside.is_same_entry(&log));
        assert_eq!(beside.beside(&"2.0.0".parse().unwrap()).as_str(), "acme:log@2.0.0");
        assert!(beside.as_str().parse::<ComponentId>().is_err());
        assert_eq!(ComponentId::read(beside.as_str()).unwrap(), beside);
        assert!(ComponentId::read("acme:log@").is_err() && ComponentId::read("acme:log@1.0.0@2.0.0").is_err());
    }

    #[test]
    fn names_a_file_that_has_no_name_of_its_own() {
        assert_eq!(ComponentId::from_file_stem("My Skill_v2").as_str(), "local:my-skill-v2");
        assert_eq!(ComponentId::from_file_stem("../..").as_str(), "local:component");
        assert_eq!(ComponentId::from_file_stem(&"x-".repeat(200)).name().len(), SEGMENT_MAX - 1);
    }

    #[test]
    fn reads_references_with_and_without_namespace_and_version() {
        let full: ComponentRef = "acme:log@1.2.0-rc.1".parse().unwrap();
        assert_eq!(full.to_string(), "acme:log@1.2.0-rc.1");
        let bare: ComponentRef = "log".parse().unwrap();
        assert_eq!((bare.id(), bare.version), (None, None));
        assert!("log@one".parse::<ComponentRef>().is_err());
        assert_eq!(ComponentRef::parse_folded("ACME:Log@1.0.0-RC").unwrap().to_string(), "acme:log@1.0.0-RC");
    }
}
