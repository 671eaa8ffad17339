use std::collections::BTreeMap;
use std::path::PathBuf;

use domain::ComponentId;
use domain::inspection::Count;
use domain::text::{escape_block, escape_line};
use registry::{ImportSource, InspectReport, RegisterRequest, Registry};
use serde::Serialize;

use crate::commands::print_each;
use crate::dto::{FailedDoc, GrantsDoc, names};
use crate::error::{CliError, Done};
use crate::limits;
use crate::output::human_size;
use crate::session::Session;
use crate::style::Paint;
use crate::table::{Cell, Table};

/// Show what a binary is before it is registered
///
/// Imports, exports, metadata, size and digest, and which of its imports this registry could satisfy. Nothing of it runs.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  runtime inspect greeter.wasm
  runtime inspect components/greeter -o json")]
pub(crate) struct Args {
    /// Components, or folders with `component.toml`
    #[arg(required = true, value_name = "FILE")]
    pub(crate) files: Vec<PathBuf>,
}

#[derive(Debug, Serialize)]
struct InspectDoc {
    path: String,
    id: ComponentId,
    version: String,
    kind: String,
    digest: String,
    size: u64,
    description: Option<String>,
    metadata: BTreeMap<String, serde_json::Value>,
    imports: Vec<String>,
    exports: Vec<String>,
    functions: Vec<FunctionDoc>,
    /// What the binary's own metadata says: authors, language, tools.
    binary: BTreeMap<String, String>,
    /// Components of this registry that would provide imports.
    dependencies: Vec<ProviderDoc>,
    unresolved: Vec<String>,
    /// Each import and who would provide it.
    providers: Vec<ImportDoc>,
    /// How much there is of what compilers are slow at, and how much there may be.
    counts: Vec<Count>,
    limits: BTreeMap<&'static str, u64>,
    limit_sources: BTreeMap<&'static str, &'static str>,
    grants: GrantsDoc,
    warnings: Vec<String>,
}

#[derive(Debug, Serialize)]
struct FunctionDoc {
    name: String,
    interface: Option<String>,
    wit: String,
}

#[derive(Debug, Serialize)]
struct ProviderDoc {
    id: ComponentId,
    kind: &'static str,
    interface: String,
}

#[derive(Debug, Serialize)]
struct ImportDoc {
    import: String,
    provider: &'static str,
    satisfied: bool,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    components: Vec<ComponentId>,
}

pub(crate) async fn run(session: &Session, args: Args) -> Result<Done, CliError> {
    let registry = session.registry().await?;
    let mut documents = Vec::new();
    let mut failed = Vec::new();
    for file in &args.files {
        match inspect(session, registry, file).await {
            Ok(document) => documents.push(document),
            Err(error) => failed.push(FailedDoc { id: file.display().to_string(), error }),
        }
    }
    for document in &documents {
        for warning in &document.warnings {
            session.terminal.warn(warning);
        }
    }
    print_each(session, "components", args.files.len(), documents, failed, text)
}

async fn inspect(session: &Session, registry: &Registry, file: &std::path::Path) -> Result<InspectDoc, CliError> {
    let report = registry.inspect(RegisterRequest::path(session.path(file))).await?;
    Ok(document(file, report))
}

fn document(file: &std::path::Path, report: InspectReport) -> InspectDoc {
    let InspectReport { id, version, manifest, inspection, imports, limits: in_force, warnings } = report;
    let providers: Vec<_> = imports.iter().map(|(import, source)| provider(&import.name, source)).collect();
    let dependencies = imports.iter().filter_map(|(import, source)| match source {
        ImportSource::Components(ids) => match ids.as_slice() {
            [only] => Some(ProviderDoc { id: only.clone(), kind: "import", interface: import.name.clone() }),
            _ => None,
        },
        _ => None,
    });
    InspectDoc {
        path: file.display().to_string(),
        version: version.to_string(),
        kind: manifest.kind().to_string(),
        digest: inspection.digest.to_string(),
        size: inspection.size,
        description: manifest.description.clone().or(inspection.description),
        metadata: manifest.metadata.clone(),
        imports: names(&inspection.imports),
        exports: names(&inspection.exports),
        functions: inspection
            .functions
            .into_iter()
            .map(|function| FunctionDoc {
                name: function.qualified(),
                interface: function.interface,
                wit: function.wit,
            })
            .collect(),
        binary: inspection.metadata,
        counts: inspection.counts,
        dependencies: dependencies.collect(),
        unresolved: providers.iter().filter(|p| !p.satisfied).map(|p| p.import.clone()).collect(),
        providers,
        limits: limits::values(&in_force),
        limit_sources: limits::sources(&in_force),
        grants: GrantsDoc::new(&manifest.grants, &[]),
        warnings,
        id,
    }
}

fn provider(import: &str, source: &ImportSource) -> ImportDoc {
    let (provider, satisfied, components) = match source {
        ImportSource::Host => ("host", true, vec![]),
        ImportSource::HostEmpty => ("host-empty", true, vec![]),
        ImportSource::TypesOnly => ("types-only", true, vec![]),
        ImportSource::Denied => ("denied", false, vec![]),
        ImportSource::Nobody => ("nobody", false, vec![]),
        ImportSource::Components(ids) => ("component", ids.len() == 1, ids.clone()),
    };
    ImportDoc { import: import.to_owned(), provider, satisfied, components }
}

fn text(document: &InspectDoc, paint: Paint) -> String {
    let mut text = format!("{} {} ({})\n", paint.bold(document.id.as_str()), document.version, document.kind);
    if let Some(description) = &document.description {
        text.push_str(&format!("  {}\n", escape_line(description)));
    }
    text.push_str(&format!("  {}, {}\n", human_size(document.size), document.digest));
    if !document.providers.is_empty() {
        let mut table = Table::new(&["  IMPORTS", "FROM"]);
        for import in &document.providers {
            table.row(vec![format!("  {}", escape_line(&import.import)).into(), from(import, paint)]);
        }
        text.push_str(&table.render());
    }
    if !document.functions.is_empty() {
        let mut table = Table::new(&["  EXPORTS", "TYPE"]);
        for function in &document.functions {
            table.row(vec![
                format!("  {}", escape_line(&function.name)).into(),
                escape_line(&function.wit).into_owned().into(),
            ]);
        }
        text.push_str(&table.render());
    } else if !document.exports.is_empty() {
        text.push_str(&format!("  exports {}\n", escape_line(&document.exports.join(", "))));
    }
    let (set, by_default) = limits::lines(&document.limits, &document.limit_sources);
    for (name, lines) in [("limits", set), ("default limits", by_default)] {
        text.extend(lines.iter().map(|line| format!("  {name}: {line}\n")));
    }
    for (key, value) in &document.binary {
        text.push_str(&format!("  {}\n", escape_block(&format!("{key}: {}", value.replace('\n', " ")))));
    }
    text
}

fn from(import: &ImportDoc, paint: Paint) -> Cell {
    let ids: Vec<_> = import.components.iter().map(ToString::to_string).collect();
    match import.provider {
        "host" => "the host".into(),
        "host-empty" => "the host, empty without a grant".into(),
        "types-only" => "nobody needed: types only".into(),
        "component" if import.satisfied => ids.join(", ").into(),
        "component" => {
            let plain = format!("several: {}", ids.join(", "));
            Cell::painted(&plain, paint.yellow(&plain))
        }
        "denied" => Cell::painted("not granted", paint.red("not granted")),
        _ => Cell::painted("nobody", paint.red("nobody")),
    }
}
