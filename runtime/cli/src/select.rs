//! Which components a verb is about: names, all, or those that meet a filter.

use domain::ComponentId;
use domain::Status;
use domain::filter::{Condition, Filter};
use domain::manifest::Kind;
use registry::{Registry, RegistryError, Target};

use crate::dto::FailedDoc;
use crate::error::CliError;
use crate::session::Session;

/// How a component is written, for every verb's help.
pub(crate) const ID_HELP: &str = "Component: `namespace:name`, `namespace:name@1.2.0`, or a bare name that is unique";

/// Conditions on components.
#[derive(Clone, Debug, Default, clap::Args)]
pub(crate) struct Filters {
    /// Only components of this kind
    #[arg(long, visible_alias = "type", value_name = "KIND")]
    pub(crate) kind: Option<Kind>,

    /// Only components in this status
    #[arg(long, value_name = "STATUS")]
    pub(crate) status: Option<Status>,

    /// Only components with this metadata, version or digest
    #[arg(long = "where", value_name = "KEY=VALUE")]
    pub(crate) conditions: Vec<Condition>,
}

impl Filters {
    /// Tells whether nothing is asked for.
    pub(crate) fn is_empty(&self) -> bool {
        self.kind.is_none() && self.status.is_none() && self.conditions.is_empty()
    }

    /// Returns the filter that the registry takes.
    pub(crate) fn filter(&self) -> Filter {
        Filter {
            kind: self.kind.clone(),
            status: self.status,
            conditions: self.conditions.clone(),
            ..Filter::default()
        }
    }
}

/// Names, or all, or a filter.
#[derive(Clone, Debug, Default, clap::Args)]
pub(crate) struct Selection {
    /// Components: `namespace:name`, `namespace:name@1.2.0`, or bare names that are unique
    #[arg(value_name = "ID")]
    pub(crate) ids: Vec<String>,

    /// All components
    #[arg(long, conflicts_with = "ids")]
    pub(crate) all: bool,

    #[command(flatten)]
    pub(crate) filters: Filters,
}

impl Selection {
    /// Tells whether more than one component may be meant.
    pub(crate) fn is_many(&self) -> bool {
        self.ids.len() != 1
    }
}

/// The components that a selection means, and the names that mean none.
#[derive(Debug, Default)]
pub(crate) struct Selected {
    pub(crate) targets: Vec<Target>,
    pub(crate) failed: Vec<FailedDoc>,
}

impl Selected {
    /// Makes a document for each target, and returns them with the names that have none.
    pub(crate) async fn documents<T>(
        self,
        make: impl AsyncFn(&Target) -> Result<T, RegistryError>,
    ) -> (Vec<T>, Vec<FailedDoc>) {
        let mut failed = self.failed;
        let mut documents = Vec::with_capacity(self.targets.len());
        for target in &self.targets {
            match make(target).await {
                Ok(document) => documents.push(document),
                Err(error) => failed.push(FailedDoc::new(&target.id, &error)),
            }
        }
        (documents, failed)
    }

    /// Returns the ids alone, each once.
    pub(crate) fn ids(&self) -> Vec<ComponentId> {
        let mut ids: Vec<ComponentId> = Vec::with_capacity(self.targets.len());
        for target in &self.targets {
            if !ids.contains(&target.id) {
                ids.push(target.id.clone());
            }
        }
        ids
    }
}

impl Selection {
    /// Finds the components.
    ///
    /// # Errors
    /// [`CliError`] if nothing is selected, or the registry cannot be read; a name that means nothing is no error here.
    pub(crate) async fn resolve(&self, session: &Session, registry: &Registry) -> Result<Selected, CliError> {
        self.find(session, registry, Versions::InService).await
    }

    /// As [`Self::resolve`], and takes versions that are not in service as well.
    ///
    /// # Errors
    /// As [`Self::resolve`].
    pub(crate) async fn resolve_versions(&self, session: &Session, registry: &Registry) -> Result<Selected, CliError> {
        self.find(session, registry, Versions::Any).await
    }

    async fn find(&self, session: &Session, registry: &Registry, versions: Versions) -> Result<Selected, CliError> {
        let filtered = !self.filters.is_empty();
        if !self.ids.is_empty() && filtered {
            return Err(CliError::usage("give components by name or by a filter, not both"));
        }
        if !self.ids.is_empty() {
            return Ok(match versions {
                Versions::InService => resolve_all(registry, &self.ids).await,
                Versions::Any => resolve_versions(registry, &self.ids).await,
            });
        }
        if !self.all && !filtered {
            return Err(CliError::usage("name at least one component")
                .hint("`--all` means every component; `--kind`, `--status` and `--where` choose among them"));
        }
        let entries = registry.list(&self.filters.filter()).await?;
        if entries.is_empty() {
            session.terminal.note(if filtered { "no component matches" } else { "no components" });
        }
        Ok(Selected { targets: entries.iter().map(|view| Target::from(&view.entry.id)).collect(), failed: vec![] })
    }
}

/// Which versions a name may have.
#[derive(Clone, Copy)]
enum Versions {
    /// The one to which the entry points.
    InService,
    /// Any that is registered.
    Any,
}

/// Finds what each name means; a version that is not in service is an error.
pub(crate) async fn resolve_all(registry: &Registry, names: &[String]) -> Selected {
    let mut selected = Selected::default();
    for name in names {
        match registry.resolve_current(name).await {
            Ok(target) => selected.targets.push(target),
            Err(error) => selected.failed.push(FailedDoc::new(name, &error)),
        }
    }
    selected
}

/// Finds what each name means, whichever version of it.
pub(crate) async fn resolve_versions(registry: &Registry, names: &[String]) -> Selected {
    let mut selected = Selected::default();
    for name in names {
        match registry.resolve(name).await {
            Ok(target) => selected.targets.push(target),
            Err(error) => selected.failed.push(FailedDoc::new(name, &error)),
        }
    }
    selected
}
