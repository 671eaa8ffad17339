use domain::text::escape_line;
use domain::{ComponentId, ErrorKind};
use registry::{DependencyFault, EdgeView, Registry, RegistryError};
use serde::Serialize;

use crate::commands::graph::tree_of;
use crate::commands::print_each;
use crate::dto::{EdgeDoc, FailedDoc};
use crate::error::{CliError, Done};
use crate::select::{ID_HELP, resolve_all};
use crate::session::Session;
use crate::style::Paint;
use crate::table::{Cell, Table};

/// Show what a component needs
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  runtime deps demo:report
  runtime deps demo:report --tree
  runtime deps demo:report --check")]
pub(crate) struct Args {
    #[arg(required = true, value_name = "ID", help = ID_HELP)]
    pub(crate) ids: Vec<String>,

    /// Follow the edges of dependencies too
    #[arg(long)]
    pub(crate) transitive: bool,

    /// Draw a tree
    #[arg(long, conflicts_with = "check")]
    pub(crate) tree: bool,

    /// Check each dependency; one that is missing, in error or not active marks the component
    #[arg(long)]
    pub(crate) check: bool,
}

/// Edges of one component.
#[derive(Debug, Serialize)]
pub(crate) struct EdgesDoc {
    pub(crate) id: ComponentId,
    pub(crate) edges: Vec<EdgeDoc>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) problems: Option<Vec<ProblemDoc>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) error: Option<CliError>,
    /// Drawn for people instead of the table.
    #[serde(skip)]
    pub(crate) tree: Option<String>,
}

/// What is wrong with one dependency.
#[derive(Debug, Serialize)]
pub(crate) struct ProblemDoc {
    id: String,
    problem: &'static str,
    message: String,
}

pub(crate) async fn run(session: &Session, args: Args) -> Result<Done, CliError> {
    let registry = session.registry().await?;
    let selected = resolve_all(registry, &args.ids).await;
    let mut failed = selected.failed;
    let mut documents = Vec::new();
    for target in selected.targets {
        match edges_of(session, registry, &target.id, &args).await {
            Ok(document) => documents.push(document),
            Err(error) => failed.push(FailedDoc::new(&target.id, &error)),
        }
    }
    let problem = documents.iter().find_map(|document| document.error.clone());
    let done = print_each(session, "components", args.ids.len(), documents, failed, |document, paint| {
        text(document, paint, |edge| &edge.from)
    })?;
    match (done, problem) {
        (Done::All, Some(problem)) => {
            if !session.out.is_json() {
                problem.print(None, &session.terminal);
            }
            Ok(Done::of(Some(&problem)))
        }
        (done, _) => Ok(done),
    }
}

async fn edges_of(
    session: &Session,
    registry: &Registry,
    id: &ComponentId,
    args: &Args,
) -> Result<EdgesDoc, RegistryError> {
    let edges = registry.dependencies(id, args.transitive || args.tree).await?;
    let tree = match args.tree && !session.out.is_json() {
        true => Some(tree_of(registry, id, &edges, |edge| (&edge.from, &edge.to), session.out.paint()).await?),
        false => None,
    };
    let mut document = edges_doc(id, &edges, tree);
    if args.check {
        let problems = registry.validate_dependencies(id).await?;
        document.error = problems.first().map(|first| {
            let kind = match first.fault {
                DependencyFault::Missing => ErrorKind::NotFound,
                DependencyFault::InError | DependencyFault::NotActive => ErrorKind::Conflict,
            };
            let message = format!("`{id}` has dependencies that are not as it needs them: {}", first.message);
            CliError::found(kind, "dependency", message).about(id)
        });
        let problems = problems.into_iter();
        document.problems = Some(
            problems
                .map(|problem| ProblemDoc {
                    id: problem.need,
                    problem: problem.fault.as_str(),
                    message: problem.message,
                })
                .collect(),
        );
    }
    Ok(document)
}

/// Makes the document of edges.
pub(crate) fn edges_doc(id: &ComponentId, edges: &[EdgeView], tree: Option<String>) -> EdgesDoc {
    EdgesDoc { id: id.clone(), edges: edges.iter().map(EdgeDoc::from).collect(), problems: None, error: None, tree }
}

/// Shows edges as a table, or as the tree that was drawn; `far` is the end that is not the component's own.
pub(crate) fn text(document: &EdgesDoc, paint: Paint, far: impl Fn(&EdgeDoc) -> &ComponentId) -> String {
    if let Some(tree) = &document.tree {
        return tree.clone();
    }
    let mut text = format!("{}\n", paint.bold(document.id.as_str()));
    if document.edges.is_empty() {
        text.push_str("  nothing\n");
    } else {
        let direct = document.edges.iter().all(|edge| edge.to == document.id || edge.from == document.id);
        let mut table = Table::new(&["  COMPONENT", "STATUS", "KIND", "INTERFACE", if direct { "" } else { "EDGE" }]);
        for edge in &document.edges {
            let status = edge.status.unwrap_or("missing");
            let painted =
                status.parse::<domain::Status>().map_or_else(|_| paint.red(status), |status| paint.status(status));
            let label = edge.interface.clone().or_else(|| edge.range.clone()).unwrap_or_default();
            let route = if direct { String::new() } else { format!("{} needs {}", edge.to, edge.from) };
            table.row(vec![
                format!("  {}", far(edge)).into(),
                Cell::painted(status, painted),
                edge.kind.into(),
                escape_line(&label).into_owned().into(),
                route.into(),
            ]);
        }
        text.push_str(&table.render());
    }
    for problem in document.problems.iter().flatten() {
        text.push_str(&format!("  {} {}\n", paint.red(problem.problem), escape_line(&problem.message)));
    }
    if document.problems.as_ref().is_some_and(Vec::is_empty) {
        text.push_str(&format!("  {}\n", paint.green("all dependencies are active")));
    }
    text
}
