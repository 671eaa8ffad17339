//! What to do next, for each error.

use domain::failure::{Failure, FailureKind, Phase};
use domain::ports::{BackupError, EngineError, StorageError};
use domain::text::escape_line;

use super::{RegistryError, join};

/// Most functions listed in a hint.
const LISTED_MAX: usize = 12;

pub(super) fn of(error: &RegistryError) -> Vec<String> {
    match error {
        RegistryError::Name(_) => vec!["ids look like `acme:calculator`".to_owned()],
        RegistryError::NotFound { similar, .. } if similar.is_empty() => {
            vec!["`runtime list` shows what is registered".to_owned()]
        }
        RegistryError::NotFound { similar, .. } => vec![format!("did you mean {}?", join(similar, " or "))],
        RegistryError::VersionNotFound { known, .. } => {
            let known: std::collections::BTreeSet<_> = known.iter().collect();
            let known: Vec<_> = known.into_iter().map(ToString::to_string).collect();
            vec![format!("registered versions: {}", known.join(", "))]
        }
        RegistryError::NotInService { component, version, .. } => vec![
            format!("`runtime activate {component}@{version}` puts that version in service"),
            "leave the version off to mean the component with all its versions".to_owned(),
        ],
        RegistryError::RevisionNotFound { component, .. } => vec![format!("`runtime versions {component}` lists them")],
        RegistryError::NoEarlierRevision { component, .. } => {
            vec![format!("`runtime versions {component}` lists them, `runtime use {component}@VERSION` chooses one")]
        }
        RegistryError::Breaking { .. } => vec![
            "let those come along in a revision that fits: register both at once".to_owned(),
            "or do it all the same with `--force`: then they break".to_owned(),
        ],
        RegistryError::TypesDiffer { component, .. } => {
            vec![format!("build `{component}` against the interface as it is there")]
        }
        RegistryError::AmbiguousName { candidates, .. } => {
            candidates.iter().take(LISTED_MAX).map(ToString::to_string).collect()
        }
        RegistryError::NoSuchPath { .. } => vec![],
        RegistryError::NoComponents { linked, .. } => {
            let mut hints =
                vec!["a component is a `.wasm` or `.wat` file, or a folder with a `component.toml`".to_owned()];
            hints.extend(linked.as_ref().map(|link| {
                let link = escape_line(&link.to_string_lossy()).into_owned();
                format!("links to folders are not followed: name `{link}` itself")
            }));
            hints
        }
        RegistryError::BadPath { hint, .. } => vec![hint.clone()],
        RegistryError::Read { .. } => vec![],
        RegistryError::Manifest { source, .. } => source.hints(),
        RegistryError::Settings { source, .. } => source.hints(),
        RegistryError::Policy { source, .. } => source.hints(),
        RegistryError::Grant { component, source } => source.hints(component),
        RegistryError::Fuse { component, source } => source.hints(component),
        RegistryError::Binary { source, .. } => engine(source),
        RegistryError::MissingExports { kind, .. } => {
            vec![format!("the settings of the kind, `kinds.{kind}.world`, list the exports it requires")]
        }
        RegistryError::Quota { namespace, key, .. } => vec![
            format!("unregister components of `{namespace}` that are not needed any more"),
            format!("or raise it: `runtime settings quotas.namespaces.{namespace}.{key}=…`"),
        ],
        RegistryError::NoRoom { .. } => no_room(),
        RegistryError::StateNotKept { component, of_kind: None, .. } => vec![
            "leave `[instances] mode` out of its component.toml, or say `shared`".to_owned(),
            format!("or build `{component}` without that export, if it need not remember anything"),
        ],
        RegistryError::StateNotKept { of_kind: Some(kind), .. } => vec![
            "say `mode = \"shared\"` under `[instances]` in its component.toml".to_owned(),
            format!("or change its kind: `runtime settings kinds.{kind}.instances.mode=shared`"),
        ],
        RegistryError::VersionTaken { component, .. } => vec![
            "give the changed component a new version".to_owned(),
            format!(
                "or replace the version: `runtime register --override …` (`runtime show {component}` shows what is there)"
            ),
        ],
        RegistryError::Cycle { .. } => {
            vec!["leave one of these edges out, or bind the import to another provider with `[bind]`".to_owned()]
        }
        RegistryError::Plan(error) => error.hints(),
        RegistryError::RangeNotMet { on, .. } => vec![format!("register a version of `{on}` in that range")],
        RegistryError::EdgeNotDeclared { .. } => {
            vec!["only dependencies added with `runtime depend` can be removed with `runtime undepend`".to_owned()]
        }
        RegistryError::NotActive { component, status } => match status {
            domain::Status::Error => vec![
                format!("`runtime errors {component}` shows what failed"),
                format!("`runtime activate {component}` tries again"),
            ],
            _ => vec![format!("`runtime activate {component}` activates it and all that it needs")],
        },
        RegistryError::Waiting { component, on } => vec![
            format!("`runtime deps {component} --check` shows what is wrong"),
            format!("it comes back by itself when `{on}` does"),
        ],
        RegistryError::Quarantined { component, .. } => vec![
            format!("`runtime errors {component}` shows what failed"),
            "the first call after that time tries it".to_owned(),
            format!(
                "`runtime activate {component}` tries it now, `runtime errors --clear {component}` ends the quarantine"
            ),
        ],
        RegistryError::Transition { .. } => {
            vec!["statuses follow registered → active ⇄ inactive; an error is cleared to registered".to_owned()]
        }
        RegistryError::Activation(failure) => failed(failure),
        RegistryError::Call { source, .. } => engine(source),
        RegistryError::Changed { .. } => vec!["try again".to_owned()],
        RegistryError::NoIndex { known, .. } if known.is_empty() => {
            vec!["`runtime index create KEY` makes an index on a metadata key".to_owned()]
        }
        RegistryError::InvalidIndexName { .. } => {
            vec!["an index is called as the metadata key it is on, for instance `author`".to_owned()]
        }
        RegistryError::NoIndex { known, .. } => vec![format!("indexes: {}", known.join(", "))],
        RegistryError::Storage(error) => storage(error),
        RegistryError::Backup(error) => backup(error),
        RegistryError::Internal(_) => vec!["this is a fault of the product; please report it".to_owned()],
    }
}

/// How the refusal of bytes begins that are something else altogether.
const NOT_WEBASSEMBLY: &str = "not WebAssembly";

fn engine(error: &EngineError) -> Vec<String> {
    match error {
        EngineError::NotAComponent { reason } if reason.starts_with(NOT_WEBASSEMBLY) => vec![
            "a component is a `.wasm` file, or text that begins with `(component`; one with a component.toml is \
             registered by the folder that both are in"
                .to_owned(),
        ],
        EngineError::NotAComponent { .. } | EngineError::Unusable { .. } | EngineError::CannotCompose { .. } => vec![],
        EngineError::Unsupported { feature } if feature == "memory64" => {
            vec!["`runtime settings engine.memory64=true` turns it on".to_owned()]
        }
        EngineError::Unsupported { .. } => vec!["build the component without it".to_owned()],
        EngineError::UnknownFunction { function, known, .. } => {
            match domain::suggest::function(function, known.iter().map(String::as_str)) {
                Some(near) => vec![format!("did you mean `{near}`?")],
                None if known.is_empty() => vec![],
                None => vec![format!("its functions: {}", listed(known))],
            }
        }
        EngineError::AmbiguousFunction { candidates, .. } => {
            vec![format!("name one of {}", listed(candidates))]
        }
        EngineError::BadArguments { signature: Some(signature), .. } => {
            vec![format!("the function's type is `{signature}`")]
        }
        EngineError::BadArguments { .. } => vec!["write a call as in `add(1, 2)` or `greet(\"Ada\")`".to_owned()],
        EngineError::Failed(failure) => failed(failure),
        EngineError::Replaced(_) => vec!["call it again".to_owned()],
    }
}

/// What helps where the system allows no more mappings.
fn no_room() -> Vec<String> {
    vec![
        "`runtime evict ID…` drops instances that nobody needs now; busy ones are never dropped by themselves"
            .to_owned(),
        "`sysctl -w vm.max_map_count=262144` raises what the system allows, at once".to_owned(),
        "`[instances] activation = \"lazy\"` in a component.toml makes its instance only when it is called".to_owned(),
    ]
}

fn listed(names: &[String]) -> String {
    let mut text = names.iter().take(LISTED_MAX).map(|n| format!("`{n}`")).collect::<Vec<_>>().join(", ");
    if names.len() > LISTED_MAX {
        text.push_str(&format!(" and {} more", names.len() - LISTED_MAX));
    }
    text
}

fn failed(failure: &Failure) -> Vec<String> {
    let id = &failure.component;
    let history = format!("`runtime errors {id}` shows the failure with its backtrace");
    match failure.kind {
        _ if failure.message.contains("cannot be fused") => {
            vec![format!("`runtime unfuse {id}` links it through gates again"), history]
        }
        FailureKind::Fuel => {
            let limit = if failure.phase == Phase::Call { "fuel" } else { "activation_fuel" };
            vec![format!("raise `[limits] {limit}` in its component.toml if the work is legitimate"), history]
        }
        FailureKind::Deadline => {
            vec!["raise `[limits] deadline` in its component.toml if the work is legitimate".to_owned(), history]
        }
        FailureKind::Memory => {
            vec!["raise `[limits] memory` in its component.toml if the need is legitimate".to_owned(), history]
        }
        FailureKind::Limit if failure.phase != Phase::Compile => vec![
            format!(
                "`runtime show {id}` lists its limits; raise the one that is named under `[limits]` in its component.toml"
            ),
            history,
        ],
        FailureKind::Exhausted if failure.message.contains("mappings") => no_room(),
        FailureKind::Exhausted => match failure.retry_after_ms {
            Some(millis) => vec![format!("try again in {millis} ms; `runtime settings quotas` shows the quotas")],
            None => vec![format!("try again in a moment; `runtime show {id}` shows its limits")],
        },
        FailureKind::MissingImport => {
            vec![format!("register a component that exports it, then `runtime activate {id}`")]
        }
        FailureKind::TypeMismatch if failure.message.contains("cannot cross") => {
            vec!["pass plain data or resources, or make one component of both, for instance with `wac plug`".to_owned()]
        }
        FailureKind::TypeMismatch => vec!["build both components against the same WIT package version".to_owned()],
        FailureKind::Denied if failure.phase == Phase::Instantiate || failure.message.contains("cannot be granted") => {
            vec![
                format!(
                    "`runtime grants {id}` shows what it was granted; grant the folder where it is now, or revoke it"
                ),
                history,
            ]
        }
        FailureKind::Denied if failure.message.contains("`[callers]`") => {
            vec!["`[callers]` in the component.toml of the component that is called says who may call it".to_owned()]
        }
        FailureKind::Denied => vec![
            format!(
                "`runtime show {id}` lists its imports, and `[bind]` in its component.toml gives one to a component that exports it"
            ),
            "docs/concepts.md lists what the host has".to_owned(),
        ],
        FailureKind::Dependency => {
            vec![format!("`runtime deps {id} --check` says which of its dependencies cannot be used and why"), history]
        }
        FailureKind::Limit if failure.phase == Phase::Compile => {
            let keys = ["compile.memory", "compile.cpu", "compile.wall"];
            let key = keys.into_iter().find(|key| failure.message.contains(key));
            let raise = key.map(|key| {
                format!(
                    "`runtime settings {key}=…` gives more if the component is legitimate; a running server has to be restarted"
                )
            });
            raise.into_iter().chain([history]).collect()
        }
        FailureKind::Trap
        | FailureKind::Stack
        | FailureKind::Exit
        | FailureKind::Err
        | FailureKind::AmbiguousImport
        | FailureKind::InvalidBinary
        | FailureKind::Limit
        | FailureKind::Hook
        | FailureKind::Marked
        | FailureKind::Host => vec![history],
    }
}

fn backup(error: &BackupError) -> Vec<String> {
    match error {
        BackupError::NotABackup { .. } => vec![],
        BackupError::Damaged { .. } => vec!["nothing was changed; use another backup".to_owned()],
        BackupError::NotEmpty { .. } => {
            vec![
                "restore into another folder, or with `--replace`: what is there is moved aside, not removed"
                    .to_owned(),
            ]
        }
        BackupError::NotADataFolder { .. } => vec!["restore into another folder".to_owned()],
        BackupError::Storage(error) => storage(error),
    }
}

/// Tells whether a file is a segment or a snapshot of the journal, which `runtime repair` looks at.
fn is_of_journal(path: &std::path::Path) -> bool {
    path.parent().is_some_and(|folder| folder.ends_with("journal"))
}

fn storage(error: &StorageError) -> Vec<String> {
    match error {
        StorageError::Full { .. } => vec!["free space on that disk and try again; nothing was changed".to_owned()],
        StorageError::ReadOnly { .. } => {
            vec!["look after that disk and try again; what is there can be read meanwhile".to_owned()]
        }
        StorageError::Denied { .. } | StorageError::NotAFolder { .. } => {
            vec!["choose another data folder with `--data DIR` or RUNTIME_DATA".to_owned()]
        }
        StorageError::Held { pid, socket: Some(socket), .. } => vec![
            format!("it is a server: `kill {pid}` ends it in order, other commands go through {}", socket.display()),
            "or use another data folder with `--data DIR`".to_owned(),
        ],
        StorageError::Held { pid, .. } => vec![
            format!("wait for process {pid} to end, or raise `--lock-timeout`"),
            "use another data folder with `--data DIR`".to_owned(),
        ],
        StorageError::NewerFormat { .. } => vec!["install the newer version of runtime that wrote it".to_owned()],
        StorageError::Damaged { path, .. } if is_of_journal(path) => vec![
            "`runtime repair --dry-run` says what of the journal is whole and which records would be lost".to_owned(),
            "`runtime repair` copies the damaged files aside and keeps every decision before the damage".to_owned(),
            "or restore the file from a backup".to_owned(),
        ],
        StorageError::Damaged { .. } => vec!["restore the file from a backup".to_owned()],
        StorageError::NotText { .. } => {
            vec!["write the file as UTF-8; without the file, the defaults are in force".to_owned()]
        }
        StorageError::MissingBlob { .. } => vec!["register the component again from its file".to_owned()],
        StorageError::Index { .. } => {
            vec!["delete the folder `index` in the data folder: it is rebuilt from the journal".to_owned()]
        }
        StorageError::Io { path, .. } if path.parent().is_some_and(|folder| folder.ends_with("index")) => {
            vec!["delete the folder `index` in the data folder: it is rebuilt from the journal".to_owned()]
        }
        StorageError::Defect { .. } => vec![
            "open the registry again, or restart `runtime serve`: what was acknowledged and written is there"
                .to_owned(),
            "`runtime log` says what was done".to_owned(),
        ],
        StorageError::Closed | StorageError::BrokenOff | StorageError::Io { .. } => vec![],
    }
}
