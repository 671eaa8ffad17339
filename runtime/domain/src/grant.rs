//! Grants: authority beyond the default set, given to one component by an operator or by a rule of the policy.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::event::Actor;
use crate::manifest::{CONFIG_VALUE_BYTES_MAX, FolderMode, GrantRequests, KEY_BYTES_MAX, PATH_BYTES_MAX};
use crate::suggest::nearest;
use crate::text::{escape_line, is_deceptive, truncate};
use crate::time::Timestamp;

/// Most grants of one component.
pub const GRANTS_MAX: usize = 256;

/// One thing that a component may do beyond the default set, or asks to do.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "capability", rename_all = "kebab-case")]
pub enum Grant {
    /// Sees one environment variable.
    Env {
        /// The variable's name.
        name: String,
        /// Its value; `None` takes what the host has when an instance is made.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        value: Option<String>,
    },
    /// Sees a folder of the host.
    Folder {
        /// The folder: canonical where it is granted, as it was written where it is asked for.
        path: String,
        /// Where the guest sees it, an absolute path.
        at: String,
        /// What the guest may do in it.
        #[serde(default)]
        mode: FolderMode,
    },
    /// Reads clocks in full resolution, not by the millisecond.
    Clocks,
}

/// The words for capabilities that can be granted.
pub const CAPABILITIES: [&str; 3] = ["env", "folder", "clocks"];

impl Grant {
    /// Returns the capability's word: one of [`CAPABILITIES`].
    pub fn capability(&self) -> &'static str {
        match self {
            Self::Env { .. } => "env",
            Self::Folder { .. } => "folder",
            Self::Clocks => "clocks",
        }
    }

    /// Returns the interfaces through which a guest uses this, without versions; one that imports none of them gains nothing.
    pub fn interfaces(&self) -> &'static [&'static str] {
        match self {
            Self::Env { .. } => &["wasi:cli/environment"],
            Self::Folder { .. } => &["wasi:filesystem/preopens"],
            Self::Clocks => &["wasi:clocks/monotonic-clock", "wasi:clocks/wall-clock"],
        }
    }

    /// Tells whether this and `other` cannot both be granted: the later one takes the place of the earlier.
    pub fn is_same_place(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Env { name, .. }, Self::Env { name: other, .. }) => name == other,
            (Self::Folder { at, .. }, Self::Folder { at: other, .. }) => at == other,
            (Self::Clocks, Self::Clocks) => true,
            (Self::Env { .. } | Self::Folder { .. } | Self::Clocks, _) => false,
        }
    }

    /// Tells whether a component that has this has what it asks for by `asked`. Which folder of the host stands behind a place is
    /// for the operator to say, so folders are compared by place and mode.
    pub fn covers(&self, asked: &Self) -> bool {
        let allows = |mode: FolderMode| mode == FolderMode::Rw;
        match (self, asked) {
            (Self::Folder { mode, .. }, Self::Folder { mode: wanted, .. }) => {
                self.is_same_place(asked) && (allows(*mode) || !allows(*wanted))
            }
            _ => self.is_same_place(asked),
        }
    }

    /// Returns the grant as it is typed, the value of a variable included; [`fmt::Display`] leaves that out.
    pub fn full(&self) -> String {
        match self {
            Self::Env { name, value: Some(value) } => format!("env {name}={value}"),
            Self::Env { .. } | Self::Folder { .. } | Self::Clocks => self.to_string(),
        }
    }

    /// Makes the grant of one environment variable from `NAME` or `NAME=VALUE`.
    ///
    /// # Errors
    /// [`GrantError::Scope`].
    pub fn variable(scope: &str) -> Result<Self, GrantError> {
        let (name, value) = match scope.split_once('=') {
            Some((name, value)) => (name, Some(value)),
            None => (scope, None),
        };
        let wrong = |reason: String| Err(GrantError::scope("env", scope, reason));
        if name.is_empty() || name.len() > KEY_BYTES_MAX || name.chars().any(|c| is_deceptive(c) || c.is_whitespace()) {
            return wrong(format!("a variable's name has 1 to {KEY_BYTES_MAX} bytes, without spaces"));
        }
        if value.is_some_and(|value| value.len() > CONFIG_VALUE_BYTES_MAX || value.contains('\0')) {
            return wrong(format!("a variable's value has at most {CONFIG_VALUE_BYTES_MAX} bytes, none of them zero"));
        }
        Ok(Self::Env { name: name.to_owned(), value: value.map(str::to_owned) })
    }

    /// Makes the grant of a folder; without `at` the guest sees it under its own last name.
    ///
    /// # Errors
    /// [`GrantError::Scope`].
    pub fn folder(path: &str, at: Option<&str>, mode: FolderMode) -> Result<Self, GrantError> {
        let wrong = |given: &str, reason: String| GrantError::scope("folder", given, reason);
        if path.trim().is_empty() || path.len() > PATH_BYTES_MAX || path.contains('\0') {
            return Err(wrong(path, format!("a path has 1 to {PATH_BYTES_MAX} bytes, none of them zero")));
        }
        let last = || path.split('/').rfind(|part| !matches!(*part, "" | "." | ".."));
        let at = match at {
            Some(at) => place(at).map_err(|reason| wrong(at, reason.to_owned()))?,
            None => match last() {
                Some(name) => format!("/{name}"),
                None => return Err(wrong(path, "the folder has no name; say with --at where it is seen".to_owned())),
            },
        };
        Ok(Self::Folder { path: path.to_owned(), at, mode })
    }

    /// Reads a capability and the words after it.
    fn of_words(capability: &str, rest: &str) -> Result<Self, GrantError> {
        match capability {
            "env" if rest.is_empty() => Err(GrantError::NoScope { capability: "env", what: "the variable's name" }),
            "env" => Self::variable(rest),
            "folder" => {
                let (path, options) = rest.split_once(" --").map_or((rest, ""), |(path, options)| (path, options));
                if path.trim().is_empty() {
                    return Err(GrantError::NoScope { capability: "folder", what: "a path of the host" });
                }
                let (mut at, mut mode) = (None, FolderMode::default());
                for option in options.split(" --").filter(|option| !option.is_empty()) {
                    let (name, value) = option.split_once([' ', '=']).unwrap_or((option, ""));
                    match name {
                        "at" => at = Some(value.trim()),
                        "mode" => mode = value.trim().parse()?,
                        _ => {
                            return Err(GrantError::scope(
                                "folder",
                                rest,
                                "its options are --at and --mode".to_owned(),
                            ));
                        }
                    }
                }
                Self::folder(path.trim(), at, mode)
            }
            "clocks" if matches!(rest, "" | "precise") => Ok(Self::Clocks),
            "clocks" => Err(GrantError::scope("clocks", rest, "the one thing to grant is `precise`".to_owned())),
            _ => Err(GrantError::unknown(capability)),
        }
    }
}

impl FromStr for Grant {
    type Err = GrantError;

    /// Reads a grant in one text: `env NAME`, `env NAME=VALUE`, `folder PATH --at /place --mode rw`, `clocks precise`.
    ///
    /// # Examples
    /// ```
    /// use domain::grant::Grant;
    /// let grant: Grant = "folder /srv/data --at /data --mode rw".parse()?;
    /// assert_eq!(grant.to_string(), "folder /srv/data --at /data --mode rw");
    /// assert_eq!("env TZ=UTC".parse::<Grant>()?.to_string(), "env TZ=…");
    /// # Ok::<(), domain::grant::GrantError>(())
    /// ```
    fn from_str(text: &str) -> Result<Self, GrantError> {
        let (capability, rest) = text.trim().split_once(char::is_whitespace).unwrap_or((text.trim(), ""));
        Self::of_words(capability, rest.trim_start())
    }
}

impl fmt::Display for Grant {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Env { name, value: None } => write!(f, "env {name}"),
            // A value may be a secret; who granted it knows it.
            Self::Env { name, value: Some(_) } => write!(f, "env {name}=…"),
            Self::Folder { path, at, mode } => write!(f, "folder {path} --at {at} --mode {}", mode.as_str()),
            Self::Clocks => f.write_str("clocks precise"),
        }
    }
}

/// Returns an absolute path of a guest in its one form: `/data/x`, without a slash at its end.
///
/// # Errors
/// A sentence if it is not absolute or has parts that are not names.
pub fn place(at: &str) -> Result<String, &'static str> {
    let is_absolute = at.starts_with('/') && !at.contains('\0') && at.len() <= PATH_BYTES_MAX;
    if !is_absolute || at.split('/').any(|part| matches!(part, "." | "..")) || at.chars().any(is_deceptive) {
        return Err("must be an absolute path without `.` and `..`, for instance `/data`");
    }
    let parts: Vec<_> = at.split('/').filter(|part| !part.is_empty()).collect();
    Ok(format!("/{}", parts.join("/")))
}

impl FromStr for FolderMode {
    type Err = GrantError;

    fn from_str(text: &str) -> Result<Self, GrantError> {
        let known = Self::ALL.into_iter().find(|mode| mode.as_str() == text);
        known.ok_or_else(|| GrantError::scope("folder", text, "its modes are `ro` and `rw`".to_owned()))
    }
}

/// A grant as an entry has it: since when and by whom.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Granted {
    /// What is granted.
    pub grant: Grant,
    /// Since when.
    pub since: Timestamp,
    /// Who granted it; of a rule, who registered the component.
    pub by: Actor,
    /// The rule of the policy that granted it, `None` if a person or program did.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rule: Option<String>,
}

/// All that is granted to one component, as its instances get it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct GrantSet(Vec<Grant>);

impl GrantSet {
    /// Collects what an entry was granted.
    pub fn of(granted: &[Granted]) -> Self {
        Self(granted.iter().map(|granted| granted.grant.clone()).collect())
    }

    /// Returns the grants in the order in which they were made.
    pub fn iter(&self) -> impl Iterator<Item = &Grant> {
        self.0.iter()
    }

    /// Tells whether nothing is granted beyond the default set.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Tells whether the clocks may be read in full resolution.
    pub fn has_precise_clocks(&self) -> bool {
        self.0.contains(&Grant::Clocks)
    }
}

impl FromIterator<Grant> for GrantSet {
    fn from_iter<I: IntoIterator<Item = Grant>>(grants: I) -> Self {
        Self(grants.into_iter().collect())
    }
}

/// Puts `grant` among `grants`, in place of the one that has its place.
pub fn put(grants: &mut Vec<Granted>, grant: Granted) {
    grants.retain(|old| !old.grant.is_same_place(&grant.grant));
    grants.push(grant);
}

/// Returns what of `asked` none of `granted` covers, in the order of `asked`.
pub fn missing(asked: &GrantRequests, granted: &[Granted]) -> Vec<Grant> {
    let is_covered = |asked: &Grant| granted.iter().any(|granted| granted.grant.covers(asked));
    asked.grants().into_iter().filter(|asked| !is_covered(asked)).collect()
}

/// Returns what `after` asks for and `before` did not.
pub fn asked_anew(before: &GrantRequests, after: &GrantRequests) -> Vec<Grant> {
    let before = before.grants();
    after.grants().into_iter().filter(|asked| !before.contains(asked)).collect()
}

/// Which grants are to be taken back.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Revocation {
    /// All of them.
    All,
    /// All of one capability.
    Capability(&'static str),
    /// The variable of this name.
    Variable(String),
    /// The folder that is seen here or lies there: any of these texts.
    Folder(Vec<String>),
}

impl Revocation {
    /// Reads what is typed after `revoke ID`: a capability and, if only a part of it is meant, its scope.
    ///
    /// # Errors
    /// [`GrantError`].
    pub fn parse(capability: &str, scope: Option<&str>) -> Result<Self, GrantError> {
        let known = CAPABILITIES.into_iter().find(|known| *known == capability);
        let known = known.ok_or_else(|| GrantError::unknown(capability))?;
        Ok(match (known, scope) {
            (_, None) | ("clocks", Some("precise")) => Self::Capability(known),
            ("env", Some(scope)) => Self::Variable(scope.split('=').next().unwrap_or(scope).to_owned()),
            ("folder", Some(scope)) => {
                let place = place(scope).ok().filter(|place| place != scope);
                Self::Folder([scope.to_owned()].into_iter().chain(place).collect())
            }
            (_, Some(scope)) => {
                return Err(GrantError::scope(known, scope, "the one thing to revoke is `precise`".to_owned()));
            }
        })
    }

    /// Tells whether `grant` is one of those meant.
    pub fn takes(&self, grant: &Grant) -> bool {
        match (self, grant) {
            (Self::All, _) => true,
            (Self::Capability(capability), grant) => grant.capability() == *capability,
            (Self::Variable(wanted), Grant::Env { name, .. }) => wanted == name,
            (Self::Folder(wanted), Grant::Folder { path, at, .. }) => wanted.contains(path) || wanted.contains(at),
            (Self::Variable(_) | Self::Folder(_), _) => false,
        }
    }
}

impl fmt::Display for Revocation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::All => f.write_str("any"),
            Self::Capability(capability) => f.write_str(capability),
            Self::Variable(name) => write!(f, "env {}", shown(name)),
            Self::Folder(names) => write!(f, "folder {}", shown(names.first().map_or("", String::as_str))),
        }
    }
}

/// Why a text does not say what to grant or revoke.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum GrantError {
    /// There is no such capability.
    #[error("`{given}` is not a capability that can be granted")]
    UnknownCapability {
        /// What was given, bounded and escaped.
        given: String,
        /// The one that is most like it.
        nearest: Option<&'static str>,
    },
    /// The capability needs a scope.
    #[error("`{capability}` needs {what}")]
    NoScope {
        /// The capability.
        capability: &'static str,
        /// What is missing.
        what: &'static str,
    },
    /// The scope cannot be used.
    #[error("`{capability} {given}`: {reason}")]
    Scope {
        /// The capability.
        capability: &'static str,
        /// The scope as it was given, bounded and escaped.
        given: String,
        /// What is wrong.
        reason: String,
    },
}

impl GrantError {
    fn unknown(given: &str) -> Self {
        Self::UnknownCapability {
            given: shown(given),
            nearest: nearest(given, CAPABILITIES)
                .and_then(|word| CAPABILITIES.into_iter().find(|known| *known == word)),
        }
    }

    fn scope(capability: &'static str, given: &str, reason: String) -> Self {
        Self::Scope { capability, given: shown(given), reason }
    }

    /// Returns what the reader can do about it.
    pub fn hints(&self) -> Vec<String> {
        match self {
            Self::UnknownCapability { nearest: Some(nearest), .. } => vec![format!("did you mean `{nearest}`?")],
            Self::UnknownCapability { nearest: None, .. } | Self::NoScope { .. } => {
                vec![
                    "grants look like `env LANG`, `folder /srv/data --at /data --mode rw`, `clocks precise`".to_owned(),
                ]
            }
            Self::Scope { .. } => Vec::new(),
        }
    }
}

fn shown(text: &str) -> String {
    escape_line(&truncate(text, 80)).into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn grant(text: &str) -> Grant {
        text.parse().unwrap()
    }

    fn granted(text: &str) -> Granted {
        Granted { grant: grant(text), since: Timestamp::default(), by: Actor::System, rule: None }
    }

    #[test]
    fn what_is_typed_reads_back() {
        for text in ["env LANG", "env A=b c=d", "folder /srv/my data --at /data --mode rw", "clocks precise"] {
            assert_eq!(grant(text).full(), text);
        }
        assert_eq!(grant("folder data/").to_string(), "folder data/ --at /data --mode ro");
        assert_eq!(grant("folder /srv --at /x//y/").to_string(), "folder /srv --at /x/y --mode ro");
        assert_eq!(grant("clocks"), Grant::Clocks);
    }

    #[test]
    fn refuses_what_is_no_grant_and_says_why() {
        for (text, message) in [
            ("enf LANG", "`enf` is not a capability that can be granted"),
            ("env", "`env` needs the variable's name"),
            ("env =x", "`env =x`: a variable's name has 1 to 128 bytes, without spaces"),
            ("folder", "`folder` needs a path of the host"),
            ("folder / --mode ro", "`folder /`: the folder has no name; say with --at where it is seen"),
            ("folder x --at y", "`folder y`: must be an absolute path without `.` and `..`, for instance `/data`"),
            (
                "folder x --at /../y",
                "`folder /../y`: must be an absolute path without `.` and `..`, for instance `/data`",
            ),
            ("folder x --mode rwx", "`folder rwx`: its modes are `ro` and `rw`"),
            ("clocks coarse", "`clocks coarse`: the one thing to grant is `precise`"),
        ] {
            assert_eq!(text.parse::<Grant>().unwrap_err().to_string(), message);
        }
        assert_eq!("enf X".parse::<Grant>().unwrap_err().hints(), ["did you mean `env`?"]);
    }

    #[test]
    fn the_value_of_a_variable_is_shown_only_where_it_is_asked_for() {
        let secret = grant("env TOKEN=abc");
        assert_eq!((secret.to_string(), secret.full()), ("env TOKEN=…".to_owned(), "env TOKEN=abc".to_owned()));
    }

    #[test]
    fn nothing_granted_covers_nothing_and_a_grant_covers_exactly_its_place() {
        assert!(grant("env A=1").covers(&grant("env A")) && !grant("env A").covers(&grant("env AB")));
        assert!(grant("folder /x --at /d --mode rw").covers(&grant("folder data --at /d")));
        assert!(!grant("folder /x --at /d").covers(&grant("folder data --at /d --mode rw")));
        assert!(!grant("folder /x --at /d").covers(&grant("folder /x --at /d/e")));
        assert!(!grant("clocks").covers(&grant("env A")));
        let asked = GrantRequests { env: vec!["A".to_owned(), "B".to_owned()], ..GrantRequests::default() };
        assert_eq!(missing(&asked, &[]).len(), 2);
        assert_eq!(missing(&asked, &[granted("env B=1")]), [grant("env A")]);
    }

    #[test]
    fn a_second_grant_of_one_place_replaces_the_first() {
        let mut grants = vec![granted("env A=1"), granted("folder /x --at /d")];
        put(&mut grants, granted("env A"));
        put(&mut grants, granted("folder /y --at /d --mode rw"));
        let texts: Vec<_> = grants.iter().map(|granted| granted.grant.full()).collect();
        assert_eq!(texts, ["env A", "folder /y --at /d --mode rw"]);
    }

    #[test]
    fn a_revocation_takes_what_it_names_and_nothing_else() {
        let takes = |capability: &str, scope: Option<&str>, text: &str| {
            Revocation::parse(capability, scope).unwrap().takes(&grant(text))
        };
        assert!(takes("env", None, "env A") && takes("env", Some("A"), "env A=1") && !takes("env", Some("A"), "env B"));
        assert!(takes("folder", Some("/d/"), "folder /x --at /d") && takes("folder", Some("/x"), "folder /x --at /d"));
        assert!(!takes("folder", Some("/x/y"), "folder /x --at /d") && !takes("folder", None, "env A"));
        assert!(takes("clocks", Some("precise"), "clocks") && Revocation::All.takes(&grant("clocks")));
        assert!(Revocation::parse("clock", None).is_err() && Revocation::parse("clocks", Some("x")).is_err());
    }
}
