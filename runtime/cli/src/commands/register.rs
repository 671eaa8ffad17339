use std::path::PathBuf;

use domain::manifest::Kind;
use domain::manifest::VERSION_BYTES_MAX;
use domain::ports::Durability;
use domain::text::escape_line;
use domain::{ComponentId, Event, Grant, Version};
use registry::{ManifestSource, RegisterRequest, Registered, Registry, RegistryError, Target};
use serde::Serialize;

use crate::commands::{activate, grant};
use crate::dto::{ActivationDoc, EntryDoc, GrantDoc};
use crate::error::{CliError, Done};
use crate::output::plural;
use crate::progress;
use crate::session::Session;
use crate::style::Paint;

/// Add components, or new versions of them
///
/// Reads what each component imports and exports, derives its dependencies, and keeps its bytes under their digest. Nothing of the
/// component runs. A path is a `.wasm` or `.wat` component, a folder with `component.toml`, or a folder of such.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  runtime register greeter.wasm
  runtime register components/ --activate
  runtime register build/log.wasm --id acme:log --version 1.2.0 --kind skill
  runtime register greeter.wasm --override
  runtime register report/ --grant 'env LANG' --grant 'folder /srv/data --at /data'")]
pub(crate) struct Args {
    #[command(flatten)]
    pub(crate) requested: Requested,

    /// Register also what breaks active components
    #[arg(long)]
    pub(crate) force: bool,

    /// Activate what was registered, and all that it needs
    #[arg(long)]
    pub(crate) activate: bool,

    /// What each change survives until the end, when all is as safe as the settings say: power, process or none
    #[arg(long, value_name = "LEVEL")]
    pub(crate) durability: Option<Durability>,
}

/// What is to be registered, and as what.
#[derive(Clone, Debug, Default, clap::Args)]
pub(crate) struct Requested {
    /// Components, folders with `component.toml`, or folders of such
    #[arg(required = true, value_name = "PATH")]
    pub(crate) paths: Vec<PathBuf>,

    /// Id of the component, instead of what its manifest and binary say
    #[arg(long, value_name = "ID")]
    pub(crate) id: Option<ComponentId>,

    /// Version of the component, instead of what its manifest and binary say
    #[arg(long, value_name = "VERSION", value_parser = version)]
    pub(crate) version: Option<Version>,

    /// Kind of the components, instead of what their manifests say
    #[arg(long, value_name = "KIND")]
    pub(crate) kind: Option<Kind>,

    /// Component manifest, instead of the one beside the component
    #[arg(long, value_name = "FILE")]
    pub(crate) manifest: Option<PathBuf>,

    /// Let other bytes or another manifest take a version that is registered already
    #[arg(long = "override")]
    pub(crate) override_version: bool,

    /// Grant what follows, such as 'env LANG' or 'folder /srv/data --at /data'
    #[arg(long, value_name = "GRANT")]
    pub(crate) grant: Vec<Grant>,

    /// Grant all that the component's manifest asks for
    #[arg(long)]
    pub(crate) grant_requested: bool,
}

impl Requested {
    /// Returns the same with folders as this process has to look them up.
    pub(crate) fn here(mut self, session: &Session) -> Result<Self, CliError> {
        let grants = self.grant.into_iter().map(|grant| grant::here(session, grant));
        self.grant = grants.collect::<Result<Vec<_>, _>>()?;
        Ok(self)
    }

    /// Returns `request` with what was said of it on the command line.
    pub(crate) fn applied_to(&self, session: &Session, mut request: RegisterRequest) -> RegisterRequest {
        request.id = self.id.clone().or(request.id);
        request.version = self.version.clone().or(request.version);
        request.kind = self.kind.clone().or(request.kind);
        request.override_version |= self.override_version;
        request.grants.clone_from(&self.grant);
        request.grant_requested = self.grant_requested;
        if let Some(manifest) = &self.manifest {
            request.manifest = Some(ManifestSource::File(session.path(manifest)));
        }
        request
    }
}

/// What was registered and what was not.
#[derive(Debug, Serialize)]
pub(crate) struct RegisterDoc {
    pub(crate) registered: Vec<RegisteredDoc>,
    pub(crate) failed: Vec<FailedPath>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) activation: Option<ActivationDoc>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) error: Option<CliError>,
}

/// One registered component.
#[derive(Debug, Serialize)]
pub(crate) struct RegisteredDoc {
    #[serde(flatten)]
    entry: EntryDoc,
    outcome: &'static str,
    registered_version: String,
    registered_revision: u32,
    asks_anew: Vec<GrantDoc>,
    granted: Vec<GrantDoc>,
    ungranted: Vec<GrantDoc>,
    warnings: Vec<String>,
}

/// A path that could not be registered.
#[derive(Debug, Serialize)]
pub(crate) struct FailedPath {
    path: String,
    error: CliError,
}

/// What one path led to, before it is registered.
pub(crate) enum Found {
    Request(Box<RegisterRequest>),
    Failed(PathBuf, RegistryError),
}

/// Reads a version that is as short as one in a manifest has to be.
fn version(text: &str) -> Result<Version, String> {
    if text.len() > VERSION_BYTES_MAX {
        return Err(format!("a version may have {VERSION_BYTES_MAX} bytes"));
    }
    Version::parse(text).map_err(|error| error.to_string())
}

pub(crate) async fn run(session: &Session, args: Args) -> Result<Done, CliError> {
    let registry = session.registry().await?;
    let args = Args { requested: args.requested.here(session)?, ..args };
    let found = find(session, registry, &args.requested).await?;
    let registry = &registry.with_durability(args.durability).with_force(args.force);
    let document = register(session, registry, found, &args).await;
    finish(session, &document)
}

/// Finds the components that the paths lead to.
///
/// # Errors
/// A usage error where what is meant for one component is said of several.
pub(crate) async fn find(
    session: &Session,
    registry: &Registry,
    requested: &Requested,
) -> Result<Vec<Found>, CliError> {
    let mut found = Vec::new();
    for path in &requested.paths {
        match registry.requests_below(&session.path(path)).await {
            Ok(requests) => found.extend(requests.into_iter().map(|request| Found::Request(Box::new(request)))),
            Err(error) => found.push(Found::Failed(path.clone(), error)),
        }
    }
    let count = found.iter().filter(|found| matches!(found, Found::Request(_))).count();
    for (given, option) in [
        (requested.id.is_some(), "--id"),
        (requested.version.is_some(), "--version"),
        (requested.manifest.is_some(), "--manifest"),
    ] {
        if given && count > 1 {
            return Err(CliError::usage(format!("`{option}` is for one component, the paths lead to {count}")));
        }
    }
    if !requested.grant.is_empty() && count > 1 {
        return Err(CliError::usage(format!("`--grant` is for one component, the paths lead to {count}"))
            .hint("`--grant-requested` grants to each what its manifest asks for"));
    }
    Ok(found)
}

/// Registers what was found and activates it if that was asked for.
pub(crate) async fn register_found(
    session: &Session,
    registry: &Registry,
    requests: Vec<RegisterRequest>,
    activate: bool,
) -> RegisterDoc {
    let found = requests.into_iter().map(|request| Found::Request(Box::new(request))).collect();
    let args = Args { requested: Requested::default(), force: false, activate, durability: None };
    register(session, registry, found, &args).await
}

async fn register(session: &Session, registry: &Registry, found: Vec<Found>, args: &Args) -> RegisterDoc {
    let mut requests = Vec::new();
    for found in &found {
        if let Found::Request(request) = found {
            let request = args.requested.applied_to(session, (**request).clone());
            requests.push(request);
        }
    }
    let mut results = register_shown(session, registry, requests).await.into_iter();
    let mut document = RegisterDoc { registered: vec![], failed: vec![], activation: None, error: None };
    let mut targets = Vec::new();
    for found in found {
        let (path, result) = match found {
            Found::Failed(path, error) => (path, Err(error)),
            Found::Request(request) => {
                let Some(result) = results.next() else { break };
                (path_of(&request), result)
            }
        };
        match result {
            Ok(registered) => {
                let id = registered.entry.entry.id.clone();
                targets.push(Target { id, version: Some(registered.version.clone()) });
                document.registered.push(registered.into());
            }
            Err(error) => {
                document.failed.push(FailedPath { path: path.display().to_string(), error: error.into() });
            }
        }
    }
    document.error = document.failed.first().map(|failed| failed.error.clone());
    if args.activate && !targets.is_empty() {
        let activation = ActivationDoc::new(vec![], registry.activate(&targets).await, false);
        document.error = document.error.or_else(|| activation.error.clone());
        document.activation = Some(activation);
    }
    let stale = |registered: &RegisteredDoc| args.activate || !registered.entry.unresolved.is_empty();
    refresh(registry, document.registered.iter_mut().filter(|registered| stale(registered))).await;
    document
}

/// Registers with a bar that counts what is in the journal.
async fn register_shown(
    session: &Session,
    registry: &Registry,
    requests: Vec<RegisterRequest>,
) -> Vec<Result<Registered, RegistryError>> {
    let bar = progress::counter(&session.terminal, "registering", requests.len());
    let mut events = registry.subscribe();
    let registering = registry.register_many(requests);
    tokio::pin!(registering);
    let results = loop {
        tokio::select! {
            results = &mut registering => break results,
            Ok(record) = events.recv() => {
                if matches!(record.event, Event::Registered { .. }) {
                    bar.inc(1);
                }
            }
        }
    };
    bar.finish_and_clear();
    results
}

/// Shows entries as they are now: activated, or provided for by what was registered after them.
async fn refresh(registry: &Registry, registered: impl Iterator<Item = &mut RegisteredDoc>) {
    for registered in registered {
        // What was unregistered in the meantime is shown as it was.
        if let Ok(view) = registry.get(&registered.entry.id).await {
            registered.entry = (&view).into();
        }
    }
}

fn path_of(request: &RegisterRequest) -> PathBuf {
    match &request.source {
        registry::ComponentSource::Path(path) => path.clone(),
        registry::ComponentSource::Bytes { name, .. } => PathBuf::from(name),
    }
}

impl RegisteredDoc {
    /// Says what was done: a line, and one more for each grant and for each thing that is asked for anew.
    pub(crate) fn line(&self, paint: Paint) -> String {
        let anew = self.asks_anew.iter().map(|grant| format!("  asks anew: {}\n", escape_line(&grant.text)));
        let granted = self.granted.iter().map(|grant| format!("  granted {}\n", escape_line(&grant.text)));
        let more: String = anew.chain(granted).collect();
        self.first_line(paint) + &more
    }

    fn first_line(&self, paint: Paint) -> String {
        let id = paint.bold(self.entry.id.as_str());
        let version = &self.registered_version;
        match self.outcome {
            "new" => format!("registered {id} {version}\n"),
            "new-revision" => format!("registered {id} {version} as revision {}\n", self.registered_revision),
            "waiting" if self.entry.version == *version => {
                format!("registered {id} {version} as revision {}, which is active now\n", self.registered_revision)
            }
            "waiting" => format!(
                "registered {id} {version} as revision {}; {} stays active until `runtime activate {}@{version}`\n",
                self.registered_revision, self.entry.version, self.entry.id
            ),
            _ => format!("unchanged {id} {version}\n"),
        }
    }
}

impl From<Registered> for RegisteredDoc {
    fn from(registered: Registered) -> Self {
        Self {
            entry: (&registered.entry).into(),
            outcome: registered.outcome.as_str(),
            registered_version: registered.version.to_string(),
            registered_revision: registered.revision,
            asks_anew: registered.asks_anew.iter().map(GrantDoc::from).collect(),
            granted: registered.granted.iter().map(GrantDoc::from).collect(),
            ungranted: registered.missing.iter().map(GrantDoc::from).collect(),
            warnings: registered.warnings,
        }
    }
}

/// Prints the document and says what people should know beside it.
pub(crate) fn finish(session: &Session, document: &RegisterDoc) -> Result<Done, CliError> {
    session.out.result(document, text)?;
    for registered in &document.registered {
        for warning in &registered.warnings {
            session.terminal.warn(warning);
        }
        for unresolved in &registered.entry.unresolved_reasons {
            session.terminal.warn(&format!("{} cannot be activated yet: {}", registered.entry.id, unresolved.message));
        }
    }
    if !session.out.is_json() {
        for failed in &document.failed {
            failed.error.print(Some(&failed.path), &session.terminal);
        }
        if let Some(activation) = &document.activation {
            activate::print_problems(session, activation);
        }
    }
    Ok(Done::of(document.error.as_ref()))
}

fn text(document: &RegisterDoc, paint: Paint) -> String {
    let mut text = String::new();
    for registered in &document.registered {
        text.push_str(&registered.line(paint));
    }
    if document.registered.len() > 1 {
        text.push_str(&paint.dim(&plural(document.registered.len(), "component")));
        text.push('\n');
    }
    if let Some(activation) = &document.activation {
        text.push_str(&activate::text(activation, paint));
    }
    text
}
