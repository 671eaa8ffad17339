//! A case of the corpus: what is registered, what is done with it, what has to come of it.

use std::path::{Path, PathBuf};
use std::time::Duration;

use toml::{Table, Value};

use crate::template;

/// The keys of `expected.toml`; any other is a mistake.
const KEYS: &[&str] = &[
    "about",
    "at_once",
    "before",
    "verb",
    "function",
    "refusal",
    "phase",
    "kind",
    "says",
    "answers",
    "within",
    "copies",
    "errors_max",
    "text",
    "logs_lines_max",
    "logs_bytes_max",
    "logs_say",
];

/// What a component may take for one call or one activation that says nothing else.
const WITHIN: Duration = Duration::from_secs(5);

/// One folder of the corpus.
pub(crate) struct Case {
    pub(crate) name: String,
    /// One sentence.
    pub(crate) about: String,
    /// What is registered first, in that order; none of it may be refused.
    pub(crate) helpers: Vec<Component>,
    /// The hostile one.
    pub(crate) component: Component,
    /// What is done with it before the verb, each a verb and its argument.
    pub(crate) before: Vec<(String, Option<String>)>,
    /// The verbs that may meet the error, in their order; the last one does at the latest.
    pub(crate) verbs: Vec<String>,
    /// How often the last verb is asked for at once.
    pub(crate) at_once: u64,
    /// What is called, in WAVE.
    pub(crate) function: Option<String>,
    pub(crate) expected: Expected,
}

/// What has to come of a case.
pub(crate) struct Expected {
    /// The kind of error with which the operation is refused, where no component fails.
    pub(crate) refusal: Vec<String>,
    /// In which phase the component fails, by its history.
    pub(crate) phase: Option<String>,
    /// The kinds of failure that are right.
    pub(crate) kinds: Vec<String>,
    /// A part of the message.
    pub(crate) says: Option<String>,
    /// What the call answers.
    pub(crate) answers: Option<serde_json::Value>,
    /// The deadline of what is tried.
    pub(crate) within: Duration,
    /// Most records that its history may keep.
    pub(crate) errors_max: Option<u64>,
    pub(crate) logs: Logs,
}

/// What may be left of what the component printed and logged.
#[derive(Default)]
pub(crate) struct Logs {
    pub(crate) lines_max: Option<u64>,
    pub(crate) bytes_max: Option<u64>,
    pub(crate) say: Option<String>,
}

/// A component as it is registered.
pub(crate) struct Component {
    pub(crate) id: String,
    /// Its folder below that of the case.
    folder: String,
    manifest: String,
    file: &'static str,
    bytes: Vec<u8>,
}

impl Case {
    /// Reads the case in `folder`.
    pub(crate) fn read(folder: &Path) -> Self {
        let name = folder.file_name().unwrap().to_string_lossy().into_owned();
        let text = read(&folder.join("expected.toml"));
        let expected: Table = text.parse().unwrap_or_else(|error| panic!("{name}/expected.toml: {error}"));
        if let Some(unknown) = expected.keys().find(|key| !KEYS.contains(&key.as_str())) {
            panic!("{name}/expected.toml: unknown key `{unknown}`");
        }
        let is_text = expected.get("text").is_some_and(|value| value.as_bool() == Some(true));
        let (component, mut helpers) = match expected.get("copies").and_then(Value::as_integer) {
            Some(copies) => chain(folder, u64::try_from(copies).unwrap()),
            None => (component(folder, "component", None, is_text), Vec::new()),
        };
        helpers.splice(0..0, companions(folder));
        let string = |key: &str| expected.get(key).map(|value| value.as_str().unwrap().to_owned());
        let number = |key: &str| expected.get(key).map(|value| u64::try_from(value.as_integer().unwrap()).unwrap());
        let split = |line: String| match line.split_once(' ') {
            Some((verb, argument)) => (verb.to_owned(), Some(argument.to_owned())),
            None => (line, None),
        };
        Self {
            about: string("about").unwrap_or_else(|| panic!("{name}/expected.toml lacks `about`")),
            helpers,
            component,
            before: strings(expected.get("before")).into_iter().map(split).collect(),
            verbs: strings(expected.get("verb")),
            at_once: number("at_once").unwrap_or(1),
            function: string("function"),
            expected: Expected {
                refusal: strings(expected.get("refusal")),
                phase: string("phase"),
                kinds: strings(expected.get("kind")),
                says: string("says"),
                answers: string("answers").map(|text| serde_json::from_str(&text).expect("`answers` is JSON")),
                within: string("within").map_or(WITHIN, |text| duration(&text)),
                errors_max: number("errors_max"),
                logs: Logs {
                    lines_max: number("logs_lines_max"),
                    bytes_max: number("logs_bytes_max"),
                    say: string("logs_say"),
                },
            },
            name,
        }
    }

    /// Writes its components below `work`, where a registry can take them.
    pub(crate) fn write(&self, work: &Path) {
        for component in self.helpers.iter().chain([&self.component]) {
            let folder = self.folder_of(work, component);
            std::fs::create_dir_all(&folder).unwrap();
            std::fs::write(folder.join(component.file), &component.bytes).unwrap();
            std::fs::write(folder.join("component.toml"), &component.manifest).unwrap();
        }
    }

    /// Returns the folder of a component below `work`.
    pub(crate) fn folder_of(&self, work: &Path, component: &Component) -> PathBuf {
        work.join(&self.name).join(&component.folder)
    }
}

/// Reads `component.wat` and `component.toml` of `folder`, the n-th of several if `n` is given.
fn component(folder: &Path, name: &str, n: Option<u64>, is_text: bool) -> Component {
    let manifest = template::expand(&read(&folder.join("component.toml")), n).text;
    let table: Table = manifest.parse().unwrap_or_else(|error| panic!("{}: {error}", folder.display()));
    let source = template::expand(&read(&folder.join(format!("{name}.wat"))), n);
    let (file, bytes) = if is_text {
        ("component.wat", source.text.into_bytes())
    } else {
        let made = source.binary().unwrap_or_else(|error| panic!("{}: {error}", folder.display()));
        ("component.wasm", made)
    };
    let folder = n.map_or_else(|| "component".to_owned(), |n| format!("component-{n}"));
    Component { id: table["id"].as_str().unwrap().to_owned(), folder, manifest, file, bytes }
}

/// A row of components each of which imports the next; the first one is the hostile one.
fn chain(folder: &Path, copies: u64) -> (Component, Vec<Component>) {
    let part = |n: u64| component(folder, if n + 1 == copies { "last" } else { "component" }, Some(n), false);
    // What is imported is there before those that import it.
    (part(0), (1..copies).rev().map(part).collect())
}

/// The components in `with/`.
fn companions(folder: &Path) -> Vec<Component> {
    let Ok(entries) = std::fs::read_dir(folder.join("with")) else { return Vec::new() };
    let mut folders: Vec<_> = entries.map(|entry| entry.unwrap().path()).collect();
    folders.sort();
    let place = |path: PathBuf| {
        let name = path.file_name().unwrap().to_string_lossy().into_owned();
        Component { folder: format!("with-{name}"), ..component(&path, "component", None, false) }
    };
    folders.into_iter().map(place).collect()
}

fn read(path: &Path) -> String {
    std::fs::read_to_string(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// A string, or several.
fn strings(value: Option<&Value>) -> Vec<String> {
    match value {
        None => Vec::new(),
        Some(Value::Array(values)) => values.iter().map(|value| value.as_str().unwrap().to_owned()).collect(),
        Some(value) => vec![value.as_str().unwrap().to_owned()],
    }
}

/// `200ms` or `2s`.
fn duration(text: &str) -> Duration {
    let millis = text.strip_suffix("ms").map(|number| number.parse());
    let seconds = || text.strip_suffix('s').map(|number| number.parse::<u64>().map(|seconds| seconds * 1000));
    Duration::from_millis(millis.or_else(seconds).expect("a time has a unit").expect("a time has a number"))
}
