//! The policy, `policy.toml` in the data folder: rules by which a registration grants what is asked for, without an operator's
//! word for each.
//!
//! ```toml
//! [[allow]]
//! name = "locale"                # how the rule is called; by default its number: `allow[0]`
//! ids = ["acme:*", "demo:hello"] # which components; all by default
//! kinds = ["skill"]              # of which kinds; of all by default
//! env = ["LANG", "LC_*"]         # variables: names, or beginnings of names
//! folders = [{ path = "/srv/shared", mode = "ro" }]   # this folder and those below it; read-only by default
//! clocks = "precise"
//! ```

use std::path::Path;

use crate::document::{self, DocumentError, Item, Table};
use crate::grant::Grant;
use crate::id::ComponentId;
use crate::manifest::parse::{read_clocks, read_patterns, read_word};
use crate::manifest::{ENTRIES_MAX, FolderMode, KEY_BYTES_MAX, Kind, KindError, PATH_BYTES_MAX};
use crate::pattern::IdPattern;

/// Largest policy, in bytes.
pub const POLICY_BYTES_MAX: usize = 256 * 1024;
/// Longest name of a rule, in bytes.
pub const RULE_NAME_BYTES_MAX: usize = 64;

/// What is wrong with a policy file.
pub type PolicyError = DocumentError;

/// Rules that allow; the default has none, so that nothing is granted without an operator.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Policy {
    rules: Vec<Rule>,
}

/// One rule: which components may be granted what.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Rule {
    /// How the rule is called.
    pub name: String,
    /// Which components it is about; empty means all.
    pub ids: Vec<IdPattern>,
    /// Of which kinds; empty means all. A kind is what the component says of itself.
    pub kinds: Vec<Kind>,
    /// Variables: names, or beginnings of names with `*` at the end.
    pub env: Vec<String>,
    /// Folders of the host, with all that is below them.
    pub folders: Vec<FolderRule>,
    /// Whether precise clocks may be granted.
    pub precise_clocks: bool,
}

/// A folder that a rule allows.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FolderRule {
    /// The folder, absolute.
    pub path: String,
    /// The most that a guest may do in it.
    pub mode: FolderMode,
}

impl Policy {
    /// Reads the text of a policy file, at most [`POLICY_BYTES_MAX`] bytes.
    ///
    /// # Errors
    /// [`PolicyError`] names key and line.
    /// # Examples
    /// ```
    /// let policy = domain::Policy::parse("[[allow]]\nids = [\"acme:*\"]\nenv = [\"LANG\"]\n")?;
    /// assert_eq!(policy.rules().len(), 1);
    /// let error = domain::Policy::parse("[[allow]]\nidd = []\n").unwrap_err();
    /// assert_eq!(error.to_string(), "line 2: unknown key `allow[0].idd`");
    /// # Ok::<(), domain::policy::PolicyError>(())
    /// ```
    pub fn parse(text: &str) -> Result<Self, PolicyError> {
        document::read(text, POLICY_BYTES_MAX, |root| read_policy(&root))
    }

    /// Returns the rules in the order of the file.
    pub fn rules(&self) -> &[Rule] {
        &self.rules
    }

    /// Returns the first rule that grants `asked` to a component; a folder's path has to be canonical.
    pub fn allows(&self, id: &ComponentId, kind: &Kind, asked: &Grant) -> Option<&Rule> {
        self.rules.iter().find(|rule| rule.is_about(id, kind) && rule.allows(asked))
    }
}

impl Rule {
    /// Tells whether the rule is about a component of this id and kind.
    pub fn is_about(&self, id: &ComponentId, kind: &Kind) -> bool {
        (self.ids.is_empty() || self.ids.iter().any(|pattern| pattern.matches(id)))
            && (self.kinds.is_empty() || self.kinds.contains(kind))
    }

    /// Tells whether the rule allows `asked` to those that it is about.
    fn allows(&self, asked: &Grant) -> bool {
        match asked {
            Grant::Env { name, .. } => self.env.iter().any(|pattern| match pattern.strip_suffix('*') {
                Some(beginning) => name.starts_with(beginning),
                None => pattern == name,
            }),
            Grant::Folder { path, mode, .. } => self.folders.iter().any(|folder| {
                // By whole names: `/srv/data2` is not below `/srv/data`.
                let is_below = Path::new(path).is_absolute() && Path::new(path).starts_with(&folder.path);
                is_below && (*mode == FolderMode::Ro || folder.mode == FolderMode::Rw)
            }),
            Grant::Clocks => self.precise_clocks,
        }
    }
}

fn read_policy(root: &Table<'_>) -> Result<Policy, DocumentError> {
    root.allow(&["allow"])?;
    let Some(item) = root.get("allow") else { return Ok(Policy::default()) };
    let elements = item.list(ENTRIES_MAX)?;
    let rules = elements.iter().enumerate().map(|(number, element)| read_rule(number, element));
    Ok(Policy { rules: rules.collect::<Result<_, _>>()? })
}

fn read_rule(number: usize, element: &Item<'_>) -> Result<Rule, DocumentError> {
    let table = element.table()?;
    table.allow(&["name", "ids", "kinds", "env", "folders", "clocks"])?;
    let mut rule = Rule { name: format!("allow[{number}]"), ..Rule::default() };
    for item in table.items() {
        match item.name {
            "name" => rule.name = read_name(&item)?,
            "ids" => rule.ids = some(&item, read_patterns(&item)?)?,
            "kinds" => rule.kinds = some(&item, read_kinds(&item)?)?,
            "env" => rule.env = read_env(&item)?,
            "folders" => rule.folders = read_folders(&item)?,
            "clocks" => rule.precise_clocks = read_clocks(&item)?,
            // `allow` has refused every other name.
            _ => {}
        }
    }
    if rule.env.is_empty() && rule.folders.is_empty() && !rule.precise_clocks {
        return Err(element.invalid("the rule allows nothing: give it `env`, `folders` or `clocks`"));
    }
    Ok(rule)
}

/// Refuses an empty list where none at all means everything.
fn some<T>(item: &Item<'_>, list: Vec<T>) -> Result<Vec<T>, DocumentError> {
    if list.is_empty() { Err(item.invalid("must name at least one; without the key, all are meant")) } else { Ok(list) }
}

fn read_name(item: &Item<'_>) -> Result<String, DocumentError> {
    let name = item.text_bounded(RULE_NAME_BYTES_MAX)?;
    if name.chars().any(crate::text::is_deceptive) {
        return Err(item.invalid("must not contain invisible characters"));
    }
    Ok(name.to_owned())
}

fn read_kinds(item: &Item<'_>) -> Result<Vec<Kind>, DocumentError> {
    let elements = item.list(ENTRIES_MAX)?;
    let kind = |element: &Item<'_>| element.text()?.parse().map_err(|error: KindError| element.invalid(error));
    elements.iter().map(kind).collect()
}

fn read_env(item: &Item<'_>) -> Result<Vec<String>, DocumentError> {
    let mut names = Vec::new();
    for element in item.list(ENTRIES_MAX)? {
        let name = element.text_bounded(KEY_BYTES_MAX)?;
        let inner = name.strip_suffix('*').unwrap_or(name);
        if inner.contains(['*', '=']) {
            return Err(element.invalid("must be a name such as `LANG`, or the beginning of names such as `LC_*`"));
        }
        names.push(name.to_owned());
    }
    Ok(names)
}

fn read_folders(item: &Item<'_>) -> Result<Vec<FolderRule>, DocumentError> {
    let mut folders = Vec::new();
    for element in item.list(ENTRIES_MAX)? {
        let table = element.table()?;
        table.allow(&["path", "mode"])?;
        let path_item = table.require("path")?;
        let path = path_item.text_bounded(PATH_BYTES_MAX)?;
        if !path.starts_with('/') || path.split('/').any(|part| matches!(part, "." | "..")) {
            return Err(path_item.invalid("must be an absolute path without `.` and `..`"));
        }
        let mode = match table.get("mode") {
            None => FolderMode::default(),
            Some(item) => read_word(&item, &FolderMode::ALL, FolderMode::as_str)?,
        };
        folders.push(FolderRule { path: path.to_owned(), mode });
    }
    Ok(folders)
}

#[cfg(test)]
mod tests {
    use super::*;

    const TEXT: &str = r#"
[[allow]]
name = "locale"
ids = ["acme:*"]
env = ["LANG", "LC_*"]

[[allow]]
ids = ["demo:store"]
kinds = ["skill"]
folders = [{ path = "/srv/data", mode = "rw" }, { path = "/srv/shared" }]
clocks = "precise"
"#;

    fn allowed(id: &str, kind: &str, grant: &str) -> Option<String> {
        let policy = Policy::parse(TEXT).unwrap();
        let rule = policy.allows(&id.parse().unwrap(), &kind.parse().unwrap(), &grant.parse().unwrap());
        rule.map(|rule| rule.name.clone())
    }

    #[test]
    fn grants_what_a_rule_names_and_nothing_beside_it() {
        let by = |name: &str| Some(name.to_owned());
        assert_eq!(allowed("acme:a", "component", "env LANG"), by("locale"));
        assert_eq!(allowed("acme:a", "component", "env LC_ALL"), by("locale"));
        assert_eq!(allowed("acme:a", "component", "env LANGUAGE"), None);
        assert_eq!(allowed("acme2:a", "component", "env LANG"), None);
        assert_eq!(allowed("acme:a", "component", "clocks"), None);
        assert_eq!(allowed("demo:store", "skill", "clocks"), by("allow[1]"));
        assert_eq!(allowed("demo:store", "plugin", "clocks"), None);
        assert_eq!(allowed("demo:store", "skill", "folder /srv/data/x --mode rw"), by("allow[1]"));
        assert_eq!(allowed("demo:store", "skill", "folder /srv/data2"), None);
        assert_eq!(allowed("demo:store", "skill", "folder /srv/shared"), by("allow[1]"));
        assert_eq!(allowed("demo:store", "skill", "folder /srv/shared --mode rw"), None);
        assert_eq!(allowed("demo:store", "skill", "folder srv/shared"), None);
    }

    #[test]
    fn names_key_and_line_of_what_is_wrong() {
        for (text, message) in [
            ("allw = 1", "line 1: unknown key `allw`"),
            ("allow = 1", "line 1: `allow` must be a list, not an integer"),
            (
                "[[allow]]\nids = [\"acme:*\"]\n",
                "line 1: `allow[0]`: the rule allows nothing: give it `env`, `folders` or `clocks`",
            ),
            (
                "[[allow]]\nenv = [\"A\"]\n[[allow]]\nids = []\nenv = [\"A\"]\n",
                "line 4: `allow[1].ids`: must name at least one; without the key, all are meant",
            ),
            (
                "[[allow]]\nenv = [\"*A\"]\n",
                "line 2: `allow[0].env[0]`: must be a name such as `LANG`, or the beginning of names such as `LC_*`",
            ),
            (
                "[[allow]]\nfolders = [{ path = \"x\" }]\n",
                "line 2: `allow[0].folders[0].path`: must be an absolute path without `.` and `..`",
            ),
            ("[[allow]]\nclocks = \"exact\"\n", "line 2: `allow[0].clocks`: the one thing to ask for is `precise`"),
        ] {
            assert_eq!(Policy::parse(text).unwrap_err().to_string(), message);
        }
        assert_eq!(Policy::parse("").unwrap(), Policy::default());
    }
}
