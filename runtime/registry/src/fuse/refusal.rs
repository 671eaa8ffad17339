//! Why components cannot be fused.

use domain::fusion::FUSED_MAX;
use domain::manifest::Kind;
use domain::ports::EngineError;
use domain::{ComponentId, ErrorKind, Failure};

/// Why a component cannot be fused with others, or be linked through gates again. Its text goes on after the component's name.
#[derive(Debug, thiserror::Error)]
pub enum FuseRefusal {
    /// It would be a part of itself.
    #[error("cannot be fused with itself")]
    Itself,
    /// There would be too many parts.
    #[error("cannot be fused with more than {FUSED_MAX} components")]
    TooMany,
    /// Nothing of what is to be one imports from it.
    #[error("cannot be fused with `{part}`: nothing in it would call `{part}`")]
    NotImported {
        /// The component that was named.
        part: ComponentId,
    },
    /// The registry itself calls an export of the part, and would not find it.
    #[error("cannot be fused with `{part}`: its `{export}` would be called by nobody")]
    Lifecycle {
        /// The part.
        part: ComponentId,
        /// The export.
        export: String,
    },
    /// A program prepares components of the part's kind, and would not see it.
    #[error("cannot be fused with `{part}`: what prepares components of the kind `{kind}` would not see it")]
    Factory {
        /// The part.
        part: ComponentId,
        /// Its kind.
        kind: Kind,
    },
    /// The part asks the host who calls it, and would be told who calls the component.
    #[error("cannot be fused with `{part}`: that asks who calls it, and would be told of somebody else")]
    AsksWhoCalls {
        /// The part.
        part: ComponentId,
    },
    /// The part would find another configuration.
    #[error("cannot be fused with `{part}`: their configuration differs")]
    Config {
        /// The part.
        part: ComponentId,
    },
    /// The part's code would have other grants than the part has.
    #[error("cannot be fused with `{part}`: their grants differ")]
    Grants {
        /// The part.
        part: ComponentId,
    },
    /// The part forgets everything after each call, and would not.
    #[error("cannot be fused with `{part}`: that has a new instance for each call, and would have none of its own")]
    PerCall {
        /// The part.
        part: ComponentId,
    },
    /// A component that would be called does not let it call.
    #[error("cannot be fused so: {refusal}")]
    Callers {
        /// Who does not let whom call what, and whom it lets.
        refusal: String,
    },
    /// One import would have to be served by two.
    #[error(
        "cannot be fused so: `{import}` would have to come from {} and from {}",
        source_text(one),
        source_text(other)
    )]
    Sources {
        /// The import.
        import: String,
        /// Who serves it to one of them, `None` for the host.
        one: Option<ComponentId>,
        /// Who serves it to another.
        other: Option<ComponentId>,
    },
    /// The binaries cannot be made into one.
    #[error("cannot be fused: {source}")]
    Composition {
        /// What the engine said.
        #[source]
        source: EngineError,
    },
    /// What was composed lacks an export.
    #[error("cannot be fused: its export `{export}` would be lost")]
    Lost {
        /// The export.
        export: String,
    },
    /// The unit of all of them cannot be made.
    #[error("cannot be fused: {}", .failure.message)]
    Together {
        /// What went wrong.
        failure: Box<Failure>,
    },
    /// The unit of it alone cannot be made.
    #[error("cannot be linked through gates: {}", .failure.message)]
    Apart {
        /// What went wrong.
        failure: Box<Failure>,
    },
}

fn source_text(source: &Option<ComponentId>) -> String {
    source.as_ref().map_or_else(|| "the host".to_owned(), |id| format!("`{id}`"))
}

impl FuseRefusal {
    /// Says whose turn it is.
    pub fn kind(&self) -> ErrorKind {
        match self {
            Self::Itself | Self::TooMany => ErrorKind::Invalid,
            Self::Grants { .. } | Self::Callers { .. } => ErrorKind::Denied,
            Self::NotImported { .. }
            | Self::Lifecycle { .. }
            | Self::Factory { .. }
            | Self::AsksWhoCalls { .. }
            | Self::Config { .. }
            | Self::PerCall { .. }
            | Self::Sources { .. }
            | Self::Lost { .. } => ErrorKind::Conflict,
            Self::Composition { source } => source.kind(),
            Self::Together { failure } | Self::Apart { failure } => failure.kind.error_kind(),
        }
    }

    /// Tells the error apart from others of its kind.
    pub fn code(&self) -> &'static str {
        match self {
            Self::NotImported { .. } => "not-imported",
            Self::Grants { .. } => "grants-differ",
            Self::Apart { .. } => "cannot-unfuse",
            Self::Itself
            | Self::TooMany
            | Self::Lifecycle { .. }
            | Self::Factory { .. }
            | Self::AsksWhoCalls { .. }
            | Self::Config { .. }
            | Self::PerCall { .. }
            | Self::Callers { .. }
            | Self::Sources { .. }
            | Self::Composition { .. }
            | Self::Lost { .. }
            | Self::Together { .. } => "cannot-fuse",
        }
    }

    /// Returns what to do next; `id` is the component.
    pub fn hints(&self, id: &ComponentId) -> Vec<String> {
        match self {
            Self::NotImported { .. } => vec![format!("`runtime deps {id} --transitive` shows what it calls")],
            Self::Grants { part } => vec![
                "grant both the same".to_owned(),
                format!("or say `--share-grants`: there the code of `{part}` has the grants of `{id}`, and no others"),
            ],
            Self::Lifecycle { part, .. }
            | Self::Factory { part, .. }
            | Self::AsksWhoCalls { part }
            | Self::Config { part }
            | Self::PerCall { part } => vec![format!("leave `{part}` out: calls of it go on through a gate")],
            Self::Callers { .. } => {
                vec![
                    "`[callers]` in the component.toml of the component that is called says who may call it".to_owned(),
                ]
            }
            Self::Sources { .. } => vec!["fuse it with fewer, or bind both imports to one component".to_owned()],
            Self::Apart { .. } => vec![format!("`runtime deactivate {id}` first, then it can be unfused")],
            Self::Itself | Self::TooMany | Self::Composition { .. } | Self::Lost { .. } | Self::Together { .. } => {
                vec!["calls of components that it is not fused with go through gates".to_owned()]
            }
        }
    }
}
