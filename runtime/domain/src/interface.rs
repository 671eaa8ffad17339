//! Names of WIT interfaces as they stand in a component's imports and exports.

use std::fmt;
use std::str::FromStr;

use semver::Version;

/// The name of an interface: `namespace:package/interface`, with or without `@version`.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct InterfaceName {
    /// The part before the colon, for instance `wasi`.
    pub namespace: String,
    /// The part between colon and slash.
    pub package: String,
    /// The part after the slash.
    pub interface: String,
    /// The version, where the name has one.
    pub version: Option<Version>,
}

impl InterfaceName {
    /// Returns the name without its version, for instance `demo:log/sink`.
    pub fn unversioned(&self) -> String {
        format!("{}:{}/{}", self.namespace, self.package, self.interface)
    }

    /// Returns the key that all semver-compatible versions of this interface share.
    ///
    /// `demo:log/sink@1.4.0` → `demo:log/sink@1`, `@0.2.6` → `@0.2`, `@0.0.3` → `@0.0.3`; a pre-release is
    /// compatible only with itself; a name without version stands for itself. The same rule as the engine's linker.
    pub fn track(&self) -> String {
        let name = self.unversioned();
        match &self.version {
            None => name,
            Some(v) if !v.pre.is_empty() => {
                format!("{name}@{}.{}.{}-{}", v.major, v.minor, v.patch, v.pre)
            }
            Some(v) if v.major > 0 => format!("{name}@{}", v.major),
            Some(v) if v.minor > 0 => format!("{name}@0.{}", v.minor),
            Some(v) => format!("{name}@0.0.{}", v.patch),
        }
    }

    /// Tells whether an export of this name can serve an import called `wanted`: on the same
    /// [track](Self::track) and not older.
    pub fn satisfies(&self, wanted: &Self) -> bool {
        // Build metadata has no part in which of two versions is newer.
        let is_older = match (&self.version, &wanted.version) {
            (Some(own), Some(wanted)) => own.cmp_precedence(wanted).is_lt(),
            (own, wanted) => own < wanted,
        };
        self.track() == wanted.track() && !is_older
    }

    /// Tells whether the host, not another component, provides this interface unless a manifest binds it.
    pub fn is_host(&self) -> bool {
        matches!(self.namespace.as_str(), "wasi" | "registry")
    }

    /// Tells whether this is one of the optional interfaces that the registry itself calls on a component.
    pub fn is_lifecycle(&self) -> bool {
        self.namespace == "registry" && self.package == "component"
    }
}

impl fmt::Display for InterfaceName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}/{}", self.namespace, self.package, self.interface)?;
        match &self.version {
            Some(version) => write!(f, "@{version}"),
            None => Ok(()),
        }
    }
}

/// The text is not `namespace:package/interface[@version]`.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{text}` is not an interface name: expected `namespace:package/interface` with or without `@version`")]
pub struct InterfaceNameError {
    text: String,
}

impl FromStr for InterfaceName {
    type Err = InterfaceNameError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let parse = || {
            let (path, version) = match text.split_once('@') {
                Some((path, version)) => (path, Some(Version::parse(version).ok()?)),
                None => (text, None),
            };
            let (namespace, rest) = path.split_once(':')?;
            let (package, interface) = rest.split_once('/')?;
            let words = [namespace, package, interface];
            let is_word =
                |word: &&str| !word.is_empty() && word.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-');
            words.iter().all(is_word).then(|| Self {
                namespace: namespace.to_owned(),
                package: package.to_owned(),
                interface: interface.to_owned(),
                version,
            })
        };
        parse().ok_or_else(|| InterfaceNameError {
            text: crate::text::escape_line(&crate::text::truncate(text, 120)).into_owned(),
        })
    }
}

crate::as_text::as_text!(InterfaceName);

#[cfg(test)]
mod tests {
    use super::*;

    fn name(text: &str) -> InterfaceName {
        text.parse().unwrap()
    }

    #[test]
    fn compatible_versions_share_a_track() {
        for (text, track) in [
            ("a:b/c", "a:b/c"),
            ("a:b/c@1.4.2", "a:b/c@1"),
            ("a:b/c@0.2.9", "a:b/c@0.2"),
            ("a:b/c@0.0.3", "a:b/c@0.0.3"),
            ("a:b/c@0.1.0-draft", "a:b/c@0.1.0-draft"),
        ] {
            assert_eq!(name(text).track(), track);
        }
    }

    #[test]
    fn an_older_or_incompatible_export_does_not_serve() {
        assert!(name("a:b/c@0.1.3").satisfies(&name("a:b/c@0.1.2")));
        assert!(!name("a:b/c@0.1.1").satisfies(&name("a:b/c@0.1.2")));
        assert!(!name("a:b/c@0.2.0").satisfies(&name("a:b/c@0.1.2")));
        assert!(!name("a:b/c@1.0.0").satisfies(&name("a:b/c")));
        assert!(name("a:b/c").satisfies(&name("a:b/c")));
        assert!(name("a:b/c@2.0.0").satisfies(&name("a:b/c@2.0.0+b1")), "builds of one version are equal");
        assert!(name("a:b/c@2.0.0+b1").satisfies(&name("a:b/c@2.0.0")));
    }

    #[test]
    fn refuses_names_of_another_form() {
        for text in ["c", "a:b", "a/b", "a:b/c@x", "a:b/c/d", ":b/c"] {
            assert!(text.parse::<InterfaceName>().is_err(), "{text}");
        }
    }
}
