use std::collections::BTreeMap;
use std::path::PathBuf;

use domain::ComponentId;
use registry::{EdgeView, EntryView, GraphView, Registry, RegistryError};
use serde::Serialize;

use crate::error::{CliError, Done};
use crate::graph::{Colour, Edge, GraphFormat, GraphPicture, Node, render};
use crate::select::resolve_all;
use crate::session::Session;
use crate::style::Paint;

/// Draw the graph of components
///
/// Of the components named and all that they need, or of the whole registry. Edges point from a dependency to what needs it.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  runtime graph
  runtime graph demo:report --format svg --file report.svg
  runtime graph --format dot | dot -Tpng > graph.png")]
pub(crate) struct Args {
    /// Components [default: all]
    #[arg(value_name = "ID")]
    pub(crate) ids: Vec<String>,

    /// What to draw [default: tree, or json with `-o json`]
    #[arg(long, value_enum, value_name = "FORMAT")]
    pub(crate) format: Option<GraphFormat>,

    /// Write to this file instead of standard output
    #[arg(long, value_name = "FILE")]
    pub(crate) file: Option<PathBuf>,
}

/// A picture as a JSON document.
#[derive(Serialize)]
struct PictureDoc<'a> {
    format: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    picture: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    file: Option<String>,
}

pub(crate) async fn run(session: &Session, args: Args) -> Result<Done, CliError> {
    let json = session.out.is_json();
    let format = args.format.unwrap_or(if json { GraphFormat::Json } else { GraphFormat::Tree });
    let registry = session.registry().await?;
    let selected = resolve_all(registry, &args.ids).await;
    if let Some(failed) = selected.failed.into_iter().next() {
        return Err(failed.error);
    }
    let ids: Vec<_> = selected.targets.into_iter().map(|target| target.id).collect();
    let mut picture = picture(&registry.graph(&ids).await?);
    picture.title = ids.iter().map(ComponentId::as_str).collect::<Vec<_>>().join(", ");
    let colour = if args.file.is_none() { colour(session.out.paint()) } else { Colour::Never };
    let text = render(&picture, format, colour);
    if let Some(file) = &args.file {
        std::fs::write(session.path(file), &text).map_err(|error| CliError::file(file, "write", &error))?;
        let document = PictureDoc { format: word(format), picture: None, file: Some(file.display().to_string()) };
        session.out.result(&document, |_, _| format!("{}\n", file.display()))?;
    } else if json && format != GraphFormat::Json {
        session.out.json(&PictureDoc { format: word(format), picture: Some(&text), file: None })?;
    } else {
        session.out.text(&text)?;
    }
    Ok(Done::All)
}

fn word(format: GraphFormat) -> String {
    use clap::ValueEnum as _;
    format.to_possible_value().map(|value| value.get_name().to_owned()).unwrap_or_default()
}

fn colour(paint: Paint) -> Colour {
    if paint.is_on() { Colour::Always } else { Colour::Never }
}

fn picture(view: &GraphView) -> GraphPicture {
    let edge = |view: &EdgeView| Edge {
        from: view.from.to_string(),
        to: view.to.to_string(),
        label: view.edge.label().to_owned(),
        declared: view.edge.is_declared(),
        fused: view.fused,
    };
    GraphPicture {
        title: String::new(),
        nodes: view.nodes.iter().map(node).collect(),
        edges: view.edges.iter().map(edge).collect(),
    }
}

fn node(view: &EntryView) -> Node {
    let entry = &view.entry;
    Node {
        id: entry.id.to_string(),
        label: entry.id.name().to_owned(),
        version: entry.revision.version.to_string(),
        kind: entry.revision.kind().to_string(),
        status: entry.status,
        error: !entry.is_healthy() || entry.last_error.is_some(),
        unresolved: entry.unresolved.iter().map(|unresolved| unresolved.need.to_string()).collect(),
    }
}

/// Draws the tree that grows from `root` along `edges`; `ends` says what of an edge needs to be below what.
///
/// # Errors
/// [`RegistryError`] if an entry cannot be read.
pub(crate) async fn tree_of(
    registry: &Registry,
    root: &ComponentId,
    edges: &[EdgeView],
    ends: impl Fn(&EdgeView) -> (&ComponentId, &ComponentId),
    paint: Paint,
) -> Result<String, RegistryError> {
    let mut nodes = BTreeMap::new();
    for id in edges.iter().flat_map(|edge| [&edge.from, &edge.to]).chain([root]) {
        if !nodes.contains_key(id) {
            match registry.get(id).await {
                Ok(view) => drop(nodes.insert(id.clone(), node(&view))),
                // Drawn as missing.
                Err(RegistryError::NotFound { .. }) => {}
                Err(error) => return Err(error),
            }
        }
    }
    let edges = edges.iter().map(|edge| {
        let (below, above) = ends(edge);
        Edge {
            from: below.to_string(),
            to: above.to_string(),
            label: edge.edge.label().to_owned(),
            declared: edge.edge.is_declared(),
            fused: edge.fused,
        }
    });
    let picture =
        GraphPicture { title: root.to_string(), nodes: nodes.into_values().collect(), edges: edges.collect() };
    Ok(render(&picture, GraphFormat::Tree, colour(paint)))
}
